// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// These tests restore pending events in places where that is harder. What the engine does
// on other filesystems, with other readers and when it is killed, is tested in
// internal/requeue.

// An owner is not signalled for events that are put into the queue, but for later ones.
func TestPendingOfAsyncInstance(t *testing.T) {
	needIoctl(t)
	s, dir := drained(t)
	kerneltest.OnOwnThread(t)
	var set unix.Sigset_t
	set.Val[0] |= 1 << (unix.SIGUSR1 - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		t.Fatal(err)
	}
	signals, err := unix.Signalfd(-1, &set, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK)
	if err != nil {
		t.Skip("this needs signalfd: ", err)
	}
	defer unix.Close(signals)
	signalled := func() bool {
		n, _ := unix.Read(signals, make([]byte, unsafe.Sizeof(unix.SignalfdSiginfo{})))
		return n > 0
	}
	s.Flags |= checkpoint.Async
	s.Signal = int(unix.SIGUSR1)
	s.Owner = checkpoint.Owner{Kind: checkpoint.OwnerThread, ID: unix.Gettid(), Self: true}
	r := restore(t, s, checkpoint.WithOwner(checkpoint.OwnerThread, unix.Gettid()))
	if signalled() {
		t.Error("the owner was signalled during the restore")
	}
	if r.Queued != len(s.Pending) {
		t.Errorf("%d events in the queue, want %d; not restored: %v", r.Queued, len(s.Pending), r.NotRestored)
	}
	f := release(t, r)
	status, err := unix.FcntlInt(uintptr(fdOf(t, f)), unix.F_GETFL, 0)
	if err != nil || status&unix.O_ASYNC == 0 || signalled() {
		t.Errorf("flags %#o, %v; want O_ASYNC and no signal", status, err)
	}
	touch(t, dir+"/new")
	if !signalled() {
		t.Error("the owner was not signalled for a new event")
	}
	wantEquivalent(t, read(t, f), append(slices.Clone(s.Pending), inotify.Event{WD: 7, Mask: inotify.Create, Name: "new"})...)
}

// No instance is left if the size of the filled queue cannot be read.
func TestPendingLeavesNoInstance(t *testing.T) {
	needIoctl(t)
	s, _ := drained(t)
	restore(t, s) // makes the rehearsal, which is done once
	before := kerneltest.OpenDescriptors()
	restoreWith := func(place int) (calls int) {
		return kerneltest.FailOne(t, unix.SYS_IOCTL, place, unix.ENOMEM, func() {
			if r, err := s.Restore(kerneltest.Context(t)); err == nil {
				r.Close()
			}
		})
	}
	for place := range restoreWith(-1) {
		if restoreWith(place); len(kerneltest.OpenDescriptors()) > len(before) {
			t.Fatalf("ioctl %d: descriptors before %q, after %q", place, before, kerneltest.OpenDescriptors())
		}
	}
}

// Whoever may mount gets IN_UNMOUNT, too. Others get the rest, and an overflow.
func TestPendingUnmount(t *testing.T) {
	needIoctl(t)
	wantPendingUnmount(t)
}

func TestPendingInUserNamespace(t *testing.T) {
	attr := kerneltest.OwnUsers(t)
	attr.Cloneflags |= unix.CLONE_NEWNS
	if kerneltest.Again(t, attr) {
		needIoctl(t)
		wantPendingUnmount(t)
	}
}

func wantPendingUnmount(t *testing.T) {
	s, _ := drained(t)
	events := s.Pending
	s.Pending = append(slices.Clone(events), inotify.Event{WD: 9, Mask: inotify.Unmount}, inotify.Event{WD: 9, Mask: inotify.Ignored})
	want := s.Pending
	var changes []checkpoint.ChangeReason
	if fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC); err == nil {
		unix.Close(fd)
	} else {
		want = append(slices.Clone(events), want[len(want)-1], overflow)
		changes = []checkpoint.ChangeReason{checkpoint.ChangeNoPrivilege, checkpoint.ChangeOverflowAdded}
	}
	r := restore(t, s)
	var got []checkpoint.ChangeReason
	for _, c := range r.Changed {
		got = append(got, c.Reason)
	}
	if !slices.Equal(got, changes) {
		t.Errorf("changes %v, want %v", r.Changed, changes)
	}
	wantEquivalent(t, read(t, release(t, r)), want...)
}

// The queue is filled before the watches are added, so that a user who may have no more
// watches than before can have both, or at least the watches.
func TestPendingAtTheWatchLimit(t *testing.T) {
	if !kerneltest.Again(t, kerneltest.OwnUsers(t)) {
		return
	}
	needIoctl(t)
	s, _ := drained(t)
	for _, limit := range []int{2, 1} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			kerneltest.OwnLimit(t, "max_inotify_watches", limit)
			if limit < 2 {
				s.NextWD = 0
				wantNotQueued(t, s, "max_inotify_watches (now 1)", s.Pending)
				return
			}
			r := restore(t, s)
			if r.Queued != len(s.Pending) {
				t.Errorf("%d events in the queue; not restored: %v", r.Queued, r.NotRestored)
			}
			wantEquivalent(t, read(t, release(t, r)), s.Pending...)
		})
	}
}
