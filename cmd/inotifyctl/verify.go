// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed10546c08/inotify/checkpoint"
)

// verify compares a live instance with a snapshot.
func verify(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	var fd int
	fdVar(flags, &fd)
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return misused("verify: FILE and PID are needed, after the options")
	}
	pid, err := parsePID(flags.Arg(1))
	if err != nil {
		return misused("verify: %v", err)
	}
	want, err := readSnapshot(flags.Arg(0))
	if err != nil {
		return err
	}
	if fd < 0 {
		fd = want.FD
	}
	have, err := checkpoint.TakeFD(ctx, pid, fd, checkpoint.WithPaths(checkpoint.NoPaths))
	if err != nil {
		return adviseTake(err)
	}
	if err := report(stdout, want, have, fmt.Sprintf("descriptor %d of process %d", fd, pid)); err != nil {
		return err
	}
	note(stderr, "unknown", summary(want.Unrestorable())...)
	return restorable(want, "dump it as root, or with -paths search")
}

// readSnapshot reads a snapshot from a file, or from standard input if its name
// is "-".
func readSnapshot(name string) (*checkpoint.Snapshot, error) {
	if name == "-" {
		return checkpoint.Read(os.Stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := checkpoint.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", quote(name), err)
	}
	return s, nil
}

// report prints the differences, or that there are none. Differences are an
// error.
func report(w io.Writer, want, have *checkpoint.Snapshot, who string) error {
	diffs := want.Compare(have)
	for _, d := range diffs {
		if _, err := fmt.Fprintln(w, oneLine(d.String())); err != nil {
			return err
		}
	}
	if len(diffs) > 0 {
		return advised(fmt.Errorf("%s differs from the snapshot: %d differences", who, len(diffs)), "")
	}
	compared, not := comparable(want, have)
	_, err := fmt.Fprintf(w, "%s is equal to the snapshot: %s; not compared: %s\n", who, strings.Join(compared, ", "), strings.Join(not, ", "))
	return err
}

// comparable tells what Compare compares, and what not.
func comparable(a, b *checkpoint.Snapshot) (compared, not []string) {
	compared = append(compared, fmt.Sprintf("%d watches with their numbers and masks", len(a.Watches)))
	switch {
	case a.BootID == "" || b.BootID == "":
		not = append(not, "inodes (the boot id is unknown)")
	case a.BootID == b.BootID:
		compared = append(compared, "inodes")
	default:
		not = append(not, "inodes (the snapshot is of another machine or boot)")
	}
	for _, what := range []string{"next_wd", "flags", "owner", "signal"} {
		if a.Learned(what) && b.Learned(what) {
			compared = append(compared, what)
		} else {
			not = append(not, what)
		}
	}
	return compared, append(not, "paths", "pending events")
}
