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

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/abandon"
	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/locate"
)

// own takes an instance of this process's. What its own steps could add to the queue comes
// after the pending events.
func (t *taker) own(ctx context.Context, n *inotify.Inotify) error {
	self, err := pinSelf()
	if err != nil {
		return err
	}
	defer self.close()
	if err := ctx.Err(); err != nil {
		return err
	}
	conn, err := n.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) {
		t.s.FD = int(fd)
		if t.s.Flags, err = flags(int(fd)); err == nil {
			t.description(self, int(fd))
		}
	}); cerr != nil {
		return cerr
	}
	if err != nil {
		return err
	}
	t.bootID()
	if t.o.drain {
		err = t.empty(n)
	} else {
		err = t.look(n)
	}
	if err != nil {
		return err
	}
	return t.paths(ctx, self)
}

// look lists the watches and learns the next wd, and leaves the pending events where they are.
func (t *taker) look(n *inotify.Inotify) (err error) {
	if t.s.PendingBytes, err = n.Buffered(); err != nil {
		return err
	}
	if t.s.PendingBytes > 0 {
		t.s.addGap(FieldPending, 0, errNotAsked)
	}
	ws, err := n.Watches()
	if err != nil {
		return err
	}
	t.s.Watches = withoutPaths(ws)
	return t.next(n)
}

// empty takes the pending events, lists the watches and learns the next wd. Watches can end
// meanwhile: events are taken before and after the list is made, and a watch that has ended
// since is left out of it.
func (t *taker) empty(n *inotify.Inotify) error {
	t.s.addSideEffect(SideEffectDrained, "")
	if err := t.take(n); err != nil {
		return err
	}
	ws, err := n.Watches()
	if err != nil {
		return err
	}
	t.s.Watches = withoutPaths(ws)
	if err := t.next(n); err != nil {
		return err
	}
	before := len(t.s.Pending)
	if err := t.take(n); err != nil {
		return err
	}
	ended := map[inotify.WD]bool{}
	for _, ev := range t.s.Pending[before:] {
		if ev.Mask.Has(inotify.Ignored) {
			ended[ev.WD] = true
		}
	}
	t.s.Watches = slices.DeleteFunc(t.s.Watches, func(w Watch) bool { return ended[w.WD] })
	return nil
}

func withoutPaths(ws []inotify.Watch) []Watch {
	all := make([]Watch, len(ws))
	for i, w := range ws {
		all[i].Watch = w
	}
	return all
}

var (
	errNotAsked  = errors.New("not asked for")
	errUntouched = errors.New("not asked for: to learn it, the instance would have to be changed")
	errSignals   = errors.New("to learn it would signal the owner: clear O_ASYNC first")
)

// next learns the next number and leaves it as it is. The watch that it takes
// queues a record, which would signal an owner, also one who cannot be seen.
func (t *taker) next(n *inotify.Inotify) error {
	if t.s.Flags&Async != 0 {
		t.s.addGap(FieldNextWD, 0, errSignals)
		return nil
	}
	next, err := n.NextWD()
	switch {
	case err == nil:
		t.s.NextWD = next
		t.s.addSideEffect(SideEffectProbed, "")
		return nil
	case errors.Is(err, os.ErrClosed):
		return err
	case errors.As(err, new(*inotify.LimitError)): // the kernel had given a number already
		t.s.addSideEffect(SideEffectNextWDMoved, "")
	}
	t.s.addGap(FieldNextWD, 0, err)
	return nil
}

// take takes what is pending.
func (t *taker) take(n *inotify.Inotify) error {
	bytes, err := n.Buffered()
	if err != nil {
		return err
	}
	t.s.PendingBytes += bytes
	t.drained = true
	for {
		ev, ok, err := n.TryReadEvent()
		if err != nil {
			return fmt.Errorf("after %d pending events were taken: %w", len(t.s.Pending), err)
		}
		if !ok {
			return nil
		}
		t.s.Pending = append(t.s.Pending, ev)
	}
}

// other takes another process's.
func (t *taker) other(ctx context.Context, pid, fd int) error {
	o, err := abandon.Call(ctx, pid, func() (*opened, error) { return openDescriptor(pid, fd, t.o.drain) }, (*opened).close)
	if err != nil {
		return err
	}
	defer o.close()
	t.s.FD = fd
	t.bootID()
	if o.dup != nil {
		err = t.duplicated(o)
	} else {
		err = t.withoutDuplicate(o)
	}
	if err != nil {
		return err
	}
	if t.o.drain {
		return t.drain(ctx, o)
	}
	if o.dup != nil {
		if err := t.read(o.dup); err != nil {
			return err
		}
	}
	t.s.addGap(FieldNextWD, 0, errUntouched)
	if t.s.PendingBytes > 0 || !t.s.Known(FieldPendingBytes) {
		t.s.addGap(FieldPending, 0, errUntouched)
	}
	return t.paths(ctx, o.process)
}

