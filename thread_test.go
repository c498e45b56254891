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

// A threadCounter is a context that counts the library's own goroutines whenever a climb
// asks whether it may go on.
type threadCounter struct {
	context.Context
	most int
}

func (c *threadCounter) Err() error {
	c.most = max(c.most, ownGoroutines())
	return c.Context.Err()
}

// ownGoroutines returns how many helper threads of the cycle there are.
func ownGoroutines() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("\ncreated by github.com/seed10546c08/inotify/internal/assign.(*cycle).startHelper"))
}

// A climb has a second thread from 1024 steps on, where there are two processors and
// two inodes for it. That ends with the climb.
func TestHelperThread(t *testing.T) {
	const long = 1024
	for _, test := range []struct {
		name   string
		procs  int
		steps  inotify.WD
		inodes int // that are left; 0 is all
		want   int
	}{
		{"a long climb", 2, long, 0, 1},
		{"a climb that is not long", 2, long - 1, 0, 0},
		{"one processor", 1, long, 0, 0},
		{"two inodes", 2, long, 2, 1},
		{"one inode", 2, long, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			withoutIoctl(t)
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(test.procs))
			n := newInotify(t)
			first := add(t, n, files(t, 1)[0], inotify.Attrib) + 1 // the climb's first
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
				t.Errorf("%d threads more, want %d", ctx.most, test.want)
			}
			for i := 0; ownGoroutines() > 0; i++ { // one that has ended may be there for a moment
				if i == 1000 {
					t.Fatal("the thread is still there")
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// allBut makes watches on the directories that a climb uses, but for some.
func allBut(t *testing.T, left int) (ws []inotify.Watch) {
	t.Helper()
	for _, path := range scratchDirs() {
		ws = append(ws, inotify.Watch{Path: path, Mask: inotify.DeleteSelf})
	}
	return ws[:len(ws)-left] // the last are left, as the first is easily overlooked
}

// Whatever fails while the second thread makes steps, what it did is taken back, too, and
// told where that cannot be.
func TestHelperThreadWhenACallFails(t *testing.T) {
	cmd := child(t, "faults")
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir(), "GOMAXPROCS=2")
	s := kerneltest.Supervise(t, cmd)
	fails := func(op string, rule kerneltest.Rule, more ...kerneltest.Rule) (told bool) {
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
			t.Errorf("error %q does not tell of %v", a.Err, rule.Errno)
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
	// Where the first thread has no inode left, the second makes steps while the first reads.
	remove := func(c *kerneltest.Call) bool { return c.Name == "inotify_rm_watch" }
	slowly := kerneltest.Rule{For: read, Delay: 2 * time.Millisecond}
	for skip := range times(8, 40) {
		fails(long+" where the first thread has no inode", kerneltest.Rule{For: remove, Skip: skip, Count: 1, Errno: unix.EPERM}, slowly)
	}
}
