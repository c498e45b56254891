// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// An Inotify is an inotify instance. Its methods may be called from any number
// of goroutines at once. After [Inotify.Close] every method returns an error
// for which errors.Is(err, [os.ErrClosed]) holds.
type Inotify struct {
	file   *os.File        // owns the descriptor; every system call on it runs inside control or conn
	conn   syscall.RawConn // file's
	closed atomic.Bool

	// unreadable says why nothing may be read, or is nil. Set by FromFile.
	unreadable error
	foreign    atomic.Bool // by FromFile or File: others may add watches to the instance

	// restoring is held by the one restore under way, and is taken first;
	// numbers is held shared by adds and alone by that restore.
	restoring chan struct{}
	numbers   sync.RWMutex
	highest   atomic.Int32 // the highest number given to a watch added here
	create    atomic.Int32 // what the kernel makes of IN_MASK_CREATE, once it is known

	queue  queue
	turn   chan struct{} // held by the one reader that is in the poller
	poller poller

	// What conn calls to read, made once: a function that is made where it is passed
	// to conn would be allocated each time.
	fillQueue  func(fd uintptr)
	filled     error // what fillQueue returned; guarded by queue.mu
	readPolled func(fd uintptr) bool
	polled     struct { // what readPolled returned; whoever has the turn uses it
		ev  Event
		err error
	}
}

var (
	_ io.Closer    = (*Inotify)(nil)
	_ syscall.Conn = (*Inotify)(nil)
)

// New makes an inotify instance: inotify_init1(IN_CLOEXEC | IN_NONBLOCK). The
// error is a [*LimitError] if a limit was reached (EMFILE). On systems other
// than Linux it is [errors.ErrUnsupported].
func New() (*Inotify, error) {
	fd, err := initInstance()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		f.Close()
		return nil, fmt.Errorf("inotify: the runtime cannot wait for the descriptor (see fs.epoll.max_user_watches): %w", err)
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return newInotify(f, conn), nil
}

// FromFile adopts an inotify descriptor, for example one that was inherited or
// received over a socket. From then on f is the Inotify's, which closes it; the
// caller uses f no more. If f is not an inotify descriptor, FromFile fails and
// f stays the caller's.
//
// FromFile changes nothing about f. If its description is in blocking mode, or
// was when [os.NewFile] made f, all works but what reads: ReadEvent, ReadEvents,
// TryReadEvent, Events, SetReadDeadline and the climb to a number without the
// ioctl return an error that says so. Whoever has the right to change the mode
// calls [syscall.SetNonblock] before os.NewFile.
func FromFile(f *os.File) (*Inotify, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var nonblock bool
	if cerr := conn.Control(func(fd uintptr) {
		if err = checkInotify(int(fd)); err == nil {
			nonblock, err = sysNonblock(int(fd))
			err = callError("fcntl F_GETFL", err)
		}
	}); cerr != nil {
		err = os.ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("inotify: adopt %q: %w", f.Name(), err)
	}
	n := newInotify(f, conn)
	n.foreign.Store(true)
	switch {
	case !nonblock:
		n.unreadable = errBlocking
	case f.SetReadDeadline(time.Time{}) != nil:
		n.unreadable = errNotPolled
	}
	return n, nil
}

var (
	errBlocking  = errors.New("the adopted descriptor is in blocking mode, where a read cannot be interrupted: set O_NONBLOCK before os.NewFile")
	errNotPolled = errors.New("the adopted descriptor was in blocking mode when os.NewFile made its file, so the runtime does not wait for it: set O_NONBLOCK before os.NewFile (or it could not wait: see fs.epoll.max_user_watches)")
)

func newInotify(f *os.File, conn syscall.RawConn) *Inotify {
	n := &Inotify{
		file:      f,
		conn:      conn,
		restoring: make(chan struct{}, 1),
		turn:      make(chan struct{}, 1),
	}
	n.fillQueue = func(fd uintptr) { n.filled = n.queue.fill(int(fd)) }
	n.readPolled = n.pollRead
	return n
}

