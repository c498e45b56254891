// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// A RestoreOption changes how a restore goes where the kernel lacks
// INOTIFY_IOC_SETNEXTWD. It has no effect where the kernel has it.
type RestoreOption func(*restoreOptions)

type restoreOptions struct {
	maxSteps int64
	progress func(Progress)
}

// DefaultMaxSteps is how many steps a restore takes at most unless
// [WithMaxSteps] says otherwise: some seconds on ordinary hardware.
const DefaultMaxSteps = 1 << 20

// WithMaxSteps sets how many numbers the add/remove cycle may climb. A restore
// that needs more fails with a [*CycleError] before it climbs. A step takes
// some microseconds.
func WithMaxSteps(steps int64) RestoreOption {
	return func(o *restoreOptions) { o.maxSteps = steps }
}

// WithProgress has the restore call f while it climbs, about ten times a
// second, and once when it has reached the number, also if that took no step. A
// restore by the ioctl does not call it.
//
// f runs on the restoring goroutine and no lock is held meanwhile, so f may use
// the Inotify; the numbers of watches that are added meanwhile lie on the way.
func WithProgress(f func(Progress)) RestoreOption {
	return func(o *restoreOptions) { o.progress = f }
}

// Progress tells how far the climb to a number is.
type Progress struct {
	WD      WD    // the number to reach, the highest of a RestoreWatches
	Done    int64 // steps done; one step is one number
	Steps   int64 // steps in all
	Elapsed time.Duration
}

// Remaining estimates how long the rest takes, from the pace so far. It is 0
// before the first step.
func (p Progress) Remaining() time.Duration {
	if p.Done == 0 {
		return 0
	}
	return time.Duration(float64(p.Elapsed) / float64(p.Done) * float64(p.Steps-p.Done))
}

// RestoreWatch adds a watch under the number wd, or fails and adds none. mask
// is as for [Inotify.AddWatch] or as [Inotify.Watches] shows it (also 0), with
// MaskAdd refused. An inode that the instance watches already is an error
// (EEXIST), and its watch stays as it is; so is a number that is taken
// ([*WDError]).
//
// It sets the number with INOTIFY_IOC_SETNEXTWD. Where that is missing, it
// climbs to the number by adding and removing scratch watches, which goes up
// only and takes some microseconds a number; a climb fails with a
// [*CycleError]. It stops within about a millisecond when ctx ends or the
// Inotify is closed. After a failure, all is as before but the number that the
// next AddWatch gets, and no event of the restore's own watches is ever read.
//
// On an instance that has given no number yet, or lower ones only, any number
// can be reached: restore on a fresh instance, and several watches with
// [Inotify.RestoreWatches] or in ascending order.
//
// It waits for another restore under way until ctx ends, and for adds under way
// in any case. A climb, and every restore where IN_MASK_CREATE does not work,
// needs /proc and a free descriptor.
//
// Readers elsewhere that share the descriptor (see [Inotify.File]) take events
// of scratch watches, and this Inotify those meant for them, from the beginning
// of a climb until the events that it put by have been read.
func (n *Inotify) RestoreWatch(ctx context.Context, wd WD, path string, mask Mask, opts ...RestoreOption) error {
	if n.closed.Load() {
		return pathError(path, os.ErrClosed)
	}
	b := batch{n: n, single: [1]Watch{{WD: wd, Path: path, Mask: mask}}, opts: opts}
	b.ws = b.single[:]
	err := checkWatch(&b.ws[0])
	if err == nil {
		err = b.restore(ctx)
	}
	if err != nil {
		return pathError(path, err)
	}
	return nil
}

// RestoreWatches adds each of ws under its number, or fails and adds none. It
// goes by Path, which must not be empty, and Mask, as [Inotify.RestoreWatch]
// does; it checks neither Device, Inode nor Handle. ws may be in any order and
// is not changed. The error is a [*RestoreError], which names the watch that
// could not be restored.
//
// Numbers that follow each other need one INOTIFY_IOC_SETNEXTWD; by the cycle,
// the restore climbs once from the lowest number to the highest, and
// [WithMaxSteps] counts all of that.
//
// Events of watches that are added already may be read while others are still
// to come. If the restore then fails, the events that were not read from the
// kernel by then are dropped, and no [Ignored] tells of the removal. All else is
// as for RestoreWatch.
func (n *Inotify) RestoreWatches(ctx context.Context, ws []Watch, opts ...RestoreOption) error {
	if n.closed.Load() {
		return callError("RestoreWatches", os.ErrClosed)
	}
	if len(ws) == 0 {
		return nil
	}
	b := batch{n: n, ws: ascending(ws), opts: opts}
	err := b.check()
	if err == nil {
		err = b.restore(ctx)
	}
	if err != nil {
		w := b.ws[b.failed]
		return &RestoreError{Watch: w, Done: b.reached, Err: pathError(w.Path, err)}
	}
	return nil
}

