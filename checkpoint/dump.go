// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed10546c08/inotify"
)

// Paths says how far a snapshot goes to find the watches' paths, which the kernel
// does not keep.
type Paths int

const (
	// PathsByHandle opens each file handle that fdinfo prints, with O_PATH, reads
	// back its path and compares what is there with the watch. It needs
	// CAP_DAC_READ_SEARCH, and a filesystem that can open handles (not overlayfs
	// without nfs_export, procfs, sysfs; nor FUSE and others, see WithAllFilesystems).
	// To open a handle that is not cached, the kernel may read directories above it,
	// which watchers of those see as [inotify.Open], [inotify.Access] and
	// [inotify.CloseNoWrite]. It is the default.
	PathsByHandle Paths = iota

	// PathsNone looks for none. Nobody sees anything of it. A watch can then be
	// restored only through a file that the caller supplies.
	PathsNone

	// PathsBySearch walks the filesystems in which watches are left whose paths
	// were not found by handle. It needs no privilege but to read the directories.
	// Watchers of these see that: [inotify.Open], [inotify.Access] and
	// [inotify.CloseNoWrite].
	PathsBySearch
)

// A DumpOption changes what is taken, and how.
type DumpOption func(*dumpOptions)

type dumpOptions struct {
	paths          Paths
	hints          []string
	maxEntries     int
	allFilesystems bool
	resolve        func(inotify.Watch) (string, error)
	progress       func(int)
	drain          bool
}

// WithPaths sets how far to go to find paths.
func WithPaths(p Paths) DumpOption { return func(o *dumpOptions) { o.paths = p } }

// WithSearchDirs has a search look below these directories first, as the process sees
// them.
func WithSearchDirs(dirs ...string) DumpOption { return func(o *dumpOptions) { o.hints = dirs } }

// WithMaxSearchEntries bounds how many directory entries a search looks at. The context
// bounds its time.
func WithMaxSearchEntries(n int) DumpOption { return func(o *dumpOptions) { o.maxEntries = n } }

// WithAllFilesystems has handles opened, paths looked up and trees walked on FUSE,
// autofs and network filesystems, too, which may wait for long, also past the
// context's end, or do something when they are looked at. Without it their watches'
// paths are not learned: a stopped process may be the one that serves them.
func WithAllFilesystems() DumpOption { return func(o *dumpOptions) { o.allFilesystems = true } }

// WithResolver has f asked first for the path of each watch. It may return "".
// What it returns is compared with the watch like any other path.
func WithResolver(f func(inotify.Watch) (path string, err error)) DumpOption {
	return func(o *dumpOptions) { o.resolve = f }
}

// WithProgress has f called about ten times a second while a search is under
// way, with the number of entries looked at.
func WithProgress(f func(entries int)) DumpOption {
	return func(o *dumpOptions) { o.progress = f }
}

// WithDrain drains the pending events, and determines the next wd of another process's
// instance. The instance does not have the events any more. They are drained before paths
// are searched, so that the snapshot has no event that the search caused.
//
// Every process that has another process's instance must be stopped, by SIGSTOP, a
// freezer or ptrace. This is checked first, and again at the end, for the process asked
// about and for all others whose descriptors can be read, for which /proc is read. Those that
// cannot be read, or do not answer for a second, are a gap of FieldStopped in Unknown. While
// the events are drained and the watches listed, the instance does not block; if this
// program is killed just then, it stays so.
//
// After an error the snapshot is returned with it if events were drained.
func WithDrain() DumpOption { return func(o *dumpOptions) { o.drain = true } }

// Dump takes an instance of one's own. It opens no directory for reading unless
// [PathsBySearch] is asked for, and leaves the instance as it was: the next number
// is probed and put back ([inotify.Inotify.NextWD]), and the events stay, unless
// [WithDrain] takes them. Others who read the same instance may see that probing: it
// is listed in SideEffects. Where an owner is signalled at each event (O_ASYNC), the next
// number is not learned, as probing would signal him.
//
// What could not be learned is listed in Unknown. An error is returned where
// the watches could not be listed, for one for which errors.Is(err,
// [errors.ErrUnsupported]) holds where the kernel lists none (gVisor); when n is closed
// ([os.ErrClosed]) or ctx ends. If others change the instance meanwhile, the
// snapshot may have some of that and not the rest.
func Dump(ctx context.Context, n *inotify.Inotify, opts ...DumpOption) (*Snapshot, error) {
	t := taker{s: new(Snapshot)}
	for _, o := range opts {
		o(&t.o)
	}
	if err := t.own(ctx, n); err != nil {
		return t.result(fmt.Errorf("checkpoint: taking an instance: %w", err))
	}
	return t.result(nil)
}

// DumpFD takes the instance that process pid has as descriptor fd. If the main thread of the
// process has exited, the descriptor is that of its other threads. For the descriptor of a
// thread that has a table of its own, by unshare(CLONE_FILES), pid is the thread's id (Linux
// 6.9; before it, as much as is known without a duplicate of the descriptor). It leaves the
// instance as it was: it adds nothing to it and moves no counter, so that the next
// number and the pending events are not learned unless [WithDrain] is given; the
// number of their bytes is. Where it lacks a right, it does without and says so in
// Unknown. SideEffects lists what others may see of it.
//
// Everything is read through one duplicate of the descriptor. The process should be stopped:
// of one that is running, the snapshot may be torn, with some of what it did meanwhile and not
// the rest; it is of one instance in any case.
//
// It fails where the descriptor is not an inotify descriptor or the process replaced it
// meanwhile, its fdinfo may not be read, /proc is of another pid namespace, or the kernel lists
// no watches there (errors.Is [errors.ErrUnsupported]).
//
// A process that does not answer for a second is an error that matches
// [os.ErrDeadlineExceeded]; if ctx ends first, the error is the context's cause. Calls on
// processes are made on threads of DumpFD's own, as by [Instances].
func DumpFD(ctx context.Context, pid, fd int, opts ...DumpOption) (*Snapshot, error) {
	t := taker{s: new(Snapshot)}
	for _, o := range opts {
		o(&t.o)
	}
	if err := t.other(ctx, pid, fd); err != nil {
		return t.result(fmt.Errorf("checkpoint: taking descriptor %d of process %d: %w", fd, pid, err))
	}
	return t.result(nil)
}

// A taker makes one snapshot.
type taker struct {
	o       dumpOptions
	s       *Snapshot
	drained bool // events were taken, which are nowhere else
}

// result returns the snapshot; with an error only if it has what is nowhere else.
func (t *taker) result(err error) (*Snapshot, error) {
	if !t.drained {
		if err != nil {
			return nil, err
		}
		return t.s, nil
	}
	why := errUnexplained
	if err != nil && t.s.Watches == nil {
		why = err
		t.s.addGap(FieldWatches, 0, err)
	}
	for _, wd := range t.s.unexplained() {
		t.s.addGap(FieldPending, wd, why)
	}
	return t.s, err
}

// errUnexplained is why an event's watch is not in the snapshot, nor its IN_IGNORED. This was
// read before, or lost when the queue was full; an event that was being reported when the watch
// ended comes after it.
var errUnexplained = errors.New("the watch has ended, and its IN_IGNORED is not among the pending events")
