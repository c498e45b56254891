// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package checkpoint takes a whole inotify instance apart, carries it as JSON,
// puts it together again, on this machine or on another, and proves that what
// came out is what went in.
//
// [Dump] takes an instance of one's own, [DumpFD] a descriptor of another
// process, and [Instances] finds those that processes have. What they return is
// a [Snapshot]: the watches with their numbers, masks, paths and inodes, the next
// number, the flags, owner and signal, the pending events, and a list of what
// could not be learned. Nothing in it is guessed.
//
// [Snapshot.Restore] makes a new instance of it and compares that with the
// snapshot, from what the kernel itself says of it in /proc/self/fdinfo. The pending
// events are put back into the kernel's queue, so that whoever gets the descriptor
// reads them first; where that cannot be done, [Restored.Release] returns them.
//
// # What a snapshot is trusted with
//
// A snapshot that comes from elsewhere is input like any other. [Read] refuses
// what no kernel writes. Restoring one watches paths that it names, with the
// rights of the process that restores; it signals nobody, since the owner and the
// signal in it are used only where the caller names the process ([WithOwner]).
//
// # Architecture: how data flows through a checkpoint
//
//	Dump, DumpFD                  dump.go        what is asked for, what it may disturb
//	   |  fdinfo, fcntl, kcmp     process_linux.go a process, pinned by pidfd and /proc/PID
//	   |  paths by handle, search internal/locate   believed only after comparing
//	   |  the pending events      drain_linux.go    of stopped processes, as the last step
//	Snapshot                      snapshot.go, validate.go
//	   |  WriteTo, Read           json.go        strict, in memory that fits its input
//	Snapshot
//	   |  a target for each watch restore_linux.go  a path, or a file that the caller has
//	   |  the pending events      pending_linux.go  into the queue (internal/requeue), or kept
//	   |  RestoreWatches          package inotify   all numbers, or nothing
//	   |  fdinfo of what came out verify_linux.go   compared with the snapshot
//	   |  the next number, signals
//	Restored                      restore.go     events that were kept first, then the kernel's
//
// All of it stands on package inotify's public interface. What a step could not learn
// or could not put back goes into Unknown or NotRestored instead of stopping it,
// unless nothing of use would be left; what others may have seen of it goes into
// SideEffects. What is read of another process is read through descriptors that pin it, so
// that a process which gets its number later is not taken for it.
//
// # What it needs
//
// Linux, with /proc mounted. Putting pending events into a queue takes
// INOTIFY_IOC_SETNEXTWD (Linux 4.17) and scratch files ([WithScratch]), and no privilege.
// Taking one's own instance needs no privilege, nor does finding paths by searching. From
// another process:
//
//   - the right to read its /proc/PID/fdinfo (PTRACE_MODE_READ: the same user, or
//     CAP_SYS_PTRACE), without which nothing is learned;
//   - pidfd_getfd (Linux 5.6, PTRACE_MODE_ATTACH) for owner, signal and the number
//     of pending bytes; without it these are not learned;
//   - CAP_DAC_READ_SEARCH to open file handles; without it paths are found by
//     searching only, if that is asked for.
package checkpoint
