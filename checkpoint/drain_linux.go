// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// drain takes another process's instance with its pending events and next wd. All processes
// that have it are stopped from before it is duplicated until all is done.
func (t *taker) drain(ctx context.Context, p *process, fd int) error {
	if p.isSelf() {
		return errors.New("this process cannot be stopped: drain an instance of one's own with Take")
	}
	if err := p.stopped(); err != nil {
		return fmt.Errorf("the process is running, and may read events meanwhile: stop it first: %w", err)
	}
	dup, err := p.duplicate(fd)
	if err != nil {
		return err
	}
	defer dup.Close()
	if err := t.duplicated(p, fd, dup); err != nil {
		return err
	}
	holders, err := t.stopped(ctx, p, dup)
	defer closeAll(holders)
	if err != nil {
		return err
	}
	err = t.drainDuplicate(dup)
	if err == nil {
		err = t.paths(ctx, p)
	}
	for _, h := range append(slices.Clone(holders), p) {
		if serr := h.stopped(); serr != nil {
			err = errors.Join(err, fmt.Errorf("a process ran while its instance was dumped, which may be torn: %w", serr))
		}
	}
	return err
}

// drainDuplicate takes everything through a duplicate, which must not block meanwhile. To learn
// the next wd, the library adds a watch of its own and takes its record out.
func (t *taker) drainDuplicate(dup *os.File) (failed error) {
	own := int(dup.Fd())
	if t.s.Flags&NonBlock == 0 {
		if err := setStatus(own, unix.O_NONBLOCK, true); err != nil {
			return err
		}
		defer func() {
			if err := setStatus(own, unix.O_NONBLOCK, false); err != nil {
				failed = errors.Join(failed, fmt.Errorf("the instance, which blocked, is left with O_NONBLOCK: %w", err))
			}
		}()
	}
	again, err := unix.FcntlInt(dup.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fcntlError("F_DUPFD_CLOEXEC", err)
	}
	f := os.NewFile(uintptr(again), "inotify")
	n, err := inotify.FromFile(f)
	if err != nil {
		f.Close()
		return err
	}
	defer n.Close()
	return t.empty(n)
}

// stopped returns the other processes that have the instance, of those that can be read, or an
// error if one of them runs. They must be closed. Without kcmp(2) they are unknown.
func (t *taker) stopped(ctx context.Context, p *process, dup *os.File) ([]*process, error) {
	var holders []*process
	t.effect(effectProc)
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	unread, why := 0, error(nil) // why of the first
	group := p.group()
	for _, pid := range pids {
		if pid == group || pid == os.Getpid() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return holders, err
		}
		h, err := holder(pid, dup)
		if err != nil && !ended(err) {
			if unread++; unread == 1 {
				why = &ProcessError{pid, err}
			}
		}
		if h == nil {
			continue
		}
		holders = append(holders, h)
		if err := h.stopped(); err != nil {
			return holders, fmt.Errorf("a process that has the instance is running, and may read events meanwhile: stop it first: %w", err)
		}
	}
	if unread > 0 {
		t.effect(fmt.Sprintf(effectHolders, fmt.Sprintf("%d processes could not be read, or not in full; the first is %v", unread, why)))
	}
	return holders, nil
}

// holder returns process pid if one of its descriptors is the duplicate's instance.
func holder(pid int, dup *os.File) (*process, error) {
	h, err := pin(pid)
	if err != nil {
		return nil, err
	}
	fds, err := h.instances()
	for _, fd := range fds {
		order, cerr := compareFiles(Descriptor{PID: pid, FD: fd}, Descriptor{PID: os.Getpid(), FD: int(dup.Fd())})
		if cerr == nil && order == 0 {
			return h, nil
		}
		if err == nil && !ended(cerr) {
			err = cerr
		}
	}
	h.close()
	return nil, err
}

func closeAll(ps []*process) {
	for _, p := range ps {
		p.close()
	}
}

// stopped returns an error unless every thread of the process is stopped, by a
// signal or a tracer, or the process is in a frozen cgroup.
func (p *process) stopped() error {
	threads, err := p.names("task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		state, err := p.state(thread)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		switch state {
		case 'T', 't', 'Z', 'X':
			continue
		}
		if p.frozen(thread) {
			continue
		}
		return fmt.Errorf("thread %s of process %d is in state %c", thread, p.pid, state)
	}
	return p.alive()
}

// state returns the letter of a thread's state.
func (p *process) state(thread string) (byte, error) {
	stat, err := p.read("task/" + thread + "/stat")
	if err != nil {
		return 0, err
	}
	// PID (COMMAND) STATE ..., where COMMAND may have any character.
	_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	if len(state) == 0 {
		return 0, fmt.Errorf("process %d: the state of thread %s cannot be read", p.pid, thread)
	}
	return state[0], nil
}

// frozen reports whether a thread is in a frozen cgroup, of version 2 or of version
// 1's freezer, where they are usually mounted. In version 1 each thread has its own.
func (p *process) frozen(thread string) bool {
	text, err := p.read("task/" + thread + "/cgroup")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(text), "\n") { // ID:CONTROLLERS:PATH
		_, rest, _ := strings.Cut(line, ":")
		controllers, group, _ := strings.Cut(rest, ":")
		switch controllers {
		case "":
			if says("/sys/fs/cgroup", group, "cgroup.events", "frozen 1") || says("/sys/fs/cgroup/unified", group, "cgroup.events", "frozen 1") {
				return true
			}
		case "freezer":
			if says("/sys/fs/cgroup/freezer", group, "freezer.state", "FROZEN") {
				return true
			}
		}
	}
	return false
}

// says reports whether a cgroup's file has a line.
func says(mount, group, file, line string) bool {
	text, err := os.ReadFile(path.Join(mount, group, file))
	return err == nil && slices.Contains(strings.Split(string(text), "\n"), line)
}
