// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"cmp"
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

const (
	progressInterval = 100 * time.Millisecond

	// quietSteps is how near to a wd to restore progress is called seldom: watches that are
	// added meanwhile, when the wds are unlocked, could get that wd.
	quietSteps = 256

	// minHelperSteps is the number of steps from which a helper thread and more inodes make
	// the cycle faster.
	minHelperSteps = 1024
)

// A cycle is the state of an add/remove cycle, which advances the instance's wd counter by
// adding and removing scratch watches.
type cycle struct {
	missing error      // of INOTIFY_IOC_SETNEXTWD
	mask    uint32     // of scratch watches
	stepper stepper    // this thread's
	helper  *helper    // or nil
	memfd   int        // or -1
	room    int        // for internal records in the kernel's queue
	unread  uint64     // the position up to which the slice has to read the queue; 0 after that
	reading sync.Mutex // locked to read the queue, as the helper may determine its end meanwhile
	from    uint64     // the position before which no scratch watch of this cycle has a record
	first   int32      // the wd of the first step

	start, reported time.Time
	pause           time.Duration // between two reports
}

func newCycle(create bool, missing error) *cycle {
	return &cycle{missing: missing, mask: blankMask(create), memfd: -1, pause: progressInterval}
}

// release ends the helper thread and closes the memory file.
func (c *cycle) release() {
	if c.helper != nil {
		c.helper.end()
	}
	if c.memfd >= 0 {
		sys.Close(c.memfd)
	}
}

// runCycle is run for a kernel without the ioctl.
func (a *assignment) runCycle(ctx context.Context, missing error) (left residue, failed int, err error) {
	if a.in.Unreadable != nil {
		return nothing, a.done, Join(a.in.Unreadable, missing)
	}
	c := newCycle(a.create, missing)
	defer c.release()
	a.cycle = c
	c.room = queueRoom()
	left, failed, err = a.stepToAll(ctx)
	if a.locked && (err == nil || a.done == 0 && left == nothing) { // otherwise rollBack does it
		err = Join(err, a.in.With(discardHere))
	}
	return left, failed, err
}

// stepToAll makes the first step and then the others, and adds the watches on the way.
func (a *assignment) stepToAll(ctx context.Context) (left residue, failed int, err error) {
	if err := a.beginLocked(); err != nil {
		return nothing, 0, err
	}
	a.cycle.start = time.Now()
	a.cycle.reported = a.cycle.start
	if left, failed, err = a.firstStep(); err != nil || a.done == len(a.ws) {
		return left, failed, err
	}
	if failed, err = a.chooseScratch(ctx); err != nil {
		return nothing, failed, err
	}
	if left, failed, err = a.run(ctx); err != nil {
		err = a.stopReason(err, failed)
	}
	return left, failed, err
}

// beginLocked reads the used wds and marks the queue, when the wds have been locked.
func (a *assignment) beginLocked() error {
	if a.create { // otherwise lock has read them
		if err := a.readUsed(); err != nil {
			return err
		}
	}
	return a.markAll()
}

// markAll adds a mark for all watches that are not added yet. It is called when the used wds
// have been read.
func (a *assignment) markAll() error {
	return a.in.With(func(fd int, q *record.Queue) (err error) {
		if err := q.CheckFull(); err != nil {
			return err
		}
		a.cycle.from, err = q.End(fd)
		a.marks = append(a.marks, mark{a.done, a.cycle.from})
		return err
	})
}

// firstUsed returns the index of the first watch whose wd another watch has, with an
// *InUseError, or no error if there is none.
func (a *assignment) firstUsed() (int, error) {
	for i := a.done; i < len(a.ws); i++ {
		if a.used.Has(a.ws[i].WD) {
			return i, &InUseError{Want: a.ws[i].WD, Got: -1}
		}
	}
	return 0, nil
}

// firstStep makes the first step, which is to add the lowest watch itself. Its wd shows
// where the wd counter is, which cannot be read, and may be the right one already. Errors
// such as a missing path show before a cycle that may be long.
func (a *assignment) firstStep() (left residue, failed int, err error) {
	t := &a.target
	t.set(&a.ws[0])
	if err := t.pin(a.ws[0].Path, a.create); err != nil {
		return nothing, 0, err
	}
	err = a.in.With(func(fd int, q *record.Queue) (err error) {
		got, e := sys.Add(fd, &t.path[0], t.firstMask())
		left, err = a.finishAdd(fd, q, got, e)
		return err
	})
	t.release()
	a.cycle.first = a.last
	passed := err == errPassed
	if left != nothing && (err == nil || passed) {
		if secondary := discard(a.in, left); secondary != nil {
			return nothing, 0, Join(err, secondary)
		}
		left = nothing
	}
	if err != nil && !passed {
		return left, 0, err
	}
	if failed, err := a.firstUsed(); err != nil {
		return left, failed, err
	}
	if passed {
		return left, 0, a.stopped(0, a.cycle.missing)
	}
	if last := len(a.ws) - 1; a.allSteps() > a.options.MaxSteps {
		return left, last, a.stopped(last, a.cycle.missing)
	}
	return left, 0, nil
}

