// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package abandon

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed10546c08/inotify/internal/sys"
)

const ticks = 4 // per answerTime

var errTooMany = fmt.Errorf("not called: %d calls already wait for processes that do not answer: %w", maxAbandoned, os.ErrDeadlineExceeded)

// A call is one Call, which runs on its own thread.
type call struct {
	tid  atomic.Int32 // of the thread; 0 until it runs
	done chan struct{}

	// Guarded by abandoned.
	finished bool
	left     bool // it was abandoned
	silent   bool // it was abandoned because of ErrNoAnswer
}

// abandoned has the calls that were left behind and still run.
var abandoned struct {
	sync.Mutex
	count int
	of    map[int]*call // by pid
}

// Call returns what f returns, but stops waiting if f uses no processor time for answerTime (the
// error is then ErrNoAnswer) or if ctx ends (the error is then its cause). f continues on
// its thread, and its result is passed to discard, which may be nil.
//
// While an abandoned f waits for process pid, Call for the same pid does not call f and returns
// the error. The pid cannot be reused meanwhile, because f returns when the process ends. pid
// is 0 if f does not wait for a single process.
//
// f must have no side effects that matter after Call has returned. It does not have namespaces
// and credentials that only the calling thread has.
func Call[T any](ctx context.Context, pid int, f func() (T, error), discard func(T)) (T, error) {
	var value, none T
	var err error
	if err := admit(ctx, pid); err != nil {
		return none, err
	}
	c := &call{done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		c.tid.Store(sys.ThreadID())
		value, err = f()
		runtime.UnlockOSThread()
		if c.finish(pid) && discard != nil && err == nil {
			discard(value)
		}
	}()
	if werr := c.wait(ctx); werr != nil && c.leave(pid, werr) {
		return none, werr
	}
	return value, err
}

// admit returns an error if f must not be called for the process.
func admit(ctx context.Context, pid int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	abandoned.Lock()
	earlier, count := abandoned.of[pid], abandoned.count
	silent := earlier != nil && earlier.silent
	abandoned.Unlock()
	switch {
	case silent:
		return ErrNoAnswer
	case earlier != nil: // abandoned at the end of its context
		err := earlier.wait(ctx)
		if err == ErrNoAnswer {
			abandoned.Lock()
			earlier.silent = true
			abandoned.Unlock()
		}
		return err
	case count >= maxAbandoned:
		return errTooMany
	}
	return nil
}

// wait waits until the call has returned (nil), does not answer, or the context ends.
func (c *call) wait(ctx context.Context) error {
	ticker := time.NewTicker(answerTime / ticks)
	defer ticker.Stop()
	// Time in which this process is stopped counts as one tick.
	for used, idle := int64(-1), 0; idle < ticks; {
		select {
		case <-c.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		if now := sys.ThreadTime(c.tid.Load()); now != used {
			used, idle = now, 0
		} else if c.tid.Load() != 0 {
			idle++
		}
	}
	return ErrNoAnswer
}

// finish marks the call as returned, and reports whether it had been abandoned.
func (c *call) finish(pid int) bool {
	abandoned.Lock()
	defer abandoned.Unlock()
	c.finished = true
	if c.left {
		abandoned.count--
		if abandoned.of[pid] == c {
			delete(abandoned.of, pid)
		}
	}
	close(c.done)
	return c.left
}

// leave abandons the call unless it has returned, and reports whether it did.
func (c *call) leave(pid int, why error) bool {
	abandoned.Lock()
	defer abandoned.Unlock()
	if c.finished {
		return false
	}
	c.left, c.silent = true, why == ErrNoAnswer
	abandoned.count++
	if pid != 0 {
		if abandoned.of == nil {
			abandoned.of = make(map[int]*call)
		}
		abandoned.of[pid] = c
	}
	return true
}

// InTurn calls f(0) to f(n-1) in order. It starts the next call when one has returned, or after
// overtakeTime. It returns when all calls have returned.
func InTurn(n int, f func(i int)) {
	var all sync.WaitGroup
	defer all.Wait()
	for i := range n {
		all.Add(1)
		done := make(chan struct{})
		go func() {
			defer all.Done()
			f(i)
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(overtakeTime):
		}
	}
}
