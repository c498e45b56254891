// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// dumpByHandle dumps an instance of another process, with paths found by file handles.
func (t task) dumpByHandle() ([]int64, error) { return t.dump(checkpoint.PathsByHandle) }

// dumpBySearch dumps it with paths found by a search.
func (t task) dumpBySearch() ([]int64, error) { return t.dump(checkpoint.PathsBySearch) }

func (t task) dump(how checkpoint.Paths) ([]int64, error) {
	paths, err := t.paths(t.count)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	s, err := checkpoint.DumpFD(context.Background(), t.pid, t.fd, checkpoint.WithPaths(how))
	took := time.Since(start)
	if err != nil {
		return nil, err
	}
	return []int64{int64(took)}, isDumped(s, paths)
}

// isDumped returns an error unless the snapshot has a watch on each path, with wds
// from 1 on.
func isDumped(s *checkpoint.Snapshot, paths []string) error {
	for _, g := range s.Unknown {
		if g.WD != 0 {
			return fmt.Errorf("unknown: %v", g)
		}
	}
	if len(s.Watches) != len(paths) {
		return fmt.Errorf("found %d watches, want %d", len(s.Watches), len(paths))
	}
	for i, w := range s.Watches {
		if w.WD != inotify.WD(i+1) || w.Path != paths[i] || w.Mask != inotify.Attrib || w.Type != checkpoint.TypeRegular {
			return fmt.Errorf("found %+v for the watch %d on %s", w, i+1, paths[i])
		}
	}
	return nil
}

// hold makes an instance with a watch on each path, with wds from 1 on, prints
// its descriptor and holds it until its standard input is closed. It also keeps
// the files open: the kernel has no path for a file that is not in its cache.
func (t task) hold() ([]int64, error) {
	paths, err := t.paths(t.count)
	if err != nil {
		return nil, err
	}
	fd, err := addAll(paths)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for _, path := range paths {
		if _, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
	fmt.Println(fd)
	_, err = io.Copy(io.Discard, os.Stdin)
	return nil, err
}

// tryHandle returns why the handle of a file cannot be opened, or nil.
func tryHandle(path string) error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		return os.NewSyscallError("name_to_handle_at", err)
	}
	mount, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer mount.Close()
	fd, err := unix.OpenByHandleAt(int(mount.Fd()), handle, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("open_by_handle_at", err)
	}
	return unix.Close(fd)
}
