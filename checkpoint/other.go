// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package checkpoint

import (
	"context"
	"errors"
	"os"

	"github.com/seed10546c08/inotify"
)

// Other systems have no inotify, but can read, compare and write snapshots.

func (d *dumper) dumpSelf(context.Context, *inotify.Inotify) error { return errors.ErrUnsupported }

func (d *dumper) dumpProcess(context.Context, int, int) error { return errors.ErrUnsupported }

func instances(context.Context, []int) ([]Instance, error) { return nil, errors.ErrUnsupported }

func (s *Snapshot) restore(context.Context, restoreOptions) (*Restored, error) {
	return nil, errors.ErrUnsupported
}

func (r *Restored) release() (*os.File, error) { return nil, errors.ErrUnsupported }
