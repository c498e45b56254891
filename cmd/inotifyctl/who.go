// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/sys"
)

var whoCommand = &subcommand{
	name:     "who",
	operands: "PATH...",
	summary:  "list processes that watch a file or directory",
	about: `
List which processes watch each PATH. Run it as root for the processes of other users.

Watches are found by inode, so those that were added under another path of the same file
are listed as well. No directory is searched. A watch on the directory of PATH reports
events of PATH, too: to find these watches, give the directory as well.
`,
	example: "inotifyctl who /etc/passwd /etc",
	exit: [][2]string{
		{"0", "done, also if no process watches PATH"},
		{"1", "failed: standard error says why"},
		{"2", "usage error"},
		{"3", "incomplete: a process did not answer, or could not be read although you have permission"},
	},
	define: func(flags *flag.FlagSet) action {
		w := new(who)
		flags.BoolVar(&w.json, "json", false, "print JSON, one object for each watch")
		verboseVar(flags, &w.effects.verbose, "")
		return w.run
	},
}

// A who is the command who.
type who struct {
	json    bool
	effects sideEffects
}

// A watchOn is a watch on a path that who was asked for.
type watchOn struct {
	instance checkpoint.Instance
	watch    checkpoint.Watch // with that path
}

func (w *who) run(ctx context.Context, in *invocation) error {
	if len(in.operands) == 0 {
		return usageErrorf("PATH is missing")
	}
	inodes, err := inodesOf(in.operands)
	if err != nil {
		return err
	}
	c, err := countUsage(ctx, "/proc")
	if err != nil {
		return err
	}
	found, reasons, err := w.find(ctx, c.instances, inodes, in.stderr)
	if err != nil {
		return err
	}
	show := printWatchesOn
	if w.json {
		show = writeWatchesOn
	}
	if err := show(in, found, hiddenLines(c)); err != nil {
		return err
	}
	if reasons = append(c.failures(), reasons...); len(reasons) > 0 {
		return &incompleteError{reasons}
	}
	return nil
}

// inodesOf returns for each path the watch that the kernel lists for it, under the path. It
// watches the paths for nothing, so that inodes are compared as the kernel lists them:
// stat(2) has other device numbers on btrfs and overlayfs.
func inodesOf(paths []string) ([]inotify.Watch, error) {
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	var wds []inotify.WD
	for _, path := range paths {
		wd, err := n.AddWatch(path, inotify.IsDir|inotify.MaskAdd)
		if err != nil {
			return nil, err
		}
		wds = append(wds, wd)
	}
	listed, err := n.Watches()
	if err != nil {
		return nil, err
	}
	var inodes []inotify.Watch
	for i, path := range paths {
		k := slices.IndexFunc(listed, func(w inotify.Watch) bool { return w.WD == wds[i] })
		if k < 0 {
			return nil, &fs.PathError{Op: "watch", Path: path, Err: fs.ErrNotExist} // it was removed just then
		}
		inode := listed[k]
		inode.Path = path
		inodes = append(inodes, inode)
	}
	return inodes, nil
}

// find returns the watches on the inodes, in the order of these, and why instances could
// not be read.
func (w *who) find(ctx context.Context, instances []checkpoint.Instance, inodes []inotify.Watch, stderr io.Writer) (found []watchOn, reasons []string, err error) {
	byInode := make([][]watchOn, len(inodes))
	for _, i := range instances {
		if i.Watches == 0 {
			continue
		}
		s, err := dumpInstance(ctx, i, checkpoint.WithPaths(checkpoint.PathsNone))
		switch {
		case ctx.Err() != nil:
			return nil, nil, errInterrupted
		case errors.Is(err, sys.ESRCH), errors.Is(err, checkpoint.ErrNotInotify), errors.Is(err, fs.ErrNotExist):
			continue // it has ended, or has closed the descriptor
		case err != nil:
			reasons = append(reasons, err.Error())
			continue
		}
		w.effects.print(stderr, s)
		for _, watch := range s.Watches {
			for k, inode := range inodes {
				if watch.Device == inode.Device && watch.Inode == inode.Inode && watch.Handle == inode.Handle {
					watch.Path = inode.Path
					byInode[k] = append(byInode[k], watchOn{i, watch})
				}
			}
		}
	}
	return slices.Concat(byInode...), reasons, nil
}

func printWatchesOn(in *invocation, found []watchOn, remarks []string) error {
	t := &table{columns: []column{
		{name: "PID", right: true}, {name: "COMMAND", flex: true}, {name: "FD", flex: true},
		{name: "WD", right: true}, {name: "MASK", flex: true}, {name: "PATH", flex: true},
	}}
	watched := make(map[string]bool)
	for _, f := range found {
		watched[f.watch.Path] = true
		for _, h := range holdings(f.instance) {
			t.add(strconv.Itoa(h.pid), quote(commandOf("/proc", h.pid)), h.descriptors(),
				strconv.Itoa(int(f.watch.WD)), maskText(f.watch.Mask), quote(f.watch.Path))
		}
	}
	text := ""
	if len(t.rows) > 0 {
		text = t.text(columns(in.stdout))
	}
	for _, path := range in.operands {
		if !watched[path] {
			text += fmt.Sprintf("no process was found that watches %s\n", quote(path))
		}
	}
	for _, line := range remarks {
		text += line + "\n"
	}
	_, err := io.WriteString(in.stdout, text)
	return err
}

// A watchOnObject is a line of -json.
type watchOnObject struct {
	Processes []processObject  `json:"processes"`
	Watch     checkpoint.Watch `json:"watch"`
}

func writeWatchesOn(in *invocation, found []watchOn, remarks []string) error {
	for _, f := range found {
		if err := writeObject(in.stdout, watchOnObject{processObjects(f.instance), f.watch}); err != nil {
			return err
		}
	}
	for _, line := range remarks {
		fmt.Fprintf(in.stderr, "inotifyctl: %s\n", line)
	}
	return nil
}
