// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// restoreArgs are the arguments of restore.
type restoreArgs struct {
	pending  string // file to write pending events to; "" is none
	drop     bool   // pending events
	maxSteps int64
	missing  bool
	file     string
	command  []string
}

func parseRestore(args []string) (restoreArgs, error) {
	var a restoreArgs
	flags := flag.NewFlagSet("restore", flag.ContinueOnError)
	flags.StringVar(&a.pending, "pending", "", "")
	flags.BoolVar(&a.drop, "drop-pending", false, "")
	flags.Int64Var(&a.maxSteps, "max-steps", inotify.DefaultMaxSteps, "")
	flags.BoolVar(&a.missing, "missing", false, "")
	if err := parseFlags(flags, args); err != nil {
		return a, err
	}
	rest := flags.Args()
	switch {
	case a.pending != "" && a.drop:
		return a, misused("restore: -pending and -drop-pending exclude each other")
	case a.maxSteps < 0:
		return a, misused("restore: -max-steps %d is negative", a.maxSteps)
	case len(rest) < 3 || rest[1] != "--":
		return a, misused("restore: FILE, then --, then COMMAND are needed, after the options")
	}
	a.file, a.command = rest[0], rest[2:]
	return a, nil
}

// restore becomes the command, with the instance as the descriptor that it was.
func restore(ctx context.Context, args []string, stderr io.Writer) error {
	a, err := parseRestore(args)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(a.command[0])
	if err != nil {
		return advised(err, "give a command that can be executed")
	}
	s, err := readSnapshot(a.file)
	if err != nil {
		return err
	}
	if err := a.checkPending(s); err != nil {
		return err
	}
	if err := checkNumber(s.FD); err != nil {
		return err
	}
	out := new(output)
	if a.pending != "" {
		if out, err = openOutput(ctx, a.pending, nil); err != nil {
			return err
		}
		defer out.abandon()
	}
	f, pending, err := a.restore(ctx, s, stderr)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := a.placePending(ctx, s, pending, out, stderr); err != nil {
		return err
	}
	signal.Reset(endSignals...) // or one that comes now would be lost
	if err := ctx.Err(); err != nil {
		return advised(err, "interrupted, and the command was not executed")
	}
	err = become(f, s.FD, path, a.command)
	return advised(fmt.Errorf("cannot execute %s: %w", quote(path), err), "")
}

// checkPending refuses pending events that nobody said what to do with.
func (a *restoreArgs) checkPending(s *checkpoint.Snapshot) error {
	switch lost := lostBytes(s); {
	case a.drop:
		return nil
	case lost > 0:
		return fmt.Errorf("%d bytes of events were pending that the snapshot does not have: dump it with -drain, or drop them with -drop-pending", lost)
	case len(s.Pending) > 0 && a.pending == "":
		return tooManyPending(len(s.Pending))
	}
	return nil
}

func tooManyPending(n int) error {
	return fmt.Errorf("%d events are pending that the restored queue cannot hold: write them to a file with -pending FILE, or drop them with -drop-pending", n)
}

// lostBytes returns how many bytes of events were pending and are not in the
// snapshot.
func lostBytes(s *checkpoint.Snapshot) int {
	if len(s.Pending) > 0 && s.Learned("pending") {
		return 0
	}
	return s.PendingBytes
}

// restore restores the instance and takes it out of the library.
func (a *restoreArgs) restore(ctx context.Context, s *checkpoint.Snapshot, stderr io.Writer) (*os.File, []inotify.Event, error) {
	b := newBar(stderr)
	defer b.clear()
	opts := []checkpoint.RestoreOption{checkpoint.WithClimb(
		inotify.WithMaxSteps(a.maxSteps), inotify.WithProgress(b.draw))}
	if a.missing {
		opts = append(opts, checkpoint.WithMissing())
	}
	r, err := s.Restore(ctx, opts...)
	if err != nil {
		return nil, nil, adviseRestore(err)
	}
	b.clear()
	note(stderr, "not restored", summary(r.NotRestored)...)
	for _, wd := range r.Gone {
		note(stderr, "not restored", fmt.Sprintf("watch %d: what it watches was removed meanwhile", wd))
	}
	f, pending, err := r.Release()
	if err != nil {
		r.Close()
		if f != nil {
			f.Close()
		}
		return nil, nil, advised(err, "")
	}
	return f, pending, nil
}

// adviseRestore says what to do where a snapshot cannot be restored.
func adviseRestore(err error) error {
	var target *checkpoint.TargetError
	var watch *inotify.RestoreError
	var proof *checkpoint.ProofError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, checkpoint.ErrNoPath):
		return advised(err, "dump it with -paths search, or leave such watches out with -missing")
	case errors.Is(err, os.ErrNotExist) && (errors.As(err, &target) || errors.As(err, &watch)):
		return advised(err, "put back what is missing, or leave such watches out with -missing")
	case errors.As(err, &target), errors.As(err, &proof):
		return advised(err, "put back what was there at the dump")
	case errors.As(err, &watch):
		return err
	}
	return advised(err, "")
}

// placePending puts the pending events where the caller said: those of the
// snapshot, and those that were read while it was restored.
func (a *restoreArgs) placePending(ctx context.Context, s *checkpoint.Snapshot, pending []inotify.Event, out *output, stderr io.Writer) error {
	if a.pending != "" {
		return out.write(ctx, eventLines(pending))
	}
	if len(pending) > 0 && !a.drop {
		return tooManyPending(len(pending))
	}
	if len(pending) > 0 {
		note(stderr, "dropped", fmt.Sprintf("%d pending events", len(pending)))
	}
	if lost := lostBytes(s); lost > 0 {
		note(stderr, "dropped", fmt.Sprintf("%d bytes of pending events that the snapshot does not have", lost))
	}
	return nil
}
