// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Descriptors belong to a table, which the threads of a process usually share. A process whose
// main thread has exited (state Z) has no table under its pid: /proc/PID/fd is empty, and
// pidfd_getfd(2) fails with ESRCH. Its other threads still have theirs: /proc/TID/fd.

// pidfdThread is PIDFD_THREAD of include/uapi/linux/pidfd.h.
const pidfdThread = unix.O_EXCL

// pinTable opens the process, or the thread, that has the table of descriptors which pid means.
// If the main thread has exited, this is the other threads', if they share one. It must be
// closed. It may never return: see package abandon.
func pinTable(pid int) (*process, error) {
	p, err := pin(pid)
	if call := (*os.SyscallError)(nil); errors.As(err, &call) { // EINVAL, or ENOENT on newer kernels
		if thread, terr := pinTask(pid, pidfdThread); terr == nil {
			return thread, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if state, err := p.state(strconv.Itoa(pid)); err != nil || state != 'Z' {
		return p, nil // an error will come again
	}
	defer p.close()
	return p.liveThread()
}

// liveThread opens a thread of a process whose main thread has exited.
func (p *process) liveThread() (*process, error) {
	names, err := p.names("task")
	if err != nil {
		return nil, err
	}
	var live *process
	for _, tid := range numbers(names) {
		if state, err := p.state(strconv.Itoa(tid)); err != nil || state == 'Z' || state == 'X' {
			continue
		}
		if live == nil {
			thread, err := pinTask(tid, pidfdThread)
			if ended(err) {
				continue
			} else if err != nil {
				return nil, err
			}
			live = thread
			continue
		}
		order, err := kcmp(kcmpFiles, live.pid, tid, 0, 0)
		if ended(err) {
			continue
		}
		if err == nil && order != 0 {
			err = fmt.Errorf("threads %d and %d have different descriptors", live.pid, tid)
		}
		if err != nil {
			live.close()
			return nil, fmt.Errorf("its main thread has exited: give the id of the thread that is meant: %w", err)
		}
	}
	if live == nil {
		return nil, fmt.Errorf("it has ended, and its parent did not wait for it: %w", unix.ESRCH)
	}
	if !p.hasThread(live.pid) {
		live.close()
		return nil, fmt.Errorf("thread %d has ended: %w", live.pid, unix.ESRCH)
	}
	return live, nil
}

// group returns the pid of the process, which may be open as one of its threads.
func (p *process) group() int {
	if p.isSelf() {
		return os.Getpid()
	}
	text, err := p.read("status")
	if err == nil {
		_, rest, _ := strings.Cut(string(text), "\nTgid:")
		line, _, _ := strings.Cut(rest, "\n")
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			return pid
		}
	}
	return p.pid
}

// isSelf reports whether the process is this one.
func (p *process) isSelf() bool {
	return unix.Tgkill(os.Getpid(), p.pid, 0) == nil
}
