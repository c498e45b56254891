// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// System calls. They return an errno instead of an error, because callers switch on it. An
// interrupted call is repeated.

type errno = unix.Errno

const success = errno(0)

// handleFID asks name_to_handle_at for the handle that fdinfo prints, also
// where it cannot be opened (Linux 6.5; EINVAL before).
const handleFID = 0x200

const maxHandle = 128 // bytes: MAX_HANDLE_SZ

// A rawHandle is the kernel's struct file_handle, with room for the largest handle.
type rawHandle struct {
	size uint32
	kind int32
	data [maxHandle]byte
}

// key returns type and bytes as one slice of h's memory.
func (h *rawHandle) key() []byte {
	all := (*[unsafe.Sizeof(h.kind) + maxHandle]byte)(unsafe.Pointer(&h.kind))
	return all[:unsafe.Sizeof(h.kind)+uintptr(min(h.size, maxHandle))]
}

func (h *rawHandle) set(kind int32, data string) {
	h.kind, h.size = kind, uint32(copy(h.data[:], data))
}

var empty = [1]byte{} // the empty path

func sysNameToHandle(dir int, name *byte, flags int, h *rawHandle) (mount int32, e errno) {
	for {
		h.size = maxHandle
		_, _, e = unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(unsafe.Pointer(h)), uintptr(unsafe.Pointer(&mount)), uintptr(flags), 0)
		if e != unix.EINTR {
			return mount, e
		}
	}
}

// sysOpenHandle opens a handle on the filesystem of the working directory. A mount descriptor is
// not used: it must not be an O_PATH descriptor (EBADF), and opening the mount point otherwise
// queues IN_OPEN.
func sysOpenHandle(h *rawHandle) (int, errno) {
	for {
		cwd := unix.AT_FDCWD
		fd, _, e := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(cwd), uintptr(unsafe.Pointer(h)),
			unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC)
		if e != unix.EINTR {
			return int(fd), e
		}
	}
}

func sysOpenat(dir int, name *byte, flags int) (int, errno) {
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), 0, 0, 0)
		if e != unix.EINTR {
			return int(fd), e
		}
	}
}

// sysOpenat2 is openat2(2), Linux 5.6. EAGAIN means that a rename or mount interfered with a
// lookup that must not leave its root; it is repeated a limited number of times.
func sysOpenat2(dir int, name *byte, flags int, resolve uint64) (int, errno) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	for tries := 0; ; {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT2, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		switch {
		case e == unix.EINTR:
		case e == unix.EAGAIN && tries < 64:
			tries++
		default:
			return int(fd), e
		}
	}
}

func sysClose(fd int) { unix.Close(fd) }

func sysFstat(fd int, st *unix.Stat_t) errno {
	for {
		err := unix.Fstat(fd, st)
		if err == nil {
			return success
		}
		if e := err.(errno); e != unix.EINTR {
			return e
		}
	}
}

func sysRead(fd int, p []byte) (int, errno) {
	for {
		n, _, e := unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// An identity identifies a file.
type identity struct {
	major, minor uint32
	inode        uint64
}

// sysIdentity is fstat(2) without synchronization: FUSE and network filesystems do not call their
// program or server.
func sysIdentity(fd int) (identity, error) {
	for {
		var st unix.Statx_t
		err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st)
		switch err {
		case nil:
			return identity{st.Dev_major, st.Dev_minor, st.Ino}, nil
		case unix.EINTR:
			continue
		case unix.ENOSYS, unix.EPERM: // before Linux 4.11, or forbidden
			var st unix.Stat_t
			if e := sysFstat(fd, &st); e != success {
				return identity{}, os.NewSyscallError("fstat", e)
			}
			return identity{unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino}, nil
		}
		return identity{}, os.NewSyscallError("statx", err)
	}
}

func sysStatAt(dir int, name *byte, st *unix.Stat_t) errno {
	for {
		err := unix.Fstatat(dir, unix.BytePtrToString(name), st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil {
			return success
		}
		if e := err.(errno); e != unix.EINTR {
			return e
		}
	}
}

// sysReadlink returns how many bytes of buf it filled.
func sysReadlink(dir int, name *byte, buf []byte) (int, errno) {
	n, _, e := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	return int(n), e
}

// readlinkFD returns the kernel's path of an open descriptor, from our root directory, in buf.
// procFD is /proc/self/fd.
func readlinkFD(procFD, fd int, buf []byte) ([]byte, errno) {
	var name [20]byte
	strconv.AppendInt(name[:0], int64(fd), 10) // the rest is 0
	n, e := sysReadlink(procFD, &name[0], buf)
	if e != success {
		return nil, e
	}
	return buf[:n], success
}

// mountOf returns the id of the mount of an open descriptor, from fdinfo (Linux 3.15).
func mountOf(procFD, fd int) (int32, error) {
	info, e := sysOpenat(procFD, cstring("../fdinfo/"+strconv.Itoa(fd)), unix.O_RDONLY)
	if e != success {
		return 0, os.NewSyscallError("open fdinfo", e)
	}
	defer sysClose(info)
	var text [1024]byte
	n, e := sysRead(info, text[:])
	if e != success {
		return 0, os.NewSyscallError("read fdinfo", e)
	}
	for _, line := range strings.Split(string(text[:n]), "\n") {
		if id, found := strings.CutPrefix(line, "mnt_id:"); found {
			v, err := strconv.ParseInt(strings.TrimSpace(id), 10, 32)
			return int32(v), err
		}
	}
	return 0, errNoMountID
}

// A dirent is one directory entry. name is a slice of the buffer, followed by a NUL byte.
type dirent struct {
	inode uint64
	kind  byte
	name  []byte
}

// cutDirent returns the first entry in the buffer of getdents64, and the rest of the buffer.
//
// An entry: u64 inode, s64 offset, u16 length of the entry, u8 type, name, NUL bytes.
func cutDirent(buf []byte) (d dirent, rest []byte) {
	length := binary.NativeEndian.Uint16(buf[16:])
	name := buf[19:length]
	return dirent{
		inode: binary.NativeEndian.Uint64(buf),
		kind:  buf[18],
		name:  name[:bytes.IndexByte(name, 0)],
	}, buf[length:]
}
