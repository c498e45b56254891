// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/seed10546c08/inotify/internal/bywd"
	"github.com/seed10546c08/inotify/internal/instance"
	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

const (
	// A slice ends after so much time. A slice of the cycle has fewer steps than this.
	sliceSteps = 128
	sliceTime  = 300 * time.Microsecond

	// maxInternal is how many internal records may be queued: those of one slice are read while
	// the helper of the cycle makes steps of the next.
	maxInternal = 2 * sliceSteps

	// yieldInterval is how long a restore does not let other goroutines run on its processor.
	yieldInterval = time.Millisecond
)

// A Watch is a watch to be added under a wd.
type Watch struct {
	WD   int32
	Mask uint32
	Path string // without a NUL
}

// Options are for the add/remove cycle.
type Options struct {
	MaxSteps int64
	Progress func(Progress) // or nil
}

// Progress says how far a cycle is.
type Progress struct {
	WD          int32 // the wd to reach
	Done, Steps int64
	Elapsed     time.Duration
}

// Restore adds each of ws, which are in ascending order of different wds, or none.
func Restore(ctx context.Context, in *instance.Instance, ws []Watch, o Options) *Failure {
	a := assignment{in: in, ws: ws, options: o, last: -1}
	return a.restore(ctx)
}

// RestoreOne is Restore for one watch, without a slice to allocate.
func RestoreOne(ctx context.Context, in *instance.Instance, w Watch, o Options) *Failure {
	a := assignment{in: in, single: [1]Watch{w}, options: o, last: -1}
	a.ws = a.single[:]
	return a.restore(ctx)
}

// An assignment is one restore under way.
type assignment struct {
	in      *instance.Instance
	ws      []Watch  // ascending
	single  [1]Watch // the room for one
	options Options
	locked  bool             // the wds are locked; they are not while progress is called
	create  bool             // IN_MASK_CREATE works
	used    instance.UsedWDs // as of the last lock; not read for the ioctl if create is set
	cycle   *cycle           // nil for a restore by the ioctl
	target  target           // ws[done]
	done    int              // ws[:done] have been added
	last    int32            // the wd given last, or -1; a new watch gets last+1, unless that is used
	marks   []mark
	yielded time.Time
}

// A residue says which records of removed watches may be in the queue.
type residue int

const (
	nothing   residue = iota
	quiet             // an IN_IGNORED of each
	reporting         // also events, even after the IN_IGNORED
)

func (a *assignment) restore(ctx context.Context) *Failure {
	defer a.unlock()
	if err := a.lock(ctx); err != nil {
		return &Failure{Err: err}
	}
	defer a.target.release()
	dup, dupErr := -1, error(nil)
	if len(a.ws) > 1 && a.in.Shared.Load() {
		// If the Inotify is closed meanwhile, the watches can be removed through it.
		if dup, dupErr = a.in.Dup(); dupErr == nil {
			defer sys.Close(dup)
		}
	}
	left, failed, err := a.run(ctx)
	if missing, ok := err.(*noIoctl); ok {
		left, failed, err = a.runCycle(ctx, missing.err)
	}
	if err != nil {
		f := &Failure{Watch: failed, Done: a.done}
		f.Err, f.Secondary = split(err)
		f.Err = a.annotate(f.Err, failed)
		f.Secondary = Join(f.Secondary, a.rollBack(left, dup, dupErr))
		return f
	}
	if a.cycle != nil {
		a.report()
	}
	return nil
}

// lock locks the wds. If IN_MASK_CREATE does not work it reads the used wds.
func (a *assignment) lock(ctx context.Context) (err error) {
	if err := a.in.Lock(ctx); err != nil {
		return err
	}
	a.locked = true
	if a.create, err = a.in.HasMaskCreate(); err == nil && !a.create {
		err = a.readUsed()
	}
	return err
}

func (a *assignment) unlock() {
	if a.locked {
		a.in.Unlock()
		a.locked = false
	}
}

func (a *assignment) readUsed() (err error) {
	if a.used, err = a.in.Used(); err != nil {
		return err
	}
	if !a.create && a.in.Shared.Load() && !a.used.Listed {
		return ErrShared
	}
	return nil
}

