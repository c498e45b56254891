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

// SetNextWD makes wd the one that the next new watch gets, if it is
// free; if not, the next free one above it. It may go up or down. It wraps
// ioctl(INOTIFY_IOC_SETNEXTWD), which needs Linux 4.17 with
// CONFIG_CHECKPOINT_RESTORE; without it the error is an [*UnsupportedError]
// and errors.Is(err, errors.ErrUnsupported) holds (see [HaveSetNextWD]).
// [Inotify.RestoreNextWD] also works without it.
//
// It waits while a restore is under way, and for adds under way.
//
// Between SetNextWD and an [Inotify.AddWatch] another goroutine can add a watch
// and get the wd; [Inotify.RestoreWatch] does both in one.
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

// NextWD returns the wd that the next new watch gets. The
// kernel has no call for that, so a scratch watch is added on a directory
// that this instance does not watch, and the next wd is set back with INOTIFY_IOC_SETNEXTWD;
// readers see nothing of it. If the kernel's wd counter stands at wds that are
// used, NextWD leaves it at the free one behind them.
//
// Without the ioctl the error is an [*UnsupportedError], as for
// [Inotify.SetNextWD], and nothing is changed. A [*LimitError] says that the
// user may have no more watches; the kernel has then moved the counter on by one,
// as it does for every add that fails so. Any other error says so if the scratch
// watch could not be removed or the next wd not set back.
//
// It waits while a restore is under way, and for adds under way.
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
