// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"slices"
	"syscall"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

// Overflow is the event that says that events were lost.
var Overflow = inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow}

// Decode decodes records, as read(2) returns them.
func Decode(b []byte) (events []inotify.Event) {
	for len(b) > 0 {
		r, size, err := record.Decode(b)
		if err != nil {
			panic(err)
		}
		events = append(events, inotify.Event{WD: inotify.WD(r.WD), Mask: inotify.Mask(r.Mask), Cookie: r.Cookie, Name: string(r.Name)})
		b = b[size:]
	}
	return events
}

// ReadAll reads the events in an instance's queue through a descriptor of it, with read(2).
func ReadAll(t testing.TB, c syscall.Conn) (events []inotify.Event) {
	t.Helper()
	buf := make([]byte, 1<<16)
	if err := sys.Control(c, func(fd int) error {
		for {
			queued, err := sys.Queued(fd) // a released instance may be in blocking mode
			if err != nil || queued == 0 {
				return err
			}
			n, e := sys.Read(fd, buf)
			if e != sys.OK {
				return e
			}
			events = append(events, Decode(buf[:n])...)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return events
}

// FD returns the descriptor of a file or an instance.
func FD(t testing.TB, c syscall.Conn) (fd int) {
	t.Helper()
	if err := sys.Control(c, func(n int) error { fd = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return fd
}

// WantSame compares events. Cookies may differ if the same ones are equal.
func WantSame(t testing.TB, got []inotify.Event, want ...inotify.Event) {
	t.Helper()
	g, w := numberCookies(got), numberCookies(want)
	at := 0
	for at < min(len(g), len(w)) && g[at] == w[at] {
		at++
	}
	if at < max(len(g), len(w)) {
		few := func(e []inotify.Event) []inotify.Event { return e[at:min(at+8, len(e))] }
		t.Errorf("%d events, want %d; from index %d:\n got %v\nwant %v", len(g), len(w), at, few(g), few(w))
	}
}

// numberCookies replaces the cookies by 1, 2 and so on, in the order of the events.
func numberCookies(events []inotify.Event) []inotify.Event {
	numbers := map[uint32]uint32{0: 0}
	events = slices.Clone(events)
	for i := range events {
		c := &events[i].Cookie
		if _, known := numbers[*c]; !known {
			numbers[*c] = uint32(len(numbers))
		}
		*c = numbers[*c]
	}
	return events
}
