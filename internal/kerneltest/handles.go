// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// NeedHandles skips the test if this process cannot open the file handle of a temporary directory,
// which depends on the filesystem and on the user.
func NeedHandles(t testing.TB) {
	t.Helper()
	if err := OpenHandle(t.TempDir()); err != nil {
		t.Skip("this needs to open file handles: ", err)
	}
}

// OpenHandle opens and closes a directory by its file handle.
func OpenHandle(dir string) error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, 0)
	if err != nil {
		return os.NewSyscallError("name_to_handle_at", err)
	}
	mount, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer mount.Close()
	fd, err := unix.OpenByHandleAt(int(mount.Fd()), handle, unix.O_PATH)
	if err != nil {
		return os.NewSyscallError("open_by_handle_at", err)
	}
	return unix.Close(fd)
}

// NeedBootID skips the test if the kernel's boot id cannot be read. Without it, snapshots of this boot
// cannot be distinguished from others.
func NeedBootID(t testing.TB) {
	t.Helper()
	if _, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err != nil {
		t.Skip("this needs the kernel's boot id: ", err)
	}
}
