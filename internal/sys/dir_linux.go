// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package sys

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// OpenFileAt opens a name in the directory dir; a file that it creates has mode 0600.
func OpenFileAt(dir int, name string, flags int) (fd int, err error) {
	err = Retry(func() (err error) {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0o600)
		return err
	})
	return fd, CallError("openat", err)
}

// Mkdirat makes a directory of mode 0700 in the directory dir.
func Mkdirat(dir int, name string) error {
	return CallError("mkdirat", Retry(func() error { return unix.Mkdirat(dir, name, 0o700) }))
}

// Mknodat makes a regular file of mode 0600 in the directory dir, and does not open it.
func Mknodat(dir int, name string) error {
	return CallError("mknodat", Retry(func() error { return unix.Mknodat(dir, name, unix.S_IFREG|0o600, 0) }))
}

// Unlinkat removes a name in the directory dir.
func Unlinkat(dir int, name string, isDir bool) error {
	flags := 0
	if isDir {
		flags = unix.AT_REMOVEDIR
	}
	return CallError("unlinkat", Retry(func() error { return unix.Unlinkat(dir, name, flags) }))
}

// Renameat renames a name in the directory dir.
func Renameat(dir int, from, to string) error {
	return CallError("renameat", Retry(func() error { return unix.Renameat(dir, from, dir, to) }))
}

// Fchmodat changes the mode of a name in the directory dir.
func Fchmodat(dir int, name string, mode uint32) error {
	return CallError("fchmodat", Retry(func() error { return unix.Fchmodat(dir, name, mode, 0) }))
}

// Utimensat changes the times of a name in the directory dir.
func Utimensat(dir int, name string, access, modification unix.Timespec) error {
	return CallError("utimensat", Retry(func() error {
		return unix.UtimesNanoAt(dir, name, []unix.Timespec{access, modification}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// Truncate makes a file empty.
func Truncate(fd int) error {
	return CallError("ftruncate", Retry(func() error { return unix.Ftruncate(fd, 0) }))
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
	return CallError("pwrite", Retry(func() error {
		_, err := unix.Pwrite(fd, []byte{1}, 0)
		return err
	}))
}

// Getdents is getdents64(2).
func Getdents(fd int, buf []byte) (n int, e Errno) {
	err := Retry(func() (err error) {
		n, err = unix.Getdents(fd, buf)
		return err
	})
	return n, errno(err)
}

// Fchdir changes the working directory to the directory fd.
func Fchdir(fd int) error { return CallError("fchdir", unix.Fchdir(fd)) }

// Chdir changes the working directory.
func Chdir(path string) error { return CallError("chdir", unix.Chdir(path)) }

// Tmpfs makes a tmpfs that is mounted nowhere (Linux 5.2), and returns a descriptor of its root
// directory. The filesystem ends when the last descriptor of it is closed.
func Tmpfs() (root int, err error) {
	var config int
	err = Retry(func() (err error) {
		config, err = unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(config)
	if err := Retry(func() error { return unix.FsconfigCreate(config) }); err != nil {
		return -1, fmt.Errorf("fsconfig FSCONFIG_CMD_CREATE tmpfs: %w", err)
	}
	err = Retry(func() (err error) {
		root, err = unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	return root, nil
}

// FilesystemMagic returns the number of the filesystem type that fd is on (f_type of statfs(2)).
func FilesystemMagic(fd int) (uint32, error) {
	var st unix.Statfs_t
	err := Retry(func() error { return unix.Fstatfs(fd, &st) })
	return uint32(st.Type), CallError("fstatfs", err)
}

// WithoutFsetid calls f on a thread that lacks CAP_FSETID meanwhile.
func WithoutFsetid(f func() error) error {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		runtime.UnlockOSThread()
		return CallError("capget", err)
	}
	reduced := had
	reduced[0].Effective &^= 1 << unix.CAP_FSETID
	if reduced == had {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := unix.Capset(&header, &reduced[0]); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("capset without CAP_FSETID: %w", err)
	}
	err := f()
	if cerr := unix.Capset(&header, &had[0]); cerr != nil {
		return errors.Join(err, CallError("capset", cerr)) // the thread stays this goroutine's
	}
	runtime.UnlockOSThread()
	return err
}
