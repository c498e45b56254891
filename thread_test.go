// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// A threadCounter is a context that counts helper threads whenever the cycle checks it.
type threadCounter struct {
	context.Context
	most int
}

func (c *threadCounter) Err() error {
	c.most = max(c.most, helperThreads())
	return c.Context.Err()
}

// helperThreads returns how many helper threads of the cycle run.
func helperThreads() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("\ncreated by github.com/seed10546c08/inotify/internal/assign.(*cycle).startHelper"))
}

// A cycle of 1024 steps or more has a helper thread, if there are two processors and two scratch
// inodes. The thread ends with the cycle.
func TestHelperThread(t *testing.T) {
	const long = 1024
	for _, test := range []struct {
		name   string
		procs  int
		steps  inotify.WD
		inodes int // scratch directories that are not targets; 0 is all
		want   int
	}{
		{"a long cycle", 2, long, 0, 1},
		{"a shorter cycle", 2, long - 1, 0, 0},
		{"one processor", 1, long, 0, 0},
		{"two inodes", 2, long, 2, 1},
		{"one inode", 2, long, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			withoutIoctl(t)
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(test.procs))
			n := newInotify(t)
			first := add(t, n, files(t, 1)[0], inotify.Attrib) + 1 // the first wd of the cycle
			var ws []inotify.Watch
			if test.inodes > 0 {
				ws = allBut(t, test.inodes)
			}
			ws = append(ws, inotify.Watch{Path: files(t, 1)[0], Mask: inotify.Attrib})
			for i := range ws {
				ws[i].WD = first + test.steps - inotify.WD(len(ws)-1-i)
			}
			ctx := &threadCounter{Context: kerneltest.Context(t)}
			if err := n.RestoreWatches(ctx, ws); err != nil {
				t.Fatal(err)
			}
			if ctx.most != test.want {
				t.Errorf("%d helper threads, want %d", ctx.most, test.want)
			}
			for i := 0; helperThreads() > 0; i++ { // a goroutine that ends is counted for a moment
				if i == 1000 {
					t.Fatal("the helper thread has not ended")
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// allBut returns watches on the scratch directories of the cycle, except some.
func allBut(t *testing.T, left int) (ws []inotify.Watch) {
	t.Helper()
	for _, path := range scratchDirs() {
		ws = append(ws, inotify.Watch{Path: path, Mask: inotify.DeleteSelf})
	}
	return ws[:len(ws)-left] // without the last ones, as a test could miss the use of the first
}

// If a system call fails while the helper thread makes steps, its steps are rolled back as well,
// and the error says what could not be.
func TestHelperThreadWhenACallFails(t *testing.T) {
	cmd := child(t, "faults")
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir(), "GOMAXPROCS=2")
	s := kerneltest.Supervise(t, cmd)
	fails := func(op string, rule kerneltest.Rule, more ...kerneltest.Rule) (reported bool) {
		t.Helper()
		rules := append([]kerneltest.Rule{rule, withoutIoctlRule, slowStepsRule}, more...)
		r, err := s.Run(kerneltest.FaultRequest(op, rule.Errno), rules...)
		if err != nil {
			t.Fatal(err)
		}
		var a kerneltest.FaultAnswer
		if err := json.Unmarshal([]byte(r.Answer), &a); err != nil {
			t.Fatal(err, r.Answer)
		}
		if len(a.Broken) > 0 {
			t.Errorf("%v: error %q, broken %q", rule.Errno, a.Err, a.Broken)
		}
		if r.Hits[0] > 0 && !a.Is {
			t.Errorf("error %q does not report %v", a.Err, rule.Errno)
		}
		return a.Is
	}
	const long = "a long RestoreWatch"
	times := func(short, long int) int {
		if kerneltest.LongTests() {
			return long
		}
		return short
	}
	read := func(c *kerneltest.Call) bool { return c.Name == "read" && c.Object == "anon_inode:inotify" }
	for skip := range times(5, 25) {
		fails(long, kerneltest.Rule{For: read, Skip: skip, Count: 1, Errno: unix.ENOMEM})
	}
	for range times(2, 5) {
		first := uint32(0)
		remove := func(c *kerneltest.Call) bool {
			if first == 0 {
				first = c.Thread
			}
			return c.Name == "inotify_rm_watch" && c.Thread != first
		}
		if !fails(long, kerneltest.Rule{For: remove, Count: 1, Errno: unix.EPERM}) {
			t.Log("only one thread made steps")
		}
	}
	// If the first thread has no scratch directory, the helper makes steps while the first reads.
	remove := func(c *kerneltest.Call) bool { return c.Name == "inotify_rm_watch" }
	slowly := kerneltest.Rule{For: read, Delay: 2 * time.Millisecond}
	for skip := range times(8, 40) {
		fails(long+" where the first thread has no scratch directory", kerneltest.Rule{For: remove, Skip: skip, Count: 1, Errno: unix.EPERM}, slowly)
	}
}
