// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls, one function each. They take a descriptor that the caller
// keeps open (see Inotify.control) and return the errno bare; a call that a
// signal interrupted is made again, as package os does.

type errno = unix.Errno

const (
	eAGAIN  = unix.EAGAIN
	eBADF   = unix.EBADF
	eEXIST  = unix.EEXIST
	eINTR   = unix.EINTR
	eINVAL  = unix.EINVAL
	eMFILE  = unix.EMFILE
	eNOENT  = unix.ENOENT
	eNOSPC  = unix.ENOSPC
	eNOSYS  = unix.ENOSYS
	eNOTTY  = unix.ENOTTY
	ePERM   = unix.EPERM
	success = errno(0)
)

func sysInit() (int, error) {
	return unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
}

// addOnce is small enough to be inlined. After a system call each return costs
// what a mispredicted branch costs, and AddWatch is to cost no more than that.
func addOnce(fd int, path *byte, mask Mask) (WD, errno) {
	wd, _, e := unix.Syscall(unix.SYS_INOTIFY_ADD_WATCH, uintptr(fd), uintptr(unsafe.Pointer(path)), uintptr(mask))
	return WD(wd), e // -1 with an errno
}

func sysAdd(fd int, path *byte, mask Mask) (WD, errno) {
	for {
		if wd, e := addOnce(fd, path, mask); e != eINTR {
			return wd, e
		}
	}
}

func sysRemove(fd int, wd WD) errno {
	_, _, e := unix.Syscall(unix.SYS_INOTIFY_RM_WATCH, uintptr(fd), uintptr(wd), 0)
	return e
}

// The climb's own two calls. They are made some hundred thousand times a second,
// on directories that need no waiting for, so the scheduler is not told: that
// would cost more than a tenth.

func sysAddScratch(fd int, path *byte, mask Mask) (WD, errno) {
	for {
		wd, _, e := unix.RawSyscall(unix.SYS_INOTIFY_ADD_WATCH, uintptr(fd), uintptr(unsafe.Pointer(path)), uintptr(mask))
		if e != eINTR {
			return WD(wd), e
		}
	}
}

func sysRemoveScratch(fd int, wd WD) errno {
	_, _, e := unix.RawSyscall(unix.SYS_INOTIFY_RM_WATCH, uintptr(fd), uintptr(wd), 0)
	return e
}

// sysRead is read(2) on a non-blocking description.
func sysRead(fd int, p []byte) (int, errno) {
	for {
		n, _, e := unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch e {
		case success:
			return int(n), success
		case eINTR:
		default:
			return 0, e
		}
	}
}

// sysQueued returns how many bytes the kernel's queue holds. It neither sleeps
// nor waits for a lock that is held for long, so the scheduler is not told.
func sysQueued(fd int) (int, errno) {
	var n int32
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n)))
	return int(n), e
}

func sysNonblock(fd int) (bool, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return flags&unix.O_NONBLOCK != 0, err
}

func sysDup(fd int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}

// sysOpenPath returns a descriptor that stands for what path names and opens
// nothing, so that no watch reports it.
func sysOpenPath(path string, nofollow bool) (int, error) {
	flags := unix.O_PATH | unix.O_CLOEXEC
	if nofollow {
		flags |= unix.O_NOFOLLOW
	}
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// sysInode returns which inode fd stands for, as stat(2) tells.
func sysInode(fd int) (Device, uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return Device{Major: unix.Major(uint64(st.Dev)), Minor: unix.Minor(uint64(st.Dev))}, st.Ino, err
}

func sysClose(fd int) { unix.Close(fd) }

// sysMemfd returns a descriptor of an inode that nobody else has.
func sysMemfd() (int, error) {
	return unix.MemfdCreate("inotify-scratch", unix.MFD_CLOEXEC)
}

func sysFileLimit() int64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return -1
	}
	return int64(r.Cur)
}

// procFD is the path that leads to exactly the inode of an open descriptor.
func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func openFDInfo(fd int) (*os.File, error) {
	return os.Open("/proc/self/fdinfo/" + strconv.Itoa(fd))
}
