// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// If a shared instance is closed during a rollback, all watches of the restore are removed all the
// same.
func TestRollbackOfClosedInstance(t *testing.T) {
	needIoctl(t)
	s := kerneltest.Supervise(t, child(t, "closed rollback"))
	slowly := func(name string, skip int) kerneltest.Rule {
		return kerneltest.Rule{
			For:  func(c *kerneltest.Call) bool { return c.Name == name },
			Skip: skip, Count: 1, Delay: 100 * time.Millisecond,
		}
	}
	last := kerneltest.Rule{ // so that all watches are listed before the rollback
		For:   func(c *kerneltest.Call) bool { return filepath.Base(c.Object) == "missing" },
		Delay: 50 * time.Millisecond,
	}
	noDuplicate := kerneltest.Rule{
		For:   func(c *kerneltest.Call) bool { return c.Name == "fcntl F_DUPFD_CLOEXEC" },
		Errno: unix.EMFILE,
	}
	for _, test := range []struct {
		name  string
		left  int // Close comes when so many are left
		rules []kerneltest.Rule
	}{
		{"while they are removed", closedRollbackCount - 10, []kerneltest.Rule{slowly("inotify_rm_watch", 10)}},
		{"when they have been", 0, []kerneltest.Rule{slowly("inotify_init1", 0)}},
		{"when they have been, without a duplicate", 0, []kerneltest.Rule{slowly("inotify_init1", 0), noDuplicate}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 5 {
				r, err := s.Run(fmt.Sprint(test.left), append(test.rules, last)...)
				if err != nil {
					t.Fatal(err)
				}
				switch r.Answer {
				case tooFast:
					continue
				case "none":
				default:
					t.Error(r.Answer)
				}
				return
			}
			t.Skip("this needs to list the watches during the rollback, which was over each time")
		})
	}
}

// tooFast is the child's answer if the rollback was over before it closed the instance.
const tooFast = "too fast"

func childClosedRollback() error {
	return kerneltest.Serve(func(request string) string {
		left, err := closedRollback(request)
		if err != nil {
			return fmt.Sprintf("%q", err)
		}
		return left
	})
}

const closedRollbackCount = 200

// closedRollback makes a restore fail after its last watch, closes the instance when the requested
// number of watches is left for a while, and returns the watches that are left in the end.
func closedRollback(request string) (left string, err error) {
	const count = closedRollbackCount
	var few int
	if _, err := fmt.Sscan(request, &few); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "rollback")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	ws, err := makeBatchIn(dir, 10, count)
	if err != nil {
		return "", err
	}
	ws = append(ws, inotify.Watch{WD: 10 + count, Path: dir + "/missing", Mask: inotify.Attrib})
	n, err := inotify.New()
	if err != nil {
		return "", err
	}
	shared, err := n.File()
	if err != nil {
		return "", err
	}
	other, err := inotify.FromFile(shared)
	if err != nil {
		return "", err
	}
	defer other.Close()
	closed, over := make(chan error, 1), make(chan struct{})
	late := false
	go func() {
		if waitForFew(other, few, over) {
			err := n.Close()
			select {
			case <-over:
				late = true
			default:
			}
			closed <- err
		}
		close(closed)
	}()
	kerneltest.Traced(func() { err = n.RestoreWatches(context.Background(), ws) })
	close(over)
	if e := <-closed; e != nil {
		return "", e
	}
	if n.Close() == nil || late {
		return tooFast, nil
	}
	if !errors.Is(err, unix.ENOENT) || !errors.Is(err, os.ErrClosed) {
		return "", fmt.Errorf("error %w, want ENOENT and ErrClosed", err)
	}
	still, err := other.Watches()
	if len(still) > 0 {
		return fmt.Sprint(still), err
	}
	return "none", err
}

// waitForFew waits until there were watches and few are left for a while. It returns false if the
// rollback is over before.
func waitForFew(n *inotify.Inotify, few int, over <-chan struct{}) bool {
	for seen, same := false, 0; same < 5; {
		select {
		case <-over:
			return false
		default:
		}
		count := countWatches(n)
		seen = seen || count > 0
		if same++; !seen || count != few {
			same = 0
		}
		runtime.Gosched()
	}
	return true
}

// countWatches counts an instance's watches without a call that the rules delay.
func countWatches(n *inotify.Inotify) (count int) {
	conn, err := n.SyscallConn()
	if err != nil {
		return 0
	}
	conn.Control(func(fd uintptr) {
		text, _ := os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", fd))
		count = strings.Count(string(text), "inotify wd:")
	})
	return count
}
