// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/seed10546c08/inotify/internal/sys"
)

// checkFDFree refuses a file descriptor that the command cannot get: one beyond the
// limit, or one that was inherited, which the command would lose. All that this process
// opened itself is close-on-exec, and so is what the Go runtime opened; but where 0 to 2
// are closed at the start, it opens /dev/null there.
func checkFDFree(fd int) error {
	limit, err := sys.FileLimit()
	if err != nil {
		return err
	}
	if uint64(fd) >= limit {
		return fmt.Errorf("file descriptor %d of the dump is beyond the hard limit of open files, %d: raise it (ulimit -Hn)", fd, limit)
	}
	closes, err := sys.CloseOnExec(fd)
	switch {
	case errors.Is(err, sys.EBADF):
		return nil
	case err != nil:
		return err
	case closes || fd <= 2 && sys.IsNull(fd):
		return nil
	}
	return fmt.Errorf("file descriptor %d of the dump is in use here: close it (in a shell: %[1]d<&-)", fd)
}

// checkWritable refuses a standard descriptor that drops what is written to it. Where
// it is closed at the start, the Go runtime opens /dev/null for reading and writing in
// its place, which looks like one that was inherited so. The usual >/dev/null is open for
// writing only, and is on purpose.
func checkWritable(fd int) error {
	status, err := sys.Status(fd)
	switch mode := status & syscall.O_ACCMODE; {
	case err != nil:
		return fmt.Errorf("descriptor %d: %w", fd, err)
	case mode == os.O_RDONLY:
		return fmt.Errorf("descriptor %d is not open for writing", fd)
	case mode == os.O_RDWR && sys.IsNull(fd):
		return fmt.Errorf("descriptor %d is closed or /dev/null, and the output would be lost", fd)
	}
	return nil
}

// execWithFD executes the command in place of this process, with f as its descriptor
// fd. It returns only if it fails.
//
// The Go runtime may use the descriptor fd on other threads, for its epoll for example. So fd
// is replaced in a descriptor table that only this thread has; execve makes it the table of the
// process.
//
// The command gets the soft limit of open files that this process was started with (by
// syscall.Exec) and default signal handlers (by execve). The signals HUP, INT, TSTP, TTIN, TTOU
// and CONT stay ignored if they were. Whether others were ignored is unknown: the Go runtime
// installs handlers for them when it starts (Go 1.26). The signal mask is unchanged, except
// that the runtime unblocked the signals that end a Go program.
func execWithFD(f *os.File, fd int, path string, argv []string) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		result <- sys.Control(f, func(from int) error {
			if err := dupTo(from, fd); err != nil {
				return err
			}
			return sys.Exec(path, argv, os.Environ())
		})
	}()
	return <-result
}

// dupTo makes from the descriptor fd of this thread, which execve leaves open.
func dupTo(from, fd int) error {
	if from == fd {
		return sys.SetCloseOnExec(fd, false)
	}
	if err := sys.UnshareFiles(); err != nil {
		return err
	}
	if err := sys.Dup3(from, fd); err != nil {
		return err
	}
	return sys.SetCloseOnExec(from, true)
}
