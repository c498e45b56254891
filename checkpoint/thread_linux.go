// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/sys"
)

// The threads of a process usually share one descriptor table. If the main thread has exited
// (state Z) while others run, /proc/PID/fd is empty and pidfd_getfd(2) of the pid fails with
// ESRCH. The other threads still have their table: /proc/TID/fd.

// openTable opens process pid, or thread pid, for its descriptor table. If the main thread has
// exited, it opens one of the other threads, which must share one table. The result must be
// closed. openTable may never return: see package abandon.
func openTable(pid int) (*process, error) {
	p, err := openProcess(pid)
	// The pid may be a thread's: EINVAL, or ENOENT on newer kernels.
	if errors.Is(err, sys.EINVAL) || errors.Is(err, sys.ENOENT) {
		if thread, terr := openTask(pid, sys.PidfdThread); terr == nil {
			return thread, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if state, err := p.state(strconv.Itoa(pid)); err != nil || state != 'Z' {
		return p, nil // an error is reported when fd is read
	}
	defer p.close()
	return p.liveThread()
}

// liveThread opens a running thread of a process whose main thread has exited.
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
			thread, err := openTask(tid, sys.PidfdThread)
			if hasEnded(err) {
				continue
			} else if err != nil {
				return nil, err
			}
			live = thread
			continue
		}
		order, err := sys.Kcmp(sys.KcmpFiles, live.pid, tid, 0, 0)
		if hasEnded(err) {
			continue
		}
		if err == nil && order != 0 {
			err = fmt.Errorf("threads %d and %d have different descriptors", live.pid, tid)
		}
		if err != nil {
			live.close()
			return nil, fmt.Errorf("main thread has exited: give the id of a thread instead of the pid: %w", err)
		}
	}
	if live == nil {
		return nil, fmt.Errorf("process has ended and is a zombie: %w", sys.ESRCH)
	}
	if !p.hasThread(live.pid) {
		live.close()
		return nil, fmt.Errorf("thread %d has ended: %w", live.pid, sys.ESRCH)
	}
	return live, nil
}

// tgid returns the pid of the process that p is, or is a thread of.
func (p *process) tgid() int {
	if p.isSelf() {
		return os.Getpid()
	}
	text, err := p.read("status")
	if err == nil {
		value, _ := fdinfo.Field(text, "Tgid")
		if pid, err := strconv.Atoi(value); err == nil {
			return pid
		}
	}
	return p.pid
}

// isSelf reports whether p is this process, or one of its threads.
func (p *process) isSelf() bool { return sys.IsOwnThread(p.pid) }
