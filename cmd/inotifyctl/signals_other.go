// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package main

import (
	"context"
	"os"
	"syscall"
)

var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

// surviveSignals is for dump, which needs Linux.
func surviveSignals(ctx context.Context) (_ context.Context, stop func()) { return ctx, func() {} }

// ignoreSIGPIPE is for demo, which needs Linux.
func ignoreSIGPIPE() (stop func()) { return func() {} }
