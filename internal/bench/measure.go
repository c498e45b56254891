// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/seed10546c08/inotify"
)

// measure measures the subjects in order.
func (c config) measure(ctx context.Context, subjects []subject, progress io.Writer) (t *table, err error) {
	l, err := c.openLab()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	f := l.facts(ctx)
	if err := l.prepare(ctx, subjects, f, progress); err != nil {
		return nil, err
	}
	t = &table{Machine: thisMachine(), Rounds: c.rounds, Quick: c.quick, Confidence: confidence}
	for i, s := range subjects {
		fmt.Fprintf(progress, "%d/%d %s", i+1, len(subjects), s.what)
		start := time.Now()
		rows, err := c.measureSubject(ctx, l, f, s)
		if err != nil {
			fmt.Fprintln(progress)
			return nil, err
		}
		fmt.Fprintf(progress, ": %.1f s\n", time.Since(start).Seconds())
		t.Rows = append(t.Rows, rows...)
	}
	return t, nil
}

func (c config) openLab() (*lab, error) {
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	settle := 100 * time.Millisecond
	if c.quick {
		settle = 0
	}
	return newLab(c.dir, inotify.HaveSetNextWD() == nil, settle)
}

// facts finds out what the kernel supports.
func (l *lab) facts(ctx context.Context) *facts {
	f := &facts{ioctl: l.ioctl, limitedBy: "fs.inotify.max_user_watches"}
	f.maxWatch = sysctl(f.limitedBy)
	if own := sysctl("user.max_inotify_watches"); own < f.maxWatch {
		f.maxWatch, f.limitedBy = own, "user.max_inotify_watches"
	}
	if f.ioctl {
		f.filter = l.tryFilter(ctx)
	}
	f.listed = tryListing()
	if err := tryHandle(l.target()); err != nil {
		f.handles = fmt.Errorf("file handles cannot be opened: %w", err)
	}
	_, err := l.measure(ctx, job{args: []string{"has-overlay", "-path", string(l.overlay())}, mounts: true})
	if err != nil {
		f.overlay = fmt.Errorf("no overlayfs can be mounted: %w", err)
	}
	return f
}

// tryListing returns why the watches of an instance cannot be listed, or nil.
func tryListing() error {
	n, err := inotify.New()
	if err != nil {
		return err
	}
	defer n.Close()
	if _, err := n.AddWatch("/", inotify.DeleteSelf); err != nil {
		return err
	}
	_, err = n.Watches()
	return err
}

// tryFilter returns why the ioctl cannot be made to fail, or nil.
func (l *lab) tryFilter(ctx context.Context) error {
	has, err := l.measure(ctx, job{args: []string{"has-ioctl"}, filtered: true})
	if err == nil && has[0] != 0 {
		err = errors.New("the filter has no effect")
	}
	return err
}

// prepare builds the peers and makes the files for the subjects that can be
// measured here.
func (l *lab) prepare(ctx context.Context, subjects []subject, f *facts, progress io.Writer) error {
	count, peers := 0, false
	for _, s := range subjects {
		if s.missing(f) == nil {
			count = max(count, s.files())
			for _, p := range s.peers {
				peers = peers || !s.both && p.job(l).peer != ""
			}
		}
	}
	if peers {
		fmt.Fprintln(progress, "building the peers in C")
		if err := l.buildPeers(ctx); err != nil {
			return err
		}
	}
	if count == 0 {
		return nil
	}
	fmt.Fprintf(progress, "making %s files, %s in a directory, in %s\n", grouped(count), grouped(perDirectory), l.dir)
	return l.makeFiles(ctx, count)
}

// measureSubject returns the subject's rows. If one of its processes exceeds a
// limit on watches, which other processes may be using up, the rows are skipped.
func (c config) measureSubject(ctx context.Context, l *lab, f *facts, s subject) ([]row, error) {
	if err := s.missing(f); err != nil {
		return s.skipped(err), nil
	}
	rounds := c.rounds
	switch {
	case s.once:
		rounds = 1
	case s.slow:
		rounds = (rounds + 1) / 2
	}
	samples, err := s.sample(ctx, l, rounds)
	switch {
	case errors.Is(err, errLimit):
		return s.skipped(err), nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", s.what, err)
	case len(s.peers) == 0:
		return []row{s.alone(samples[0])}, nil
	}
	var rows []row
	for i, p := range s.peers {
		rows = append(rows, s.compared(p, samples[0], samples[1+i]))
	}
	return rows, nil
}

// sample sets up what the subject's jobs need and measures them.
func (s subject) sample(ctx context.Context, l *lab, rounds int) (samples [][]float64, err error) {
	if s.setUp != nil {
		if err := s.setUp(ctx, l); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.release()) }()
	}
	if s.both {
		return together(ctx, l, s, rounds)
	}
	return alternate(ctx, l, s, rounds)
}

// alternate measures the subject and its peers once per round, in order in odd
// rounds and in reverse order in even ones. It returns the subject's samples
// first, then each peer's: one per round, or more for a subject without peers.
func alternate(ctx context.Context, l *lab, s subject, rounds int) ([][]float64, error) {
	jobs := []job{s.job(l)}
	for _, p := range s.peers {
		jobs = append(jobs, p.job(l))
	}
	samples := make([][]float64, len(jobs))
	order := make([]int, len(jobs))
	for i := range order {
		order[i] = i
	}
	for range rounds {
		for _, i := range order {
			numbers, err := l.measure(ctx, jobs[i])
			if err != nil {
				return nil, err
			}
			samples[i] = append(samples[i], numbers...)
		}
		slices.Reverse(order)
	}
	return samples, nil
}

// together is alternate for a subject whose job measures both sides.
func together(ctx context.Context, l *lab, s subject, rounds int) ([][]float64, error) {
	samples := make([][]float64, 2)
	for range rounds {
		numbers, err := l.measure(ctx, s.job(l))
		if err != nil {
			return nil, err
		}
		if len(numbers) != len(samples) {
			return nil, fmt.Errorf("a job that measures both sides printed %v", numbers)
		}
		for i, n := range numbers {
			samples[i] = append(samples[i], n)
		}
	}
	return samples, nil
}
