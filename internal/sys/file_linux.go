// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package sys

import (
	"io"
	"slices"
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

// Nonblock reports whether a descriptor's description is in non-blocking mode.
func Nonblock(fd int) (bool, error) {
	flags, err := Status(fd)
	return flags&unix.O_NONBLOCK != 0, err
}

// Dup returns a duplicate with close-on-exec set.
func Dup(fd int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}

// OpenPath returns a descriptor that stands for what path names and opens nothing, so
// that no watch reports it.
func OpenPath(path string, nofollow bool) (int, error) {
	flags := unix.O_PATH | unix.O_CLOEXEC
	if nofollow {
		flags |= unix.O_NOFOLLOW
	}
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// FDInode returns which inode fd stands for, by stat(2).
func FDInode(fd int) (Inode, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return inodeOf(&st), err
}

func inodeOf(st *unix.Stat_t) Inode {
	dev := uint64(st.Dev)
	return Inode{unix.Major(dev), unix.Minor(dev), st.Ino, st.Mode&unix.S_IFMT == unix.S_IFDIR}
}

// PathInode returns which inode a path leads to. On a network or FUSE filesystem it asks
// for no attributes, and so waits for no more than a watch on the path does.
func PathInode(path string, nofollow bool) (Inode, error) {
	flags := 0
	if nofollow {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	for {
		var st unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, path, flags|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_INO, &st)
		switch err {
		case nil:
			return Inode{st.Dev_major, st.Dev_minor, st.Ino, st.Mode&unix.S_IFMT == unix.S_IFDIR}, nil
		case unix.EINTR:
		case unix.ENOSYS, unix.EPERM, unix.EINVAL: // before Linux 4.11; a seccomp profile; gVisor
			return pathInodeByStat(path, flags)
		default:
			return Inode{}, CallError("statx", err)
		}
	}
}

func pathInodeByStat(path string, flags int) (Inode, error) {
	for {
		var st unix.Stat_t
		err := unix.Fstatat(unix.AT_FDCWD, path, &st, flags)
		if err == nil {
			return inodeOf(&st), nil
		}
		if err != unix.EINTR {
			return Inode{}, CallError("stat", err)
		}
	}
}

// Close closes a descriptor.
func Close(fd int) { unix.Close(fd) }

// Memfd returns a descriptor of an inode that nobody else has.
func Memfd() (int, error) {
	return unix.MemfdCreate("inotify-scratch", unix.MFD_CLOEXEC)
}

// FileLimit returns the soft RLIMIT_NOFILE, or -1.
func FileLimit() int64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return -1
	}
	return int64(r.Cur)
}

// Mountinfo returns the mounts as the calling thread sees them, at one moment. Reading
// mountinfo asks no filesystem for anything.
func Mountinfo() ([]byte, error) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC
	fd, err := unix.Open("/proc/thread-self/mountinfo", flags, 0)
	if err == unix.ENOENT { // before Linux 3.17
		fd, err = unix.Open("/proc/self/mountinfo", flags, 0)
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	text := make([]byte, 0, 8192)
	for tries := 0; tries < 10; {
		n, err := unix.Read(fd, text[len(text):cap(text)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
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
