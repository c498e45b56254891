// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed10546c08/inotify"
	"golang.org/x/sys/unix"
)

// A tree reports what appears in a directory and in all directories below it. It misses
// nothing that is created while its watches are being added, and reports each path once
// for as long as it exists.
type tree struct {
	n     *inotify.Inotify
	paths map[inotify.WD]string // of the watched directories
	known map[string]bool       // the paths that were reported
}

const treeMask = inotify.Create | inotify.Delete | inotify.Move | inotify.OnlyDir | inotify.DontFollow

// add watches a directory and what is below it, and reports what it finds there.
// It adds the watch first and lists the directory second: what another process creates in
// between is in the list, in an event, or in both.
func (t *tree) add(dir string, report func(path string)) error {
	wd, err := t.n.AddWatch(dir, treeMask)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil // it is gone or was replaced; the directory above reports that
	}
	if err != nil {
		return err
	}
	t.paths[wd] = dir // also when the directory was moved here and has its old wd
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := t.found(filepath.Join(dir, e.Name()), e.IsDir(), report); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) found(path string, isDir bool, report func(path string)) error {
	if !t.known[path] {
		t.known[path] = true
		report(path)
	}
	if isDir {
		return t.add(path, report)
	}
	return nil
}

// gone forgets a path and what was below it. It removes their watches, because a directory
// that was moved away is still watched.
func (t *tree) gone(path string) error {
	below := func(p string) bool { return p == path || strings.HasPrefix(p, path+"/") }
	for p := range t.known {
		if below(p) {
			delete(t.known, p)
		}
	}
	for wd, p := range t.paths {
		if !below(p) {
			continue
		}
		if err := t.n.RemoveWatch(wd); err != nil && !errors.Is(err, inotify.ErrNoWatch) { // ErrNoWatch: it ended by itself
			return err
		}
	}
	return nil
}

// repair makes up for lost events. It scans the tree again and builds new maps, which leaves
// out the wds of directories that no longer exist: their Ignored may be lost. It removes the
// watches that the kernel still lists but the scan did not find: their directories were moved
// away.
func (t *tree) repair(root string, report func(path string)) error {
	known := t.known
	t.paths, t.known = map[inotify.WD]string{}, map[string]bool{}
	err := t.add(root, func(path string) {
		if !known[path] {
			report(path)
		}
	})
	if err != nil {
		return err
	}
	watches, err := t.n.Watches()
	if err != nil {
		return err
	}
	for _, w := range watches {
		if _, found := t.paths[w.WD]; found {
			continue
		}
		if err := t.n.RemoveWatch(w.WD); err != nil && !errors.Is(err, inotify.ErrNoWatch) {
			return err
		}
	}
	return nil
}

// watch reports paths until ctx ends, and returns its error.
func (t *tree) watch(ctx context.Context, root string, report func(path string)) error {
	if err := t.add(root, report); err != nil {
		return err
	}
	for ev, err := range t.n.Events(ctx) {
		if err != nil {
			return err
		}
		dir, watched := t.paths[ev.WD]
		path := filepath.Join(dir, ev.Name)
		switch {
		case ev.Mask.Has(inotify.QOverflow): // events were lost
			err = t.repair(root, report)
		case ev.Mask.Has(inotify.Ignored): // not earlier: the other events of the watch come before this one
			delete(t.paths, ev.WD)
		case !watched:
		case ev.Mask.Has(inotify.Create | inotify.MovedTo):
			err = t.found(path, ev.Mask.Has(inotify.IsDir), report)
		case ev.Mask.Has(inotify.Delete | inotify.MovedFrom):
			err = t.gone(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A tree of directories is watched, including those created while it is watched.
func Example_recursive() {
	root, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()

	go func() {
		deep := filepath.Join(root, "a", "b", "c")
		if err := os.MkdirAll(deep, 0o700); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(deep, "hello"), nil, 0o600); err != nil {
			log.Fatal(err)
		}
	}()

	t := &tree{n: n, paths: map[inotify.WD]string{}, known: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	err = t.watch(ctx, root, func(path string) {
		fmt.Println(strings.TrimPrefix(path, root))
		if filepath.Base(path) == "hello" {
			cancel()
		}
	})
	fmt.Println(err)
	// Output:
	// /a
	// /a/b
	// /a/b/c
	// /a/b/c/hello
	// context canceled
}
