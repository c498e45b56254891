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
	"slices"
	"strconv"
	"syscall"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/abandon"
	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/instance"
	"github.com/seed10546c08/inotify/internal/locate"
	"github.com/seed10546c08/inotify/internal/sys"
)

var (
	errNotRequested = errors.New("not requested")
	errNotDrained   = errors.New("not requested: it can be read only by changing the instance")
	errSignalsOwner = errors.New("reading it would signal the owner: clear O_ASYNC first")
)

// dumpSelf dumps an instance of this process. Events that the dump itself may cause come
// after the pending events that it reads.
func (d *dumper) dumpSelf(ctx context.Context, n *inotify.Inotify) error {
	self, err := openSelf()
	if err != nil {
		return err
	}
	defer self.close()
	if err := ctx.Err(); err != nil {
		return err
	}
	err = sys.Control(n, func(fd int) (err error) {
		d.s.FD = fd
		if d.s.Flags, err = flags(fd); err == nil {
			d.readOwner(self, fd)
		}
		return err
	})
	if err != nil {
		return err
	}
	d.readBootID()
	if d.opts.drain {
		err = d.readAll(n)
	} else {
		err = d.readWithoutEvents(n)
	}
	if err != nil {
		return err
	}
	return d.findPaths(ctx, self)
}

// listWatches is n.Watches, whose error begins with the package's name.
func listWatches(n *inotify.Inotify) ([]inotify.Watch, error) {
	ws, err := n.Watches()
	if err != nil {
		return nil, fmt.Errorf("list watches: %w", errors.Unwrap(err))
	}
	return ws, nil
}

// readWithoutEvents reads the watches and the next wd, and leaves the events in the queue.
func (d *dumper) readWithoutEvents(n *inotify.Inotify) (err error) {
	if d.s.PendingBytes, err = n.Buffered(); err != nil {
		return err
	}
	if d.s.PendingBytes > 0 {
		d.s.addGap(FieldPending, 0, errNotRequested)
	}
	ws, err := listWatches(n)
	if err != nil {
		return err
	}
	d.s.Watches = withoutTypes(ws)
	return d.readNextWD(n)
}

// readAll reads the events, the watches and the next wd. Watches may end meanwhile: events
// are read again after the watches were listed, and a watch that has ended is left out.
func (d *dumper) readAll(n *inotify.Inotify) error {
	d.s.addSideEffect(SideEffectDrained, "")
	if err := d.readEvents(n); err != nil {
		return err
	}
	ws, err := listWatches(n)
	if err != nil {
		return err
	}
	d.s.Watches = withoutTypes(ws)
	if err := d.readNextWD(n); err != nil {
		return err
	}
	listed := len(d.s.Pending) // events before the watches were listed
	if err := d.readEvents(n); err != nil {
		return err
	}
	ended := endedWDs(d.s.Pending[listed:])
	d.s.Watches = slices.DeleteFunc(d.s.Watches, func(w Watch) bool { return ended[w.WD] })
	return nil
}

// endedWDs returns the wds whose IN_IGNORED is among the events.
func endedWDs(events []inotify.Event) map[inotify.WD]bool {
	ended := make(map[inotify.WD]bool)
	for _, ev := range events {
		if ev.Mask.Has(inotify.Ignored) {
			ended[ev.WD] = true
		}
	}
	return ended
}

func withoutTypes(ws []inotify.Watch) []Watch {
	all := make([]Watch, len(ws))
	for i, w := range ws {
		all[i].Watch = w
	}
	return all
}

// readNextWD reads the next wd and sets it back. This queues a record, which would signal
// the owner, even an owner that cannot be seen from here.
func (d *dumper) readNextWD(n *inotify.Inotify) error {
	if d.s.Flags&Async != 0 {
		d.s.addGap(FieldNextWD, 0, errSignalsOwner)
		return nil
	}
	next, err := n.NextWD()
	switch {
	case err == nil:
		d.s.NextWD = next
		d.s.addSideEffect(SideEffectProbed, "")
		return nil
	case errors.Is(err, os.ErrClosed):
		return err
	case errors.As(err, new(*inotify.LimitError)): // the kernel had advanced the counter already
		d.s.addSideEffect(SideEffectNextWDMoved, "")
	}
	d.s.addGap(FieldNextWD, 0, err)
	return nil
}

