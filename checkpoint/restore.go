// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync"

	"github.com/seed10546c08/inotify"
)

// A VerifyLevel says what of a restored instance is compared with the snapshot.
type VerifyLevel int

const (
	// VerifyDefault is VerifyIdentity where the snapshot's BootID is this kernel's,
	// and VerifyWDs elsewhere, which NotRestored then lists.
	VerifyDefault VerifyLevel = iota

	// VerifyNone compares nothing.
	VerifyNone

	// VerifyWDs compares numbers and masks.
	VerifyWDs

	// VerifyIdentity compares numbers, masks, devices, inodes and handles: what is
	// watched is the very inode that was watched. On overlayfs without index that
	// cannot be told from another hard link of a file in a lower layer, which has
	// the same numbers and handle and is another inode (Linux 6.18).
	VerifyIdentity
)

// A RestoreOption changes how a snapshot is restored.
type RestoreOption func(*restoreOptions)

type restoreOptions struct {
	files   func(Watch) (*os.File, error)
	missing bool
	proof   VerifyLevel
	owner   *Owner
	climb   []inotify.RestoreOption
	queue   queueOptions
}

// WithFileFor has f asked for each watch. A file that it returns is watched instead
// of the path, exactly this inode: for targets that have no name any more, or that
// are elsewhere here. It may be open with O_PATH. If it has no name, it must stay
// open for as long as the watch shall live. Restore closes none, and needs a
// descriptor more for each meanwhile. With a nil file and a nil error, the watch is restored by its path.
func WithFileFor(f func(Watch) (*os.File, error)) RestoreOption {
	return func(o *restoreOptions) { o.files = f }
}

// AllowMissing tolerates watches whose path was not learned, or names nothing. They
// are listed in NotRestored.
func AllowMissing() RestoreOption { return func(o *restoreOptions) { o.missing = true } }

// WithVerify sets what is compared in the end.
func WithVerify(p VerifyLevel) RestoreOption { return func(o *restoreOptions) { o.proof = p } }

// WithOwner has the process, thread or group that the caller names signalled as
// the snapshot says: if it has an owner, or that was not learned; with its Signal; at
// each event if its Flags have Async. The kernel then asks whether the process that
// restores may signal it, not the one that was the owner's. Without this option
// all three are left alone, since the owner in a snapshot is a number of another
// time or machine, and the signal may be one that kills.
func WithOwner(kind OwnerKind, id int) RestoreOption {
	return func(o *restoreOptions) { o.owner = &Owner{Kind: kind, ID: id} }
}

// WithCycle passes options on to the add/remove cycle, by which numbers are
// reached where the kernel lacks the ioctl.
func WithCycle(opts ...inotify.RestoreOption) RestoreOption {
	return func(o *restoreOptions) { o.climb = append(o.climb, opts...) }
}

// A Restored is a restored instance.
type Restored struct {
	// Inotify is the instance. Its own methods deliver what is in its queue, and not
	// what Pending returns: use Events for both. NextWD leaves a record in a queue that has
	// events, which only this Inotify filters out: use SetNextWD only before a Release.
	Inotify *inotify.Inotify

	// Queued is how many events were put into the instance's queue, the overflow record
	// included. Whoever reads the descriptor gets them first.
	Queued int

	// Changed lists how they differ from the snapshot's.
	Changed []Change

	// NotRestored lists what could not be restored, or was not asked for. It has "inode"
	// if it was not compared whether the very inodes are watched that were watched.
	NotRestored []Gap

	// Destroyed lists watches that were restored and have been destroyed since, by
	// what happened to what they watched. Their last event is [inotify.Ignored].
	Destroyed []inotify.WD

	flags Flags
	clean bool // no internal records were left in the kernel's queue

	// reading is held shared by Events, but for the caller's turns, and alone by
	// Release: who reads takes more from the kernel than the next event.
	reading   sync.RWMutex
	releasing sync.Mutex

	mu          sync.Mutex // of what follows
	pending     []inotify.Event
	interrupted context.Context // for Release to wake the readers; made when it is needed
	interrupt   context.CancelFunc
}

// Pending returns the events that come before those of Inotify, and that Events
// has not delivered yet. There are none if the snapshot's were put into the instance's
// queue, unless events were read there while it was restored.
func (r *Restored) Pending() []inotify.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]inotify.Event(nil), r.pending...)
}

