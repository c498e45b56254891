// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"fmt"
	"strconv"
	"strings"
)

// A Mask is a set of inotify bits. In a watch they say which events to report and how to
// watch, in an [Event] what happened.
//
// The values are the kernel's user-space interface (include/uapi/linux/inotify.h,
// GPL-2.0 WITH Linux-syscall-note) and the same on every processor.
type Mask uint32

// Events. Those marked (child) are also reported, with the child's name, by a
// watch on the directory that holds the file.
const (
	Access       Mask = 0x00000001 // IN_ACCESS: the file was read (child)
	Modify       Mask = 0x00000002 // IN_MODIFY: the file was written or truncated (child)
	Attrib       Mask = 0x00000004 // IN_ATTRIB: mode, owner, times, extended attributes or link count changed (child)
	CloseWrite   Mask = 0x00000008 // IN_CLOSE_WRITE: a descriptor open for writing was closed (child)
	CloseNoWrite Mask = 0x00000010 // IN_CLOSE_NOWRITE: a descriptor not open for writing was closed (child)
	Open         Mask = 0x00000020 // IN_OPEN: the file was opened, though not with O_PATH (child)
	MovedFrom    Mask = 0x00000040 // IN_MOVED_FROM: a name left the directory; Cookie pairs it with MovedTo
	MovedTo      Mask = 0x00000080 // IN_MOVED_TO: a name entered the directory; Cookie pairs it with MovedFrom
	Create       Mask = 0x00000100 // IN_CREATE: a name was created in the directory
	Delete       Mask = 0x00000200 // IN_DELETE: a name was removed from the directory
	DeleteSelf   Mask = 0x00000400 // IN_DELETE_SELF: the watched inode itself is gone
	MoveSelf     Mask = 0x00000800 // IN_MOVE_SELF: the watched inode itself was renamed

	Close     = CloseWrite | CloseNoWrite // IN_CLOSE
	Move      = MovedFrom | MovedTo       // IN_MOVE
	AllEvents = Mask(0x00000fff)          // IN_ALL_EVENTS: the twelve bits above
)

// Bits that the kernel sets in events, whether or not the watch has them.
const (
	Unmount   Mask = 0x00002000 // IN_UNMOUNT: the filesystem was unmounted; Ignored follows
	QOverflow Mask = 0x00004000 // IN_Q_OVERFLOW: events were lost; the event's WD is NoWD
	Ignored   Mask = 0x00008000 // IN_IGNORED: the watch is gone, and this is its last event
	IsDir     Mask = 0x40000000 // IN_ISDIR: the event is about a directory
)

// Bits for adding a watch.
const (
	OnlyDir    Mask = 0x01000000 // IN_ONLYDIR: fail with ENOTDIR unless the path is a directory
	DontFollow Mask = 0x02000000 // IN_DONT_FOLLOW: watch a symbolic link itself
	ExclUnlink Mask = 0x04000000 // IN_EXCL_UNLINK: no events for children once they are unlinked
	MaskCreate Mask = 0x10000000 // IN_MASK_CREATE: fail with EEXIST if the inode is watched (Linux 4.18; ignored before and by gVisor)
	MaskAdd    Mask = 0x20000000 // IN_MASK_ADD: add to the mask of the inode's watch instead of replacing it
	OneShot    Mask = 0x80000000 // IN_ONESHOT: remove the watch after its first event
)

// maskNames has every single bit in ascending order.
var maskNames = [...]struct {
	bit  Mask
	name string
}{
	{Access, "IN_ACCESS"},
	{Modify, "IN_MODIFY"},
	{Attrib, "IN_ATTRIB"},
	{CloseWrite, "IN_CLOSE_WRITE"},
	{CloseNoWrite, "IN_CLOSE_NOWRITE"},
	{Open, "IN_OPEN"},
	{MovedFrom, "IN_MOVED_FROM"},
	{MovedTo, "IN_MOVED_TO"},
	{Create, "IN_CREATE"},
	{Delete, "IN_DELETE"},
	{DeleteSelf, "IN_DELETE_SELF"},
	{MoveSelf, "IN_MOVE_SELF"},
	{Unmount, "IN_UNMOUNT"},
	{QOverflow, "IN_Q_OVERFLOW"},
	{Ignored, "IN_IGNORED"},
	{OnlyDir, "IN_ONLYDIR"},
	{DontFollow, "IN_DONT_FOLLOW"},
	{ExclUnlink, "IN_EXCL_UNLINK"},
	{MaskCreate, "IN_MASK_CREATE"},
	{MaskAdd, "IN_MASK_ADD"},
	{IsDir, "IN_ISDIR"},
	{OneShot, "IN_ONESHOT"},
}

// knownBits are those that the kernel knows.
var knownBits = func() (all Mask) {
	for _, n := range maskNames {
		all |= n.bit
	}
	return all
}()

// Has reports whether m has any of bits: ev.Mask.Has(Create|MovedTo) is true for an event
// of either kind. Has(0) is false. [Mask.HasAll] tests for every bit.
func (m Mask) Has(bits Mask) bool { return m&bits != 0 }

// HasAll reports whether m has every bit of bits, as ev.Mask.HasAll(Create|IsDir)
// does for a directory that was created. HasAll(0) is true.
func (m Mask) HasAll(bits Mask) bool { return m&bits == bits }

// String returns the kernel's names of m's bits in ascending order, joined by
// "|", and then the bits that have no name as one hexadecimal number:
// "IN_CREATE|IN_ISDIR", "IN_OPEN|0x1000". The empty mask is "0". [ParseMask]
// reads this form.
func (m Mask) String() string {
	if m == 0 {
		return "0"
	}
	return string(m.append(nil))
}

func (m Mask) append(b []byte) []byte {
	sep := ""
	for _, n := range maskNames {
		if m&n.bit != 0 {
			b = append(append(b, sep...), n.name...)
			sep = "|"
			m &^= n.bit
		}
	}
	if m != 0 {
		b = fmt.Appendf(b, "%s%#x", sep, uint32(m))
	}
	return b
}

// MarshalText returns [Mask.String]'s form, so that a mask is readable in JSON.
func (m Mask) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is [ParseMask]. An error leaves m unchanged.
func (m *Mask) UnmarshalText(text []byte) error {
	v, err := ParseMask(string(text))
	if err == nil {
		*m = v
	}
	return err
}

// ParseMask reads the form that [Mask.String] writes: kernel names and numbers
// (decimal, or with a 0x prefix) joined by "|". It also takes the kernel's
// IN_CLOSE, IN_MOVE and IN_ALL_EVENTS. Order does not matter and a bit may come
// twice; an empty text, an empty element and an unknown name are errors.
func ParseMask(s string) (Mask, error) {
	var m Mask
	for _, name := range strings.Split(s, "|") {
		bits, ok := maskByName(name)
		if !ok {
			return 0, fmt.Errorf("inotify: mask %.100q: %.40q is neither a name such as IN_CREATE nor a 32-bit number", s, name)
		}
		m |= bits
	}
	return m, nil
}

func maskByName(name string) (Mask, bool) {
	switch name {
	case "IN_CLOSE":
		return Close, true
	case "IN_MOVE":
		return Move, true
	case "IN_ALL_EVENTS":
		return AllEvents, true
	}
	for _, n := range maskNames {
		if n.name == name {
			return n.bit, true
		}
	}
	digits, base := name, 10
	if hex, ok := strings.CutPrefix(name, "0x"); ok {
		digits, base = hex, 16
	}
	v, err := strconv.ParseUint(digits, base, 32)
	return Mask(v), err == nil
}
