// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// Each operation makes exactly the system calls that testdata/calls.txt lists.
func TestCalls(t *testing.T) {
	t.Parallel()
	needIoctl(t)
	if _, err := os.Stat("/proc/sys/fs/inotify/max_queued_events"); err != nil {
		t.Skip("this needs the sysctls that some operations read: ", err)
	}
	f := faultTest(t, func(op *faultOp) bool { return op.name != "Events" }) // it reads like ReadEvent
	f.Ops = slices.DeleteFunc(f.Ops, func(op kerneltest.FaultOp) bool { return op.Way == slowSteps })
	f.Kind = func(c *kerneltest.Call) string {
		if strings.Contains(c.Object, "/faults") {
			return kerneltest.KindOf(&kerneltest.Call{Name: c.Name, Object: filepath.Base(c.Object)})
		}
		return kindOf(c)
	}
	f.Calls(t, "testdata/calls.txt", foldCycle)
}

// foldCycle puts the steps of a cycle into one line, without the calls that look at the queue:
// the clock decides after how many steps those are made.
func foldCycle(calls []string) (folded []string) {
	const add, remove = "inotify_add_watch " + scratchKind, "inotify_rm_watch watch #"
	if !slices.Contains(calls, "statx "+scratchKind) {
		return calls
	}
	calls = slices.DeleteFunc(calls, func(c string) bool {
		return c == "ioctl FIONREAD anon_inode:inotify" || c == "read anon_inode:inotify"
	})
	calls = slices.CompactFunc(calls, func(a, b string) bool { // the number of reads depends on the number of mounts
		return a == b && strings.HasPrefix(a, "read /proc/") && strings.HasSuffix(a, "/mountinfo")
	})
	for i := 0; i < len(calls); i++ {
		if calls[i] != add {
			folded = append(folded, calls[i])
			continue
		}
		added, removed := 0, 0
		for ; i < len(calls) && (calls[i] == add || calls[i] == remove); i++ {
			if calls[i] == add {
				added++
			} else {
				removed++
			}
		}
		folded = append(folded, fmt.Sprintf("%d steps of the cycle, %d scratch watches removed", added, removed))
		i--
	}
	return folded
}
