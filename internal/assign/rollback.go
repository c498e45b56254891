// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/seed10546c08/inotify/internal/instance"
	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A mark says that no record of a former life of the wds of ws[first:] lies at or behind
// a position of the queue. Wds without a mark had none.
type mark struct {
	first int
	from  uint64
}

// mark notes where the former lives of the wds to be given next end, if they can have had
// one: a wd above all that were given here had none.
func (a *assignment) mark(fd int, q *record.Queue) error {
	if err := q.CheckFull(); err != nil {
		return err
	}
	if !a.in.Shared.Load() && a.ws[a.done].WD > a.in.Highest() {
		return nil
	}
	from, err := q.End(fd)
	if err == nil {
		a.marks = append(a.marks, mark{a.done, from})
	}
	return err
}

// misplaced returns the span of a watch that got a wrong wd, or the right one and not
// its mask. blank says that it reports nothing.
func (a *assignment) misplaced(wd int32, blank bool) record.Span {
	s := record.Span{WD: wd, Until: record.Open}
	for _, m := range slices.Backward(a.marks) {
		if m.first <= a.done {
			s.From = m.from
			break
		}
	}
	if blank {
		s.Only = sys.Ignored
	}
	return s
}

// added returns the spans of the watches that were added.
func (a *assignment) added() []record.Span {
	spans := make([]record.Span, 0, a.done)
	marks, from := a.marks, uint64(0)
	for i, w := range a.ws[:a.done] {
		for len(marks) > 0 && marks[0].first <= i {
			from, marks = marks[0].from, marks[1:]
		}
		spans = append(spans, record.Span{WD: w.WD, From: from, Until: record.Open})
	}
	return spans
}

// removeMisplaced removes watches and returns what they leave in the queue.
func (a *assignment) removeMisplaced(fd int, q *record.Queue, spans ...record.Span) (left residue, err error) {
	left = quiet
	for _, s := range spans {
		if s.Only != sys.Ignored {
			left = reporting
		}
	}
	spans, err = claim(a.in, fd, q, spans)
	if len(spans) > 0 {
		var leaked leaked
		err = Join(err, removeSome(a.in, fd, q, spans, &leaked))
		err = Join(err, leaked.error())
	}
	return left, err
}

// claim makes watches internal, and returns those that are still to be removed.
//
// The wd of each may have had a former life, whose records are queued and are not
// told apart from the internal ones by where they lie: it ended just before the wd was
// given anew. But each life has one IN_IGNORED. So all that no reader has read is looked
// through, and a watch with an IN_IGNORED there is removed: if the kernel knew it, the IN_IGNORED
// was of a former life, and else the last one is its own.
func claim(in *instance.Instance, fd int, q *record.Queue, spans []record.Span) (rest []record.Span, err error) {
	if in.Unreadable != nil || len(spans) == 0 {
		return spans, nil
	}
	raw, err := q.Load(fd, nil)
	before := q.Pos() + uint64(len(raw))
	ends := q.Ignored(raw)
	rest = spans[:0:0]
	var removed []int // in spans
	ended := make(map[int32]bool)
	var leaked leaked
	for i, s := range spans {
		if !slices.ContainsFunc(ends[s.WD], func(end uint64) bool { return end > s.From }) {
			continue
		}
		removed = append(removed, i)
		switch e := sys.Remove(fd, s.WD); e {
		case sys.OK:
		case sys.EINVAL:
			ended[s.WD] = true
		default:
			leaked.add(s.WD, e)
		}
	}
	if len(ended) > 0 { // just now, perhaps
		var more error
		raw, more = q.Load(fd, raw)
		err = Join(err, more)
		ends = q.Ignored(raw)
	}
	for _, i := range removed {
		s := &spans[i]
		former := ends[s.WD]
		if ended[s.WD] {
			former = former[:len(former)-1]
		}
		for _, end := range former {
			if end <= before {
				s.From = max(s.From, end)
			}
		}
	}
	err = Join(err, q.FilterBuffered(spans...))
	for i, s := range spans {
		if _, found := slices.BinarySearch(removed, i); !found {
			rest = append(rest, s)
		}
	}
	return rest, Join(Join(err, q.Accept(raw)), leaked.error())
}

