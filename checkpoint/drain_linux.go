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
	"github.com/seed10546c08/inotify/internal/abandon"
)

// drain takes another process's instance with its pending events and next wd. All processes
// that have it are stopped from before it is duplicated until all is done.
func (t *taker) drain(ctx context.Context, o *opened) error {
	holders, err := t.stopped(ctx, o.process, o.dup)
	defer closeAll(holders)
	if err != nil {
		return err
	}
	err = t.drainDuplicate(o.dup)
	if err == nil {
		err = t.paths(ctx, o.process)
	}
	for _, h := range append(slices.Clone(holders), o.process) {
		if serr := h.checkStopped(); serr != nil {
			err = errors.Join(err, fmt.Errorf("the snapshot may be inconsistent: a process ran during the dump: %w", serr))
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
	t.s.addSideEffect(SideEffectProcRead, "")
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	group := p.group()
	pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == group || pid == os.Getpid() })
	own := Descriptor{PID: os.Getpid(), FD: int(dup.Fd())}
	each, errs := make([]*process, len(pids)), make([]error, len(pids))
	abandon.InTurn(len(pids), func(i int) {
		each[i], errs[i] = abandon.Call(ctx, pids[i], func() (*process, error) { return holder(pids[i], own) }, closeHolder)
	})
	holders := slices.DeleteFunc(slices.Clone(each), func(h *process) bool { return h == nil })
	if ctx.Err() != nil {
		return holders, context.Cause(ctx)
	}
	for _, h := range holders {
		if err := h.checkStopped(); err != nil {
			return holders, fmt.Errorf("another process has the instance and may read its events: %w", err)
		}
	}
	var silent []int
	var unread []error
	for i, err := range errs {
		switch {
		case errors.Is(err, ErrNoAnswer):
			silent = append(silent, pids[i])
		case err != nil && !ended(err):
			unread = append(unread, &ProcessError{pids[i], err})
		}
	}
	if len(silent) > 0 {
		t.s.addGap(FieldStopped, 0, fmt.Errorf("processes %v do not answer", silent))
	}
	if len(unread) > 0 {
		t.s.addGap(FieldStopped, 0, fmt.Errorf("%d processes could not be read, or not completely; the first: %w", len(unread), unread[0]))
	}
	return holders, nil
}

// holder returns process pid if one of its descriptors is ours, and nil otherwise. It may
// never return: see package abandon.
func holder(pid int, ours Descriptor) (*process, error) {
	h, err := pin(pid)
	if err != nil {
		return nil, err
	}
	ds, err := h.descriptors()
	for _, d := range ds {
		order, cerr := compareFiles(d, ours)
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

func closeHolder(h *process) {
	if h != nil {
		h.close()
	}
}

func closeAll(ps []*process) {
	for _, p := range ps {
		p.close()
	}
}

// checkStopped returns an error that matches ErrNotStopped unless each thread of the process
// is stopped, by a signal or a tracer, or is in a frozen cgroup.
func (p *process) checkStopped() error {
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
		return fmt.Errorf("process %d: thread %s is in state %c: %w", p.pid, thread, state, ErrNotStopped)
	}
	return p.alive()
}

// state returns the letter of a thread's state.
func (p *process) state(thread string) (byte, error) {
	status, err := p.read("task/" + thread + "/status")
	if err != nil {
		return 0, err
	}
	_, state, _ := bytes.Cut(status, []byte("\nState:\t"))
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
