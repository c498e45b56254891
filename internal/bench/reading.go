// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
	"unsafe"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// A writer causes events by writing to the files of a directory in turn. The
// kernel would merge two equal events in a row.
type writer struct {
	names []string
	files []*os.File
}

func newWriter(dir string, count int) (*writer, error) {
	w := &writer{}
	for i := range count {
		name := fmt.Sprint("name", i)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		w.names, w.files = append(w.names, name), append(w.files, f)
	}
	return w, nil
}

// sums are computed from events, to verify that all were read correctly.
type sums struct {
	events, masks, lengths int
}

// fill causes events and returns the sums of events with this mask. It makes raw system calls,
// as the peer does. After thousands of calls that the Go runtime knows of, the thread by which
// it watches them wakes up often, and slows down the reading that follows.
func (w *writer) fill(events, mask int) (sums, error) {
	var want sums
	b := []byte("x")
	for i := range events {
		k := i % len(w.files)
		if _, _, err := unix.RawSyscall6(unix.SYS_PWRITE64, w.files[k].Fd(), uintptr(unsafe.Pointer(&b[0])), 1, 0, 0, 0); err != 0 {
			return want, os.NewSyscallError("pwrite", err)
		}
		want.events++
		want.masks += mask
		want.lengths += len(w.names[k])
	}
	return want, nil
}

// readAll causes count events, one batch at a time, as the kernel's queue is
// limited, and returns how long read took to read them all.
func (t task) readAll(mask int, read func(events int) (sums, error)) ([]int64, error) {
	w, err := newWriter(t.path, t.names)
	if err != nil {
		return nil, err
	}
	var took time.Duration
	for left := t.count; left > 0; left -= t.batch {
		want, err := w.fill(min(left, t.batch), mask)
		if err != nil {
			return nil, err
		}
		runtime.Gosched() // with a new time slice, so that the runtime does not move the reader in the middle
		start := time.Now()
		got, err := read(want.events)
		took += time.Since(start)
		if err != nil {
			return nil, err
		}
		if got != want {
			return nil, fmt.Errorf("read events with the sums %+v, want %+v", got, want)
		}
	}
	return []int64{int64(took)}, nil
}

// add adds an event of this library, or reports that it is not one that was caused.
func (s *sums) add(ev *inotify.Event, err error) error {
	if err != nil || ev.Mask.Has(inotify.QOverflow) {
		return fmt.Errorf("an event is missing: %v, %w", *ev, errOr(err))
	}
	s.events++
	s.masks += int(ev.Mask)
	s.lengths += len(ev.Name)
	return nil
}

func (t task) readEvent() ([]int64, error) {
	return t.readWith(func(n *inotify.Inotify, events int) (got sums, err error) {
		for range events {
			ev, err := n.ReadEvent()
			if err := got.add(&ev, err); err != nil {
				return got, err
			}
		}
		return got, nil
	})
}

func (t task) readEvents() ([]int64, error) {
	buf := make([]inotify.Event, 64)
	return t.readWith(func(n *inotify.Inotify, events int) (got sums, err error) {
		for got.events < events {
			some, err := n.ReadEvents(buf)
			if err != nil {
				return got, err
			}
			for i := range buf[:some] {
				if err := got.add(&buf[i], nil); err != nil {
					return got, err
				}
			}
		}
		return got, nil
	})
}

func (t task) rangeOverEvents() ([]int64, error) {
	return t.readWith(func(n *inotify.Inotify, events int) (got sums, err error) {
		for ev, err := range n.Events(context.Background()) {
			if err := got.add(&ev, err); err != nil {
				return got, err
			}
			if got.events == events {
				break
			}
		}
		return got, nil
	})
}

// readWith causes events on a new instance and reads them with read.
func (t task) readWith(read func(n *inotify.Inotify, events int) (sums, error)) ([]int64, error) {
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	if _, err := n.AddWatch(t.path, inotify.Modify); err != nil {
		return nil, err
	}
	return t.readAll(int(inotify.Modify), func(events int) (sums, error) { return read(n, events) })
}

// fsnotify receives from fsnotify's channel. Fsnotify's goroutine already reads
// while the events are being caused, which is not timed. Its names are paths.
func (t task) fsnotify() ([]int64, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Add(t.path); err != nil {
		return nil, err
	}
	go func() {
		for err := range w.Errors { // such as an overflow, after which fewer events would come than are waited for
			fmt.Fprintln(os.Stderr, "worker fsnotify:", err)
			os.Exit(1)
		}
	}()
	prefix := len(t.path) + len("/")
	return t.readAll(int(fsnotify.Write), func(events int) (sums, error) {
		var got sums
		for range events {
			ev := <-w.Events
			got.events++
			got.masks += int(ev.Op)
			got.lengths += len(ev.Name) - prefix
		}
		return got, nil
	})
}
