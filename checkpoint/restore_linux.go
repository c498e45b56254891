// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// A restorer makes one instance of a snapshot.
type restorer struct {
	s       *Snapshot
	o       restoreOptions
	proof   VerifyLevel
	weaker  error                 // why identity is not compared; nil if it is
	ws      []Watch               // those to restore, ascending
	targets []inotify.Watch       // what RestoreWatches gets for each
	files   []int                 // duplicates of files that the caller supplied
	missed  []Gap                 // watches that are not in ws any more
	noPath  map[inotify.WD]string // why the path is unknown, by wd
	r       *Restored
	filled  bool            // events were put into the queue
	before  int             // how many bytes the queue had before the watches were added
	kept    []inotify.Event // events that are left with the caller
	ioctl   bool            // the next wd was set by the ioctl
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
	r := restorer{s: s, o: o, ws: ascending(s.Watches), noPath: s.pathReasons()}
	defer r.close()
	if err := r.chooseProof(); err != nil {
		return nil, err
	}
	if err := r.aim(); err != nil {
		return nil, err
	}
	return r.make(ctx)
}

func (r *restorer) close() {
	for _, fd := range r.files {
		unix.Close(fd)
	}
}

func (r *restorer) chooseProof() error {
	r.proof = r.o.proof
	if r.proof != VerifyDefault {
		if r.proof != VerifyIdentity {
			r.weaker = notCompared("not asked for")
		}
		return nil
	}
	r.proof = VerifyWDs
	if r.s.BootID == "" {
		r.weaker = notCompared("the snapshot has no boot id")
		return nil
	}
	id, err := bootID()
	if err != nil {
		return fmt.Errorf("whether the snapshot is of this machine cannot be told: say what to prove: %w", err)
	}
	if r.s.BootID == id {
		r.proof = VerifyIdentity
		return nil
	}
	r.weaker = notCompared("the snapshot is from another boot or machine")
	return nil
}

func notCompared(why string) error {
	return fmt.Errorf("whether the same files are watched was not compared: %s", why)
}

