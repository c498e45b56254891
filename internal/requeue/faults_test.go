// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux && amd64

package requeue_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/requeue"
)

// faultCalls are the system calls that Fill makes, without close: a close that fails has
// closed the descriptor nevertheless, and a faked failure would not.
var faultCalls = []struct {
	nr   uintptr
	name string // in errors
}{
	{unix.SYS_FSOPEN, ""}, {unix.SYS_FSCONFIG, ""}, {unix.SYS_FSMOUNT, "fsmount"}, // these are not always needed
	{unix.SYS_MKDIRAT, "mkdir"}, {unix.SYS_MKNODAT, "mknodat"}, {unix.SYS_OPENAT, "open"},
	{unix.SYS_PREAD64, "pread"}, {unix.SYS_PWRITE64, "pwrite"}, {unix.SYS_READ, "read"},
	{unix.SYS_IOCTL, "ioctl"}, {unix.SYS_INOTIFY_ADD_WATCH, "inotify_add_watch"}, {unix.SYS_INOTIFY_RM_WATCH, "inotify_rm_watch"},
	{unix.SYS_FCNTL, "fcntl"}, {unix.SYS_RENAMEAT, "renameat"}, {unix.SYS_UNLINKAT, "unlinkat"},
	{unix.SYS_UTIMENSAT, "utimensat"}, {unix.SYS_FCHMODAT, "fchmodat"}, {unix.SYS_FTRUNCATE, "ftruncate"},
	{unix.SYS_CAPGET, "capget"}, {unix.SYS_CAPSET, "capset"},
}

// uninterrupted are the calls that no signal interrupts.
var uninterrupted = []uintptr{unix.SYS_IOCTL, unix.SYS_FCNTL, unix.SYS_INOTIFY_RM_WATCH, unix.SYS_CAPGET, unix.SYS_CAPSET}

// TestFaults: whichever call fails, either all events are in the queue, or no event and no
// watch is.
func TestFaults(t *testing.T) {
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	t.Setenv("TMPDIR", t.TempDir())
	events := slices.Insert(parse(t, every...), 20, overflow)
	events = append(events, parse(t, "10 UNMOUNT", "10 IGNORED", "11 UNMOUNT|ISDIR", "12 ATTRIB", "3 ATTRIB")...)
	refill(t, n, events, requeue.Options{}) // makes the rehearsal, which is done once
	scratches := []string{"", t.TempDir()}
	if !kerneltest.LongTests() {
		scratches = scratches[:1]
	}
	for _, scratch := range scratches {
		f := faults{t, n, events, requeue.Options{Scratch: scratch}}
		for i, c := range faultCalls {
			places := []int{i % 3}
			if kerneltest.LongTests() {
				calls, _ := f.try(c.nr, c.name, -1, 0)
				places = []int{0, 1, calls / 2, calls - 1}
			}
			for _, place := range places {
				f.try(c.nr, c.name, place, unix.ENOMEM)
				if !kerneltest.LongTests() || slices.Contains(uninterrupted, c.nr) {
					continue
				}
				if _, err := f.try(c.nr, c.name, place, unix.EINTR); err != nil {
					t.Errorf("%s, interrupted at place %d: %v", c.name, place, err)
				}
			}
		}
	}
}

// TestMountFails: events of unmounts are left out only where mounting is not allowed, and not
// because there is no descriptor or no memory for it just then.
func TestMountFails(t *testing.T) {
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	t.Setenv("TMPDIR", t.TempDir())
	events := parse(t, "3 OPEN", "10 UNMOUNT", "10 IGNORED")
	if _, r := refill(t, n, events, requeue.Options{}); len(r.Changes) > 0 {
		t.Skip("this needs the right to mount: ", r.Changes)
	}
	for _, errno := range []unix.Errno{unix.EMFILE, unix.ENOMEM, unix.EPERM} {
		for place := range 3 {
			var r requeue.Result
			var err error
			kerneltest.FailOne(t, unix.SYS_FSOPEN, place, errno, func() {
				r, err = requeue.Fill(context.Background(), n, events, requeue.Options{})
			})
			leftOut := slices.ContainsFunc(r.Changes, func(c requeue.Change) bool { return c.Reason.Lost() })
			if err != nil && !errors.Is(err, errno) || leftOut && errno != unix.EPERM {
				t.Errorf("%v of mount %d: %v, changes %v", errno, place, err, r.Changes)
			}
			if err != nil {
				wantEmpty(t, n)
			} else {
				wantSame(t, kerneltest.Pending(t, n), applied(events, r))
			}
		}
	}
}

// TestReadThatTakesLong: if a read of the empty queue takes long, because the process is stopped just
// then, what is to wake a sleeping read does not stay in the queue.
func TestReadThatTakesLong(t *testing.T) {
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	events := parse(t, "3 OPEN")
	refill(t, n, events, requeue.Options{}) // makes the rehearsal, which is done once
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	fillReads := func(takesLong func(read int) bool) int {
		return kerneltest.FailWhen(t, unix.SYS_READ, unix.EAGAIN, takesLong, func() {
			if _, err := requeue.Fill(ctx, n, events, requeue.Options{}); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	reads := fillReads(func(int) bool { return false })
	wantEmpty(t, n)
	woken := false
	fillReads(func(read int) bool {
		if read != reads-1 { // the last one finds the queue empty
			return false
		}
		for range 10000 {
			if queued := must(n.Buffered()); queued > 0 {
				woken = true
				break
			}
			time.Sleep(time.Millisecond)
		}
		return woken
	})
	if wantEmpty(t, n); !woken {
		t.Error("nothing was queued to wake the read")
	}
}

type faults struct {
	t      *testing.T
	n      *inotify.Inotify
	events []inotify.Event
	opts   requeue.Options
}

// try makes one call fail, and checks the instance, descriptors and files afterwards.
func (f faults) try(nr uintptr, name string, place int, errno unix.Errno) (calls int, err error) {
	n := f.n
	before := kerneltest.OpenDescriptors()
	var r requeue.Result
	calls = kerneltest.FailOne(f.t, nr, place, errno, func() {
		r, err = requeue.Fill(context.Background(), n, f.events, f.opts)
	})
	switch {
	case err == nil:
		wantSame(f.t, kerneltest.Pending(f.t, n), applied(f.events, r))
		wantWatches(f.t, n)
	case !errors.Is(err, errno) || !strings.Contains(err.Error(), name):
		f.t.Errorf("error %v", err)
		fallthrough
	default:
		wantEmpty(f.t, n)
	}
	if after := kerneltest.OpenDescriptors(); len(after) > len(before) {
		f.t.Errorf("descriptors before %q, after %q", before, after)
	}
	for _, dir := range []string{os.Getenv("TMPDIR"), f.opts.Scratch} {
		if left, _ := os.ReadDir(dir); dir != "" && len(left) > 0 && !(err != nil && strings.Contains(err.Error(), "unlinkat")) {
			f.t.Errorf("left behind: %v", left)
		}
	}
	if f.t.Failed() {
		f.t.Fatalf("%s, call %d of %d: %v; Fill's error: %v", name, place, calls, errno, err)
	}
	return calls, err
}
