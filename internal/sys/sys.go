// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package sys has the module's system calls, one function each.
//
// They take a descriptor that the caller keeps open and return the errno bare; a
// call that a signal interrupted is made again, as package os does. On systems other
// than Linux each fails, so that the packages above build there.
package sys

import (
	"errors"
	"os"
	"strconv"
	"strings"
)

// What errors call the system calls.
const (
	CallInit    = "inotify_init1"
	CallAdd     = "inotify_add_watch"
	CallRemove  = "inotify_rm_watch"
	CallSetNext = "ioctl INOTIFY_IOC_SETNEXTWD"
	CallQueued  = "ioctl FIONREAD"
	CallFDInfo  = "fdinfo"
)

// The bits of a watch's mask and of a record's that the packages below the root need.
const (
	CloseNoWrite uint32 = 0x00000010
	Unmount      uint32 = 0x00002000
	Ignored      uint32 = 0x00008000
	OnlyDir      uint32 = 0x01000000
	DontFollow   uint32 = 0x02000000
	MaskCreate   uint32 = 0x10000000
	MaskAdd      uint32 = 0x20000000
)

// An Inode is what tells one inode from another, and whether it is a directory.
type Inode struct {
	Major, Minor uint32
	Number       uint64
	Dir          bool
}

// CallError adds the name of the call to an error that is not nil.
func CallError(call string, err error) error { return os.NewSyscallError(call, err) }

// Join adds what went wrong besides to an error. Either may be nil.
func Join(err, besides error) error {
	switch {
	case besides == nil || errors.Is(err, besides):
		return err
	case err == nil:
		return besides
	}
	return errors.Join(err, besides)
}

// CString returns s with a final NUL for a system call. s has no NUL inside.
func CString(s string) *byte { return &append([]byte(s), 0)[0] }

// ProcFD returns the path that leads to exactly the inode of an open descriptor.
func ProcFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// OpenFDInfo opens what the kernel says of a descriptor.
func OpenFDInfo(fd int) (*os.File, error) {
	return os.Open("/proc/self/fdinfo/" + strconv.Itoa(fd))
}

// Sysctl reads a kernel setting, whose name has only letters, digits, '_' and '.'. It
// returns -1 if that cannot be read.
func Sysctl(name string) int64 {
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return -1
	}
	v, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return -1
	}
	return v
}
