// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkFDFree refuses a file descriptor that the command cannot get: one beyond the
// limit, or one that was inherited, which the command would lose. All that this process
// opened itself is close-on-exec, and so is what the Go runtime opened; but where 0 to 2
// are closed at the start, it opens /dev/null there.
func checkFDFree(fd int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if uint64(fd) >= uint64(limit.Cur) {
		return fmt.Errorf("file descriptor %d of the dump is beyond the hard limit of open files, %d: raise it (ulimit -Hn)", fd, limit.Cur)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if errors.Is(err, unix.EBADF) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("fcntl F_GETFD", err)
	}
	if flags&unix.FD_CLOEXEC != 0 || fd <= 2 && isNull(fd) {
		return nil
	}
	return fmt.Errorf("file descriptor %d of the dump is in use here: close it (in a shell: %[1]d<&-)", fd)
}

func isNull(fd int) bool {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && uint64(st.Rdev) == unix.Mkdev(1, 3)
}

// checkWritable refuses a standard descriptor that drops what is written to it. Where
// it is closed at the start, the Go runtime opens /dev/null for reading and writing in
// its place, which looks like one that was inherited so. The usual >/dev/null is open for
// writing only, and is on purpose.
func checkWritable(fd int) error {
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	switch mode := status & unix.O_ACCMODE; {
	case err != nil:
		return fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("fcntl F_GETFL", err))
	case mode == unix.O_RDONLY:
		return fmt.Errorf("descriptor %d is not open for writing", fd)
	case mode == unix.O_RDWR && isNull(fd):
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
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		if cerr := conn.Control(func(from uintptr) {
			if err = dupTo(int(from), fd); err == nil {
				err = os.NewSyscallError("execve", syscall.Exec(path, argv, os.Environ()))
			}
		}); cerr != nil {
			err = cerr
		}
		result <- err
	}()
	return <-result
}

// dupTo makes from the descriptor fd of this thread, which execve leaves open.
func dupTo(from, fd int) error {
	if from == fd {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		return os.NewSyscallError("fcntl F_SETFD", err)
	}
	if err := unshareFiles(); err != nil {
		return err
	}
	if err := unix.Dup3(from, fd, 0); err != nil {
		return os.NewSyscallError("dup3", err)
	}
	_, err := unix.FcntlInt(uintptr(from), unix.F_SETFD, unix.FD_CLOEXEC)
	return os.NewSyscallError("fcntl F_SETFD", err)
}

// unshareFiles gives this thread a descriptor table of its own. Where a seccomp
// profile forbids unshare, which it does for what unshare can do besides,
// close_range (Linux 5.9) of no descriptor does the same.
func unshareFiles() error {
	err := unix.Unshare(unix.CLONE_FILES)
	if err == nil {
		return nil
	}
	if unix.CloseRange(^uint(0)>>1, ^uint(0)>>1, unix.CLOSE_RANGE_UNSHARE) == nil {
		return nil
	}
	return os.NewSyscallError("unshare", err)
}