// aim finds the target of each watch.
func (r *restorer) aim() error {
	all := r.ws
	r.ws = make([]Watch, 0, len(all))
	r.targets = make([]inotify.Watch, 0, len(all))
	for i := range all {
		target, err := r.target(&all[i])
		if r.o.missing && missing(err) {
			r.missed = append(r.missed, Gap{FieldWatch, all[i].WD, err.Error()})
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
	r.r.NotRestored = append(r.r.NotRestored, Gap{f, wd, reason.Error()})
}

// missing reports whether err says that a target is not there.
func missing(err error) bool {
	return errors.Is(err, ErrNoPath) || errors.Is(err, unix.ENOENT) || errors.Is(err, errNotThere)
}

// errNotThere is ENOTDIR of a path, whereas ENOTDIR of IN_ONLYDIR is about what is
// at its end.
var errNotThere = errors.New("a part of its path is no directory")

// target returns what to add for w.
func (r *restorer) target(w *Watch) (inotify.Watch, error) {
	t := inotify.Watch{WD: w.WD, Mask: w.Mask & kept}
	if r.o.files != nil {
		f, err := r.o.files(*w)
		if err != nil {
			return t, fmt.Errorf("no file was supplied: %w", err)
		}
		if f != nil {
			t.Path, err = r.supplied(w, f)
			return t, err
		}
	}
	if err := w.hasTarget(); err != nil {
		return t, fmt.Errorf("%w: %s", err, pathReason(r.noPath, w.WD))
	}
	t.Path = w.Path
	t.Mask |= inotify.DontFollow
	if w.Type == TypeDirectory {
		t.Mask |= inotify.OnlyDir
	}
	if r.o.missing {
		return t, checkType(w)
	}
	return t, nil
}

// supplied returns a path to the very file that f is open on. A duplicate of its
// descriptor keeps the path good.
func (r *restorer) supplied(w *Watch, f *os.File) (string, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return "", err
	}
	dup := -1
	if cerr := conn.Control(func(fd uintptr) { dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return "", fmt.Errorf("the file supplied is closed: %w", cerr)
	}
	if err != nil {
		return "", fcntlError("F_DUPFD_CLOEXEC", err)
	}
	r.files = append(r.files, dup)
	var st unix.Stat_t
	if err := unix.Fstat(dup, &st); err != nil {
		return "", os.NewSyscallError("fstat", err)
	}
	return "/proc/self/fd/" + strconv.Itoa(dup), refuseType(w, st.Mode)
}

// make makes the instance. Targets that go missing meanwhile are left out if that
// is tolerated, and it begins anew, since the numbers only go up by the cycle.
func (r *restorer) make(ctx context.Context) (*Restored, error) {
	for {
		n, err := r.instance(ctx)
		if err != nil {
			return nil, err
		}
		if err = r.fill(ctx, n); err == nil {
			return r.r, nil
		}
		n.Close()
		before := len(r.ws)
		if !r.o.missing || ctx.Err() != nil {
			return nil, r.explain(err)
		}
		if aerr := r.again(); aerr != nil {
			return nil, aerr
		}
		if len(r.ws) == before {
			return nil, r.explain(err)
		}
	}
}

// again leaves out what is missing by now.
func (r *restorer) again() error {
	ws, targets := r.ws, r.targets
	r.ws, r.targets = nil, nil
	for i := range ws {
		if ws[i].Path != "" && targets[i].Path == ws[i].Path {
			if err := checkType(&ws[i]); missing(err) {
				r.missed = append(r.missed, Gap{FieldWatch, ws[i].WD, err.Error()})
				continue
			} else if err != nil {
				return &TargetError{ws[i], err}
			}
		}
		r.ws = append(r.ws, ws[i])
		r.targets = append(r.targets, targets[i])
	}
	slices.SortFunc(r.missed, func(a, b Gap) int { return int(a.WD) - int(b.WD) })
	return nil
}

// explain says of a target that IN_ONLYDIR refused what it is.
func (r *restorer) explain(err error) error {
	var failed *inotify.RestoreError
	if errors.As(err, &failed) && errors.Is(err, unix.ENOTDIR) {
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

// fill restores everything into n.
func (r *restorer) fill(ctx context.Context, n *inotify.Inotify) error {
	if err := r.add(ctx, n); err != nil {
		return err
	}
	if err := r.prove(n); err != nil {
		return err
	}
	if err := r.next(ctx, n); err != nil {
		return err
	}
	if err := r.signals(n); err != nil {
		return err
	}
	r.unknown(FieldPending)
	if r.weaker != nil && len(r.ws) > 0 {
		r.addGap(FieldInode, 0, r.weaker)
	}
	r.r.pending = append(r.kept, r.r.pending...)
	ahead, err := r.r.readAhead()
	r.r.clean = (r.filled || r.ioctl) && ahead == 0
	return err
}

// add adds the watches. The types are looked at meanwhile, for which another
// processor may be free, unless they are proved afterwards.
func (r *restorer) add(ctx context.Context, n *inotify.Inotify) error {
	if r.proof == VerifyWDs {
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

// unknown notes a field of the instance that the snapshot does not have, and the snapshot's
// reason.
func (r *restorer) unknown(f Field) bool {
	reason, unknown := r.s.whyUnknown(f)
	if unknown {
		r.addGap(f, 0, fmt.Errorf("%w: %s", errNotInSnapshot, reason))
	}
	return unknown
}

// next restores the next number.
func (r *restorer) next(ctx context.Context, n *inotify.Inotify) error {
	want := r.s.NextWD
	if want == 0 {
		if !r.unknown(FieldNextWD) {
			r.addGap(FieldNextWD, 0, errNotInSnapshot)
		}
		return nil
	}
	err := n.SetNextWD(want)
	if errors.Is(err, errors.ErrUnsupported) && !r.filled {
		return r.climb(ctx, n, want, err)
	}
	r.ioctl = err == nil
	if err != nil || r.proof == VerifyNone || r.filled {
		return err
	}
	have, err := n.NextWD()
	if errors.As(err, new(*inotify.LimitError)) { // which moved it on
		r.addGap(FieldNextWD, 0, fmt.Errorf("it was set, and could not be read back: %w", err))
		return n.SetNextWD(want)
	}
	if err != nil {
		return err // a watch may be left
	}
	if have != want {
		return &VerifyError{[]Difference{{Field: FieldNextWD, Want: fmt.Sprint(want), Have: fmt.Sprint(have)}}}
	}
	return nil
}

// climb brings the counter to want by adding and removing a watch just below it.
func (r *restorer) climb(ctx context.Context, n *inotify.Inotify, want inotify.WD, unsupported error) error {
	next := inotify.WD(1)
	if k := len(r.ws); k > 0 && r.ws[k-1].WD < want {
		next = r.ws[k-1].WD + 1
	} else if k > 0 {
		r.addGap(FieldNextWD, 0, fmt.Errorf("it is below the highest number, and without the ioctl the kernel only counts up: %w", unsupported))
		return nil
	}
	if next == want {
		return nil
	}
	fd, err := unix.MemfdCreate("inotify-scratch", unix.MFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	defer unix.Close(fd)
	below := want - 1
	err = n.RestoreWatch(ctx, below, "/proc/self/fd/"+strconv.Itoa(fd), 0, r.o.climb...)
	if errors.Is(err, errors.ErrUnsupported) {
		r.addGap(FieldNextWD, 0, err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := n.RemoveWatch(below); err != nil {
		return err
	}
	if err := r.r.drain(); err != nil {
		return err
	}
	r.drop(below)
	return nil
}

// drop drops the records of a watch that was only an aid.
func (r *restorer) drop(wd inotify.WD) {
	r.r.pending = slices.DeleteFunc(r.r.pending, func(ev inotify.Event) bool { return ev.WD == wd })
}

// signals restores whom events signal, if the caller named him.
func (r *restorer) signals(n *inotify.Inotify) error {
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
		case r.unknown(f.field):
		case f.set && r.o.owner == nil:
			r.addGap(f.field, 0, errNobodyNamed)
		}
	}
	if r.o.owner == nil {
		return nil
	}
	conn, err := n.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) {
		if err = setSignal(int(fd), s.Signal); err != nil {
			return
		}
		if s.Owner.Kind != OwnerNone || !s.Known(FieldOwner) {
			if err = setOwner(int(fd), *r.o.owner); err != nil {
				return
			}
		}
		err = setStatus(int(fd), unix.O_ASYNC, s.Flags&Async != 0)
	}); cerr != nil {
		return cerr
	}
	return err
}

var errNobodyNamed = errors.New("not restored, as the caller named nobody to be signalled")

// release takes the instance out of the Inotify. Once that is closed, the file that
// is returned is all that is left of it, also with an error.
func (r *Restored) release() (*os.File, error) {
	if err := r.takeRead(); err != nil {
		return nil, err
	}
	f, err := r.Inotify.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	// Not f itself, which the runtime polls: as a blocking file it would not do.
	dup := -1
	if cerr := conn.Control(func(fd uintptr) { dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) }); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, fcntlError("F_DUPFD_CLOEXEC", err)
	}
	err = r.Inotify.Close()
	if errors.Is(err, os.ErrClosed) { // by the caller, just now
		unix.Close(dup)
		return nil, err
	}
	if ferr := r.applyFlags(dup); ferr != nil {
		err = errors.Join(err, fmt.Errorf("the flags of the file are not all restored: %w", ferr))
	}
	return os.NewFile(uintptr(dup), "inotify"), err
}

func (r *Restored) applyFlags(fd int) error {
	now, err := flags(fd)
	if err != nil {
		return err
	}
	if now&Async != 0 { // anew, since the signal tells the number of the descriptor that it was set on
		for _, on := range []bool{false, true} {
			if err := setStatus(fd, unix.O_ASYNC, on); err != nil {
				return err
			}
		}
	}
	if err := setStatus(fd, unix.O_NONBLOCK, r.flags&NonBlock != 0); err != nil {
		return err
	}
	if r.flags&CloseOnExec != 0 {
		return nil
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
		return fcntlError("F_SETFD", err)
	}
	return nil
}
