// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package inotify is a thin, race-free core around Linux inotify that also controls which
// watch descriptor (wd) a watch gets, with the ioctl INOTIFY_IOC_SETNEXTWD (Linux 4.17),
// so that a process finds its watches under the wds that it had before a checkpoint.
//
// An [Inotify] is one inotify instance. [Inotify.AddWatch] adds watches,
// [Inotify.ReadEvent] and [Inotify.Events] read events, and [Inotify.RestoreWatches] adds
// watches under given wds. Package checkpoint dumps and restores whole instances.
//
// The package keeps no state per watch and leaves no goroutine behind. The caller maps wds
// to paths. A map needs no more than the wd as its key: the kernel does not use a wd again
// before it has handed out all 2,147,483,647.
//
// # What to know about inotify
//
// A watch is on an inode, not on a path. Adding a second path of a watched inode (a hard
// link, or a symbolic link that is followed) returns the wd of its watch and replaces the
// mask, unless the mask has [MaskCreate] or [MaskAdd]. A file that is replaced by renaming
// another over it is no longer the watched one: watch its directory.
//
// A wd can be used again. After a watch is removed, its events may still be unread; they
// come before its [Ignored] event, and those of the wd's next watch come after. So forget
// a wd when you read Ignored, not when you call [Inotify.RemoveWatch]. Two exceptions: an
// event that another processor is reporting at the moment of the removal can come after
// Ignored (seen on Linux 6.18), and after an overflow Ignored may be missing. Both are
// harmless as long as wds are not used again soon, and the kernel does not do that.
//
// When the kernel's queue is full (fs.inotify.max_queued_events, 16384 by default), events
// are lost and one event with [QOverflow] is queued in their place. Then look at the
// watched files again.
//
// The kernel merges an event with the one queued just before it if both are equal.
package inotify
