// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package sys

import "golang.org/x/sys/unix"

// Status returns the flags of a descriptor's description: O_NONBLOCK, O_ASYNC and others.
func Status(fd int) (flags int, err error) {
	return unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
}

// SetStatus sets the flags that Status returns.
func SetStatus(fd, flags int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
	return err
}
