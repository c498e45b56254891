// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package inotify is a thin, race-free wrapper of Linux inotify that also controls which
// watch descriptor (wd) a watch gets, with the ioctl INOTIFY_IOC_SETNEXTWD (Linux 4.17).
// With it a process finds its watches under their old wds after it was checkpointed and
// restored.
//
// An [Inotify] is one inotify instance. [Inotify.AddWatch] adds watches,
// [Inotify.ReadEvent] and [Inotify.Events] read events, and [Inotify.RestoreWatches] adds
// watches under given wds. Package checkpoint dumps and restores whole instances.
//
// The package keeps no state per watch and leaves no goroutine running. The caller maps
// wds to paths. The wd alone can be the key of that map: the kernel does not reuse a wd
// before it has handed out all 2,147,483,647.
//
// # What to know about inotify
//
// A watch is on an inode, not on a path. A hard link, or a symbolic link that is followed,
// leads to the same inode: adding it returns the wd of the watch that exists and replaces
// its mask, unless the mask has [MaskCreate] or [MaskAdd]. A file that is replaced by
// renaming another over it is no longer watched: watch its directory instead.
//
// After a watch is removed, its events may still be unread. They come before its [Ignored]
// event. If a program sets wds itself, a new watch can have the same wd; its events come
// after that Ignored. So forget a wd when you read Ignored, not when you call
// [Inotify.RemoveWatch].
//
// There are two exceptions. An event that another CPU is reporting while the watch is
// removed can come after Ignored (seen on Linux 6.18). After an overflow Ignored may be
// missing. Both matter only to a program that sets wds itself and soon reuses one.
//
// When the kernel's queue is full (fs.inotify.max_queued_events, 16384 by default), events
// are lost and one event with [QOverflow] is queued in their place. Scan the watched files
// again then.
//
// The kernel merges an event with the one queued just before it if they are equal.
package inotify
