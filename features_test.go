// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/sys"
)

// The Have functions agree with how the calls behave.
func TestHave(t *testing.T) {
	n := newInotify(t)
	add(t, n, t.TempDir(), inotify.Create)
	ws, _ := n.Watches()
	for _, test := range []struct {
		name string
		have func() error
		want bool
	}{
		{"HaveSetNextWD", inotify.HaveSetNextWD, hasIoctl(t)},
		{"HaveMaskCreate", inotify.HaveMaskCreate, hasMaskCreate(t)},
		{"HaveWatchList", inotify.HaveWatchList, len(ws) == 1},
	} {
		for range 2 {
			err := test.have()
			if test.want != (err == nil) {
				t.Errorf("%s: %v, but it works: %t", test.name, err, test.want)
			}
			if err != nil && (!errors.As(err, new(*inotify.UnsupportedError)) || !errors.Is(err, errors.ErrUnsupported)) {
				t.Errorf("%s: error %v (%T), want an UnsupportedError", test.name, err, err)
			}
		}
	}
}

// A probe that a limit prevents returns the error and is repeated by the next call.
func TestHaveIsNotCachedAfterALimit(t *testing.T) {
	if !kerneltest.Again(t, nil) {
		return
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	newInotify(t) // so that the runtime has opened the poller's descriptors
	haves := []func() error{inotify.HaveSetNextWD, inotify.HaveMaskCreate, inotify.HaveWatchList}
	none := limit
	none.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	for i, have := range haves {
		err := have()
		if !errors.Is(err, unix.EMFILE) || errors.Is(err, errors.ErrUnsupported) || !errors.As(err, new(*inotify.LimitError)) {
			t.Errorf("%d: error %v (%T), want a LimitError", i, err, err)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for i, have := range haves {
		if err := have(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%d: error %v", i, err)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	for i, have := range haves { // the kernel's answer is cached
		if err := have(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%d: error %v without descriptors", i, err)
		}
	}
}

// The errno in the error distinguishes a seccomp profile that forbids the ioctl from a kernel
// without it.
func TestHaveSetNextWDSaysWhy(t *testing.T) {
	needIoctl(t)
	if !kerneltest.Again(t, nil) {
		return
	}
	withoutIoctlAs(t, unix.EPERM)
	for range 2 { // the second answer is the cached one
		err := inotify.HaveSetNextWD()
		var unsupported *inotify.UnsupportedError
		if !errors.As(err, &unsupported) || unsupported.Err != unix.EPERM {
			t.Errorf("error %v (%+v), want an UnsupportedError of EPERM", err, unsupported)
		}
	}
}

// An errno that says nothing about the kernel is not cached either.
func TestHaveIsNotCachedAfterAnError(t *testing.T) {
	needIoctl(t)
	if !kerneltest.Again(t, nil) {
		return
	}
	failCalls(t, unix.SYS_IOCTL, 1, uint32(sys.SetNextRequest(runtime.GOARCH)), false, unix.EIO)
	wantError(t, inotify.HaveSetNextWD(), unix.EIO)
	elsewhere := make(chan error)
	go func() { elsewhere <- inotify.HaveSetNextWD() }() // on a thread without the filter
	if err := <-elsewhere; err != nil {
		t.Error(err)
	}
}