// Events returns the pending events and then the new ones, as [inotify.Inotify.Events]
// does: its last pair has an error, unless the loop breaks. It can be called again and
// goes on where it was left.
func (r *Restored) Events(ctx context.Context) iter.Seq2[inotify.Event, error] {
	return func(yield func(inotify.Event, error) bool) {
		for r.read(ctx, yield) {
		}
	}
}

// read is Events until a Release interrupts it, which it reports.
func (r *Restored) read(ctx context.Context, yield func(inotify.Event, error) bool) bool {
	r.reading.RLock()
	defer r.reading.RUnlock()
	outside := func(ev inotify.Event, err error) bool {
		r.reading.RUnlock()
		defer r.reading.RLock()
		return yield(ev, err)
	}
	interrupted, _ := r.interruption()
	for ctx.Err() == nil {
		ev, ok := r.pop()
		if !ok {
			break
		}
		if !outside(ev, nil) {
			return false
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(interrupted, func() { cancel(errInterrupted) })()
	for ev, err := range r.Inotify.Events(ctx) {
		if err == errInterrupted {
			return true
		}
		if !outside(ev, err) {
			return false
		}
	}
	return false
}

// errInterrupted is the cause of a context that a Release ends.
var errInterrupted = errors.New("interrupted by Release")

// interruption returns the context that the next Release ends, and what ends it.
func (r *Restored) interruption() (context.Context, context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interrupted == nil {
		r.interrupted, r.interrupt = context.WithCancel(context.Background())
	}
	return r.interrupted, r.interrupt
}

func (r *Restored) pop() (ev inotify.Event, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) == 0 {
		return ev, false
	}
	ev, r.pending = r.pending[0], r.pending[1:]
	return ev, true
}

// Close closes the instance. What is pending is dropped.
func (r *Restored) Close() error { return r.Inotify.Close() }

// Release ends r and its Inotify and returns the instance as a file, with the
// flags that the snapshot has: with FD_CLOEXEC, and blocking or not. Events that are in
// its queue stay there. Events to be read before them are returned with it: those that
// were left with the caller ([WithPendingKept], or as NotRestored says), and those that the
// Inotify has read and not delivered. If nobody has read and NotRestored does not list
// [FieldPending], there are none where the kernel has INOTIFY_IOC_SETNEXTWD, but where a
// watch reported something while it was restored.
//
// Release may be called while others use Events, which ends then with an error for
// [os.ErrClosed]; each event goes to one side. While an Inotify owns it, the description does not block. After an error r
// is as it was, but that events may have moved to Pending; unless the instance was taken
// out already, and a flag could not be set: then the file and the events are returned with
// the error.
func (r *Restored) Release() (*os.File, []inotify.Event, error) {
	r.releasing.Lock()
	defer r.releasing.Unlock()
	_, interrupt := r.interruption()
	interrupt()
	r.reading.Lock()
	defer r.reading.Unlock()
	f, err := r.release()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupted, r.interrupt = nil, nil // the readers go on, or see that it is closed
	if err != nil {
		err = fmt.Errorf("checkpoint: releasing an instance: %w", err)
	}
	if f == nil {
		return nil, nil, err
	}
	pending := r.pending
	r.pending = nil
	return f, pending, err
}

// Restore makes a new instance with the snapshot's watches under their numbers
// and with its next number, and proves that it is equal, as far as WithVerify says:
// it compares what the kernel lists of it with the snapshot. A difference is a
// [*VerifyError], unless a watch was destroyed just then by what happened to its
// target: that is listed in Destroyed.
//
// Pending events are put into the instance's queue, before the watches are added:
// whoever reads the descriptor gets them first, as if it had never been dumped. They have
// the wds, masks and names that they had, in their order; cookies are new, and still pair
// the halves of a rename. What cannot be made so is listed in Changed. Where events were
// pending and the snapshot lacks them, an overflow record is put there, so that the program
// rescans. It takes INOTIFY_IOC_SETNEXTWD, some 20 ms, scratch files ([WithScratch]), two
// watches and, once per process, another instance. Where that fails, the events are
// left with the caller, and NotRestored lists [FieldPending] with the reason. The next
// wd of an instance whose queue has events is set and not read back, as that would leave a
// record there.
//
// A watch's target is what its path names now, in the root directory and mount
// namespace of this process; a symbolic link at its end is not followed. One of
// another type than the snapshot's is refused. All or nothing: on an error no
// instance is left.
//
// Where the kernel lacks INOTIFY_IOC_SETNEXTWD, the add/remove cycle climbs to
// the numbers, which takes long for high ones and is bounded; see WithCycle and
// [inotify.Inotify.RestoreWatches], whose errors it returns. A next number that can
// only be set is then listed in NotRestored.
func (s *Snapshot) Restore(ctx context.Context, opts ...RestoreOption) (*Restored, error) {
	var o restoreOptions
	for _, opt := range opts {
		opt(&o)
	}
	r, err := s.restore(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: restoring: %w", err)
	}
	return r, nil
}

// Compare returns in what a live instance, or another snapshot, is not as s has
// it. Devices, inodes and handles are compared if both were taken from the same
// kernel. What one of the two did not learn is not compared; nor are FD, paths and
// pending events.
func (s *Snapshot) Compare(live *Snapshot) []Difference {
	var have []inotify.Watch
	for _, w := range ascending(live.Watches) {
		have = append(have, w.Watch)
	}
	boot := s.BootID != "" && s.BootID == live.BootID
	diffs := compareWatches(ascending(s.Watches), have, boot)
	for _, f := range []struct {
		field      Field
		want, have string
		same       bool
	}{
		{FieldNextWD, fmt.Sprint(s.NextWD), fmt.Sprint(live.NextWD), s.NextWD == live.NextWD},
		{FieldFlags, s.Flags.String(), live.Flags.String(), s.Flags == live.Flags},
		{FieldOwner, s.Owner.String(), live.Owner.String(), s.Owner.same(live.Owner, boot)},
		{FieldSignal, fmt.Sprint(s.Signal), fmt.Sprint(live.Signal), s.Signal == live.Signal},
	} {
		if !f.same && s.Known(f.field) && live.Known(f.field) {
			diffs = append(diffs, Difference{Field: f.field, Want: f.want, Have: f.have})
		}
	}
	return diffs
}

// same reports whether o and p are the same owner. Within a boot an id says it, whichever
// process the instance was taken from. Otherwise, a process's own instance signals it before
// and after a restore.
func (o Owner) same(p Owner, boot bool) bool {
	switch {
	case o.Kind != p.Kind:
		return false
	case o.Self && p.Self && o.Kind == OwnerProcess:
		return true
	}
	return o.ID == p.ID && (boot || o.Self == p.Self)
}

// String returns "process 1234", and "itself" for a process's own.
func (o Owner) String() string {
	switch {
	case o.Kind == OwnerNone:
		return "none"
	case o.Self && o.Kind == OwnerProcess:
		return "itself"
	}
	return fmt.Sprintf("%s %d", o.Kind, o.ID)
}

// compareWatches compares watches with what fdinfo lists, both in ascending order.
func compareWatches(want []Watch, have []inotify.Watch, identity bool) (diffs []Difference) {
	for len(want) > 0 || len(have) > 0 {
		switch {
		case len(have) == 0 || len(want) > 0 && want[0].WD < have[0].WD:
			diffs = append(diffs, Difference{WD: want[0].WD, Field: FieldWatch, Want: describe(want[0].Watch)})
			want = want[1:]
		case len(want) == 0 || have[0].WD < want[0].WD:
			diffs = append(diffs, Difference{WD: have[0].WD, Field: FieldWatch, Have: describe(have[0])})
			have = have[1:]
		default:
			diffs = append(diffs, compareWatch(&want[0], &have[0], identity)...)
			want, have = want[1:], have[1:]
		}
	}
	return diffs
}

func compareWatch(want *Watch, have *inotify.Watch, identity bool) (diffs []Difference) {
	if w, h := want.Mask&kept, have.Mask&kept; w != h {
		diffs = append(diffs, Difference{WD: want.WD, Field: FieldMask, Want: w.String(), Have: h.String()})
	}
	same := want.Device == have.Device && want.Inode == have.Inode && want.Handle == have.Handle
	if identity && !same {
		diffs = append(diffs, Difference{WD: want.WD, Field: FieldInode, Want: describe(want.Watch), Have: describe(*have)})
	}
	return diffs
}

// describe tells which inode is watched.
func describe(w inotify.Watch) string {
	s := fmt.Sprintf("inode %d on device %v, handle %v", w.Inode, w.Device, w.Handle)
	if w.Path != "" {
		s = fmt.Sprintf("%q, %s", w.Path, s)
	}
	return s
}
