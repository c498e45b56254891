// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/assign"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/record"
)

// nextWD calls NextWD, which must succeed.
func nextWD(t *testing.T, n *inotify.Inotify) inotify.WD {
	t.Helper()
	wd, err := n.NextWD()
	if err != nil {
		t.Fatal(err)
	}
	return wd
}

// byEachMask runs f with the ioctl, with and without IN_MASK_CREATE.
func byEachMask(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	needIoctl(t)
	t.Run("with IN_MASK_CREATE", f)
	t.Run("without IN_MASK_CREATE", func(t *testing.T) {
		withoutMaskCreate(t)
		f(t)
	})
}

// NextWD returns the wd of the next watch and leaves no watch and no event.
func TestNextWD(t *testing.T) {
	byEachMask(t, func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 8)
		for i, wd := range []inotify.WD{1, 7, 0x34d71d6, 5, math.MaxInt32} {
			if err := n.SetNextWD(wd); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if got := nextWD(t, n); got != wd {
					t.Errorf("NextWD is %d, want %d", got, wd)
				}
			}
			if got := add(t, n, paths[i], inotify.Attrib); got != wd {
				t.Errorf("the next wd is %d, NextWD said %d", got, wd)
			}
		}
		// After the highest wd the kernel continues at the first free one. Used ones are skipped.
		if got := nextWD(t, n); got != 2 {
			t.Errorf("NextWD after %d is %d, want 2", math.MaxInt32, got)
		}
		if err := n.SetNextWD(5); err != nil {
			t.Fatal(err)
		}
		if got := nextWD(t, n); got != 6 {
			t.Errorf("NextWD with 5 in use is %d, want 6", got)
		}
		if got := add(t, n, paths[6], inotify.Attrib); got != 6 {
			t.Errorf("the next wd is %d, want 6", got)
		}
		if ws := watches(t, n); len(ws) != 6 {
			t.Errorf("%d watches, want 6", len(ws))
		}
		if readable(t, n) {
			t.Error("readable with no event queued")
		}
		wantEvents(t, pending(t, n))
	})
}

// NextWD changes no watch, even if the instance watches the scratch directories.
func TestNextWDTouchesNoWatch(t *testing.T) {
	byEachMask(t, func(t *testing.T) {
		n := newInotify(t)
		for _, dir := range assign.ScratchPaths[:] {
			n.AddWatch(dir, inotify.MoveSelf)
			before := watches(t, n)
			want := before[len(before)-1].WD + 1
			if got := nextWD(t, n); got != want {
				t.Errorf("NextWD is %d, want %d", got, want)
			}
			wantUntouched(t, n, before)
		}
	})
}

// Queued events stay readable and are delivered, including those of an earlier watch with the
// wd that the probe uses. The records of the probe are dropped.
func TestNextWDKeepsEvents(t *testing.T) {
	byEachMask(t, func(t *testing.T) {
		n := newInotify(t)
		path := files(t, 1)[0]
		dir := t.TempDir()
		wd := add(t, n, dir, inotify.Create)
		restore(t, n, 9, path, inotify.Attrib)
		if err := errors.Join(os.Chmod(path, 0o400), n.RemoveWatch(9), n.SetNextWD(9)); err != nil {
			t.Fatal(err)
		}
		touch(t, filepath.Join(dir, "x"))
		before, err := n.Buffered()
		if err != nil {
			t.Fatal(err)
		}
		if got := nextWD(t, n); got != 9 {
			t.Errorf("NextWD is %d, want 9", got)
		}
		if after, err := n.Buffered(); after != before || err != nil {
			t.Errorf("Buffered was %d and is %d, %v", before, after, err)
		}
		if !readable(t, n) {
			t.Error("not readable although events are queued")
		}
		restore(t, n, 9, path, inotify.Attrib)
		if err := n.RemoveWatch(9); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, pending(t, n),
			inotify.Event{WD: 9, Mask: inotify.Attrib},
			inotify.Event{WD: 9, Mask: inotify.Ignored},
			inotify.Event{WD: wd, Mask: inotify.Create, Name: "x"},
			inotify.Event{WD: 9, Mask: inotify.Ignored})
	})
}

