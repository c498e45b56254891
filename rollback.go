// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
)

// A mark says that no record of a former life of the numbers of ws[first:] lies
// at or behind a position of the queue. Numbers without a mark had none.
type mark struct {
	first int
	from  uint64
}

// mark notes where the former lives of the numbers to be given next end, if they
// can have had one: a number above all that were given here had none.
func (b *batch) mark(fd int) error {
	if b.n.queue.buffered() > maxPutBy {
		return errPutBy
	}
	if !b.n.foreign.Load() && b.ws[b.done].WD > WD(b.n.highest.Load()) {
		return nil
	}
	from, err := b.n.queue.end(fd)
	if err == nil {
		b.marks = append(b.marks, mark{b.done, from})
	}
	return err
}

// stray returns the span of a watch that got a wrong number, or the right one and not
// its mask. blank says that it reports nothing.
func (b *batch) stray(wd WD, blank bool) span {
	s := span{wd: wd, from: b.from(b.done), until: unsettled}
	if blank {
		s.only = Ignored
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

// abort has the records of all watches that were added, and of strays, taken out from
// now on, and removes the strays. The others are left for rollBack. It is run by stage.
func (b *batch) abort(fd int, strays ...span) error {
	b.reached = b.done
	own := make([]span, 0, len(strays)+b.done)
	own = append(own, strays...)
	marks, from := b.marks, uint64(0)
	for i, w := range b.ws[:b.done] {
		for len(marks) > 0 && marks[0].first == i {
			from, marks = marks[0].from, marks[1:]
		}
		own = append(own, span{wd: w.WD, from: from, until: unsettled})
	}
	left, err := b.n.claim(fd, own)
	first := 0
	for first < len(left) && !b.has(left[first].wd) {
		first++
	}
	b.undo = left[first:]
	return join(err, b.n.removeOwn(fd, left[:first]))
}

// claim makes watches own watches, and returns those that are still to be removed.
//
// The number of each may have had a former life, whose records are queued and are not
// told apart from the own ones by where they lie: it ended just before the number was
// given anew. But each life has one IN_IGNORED. So all that no reader has read is looked
// through, and a watch with an IN_IGNORED there is removed: if the kernel knew it, the IN_IGNORED
// was of a former life, and else the last one is its own.
//
// It is run by stage.
func (n *Inotify) claim(fd int, own []span) (left []span, err error) {
	q := &n.queue
	if n.unreadable != nil || len(own) == 0 {
		return own, nil
	}
	raw, err := q.load(fd, nil)
	before := q.pos + uint64(len(raw))
	ends := q.ignoredIn(raw)
	left = own[:0:0]
	var removed []int // in own
	gone := make(map[WD]bool)
	var kept kept
	for i, s := range own {
		if !slices.ContainsFunc(ends[s.wd], func(end uint64) bool { return end > s.from }) {
			continue
		}
		removed = append(removed, i)
		switch e := sysRemove(fd, s.wd); e {
		case success:
		case eINVAL:
			gone[s.wd] = true
		default:
			kept.add(s.wd, e)
		}
	}
	if len(gone) > 0 { // just now, perhaps
		var more error
		raw, more = q.load(fd, raw)
		err = join(err, more)
		ends = q.ignoredIn(raw)
	}
	for _, i := range removed {
		s := &own[i]
		former := ends[s.wd]
		if gone[s.wd] {
			former = former[:len(former)-1]
		}
		for _, end := range former {
			if end <= before {
				s.from = max(s.from, end)
			}
		}
	}
	err = join(err, q.expectHeld(own...))
	for i, s := range own {
		if _, found := slices.BinarySearch(removed, i); !found {
			left = append(left, s)
		}
	}
	return left, join(join(err, q.accept(raw)), kept.error())
}

// rollBack removes all that was added and takes its records out.
func (b *batch) rollBack() error {
	err := b.removeAll()
	if !errors.Is(err, os.ErrClosed) {
		return err
	}
	if b.undo == nil { // it was closed before anything was undone
		for _, w := range b.ws[:b.reached] {
			b.undo = append(b.undo, span{wd: w.WD})
		}
	}
	switch {
	case len(b.undo) == 0:
	case b.other != nil:
		err = join(err, b.removeForOthers())
	case b.otherErr != nil:
		err = join(err, &keptError{kept{count: len(b.undo), first: b.undo[0].wd}, b.otherErr})
	}
	return err
}

// removeAll goes on whatever fails, unless the Inotify was closed, and leaves in undo
// what it has not come to then.
func (b *batch) removeAll() (err error) {
	if b.undo == nil && b.done > 0 {
		err = b.n.stage(func(fd int) error { return b.abort(fd) })
	}
	if b.undo == nil {
		return err
	}
	var kept kept
	for room := queueRoom(); len(b.undo) > 0; {
		slice := b.undo[:min(room, len(b.undo))]
		failed := b.n.stage(func(fd int) error { return b.n.removeSome(fd, slice, &kept) })
		if errors.Is(failed, os.ErrClosed) {
			return join(join(err, kept.error()), failed)
		}
		if err == nil { // of the others each says the same
			err = failed
		}
		b.undo = b.undo[len(slice):]
		runtime.Gosched()
	}
	return join(join(err, kept.error()), b.takeBack(b.t.pinned && b.reached == 0))
}

// queueRoom returns how many records of its own a restore may have in the kernel's
// queue: fewer where that is small, since what comes meanwhile has room there, too.
func queueRoom() int {
	size := sysctl("fs.inotify.max_queued_events").Value
	if size < 0 {
		return sliceSteps - 1
	}
	return int(min(max(size/4, 1), sliceSteps-1))
}

// removeForOthers removes what is left of all that was added when the Inotify is closed
// and others hold the instance. They read of it, too.
func (b *batch) removeForOthers() error {
	conn, err := b.other.SyscallConn()
	if err != nil {
		return err
	}
	var kept kept
	err = conn.Control(func(fd uintptr) {
		for _, s := range b.undo {
			if e := sysRemove(int(fd), s.wd); e != success && e != eINVAL { // else it went with what it watched
				kept.add(s.wd, e)
			}
		}
	})
	return join(err, kept.error())
}

// expect makes watches own watches. Where nothing may be read it does nothing.
func (n *Inotify) expect(own ...span) {
	if n.unreadable == nil {
		n.queue.expect(own...)
	}
}

// removeOwn removes own watches. It is run by stage.
func (n *Inotify) removeOwn(fd int, own []span) error {
	var kept kept
	err := n.removeSome(fd, own, &kept)
	return join(err, kept.error())
}

// removeSome removes own watches. The queue is emptied first as far as it may be,
// so that the removals cannot overflow it. It is run by stage.
func (n *Inotify) removeSome(fd int, own []span, kept *kept) (err error) {
	if n.unreadable == nil {
		err = n.queue.drain(fd)
	}
	for _, s := range own {
		e := sysRemove(fd, s.wd)
		if e == success {
			continue
		}
		if n.unreadable == nil {
			n.queue.gone(s.wd)
		}
		if e != eINVAL { // else it went with what it watched
			kept.add(s.wd, e)
		}
	}
	return err
}

// kept are own watches that the kernel did not let be removed, as a seccomp profile
// can forbid it.
type kept struct {
	count int
	first WD
	err   errno // of the first
}

func (k *kept) add(wd WD, e errno) {
	if k.count++; k.count == 1 {
		k.first, k.err = wd, e
	}
}

func (k *kept) error() error {
	if k.count == 0 {
		return nil
	}
	return &keptError{*k, callError(callRemove, k.err)}
}

// A keptError says which watches that nobody asked for are left, and why.
type keptError struct {
	kept
	why error
}

func (e *keptError) Error() string {
	s := fmt.Sprintf("watch %d", e.first)
	switch {
	case e.count == 2:
		s += " and 1 other"
	case e.count > 2:
		s += fmt.Sprintf(" and %d others", e.count-1)
	}
	return fmt.Sprintf("leaked %s: %v", s, e.why)
}

func (e *keptError) Unwrap() error { return e.why }

// mayFollow says what a reader may see because the queue could not be looked at.
func mayFollow(err error) error {
	return fmt.Errorf("an IN_IGNORED of a rolled-back watch may be read: %w", err)
}

// takeBack takes out the records of own watches that were removed. If they were
// quiet, there is no more to come than is there.
func (b *batch) takeBack(quiet bool) error {
	if b.n.unreadable != nil {
		// Whoever reads this descriptor does so elsewhere, and is told.
		return fmt.Errorf("an IN_IGNORED of each rolled-back watch is left in the queue: %w", b.n.unreadable)
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
	other, err := initInstance()
	if err != nil {
		return fmt.Errorf("an event of a rolled-back watch may be read: %w", err)
	}
	sysClose(other)
	return nil
}
