// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package kerneltest

import "golang.org/x/sys/unix"

var ownShapes = map[uintptr]shape{
	unix.SYS_FCNTL64:    {"fcntl", 0, -1},
	unix.SYS_FSTAT64:    {"fstat", 0, -1},
	unix.SYS_FSTATAT64:  {"fstatat", 0, 1},
	unix.SYS_LSTAT64:    {"lstat", -1, 0},
	unix.SYS_STAT64:     {"stat", -1, 0},
	unix.SYS_FSTATFS64:  {"fstatfs", 0, -1},
	unix.SYS__LLSEEK:    {"lseek", 0, -1},
	unix.SYS_UGETRLIMIT: {"getrlimit", -1, -1},
}

var ownRuntimeCalls = []uintptr{
	unix.SYS_MMAP2, unix.SYS_SET_THREAD_AREA, unix.SYS_FUTEX_TIME64, unix.SYS_CLOCK_GETTIME64,
	unix.SYS_TIMER_SETTIME64, unix.SYS_SOCKETCALL,
}