// When buffered events have been read in part, later ones are buffered after the rest.
func TestNextWDBuffersMore(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.MovedTo)
	const count = 4000
	var evs []inotify.Event
	for i, unread := range []int{3000, 100, 1, 0} {
		move(t, dir, fmt.Sprint("name", i, "-"), count)
		nextWD(t, n)
		for len(evs) < count*(i+1)-unread {
			ev, ok, err := n.TryReadEvent()
			if !ok || err != nil {
				t.Fatalf("after %d events: %v, %v", len(evs), ok, err)
			}
			evs = append(evs, ev)
		}
	}
	for i := range 4 {
		wantMoves(t, evs[count*i:count*(i+1)], wd, fmt.Sprint("name", i, "-"), count)
	}
	wantEvents(t, pending(t, n))
}

// NextWD delivers nothing to waiting readers, and adds at the same time get consecutive wds.
func TestNextWDWhileOthersReadAndAdd(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	seen := make(chan inotify.Event, 1000)
	var reader, group sync.WaitGroup
	kerneltest.Go(&reader, func() {
		for {
			ev, err := n.ReadEvent()
			if err != nil {
				return
			}
			seen <- ev
		}
	})
	paths := files(t, 200)
	added := make(chan inotify.WD, len(paths))
	for i := range 2 {
		kerneltest.Go(&group, func() {
			for j := i; j < len(paths); j += 2 {
				wd, err := n.AddWatch(paths[j], inotify.Attrib)
				if err != nil {
					t.Error(err)
				}
				added <- wd
			}
		})
	}
	for range 100 {
		nextWD(t, n)
	}
	group.Wait()
	close(added)
	var highest inotify.WD
	for wd := range added {
		highest = max(highest, wd)
	}
	if highest != inotify.WD(len(paths)) {
		t.Errorf("the highest wd is %d, want %d", highest, len(paths))
	}
	n.Close()
	reader.Wait()
	close(seen)
	for ev := range seen {
		t.Errorf("event %v", ev)
	}
}

// The descriptor is readable whenever there are events, while probes and failed restores drop
// their internal records from among them.
func TestReadableWhileEventsCome(t *testing.T) {
	t.Parallel()
	needIoctl(t)
	n := newInotify(t)
	paths := files(t, 2)
	wd := add(t, n, paths[0], inotify.Attrib)
	var stop atomic.Bool
	var writer sync.WaitGroup
	kerneltest.Go(&writer, func() {
		for !stop.Load() {
			if err := os.Chmod(paths[0], 0o400); err != nil {
				t.Error(err)
			}
			time.Sleep(50 * time.Microsecond)
		}
	})
	check := func(what string) {
		if b, err := n.Buffered(); err != nil || b > 0 && !readable(t, n) {
			t.Fatalf("after %s: Buffered %d, %v, and not readable", what, b, err)
		}
		pending(t, n)
	}
	for range 5000 {
		nextWD(t, n)
		check("NextWD")
	}
	for range 50 {
		if err := n.RestoreWatch(kerneltest.Context(t), wd, paths[1], inotify.AllEvents); err == nil {
			t.Fatal("restored a used wd")
		}
		check("a failed restore")
	}
	stop.Store(true)
	writer.Wait()
}

// Without a reader, NextWD fails once too many events are buffered, so that memory is bounded.
func TestNextWDStopsWhenTheBufferIsFull(t *testing.T) {
	kerneltest.Long(t, "this puts 16 MiB of events into the queue")
	needIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.MovedTo)
	name := strings.Repeat("n", 240)
	for i := range 10 {
		move(t, dir, fmt.Sprint(name, i, "-"), 12_000)
		if _, err := n.NextWD(); err != nil {
			if b, berr := n.Buffered(); b < record.MaxBuffered || berr != nil {
				t.Errorf("with %d bytes buffered: %v", b, err)
			}
			if err := n.RestoreWatch(kerneltest.Context(t), 90, files(t, 1)[0], inotify.Attrib); err == nil {
				t.Error("RestoreWatch succeeded with a full buffer")
			}
			return
		}
	}
	t.Error("NextWD never failed")
}

// Without the ioctl NextWD fails and uses up no wd.
func TestNextWDUnsupported(t *testing.T) {
	withoutIoctl(t)
	n := newInotify(t)
	paths := files(t, 2)
	add(t, n, paths[0], inotify.Attrib)
	wd, err := n.NextWD()
	wantError(t, err, errors.ErrUnsupported)
	if wd != inotify.NoWD {
		t.Errorf("NextWD is %d with an error", wd)
	}
	if got := add(t, n, paths[1], inotify.Attrib); got != 2 {
		t.Errorf("the next wd is %d, want 2", got)
	}
	wantEvents(t, pending(t, n))
}

