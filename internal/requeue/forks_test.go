// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package requeue_test

import (
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/requeue"
)

// A process that is being started has all open files until it executes its program. So a
// file that Fill closes is not always closed by that, and a mount is not unmounted.
func TestForks(t *testing.T) {
	kerneltest.NeedIoctl(t)
	for _, tt := range []struct {
		name          string
		need          func(*testing.T)
		times, rounds int
		lines         []string
	}{
		{"close", func(*testing.T) {}, 32, 2, []string{
			"3 CLOSE_WRITE 0 a", "7 CLOSE_WRITE", "8 MODIFY|ATTRIB", "3 CLOSE_NOWRITE 0 a", "8 CLOSE_NOWRITE", "7 DELETE_SELF", "7 IGNORED",
			"3 CLOSE_NOWRITE|ISDIR", "4 CLOSE_NOWRITE|ISDIR 0 d", "8 DELETE_SELF", "3 CREATE 0 b", "8 IGNORED",
		}},
		{"unmount", needMounts, 8, 1, []string{
			"3 CREATE 0 a", "10 UNMOUNT", "10 IGNORED", "11 UNMOUNT|ISDIR", "3 CREATE 0 b", "11 IGNORED",
			"10 UNMOUNT", "3 CREATE 0 c", "10 IGNORED",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.need(t)
			if kerneltest.LongTests() {
				tt.rounds *= 50
			}
			n := kerneltest.NewInotify(t)
			events := slices.Repeat(parse(t, tt.lines...), tt.times)
			defer startForks(t)()
			for range tt.rounds {
				got, r := refill(t, n, events, requeue.Options{})
				wantSame(t, got, events)
				if wantChanges(t, r); t.Failed() {
					return
				}
			}
		})
	}
}

// startForks starts processes all the time, until it is stopped: at once (vfork), and, if
// that is possible, in user namespaces, where the parent goes on before its child executes
// the program.
func startForks(t *testing.T) (stop func()) {
	program, err := exec.LookPath("true")
	if err != nil {
		t.Skip("this needs a program to start: ", err)
	}
	attrs := []*syscall.SysProcAttr{nil, {Cloneflags: unix.CLONE_NEWUSER}, {Cloneflags: unix.CLONE_NEWUSER}}
	var stopped atomic.Bool
	var all sync.WaitGroup
	for _, attr := range attrs {
		kerneltest.Go(&all, func() {
			for !stopped.Load() {
				cmd := exec.Command(program)
				cmd.SysProcAttr = attr
				if cmd.Run() != nil {
					return
				}
			}
		})
	}
	return func() {
		stopped.Store(true)
		all.Wait()
	}
}
