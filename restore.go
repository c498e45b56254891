// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/seed10546c08/inotify/internal/assign"
	"github.com/seed10546c08/inotify/internal/bywd"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A RestoreOption configures the add/remove cycle, by which a restore reaches a wd where
// the kernel lacks INOTIFY_IOC_SETNEXTWD. It has no effect where the kernel has the ioctl.
type RestoreOption func(*restoreOptions)

type restoreOptions assign.Options

// DefaultMaxSteps is the limit of steps of the add/remove cycle unless [WithMaxSteps] sets
// another. That many steps take some seconds on ordinary hardware.
const DefaultMaxSteps = 1 << 20

// WithMaxSteps limits the steps of the add/remove cycle. A step moves the next wd up by one
// and takes some microseconds. A restore that needs more steps than allowed fails with a
// [*CycleError] before the first.
func WithMaxSteps(steps int64) RestoreOption {
	return func(o *restoreOptions) { o.MaxSteps = max(0, steps) }
}

// WithProgress makes the restore call f about ten times a second while the add/remove cycle
// runs, and once when the cycle has reached the wd, even if that took no step. A restore by
// the ioctl does not call f.
//
// f runs on the restoring goroutine, which holds no lock meanwhile. So f may use the
// Inotify, but a watch that f adds gets a wd that the cycle has still to pass. If f panics,
// watches that RestoreWatches has added remain.
//
// Near a wd to restore, f is called about once a second only. The watches of the instance
// are listed again after each call, so with very many watches f is called less often.
func WithProgress(f func(Progress)) RestoreOption {
	return func(o *restoreOptions) {
		o.Progress = func(p assign.Progress) {
			f(Progress{WD: WD(p.WD), Done: p.Done, Steps: p.Steps, Elapsed: p.Elapsed})
		}
	}
}

// Progress says how far the add/remove cycle has come.
type Progress struct {
	WD      WD    // the wd to reach; for RestoreWatches the highest
	Done    int64 // steps done; one step is one wd
	Steps   int64 // steps in all
	Elapsed time.Duration
}

// Remaining estimates how long the remaining steps take, at the pace so far. It is 0 before
// the first step.
func (p Progress) Remaining() time.Duration {
	if p.Done == 0 {
		return 0
	}
	return time.Duration(float64(p.Elapsed) / float64(p.Done) * float64(p.Steps-p.Done))
}

// RestoreWatch adds a watch with the given wd, or fails with a [*RestoreError] and adds
// none. mask is as for [Inotify.AddWatch], but without MaskAdd; a mask that
// [Inotify.Watches] returned is valid, even 0. It fails with EEXIST if the instance already
// watches the inode, and with a [*WDError] if the wd is in use; the watch that exists does
// not change.
//
// It sets the next wd with INOTIFY_IOC_SETNEXTWD. Where the kernel lacks the ioctl, it adds
// and removes scratch watches until the wd is the next one. This add/remove cycle takes
// some microseconds a step and can only move the next wd up. If it fails the error is a
// [*CycleError]. It stops within a millisecond or two when ctx ends or the Inotify is
// closed.
//
// After a failure everything is as before except the next wd, and no reader gets an event
// of the restore's own watches. If the kernel refuses a call that the rollback needs, the
// error says that a watch could not be removed or that such an event may be read.
//
// Without the ioctl only wds above those that the instance has given can be reached. So
// restore on a new instance, and several watches with [Inotify.RestoreWatches] or in
// ascending order.
//
// RestoreWatch waits for another restore until ctx ends. It also waits for calls that are
// adding a watch, and ctx does not end that wait. The cycle needs /proc and a free
// descriptor, and so does every restore where IN_MASK_CREATE does not work.
//
// If others read the same instance through a duplicate of the descriptor (see
// [Inotify.File]), the cycle affects both sides. From its start until the events that it
// buffered in this Inotify have been read, the others can get events of scratch watches, and
// this Inotify can get events that the others would have read. If another reads while the cycle
// runs, this Inotify, too, can get an Ignored of scratch watches.
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
		return &RestoreError{Watch: w, Err: public(f.Err, f.Secondary)}
	}
	return nil
}

