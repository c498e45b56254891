// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// makeSnapshot writes a snapshot of an instance with count watches, from the wd first on, to
// the file path.
func (t task) makeSnapshot() ([]int64, error) {
	paths, err := t.paths(t.count)
	if err != nil {
		return nil, err
	}
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	if err := n.RestoreWatches(context.Background(), t.watches(paths)); err != nil {
		return nil, err
	}
	// Not by handle, which needs a privilege.
	s, err := checkpoint.Dump(context.Background(), n, checkpoint.WithPaths(checkpoint.PathsNone),
		checkpoint.WithResolver(func(w inotify.Watch) (string, error) { return paths[int(w.WD)-t.first], nil }))
	if err != nil {
		return nil, err
	}
	if err := t.isWhole(s); err != nil {
		return nil, fmt.Errorf("the snapshot: %w", err)
	}
	f, err := os.Create(t.path)
	if err != nil {
		return nil, err
	}
	_, err = s.WriteTo(f)
	return []int64{int64(len(s.Watches))}, errors.Join(err, f.Close())
}

// isWhole returns an error unless the snapshot has everything that is needed to restore and
// verify count watches from the wd first on.
func (t task) isWhole(s *checkpoint.Snapshot) error {
	switch {
	case len(s.Unknown) > 0:
		return fmt.Errorf("unknown: %v", s.Unknown)
	case len(s.Watches) != t.count:
		return fmt.Errorf("%d watches, want %d", len(s.Watches), t.count)
	case s.NextWD != inotify.WD(t.first+t.count):
		return fmt.Errorf("next wd is %d, want %d", s.NextWD, t.first+t.count)
	case s.BootID == "":
		return errors.New("no boot id")
	}
	for i, w := range s.Watches {
		if w.WD != inotify.WD(t.first+i) || w.Mask != inotify.Attrib || w.Path == "" || w.Type != checkpoint.TypeRegular ||
			w.Inode == 0 || w.Handle == (inotify.Handle{}) {
			return fmt.Errorf("watch %d is %+v", t.first+i, w)
		}
	}
	return nil
}

// restoreVerified restores the snapshot in the file path and verifies it by identity, which is
// the default on the boot that it was dumped on.
func (t task) restoreVerified() ([]int64, error) { return t.restoreSnapshot() }

// restoreUnverified restores it without verification.
func (t task) restoreUnverified() ([]int64, error) {
	return t.restoreSnapshot(checkpoint.WithVerify(checkpoint.VerifyNone))
}

// restoreSnapshot restores the snapshot and returns how long that took, but not
// how long the close does.
func (t task) restoreSnapshot(opts ...checkpoint.RestoreOption) ([]int64, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := checkpoint.Read(f)
	if err != nil {
		return nil, err
	}
	if err := t.isWhole(s); err != nil {
		return nil, fmt.Errorf("the snapshot: %w", err)
	}
	runtime.GC() // the garbage of Read
	start := time.Now()
	r, err := s.Restore(context.Background(), opts...)
	took := time.Since(start)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return []int64{int64(took)}, isRestored(s, r)
}

// isRestored returns an error unless all of the snapshot was restored.
func isRestored(s *checkpoint.Snapshot, r *checkpoint.Restored) error {
	for _, g := range r.NotRestored {
		if g.Field != checkpoint.FieldInode { // which VerifyNone does not compare
			return fmt.Errorf("not restored: %v", r.NotRestored)
		}
	}
	if len(r.Destroyed) > 0 {
		return fmt.Errorf("destroyed: %v", r.Destroyed)
	}
	live, err := checkpoint.Dump(context.Background(), r.Inotify, checkpoint.WithPaths(checkpoint.PathsNone))
	if err != nil {
		return err
	}
	if diffs := s.Compare(live); len(diffs) > 0 {
		return fmt.Errorf("restored, but %v", diffs[0])
	}
	return nil
}
