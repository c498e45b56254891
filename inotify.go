// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/seed10546c08/inotify/internal/instance"
	"github.com/seed10546c08/inotify/internal/sys"
)

// An Inotify is an inotify instance. Its methods may be called from any number
// of goroutines at once. After [Inotify.Close] every method returns an error
// for which errors.Is(err, [os.ErrClosed]) is true.
type Inotify struct {
	in     instance.Instance
	turn   chan struct{} // locked by the one reader that is in the poller
	poller poller

	// The functions that in.Conn calls to read. They are made once, because a function
	// that is made where it is passed to in.Conn would be allocated each time.
	fillQueue  func(fd uintptr)
	filled     error // what fillQueue returned; guarded by the queue's lock
	readPolled func(fd uintptr) bool
	polled     struct { // what readPolled returned; guarded by turn
		ev  Event
		err error
	}
}

var (
	_ io.Closer    = (*Inotify)(nil)
	_ syscall.Conn = (*Inotify)(nil)
)

// New creates an inotify instance: inotify_init1(IN_CLOEXEC | IN_NONBLOCK). The
// error is a [*LimitError] if a limit was reached (EMFILE). On systems other
// than Linux it is [errors.ErrUnsupported].
func New() (*Inotify, error) {
	fd, err := sys.Init()
	if err != nil {
		return nil, initError(err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		f.Close()
		return nil, fmt.Errorf("inotify: the runtime cannot wait for the descriptor (see fs.epoll.max_user_watches): %w", err)
	}
	return newInotify(f)
}

// FromFile adopts an inotify descriptor, for example one that was inherited or received
// over a socket. If it succeeds, f belongs to the Inotify, which closes it, and the caller
// must not use f any more. If f is not an inotify descriptor, FromFile fails and f stays
// the caller's.
//
// FromFile changes nothing about f. If its open file description is in blocking mode, or
// was when [os.NewFile] made f, the Inotify cannot read: ReadEvent, ReadEvents, TryReadEvent,
// Events, SetReadDeadline, NextWD and the add/remove cycle return an error for which
// errors.Is(err, [os.ErrNoDeadline]) is true, and all other methods work. To avoid that,
// call [syscall.SetNonblock] before os.NewFile, if the other holders of the description
// allow it.
func FromFile(f *os.File) (*Inotify, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var nonblock bool
	if cerr := conn.Control(func(fd uintptr) { nonblock, err = checkInotify(int(fd)) }); cerr != nil {
		err = os.ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("inotify: adopt %q: %w", f.Name(), err)
	}
	return adopt(f, nonblock, errNotPolled)
}

// FromFD is [FromFile] for a descriptor without an os.File. If it succeeds, fd belongs to
// the Inotify; otherwise it stays the caller's. It does not set O_NONBLOCK: in blocking
// mode, and if the runtime cannot wait for the descriptor, the methods that FromFile lists
// return an error.
func FromFD(fd int) (*Inotify, error) {
	nonblock, err := checkInotify(fd)
	if err != nil {
		return nil, fmt.Errorf("inotify: adopt descriptor %d: %w", fd, err)
	}
	return adopt(os.NewFile(uintptr(fd), "inotify"), nonblock, errNoPoller)
}

// adopt makes an Inotify of f, whose instance may be shared. notPolled is why nothing can be
// read if the runtime does not wait for f.
func adopt(f *os.File, nonblock bool, notPolled error) (*Inotify, error) {
	n, err := newInotify(f)
	if err != nil {
		return nil, err
	}
	n.in.Shared.Store(true)
	switch {
	case !nonblock:
		n.in.Unreadable = errBlocking
	case f.SetReadDeadline(time.Time{}) != nil:
		n.in.Unreadable = notPolled
	}
	return n, nil
}

var (
	errBlocking  = fmt.Errorf("the adopted descriptor is in blocking mode, where a read cannot be interrupted: set O_NONBLOCK first: %w", os.ErrNoDeadline)
	errNoPoller  = fmt.Errorf("the runtime cannot wait for the descriptor (see fs.epoll.max_user_watches): %w", os.ErrNoDeadline)
	errNotPolled = fmt.Errorf("the adopted descriptor was in blocking mode when os.NewFile made its file, so the runtime does not wait for it: set O_NONBLOCK before os.NewFile (or it could not wait: see fs.epoll.max_user_watches): %w", os.ErrNoDeadline)
)

func newInotify(f *os.File) (*Inotify, error) {
	n := &Inotify{turn: make(chan struct{}, 1)}
	if err := n.in.Init(f, n.wakeReader, explain); err != nil {
		return nil, err
	}
	n.fillQueue = func(fd uintptr) { n.filled = n.in.Queue.Fill(int(fd)) }
	n.readPolled = n.pollRead
	return n, nil
}

// checkInotify asks the kernel to watch the empty path, which it refuses in
// any case: with EINVAL if fd is no inotify descriptor, which it checks first,
// and with ENOENT if it is one. It reports whether fd is in non-blocking mode.
func checkInotify(fd int) (nonblock bool, err error) {
	switch _, e := sys.Add(fd, &sys.EmptyPath[0], uint32(IsDir)); e {
	case sys.ENOENT:
		return sys.Nonblock(fd)
	case sys.EINVAL, sys.EBADF:
		return false, fmt.Errorf("not an inotify descriptor: %w", e)
	default:
		return false, sys.CallError(sys.CallAdd, e)
	}
}

// Close closes the descriptor with one close(2), and wakes every reader and restore. It
// takes no lock, and waits at most for a system call that is in progress. The kernel drops
// the instance's watches and events when no duplicate of the descriptor is left.
func (n *Inotify) Close() error {
	n.in.Closed.Store(true)
	if err := n.in.File.Close(); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return sys.CallError("close", os.ErrClosed)
		}
		return err
	}
	return nil
}

