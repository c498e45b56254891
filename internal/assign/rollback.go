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

// A mark says that earlier watches with the wds of ws[first:] have no records at or behind a
// position of the stream. Wds without a mark had no earlier watch.
type mark struct {
	first int
	from  uint64
}

// mark adds a mark for the watches that are not added yet. No mark is needed for wds above all
// that were given here: no earlier watch had them.
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

// spanOf returns the span of a watch that got a wrong wd, or did not get its mask. blank says
// that it reports no events.
func (a *assignment) spanOf(wd int32, blank bool) record.Span {
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

// addedSpans returns the spans of the watches that were added.
func (a *assignment) addedSpans() []record.Span {
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

// removeMisplaced removes watches and returns their residue.
func (a *assignment) removeMisplaced(fd int, q *record.Queue, spans ...record.Span) (left residue, err error) {
	left = quiet
	for _, s := range spans {
		if s.Only != sys.Ignored {
			left = reporting
		}
	}
	spans, err = markInternal(a.in, fd, q, spans)
	if len(spans) > 0 {
		var leaked leaks
		err = Join(err, removeSome(a.in, fd, q, spans, &leaked))
		err = Join(err, leaked.error())
	}
	return left, err
}

// markInternal adds the spans of watches to the filter, and returns those of the watches that
// are still to be removed.
//
// An earlier watch may have had the same wd and have ended just before: then positions do not
// separate its records from the internal ones. But each watch has one IN_IGNORED. So
// markInternal searches all unread records for those of the wds, and removes each watch that
// has one. If the removal succeeds, all of its IN_IGNOREDs are of earlier watches. If the
// kernel has no such watch, the last one is its own. The internal records begin behind the
// last IN_IGNORED of an earlier watch.
func markInternal(in *instance.Instance, fd int, q *record.Queue, spans []record.Span) (rest []record.Span, err error) {
	if in.Unreadable != nil || len(spans) == 0 {
		return spans, nil
	}
	raw, err := q.Load(fd, nil)
	before := q.Pos() + uint64(len(raw))
	ends := q.Ignored(raw)
	removed, ended, leaked := removeAmbiguous(fd, spans, ends)
	if len(ended) > 0 { // perhaps after the first Load
		var loadErr error
		raw, loadErr = q.Load(fd, raw)
		err = Join(err, loadErr)
		ends = q.Ignored(raw)
	}
	for _, i := range removed {
		s := &spans[i]
		earlier := ends[s.WD]
		if ended[s.WD] {
			earlier = earlier[:len(earlier)-1]
		}
		for _, end := range earlier {
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
	return rest, Join(Join(err, q.Accept(raw)), leaked)
}

// removeAmbiguous removes the watches that have an IN_IGNORED in their span. ends has the
// positions behind each IN_IGNORED by wd. removed has the indexes of these spans, and ended the
// wds of those that the kernel did not have any more.
func removeAmbiguous(fd int, spans []record.Span, ends map[int32][]uint64) (removed []int, ended map[int32]bool, err error) {
	ended = make(map[int32]bool)
	var leaked leaks
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
	return removed, ended, leaked.error()
}

// rollBack removes all watches that were added and drops their records and the residue left of
// misplaced watches. dup is a duplicate of the descriptor for a shared instance, or -1, and
// dupErr says why it could not be made.
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

// removeAdded removes the watches that were added. It continues after errors. If the Inotify
// is closed meanwhile it stops, and returns the watches that are left.
func (a *assignment) removeAdded() (rest []record.Span, err error) {
	if a.done == 0 {
		return nil, nil
	}
	rest = a.addedSpans()
	err = a.in.With(func(fd int, q *record.Queue) (err error) {
		rest, err = markInternal(a.in, fd, q, rest)
		return err
	})
	if errors.Is(err, os.ErrClosed) {
		return rest, err
	}
	var leaked leaks
	for room := min(queueRoom(), sliceSteps-1); len(rest) > 0; runtime.Gosched() {
		some := rest[:min(room, len(rest))]
		failed := a.in.With(func(fd int, q *record.Queue) error {
			return removeSome(a.in, fd, q, some, &leaked)
		})
		if errors.Is(failed, os.ErrClosed) {
			return rest, Join(Join(err, leaked.error()), failed)
		}
		if err == nil { // further errors have the same cause
			err = failed
		}
		rest = rest[len(some):]
	}
	return nil, Join(err, leaked.error())
}

// queueRoom returns how many internal records a restore may have in the kernel's queue: at
// most a quarter of a small queue, so that events of other watches do not overflow it.
func queueRoom() int {
	size := sys.Sysctl("fs.inotify.max_queued_events")
	if size < 0 {
		return maxInternal
	}
	return int(min(max(size/4, 1), maxInternal))
}

// removeThrough removes watches of a shared instance through a duplicate, after the Inotify was
// closed. The other holders may read the IN_IGNORED of each.
func removeThrough(dup int, spans []record.Span) error {
	var leaked leaks
	for _, s := range spans {
		if e := sys.Remove(dup, s.WD); e != sys.OK && e != sys.EINVAL { // EINVAL: it ended with its inode
			leaked.add(s.WD, e)
		}
	}
	return leaked.error()
}

// removeSome removes internal watches. It drains the kernel's queue first, so that the
// removals do not overflow it.
func removeSome(in *instance.Instance, fd int, q *record.Queue, spans []record.Span, leaked *leaks) (err error) {
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
		if e != sys.EINVAL { // EINVAL: it ended with its inode
			leaked.add(s.WD, e)
		}
	}
	return err
}

// discard drops the residue of removed watches.
func discard(in *instance.Instance, left residue) error {
	if in.Unreadable != nil {
		// Only other holders read this instance.
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
