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
// By the ioctl, a slice sets the next wd, unless it is the right one already, and adds the
// watch with IN_MASK_CREATE. So the kernel refuses an inode that is watched already, and
// does not change its watch. If the kernel says that it has no such ioctl, nothing has been
// done yet, and the restore uses the cycle. The first step adds the lowest watch itself,
// whose wd shows the kernel's wd counter. Then the cycle adds and removes groups of scratch
// watches, on directories that the instance does not watch, until the next wd is a target's,
// and adds that target. A helper thread does a part of the steps.
//
// A watch that is added only to be removed is internal. It leaves internal records in the
// kernel's queue, at least an IN_IGNORED, which no reader may see. Their wd does not tell
// them from other records: another watch can have had that wd before, or get it later. So
// the queue counts the bytes that it reads. Before a slice adds a watch, it notes where the
// kernel's queue ends (FIONREAD), and again when the watch has been removed. The internal
// records are between these two positions. Whoever reads, a reader or the next slice, drops
// the records of that wd there and keeps all others in order. Before a restore removes
// watches, and when each slice of a cycle begins, it empties the kernel's queue, so that its
// own records do not overflow it. The records of other watches are buffered for the readers,
// up to 16 MiB.
//
// If a watch gets another wd, or anything fails, the restore is rolled back: the watches
// that were added are removed in slices. A watch's last record can come later than its
// IN_IGNORED, so the rollback waits for records that the kernel is still queuing. The kernel
// itself waits for these when it closes an instance (some 10 ms), so the rollback makes an
// instance and closes it.
//
// Where the kernel ignores IN_MASK_CREATE (before 4.18, gVisor), a target is pinned: an
// O_PATH descriptor holds its inode. A first add has a mask that changes nothing, and the wd
// that it returns shows whether the inode is watched already. A second add sets the mask.
// The used wds are read from /proc/self/fdinfo. Where nothing is listed there, they follow
// from the wds that the kernel has given.
//
// Nothing outlives a call: no goroutine, no table of watches, and no buffer except the
// events that readers have still to get.
package assign
