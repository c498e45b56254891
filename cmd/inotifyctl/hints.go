// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/sys"
)

// An incompleteError says that a command did all it could, and what is missing from
// the result.
type incompleteError struct{ reasons []string }

func (e *incompleteError) Error() string { return strings.Join(e.reasons, "; ") }

// errInterrupted says that a signal ended the command.
var errInterrupted = errors.New("interrupted")

// A hintedError is an error with what the user can do about it, which is "" if there is
// nothing to say.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// withHint returns err with the hint, unless err is nil.
func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hintedError{err, hint}
}

// textWithHint returns the error's text, without the name of a package in front, and the
// hint.
func textWithHint(err error) string {
	text := withoutPackage(err)
	if hint := hintFor(err); hint != "" {
		return text + "; " + hint
	}
	return text
}

// withoutPackage returns the error's text without the name of a package in front.
func withoutPackage(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "checkpoint: "), "inotify: ")
}

// hintFor returns the hint of an error, or "" where its text says enough.
func hintFor(err error) string {
	var hinted *hintedError
	var cycle *inotify.CycleError
	switch {
	case errors.As(err, &hinted):
		return hinted.hint
	case errors.As(err, new(*inotify.LimitError)):
		return "" // it names the settings to raise
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &cycle):
		if errors.Is(err, errors.ErrUnsupported) && cycle.Steps > cycle.Limit {
			return fmt.Sprintf("run it with -max-steps %d", cycle.Steps)
		}
		return ""
	case errors.As(err, new(*inotify.UnsupportedError)):
		return "" // it says what is needed
	case !isAboutPath(err):
		return hintForCall(err)
	case errors.Is(err, fs.ErrNotExist):
		return "give a path that exists"
	case errors.Is(err, fs.ErrPermission):
		return "make sure that you may read the path"
	case errors.Is(err, fs.ErrExist):
		return "give each file once, or leave out IN_MASK_CREATE"
	case errors.Is(err, syscall.ENOTDIR):
		return "give a directory, or leave out IN_ONLYDIR"
	case errors.Is(err, syscall.EINVAL):
		return "give another -mask"
	}
	return ""
}

// isAboutPath reports whether an error is about a path that the user gave, or about the
// mask for it.
func isAboutPath(err error) bool {
	var call *os.SyscallError
	var path *fs.PathError
	restore := errors.As(err, new(*inotify.RestoreError))
	switch {
	case errors.As(err, &call):
		switch call.Syscall {
		case sys.CallAdd, sys.CallOpenPath, sys.CallStatx, sys.CallStat:
			return restore
		}
		return false
	case errors.As(err, &path):
		return path.Op == sys.CallAdd || !strings.HasPrefix(path.Path+"/", "/proc/")
	}
	return restore
}

// hintForCall returns the hint for an error that is not about a path.
func hintForCall(err error) string {
	var call *os.SyscallError
	isInit := errors.As(err, &call) && call.Syscall == sys.CallInit
	switch {
	case errors.Is(err, errors.ErrUnsupported) && (isInit || call == nil):
		return "this system has no inotify: run it on Linux"
	case errors.Is(err, fs.ErrPermission) && isInit:
		return "a seccomp profile or a security module forbids inotify here"
	}
	return ""
}

// permissionHint is the hint for a process that may not be read. Why root may not, for example
// because of a security module or a user namespace, is unknown.
func permissionHint() string {
	if os.Geteuid() == 0 {
		return ""
	}
	return "run it as the user of that process, or as root"
}

// withListHint adds a hint to the error of a process that ls was asked for.
func withListHint(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, permissionHint())
	case errors.Is(err, sys.ESRCH), errors.Is(err, fs.ErrNotExist):
		return withHint(err, "give the PID of a running process")
	}
	return withHint(err, "")
}

// withDumpHint adds a hint to the error of an instance that cannot be dumped.
func withDumpHint(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return withHint(err, "interrupted")
	case errors.Is(err, checkpoint.ErrNotStopped):
		return withHint(err, "use kill -STOP PID")
	case errors.Is(err, errors.ErrUnsupported):
		return withHint(err, "this needs a Linux kernel that lists watches in /proc/PID/fdinfo")
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, permissionHint())
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, sys.ESRCH), errors.Is(err, checkpoint.ErrNotInotify):
		return withHint(err, "'inotifyctl ls -i' lists processes and their inotify descriptors")
	}
	return withHint(err, "")
}

// withRestoreHint adds a hint to the error of a dump that cannot be restored.
func withRestoreHint(s *checkpoint.Snapshot, err error) error {
	var target *checkpoint.TargetError
	var watch *inotify.RestoreError
	var different *checkpoint.VerifyError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, checkpoint.ErrNoPath):
		return withHint(err, "dump again with -paths search, or leave such watches out with -missing"+drainedAdvice(s))
	case errors.Is(err, fs.ErrNotExist) && (errors.As(err, &target) || errors.As(err, &watch)):
		return withHint(err, "put back what is missing, or leave such watches out with -missing")
	case errors.As(err, &target), errors.As(err, &different):
		return withHint(err, "put back what was there at the dump")
	case errors.As(err, &watch):
		return err
	}
	return withHint(err, "")
}

// withOutputHint adds a hint to the error of an output that cannot be opened.
func withOutputHint(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "make sure that you may write there")
	case errors.Is(err, fs.ErrNotExist):
		return withHint(err, "give a file in a directory that exists")
	}
	return err
}