// rollBack removes all that was added and drops its records, and those that misplaced
// watches left. dup is a duplicate of the descriptor, if others hold the instance, and
// dupErr says why there is none.
func (a *assignment) rollBack(left residue, dup int, dupErr error) error {
	if a.done == 0 && left == nothing {
		return nil
	}
	rest, err := a.removeAdded()
	switch {
	case len(rest) == 0: // all were removed
	case dup >= 0:
		err = Join(err, removeThrough(dup, rest))
	case dupErr != nil:
		err = Join(err, &LeakedError{len(rest), rest[0].WD, dupErr})
	}
	if errors.Is(err, os.ErrClosed) {
		return err
	}
	if a.done > 0 {
		left = reporting
	}
	return Join(err, discard(a.in, left))
}

// removeAdded removes the watches that were added. It goes on whatever fails, unless the
// instance was closed, and returns those that it has not come to then.
func (a *assignment) removeAdded() (rest []record.Span, err error) {
	if a.done == 0 {
		return nil, nil
	}
	rest = a.added()
	err = a.in.With(func(fd int, q *record.Queue) (err error) {
		rest, err = claim(a.in, fd, q, rest)
		return err
	})
	if errors.Is(err, os.ErrClosed) {
		return rest, err
	}
	var leaked leaked
	for room := queueRoom(); len(rest) > 0; runtime.Gosched() {
		some := rest[:min(room, len(rest))]
		failed := a.in.With(func(fd int, q *record.Queue) error {
			return removeSome(a.in, fd, q, some, &leaked)
		})
		if errors.Is(failed, os.ErrClosed) {
			return rest, Join(Join(err, leaked.error()), failed)
		}
		if err == nil { // of the others each says the same
			err = failed
		}
		rest = rest[len(some):]
	}
	return nil, Join(err, leaked.error())
}

// queueRoom returns how many internal records a restore may have in the kernel's
// queue: fewer where that is small, since what comes meanwhile has room there, too.
func queueRoom() int {
	size := sys.Sysctl("fs.inotify.max_queued_events")
	if size < 0 {
		return sliceSteps - 1
	}
	return int(min(max(size/4, 1), sliceSteps-1))
}

// removeThrough removes watches when the instance is closed here and others hold it. They
// read what that queues, too.
func removeThrough(dup int, spans []record.Span) error {
	var leaked leaked
	for _, s := range spans {
		if e := sys.Remove(dup, s.WD); e != sys.OK && e != sys.EINVAL { // else it went with what it watched
			leaked.add(s.WD, e)
		}
	}
	return leaked.error()
}

// removeSome removes internal watches. The queue is emptied first as far as it may be,
// so that the removals cannot overflow it.
func removeSome(in *instance.Instance, fd int, q *record.Queue, spans []record.Span, leaked *leaked) (err error) {
	if in.Unreadable == nil {
		err = q.Drain(fd)
	}
	for _, s := range spans {
		e := sys.Remove(fd, s.WD)
		if e == sys.OK {
			continue
		}
		if in.Unreadable == nil {
			q.Ended(s.WD)
		}
		if e != sys.EINVAL { // else it went with what it watched
			leaked.add(s.WD, e)
		}
	}
	return err
}

// discard drops the records that removed watches left.
func discard(in *instance.Instance, left residue) error {
	if in.Unreadable != nil {
		// Whoever reads this descriptor does so elsewhere, and the error says so.
		return fmt.Errorf("an IN_IGNORED of each rolled-back watch is left in the queue: %w", in.Unreadable)
	}
	var err error
	if left == reporting {
		if err = in.Quiesce(); err != nil {
			err = fmt.Errorf("an event of a rolled-back watch may be read: %w", err)
		}
	}
	return Join(err, in.With(discardHere))
}

func discardHere(fd int, q *record.Queue) error { return q.Discard(fd) }
