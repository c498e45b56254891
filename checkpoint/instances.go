// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import "context"

// A Descriptor is an open descriptor of a process.
type Descriptor struct {
	PID, FD int

	// TID is 0 if the main thread has the descriptor, the usual case. Otherwise it is a
	// thread that has it while the main thread does not: after unshare(CLONE_FILES), or because
	// the main thread has exited. The descriptor is in /proc/PID/task/TID/fd. Pass TID
	// instead of PID to DumpFD.
	TID int
}

// An Instance is an inotify instance and all descriptors of it.
type Instance struct {
	// Descriptors in ascending order of PID, TID and FD. If there are several, they were
	// duplicated or inherited.
	Descriptors []Descriptor

	// Watches is the number of watches, or -1 if unknown.
	Watches int

	// Ungrouped is nil, or says why other descriptors may be of this instance, too.
	// There is one descriptor then.
	Ungrouped error
}

// Instances lists the inotify instances that the given processes have open, or that all
// processes in /proc have open, in ascending order of their first descriptor. Descriptors of
// the same instance are grouped by kcmp(2), which needs CONFIG_KCMP and PTRACE_MODE_READ for
// both processes.
//
// The error joins a [*ProcessError] for each process that could not be read, or not
// completely; what could be read is returned with it. If all processes are listed, one that
// ends meanwhile is not an error. If ctx ends, the error is its cause, and nothing is returned.
// If /proc is of another pid namespace, the error is [ErrOtherNamespace].
//
// Reading a process can block for ever, in a wait that no signal ends. A process
// that does not answer for a second is therefore an error that matches [ErrNoAnswer], and
// the waiting thread is left behind until the process answers. At most 256 threads are left
// behind at a time.
//
// Instances reads /proc and the directories of processes in it, which watches on them notice.
// It does so on other threads: namespaces and credentials that only the calling thread has do
// not apply there.
func Instances(ctx context.Context, pids ...int) ([]Instance, error) { return instances(ctx, pids) }
