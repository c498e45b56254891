// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/requeue"
	"github.com/seed10546c08/inotify/internal/sys"
)

// instance makes the instance that r.out is about, with the pending events in its queue or
// kept for the caller.
func (r *restorer) instance(ctx context.Context) (*inotify.Inotify, error) {
	n, err := r.newInstance()
	if err != nil {
		return nil, err
	}
	overflow := r.opts.queue.overflow || !r.opts.queue.keep && r.s.undrained()
	if r.opts.queue.keep {
		r.keepEvents(overflow)
		return n, nil
	}
	if len(r.s.Pending) == 0 && !overflow {
		return n, nil
	}
	result, err := requeue.Fill(ctx, n, r.s.Pending, requeue.Options{
		Scratch: r.opts.queue.scratch, MaxQueue: r.opts.queue.maxQueue, Overflow: overflow,
		Progress: r.opts.queue.progress,
	})
	if err == nil {
		r.filled = true
		r.out.Queued, r.out.Changed = result.Queued, changesOf(result.Changes)
		if err := r.out.lost(len(r.s.Pending)); err != nil {
			r.addGap(FieldPending, 0, err)
		}
		if r.before, err = n.Buffered(); err != nil {
			n.Close()
			return nil, err
		}
		return n, nil
	}
	n.Close() // it may be left with watches
	if ctx.Err() != nil {
		return nil, err
	}
	n, nerr := r.newInstance()
	if nerr != nil {
		return nil, errors.Join(err, nerr)
	}
	r.addGap(FieldPending, 0, fmt.Errorf("the events are kept for the caller: %w", err))
	r.keepEvents(overflow)
	return n, nil
}

func (r *restorer) newInstance() (*inotify.Inotify, error) {
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	r.out = &Restored{Inotify: n, NotRestored: slices.Clone(r.skipped), flags: r.s.Flags}
	r.filled, r.before, r.kept, r.ioctl = false, 0, nil, false
	return n, nil
}

// keepEvents keeps the events out of the queue, for the caller.
func (r *restorer) keepEvents(overflow bool) {
	r.kept = slices.Clone(r.s.Pending)
	if overflow && !slices.ContainsFunc(r.kept, func(ev inotify.Event) bool { return ev.Mask.Has(inotify.QOverflow) }) {
		r.kept = append(r.kept, requeue.OverflowEvent)
	}
}

// cycle returns the options for the add/remove cycle. It must not run where the queue has
// events: it reads them.
func (r *restorer) cycle() []inotify.RestoreOption {
	if r.filled {
		return append(slices.Clone(r.opts.cycle), inotify.WithMaxSteps(0))
	}
	return r.opts.cycle
}

// ended returns the watches that were destroyed: the kernel does not list them any more,
// and the queue has grown by the IN_IGNORED of each. It is not read for that, as events
// that are read cannot be put back.
func (r *restorer) ended() (map[inotify.WD]bool, error) {
	ended := map[inotify.WD]bool{}
	for i := range r.ws {
		ended[r.ws[i].WD] = true
	}
	have, err := listWatches(r.out.Inotify)
	if err != nil {
		return nil, err
	}
	for _, w := range have {
		delete(ended, w.WD)
	}
	bytes, err := r.out.Inotify.Buffered()
	if err != nil {
		return nil, err
	}
	if bytes-r.before < record.HeaderSize*len(ended) {
		return nil, nil
	}
	return ended, nil
}

// takeRead moves into pending the events that were read from the kernel's queue and not
// delivered, which the next holder of the descriptor would not get. What is in the kernel's
// queue stays there, unless it has internal records, which only this Inotify filters out.
func (r *Restored) takeRead() error {
	if !r.clean {
		return r.drain()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		ahead, err := r.readAhead()
		if err != nil || ahead == 0 {
			return err
		}
		for ahead != 0 {
			if more, err := r.readOne(); err != nil || !more {
				return err
			}
			if ahead > 0 {
				ahead = max(0, ahead-record.Size(r.pending[len(r.pending)-1].Name))
			}
		}
	}
}

// readAhead returns how many bytes of events the Inotify has read and not delivered. Internal
// records in the kernel's queue reduce the result, also below 0. It is -1 if events come so
// fast that it cannot be determined.
func (r *Restored) readAhead() (bytes int, err error) {
	before := -1
	for range 100 {
		all, err := r.Inotify.Buffered()
		if err != nil {
			return 0, err
		}
		var after int
		err = sys.Control(r.Inotify, func(fd int) (err error) {
			after, err = sys.Queued(fd)
			return err
		})
		if err != nil || after == before {
			return all - after, err
		}
		before = after
	}
	return -1, nil
}
