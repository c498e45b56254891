// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/locate"
)

// own takes an instance of one's own.
func (t *taker) own(ctx context.Context, n *inotify.Inotify) error {
	self, err := pinSelf()
	if err != nil {
		return err
	}
	defer self.close()
	ws, err := n.Watches()
	if err != nil {
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
	if err := t.watches(ctx, self, ws); err != nil {
		return err
	}
	if t.s.PendingBytes, err = n.Buffered(); err != nil {
		return err
	}
	if t.o.drain {
		t.effect(effectDrained)
		if err := t.take(n); err != nil {
			return err
		}
	} else if t.s.PendingBytes > 0 {
		t.s.gap("pending", 0, errNotAsked)
	}
	return t.next(n)
}

var (
	errNotAsked  = errors.New("not asked for")
	errUntouched = errors.New("not asked for: to learn it, the instance would have to be changed")
	errReplaced  = errors.New("the process replaced the descriptor meanwhile: stop the process")
	errSignals   = errors.New("to learn it would signal the owner: clear O_ASYNC first")
)

// next learns the next number and leaves it as it is. The watch that it takes
// queues a record, which would signal an owner, also one who cannot be seen.
func (t *taker) next(n *inotify.Inotify) error {
	if t.s.Flags&Async != 0 {
		t.s.gap("next_wd", 0, errSignals)
		return nil
	}
	next, err := n.NextWD()
	switch {
	case err == nil:
		t.s.NextWD = next
		t.effect(effectProbed)
		return nil
	case errors.Is(err, os.ErrClosed):
		return err
	case errors.As(err, new(*inotify.LimitError)): // the kernel had given a number already
		t.effect(effectMoved)
	}
	t.s.gap("next_wd", 0, err)
	return nil
}

// take takes what is pending.
func (t *taker) take(n *inotify.Inotify) error {
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
	p, err := pin(pid)
	if err != nil {
		return err
	}
	defer p.close()
	ws, err := t.read(p, fd)
	if err != nil {
		return err
	}
	t.bootID()
	if err := t.watches(ctx, p, ws); err != nil {
		return err
	}
	if t.o.drain {
		return t.drain(ctx, p, fd)
	}
	t.s.gap("next_wd", 0, errUntouched)
	if t.s.PendingBytes > 0 || !t.s.Learned("pending_bytes") {
		t.s.gap("pending", 0, errUntouched)
	}
	return nil
}

// read learns what fdinfo and a duplicate of the descriptor tell.
func (t *taker) read(p *process, fd int) ([]inotify.Watch, error) {
	if is, err := p.isInotify(fd); err != nil {
		return nil, err
	} else if !is {
		return nil, fmt.Errorf("it is no inotify descriptor: %w", unix.EINVAL)
	}
	t.s.FD = fd
	dup, dupErr := p.duplicate(fd)
	if dupErr == nil {
		defer dup.Close()
	}
	text, err := p.read("fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}
	if dupErr != nil {
		for _, what := range []string{"owner", "signal", "pending_bytes"} {
			t.s.gap(what, 0, dupErr)
		}
	} else {
		t.effect(effectDuplicate)
		own := int(dup.Fd())
		order, err := compareFiles(Descriptor{PID: os.Getpid(), FD: own}, Descriptor{PID: p.pid, FD: fd})
		if err != nil {
			t.effect(fmt.Sprintf(effectUncompared, err))
		} else if order != 0 {
			return nil, errReplaced
		}
		t.description(p, own)
		if t.s.PendingBytes, err = queued(own); err != nil {
			t.s.gap("pending_bytes", 0, err)
		}
	}
	if err := p.alive(); err != nil {
		return nil, err
	}
	return t.parse(text)
}

// parse reads a text of fdinfo's.
func (t *taker) parse(text []byte) ([]inotify.Watch, error) {
	status, err := fdinfo.Flags(text)
	if err != nil {
		return nil, err
	}
	t.s.Flags = statusFlags(status)
	if status&unix.O_CLOEXEC != 0 {
		t.s.Flags |= CloseOnExec
	}
	var ws []inotify.Watch
	for w, err := range fdinfo.Watches(bytes.NewReader(text)) {
		if err != nil {
			return nil, err
		}
		ws = append(ws, inotify.Watch{
			WD:     inotify.WD(w.WD),
			Mask:   inotify.Mask(w.Mask),
			Device: inotify.Device{Major: w.Major, Minor: w.Minor},
			Inode:  w.Inode,
			Handle: inotify.Handle{Type: w.HandleType, Bytes: w.Handle},
		})
	}
	if len(ws) == 0 {
		return nil, listed()
	}
	slices.SortFunc(ws, func(a, b inotify.Watch) int { return int(a.WD) - int(b.WD) })
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
		t.s.gap("owner", 0, err)
	} else if t.s.Owner.Kind == NoOwner && t.s.Flags&Async != 0 {
		t.s.gap("owner", 0, errUnseenOwner)
	}
	if o := &t.s.Owner; o.Kind == ProcessOwner || o.Kind == ThreadOwner {
		o.Self = o.ID == p.pid || o.Kind == ThreadOwner && p.hasThread(o.ID)
	}
	if t.s.Signal, err = signal(fd); err != nil {
		t.s.gap("signal", 0, err)
	}
}

func (t *taker) bootID() {
	id, err := bootID()
	if err != nil {
		t.s.gap("boot_id", 0, err)
	}
	t.s.BootID = id
}

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(text)), err
}

var levels = map[Paths]locate.Level{
	NoPaths:       locate.None,
	PathsByHandle: locate.Handles,
	PathsBySearch: locate.Search,
}

// watches finds the paths and types.
func (t *taker) watches(ctx context.Context, p *process, ws []inotify.Watch) error {
	found, err := locate.Paths(ctx, p.dir, ws, locate.Options{
		Level:          levels[t.o.paths],
		Hints:          t.o.hints,
		MaxEntries:     t.o.maxEntries,
		AllFilesystems: t.o.allFilesystems,
		Resolve:        t.o.resolve,
		Progress:       t.o.progress,
	})
	if err != nil {
		return fmt.Errorf("finding the paths: %w", err)
	}
	all := make([]Watch, len(ws))
	for i, w := range ws {
		place := &found.Places[i]
		w.Path = place.Path
		all[i] = Watch{Watch: w, Type: typeOf(place.Mode)}
	}
	t.s.Watches = all
	if t.o.paths == NoPaths && t.o.resolve == nil {
		if len(ws) > 0 {
			t.s.gap("path", 0, errNotAsked)
			t.s.gap("type", 0, errNotAsked)
		}
		return nil
	}
	for i, w := range ws {
		if place := &found.Places[i]; place.Path == "" {
			t.s.gap("path", w.WD, place.Err)
			if place.Mode == 0 {
				t.s.gap("type", w.WD, place.Err)
			}
		}
	}
	if found.Decoded {
		t.effect(effectDecoded)
	}
	for _, tree := range found.Searched {
		t.effect(fmt.Sprintf(effectSearched, tree))
	}
	for _, skipped := range found.Skipped {
		t.s.gap("path", 0, fmt.Errorf("%s was not searched: %s", skipped.Path, skipped.Reason))
	}
	return nil
}
