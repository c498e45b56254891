// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux && (386 || amd64)

package kerneltest

import (
	"maps"

	"golang.org/x/sys/unix"
)

// shapes are the calls that are decoded: these and ownShapes.
var shapes = map[uintptr]shape{
	unix.SYS_OPENAT:            {"openat", 0, 1},
	unix.SYS_OPENAT2:           {"openat2", 0, 1},
	unix.SYS_READ:              {"read", 0, -1},
	unix.SYS_WRITE:             {"write", 0, -1},
	unix.SYS_CLOSE:             {"close", 0, -1},
	unix.SYS_IOCTL:             {"ioctl", 0, -1},
	unix.SYS_FCNTL:             {"fcntl", 0, -1},
	unix.SYS_INOTIFY_INIT1:     {"inotify_init1", -1, -1},
	unix.SYS_INOTIFY_ADD_WATCH: {"inotify_add_watch", 0, 1},
	unix.SYS_INOTIFY_RM_WATCH:  {"inotify_rm_watch", 0, -1},
	unix.SYS_MEMFD_CREATE:      {"memfd_create", -1, 0},
	unix.SYS_EPOLL_CTL:         {"epoll_ctl", 2, -1},
	unix.SYS_PRLIMIT64:         {"prlimit64", -1, -1},
	unix.SYS_GETDENTS64:        {"getdents64", 0, -1},
	unix.SYS_READLINKAT:        {"readlinkat", 0, 1},
	unix.SYS_STATX:             {"statx", 0, 1},
	unix.SYS_NAME_TO_HANDLE_AT: {"name_to_handle_at", 0, 1},
	unix.SYS_OPEN_BY_HANDLE_AT: {"open_by_handle_at", 0, -1},
	unix.SYS_PIDFD_OPEN:        {"pidfd_open", -1, -1},
	unix.SYS_PIDFD_GETFD:       {"pidfd_getfd", 0, -1},
	unix.SYS_PIDFD_SEND_SIGNAL: {"pidfd_send_signal", 0, -1},
	unix.SYS_KCMP:              {"kcmp", -1, -1},
	unix.SYS_UNSHARE:           {"unshare", -1, -1},
	unix.SYS_CHDIR:             {"chdir", -1, 0},
	unix.SYS_FCHDIR:            {"fchdir", 0, -1},
	unix.SYS_LSEEK:             {"lseek", 0, -1},
	unix.SYS_PPOLL:             {"ppoll", -1, -1},
}

// runtimeCalls are not supervised: the calls that the Go runtime makes for itself, and the one by
// which Serve passes the listener to the parent.
var runtimeCalls = append(ownRuntimeCalls,
	unix.SYS_FUTEX, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE,
	unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK,
	unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_NANOSLEEP, unix.SYS_RESTART_SYSCALL, unix.SYS_GETPID, unix.SYS_GETTID,
	unix.SYS_TGKILL, unix.SYS_CLONE, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2,
	unix.SYS_PRCTL, unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME,
	unix.SYS_TIMER_DELETE, unix.SYS_GETRANDOM, unix.SYS_MMAP, unix.SYS_EPOLL_PWAIT2,
	unix.SYS_SENDMSG,
	// Made by the C library, with the race detector.
	unix.SYS_CLONE3, unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST,
)

func init() { maps.Copy(shapes, ownShapes) }
