// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// endSignals ask a process to end: SIGHUP comes when its terminal is closed.
var endSignals = []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM}

// crashSignals also end a Go program when another process sends them. If they come from
// a fault of this program, it crashes nevertheless.
var crashSignals = named("SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS", "SIGSTKFLT", "SIGEMT")

// named returns those of the signals that this processor has.
func named(names ...string) (signals []os.Signal) {
	for _, name := range names {
		if s := unix.SignalNum(name); s != 0 {
			signals = append(signals, s)
		}
	}
	return signals
}

// surviveSignals returns a context that ends at a signal that would end this process, and
// ignores SIGPIPE, until stop is called.
func surviveSignals(ctx context.Context) (_ context.Context, stop func()) {
	ctx, end := untilSignal(ctx, crashSignals)
	unignore := ignoreSIGPIPE()
	return ctx, func() {
		unignore()
		end()
	}
}

// ignoreSIGPIPE keeps SIGPIPE from ending this process until stop is called: a write to
// standard output or standard error fails if that is a pipe without readers.
func ignoreSIGPIPE() (stop func()) {
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, unix.SIGPIPE)
	return func() { signal.Stop(pipe) }
}
