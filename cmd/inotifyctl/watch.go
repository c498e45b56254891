// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify"
)

// watchArgs are the arguments of watch.
type watchArgs struct {
	wd       inotify.WD // to restore the first path under; 0 is none
	mask     inotify.Mask
	count    int // of events; -1 is until interrupted
	json     bool
	maxSteps int64
	paths    []string
}

func parseWatch(args []string) (watchArgs, error) {
	a := watchArgs{mask: inotify.AllEvents}
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	flags.Func("wd", "", func(s string) (err error) {
		a.wd, err = parseWD(s)
		return err
	})
	flags.Func("mask", "", func(s string) (err error) {
		a.mask, err = inotify.ParseMask(strings.ReplaceAll(s, ",", "|"))
		return err
	})
	flags.IntVar(&a.count, "n", -1, "")
	flags.BoolVar(&a.json, "json", false, "")
	flags.Int64Var(&a.maxSteps, "max-steps", inotify.DefaultMaxSteps, "")
	if err := parseFlags(flags, args); err != nil {
		return a, err
	}
	a.paths = flags.Args()
	switch {
	case a.count < -1:
		return a, misused("watch: -n %d is negative", a.count)
	case a.maxSteps < 0:
		return a, misused("watch: -max-steps %d is negative", a.maxSteps)
	case len(a.paths) == 0:
		return a, misused("watch: a path is missing")
	}
	return a, nil
}

func parseWD(s string) (inotify.WD, error) {
	digits, base := s, 10
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		digits, base = hex, 16
	}
	v, err := strconv.ParseUint(digits, base, 31)
	if err != nil || v == 0 {
		return 0, errors.New("not a number in 1 to " + strconv.Itoa(math.MaxInt32))
	}
	return inotify.WD(v), nil
}

func watch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	a, err := parseWatch(args)
	if err != nil {
		return err
	}
	n, err := inotify.New()
	if err != nil {
		return err
	}
	defer n.Close()
	p := newPrinter(stdout, a.json)
	for i, path := range a.paths {
		w := added{path: path, mask: a.mask, how: byAdd}
		if i == 0 && a.wd != 0 {
			err = w.restore(ctx, n, a.wd, a.maxSteps, stderr)
		} else {
			w.wd, err = n.AddWatch(path, a.mask)
		}
		if err != nil {
			return err
		}
		if err := p.watch(w); err != nil {
			return err
		}
	}
	return printEvents(ctx, n, p, a.count)
}

// restore makes w's watch under the number wd.
func (w *added) restore(ctx context.Context, n *inotify.Inotify, wd inotify.WD, maxSteps int64, stderr io.Writer) error {
	b := newBar(stderr)
	defer b.clear()
	w.wd, w.how = wd, byIoctl
	return n.RestoreWatch(ctx, wd, w.path, w.mask,
		inotify.WithMaxSteps(maxSteps),
		// The call comes from the cycle only, and for the last time when it
		// is at its end.
		inotify.WithProgress(func(p inotify.Progress) {
			w.how, w.steps, w.elapsed = byCycle, p.Steps, p.Elapsed
			b.draw(p)
		}))
}

// printEvents prints count events, or all until ctx ends if count is negative.
func printEvents(ctx context.Context, n *inotify.Inotify, p *printer, count int) error {
	if count == 0 {
		return nil
	}
	for ev, err := range n.Events(ctx) {
		if err != nil && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.event(ev); err != nil {
			return err
		}
		if count--; count == 0 {
			return nil
		}
	}
	return nil
}
