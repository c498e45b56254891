// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

func isNoProcess(err error) bool { return errors.Is(err, unix.ESRCH) }

// isInstanceLimit reports whether an error is that a limit of instances is exhausted.
func isInstanceLimit(err error) bool { return errors.Is(err, unix.EMFILE) }

// isWatchLimit reports whether an error is that a limit of watches is exhausted.
func isWatchLimit(err error) bool { return errors.Is(err, unix.ENOSPC) }

// kernelRelease returns what uname -r prints, or "".
func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}
