// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// drain dumps the process's instance with its pending events.
func (h *holder) drain(fd int) (*checkpoint.Snapshot, error) {
	h.t.Helper()
	return checkpoint.DumpFD(kerneltest.Context(h.t), h.pid, fd, checkpoint.WithDrain())
}

func TestDrain(t *testing.T) {
	needLists(t)
	kerneltest.NeedDuplicates(t)
	for _, blocking := range []bool{false, true} {
		dir := t.TempDir()
		h := startHolder(t, 0, os.Geteuid())
		h.do("new")
		h.do("watch", "3", "IN_CREATE|IN_MOVE", dir)
		fd := h.fd()
		if hasIoctl(t) {
			h.do("next", "77")
		}
		if blocking {
			h.do("fcntl", fmt.Sprint(unix.F_SETFL), "0")
		}
		touch(t, filepath.Join(dir, "a"))
		touch(t, filepath.Join(dir, "b"))
		h.stop()
		s, err := h.drain(fd)
		if err != nil {
			t.Fatal(err)
		}
		wantEvents(t, s.Pending,
			inotify.Event{WD: 3, Mask: inotify.Create, Name: "a"},
			inotify.Event{WD: 3, Mask: inotify.Create, Name: "b"})
		if s.PendingBytes != 64 || len(gaps(s.Unknown, "pending")) != 0 {
			t.Errorf("%d pending bytes, unknown: %v", s.PendingBytes, s.Unknown)
		}
		if got := s.Flags&checkpoint.NonBlock == 0; got != blocking {
			t.Errorf("flags %v", s.Flags)
		}
		if hasIoctl(t) && s.NextWD != 77 || !hasIoctl(t) && len(gaps(s.Unknown, "next_wd")) != 1 {
			t.Errorf("next wd %d, unknown: %v", s.NextWD, s.Unknown)
		}
		wantSideEffect(t, s, checkpoint.SideEffectDrained, true)
		wantSideEffect(t, s, checkpoint.SideEffectProbed, hasIoctl(t))
		wantSideEffect(t, s, checkpoint.SideEffectProcRead, true)
		again := h.dump()
		if diffs := s.Compare(again); len(diffs) != 0 || again.PendingBytes != 0 || len(again.Watches) != 1 {
			t.Errorf("afterwards: differences %v, %d pending bytes", diffs, again.PendingBytes)
		}
		h.resume()
		if !blocking {
			if text := h.do("events"); text != "" {
				t.Errorf("events are still queued: %q", text)
			}
			touch(t, filepath.Join(dir, "c"))
			if text := h.do("events"); text != "3 IN_CREATE c\n" {
				t.Errorf("the process's events: %q", text)
			}
			if hasIoctl(t) {
				if next := h.do("nextwd"); next != "77" {
					t.Errorf("the process's next wd is %s", next)
				}
			}
		}
	}
}

// All events of a full queue are dumped, with one overflow at the end.
func TestDrainOverflow(t *testing.T) {
	needLists(t)
	kerneltest.NeedDuplicates(t)
	dir := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("watch", "1", "IN_ATTRIB", dir)
	fd := h.fd()
	h.stop()
	names := files(t, 2)
	for i := 0; ; i++ { // alternately, as the kernel merges equal events in a row
		target := filepath.Join(dir, filepath.Base(names[i%2]))
		if i < 2 {
			touch(t, target)
		}
		os.Chmod(target, 0o600)
		if s := i % 1000; s == 0 && i > 1000 {
			text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
			if err != nil {
				t.Skip("this needs to read the length of the queue: ", err)
			}
			var limit int
			fmt.Sscan(string(text), &limit)
			if limit > 100_000 {
				t.Skipf("this needs a queue of at most 100,000 events: max_queued_events is %d", limit)
			}
			if i > limit+1000 {
				break
			}
		}
	}
	s, err := h.drain(fd)
	if err != nil {
		t.Fatal(err)
	}
	overflows := 0
	for i, ev := range s.Pending {
		if ev.Mask.Has(inotify.QOverflow) {
			overflows++
			if i != len(s.Pending)-1 {
				t.Errorf("the overflow is event %d of %d", i, len(s.Pending))
			}
		} else if ev.WD != 1 {
			t.Fatalf("event %v", ev)
		}
	}
	if overflows != 1 {
		t.Errorf("%d overflows", overflows)
	}
	if h.dump().PendingBytes != 0 {
		t.Error("events are still queued")
	}
}

