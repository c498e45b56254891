// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed10546c08/inotify"
)

// Paths says how to find the paths of watches, which the kernel does not store.
type Paths int

const (
	// PathsByHandle opens each watch's file handle with O_PATH, reads the path of what
	// was opened and compares it with the watch. It is the default. It needs
	// CAP_DAC_READ_SEARCH and a filesystem that can open handles: not overlayfs without
	// nfs_export, procfs or sysfs; FUSE and others only with WithAllFilesystems. To open
	// a handle that is not cached, the kernel may read directories above it. Watches on
	// those get [inotify.Open], [inotify.Access] and [inotify.CloseNoWrite].
	PathsByHandle Paths = iota

	// PathsNone finds no paths and has no side effects. A watch can then be restored
	// only on a file that the caller supplies (WithFileFor).
	PathsNone

	// PathsBySearch does as PathsByHandle, and then walks the filesystems of the watches
	// whose paths are still unknown. It needs the right to read the directories. Watches
	// on them get [inotify.Open], [inotify.Access] and [inotify.CloseNoWrite].
	PathsBySearch
)

// A DumpOption changes what is dumped, and how.
type DumpOption func(*dumpOptions)

type dumpOptions struct {
	paths            Paths
	searchDirs       []string
	maxSearchEntries int
	allFilesystems   bool
	resolve          func(inotify.Watch) (string, error)
	progress         func(int)
	drain            bool
}

// WithPaths sets how to find paths.
func WithPaths(p Paths) DumpOption { return func(o *dumpOptions) { o.paths = p } }

// WithSearchDirs makes a search begin below these directories. They are paths in the
// process's root directory and mount namespace.
func WithSearchDirs(dirs ...string) DumpOption { return func(o *dumpOptions) { o.searchDirs = dirs } }

// WithMaxSearchEntries limits how many directory entries a search reads. A search that reaches
// the limit ends there. 0, the default, is no limit. The context limits the time.
func WithMaxSearchEntries(n int) DumpOption {
	return func(o *dumpOptions) { o.maxSearchEntries = n }
}

// WithAllFilesystems also opens handles, looks up paths and walks directories on FUSE,
// autofs and network filesystems. Calls on these may block, past the context's end, too,
// and may mount something. Without this option the paths of their watches are unknown: the
// stopped process may be the one that serves the filesystem.
func WithAllFilesystems() DumpOption { return func(o *dumpOptions) { o.allFilesystems = true } }

// WithResolver calls f first for the path of each watch. f returns "" for a path that it
// does not know. A path from f is compared with the watch like any other path.
func WithResolver(f func(inotify.Watch) (path string, err error)) DumpOption {
	return func(o *dumpOptions) { o.resolve = f }
}

// WithProgress calls f about ten times a second during a search, with the number of
// directory entries that were read.
func WithProgress(f func(entries int)) DumpOption {
	return func(o *dumpOptions) { o.progress = f }
}

// WithDrain moves the pending events from the instance to the snapshot, and for an
// instance of another process determines the next wd. The events are read before paths are
// searched, so that the snapshot has no events caused by the search.
//
// To drain an instance of another process, every process that has the instance must be
// stopped, by SIGSTOP, a freezer or ptrace. If one runs, the error matches [ErrNotStopped].
// This is checked before and after the dump, for the given process and, by reading /proc, for
// all others. If some of those cannot be read or do not answer for a second, Unknown lists
// [FieldStopped].
//
// While events are read, the instance has O_NONBLOCK. If this process is killed meanwhile,
// the instance keeps it and the events are lost.
//
// If events were read and the dump then fails, the snapshot is returned with the error.
func WithDrain() DumpOption { return func(o *dumpOptions) { o.drain = true } }

// Dump returns a snapshot of n, an instance of this process. It leaves the instance
// unchanged, unless [WithDrain] is given: the next wd is read and set back
// ([inotify.Inotify.NextWD]), which others who read the instance may notice.
//
// What could not be determined is listed in Unknown. The next wd is unknown if O_ASYNC is
// set, because reading it would signal the owner. If others change the instance during the
// dump, the snapshot may be inconsistent.
//
// Dump fails if the watches cannot be listed: with an error that matches
// [errors.ErrUnsupported] on a kernel that lists none (gVisor), and [os.ErrClosed] if n is
// closed. If ctx ends, the error is its cause.
func Dump(ctx context.Context, n *inotify.Inotify, opts ...DumpOption) (*Snapshot, error) {
	d := newDumper(opts)
	if err := d.dumpSelf(ctx, n); err != nil {
		return d.result(fmt.Errorf("checkpoint: dump: %w", err))
	}
	return d.result(nil)
}

// DumpFD returns a snapshot of the instance that process pid has open as descriptor fd.
// It adds nothing to the instance and changes no counter, unless [WithDrain] is given.
// Without WithDrain the next wd and the pending events are unknown, but not PendingBytes.
// A missing right is not an error: Unknown lists what could not be determined without it.
//
// The process should be stopped. If it runs, the snapshot may be inconsistent, but it is
// always of one instance: everything is read through one duplicate of the descriptor.
//
// If the main thread of the process has exited, fd is a descriptor of its other threads. For
// a thread with its own descriptors (CLONE_FILES), pid is the thread's id. A thread's descriptor
// can be duplicated from Linux 6.9 on; before, the dump has only what fdinfo shows.
//
// DumpFD fails with [ErrNotInotify] if the descriptor is not an inotify descriptor, with
// [ErrReplaced] if the process replaced it during the dump, with [ErrOtherNamespace] if /proc
// is of another pid namespace, with [ErrNoAnswer] if the process does not answer for
// a second, and with an error that matches [errors.ErrUnsupported] if the kernel lists no
// watches. If ctx ends, the error is its cause. Calls on other processes are made on
// separate threads, as [Instances] does.
func DumpFD(ctx context.Context, pid, fd int, opts ...DumpOption) (*Snapshot, error) {
	d := newDumper(opts)
	if err := d.dumpProcess(ctx, pid, fd); err != nil {
		return d.result(fmt.Errorf("checkpoint: dump descriptor %d of process %d: %w", fd, pid, err))
	}
	return d.result(nil)
}

// A dumper makes one snapshot.
type dumper struct {
	opts    dumpOptions
	s       *Snapshot
	drained bool // events were read from the instance and are only in s now
}

func newDumper(opts []DumpOption) *dumper {
	d := &dumper{s: new(Snapshot)}
	for _, o := range opts {
		o(&d.opts)
	}
	return d
}

// result returns the snapshot, with an error only if it has events that were drained.
func (d *dumper) result(err error) (*Snapshot, error) {
	if !d.drained {
		if err != nil {
			return nil, err
		}
		return d.s, nil
	}
	reason := errNoIgnored
	if err != nil && d.s.Watches == nil {
		reason = err
		d.s.addGap(FieldWatches, 0, err)
	}
	for _, wd := range d.s.orphanedWDs() {
		d.s.addGap(FieldPending, wd, reason)
	}
	return d.s, err
}

// errNoIgnored is the reason of an event whose watch has ended and whose IN_IGNORED is not
// pending: it was read before, or lost when the queue was full. An event that was being
// queued when the watch ended comes after its IN_IGNORED.
var errNoIgnored = errors.New("the watch has ended, and its IN_IGNORED is not among the pending events")
