// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"errors"
	"fmt"

	"github.com/seed10546c08/inotify/internal/sys"
)

// A Failure says why a restore failed. All that it had added was removed again, unless
// Secondary has a *LeakedError.
type Failure struct {
	Watch     int   // the index of the watch that failed
	Done      int   // how many had been added before it
	Err       error // the cause; the root package replaces *InUseError, *CycleError and ErrShared
	Secondary error // what went wrong after it, for example in the rollback, or nil
}

// ErrShared says that the instance is or was shared, and that the kernel does not show which
// watches it has.
var ErrShared = errors.New("restoring a watch on a shared instance is not supported here")

// An InUseError says that another watch has the wd that a watch was to get.
type InUseError struct {
	Want int32
	Got  int32 // the wd that the kernel gave instead, or -1 if no watch was added
}

func (e *InUseError) Error() string { return fmt.Sprintf("wd %d is in use", e.Want) }

// A CycleError says that the add/remove cycle did not reach a wd.
type CycleError struct {
	WD    int32 // the wd that was not reached
	Next  int32 // the next wd when the cycle stopped
	Done  int64 // steps
	Steps int64 // in all
	Limit int64
	Err   error
}

func (e *CycleError) Error() string {
	return fmt.Sprintf("add/remove cycle to wd %d: %v", e.WD, e.Err)
}

func (e *CycleError) Unwrap() error { return e.Err }

// A LeakedError says which of a restore's watches could not be removed, and why.
type LeakedError struct {
	count int
	first int32
	err   error
}

func (e *LeakedError) Error() string {
	s := fmt.Sprintf("watch %d", e.first)
	switch {
	case e.count == 2:
		s += " and 1 other"
	case e.count > 2:
		s += fmt.Sprintf(" and %d others", e.count-1)
	}
	return fmt.Sprintf("leaked %s: %v", s, e.err)
}

func (e *LeakedError) Unwrap() error { return e.err }

// leaks counts internal watches that could not be removed, for example because a seccomp
// profile forbids it.
type leaks struct {
	count int
	first int32
	errno sys.Errno // of the first
}

func (l *leaks) add(wd int32, e sys.Errno) {
	if l.count++; l.count == 1 {
		l.first, l.errno = wd, e
	}
}

func (l *leaks) error() error {
	if l.count == 0 {
		return nil
	}
	return &LeakedError{l.count, l.first, sys.CallError(sys.CallRemove, l.errno)}
}

// noIoctl is the error of a slice on a kernel without INOTIFY_IOC_SETNEXTWD. Nothing has been
// added then.
type noIoctl struct{ err error }

func (e *noIoctl) Error() string { return e.err.Error() }

// errPassed says that the wd counter has passed the target's wd.
var errPassed = errors.New("the wd was passed")

// A joined is an error and a secondary one, for example of the rollback.
type joined struct{ err, secondary error }

func (j *joined) Error() string { return j.err.Error() + "\n" + j.secondary.Error() }

func (j *joined) Unwrap() []error { return []error{j.err, j.secondary} }

// Join adds a secondary error to an error. Either may be nil.
func Join(err, secondary error) error {
	switch j, ok := err.(*joined); {
	case secondary == nil || errors.Is(err, secondary):
		return err
	case err == nil:
		return secondary
	case ok:
		return &joined{j.err, errors.Join(j.secondary, secondary)}
	}
	return &joined{err, secondary}
}

// split is the reverse of Join.
func split(err error) (cause, secondary error) {
	if j, ok := err.(*joined); ok {
		return j.err, j.secondary
	}
	return err, nil
}
