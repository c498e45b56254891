// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// OwnMounts gives the test's thread a mount namespace of its own, which ends with
// it. What the test starts on other threads does not see it.
func OwnMounts(t testing.TB) {
	t.Helper()
	OnOwnThread(t)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skip("this needs a mount namespace: ", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skip("this needs a mount namespace that keeps its mounts: ", err)
	}
}

// Mount mounts something until the test ends.
func Mount(t testing.TB, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Skipf("this needs to mount %s (%s) on %s: %v", kind, data, target, err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

// DropCaches has the kernel forget the names and inodes that nobody uses.
func DropCaches(t testing.TB) {
	t.Helper()
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
		t.Skip("this needs to drop the caches: ", err)
	}
}
