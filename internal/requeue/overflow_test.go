// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package requeue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/requeue"
)

// many returns count different events, with and without names.
func many(count int) []inotify.Event {
	events := make([]inotify.Event, count)
	for i := range events {
		events[i] = inotify.Event{WD: inotify.WD(3 + i%5), Mask: inotify.Create, Name: fmt.Sprint("f", i)}
		if i%3 == 1 {
			events[i] = inotify.Event{WD: inotify.WD(100 + i%2), Mask: inotify.Attrib}
		}
	}
	return events
}

// plain returns count events that are made quickly.
func plain(count int) []inotify.Event {
	events := make([]inotify.Event, count)
	for i := range events {
		events[i] = inotify.Event{WD: inotify.WD(3 + i%2), Mask: inotify.Attrib}
	}
	return events
}

// Queues of all lengths up to the kernel's limit, with an overflow anywhere, are filled.
func TestQueueLengths(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	limit := maxQueued(t)
	lengths := []struct {
		events, overflow int // overflow is its index, or -1
		changes          []string
	}{
		{0, 0, nil},
		{1, 0, nil}, {1, 1, nil},
		{300, 150, nil}, {300, 299, nil},
		{limit - 1, -1, nil},
		{limit, -1, []string{"-1 OverflowAdded"}},
		{limit, limit, nil},
	}
	if kerneltest.LongTests() {
		for _, at := range []int{0, 1, limit / 2, limit - 2, limit - 1} {
			lengths = append(lengths, struct {
				events, overflow int
				changes          []string
			}{limit - 1, at, nil})
		}
	}
	all := plain(limit)
	for _, l := range lengths {
		events := slices.Clone(all[:l.events])
		if l.overflow >= 0 {
			events = slices.Insert(events, l.overflow, overflow)
		}
		got, r := refill(t, n, events, requeue.Options{})
		wantSame(t, got, applied(events, r))
		if wantChanges(t, r, l.changes...); t.Failed() {
			t.Fatalf("%d events, the overflow at index %d", l.events, l.overflow)
		}
	}
}

// Events of a longer queue are cut off with an overflow, as the kernel does.
func TestQueueTooShort(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	limit := maxQueued(t)
	events := plain(limit + 2)
	got, r := refill(t, n, events, requeue.Options{})
	wantChanges(t, r, fmt.Sprint(limit, " QueueFull"), fmt.Sprint(limit+1, " QueueFull"), "-1 OverflowAdded")
	wantSame(t, got, append(events[:limit:limit], overflow))

	if !kerneltest.LongTests() {
		return
	}
	events = slices.Insert(plain(limit), 0, overflow)
	got, r = refill(t, n, events, requeue.Options{})
	wantChanges(t, r, fmt.Sprint(limit, " QueueFull"))
	wantSame(t, got, events[:limit])
}

func TestOverflowOption(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	for _, tt := range []struct{ events, want []string }{
		{nil, []string{"OVERFLOW"}},
		{[]string{"3 ATTRIB"}, []string{"3 ATTRIB", "OVERFLOW"}},
		{[]string{"OVERFLOW", "3 ATTRIB"}, []string{"OVERFLOW", "3 ATTRIB"}},
	} {
		got, r := refill(t, n, parse(t, tt.events...), requeue.Options{Overflow: true})
		wantSame(t, got, parse(t, tt.want...))
		wantChanges(t, r)
	}
}

