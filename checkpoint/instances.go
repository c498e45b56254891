// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import "fmt"

// A Descriptor is a descriptor of a process.
type Descriptor struct {
	PID, FD int
}

// An Instance is one inotify instance and the descriptors that are it.
type Instance struct {
	// Descriptors in ascending order of PID and FD. More than one are duplicates
	// or were inherited: the instance is to be restored once.
	Descriptors []Descriptor

	// Watches is how many it has, or -1 if that could not be learned.
	Watches int

	// Ungrouped, if not nil, is why it could not be learned whether other
	// descriptors are this instance, too. It then has one descriptor.
	Ungrouped error
}

// A ProcessError says that a process could not be read, or not in full.
type ProcessError struct {
	PID int
	Err error
}

func (e *ProcessError) Error() string { return fmt.Sprintf("process %d: %v", e.PID, e.Err) }
func (e *ProcessError) Unwrap() error { return e.Err }

// Instances lists the inotify instances that the processes have open, in
// ascending order of their first descriptor; without pids, of all processes that
// /proc shows. Descriptors that are the same instance are told by kcmp(2), which
// needs a kernel with CONFIG_KCMP and PTRACE_MODE_READ for both processes.
//
// It reads /proc and the directories of the processes in it, which watchers of
// those see. Descriptors that only a thread has, by unshare(CLONE_FILES), are not
// found, which is an error of that process.
//
// What could be read is returned in any case. The error joins a [*ProcessError]
// for each process that could not be read, or not in full; without pids one that
// ended meanwhile is none.
func Instances(pids ...int) ([]Instance, error) { return instances(pids) }
