// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"flag"
	"io"

	"github.com/seed10546c08/inotify"
)

var watchCommand = &subcommand{
	name:     "watch",
	operands: "PATH...",
	summary:  "watch paths and print their events",
	about: `
Watch each PATH and print its events, one a line, until interrupted or until no watch
is left. Directories below PATH are not watched.

Each watch is printed first, with its watch descriptor (wd) and how it got that: "added"
(the kernel chose the wd), "ioctl" (-wd set it with INOTIFY_IOC_SETNEXTWD) or "cycle"
(the kernel lacks that ioctl, and -wd added and removed watches until the wd came up).
`,
	example: "inotifyctl watch -mask IN_CREATE,IN_DELETE /tmp",
	exit: [][2]string{
		{"0", "done or interrupted"},
		{"1", "failed: standard error says why"},
		{"2", "usage error"},
	},
	define: func(flags *flag.FlagSet) action {
		w := &watch{mask: inotify.AllEvents, count: -1}
		flags.Func("wd", "give the first PATH the watch descriptor `N`: 1 to 2147483647, or hexadecimal with 0x", func(s string) (err error) {
			w.wd, err = parseWD(s)
			return err
		})
		flags.Func("mask", "watch for the events in `LIST`: names of inotify(7), joined by \",\" (default IN_ALL_EVENTS)", func(s string) (err error) {
			w.mask, err = parseMask(s)
			return err
		})
		numberVar(flags, &w.count, "n", 0, "end after `N` events; 0 ends as soon as the watches are added (default: no limit)")
		flags.BoolVar(&w.json, "json", false, "print each line as a JSON object")
		maxStepsVar(flags, &w.maxSteps, "with -wd: ")
		return func(ctx context.Context, in *invocation) error {
			if err := checkNeeded(flags, "wd", "max-steps"); err != nil {
				return err
			}
			return w.run(ctx, in)
		}
	},
}

// A watch is the command watch.
type watch struct {
	wd       inotify.WD // for the first path; 0 is none
	mask     inotify.Mask
	count    int64 // of events; -1 is no limit
	json     bool
	maxSteps int64
}

func (w *watch) run(ctx context.Context, in *invocation) error {
	if len(in.operands) == 0 {
		return usageErrorf("PATH is missing")
	}
	n, err := inotify.New()
	if err != nil {
		return err
	}
	defer n.Close()
	p := newPrinter(in.stdout, w.json)
	for i, path := range in.operands {
		a := added{path: path, mask: w.mask, how: howAdded}
		if i == 0 && w.wd != 0 {
			err = a.restore(ctx, n, w.wd, w.maxSteps, in.stderr)
		} else {
			a.wd, err = n.AddWatch(path, w.mask)
		}
		if err != nil {
			return err
		}
		if err := p.watch(a); err != nil {
			return err
		}
	}
	return printEvents(ctx, n, p, w.count)
}

// restore adds the watch under wd.
func (a *added) restore(ctx context.Context, n *inotify.Inotify, wd inotify.WD, maxSteps int64, stderr io.Writer) error {
	b := newBar(stderr)
	defer b.clear()
	a.wd, a.how = wd, howIoctl
	return n.RestoreWatch(ctx, wd, a.path, a.mask,
		inotify.WithMaxSteps(maxSteps),
		// Only the cycle reports progress, for the last time at its end.
		inotify.WithProgress(func(p inotify.Progress) {
			a.how, a.steps, a.elapsed = howCycle, p.Steps, p.Elapsed
			b.drawCycle(p)
		}))
}

// printEvents prints limit events, or all if limit is negative, until ctx ends or no watch is
// left.
func printEvents(ctx context.Context, n *inotify.Inotify, p *printer, limit int64) error {
	if limit == 0 {
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
		if limit--; limit == 0 || len(p.paths) == 0 {
			return nil
		}
	}
	return nil
}
