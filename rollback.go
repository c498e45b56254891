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
		for len(marks) > 0 && marks[0].first == i {
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
	err := b.removeAll()
	if errors.Is(err, os.ErrClosed) && b.other != nil {
		b.removeForOthers()
	}
	return err
}

func (b *batch) removeAll() error {
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

// removeForOthers removes all that was added when the Inotify is closed and others
// hold the instance. They read of it, too.
func (b *batch) removeForOthers() {
	conn, err := b.other.SyscallConn()
	if err != nil {
		return
	}
	conn.Control(func(fd uintptr) {
		for _, w := range b.ws[:b.reached] {
			sysRemove(int(fd), w.WD)
		}
	})
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
		if e := sysRemove(fd, s.wd); e != success && n.unreadable == nil {
			n.queue.gone(s.wd) // with what it watched
		}
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
