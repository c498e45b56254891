// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package kerneltest

import "golang.org/x/sys/unix"

var ownShapes = map[uintptr]shape{
	unix.SYS_FSTAT:      {"fstat", 0, -1},
	unix.SYS_NEWFSTATAT: {"fstatat", 0, 1},
	unix.SYS_LSTAT:      {"lstat", -1, 0},
	unix.SYS_FSTATFS:    {"fstatfs", 0, -1},
	unix.SYS_GETRLIMIT:  {"getrlimit", -1, -1},
}

var ownRuntimeCalls = []uintptr{
	unix.SYS_ARCH_PRCTL,
}
