// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"fmt"
	"strings"

	"github.com/seed10546c08/inotify"
)

// A Snapshot is the state of an inotify instance. What is zero was so, or was
// not learned: Unknown tells which.
//
// Its JSON form is an object with the version, 2, and a member for each field,
// named as below. Members that are zero are left out, but for version, fd, flags,
// watches, wd and mask, an owner's kind and id, and field and reason of a gap, and the kind of a side effect: these
// must be given. Unknown members are refused, and so are null and a member given
// twice. The same state gives the same bytes.
type Snapshot struct {
	// BootID identifies the running kernel: /proc/sys/kernel/random/boot_id.
	// Devices, inodes and handles mean the same only under the same kernel.
	// JSON: "boot_id", a string.
	BootID string

	// FD is the descriptor's number in the process that it was taken from.
	// JSON: "fd", a number.
	FD int

	// Flags of the descriptor and of its file description.
	// JSON: "flags", a string such as "O_NONBLOCK|FD_CLOEXEC".
	Flags Flags

	// NextWD is the number that the next new watch would get. 0 if not learned.
	// JSON: "next_wd", a number.
	NextWD inotify.WD

	// Owner gets a signal at each event, if Flags has Async: F_SETOWN.
	// JSON: "owner", an object of "kind", "id" and "self".
	Owner Owner

	// Signal is the one that the owner gets instead of SIGIO: F_SETSIG. 0 is
	// SIGIO, 1 to 64 (on MIPS to 128) that signal. JSON: "signal", a number.
	Signal int

	// Watches in ascending order of WD.
	// JSON: "watches", an array of objects; see Watch.
	Watches []Watch

	// Pending are the events that were not read yet, taken by WithDrain; the
	// instance has them no more. Each is of a watch in Watches or of one that has ended;
	// where its IN_IGNORED is not among them, Unknown lists the wd.
	// JSON: "pending", an array of objects; see Event.
	Pending []inotify.Event

	// PendingBytes is how many bytes of events were pending, also if they were
	// not taken. JSON: "pending_bytes", a number.
	PendingBytes int

	// Unknown lists what could not be learned, or was not asked for.
	// JSON: "unknown", an array of objects; see Gap.
	Unknown []Gap

	// SideEffects lists what other processes may have noticed of the dump.
	// JSON: "side_effects", an array of objects; see SideEffect.
	SideEffects []SideEffect
}

// A Watch is one watch of a snapshot. Path is as the process saw it: from its
// root directory, in its mount namespace; empty if not learned.
//
// Its JSON form loses nothing, so that it also is the one for an [inotify.Watch] of
// a program's own: Watch{Watch: w}. It is an object of "wd", a number; "mask", a
// string such as "IN_CREATE|IN_DELETE"; "path", a string, or "path_bytes" in base64
// if it is not UTF-8; "type", a string; "device", as "major:minor"; "inode", a
// number of up to 64 bits; "handle", as "type:bytes", both hexadecimal. Members but
// wd and mask are left out if they are zero.
type Watch struct {
	inotify.Watch
	Type FileType
}

// A FileType is the type of what is watched.
type FileType string

const (
	TypeUnknown     FileType = "" // not learned
	TypeDirectory   FileType = "directory"
	TypeRegular     FileType = "file"
	TypeSymlink     FileType = "symlink"
	TypeFIFO        FileType = "fifo"
	TypeSocket      FileType = "socket"
	TypeCharDevice  FileType = "char device"
	TypeBlockDevice FileType = "block device"
)

var fileTypes = map[uint32]FileType{ // by S_IFMT's bits
	0o040000: TypeDirectory,
	0o100000: TypeRegular,
	0o120000: TypeSymlink,
	0o010000: TypeFIFO,
	0o140000: TypeSocket,
	0o020000: TypeCharDevice,
	0o060000: TypeBlockDevice,
}

// typeOf returns the type that a st_mode has.
func typeOf(mode uint32) FileType { return fileTypes[mode&0o170000] }

func (t FileType) known() bool {
	for _, k := range fileTypes {
		if t == k {
			return true
		}
	}
	return false
}

// Flags are those of an inotify descriptor that a process can set.
type Flags uint8

const (
	NonBlock    Flags = 1 << iota // O_NONBLOCK, of the file description
	CloseOnExec                   // FD_CLOEXEC, of the descriptor
	Async                         // O_ASYNC, of the file description
)

var flagNames = []struct {
	flag Flags
	name string
}{
	{NonBlock, "O_NONBLOCK"},
	{CloseOnExec, "FD_CLOEXEC"},
	{Async, "O_ASYNC"},
}

// String returns the names joined by "|", or "0".
func (f Flags) String() string {
	var names []string
	for _, n := range flagNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
			f &^= n.flag
		}
	}
	if f != 0 || names == nil {
		names = append(names, fmt.Sprint(uint8(f)))
	}
	return strings.Join(names, "|")
}

// MarshalText returns String's form.
func (f Flags) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads String's form; after an error f is as it was.
func (f *Flags) UnmarshalText(text []byte) error {
	var read Flags
	for _, name := range strings.Split(string(text), "|") {
		flag, err := parseFlag(name)
		if err != nil {
			return fmt.Errorf("flags %.100q: %w", text, err)
		}
		read |= flag
	}
	*f = read
	return nil
}

func parseFlag(name string) (Flags, error) {
	for _, n := range flagNames {
		if n.name == name {
			return n.flag, nil
		}
	}
	if name == "0" {
		return 0, nil
	}
	return 0, fmt.Errorf("%.40q is none of O_NONBLOCK, FD_CLOEXEC and O_ASYNC", name)
}

// An Owner is whom the kernel signals at events.
type Owner struct {
	Kind OwnerKind
	ID   int  // a process's, thread's or process group's, as the taking process sees it
	Self bool // it is the process itself that the instance was taken from, or a thread of it
}

// An OwnerKind says what an Owner's ID is of.
type OwnerKind string

const (
	OwnerNone    OwnerKind = ""
	OwnerThread  OwnerKind = "thread"
	OwnerProcess OwnerKind = "process"
	OwnerGroup   OwnerKind = "group"
)
