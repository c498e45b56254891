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

// OwnMounts gives the test's thread a new mount namespace, which ends with it. Other threads do not
// see its mounts.
func OwnMounts(t testing.TB) {
	t.Helper()
	OnOwnThread(t)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skip("this needs a mount namespace: ", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skip("this needs a mount namespace with private mounts: ", err)
	}
}

// OwnProc returns attributes that start a command as the first process of a new pid namespace, in a
// new mount namespace in which it can mount the /proc of that.
func OwnProc() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	return attr
}

// Mount mounts a filesystem until the test ends.
func Mount(t testing.TB, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Skipf("this needs to mount %s (%s) on %s: %v", kind, data, target, err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

// KeepCached keeps a name in the kernel's cache until the test ends. A watch does not: once procfs has
// dropped a name of /proc/sys, the next lookup creates another inode, and no path leads to the watched
// one (Linux 6.18).
func KeepCached(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
}

// DropCaches makes the kernel drop the names and inodes that are not in use.
func DropCaches(t testing.TB) {
	t.Helper()
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
		t.Skip("this needs to drop the caches: ", err)
	}
}
