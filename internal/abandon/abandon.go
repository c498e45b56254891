// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package abandon makes calls that may never return.
//
// kcmp(2), pidfd_getfd(2) and reads of many files of /proc/PID wait for locks of process
// PID (exec_update_lock, the lock of its memory map). Any process can hold these locks for
// ever, without privileges: execve(2) closes a file of a FUSE filesystem whose server does
// not answer. A wait for such a lock ends only with the process of the waiting thread; no
// signal that is handled ends it (Linux 6.18). Each such call is therefore made on a thread
// that can be left behind.
//
// What waits: kcmp, pidfd_getfd; opening or reading the links fd/N, exe, cwd, root and
// ns/N; reading stat, maps, environ, io, auxv, syscall, stack and wchan. What does not:
// listing directories; reading status, comm, cmdline, cgroup, mountinfo and fdinfo/N;
// signal 0 through a pidfd (Linux 6.18).
package abandon

import (
	"fmt"
	"os"
	"time"
)

const (
	// answerTime is how long a call may neither return nor use processor time. A call that
	// uses processor time, such as reading the fdinfo of a million watches, is not stuck.
	answerTime = time.Second

	// overtakeTime is how long InTurn waits for one call before it starts the next.
	overtakeTime = 20 * time.Millisecond

	// maxAbandoned bounds the threads that are left behind. Go ends a program that has
	// 10,000.
	maxAbandoned = 256
)

// ErrNoAnswer is the error of a call on a process that does not answer.
var ErrNoAnswer = fmt.Errorf("no answer within %v: the process may be in an execve that waits for a filesystem: %w", answerTime, os.ErrDeadlineExceeded)
