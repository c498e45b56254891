// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/seed10546c08/inotify/internal/abandon"
)

// Errors of [DumpFD] and [Instances], to be compared with errors.Is.
var (
	// ErrNotInotify: the descriptor is not an inotify descriptor. It matches EINVAL, too.
	ErrNotInotify = fmt.Errorf("not an inotify descriptor: %w", syscall.EINVAL)

	// ErrNotStopped: a process that must be stopped is running.
	ErrNotStopped = errors.New("process is running: stop it first")

	// ErrReplaced: the process closed the descriptor, or put another file in its place,
	// while it was dumped. Stop the process first.
	ErrReplaced = errors.New("the process replaced the descriptor during the dump: stop it first")

	// ErrOtherNamespace: /proc is of another pid namespace than this process. Each
	// pid then means one process in /proc and another one in system calls.
	ErrOtherNamespace = errors.New("/proc is of another pid namespace than this process")

	// ErrNoAnswer: reading the process blocks. It matches [os.ErrDeadlineExceeded], too.
	ErrNoAnswer = abandon.ErrNoAnswer
)

// ErrNoPath is the cause of a [*TargetError] for a watch without a path.
// [WithFileFor] can supply a file for it, [AllowMissing] leaves it out.
var ErrNoPath = errors.New("path is unknown")

// A TargetError says why a watch cannot be restored on its path or on the file that
// the caller supplied.
type TargetError struct {
	Watch Watch
	Err   error
}

func (e *TargetError) Error() string {
	if e.Watch.Path == "" {
		return fmt.Sprintf("restore wd %d: %v", e.Watch.WD, e.Err)
	}
	return fmt.Sprintf("restore wd %d on %q: %v", e.Watch.WD, e.Watch.Path, e.Err)
}

func (e *TargetError) Unwrap() error { return e.Err }

// A VerifyError says how the restored instance differed from the snapshot. The
// instance has been closed.
type VerifyError struct {
	Differences []Difference
}

func (e *VerifyError) Error() string {
	text := "restored instance differs from the snapshot"
	if len(e.Differences) > 0 {
		text += fmt.Sprintf(": %v", e.Differences[0])
	}
	if more := len(e.Differences) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// A ProcessError says that a process could not be read, or not completely.
type ProcessError struct {
	PID int
	Err error
}

func (e *ProcessError) Error() string { return fmt.Sprintf("process %d: %v", e.PID, e.Err) }
func (e *ProcessError) Unwrap() error { return e.Err }
