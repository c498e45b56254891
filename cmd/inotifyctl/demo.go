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
	"time"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// demo shows in a folder of its own how an instance is taken and restored.
func demo(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return misused("demo: takes no arguments, and got %q", flags.Arg(0))
	}
	dir, err := os.MkdirTemp("", "inotifyctl-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := demonstration{w: stdout, dir: dir, watches: demoWatches(dir, demoNumbers)}
	return d.run(ctx)
}

var (
	demoNumbers = []inotify.WD{1, 7, 0x34d71d6, math.MaxInt32}

	// fewNumbers are for where the kernel counts up to them.
	fewNumbers = []inotify.WD{1, 7, 12, 40}
)

// demoWatches returns a watch for each number, on a folder that is named for it.
func demoWatches(dir string, numbers []inotify.WD) (ws []inotify.Watch) {
	for _, wd := range numbers {
		ws = append(ws, inotify.Watch{
			WD: wd, Mask: inotify.Create | inotify.Delete, Path: filepath.Join(dir, fmt.Sprint(wd)),
		})
	}
	return ws
}

// A demonstration has what its steps share.
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
	n, err := d.make(ctx)
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

// make makes an instance with watches under their numbers.
func (d *demonstration) make(ctx context.Context) (*inotify.Inotify, error) {
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	if inotify.HaveSetNextWD() != nil {
		d.watches = demoWatches(d.dir, fewNumbers)
		d.say("note", "this kernel cannot set the next number (INOTIFY_IOC_SETNEXTWD), so small ones are counted up to")
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
	d.say("made", "an instance with %d watches in %s", len(d.watches), quote(d.dir))
	return n, nil
}

// touch creates a file in each watched folder but the first.
func (d *demonstration) touch(name string) error {
	for _, w := range d.watches[1:] {
		if err := os.WriteFile(filepath.Join(w.Path, name), nil, 0o600); err != nil {
			return err
		}
	}
	d.say("created", "a file %q in %d of the folders", name, len(d.watches)-1)
	return nil
}

// dump takes the instance, and carries it through a file.
func (d *demonstration) dump(ctx context.Context, n *inotify.Inotify) (*checkpoint.Snapshot, error) {
	paths := make(map[inotify.WD]string)
	for _, w := range d.watches {
		paths[w.WD] = w.Path
	}
	s, err := checkpoint.Take(ctx, n, checkpoint.WithDrain(), checkpoint.WithPaths(checkpoint.NoPaths),
		checkpoint.WithResolver(func(w inotify.Watch) (string, error) { return paths[w.WD], nil }))
	if err != nil {
		return nil, adviseTake(err)
	}
	text, err := form(s)
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
	d.say("dumped", "to snapshot.json, %d bytes: %d pending events, %s, and", len(text), len(s.Pending), nextNumber(s))
	for _, w := range s.Watches {
		d.say("", "watch %-10d %v on %s, inode %d", w.WD, w.Mask, relative(d.dir, w.Path), w.Inode)
	}
	return s, nil
}

func nextNumber(s *checkpoint.Snapshot) string {
	if s.NextWD == 0 {
		return "the next number not learned"
	}
	return fmt.Sprintf("next number %d", s.NextWD)
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
		return adviseRestore(err)
	}
	defer r.Close()
	d.say("restored", "%d watches in %v", len(s.Watches), time.Since(start).Round(10*time.Microsecond))
	for _, line := range summary(r.NotRestored) {
		d.say("", "not restored: %s", line)
	}
	have, err := checkpoint.Take(ctx, r.Inotify, checkpoint.WithPaths(checkpoint.NoPaths))
	if err != nil {
		return adviseTake(err)
	}
	if diffs := s.Compare(have); len(diffs) > 0 {
		return advised(fmt.Errorf("it is not equal: %v", diffs[0]), "")
	}
	d.say("proved", "equal: numbers, masks and inodes, %s", nextNumber(have))
	if err := d.touch("after"); err != nil {
		return err
	}
	return d.events(ctx, r)
}

// events prints those that were pending and as many new ones.
func (d *demonstration) events(ctx context.Context, r *checkpoint.Restored) error {
	left := 2 * (len(d.watches) - 1)
	for ev, err := range r.Events(ctx) {
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
