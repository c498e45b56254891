// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// INOTIFY_IOC_SETNEXTWD is _IOW('I', 0, __s32) in include/uapi/linux/inotify.h,
// the kernel's user-space interface (GPL-2.0 WITH Linux-syscall-note).
// An ioctl number is direction, size, type and number; _IOW's direction is 1 in
// two bits on most processors, and 4 in three bits on MIPS, PowerPC and SPARC.
// The argument goes by value, in spite of _IOW.
const (
	setNextWDGeneric = 1<<30 | 4<<16 | 'I'<<8 // 0x40044900
	setNextWDOld     = 4<<29 | 4<<16 | 'I'<<8 // 0x80044900
)

func setNextWDRequest(goarch string) uintptr {
	switch goarch {
	case "mips", "mipsle", "mips64", "mips64le", "ppc64", "ppc64le", "sparc64":
		return setNextWDOld
	}
	return setNextWDGeneric
}

// sysSetNext neither sleeps nor waits, so the scheduler is not told.
func sysSetNext(fd int, wd WD) errno {
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), setNextWDRequest(runtime.GOARCH), uintptr(wd))
	return e
}