// An opened is a process's inotify descriptor, with all that can only be had by calls which
// may never return. Everything is read through one duplicate of the descriptor: the process
// may give its number to another file at any moment.
type opened struct {
	*process
	dup    *os.File // nil if it cannot be duplicated
	none   error    // why dup is nil
	text   []byte   // fdinfo of the descriptor's number
	unsure error    // why it is unknown whether that is of the duplicate
}

// openDescriptor opens process pid's descriptor fd, which must be inotify's. To be drained, the process
// must be stopped, and the descriptor duplicated. It may never return: see package abandon.
func openDescriptor(pid, fd int, drain bool) (*opened, error) {
	p, err := pinTable(pid)
	if err != nil {
		return nil, err
	}
	o := &opened{process: p}
	if err := o.inspect(fd, drain); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *opened) close() {
	o.process.close()
	if o.dup != nil {
		o.dup.Close()
	}
}

func (o *opened) inspect(fd int, drain bool) (err error) {
	if is, err := o.isInotify(fd); err != nil {
		return err
	} else if !is {
		return ErrNotInotify
	}
	if drain {
		if o.isSelf() {
			return errors.New("drain: a process cannot stop itself: use Dump for an instance of this process")
		}
		if err := o.checkStopped(); err != nil {
			return err
		}
	}
	switch o.dup, err = o.duplicate(fd); {
	case err == nil:
		return o.compare(fd)
	case drain:
		return err
	}
	o.none = err
	return o.readText(fd)
}

// compare reads the fdinfo of the descriptor's number, and returns an error unless that is the
// duplicate's still.
func (o *opened) compare(fd int) error {
	own := int(o.dup.Fd())
	self, err := pinSelf()
	if err != nil {
		return err
	}
	defer self.close()
	if is, err := self.isInotify(own); err != nil {
		return err
	} else if !is {
		return ErrReplaced
	}
	o.text, err = o.read("fdinfo/" + strconv.Itoa(fd))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrReplaced
	} else if err != nil {
		return err
	}
	var order int
	order, o.unsure = compareFiles(Descriptor{PID: os.Getpid(), FD: own}, Descriptor{PID: o.pid, FD: fd})
	if order != 0 {
		return ErrReplaced
	}
	return o.alive()
}

// readText reads the fdinfo of the descriptor's number where it cannot be duplicated. That this
// is of an inotify instance is certain if it has watches, or if the process cannot have replaced
// it.
func (o *opened) readText(fd int) (err error) {
	if o.text, err = o.read("fdinfo/" + strconv.Itoa(fd)); err != nil {
		return err
	}
	if ws, err := parseWatches(o.text); err != nil || len(ws) > 0 {
		return err
	}
	if err := o.checkStopped(); err != nil {
		return fmt.Errorf("the descriptor shows no watches and cannot be duplicated, so it may have been replaced (%w): %w", o.none, err)
	}
	if is, err := o.isInotify(fd); err != nil {
		return err
	} else if !is {
		return ErrReplaced
	}
	o.text, err = o.read("fdinfo/" + strconv.Itoa(fd))
	return err
}

// read learns what leaves the instance as it is.
func (t *taker) read(dup *os.File) (err error) {
	own := int(dup.Fd())
	if t.s.PendingBytes, err = queued(own); err != nil {
		t.s.addGap(FieldPendingBytes, 0, err)
	}
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(own))
	if err != nil {
		return err
	}
	return t.list(text)
}

// duplicated learns what a duplicate tells of the descriptor and its description. FD_CLOEXEC is
// the descriptor's own: the process's fdinfo has it, so long as its number is still that
// descriptor's.
func (t *taker) duplicated(o *opened) (err error) {
	t.s.addSideEffect(SideEffectDuplicated, "")
	own := int(o.dup.Fd())
	if t.s.Flags, err = flags(own); err != nil {
		return err
	}
	t.s.Flags &^= CloseOnExec
	t.description(o.process, own)
	status, err := fdinfo.Flags(o.text)
	if err != nil {
		return err
	}
	switch {
	case o.unsure != nil && !t.o.drain: // if it is asked for, the process is known to be stopped
		t.s.addGap(FieldFlags, 0, fmt.Errorf("FD_CLOEXEC could not be determined: the process may have replaced the descriptor: %w", o.unsure))
	case status&unix.O_CLOEXEC != 0:
		t.s.Flags |= CloseOnExec
	}
	return nil
}

