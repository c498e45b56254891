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

// A VerifyLevel says how a restored instance is compared with its snapshot.
type VerifyLevel int

const (
	// VerifyDefault is VerifyIdentity if the snapshot is from this boot of this machine
	// (BootID), and VerifyWDs otherwise; NotRestored then lists FieldInode.
	VerifyDefault VerifyLevel = iota

	// VerifyNone compares nothing.
	VerifyNone

	// VerifyWDs compares wds and masks, and the types of the watched files.
	VerifyWDs

	// VerifyIdentity also compares device, inode and handle: each watch is on the same
	// file as before. On overlayfs without index, hard links of a file in a lower layer
	// are different inodes with equal numbers and handles, and are considered the same
	// (Linux 6.18).
	VerifyIdentity
)

// A RestoreOption changes how a snapshot is restored.
type RestoreOption func(*restoreOptions)

type restoreOptions struct {
	fileFor      func(Watch) (*os.File, error)
	allowMissing bool
	verify       VerifyLevel
	owner        *Owner
	cycle        []inotify.RestoreOption
	queue        queueOptions
}

// WithFileFor calls f for each watch. If f returns a file, the watch is restored on it
// instead of on the path: for files that no longer have a name or are elsewhere now. If f
// returns nil and no error, the path is used.
//
// The file may be open with O_PATH. If it has no name, it must stay open as long as the
// watch is to live. Restore does not close it, and needs one more descriptor for each
// such file until it returns.
func WithFileFor(f func(Watch) (*os.File, error)) RestoreOption {
	return func(o *restoreOptions) { o.fileFor = f }
}

// AllowMissing leaves out watches whose path is unknown or does not exist. NotRestored
// lists them.
func AllowMissing() RestoreOption { return func(o *restoreOptions) { o.allowMissing = true } }

// WithVerify sets what is compared at the end.
func WithVerify(level VerifyLevel) RestoreOption {
	return func(o *restoreOptions) { o.verify = level }
}

// WithOwner makes the given process, thread or process group the owner, and restores Signal
// and the Async flag. Name the process that corresponds to the snapshot's owner: in another
// pid namespace or after a reboot it has another id. If the snapshot is known to have no
// owner, none is set.
//
// The kernel then checks whether the restoring process may signal the owner. Without this
// option, owner, signal and Async are not restored: the owner's id may be another process's
// by now, and the signal may be one that kills.
func WithOwner(kind OwnerKind, id int) RestoreOption {
	return func(o *restoreOptions) { o.owner = &Owner{Kind: kind, ID: id} }
}

// WithCycle passes options to the add/remove cycle, which is used if the kernel lacks
// INOTIFY_IOC_SETNEXTWD.
func WithCycle(opts ...inotify.RestoreOption) RestoreOption {
	return func(o *restoreOptions) { o.cycle = append(o.cycle, opts...) }
}

// A Restored is a restored instance.
type Restored struct {
	// Inotify is the instance. Its methods return the events of its queue, but not those of
	// Pending: Restored.Events returns both. Do not call its NextWD before Release: if the
	// queue has events, NextWD leaves an internal record behind them, which only this
	// Inotify filters out. SetNextWD leaves none.
	Inotify *inotify.Inotify

	// Queued is how many events were put into the instance's queue, the overflow event
	// included. They are read first.
	Queued int

	// Changed lists how the queued events differ from those of the snapshot.
	Changed []Change

	// NotRestored lists what could not be restored or was not requested. FieldInode is
	// listed if device, inode and handle were not compared, and FieldHandle if the handle
	// of a watch cannot tell whether the inode number was reused.
	NotRestored []Gap

	// Destroyed lists watches that were restored and have ended since, for example because
	// the file was removed. Their last event is [inotify.Ignored].
	Destroyed []inotify.WD

	flags Flags
	clean bool // no internal records were left in the kernel's queue

	// reading is held shared by readers while they read from the kernel, and exclusively by
	// Release. It is not held while an event is yielded.
	reading   sync.RWMutex
	releasing sync.Mutex

	mu          sync.Mutex // guards the fields below
	pending     []inotify.Event
	interrupted context.Context // ended by Release to wake readers; nil until it is needed
	interrupt   context.CancelFunc
}

// Pending returns the events that Events will yield before those of Inotify: those of the
// snapshot that were kept for the caller, and those that were read during the restore.
// There are none if the events of the snapshot were put into the instance's queue, unless
// the queue was read during the restore.
func (r *Restored) Pending() []inotify.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]inotify.Event(nil), r.pending...)
}

// Events yields the pending events and then new ones, as [inotify.Inotify.Events] does: its
// last pair has an error, unless the loop breaks. A further call continues.
func (r *Restored) Events(ctx context.Context) iter.Seq2[inotify.Event, error] {
	return func(yield func(inotify.Event, error) bool) {
		for r.readEvents(ctx, yield) {
		}
	}
}

