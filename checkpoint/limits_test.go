// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// fewFiles calls do with no free descriptor, then with one, two and so on, until it succeeds.
// It checks that each error before is EMFILE, and that no descriptor leaks.
func fewFiles(t *testing.T, what string, do func() error) {
	t.Helper()
	open := kerneltest.OpenDescriptors()
	for more := range 40 {
		var err error
		kerneltest.WithFiles(t, more, func() { err = do() })
		if now := kerneltest.OpenDescriptors(); !slices.Equal(open, now) {
			t.Fatalf("%s with %d descriptors: open descriptors %q, before %q", what, more, now, open)
		}
		if err == nil {
			if more == 0 {
				t.Errorf("%s needs no descriptor", what)
			}
			return
		}
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s with %d descriptors: %v", what, more, err)
		}
	}
	t.Errorf("%s fails with 40 descriptors", what)
}

// errListed stands for a gap whose reason is EMFILE.
var errListed = fmt.Errorf("listed as unknown: %w", unix.EMFILE)

// allPaths returns an error if paths of the watches are unknown because of EMFILE.
func allPaths(t *testing.T, s *checkpoint.Snapshot, want []string) error {
	t.Helper()
	for i, w := range s.Watches {
		if w.Path == want[i] {
			continue
		}
		if reported := fmt.Sprint(s.Unknown); w.Path != "" || !strings.Contains(reported, unix.EMFILE.Error()) {
			t.Errorf("watch %+v, want path %q; unknown: %v", w, want[i], reported)
		}
		return errListed
	}
	if reported := fmt.Sprint(s.Unknown); strings.Contains(reported, unix.EMFILE.Error()) {
		return errListed
	}
	return nil
}

func TestFewDescriptors(t *testing.T) {
	if !kerneltest.Again(t, &syscall.SysProcAttr{}) {
		return
	}
	needLists(t)
	paths := files(t, 3)
	dir := filepath.Dir(paths[0])
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	n := newInotify(t)
	for i, path := range paths {
		restoreWatch(t, n, inotify.WD(i+1), path, inotify.Attrib)
		h.do("watch", fmt.Sprint(i+1), "IN_ATTRIB", path)
	}
	try := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	try(os.Chmod(paths[1], 0o600))
	pid, fd := h.pid, h.fd()
	h.stop()
	searched := []checkpoint.DumpOption{checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(dir), checkpoint.WithMaxSearchEntries(50)}
	fewFiles(t, "Dump", func() error {
		s, err := checkpoint.Dump(kerneltest.Context(t), n, searched...)
		if err != nil {
			return err
		}
		return allPaths(t, s, paths)
	})
	fewFiles(t, "DumpFD", func() error {
		s, err := checkpoint.DumpFD(kerneltest.Context(t), pid, fd, searched...)
		if err != nil {
			return err
		}
		return allPaths(t, s, paths)
	})
	fewFiles(t, "Instances", func() error {
		found, err := checkpoint.Instances(context.Background(), pid)
		if err == nil && (len(found) != 1 || found[0].Watches != 3) {
			t.Errorf("instances %v", found)
		}
		return err
	})
	s, err := checkpoint.Dump(kerneltest.Context(t), n, searched...)
	try(err)
	fewFiles(t, "Restore", func() error {
		r, err := s.Restore(kerneltest.Context(t))
		if err != nil {
			return err
		}
		defer r.Close()
		wantSame(t, watches(t, r.Inotify), watches(t, n))
		return nil
	})
	h.resume()
	want := inotify.Event{WD: 2, Mask: inotify.Attrib}
	wantEvents(t, tryAll(t, n), want)
	if got := h.do("events"); got != lines([]inotify.Event{want}) {
		t.Errorf("the other process's events: %q", got)
	}
}

// With max_queued_events 16, on a kernel of the test's own: a drain returns the events that
// fit, and neither a drain nor a restore adds an overflow.
func TestSmallQueue(t *testing.T) {
	kerneltest.SetKernel(t, "max_queued_events", 16)
	for _, count := range []int{3, 15, 16, 40} {
		dir := t.TempDir()
		h := startHolder(t, 0, os.Geteuid())
		h.do("new")
		h.do("watch", "1", "IN_CREATE", dir)
		n := newInotify(t)
		restoreWatch(t, n, 1, dir, inotify.Create)
		var want []inotify.Event
		for i := range count {
			name := fmt.Sprint("e", i)
			touch(t, filepath.Join(dir, name))
			if i < 16 {
				want = append(want, inotify.Event{WD: 1, Mask: inotify.Create, Name: name})
			}
		}
		if count > 16 {
			want = append(want, overflow)
		}
		s := dump(t, n, checkpoint.WithDrain())
		wantEvents(t, s.Pending, want...)
		wantEvents(t, tryAll(t, n))
		fd := h.fd()
		h.stop()
		s, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd, checkpoint.WithDrain())
		if err != nil {
			t.Fatal(err)
		}
		wantEvents(t, s.Pending, want...)
		h.resume()
		if rest := h.do("events"); rest != "" {
			t.Errorf("events are still queued: %q", rest)
		}
	}
	n := newInotify(t)
	for i, path := range files(t, 40) {
		restoreWatch(t, n, inotify.WD(10*i+10), path, inotify.Attrib)
	}
	r := restore(t, dump(t, n))
	wantSame(t, watches(t, r.Inotify), watches(t, n))
	wantEvents(t, queued(t, r))
}

// At the limit of watches the restored next wd cannot be read back, which is listed. It is
// right nevertheless.
func TestNextWDAtTheLimit(t *testing.T) {
	if !kerneltest.Again(t, kerneltest.OwnUsers(t)) {
		return
	}
	needIoctl(t)
	n := newInotify(t)
	for i, path := range files(t, 2) {
		restoreWatch(t, n, inotify.WD(i+1), path, inotify.Attrib)
	}
	if err := n.SetNextWD(50); err != nil {
		t.Fatal(err)
	}
	s := dump(t, n)
	n.Close()
	kerneltest.OwnLimit(t, "max_inotify_watches", 2)
	r := restore(t, s)
	if reported := gaps(r.NotRestored, "next_wd"); len(reported) != 1 || !strings.Contains(reported[0].Reason, "max_inotify_watches (now 2)") {
		t.Errorf("not restored: %v", r.NotRestored)
	}
	kerneltest.OwnLimit(t, "max_inotify_watches", 3)
	if next, err := r.Inotify.NextWD(); next != 50 || err != nil {
		t.Errorf("the next wd is %d, %v", next, err)
	}
}
