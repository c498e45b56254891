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

// A point is how long it takes to restore one watch under a number.
type point struct {
	number  float64
	seconds float64
}

// A curve is what the picture shows of one way to restore a watch.
type curve struct {
	name     string
	measured []point
	extended []point // from the last measured point on, in proportion to the number
}

// lastNumber is the highest number that there is.
const lastNumber = math.MaxInt32

// mostRepeats is how often a number is restored that takes no time. Each needs an
// instance, of which there may be 128 by default.
const mostRepeats = 40

// A way is one way to restore a watch under a number.
type way struct {
	name   string
	climbs bool // takes time in proportion to the number
	job    func(l *lab, number, repeat int) job
}

var ways = []way{
	{name: "CRIU's cycle (C stand-in)", climbs: true, job: climbPeer},
	{name: "this package's cycle", climbs: true, job: func(l *lab, number, repeat int) job {
		return climbJob(l, number, repeat, 0)
	}},
	{name: "this package, with the ioctl", job: func(l *lab, number, repeat int) job {
		j := climbJob(l, number, repeat, 0)
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

// measureCurves measures each way at numbers of every size, but none that would
// take longer than the budget.
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
	if w.climbs {
		return filter.missing(f)
	}
	return ioctl.missing(f)
}

// measure measures at 1, 3, 10, 30 and so on, and at the highest number.
func (w way) measure(ctx context.Context, l *lab, budget time.Duration, progress io.Writer) ([]point, error) {
	var points []point
	for _, number := range picked() {
		repeat := mostRepeats
		if w.climbs && len(points) > 0 {
			last := points[len(points)-1]
			next := last.seconds * number / last.number
			if number > 1000 && next > budget.Seconds() {
				break
			}
			repeat = min(mostRepeats, max(1, int(1/next)))
		}
		ns, err := l.measure(ctx, w.job(l, int(number), repeat))
		if err != nil {
			return nil, err
		}
		p := point{number: number, seconds: summarize(ns).Median / 1e9}
		fmt.Fprintf(progress, "%s: number %s in %s\n", w.name, grouped(int(number)), time.Duration(p.seconds*1e9))
		points = append(points, p)
	}
	return points, nil
}

func picked() []float64 {
	var numbers []float64
	for n := 1.0; n < lastNumber; n *= 10 {
		numbers = append(numbers, n)
		if 3*n < lastNumber {
			numbers = append(numbers, 3*n)
		}
	}
	return append(numbers, lastNumber)
}

// extend goes on to the highest number, at the last measured cost of a step.
func extend(measured []point) []point {
	last := measured[len(measured)-1]
	if last.number >= lastNumber {
		return nil
	}
	return []point{last, {number: lastNumber, seconds: last.seconds * lastNumber / last.number}}
}
