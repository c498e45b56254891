// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/assign"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// A jail is a root directory in a mount namespace of the test's process. It is on a tmpfs and has
// the scratch directories, without mounts on them.
type jail string

// inJail runs the rest of the test in a child process, and returns false in this one.
func inJail(t *testing.T) (jail, bool) {
	t.Helper()
	attr := &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS} // and its mounts are private
	if os.Getuid() != 0 {
		attr = kerneltest.OwnUsers(t)
		attr.Unshareflags = unix.CLONE_NEWNS
	}
	// This process creates and removes the directory, as it does not see the mounts below it.
	const variable = "INOTIFY_TEST_JAIL"
	if os.Getenv(variable) == "" {
		dir, err := os.MkdirTemp("/tmp", "jail") // not below /dev, which some tests replace
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(dir) })
		t.Setenv(variable, dir)
	}
	if !kerneltest.Again(t, attr) {
		return "", false
	}
	late := time.AfterFunc(20*time.Second, func() {
		fmt.Println("the test hangs")
		os.Exit(1)
	})
	t.Cleanup(func() { late.Stop() })
	root := os.Getenv(variable)
	if err := unix.Mount("jail", root, "tmpfs", 0, "mode=755"); err != nil {
		t.Skip("this needs to mount a tmpfs: ", err)
	}
	j := jail(root)
	for _, dir := range assign.ScratchPaths[:] {
		if strings.Count(dir, "/") == 1 {
			j.mkdir(t, dir)
		}
	}
	j.mkdir(t, "/work")
	return j, true
}

func (j jail) path(dir string) string { return string(j) + dir }

