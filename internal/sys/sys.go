// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package sys has the module's system calls, one function each.
//
// They take a descriptor that the caller keeps open. A result of type Errno is bare, and one
// of type error names the call. A call that a signal interrupted is made again, as package os
// does. On systems other than Linux each fails, so that the packages above build there.
package sys

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// The names of system calls in errors.
const (
	CallInit     = "inotify_init1"
	CallAdd      = "inotify_add_watch"
	CallRemove   = "inotify_rm_watch"
	CallSetNext  = "ioctl INOTIFY_IOC_SETNEXTWD"
	CallQueued   = "ioctl FIONREAD"
	CallFDInfo   = "fdinfo"
	CallDup      = "fcntl F_DUPFD_CLOEXEC"
	CallOpenPath = "open O_PATH"
	CallStatx    = "statx"
	CallStat     = "stat"
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

	// LeakedBits are bits that old kernels show in the masks of fdinfo and that
	// inotify_add_watch refuses: FS_EVENT_ON_CHILD, and IN_UNMOUNT, which is always on.
	LeakedBits = 0x08000000 | Unmount
)

// MaxHandle is the most bytes that a file handle has: MAX_HANDLE_SZ.
const MaxHandle = 128

// An Inode identifies an inode, and has its type.
type Inode struct {
	Major, Minor uint32
	Number       uint64
	Type         uint32 // the S_IFMT bits of st_mode
}

// Directory is the Type of a directory: S_IFDIR.
const Directory = 0o040000

// CallError adds the name of the call to an error that is not nil.
func CallError(call string, err error) error { return os.NewSyscallError(call, err) }

// retry calls f again as long as a signal interrupts it.
func retry(f func() error) error {
	for {
		if err := f(); err != EINTR {
			return err
		}
	}
}

// Control runs f with the descriptor of c, which stays open meanwhile. It returns the error of
// f, or an error if c is closed.
func Control(c syscall.Conn, f func(fd int) error) error {
	conn, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// EmptyPath is the empty path, with its final NUL, which a call never changes.
var EmptyPath [1]byte

// CString returns s with a final NUL for a system call. s has no NUL inside.
func CString(s string) *byte { return &AppendCString(nil, s)[0] }

// AppendCString appends s and a final NUL to b. s has no NUL inside.
func AppendCString(b []byte, s string) []byte { return append(append(b, s...), 0) }

// This process's directory in /proc, and the directory of its descriptors.
const (
	ProcSelf = "/proc/self"
	ProcFDs  = ProcSelf + "/fd"
)

// ProcFD returns the path that leads to exactly the inode of an open descriptor.
func ProcFD(fd int) string { return ProcFDs + "/" + strconv.Itoa(fd) }

// FDInfo returns the path of a descriptor's fdinfo, which lists flags and watches.
func FDInfo(fd int) string { return ProcSelf + "/fdinfo/" + strconv.Itoa(fd) }

// OpenFDInfo opens the file at FDInfo.
func OpenFDInfo(fd int) (*os.File, error) { return os.Open(FDInfo(fd)) }

// Sysctl reads a kernel setting that is a number. It returns -1 if that cannot be read.
func Sysctl(name string) int64 {
	text, err := SysctlText(name)
	if err != nil {
		return -1
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return v
}

// SysctlText reads a kernel setting, whose name has only letters, digits, '_' and '.'.
func SysctlText(name string) (string, error) {
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	return strings.TrimSpace(string(text)), err
}