// withoutDuplicate learns what the text of fdinfo tells, which is of one file.
func (t *taker) withoutDuplicate(o *opened) error {
	for _, field := range []Field{FieldOwner, FieldSignal, FieldPendingBytes} {
		t.s.addGap(field, 0, o.none)
	}
	if err := t.list(o.text); err != nil {
		return err
	}
	status, err := fdinfo.Flags(o.text)
	if err != nil {
		return err
	}
	t.s.Flags = statusFlags(status)
	if status&unix.O_CLOEXEC != 0 {
		t.s.Flags |= CloseOnExec
	}
	return o.alive()
}

// list reads the watches in a text of fdinfo's.
func (t *taker) list(text []byte) error {
	ws, err := parseWatches(text)
	if err != nil {
		return err
	}
	if len(ws) == 0 {
		return listed()
	}
	t.s.Watches = ws
	return nil
}

// parseWatches returns the watches in a text of fdinfo's, in the order of their wds.
func parseWatches(text []byte) ([]Watch, error) {
	var ws []Watch
	for w, err := range fdinfo.Watches(bytes.NewReader(text)) {
		if err != nil {
			return nil, err
		}
		ws = append(ws, Watch{Watch: inotify.Watch{
			WD:     inotify.WD(w.WD),
			Mask:   inotify.Mask(w.Mask),
			Device: inotify.Device{Major: w.Major, Minor: w.Minor},
			Inode:  w.Inode,
			Handle: inotify.Handle{Type: w.HandleType, Bytes: w.Handle},
		}})
	}
	slices.SortFunc(ws, byWD)
	return ws, nil
}

// listed returns an error if this kernel lists no watches in fdinfo, so that an
// instance may have some though it shows none.
func listed() error {
	n, err := inotify.New()
	if err != nil {
		return fmt.Errorf("it shows no watches, and whether the kernel shows any could not be tried: %w", err)
	}
	defer n.Close()
	_, err = n.Watches()
	return err
}

// description learns whom events signal, and by what.
func (t *taker) description(p *process, fd int) {
	var err error
	if t.s.Owner, err = owner(fd); err != nil {
		t.s.addGap(FieldOwner, 0, err)
	} else if t.s.Owner.Kind == OwnerNone && t.s.Flags&Async != 0 {
		t.s.addGap(FieldOwner, 0, errUnseenOwner)
	}
	if o := &t.s.Owner; o.Kind == OwnerProcess || o.Kind == OwnerThread {
		o.Self = o.ID == p.group() || o.Kind == OwnerThread && p.hasThread(o.ID)
	}
	if t.s.Signal, err = signal(fd); err != nil {
		t.s.addGap(FieldSignal, 0, err)
	}
}

func (t *taker) bootID() {
	id, err := bootID()
	if err != nil {
		t.s.addGap(FieldBootID, 0, err)
	}
	t.s.BootID = id
}

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(text)), err
}

var levels = map[Paths]locate.Level{
	PathsNone:     locate.None,
	PathsByHandle: locate.Handles,
	PathsBySearch: locate.Search,
}

// paths finds the paths and types of the watches. With an error it notes what it did not find.
func (t *taker) paths(ctx context.Context, p *process) error {
	ws := make([]inotify.Watch, len(t.s.Watches))
	for i, w := range t.s.Watches {
		ws[i] = w.Watch
	}
	found, err := locate.Paths(ctx, p.dir, ws, locate.Options{
		Level:          levels[t.o.paths],
		Hints:          t.o.hints,
		MaxEntries:     t.o.maxEntries,
		AllFilesystems: t.o.allFilesystems,
		Resolve:        t.o.resolve,
		Progress:       t.o.progress,
	})
	if err != nil {
		err = fmt.Errorf("finding the paths: %w", err)
	}
	if found == nil || t.o.paths == PathsNone && t.o.resolve == nil {
		why := errNotAsked
		if err != nil {
			why = err
		}
		if len(ws) > 0 {
			t.s.addGap(FieldPath, 0, why)
			t.s.addGap(FieldType, 0, why)
		}
		return err
	}
	t.found(found)
	return err
}

// found notes the places that were found, and why others were not.
func (t *taker) found(found *locate.Result) {
	missing := false
	for i := range t.s.Watches {
		w, place := &t.s.Watches[i], &found.Places[i]
		w.Path, w.Type = place.Path, typeOf(place.Mode)
		if place.Path != "" {
			continue
		}
		missing = true
		t.s.addGap(FieldPath, w.WD, place.Err)
		if place.Mode == 0 {
			t.s.addGap(FieldType, w.WD, place.Err)
		}
	}
	if found.Decoded {
		t.s.addSideEffect(SideEffectHandlesOpened, "")
	}
	for _, tree := range found.Searched {
		t.s.addSideEffect(SideEffectTreeRead, tree)
	}
	for _, skipped := range found.Skipped {
		if missing {
			t.s.addGap(FieldPath, 0, fmt.Errorf("%s was not searched: %s", skipped.Path, skipped.Reason))
		}
	}
}
