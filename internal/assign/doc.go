// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package assign is the engine that gives watches the watch descriptors (wds) that they
// are to have: by the ioctl INOTIFY_IOC_SETNEXTWD or, where the kernel lacks it, by the
// add/remove cycle.
//
// The kernel hands wds out in cyclic order from a counter that each instance has and that
// cannot be read. A restore is a list of watches in ascending order, and data flows
// through it so:
//
//	Restore, RestoreNext       assign.go    lock the wds, add all watches or none
//	        |
//	       run                 assign.go    slices of at most 0.3 ms or 64 steps, until all are there
//	        |
//	      slice                assign.go    advance to the wd, place the watch; again
//	     /      \
//	advance      place         target.go    one watch to be added under a wd
//	 |    \          \
//	ioctl  steps      failed   cycle.go     how far the cycle is
//	        |          |       scratch.go   the watches that are only removed again
//	        |       rollBack   rollback.go  remove what was added
//	        |          |
//	   record.Queue <--+       keeps the readers' records, drops the internal ones
//
// First it locks the wds: one restore at a time, and no add meanwhile, so that nobody
// else gets the wd that was just set. Then it works in slices. A slice runs inside
// instance.With: it holds the queue and the descriptor, so that Close cannot give the
// descriptor's number away under it. Between two slices the readers, the context and
// Close have their turn.
//
// By the ioctl, a slice sets the next wd where that is not the one that comes anyway, and
// adds the watch with IN_MASK_CREATE, so that an inode that is watched already is refused
// and its watch stays as it is. If the kernel says that it has no such ioctl, nothing has
// been done yet, and the restore goes by the cycle: its first step is to add the lowest
// watch itself, whose wd shows where the counter stands. Then it adds and removes scratch
// watches, on directories that the instance does not watch and in groups, until the next
// wd is a target's, and adds that. A helper thread takes its share of the steps.
//
// What is added only to be removed leaves records in the kernel's queue, at least an
// IN_IGNORED each, which no reader may see. A wd is no help in telling them from
// others', as it may have had a life before and will have one after. So the queue counts
// the bytes that it reads: before a slice adds, it notes where the kernel's queue ends
// (FIONREAD), and an internal watch has its records between that position and the one
// that is noted when its removal is complete. Whoever reads, a reader or the next slice,
// drops what lies there and keeps the rest in order. Before it removes watches, and when
// each slice of a cycle begins, the restore empties the kernel's queue, so that this does
// not overflow by what the restore itself does; what is others' is buffered for the
// readers, up to 16 MiB.
//
// If a watch gets another wd, or anything fails, the restore is rolled back: what was
// added is removed in slices. A watch's last record can come later than its IN_IGNORED, so
// the rollback waits until the kernel has none on its way any more: the kernel itself waits
// for that when it closes an instance (some 10 ms), so one is made and closed.
//
// Where the kernel ignores IN_MASK_CREATE (before 4.18, gVisor), a target is pinned: an
// O_PATH descriptor holds its inode, a first add with a mask that changes nothing returns
// a wd by which it is known whether the inode is watched already, and a second one sets the
// mask. Which wds are used is read from /proc/self/fdinfo or, where nothing is listed
// there, follows from the wds that were given.
//
// Nothing outlives a call: no goroutine, no table of watches, no buffer larger than what
// readers have still to get.
package assign
