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
	"slices"
	"time"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// makeSnapshot writes a snapshot to the file path, of an instance with count
// watches from the number first on.
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
	// Not by handle, which takes a privilege.
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

// isWhole returns an error unless the snapshot has everything to restore, and to
// prove, count watches from the number first on.
func (t task) isWhole(s *checkpoint.Snapshot) error {
	switch {
	case len(s.Unknown) > 0:
		return fmt.Errorf("not learned: %v", s.Unknown)
	case len(s.Watches) != t.count:
		return fmt.Errorf("it has %d watches, not %d", len(s.Watches), t.count)
	case s.NextWD != inotify.WD(t.first+t.count):
		return fmt.Errorf("the next number is %d, not %d", s.NextWD, t.first+t.count)
	case s.BootID == "":
		return errors.New("it has no boot id")
	}
	for i, w := range s.Watches {
		if w.WD != inotify.WD(t.first+i) || w.Mask != inotify.Attrib || w.Path == "" || w.Type != checkpoint.TypeRegular ||
			w.Inode == 0 || w.Handle == (inotify.Handle{}) {
			return fmt.Errorf("watch %d is %+v", t.first+i, w)
		}
	}
	return nil
}

// restoreProved restores the snapshot in the file path, with the proof that is
// the default on the machine that it was taken on.
func (t task) restoreProved() ([]int64, error) { return t.restoreSnapshot() }

// restoreUnproved restores it without a proof.
func (t task) restoreUnproved() ([]int64, error) {
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
	runtime.GC() // what the reading left
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
	gaps := slices.DeleteFunc(slices.Clone(r.NotRestored), func(g checkpoint.Gap) bool {
		return g.Field == checkpoint.FieldInode // compared below, where Restore was asked not to
	})
	if len(gaps) > 0 || len(r.Destroyed) > 0 {
		return fmt.Errorf("not restored: %v, destroyed: %v", gaps, r.Destroyed)
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
