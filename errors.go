// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// An UnsupportedError says that the kernel, or a seccomp profile before it,
// does not offer something. errors.Is(err, [errors.ErrUnsupported]) holds for
// it, and it unwraps to the errno where a system call gave one.
type UnsupportedError struct {
	Feature string // what is missing: "setting the next watch descriptor"
	Needs   string // what brings it: "Linux 4.17 with CONFIG_CHECKPOINT_RESTORE"
	Err     error  // the errno, or nil
}

func (e *UnsupportedError) Error() string {
	s := e.Feature + " needs " + e.Needs
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *UnsupportedError) Unwrap() error { return e.Err }

// Is reports whether target is [errors.ErrUnsupported].
func (e *UnsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }

// A WDError says that a watch could not have the number that was asked for,
// because another watch of the instance has it.
type WDError struct {
	Want WD // the number asked for
	Got  WD // the number that the kernel gave instead, since given back, or NoWD if the kernel was not asked
}

func (e *WDError) Error() string {
	if e.Got == NoWD {
		return fmt.Sprintf("watch descriptor %d is taken by another watch of this instance", e.Want)
	}
	return fmt.Sprintf("watch descriptor %d is taken by another watch of this instance: the kernel gave %d", e.Want, e.Got)
}

// A RestoreError says which watch of a [Inotify.RestoreWatches] could not be
// restored. All that were added before it have been removed again, or are gone with
// the instance if it was closed; Err says so if the kernel did not let one be removed.
type RestoreError struct {
	Watch Watch // the one that failed
	Done  int   // how many had been added
	Err   error // what [Inotify.RestoreWatch] would have returned for it
}

func (e *RestoreError) Error() string {
	s := fmt.Sprintf("restoring watch %d: %v", e.Watch.WD, e.Err)
	switch {
	case e.Done > 0 && errors.As(e.Err, new(*keptError)):
		s += fmt.Sprintf(" (%d watches had been added)", e.Done)
	case e.Done > 0:
		s += fmt.Sprintf(" (%d watches had been added, and were removed again)", e.Done)
	}
	return s
}

func (e *RestoreError) Unwrap() error { return e.Err }

// A CycleError says that the add/remove cycle, which is used where the kernel
// lacks INOTIFY_IOC_SETNEXTWD, did not reach a number. No watch is left behind, unless
// Err says that one could not be removed again.
//
// Err tells why. If errors.Is(err, [errors.ErrUnsupported]), the cycle was
// refused before it began: when Next is beyond WD, the number cannot be reached
// on this instance, since the kernel only counts up, but can be on a fresh one;
// otherwise Steps is more than Limit, and [WithMaxSteps] raises the limit.
// Else Err is what stopped it: the context's error, [os.ErrClosed], or a
// system call's.
type CycleError struct {
	WD    WD    // the number asked for
	Next  WD    // the number that the instance had come to
	Done  int64 // steps done; one step is one number
	Steps int64 // steps it takes in all, from where it began to the highest number asked for
	Limit int64 // steps allowed

	// Estimate is how long the steps would take, if they are more than Limit: a
	// few were made on another instance to measure it. 0 if that failed.
	Estimate time.Duration

	Err error
}

func (e *CycleError) Error() string {
	var why string
	switch {
	case e.passed():
		why = fmt.Sprintf("the instance has already come to %d and only counts up: restore on a fresh instance, in ascending order", e.Next)
	case e.Done == 0 && e.Steps > e.Limit:
		about := ""
		if e.Estimate > 0 {
			about = fmt.Sprintf(", here about %v,", rounded(e.Estimate))
		}
		why = fmt.Sprintf("it takes %d steps%s and %d are allowed: raise the limit", e.Steps, about, e.Limit)
	default:
		why = fmt.Sprintf("stopped after %d of %d steps", e.Done, e.Steps)
	}
	return fmt.Sprintf("watch descriptor %d not reached by adding and removing: %s: %v", e.WD, why, e.Err)
}

// rounded leaves two or three digits of a duration.
func rounded(d time.Duration) time.Duration {
	unit := time.Microsecond
	for d > 500*unit {
		unit *= 10
	}
	return d.Round(min(unit, time.Second))
}

func (e *CycleError) passed() bool { return e.Next > e.WD }

func (e *CycleError) Unwrap() error { return e.Err }

// A LimitError stands for the kernel's ENOSPC ("no space left on device") when
// a watch is added, and for EMFILE when an instance is made. Any of Limits can
// be the one that was reached; it counts for the user who made the instance.
// Limits of user namespaces further out cannot be read and are not listed.
type LimitError struct {
	What   string  // what ran out: "inotify watches", "inotify instances or open files"
	Limits []Limit // what can be the cause
	Err    error   // the errno
}

// A Limit is the name and value of a kernel setting.
type Limit struct {
	Name  string // "fs.inotify.max_user_watches", or "RLIMIT_NOFILE"
	Value int64  // -1 if it could not be read
}

func (e *LimitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "too many %s: raise", e.What)
	for i, l := range e.Limits {
		if i > 0 {
			b.WriteString(" or")
		}
		fmt.Fprintf(&b, " %s", l.Name)
		if l.Value >= 0 {
			fmt.Fprintf(&b, " (now %d)", l.Value)
		}
	}
	return fmt.Sprintf("%s: %v", b.String(), e.Err)
}

func (e *LimitError) Unwrap() error { return e.Err }

// What the errors call the system calls.
const (
	callInit    = "inotify_init1"
	callAdd     = "inotify_add_watch"
	callRemove  = "inotify_rm_watch"
	callSetNext = "ioctl INOTIFY_IOC_SETNEXTWD"
	callQueued  = "ioctl FIONREAD"
)

// join adds what went wrong besides to an error.
func join(err, besides error) error {
	switch {
	case besides == nil || errors.Is(err, besides):
		return err
	case err == nil:
		return besides
	}
	return errors.Join(err, besides)
}

func pathError(path string, err error) error {
	return &fs.PathError{Op: callAdd, Path: path, Err: err}
}

func callError(call string, err error) error {
	return os.NewSyscallError(call, err)
}
