// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Call is a system call that a supervised process made.
type Call struct {
	Name   string // with the kind of an ioctl, a fcntl or an open: "openat O_PATH"
	Object string // a path, or what a descriptor refers to: "anon_inode:inotify"
	Args   [6]uint64
	Thread uint32     // the thread that made it
	Errno  unix.Errno // the injected error, or 0

	byRuntime bool // made by the Go runtime for itself
}

func (c *Call) String() string {
	s := c.Name + " " + c.Object
	if c.Errno != 0 {
		s += " = " + unix.ErrnoName(c.Errno)
	}
	return s
}

// A shape says which arguments of a call are a descriptor and a path, which may be relative to it.
// -1 is none.
type shape struct {
	name     string
	fd, path int
}

// describe decodes a call.
func (s *Supervised) describe(n *notification) Call {
	c := Call{Args: n.args, Thread: n.tid}
	shape, known := shapes[uintptr(n.nr)]
	if !known {
		c.Name = fmt.Sprint("system call ", n.nr)
		return c
	}
	c.Name = shape.name
	if shape.fd >= 0 {
		c.Object = s.link(int32(n.args[shape.fd]))
	}
	if shape.path >= 0 {
		if path := s.text(n.args[shape.path]); strings.HasPrefix(path, "/") || shape.fd < 0 || shape.name == "inotify_add_watch" {
			c.Object = path
		} else if path != "" {
			c.Object += "/" + path
		}
	}
	switch shape.name {
	case "ioctl":
		c.Name += " " + nameOf(ioctls, n.args[1])
	case "fcntl":
		c.Name += " " + nameOf(fcntls, n.args[1])
	case "openat":
		c.Name += openKind(n.args[2])
	case "openat2":
		c.Name += openKind(s.word(n.args[2]))
	case "inotify_rm_watch":
		c.Object = fmt.Sprint("watch ", int32(n.args[1]))
	case "epoll_ctl":
		c.Name += " " + nameOf(epolls, n.args[1])
	case "pidfd_open", "kcmp":
		c.Object = fmt.Sprint("process ", int32(n.args[0]))
	case "read", "write":
		c.byRuntime = strings.Contains(c.Object, "[eventfd]") // it wakes the poller
	}
	return c
}

func openKind(flags uint64) string {
	if flags&unix.O_PATH != 0 {
		return " O_PATH"
	}
	return ""
}

func nameOf(names map[uint64]string, number uint64) string {
	if name := names[number&0xffffffff]; name != "" {
		return name
	}
	return fmt.Sprintf("%#x", number)
}

var ioctls = map[uint64]string{
	unix.TIOCINQ: "FIONREAD", 0x40044900: "INOTIFY_IOC_SETNEXTWD", 0x80044900: "INOTIFY_IOC_SETNEXTWD",
}

var fcntls = map[uint64]string{
	unix.F_DUPFD_CLOEXEC: "F_DUPFD_CLOEXEC", unix.F_GETFD: "F_GETFD", unix.F_SETFD: "F_SETFD",
	unix.F_GETFL: "F_GETFL", unix.F_SETFL: "F_SETFL", 10: "F_SETSIG", 11: "F_GETSIG", 15: "F_SETOWN_EX", 16: "F_GETOWN_EX",
}

var epolls = map[uint64]string{unix.EPOLL_CTL_ADD: "EPOLL_CTL_ADD", unix.EPOLL_CTL_DEL: "EPOLL_CTL_DEL"}

// link returns what a descriptor of the child refers to.
func (s *Supervised) link(fd int32) string {
	if fd == unix.AT_FDCWD {
		return "."
	}
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", s.cmd.Process.Pid, fd))
	if err != nil {
		return fmt.Sprint("descriptor ", fd)
	}
	return link
}

// text reads a string from the child's memory.
func (s *Supervised) text(at uint64) string {
	var buf [1024]byte
	n, _ := s.mem.ReadAt(buf[:], int64(at))
	text, _, _ := bytes.Cut(buf[:n], []byte{0})
	return string(text)
}

// word reads 64 bits from the child's memory.
func (s *Supervised) word(at uint64) uint64 {
	var v uint64
	s.mem.ReadAt(bytesOf(&v), int64(at))
	return v
}

func bytesOf(v *uint64) []byte { return (*[8]byte)(unsafe.Pointer(v))[:] }
