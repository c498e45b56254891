// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package locate

import (
	"context"
	"errors"
	"os"

	"github.com/seed10546c08/inotify"
)

// Paths returns [errors.ErrUnsupported] where there is no Linux.
func Paths(context.Context, *os.File, []inotify.Watch, Options) (*Result, error) {
	return nil, errors.ErrUnsupported
}
