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

// drain takes the pending events and the next number of another process's
// descriptor.
func (t *taker) drain(ctx context.Context, p *process, fd int) (failed error) {
	if p.pid == os.Getpid() {
		return errors.New("this process cannot be stopped: drain an instance of one's own with Take")
	}
	holders, err := t.stopped(p, fd)
	defer closeAll(holders)
	if err != nil {
		return err
	}
	dup, err := p.duplicate(fd)
	if err != nil {
		return err
	}
	defer dup.Close()
	own := int(dup.Fd())
	order, err := compareFiles(Descriptor{PID: os.Getpid(), FD: own}, Descriptor{PID: p.pid, FD: fd})
	if err != nil {
		t.effect(fmt.Sprintf(effectHolders, err))
	} else if order != 0 {
		return errReplaced
	}
	if err := ctx.Err(); err != nil {
		return err
	}
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
	if err := t.empty(dup); err != nil {
		return err
	}
	for _, h := range holders {
		if err := h.stopped(); err != nil {
			return fmt.Errorf("what was taken may be torn: %w", err)
		}
	}
	return nil
}

// empty takes what is pending and learns the next number, which the library does
// with a watch of its own and takes its record out.
func (t *taker) empty(dup *os.File) error {
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
	if t.s.PendingBytes, err = n.Buffered(); err != nil {
		return err
	}
	t.effect(effectDrained)
	if err := t.take(n); err != nil {
		return err
	}
	if err := t.next(n); err != nil {
		return err
	}
	return t.take(n)
}

// stopped returns the processes that have the instance, of those that can be
// read, or an error if one of them runs. They must be closed. Without kcmp(2) they
// cannot be told, and it is the one asked about.
func (t *taker) stopped(p *process, fd int) ([]*process, error) {
	var holders []*process
	t.effect(effectProc)
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	unread, why := 0, error(nil) // why of the first
	for _, pid := range pids {
		h, err := holder(pid, Descriptor{PID: p.pid, FD: fd})
		if err != nil && pid == p.pid {
			return holders, err
		} else if err != nil && !ended(err) {
			if unread++; unread == 1 {
				why = &ProcessError{pid, err}
			}
		}
		if h == nil || pid == os.Getpid() {
			continue
		}
		holders = append(holders, h)
		if err := h.stopped(); err != nil {
			return holders, fmt.Errorf("it is not stopped, and draining would tear what it sees: stop it first: %w", err)
		}
	}
	if unread > 0 {
		t.effect(fmt.Sprintf(effectHolders, fmt.Sprintf("%d processes could not be read, or not in full; the first is %v", unread, why)))
	}
	return holders, nil
}

// holder returns process pid if it is d's, or has the same description.
func holder(pid int, d Descriptor) (*process, error) {
	h, err := pin(pid)
	if err != nil {
		return nil, err
	}
	if pid == d.PID {
		return h, nil
	}
	fds, err := h.instances()
	for _, fd := range fds {
		order, cerr := compareFiles(Descriptor{PID: pid, FD: fd}, d)
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
		stat, err := p.read("task/" + thread + "/stat")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		// PID (COMMAND) STATE ..., where COMMAND may have any character.
		_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
		if len(state) == 0 {
			return fmt.Errorf("process %d: its state cannot be read", p.pid)
		}
		switch state[0] {
		case 'T', 't', 'Z', 'X':
			continue
		}
		if p.frozen(thread) {
			continue
		}
		return fmt.Errorf("thread %s of process %d is in state %c", thread, p.pid, state[0])
	}
	return p.alive()
}

// frozen reports whether a thread is in a frozen cgroup, of version 2 or of version
// 1's freezer, where they are usually mounted. In version 1 each thread has its own.
func (p *process) frozen(thread string) bool {
	text, err := p.read("task/" + thread + "/cgroup")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) { // ID:CONTROLLERS:PATH
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
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
