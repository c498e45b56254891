// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// A point is how long it takes to restore one watch with a wd.
type point struct {
	wd      float64
	seconds float64
}

// A curve is what the picture shows of one way to restore a watch.
type curve struct {
	name     string
	measured []point
	extended []point // from the last measured point on, in proportion to the wd
}

// maxWD is the highest wd.
const maxWD = math.MaxInt32

// maxRepeats is how often a wd is restored when that is fast. Each repetition
// needs an instance, and a user may have 128 by default.
const maxRepeats = 40

// A way is one way to restore a watch with a wd.
type way struct {
	name   string
	cycles bool // takes time in proportion to the wd
	job    func(l *lab, wd, repeat int) job
}

var ways = []way{
	{name: "CRIU's cycle (C stand-in)", cycles: true, job: cyclePeer},
	{name: "this package's cycle", cycles: true, job: func(l *lab, wd, repeat int) job {
		return cycleJob(l, wd, repeat, 0)
	}},
	{name: "this package, with the ioctl", job: func(l *lab, wd, repeat int) job {
		j := cycleJob(l, wd, repeat, 0)
		j.filtered = false
		return j
	}},
}

func (c config) drawPicture(ctx context.Context, progress io.Writer) error {
	curves, err := c.measureCurves(ctx, progress)
	if err != nil {
		return err
	}
	for _, p := range []palette{light, dark} {
		if err := drawCurves(curves, p, p.file(c.plot)); err != nil {
			return err
		}
		fmt.Fprintln(progress, "drew", p.file(c.plot))
	}
	return nil
}

// measureCurves measures each way at wds of every magnitude, except those that
// would take longer than the budget.
func (c config) measureCurves(ctx context.Context, progress io.Writer) (curves []curve, err error) {
	budget := time.Minute
	if c.quick {
		budget = 20 * time.Millisecond
	}
	l, err := c.openLab()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.buildPeers(ctx); err != nil {
		return nil, err
	}
	f := l.facts(ctx)
	for _, w := range ways {
		if missing := w.missing(f); missing != nil {
			return nil, fmt.Errorf("the picture needs %s: %w", w.name, missing)
		}
		measured, err := w.measure(ctx, l, budget, progress)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		curves = append(curves, curve{name: w.name, measured: measured, extended: extend(measured)})
	}
	return curves, nil
}

func (w way) missing(f *facts) error {
	if w.cycles {
		return filter.missing(f)
	}
	return ioctl.missing(f)
}

// measure measures at 1, 3, 10, 30 and so on, and at the highest wd.
func (w way) measure(ctx context.Context, l *lab, budget time.Duration, progress io.Writer) ([]point, error) {
	var points []point
	for _, wd := range picked() {
		repeat := maxRepeats
		if w.cycles && len(points) > 0 {
			last := points[len(points)-1]
			next := last.seconds * wd / last.wd
			if wd > 1000 && next > budget.Seconds() {
				break
			}
			repeat = min(maxRepeats, max(1, int(1/next)))
		}
		ns, err := l.measure(ctx, w.job(l, int(wd), repeat))
		if err != nil {
			return nil, err
		}
		p := point{wd: wd, seconds: summarize(ns).Median / 1e9}
		fmt.Fprintf(progress, "%s: wd %s in %s\n", w.name, grouped(int(wd)), time.Duration(p.seconds*1e9))
		points = append(points, p)
	}
	return points, nil
}

func picked() []float64 {
	var wds []float64
	for n := 1.0; n < maxWD; n *= 10 {
		wds = append(wds, n)
		if 3*n < maxWD {
			wds = append(wds, 3*n)
		}
	}
	return append(wds, maxWD)
}

// extend extrapolates to the highest wd, at the last measured cost of a step.
func extend(measured []point) []point {
	last := measured[len(measured)-1]
	if last.wd >= maxWD {
		return nil
	}
	return []point{last, {wd: maxWD, seconds: last.seconds * maxWD / last.wd}}
}