// readEvents moves the pending events to the snapshot.
func (d *dumper) readEvents(n *inotify.Inotify) error {
	size, err := n.Buffered()
	if err != nil {
		return err
	}
	d.s.PendingBytes += size
	d.drained = true
	for {
		ev, ok, err := n.TryReadEvent()
		if err != nil {
			return fmt.Errorf("after %d pending events were read: %w", len(d.s.Pending), err)
		}
		if !ok {
			return nil
		}
		d.s.Pending = append(d.s.Pending, ev)
	}
}

// dumpProcess dumps an instance of another process.
func (d *dumper) dumpProcess(ctx context.Context, pid, fd int) error {
	target, err := abandon.Call(ctx, pid, func() (*descriptor, error) { return openDescriptor(pid, fd, d.opts.drain) }, (*descriptor).close)
	if err != nil {
		return err
	}
	defer target.close()
	d.s.FD = fd
	d.readBootID()
	if target.dup != nil {
		err = d.readDescription(target)
	} else {
		err = d.readFdinfoOnly(target)
	}
	if err != nil {
		return err
	}
	if d.opts.drain {
		return d.drain(ctx, target)
	}
	if target.dup != nil {
		if err := d.readDuplicate(target.dup); err != nil {
			return err
		}
	}
	d.s.addGap(FieldNextWD, 0, errNotDrained)
	if d.s.PendingBytes > 0 || !d.s.Known(FieldPendingBytes) {
		d.s.addGap(FieldPending, 0, errNotDrained)
	}
	return d.findPaths(ctx, target.process)
}

// A descriptor is an inotify descriptor of another process, with everything that only calls
// that may never return can read. The process may replace the descriptor with another file at
// any moment. The instance is therefore read through one duplicate.
type descriptor struct {
	*process
	dup    *os.File // nil if the descriptor cannot be duplicated
	dupErr error    // why dup is nil
	fdinfo []byte   // of the descriptor in the process
	cmpErr error    // why it is unknown whether fdinfo is of the same file as dup
}

// openDescriptor opens descriptor fd of process pid, which must be an inotify descriptor. For
// drain, the process must be stopped and the descriptor must be duplicated. It may never
// return: see package abandon.
func openDescriptor(pid, fd int, drain bool) (*descriptor, error) {
	p, err := openTable(pid)
	if err != nil {
		return nil, err
	}
	target := &descriptor{process: p}
	if err := target.inspect(fd, drain); err != nil {
		target.close()
		return nil, err
	}
	return target, nil
}

func (t *descriptor) close() {
	t.process.close()
	if t.dup != nil {
		t.dup.Close()
	}
}

func (t *descriptor) inspect(fd int, drain bool) (err error) {
	if is, err := t.isInotify(fd); err != nil {
		return err
	} else if !is {
		return ErrNotInotify
	}
	if drain {
		if t.isSelf() {
			return errors.New("a process cannot stop itself: use Dump to drain an instance of this process")
		}
		if err := t.checkStopped(); err != nil {
			return err
		}
	}
	switch t.dup, err = t.duplicate(fd); {
	case err == nil:
		return t.checkDuplicate(fd)
	case drain:
		return err
	}
	t.dupErr = err
	return t.readFdinfo(fd)
}

