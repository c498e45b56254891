// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"fmt"
	"maps"
	"strings"

	"github.com/seed10546c08/inotify"
)

// A Snapshot is the state of an inotify instance. A field with its zero value was zero, or
// could not be determined: Unknown lists those.
//
// Its JSON form is an object with "version", 2, and a member for each field, whose name is
// given at the field. Members are omitted if zero, except version, fd, flags, watches, a
// watch's wd and mask, an owner's kind and id, a gap's field and reason, and a side effect's
// kind. Reading requires these, and refuses unknown members, null, and members that are
// given twice. The same state always has the same bytes.
type Snapshot struct {
	// BootID identifies the running kernel: /proc/sys/kernel/random/boot_id.
	// Devices, inodes and handles mean the same only under the same kernel.
	// JSON: "boot_id", a string.
	BootID string

	// FD is the descriptor's number in the dumped process.
	// JSON: "fd", a number.
	FD int

	// Flags of the descriptor and of its file description.
	// JSON: "flags", a string such as "O_NONBLOCK|FD_CLOEXEC".
	Flags Flags

	// NextWD is the wd that the next new watch would get; 0 if unknown.
	// JSON: "next_wd", a number.
	NextWD inotify.WD

	// Owner gets a signal for each event if Flags has Async (F_SETOWN).
	// JSON: "owner", an object of "kind", "id" and "self".
	Owner Owner

	// Signal is the signal that the owner gets (F_SETSIG): 1 to 64 (on MIPS to 128), or 0
	// for SIGIO. JSON: "signal", a number.
	Signal int

	// Watches in ascending order of WD.
	// JSON: "watches", an array of objects; see Watch.
	Watches []Watch

	// Pending are the events that WithDrain moved from the instance to the snapshot. Each is
	// of a watch in Watches, or of a watch that has ended: its IN_IGNORED is then pending,
	// too, or Unknown lists FieldPending with its wd.
	// JSON: "pending", an array of objects; see Event.
	Pending []inotify.Event

	// PendingBytes is the size of the events that were pending, drained or not.
	// JSON: "pending_bytes", a number.
	PendingBytes int

	// Unknown lists what could not be determined, or was not requested.
	// JSON: "unknown", an array of objects; see Gap.
	Unknown []Gap

	// SideEffects lists what other processes may have noticed of the dump.
	// JSON: "side_effects", an array of objects; see SideEffect.
	SideEffects []SideEffect
}

// A Watch is one watch of a snapshot. Path is as the dumped process sees it: in its mount
// namespace, from its root directory; empty if unknown.
//
// Its JSON form loses nothing, so that it also serves for an [inotify.Watch] w of your
// program: Watch{Watch: w}. It is an object of "wd", a number; "mask", a string such as
// "IN_CREATE|IN_DELETE"; "path", a string, or "path_bytes" in base64 if it is not UTF-8;
// "type", a string; "device", as "major:minor"; "inode", a number of up to 64 bits;
// "handle", as "type:bytes", both hexadecimal. Members except wd and mask are omitted if
// zero.
type Watch struct {
	inotify.Watch
	Type FileType
}

// A FileType is the type of a watched file.
type FileType string

const (
	TypeUnknown     FileType = ""
	TypeDirectory   FileType = "directory"
	TypeRegular     FileType = "file"
	TypeSymlink     FileType = "symlink"
	TypeFIFO        FileType = "fifo"
	TypeSocket      FileType = "socket"
	TypeCharDevice  FileType = "char device"
	TypeBlockDevice FileType = "block device"
)

var fileTypes = map[uint32]FileType{ // by the S_IFMT bits of st_mode
	0o040000: TypeDirectory,
	0o100000: TypeRegular,
	0o120000: TypeSymlink,
	0o010000: TypeFIFO,
	0o140000: TypeSocket,
	0o020000: TypeCharDevice,
	0o060000: TypeBlockDevice,
}

// typeOf returns the type in st_mode.
func typeOf(mode uint32) FileType { return fileTypes[mode&0o170000] }

func parseFileType(s string) (FileType, error) {
	if s == "" {
		return TypeUnknown, nil
	}
	return parseConstant(s, "type", maps.Values(fileTypes))
}

// Flags are the flags of an inotify descriptor and its file description.
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

// UnmarshalText reads String's form. After an error f is unchanged.
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
	return 0, fmt.Errorf("%.40q is not O_NONBLOCK, FD_CLOEXEC or O_ASYNC", name)
}

// An Owner is the process, thread or process group that the kernel signals for each event.
type Owner struct {
	Kind OwnerKind
	ID   int  // of the process, thread or process group, in the pid namespace of the dumping process
	Self bool // the owner is the dumped process or one of its threads
}

// An OwnerKind says what the ID of an Owner identifies.
type OwnerKind string

const (
	OwnerNone    OwnerKind = ""
	OwnerThread  OwnerKind = "thread"
	OwnerProcess OwnerKind = "process"
	OwnerGroup   OwnerKind = "group"
)