// On a descriptor in blocking mode NextWD fails and uses up no wd.
func TestNextWDOnABlockingDescriptor(t *testing.T) {
	needIoctl(t)
	n, err := inotify.FromFile(os.NewFile(uintptr(rawInotify(t, 0)), "blocking"))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.NextWD(); err == nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v, want one that says that the descriptor is in blocking mode", err)
	}
	if got := add(t, n, files(t, 1)[0], unix.IN_ATTRIB); got != 1 {
		t.Errorf("the next wd is %d, want 1", got)
	}
}

// RestoreNextWD sets the next wd with and without the ioctl, and leaves no watch and no event.
func TestRestoreNextWD(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 6)
		for i, wd := range []inotify.WD{1, 2, 50, 51, 300} { // 1, 2 and 51 are next already
			for range 2 { // the second time it is next already
				if err := n.RestoreNextWD(kerneltest.Context(t), wd); err != nil {
					t.Fatal(wd, err)
				}
			}
			if got := add(t, n, paths[i], inotify.Attrib); got != wd {
				t.Errorf("the next wd is %d, want %d", got, wd)
			}
		}
		wantEvents(t, pending(t, n))
		err := n.RestoreNextWD(kerneltest.Context(t), 7)
		if kerneltest.SupportsSetNext(n) {
			if err != nil || add(t, n, paths[5], inotify.Attrib) != 7 {
				t.Errorf("error %v, or 7 is not next", err)
			}
			return
		}
		var cycle *inotify.CycleError
		wantError(t, err, errors.ErrUnsupported)
		if !errors.As(err, &cycle) || cycle.WD != 7 || cycle.Next != 301 || cycle.Done != 0 {
			t.Errorf("error %+v, want one for wd 7 where 301 is next", err)
		}
	})
}

// On a shared instance others may have added watches, and RestoreNextWD does not guess: it skips
// a used wd directly below the wanted one, and counts a wd as passed that may have been.
func TestRestoreNextWDShared(t *testing.T) {
	kerneltest.NeedDuplicates(t)
	byEachWay(t, func(t *testing.T) {
		needLists(t)
		n := newInotify(t)
		other := share(t, n)
		paths := files(t, 5)
		restore(t, n, 5, paths[0], inotify.Attrib)
		err := other.RestoreNextWD(kerneltest.Context(t), 6)
		if ioctl := kerneltest.SupportsSetNext(n); ioctl != (err == nil) {
			t.Errorf("error %v where 6 is next; kernel has the ioctl: %t", err, ioctl)
		}
		passed := func(by *inotify.Inotify, path string, n *inotify.Inotify, wd inotify.WD) {
			add(t, by, path, inotify.Attrib)
			err := n.RestoreNextWD(kerneltest.Context(t), wd)
			if ioctl := kerneltest.SupportsSetNext(n); ioctl != (err == nil) {
				t.Errorf("error %v where %d was passed; kernel has the ioctl: %t", err, wd, ioctl)
			}
		}
		passed(other, paths[2], n, 6)
		passed(n, paths[3], other, 8) // the last that other added is 7
		if err := other.RestoreNextWD(kerneltest.Context(t), 40); err != nil {
			t.Fatal(err)
		}
		if got := add(t, n, paths[1], inotify.Attrib); got != 40 {
			t.Errorf("the next wd is %d, want 40", got)
		}
		if got := add(t, other, paths[4], inotify.Attrib); got != 41 {
			t.Fatalf("the other's watch is %d, want 41", got)
		}
		err = n.RestoreNextWD(kerneltest.Context(t), 41) // which n has not seen
		if ioctl := kerneltest.SupportsSetNext(n); ioctl != (err == nil) {
			t.Errorf("error %v where 41 is in use; kernel has the ioctl: %t", err, ioctl)
		}
		if ws := watches(t, n); len(ws) != 5 {
			t.Errorf("watches %v, want 5", ws)
		}
		wantEvents(t, pending(t, n))
	})
}