// Each change of the events is made as documented and reported.
func TestChanges(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	long := strings.Repeat("x", 256)
	for _, tt := range []struct {
		events, want, changes []string
	}{
		// Renames whose halves are not adjacent.
		{[]string{"3 MOVED_FROM 5 a", "4 CREATE 0 x", "4 MOVED_TO 5 b"}, []string{"3 MOVED_FROM 5 a", "4 MOVED_TO 5 b", "4 CREATE 0 x"}, []string{"2 Advanced"}},
		{[]string{"3 MOVED_FROM 5 a", "3 MOVED_FROM 6 c", "4 MOVED_TO 5 b", "4 MOVED_TO 6 d"}, []string{"3 MOVED_FROM 5 a", "4 MOVED_TO 5 b", "3 MOVED_FROM 6 c", "4 MOVED_TO 6 d"}, []string{"2 Advanced", "3 Advanced"}},
		{[]string{"3 MOVED_FROM 5 a", "OVERFLOW", "4 MOVED_TO 5 b"}, []string{"3 MOVED_FROM 5 a", "OVERFLOW", "4 MOVED_TO 6 b"}, []string{"2 Unpaired"}},
		// Pairs that are not renames.
		{[]string{"3 MOVED_FROM 5 a", "3 MOVED_TO 5 a"}, []string{"3 MOVED_FROM 5 a", "3 MOVED_TO 6 a"}, []string{"1 Unpaired"}},
		{[]string{"4 MOVED_TO 5 b", "3 MOVED_FROM 5 a"}, []string{"4 MOVED_TO 5 b", "3 MOVED_FROM 6 a"}, nil},
		{[]string{"3 MOVED_FROM|ISDIR 5 a", "3 MOVED_TO 5 b"}, []string{"3 MOVED_FROM|ISDIR 5 a", "3 MOVED_TO 6 b"}, nil},
		// Destroyed watches before an overflow.
		{[]string{"7 DELETE_SELF", "3 CREATE 0 x", "7 IGNORED", "3 CREATE 0 y", "OVERFLOW", "3 CREATE 0 z"}, []string{"7 DELETE_SELF", "7 IGNORED", "3 CREATE 0 x", "3 CREATE 0 y", "OVERFLOW", "3 CREATE 0 z"}, []string{"2 Advanced"}},
		{[]string{"7 DELETE_SELF", "3 CREATE 0 x", "OVERFLOW", "3 CREATE 0 z", "7 IGNORED"}, []string{"7 DELETE_SELF", "7 IGNORED", "3 CREATE 0 x", "OVERFLOW", "3 CREATE 0 z"}, []string{"4 Advanced"}},
		{[]string{"3 CREATE 0 x", "7 DELETE_SELF", "OVERFLOW", "3 CREATE 0 z", "7 IGNORED"}, []string{"3 CREATE 0 x", "7 DELETE_SELF", "OVERFLOW", "3 CREATE 0 z", "7 IGNORED"}, nil},
		{[]string{"3 CREATE 0 x", "7 DELETE_SELF", "OVERFLOW"}, []string{"3 CREATE 0 x", "7 DELETE_SELF", "OVERFLOW"}, nil},
		{[]string{"7 DELETE_SELF", "3 CREATE 0 x", "OVERFLOW"}, []string{"OVERFLOW", "7 DELETE_SELF", "3 CREATE 0 x"}, []string{"2 OverflowFirst"}},
		{[]string{"7 ATTRIB", "7 CREATE 0 x", "OVERFLOW"}, []string{"OVERFLOW", "7 ATTRIB", "7 CREATE 0 x"}, []string{"2 OverflowFirst"}},
		// The highest wds, which junk records usually have.
		{[]string{"2147483647 OPEN", "2147483646 OPEN", "OVERFLOW"}, []string{"2147483647 OPEN", "2147483646 OPEN", "OVERFLOW"}, nil},
		// Lists that a queue cannot have.
		{[]string{"3 ATTRIB", "OVERFLOW", "3 OPEN", "OVERFLOW", "3 ACCESS"}, []string{"3 ATTRIB", "OVERFLOW", "3 OPEN", "3 ACCESS"}, []string{"3 OverflowTwice"}},
		{[]string{"3 ATTRIB", "3 ATTRIB", "3 ATTRIB 0 x", "3 ATTRIB"}, []string{"3 ATTRIB", "3 ATTRIB 0 x", "3 ATTRIB"}, []string{"1 Merged"}},
		{[]string{"3 MOVED_FROM 1 a", "3 MOVED_FROM 2 a", "4 MOVED_TO 2 b"}, []string{"3 MOVED_FROM 2 a", "4 MOVED_TO 2 b"}, []string{"0 Merged"}},
		{[]string{"3 ATTRIB", "OVERFLOW", "3 ATTRIB"}, []string{"3 ATTRIB", "OVERFLOW", "3 ATTRIB"}, nil},
		// Events that no operation makes.
		{[]string{"3 ACCESS|MODIFY", "3 ACCESS|MODIFY|ATTRIB 0 x", "3 MODIFY|ATTRIB|ISDIR"}, []string{"3 ACCESS", "3 MODIFY", "3 ACCESS 0 x", "3 MODIFY 0 x", "3 ATTRIB 0 x", "3 MODIFY|ISDIR", "3 ATTRIB|ISDIR"}, []string{"0 Split", "1 Split", "2 Split"}},
		{[]string{
			"3 ATTRIB 0 " + long, "3 ATTRIB 0 a/b", "3 ATTRIB 0 .", "3 ATTRIB 0 ..", "0 ATTRIB", "-5 ATTRIB",
			"3 CREATE", "3 DELETE", "3 MOVED_FROM 7", "3 MOVED_TO 7",
			"3 DELETE_SELF 0 x", "3 MOVE_SELF 0 x", "3 IGNORED 0 x", "3 UNMOUNT 0 x",
			"3 DELETE_SELF|ISDIR", "3 MOVE_SELF|ISDIR", "3 IGNORED|ISDIR", "3 CLOSE_WRITE|ISDIR 0 x",
			"3 ISDIR", "3 ONESHOT", "3 OPEN|CLOSE_NOWRITE", "3 OPEN|ACCESS", "3 IGNORED|UNMOUNT", "3 ATTRIB|EXCL_UNLINK", "4 ATTRIB",
		}, []string{"4 ATTRIB", "OVERFLOW"}, append(strings.Split(strings.Repeat("Impossible,", 24), ",")[:24], "-1 OverflowAdded")},
		{[]string{"OVERFLOW", "3 CREATE", "3 ATTRIB"}, []string{"OVERFLOW", "3 ATTRIB"}, []string{"1 Impossible"}},
	} {
		for i, c := range tt.changes {
			if c == "Impossible" {
				tt.changes[i] = fmt.Sprint(i, " ", c)
			}
		}
		events := parse(t, tt.events...)
		got, r := refill(t, n, events, requeue.Options{})
		wantSame(t, got, parse(t, tt.want...))
		wantChanges(t, r, tt.changes...)
		for _, c := range r.Changes {
			if c.Index >= 0 && c.Event != events[c.Index] {
				t.Errorf("%v: the event is %v", c, events[c.Index])
			}
		}
		if t.Failed() {
			t.Fatalf("events %q", tt.events)
		}
	}
}

