// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"fmt"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/requeue"
)

// queueOptions are the options for pending events.
type queueOptions struct {
	keep     bool // keep the events out of the queue, for the caller
	overflow bool
	scratch  string
	maxQueue int
	progress func(done, total int)
}

// WithPendingKept leaves the snapshot's pending events with the caller: [Restored.Pending],
// [Restored.Events] and [Restored.Release] return them, and the instance begins with an
// empty queue. If events were pending and were not drained, no overflow event is added.
func WithPendingKept() RestoreOption { return func(o *restoreOptions) { o.queue.keep = true } }

// WithOverflow adds an overflow event after the pending events, unless one is among
// them, so that the program rescans what it watches. Without the option this is done
// only if events were pending and were not drained.
func WithOverflow() RestoreOption { return func(o *restoreOptions) { o.queue.overflow = true } }

// WithScratch sets the directory for scratch files. Restore puts an event into the queue by
// an operation on such a file. The files are in a subdirectory whose name has the pid of
// this process, and which is removed at the end. The directory must be on a local filesystem
// that allows any bytes in names.
//
// Without the option, they are in a tmpfs that is mounted nowhere: no other process can
// watch it, and nothing is left of it if the process is killed. Where that is not allowed (it
// needs CAP_SYS_ADMIN in the user namespace of the process's mounts, and Linux 5.2), they
// are in $TMPDIR, or else in /dev/shm or /tmp. Watches on that directory then report that the
// subdirectory is made and removed, and it is left if the process is killed.
func WithScratch(dir string) RestoreOption {
	return func(o *restoreOptions) { o.queue.scratch = dir }
}

// DefaultMaxQueue is the longest queue into which a restore puts events, unless
// [WithMaxQueue] says otherwise. To fill it takes about a second and 100 MB of kernel memory.
const DefaultMaxQueue = requeue.DefaultMaxQueue

// WithMaxQueue sets the length of the longest queue into which pending events are put. To put
// even one event there, Restore fills the whole queue for a moment. So the time depends on
// fs.inotify.max_queued_events: 20 ms at the default of 16,384. If that setting is more than
// this number of events, the pending events are kept for the caller.
func WithMaxQueue(events int) RestoreOption {
	return func(o *restoreOptions) { o.queue.maxQueue = events }
}

// WithQueueProgress calls f about ten times a second while pending events are put into the
// queue, and once at the end. Of total records, done have been queued or read by then. total
// is an estimate that can grow. There are many more records than pending events, as they
// include those that fill the queue for a moment ([WithMaxQueue]).
func WithQueueProgress(f func(done, total int)) RestoreOption {
	return func(o *restoreOptions) { o.queue.progress = f }
}

// A Change is a difference between a snapshot's pending events and what was put into the
// instance's queue. Cookies of renames always differ and are not listed.
type Change struct {
	Index  int           // in Snapshot.Pending, or -1 if the change is not about one of them
	Event  inotify.Event // zero if Index is -1
	Reason ChangeReason
	Detail string // more about the reason, or ""
}

// String returns, for example, `event 3, wd 7 IN_MOVED_TO "a": put right behind the event
// that it belongs to`.
func (c Change) String() string {
	return requeue.Change{Index: c.Index, Event: c.Event, Reason: requeue.Reason(c.Reason), Detail: c.Detail}.String()
}

// A ChangeReason says why a Change was made.
type ChangeReason int

const (
	// ChangeImpossible: no operation generates such an event here. It was left out.
	ChangeImpossible = ChangeReason(requeue.Impossible)

	// ChangeNoPrivilege: generating IN_UNMOUNT needs the privilege to mount. It was left out.
	ChangeNoPrivilege = ChangeReason(requeue.NoPrivilege)

	// ChangeQueueFull: the queue is too short for all events. This one was left out.
	ChangeQueueFull = ChangeReason(requeue.QueueFull)

	// ChangeOverflowAdded: an overflow event was added, because events were left out, or
	// because there are exactly as many events as the queue holds.
	ChangeOverflowAdded = ChangeReason(requeue.OverflowAdded)

	// ChangeOverflowFirst: the overflow event was put before all others, because an event
	// before it cannot be generated there.
	ChangeOverflowFirst = ChangeReason(requeue.OverflowFirst)

	// ChangeOverflowTwice: a second overflow event was left out. A queue has one at most.
	ChangeOverflowTwice = ChangeReason(requeue.OverflowTwice)

	// ChangeAdvanced: an IN_MOVED_TO was put right after its IN_MOVED_FROM, or an
	// IN_IGNORED after the IN_DELETE_SELF or IN_UNMOUNT of its watch. Events from other
	// CPUs had come between the two.
	ChangeAdvanced = ChangeReason(requeue.Advanced)

	// ChangeUnpaired: an IN_MOVED_TO has another cookie than its IN_MOVED_FROM, because the
	// overflow event is between the two, or because both have the same name.
	ChangeUnpaired = ChangeReason(requeue.Unpaired)

	// ChangeSplit: each bit of the event became an event of its own.
	ChangeSplit = ChangeReason(requeue.Split)

	// ChangeMerged: the event equals its neighbour, and the kernel keeps one of the two.
	ChangeMerged = ChangeReason(requeue.Merged)
)

// Lost reports whether the event was left out. The queue then has an overflow event.
func (r ChangeReason) Lost() bool { return requeue.Reason(r).Lost() }

// String returns the reason as part of a sentence.
func (r ChangeReason) String() string { return requeue.Reason(r).String() }

func changesOf(changes []requeue.Change) (cs []Change) {
	for _, c := range changes {
		cs = append(cs, Change{c.Index, c.Event, ChangeReason(c.Reason), c.Detail})
	}
	return cs
}

// lost is the reason why NotRestored lists the pending events, if some were left out.
func (r *Restored) lost(events int) error {
	lost := 0
	for _, c := range r.Changed {
		if c.Reason.Lost() {
			lost++
		}
	}
	if lost == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d events were left out, for which the queue has an overflow event: Changed lists them", lost, events)
}

// undrained reports whether events were pending at the dump that the snapshot lacks.
func (s *Snapshot) undrained() bool {
	return s.PendingBytes > 0 && (len(s.Pending) == 0 || !s.Known(FieldPending))
}

// drain reads what is queued into pending.
func (r *Restored) drain() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		more, err := r.readOne()
		if err != nil || !more {
			return err
		}
	}
}

// readOne reads an event into pending, and reports whether there was one. The caller holds mu.
func (r *Restored) readOne() (bool, error) {
	ev, ok, err := r.Inotify.TryReadEvent()
	if err == nil && ok {
		r.pending = append(r.pending, ev)
	}
	return ok, err
}
