// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package sys

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Errno is a system call's error number.
type Errno = unix.Errno

const (
	OK           Errno = 0
	EACCES             = unix.EACCES
	EAGAIN             = unix.EAGAIN
	EBADF              = unix.EBADF
	EEXIST             = unix.EEXIST
	EINTR              = unix.EINTR
	EINVAL             = unix.EINVAL
	ELOOP              = unix.ELOOP
	EMFILE             = unix.EMFILE
	ENAMETOOLONG       = unix.ENAMETOOLONG
	ENODEV             = unix.ENODEV
	ENOENT             = unix.ENOENT
	ENOMEM             = unix.ENOMEM
	ENOSPC             = unix.ENOSPC
	ENOSYS             = unix.ENOSYS
	ENOTDIR            = unix.ENOTDIR
	ENOTTY             = unix.ENOTTY
	EOPNOTSUPP         = unix.EOPNOTSUPP
	EOVERFLOW          = unix.EOVERFLOW
	EPERM              = unix.EPERM
	ESRCH              = unix.ESRCH
	ESTALE             = unix.ESTALE
	EXDEV              = unix.EXDEV
)

// Init makes an instance. The error is the errno.
func Init() (int, error) {
	return unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
}

// AddOnce is Add without the repetition after a signal. It is small enough to be inlined.
// That saves a return, which costs a mispredicted branch after a system call.
func AddOnce(fd int, path *byte, mask uint32) (int32, Errno) {
	wd, _, e := unix.Syscall(unix.SYS_INOTIFY_ADD_WATCH, uintptr(fd), uintptr(unsafe.Pointer(path)), uintptr(mask))
	return int32(wd), e // -1 with an errno
}

// Add adds a watch and returns its wd, or -1.
func Add(fd int, path *byte, mask uint32) (int32, Errno) {
	for {
		if wd, e := AddOnce(fd, path, mask); e != EINTR {
			return wd, e
		}
	}
}

// Remove removes a watch.
func Remove(fd int, wd int32) Errno {
	_, _, e := unix.Syscall(unix.SYS_INOTIFY_RM_WATCH, uintptr(fd), uintptr(wd), 0)
	return e
}

// AddScratch is Add as a raw system call: the Go scheduler is not notified, which would
// cost the add/remove cycle more than a tenth. It is for directories whose lookup does not
// block.
func AddScratch(fd int, path *byte, mask uint32) (int32, Errno) {
	for {
		wd, _, e := unix.RawSyscall(unix.SYS_INOTIFY_ADD_WATCH, uintptr(fd), uintptr(unsafe.Pointer(path)), uintptr(mask))
		if e != EINTR {
			return int32(wd), e
		}
	}
}

// RemoveScratch is Remove for a watch of AddScratch.
func RemoveScratch(fd int, wd int32) Errno {
	_, _, e := unix.RawSyscall(unix.SYS_INOTIFY_RM_WATCH, uintptr(fd), uintptr(wd), 0)
	return e
}

// Queued returns how many bytes the kernel's queue holds. It neither sleeps nor waits for
// a lock that is held for long, so it is a raw system call.
func Queued(fd int) (int, error) {
	var n int32
	if _, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n))); e != OK {
		return 0, CallError(CallQueued, e)
	}
	return int(n), nil
}

// SetNext sets the next wd. It neither sleeps nor waits, so it is a raw system call.
func SetNext(fd int, wd int32) Errno {
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), SetNextRequest(runtime.GOARCH), uintptr(wd))
	return e
}

// INOTIFY_IOC_SETNEXTWD is _IOW('I', 0, __s32) in include/uapi/linux/inotify.h,
// the kernel's user-space interface (GPL-2.0 WITH Linux-syscall-note).
// An ioctl number is direction, size, type and number; _IOW's direction is 1 in
// two bits on most processors, and 4 in three bits on MIPS, PowerPC and SPARC.
// The argument goes by value, in spite of _IOW.
const (
	setNextGeneric = 1<<30 | 4<<16 | 'I'<<8 // 0x40044900
	setNextOld     = 4<<29 | 4<<16 | 'I'<<8 // 0x80044900
)

// SetNextRequest returns the number of INOTIFY_IOC_SETNEXTWD on a processor.
func SetNextRequest(goarch string) uintptr {
	switch goarch {
	case "mips", "mipsle", "mips64", "mips64le", "ppc64", "ppc64le", "sparc64":
		return setNextOld
	}
	return setNextGeneric
}
