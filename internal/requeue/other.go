// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package requeue

import (
	"context"
	"errors"

	"github.com/seed10546c08/inotify"
)

// Fill returns [errors.ErrUnsupported] where there is no Linux.
func Fill(context.Context, *inotify.Inotify, []inotify.Event, Options) (Result, error) {
	return Result{}, errors.ErrUnsupported
}
