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

// crashSignals end a Go program, too, when another process sends them. If they come
// from a fault of this program, it crashes nevertheless.
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

// surviveSignals returns a context that ends at a signal that would end this
// process, and has a write to a pipe without readers fail. All this ends with stop.
func surviveSignals(ctx context.Context) (_ context.Context, stop func()) {
	ctx, end := untilSignal(ctx, crashSignals)
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, unix.SIGPIPE)
	return ctx, func() {
		signal.Stop(pipe)
		end()
	}
}
