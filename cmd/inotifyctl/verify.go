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

var verifyCommand = &subcommand{
	name:     "verify",
	operands: "FILE PID",
	summary:  "compare an inotify instance of a process with a dump",
	about: `
Verify that an inotify instance of process PID is equal to the dump in FILE ("-":
standard input). Each difference is printed on a line.

Watch descriptors and masks are compared. Inodes are compared if the dump is from this
boot. The next wd, flags, owner and signal are compared if both the dump and the instance
show them. Paths and pending events are not compared. In a process that restore started,
FD_CLOEXEC is off: this is a difference if it was on at the dump.
`,
	example: "inotifyctl verify app.json 4711",
	exit: [][2]string{
		{"0", "equal"},
		{"1", "different; or failed: standard error says why"},
		{"2", "usage error"},
		{"3", "equal, but restore would refuse the dump: standard error says what to do"},
	},
	define: func(flags *flag.FlagSet) action {
		v := new(verify)
		fdVar(flags, &v.fd, "compare the instance that the process has as file descriptor `N` (default: as in the dump)")
		verboseVar(flags, &v.verbose, "")
		return v.run
	},
}

// A verify is the command verify.
type verify struct {
	fd      int // -1 is that of the dump
	verbose bool
}

func (v *verify) run(ctx context.Context, in *invocation) error {
	if err := checkOperands(in.operands, "FILE", "PID"); err != nil {
		return err
	}
	pid, err := parsePID(in.operands[1])
	if err != nil {
		return err
	}
	want, err := readSnapshot(in.operands[0])
	if err != nil {
		return err
	}
	fd := v.fd
	if fd < 0 {
		fd = want.FD
	}
	have, err := checkpoint.DumpFD(ctx, pid, fd, checkpoint.WithPaths(checkpoint.PathsNone))
	if err != nil {
		return withDumpHint(err)
	}
	effects := sideEffects{verbose: v.verbose}
	effects.print(in.stderr, have)
	if err := printDifferences(in.stdout, want, have, fmt.Sprintf("descriptor %d of process %d", fd, pid)); err != nil {
		return err
	}
	note(in.stderr, "unknown", summary(want.Unrestorable())...)
	return checkRestorable(want, searchAdvice)
}

// readSnapshot reads a dump from a file, or from standard input if the name is "-".
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
		return nil, fmt.Errorf("read %s: %s", quote(name), withoutPackage(err))
	}
	return s, nil
}

// printDifferences prints the differences of the instance with the name from the dump, or that
// there are none. It returns an error if there are differences.
func printDifferences(w io.Writer, want, have *checkpoint.Snapshot, name string) error {
	diffs := want.Compare(have)
	for _, d := range diffs {
		if _, err := fmt.Fprintln(w, oneLine(d.String())); err != nil {
			return err
		}
	}
	if len(diffs) > 0 {
		return withHint(fmt.Errorf("%s differs from the dump: %s", name, count(len(diffs), "difference", "differences")), "")
	}
	compared, not := comparedFields(want, have)
	_, err := fmt.Fprintf(w, "%s is equal to the dump: compared %s; not compared %s\n", name, strings.Join(compared, ", "), strings.Join(not, ", "))
	return err
}

// comparedFields returns what Compare compares, and what it does not.
func comparedFields(a, b *checkpoint.Snapshot) (compared, not []string) {
	compared = append(compared, count(len(a.Watches), "watch", "watches")+" (wd, mask)")
	switch {
	case a.BootID == "" || b.BootID == "":
		not = append(not, "inodes (the boot id is unknown)")
	case a.BootID == b.BootID:
		compared = append(compared, "inodes")
	default:
		not = append(not, "inodes (the dump is from another machine or boot)")
	}
	for _, field := range []checkpoint.Field{checkpoint.FieldNextWD, checkpoint.FieldFlags, checkpoint.FieldOwner, checkpoint.FieldSignal} {
		if a.Known(field) && b.Known(field) {
			compared = append(compared, string(field))
		} else {
			not = append(not, string(field))
		}
	}
	return compared, append(not, "paths", "pending events")
}
