// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/abandon"
	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/sys"
)

// drain dumps the instance with its pending events and next wd. All processes that have
// it must be stopped, from before it is duplicated to the end.
func (d *dumper) drain(ctx context.Context, t *descriptor) error {
	sharers, err := d.openSharers(ctx, t)
	defer closeAll(sharers)
	if err != nil {
		return err
	}
	err = d.drainDuplicate(t.dup)
	if err == nil {
		err = d.findPaths(ctx, t.process)
	}
	for _, p := range append(slices.Clone(sharers), t.process) {
		if serr := p.checkStopped(); serr != nil {
			err = errors.Join(err, fmt.Errorf("the snapshot may be inconsistent: a process ran during the dump: %w", serr))
		}
	}
	return err
}

// drainDuplicate reads the events, the watches and the next wd through the duplicate, which
// must be non-blocking meanwhile.
func (d *dumper) drainDuplicate(dup *os.File) (failed error) {
	fd := int(dup.Fd())
	if d.s.Flags&NonBlock == 0 {
		if err := sys.SetStatusFlag(fd, syscall.O_NONBLOCK, true); err != nil {
			return err
		}
		defer func() {
			if err := sys.SetStatusFlag(fd, syscall.O_NONBLOCK, false); err != nil {
				failed = errors.Join(failed, fmt.Errorf("the instance is left with O_NONBLOCK: %w", err))
			}
		}()
	}
	second, err := sys.Dup(fd, 3) // for the Inotify to close
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(second), "inotify")
	n, err := inotify.FromFile(f)
	if err != nil {
		f.Close()
		return err
	}
	defer n.Close()
	return d.readAll(n)
}

// openSharers opens the other processes that have the instance. It returns an error that
// matches ErrNotStopped if one of them is running. Processes that cannot be read are a gap;
// without kcmp(2), that is all of them. The processes returned must be closed, also after
// an error.
func (d *dumper) openSharers(ctx context.Context, t *descriptor) ([]*process, error) {
	d.s.addSideEffect(SideEffectProcRead, "")
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	tgid := t.tgid()
	pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == tgid || pid == os.Getpid() })
	dup := Descriptor{PID: os.Getpid(), FD: int(t.dup.Fd())}
	each, errs := make([]*process, len(pids)), make([]error, len(pids))
	abandon.InTurn(len(pids), func(i int) {
		each[i], errs[i] = abandon.Call(ctx, pids[i], func() (*process, error) { return openSharer(pids[i], dup) }, closeSharer)
	})
	sharers := slices.DeleteFunc(slices.Clone(each), func(p *process) bool { return p == nil })
	if ctx.Err() != nil {
		return sharers, context.Cause(ctx)
	}
	for _, p := range sharers {
		if err := p.checkStopped(); err != nil {
			return sharers, fmt.Errorf("process %d has the instance, too, and may read its events: %w", p.pid, err)
		}
	}
	d.listUnread(pids, errs)
	return sharers, nil
}

// listUnread lists the processes that could not be read, and so may have the instance.
func (d *dumper) listUnread(pids []int, errs []error) {
	var silent []int
	var unread []error
	for i, err := range errs {
		switch {
		case errors.Is(err, ErrNoAnswer):
			silent = append(silent, pids[i])
		case err != nil && !hasEnded(err):
			unread = append(unread, &ProcessError{pids[i], err})
		}
	}
	if len(silent) > 0 {
		d.s.addGap(FieldStopped, 0, fmt.Errorf("processes %v do not answer", silent))
	}
	if len(unread) > 0 {
		d.s.addGap(FieldStopped, 0, fmt.Errorf("not all processes could be read: %d of them, the first: %w", len(unread), unread[0]))
	}
}

// openSharer opens process pid if it has dup's file open, and returns nil otherwise. It may
// never return: see package abandon.
func openSharer(pid int, dup Descriptor) (*process, error) {
	p, err := openProcess(pid)
	if err != nil {
		return nil, err
	}
	ds, err := p.descriptors()
	for _, d := range ds {
		order, cerr := compareFiles(d, dup)
		if cerr == nil && order == 0 {
			return p, nil
		}
		if err == nil && !hasEnded(cerr) {
			err = cerr
		}
	}
	p.close()
	return nil, err
}

func closeSharer(p *process) {
	if p != nil {
		p.close()
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
		if p.isFrozen(thread) {
			continue
		}
		return fmt.Errorf("thread %s is in state %c: %w", thread, state, ErrNotStopped)
	}
	return p.checkAlive()
}

// state returns the letter of a thread's state.
func (p *process) state(thread string) (byte, error) {
	status, err := p.read("task/" + thread + "/status")
	if err != nil {
		return 0, err
	}
	state, _ := fdinfo.Field(status, "State")
	if state == "" {
		return 0, fmt.Errorf("%s: no line with the state", p.path("task/"+thread+"/status"))
	}
	return state[0], nil
}

// isFrozen reports whether a thread is in a frozen cgroup, of version 2 or of the freezer
// of version 1, if these are mounted in the usual places. In version 1, each thread has a
// cgroup of its own.
func (p *process) isFrozen(thread string) bool {
	text, err := p.read("task/" + thread + "/cgroup")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(text), "\n") { // ID:CONTROLLERS:PATH
		_, rest, _ := strings.Cut(line, ":")
		controllers, cgroup, _ := strings.Cut(rest, ":")
		if strings.HasPrefix(cgroup, "/..") {
			continue // outside this process's cgroup namespace
		}
		switch controllers {
		case "":
			if hasLine(path.Join("/sys/fs/cgroup", cgroup, "cgroup.events"), "frozen 1") ||
				hasLine(path.Join("/sys/fs/cgroup/unified", cgroup, "cgroup.events"), "frozen 1") {
				return true
			}
		case "freezer":
			if hasLine(path.Join("/sys/fs/cgroup/freezer", cgroup, "freezer.state"), "FROZEN") {
				return true
			}
		}
	}
	return false
}

func hasLine(file, line string) bool {
	text, err := os.ReadFile(file)
	return err == nil && slices.Contains(strings.Split(string(text), "\n"), line)
}