// chooseScratch chooses the directories for scratch watches, and starts a helper thread if
// that makes the cycle faster. It returns the index of the watch that failed.
func (a *assignment) chooseScratch(ctx context.Context) (failed int, err error) {
	long := a.allSteps() >= minHelperSteps
	wanted := groupSteps
	if long {
		wanted *= 2
	}
	dirs, inodes, mounts := ScratchDirs(wanted)
	dirs, failed, err = a.withoutTargets(ctx, dirs, inodes)
	if err != nil {
		return failed, err
	}
	c := a.cycle
	for _, dir := range dirs {
		c.stepper.paths = append(c.stepper.paths, sys.CString(dir))
	}
	c.mask |= sys.DontFollow
	if long && runtime.GOMAXPROCS(0) >= 2 && len(dirs) >= 2 && c.room == maxInternal && sameElsewhere(mounts) {
		c.startHelper()
	}
	return 0, nil
}

// withoutTargets removes the directories that the restore watches, by their inodes. It looks
// up all targets, so that a missing path is an error before a cycle that may be long.
func (a *assignment) withoutTargets(ctx context.Context, dirs []string, inodes []sys.Inode) (left []string, failed int, err error) {
	for i := range a.ws {
		if i%64 == 0 && (ctx.Err() != nil || a.in.Closed.Load()) {
			return nil, a.done, a.stopped(a.done, cmp.Or(ctx.Err(), os.ErrClosed))
		}
		target, err := sys.PathInode(a.ws[i].Path, a.ws[i].Mask&sys.DontFollow != 0)
		if err != nil {
			return nil, i, err
		}
		if at := slices.Index(inodes, target); at >= 0 {
			dirs, inodes = slices.Delete(dirs, at, at+1), slices.Delete(inodes, at, at+1)
		}
	}
	return dirs, 0, nil
}

// startHelper starts a helper thread with half of the inodes.
func (c *cycle) startHelper() {
	h := &helper{ended: make(chan struct{})}
	paths := c.stepper.paths
	c.stepper.paths = nil
	for i, path := range paths {
		if i%2 == 0 {
			c.stepper.paths = append(c.stepper.paths, path)
		} else {
			h.paths = append(h.paths, path)
		}
	}
	c.helper = h
	go h.work()
}

// closeSpans ends the spans of the scratch watches, which have been removed, at the end of
// the queue. The slice has to read the queue up to there, but for the last record.
func (c *cycle) closeSpans(fd int, q *record.Queue) (err error) {
	if c.unread, err = q.End(fd); err == nil {
		q.CloseSpans(c.unread)
	}
	return err
}

// mayReadLate reports whether the helper may make steps before the queue has been read. Then
// the queue must have room for their records, too, and no other holder of the instance may read
// from it: instead of what that takes, readQueue would read records of watches that the filter
// does not know yet.
func (c *cycle) mayReadLate(j *job) bool {
	return !j.in.Shared.Load() && c.unread <= j.q.Pos()+maxInternal*record.HeaderSize
}