// RestoreWatches adds each of ws with its wd, or fails and adds none. It uses WD, Path
// and Mask, as [Inotify.RestoreWatch] does; Path must not be empty. It does not check
// Device, Inode and Handle. ws may be in any order and is not changed. The error is a
// [*RestoreError] that names the watch that could not be restored. If the Inotify was
// closed before the call, no watch is to blame, and the error only matches [os.ErrClosed].
//
// Consecutive wds need only one INOTIFY_IOC_SETNEXTWD. The add/remove cycle runs once, from
// the lowest wd to the highest, and [WithMaxSteps] limits all of its steps.
//
// Events of the first watches can be read while the others are still being added. If the
// restore then fails, events that were not read by then are dropped, and no [Ignored] event
// reports that a watch was removed. Only if this Inotify was closed or cannot read, a
// process that reads the same instance through a duplicate gets these Ignored events.
//
// Everything else is as for RestoreWatch.
func (n *Inotify) RestoreWatches(ctx context.Context, ws []Watch, opts ...RestoreOption) error {
	if n.in.Closed.Load() {
		return fmt.Errorf("inotify: restore %d watches: %w", len(ws), os.ErrClosed)
	}
	if len(ws) == 0 {
		return nil
	}
	ws = bywd.Sorted(ws, func(w Watch) WD { return w.WD })
	if i, err := checkWatches(ws); err != nil {
		return &RestoreError{Watch: ws[i], Err: err}
	}
	list := make([]assign.Watch, len(ws))
	for i := range ws {
		list[i] = assign.Watch{WD: int32(ws[i].WD), Mask: uint32(ws[i].Mask), Path: ws[i].Path}
	}
	if f := assign.Restore(ctx, &n.in, list, optionsOf(opts)); f != nil {
		return &RestoreError{Watch: ws[f.Watch], Done: f.Done, Err: public(f.Err, f.Secondary)}
	}
	return nil
}

// RestoreNextWD makes wd the next wd, which the next new watch gets. Unlike
// [Inotify.SetNextWD] it also works where the kernel lacks the ioctl. There the add/remove
// cycle moves the next wd up, and fails with a [*CycleError] if wd was passed already.
//
// If wd is the next wd already, the cycle takes no step. The Inotify knows that only if no
// other holder of the instance can have added watches, and no add of its own failed with
// ENOSPC. Otherwise RestoreNextWD fails, as for a wd that was passed.
//
// The cycle, ctx and waiting are as for [Inotify.RestoreWatch].
func (n *Inotify) RestoreNextWD(ctx context.Context, wd WD, opts ...RestoreOption) error {
	err := checkWD(wd)
	if n.in.Closed.Load() {
		err = os.ErrClosed
	}
	if err == nil {
		if f := assign.RestoreNext(ctx, &n.in, int32(wd), optionsOf(opts)); f != nil {
			err = public(f.Err, f.Secondary)
		}
	}
	if err != nil {
		return fmt.Errorf("inotify: restore the next wd %d: %w", wd, err)
	}
	return nil
}

// optionsOf returns the engine's options. Without opts it allocates nothing: apply, whose
// options escape to the heap, is a function of its own for that.
func optionsOf(opts []RestoreOption) assign.Options {
	if len(opts) == 0 {
		return assign.Options{MaxSteps: DefaultMaxSteps}
	}
	return apply(opts)
}

func apply(opts []RestoreOption) assign.Options {
	o := restoreOptions{MaxSteps: DefaultMaxSteps}
	for _, option := range opts {
		option(&o)
	}
	return assign.Options(o)
}

// checkWatch checks a watch to be restored, as far as that takes no system call.
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