// run adds the watches that are not there yet, slice by slice. It returns what misplaced
// watches left in the queue, and which watch failed.
func (a *assignment) run(ctx context.Context) (left residue, failed int, err error) {
	for a.done < len(a.ws) {
		if err := ctx.Err(); err != nil {
			return nothing, a.done, err
		}
		if err := a.prepare(); err != nil {
			return nothing, a.done, err
		}
		err := a.in.With(func(fd int, q *record.Queue) (err error) {
			left, err = a.slice(fd, q)
			return err
		})
		if a.done > 0 {
			a.in.Given(a.ws[a.done-1].WD)
		}
		if err != nil {
			return left, a.done, err
		}
		if left != nothing {
			if err := discard(a.in, left); err != nil {
				return nothing, a.done, err
			}
			left = nothing
		}
		if a.cycle != nil && a.done < len(a.ws) {
			if failed, err := a.callProgress(ctx); err != nil {
				return nothing, failed, err
			}
		}
		if a.done < len(a.ws) {
			a.yield()
		}
	}
	return nothing, 0, nil
}

// yield lets other goroutines run on this processor, if it has not done so for a while. Each
// Gosched also wakes another thread. Once per slice, it would slow a restore by the ioctl by 5 %.
func (a *assignment) yield() {
	if now := time.Now(); now.Sub(a.yielded) > yieldInterval {
		runtime.Gosched()
		a.yielded = now
	}
}

// prepare makes ws[done] the target. It is pinned if IN_MASK_CREATE does not work and the
// next add is for it.
func (a *assignment) prepare() error {
	t, w := &a.target, &a.ws[a.done]
	if a.cycle != nil && t.wd == w.WD && t.pinned {
		return nil
	}
	t.set(w)
	if !a.create && (a.cycle == nil || a.free() == 0) {
		return t.pin(w.Path, false)
	}
	return nil
}

// free returns how many wds the kernel gives before the target's.
func (a *assignment) free() int64 { return a.used.Between(a.last, a.target.wd) }

// slice adds as many watches as fit into one slice, or one pinned watch. For each it makes
// its wd the next one, by the ioctl or by steps of the cycle, and adds the watch. A watch
// that gets a wrong wd is removed again, and its residue is returned; for the cycle that is
// an error only if the wd can no longer be reached.
//
// The calls of a restore by the ioctl are made in this function itself: a return costs a
// mispredicted branch after a system call, and there is little else to save.
func (a *assignment) slice(fd int, q *record.Queue) (left residue, err error) {
	t, c := &a.target, a.cycle
	var p pacer
	if c != nil || a.done+1 < len(a.ws) {
		p.begin()
	}
	room := 0
	if c == nil {
		err = a.mark(fd, q)
	} else {
		room, err = min(c.room, sliceSteps-1), c.closeSpans(fd, q)
	}
	if err != nil {
		return nothing, err
	}
	for {
		if c == nil {
			if t.wd != a.last+1 {
				if e := sys.SetNext(fd, t.wd); e != sys.OK {
					return nothing, a.setNextFailed(e)
				}
			}
		} else {
			next, made, err := a.steps(fd, q, room, p.start.Add(sliceTime))
			if !next || err != nil || !a.create && !t.pinned { // prepare pins it for the next slice
				return nothing, err
			}
			room -= made + 1
		}
		got, e := sys.AddOnce(fd, &t.path[0], t.firstMask())
		if got == t.wd && !t.pinned {
			a.last = got
			a.done++
		} else if left, err := a.finishAdd(fd, q, got, e); left != nothing || err != nil {
			return left, err
		}
		if a.done == len(a.ws) || !a.create || p.over() {
			return nothing, nil
		}
		t.set(&a.ws[a.done])
	}
}

// A pacer measures the time of a slice. It reads the clock at every eighth step only, which
// saves some percent, unless steps take long.
type pacer struct {
	start    time.Time
	lastRead time.Time // of the clock
	steps    int
	nextRead int // the step at which the clock is read again
}

func (p *pacer) begin() {
	p.start = time.Now()
	p.lastRead = p.start
}

// over counts a step, and reports whether the slice's time is over.
func (p *pacer) over() bool {
	p.steps++
	if p.steps < p.nextRead {
		return false
	}
	now := time.Now()
	p.nextRead = p.steps + 8
	if now.Sub(p.lastRead) > sliceTime/4 {
		p.nextRead = p.steps + 1
	}
	p.lastRead = now
	return now.Sub(p.start) > sliceTime
}

// setNextFailed returns the error for an errno of INOTIFY_IOC_SETNEXTWD.
func (a *assignment) setNextFailed(e sys.Errno) error {
	err := a.in.Explain(sys.CallSetNext, e, 0)
	if errors.Is(err, errors.ErrUnsupported) && a.done == 0 {
		return &noIoctl{err}
	}
	return err
}

