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
	os.Exit(kerneltest.Main(m))
}

func fill(t *testing.T, n *inotify.Inotify, events []inotify.Event, opts requeue.Options) requeue.Result {
	t.Helper()
	r, err := requeue.Fill(context.Background(), n, events, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refill fills a new instance and returns what is read there.
func refill(t *testing.T, events []inotify.Event, opts requeue.Options) ([]inotify.Event, requeue.Result) {
	t.Helper()
	n := kerneltest.NewInotify(t)
	defer n.Close()
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

// same compares events, in which cookies count by which are equal.
func same(t *testing.T, got, want []inotify.Event) {
	t.Helper()
	g, w := renumbered(got), renumbered(want)
	if slices.Equal(g, w) {
		return
	}
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Errorf("%d events, want %d; from the %dth on:\n got %v\nwant %v", len(g), len(w), i, some(g, i), some(w, i))
			return
		}
	}
}

func some(events []inotify.Event, from int) []inotify.Event {
	return events[min(from, len(events)):min(from+8, len(events))]
}

// renumbered has cookies that count from 1.
func renumbered(events []inotify.Event) []inotify.Event {
	cookies := map[uint32]uint32{0: 0}
	events = slices.Clone(events)
	for i := range events {
		c, ok := cookies[events[i].Cookie]
		if !ok {
			c = uint32(len(cookies))
			cookies[events[i].Cookie] = c
		}
		events[i].Cookie = c
	}
	return events
}

// parse reads events: "3 MOVED_FROM|ISDIR 7 name" is wd, mask, cookie and name, of which
// the last two may be missing; OVERFLOW is one.
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

var overflow = inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow}

func maskOf(t *testing.T, text string) (mask inotify.Mask) {
	t.Helper()
	for _, word := range strings.Split(text, "|") {
		bit, ok := masks["IN_"+word]
		if !ok {
			t.Fatalf("there is no IN_%s", word)
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
