// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// Programs of processes that tests start. They run on the main thread.
func init() {
	switch os.Getenv("INOTIFY_TEST_ROLE") {
	case "":
		return
	case "execve that hangs":
		executeSlowly(os.Args[1])
	case "wait":
		io.Copy(io.Discard, os.Stdin)
	case "main thread exits":
		exitMainThread()
	case "table of its own":
		takeOwnTable()
	}
	os.Exit(0)
}

// startRole starts one of them, and returns the first line that it prints.
func startRole(t testing.TB, role string, args ...string) (*holder, string) {
	t.Helper()
	cmd := holderCommand(kerneltest.Executable(t))
	cmd.Args = append(cmd.Args, args...)
	cmd.Env = append(cmd.Env, "INOTIFY_TEST_ROLE="+role)
	h := startCommand(t, cmd)
	line, err := h.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return h, strings.TrimSuffix(line, "\n")
}

// newInstance returns a descriptor that stays open over execve, with a watch.
func newInstance() int {
	fd, err := unix.InotifyInit1(0)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, "/", unix.IN_CREATE)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return fd
}

// executeSlowly executes this program anew, which closes the file.
func executeSlowly(path string) {
	fmt.Println(newInstance())
	os.Stdin.Read(make([]byte, 1))
	if _, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("INOTIFY_TEST_ROLE", "wait")
	unix.Exec("/proc/self/exe", os.Args[:1], os.Environ())
}

// A process whose execve waits for a FUSE server is reported, and keeps nobody waiting.
func TestInstancesOfProcessThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	needLists(t)
	kerneltest.OwnMounts(t)
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	dir := t.TempDir()
	hung, _ := startRole(t, "execve that hangs", filepath.Join(dir, "file"))
	fuse := kerneltest.MountFUSE(t, dir, func(opcode uint32) bool { return opcode == kerneltest.FUSEFlush })
	io.WriteString(hung.in, "\n")
	waitUntil(t, "execve waits", func() bool { return slices.Contains(fuse.Requests(), kerneltest.FUSEFlush) })

	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Millisecond, io.ErrUnexpectedEOF)
	defer cancel()
	if is, err := checkpoint.Instances(ctx, hung.pid, h.pid); is != nil || err != io.ErrUnexpectedEOF {
		t.Errorf("instances %v, %v at the end of the context, want its cause", is, err)
	}
	for range 20 { // threads are not left behind each time
		is, err := checkpoint.Instances(context.Background(), hung.pid, h.pid)
		var failed *checkpoint.ProcessError
		if !errors.As(err, &failed) || failed.PID != hung.pid || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		wantInstances(t, listed(t, is, nil), []checkpoint.Descriptor{{PID: h.pid, FD: h.fd()}})
	}
	if n := waitingThreads(t); n > 5 {
		t.Errorf("%d threads were left behind", n)
	}

	unix.Unmount(dir, unix.MNT_FORCE) // EBUSY, and what waits fails
	waitUntil(t, "the process answers", func() bool {
		is, err := checkpoint.Instances(context.Background(), hung.pid)
		return err == nil && len(is) == 1 && is[0].Watches == 1
	})
}

// waitingThreads returns how many threads of this process wait for what no signal ends.
func waitingThreads(t testing.TB) (n int) {
	t.Helper()
	tids, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tids {
		if stat, err := os.ReadFile(name); err == nil && strings.Contains(string(stat), ") D ") {
			n++
		}
	}
	return n
}

func waitUntil(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited in vain until %s", what)
}
