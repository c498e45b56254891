// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of fcntl(2), from include/uapi/asm-generic/fcntl.h. x/sys/unix lacks some of them.
const (
	fSetSig   = 10
	fGetSig   = 11
	fSetOwnEx = 15
	fGetOwnEx = 16
)

// fcntl is fcntl(2). name is what errors call it.
func fcntl(fd, command int, name string, value int) (int, error) {
	result, err := unix.FcntlInt(uintptr(fd), command, value)
	return result, CallError(name, err)
}

// Dup returns a duplicate with close-on-exec set: the lowest free descriptor from least on.
func Dup(fd, least int) (int, error) { return fcntl(fd, unix.F_DUPFD_CLOEXEC, CallDup, least) }

// Status returns the flags of a descriptor's description, such as O_NONBLOCK.
func Status(fd int) (int, error) { return fcntl(fd, unix.F_GETFL, "fcntl F_GETFL", 0) }

// SetStatusFlag sets or clears one of the flags that Status returns.
func SetStatusFlag(fd, flag int, on bool) error {
	flags, err := Status(fd)
	if err != nil || flags&flag != 0 == on {
		return err
	}
	_, err = fcntl(fd, unix.F_SETFL, "fcntl F_SETFL", flags^flag)
	return err
}

// Nonblock reports whether a descriptor's description is in non-blocking mode.
func Nonblock(fd int) (bool, error) {
	flags, err := Status(fd)
	return flags&unix.O_NONBLOCK != 0, err
}

// CloseOnExec reports whether a descriptor has FD_CLOEXEC.
func CloseOnExec(fd int) (bool, error) {
	flags, err := fcntl(fd, unix.F_GETFD, "fcntl F_GETFD", 0)
	return flags&unix.FD_CLOEXEC != 0, err
}

// SetCloseOnExec sets or clears FD_CLOEXEC.
func SetCloseOnExec(fd int, on bool) error {
	flags := 0
	if on {
		flags = unix.FD_CLOEXEC
	}
	_, err := fcntl(fd, unix.F_SETFD, "fcntl F_SETFD", flags)
	return err
}

// Signal returns the signal that a descriptor's owner gets, or 0 for SIGIO.
func Signal(fd int) (int, error) {
	signal, err := fcntl(fd, fGetSig, "fcntl F_GETSIG", 0)
	return max(signal, 0), err
}

// SetSignal sets the signal that Signal returns.
func SetSignal(fd, signal int) error {
	_, err := fcntl(fd, fSetSig, "fcntl F_SETSIG", signal)
	return err
}

// An Owner is struct f_owner_ex: the receiver of a descriptor's signals.
type Owner struct {
	Kind int32 // 0 to 2: a thread, a process, a process group
	ID   int32
}

// GetOwner returns the owner of a descriptor.
func GetOwner(fd int) (o Owner, err error) {
	if _, _, e := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), fGetOwnEx, uintptr(unsafe.Pointer(&o))); e != OK {
		return Owner{}, CallError("fcntl F_GETOWN_EX", e)
	}
	return o, nil
}

// SetOwner sets the owner of a descriptor.
func SetOwner(fd int, o Owner) error {
	if _, _, e := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), fSetOwnEx, uintptr(unsafe.Pointer(&o))); e != OK {
		return CallError("fcntl F_SETOWN_EX", e)
	}
	return nil
}
