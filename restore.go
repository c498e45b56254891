// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed10546c08/inotify/internal/assign"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A RestoreOption changes how a restore goes where the kernel lacks
// INOTIFY_IOC_SETNEXTWD. It has no effect where the kernel has it.
type RestoreOption func(*restoreOptions)

type restoreOptions assign.Options

// DefaultMaxSteps is how many steps a restore takes at most unless
// [WithMaxSteps] says otherwise: some seconds on ordinary hardware.
const DefaultMaxSteps = 1 << 20

// WithMaxSteps sets how many steps the add/remove cycle may take; each brings the next wd
// up by one and takes some microseconds. A restore that needs more fails with a
// [*CycleError] before it takes them.
func WithMaxSteps(steps int64) RestoreOption {
	return func(o *restoreOptions) { o.MaxSteps = max(0, steps) }
}

// WithProgress has the restore call f while the cycle runs, about ten times a
// second, and once when it has reached the wd, also if that took no step. A
// restore by the ioctl does not call it.
//
// f runs on the restoring goroutine and no lock is held meanwhile, so f may use
// the Inotify; the wds of watches that are added meanwhile lie on the way. So
// near a wd to restore it is called about once a second only, and less often
// also where the instance has very many watches, which are listed anew each time.
// If f panics, watches that RestoreWatches has added remain.
func WithProgress(f func(Progress)) RestoreOption {
	return func(o *restoreOptions) {
		o.Progress = func(p assign.Progress) {
			f(Progress{WD: WD(p.WD), Done: p.Done, Steps: p.Steps, Elapsed: p.Elapsed})
		}
	}
}

// Progress says how far the cycle to a wd is.
type Progress struct {
	WD      WD    // the wd to reach, the highest of a RestoreWatches
	Done    int64 // steps done; one step is one wd
	Steps   int64 // steps in all
	Elapsed time.Duration
}

// Remaining estimates how long the rest takes, from the pace so far. It is 0
// before the first step.
func (p Progress) Remaining() time.Duration {
	if p.Done == 0 {
		return 0
	}
	return time.Duration(float64(p.Elapsed) / float64(p.Done) * float64(p.Steps-p.Done))
}

// RestoreWatch adds a watch that has the wd, or fails with a [*RestoreError] and
// adds none. mask is as for [Inotify.AddWatch] or as [Inotify.Watches] returns it (also
// 0), with MaskAdd refused. An inode that the instance watches already is an error
// (EEXIST), and its watch stays as it is; so is a wd that is in use
// ([*WDError]).
//
// It sets the next wd with INOTIFY_IOC_SETNEXTWD. Where that is missing, it
// adds and removes scratch watches until the wd is next, which goes up
// only and takes some microseconds a step; if this cycle fails the error is a
// [*CycleError]. It stops within about a millisecond when ctx ends or the
// Inotify is closed. After a failure, all is as before but the wd that the
// next AddWatch gets, and no event of the restore's own watches is ever read,
// unless the error says that a watch could not be removed again or an event may
// be read, as the kernel refused what the rollback needs.
//
// On an instance that has given no wd yet, or lower ones only, any wd
// can be reached: restore on a fresh instance, and several watches with
// [Inotify.RestoreWatches] or in ascending order.
//
// It waits for another restore under way until ctx ends, and for adds under way
// in any case. The cycle, and every restore where IN_MASK_CREATE does not work,
// needs /proc and a free descriptor.
//
// Readers elsewhere that share the descriptor (see [Inotify.File]) get events
// of scratch watches, and this Inotify those meant for them, from the beginning
// of a cycle until the events that it buffered have been read.
func (n *Inotify) RestoreWatch(ctx context.Context, wd WD, path string, mask Mask, opts ...RestoreOption) error {
	w := Watch{WD: wd, Path: path, Mask: mask}
	if n.in.Closed.Load() {
		return &RestoreError{Watch: w, Err: os.ErrClosed}
	}
	if err := checkWatch(&w); err != nil {
		return &RestoreError{Watch: w, Err: err}
	}
	f := assign.RestoreOne(ctx, &n.in, assign.Watch{WD: int32(wd), Mask: uint32(mask), Path: path}, optionsOf(opts))
	if f != nil {
		return &RestoreError{Watch: w, Err: public(f.Err, f.Besides)}
	}
	return nil
}