// Draining is refused while any process that has the instance runs, and then changes
// nothing.
func TestDrainNeedsAllProcessesStopped(t *testing.T) {
	needLists(t)
	kerneltest.NeedDuplicates(t)
	needKcmp(t)
	dir := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("watch", "1", "IN_CREATE", dir)
	fd := h.fd()
	touch(t, filepath.Join(dir, "a"))
	if s, err := h.drain(fd); err == nil || s != nil || !strings.Contains(err.Error(), fmt.Sprint("process ", h.pid)) {
		t.Errorf("drained while the process runs: %v, %v", s, err)
	}

	pidfd, err := unix.PidfdOpen(h.pid, 0)
	if err != nil {
		t.Skip("this needs pidfd_open: ", err)
	}
	defer unix.Close(pidfd)
	dup, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		t.Skip("this needs pidfd_getfd: ", err)
	}
	inherited := os.NewFile(uintptr(dup), "inotify")
	heir := startHeir(t, inherited)
	inherited.Close()
	h.stop()
	if s, err := h.drain(fd); err == nil || s != nil || !strings.Contains(err.Error(), fmt.Sprint("process ", heir.pid)) {
		t.Errorf("drained while another process that has the instance runs: %v, %v", s, err)
	}
	if s := h.dump(); s.PendingBytes == 0 {
		t.Error("the event was drained")
	}
	heir.stop()
	s, err := h.drain(fd)
	if err != nil || len(s.Pending) != 1 {
		t.Errorf("pending %v, %v", s.Pending, err)
	}
}

// If the instance has an owner to signal, the next wd is not probed, as the probe's
// IN_IGNORED would signal the owner.
func TestDrainSendsNoSignal(t *testing.T) {
	needLists(t)
	kerneltest.NeedFlags(t)
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("watch", "1", "IN_CREATE", t.TempDir())
	fd := h.fd()
	h.do("fcntl", fmt.Sprint(unix.F_SETOWN), fmt.Sprint(h.pid))
	h.do("fcntl", "10", fmt.Sprint(int(unix.SIGKILL)))
	h.do("fcntl", fmt.Sprint(unix.F_SETFL), fmt.Sprint(unix.O_ASYNC|unix.O_NONBLOCK))
	h.stop()
	s, err := h.drain(fd)
	if err != nil || s.NextWD != 0 || len(gaps(s.Unknown, "next_wd")) != 1 || s.Signal != int(unix.SIGKILL) || s.Flags&checkpoint.Async == 0 {
		t.Fatalf("snapshot %+v, %v", s, err)
	}
	h.resume()
	if text := h.do("events"); text != "" { // it was not killed
		t.Errorf("events %q", text)
	}
}

