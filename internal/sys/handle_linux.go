// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// HandleFID asks name_to_handle_at for the handle that fdinfo prints, also
// where it cannot be opened (Linux 6.5; EINVAL before).
const HandleFID = 0x200

// A RawHandle is the kernel's struct file_handle, with room for the largest handle.
type RawHandle struct {
	Size uint32
	Type int32
	Data [MaxHandle]byte
}

// Key returns type and bytes as one slice of h's memory.
func (h *RawHandle) Key() []byte {
	all := (*[unsafe.Sizeof(h.Type) + MaxHandle]byte)(unsafe.Pointer(&h.Type))
	return all[:unsafe.Sizeof(h.Type)+uintptr(min(h.Size, MaxHandle))]
}

// Set makes h a handle of that type with those bytes.
func (h *RawHandle) Set(kind int32, data string) {
	h.Type, h.Size = kind, uint32(copy(h.Data[:], data))
}

// NameToHandle returns the handle of a file in h, and the id of its mount.
func NameToHandle(dir int, name *byte, flags int, h *RawHandle) (mount int32, e Errno) {
	for {
		h.Size = MaxHandle
		_, _, e = unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(unsafe.Pointer(h)), uintptr(unsafe.Pointer(&mount)), uintptr(flags), 0)
		if e != EINTR {
			return mount, e
		}
	}
}

// PathHandle is NameToHandle for a path from the working directory, without the id of the
// mount. follow says to follow a symbolic link at its end.
func PathHandle(path string, follow bool, h *RawHandle) Errno {
	flags := 0
	if follow {
		flags = unix.AT_SYMLINK_FOLLOW
	}
	_, e := NameToHandle(unix.AT_FDCWD, CString(path), flags, h)
	return e
}

// OpenHandle opens a handle on the filesystem of the working directory. A mount descriptor is
// not used: it must not be an O_PATH descriptor (EBADF), and opening the mount point otherwise
// queues IN_OPEN.
func OpenHandle(h *RawHandle) (int, Errno) {
	for {
		cwd := unix.AT_FDCWD
		fd, _, e := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(cwd), uintptr(unsafe.Pointer(h)),
			unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC)
		if e != EINTR {
			return int(fd), e
		}
	}
}

// Openat is openat(2).
func Openat(dir int, name *byte, flags int) (int, Errno) {
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), 0, 0, 0)
		if e != EINTR {
			return int(fd), e
		}
	}
}

// Openat2 is openat2(2), Linux 5.6. EAGAIN means that a rename or mount interfered with a
// lookup that must not leave its root; it is repeated a limited number of times.
func Openat2(dir int, name *byte, flags int, resolve uint64) (int, Errno) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	for tries := 0; ; {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT2, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		switch {
		case e == EINTR:
		case e == EAGAIN && tries < 64:
			tries++
		default:
			return int(fd), e
		}
	}
}

// Fstat is fstat(2).
func Fstat(fd int, st *unix.Stat_t) Errno {
	return errno(retry(func() error { return unix.Fstat(fd, st) }))
}

// StatAt is fstatat(2) of a file itself, also if it is a symbolic link.
func StatAt(dir int, name *byte, st *unix.Stat_t) Errno {
	path := unix.BytePtrToString(name)
	return errno(retry(func() error { return unix.Fstatat(dir, path, st, unix.AT_SYMLINK_NOFOLLOW) }))
}

func errno(err error) Errno {
	e, _ := err.(Errno)
	return e
}

// Readlink returns how many bytes of buf it filled.
func Readlink(dir int, name *byte, buf []byte) (int, Errno) {
	n, _, e := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	return int(n), e
}
