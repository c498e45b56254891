// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// A RestoreOption changes how a restore goes where the kernel lacks
// INOTIFY_IOC_SETNEXTWD. It has no effect where the kernel has it.
type RestoreOption func(*restoreOptions)

type restoreOptions struct {
	maxSteps int64
	progress func(Progress)
}

// DefaultMaxSteps is how many steps a restore takes at most unless
// [WithMaxSteps] says otherwise: some seconds on ordinary hardware.
const DefaultMaxSteps = 1 << 20

// WithMaxSteps sets how many numbers the add/remove cycle may climb. A restore
// that needs more fails with a [*CycleError] before it climbs. A step takes
// some microseconds.
func WithMaxSteps(steps int64) RestoreOption {
	return func(o *restoreOptions) { o.maxSteps = steps }
}

// WithProgress has the restore call f while it climbs, about ten times a
// second, and once when it has reached the number, also if that took no step. A
// restore by the ioctl does not call it.
//
// f runs on the restoring goroutine and no lock is held meanwhile, so f may use
// the Inotify; the numbers of watches that are added meanwhile lie on the way. So
// near a number to restore it is called about once a second only, and less often
// also where the instance has very many watches, which are listed anew each time.
// If f panics, watches that RestoreWatches has added remain.
func WithProgress(f func(Progress)) RestoreOption {
	return func(o *restoreOptions) { o.progress = f }
}

// Progress tells how far the climb to a number is.
type Progress struct {
	WD      WD    // the number to reach, the highest of a RestoreWatches
	Done    int64 // steps done; one step is one number
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

// RestoreWatch adds a watch under the number wd, or fails with a [*RestoreError] and
// adds none. mask is as for [Inotify.AddWatch] or as [Inotify.Watches] shows it (also
// 0), with MaskAdd refused. An inode that the instance watches already is an error
// (EEXIST), and its watch stays as it is; so is a number that is taken
// ([*WDError]).
//
// It sets the number with INOTIFY_IOC_SETNEXTWD. Where that is missing, it
// climbs to the number by adding and removing scratch watches, which goes up
// only and takes some microseconds a number; a climb fails with a
// [*CycleError]. It stops within about a millisecond when ctx ends or the
// Inotify is closed. After a failure, all is as before but the number that the
// next AddWatch gets, and no event of the restore's own watches is ever read,
// unless the error says that a watch could not be removed again or an event may
// follow, as the kernel refused what takes it back.
//
// On an instance that has given no number yet, or lower ones only, any number
// can be reached: restore on a fresh instance, and several watches with
// [Inotify.RestoreWatches] or in ascending order.
//
// It waits for another restore under way until ctx ends, and for adds under way
// in any case. A climb, and every restore where IN_MASK_CREATE does not work,
// needs /proc and a free descriptor.
//
// Readers elsewhere that share the descriptor (see [Inotify.File]) take events
// of scratch watches, and this Inotify those meant for them, from the beginning
// of a climb until the events that it put by have been read.
func (n *Inotify) RestoreWatch(ctx context.Context, wd WD, path string, mask Mask, opts ...RestoreOption) error {
	if n.closed.Load() {
		return &RestoreError{Watch: Watch{WD: wd, Path: path, Mask: mask}, Err: os.ErrClosed}
	}
	b := batch{n: n, single: [1]Watch{{WD: wd, Path: path, Mask: mask}}, opts: opts}
	b.ws = b.single[:]
	err := checkWatch(&b.ws[0])
	if err == nil {
		err = b.restore(ctx)
	}
	if err != nil {
		return &RestoreError{Watch: b.single[0], Err: err}
	}
	return nil
}

// RestoreWatches adds each of ws under its number, or fails and adds none. It
// goes by Path, which must not be empty, and Mask, as [Inotify.RestoreWatch]
// does; it checks neither Device, Inode nor Handle. ws may be in any order and
// is not changed. The error is a [*RestoreError], which names the watch that
// could not be restored, or one for [os.ErrClosed] after Close.
//
// Numbers that follow each other need one INOTIFY_IOC_SETNEXTWD; by the cycle,
// the restore climbs once from the lowest number to the highest, and
// [WithMaxSteps] counts all of that.
//
// Events of watches that are added already may be read while others are still
// to come. If the restore then fails, the events that were not read by then are
// dropped, and no [Ignored] tells of the removal; who reads the
// instance elsewhere is told, when this Inotify was closed or cannot read. All else
// is as for RestoreWatch.
func (n *Inotify) RestoreWatches(ctx context.Context, ws []Watch, opts ...RestoreOption) error {
	if n.closed.Load() {
		return fmt.Errorf("inotify: restore %d watches: %w", len(ws), os.ErrClosed)
	}
	if len(ws) == 0 {
		return nil
	}
	b := batch{n: n, ws: ascending(ws), opts: opts}
	err := b.check()
	if err == nil {
		err = b.restore(ctx)
	}
	if err != nil {
		w := b.ws[b.failed]
		return &RestoreError{Watch: w, Done: b.reached, Err: err}
	}
	return nil
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