// A name with a NUL byte is impossible. (The lines of TestChanges cannot have one.)
func TestNameWithNUL(t *testing.T) {
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	_, r := refill(t, n, []inotify.Event{{WD: 3, Mask: inotify.Attrib, Name: "a\x00b"}}, requeue.Options{})
	wantChanges(t, r, "0 Impossible", "-1 OverflowAdded")
}

// The length of a queue is that of max_queued_events when the instance was made, not now.
func TestInstanceWithOtherLimit(t *testing.T) {
	kerneltest.NeedIoctl(t)
	kerneltest.SetKernel(t, "max_queued_events", 100)
	short := kerneltest.NewInotify(t)
	shorter := kerneltest.NewInotify(t)
	kerneltest.SetKernel(t, "max_queued_events", 1000)
	long := kerneltest.NewInotify(t)
	kerneltest.SetKernel(t, "max_queued_events", 300)
	events := slices.Insert(many(60), 40, overflow)
	for _, n := range []*inotify.Inotify{short, long} {
		r := fill(t, n, events, requeue.Options{})
		wantChanges(t, r)
		wantSame(t, kerneltest.Pending(t, n), events)
	}
	_, err := requeue.Fill(context.Background(), long, events, requeue.Options{MaxQueue: 500})
	if err == nil || !strings.Contains(err.Error(), "longer than 500 records") {
		t.Errorf("error %v of a queue of 1000", err)
	}
	wantEmpty(t, long)
	all := many(150)
	r := fill(t, shorter, all, requeue.Options{})
	wantSame(t, kerneltest.Pending(t, shorter), append(all[:100:100], overflow))
	if len(r.Changes) != 51 {
		t.Errorf("%d changes", len(r.Changes))
	}
}

