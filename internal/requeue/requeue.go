// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package requeue puts events back into the queue of an inotify instance.
//
// The kernel has no call for that. So Fill causes each event: it adds a watch on a scratch
// file under the event's wd, and does to the file what the event reports. Afterwards it removes
// these scratch watches, and each removal queues an IN_IGNORED that must not stay. The
// kernel drops it if the queue is full and has its overflow record already. So Fill fills
// the queue with junk records first, and reads these out at the end. The queue from its front,
// where max is fs.inotify.max_queued_events, a is the number of events before a pending
// overflow and b the number behind it:
//
//	fill      junk x (max-a)
//	before    junk x (max-a), a events
//	overflow  junk x (max-a), a events, overflow        by one more junk record
//	room      junk x (max-a-b-1), a events, overflow    b+1 junk records are read
//	behind    junk x (max-a-b-1), a events, overflow, b events
//	remove    the same: the queue is full, so that removing a watch queues nothing
//	read      a events, overflow, b events
//
// Where no overflow is pending, a is 0 and the overflow record is read out with the junk.
//
// Before an operation, and before the files that it needs are made, the mask of the scratch
// watch is set to the wanted event alone, so that nothing else is reported. Junk is made by
// reading a file that is watched, in a directory that is watched: each read makes two records,
// and these differ, so that the kernel does not merge them.
package requeue

import (
	"fmt"

	"github.com/seed10546c08/inotify"
)

// DefaultMaxQueue is the longest queue that Fill fills, in records, unless
// Options.MaxQueue says otherwise. It takes about a second and 100 MB of the kernel's
// memory.
const DefaultMaxQueue = 1 << 20

// Options change what Fill does.
type Options struct {
	// Scratch is the directory for the scratch files, in a subdirectory that is named
	// with the process's pid and removed at the end. It must be on a local filesystem
	// that takes names of any bytes.
	//
	// If it is empty, they are in a tmpfs that is mounted nowhere, so that no other process
	// can watch them and nothing is left of them even if the process is killed. Where
	// that is not allowed (it takes CAP_SYS_ADMIN in the user namespace of the
	// process's mounts, and Linux 5.2), they are in $TMPDIR, or else in /dev/shm or
	// /tmp: watches on that directory report the subdirectory, and it is left if the
	// process is killed.
	Scratch string

	// MaxQueue is the longest queue to be filled, in records: 0 is DefaultMaxQueue.
	// A queue is as long as fs.inotify.max_queued_events was when the instance was
	// made, however few events there are.
	MaxQueue int

	// Overflow appends an overflow record, unless one is among the events.
	Overflow bool

	// Rehearse fills an instance of Fill's own with the events first, and compares
	// what is read there. Without it that is done once per process, with an event of
	// each kind.
	Rehearse bool

	// Progress is called about ten times a second, and once at the end: of total
	// records, done were made or read. total is an estimate that can grow.
	Progress func(done, total int)
}

// A Result says what is in the queue.
type Result struct {
	Queued  int      // records, with the overflow record
	Changes []Change // how they differ from the events, in the events' order
}

// A Change is a difference between the events and the records in the queue.
type Change struct {
	Index  int           // of the event, or -1 if none of the events is meant
	Event  inotify.Event // the event
	Reason Reason
	Detail string // more about the reason, or ""
}

func (c Change) String() string {
	s := c.Reason.String()
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	if c.Index < 0 {
		return s
	}
	return fmt.Sprintf("event %d, %s: %s", c.Index, describe(c.Event), s)
}

// describe is for error messages.
func describe(e inotify.Event) string {
	s := fmt.Sprintf("wd %d %v", e.WD, e.Mask)
	if e.Name != "" {
		s += fmt.Sprintf(" %q", e.Name)
	}
	return s
}

// A Reason says why the queue differs from the events.
type Reason int

const (
	// Impossible: no operation makes such a record here. It was left out.
	Impossible Reason = iota

	// NoPrivilege: Unmount needs the right to mount. It was left out.
	NoPrivilege

	// QueueFull: the queue is too short for all events. It was left out.
	QueueFull

	// OverflowAdded: an overflow record was appended, as events were left out, or as
	// the queue is exactly as long as the events, so that the removal of the last
	// scratch watch overflows it.
	OverflowAdded

	// OverflowFirst: the overflow was put first, as something before it cannot be
	// made before an overflow.
	OverflowFirst

	// OverflowTwice: a queue has one overflow record at most.
	OverflowTwice

	// Advanced: the event was put right behind the one it belongs to: a MovedTo behind
	// its MovedFrom, or, before an overflow, an Ignored behind its DeleteSelf or
	// Unmount. Events caused on other processors were between the two.
	Advanced

	// Unpaired: the MovedTo has another cookie than its MovedFrom, as the overflow is
	// between the two, or as they are about the same name, which no rename is.
	Unpaired

	// Split: the event's bits are records of their own.
	Split

	// Merged: the event is equal to its neighbour, and the kernel merges such events.
	Merged
)

// Lost reports whether the event was left out. The queue then has an overflow record.
func (r Reason) Lost() bool { return r <= QueueFull }

func (r Reason) String() string {
	switch r {
	case Impossible:
		return "left out, as such a record cannot be made"
	case NoPrivilege:
		return "left out, as it needs the right to mount"
	case QueueFull:
		return "left out, as the queue is too short"
	case OverflowAdded:
		return "an overflow event was appended"
	case OverflowFirst:
		return "put before all events"
	case OverflowTwice:
		return "left out, as a queue has one overflow event"
	case Advanced:
		return "put right behind the event that it belongs to"
	case Unpaired:
		return "with another cookie than the other half of its rename"
	case Split:
		return "split into one record a bit"
	case Merged:
		return "merged with an equal neighbour"
	}
	return fmt.Sprintf("Reason(%d)", int(r))
}
