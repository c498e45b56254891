// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/bywd"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A restorer makes one instance from a snapshot.
type restorer struct {
	s           *Snapshot
	opts        restoreOptions
	verifyLevel VerifyLevel           // never VerifyDefault
	notCompared error                 // why device, inode and handle are not compared; nil if they are
	pathReasons map[inotify.WD]string // why paths are unknown

	ws      []Watch         // to be restored, in ascending order
	targets []inotify.Watch // for each of ws, what RestoreWatches gets
	files   []int           // duplicates of the caller's files
	skipped []Gap           // watches that are not in ws because their file is missing

	filled bool            // events were put into the queue
	before int             // how many bytes the queue had before the watches were added
	kept   []inotify.Event // events that were kept out of the queue, for the caller
	ioctl  bool            // the next wd was set by the ioctl

	out *Restored
}

func (s *Snapshot) restore(ctx context.Context, o restoreOptions) (*Restored, error) {
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("invalid snapshot: %w", err)
	}
	if o.owner != nil {
		if err := o.owner.validate(); err != nil {
			return nil, err
		}
	}
	r := restorer{s: s, opts: o, ws: ascending(s.Watches), pathReasons: s.pathReasons()}
	defer r.close()
	if err := r.chooseVerifyLevel(); err != nil {
		return nil, err
	}
	if err := r.resolveTargets(); err != nil {
		return nil, err
	}
	return r.run(ctx)
}

func (r *restorer) close() {
	for _, fd := range r.files {
		sys.Close(fd)
	}
}

func (r *restorer) chooseVerifyLevel() error {
	r.verifyLevel = r.opts.verify
	if r.verifyLevel != VerifyDefault {
		if r.verifyLevel != VerifyIdentity {
			r.notCompared = notCompared("not requested")
		}
		return nil
	}
	r.verifyLevel = VerifyWDs
	if r.s.BootID == "" {
		r.notCompared = notCompared("the snapshot has no boot id")
		return nil
	}
	id, err := bootID()
	if err != nil {
		return fmt.Errorf("read the boot id, to choose what to verify: %w", err)
	}
	if r.s.BootID == id {
		r.verifyLevel = VerifyIdentity
		return nil
	}
	r.notCompared = notCompared("the snapshot is from another boot or machine")
	return nil
}

func notCompared(reason string) error {
	return fmt.Errorf("whether the same files are watched was not compared: %s", reason)
}

// resolveTargets finds the target of each watch.
func (r *restorer) resolveTargets() error {
	all := r.ws
	r.ws = make([]Watch, 0, len(all))
	r.targets = make([]inotify.Watch, 0, len(all))
	for i := range all {
		target, err := r.target(&all[i])
		if r.opts.allowMissing && isMissing(err) {
			r.skipped = append(r.skipped, Gap{FieldWatch, all[i].WD, err.Error()})
			continue
		}
		if err != nil {
			return &TargetError{all[i], err}
		}
		r.ws = append(r.ws, all[i])
		r.targets = append(r.targets, target)
	}
	return nil
}

func (r *restorer) addGap(f Field, wd inotify.WD, reason error) {
	r.out.NotRestored = append(r.out.NotRestored, Gap{f, wd, reason.Error()})
}

// isMissing reports whether err says that a target does not exist.
func isMissing(err error) bool {
	return errors.Is(err, ErrNoPath) || errors.Is(err, sys.ENOENT) || errors.Is(err, errNoParent)
}

// errNoParent is ENOTDIR for a component of a path, whereas IN_ONLYDIR gives ENOTDIR for the
// last one.
var errNoParent = errors.New("a parent in the path is not a directory")

// target returns what to add for w.
func (r *restorer) target(w *Watch) (inotify.Watch, error) {
	t := inotify.Watch{WD: w.WD, Mask: w.Mask & settableBits}
	if r.opts.fileFor != nil {
		f, err := r.opts.fileFor(*w)
		if err != nil {
			return t, fmt.Errorf("no file was supplied: %w", err)
		}
		if f != nil {
			t.Path, err = r.fileTarget(w, f)
			return t, err
		}
	}
	if err := w.checkPath(); err != nil {
		return t, fmt.Errorf("%w: %s", err, pathReason(r.pathReasons, w.WD))
	}
	t.Path = w.Path
	t.Mask |= inotify.DontFollow
	if w.Type == TypeDirectory {
		t.Mask |= inotify.OnlyDir
	}
	if r.opts.allowMissing {
		return t, checkType(w)
	}
	return t, nil
}