// ascending returns ws in ascending order of WD: itself, or a sorted copy.
func ascending(ws []Watch) []Watch {
	byWD := func(a, b Watch) int { return int(a.WD) - int(b.WD) }
	if slices.IsSortedFunc(ws, byWD) {
		return ws
	}
	ws = slices.Clone(ws)
	slices.SortFunc(ws, byWD)
	return ws
}

// lockNumbers takes the sole right to give out numbers. It waits for the
// restore under way until ctx ends, and then for the adds under way.
func (n *Inotify) lockNumbers(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := acquire(ctx, n.restoring); err != nil {
		return err
	}
	n.numbers.Lock()
	return nil
}

func (n *Inotify) unlockNumbers() {
	n.numbers.Unlock()
	<-n.restoring
}

// A batch is the watches of one restore.
type batch struct {
	n      *Inotify
	ws     []Watch  // ascending
	single [1]Watch // the room for one
	opts   []RestoreOption
	locked bool // the numbers are held

	honoured bool    // IN_MASK_CREATE works
	census   *census // since the numbers were last locked; by the ioctl only where that bit does not work
	t        target  // ws[done]
	done     int     // ws[:done] have been added
	next     WD      // the number that the next add gets, as far as SETNEXTWD told the kernel
	marks    []mark

	failed  int    // ws[failed] could not be restored
	reached int    // how many had been added then
	undo    []span // what is to be removed again
	missing error  // what SETNEXTWD said, if it is missing
}

// A mark says that no record of a former life of the numbers of ws[first:] lies
// at or behind a position of the queue. Numbers without a mark had none.
type mark struct {
	first int
	from  uint64
}

// check finds what is wrong with the watches before anything is done.
func (b *batch) check() error {
	for i := range b.ws {
		w := &b.ws[i]
		err := checkWatch(w)
		switch {
		case err != nil:
		case w.Path == "":
			err = fmt.Errorf("watch %d has no path: %w", w.WD, eINVAL)
		case i > 0 && b.ws[i-1].WD == w.WD:
			err = fmt.Errorf("watch descriptor %d is asked for twice, also for %s: %w", w.WD, b.ws[i-1].Path, eINVAL)
		}
		if err != nil {
			b.failed = i
			return err
		}
	}
	return nil
}

// restore adds all watches or none.
func (b *batch) restore(ctx context.Context) error {
	defer b.unlock()
	if err := b.lock(ctx); err != nil {
		return err
	}
	defer b.t.release()
	err := b.byIoctl(ctx)
	if b.missing != nil {
		err = b.byClimb(ctx)
	}
	if err != nil {
		err = b.named(err)
		err = join(err, b.rollBack())
	}
	return err
}

// lock takes the numbers. Where IN_MASK_CREATE does not work it takes a census.
func (b *batch) lock(ctx context.Context) (err error) {
	if err := b.n.lockNumbers(ctx); err != nil {
		return err
	}
	b.locked = true
	if b.honoured, err = b.n.honoursCreate(); err == nil && !b.honoured {
		err = b.survey()
	}
	return err
}

func (b *batch) unlock() {
	if b.locked {
		b.n.unlockNumbers()
		b.locked = false
	}
}

// survey learns which numbers are taken.
func (b *batch) survey() (err error) {
	if b.census, err = b.n.takeCensus(); err != nil {
		return err
	}
	if !b.honoured && b.n.foreign.Load() && !b.census.listed {
		return &UnsupportedError{
			Feature: "restoring a watch on an instance that others hold or held",
			Needs:   "IN_MASK_CREATE (Linux 4.18) or watches in fdinfo (Linux 3.8)",
		}
	}
	return nil
}

// existing reports whether a watch with the number wd was there before the one
// that is being added.
func (b *batch) existing(wd WD) bool { return b.census.existing(wd) || b.has(wd) }

// has reports whether this restore has added the watch wd.
func (b *batch) has(wd WD) bool {
	_, found := slices.BinarySearchFunc(b.ws[:b.done], wd, func(w Watch, wd WD) int { return int(w.WD) - int(wd) })
	return found
}

// byIoctl sets the next number and adds the watches. If the ioctl is missing,
// it has done nothing, and b.missing says so.
func (b *batch) byIoctl(ctx context.Context) error {
	for b.done < len(b.ws) {
		b.failed = b.done
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.aim(); err != nil {
			return err
		}
		if err := b.n.stage(b.slice); err != nil {
			return err
		}
		if b.done < len(b.ws) {
			runtime.Gosched()
		}
	}
	return nil
}

