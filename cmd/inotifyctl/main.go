// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Inotifyctl lists who uses inotify, watches paths, and dumps, restores and verifies
// the inotify instances of other processes.
//
// "inotifyctl help" lists its commands, "inotifyctl help COMMAND" documents one of
// them, and docs/inotifyctl.1 is the man page.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// The exit codes. That of restore is the one of the command that it executes.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitIncomplete = 3
)

func main() {
	ctx, stop := untilSignal(context.Background(), endSignals)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes a command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdout, stderr)
	var incomplete *incompleteError
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &incomplete):
		note(stderr, "incomplete", incomplete.reasons...)
		return exitIncomplete
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "inotifyctl: %s\nRun '%s' for usage.\n", oneLine(usage.Error()), usage.help())
		return exitUsage
	}
	fmt.Fprintf(stderr, "inotifyctl: %s\n", oneLine(textWithHint(err)))
	return exitFailed
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return usageErrorf("no command given")
	}
	name, args := args[0], args[1:]
	switch {
	case slices.Contains(helpNames, name):
		return help(args, stdout)
	case name == "-version", name == "--version":
		name = "version"
	}
	c := lookup(name)
	if c == nil {
		return usageErrorf("unknown command %q", name)
	}
	return c.execute(ctx, args, stdout, stderr)
}

// note prints remarks on standard error, one a line.
func note(stderr io.Writer, kind string, lines ...string) {
	for _, line := range lines {
		fmt.Fprintf(stderr, "inotifyctl: %s: %s\n", kind, oneLine(line))
	}
}
