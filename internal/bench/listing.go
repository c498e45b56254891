// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// listWatches lists the watches of one instance with the package, and reads the
// same fdinfo to its end with bare system calls, alternately, groups times each.
// It returns the total duration of each.
func (t task) listWatches() ([]int64, error) {
	paths, err := t.paths(t.count)
	if err != nil {
		return nil, err
	}
	fd, err := addAll(paths)
	if err != nil {
		return nil, err
	}
	n, err := inotify.FromFile(os.NewFile(uintptr(fd), "inotify"))
	if err != nil {
		return nil, err
	}
	defer n.Close()
	fdinfo := "/proc/self/fdinfo/" + strconv.Itoa(fd)
	text, err := os.ReadFile(fdinfo)
	if err != nil {
		return nil, err
	}
	if lines := bytes.Count(text, []byte("\ninotify wd:")); lines != t.count {
		return nil, fmt.Errorf("fdinfo has %d watches, want %d", lines, t.count)
	}
	length := len(text)
	text = nil

	var took [2]time.Duration
	ways := []func() (time.Duration, error){
		func() (time.Duration, error) { return timeWatches(n, t.count) },
		func() (time.Duration, error) { return timeBareRead(fdinfo, length) },
	}
	order := []int{0, 1}
	for range t.groups {
		for _, k := range order {
			runtime.GC() // so that one side's garbage is not collected while the other is timed
			d, err := ways[k]()
			if err != nil {
				return nil, err
			}
			took[k] += d
		}
		slices.Reverse(order)
	}
	return []int64{int64(took[0]), int64(took[1])}, nil
}

// addAll returns a new instance with a watch on each path, with wds from 1 on.
func addAll(paths []string) (fd int, err error) {
	fd, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return -1, os.NewSyscallError("inotify_init1", err)
	}
	for i, path := range paths {
		wd, err := unix.InotifyAddWatch(fd, path, unix.IN_ATTRIB)
		if err == nil && wd != i+1 {
			err = fmt.Errorf("got wd %d, want %d", wd, i+1)
		}
		if err != nil {
			unix.Close(fd)
			return -1, &os.PathError{Op: "inotify_add_watch", Path: path, Err: err}
		}
	}
	return fd, nil
}

func timeWatches(n *inotify.Inotify, count int) (time.Duration, error) {
	start := time.Now()
	ws, err := n.Watches()
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	for i, w := range ws {
		if w.WD != inotify.WD(i+1) || w.Mask != inotify.Attrib || w.Inode == 0 {
			return 0, fmt.Errorf("watch %d is listed as %+v", i+1, w)
		}
	}
	if len(ws) != count {
		return 0, fmt.Errorf("%d watches are listed, want %d", len(ws), count)
	}
	return took, nil
}

func timeBareRead(fdinfo string, length int) (time.Duration, error) {
	const size = 64 << 10 // other sizes are not faster
	buf := make([]byte, size)
	start := time.Now()
	got, err := bareRead(fdinfo, buf)
	took := time.Since(start)
	if err == nil && got != length {
		err = fmt.Errorf("%s has %d bytes, want %d: %w", fdinfo, got, length, io.ErrUnexpectedEOF)
	}
	return took, err
}

// bareRead reads a file to its end and returns its length.
func bareRead(path string, buf []byte) (length int, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Read(fd, buf)
		if n <= 0 || err != nil {
			return length, os.NewSyscallError("read", err)
		}
		length += n
	}
}
