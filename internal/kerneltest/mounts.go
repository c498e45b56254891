// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"os"
	"syscall"
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

// OwnProc has a command start as the first process of a pid namespace, in a mount
// namespace in which it may mount the /proc of that.
func OwnProc() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	return attr
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
