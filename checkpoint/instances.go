// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import "context"

// A Descriptor is a descriptor of a process.
type Descriptor struct {
	PID, FD int

	// TID is 0 if the descriptor is in the table of the process's main thread, which
	// nearly all threads share. Otherwise it is a thread that has the descriptor and
	// the main thread does not: after unshare(CLONE_FILES), or because the main thread
	// has exited while others run. /proc/PID/task/TID/fd has it, and not /proc/PID/fd.
	// DumpFD takes TID in place of PID.
	TID int
}

// An Instance is one inotify instance and the descriptors that are it.
type Instance struct {
	// Descriptors in ascending order of PID, TID and FD. More than one are duplicates
	// or were inherited: the instance is to be restored once.
	Descriptors []Descriptor

	// Watches is how many it has, or -1 if that is unknown.
	Watches int

	// Ungrouped, if not nil, is why it is unknown whether other descriptors are this
	// instance, too. It then has one descriptor.
	Ungrouped error
}

// Instances lists the inotify instances that the processes have open, in
// ascending order of their first descriptor; without pids, of all processes that
// /proc shows, which must be that of the caller's pid namespace. Descriptors that
// are the same instance are found by kcmp(2), which needs a kernel with CONFIG_KCMP
// and PTRACE_MODE_READ for both processes.
//
// What could be read is returned in any case, unless ctx ends; the error is then
// the context's cause. Otherwise it joins a [*ProcessError] for each process that
// could not be read, or not in full. Without pids, a process that ended meanwhile is
// no error.
//
// A process that does not answer for a second is such an error, which matches
// [os.ErrDeadlineExceeded], and does not keep others waiting: any process can be made
// to block who reads it, for ever and so that no signal ends that. The thread that
// waits is left behind, one for each such process and at most 256, until the process
// answers or this one exits.
//
// It reads /proc and the directories of the processes in it, which watchers of those
// see. It does so on threads of its own, which do not have the namespaces and
// credentials that only the calling thread has.
func Instances(ctx context.Context, pids ...int) ([]Instance, error) { return instances(ctx, pids) }
