// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed10546c08/inotify"
)

// All that can be checked of a queue without reading it is its size, which says nothing about
// masks. So it is tried first, on another instance, whether this kernel makes the records
// that are expected: a rehearsal.

// A rehearsalError says that this kernel makes another record than expected.
type rehearsalError struct {
	at        int
	got, want string
}

func (e *rehearsalError) Error() string {
	return fmt.Sprintf("record %d on this kernel is %s, want %s", e.at, e.got, e.want)
}

// rehearsed is the result of the rehearsal that is done once per process: nil as long as
// there is none, and a pointer to a nil error if the records were as expected.
var rehearsed atomic.Pointer[error]

// rehearse does the rehearsal that opts ask for.
func rehearse(ctx context.Context, events []inotify.Event, opts Options) error {
	opts.Progress = nil
	if opts.Rehearse {
		return rehearseEvents(ctx, events, opts)
	}
	if known := rehearsed.Load(); known != nil {
		return *known
	}
	opts.Overflow = false
	err := rehearseEvents(ctx, everyKind(), opts)
	if wrong := (*rehearsalError)(nil); err != nil && !errors.As(err, &wrong) {
		return ctx.Err() // no result: Fill goes on, and may fail for the same reason, for example a limit
	}
	rehearsed.Store(&err)
	return err
}

// rehearseEvents fills the queue of a new instance, and reads and compares it.
func rehearseEvents(ctx context.Context, events []inotify.Event, opts Options) error {
	n, err := inotify.New()
	if err != nil {
		return err
	}
	defer n.Close()
	p, err := fill(ctx, instance{n}, events, opts)
	if err != nil {
		return err
	}
	return compare(n, p.events())
}

// compare reads n's queue and compares it with want. Cookies may have other values, but must
// be equal where those of want are.
func compare(n *inotify.Inotify, want []inotify.Event) error {
	cookies := map[uint32]uint32{0: 0}
	for i := range len(want) + 1 {
		got, ok, err := n.TryReadEvent()
		if err != nil {
			return err
		}
		if !ok && i == len(want) {
			return nil
		}
		if !ok || i == len(want) || !alike(got, want[i], cookies) {
			return &rehearsalError{i, describeAny(got, ok), describeAny(at(want, i))}
		}
	}
	return nil
}

// alike reports whether two events are equal. cookies maps the wanted cookies so far to those
// that came.
func alike(got, want inotify.Event, cookies map[uint32]uint32) bool {
	cookie, ok := cookies[want.Cookie]
	if !ok {
		cookies[want.Cookie], cookie = got.Cookie, got.Cookie
	}
	want.Cookie = cookie
	return got == want
}

func at(events []inotify.Event, i int) (inotify.Event, bool) {
	if i < len(events) {
		return events[i], true
	}
	return inotify.Event{}, false
}

func describeAny(e inotify.Event, ok bool) string {
	if !ok {
		return "none"
	}
	return describe(e)
}

// everyKind is an event of each kind that takes no privilege, with an overflow.
func everyKind() []inotify.Event {
	const f, d, fileName, dirName = 7, 3, "f", "d"
	var events []inotify.Event
	add := func(wd inotify.WD, name string, masks ...inotify.Mask) {
		for _, mask := range masks {
			events = append(events, inotify.Event{WD: wd, Mask: mask, Name: name})
		}
	}
	touched := []inotify.Mask{
		inotify.Access, inotify.Modify, inotify.Attrib, inotify.Modify | inotify.Attrib,
		inotify.Open, inotify.CloseWrite, inotify.CloseNoWrite,
	}
	dirTouched := []inotify.Mask{
		inotify.Access | inotify.IsDir, inotify.Modify | inotify.IsDir, inotify.Attrib | inotify.IsDir,
		inotify.Open | inotify.IsDir, inotify.CloseNoWrite | inotify.IsDir,
	}
	rename := func(from, to inotify.WD, cookie uint32, isDir inotify.Mask) {
		events = append(events,
			inotify.Event{WD: from, Mask: inotify.MovedFrom | isDir, Cookie: cookie, Name: "from"},
			inotify.Event{WD: to, Mask: inotify.MovedTo | isDir, Cookie: cookie, Name: "to"})
	}
	add(f, "", touched...)
	add(d, fileName, touched...)
	add(d, dirName, dirTouched...)
	add(d, "", dirTouched...)
	add(f, "", inotify.DeleteSelf, inotify.Ignored)
	events = append(events, OverflowEvent)
	add(d, fileName, inotify.Create, inotify.Delete)
	add(d, dirName, inotify.Create|inotify.IsDir, inotify.Delete|inotify.IsDir)
	rename(d, d, 1, 0)
	rename(d, d+1, 2, inotify.IsDir)
	rename(d+1, d, 3, 0)
	add(d, "", inotify.MoveSelf, inotify.DeleteSelf)
	add(f, "", inotify.Open, inotify.Ignored)
	add(d, "", inotify.Ignored)
	return events
}