// RestoreWatches adds each of ws with its wd, or fails and adds none. It
// goes by Path, which must not be empty, and Mask, as [Inotify.RestoreWatch]
// does; it checks neither Device, Inode nor Handle. ws may be in any order and
// is not changed. The error is a [*RestoreError], which names the watch that
// could not be restored, or one for [os.ErrClosed] after Close.
//
// Wds that follow each other need one INOTIFY_IOC_SETNEXTWD; the add/remove cycle
// runs once from the lowest wd to the highest, and
// [WithMaxSteps] counts all of that.
//
// Events of watches that are added already may be read while others are still
// to come. If the restore then fails, the events that were not read by then are
// dropped, and no [Ignored] says that a watch was removed; whoever reads the
// instance elsewhere gets one, when this Inotify was closed or cannot read. All else
// is as for RestoreWatch.
func (n *Inotify) RestoreWatches(ctx context.Context, ws []Watch, opts ...RestoreOption) error {
	if n.in.Closed.Load() {
		return fmt.Errorf("inotify: restore %d watches: %w", len(ws), os.ErrClosed)
	}
	if len(ws) == 0 {
		return nil
	}
	ws = ascending(ws)
	if i, err := checkWatches(ws); err != nil {
		return &RestoreError{Watch: ws[i], Err: err}
	}
	list := make([]assign.Watch, len(ws))
	for i := range ws {
		list[i] = assign.Watch{WD: int32(ws[i].WD), Mask: uint32(ws[i].Mask), Path: ws[i].Path}
	}
	if f := assign.Restore(ctx, &n.in, list, optionsOf(opts)); f != nil {
		return &RestoreError{Watch: ws[f.Watch], Done: f.Done, Err: public(f.Err, f.Besides)}
	}
	return nil
}

// RestoreNextWD makes wd the one that the next new watch gets, as [Inotify.SetNextWD]
// does, also where the kernel lacks the ioctl: there the add/remove cycle leads to it,
// which goes up only and fails with a [*CycleError] if wd was passed. A wd that is next
// already takes no step, if only this Inotify has added watches and none of its adds
// failed for want of room; otherwise that cannot be known, and wd counts as passed.
//
// What [Inotify.RestoreWatch] says of the cycle, of ctx and of waiting holds here, too.
func (n *Inotify) RestoreNextWD(ctx context.Context, wd WD, opts ...RestoreOption) error {
	err := checkWD(wd)
	if n.in.Closed.Load() {
		err = os.ErrClosed
	}
	if err == nil {
		if f := assign.RestoreNext(ctx, &n.in, int32(wd), optionsOf(opts)); f != nil {
			err = public(f.Err, f.Besides)
		}
	}
	if err != nil {
		return fmt.Errorf("inotify: restore the next wd %d: %w", wd, err)
	}
	return nil
}

// optionsOf keeps the usual case apart, where no option takes a pointer to what then
// must be allocated.
func optionsOf(opts []RestoreOption) assign.Options {
	if len(opts) == 0 {
		return assign.Options{MaxSteps: DefaultMaxSteps}
	}
	return applied(opts)
}

func applied(opts []RestoreOption) assign.Options {
	o := restoreOptions{MaxSteps: DefaultMaxSteps}
	for _, option := range opts {
		option(&o)
	}
	return assign.Options(o)
}

// checkWatch finds what is wrong with a watch that is to be restored, as far as
// it shows without asking the kernel.
func checkWatch(w *Watch) error {
	if err := checkWD(w.WD); err != nil {
		return err
	}
	if w.Mask.Has(MaskAdd) {
		return fmt.Errorf("the mask has IN_MASK_ADD, but a restore never changes a watch: %w", sys.EINVAL)
	}
	if strings.IndexByte(w.Path, 0) >= 0 {
		return fmt.Errorf("the path has a NUL byte: %w", sys.EINVAL)
	}
	return nil
}

// checkWatches is checkWatch for several in ascending order, and returns the index of the
// one that is wrong.
func checkWatches(ws []Watch) (int, error) {
	for i := range ws {
		w := &ws[i]
		err := checkWatch(w)
		switch {
		case err != nil:
		case w.Path == "":
			err = fmt.Errorf("the path is empty: %w", sys.EINVAL)
		case i > 0 && ws[i-1].WD == w.WD:
			err = fmt.Errorf("the wd is asked for twice, also on %q: %w", ws[i-1].Path, sys.EINVAL)
		}
		if err != nil {
			return i, err
		}
	}
	return 0, nil
}

// ascending returns ws in ascending order of WD: itself, or a sorted copy.
func ascending(ws []Watch) []Watch {
	byWD := func(a, b Watch) int { return int(a.WD) - int(b.WD) }
	if slices.IsSortedFunc(ws, byWD) {
		return ws
	}
	ws = slices.Clone(ws)
	slices.SortFunc(ws, byWD)
	return ws
}
