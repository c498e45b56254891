// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package kerneltest_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// The filesystem has its files, and a request that hang selects is not answered until the end.
func TestFUSE(t *testing.T) {
	dir := t.TempDir()
	kerneltest.OwnMounts(t)
	var root *os.File
	var answered <-chan error
	t.Cleanup(func() { // after the server has ended
		if answered != nil && <-answered == nil {
			t.Error("statfs succeeded although it was not answered")
		}
		root.Close()
	})
	f := kerneltest.MountFUSE(t, dir, func(opcode uint32) bool { return opcode == kerneltest.FUSEStatfs })
	if requests := f.Requests(); len(requests) != 0 {
		t.Errorf("mount sent requests %v", requests)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("entries: %v, %v", entries, err)
	}
	if text, err := os.ReadFile(dir + "/file"); err != nil || string(text) != "hello\n" {
		t.Errorf("file: %q, %v", text, err)
	}
	if entries, err := os.ReadDir(dir + "/dir"); err != nil || len(entries) != 0 {
		t.Errorf("dir: %v, %v", entries, err)
	}
	if _, err := os.Stat(dir + "/missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if root, err = os.Open(dir); err != nil {
		t.Fatal(err)
	}
	answered = hangs(f, root)
	select {
	case err := <-answered:
		t.Errorf("statfs was answered: %v", err)
	default:
	}
}

// hangs starts a statfs and returns once the server has its request.
func hangs(f *kerneltest.FUSE, root *os.File) <-chan error {
	answered := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answered <- unix.Fstatfs(int(root.Fd()), &st)
	}()
	for !slices.Contains(f.Requests(), kerneltest.FUSEStatfs) {
		runtime.Gosched()
	}
	return answered
}

// A process that waits for an answer of its own server can be killed.
func TestFUSEServerEndsWithItsProcess(t *testing.T) {
	const name = "INOTIFY_TEST_VICTIM"
	if dir := os.Getenv(name); dir != "" {
		kerneltest.OwnMounts(t)
		f := kerneltest.MountFUSE(t, dir, func(opcode uint32) bool { return opcode == kerneltest.FUSEStatfs })
		root, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		answered := hangs(f, root)
		os.Stdout.WriteString("hangs\n")
		t.Fatal(<-answered)
	}
	cmd := exec.Command(kerneltest.Executable(t), "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), name+"="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	cmd.Process.Kill()
	cmd.Wait()
	if line != "hangs\n" {
		t.Skip("this needs a FUSE mount: ", line)
	}
}
