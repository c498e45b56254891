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
	"os/exec"
	"os/signal"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

var restoreCommand = &subcommand{
	name:     "restore",
	operands: "FILE -- COMMAND [ARG...]",
	summary:  "restore a dumped instance and execute a command with it",
	about: `
Restore the inotify instance that was dumped to FILE ("-": standard input) and
execute COMMAND with it. COMMAND replaces inotifyctl in its process, and gets the
instance under the file descriptor that it had at the dump.

Each watch gets the watch descriptor (wd) that it had. If that fails for one, or a path
leads to another file than at the dump (which is known on the same boot only), COMMAND
is not executed.

The file descriptor must be free: to restore 0, 1 or 2, close it in the shell (0<&-).

The pending events of the dump are put into the queue of the instance: COMMAND reads
them first. What differs from the dump is printed. If the dump lacks pending events, an
overflow event is put there, so that COMMAND rescans. This needs Linux 4.17 and the
ioctl INOTIFY_IOC_SETNEXTWD: without it, -pending or -drop-pending must say what to do
with pending events.

COMMAND ignores the signals HUP, INT, TSTP, TTIN and TTOU if inotifyctl was started
with them ignored. To ignore others, execute sh -c 'trap "" QUIT; exec COMMAND'.
`,
	example: "inotifyctl restore app.json -- /usr/bin/app -v",
	exit: [][2]string{
		{"1", "failed: COMMAND was not executed, and standard error says why"},
		{"2", "usage error"},
		{"any", "that of COMMAND, if it was executed"},
	},
	executes: true,
	define: func(flags *flag.FlagSet) action {
		r := new(restore)
		flags.StringVar(&r.pending, "pending", "", "write the pending events to `FILE` as watch -json prints them, instead of into the queue; \"-\" is standard output")
		flags.BoolVar(&r.drop, "drop-pending", false, "drop the pending events; print how many there were")
		flags.BoolVar(&r.missing, "missing", false, "leave out watches whose path is missing or unknown; print which")
		maxStepsVar(flags, &r.maxSteps, "")
		return r.run
	},
}

// A restore is the command restore.
type restore struct {
	pending  string // the file for pending events; "" is none
	drop     bool   // pending events
	maxSteps int64
	missing  bool
}

// run restores the instance, and executes the command in place of this process.
func (r *restore) run(ctx context.Context, in *invocation) error {
	if err := r.check(in); err != nil {
		return err
	}
	path, err := exec.LookPath(in.execute[0])
	if err != nil {
		return withHint(err, "give a command that can be executed")
	}
	s, err := readSnapshot(in.operands[0])
	if err != nil {
		return err
	}
	if err := r.checkPending(s, in.stderr); err != nil {
		return err
	}
	if err := checkFDFree(s.FD); err != nil {
		return err
	}
	var out *output
	if r.pending != "" {
		if out, err = openOutput(ctx, r.pending, in.stdout); err != nil {
			return err
		}
		defer out.abandon()
	}
	f, pending, err := r.restoreInstance(ctx, s, in.stderr)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := r.putPending(ctx, s, pending, out, in.stderr); err != nil {
		return err
	}
	signal.Reset(endSignals...) // or one that comes now would be lost
	if ctx.Err() != nil {
		return fmt.Errorf("%w: the command was not executed", errInterrupted)
	}
	err = execWithFD(f, s.FD, path, in.execute)
	return withHint(fmt.Errorf("cannot execute %s: %w", quote(path), err), "")
}

func (r *restore) check(in *invocation) error {
	if r.pending != "" && r.drop {
		return usageErrorf("-pending and -drop-pending exclude each other")
	}
	if err := checkOperands(in.operands, "FILE"); err != nil {
		return err
	}
	if len(in.execute) == 0 {
		return usageErrorf("COMMAND is missing: give it after --")
	}
	return nil
}

