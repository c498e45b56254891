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

	"golang.org/x/sys/unix"
)

const ticks = 4 // per answerTime

var errTooMany = fmt.Errorf("not read: %d calls on processes that do not answer wait already: %w", maxAbandoned, os.ErrDeadlineExceeded)

// A call runs on a thread of its own.
type call struct {
	tid  atomic.Int32 // of the thread; 0 until it runs
	done chan struct{}

	// Guarded by abandoned.
	finished bool
	left     bool // nobody waits for it
	silent   bool // for answerTime
}

// abandoned are the calls that were left behind and still run.
var abandoned struct {
	sync.Mutex
	count int
	of    map[int]*call // by the process that it waits for
}

// Call returns what f returns. If f does not return within answerTime and uses no
// processor time meanwhile, the error is ErrNoAnswer, which matches
// [os.ErrDeadlineExceeded]; if ctx ends, it is the context's cause. f then goes on, on a
// thread of its own, and its result is passed to discard, which may be nil.
//
// While f for a process waits, a second one for the same process is not begun: the
// error comes at once. The pid cannot become another's, as f then returns. Of one that
// does not call on a single process, pid is 0.
//
// f must not change what others see, and it does not see namespaces and credentials that
// only the calling thread has.
func Call[T any](ctx context.Context, pid int, f func() (T, error), discard func(T)) (T, error) {
	var value, none T
	var err error
	if err := admit(ctx, pid); err != nil {
		return none, err
	}
	c := &call{done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		c.tid.Store(int32(unix.Gettid()))
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

// admit returns an error if a call on the process must not be begun.
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
	case earlier != nil: // its context ended too early to tell
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

// wait waits until the call has returned, does not answer, or the context ends.
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
		if now := c.processorTime(); now != used {
			used, idle = now, 0
		} else if c.tid.Load() != 0 {
			idle++
		}
	}
	return ErrNoAnswer
}

// processorTime returns how long the call's thread has run, in nanoseconds, or 0 if that
// is not known.
func (c *call) processorTime() int64 {
	const threadClock = 4 | 2 // CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(^c.tid.Load()<<3|threadClock, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// finish says that the call has returned, and reports whether it had been left.
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

// leave leaves the call, unless it has returned, and reports whether it did.
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

// InTurn calls f(0) to f(n-1), one after the other, and does not wait for one that takes
// longer than overtakeTime before it begins the next. It returns when all have returned.
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
