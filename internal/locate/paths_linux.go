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

// Paths finds the paths of a process's watches. proc is the process's directory in /proc. The
// watches are as [inotify.Inotify.Watches] returns them, or fdinfo; their Path is ignored.
//
// A path that could not be found is an error in its Place. Paths itself fails if the context
// ends (the result has what was found until then), or if the process's root directory or
// mountinfo cannot be opened, which needs PTRACE_MODE_READ. These are opened on a
// thread that is left behind if the process does not answer: see package abandon.
func Paths(ctx context.Context, proc *os.File, ws []inotify.Watch, o Options) (*Result, error) {
	l := &locator{ws: ws, o: o, res: &Result{Places: make([]Place, len(ws))}, reasons: make([]reasons, len(ws))}
	if o.Level == None && o.Resolve == nil {
		l.setErrors(ErrNotRequested)
		return l.res, ctx.Err()
	}
	p, err := openProcess(ctx, proc, o.AllFilesystems)
	if err != nil && ctx.Err() != nil {
		l.setErrors(err)
		return l.res, err
	}
	if err != nil {
		return nil, err
	}
	defer p.close()
	l.p = p
	if !p.sameRoot && !p.hasOpenat2 {
		l.setErrors(p.explain(unix.ENOSYS))
		return l.res, nil
	}
	before := slices.Clone(p.mounts)
	err = l.find(ctx)
	l.recheck(before)
	if err != nil {
		l.setErrors(err)
	} else {
		l.setErrors(ErrNotRequested)
	}
	return l.res, err
}

// A locator is one call of Paths.
type locator struct {
	p       *process
	ws      []inotify.Watch
	o       Options
	res     *Result
	reasons []reasons // of each watch
}

// find goes through the levels until all watches are found.
func (l *locator) find(ctx context.Context) error {
	if err := l.askResolver(ctx); err != nil {
		return err
	}
	if l.o.Level >= Handles {
		decoded, unverified := l.decode(ctx, l.wanted())
		l.res.Decoded = decoded
		l.compareCandidates(unverified, func(i int) *reason { return &l.reasons[i].handle })
		l.mountPoints()
	}
	if err := ctx.Err(); err != nil || l.o.Level < Search {
		return err
	}
	return l.search(ctx)
}

// recheck compares all paths again if the mounts have changed meanwhile: a path may lead
// elsewhere now, and the id of an unmounted mount may be another mount's.
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
		if blocking := l.p.blockingMount(p.Path); blocking != nil && firstBlocking(before, l.p.rootID, p.Path) == nil {
			l.res.Places[i] = Place{Err: changed(p.Path, mayBlock(blocking))}
			continue
		}
		found, paths = append(found, i), append(paths, p.Path)
	}
	rs := l.p.resolve(paths, false)
	for k, i := range found {
		if err := rs[k].compare(&l.ws[i]); err != nil {
			l.res.Places[i] = Place{Err: changed(paths[k], err)}
		}
	}
}

func changed(path string, err error) error {
	return fmt.Errorf("the path was %q, but the mounts changed meanwhile: %w", path, err)
}

// mountPoints compares the mount points with the watches that are still wanted. There are two
// cases that handles do not find. On a mount point that is not a directory, no handle can be
// opened without an event. And the root of a mount may be an inode whose name was removed or
// given to another inode (in mountinfo, its root then ends in "//deleted"): its only path
// is the mount point.
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
			if l.p.blockingMount(m.Point) == nil {
				points = append(points, m.Point)
			}
		}
		rs := l.p.resolve(points, lines)
		for k := range rs {
			for _, i := range among {
				l.mountPoint(i, &rs[k])
			}
		}
	}
}

// mountPoint compares what is at a mount point with a watch.
func (l *locator) mountPoint(i int, r *resolved) {
	why := &l.reasons[i].handle
	switch err := r.compare(&l.ws[i]); {
	case err == nil:
		l.accept(i, r)
	case err == ErrAmbiguous:
		why.add(reason{rank: ambiguous, err: err})
	case err != errOtherInode && !isGone(err):
		why.add(reason{rank: notTried, err: err})
	}
}

// wanted returns the watches that have no path yet and may have one.
func (l *locator) wanted() []int {
	var todo []int
	for i := range l.res.Places {
		if l.res.Places[i].Path == "" && !l.reasons[i].isUnlinked() {
			todo = append(todo, i)
		}
	}
	return todo
}

// setErrors sets the errors of watches without a path: their reasons, or else err.
func (l *locator) setErrors(err error) {
	for i := range l.res.Places {
		if p := &l.res.Places[i]; p.Path == "" && p.Err == nil {
			p.Err = cmp.Or(l.reasons[i].err(l.o.Level >= Search), err)
		}
	}
}

// askResolver calls Options.Resolve.
func (l *locator) askResolver(ctx context.Context) error {
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
			l.reasons[i].resolver.add(reason{rank: failed, err: fmt.Errorf("resolver: %w", err)})
		case path != "":
			answers = append(answers, candidate{i, path, reason{rank: failed, err: fmt.Errorf("resolver: %q is another inode", path)}})
		}
	}
	l.compareCandidates(answers, func(i int) *reason { return &l.reasons[i].resolver })
	return nil
}

// compareCandidates compares candidates with their watches and accepts the first that matches.
func (l *locator) compareCandidates(cs []candidate, why func(int) *reason) {
	for _, lines := range []bool{false, true} {
		var some []candidate
		var paths []string
		for _, c := range cs {
			if (l.ws[c.watch].Handle == inotify.Handle{}) == lines {
				some, paths = append(some, c), append(paths, c.path)
			}
		}
		rs := l.p.resolve(paths, lines)
		for k := range rs {
			i := some[k].watch
			switch err := rs[k].compare(&l.ws[i]); {
			case err == nil:
				l.accept(i, &rs[k])
			case err == errOtherInode || isGone(err) && some[k].not.rank < failed:
				why(i).add(some[k].not)
			default:
				why(i).add(notComparable(err))
			}
		}
	}
}

// notComparable returns the reason of a path that could not be compared with its watch.
func notComparable(err error) reason {
	if errors.Is(err, ErrAmbiguous) {
		return reason{rank: ambiguous, err: err}
	}
	return reason{rank: failed, err: err}
}

// isGone reports whether err means that nothing is at a path.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

// accept sets the path of a watch, if it has none yet.
func (l *locator) accept(i int, r *resolved) {
	if p := &l.res.Places[i]; p.Path == "" {
		p.Path, p.Mode = r.path, r.mode()
	}
}