// aim makes ws[done] the target, pinned where IN_MASK_CREATE does not work.
func (b *batch) aim() error {
	b.t.release()
	b.t.set(&b.ws[b.done])
	if b.honoured {
		return nil
	}
	return b.t.pin(b.ws[b.done].Path, false)
}

// slice adds as many watches as fit into one slice of time, or one pinned one. It
// sets the next number where that is not the one that comes anyway. If it fails,
// rollBack comes next. It is run by stage.
//
// The calls are made in this function itself: after a system call each return
// costs what a mispredicted branch costs, and they are most of what there is to
// save.
func (b *batch) slice(fd int) error {
	if err := b.mark(fd); err != nil {
		return err
	}
	t := &b.t
	var until time.Time
	for added := 1; ; added++ {
		if t.wd != b.next {
			if e := sysSetNext(fd, t.wd); e != success {
				return b.unset(e)
			}
		}
		got, e := addOnce(fd, &t.path[0], t.firstMask())
		b.next = got + 1
		if got != t.wd || t.pinned {
			if err := b.judge(fd, got, e); err != nil {
				return err
			}
		} else {
			b.done++
		}
		switch {
		case b.done == len(b.ws) || !b.honoured:
			b.n.given(b.ws[b.done-1].WD)
			return nil
		case added == 1:
			until = time.Now().Add(sliceTime)
		case added%8 == 0 && time.Now().After(until):
			b.n.given(b.ws[b.done-1].WD)
			return nil
		}
		b.failed = b.done
		t.set(&b.ws[b.done])
	}
}

// unset explains why the next number could not be set.
func (b *batch) unset(e errno) error {
	err := setNextError(e)
	if errors.Is(err, errors.ErrUnsupported) && b.done == 0 {
		b.missing = err
	}
	return err
}

// judge decides what becomes of an add whose number is not the target's, or whose
// target is pinned.
func (b *batch) judge(fd int, got WD, e errno) error {
	if e == eINTR {
		got, e = sysAdd(fd, &b.t.path[0], b.t.firstMask())
	}
	got, err := b.placed(fd, got, e)
	if got == NoWD || got == b.t.wd && err == nil {
		return err
	}
	if got != b.t.wd {
		err = join(&WDError{Want: b.t.wd, Got: got}, err)
	}
	return join(err, b.abort(fd, got))
}

// mark notes where the former lives of the numbers to be given next end, if they
// can have had one: a number above all that were given here had none.
func (b *batch) mark(fd int) error {
	if !b.n.foreign.Load() && b.ws[b.done].WD > WD(b.n.highest.Load()) {
		return nil
	}
	from, err := b.n.queue.end(fd)
	if err == nil {
		b.marks = append(b.marks, mark{b.done, from})
	}
	return err
}

// place adds the target's watch and returns the number that it got, or NoWD.
// Unless that is the target's and err is nil, the watch is a stray, which the
// caller removes before the stage ends.
func (b *batch) place(fd int) (got WD, err error) {
	got, e := sysAdd(fd, &b.t.path[0], b.t.firstMask())
	return b.placed(fd, got, e)
}

// placed is place when the watch was added.
func (b *batch) placed(fd int, got WD, e errno) (WD, error) {
	err := b.t.check(got, e, b.existing)
	if err != nil {
		return NoWD, err
	}
	if got == b.t.wd {
		if err = b.t.finish(fd); err == nil {
			b.n.given(got)
			b.done++
			b.unpin(fd)
		}
	}
	return got, err
}

// unpin closes the descriptor of a target whose watch has been made. Linux reports
// no closing of an O_PATH descriptor, but gVisor does, to the new watch; that is
// taken out.
func (b *batch) unpin(fd int) {
	if !b.t.pinned {
		return
	}
	q := &b.n.queue
	from, err := q.end(fd)
	b.t.release()
	if until, e := q.end(fd); err == nil && e == nil && until > from && b.n.unreadable == nil {
		q.expect(span{wd: b.t.wd, from: from, until: until, ignored: true})
		q.ending = max(q.ending, until)
	}
}

// stray returns the span of a watch that got a wrong number.
//
// A one-shot watch that ended by itself since the mark, and whose number the
// stray got, is not told apart.
func (b *batch) stray(fd int, wd WD) span {
	s := span{wd: wd, from: b.from(b.done), until: unsettled}
	if b.t.pinned {
		// Blank, it has reported nothing yet: all that is queued is older.
		if end, err := b.n.queue.end(fd); err == nil {
			s.from = end
		}
	}
	return s
}