// If no wd below the wanted one is free, the cycle has no wd for its last step, and the wanted
// one counts as passed.
func TestRestoreNextWDNoneFreeBelow(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		needLists(t)
		for used := range 3 {
			n := newInotify(t)
			f, err := n.File() // shared: others can have added watches
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			paths := files(t, used+1)
			for _, path := range paths[:used] {
				add(t, n, path, inotify.Attrib)
			}
			wd := inotify.WD(used + 1)
			err = n.RestoreNextWD(kerneltest.Context(t), wd)
			var cycle *inotify.CycleError
			if err == nil {
				if got := add(t, n, paths[used], inotify.Attrib); got != wd {
					t.Errorf("the next wd is %d, want %d", got, wd)
				}
			} else if kerneltest.SupportsSetNext(n) || !errors.As(err, &cycle) || cycle.WD != wd || cycle.Next != wd+1 {
				t.Errorf("error %v, want one for wd %d where %d is next", err, wd, wd+1)
			}
			wantEvents(t, pending(t, n))
		}
	})
}

// RestoreNextWD refuses an ended context, a wd out of range, and more steps than are allowed, and
// then changes nothing.
func TestRestoreNextWDFails(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		ended, cancel := context.WithCancel(kerneltest.Context(t))
		cancel()
		wantError(t, n.RestoreNextWD(ended, 9), context.Canceled)
		wantError(t, n.RestoreNextWD(kerneltest.Context(t), 0), unix.EINVAL)
		var seen []inotify.WD
		err := n.RestoreNextWD(kerneltest.Context(t), 1000, inotify.WithMaxSteps(997), inotify.WithProgress(func(p inotify.Progress) {
			seen = append(seen, p.WD)
		}))
		if !kerneltest.SupportsSetNext(n) {
			var cycle *inotify.CycleError
			if !errors.As(err, &cycle) || cycle.WD != 1000 || cycle.Steps != 998 || cycle.Limit != 997 {
				t.Errorf("error %v (%+v), want one of 998 steps where 997 are allowed", err, cycle)
			}
			err = n.RestoreNextWD(kerneltest.Context(t), 1000, inotify.WithProgress(func(p inotify.Progress) {
				seen = append(seen, p.WD)
			}))
			if err != nil || len(seen) == 0 || seen[0] != 1000 {
				t.Errorf("error %v, progress to %v", err, seen)
			}
		} else if err != nil {
			t.Error(err)
		}
		if got := add(t, n, files(t, 1)[0], inotify.Attrib); got != 1000 {
			t.Errorf("the next wd is %d, want 1000", got)
		}
		wantEvents(t, pending(t, n))
		n.Close()
		wantError(t, n.RestoreNextWD(kerneltest.Context(t), 9), os.ErrClosed)
	})
}

// If the wds directly below are in use, the last step of the cycle uses the free one below them.
func TestRestoreNextWDAboveUsedOnes(t *testing.T) {
	needIoctl(t)
	needLists(t)
	n := newInotify(t)
	paths := files(t, 4)
	for i, wd := range []inotify.WD{38, 39, 10} {
		restore(t, n, wd, paths[i], inotify.Attrib)
	}
	other := share(t, n)
	withoutIoctl(t)
	if err := other.RestoreNextWD(kerneltest.Context(t), 40); err != nil {
		t.Fatal(err)
	}
	if got := add(t, other, paths[3], inotify.Attrib); got != 40 {
		t.Errorf("the next wd is %d, want 40", got)
	}
	wantEvents(t, pending(t, other))
}

// After a failed restore, RestoreNextWD knows how far the wd counter has advanced.
func TestRestoreNextWDAfterAFailure(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		if !watchesInodes(t) {
			t.Skip("this needs a kernel with one watch per inode")
		}
		n := newInotify(t)
		paths := files(t, 2)
		ws := []inotify.Watch{{WD: 20, Path: paths[0], Mask: inotify.Attrib}, {WD: 60, Path: paths[0], Mask: inotify.Attrib}}
		wantError(t, n.RestoreWatches(kerneltest.Context(t), ws), unix.EEXIST)
		err := n.RestoreNextWD(kerneltest.Context(t), 21)
		if kerneltest.SupportsSetNext(n) {
			if err != nil || add(t, n, paths[1], inotify.Attrib) != 21 {
				t.Errorf("error %v, or 21 is not next", err)
			}
		} else if !errors.As(err, new(*inotify.CycleError)) {
			t.Errorf("error %v, want a CycleError as 21 was passed", err)
		}
		wantEvents(t, pending(t, n))
	})
}
