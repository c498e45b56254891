// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package sys

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read is read(2) on a non-blocking description.
func Read(fd int, p []byte) (int, Errno) {
	for {
		n, _, e := unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch e {
		case OK:
			return int(n), OK
		case EINTR:
		default:
			return 0, e
		}
	}
}

// OPath is O_PATH: the descriptor refers to the file without opening it, so that no watch
// reports an event.
const OPath = unix.O_PATH

// OpenPath opens a path with OPath.
func OpenPath(path string, nofollow bool) (fd int, err error) {
	flags := OPath | unix.O_CLOEXEC
	if nofollow {
		flags |= unix.O_NOFOLLOW
	}
	err = retry(func() (err error) {
		fd, err = unix.Open(path, flags, 0)
		return err
	})
	return fd, CallError(CallOpenPath, err)
}

// OpenPathDir opens a directory with OPath. The error has the path.
func OpenPathDir(path string) (int, error) {
	fd, e := Openat(unix.AT_FDCWD, CString(path), OPath|unix.O_DIRECTORY)
	if e != OK {
		return -1, &os.PathError{Op: "open", Path: path, Err: e}
	}
	return fd, nil
}

// FDInode returns the inode that fd refers to.
func FDInode(fd int) (Inode, error) {
	var st unix.Stat_t
	if e := Fstat(fd, &st); e != OK {
		return Inode{}, CallError("fstat", e)
	}
	return inodeOf(&st), nil
}

// FDInodeUnsynced is FDInode, but on a network or FUSE filesystem it asks for no attributes.
func FDInodeUnsynced(fd int) (Inode, error) {
	var st unix.Statx_t
	err := retry(func() error {
		return unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_INO, &st)
	})
	switch err {
	case nil:
		return inodeOfStatx(&st), nil
	case ENOSYS, EPERM: // before Linux 4.11; a seccomp profile
		return FDInode(fd)
	}
	return Inode{}, CallError(CallStatx, err)
}

func inodeOfStatx(st *unix.Statx_t) Inode {
	return Inode{st.Dev_major, st.Dev_minor, st.Ino, uint32(st.Mode) & unix.S_IFMT}
}

// LinkInode returns the inode at a path: that of a symbolic link, not of its target.
func LinkInode(path string) (Inode, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Lstat(path, &st) })
	return inodeOf(&st), CallError("lstat", err)
}

func inodeOf(st *unix.Stat_t) Inode {
	dev := uint64(st.Dev)
	return Inode{unix.Major(dev), unix.Minor(dev), st.Ino, st.Mode & unix.S_IFMT}
}

// LinkType returns the Type of LinkInode. It allocates nothing, and on a network or FUSE
// filesystem it asks for no attributes. It fails with ENOSYS before Linux 4.11.
func LinkType(path *byte) (uint32, Errno) {
	for {
		var st unix.Statx_t
		cwd := unix.AT_FDCWD
		_, _, e := unix.Syscall6(unix.SYS_STATX, uintptr(cwd), uintptr(unsafe.Pointer(path)),
			unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, uintptr(unsafe.Pointer(&st)), 0)
		if e != EINTR {
			return uint32(st.Mode) & unix.S_IFMT, e
		}
	}
}