// checkDuplicate reads the fdinfo of the descriptor. It returns ErrReplaced unless the
// descriptor is still that of the duplicated file.
func (t *descriptor) checkDuplicate(fd int) error {
	dup := int(t.dup.Fd())
	self, err := openSelf()
	if err != nil {
		return err
	}
	defer self.close()
	if is, err := self.isInotify(dup); err != nil {
		return err
	} else if !is {
		return ErrReplaced
	}
	t.fdinfo, err = t.read("fdinfo/" + strconv.Itoa(fd))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrReplaced
	} else if err != nil {
		return err
	}
	var order int
	order, t.cmpErr = compareFiles(Descriptor{PID: os.Getpid(), FD: dup}, Descriptor{PID: t.pid, FD: fd})
	if order != 0 {
		return ErrReplaced
	}
	return t.checkAlive()
}

// readFdinfo reads the fdinfo of a descriptor that cannot be duplicated. The text is
// certainly of an inotify descriptor if it lists watches or if the process is stopped.
func (t *descriptor) readFdinfo(fd int) (err error) {
	if t.fdinfo, err = t.read("fdinfo/" + strconv.Itoa(fd)); err != nil {
		return err
	}
	if ws, err := parseWatches(t.fdinfo); err != nil || len(ws) > 0 {
		return err
	}
	if err := t.checkStopped(); err != nil {
		return fmt.Errorf("the descriptor lists no watches and cannot be duplicated, so it may have been replaced (%w): %w", t.dupErr, err)
	}
	if is, err := t.isInotify(fd); err != nil {
		return err
	} else if !is {
		return ErrReplaced
	}
	t.fdinfo, err = t.read("fdinfo/" + strconv.Itoa(fd))
	return err
}

// readDuplicate reads the watches and the size of the pending events, which changes nothing.
func (d *dumper) readDuplicate(dup *os.File) (err error) {
	fd := int(dup.Fd())
	if d.s.PendingBytes, err = sys.Queued(fd); err != nil {
		d.s.addGap(FieldPendingBytes, 0, err)
	}
	text, err := os.ReadFile(sys.FDInfo(fd))
	if err != nil {
		return err
	}
	return d.setWatches(text)
}

// readDescription reads flags, owner and signal from the duplicate. FD_CLOEXEC is a flag of
// the descriptor, not of the file description: it is in the process's fdinfo, if that is still
// of this descriptor.
func (d *dumper) readDescription(t *descriptor) (err error) {
	d.s.addSideEffect(SideEffectDuplicated, "")
	fd := int(t.dup.Fd())
	if d.s.Flags, err = flags(fd); err != nil {
		return err
	}
	d.s.Flags &^= CloseOnExec
	d.readOwner(t.process, fd)
	status, err := fdinfo.Flags(t.fdinfo)
	if err != nil {
		return err
	}
	switch {
	case t.cmpErr != nil && !d.opts.drain: // for drain, the process is known to be stopped
		d.s.addGap(FieldFlags, 0, fmt.Errorf("FD_CLOEXEC is unknown: the process may have replaced the descriptor: %w", t.cmpErr))
	case status&syscall.O_CLOEXEC != 0:
		d.s.Flags |= CloseOnExec
	}
	return nil
}

// readFdinfoOnly sets flags and watches from one text of fdinfo.
func (d *dumper) readFdinfoOnly(t *descriptor) error {
	for _, field := range []Field{FieldOwner, FieldSignal, FieldPendingBytes} {
		d.s.addGap(field, 0, t.dupErr)
	}
	if err := d.setWatches(t.fdinfo); err != nil {
		return err
	}
	status, err := fdinfo.Flags(t.fdinfo)
	if err != nil {
		return err
	}
	d.s.Flags = statusFlags(status)
	if status&syscall.O_CLOEXEC != 0 {
		d.s.Flags |= CloseOnExec
	}
	return t.checkAlive()
}

// setWatches sets the watches from a text of fdinfo.
func (d *dumper) setWatches(text []byte) error {
	ws, err := parseWatches(text)
	if err != nil {
		return err
	}
	if len(ws) == 0 {
		return instance.NotListed(inotify.HaveWatchList())
	}
	d.s.Watches = ws
	return nil
}

