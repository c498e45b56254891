// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package record

import (
	"fmt"
	"math"
	"slices"

	"github.com/seed10546c08/inotify/internal/bywd"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A Span is the range of the record stream that has the records of an internal watch. An
// internal watch is added only to be removed again: a scratch watch, or a watch that got
// the wrong wd. Its records must not reach a reader.
//
// The wd does not identify these records: an earlier watch may have had the same wd, a
// later one may get it, and readers must get the records of both. Positions do: the queue
// counts the bytes that it reads. The kernel reuses a wd only after it has queued the
// IN_IGNORED of the earlier watch, and no later watch gets it while a restore has the wds
// locked. If another watch has an IN_IGNORED in the range all the same, it is recognized as
// the second one there, because each watch has one.
type Span struct {
	WD          int32
	From, Until uint64
	Only        uint32 // the bit of the watch's only record, which has no name; 0 if it may have others, before its IN_IGNORED or late
	seen        bool   // the last record was read
	awaited     bool   // the last record is still expected
}

// Open is the Until of a watch that may still queue records.
const Open = math.MaxUint64

// maxIdleSpans is the capacity up to which an empty list of spans keeps its memory.
const maxIdleSpans = 256

// A filter knows which records are internal.
type filter struct {
	internal []Span // ascending by wd
	awaited  int    // how many of internal have awaited set
	ending   uint64 // the lowest Until of internal
	guess    int    // index of the span that the next record probably belongs to
}

// Filter drops the records of spans from what is read from now on.
func (q *Queue) Filter(spans ...Span) { q.filter.add(spans) }

func (f *filter) add(spans []Span) {
	for _, s := range spans {
		s.awaited = true
		f.internal = append(f.internal, s)
		f.ending = min(f.ending, s.Until)
	}
	f.awaited += len(spans)
	f.sort()
}

// FilterBuffered is Filter for spans whose records may be among those that are
// buffered, too.
func (q *Queue) FilterBuffered(spans ...Span) error {
	others := q.internal // they were applied when the buffered records were read
	q.internal = nil
	q.add(spans)
	left, err := q.remove(q.buf[q.r:q.w], q.bufferedAt())
	q.w = q.r + left
	q.internal = append(q.internal, others...)
	q.sort()
	return err
}

func (f *filter) sort() {
	byWD := func(a, b Span) int { return int(a.WD) - int(b.WD) }
	if !slices.IsSortedFunc(f.internal, byWD) {
		slices.SortStableFunc(f.internal, byWD)
	}
	f.guess = 0
}

// Ended notes that an internal watch ended before it was removed: its IN_IGNORED is
// queued or was read.
func (q *Queue) Ended(wd int32) {
	for i := q.first(wd); i < len(q.internal) && q.internal[i].WD == wd; i++ {
		if s := &q.internal[i]; s.Until == Open {
			q.stopAwaiting(s)
		}
	}
}

func (f *filter) stopAwaiting(s *Span) {
	if s.awaited {
		s.awaited = false
		f.awaited--
	}
}

// first returns the place of the first span with the wd or a higher one.
func (f *filter) first(wd int32) int {
	i, _ := bywd.Find(f.internal, wd, func(s Span) int32 { return s.WD })
	return i
}

// Internal returns how many bytes in the kernel's queue no reader will get: one record for
// each span whose last record was not read yet. A misplaced watch that reported events may
// have more, which are not counted.
func (q *Queue) Internal() int { return HeaderSize * q.awaited }

// CloseSpans ends the open spans at end. Their watches have been removed.
func (q *Queue) CloseSpans(end uint64) {
	for i := range q.internal {
		if q.internal[i].Until == Open {
			q.internal[i].Until = end
		}
		q.ending = min(q.ending, q.internal[i].Until)
	}
	q.prune(q.pos)
}

// closeSpansNow ends the open spans at what the kernel's queue now holds.
func (q *Queue) closeSpansNow(fd int) error {
	if len(q.internal) == 0 {
		return nil
	}
	end, err := q.End(fd) // 0 with an error: then readers may get an internal record, but lose none
	if err != nil && q.awaited > 0 {
		err = fmt.Errorf("an IN_IGNORED of a rolled-back watch may be read: %w", err)
	}
	q.CloseSpans(end)
	return err
}

// prune forgets the spans that end before pos.
func (f *filter) prune(pos uint64) {
	if len(f.internal) == 0 || pos < f.ending {
		return
	}
	f.ending, f.guess = Open, 0
	f.internal = slices.DeleteFunc(f.internal, func(s Span) bool {
		if s.Until > pos {
			f.ending = min(f.ending, s.Until)
			return false
		}
		f.stopAwaiting(&s) // it was lost in an overflow
		return true
	})
	if len(f.internal) == 0 && cap(f.internal) > maxIdleSpans {
		f.internal = nil
	}
}

// Discard ends the open spans, whose watches have been removed. If the kernel's queue has
// only their records, Discard reads and drops them. Otherwise the next reader does: it has
// been woken for the other records.
func (q *Queue) Discard(fd int) error {
	if err := q.closeSpansNow(fd); err != nil || q.Buffered() > 0 || q.awaited == 0 {
		return err
	}
	queued, err := sys.Queued(fd)
	if err != nil || queued != q.Internal() || queued > readSize {
		return err
	}
	_, err = q.read(fd, queued)
	return err
}

// remove removes the internal records from b, which begins at a position of the stream. It
// returns how many bytes are left at b's front.
func (f *filter) remove(b []byte, at uint64) (left int, err error) {
	for off := 0; off < len(b); {
		rec, size, err := Decode(b[off:])
		if err != nil {
			return left, err
		}
		if !f.isInternal(rec, at+uint64(off)) {
			left += copy(b[left:], b[off:off+size])
		}
		off += size
	}
	return left, nil
}

// isInternal reports whether a record at a position is an internal watch's.
func (f *filter) isInternal(rec Record, at uint64) bool {
	i := f.guess // mostly they come in order
	if i >= len(f.internal) || f.internal[i].WD != rec.WD || i > 0 && f.internal[i-1].WD == rec.WD {
		i = f.first(rec.WD)
	}
	for ; i < len(f.internal) && f.internal[i].WD == rec.WD; i++ {
		s := &f.internal[i]
		if at < s.From || at >= s.Until {
			continue
		}
		last := s.Only
		if last == 0 {
			last = sys.Ignored
		}
		switch {
		case rec.Mask&last == 0 || len(rec.Name) > 0:
			if s.Only != 0 {
				continue
			}
		case s.seen: // it is another watch's
			continue
		default:
			s.seen = true
			f.stopAwaiting(s)
			f.guess = i + 1
		}
		return true
	}
	return false
}
