// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"cmp"
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
// ptrace(2) needs for reading. They are opened on a thread that is left behind if the
// process does not answer: see package abandon.
func Paths(ctx context.Context, proc *os.File, ws []inotify.Watch, o Options) (*Result, error) {
	l := &locator{ws: ws, o: o, res: &Result{Places: make([]Place, len(ws))}, why: make([]reasons, len(ws))}
	if o.Level == None && o.Resolve == nil {
		l.leave(ErrNotAsked)
		return l.res, ctx.Err()
	}
	p, err := openProcess(ctx, proc, o.AllFilesystems)
	if err != nil && ctx.Err() != nil {
		l.leave(err)
		return l.res, err
	}
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
	why []reasons // of each watch
}

// find goes from level to level until all watches are found.
func (l *locator) find(ctx context.Context) error {
	if err := l.resolve(ctx); err != nil {
		return err
	}
	if l.o.Level >= Handles {
		decoded, unsure := l.decode(ctx, l.missing())
		l.res.Decoded = decoded
		l.settle(unsure, func(i int) *reason { return &l.why[i].handle })
		l.mountPoints()
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
	return fmt.Errorf("the path was %q, but the mounts changed meanwhile: %w", path, err)
}

// mountPoints compares the mount points with the watches that are missing. No handle
// can be opened silently on one that is no directory. And a mount keeps an inode whose
// name was removed, or was given to another one, as its root: the inode's only path is
// the mount point. The root in mountinfo then ends in "//deleted".
func (l *locator) mountPoints() {
	wanted := make(map[inotify.Device][]int)
	lines := false
	for i := range l.ws {
		if l.res.Places[i].Path == "" {
			wanted[l.ws[i].Device] = append(wanted[l.ws[i].Device], i)
			lines = lines || l.ws[i].Handle == inotify.Handle{}
		}
	}
	for dev, among := range wanted {
		var points []string
		for _, m := range l.p.mountsOf(dev) {
			if l.p.far(m.Point) == nil {
				points = append(points, m.Point)
			}
		}
		rs := l.p.reach(points, lines)
		for k := range rs {
			for _, i := range among {
				l.mountPoint(i, &rs[k])
			}
		}
	}
}

// mountPoint compares what is at a mount point with a watch.
func (l *locator) mountPoint(i int, r *reached) {
	why := &l.why[i].handle
	switch err := r.is(&l.ws[i]); {
	case err == nil:
		l.accept(i, r)
	case err == ErrAmbiguous:
		why.add(reason{rank: ambiguous, err: err})
	case err != errOther && !isGone(err):
		why.add(reason{rank: notTried, err: err})
	}
}

// missing returns the watches that were not found and still may be.
func (l *locator) missing() []int {
	var todo []int
	for i := range l.res.Places {
		if l.res.Places[i].Path == "" && !l.why[i].isUnlinked() {
			todo = append(todo, i)
		}
	}
	return todo
}

// leave gives the watches that have no path the reasons, or err if there are none.
func (l *locator) leave(err error) {
	for i := range l.res.Places {
		if p := &l.res.Places[i]; p.Path == "" && p.Err == nil {
			p.Err = cmp.Or(l.why[i].err(l.o.Level >= Search), err)
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
			l.why[i].resolver.add(reason{rank: failed, err: fmt.Errorf("resolver: %w", err)})
		case path != "":
			answers = append(answers, candidate{i, path, reason{rank: failed, err: fmt.Errorf("resolver: %q is another inode", path)}})
		}
	}
	l.settle(answers, func(i int) *reason { return &l.why[i].resolver })
	return nil
}

// settle compares candidates, and believes the first that is right for each watch.
func (l *locator) settle(cs []candidate, why func(int) *reason) {
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
			i := some[k].watch
			switch err := rs[k].is(&l.ws[i]); {
			case err == nil:
				l.accept(i, &rs[k])
			case err == errOther || isGone(err) && some[k].not.rank < failed:
				why(i).add(some[k].not)
			default:
				why(i).add(unlike(err))
			}
		}
	}
}

// unlike is the reason that a path that may be a watch's could not be compared.
func unlike(err error) reason {
	if errors.Is(err, ErrAmbiguous) {
		return reason{rank: ambiguous, err: err}
	}
	return reason{rank: failed, err: err}
}

// isGone reports whether nothing is at a path.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

// accept takes over a path for a watch. The first one stays.
func (l *locator) accept(i int, r *reached) {
	if p := &l.res.Places[i]; p.Path == "" {
		p.Path, p.Mode = r.path, r.mode()
	}
}
