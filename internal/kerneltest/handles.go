// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// NeedHandles skips where this process cannot open file handles: of a temporary
// directory of the test's, which not every filesystem permits, nor for every user.
func NeedHandles(t testing.TB) {
	t.Helper()
	if err := OpenHandle(t.TempDir()); err != nil {
		t.Skip("this needs to open file handles: ", err)
	}
}

// OpenHandle tries to open a directory by its file handle.
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

// NeedBootID skips the test where the kernel's boot id cannot be read, so that snapshots of
// one boot cannot be told from others.
func NeedBootID(t testing.TB) {
	t.Helper()
	if _, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err != nil {
		t.Skip("this needs the kernel's boot id: ", err)
	}
}
