// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package inotify gives a program the whole of Linux inotify: watches, events,
// and the number of the next watch descriptor, which the kernel lets a process
// choose since Linux 4.17 (INOTIFY_IOC_SETNEXTWD), so that a watch can be
// restored under the number that it had before a checkpoint.
//
// An [Inotify] is one inotify instance. [Inotify.AddWatch] adds watches,
// [Inotify.ReadEvent] and [Inotify.Events] read events,
// [Inotify.RestoreWatches] adds watches under numbers of the caller's choice,
// by the ioctl where the kernel has it and otherwise by adding and removing
// scratch watches until the numbers come up.
//
// The package keeps nothing per watch and leaves no goroutine behind. It maps no
// number to a path: the numbers are the caller's to choose, so a slice can.
//
// # What to know about inotify
//
// A watch is on an inode, not on a path. Adding a second path of a watched
// inode (a hard link, or a symbolic link that is followed) returns the number
// that it has and replaces its mask, unless the mask has [MaskCreate] or
// [MaskAdd]. A file that is replaced by renaming another over it is no longer
// the watched one: watch its directory.
//
// A number can be used again. After a watch is removed, events of its life may
// still be unread; they come before its [Ignored] event, and those of the
// number's next watch come after. So a reader forgets a number when it reads
// Ignored, not when it calls [Inotify.RemoveWatch]. Two things to know: an event
// that another processor is reporting at the moment of the removal can come
// after Ignored (seen on Linux 6.18), and after an overflow Ignored may be
// missing. As long as numbers are not used again soon, which the kernel does not
// do by itself, both are harmless.
//
// When the kernel's queue is full (fs.inotify.max_queued_events, 16384 by
// default), events are lost and one event with [QOverflow] is queued in their
// place. The only remedy is to look at the watched files again.
//
// The kernel merges an event with the one queued just before it if both are
// equal.
//
// # Architecture: how data flows through a restore
//
// The kernel hands numbers out in cyclic order from a counter that each instance
// has and that cannot be read. A restore is a batch of watches in ascending order,
// and data flows through it so:
//
//	RestoreWatch, RestoreWatches      restore.go   check the arguments, sort a copy
//	        |
//	      batch                       batch.go     lock the numbers, add all or none
//	     /     \
//	by ioctl   by climb               cycle.go     add and remove until the number comes
//	     \     /      \
//	      target    scratch           target.go    one watch to be made under a number
//	        |          |              scratch.go   the watches that are only removed again
//	      queue  <-----+              queue.go     keeps what is the readers', drops the rest
//	        |
//	ReadEvent, Events and others      event.go
//
// First it takes the numbers: one restore at a time, and no [Inotify.AddWatch]
// meanwhile, so that nobody else gets the number that was just set. Then it works in
// stages of at most 0.3 ms or 64 steps. A stage holds the queue and runs inside the
// descriptor's Control, so that Close cannot give the descriptor's number away under
// it; between two stages readers, the context and Close have their turn.
//
// By the ioctl, a stage sets the next number where that is not the one that comes
// anyway, and adds the watch with IN_MASK_CREATE, so that an inode that is watched
// already is refused and its watch stays as it is. If the kernel says that it has no
// such ioctl, nothing has been done yet, and the batch goes by climb: its first step
// is to add the lowest watch itself, which tells where the counter stands. Then it
// adds and removes scratch watches, on directories that the instance does not watch
// and in groups, until the next number is a target's, and adds that. A second thread
// takes its share of the steps.
//
// What is added only to be removed leaves records in the kernel's queue, at least an
// IN_IGNORED each, which no reader may see. A number is no help in telling them from
// others', as it may have had a life before and will have one after. So the queue
// counts the bytes that it reads: before a stage adds, it notes where the kernel's
// queue ends (FIONREAD), and a watch of the restore's own has its records between
// that position and the one that is noted when its removal is complete. Who reads,
// a reader or the next stage, drops what lies there and keeps the rest in order.
// Before it removes watches, and at the begin of each stage of a climb, the restore
// empties the kernel's queue, so that this does not overflow by what it does itself;
// what is others' is put by for the readers, up to 16 MiB.
//
// If a watch comes under another number, or anything fails, the batch is rolled
// back: what was added is removed in stages. Its last record can come later than its
// IN_IGNORED, so the restore waits until the kernel has none on its way any more: the
// kernel itself waits for that when it closes an instance (some 10 ms), so one is made
// and closed.
//
// Where the kernel ignores IN_MASK_CREATE (before 4.18, gVisor), a target is pinned:
// an O_PATH descriptor holds its inode, a first add with a mask that changes nothing
// tells by its number whether that is watched already, and a second one sets the
// mask. Which numbers are taken is learned from /proc/self/fdinfo or, where nothing
// is listed there, from the numbers that were given.
//
// Nothing outlives a call: no goroutine, no table of watches, no buffer larger than
// what readers have still to get.
package inotify