// checkInotify asks the kernel to watch the empty path, which it refuses in
// any case: with EINVAL if fd is no inotify descriptor, which it checks first,
// and with ENOENT if it is one.
func checkInotify(fd int) error {
	switch _, e := sysAdd(fd, ownPath(""), IsDir); e {
	case eNOENT:
		return nil
	case eINVAL, eBADF:
		return fmt.Errorf("not an inotify descriptor: %w", e)
	default:
		return callError(callAdd, e)
	}
}

// Close closes the descriptor with one close(2) and wakes every reader and
// climb. It waits for no lock and for no more than the kernel call in flight.
// The kernel drops the instance's watches and events when no duplicate of the
// descriptor is left.
func (n *Inotify) Close() error {
	n.closed.Store(true)
	if err := n.file.Close(); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return callError("close", os.ErrClosed)
		}
		return err
	}
	return nil
}

// File returns a duplicate of the descriptor with close-on-exec set, to hand to
// a child or over a socket. It shares the instance: watches, queue, counter,
// and O_NONBLOCK, which must stay set as long as the Inotify reads. Events that
// this Inotify has read ahead do not come there again (see [Inotify.Buffered]).
func (n *Inotify) File() (*os.File, error) {
	n.foreign.Store(true)
	fd := -1
	var err error
	if cerr := n.control(func(own int) { fd, err = sysDup(own) }); cerr != nil {
		err = cerr
	}
	if err != nil {
		return nil, callError("fcntl F_DUPFD_CLOEXEC", err)
	}
	return os.NewFile(uintptr(fd), n.file.Name()), nil
}

// SyscallConn returns a raw connection to the descriptor, for calls that this
// package does not wrap, such as epoll_ctl(2). Its Read waits among this
// Inotify's readers; a function that reads there takes events from them. It may call
// TryReadEvent, but nothing that waits. It is also called when events were read
// ahead, and maybe in vain. Watches are added by the methods here only: a restore that fails, and on gVisor each
// restore, relies on knowing the highest number that was given.
func (n *Inotify) SyscallConn() (syscall.RawConn, error) {
	if n.closed.Load() {
		return nil, callError("SyscallConn", os.ErrClosed)
	}
	return rawConn{n}, nil
}

type rawConn struct{ n *Inotify }

func (c rawConn) Control(f func(fd uintptr)) error {
	return c.n.control(func(fd int) { f(uintptr(fd)) })
}

func (c rawConn) Read(f func(fd uintptr) bool) error {
	n := c.n
	if n.unreadable != nil && !n.closed.Load() {
		return n.unreadable
	}
	var err error
	done, _ := n.takeTurn(context.Background(), func() (done bool) {
		err = n.control(func(fd int) { done = f(uintptr(fd)) })
		return done || err != nil
	})
	if done {
		return err
	}
	defer n.endTurn()
	return n.poll(context.Background(), func(fd uintptr) bool {
		n.lockQueue()
		n.queue.asleep = true // see event.go
		n.unlockQueue()
		if f(fd) {
			return true
		}
		n.lockQueue()
		n.queue.wakeWaiting() // as f may have left something in the kernel's queue
		n.unlockQueue()
		return false
	})
}

func (c rawConn) Write(f func(fd uintptr) bool) error {
	if err := c.n.conn.Write(f); err != nil {
		return os.ErrClosed
	}
	return nil
}

// control runs f with the descriptor, which stays open meanwhile. The only
// error is os.ErrClosed.
//
// The connection is made anew each time: since Go 1.26 f then stays on the stack,
// while what is passed to n.conn is always allocated. Calls that must not allocate
// on any version use n.conn and a function that is made once.
func (n *Inotify) control(f func(fd int)) error {
	conn, err := n.file.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		return os.ErrClosed // the poller's own closing error, or the file's
	}
	return nil
}

// acquire takes a token, which is the place in a channel of one, or returns
// ctx's error.
func acquire(ctx context.Context, token chan struct{}) error {
	select {
	case token <- struct{}{}:
		return nil
	default:
	}
	select {
	case token <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// initInstance makes an instance.
func initInstance() (int, error) {
	fd, err := sysInit()
	if err != nil {
		return -1, initError(err)
	}
	return fd, nil
}