// readEvents is Events until a Release interrupts it. It reports whether one did.
func (r *Restored) readEvents(ctx context.Context, yield func(inotify.Event, error) bool) bool {
	r.reading.RLock()
	defer r.reading.RUnlock()
	yieldUnlocked := func(ev inotify.Event, err error) bool {
		r.reading.RUnlock()
		defer r.reading.RLock()
		return yield(ev, err)
	}
	interrupted, _ := r.interruption()
	for ctx.Err() == nil {
		ev, ok := r.popPending()
		if !ok {
			break
		}
		if !yieldUnlocked(ev, nil) {
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
		if !yieldUnlocked(ev, err) {
			return false
		}
	}
	return false
}

// errInterrupted is the cause of a context that a Release ends.
var errInterrupted = errors.New("interrupted by Release")

// interruption returns the context that the next Release ends, and its cancel function.
func (r *Restored) interruption() (context.Context, context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interrupted == nil {
		r.interrupted, r.interrupt = context.WithCancel(context.Background())
	}
	return r.interrupted, r.interrupt
}

func (r *Restored) popPending() (ev inotify.Event, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) == 0 {
		return ev, false
	}
	ev, r.pending = r.pending[0], r.pending[1:]
	return ev, true
}

// Close closes the instance and drops its events.
func (r *Restored) Close() error { return r.Inotify.Close() }

// Release returns the instance as a file, with O_NONBLOCK and FD_CLOEXEC as in the
// snapshot, and the events to be handled before any that the file will return. It closes r
// and its Inotify. Events in the instance's queue stay there.
//
// The events returned are those that were kept for the caller ([WithPendingKept], or as
// NotRestored says under [FieldPending]), and those that the Inotify has read and not delivered.
// Usually there are none. There can be some if r or its Inotify was read, if the kernel lacks
// INOTIFY_IOC_SETNEXTWD, or if a watch reported an event during the restore.
//
// If others use Events meanwhile, each event goes to either side, and their loops end with
// [os.ErrClosed].
//
// If Release fails before the Inotify was closed, r is unchanged, except that events may
// have moved to Pending. If only a flag could not be set, the file and the events are
// returned with the error.
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
	r.interrupted, r.interrupt = nil, nil // readers continue, or find the instance closed
	if err != nil {
		err = fmt.Errorf("checkpoint: release: %w", err)
	}
	if f == nil {
		return nil, nil, err
	}
	pending := r.pending
	r.pending = nil
	return f, pending, err
}

// Restore makes a new instance with the watches of s, each under its wd, and with the next
// wd of s, and compares it with s ([WithVerify]). If it fails, no instance is left.
//
// Pending events are put into the queue of the instance before the watches are added, so
// they are read first. They have the wds, masks and names that they
// had, in their order. Cookies are new, and still pair the halves of a rename. Changed lists what
// differs. If events were pending and s does not have them, one overflow event is put there, so
// that the program rescans.
//
// To put events into the queue, Restore needs INOTIFY_IOC_SETNEXTWD, some 20 ms, scratch files
// ([WithScratch]), two watches and, once per process, another instance. If that fails, the events
// are kept for the caller, and NotRestored lists [FieldPending] with the reason. If the queue
// has events, the next wd is set but not verified, as reading it would leave a record there.
//
// A watch is restored on what its path names now, in the root directory and mount namespace
// of this process. A symbolic link at the end is not followed. A file of another type than
// in s is a [*TargetError]; any other difference is a [*VerifyError]. A watch that was
// restored and has ended since is not a difference: Destroyed lists it.
//
// On kernels without INOTIFY_IOC_SETNEXTWD the add/remove cycle is used, which is slow for
// high wds and is limited: see [WithCycle] and [inotify.Inotify.RestoreWatches], whose errors
// Restore returns. NotRestored then lists a next wd that the cycle cannot reach.
func (s *Snapshot) Restore(ctx context.Context, opts ...RestoreOption) (*Restored, error) {
	var o restoreOptions
	for _, opt := range opts {
		opt(&o)
	}
	r, err := s.restore(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return r, nil
}

// Compare returns the differences between s and another snapshot, for example of a live
// instance. Devices, inodes and handles are compared if both are of the same boot. Fields
// and handles that one side does not have are not compared, nor are FD, paths and pending events.
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

// same reports whether o and p are the same owner. On the same boot their ids must be equal,
// unless each process owns its instance; otherwise Self must be equal, too.
func (o Owner) same(p Owner, boot bool) bool {
	switch {
	case o.Kind != p.Kind:
		return false
	case o.Self && p.Self && o.Kind == OwnerProcess:
		return true
	}
	return o.ID == p.ID && (boot || o.Self == p.Self)
}

// String returns "process 1234", "none", or "itself" if the dumped process is the owner.
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
	if w, h := want.Mask&settableBits, have.Mask&settableBits; w != h {
		diffs = append(diffs, Difference{WD: want.WD, Field: FieldMask, Want: w.String(), Have: h.String()})
	}
	none := inotify.Handle{} // unknown: see listWeakHandles
	same := want.Device == have.Device && want.Inode == have.Inode &&
		(want.Handle == have.Handle || want.Handle == none || have.Handle == none)
	if identity && !same {
		diffs = append(diffs, Difference{WD: want.WD, Field: FieldInode, Want: describe(want.Watch), Have: describe(*have)})
	}
	return diffs
}

// describe returns the path and identity of the watched file.
func describe(w inotify.Watch) string {
	s := fmt.Sprintf("inode %d on device %v, handle %v", w.Inode, w.Device, w.Handle)
	if w.Path != "" {
		s = fmt.Sprintf("%q, %s", w.Path, s)
	}
	return s
}