// from returns where the records of ws[i]'s number begin to be this restore's.
func (b *batch) from(i int) uint64 {
	for _, m := range slices.Backward(b.marks) {
		if m.first <= i {
			return m.from
		}
	}
	return 0
}

// abort has the records of all watches that were added, and of a stray if there
// is one, taken out from now on, and removes the stray. The others are left for
// rollBack. It is run by stage.
func (b *batch) abort(fd int, stray WD) error {
	b.reached, b.undo = b.done, make([]span, 0, b.done+1)
	marks, from := b.marks, uint64(0)
	for i, w := range b.ws[:b.done] {
		if len(marks) > 0 && marks[0].first == i {
			from, marks = marks[0].from, marks[1:]
		}
		b.undo = append(b.undo, span{wd: w.WD, from: from, until: unsettled})
	}
	own := b.undo
	if stray != NoWD {
		own = append(own, b.stray(fd, stray))
	}
	b.done = 0
	b.n.expect(own...)
	return b.n.removeOwn(fd, own[len(b.undo):])
}

// rollBack removes all that was added and takes its records out.
func (b *batch) rollBack() error {
	if b.undo == nil && b.done > 0 {
		if err := b.n.stage(func(fd int) error { return b.abort(fd, NoWD) }); err != nil {
			return err
		}
	}
	if b.undo == nil {
		return nil
	}
	for slice := range slices.Chunk(b.undo, sliceSteps-1) {
		if err := b.n.stage(func(fd int) error { return b.n.removeOwn(fd, slice) }); err != nil {
			return err
		}
		runtime.Gosched()
	}
	return b.takeBack(b.t.pinned && b.reached == 0)
}

// expect makes watches own watches. Where nothing may be read it does nothing.
func (n *Inotify) expect(own ...span) {
	if n.unreadable == nil {
		n.queue.expect(own...)
	}
}

// removeOwn removes own watches. The queue is emptied first as far as it may be,
// so that the removals cannot overflow it. It is run by stage.
func (n *Inotify) removeOwn(fd int, own []span) (err error) {
	if n.unreadable == nil {
		err = n.queue.drain(fd)
	}
	for _, s := range own {
		sysRemove(fd, s.wd) // it may be gone already, with what it watched
	}
	return err
}

// takeBack takes out the records of own watches that were removed. If they were
// quiet, there is no more to come than is there.
func (b *batch) takeBack(quiet bool) error {
	if b.n.unreadable != nil {
		// Whoever reads this descriptor does so elsewhere, and is told.
		return fmt.Errorf("an IN_IGNORED of each watch that was removed again remains in the queue: %w", b.n.unreadable)
	}
	var err error
	if !quiet {
		err = quiesce()
	}
	return join(err, b.n.stage(b.n.queue.sweep))
}

// quiesce waits until no event is on its way of a watch that has been removed.
//
// IN_IGNORED is not always a watch's last record: what another processor is
// just then reporting comes after it (seen on Linux 6.18, TestEventsAfterIgnored).
// The kernel waits for those processors (synchronize_srcu) before it frees a
// removed watch, and for that when an instance is closed, some 10 ms.
func quiesce() error {
	other, err := New()
	if err != nil {
		return fmt.Errorf("an event of a watch that was removed again may follow: %w", err)
	}
	return other.Close()
}

// named adds to the error for an inode that is watched already which watch that
// is, where there are several that it can be.
func (b *batch) named(err error) error {
	if err != errWatched || len(b.ws) == 1 {
		return err
	}
	census, cerr := b.n.takeCensus()
	if cerr != nil {
		return err
	}
	w := &b.ws[b.failed]
	b.t.set(w)
	b.n.stage(func(fd int) error {
		// Asks for the number of the inode's watch and changes nothing about it.
		wd, e := sysAdd(fd, &b.t.path[0], scratchMask|w.Mask&(DontFollow|OnlyDir))
		switch {
		case e != success:
		case census.taken(wd) || b.has(wd):
			err = watchedAs(wd)
		default: // that watch has gone meanwhile, and this is a new one
			b.n.expect(span{wd: wd, until: unsettled, quiet: true})
			return b.n.removeOwn(fd, []span{{wd: wd}})
		}
		return nil
	})
	return err
}

// stage runs f with the descriptor and holds queue.mu meanwhile.
func (n *Inotify) stage(f func(fd int) error) error {
	n.queue.mu.Lock()
	defer n.queue.mu.Unlock()
	var err error
	if cerr := n.control(func(fd int) { err = f(fd) }); cerr != nil {
		return cerr
	}
	return err
}
