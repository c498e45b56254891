// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed10546c08/inotify/internal/instance"
	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

// Next returns the next wd. It adds and removes one scratch watch, and sets the next wd back
// with the ioctl.
func Next(in *instance.Instance) (int32, error) {
	if in.Unreadable != nil && !in.Closed.Load() {
		return -1, in.Unreadable // the scratch watch's IN_IGNORED would remain
	}
	a := assignment{in: in, last: -1}
	defer a.unlock()
	if err := a.lock(context.Background()); err != nil {
		return -1, err
	}
	c := newCycle(a.create, nil)
	defer c.release()
	// The root directory needs no lookup that can block. To find out which others of
	// ScratchPaths can be used takes longer than all the rest.
	c.stepper.paths = append(c.stepper.paths, sys.CString("/"))
	wd := int32(-1)
	err := in.With(func(fd int, q *record.Queue) error {
		if e := instance.ProbeSetNext(fd); e != sys.OK {
			return in.Explain(sys.CallSetNext, e, 0)
		}
		if err := q.CheckFull(); err != nil {
			return err
		}
		from, err := q.End(fd)
		if err == nil {
			wd, err = c.probe(job{known: a.known(), q: q, reading: &c.reading, fd: fd, mask: c.mask, from: from})
		}
		return Join(err, q.Discard(fd))
	})
	return wd, err
}

// probe adds and removes one scratch watch and sets the next wd back to its wd. If the root
// directory cannot be used, it tries a memory file, and then the other directories.
func (c *cycle) probe(j job) (int32, error) {
	var noMemfd error
	for len(c.stepper.given) == 0 {
		if len(c.stepper.paths) == 0 && noMemfd == nil {
			if noMemfd = c.useMemfd(); noMemfd != nil { // for example without /proc
				dirs, _, _ := ScratchDirs(2 * groupSteps)
				for _, dir := range dirs {
					c.stepper.paths = append(c.stepper.paths, sys.CString(dir))
				}
				c.mask |= sys.DontFollow
			}
			j.mask = c.mask
		}
		if len(c.stepper.paths) == 0 {
			return -1, noMemfd
		}
		j.until = time.Now()
		if c.stepper.add(&j, 1); c.stepper.full != nil {
			return -1, c.stepper.full
		}
	}
	given := c.stepper.given
	j.q.Filter(given...)
	var leaked leaks
	err := removeSome(j.in, j.fd, j.q, given, &leaked)
	err = Join(err, leaked.error())
	if e := sys.SetNext(j.fd, given[0].WD); e != sys.OK {
		err = Join(err, fmt.Errorf("the next wd has moved on by one: %w", j.in.Explain(sys.CallSetNext, e, 0)))
	}
	return given[0].WD, err
}

// RestoreNext makes wd the next wd: by the ioctl, or by the cycle, which gives the highest
// free wd below it.
func RestoreNext(ctx context.Context, in *instance.Instance, wd int32, o Options) *Failure {
	a := assignment{in: in, options: o, last: -1}
	defer a.unlock()
	if err := a.lock(ctx); err != nil {
		return &Failure{Err: err}
	}
	var e sys.Errno
	if err := in.Control(func(fd int) { e = sys.SetNext(fd, wd) }); err != nil {
		return &Failure{Err: sys.CallError(sys.CallSetNext, err)}
	}
	if e == sys.OK {
		return nil
	}
	missing := in.Explain(sys.CallSetNext, e, 0)
	if !errors.Is(missing, errors.ErrUnsupported) {
		return &Failure{Err: missing}
	}
	if in.KnowsNext() {
		switch next := in.Highest() + 1; { // it overflows where the kernel begins at 1 again
		case next == wd:
			return nil
		case next > wd:
			return &Failure{Err: &CycleError{WD: wd, Next: next, Limit: o.MaxSteps, Err: missing}}
		}
	}
	f := a.cycleBelow(ctx, wd, missing)
	if f != nil {
		if e, ok := f.Err.(*CycleError); ok {
			e.WD = wd
		}
	}
	return f
}

// cycleBelow adds a watch under the highest free wd below wd, and removes it again. If there
// is none, it uses wd 0, and the first step returns that the counter has passed it.
func (a *assignment) cycleBelow(ctx context.Context, wd int32, missing error) *Failure {
	used, err := a.in.Used()
	if err != nil {
		return &Failure{Err: err}
	}
	memfd, err := sys.Memfd()
	if err != nil {
		return &Failure{Err: err}
	}
	defer sys.Close(memfd)
	defer a.target.release()
	a.single[0] = Watch{WD: used.FreeBelow(wd), Path: sys.ProcFD(memfd)}
	a.ws = a.single[:]
	if progress := a.options.Progress; progress != nil {
		a.options.Progress = func(p Progress) {
			p.WD = wd
			progress(p)
		}
	}
	left, _, err := a.runCycle(ctx, missing)
	if err != nil {
		cause, secondary := split(err)
		return &Failure{Err: cause, Secondary: Join(secondary, a.rollBack(left, -1, nil))}
	}
	err = a.in.With(func(fd int, q *record.Queue) (err error) {
		left, err = a.removeMisplaced(fd, q, a.spanOf(a.ws[0].WD, true))
		return err
	})
	if err = Join(err, discard(a.in, left)); err != nil {
		cause, secondary := split(err)
		return &Failure{Err: cause, Secondary: secondary}
	}
	a.report()
	return nil
}
