// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package instance has what the root package and the engine of restores share of one
// inotify instance: the descriptor, the lock of the watch descriptors (wds), the queue,
// what the kernel can do, and what it lists in fdinfo.
package instance

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

// An Instance is one inotify instance. Init makes it usable.
type Instance struct {
	File   *os.File        // owns the descriptor
	Conn   syscall.RawConn // File's, for calls that must not allocate; others use Control
	Closed atomic.Bool

	// Unreadable says why nothing may be read, or is nil. It is set before use.
	Unreadable error
	Shared     atomic.Bool // other descriptors of the instance exist, or did, by which watches may be added

	Queue record.Queue

	explain Explain

	// A restore locks restoring and then wds. An add locks wds shared.
	restoring chan struct{}
	wds       sync.RWMutex
	highest   atomic.Int32 // the highest wd given here
	burned    atomic.Bool  // a failed add may have used up a wd
	create    atomic.Int32 // createHonored or createIgnored, when it is known
}

// An Explain turns the error of a failed call into the one that callers of the root package
// get. call is one of package sys's names, and mask that of an inotify_add_watch.
type Explain func(call string, err error, mask uint32) error

// Init initializes in for the instance of f. wake wakes the reader in f's poller.
func (in *Instance) Init(f *os.File, wake func(), explain Explain) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	in.File, in.Conn = f, conn
	in.explain = explain
	in.restoring = make(chan struct{}, 1)
	in.Queue.Init(wake)
	return nil
}

// Control runs f with the descriptor, which stays open meanwhile. The only error is
// os.ErrClosed.
//
// The connection is made anew each time: since Go 1.26 f then stays on the stack,
// while what is passed to in.Conn is always allocated. Calls that must not allocate
// on any version use in.Conn and a function that is made once.
func (in *Instance) Control(f func(fd int)) error {
	conn, err := in.File.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		return os.ErrClosed // the poller's own closing error, or the file's
	}
	return nil
}

// With runs f with the descriptor and the locked queue. A function with these two
// parameters runs inside With, and uses neither of them afterwards.
func (in *Instance) With(f func(fd int, q *record.Queue) error) error {
	in.Queue.Lock()
	defer in.Queue.Unlock()
	var err error
	if cerr := in.Control(func(fd int) { err = f(fd, &in.Queue) }); cerr != nil {
		return cerr
	}
	return err
}

// Lock locks the wds: until Unlock, no other restore runs here and no watch is added here. It
// waits for another restore until ctx ends, and then for adds that are in progress.
func (in *Instance) Lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case in.restoring <- struct{}{}:
	default:
		select {
		case in.restoring <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	in.wds.Lock()
	return nil
}

// Unlock unlocks the wds.
func (in *Instance) Unlock() {
	in.wds.Unlock()
	<-in.restoring
}

// Explain calls the Explain that Init got.
func (in *Instance) Explain(call string, err error, mask uint32) error {
	return in.explain(call, err, mask)
}

// Add adds a watch, or changes the one that the inode has, and returns its wd. The error
// is an errno, or os.ErrClosed. It waits while a restore runs. path has no NUL inside.
func (in *Instance) Add(path string, mask uint32) (int32, error) {
	c := addCalls.Get().(*addCall)
	c.path = sys.AppendCString(c.path[:0], path)
	c.mask, c.e = mask, sys.EINTR
	in.wds.RLock()
	defer in.wds.RUnlock()
	var err error
	for c.e == sys.EINTR && err == nil {
		err = in.Conn.Control(c.run)
	}
	wd, e := c.wd, c.e
	if cap(c.path) <= maxPath {
		addCalls.Put(c)
	}
	switch {
	case err != nil:
		return -1, os.ErrClosed
	case e != sys.OK:
		in.Failed(e)
		return -1, e
	}
	in.Given(wd)
	return wd, nil
}

// An addCall is one call of inotify_add_watch: its arguments, its results and the
// function that makes it. addCalls recycles them, so that Add allocates nothing.
type addCall struct {
	path []byte // with a final NUL
	mask uint32
	wd   int32
	e    sys.Errno
	run  func(fd uintptr)
}

var addCalls = sync.Pool{New: func() any {
	c := new(addCall)
	c.run = func(fd uintptr) { c.wd, c.e = sys.AddOnce(int(fd), &c.path[0], c.mask) }
	return c
}}

const maxPath = 4096 // PATH_MAX, with the NUL

// Given records a wd that a watch got here.
func (in *Instance) Given(wd int32) {
	for {
		h := in.highest.Load()
		if wd <= h || in.highest.CompareAndSwap(h, wd) {
			return
		}
	}
}

// Failed records that an add failed with e. The kernel allocates a wd before it checks the
// limits, so a failure of these uses up a wd.
func (in *Instance) Failed(e sys.Errno) {
	if e == sys.ENOSPC || e == sys.ENOMEM {
		in.burned.Store(true)
	}
}

// Highest returns the highest wd that was given here.
func (in *Instance) Highest() int32 { return in.highest.Load() }

// KnowsNext reports whether the next wd is Highest+1, as on a kernel without the ioctl if all
// adds and their results are known.
func (in *Instance) KnowsNext() bool { return !in.Shared.Load() && !in.burned.Load() }

// Dup returns a duplicate of the descriptor, and notes that the instance is shared.
func (in *Instance) Dup() (fd int, err error) {
	in.Shared.Store(true)
	if cerr := in.Control(func(old int) { fd, err = sys.Dup(old, 0) }); cerr != nil {
		return -1, sys.CallError(sys.CallDup, cerr)
	}
	return fd, err
}

// Quiesce waits until all records of removed watches are queued.
//
// IN_IGNORED is not always a watch's last record: an event that another processor is
// reporting meanwhile comes after it (seen on Linux 6.18, TestEventsAfterIgnored). The kernel
// waits for these processors (synchronize_srcu) before it frees removed watches, and a close
// of an instance, any instance, waits for that, some 10 ms. So Quiesce makes one and closes it.
func (in *Instance) Quiesce() error {
	other, err := sys.Init()
	if err != nil {
		return in.explain(sys.CallInit, err, 0)
	}
	sys.Close(other)
	return nil
}