// readQueue reads what was in the kernel's queue when the slice began, but for the last record,
// unless it has been read.
func (c *cycle) readQueue(fd int, q *record.Queue) error {
	if c.unread == 0 {
		return nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	err := q.DrainTo(fd, c.unread)
	c.unread = 0
	if err == nil {
		err = q.CheckFull()
	}
	return err
}

// steps makes steps until the target's wd is next, room steps were made or the time is over.
// It reports whether the wd is next, and how many steps it made.
func (a *assignment) steps(fd int, q *record.Queue, room int, until time.Time) (next bool, made int, err error) {
	for made < room {
		free := a.free()
		if free == 0 {
			return true, made, a.cycle.readQueue(fd, q)
		}
		j := job{
			known: a.known(), q: q, reading: &a.cycle.reading, fd: fd, until: until,
			mask: a.cycle.mask, from: a.cycle.from, last: a.last,
		}
		some, last, err := a.cycle.advance(j, a.target.wd, int(min(free, int64(room-made))))
		made += some
		a.last = last
		a.in.Given(last)
		if err == nil && last >= a.target.wd {
			err = errPassed
		}
		if err != nil || time.Now().After(until) {
			return false, made, err
		}
	}
	return false, made, nil
}

// advance makes steps towards a wd, with the helper if there is one. It returns how many it
// made and which wd was given last.
func (c *cycle) advance(j job, wd int32, steps int) (made int, last int32, err error) {
	if len(c.stepper.paths) == 0 && c.helper != nil {
		c.stepper.paths, c.helper = c.helper.end(), nil
	}
	if len(c.stepper.paths) == 0 {
		if err := c.useMemfd(); err != nil {
			return 0, j.last, err
		}
		j.mask = c.mask
	}
	share := c.helper != nil && steps > groupSteps
	if !share || !c.mayReadLate(&j) {
		if err := c.readQueue(j.fd, j.q); err != nil {
			return 0, j.last, err
		}
	}
	if share {
		err = c.helper.share(c, &j, steps)
	} else {
		c.stepper.run(&j, steps)
	}
	made, last, failed := c.merge(&j, wd)
	return made, last, Join(err, failed)
}

// merge adds the spans of both threads' scratch watches to the queue's filter. It returns how
// many steps were made and which wd was given last.
func (c *cycle) merge(j *job, wd int32) (made int, last int32, err error) {
	s := &c.stepper
	made, full, failed := s.made(), s.full, s.leaked.error()
	if h := c.helper; h != nil {
		made += h.made()
		s.given = append(s.given, h.given...)
		full = Join(full, h.full)
		failed = Join(failed, h.leaked.error())
		h.given, h.burned = h.given[:0], 0
	}
	last = j.last
	for i := range s.given {
		last = max(last, s.given[i].WD)
	}
	if burned := made - len(s.given); burned > 0 {
		// Which wds they used up is unknown. The highest possible is assumed, but one below
		// wd: a watch that then gets a wd below its own is removed, and the cycle goes on.
		last = max(last, int32(min(int64(wd)-1, int64(last)+int64(burned))))
	}
	j.q.Filter(s.given...)
	s.given, s.burned = s.given[:0], 0
	if failed == nil && full != nil && c.helper != nil {
		c.helper.end() // without its watches there may be room for one
		c.helper, s.full, full = nil, nil, nil
	}
	return made, last, cmp.Or(failed, full)
}

// stopReason returns the error of a cycle that did not reach the wd of a watch.
func (a *assignment) stopReason(err error, failed int) error {
	if err == errPassed {
		return a.passedError(failed)
	}
	if errors.Is(err, sys.EEXIST) || errors.As(err, new(*InUseError)) {
		return err
	}
	return a.stopped(failed, err)
}

// passedError returns why the wd counter passed the wd of a watch: another watch has the wd, or
// had it, or too many watches were added while progress was called.
func (a *assignment) passedError(failed int) error {
	used, err := a.in.Used()
	if err != nil {
		return err
	}
	wd := a.ws[failed].WD
	if used.Has(wd) {
		return &InUseError{Want: wd, Got: a.last}
	}
	return a.stopped(failed, a.cycle.missing)
}

// callProgress calls the caller's function if it is due, with the wds unlocked. The used wds
// are read again then; the longer that takes, the less often it is called. callProgress
// returns the index of the watch that failed.
func (a *assignment) callProgress(ctx context.Context) (failed int, err error) {
	c := a.cycle
	since := time.Since(c.reported)
	near := a.ws[a.done].WD-a.last < quietSteps
	if a.options.Progress == nil || since < c.pause || near && since < 10*c.pause {
		return 0, nil
	}
	if err := a.in.With(discardHere); err != nil { // before other watches may get the wds
		return a.done, err
	}
	a.report()
	begin := time.Now()
	if err := a.lock(ctx); err != nil {
		if !a.locked && a.done > 0 { // the rollback needs the lock
			a.locked = a.in.Lock(context.Background()) == nil
		}
		return a.done, err
	}
	if err := a.beginLocked(); err != nil {
		return a.done, err
	}
	c.reported = time.Now()
	c.pause = max(progressInterval, 20*c.reported.Sub(begin))
	return a.firstUsed()
}

// report calls the caller's function with the wds unlocked.
func (a *assignment) report() {
	if a.options.Progress == nil {
		return
	}
	a.unlock()
	a.options.Progress(Progress{
		WD: a.goal(), Done: a.doneSteps(), Steps: a.allSteps(), Elapsed: time.Since(a.cycle.start),
	})
}

// goal returns the highest wd to reach.
func (a *assignment) goal() int32 { return a.ws[len(a.ws)-1].WD }

func (a *assignment) doneSteps() int64 {
	return max(0, min(int64(a.last)-int64(a.cycle.first), a.allSteps()))
}

func (a *assignment) allSteps() int64 { return max(0, int64(a.goal())-int64(a.cycle.first)) }

// stopped returns the error of a cycle that stopped because of err.
func (a *assignment) stopped(failed int, err error) *CycleError {
	return &CycleError{
		WD: a.ws[failed].WD, Next: max(a.last, a.last+1), // without the overflow at the highest wd
		Done: a.doneSteps(), Steps: a.allSteps(), Limit: a.options.MaxSteps, Err: err,
	}
}
