// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync"
	"time"
)

// An Event is one record of the instance's queue (struct inotify_event).
//
// Do not write it with encoding/json, which replaces the bytes of a name that are
// not UTF-8. The Event of package checkpoint has a JSON form that keeps them.
type Event struct {
	WD     WD     // the watch, or NoWD if Mask has QOverflow
	Mask   Mask   // what happened, with IsDir if it is about a directory
	Cookie uint32 // the same in the MovedFrom and MovedTo of one rename, else 0
	Name   string // of the directory entry, if the watch is on its directory
}

// recordHeader is the size of struct inotify_event without the name:
// wd, mask, cookie and len, in the processor's byte order.
const recordHeader = 16

type record struct {
	wd     WD
	mask   Mask
	cookie uint32
	name   []byte
}

// decode reads the record at the front of b and returns its size.
func decode(b []byte) (rec record, size int, err error) {
	if len(b) < recordHeader {
		return record{}, 0, fmt.Errorf("inotify: event record cut off: %d bytes where a header takes %d", len(b), recordHeader)
	}
	length := binary.NativeEndian.Uint32(b[12:])
	if uint64(length) > uint64(len(b)-recordHeader) {
		return record{}, 0, fmt.Errorf("inotify: event record cut off: its name takes %d bytes and %d are there", length, len(b)-recordHeader)
	}
	size = recordHeader + int(length)
	name := b[recordHeader:size]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return record{
		wd:     WD(binary.NativeEndian.Uint32(b)),
		mask:   Mask(binary.NativeEndian.Uint32(b[4:])),
		cookie: binary.NativeEndian.Uint32(b[8:]),
		name:   name,
	}, size, nil
}

// ReadEvent returns the next event, and waits until there is one. It returns
// [os.ErrDeadlineExceeded] if there is none and the deadline has passed (see
// [Inotify.SetReadDeadline]), and an error for [os.ErrClosed] after Close.
//
// An overflow and the end of a watch are events, not errors ([QOverflow],
// [Ignored]). Of several goroutines that read, each event goes to one.
//
// See [Inotify.Events] for a loop that a context ends, and
// [Inotify.TryReadEvent] for a caller that waits by other means.
func (n *Inotify) ReadEvent() (Event, error) {
	return n.readEvent(context.Background())
}

// TryReadEvent returns the next event if there is one, and does not wait. It is
// for a caller with an event loop of its own: when the descriptor becomes
// readable, call it until ok is false. After a restore too the descriptor is
// readable whenever there is an event to read that was not there before.
func (n *Inotify) TryReadEvent() (ev Event, ok bool, err error) {
	if n.closed.Load() {
		return Event{}, false, callError("read", os.ErrClosed)
	}
	n.queue.mu.Lock()
	defer n.queue.mu.Unlock()
	if ev, ok, err = n.queue.next(); ok || err != nil {
		return ev, ok, err
	}
	if n.unreadable != nil {
		return Event{}, false, callError("read", n.unreadable)
	}
	if cerr := n.control(func(fd int) { ev, ok, err = n.queue.fetch(fd) }); cerr != nil {
		err = callError("read", cerr)
	}
	return ev, ok, err
}

// Events returns the events as they come. The loop ends, with no error, when
// ctx ends and when the Inotify is closed, at once in both cases; with any
// other error it yields that error, for the last time. Breaking out of the loop
// loses no event.
func (n *Inotify) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		stop := context.AfterFunc(ctx, n.kick)
		defer stop()
		for ctx.Err() == nil {
			ev, err := n.readEvent(ctx)
			switch {
			case err == nil:
				if !yield(ev, nil) {
					return
				}
			case errors.Is(err, os.ErrClosed), ctx.Err() != nil:
				return
			default:
				yield(Event{}, err)
				return
			}
		}
	}
}

// readEvent is ReadEvent until ctx ends. Whoever passes a context that can end
// has it call n.kick then.
func (n *Inotify) readEvent(ctx context.Context) (ev Event, err error) {
	if n.closed.Load() {
		return Event{}, callError("read", os.ErrClosed)
	}
	n.queue.mu.Lock()
	ev, ok, err := n.queue.next()
	n.queue.mu.Unlock()
	if ok || err != nil {
		return ev, err
	}
	if n.unreadable != nil {
		return Event{}, callError("read", n.unreadable)
	}
	perr := n.poll(ctx, func(fd uintptr) bool {
		n.queue.mu.Lock()
		defer n.queue.mu.Unlock()
		ev, ok, err = n.queue.fetch(int(fd))
		return ok || err != nil
	})
	switch {
	case errors.Is(perr, os.ErrDeadlineExceeded):
		// The poller does not ask when the deadline has passed; what is there counts.
		if ev, ok, err = n.TryReadEvent(); !ok && err == nil {
			err = perr
		}
	case errors.Is(perr, os.ErrClosed):
		err = callError("read", perr)
	case perr != nil:
		err = perr
	}
	return ev, err
}

// SetReadDeadline sets the time after which ReadEvent, Events and the Read of
// SyscallConn no longer wait but return [os.ErrDeadlineExceeded], those that
// wait already included. Events that are there are still returned. The zero
// time means no deadline.
func (n *Inotify) SetReadDeadline(t time.Time) error {
	if n.closed.Load() {
		return callError("SetReadDeadline", os.ErrClosed)
	}
	if n.unreadable != nil {
		return callError("SetReadDeadline", n.unreadable)
	}
	p := &n.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if p.kicked {
		return nil // whom the kick wakes sets it
	}
	if err := n.file.SetReadDeadline(t); err != nil {
		return callError("SetReadDeadline", os.ErrClosed)
	}
	return nil
}

// A poller wakes one waiting reader and no other. The file's poller has only a
// deadline to wake with, which wakes all who wait there, so one reader is let
// in at a time (Inotify.reading). Once woken it puts the caller's deadline back.
type poller struct {
	mu       sync.Mutex
	deadline time.Time // the caller's
	inside   bool      // a reader is in the file's poller
	kicked   bool      // the file's deadline is in the past, to wake it
}

// kick makes the reader in the poller look at its context.
func (n *Inotify) kick() {
	p := &n.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inside && !p.kicked {
		p.kicked = true
		n.file.SetReadDeadline(time.Unix(1, 0)) // fails only after Close, which wakes too
	}
}

func (n *Inotify) enterPoller() {
	n.poller.mu.Lock()
	n.poller.inside = true
	n.poller.mu.Unlock()
}

// leavePoller reports whether a kick, and not the caller's deadline, ended the
// wait.
func (n *Inotify) leavePoller() (kicked bool) {
	p := &n.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inside = false
	kicked = p.kicked
	if kicked {
		p.kicked = false
		n.file.SetReadDeadline(p.deadline)
	}
	return kicked
}

// poll calls f whenever the descriptor may have become readable, until f
// returns true. It returns ctx's error, os.ErrDeadlineExceeded or os.ErrClosed.
func (n *Inotify) poll(ctx context.Context, f func(fd uintptr) bool) error {
	if err := acquire(ctx, n.reading); err != nil {
		return err
	}
	defer func() { <-n.reading }()
	for {
		n.enterPoller()
		if err := ctx.Err(); err != nil {
			n.leavePoller()
			return err
		}
		conn, err := n.file.SyscallConn()
		if err == nil {
			err = conn.Read(f)
		}
		kicked := n.leavePoller()
		switch {
		case err == nil:
			return nil
		case n.closed.Load():
			return os.ErrClosed // for the poller's own closing error
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case !kicked:
			return err
		}
	}
}