// parseWatches returns the watches in a text of fdinfo, in ascending order of wd.
func parseWatches(text []byte) ([]Watch, error) {
	list, err := fdinfo.List(bytes.NewReader(text), bytes.Count(text, []byte("\n")))
	if err != nil {
		return nil, err
	}
	ws := make([]Watch, len(list))
	for i, w := range list {
		ws[i].Watch = inotify.Watch{WD: inotify.WD(w.WD), Mask: inotify.Mask(w.Mask), Device: w.Device, Inode: w.Inode, Handle: w.Handle}
	}
	return ws, nil
}

// readOwner reads the owner and the signal.
func (d *dumper) readOwner(p *process, fd int) {
	var err error
	if d.s.Owner, err = owner(fd); err != nil {
		d.s.addGap(FieldOwner, 0, err)
	} else if d.s.Owner.Kind == OwnerNone && d.s.Flags&Async != 0 {
		d.s.addGap(FieldOwner, 0, errHiddenOwner)
	}
	if o := &d.s.Owner; o.Kind == OwnerProcess || o.Kind == OwnerThread {
		o.Self = o.ID == p.tgid() || o.Kind == OwnerThread && p.hasThread(o.ID)
	}
	if d.s.Signal, err = sys.Signal(fd); err != nil {
		d.s.addGap(FieldSignal, 0, err)
	}
}

func (d *dumper) readBootID() {
	id, err := bootID()
	if err != nil {
		d.s.addGap(FieldBootID, 0, err)
	}
	d.s.BootID = id
}

func bootID() (string, error) { return sys.SysctlText("kernel.random.boot_id") }

var levels = map[Paths]locate.Level{
	PathsNone:     locate.None,
	PathsByHandle: locate.Handles,
	PathsBySearch: locate.Search,
}

// findPaths finds the paths and types of the watches. If it fails, the others are gaps.
func (d *dumper) findPaths(ctx context.Context, p *process) error {
	ws := make([]inotify.Watch, len(d.s.Watches))
	for i, w := range d.s.Watches {
		ws[i] = w.Watch
	}
	found, err := locate.Paths(ctx, p.dir, ws, locate.Options{
		Level:          levels[d.opts.paths],
		SearchDirs:     d.opts.searchDirs,
		MaxEntries:     d.opts.maxSearchEntries,
		AllFilesystems: d.opts.allFilesystems,
		Resolve:        d.opts.resolve,
		Progress:       d.opts.progress,
	})
	if err != nil {
		err = fmt.Errorf("find paths: %w", err)
	}
	if found == nil || d.opts.paths == PathsNone && d.opts.resolve == nil {
		reason := errNotRequested
		if err != nil {
			reason = err
		}
		if len(ws) > 0 {
			d.s.addGap(FieldPath, 0, reason)
			d.s.addGap(FieldType, 0, reason)
		}
		return err
	}
	d.setPaths(found)
	return err
}

// setPaths sets the paths and types that were found, and lists the reasons for the others.
func (d *dumper) setPaths(found *locate.Result) {
	incomplete := false
	for i := range d.s.Watches {
		w, place := &d.s.Watches[i], &found.Places[i]
		w.Path, w.Type = place.Path, typeOf(place.Mode)
		if place.Path != "" {
			continue
		}
		incomplete = true
		d.s.addGap(FieldPath, w.WD, place.Err)
		if place.Mode == 0 {
			d.s.addGap(FieldType, w.WD, place.Err)
		}
	}
	if found.Decoded {
		d.s.addSideEffect(SideEffectHandlesOpened, "")
	}
	for _, tree := range found.Searched {
		d.s.addSideEffect(SideEffectTreeRead, tree)
	}
	for _, skipped := range found.Skipped {
		if incomplete {
			d.s.addGap(FieldPath, 0, fmt.Errorf("%q was not searched: %s", skipped.Path, skipped.Reason))
		}
	}
}
