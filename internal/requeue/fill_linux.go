// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// Fill puts events into n's queue, in their order. It needs INOTIFY_IOC_SETNEXTWD and /proc.
// Without the ioctl the error matches [errors.ErrUnsupported], and nothing was changed. If
// there are no events and no overflow is wanted, nothing is done.
//
// n must have no watches and no unread events, O_NONBLOCK set and O_ASYNC not set. It may
// be another process's, through a duplicate. No process may read it, add watches to it or
// change its flags meanwhile: all processes that hold the instance must be stopped, as
// they would read junk records. Fill adds two watches at least; it takes longer where the
// user's limit allows only a few more.
//
// A process that another goroutine starts meanwhile does no harm. One that C code forks may:
// it has duplicates of the scratch files' descriptors until it executes a program, so that
// events of closing them come late.
//
// Afterwards n has no watches and its queue holds a record for each event, with the
// same wd, mask and name, and nothing else. Cookies are new, and those of the two halves of
// a rename are equal. What had to be changed is in the Result. Next comes what sets the
// next wd ([inotify.Inotify.SetNextWD]) and adds watches ([inotify.Inotify.RestoreWatches]);
// not NextWD, which leaves a record in the queue.
//
// If Fill fails, or ctx ends, n has no watches and an empty queue, and the error names the
// call that failed. If the watches or the events could not be removed, it says so, too.
func Fill(ctx context.Context, n *inotify.Inotify, events []inotify.Event, opts Options) (Result, error) {
	r, err := checkAndFill(ctx, n, events, opts)
	if err != nil {
		return Result{}, fmt.Errorf("put events into the queue: %w", err)
	}
	return r, nil
}

func checkAndFill(ctx context.Context, n *inotify.Inotify, events []inotify.Event, opts Options) (Result, error) {
	in := instance{n}
	if err := in.check(); err != nil {
		return Result{}, err
	}
	if opts.MaxQueue <= 0 {
		opts.MaxQueue = DefaultMaxQueue
	}
	if limit := queueLimit(); limit > opts.MaxQueue {
		return Result{}, fmt.Errorf("fs.inotify.max_queued_events is %d, and at most %d records may be made", limit, opts.MaxQueue)
	}
	if len(events) == 0 && !opts.Overflow {
		return Result{}, nil
	}
	if err := n.SetNextWD(junkWDs(events)[0]); err != nil { // before any file is made
		return Result{}, err
	}
	if err := rehearse(ctx, events, opts); err != nil {
		return Result{}, fmt.Errorf("rehearsal: %w", err)
	}
	p, err := fill(ctx, in, events, opts)
	if err != nil {
		return Result{}, err
	}
	return Result{Queued: len(p.events()), Changes: p.changes}, nil
}

// fill fills the queue and returns what is in it. If it fails, the queue is empty and the
// instance has no watches.
func fill(ctx context.Context, in instance, events []inotify.Event, opts Options) (plan, error) {
	c := conditions{overflow: opts.Overflow}
	if unmounts(events) {
		var err error
		if c.unmount, err = canMount(); err != nil {
			return plan{}, err
		}
	}
	s, err := newStage(ctx, in, opts.Scratch)
	if err != nil {
		return plan{}, err
	}
	f := filler{stage: s, ctx: ctx, events: events, maxQueue: opts.MaxQueue, progress: newMeter(opts.Progress, len(events)), buf: make([]byte, bufferSize)}
	p, err := f.run(c)
	if err != nil {
		return plan{}, errors.Join(err, s.abandon())
	}
	return p, nil
}

func unmounts(events []inotify.Event) bool {
	return slices.ContainsFunc(events, func(e inotify.Event) bool { return e.Mask.Has(inotify.Unmount) })
}

// A stage is where records are made: scratch files, and the scratch watches on them.
type stage struct {
	in      instance
	scratch scratch
	junk    *junkSource
	watches *watches
	closed  bool // the descriptors of the scratch files
}

func newStage(ctx context.Context, in instance, below string) (*stage, error) {
	dir, err := newScratch(below)
	if err != nil {
		return nil, err
	}
	junk, err := newJunkSource(dir)
	if err != nil {
		sys.Close(dir.fd)
		return nil, errors.Join(err, dir.remove())
	}
	return &stage{in: in, scratch: dir, junk: junk, watches: newWatches(ctx, in, dir)}, nil
}

// remove removes the files. It may be called again if it fails.
func (s *stage) remove() error {
	if !s.closed {
		s.closed = true
		sys.Close(s.junk.fd)
		sys.Close(s.scratch.fd)
	}
	return s.scratch.remove()
}

// abandon leaves the instance without watches and its queue empty.
func (s *stage) abandon() error {
	return errors.Join(s.junk.abandon(s.in), s.watches.abandon(), s.in.empty(), s.remove())
}

