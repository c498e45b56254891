// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package assign is the engine that gives watches the watch descriptors (wds) that they
// are to have: by the ioctl INOTIFY_IOC_SETNEXTWD or, where the kernel lacks it, by the
// add/remove cycle.
//
// Each instance has a wd counter, from which the kernel hands out wds in cyclic order. The
// counter cannot be read. A restore gets a list of watches in ascending order of wd:
//
//	Restore                 assign.go    lock the wds; add all watches or none
//	    |
//	   run                  assign.go    slices of at most 0.3 ms, until all are added
//	    |
//	  slice                 assign.go    for each watch:
//	    |-- sys.SetNext                  make its wd the next one, by the ioctl
//	    |-- steps           cycle.go     or by the cycle
//	    |     |-- advance   scratch.go   add and remove scratch watches, on one or two threads
//	    |-- sys.AddOnce                  add the watch; target.go has the path and the masks
//	    |-- finishAdd       assign.go    check the wd; set the mask of a pinned target
//	    |
//	 rollBack               rollback.go  after an error: remove the watches that were added
//	    |
//	record.Queue                         filters the internal records out
//
// RestoreNext (next.go) sets only the next wd, and Next reads it.
//
// A restore first locks the wds: until its end no other restore runs and no watch is added
// here, so that no other watch gets the wd that was just set. It works in slices. A slice
// runs inside instance.With, which locks the queue and keeps the descriptor open. Between
// slices readers can read, and the restore sees the end of its context and Close.
//
// By the ioctl, a slice sets the next wd, unless it is the next one already, and adds the
// watch with IN_MASK_CREATE: for an inode that is watched already the kernel then returns an
// error and does not change the existing watch. If the kernel lacks the ioctl, nothing has been
// added yet, and the restore starts the cycle. The first step adds the lowest watch itself;
// its wd shows where the wd counter is. Further steps add and remove scratch watches, in
// groups, on directories that the instance does not watch, until the target's wd is the next
// one; then the target is added. A helper thread makes some of the steps.
//
// A watch that is added only to be removed leaves internal records in the kernel's queue, at
// least an IN_IGNORED. No reader may get them. The wd does not identify them, because an earlier
// or later watch can have the same wd. So the queue counts the bytes that it reads. The
// restore determines the end of the kernel's queue (FIONREAD) before it adds such a watch and
// after it has removed it; the internal records are between these two positions. Each read,
// by a reader or by the next slice, drops them and buffers the others in order. The restore
// reads the kernel's queue before it removes watches and in each slice of a cycle, so that its
// records do not overflow the queue. The helper may begin before that, if the queue is short:
// the slice reads only what was queued when it began, so no record of a watch that the filter
// does not know yet. It buffers up to 16 MiB for the readers.
//
// After an error, or if a watch got another wd, the restore removes what it has added, in
// slices. Records of a watch can follow its IN_IGNORED, so the rollback waits until all are
// queued (instance.Quiesce).
//
// If the kernel ignores IN_MASK_CREATE (before 4.18, gVisor), targets are pinned: an O_PATH
// descriptor keeps the inode, a first add with a mask that changes nothing returns a wd, which
// shows whether the inode is watched already, and a second add sets the mask. The used wds are
// read from /proc/self/fdinfo. If the kernel lists no watches there, all wds up to the highest
// that was given count as used.
//
// After a call no goroutine runs, and the only memory in use is the buffer of events that the
// readers have not read yet.
package assign