// fileTarget returns a path to the file that f is open on. The path is of a duplicate, so
// that it stays valid if the caller closes f.
func (r *restorer) fileTarget(w *Watch, f *os.File) (string, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return "", err
	}
	dup := -1
	if cerr := conn.Control(func(fd uintptr) { dup, err = sys.Dup(int(fd), 0) }); cerr != nil {
		return "", fmt.Errorf("the file supplied is closed: %w", cerr)
	}
	if err != nil {
		return "", err
	}
	r.files = append(r.files, dup)
	inode, err := sys.FDInode(dup)
	if err != nil {
		return "", err
	}
	return sys.ProcFD(dup), compareType(w, inode.Type)
}

// run makes the instance. If files are removed meanwhile and AllowMissing is set, it starts
// again with a new instance, because the cycle can only advance the wd counter.
func (r *restorer) run(ctx context.Context) (*Restored, error) {
	for {
		n, err := r.instance(ctx)
		if err != nil {
			return nil, err
		}
		if err = r.restoreInto(ctx, n); err == nil {
			return r.out, nil
		}
		n.Close()
		before := len(r.ws)
		if !r.opts.allowMissing || ctx.Err() != nil {
			return nil, r.explain(err)
		}
		if serr := r.skipMissing(); serr != nil {
			return nil, serr
		}
		if len(r.ws) == before {
			return nil, r.explain(err)
		}
	}
}

// skipMissing removes the watches whose file no longer exists.
func (r *restorer) skipMissing() error {
	ws, targets := r.ws, r.targets
	r.ws, r.targets = nil, nil
	for i := range ws {
		if ws[i].Path != "" && targets[i].Path == ws[i].Path {
			if err := checkType(&ws[i]); isMissing(err) {
				r.skipped = append(r.skipped, Gap{FieldWatch, ws[i].WD, err.Error()})
				continue
			} else if err != nil {
				return &TargetError{ws[i], err}
			}
		}
		r.ws = append(r.ws, ws[i])
		r.targets = append(r.targets, targets[i])
	}
	r.skipped = bywd.Sorted(r.skipped, func(g Gap) inotify.WD { return g.WD })
	return nil
}

// explain replaces ENOTDIR of IN_ONLYDIR by an error that names the type of the file.
func (r *restorer) explain(err error) error {
	var failed *inotify.RestoreError
	if errors.As(err, &failed) && errors.Is(err, sys.ENOTDIR) {
		for i := range r.ws {
			if w := &r.ws[i]; w.WD == failed.Watch.WD && w.Type == TypeDirectory {
				if terr := checkType(w); terr != nil {
					return &TargetError{*w, terr}
				}
			}
		}
	}
	return err
}

// restoreInto restores everything into n.
func (r *restorer) restoreInto(ctx context.Context, n *inotify.Inotify) error {
	if err := r.addWatches(ctx, n); err != nil {
		return err
	}
	if err := r.verify(n); err != nil {
		return err
	}
	if err := r.restoreNextWD(ctx, n); err != nil {
		return err
	}
	if err := r.restoreOwner(n); err != nil {
		return err
	}
	r.listUnknown(FieldPending)
	if r.notCompared != nil && len(r.ws) > 0 {
		r.addGap(FieldInode, 0, r.notCompared)
	}
	r.out.pending = append(r.kept, r.out.pending...)
	ahead, err := r.out.readAhead()
	r.out.clean = (r.filled || r.ioctl) && ahead == 0
	return err
}

// addWatches adds the watches. Types are checked at the same time, on another processor if
// there is one, unless verify does so afterwards.
func (r *restorer) addWatches(ctx context.Context, n *inotify.Inotify) error {
	if r.verifyLevel == VerifyWDs {
		return n.RestoreWatches(ctx, r.targets, r.cycle()...)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	types := make(chan error, 1)
	go func() {
		err := r.checkTypes(ctx)
		if err != nil {
			stop()
		}
		types <- err
	}()
	err := n.RestoreWatches(ctx, r.targets, r.cycle()...)
	if err != nil {
		stop()
	}
	if terr := <-types; terr != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return terr
	}
	return err
}

var errNotInSnapshot = errors.New("not in the snapshot")

// listUnknown lists a field of the instance that the snapshot does not know, with the
// snapshot's reason. It reports whether the field is unknown.
func (r *restorer) listUnknown(f Field) bool {
	reason, unknown := r.s.whyUnknown(f)
	if unknown {
		r.addGap(f, 0, fmt.Errorf("%w: %s", errNotInSnapshot, reason))
	}
	return unknown
}

