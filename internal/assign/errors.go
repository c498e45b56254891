// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"errors"
	"fmt"

	"github.com/seed10546c08/inotify/internal/sys"
)

// A Failure says why a restore failed. All that it had added was removed again, unless
// Besides has a *LeakedError.
type Failure struct {
	Watch   int   // the index of the watch that failed
	Done    int   // how many had been added before it
	Err     error // the cause; a *InUseError, a *CycleError and ErrShared are for the caller to reword
	Besides error // what went wrong besides, as in the rollback, or nil
}

// ErrShared says that others hold the instance, and that nothing shows which watches they
// have.
var ErrShared = errors.New("restoring a watch on a shared instance is not supported here")

// A InUseError says that a watch could not have a wd, because another has it.
type InUseError struct {
	Want int32
	Got  int32 // what the kernel gave instead, or -1 if it was not asked
}

func (e *InUseError) Error() string { return fmt.Sprintf("wd %d is in use", e.Want) }

// A CycleError says that the add/remove cycle did not reach a wd.
type CycleError struct {
	WD    int32 // the one that was not reached
	Next  int32 // the one that was given last
	Done  int64 // steps
	Steps int64 // in all
	Limit int64
	Err   error
}

func (e *CycleError) Error() string {
	return fmt.Sprintf("add/remove cycle to wd %d: %v", e.WD, e.Err)
}

func (e *CycleError) Unwrap() error { return e.Err }

// A LeakedError says which watches that nobody asked for are left, and why.
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

// leaked counts internal watches that the kernel did not let be removed, as a seccomp
// profile can forbid it.
type leaked struct {
	count int
	first int32
	errno sys.Errno // of the first
}

func (l *leaked) add(wd int32, e sys.Errno) {
	if l.count++; l.count == 1 {
		l.first, l.errno = wd, e
	}
}

func (l *leaked) error() error {
	if l.count == 0 {
		return nil
	}
	return &LeakedError{l.count, l.first, sys.CallError(sys.CallRemove, l.errno)}
}

// noIoctl is the error of a slice that could not set the next wd, as the kernel has no
// ioctl for it. Nothing has been added then.
type noIoctl struct{ err error }

func (e *noIoctl) Error() string { return e.err.Error() }

// errPassed says that the counter has passed a target's wd.
var errPassed = errors.New("the wd was passed")

// A joined is an error, and what went wrong besides.
type joined struct{ err, besides error }

func (j *joined) Error() string { return j.err.Error() + "\n" + j.besides.Error() }

func (j *joined) Unwrap() []error { return []error{j.err, j.besides} }

// Join adds what went wrong besides to an error. Either may be nil.
func Join(err, besides error) error {
	switch j, ok := err.(*joined); {
	case besides == nil || errors.Is(err, besides):
		return err
	case err == nil:
		return besides
	case ok:
		return &joined{j.err, errors.Join(j.besides, besides)}
	}
	return &joined{err, besides}
}

// split is the reverse of Join.
func split(err error) (cause, besides error) {
	if j, ok := err.(*joined); ok {
		return j.err, j.besides
	}
	return err, nil
}
