// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

var demoCommand = &subcommand{
	name:    "demo",
	summary: "show dump and restore in a temporary directory",
	about: `
Show how an inotify instance is dumped and restored: create one with watches in a
temporary directory, dump it while events are pending, close it, restore it, read from its
descriptor the pending events and then new ones, and verify that it is equal. The
directory is removed at the end.
`,
	example: "inotifyctl demo",
	exit: [][2]string{
		{"0", "done: the restored instance is equal"},
		{"1", "failed: standard error says why"},
		{"2", "usage error"},
	},
	define: func(*flag.FlagSet) action { return demo },
}

func demo(ctx context.Context, in *invocation) (err error) {
	if err := checkOperands(in.operands); err != nil {
		return err
	}
	// If standard output is closed early, the directory is removed all the same.
	defer ignoreSIGPIPE()()
	dir, err := os.MkdirTemp("", "inotifyctl-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := demonstration{w: in.stdout, dir: dir, watches: demoWatches(dir, demoWDs)}
	return d.run(ctx)
}

var (
	demoWDs = []inotify.WD{1, 7, 0x34d71d6, math.MaxInt32}

	// smallWDs are for kernels that need the add/remove cycle.
	smallWDs = []inotify.WD{1, 7, 12, 40}
)

// demoWatches returns a watch for each wd, on a directory that has its name.
func demoWatches(dir string, wds []inotify.WD) (ws []inotify.Watch) {
	for _, wd := range wds {
		ws = append(ws, inotify.Watch{
			WD: wd, Mask: inotify.Create | inotify.Delete, Path: filepath.Join(dir, fmt.Sprint(wd)),
		})
	}
	return ws
}

// A demonstration is what the steps of demo share.
type demonstration struct {
	w       io.Writer
	dir     string
	watches []inotify.Watch
	err     error // of writing
}

// say prints the line of a step.
func (d *demonstration) say(step, format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.w, "%-9s %s\n", step, fmt.Sprintf(format, args...))
	}
}

func (d *demonstration) run(ctx context.Context) error {
	n, err := d.create(ctx)
	if err != nil {
		return err
	}
	defer n.Close()
	if err := errors.Join(d.err, d.touch("before")); err != nil {
		return err
	}
	s, err := d.dump(ctx, n)
	if err != nil {
		return err
	}
	if err := n.Close(); err != nil {
		return err
	}
	d.say("closed", "the instance")
	if err := d.restore(ctx, s); err != nil {
		return err
	}
	d.say("removed", "%s", quote(d.dir))
	return d.err
}

// create creates an instance with the watches.
func (d *demonstration) create(ctx context.Context) (*inotify.Inotify, error) {
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	if inotify.HaveSetNextWD() != nil {
		d.watches = demoWatches(d.dir, smallWDs)
		d.say("note", "this kernel lacks INOTIFY_IOC_SETNEXTWD: small wds, by the add/remove cycle")
	}
	for _, w := range d.watches {
		if err := os.Mkdir(w.Path, 0o700); err != nil {
			n.Close()
			return nil, err
		}
	}
	if err := n.RestoreWatches(ctx, d.watches); err != nil {
		n.Close()
		return nil, err
	}
	d.say("created", "an instance with %d watches in %s", len(d.watches), quote(d.dir))
	return n, nil
}

// touch creates a file in each watched directory except the first.
func (d *demonstration) touch(name string) error {
	for _, w := range d.watches[1:] {
		if err := os.WriteFile(filepath.Join(w.Path, name), nil, 0o600); err != nil {
			return err
		}
	}
	d.say("touched", "a file %q in %d of the directories", name, len(d.watches)-1)
	return nil
}

// dump dumps the instance to a file, and returns what it reads from that.
func (d *demonstration) dump(ctx context.Context, n *inotify.Inotify) (*checkpoint.Snapshot, error) {
	paths := make(map[inotify.WD]string)
	for _, w := range d.watches {
		paths[w.WD] = w.Path
	}
	s, err := checkpoint.Dump(ctx, n, checkpoint.WithDrain(), checkpoint.WithPaths(checkpoint.PathsNone),
		checkpoint.WithResolver(func(w inotify.Watch) (string, error) { return paths[w.WD], nil }))
	if err != nil {
		return nil, withDumpHint(err)
	}
	text, err := snapshotText(s)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(d.dir, "snapshot.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return nil, err
	}
	if s, err = readSnapshot(name); err != nil {
		return nil, err
	}
	d.say("dumped", "to snapshot.json, %d bytes: %d pending events, %s, and", len(text), len(s.Pending), nextWD(s))
	for _, w := range s.Watches {
		d.say("", "watch %-10d %v on %s, inode %d", w.WD, w.Mask, relative(d.dir, w.Path), w.Inode)
	}
	return s, nil
}

func nextWD(s *checkpoint.Snapshot) string {
	if s.NextWD == 0 {
		return "next wd unknown"
	}
	return fmt.Sprintf("next wd %d", s.NextWD)
}

func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil {
		return rel
	}
	return path
}

func (d *demonstration) restore(ctx context.Context, s *checkpoint.Snapshot) error {
	start := time.Now()
	r, err := s.Restore(ctx)
	if err != nil {
		return withRestoreHint(s, err)
	}
	defer r.Close()
	d.say("restored", "%d watches, %d events in the queue, in %v", len(s.Watches), r.Queued, time.Since(start).Round(10*time.Microsecond))
	missing, unverified := splitGaps(r.NotRestored)
	for _, line := range slices.Concat(summary(missing), changes(r.Changed)) {
		d.say("", "not restored: %s", line)
	}
	for _, line := range summary(unverified) {
		d.say("", "not verified: %s", line)
	}
	if err := d.touch("after"); err != nil {
		return err
	}
	f, pending, err := r.Release()
	if err != nil {
		return err
	}
	n, err := inotify.FromFile(f)
	if err != nil {
		f.Close()
		return err
	}
	defer n.Close()
	if err := d.events(ctx, pending, n); err != nil {
		return err
	}
	return d.verify(ctx, s, n)
}

// events prints the pending events and as many new ones, from the descriptor of the restored
// instance. before has the events that could not be put into its queue.
func (d *demonstration) events(ctx context.Context, before []inotify.Event, n *inotify.Inotify) error {
	for _, ev := range before {
		d.say("pending", "watch %-10d %v %q", ev.WD, ev.Mask, ev.Name)
	}
	left := 2*(len(d.watches)-1) - len(before)
	if left == 0 {
		return nil
	}
	for ev, err := range n.Events(ctx) {
		if err != nil {
			return err
		}
		d.say("read", "watch %-10d %v %q", ev.WD, ev.Mask, ev.Name)
		if left--; left == 0 {
			break
		}
	}
	return nil
}

func (d *demonstration) verify(ctx context.Context, s *checkpoint.Snapshot, n *inotify.Inotify) error {
	have, err := checkpoint.Dump(ctx, n, checkpoint.WithPaths(checkpoint.PathsNone))
	if err != nil {
		return withDumpHint(err)
	}
	if diffs := s.Compare(have); len(diffs) > 0 {
		return withHint(fmt.Errorf("the restored instance differs: %v", diffs[0]), "")
	}
	d.say("verified", "equal: wds, masks, inodes, %s", nextWD(have))
	return nil
}