// File returns a duplicate of the descriptor, with close-on-exec set, to pass to a child or
// over a socket. It shares the instance: watches, queue, next wd, and O_NONBLOCK, which
// must stay set as long as the Inotify reads. Events that are buffered in the Inotify
// cannot be read from the duplicate (see [Inotify.Buffered]).
func (n *Inotify) File() (*os.File, error) {
	fd, err := n.in.Dup()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), n.in.File.Name()), nil
}

// SyscallConn returns a raw connection to the descriptor, for system calls that this
// package does not wrap, such as epoll_ctl(2).
//
// Its Read waits like the readers of this Inotify. The function passed to it is called when
// there may be events in the kernel's queue or buffered in the Inotify, though there may be
// none. The function may read from the descriptor, which takes these events from other
// readers. It may call TryReadEvent, but no method that waits.
//
// Do not add watches through it. To roll back, a restore must know the highest wd that the
// instance has given. On gVisor every restore must.
func (n *Inotify) SyscallConn() (syscall.RawConn, error) {
	if n.in.Closed.Load() {
		return nil, sys.CallError("SyscallConn", os.ErrClosed)
	}
	return rawConn{n}, nil
}

type rawConn struct{ n *Inotify }

func (c rawConn) Control(f func(fd uintptr)) error {
	return c.n.in.Control(func(fd int) { f(uintptr(fd)) })
}

func (c rawConn) Read(f func(fd uintptr) bool) error {
	n := c.n
	if n.in.Unreadable != nil && !n.in.Closed.Load() {
		return n.in.Unreadable
	}
	var err error
	done, _ := n.takeTurn(context.Background(), func() (done bool) {
		err = n.in.Control(func(fd int) { done = f(uintptr(fd)) })
		return done || err != nil
	})
	if done {
		return err
	}
	defer n.endTurn()
	q := &n.in.Queue
	return n.poll(context.Background(), func(fd uintptr) bool {
		q.Lock()
		q.SetAsleep(true) // see event.go
		q.Unlock()
		if f(fd) {
			return true
		}
		q.Lock()
		q.WakeWaiting() // as f may have left something in the kernel's queue
		q.Unlock()
		return false
	})
}

func (c rawConn) Write(f func(fd uintptr) bool) error {
	if err := c.n.in.Conn.Write(f); err != nil {
		return os.ErrClosed
	}
	return nil
}
