// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package requeue_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/requeue"
)

// An atCall is a context that calls do at the nth call of Err. If at is 0, it never does.
type atCall struct {
	context.Context
	calls, at int
	do        func()
}

func (c *atCall) Err() error {
	if c.calls++; c.calls == c.at {
		c.do()
	}
	return nil
}

// countCalls returns how many times Fill calls Err, once the rehearsal is done. The events are
// then in n's queue, and at is 0.
func (c *atCall) countCalls(t *testing.T, n *inotify.Inotify, events []inotify.Event) int {
	t.Helper()
	fill(t, n, events, requeue.Options{}) // makes the rehearsal
	kerneltest.Pending(t, n)
	c.at, c.calls = 0, 0
	if _, err := requeue.Fill(c, n, events, requeue.Options{}); err != nil {
		t.Fatal(err)
	}
	return c.calls
}

// If another reader removes a record, the queue does not have the expected size. Then Fill
// fails and leaves no events, rather than wrong ones.
func TestOtherReader(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	file := must(n.File())
	defer file.Close()
	fd := kerneltest.FD(t, file)
	c := atCall{Context: context.Background(), do: func() { // reads a record
		buf := make([]byte, 32)
		if n, _ := unix.Read(fd, buf[:16]); n <= 0 {
			unix.Read(fd, buf)
		}
	}}
	for _, events := range [][]inotify.Event{
		parse(t, "3 ATTRIB", "4 ATTRIB", "5 ATTRIB", "3 OPEN"),
		parse(t, "3 ATTRIB", "OVERFLOW", "4 ATTRIB", "5 ATTRIB"),
	} {
		calls := c.countCalls(t, n, events)
		wantSame(t, kerneltest.Pending(t, n), events)
		for _, before := range []int{12, 6, 4, 0} { // the last calls are for the events, and for reading the junk
			c.at, c.calls = calls-before, 0
			if _, err := requeue.Fill(&c, n, events, requeue.Options{}); err == nil {
				wantSame(t, kerneltest.Pending(t, n), events)
			}
			wantEmpty(t, n)
		}
	}
}

// If another process removes one of the watches for junk, Fill removes the other.
func TestJunkWatchIsRemoved(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	file := must(n.File())
	defer file.Close()
	fd := kerneltest.FD(t, file)
	events := parse(t, "3 ATTRIB", "4 ATTRIB")
	fill(t, n, events, requeue.Options{}) // makes the rehearsal
	kerneltest.Pending(t, n)
	for _, wd := range []uint32{math.MaxInt32, math.MaxInt32 - 1} {
		c := atCall{Context: context.Background(), at: 5, do: func() { unix.InotifyRmWatch(fd, wd) }}
		if _, err := requeue.Fill(&c, n, events, requeue.Options{}); !errors.Is(err, inotify.ErrNoWatch) {
			t.Errorf("error %v after watch %d was removed", err, wd)
		}
		wantWatches(t, n)
		wantEmpty(t, n)
	}
}

// A kernel that queues a different record of the same size is detected by the rehearsal on
// another instance. The test makes capset do nothing, so that truncating a set-user-ID file
// does not change its attributes.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	if !kerneltest.Again(t, nil) {
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("this needs CAP_FSETID")
	}
	kerneltest.FailCalls(t, unix.SYS_CAPSET, 0, 0, true, 0)
	n := kerneltest.NewInotify(t)
	wantError := func(want string, opts requeue.Options, lines ...string) {
		t.Helper()
		_, err := requeue.Fill(context.Background(), n, parse(t, lines...), opts)
		if err == nil && want != "" || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if err != nil {
			wantEmpty(t, n)
		}
		kerneltest.Pending(t, n)
	}
	const different = "on this kernel is wd 7 IN_MODIFY, want wd 7 IN_MODIFY|IN_ATTRIB"
	wantError("rehearsal: record 3 "+different, requeue.Options{}, "3 ATTRIB")
	wantError("rehearsal: record 3 "+different, requeue.Options{}, "3 ATTRIB")
	wantError("", requeue.Options{Rehearse: true}, "3 ATTRIB")
	wantError("rehearsal: record 1 "+different, requeue.Options{Rehearse: true}, "3 ATTRIB", "7 MODIFY|ATTRIB")
}

// No read waits for records that nobody makes, though another holder of the instance has
// cleared O_NONBLOCK.
func TestReadDoesNotSleep(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	file := must(n.File())
	defer file.Close()
	fd := kerneltest.FD(t, file)
	c := atCall{Context: context.Background(), do: func() { // takes all records, so that a read would sleep
		buf := make([]byte, 1<<16)
		for n := 1; n > 0; n, _ = unix.Read(fd, buf) {
		}
		unix.SetNonblock(fd, false)
	}}
	events := parse(t, "3 ATTRIB", "4 ATTRIB", "5 ATTRIB", "3 OPEN")
	calls := c.countCalls(t, n, events)
	for _, before := range []int{calls - 5, 4, 1} {
		kerneltest.Pending(t, n)
		c.at, c.calls = calls-before, 0
		if _, err := requeue.Fill(&c, n, events, requeue.Options{}); err == nil {
			t.Errorf("no error of records that are taken %d calls before the end", before)
		}
		wantEmpty(t, n)
		if nonblock, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); nonblock&unix.O_NONBLOCK == 0 {
			t.Errorf("O_NONBLOCK is not set, %v", err)
			unix.SetNonblock(fd, true)
		}
	}
}

// An indexer opens the files in a directory when the context is asked.
type indexer struct {
	context.Context
	dir  string
	open []*os.File
}

func (i *indexer) Err() error {
	paths, _ := filepath.Glob(i.dir + "/*/w*")
	for _, path := range paths {
		if f, err := os.Open(path); err == nil && len(i.open) < 10 {
			i.open = append(i.open, f)
		}
	}
	return nil
}

// A file that another process has open does not end its watch when it is removed.
func TestScratchFileIsOpen(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	events := parse(t, "7 ATTRIB", "7 DELETE_SELF", "3 CREATE 0 x", "7 IGNORED")
	fill(t, n, events, requeue.Options{}) // with the rehearsal
	kerneltest.Pending(t, n)
	i := indexer{Context: context.Background(), dir: t.TempDir()}
	_, err := requeue.Fill(&i, n, events, requeue.Options{Scratch: i.dir})
	if err == nil || !strings.Contains(err.Error(), "IN_DELETE_SELF: another process has the scratch file open") {
		t.Errorf("error %v with %d files open", err, len(i.open))
	}
	wantEmpty(t, n)
	for _, f := range i.open {
		f.Close()
	}
	wantEmpty(t, n)
}