// checkPending refuses pending events that cannot be put into a queue, if no flag says what
// to do with them. Others fail only when that is tried.
func (r *restore) checkPending(s *checkpoint.Snapshot, stderr io.Writer) error {
	if r.drop {
		return nil
	}
	err := inotify.HaveSetNextWD()
	noQueue := r.pending != "" || errors.Is(err, errors.ErrUnsupported)
	if n := undumpedBytes(s); n > 0 && noQueue {
		return undumpedError(n)
	}
	if len(s.Pending) > 0 && noQueue && r.pending == "" {
		note(stderr, "not restored", fmt.Sprint("pending: ", err))
		return pendingError(len(s.Pending))
	}
	return nil
}

func undumpedError(n int) error {
	return fmt.Errorf("the dump lacks %d bytes of pending events: dump again with -drain, or drop them with -drop-pending", n)
}

// pendingError says that events are not in the queue. The cause was printed.
func pendingError(n int) error {
	err := fmt.Errorf("%s not in the queue of the restored instance", count(n, "pending event is", "pending events are"))
	return withHint(err, "write them to a file with -pending FILE, or drop them with -drop-pending")
}

// restoreInstance restores the instance. It returns its descriptor, and events that were pending
// or were read meanwhile.
func (r *restore) restoreInstance(ctx context.Context, s *checkpoint.Snapshot, stderr io.Writer) (*os.File, []inotify.Event, error) {
	b := newBar(stderr)
	defer b.clear()
	opts := []checkpoint.RestoreOption{
		checkpoint.WithCycle(inotify.WithMaxSteps(r.maxSteps), inotify.WithProgress(b.drawCycle)),
		checkpoint.WithQueueProgress(b.drawQueue),
	}
	if r.missing {
		opts = append(opts, checkpoint.AllowMissing())
	}
	if r.drop || r.pending != "" {
		opts = append(opts, checkpoint.WithPendingKept())
	}
	restored, err := s.Restore(ctx, opts...)
	if err != nil {
		return nil, nil, withRestoreHint(s, err)
	}
	b.clear()
	missing, unverified := splitGaps(restored.NotRestored)
	note(stderr, "not restored", summary(missing)...)
	note(stderr, "not verified", summary(unverified)...)
	for _, wd := range restored.Destroyed {
		note(stderr, "not restored", fmt.Sprintf("watch %d: the watched file was removed during the restore", wd))
	}
	note(stderr, "changed", changes(restored.Changed)...)
	if n := undumpedBytes(s); n > 0 && restored.Queued > 0 {
		note(stderr, "added", fmt.Sprintf("an overflow event, for %d bytes of pending events that the dump lacks", n))
	}
	f, pending, err := restored.Release()
	if err != nil {
		restored.Close()
		if f != nil {
			f.Close()
		}
		return nil, nil, withHint(err, "")
	}
	return f, pending, nil
}

// putPending writes or drops the pending events: those of the dump, and those that were
// read during the restore. out is nil unless they are to be written.
func (r *restore) putPending(ctx context.Context, s *checkpoint.Snapshot, pending []inotify.Event, out *output, stderr io.Writer) error {
	if out != nil {
		var text bytes.Buffer
		if err := writeEvents(&text, pending); err != nil {
			return err
		}
		return out.write(ctx, text.Bytes())
	}
	if n := undumpedBytes(s); n > 0 && len(pending) > 0 && !r.drop {
		return undumpedError(n)
	}
	if len(pending) > 0 && !r.drop {
		return pendingError(len(pending))
	}
	if n := len(pending); n > 0 {
		note(stderr, "dropped", count(n, "pending event", "pending events"))
	}
	if n := undumpedBytes(s); n > 0 && r.drop {
		note(stderr, "dropped", fmt.Sprintf("%d bytes of pending events that the dump lacks", n))
	}
	return nil
}

// changes returns a line for each reason why pending events are not in the queue as they were.
func changes(list []checkpoint.Change) (lines []string) {
	counts := make(map[checkpoint.ChangeReason]int)
	var reasons []checkpoint.ChangeReason
	for _, c := range list {
		if counts[c.Reason]++; counts[c.Reason] == 1 {
			reasons = append(reasons, c.Reason)
		}
	}
	for _, reason := range reasons {
		line := fmt.Sprintf("%s: %v", count(counts[reason], "pending event", "pending events"), reason)
		if reason == checkpoint.ChangeOverflowAdded {
			line = reason.String()
		}
		lines = append(lines, line)
	}
	return lines
}
