// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"errors"
	"iter"
	"os"
	"sync"
	"time"

	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

// An Event is one record of the instance's queue (struct inotify_event).
//
// Do not marshal it with encoding/json, which replaces bytes of Name that are not UTF-8:
// the Event of package checkpoint has a JSON form that preserves them.
type Event struct {
	WD     WD     // the watch, or NoWD if Mask has QOverflow
	Mask   Mask   // what happened, with IsDir if it is about a directory
	Cookie uint32 // the same in the MovedFrom and MovedTo of one rename, else 0
	Name   string // of the directory entry, if the watch is on its directory
}

func newEvent(e record.Event) Event {
	return Event{WD: WD(e.WD), Mask: Mask(e.Mask), Cookie: e.Cookie, Name: e.Name}
}

// ReadEvent returns the next event, and waits until there is one. It returns
// [os.ErrDeadlineExceeded] if there is none and the deadline has passed (see
// [Inotify.SetReadDeadline]), and an error that matches [os.ErrClosed] after Close.
//
// An overflow and the end of a watch are events, not errors ([QOverflow], [Ignored]). If
// several goroutines read, each event goes to one of them, and none waits while there is an
// event.
//
// [Inotify.Events] is a loop that a context ends. [Inotify.TryReadEvent] is for callers
// that wait by other means.
func (n *Inotify) ReadEvent() (Event, error) {
	return n.readEvent(context.Background())
}

// ReadEvents is [Inotify.ReadEvent] for several events. It waits until there is one, and
// stores it and those that are buffered behind it into buf. It returns how many it stored:
// at least one, or 0 and an error. If buf is empty it returns 0 and no error at once.
func (n *Inotify) ReadEvents(buf []Event) (int, error) {
	if len(buf) == 0 {
		if n.in.Closed.Load() {
			return 0, sys.CallError("read", os.ErrClosed)
		}
		return 0, nil
	}
	ev, err := n.ReadEvent()
	if err != nil {
		return 0, err
	}
	buf[0] = ev
	q := &n.in.Queue
	q.Lock()
	defer q.Unlock()
	for count := 1; count < len(buf); count++ {
		ev, ok := q.More()
		if !ok {
			return count, nil
		}
		buf[count] = newEvent(ev)
	}
	return len(buf), nil
}

// TryReadEvent returns the next event if there is one, and does not wait. It is for a
// caller with an event loop of its own: when the descriptor becomes readable, call it until
// ok is false. The descriptor is also readable when a restore has buffered new events in the Inotify.
func (n *Inotify) TryReadEvent() (ev Event, ok bool, err error) {
	if n.in.Closed.Load() {
		return Event{}, false, sys.CallError("read", os.ErrClosed)
	}
	q := &n.in.Queue
	q.Lock()
	defer q.Unlock()
	if ev, ok, err := q.Next(); ok || err != nil {
		return newEvent(ev), ok, err
	}
	if n.in.Unreadable != nil {
		return Event{}, false, sys.CallError("read", n.in.Unreadable)
	}
	if n.in.Conn.Control(n.fillQueue) != nil {
		return Event{}, false, sys.CallError("read", os.ErrClosed)
	}
	if n.filled != nil {
		return Event{}, false, n.filled
	}
	next, ok, err := q.Next()
	return newEvent(next), ok, err
}

