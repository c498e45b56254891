// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// needThreads skips the test if a thread's descriptors cannot be duplicated.
func needThreads(t testing.TB) {
	t.Helper()
	needLists(t)
	kerneltest.NeedDuplicates(t)
	fd, err := unix.PidfdOpen(os.Getpid(), unix.O_EXCL) // PIDFD_THREAD
	if err != nil {
		t.Skip("this needs pidfd_open with PIDFD_THREAD (Linux 6.9): ", err)
	}
	unix.Close(fd)
}

// exitThread ends the main thread of the process and waits until its state is Z.
func (h *holder) exitThread() {
	h.t.Helper()
	h.do("exit thread")
	for i := 0; ; i++ {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.pid))
		if err != nil {
			h.t.Fatal(err)
		}
		if strings.Contains(string(text), "\nState:\tZ") {
			return
		}
		if i == 5000 {
			h.t.Fatalf("the main thread has not exited: %s", text)
		}
		time.Sleep(time.Millisecond)
	}
}

// A process whose main thread has exited is dumped through the other threads.
func TestDumpFDAfterTheMainThreadHasExited(t *testing.T) {
	needThreads(t)
	needKcmp(t)
	dir := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("watch", "7", "IN_CREATE", dir)
	h.do("fcntl", fmt.Sprint(unix.F_SETOWN), fmt.Sprint(h.pid))
	fd := h.fd()
	h.exitThread()
	touch(t, filepath.Join(dir, "a"))
	s := h.dump(checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(dir))
	h.wantPaths(s, dir)
	self := checkpoint.Owner{Kind: checkpoint.OwnerProcess, ID: h.pid, Self: true}
	if len(s.Watches) != 1 || s.PendingBytes != 32 || s.Owner != self || s.Flags != checkpoint.NonBlock|checkpoint.CloseOnExec {
		t.Errorf("snapshot %+v", s)
	}
	if s, err := h.drain(fd); s != nil || !errors.Is(err, checkpoint.ErrNotStopped) {
		t.Errorf("drained while it runs: %v, %v", s, err)
	}
	unix.Kill(h.pid, unix.SIGSTOP)
	for i := 0; ; i++ { // waitid does not report the stop after the main thread has exited
		if s, err := h.drain(fd); err == nil {
			wantEvents(t, s.Pending, inotify.Event{WD: 7, Mask: inotify.Create, Name: "a"})
			break
		} else if i == 5000 {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// DumpFD accepts the id of a thread that has a descriptor table of its own.
func TestDumpFDOfAThreadWithDescriptorsOfItsOwn(t *testing.T) {
	needThreads(t)
	needKcmp(t)
	dir := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	var tid, fd int
	fmt.Sscan(h.do("own table", dir), &tid, &fd)
	touch(t, filepath.Join(dir, "a"))
	if _, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("descriptor %d of the process: error %v", fd, err)
	}
	h.stop()
	s, err := checkpoint.DumpFD(kerneltest.Context(t), tid, fd, checkpoint.WithDrain())
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s.Pending, inotify.Event{WD: 1, Mask: inotify.Create, Name: "a"})
	if len(s.Watches) != 1 || s.Flags != checkpoint.NonBlock {
		t.Errorf("snapshot %+v", s)
	}
	h.resume()
	h.exitThread()
	if _, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, h.fd()); err == nil || !strings.Contains(err.Error(), fmt.Sprint(tid)) {
		t.Errorf("the main thread has exited, and the other threads have different tables: error %v", err)
	}
	if _, err := checkpoint.DumpFD(kerneltest.Context(t), tid, fd); err != nil {
		t.Error(err)
	}
}

// Draining is refused while a thread with a descriptor table of its own, which has the
// instance, runs.
func TestDrainNeedsThreadsWithDescriptorsOfTheirOwnStopped(t *testing.T) {
	needThreads(t)
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
	h, heir := startHeir(t, f), startHeir(t, f)
	heir.do("new")
	heir.do("own table", dir)
	heir.do("dup onto", "3")
	h.stop()
	if s, err := h.drain(3); err == nil || s != nil || !strings.Contains(err.Error(), fmt.Sprint("process ", heir.pid)) {
		t.Errorf("drained while a thread that has the instance runs: %v, %v", s, err)
	}
	heir.stop()
	s, err := h.drain(3)
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s.Pending, inotify.Event{WD: 1, Mask: inotify.Create, Name: "a"})
}

// DumpFD of a zombie fails with ESRCH.
func TestDumpFDOfAZombie(t *testing.T) {
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	fd := h.fd()
	h.in.Close()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, h.pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	needTasks(t, h.pid)
	if _, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd); !errors.Is(err, unix.ESRCH) {
		t.Errorf("error %v", err)
	}
}
