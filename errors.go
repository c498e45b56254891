// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/seed10546c08/inotify/internal/assign"
	"github.com/seed10546c08/inotify/internal/sys"
)

// ErrNoWatch matches the error of [Inotify.RemoveWatch] for a watch descriptor that no
// watch of the instance has: the watch was removed or has ended. The error also matches
// EINVAL, which the kernel returns.
var ErrNoWatch = errors.New("no such watch")

// An UnsupportedError says that something is not supported: the kernel lacks it, a seccomp
// profile forbids it, or /proc is not mounted. errors.Is(err, [errors.ErrUnsupported]) is
// true for it. It unwraps to the [syscall.Errno] if a system call returned one.
type UnsupportedError struct {
	Feature string // what is missing: "setting the next watch descriptor"
	Needs   string // what it needs: "Linux 4.17 with CONFIG_CHECKPOINT_RESTORE"
	Err     error  // the syscall.Errno, or nil
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

// A WDError says that a watch could not get the wd that was asked for, because another
// watch of the instance has it.
type WDError struct {
	Want WD // the wd asked for
	Got  WD // the wd that the kernel gave instead (that watch was removed), or NoWD if no watch was added
}

func (e *WDError) Error() string {
	if e.Got == NoWD {
		return fmt.Sprintf("wd %d is in use by another watch of this instance", e.Want)
	}
	return fmt.Sprintf("wd %d is in use by another watch of this instance: the kernel gave %d", e.Want, e.Got)
}

// A RestoreError says which watch [Inotify.RestoreWatch] or [Inotify.RestoreWatches] could
// not restore. The watches that were added before it have been removed, or are gone with
// the instance if it was closed. If one of them could not be removed, Err says so.
type RestoreError struct {
	Watch Watch // the one that failed
	Done  int   // how many had been added before it
	Err   error // the cause: an [*os.SyscallError] if a system call failed
}

func (e *RestoreError) Error() string {
	s := fmt.Sprintf("restore wd %d on %q: %v", e.Watch.WD, e.Watch.Path, e.Err)
	if e.Done == 0 {
		return s
	}
	watches := "1 watch"
	if e.Done > 1 {
		watches = fmt.Sprintf("%d watches", e.Done)
	}
	if errors.As(e.Err, new(*assign.LeakedError)) {
		return fmt.Sprintf("%s (after %s)", s, watches)
	}
	return fmt.Sprintf("%s (%s rolled back)", s, watches)
}

func (e *RestoreError) Unwrap() error { return e.Err }

// A CycleError says that the add/remove cycle, which is used where the kernel lacks
// INOTIFY_IOC_SETNEXTWD, did not reach a wd. No watch is left behind, unless Err says that
// one could not be removed.
//
// If errors.Is(err, [errors.ErrUnsupported]), the cycle was refused before its first step,
// for one of two reasons. If Next is above WD, the kernel's wd counter has passed the wd,
// which can then be reached on a new instance only. Otherwise Steps is above Limit, which
// [WithMaxSteps] raises.
//
// In all other cases Err is what stopped the cycle: the context's error, [os.ErrClosed], or
// the error of a system call.
type CycleError struct {
	WD    WD    // the wd asked for
	Next  WD    // the next wd when the cycle stopped
	Done  int64 // steps done; one step is one wd
	Steps int64 // steps from the beginning to the highest wd asked for
	Limit int64 // steps allowed
	Err   error
}

func (e *CycleError) Error() string {
	var why string
	switch {
	case e.passed():
		why = fmt.Sprintf("the next wd is already %d, and the cycle only counts up: restore on a fresh instance, in ascending order", e.Next)
	case e.Done == 0 && e.Steps > e.Limit:
		why = fmt.Sprintf("%d steps are needed and %d are allowed: raise the limit", e.Steps, e.Limit)
	default:
		why = fmt.Sprintf("stopped after %d of %d steps", e.Done, e.Steps)
	}
	return fmt.Sprintf("add/remove cycle to wd %d: %s: %v", e.WD, why, e.Err)
}

func (e *CycleError) passed() bool { return e.Next > e.WD }

func (e *CycleError) Unwrap() error { return e.Err }

// A LimitError says that a limit was reached: ENOSPC ("no space left on device") when a
// watch is added, EMFILE when an instance is made. Any of Limits can be the cause.
// RLIMIT_NOFILE is a limit of the process, and if it is the cause it is the only one
// listed. The others are limits of the user who made the instance. Those of parent user
// namespaces apply, too, but cannot be read and are not listed.
type LimitError struct {
	What   string  // what ran out: "inotify watches", "inotify instances", "file descriptors"
	Limits []Limit // the possible causes
	Err    error   // the syscall.Errno
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

// public turns an error of the engine into the documented types. secondary is what went wrong
// after the cause, for example in the rollback, or nil.
func public(cause, secondary error) error {
	switch e := cause.(type) {
	case *assign.InUseError:
		cause = &WDError{Want: WD(e.Want), Got: WD(e.Got)}
	case *assign.CycleError:
		cause = &CycleError{WD: WD(e.WD), Next: WD(e.Next), Done: e.Done, Steps: e.Steps, Limit: e.Limit, Err: e.Err}
	}
	if cause == assign.ErrShared {
		cause = &UnsupportedError{
			Feature: "restoring a watch on an instance that others hold or held",
			Needs:   "IN_MASK_CREATE (Linux 4.18) or watches in fdinfo (Linux 3.8)",
		}
	}
	return assign.Join(cause, secondary)
}

// explain turns the error of a failed call into a documented type. The engine calls it.
func explain(call string, err error, mask uint32) error {
	e, _ := err.(sys.Errno)
	switch call {
	case sys.CallInit:
		return initError(err)
	case sys.CallAdd:
		return sys.CallError(call, addError(e, Mask(mask)))
	case sys.CallSetNext:
		return setNextError(e)
	case sys.CallFDInfo:
		return needsProc("listing watches", err)
	}
	return sys.CallError(call, err)
}

// pathError is the error of an inotify_add_watch that the caller asked for.
func pathError(path string, err error) error {
	return &fs.PathError{Op: sys.CallAdd, Path: path, Err: err}
}

// addError explains the sys.Errno with which inotify_add_watch refused a mask.
func addError(e sys.Errno, mask Mask) error {
	switch {
	case e == sys.ENOSPC:
		return &LimitError{
			What: "inotify watches",
			Limits: []Limit{
				sysctl("fs.inotify.max_user_watches"),
				sysctl("user.max_inotify_watches"),
			},
			Err: e,
		}
	case e == sys.EEXIST && mask.Has(MaskCreate):
		return fmt.Errorf("the instance already watches this inode, and the mask has IN_MASK_CREATE: %w", e)
	case e != sys.EINVAL:
		return e
	case mask == 0:
		return fmt.Errorf("the mask is empty: %w", e)
	case mask&^knownBits != 0:
		return fmt.Errorf("the mask has %v, which is unknown to the kernel: %w", mask&^knownBits, e)
	case mask.HasAll(MaskAdd | MaskCreate):
		return fmt.Errorf("the mask has both IN_MASK_ADD and IN_MASK_CREATE: %w", e)
	}
	return e
}

// initError explains the sys.Errno of inotify_init1.
func initError(err error) error {
	if !errors.Is(err, sys.EMFILE) {
		return sys.CallError(sys.CallInit, err)
	}
	limit := &LimitError{Err: err}
	if fd, err := sys.OpenPath("/", false); errors.Is(err, sys.EMFILE) {
		limit.What = "file descriptors"
		limit.Limits = []Limit{{Name: "RLIMIT_NOFILE", Value: -1}}
		if n, err := sys.FileLimit(); err == nil {
			limit.Limits[0].Value = int64(n)
		}
	} else {
		if err == nil {
			sys.Close(fd)
		}
		limit.What = "inotify instances"
		limit.Limits = []Limit{
			sysctl("fs.inotify.max_user_instances"),
			sysctl("user.max_inotify_instances"),
		}
	}
	return sys.CallError(sys.CallInit, limit)
}

// needsProc replaces a [fs.ErrNotExist] about a file in /proc by an [*UnsupportedError] if
// /proc is not mounted. Otherwise the error would look like one about the caller's file.
func needsProc(feature string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, gone := os.Stat(sys.ProcFDs); gone == nil {
		return err
	}
	return &UnsupportedError{Feature: feature, Needs: "/proc, which is not mounted"}
}

// sysctl reads a kernel setting.
func sysctl(name string) Limit { return Limit{Name: name, Value: sys.Sysctl(name)} }
