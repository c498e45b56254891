// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"io"
	"slices"

	"golang.org/x/sys/unix"
)

// sysPathInode tells which inode a path leads to. On a network or FUSE filesystem it asks
// for no attributes, and so waits for no more than a watch on the path does.
func sysPathInode(path string, nofollow bool) (inode, error) {
	flags := 0
	if nofollow {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	for {
		var st unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, path, flags|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_INO, &st)
		switch err {
		case nil:
			return inode{st.Dev_major, st.Dev_minor, st.Ino, st.Mode&unix.S_IFMT == unix.S_IFDIR}, nil
		case unix.EINTR:
		case unix.ENOSYS, unix.EPERM, unix.EINVAL: // before Linux 4.11; a seccomp profile; gVisor
			return sysPathInodeByStat(path, flags)
		default:
			return inode{}, callError("statx", err)
		}
	}
}

func sysPathInodeByStat(path string, flags int) (inode, error) {
	for {
		var st unix.Stat_t
		err := unix.Fstatat(unix.AT_FDCWD, path, &st, flags)
		if err == nil {
			dev := uint64(st.Dev)
			return inode{unix.Major(dev), unix.Minor(dev), st.Ino, st.Mode&unix.S_IFMT == unix.S_IFDIR}, nil
		}
		if err != unix.EINTR {
			return inode{}, callError("stat", err)
		}
	}
}

// sysMountinfo returns the mounts as the calling thread sees them, at one moment. Reading
// mountinfo asks no filesystem for anything.
func sysMountinfo() ([]byte, error) {
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
	return nil, eAGAIN
}