// finishAdd finishes the add of the target's watch, which returned got and e, unless that
// call was all: it repeats an interrupted call, and gives a pinned target's watch its mask. A
// watch with a wrong wd, or that did not get its mask, is removed again.
func (a *assignment) finishAdd(fd int, q *record.Queue, got int32, e sys.Errno) (left residue, err error) {
	t := &a.target
	if e == sys.EINTR {
		got, e = sys.Add(fd, &t.path[0], t.firstMask())
	}
	if err := a.check(got, e); err != nil {
		return nothing, err
	}
	a.last = got
	a.in.Given(got)
	if got != t.wd {
		left, err := a.removeMisplaced(fd, q, a.spanOf(got, t.pinned))
		switch {
		case a.cycle == nil:
			err = Join(&InUseError{Want: t.wd, Got: got}, err)
		case err == nil && got > t.wd:
			err = errPassed
		}
		return left, err
	}
	other, err := t.finish(a.in, fd)
	switch {
	case other != -1: // another process removed the watch, and the second call added this one
		left, err := a.removeMisplaced(fd, q, a.spanOf(other, false), a.spanOf(got, true))
		return left, Join(fmt.Errorf("setting the mask of watch %d reached watch %d", got, other), err)
	case err != nil:
		left, removeErr := a.removeMisplaced(fd, q, a.spanOf(got, t.pinned))
		return left, Join(err, removeErr)
	}
	a.done++
	a.unpin(fd, q)
	return nothing, nil
}

// check returns an error if the add of the target's watch failed, or returned the wd of a
// watch that existed before.
func (a *assignment) check(wd int32, e sys.Errno) error {
	mask := a.target.firstMask()
	switch {
	case e == sys.EEXIST:
		return errWatched
	case e != sys.OK:
		a.in.Failed(e)
		return a.in.Explain(sys.CallAdd, e, mask)
	case mask&sys.MaskCreate != 0:
		return nil
	}
	if existed, err := a.known().existed(wd, true); existed {
		return Join(watchedAs(wd), err)
	}
	return nil
}

// known is what a restore knows of the watches that were there before an add.
type known struct {
	in    *instance.Instance
	used  instance.UsedWDs
	added []Watch // by this restore
}

func (a *assignment) known() known { return known{a.in, a.used, a.ws[:a.done]} }

// existed reports whether wd, which an add returned on a kernel that ignores
// IN_MASK_CREATE, is that of a watch that existed before. recheck is as for
// instance.Existed.
func (k known) existed(wd int32, recheck bool) (bool, error) {
	if _, found := bywd.Find(k.added, wd, func(w Watch) int32 { return w.WD }); found {
		return true, nil // the wd counter has passed it, so it is not a new watch
	}
	return k.in.Existed(k.used, wd, recheck)
}

// unpin closes the descriptor of a target whose watch has been added. Linux queues no event
// when an O_PATH descriptor is closed. gVisor, which lists no watches, queues an
// IN_CLOSE_NOWRITE of the new watch, which is dropped.
func (a *assignment) unpin(fd int, q *record.Queue) {
	t := &a.target
	if !t.pinned || a.create || a.used.Listed {
		t.release()
		return
	}
	from, err := q.End(fd)
	t.release()
	if until, e := q.End(fd); err == nil && e == nil && until > from && a.in.Unreadable == nil {
		q.Filter(record.Span{WD: t.wd, From: from, Until: until, Only: sys.CloseNoWrite})
	}
}

// annotate adds the wd of the existing watch to the error for an inode that is watched
// already, if the restore has several watches.
func (a *assignment) annotate(err error, failed int) error {
	if err != errWatched || len(a.ws) == 1 {
		return err
	}
	w := &a.ws[failed]
	fd, oerr := sys.OpenPath(w.Path, w.Mask&sys.DontFollow != 0)
	if oerr != nil {
		return err
	}
	defer sys.Close(fd) // while it is open the inode number is not reused
	inode, ierr := sys.FDInode(fd)
	ws, werr := a.in.Watches()
	if ierr != nil || werr != nil {
		return err
	}
	for _, other := range ws {
		if other.Device.Major == inode.Major && other.Device.Minor == inode.Minor && other.Inode == inode.Number {
			return watchedAs(other.WD)
		}
	}
	return err
}
