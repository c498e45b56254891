// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/seed10546c08/inotify/checkpoint"
)

var dumpCommand = &subcommand{
	name:     "dump",
	operands: "PID",
	summary:  "write an inotify instance of a process to a file",
	about: `
Write an inotify instance of process PID to a file, so that it can be restored and
verified later. The file is JSON. It has each watch with its watch descriptor (wd),
mask and path, and the state of the instance. What could not be determined is listed
in it and on standard error.

Stop the process first (kill -STOP PID): a dump of a running process may mix states of
different moments. Write the file to a directory that is not watched.

With -drain, the pending events leave the process's queue, and only the file has them: do
not replace it by another dump. If they cannot be written to the file, or a signal ends
dump, they are saved to a file in $TMPDIR, which standard error names. Only kill -9 loses
them.
`,
	example: "kill -STOP 4711\ninotifyctl dump -drain -o app.json 4711",
	exit: [][2]string{
		{"0", "the dump is written and can be restored"},
		{"1", "failed: no dump is written; standard error says why"},
		{"2", "usage error"},
		{"3", "the dump is written, but restore would refuse it: standard error says what to do"},
	},
	define: func(flags *flag.FlagSet) action {
		d := new(dump)
		fdVar(flags, &d.fd, "dump the instance that the process has as file descriptor `N`; needed if it has several instances")
		d.paths.define(flags, "")
		flags.BoolVar(&d.drain, "drain", false, "also dump the pending events, which leave the queue, and the next wd; all processes that have the instance must be stopped")
		flags.StringVar(&d.output, "o", "-", "write to `FILE`, which is replaced when the dump is complete, and which only you can read; \"-\" is standard output (default)")
		verboseVar(flags, &d.verbose, "")
		return d.run
	},
}

// A dump is the command dump.
type dump struct {
	fd      int // -1 is the only instance of the process
	paths   pathFlags
	drain   bool
	output  string
	verbose bool
	pid     int
}

// run dumps an instance. It opens the output first, and never drops what was drained,
// as nothing else has it then.
func (d *dump) run(ctx context.Context, in *invocation) (err error) {
	if err := checkOperands(in.operands, "PID"); err != nil {
		return err
	}
	if d.pid, err = parsePID(in.operands[0]); err != nil {
		return err
	}
	if err := d.paths.check(); err != nil {
		return err
	}
	if d.fd < 0 {
		if d.fd, err = onlyInstance(ctx, d.pid); err != nil {
			return err
		}
	}
	out, err := openOutput(ctx, d.output, in.stdout)
	if err != nil {
		return err
	}
	defer out.abandon()
	ctx, stop := surviveSignals(ctx)
	defer stop()
	s, err := d.snapshot(ctx, in.stderr)
	if s == nil {
		return err
	}
	text, terr := snapshotText(s)
	if err = errors.Join(err, terr); err == nil {
		err = out.write(ctx, text)
	}
	if err != nil {
		return salvage(s, text, err, in.stderr)
	}
	note(in.stderr, "unknown", summary(s.Unknown)...)
	effects := sideEffects{verbose: d.verbose}
	effects.print(in.stderr, s)
	return checkRestorable(s, d.paths.advice())
}

// snapshot dumps the instance. It returns a snapshot with an error, too, if it has drained
// events.
func (d *dump) snapshot(ctx context.Context, stderr io.Writer) (*checkpoint.Snapshot, error) {
	b := newBar(stderr)
	defer b.clear()
	opts := d.paths.options(b)
	if d.drain {
		opts = append(opts, checkpoint.WithDrain())
	}
	s, err := checkpoint.DumpFD(ctx, d.pid, d.fd, opts...)
	return s, withDumpHint(err)
}

// onlyInstance returns the first descriptor of the only instance that the process has.
func onlyInstance(ctx context.Context, pid int) (fd int, err error) {
	instances, err := checkpoint.Instances(ctx, pid)
	switch {
	case err != nil:
		return 0, withDumpHint(err)
	case len(instances) == 0:
		return 0, fmt.Errorf("process %d has no inotify instance", pid)
	case len(instances) == 1:
		return instances[0].Descriptors[0].FD, nil
	}
	var each []string
	for _, i := range instances {
		text := fmt.Sprint("-fd ", i.Descriptors[0].FD)
		if others := len(i.Descriptors) - 1; others > 0 {
			text += fmt.Sprintf(" (and %s of it)", count(others, "duplicate", "duplicates"))
		}
		each = append(each, text)
	}
	return 0, fmt.Errorf("process %d has %d inotify instances: choose one: %s", pid, len(instances), strings.Join(each, ", "))
}

// salvage saves drained events that were not written because of err: in a file of
// their own, or else on standard error.
func salvage(s *checkpoint.Snapshot, text []byte, err error, stderr io.Writer) error {
	if len(s.Pending) == 0 {
		return err
	}
	if len(text) == 0 {
		var events bytes.Buffer
		writeEvents(&events, s.Pending) // which does not fail
		text = events.Bytes()
	}
	drained := count(len(s.Pending), "event was", "events were")
	name, serr := saveTemporary(text)
	if serr == nil {
		return withHint(err, fmt.Sprintf("%s already drained: saved in %s", drained, quote(name)))
	}
	stderr.Write(text)
	return withHint(err, fmt.Sprintf("%s already drained and could not be saved (%v): printed above", drained, serr))
}