// The shortest queues and a very long one are filled; Progress is called for the latter.
func TestQueueLimits(t *testing.T) {
	kerneltest.NeedIoctl(t)
	for _, limit := range []int{1, 2, 3, 4, 5} {
		kerneltest.SetKernel(t, "max_queued_events", limit)
		events := parse(t, "3 ATTRIB", "3 CREATE 0 x", "3 OPEN 0 y", "3 OPEN 0 z", "4 OPEN", "4 DELETE_SELF")
		for k := range events {
			got, r := refill(t, kerneltest.NewInotify(t), events[:k], requeue.Options{})
			wantSame(t, got, applied(events[:k], r))
			got, r = refill(t, kerneltest.NewInotify(t), slices.Insert(slices.Clone(events[:k]), k/2, overflow), requeue.Options{})
			wantSame(t, got, applied(slices.Insert(slices.Clone(events[:k]), k/2, overflow), r))
		}
	}
	kerneltest.SetKernel(t, "max_queued_events", 1<<18)
	calls, last := 0, 0
	progress := func(done, total int) {
		if calls++; done < last || done > total {
			t.Errorf("%d of %d records after %d", done, total, last)
		}
		last = done
	}
	events := many(20000)
	got, r := refill(t, kerneltest.NewInotify(t), events, requeue.Options{Progress: progress})
	wantSame(t, got, events)
	wantChanges(t, r)
	if calls < 2 {
		t.Errorf("%d calls of Progress", calls)
	}
}

// Fill needs two watches. With few watches it uses shorter segments.
func TestFewWatches(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	if !kerneltest.Again(t, kerneltest.OwnUsers(t)) {
		return
	}
	// The events need three wds, or two at once.
	n := kerneltest.NewInotify(t)
	events := parse(t, every...)
	for i := range 40 {
		events = append(events, inotify.Event{WD: inotify.WD(i%9 + 1), Mask: inotify.Attrib | inotify.IsDir})
	}
	before := slices.Insert(parse(t, "1 ATTRIB", "2 ATTRIB", "3 ATTRIB", "4 ATTRIB"), 3, overflow)
	for _, limit := range []int{5, 3, 2} {
		kerneltest.OwnLimit(t, "max_inotify_watches", limit)
		got, r := refill(t, n, events, requeue.Options{})
		wantSame(t, got, events)
		wantChanges(t, r)
		got, r = refill(t, n, before, requeue.Options{})
		wantSame(t, got, applied(before, r))
		if limit < 5 {
			wantChanges(t, r, "3 OverflowFirst")
		}
	}
	kerneltest.OwnLimit(t, "max_inotify_watches", 1)
	_, err := requeue.Fill(context.Background(), n, events, requeue.Options{})
	kerneltest.WantError(t, err, unix.ENOSPC)
	wantEmpty(t, n)
}

// The context can end Fill at any time. Then no events and no watches are left.
func TestContext(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	events := many(maxQueued(t) / 32)
	refill(t, n, events[:1], requeue.Options{}) // makes the rehearsal
	start := time.Now()
	refill(t, n, events, requeue.Options{})
	all := time.Since(start)
	stopped := 0
	for i := range 4 {
		ctx, cancel := context.WithTimeout(context.Background(), all*time.Duration(i)/4)
		_, err := requeue.Fill(ctx, n, events, requeue.Options{})
		if cancel(); err == nil {
			wantSame(t, kerneltest.Pending(t, n), events)
			continue
		}
		if stopped++; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		wantEmpty(t, n)
	}
	if stopped == 0 {
		t.Error("no Fill was ended by its context")
	}
}
