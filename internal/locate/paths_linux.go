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

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
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
		l.setErrors(p.explain(sys.ENOSYS))
		return l.res, nil
	}
	before := p.mounts
	err = l.find(ctx)
	l.recheck(before)
	l.setErrors(cmp.Or(err, ErrNotRequested))
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

// find goes through the levels up to Options.Level.
func (l *locator) find(ctx context.Context) error {
	if err := l.askResolver(ctx); err != nil {
		return err
	}
	if l.o.Level >= Handles {
		l.decode(ctx)
		l.compareMountPoints()
	}
	if err := ctx.Err(); err != nil || l.o.Level < Search {
		return err
	}
	return l.search(ctx)
}

// recheck compares all paths again if the mounts are not those of before: a path may lead
// elsewhere now, and the id of an unmounted mount may be another mount's.
func (l *locator) recheck(before []Mount) {
	if err := l.p.readMounts(); err == nil && slices.Equal(before, l.p.mounts) {
		return
	}
	var found []int
	var rs []resolved
	for i := range l.res.Places {
		path := l.res.Places[i].Path
		if path == "" {
			continue
		}
		if blocking := l.p.blockingMount(path); blocking != nil && firstBlocking(before, l.p.rootID, path) == nil {
			l.res.Places[i] = Place{Err: changed(path, mayBlock(blocking))}
			continue
		}
		found, rs = append(found, i), append(rs, toCompare(path, &l.ws[i]))
	}
	l.p.resolve(rs)
	for k, i := range found {
		if err := rs[k].compare(&l.ws[i]); err != nil {
			l.res.Places[i] = Place{Err: changed(rs[k].path, err)}
		}
	}
}

func changed(path string, err error) error {
	return fmt.Errorf("the path was %q, but the mounts changed meanwhile: %w", path, err)
}

// compareMountPoints compares the mount points with the watches that have no path yet. There are
// two cases that handles do not find. On a mount point that is not a directory, no handle can
// be opened without an event. And the root of a mount may be an inode whose name was removed or
// given to another inode (in mountinfo, its root then ends in "//deleted"): its only path
// is the mount point.
func (l *locator) compareMountPoints() {
	unfound := make(map[inotify.Device][]int)
	for i := range l.ws {
		if l.res.Places[i].Path == "" {
			unfound[l.ws[i].Device] = append(unfound[l.ws[i].Device], i)
		}
	}
	for dev, among := range unfound {
		useFdinfo := slices.ContainsFunc(among, func(i int) bool { return l.ws[i].Handle == inotify.Handle{} })
		var rs []resolved
		for _, m := range l.p.mountsOf(dev) {
			if l.p.blockingMount(m.Point) == nil {
				rs = append(rs, resolved{path: m.Point, useFdinfo: useFdinfo})
			}
		}
		l.p.resolve(rs)
		for k := range rs {
			for _, i := range among {
				l.compareMountPoint(i, &rs[k])
			}
		}
	}
}

// compareMountPoint compares what is at a mount point with a watch.
func (l *locator) compareMountPoint(i int, r *resolved) {
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

// askResolver calls Options.Resolve and compares the paths that it returns.
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
			l.reasons[i].resolver = reason{rank: failed, err: fmt.Errorf("resolver: %w", err)}
		case path != "":
			answers = append(answers, candidate{i, path, reason{rank: failed, err: fmt.Errorf("resolver: %q is another inode", path)}})
		}
	}
	for k, why := range l.compareCandidates(answers) {
		l.reasons[answers[k].watch].resolver = why
	}
	return nil
}

// A candidate is a path that may be a watch's.
type candidate struct {
	watch int
	path  string
	not   reason // the reason if another inode, or none, is there
}

// compareCandidates compares candidates with their watches. It accepts those that match, and
// returns the reasons of the others.
func (l *locator) compareCandidates(cs []candidate) []reason {
	rs := make([]resolved, len(cs))
	for k, c := range cs {
		rs[k] = toCompare(c.path, &l.ws[c.watch])
	}
	l.p.resolve(rs)
	whys := make([]reason, len(cs))
	for k, c := range cs {
		switch err := rs[k].compare(&l.ws[c.watch]); {
		case err == nil:
			l.accept(c.watch, &rs[k])
		case err == errOtherInode || isGone(err) && c.not.rank < failed:
			whys[k] = c.not
		default:
			whys[k] = notComparable(err)
		}
	}
	return whys
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
	return errors.Is(err, sys.ENOENT) || errors.Is(err, sys.ENOTDIR)
}

// accept sets the path of a watch, if it has none yet.
func (l *locator) accept(i int, r *resolved) {
	if p := &l.res.Places[i]; p.Path == "" {
		p.Path, p.Mode = r.path, r.mode()
	}
}
