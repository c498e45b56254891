// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// Paths finds the paths of a process's watches. proc is its directory in /proc,
// open. The watches are as [inotify.Inotify.Watches] or fdinfo has them; their
// own Path is not looked at.
//
// What goes wrong with one watch is in its Place. The error is for what ends the
// whole: the context, which leaves what was found until then, or a process whose
// root directory or mountinfo cannot be opened, for which the kernel asks what
// ptrace(2) needs for reading.
func Paths(ctx context.Context, proc *os.File, ws []inotify.Watch, o Options) (*Result, error) {
	l := &locator{ws: ws, o: o, res: &Result{Places: make([]Place, len(ws))}}
	if o.Level == None && o.Resolve == nil {
		l.leave(ErrNotAsked)
		return l.res, ctx.Err()
	}
	p, err := openProcess(proc, o.AllFilesystems)
	if err != nil {
		return nil, err
	}
	defer p.close()
	l.p = p
	if !p.own && !p.openat2 {
		l.leave(p.explain(unix.ENOSYS))
		return l.res, nil
	}
	before := slices.Clone(p.mounts)
	err = l.find(ctx)
	l.recheck(before)
	if err != nil {
		l.leave(err)
	} else {
		l.leave(ErrNotAsked)
	}
	return l.res, err
}

// A locator is one call of Paths.
type locator struct {
	p   *process
	ws  []inotify.Watch
	o   Options
	res *Result
}

// find goes from level to level until all watches are found.
func (l *locator) find(ctx context.Context) error {
	if err := l.resolve(ctx); err != nil {
		return err
	}
	if l.o.Level >= Handles {
		todo := l.missing()
		said := l.takeErrors(todo)
		decoded, unsure := l.p.decode(ctx, l.ws, l.res.Places, todo)
		l.res.Decoded = decoded
		l.settle(unsure)
		l.filePoints()
		l.putErrors(todo, said)
	}
	if err := ctx.Err(); err != nil || l.o.Level < Search {
		return err
	}
	return l.search(ctx)
}

// recheck compares all that was found once more if the mounts changed meanwhile:
// a path may lead elsewhere now, and the id of a mount that went away stand for
// another one, with another device.
func (l *locator) recheck(before []Mount) {
	if err := l.p.readMounts(); err == nil && slices.Equal(before, l.p.mounts) {
		return
	}
	var found []int
	var paths []string
	for i := range l.res.Places {
		p := l.res.Places[i]
		if p.Path == "" {
			continue
		}
		if far := l.p.far(p.Path); far != nil && firstFar(before, l.p.rootID, p.Path) == nil {
			l.res.Places[i] = Place{Err: changed(p.Path, mayWait(far))}
			continue
		}
		found, paths = append(found, i), append(paths, p.Path)
	}
	rs := l.p.reach(paths, false)
	for k, i := range found {
		if err := rs[k].is(&l.ws[i]); err != nil {
			l.res.Places[i] = Place{Err: changed(paths[k], err)}
		}
	}
}

func changed(path string, err error) error {
	return fmt.Errorf("it was at %q, but the mounts changed meanwhile: %w", path, err)
}

// filePoints compares the mount points that are no directories, on which no
// handle can be opened silently, with the watches that are missing.
func (l *locator) filePoints() {
	wanted := make(map[inotify.Device][]int)
	for _, i := range l.missing() {
		wanted[l.ws[i].Device] = append(wanted[l.ws[i].Device], i)
	}
	for dev, among := range wanted {
		var points []string
		for _, m := range l.p.mountsOf(dev) {
			if l.p.far(m.Point) == nil {
				points = append(points, m.Point)
			}
		}
		rs := l.p.reach(points, false)
		for k := range rs {
			for _, i := range among {
				if rs[k].is(&l.ws[i]) == nil {
					l.believe(i, &rs[k])
				}
			}
		}
	}
}

// missing returns the watches that were not found and still may be.
func (l *locator) missing() []int {
	var todo []int
	for i := range l.res.Places {
		if p := &l.res.Places[i]; p.Path == "" && !errors.Is(p.Err, ErrUnlinked) {
			todo = append(todo, i)
		}
	}
	return todo
}

// leave gives the watches that nothing is known of an error.
func (l *locator) leave(err error) {
	for i := range l.res.Places {
		if p := &l.res.Places[i]; p.Path == "" && p.Err == nil {
			p.Err = err
		}
	}
}

// takeErrors returns what was said of watches until now, and forgets it.
func (l *locator) takeErrors(todo []int) []error {
	said := make([]error, len(todo))
	for k, i := range todo {
		said[k], l.res.Places[i].Err = l.res.Places[i].Err, nil
	}
	return said
}

// putErrors puts it back, before what was said since.
func (l *locator) putErrors(todo []int, said []error) {
	for k, i := range todo {
		p := &l.res.Places[i]
		switch {
		case p.Path != "":
		case said[k] != nil && p.Err != nil:
			p.Err = fmt.Errorf("%w; %w", said[k], p.Err)
		case said[k] != nil:
			p.Err = said[k]
		}
	}
}

// resolve asks the caller's own resolver.
func (l *locator) resolve(ctx context.Context) error {
	if l.o.Resolve == nil {
		return nil
	}
	var answers []candidate
	for i := range l.ws {
		if err := ctx.Err(); err != nil {
			return err
		}
		path, err := l.o.Resolve(l.ws[i])
		switch {
		case err != nil:
			l.res.Places[i].Err = fmt.Errorf("the resolver: %w", err)
		case path != "":
			answers = append(answers, candidate{i, path, nil})
		}
	}
	l.settle(answers)
	return nil
}

// settle compares candidates and believes the first that is right for each
// watch.
func (l *locator) settle(cs []candidate) {
	for _, lines := range []bool{false, true} {
		var some []candidate
		var paths []string
		for _, c := range cs {
			if (l.ws[c.watch].Handle == inotify.Handle{}) == lines {
				some, paths = append(some, c), append(paths, c.path)
			}
		}
		rs := l.p.reach(paths, lines)
		for k := range rs {
			i, not := some[k].watch, some[k].not
			if !l.believe(i, &rs[k]) && not != nil && rs[k].is(&l.ws[i]) == errOther {
				l.res.Places[i].Err = not
			}
		}
	}
}

// believe takes over a path if it leads to the watch's inode, and reports whether the
// watch has one then. The first one stays.
func (l *locator) believe(i int, r *reached) bool {
	p := &l.res.Places[i]
	if p.Path != "" {
		return true
	}
	switch err := r.is(&l.ws[i]); err {
	case nil:
		p.Path, p.Mode, p.Err = r.path, r.mode(), nil
	case errOther:
		p.Err = fmt.Errorf("at %q there is another inode", r.path)
	default:
		p.Err = err
	}
	return p.Path != ""
}
