// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// Tests at the limits of fs.inotify.*, on a kernel that was started for the test.

// At fs.inotify.max_user_instances, New returns a LimitError that names it.
func TestKernelsLimitOfInstances(t *testing.T) {
	l := newLive(t)
	kerneltest.SetKernel(t, "max_user_instances", 1)
	_, err := inotify.New()
	wantLimit(t, err, unix.EMFILE, "inotify_init1", "fs.inotify.max_user_instances (now 1)", "raise")
	l.check()
	kerneltest.SetKernel(t, "max_user_instances", 100)
	newInotify(t)
}

// At fs.inotify.max_user_watches, adds and restores return a LimitError that names it.
func TestKernelsLimitOfWatches(t *testing.T) {
	l := newLive(t)
	paths := files(t, 6)
	kerneltest.SetKernel(t, "max_user_watches", 4)
	err := l.n.RestoreWatches(kerneltest.Context(t), batchOf(paths, 20))
	wantLimit(t, err, unix.ENOSPC, "inotify_add_watch", filepath.Base(paths[3]), "fs.inotify.max_user_watches (now 4)", "raise")
	l.check()
	kerneltest.SetKernel(t, "max_user_watches", 1)
	_, err = l.n.AddWatch(paths[0], inotify.Attrib)
	wantLimit(t, err, unix.ENOSPC, "inotify_add_watch", paths[0], "fs.inotify.max_user_watches (now 1)")
	l.check()
	kerneltest.SetKernel(t, "max_user_watches", 100)
	if err := l.n.RestoreWatches(kerneltest.Context(t), batchOf(paths, 60)); err != nil {
		t.Error(err)
	}
}

// With a queue of 16 events, no operation causes an overflow itself, and the events that fitted
// are delivered.
func TestKernelsLimitOfEvents(t *testing.T) {
	kerneltest.SetKernel(t, "max_queued_events", 16)
	t.Run("ioctl", func(t *testing.T) { smallQueue(t, 3000) })
	t.Run("cycle", func(t *testing.T) {
		withoutIoctl(t)
		smallQueue(t, 3000)
	})
	t.Run("batch", func(t *testing.T) {
		l := newLive(t)
		paths := files(t, 80)
		if err := l.n.RestoreWatches(kerneltest.Context(t), batchOf(paths, 200)); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, pending(t, l.n), l.want...)
	})
	t.Run("rollback", func(t *testing.T) {
		l := newLive(t)
		paths := files(t, 80)
		batch := batchOf(paths, 200)
		if err := os.Link(paths[0], paths[0]+".link"); err != nil {
			t.Fatal(err)
		}
		batch[79].Path = paths[0] + ".link" // fails after all others were added
		wantError(t, l.n.RestoreWatches(kerneltest.Context(t), batch), unix.EEXIST)
		l.check()
	})
	t.Run("overflow", func(t *testing.T) {
		l := newLive(t)
		for range 20 {
			l.makeEvent()
		}
		wantError(t, l.n.RestoreWatch(kerneltest.Context(t), 300, filepath.Join(t.TempDir(), "gone"), inotify.Attrib), unix.ENOENT)
		evs := pending(t, l.n)
		wantEvents(t, evs, append(slices.Clone(l.want[:16]), inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow})...)
		l.want = nil
		l.check()
	})
}

// smallQueue restores a watch while events are queued, and causes more during progress.
func smallQueue(t *testing.T, wd inotify.WD) {
	l := newLive(t)
	path := files(t, 1)[0]
	made := 0
	progress := func(inotify.Progress) {
		if made++; made < 5 {
			l.makeEvent()
		}
	}
	if err := l.n.RestoreWatch(kerneltest.Context(t), wd, path, inotify.Attrib, inotify.WithProgress(progress)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	l.want = append(l.want, inotify.Event{WD: wd, Mask: inotify.Attrib})
	wantEvents(t, pending(t, l.n), l.want...)
}