// A filler fills a queue.
type filler struct {
	*stage
	ctx      context.Context
	events   []inotify.Event
	maxQueue int
	progress *meter
	buf      []byte
}

// run makes the records, and leaves nothing else in the queue.
func (f *filler) run(c conditions) (plan, error) {
	if err := f.junk.watch(f.in, f.scratch, junkWDs(f.events)); err != nil {
		return plan{}, err
	}
	p, junk, err := f.fillUntilOverflow(c)
	if err != nil {
		return plan{}, err
	}
	if err := f.junk.unwatch(f.in); err != nil {
		return plan{}, err
	}
	a := max(p.overflow, 0)
	steps := stepsFor(p.records[a:], kindsOf(p.records)[a:])
	if junk, err = f.makeBehind(steps, junk, recordsSize(p.records[:a])); err != nil {
		return plan{}, err
	}
	return p, f.keep(p, junk)
}

// fillUntilOverflow makes junk, the records that are planned before the overflow, and the
// overflow record. It returns the plan, which depends on how many records the queue takes,
// and the junk that is in the queue.
func (f *filler) fillUntilOverflow(c conditions) (plan, junkQueue, error) {
	c.capacity = f.expectedCapacity()
	if p := newPlan(f.events, c); p.overflow > 0 {
		junk, err := f.makeBefore(p, c.capacity)
		var wrongCapacity *sizeError
		var limit *inotify.LimitError
		switch {
		case errors.As(err, &limit): // before the overflow no watch can be removed to make room for another
			c.overflowFirst, c.detail = true, limit.Error()
		case !errors.As(err, &wrongCapacity):
			return p, junk, err
		}
		if err := errors.Join(f.watches.abandon(), f.in.empty()); err != nil {
			return plan{}, junkQueue{}, err
		}
	}
	junk, err := f.overflow()
	if err != nil {
		return plan{}, junkQueue{}, err
	}
	c.capacity = junk.to
	p := newPlan(f.events, c)
	if p.overflow <= 0 {
		return p, junk, nil
	}
	if err := f.read(junk.bytes() + headerSize); err != nil {
		return plan{}, junkQueue{}, err
	}
	junk, err = f.makeBefore(p, c.capacity)
	return p, junk, err
}

// expectedCapacity is how many records the queue takes, unless the instance was made under
// another limit.
func (f *filler) expectedCapacity() int {
	if limit := queueLimit(); limit > 0 {
		return min(limit, f.maxQueue)
	}
	return 1 << 14 // the kernel's default
}

// overflow makes junk until the queue overflows, which shows how many records it takes.
func (f *filler) overflow() (junkQueue, error) {
	pairs := f.expectedCapacity()/2 + 1
	for made := 0; made <= f.maxQueue; pairs = min(512, (f.maxQueue-made)/2+1) {
		f.progress.total += 2 * 2 * pairs
		if err := f.makeJunk(pairs); err != nil {
			return junkQueue{}, err
		}
		made += 2 * pairs
		bytes, err := f.in.queued()
		if err != nil {
			return junkQueue{}, err
		}
		if bytes < (junkQueue{0, made}).bytes() {
			return junkQueue{0, recordsIn(bytes - headerSize)}, nil
		}
	}
	return junkQueue{}, fmt.Errorf("the queue is longer than %d records", f.maxQueue)
}

// makeJunk makes pairs of junk records.
func (f *filler) makeJunk(pairs int) error {
	for pairs > 0 {
		n := min(pairs, 256)
		if err := f.junk.pairs(n); err != nil {
			return err
		}
		if err := f.count(2 * n); err != nil {
			return err
		}
		pairs -= n
	}
	return nil
}

// makeBefore makes the records before the overflow, and the overflow, in an empty queue
// that takes capacity records. If it takes more or fewer, the error is a *sizeError.
func (f *filler) makeBefore(p plan, capacity int) (junkQueue, error) {
	junk := junkQueue{0, capacity - p.overflow}
	f.progress.total += 2 * capacity
	if err := f.makeJunk(junk.to / 2); err != nil {
		return junk, err
	}
	if junk.to%2 == 1 {
		if err := f.junk.write(); err != nil {
			return junk, err
		}
	}
	before := p.records[:p.overflow]
	steps := stepsFor(before, kindsOf(p.records)[:p.overflow])
	for i := range steps {
		if err := f.perform(&steps[i]); err != nil {
			return junk, err
		}
	}
	if err := f.junk.write(); err != nil {
		return junk, err
	}
	return junk, f.in.wantQueued(junk.bytes() + recordsSize(before) + headerSize)
}

// perform performs a step, and counts its records.
func (f *filler) perform(s *step) error {
	if err := f.watches.perform(s); err != nil {
		return err
	}
	return f.count(s.records())
}

