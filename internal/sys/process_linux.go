// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package sys

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// PidfdThread has PidfdOpen open a thread: PIDFD_THREAD of include/uapi/linux/pidfd.h (Linux
// 6.9; EINVAL before).
const PidfdThread = unix.O_EXCL

// PidfdOpen is pidfd_open(2), Linux 5.3.
func PidfdOpen(pid, flags int) (int, Errno) {
	fd, err := unix.PidfdOpen(pid, flags)
	return fd, errno(err)
}

// PidfdSignal asks whether the process of a pidfd could be sent a signal, and sends none.
// ESRCH says that it has ended.
func PidfdSignal(pidfd int) Errno { return errno(unix.PidfdSendSignal(pidfd, 0, nil, 0)) }

// PidfdGetfd returns a duplicate of another process's descriptor: pidfd_getfd(2), Linux 5.6.
func PidfdGetfd(pidfd, fd int) (int, error) {
	dup, err := unix.PidfdGetfd(pidfd, fd, 0)
	return dup, CallError("pidfd_getfd", err)
}

// KCMP_FILE and KCMP_FILES of include/uapi/linux/kcmp.h compare file descriptions and
// descriptor tables.
const (
	KcmpFile  = 0
	KcmpFiles = 2
)

// Kcmp is kcmp(2), which needs CONFIG_KCMP. It returns 0 if both sides are the same, and -1 or
// 1 otherwise. The order is the same until the next boot.
func Kcmp(kind, tid1, tid2, fd1, fd2 int) (int, error) {
	order, _, e := unix.Syscall6(unix.SYS_KCMP, uintptr(tid1), uintptr(tid2), uintptr(kind), uintptr(fd1), uintptr(fd2), 0)
	switch {
	case e != OK:
		return 0, CallError("kcmp", e)
	case order == 1:
		return -1, nil
	case order == 0:
		return 0, nil
	}
	return 1, nil
}

// IsOwnThread reports whether tid is a thread of this process.
func IsOwnThread(tid int) bool { return unix.Tgkill(os.Getpid(), tid, 0) == nil }

// ThreadID returns the id of the calling thread.
func ThreadID() int32 { return int32(unix.Gettid()) }

// ThreadTime returns how much processor time a thread of this process has used, in
// nanoseconds, or 0 if that is unknown.
func ThreadTime(tid int32) int64 {
	const threadClock = 4 | 2 // CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED
	var ts unix.Timespec
	if unix.ClockGettime(^tid<<3|threadClock, &ts) != nil {
		return 0
	}
	return ts.Nano()
}

// FileLimit returns the soft RLIMIT_NOFILE.
func FileLimit() (uint64, error) {
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	return r.Cur, CallError("getrlimit", err)
}

// KernelRelease returns what uname -r prints, or "".
func KernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// Columns returns how wide a terminal is, 0 if it does not know, and -1 if fd is none.
func Columns(fd int) int {
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return -1
	}
	return int(size.Col)
}

// IsNull reports whether fd is open on /dev/null.
func IsNull(fd int) bool {
	var st unix.Stat_t
	return Fstat(fd, &st) == OK && st.Mode&unix.S_IFMT == unix.S_IFCHR && uint64(st.Rdev) == unix.Mkdev(1, 3)
}

// Dup3 makes to a duplicate of from that execve leaves open.
func Dup3(from, to int) error { return CallError("dup3", unix.Dup3(from, to, 0)) }

// UnshareFS gives the calling thread its own working directory, root directory and umask.
func UnshareFS() error { return CallError("unshare", unix.Unshare(unix.CLONE_FS)) }

// OnMainThread reports whether the calling thread is the process's first one.
func OnMainThread() bool { return unix.Gettid() == os.Getpid() }

// UnshareFiles gives the calling thread a private descriptor table. Seccomp profiles often
// forbid unshare because of its other flags. Then close_range with CLOSE_RANGE_UNSHARE (Linux
// 5.9) does the same; its range has no descriptor, so it closes none.
func UnshareFiles() error {
	err := unix.Unshare(unix.CLONE_FILES)
	if err != nil && unix.CloseRange(^uint(0)>>1, ^uint(0)>>1, unix.CLOSE_RANGE_UNSHARE) == nil {
		return nil
	}
	return CallError("unshare", err)
}

// WithoutFsetid calls f on a thread that lacks CAP_FSETID meanwhile.
func WithoutFsetid(f func() error) error {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		runtime.UnlockOSThread()
		return CallError("capget", err)
	}
	reduced := had
	reduced[0].Effective &^= 1 << unix.CAP_FSETID
	if reduced == had {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := unix.Capset(&header, &reduced[0]); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("capset without CAP_FSETID: %w", err)
	}
	err := f()
	if cerr := unix.Capset(&header, &had[0]); cerr != nil {
		return errors.Join(err, CallError("capset", cerr)) // the thread stays this goroutine's
	}
	runtime.UnlockOSThread()
	return err
}

// Exec is execve(2). The program gets the soft limit of open files that this process was
// started with, which the Go runtime has raised: syscall.Exec sets it back.
func Exec(path string, argv, env []string) error {
	return CallError("execve", syscall.Exec(path, argv, env))
}
