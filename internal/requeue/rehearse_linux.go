// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"context"

	"github.com/seed10546c08/inotify"
)

func rehearse(ctx context.Context, events []inotify.Event, opts Options) error { return nil }