func (r *restorer) restoreNextWD(ctx context.Context, n *inotify.Inotify) error {
	want := r.s.NextWD
	if want == 0 {
		if !r.listUnknown(FieldNextWD) {
			r.addGap(FieldNextWD, 0, errNotInSnapshot)
		}
		return nil
	}
	err := n.SetNextWD(want)
	r.ioctl = err == nil
	if errors.Is(err, errors.ErrUnsupported) && !r.filled {
		err = n.RestoreNextWD(ctx, want, r.opts.cycle...)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		r.addGap(FieldNextWD, 0, err)
		return nil
	}
	if err != nil || !r.ioctl || r.verifyLevel == VerifyNone || r.filled { // the cycle has shown it, or it cannot be read
		return err
	}
	have, err := n.NextWD()
	if errors.As(err, new(*inotify.LimitError)) { // the failed NextWD has advanced the wd counter
		r.addGap(FieldNextWD, 0, fmt.Errorf("it was set, but could not be read to verify it: %w", err))
		return n.SetNextWD(want)
	}
	if err != nil {
		return err // a watch may be leaked
	}
	if have != want {
		return &VerifyError{[]Difference{{Field: FieldNextWD, Want: fmt.Sprint(want), Have: fmt.Sprint(have)}}}
	}
	return nil
}

// dropEvents removes the internal records of a temporary watch.
func (r *restorer) dropEvents(wd inotify.WD) {
	r.out.pending = slices.DeleteFunc(r.out.pending, func(ev inotify.Event) bool { return ev.WD == wd })
}

// restoreOwner restores owner, signal and O_ASYNC if the caller named the owner.
func (r *restorer) restoreOwner(n *inotify.Inotify) error {
	s := r.s
	for _, f := range []struct {
		field Field
		set   bool
	}{
		{FieldOwner, s.Owner.Kind != OwnerNone},
		{FieldSignal, s.Signal != 0},
		{FieldFlags, s.Flags&Async != 0},
	} {
		switch {
		case r.listUnknown(f.field):
		case f.set && r.opts.owner == nil:
			r.addGap(f.field, 0, errNoOwnerGiven)
		}
	}
	if r.opts.owner == nil {
		return nil
	}
	return sys.Control(n, func(fd int) error {
		if err := setSignal(fd, s.Signal); err != nil {
			return err
		}
		if s.Owner.Kind != OwnerNone || !s.Known(FieldOwner) {
			if err := setOwner(fd, *r.opts.owner); err != nil {
				return err
			}
		}
		return sys.SetStatusFlag(fd, syscall.O_ASYNC, s.Flags&Async != 0)
	})
}

var errNoOwnerGiven = errors.New("not restored: no owner was given")

// release moves the instance from the Inotify, which it closes, to a new file. That is then
// the only descriptor of the instance. It may be returned with an error.
func (r *Restored) release() (*os.File, error) {
	if err := r.takeRead(); err != nil {
		return nil, err
	}
	f, err := r.Inotify.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Not f itself: the runtime's poller has it, so it cannot become a blocking file.
	var dup int
	if err := sys.Control(f, func(fd int) (err error) {
		dup, err = sys.Dup(fd, 3)
		return err
	}); err != nil {
		return nil, err
	}
	err = r.Inotify.Close()
	if errors.Is(err, os.ErrClosed) { // the caller closed it meanwhile
		sys.Close(dup)
		return nil, err
	}
	if ferr := r.restoreFlags(dup); ferr != nil {
		err = errors.Join(err, fmt.Errorf("not all flags of the file are restored: %w", ferr))
	}
	return os.NewFile(uintptr(dup), "inotify"), err
}

func (r *Restored) restoreFlags(fd int) error {
	now, err := flags(fd)
	if err != nil {
		return err
	}
	if now&Async != 0 { // set it again: signals have the number of the descriptor that O_ASYNC was set on
		for _, on := range []bool{false, true} {
			if err := sys.SetStatusFlag(fd, syscall.O_ASYNC, on); err != nil {
				return err
			}
		}
	}
	if err := sys.SetStatusFlag(fd, syscall.O_NONBLOCK, r.flags&NonBlock != 0); err != nil {
		return err
	}
	if r.flags&CloseOnExec != 0 {
		return nil
	}
	return sys.SetCloseOnExec(fd, false)
}
