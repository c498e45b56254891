// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
)

// untilSignal returns a context that ends at the first of the signals, which do not
// end the process until stop is called. Those that this process ignores stay ignored:
// nohup started it, or a shell in the background.
func untilSignal(ctx context.Context, signals []os.Signal) (_ context.Context, stop func()) {
	signals = slices.DeleteFunc(slices.Clone(signals), signal.Ignored)
	if len(signals) == 0 { // which NotifyContext takes for all
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, signals...)
}
