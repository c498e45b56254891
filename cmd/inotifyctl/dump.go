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
	"os"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// dumpArgs are the arguments of dump.
type dumpArgs struct {
	fd     int // -1 is the process's only instance
	paths  pathArgs
	drain  bool
	output string // "" is standard output
	pid    int
}

func parseDump(args []string) (dumpArgs, error) {
	var a dumpArgs
	flags := flag.NewFlagSet("dump", flag.ContinueOnError)
	fdVar(flags, &a.fd)
	a.paths.define(flags)
	flags.BoolVar(&a.drain, "drain", false, "")
	flags.StringVar(&a.output, "o", "", "")
	if err := parseFlags(flags, args); err != nil {
		return a, err
	}
	if flags.NArg() != 1 {
		return a, misused("dump: one PID is needed, after the options")
	}
	var err error
	if a.pid, err = parsePID(flags.Arg(0)); err != nil {
		return a, misused("dump: %v", err)
	}
	return a, nil
}

// dump writes the snapshot of another process's instance. The output is open
// before anything is taken, and what was drained is never dropped: it would be
// nowhere else.
func dump(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	a, err := parseDump(args)
	if err != nil {
		return err
	}
	if a.fd < 0 {
		if a.fd, err = onlyInstance(ctx, a.pid); err != nil {
			return err
		}
	}
	out, err := openOutput(ctx, a.output, stdout)
	if err != nil {
		return err
	}
	defer out.abandon()
	ctx, stop := surviveSignals(ctx)
	defer stop()
	s, err := a.take(ctx, stderr)
	if s == nil {
		return err
	}
	text, ferr := form(s)
	if err = errors.Join(err, ferr); err == nil {
		err = out.write(ctx, text)
	}
	if err != nil {
		return salvage(s, text, err, stderr)
	}
	note(stderr, "not learned", summary(s.NotLearned)...)
	note(stderr, "effect", s.Effects...)
	return restorable(s, a.paths.advice())
}

// take returns a snapshot also with an error, if it has what is nowhere else.
func (a *dumpArgs) take(ctx context.Context, stderr io.Writer) (*checkpoint.Snapshot, error) {
	b := newBar(stderr)
	defer b.clear()
	opts := a.paths.options(b)
	if a.drain {
		opts = append(opts, checkpoint.WithDrain())
	}
	s, err := checkpoint.TakeFD(ctx, a.pid, a.fd, opts...)
	return s, adviseTake(err)
}

// adviseTake says what to do where another process's instance cannot be taken.
func adviseTake(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return advised(err, "interrupted: run it again")
	case errors.Is(err, errors.ErrUnsupported):
		return advised(err, "this needs a Linux that lists watches in /proc/PID/fdinfo")
	case errors.Is(err, os.ErrPermission):
		return advised(err, "run it as that process's user, or as root")
	case errors.Is(err, os.ErrNotExist), isNoProcess(err), isNoInstance(err):
		return advised(err, "see what there is with inotifyctl ls")
	}
	return advised(err, "")
}

// onlyInstance returns the first descriptor of the only instance that the
// process has.
func onlyInstance(ctx context.Context, pid int) (fd int, err error) {
	list, err := checkpoint.Instances(ctx, pid)
	switch {
	case err != nil:
		return 0, adviseTake(err)
	case len(list) == 0:
		return 0, fmt.Errorf("process %d has no inotify instance", pid)
	case len(list) == 1:
		return list[0].Descriptors[0].FD, nil
	}
	var each []string
	for _, i := range list {
		text := fmt.Sprint("-fd ", i.Descriptors[0].FD)
		for _, d := range i.Descriptors[1:] {
			text += fmt.Sprint(" = ", d.FD)
		}
		each = append(each, text)
	}
	return 0, fmt.Errorf("process %d has %d instances: say which: %s", pid, len(list), strings.Join(each, ", "))
}

// form returns the JSON form.
func form(s *checkpoint.Snapshot) ([]byte, error) {
	var b bytes.Buffer
	_, err := s.WriteTo(&b)
	return escape(b.Bytes()), err
}

// salvage saves what was drained where it was not written because of err: in a
// file of its own, or else on standard error.
func salvage(s *checkpoint.Snapshot, text []byte, err error, stderr io.Writer) error {
	if len(s.Pending) == 0 {
		return err
	}
	if len(text) == 0 {
		text = eventLines(s.Pending)
	}
	name, serr := saveTemporary(text)
	if serr == nil {
		return advised(err, fmt.Sprintf("%d events were taken from the instance already: they are saved in %s", len(s.Pending), quote(name)))
	}
	stderr.Write(text)
	return advised(err, fmt.Sprintf("%d events were taken from the instance already, and could not be saved (%v): they are printed above", len(s.Pending), serr))
}

// eventLines returns events as watch -json prints them.
func eventLines(events []inotify.Event) []byte {
	var b bytes.Buffer
	for _, ev := range events {
		writeObject(&b, checkpoint.Event(ev))
	}
	return b.Bytes()
}

// fdVar defines -fd, which is -1 if it is not given.
func fdVar(flags *flag.FlagSet, fd *int) {
	*fd = -1
	flags.Func("fd", "", func(s string) error {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("not the number of a descriptor")
		}
		*fd = int(n)
		return nil
	})
}

// note tells something beside what a command was asked for, one line each.
func note(stderr io.Writer, what string, lines ...string) {
	for _, line := range lines {
		fmt.Fprintf(stderr, "inotifyctl: %s: %s\n", what, oneLine(line))
	}
}
