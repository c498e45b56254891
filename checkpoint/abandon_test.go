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

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// These are programs of processes that tests start. They run on the main thread.
func init() {
	switch os.Getenv("INOTIFY_TEST_ROLE") {
	case "":
		return
	case "main thread exits":
		exitMainThread()
	case "table of its own":
		unshareTable()
	}
	os.Exit(0)
}

// startRole starts one of these programs, and returns the first line that it prints.
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

// Instances reports a process whose execve waits for a FUSE server, and does not wait for it.
func TestInstancesOfProcessThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	needLists(t)
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	hung, release := startHung(t)

	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Millisecond, io.ErrUnexpectedEOF)
	defer cancel()
	if is, err := checkpoint.Instances(ctx, hung, h.pid); is != nil || err != io.ErrUnexpectedEOF {
		t.Errorf("instances %v, %v at the end of the context, want its cause", is, err)
	}
	for range 20 { // not each call leaves a thread behind
		is, err := checkpoint.Instances(context.Background(), hung, h.pid)
		var failed *checkpoint.ProcessError
		if !errors.As(err, &failed) || failed.PID != hung || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		wantInstances(t, listed(t, is, nil), []checkpoint.Descriptor{{PID: h.pid, FD: h.fd()}})
	}
	if n := waitingThreads(t); n > 5 {
		t.Errorf("%d threads were left behind", n)
	}

	release()
	waitUntil(t, "the process answers", func() bool {
		is, err := checkpoint.Instances(context.Background(), hung)
		return err == nil && len(is) == 1 && is[0].Watches == 1
	})
}

// startHung starts a process that has an instance with a watch and an event as its
// descriptor 3, and does not answer until it is released.
func startHung(t testing.TB) (pid int, release func()) {
	t.Helper()
	n := newInotify(t)
	dir := t.TempDir()
	restoreWatch(t, n, 1, dir, inotify.Create)
	touch(t, filepath.Join(dir, "a"))
	f, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	pid, release = kerneltest.StartHung(t, f)
	f.Close()
	n.Close()
	return pid, release
}

// DumpFD does not wait for a process that does not answer: it returns ErrNoAnswer.
func TestDumpFDOfProcessThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	needLists(t)
	hung, release := startHung(t)
	late := time.AfterFunc(30*time.Second, release)
	kinds := map[string][]checkpoint.DumpOption{
		"default":   nil,
		"no paths":  {checkpoint.WithPaths(checkpoint.PathsNone)},
		"by search": {checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithMaxSearchEntries(1)},
		"drain":     {checkpoint.WithDrain()},
	}
	for kind, opts := range kinds {
		ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Millisecond, io.ErrUnexpectedEOF)
		if s, err := checkpoint.DumpFD(ctx, hung, 3, opts...); s != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v, %v at the end of the context, want its cause", kind, s, err)
		}
		cancel()
	}
	for kind, opts := range kinds {
		for range 5 {
			s, err := checkpoint.DumpFD(context.Background(), hung, 3, opts...)
			if s != nil || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, checkpoint.ErrNoAnswer) || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("process %d: no answer", hung)) {
				t.Errorf("%s: %v, %v", kind, s, err)
			}
		}
	}
	if !late.Stop() {
		t.Error("the call waited for the process")
	}
	if n := waitingThreads(t); n > 5 {
		t.Errorf("%d threads were left behind", n)
	}
	release()
	waitUntil(t, "the process answers", func() bool {
		s, err := checkpoint.DumpFD(context.Background(), hung, 3)
		return err == nil && len(s.Watches) == 1 && s.PendingBytes > 0
	})
}

// A process that does not answer may have the instance too: the instance is drained, and the
// process is reported.
func TestDrainReportsProcessThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	needLists(t)
	kerneltest.NeedDuplicates(t)
	needKcmp(t)
	n := newInotify(t)
	dir := t.TempDir()
	restoreWatch(t, n, 1, dir, inotify.Create)
	touch(t, filepath.Join(dir, "a"))
	f, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := startHeir(t, f)
	h.stop()
	hung, release := kerneltest.StartHung(t, f)
	late := time.AfterFunc(30*time.Second, release)
	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Millisecond, io.ErrUnexpectedEOF)
	defer cancel()
	if s, err := checkpoint.DumpFD(ctx, h.pid, 3, checkpoint.WithDrain()); s != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, %v at the end of the context, want its cause", s, err)
	}
	s, err := checkpoint.DumpFD(context.Background(), h.pid, 3, checkpoint.WithDrain())
	if err != nil {
		t.Fatal(err)
	}
	if !late.Stop() {
		t.Error("the call waited for the process")
	}
	wantEvents(t, s.Pending, inotify.Event{WD: 1, Mask: inotify.Create, Name: "a"})
	reported := func(g checkpoint.Gap) bool {
		words := strings.FieldsFunc(g.Reason, func(r rune) bool { return strings.ContainsRune(" []", r) })
		return strings.HasSuffix(g.Reason, "do not answer") && slices.Contains(words, fmt.Sprint(hung))
	}
	if !slices.ContainsFunc(gaps(s.Unknown, "stopped"), reported) {
		t.Errorf("unknown: %v, want process %d", s.Unknown, hung)
	}
}

// waitingThreads returns how many threads of this process are in uninterruptible sleep.
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
	t.Fatalf("timed out waiting until %s", what)
}
