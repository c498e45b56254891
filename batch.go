// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

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

	failed   int      // ws[failed] could not be restored
	reached  int      // how many had been added then
	undo     []span   // what is to be removed again
	other    *os.File // a duplicate, if others hold the instance
	otherErr error    // why there is none
	missing  error    // what SETNEXTWD said, if it is missing
}

// check finds what is wrong with the watches before anything is done.
func (b *batch) check() error {
	for i := range b.ws {
		w := &b.ws[i]
		err := checkWatch(w)
		switch {
		case err != nil:
		case w.Path == "":
			err = fmt.Errorf("the path is empty: %w", eINVAL)
		case i > 0 && b.ws[i-1].WD == w.WD:
			err = fmt.Errorf("the wd is asked for twice, also on %q: %w", b.ws[i-1].Path, eINVAL)
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
	if len(b.ws) > 1 && b.n.foreign.Load() {
		// Others keep the instance if it is closed here in the middle.
		if b.other, b.otherErr = b.n.File(); b.otherErr == nil {
			defer b.other.Close()
		}
	}
	err := b.byIoctl(ctx)
	if b.missing != nil {
		err = b.byClimb(ctx)
	}
	if err == nil {
		return nil
	}
	if b.undo == nil {
		b.reached = b.done
	}
	return join(b.named(err), b.rollBack())
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

// existing reports whether wd, which an add returned on a kernel that ignores
// IN_MASK_CREATE, is the number of a watch that was there before. By the census alone
// that is not certain: that watch may have ended, and the number have been given anew.
// closely says to look at that.
func (b *batch) existing(wd WD, closely bool) (bool, error) {
	if b.has(wd) {
		return true, nil // the counter is beyond it
	}
	if !b.census.listed {
		return wd <= b.census.highest, nil // gVisor gives no number twice
	}
	i, existed := find(b.census.live, wd)
	if !existed || !closely {
		return existed, nil
	}
	ws, err := b.n.watches()
	if err != nil {
		return true, fmt.Errorf("whether it is a new watch, which is left then, was not learned: %w", err)
	}
	j, exists := find(ws, wd)
	return !exists || ws[j] == b.census.live[i], nil // a new one is on another inode, or has no mask yet
}

// has reports whether this restore has added the watch wd.
func (b *batch) has(wd WD) bool {
	_, found := find(b.ws[:b.done], wd)
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
	var start, looked time.Time
	if b.done+1 < len(b.ws) {
		start = time.Now()
		looked = start
	}
	for added, look := 1, 1; ; added++ {
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
		case added >= look:
			now := time.Now()
			if now.Sub(start) > sliceTime {
				b.n.given(b.ws[b.done-1].WD)
				return nil
			}
			look = added + 8
			if now.Sub(looked) > sliceTime/4 {
				look = added + 1 // each takes its time
			}
			looked = now
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
	return join(err, b.abort(fd, b.stray(got, b.t.pinned)))
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
	if err != nil || got != b.t.wd {
		if err != nil {
			got = NoWD
		}
		return got, err
	}
	other, err := b.t.finish(fd)
	switch {
	case other != NoWD:
		// The watch went meanwhile, by somebody else's hand, and this is another.
		err = fmt.Errorf("setting the mask of watch %d reached watch %d", got, other)
		return NoWD, join(err, b.abort(fd, b.stray(other, false), b.stray(got, true)))
	case err == nil:
		b.n.given(got)
		b.done++
		b.unpin(fd)
	}
	return got, err
}

// unpin closes the descriptor of a target whose watch has been made. Linux reports
// no closing of an O_PATH descriptor, but gVisor, which lists no watches, does, to the
// new watch; that record, as long as an IN_IGNORED, is taken out.
func (b *batch) unpin(fd int) {
	if !b.t.pinned || b.honoured || b.census.listed {
		b.t.release()
		return
	}
	q := &b.n.queue
	from, err := q.end(fd)
	b.t.release()
	if until, e := q.end(fd); err == nil && e == nil && until > from && b.n.unreadable == nil {
		q.expect(span{wd: b.t.wd, from: from, until: until, only: CloseNoWrite})
	}
}

// named adds to the error for an inode that is watched already which watch that
// is, where there are several that it can be.
func (b *batch) named(err error) error {
	if err != errWatched || len(b.ws) == 1 {
		return err
	}
	w := &b.ws[b.failed]
	fd, oerr := sysOpenPath(w.Path, w.Mask.Has(DontFollow))
	if oerr != nil {
		return err
	}
	defer sysClose(fd) // the inode keeps its number until then
	device, inode, ierr := sysInode(fd)
	ws, werr := b.n.watches()
	if ierr != nil || werr != nil {
		return err
	}
	for _, other := range ws {
		if other.Device == device && other.Inode == inode {
			return watchedAs(other.WD)
		}
	}
	return err
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

// stage runs f with the descriptor and holds queue.mu meanwhile.
func (n *Inotify) stage(f func(fd int) error) error {
	n.lockQueue()
	defer n.unlockQueue()
	var err error
	if cerr := n.control(func(fd int) { err = f(fd) }); cerr != nil {
		return cerr
	}
	return err
}
