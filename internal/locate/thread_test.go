// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
)

// workingDirectory returns the working directory of the process's first thread.
func workingDirectory(t testing.TB) string {
	t.Helper()
	dir, err := os.Readlink("/proc/self/cwd")
	try(t, err)
	return dir
}

func TestWithoutUnshare(t *testing.T) {
	if _, child := inChildren(t, sameNamespace, noUnshare); !child {
		return
	}
	dir := t.TempDir()
	try(t, os.Chdir(dir)) // this process runs only this test
	n := newInotify(t)
	given := watch(t, n, touch(t, dir+"/given"))
	ws := []inotify.Watch{given}
	for i := range 600 { // enough for two threads
		ws = append(ws, unfindable(given))
		ws[i+1].Inode += uint64(i)
	}
	left := watch(t, n, touch(t, dir+"/left"))
	ws = append(ws, left)
	o := locate.Options{Level: locate.Handles, Resolve: func(w inotify.Watch) (string, error) {
		if w == given {
			return dir + "/given", nil
		}
		return "", nil
	}}
	for range 20 {
		res := paths(t, 0, ws, o)
		wantPath(t, res.Places[0], dir+"/given")
		for _, p := range res.Places[1:] {
			wantNone(t, p, "unshare(CLONE_FS)", "a search may find the path")
			if !errors.Is(p.Err, unix.EPERM) {
				t.Fatalf("error %v, want EPERM", p.Err)
			}
		}
		if res.Decoded {
			t.Error("handles were decoded")
		}
	}
	if now := workingDirectory(t); now != dir {
		t.Errorf("the working directory is %q, want %q", now, dir)
	}
	if now, err := syscall.Getwd(); now != dir {
		t.Errorf("this thread's working directory is %q, %v; want %q", now, err, dir)
	}
	o = locate.Options{Level: locate.Search, SearchDirs: []string{dir}}
	wantPath(t, find(t, 0, left, o), dir+"/left")
}

// If there is no handle to decode, no thread is started.
func TestNothingToDecode(t *testing.T) {
	if _, child := inChildren(t, sameNamespace, noThread); !child {
		return
	}
	path := touch(t, t.TempDir()+"/f")
	w := watch(t, newInotify(t), path)
	o := locate.Options{Level: locate.Handles, Resolve: func(inotify.Watch) (string, error) { return path, nil }}
	wantPath(t, find(t, 0, w, o), path)
	w.Handle = inotify.Handle{}
	wantNone(t, find(t, 0, w, byHandles), "no file handle")
}

// Descriptor 0 is usable for a mount, and closed.
func TestDescriptorZero(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	path := touch(t, tmpfs(t)+"/f")
	w := watch(t, newInotify(t), path)
	o := locate.Options{Level: locate.Handles, Resolve: func(inotify.Watch) (string, error) {
		return "", unix.Close(0)
	}}
	p := find(t, 0, w, o)
	null, err := unix.Open(os.DevNull, unix.O_RDONLY, 0)
	try(t, err)
	if null != 0 {
		t.Errorf("descriptor %d is free, want 0", null)
	}
	wantPath(t, p, path)
}

// Descriptor 0 is closed if it was opened for a directory.
func TestDescriptorZeroIsClosed(t *testing.T) {
	if _, child := inChildren(t, ownNamespace, noHandles); !child {
		return
	}
	dir := tmpfs(t)
	for i := range 300 { // more than go by between two looks at the context
		touch(t, fmt.Sprint(dir, "/f", i))
	}
	path := touch(t, mkdir(t, dir+"/sub/below")+"/f")
	w := watch(t, newInotify(t), path)
	isFree := func() {
		t.Helper()
		null, err := unix.Open(os.DevNull, unix.O_RDONLY, 0)
		try(t, err)
		if null != 0 {
			t.Errorf("descriptor %d is free, want 0", null)
		}
	}

	ctx := whileRead(t, dir, func() { try(t, unix.Close(0)) }) // the next directory gets it
	res, err := locate.Paths(ctx, proc(t, 0), []inotify.Watch{w}, searchIn(dir))
	try(t, err)
	wantPath(t, res.Places[0], path)
	isFree()

	self := proc(t, 0)
	try(t, unix.Close(0)) // the root directory gets it
	_, err = locate.Paths(context.Background(), self, []inotify.Watch{w}, byHandles)
	try(t, err)
	isFree()
}

// mainThreadRoot is the environment variable with the root directory of onMainThread.
const mainThreadRoot = "LOCATE_TEST_ROOT"

// Decoding handles does not change the working directory or root of the process's first
// thread, which /proc shows.
func TestMainThread(t *testing.T) {
	needNamespaces(t)
	root := t.TempDir()
	for _, dir := range []string{"/proc", "/x"} {
		mkdir(t, root+dir)
	}
	cmd := exec.Command(kerneltest.Executable(t))
	cmd.Dir = root + "/x"
	cmd.Env = append(os.Environ(), mainThreadRoot+"="+root, "GOMAXPROCS=1", "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: ownNamespace}
	out, err := cmd.CombinedOutput()
	if reason, skip := strings.CutPrefix(string(out), "skip: "); skip {
		t.Skip(reason)
	}
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// onMainThread is the program that TestMainThread runs on the main goroutine.
func onMainThread(root string) int {
	n, err := inotify.New()
	if err != nil {
		return fail(err)
	}
	defer n.Close()
	if ws, err := watched(n, root+"/x"); err != nil || len(ws) == 0 {
		fmt.Println("skip: this needs watches in fdinfo:", err)
		return 1
	}
	hits := 0
	for range 1000 {
		if unix.Gettid() == os.Getpid() {
			hits++
		}
		if path, err := whereIs(n); err != nil || path != root+"/x" {
			return fail(fmt.Errorf("found %q, %v; want %q", path, err, root+"/x"))
		}
		if now, err := os.Readlink("/proc/self/cwd"); now != root+"/x" {
			return fail(fmt.Errorf("the working directory is %q, %v; want %q", now, err, root+"/x"))
		}
		if hits == 20 {
			break
		}
		runtime.Gosched()
	}
	if hits == 0 {
		fmt.Println("skip: main never ran on the first thread")
		return 1
	}
	if hits == 1 {
		return fail(errors.New("the first thread ran main only once"))
	}
	n.Close()

	if err := errors.Join(unix.Mount("proc", root+"/proc", "proc", 0, ""), unix.Chroot(root), unix.Chdir("/")); err != nil {
		return fail(err)
	}
	n, err = inotify.New()
	if err != nil {
		return fail(err)
	}
	defer n.Close()
	if _, err := watched(n, "/x"); err != nil {
		return fail(err)
	}
	if path, err := whereIs(n); err != nil || path != "/x" {
		return fail(fmt.Errorf("after chroot: found %q, %v; want \"/x\"", path, err))
	}
	return 0
}

func fail(err error) int {
	fmt.Println(err)
	return 1
}

func watched(n *inotify.Inotify, path string) ([]inotify.Watch, error) {
	if _, err := n.AddWatch(path, quiet); err != nil {
		return nil, err
	}
	return n.Watches()
}

// whereIs finds the path of the only watch by its handle.
func whereIs(n *inotify.Inotify) (string, error) {
	ws, err := n.Watches()
	if err != nil {
		return "", err
	}
	self, err := os.Open("/proc/self")
	if err != nil {
		return "", err
	}
	defer self.Close()
	res, err := locate.Paths(context.Background(), self, ws, byHandles)
	if err != nil {
		return "", err
	}
	return res.Places[0].Path, res.Places[0].Err
}
