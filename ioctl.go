// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"fmt"
	"os"

	"github.com/seed10546c08/inotify/internal/assign"
	"github.com/seed10546c08/inotify/internal/sys"
)

// SetNextWD makes wd the next wd, which the next new watch gets if it is free; otherwise
// that watch gets the next free one above. wd may be lower than the current next wd.
// SetNextWD is ioctl(INOTIFY_IOC_SETNEXTWD), which needs Linux 4.17 with
// CONFIG_CHECKPOINT_RESTORE. Without it the error is an [*UnsupportedError] (see
// [HaveSetNextWD]). [Inotify.RestoreNextWD] also works without it.
//
// Between SetNextWD and [Inotify.AddWatch] another goroutine can add a watch and get the
// wd; [Inotify.RestoreWatch] does both in one step.
//
// SetNextWD waits for restores and for calls that are adding a watch.
func (n *Inotify) SetNextWD(wd WD) error {
	if n.in.Closed.Load() {
		return sys.CallError(sys.CallSetNext, os.ErrClosed)
	}
	if err := checkWD(wd); err != nil {
		return fmt.Errorf("inotify: set the next wd: %w", err)
	}
	if err := n.in.Lock(context.Background()); err != nil {
		return sys.CallError(sys.CallSetNext, err)
	}
	defer n.in.Unlock()
	var e sys.Errno
	if err := n.in.Control(func(fd int) { e = sys.SetNext(fd, int32(wd)) }); err != nil {
		return sys.CallError(sys.CallSetNext, err)
	}
	return setNextError(e)
}

// NextWD returns the next wd, which the next new watch gets. The kernel has no call for
// that: NextWD adds a scratch watch on a directory that this instance does not watch,
// removes it, and sets the next wd back with INOTIFY_IOC_SETNEXTWD. Readers get no event of
// it. If the wd at the kernel's wd counter is in use, NextWD returns the next free wd, and
// moves the counter there.
//
// Without the ioctl the error is an [*UnsupportedError], as for [Inotify.SetNextWD], and
// nothing is changed. A [*LimitError] says that the user may have no more watches. The
// kernel has then raised its wd counter by one, as it does for every add that fails with
// ENOSPC. Other errors say whether a scratch watch is left, or the next wd has changed.
//
// NextWD waits for restores and for calls that are adding a watch.
func (n *Inotify) NextWD() (WD, error) {
	wd, err := assign.Next(&n.in)
	if err != nil {
		return NoWD, fmt.Errorf("inotify: find the next wd: %w", public(err, nil))
	}
	return WD(wd), nil
}

func checkWD(wd WD) error {
	if wd < 1 {
		return fmt.Errorf("wd %d is not in 1 to %d: %w", wd, maxWD, sys.EINVAL)
	}
	return nil
}

// setNextError explains the errno of INOTIFY_IOC_SETNEXTWD, asked for a wd
// in range. ENOTTY: the kernel has no such ioctl (gVisor too); ENOSYS:
// qemu-user; EPERM: a seccomp profile.
func setNextError(e sys.Errno) error {
	switch e {
	case sys.OK:
		return nil
	case sys.ENOTTY, sys.ENOSYS, sys.EPERM:
		return sys.CallError(sys.CallSetNext, &UnsupportedError{
			Feature: "setting the next watch descriptor",
			Needs:   "Linux 4.17 with CONFIG_CHECKPOINT_RESTORE",
			Err:     e,
		})
	}
	return sys.CallError(sys.CallSetNext, e)
}