// Events returns an iterator over the events as they come, each with a nil error. Unless
// the caller breaks out of the loop, the last pair has an error: the cause of ctx's end
// ([context.Cause]), an error that matches [os.ErrClosed] after Close or
// [os.ErrDeadlineExceeded] after the deadline, or the error of a read that failed. The end
// of ctx and Close end a wait at once, and no event comes after them.
//
// Breaking out of the loop loses no event, and Events may be called again.
func (n *Inotify) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		stop := context.AfterFunc(ctx, n.wakeReader)
		defer stop()
		for {
			ev, err := n.readEvent(ctx)
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

// readEvent is ReadEvent until ctx ends; the error is then its cause. A caller whose
// context can end makes it call n.wakeReader then.
func (n *Inotify) readEvent(ctx context.Context) (ev Event, err error) {
	if n.in.Closed.Load() {
		return Event{}, sys.CallError("read", os.ErrClosed)
	}
	if ctx.Err() != nil {
		return Event{}, context.Cause(ctx)
	}
	n.in.Queue.Lock()
	next, ok, err := n.in.Queue.Next()
	n.in.Queue.Unlock()
	if ok || err != nil {
		return newEvent(next), err
	}
	if n.in.Unreadable != nil {
		return Event{}, sys.CallError("read", n.in.Unreadable)
	}
	return n.waitEvent(ctx)
}

// waitEvent is readEvent when nothing is buffered.
func (n *Inotify) waitEvent(ctx context.Context) (ev Event, err error) {
	look := func() bool {
		var ok bool
		ev, ok, err = n.TryReadEvent()
		return ok || err != nil
	}
	done, failed := n.takeTurn(ctx, look)
	if done {
		return ev, err
	}
	if failed == nil {
		failed = n.poll(ctx, n.readPolled)
		ev, err = n.polled.ev, n.polled.err
		n.polled.ev, n.polled.err = Event{}, nil
		n.endTurn()
	}
	switch {
	case failed == nil:
		return ev, err
	case ctx.Err() != nil:
		return Event{}, context.Cause(ctx)
	case errors.Is(failed, os.ErrDeadlineExceeded) && look():
		// The poller does not ask when the deadline has passed; what is there counts.
		return ev, err
	case errors.Is(failed, os.ErrClosed):
		return Event{}, sys.CallError("read", failed)
	}
	return Event{}, failed
}

// SetReadDeadline sets the time after which ReadEvent, ReadEvents, Events and the Read of
// SyscallConn do not wait, but return [os.ErrDeadlineExceeded]. It also applies to calls
// that are waiting already. Events that are there are still returned. The zero time means
// no deadline.
func (n *Inotify) SetReadDeadline(t time.Time) error {
	if n.in.Closed.Load() {
		return sys.CallError("SetReadDeadline", os.ErrClosed)
	}
	if n.in.Unreadable != nil {
		return sys.CallError("SetReadDeadline", n.in.Unreadable)
	}
	p := &n.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if p.woken {
		return nil // the reader that is woken sets it
	}
	if err := n.in.File.SetReadDeadline(t); err != nil {
		return sys.CallError("SetReadDeadline", os.ErrClosed)
	}
	return nil
}

// Buffered returns how many bytes of event records can be read without waiting: those
// buffered in the Inotify, and those in the kernel's queue (ioctl FIONREAD). A record takes
// 16 bytes and, if it has a name, the name with its final NUL, rounded up to a multiple of
// 16. After a restore that failed, the result can be too high until the events that are
// there have been read.
func (n *Inotify) Buffered() (bytes int, err error) {
	err = n.in.With(func(fd int, q *record.Queue) error {
		queued, err := sys.Queued(fd)
		if err == nil {
			bytes = q.Buffered() + max(0, queued-q.Internal())
		}
		return err
	})
	if err == os.ErrClosed {
		err = sys.CallError(sys.CallQueued, err)
	}
	return bytes, err
}

// How a reader waits, and what wakes it
//
// One reader at a time, which has the turn (Inotify.turn), sleeps in the file's poller.
// The others wait for the turn. The runtime wakes the one in the poller when the kernel's
// queue becomes readable, and no other. It does not know of records that another goroutine
// has read into the buffer (a TryReadEvent, a restore, NextWD), and if that emptied the
// kernel's queue first, the reader sleeps on. So all that wait are woken when the
// buffer gets records, in one place: record.Queue.Unlock, the only way to release the
// queue.
//
// No reader sleeps while there are records in the buffer:
//
//   - The buffer gets records only in package record, which advances the queue's
//     position, and with the queue locked. So Unlock sees each time that the position
//     has changed since the last Unlock.
//   - The reader in the poller looks at the buffer and then at the kernel's queue,
//     finds both empty and calls SetAsleep, all under one lock. A read before that
//     was seen; one after that finds the reader asleep, and Unlock wakes it. Waking
//     between the look and the sleep is not lost: it is a deadline in the
//     past, which the runtime checks when the sleep begins, and which stays
//     until the reader itself resets it (leavePoller). Then the reader looks
//     again. Only waking, or a record that the reader finds, clears SetAsleep.
//   - The function of a SyscallConn().Read may look at the buffer at any time while
//     it runs, so SetAsleep is called before it is.
//   - A reader that waits for the turn gets the channel of Queue.Changed first, and then
//     looks. A read before the look was seen; one after that closes the channel.
//     Getting the turn or seeing the channel closed, it looks again.
//   - A reader that leaves, with an event or an error or because its context ended,
//     need not wake the others: each of them looks for itself.
//
// Nor does a reader that waits for the turn miss what is in the kernel's queue. It
// looked there too. For what comes after that the runtime wakes the reader in the
// poller, which reads it and gives up the turn; or, in the function of a Read, leaves
// it, and then the others are woken. They are not while that function runs.

// takeTurn waits until the caller is the reader that may enter the poller, and calls
// look whenever there may be records meanwhile. It returns true if look did, and ctx's
// error when ctx ends; otherwise the caller calls endTurn.
func (n *Inotify) takeTurn(ctx context.Context, look func() bool) (done bool, err error) {
	select {
	case n.turn <- struct{}{}:
		return false, nil
	default:
	}
	for {
		n.in.Queue.Lock()
		changed := n.in.Queue.Changed()
		n.in.Queue.Unlock()
		if look() {
			return true, nil
		}
		select {
		case n.turn <- struct{}{}:
			return false, nil
		case <-changed:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

func (n *Inotify) endTurn() { <-n.turn }

// pollRead is what ReadEvent does in the poller, as n.readPolled.
func (n *Inotify) pollRead(fd uintptr) (done bool) {
	q := &n.in.Queue
	q.Lock()
	defer q.Unlock()
	ev, ok, err := q.Fetch(int(fd))
	done = ok || err != nil
	q.SetAsleep(!done)
	if done {
		n.polled.ev, n.polled.err = newEvent(ev), err
	}
	return done
}

// A poller wakes one waiting reader and no other. The only way to wake a reader in the file's
// poller is a deadline, which wakes all readers there. So one reader enters at a time
// (Inotify.turn). When it is woken it restores the caller's deadline.
type poller struct {
	mu       sync.Mutex
	deadline time.Time // the caller's
	inside   bool      // a reader is in the file's poller
	woken    bool      // the file's deadline is in the past, to wake it
}

// wakeReader makes the reader in the poller look at its context and at the queue.
func (n *Inotify) wakeReader() {
	p := &n.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inside && !p.woken {
		p.woken = true
		n.in.File.SetReadDeadline(time.Unix(1, 0)) // fails only after Close, which wakes too
	}
}

func (n *Inotify) enterPoller() {
	n.poller.mu.Lock()
	n.poller.inside = true
	n.poller.mu.Unlock()
}

// leavePoller reports whether wakeReader, and not the caller's deadline, ended the
// wait.
func (n *Inotify) leavePoller() (woken bool) {
	p := &n.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inside = false
	woken = p.woken
	if woken {
		p.woken = false
		n.in.File.SetReadDeadline(p.deadline)
	}
	return woken
}

// poll calls f whenever the descriptor may have become readable, and after wakeReader,
// until f returns true. It returns ctx's error, os.ErrDeadlineExceeded or
// os.ErrClosed. The caller has the turn.
func (n *Inotify) poll(ctx context.Context, f func(fd uintptr) bool) error {
	for {
		n.enterPoller()
		if err := ctx.Err(); err != nil {
			n.leavePoller()
			return err
		}
		err := n.in.Conn.Read(f)
		woken := n.leavePoller()
		switch {
		case err == nil:
			return nil
		case n.in.Closed.Load():
			return os.ErrClosed // for the poller's own closing error
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case !woken:
			return err
		}
	}
}