// A process in a frozen cgroup counts as stopped.
func TestDrainOfFrozenProcess(t *testing.T) {
	needLists(t)
	kerneltest.NeedDuplicates(t)
	for _, freezer := range []struct{ name, mount, file, on, off, state, frozen string }{
		{"version 1", "/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN\n"},
		{"version 2", "/sys/fs/cgroup", "cgroup.freeze", "1", "0", "cgroup.events", "frozen 1\n"},
		{"version 2 beside version 1", "/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0", "cgroup.events", "frozen 1\n"},
	} {
		t.Run(freezer.name, func(t *testing.T) {
			group := filepath.Join(freezer.mount, fmt.Sprint("inotify-test-", os.Getpid()))
			if _, err := os.Stat(filepath.Join(freezer.mount, "cgroup.procs")); err != nil {
				t.Skip("this needs a cgroup of that version: ", err)
			}
			if err := os.Mkdir(group, 0o700); err != nil {
				t.Skip("this needs to make a cgroup: ", err)
			}
			defer os.Remove(group)
			h := startHolder(t, 0, os.Geteuid())
			defer h.end() // before the group is removed
			h.do("new")
			dir := t.TempDir()
			h.do("watch", "1", "IN_CREATE", dir)
			fd := h.fd()
			touch(t, filepath.Join(dir, "a"))
			write := func(file, text string) {
				if err := os.WriteFile(filepath.Join(group, file), []byte(text), 0); err != nil {
					t.Skip("this needs a cgroup that freezes: ", err)
				}
			}
			write("cgroup.procs", fmt.Sprint(h.pid))
			if _, err := h.drain(fd); err == nil {
				t.Error("drained while it runs")
			}
			write(freezer.file, freezer.on)
			defer os.WriteFile(filepath.Join(group, freezer.file), []byte(freezer.off), 0)
			for i := 0; ; i++ {
				if text, _ := os.ReadFile(filepath.Join(group, freezer.state)); strings.Contains(string(text), freezer.frozen) {
					break
				}
				if i == 5000 {
					t.Skip("this needs a cgroup that freezes")
				}
				time.Sleep(time.Millisecond)
			}
			if s, err := h.drain(fd); err != nil || len(s.Pending) != 1 {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
}

// In cgroup version 1 each thread has a group of its own: a process with a thread that is
// not frozen runs.
func TestDrainNeedsAllThreadsFrozen(t *testing.T) {
	needLists(t)
	const mount = "/sys/fs/cgroup/freezer"
	group := filepath.Join(mount, fmt.Sprint("inotify-thread-", os.Getpid()))
	if err := os.Mkdir(group, 0o700); err != nil {
		t.Skip("this needs a freezer of version 1: ", err)
	}
	defer os.Remove(group)
	h := startHolder(t, 0, os.Geteuid())
	defer h.end()
	h.do("new")
	h.do("watch", "1", "IN_CREATE", t.TempDir())
	fd := h.fd()
	if err := os.WriteFile(filepath.Join(group, "tasks"), []byte(fmt.Sprint(h.pid)), 0); err != nil {
		t.Skip("this needs to move a thread into a group: ", err)
	}
	os.WriteFile(filepath.Join(group, "freezer.state"), []byte("FROZEN"), 0)
	defer os.WriteFile(filepath.Join(group, "freezer.state"), []byte("THAWED"), 0)
	if s, err := h.drain(fd); err == nil || s != nil {
		t.Errorf("drained while threads of the process run: %v", s)
	}
}

// A drain that fails after it has read events, here because the process continues too
// early, returns them in the snapshot.
func TestFailedDrainReturnsTheEvents(t *testing.T) {
	needLists(t)
	kerneltest.NeedDuplicates(t)
	if runtime.NumCPU() < 2 {
		t.Skip("this needs two processors, so that the process continues during the dump")
	}
	const events = 300
	failed := 0
	for i := 0; i < 40 && failed < 3; i++ {
		dir := t.TempDir()
		h := startHolder(t, 0, os.Geteuid())
		h.do("new")
		h.do("watch", "1", "IN_CREATE", dir)
		fd := h.fd()
		for k := range events {
			touch(t, filepath.Join(dir, fmt.Sprint(k)))
		}
		h.stop()
		go func() {
			time.Sleep(time.Duration(i) * 300 * time.Microsecond)
			h.resume()
		}()
		s, err := h.drain(fd)
		switch {
		case err == nil && len(s.Pending) != events:
			t.Errorf("%d events", len(s.Pending))
		case err != nil && s == nil: // nothing was drained
			if text := h.do("events"); strings.Count(text, "\n") != events {
				t.Errorf("%d of %d events are queued, and there is no snapshot: %v", strings.Count(text, "\n"), events, err)
			}
		case err != nil && s != nil:
			failed++
			if text := h.do("events"); len(s.Pending) == 0 || len(s.Pending)+strings.Count(text, "\n") != events {
				t.Errorf("%d events were drained and %d are queued, want %d in all: %v", len(s.Pending), strings.Count(text, "\n"), events, err)
			}
		}
		h.end()
		os.RemoveAll(dir)
	}
	if failed == 0 {
		t.Skip("this needs a process that continues while its events are drained, and none did at the right moment")
	}
}

// At the limit of watches the next wd cannot be determined: the wd counter advances by one,
// and the snapshot lists both.
func TestDrainAtTheLimitOfWatches(t *testing.T) {
	needLists(t)
	needIoctl(t)
	kerneltest.NeedUserNamespaces(t)
	cmd := holderCommand(kerneltest.AnyonesExecutable())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	h := startCommand(t, cmd)
	h.sh("echo 1 >/proc/sys/user/max_inotify_watches")
	h.do("new")
	h.do("watch", "1", "IN_CREATE", t.TempDir())
	fd := h.fd()
	h.stop()
	s, err := h.drain(fd)
	if err != nil {
		t.Skip("this needs to read a process in another user namespace: ", err)
	}
	if s.NextWD != 0 || len(gaps(s.Unknown, "next_wd")) != 1 {
		t.Errorf("next wd %d, unknown: %v", s.NextWD, s.Unknown)
	}
	wantSideEffect(t, s, checkpoint.SideEffectNextWDMoved, true)
	wantSideEffect(t, s, checkpoint.SideEffectProbed, false)
	h.resume()
	h.sh("echo 9 >/proc/sys/user/max_inotify_watches")
	if next := h.do("nextwd"); next != "3" {
		t.Errorf("the process's next wd is %s, want 3: it was 2", next)
	}
}

// Draining a descriptor of the calling process is refused, as it cannot be stopped.
func TestDrainOfOwnProcessIsRefused(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	dir := t.TempDir()
	restoreWatch(t, n, 1, dir, inotify.Create)
	touch(t, filepath.Join(dir, "a"))
	if s, err := checkpoint.DumpFD(kerneltest.Context(t), os.Getpid(), fdOf(t, n), checkpoint.WithDrain()); err == nil || s != nil {
		t.Errorf("drained: %v, %v", s, err)
	}
	wantEvents(t, tryAll(t, n), inotify.Event{WD: 1, Mask: inotify.Create, Name: "a"})
}

// The kernel shows an owner in another pid namespace as 0. The owner is then listed as
// unknown, and is not signalled.
func TestHiddenOwnerIsListed(t *testing.T) {
	needLists(t)
	needIoctl(t)
	n := newInotify(t)
	restoreWatch(t, n, 1, t.TempDir(), inotify.Create)
	fd := fdOf(t, n)
	h := startHolder(t, 0, os.Geteuid())
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETOWN, h.pid); err != nil {
		t.Fatal(err)
	}
	h.end() // the kernel shows an owner that has exited in the same way
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_NONBLOCK|unix.O_ASYNC); err != nil {
		t.Fatal(err)
	}
	s := dump(t, n)
	if s.Owner.Kind != checkpoint.OwnerNone || len(gaps(s.Unknown, "owner")) != 1 || s.NextWD != 0 || len(gaps(s.Unknown, "next_wd")) != 1 {
		t.Errorf("owner %v, next wd %d, unknown: %v", s.Owner, s.NextWD, s.Unknown)
	}
	wantSideEffect(t, s, checkpoint.SideEffectProbed, false)
}
