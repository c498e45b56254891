// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"errors"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// outliveReaders has a write to a pipe without readers fail, rather than end the
// process, until the function that it returns is called.
func outliveReaders() (end func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGPIPE)
	return func() { signal.Stop(c) }
}

func isNoProcess(err error) bool { return errors.Is(err, unix.ESRCH) }

func isNoInstance(err error) bool { return errors.Is(err, unix.EINVAL) }
