// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// An overlay is a directory with the layers of an overlayfs and its mount point.
// It is mounted only in the mount namespace of a worker.
type overlay string

func (o overlay) lower() string { return filepath.Join(string(o), "lower") }
func (o overlay) upper() string { return filepath.Join(string(o), "upper") }
func (o overlay) work() string  { return filepath.Join(string(o), "work") }
func (o overlay) tree() string  { return filepath.Join(string(o), "tree") }
func (o overlay) list() string  { return filepath.Join(string(o), "list") } // the paths of the files to watch

// makeDirs makes the directories that are not there yet.
func (o overlay) makeDirs() error {
	var err error
	for _, dir := range []string{o.lower(), o.upper(), o.work(), o.tree()} {
		err = errors.Join(err, os.MkdirAll(dir, 0o700))
	}
	return err
}

const (
	perLeaf   = 100 // files in a directory
	perBranch = 100 // directories in one above
)

// makeFiles fills the lower layer with a tree of count files, and writes a list
// of watched of them, spread evenly.
func (o overlay) makeFiles(ctx context.Context, count, watched int) error {
	f, err := os.Create(o.list())
	if err != nil {
		return err
	}
	defer f.Close()
	list := bufio.NewWriter(f)
	step, listed := count/watched, 0
	for i := range count {
		leaf := i / perLeaf
		dir := filepath.Join(fmt.Sprint("b", leaf/perBranch), fmt.Sprint("d", leaf))
		if i%perLeaf == 0 {
			if err := errors.Join(os.MkdirAll(filepath.Join(o.lower(), dir), 0o700), ctx.Err()); err != nil {
				return err
			}
		}
		name := filepath.Join(dir, fmt.Sprint("f", i))
		path := filepath.Join(o.lower(), name)
		if err := unix.Mknod(path, unix.S_IFREG|0o600, 0); err != nil {
			return &os.PathError{Op: "mknod", Path: path, Err: err}
		}
		if i%step == step/2 && listed < watched {
			fmt.Fprintln(list, filepath.Join(o.tree(), name))
			listed++
		}
	}
	if err := list.Flush(); err != nil {
		return err
	}
	return unix.Syncfs(int(f.Fd()))
}

// mount mounts the layers without file handles (nfs_export=off).
func (o overlay) mount() error {
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,nfs_export=off", o.lower(), o.upper(), o.work())
	if err := unix.Mount("overlay", o.tree(), "overlay", 0, options); err != nil {
		return &os.PathError{Op: "mount overlay", Path: o.tree(), Err: err}
	}
	return nil
}

// cache calls lstat on each file, so that all are in the kernel's cache before
// either side is measured.
func (o overlay) cache() error {
	return filepath.WalkDir(o.tree(), func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			_, err = d.Info()
		}
		return err
	})
}

// hasOverlay returns 1 if an overlayfs can be mounted, with the directories at
// path. Like all tasks that mount, it needs a mount namespace of its own.
func (t task) hasOverlay() ([]int64, error) {
	if err := overlay(t.path).mount(); err != nil {
		return nil, err
	}
	return []int64{1}, nil
}

// holdOverlay mounts the overlayfs at path and calls hold.
func (t task) holdOverlay() ([]int64, error) {
	o := overlay(t.path)
	if err := o.mount(); err != nil {
		return nil, err
	}
	if err := o.cache(); err != nil {
		return nil, err
	}
	return t.hold()
}
