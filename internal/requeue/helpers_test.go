// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package requeue_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/requeue"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(childVariable); how != "" {
		os.Exit(runChild(how))
	}
	os.Exit(kerneltest.Main(m, false))
}

func fill(t *testing.T, n *inotify.Inotify, events []inotify.Event, opts requeue.Options) requeue.Result {
	t.Helper()
	r, err := requeue.Fill(context.Background(), n, events, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refill fills an instance and returns the events that are read from it.
func refill(t *testing.T, n *inotify.Inotify, events []inotify.Event, opts requeue.Options) ([]inotify.Event, requeue.Result) {
	t.Helper()
	r := fill(t, n, events, opts)
	wantWatches(t, n)
	got := kerneltest.Pending(t, n)
	if len(got) != r.Queued {
		t.Errorf("%d records are queued, and Result.Queued is %d", len(got), r.Queued)
	}
	return got, r
}

func wantWatches(t *testing.T, n *inotify.Inotify) {
	t.Helper()
	ws, err := n.Watches()
	if err != nil || len(ws) > 0 {
		t.Errorf("the instance has watches %v, %v", ws, err)
	}
}

func wantSame(t *testing.T, got, want []inotify.Event) {
	t.Helper()
	kerneltest.WantSame(t, got, want...)
}

// parse parses events: "3 MOVED_FROM|ISDIR 7 name" is wd, mask, cookie and name, of which
// the last two may be missing; "OVERFLOW" is an overflow.
func parse(t *testing.T, lines ...string) (events []inotify.Event) {
	t.Helper()
	for _, line := range lines {
		if line == "OVERFLOW" {
			events = append(events, overflow)
			continue
		}
		var wd inotify.WD
		var mask, name string
		var cookie uint32
		if n, err := fmt.Sscan(line, &wd, &mask, &cookie, &name); n < 2 {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, inotify.Event{WD: wd, Mask: maskOf(t, mask), Cookie: cookie, Name: name})
	}
	return events
}

var overflow = kerneltest.Overflow

func maskOf(t *testing.T, text string) (mask inotify.Mask) {
	t.Helper()
	for _, word := range strings.Split(text, "|") {
		bit, ok := masks["IN_"+word]
		if !ok {
			t.Fatalf("unknown bit IN_%s", word)
		}
		mask |= bit
	}
	return mask
}

var masks = func() map[string]inotify.Mask {
	m := map[string]inotify.Mask{}
	for bit := inotify.Mask(1); bit != 0; bit <<= 1 {
		m[bit.String()] = bit
	}
	return m
}()

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// wantEmpty checks that an instance has neither watches nor events.
func wantEmpty(t *testing.T, n *inotify.Inotify) {
	t.Helper()
	wantWatches(t, n)
	if evs := kerneltest.Pending(t, n); len(evs) > 0 {
		t.Errorf("%d events, the first %v", len(evs), evs[0])
	}
}

// reasons are the names of the constants.
var reasons = map[requeue.Reason]string{
	requeue.Impossible: "Impossible", requeue.NoPrivilege: "NoPrivilege", requeue.QueueFull: "QueueFull",
	requeue.OverflowAdded: "OverflowAdded", requeue.OverflowFirst: "OverflowFirst", requeue.OverflowTwice: "OverflowTwice",
	requeue.Advanced: "Advanced", requeue.Unpaired: "Unpaired", requeue.Split: "Split", requeue.Merged: "Merged",
}

// wantChanges compares changes with lines like "7 Advanced".
func wantChanges(t *testing.T, r requeue.Result, want ...string) {
	t.Helper()
	var got []string
	for _, c := range r.Changes {
		got = append(got, fmt.Sprint(c.Index, " ", reasons[c.Reason]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q: %v", got, want, r.Changes)
	}
}

// applied returns the events with the changes applied, except Split.
func applied(events []inotify.Event, r requeue.Result) (out []inotify.Event) {
	at := map[int]requeue.Reason{}
	var first, last []inotify.Event
	for _, c := range r.Changes {
		switch c.Reason {
		case requeue.OverflowFirst:
			first, last = []inotify.Event{overflow}, nil
		case requeue.OverflowAdded:
			last = []inotify.Event{overflow}
		}
		at[c.Index] = c.Reason
	}
	for i, e := range events {
		switch reason, ok := at[i]; {
		case !ok:
			out = append(out, e)
		case reason == requeue.Unpaired:
			e.Cookie = ^e.Cookie
			out = append(out, e)
		case reason == requeue.Advanced:
			out = slices.Insert(out, partner(out, e)+1, e)
		}
	}
	return slices.Concat(first, out, last)
}

// partner returns the index of the event that an advanced one belongs to.
func partner(events []inotify.Event, e inotify.Event) int {
	for i, p := range slices.Backward(events) {
		if e.Mask.Has(inotify.MovedTo) && p.Mask.Has(inotify.MovedFrom) && p.Cookie == e.Cookie ||
			e.Mask.Has(inotify.Ignored) && p.WD == e.WD && p.Mask&(inotify.DeleteSelf|inotify.Unmount) != 0 {
			return i
		}
	}
	return len(events) - 1
}