// makeBehind makes the records behind the overflow record, one segment after the other. For
// each it reads as many junk records as the segment has records, and makes these. So the
// queue is full between two segments, where watches can be removed without an IN_IGNORED.
func (f *filler) makeBehind(steps []step, junk junkQueue, made int) (junkQueue, error) {
	excess := 1 // the overflow record is one more than the queue takes
	for len(steps) > 0 {
		if len(f.watches.live) > maxWatches {
			if err := f.dropWatches(junk.bytes() + headerSize + made); err != nil {
				return junk, err
			}
		}
		n, err := f.prepare(steps[:segment(steps)])
		if err != nil {
			return junk, err
		}
		room := excess
		for i := range steps[:n] {
			room += steps[i].records()
		}
		if junk, err = f.readJunk(junk, room); err != nil {
			return junk, err
		}
		for i := range steps[:n] {
			if err := f.perform(&steps[i]); err != nil {
				return junk, err
			}
			made += steps[i].size()
		}
		steps, excess = steps[n:], 0
	}
	return junk, nil
}

// maxWatches is how many watches stay for later segments.
const maxWatches = 1024

// prepare adds the watches that the steps need, while the queue is full. It returns how many
// of the steps have their watches: fewer than all if the user's limit allows no more.
func (f *filler) prepare(steps []step) (int, error) {
	used := map[inotify.WD]bool{}
	for i := range steps {
		err := f.prepareWatch(steps[i].WD, steps[i].kind, steps[i].mask(), used)
		if err == nil && steps[i].paired {
			err = f.prepareWatch(steps[i].to.WD, kindDir, inotify.MovedTo, used)
		}
		var limit *inotify.LimitError
		if i > 0 && errors.As(err, &limit) {
			return i, nil
		}
		if err != nil {
			return 0, fmt.Errorf("make %s: %w", describe(steps[i].Event), err)
		}
	}
	return len(steps), nil
}

// prepareWatch adds a watch, unless it is there or its wd is used in this segment already.
func (f *filler) prepareWatch(wd inotify.WD, k kind, mask inotify.Mask, used map[inotify.WD]bool) error {
	if used[wd] {
		return nil
	}
	used[wd] = true
	w, ok := f.watches.live[wd]
	if ok && w.kind == k {
		return nil
	}
	if ok {
		if err := f.watches.drop(wd); err != nil {
			return err
		}
	}
	_, err := f.watches.add(wd, k, mask)
	var limit *inotify.LimitError
	if !errors.As(err, &limit) || len(f.watches.live) == 0 {
		return err
	}
	if derr := f.watches.dropAll(used); derr != nil {
		return errors.Join(err, derr)
	}
	_, err = f.watches.add(wd, k, mask)
	return err
}

// keep removes the scratch watches and reads what is before the records, which stay. At the
// end the queue must have exactly their size: so no removal has queued anything.
func (f *filler) keep(p plan, junk junkQueue) error {
	wanted, before := recordsSize(p.records), junk.bytes()
	if p.overflow == none {
		before += headerSize // that overflow record is not wanted
	} else {
		wanted += headerSize
	}
	if err := f.dropWatches(before + wanted); err != nil {
		return err
	}
	if err := f.remove(); err != nil {
		return err
	}
	if err := f.read(before); err != nil {
		return err
	}
	f.progress.finish()
	return f.in.wantQueued(wanted)
}

// dropWatches removes all watches while the queue is full, so that no Ignored is queued. It
// checks the queue's size first: if a record were missing, an Ignored would take its place.
// As that has the size of any record without a name, no later check would find it.
func (f *filler) dropWatches(queued int) error {
	if err := f.in.wantQueued(queued); err != nil {
		return err
	}
	return f.watches.dropAll(nil)
}

// readJunk reads so many junk records, and returns those that are left.
func (f *filler) readJunk(junk junkQueue, records int) (junkQueue, error) {
	err := f.read(junk.bytesOf(records))
	return junkQueue{junk.from + records, junk.to}, err
}

// read reads so many bytes, which must be whole records: read(2) returns no part of one.
func (f *filler) read(bytes int) error {
	for bytes > 0 {
		n, err := f.in.read(f.buf[:min(bytes, len(f.buf))])
		if err != nil {
			return err
		}
		if n <= 0 {
			return fmt.Errorf("read: the queue is empty where %d bytes of junk should be", bytes)
		}
		bytes -= n
		if err := f.count(n * 2 / pairOfJunk); err != nil {
			return err
		}
	}
	return nil
}

// count adds records that were made or read to the progress. It returns an error if the
// context has ended.
func (f *filler) count(records int) error {
	f.progress.add(records)
	return f.ctx.Err()
}
