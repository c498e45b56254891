// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package sys

import (
	"golang.org/x/sys/unix"
)

// OpenFileAt opens a name in the directory dir; a file that it creates has mode 0600.
func OpenFileAt(dir int, name string, flags int) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0o600)
		return err
	})
	return fd, CallError("openat", err)
}

// Mkdirat makes a directory of mode 0700 in the directory dir.
func Mkdirat(dir int, name string) error {
	return CallError("mkdirat", retry(func() error { return unix.Mkdirat(dir, name, 0o700) }))
}

// Mknodat makes a regular file of mode 0600 in the directory dir, and does not open it.
func Mknodat(dir int, name string) error {
	return CallError("mknodat", retry(func() error { return unix.Mknodat(dir, name, unix.S_IFREG|0o600, 0) }))
}

// Unlinkat removes a name in the directory dir.
func Unlinkat(dir int, name string, isDir bool) error {
	flags := 0
	if isDir {
		flags = unix.AT_REMOVEDIR
	}
	return CallError("unlinkat", retry(func() error { return unix.Unlinkat(dir, name, flags) }))
}

// Renameat renames a name in the directory dir.
func Renameat(dir int, from, to string) error {
	return CallError("renameat", retry(func() error { return unix.Renameat(dir, from, dir, to) }))
}

// Fchmodat changes the mode of a name in the directory dir.
func Fchmodat(dir int, name string, mode uint32) error {
	return CallError("fchmodat", retry(func() error { return unix.Fchmodat(dir, name, mode, 0) }))
}

// Utimensat changes the times of a name in the directory dir.
func Utimensat(dir int, name string, access, modification unix.Timespec) error {
	return CallError("utimensat", retry(func() error {
		return unix.UtimesNanoAt(dir, name, []unix.Timespec{access, modification}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// Getdents is getdents64(2).
func Getdents(fd int, buf []byte) (n int, e Errno) {
	err := retry(func() (err error) {
		n, err = unix.Getdents(fd, buf)
		return err
	})
	return n, errno(err)
}

// Fchdir changes the working directory to the directory fd.
func Fchdir(fd int) error { return CallError("fchdir", unix.Fchdir(fd)) }

// Chdir changes the working directory.
func Chdir(path string) error { return CallError("chdir", unix.Chdir(path)) }
