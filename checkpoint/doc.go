// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package checkpoint dumps whole inotify instances, stores them as JSON, restores them
// and verifies the result.
//
// [Dump] dumps an instance of this process, [DumpFD] an instance of another process.
// [Instances] lists the instances of processes. A [Snapshot] has the watches with their
// watch descriptors (wds), masks, paths and inodes, the next wd, flags, owner and signal,
// the pending events, and a list of what could not be determined. Nothing in it is
// guessed.
//
// [Snapshot.Restore] makes a new instance and compares it with the snapshot, as far as
// /proc/self/fdinfo describes it. The pending events are put back into the kernel's queue,
// so that the process that gets the descriptor reads them first. Events that cannot be put
// there are returned by [Restored.Events] and [Restored.Release].
//
// # Security
//
// A snapshot may come from an untrusted source. [Read] refuses what a dump cannot
// contain. Restoring a snapshot watches the paths that it names, with the rights of the
// restoring process. It signals no process: the snapshot's owner and signal are used
// only if the caller names the owner ([WithOwner]).
//
// # Requirements
//
// Linux with /proc mounted. Dumping an instance of this process needs no privilege.
// Neither does a search for paths. Putting pending events into a queue needs
// INOTIFY_IOC_SETNEXTWD (Linux 4.17) and scratch files ([WithScratch]). For another process:
//
//   - The right to read /proc/PID/fdinfo (PTRACE_MODE_READ: the same user, or
//     CAP_SYS_PTRACE). Without it, nothing can be dumped.
//   - pidfd_getfd (Linux 5.6, PTRACE_MODE_ATTACH) for owner, signal and the size of the
//     pending events. Without it, these are unknown.
//   - CAP_DAC_READ_SEARCH to open file handles. Without it, paths are found only by a
//     search ([PathsBySearch]).
package checkpoint

// Data flow, and the file of each step:
//
//	Dump, DumpFD                     dump.go            options, side effects
//	   |  fdinfo, fcntl, kcmp        process_linux.go   a process, held by a pidfd and /proc/PID
//	   |  pending events             drain_linux.go     of stopped processes
//	   |  paths by handle or search  internal/locate    compared with the file that they lead to
//	Snapshot                         snapshot.go, validate.go
//	   |  WriteTo, Read              json.go            strict; memory in proportion to the input
//	Snapshot
//	   |  a target for each watch    restore_linux.go   its path, or the caller's file
//	   |  the pending events         pending_linux.go   into the queue (internal/requeue), or to the caller
//	   |  RestoreWatches             package inotify    all wds or nothing
//	   |  fdinfo of the new instance verify_linux.go    compared with the snapshot
//	   |  next wd, owner, signal
//	Restored                         restore.go         events kept for the caller first, then the kernel's
//
// The package uses package inotify's public interface only. What cannot be determined or
// restored is listed in Snapshot.Unknown or Restored.NotRestored; the call fails only if
// nothing useful would be left. What other processes may have noticed is listed in
// Snapshot.SideEffects. Another process is read only through descriptors that belong to
// it, so that a process that gets its pid later is never read in its place.