func (j jail) mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(j.path(dir), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (j jail) mount(t *testing.T, dir, kind string) {
	t.Helper()
	kerneltest.Mount(t, "jail", j.path(dir), kind, 0, "")
}

// proc mounts the machine's /proc in the jail.
func (j jail) proc(t *testing.T) {
	t.Helper()
	kerneltest.Mount(t, "/proc", j.path("/proc"), "", unix.MS_BIND|unix.MS_REC, "")
}

// silent mounts a FUSE filesystem whose server answers no request.
func (j jail) silent(t *testing.T, dir string) *kerneltest.FUSE {
	t.Helper()
	return kerneltest.MountFUSE(t, j.path(dir), func(opcode uint32) bool { return opcode != kerneltest.FUSEInit })
}

// enter makes the jail the process's root directory.
func (j jail) enter(t *testing.T) {
	t.Helper()
	if err := unix.Chroot(string(j)); err != nil {
		t.Skip("this needs chroot: ", err)
	}
	os.Chdir("/")
	t.Setenv("TMPDIR", "/work")
}

// cycles restores watches by the cycle, without and with a helper thread.
func cycles(t *testing.T) {
	t.Helper()
	n := newInotify(t)
	for i, wd := range []inotify.WD{100, 5000} {
		path := fmt.Sprint("/work/f", i)
		touch(t, path)
		restore(t, n, wd, path, inotify.Attrib)
	}
	wantEvents(t, pending(t, n))
}

// The cycle sends no request to a FUSE server, whether the FUSE filesystem is mounted on a scratch
// directory, below or above other mounts, or is the target of a symbolic link.
func TestCycleTouchesNoFUSE(t *testing.T) {
	j, inside := inJail(t)
	if !inside {
		return
	}
	j.proc(t)
	j.mount(t, "/var", "tmpfs") // hidden
	fuses := map[string]*kerneltest.FUSE{}
	for _, dir := range []string{"/media", "/opt", "/var", "/boot"} {
		fuses[dir] = j.silent(t, dir)
	}
	j.mount(t, "/boot", "tmpfs") // hides
	for link, target := range map[string]string{"/etc": "/media", "/usr": "/opt/dir", "/dev": "/opt"} {
		if err := os.Remove(j.path(link)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, j.path(link)); err != nil {
			t.Fatal(err)
		}
	}
	j.enter(t)
	if hasIoctl(t) {
		n := newInotify(t)
		nextWD(t, n)
		add(t, n, "/", inotify.MoveSelf)
		nextWD(t, n)
	}
	withoutIoctl(t)
	cycles(t)
	for dir, f := range fuses {
		if requests := f.Requests(); len(requests) > 0 {
			t.Errorf("%s: FUSE requests %v, want none", dir, requests)
		}
	}
}

// A missing path is found before the first step of the cycle, also on a FUSE filesystem.
func TestCycleFindsMissingPathOnFUSE(t *testing.T) {
	j, inside := inJail(t)
	if !inside {
		return
	}
	j.proc(t)
	kerneltest.MountFUSE(t, j.path("/media"), func(opcode uint32) bool { return false })
	j.enter(t)
	withoutIoctl(t)
	ws := []inotify.Watch{
		{WD: 100, Path: "/media/file", Mask: inotify.Attrib},
		{WD: far, Path: "/media/missing", Mask: inotify.Attrib},
	}
	wantError(t, newInotify(t).RestoreWatches(context.Background(), ws, inotify.WithMaxSteps(far)), os.ErrNotExist)
}

// The helper thread makes no steps if its mount namespace is not that of the first thread, which
// chose the scratch directories.
func TestCycleInAThreadsOwnMountNamespace(t *testing.T) {
	j, inside := inJail(t)
	if !inside {
		return
	}
	j.proc(t)
	var fuses []*kerneltest.FUSE
	for _, dir := range []string{"/etc", "/media", "/opt", "/var", "/boot"} {
		fuses = append(fuses, j.silent(t, dir))
	}
	j.enter(t)
	kerneltest.OnOwnThread(t)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skip("this needs a thread with its own mount namespace: ", err)
	}
	for _, dir := range []string{"/etc", "/media", "/opt", "/var", "/boot"} {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	withoutIoctl(t)
	cycles(t)
	for i, f := range fuses {
		if requests := f.Requests(); len(requests) > 0 {
			t.Errorf("%d: FUSE requests %v, want none", i, requests)
		}
	}
}

// Without /proc, NextWD uses only directories on the root directory's mount, and no FUSE.
func TestNextWDWithoutProc(t *testing.T) {
	j, inside := inJail(t)
	if !inside {
		return
	}
	needIoctl(t)
	f := j.silent(t, "/media")
	j.enter(t)
	n := newInotify(t)
	for i, dir := range []string{"/", "/run", "/opt", "/work"} {
		if got := nextWD(t, n); got != inotify.WD(i+1) {
			t.Errorf("NextWD is %d, want %d", got, i+1)
		}
		add(t, n, dir, inotify.MoveSelf)
	}
	if requests := f.Requests(); len(requests) > 0 {
		t.Errorf("FUSE requests %v, want none", requests)
	}
}

// If the root directory is on an overlay, as in a container, the cycle uses it without a request
// to the filesystem of its layer.
func TestCycleOnAnOverlay(t *testing.T) {
	j, inside := inJail(t)
	if !inside {
		return
	}
	f := kerneltest.MountFUSE(t, j.path("/media"), func(opcode uint32) bool { return false })
	for _, dir := range []string{"/run/upper/proc", "/run/upper/work", "/run/upper/opt", "/run/work", "/srv"} {
		j.mkdir(t, dir)
	}
	kerneltest.Mount(t, "jail", j.path("/srv"), "overlay", 0, "lowerdir="+j.path("/media")+",upperdir="+j.path("/run/upper")+",workdir="+j.path("/run/work"))
	container := jail(j.path("/srv"))
	container.proc(t)
	container.mount(t, "/work", "tmpfs")
	container.enter(t)
	withoutIoctl(t)
	n := newInotify(t)
	touch(t, "/work/f")
	before := len(f.Requests())
	restore(t, n, 2000, "/work/f", inotify.Attrib)
	if requests := f.Requests()[before:]; len(requests) > 0 {
		t.Errorf("FUSE requests %v, want none", requests)
	}
}