// PathInode returns the inode at a path. On a network or FUSE filesystem it asks for no
// attributes, so it waits only for the lookup, as inotify_add_watch does.
func PathInode(path string, nofollow bool) (Inode, error) {
	flags := 0
	if nofollow {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	var st unix.Statx_t
	err := retry(func() error {
		return unix.Statx(unix.AT_FDCWD, path, flags|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_INO, &st)
	})
	switch err {
	case nil:
		return inodeOfStatx(&st), nil
	case ENOSYS, EPERM, EINVAL: // before Linux 4.11; a seccomp profile; gVisor
		var st unix.Stat_t
		err := retry(func() error { return unix.Fstatat(unix.AT_FDCWD, path, &st, flags) })
		return inodeOf(&st), CallError(CallStat, err)
	}
	return Inode{}, CallError(CallStatx, err)
}

// Close closes a descriptor.
func Close(fd int) error { return CallError("close", unix.Close(fd)) }

// Memfd returns a descriptor of a new inode, which no other process has open.
func Memfd() (int, error) {
	fd, err := unix.MemfdCreate("inotify-scratch", unix.MFD_CLOEXEC)
	return fd, CallError("memfd_create", err)
}

// Mountinfo returns the mounts as the calling thread sees them, at one moment. Reading
// mountinfo asks no filesystem for anything.
func Mountinfo() ([]byte, error) {
	fd, e := Openat(unix.AT_FDCWD, CString("/proc/thread-self/mountinfo"), unix.O_RDONLY)
	if e == ENOENT { // before Linux 3.17
		fd, e = Openat(unix.AT_FDCWD, CString(ProcSelf+"/mountinfo"), unix.O_RDONLY)
	}
	if e != OK {
		return nil, e
	}
	defer unix.Close(fd)
	text := make([]byte, 0, 8192)
	for tries := 0; tries < 10; {
		n, e := Read(fd, text[len(text):cap(text)])
		if e != OK {
			return nil, e
		}
		text = text[:len(text)+n]
		if n == 0 {
			// The text was read in parts. If the mounts changed meanwhile, one may be missing.
			changed := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
			if _, err := unix.Poll(changed, 0); err == nil && changed[0].Revents == 0 {
				return text, nil
			}
			if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
				return nil, err
			}
			text = text[:0]
			tries++
		}
		text = slices.Grow(text, 4096)
	}
	return nil, EAGAIN
}

// ReadFDInfo reads the beginning of the file at FDInfo into buf. procFDs is open on ProcFDs.
func ReadFDInfo(procFDs, fd int, buf []byte) ([]byte, error) {
	info, e := Openat(procFDs, CString("../fdinfo/"+strconv.Itoa(fd)), unix.O_RDONLY)
	if e != OK {
		return nil, CallError("open fdinfo", e)
	}
	defer unix.Close(info)
	n, e := Read(info, buf)
	if e != OK {
		return nil, CallError("read fdinfo", e)
	}
	return buf[:n], nil
}

// ReadlinkFD returns the kernel's path of an open descriptor, from our root directory, in buf.
// procFDs is open on ProcFDs.
func ReadlinkFD(procFDs, fd int, buf []byte) ([]byte, error) {
	var digits [20]byte
	name := append(strconv.AppendInt(digits[:0], int64(fd), 10), 0)
	n, e := Readlink(procFDs, &name[0], buf)
	if e != OK {
		return nil, CallError("readlink", e)
	}
	return buf[:n], nil
}

// Truncate makes a file empty.
func Truncate(fd int) error {
	return CallError("ftruncate", retry(func() error { return unix.Ftruncate(fd, 0) }))
}

// ReadByte reads the first byte of a file.
func ReadByte(fd int) error {
	var b [1]byte
	for {
		if _, err := unix.Pread(fd, b[:], 0); err != EINTR {
			return CallError("pread", err)
		}
	}
}

// WriteByte writes the first byte of a file.
func WriteByte(fd int) error {
	return CallError("pwrite", retry(func() error {
		_, err := unix.Pwrite(fd, []byte{1}, 0)
		return err
	}))
}

// FilesystemMagic returns the number of the filesystem type that fd is on (f_type of statfs(2)).
func FilesystemMagic(fd int) (uint32, error) {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Fstatfs(fd, &st) })
	return uint32(st.Type), CallError("fstatfs", err)
}

// Tmpfs makes a tmpfs that is mounted nowhere (Linux 5.2), and returns a descriptor of its root
// directory. The filesystem ends when the last descriptor of it is closed.
func Tmpfs() (root int, err error) {
	var config int
	err = retry(func() (err error) {
		config, err = unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(config)
	if err := retry(func() error { return unix.FsconfigCreate(config) }); err != nil {
		return -1, fmt.Errorf("fsconfig FSCONFIG_CMD_CREATE tmpfs: %w", err)
	}
	err = retry(func() (err error) {
		root, err = unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	return root, nil
}
