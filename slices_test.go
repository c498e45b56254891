// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// A restore gives way to readers after 300 microseconds, and asks its context then. Where
// each add takes 100, that is after the fourth, or after a climb's group of eight.
func TestSlicesEnd(t *testing.T) {
	const count = 40
	cmd := child(t, "slices")
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir(), "GOMAXPROCS=1")
	s := kerneltest.Supervise(t, cmd)
	slowly := kerneltest.Rule{
		For:   func(c *kerneltest.Call) bool { return c.Name == "inotify_add_watch" && c.Object != "" },
		Delay: 100 * time.Microsecond,
	}
	for _, test := range []struct {
		name        string
		first       inotify.WD // of count numbers
		ioctl       bool
		least, most int // how often the context is asked
	}{
		{"by the ioctl", 10, true, count / 4, count + 2},
		{"by a climb", 2, false, count / 4, count + 3},
		{"by a long climb", 2 + 1040, false, 1040/8 + count/4, 1040/8 + count + 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules := []kerneltest.Rule{slowly}
			if !test.ioctl {
				rules = append(rules, withoutIoctlRule)
			} else {
				needIoctl(t)
			}
			r, err := s.Run(fmt.Sprint(test.first, " ", count), rules...)
			if err != nil {
				t.Fatal(err)
			}
			asked, err := strconv.Atoi(r.Answer)
			if err != nil {
				t.Fatal(r.Answer)
			}
			if asked < test.least || asked > test.most {
				t.Errorf("the context was asked %d times, want %d to %d", asked, test.least, test.most)
			}
		})
	}
}

// An askedContext counts how often it is asked.
type askedContext struct {
	context.Context
	asked atomic.Int64
}

func (c *askedContext) Err() error {
	c.asked.Add(1)
	return c.Context.Err()
}

func (c *askedContext) times() int { return int(c.asked.Load()) }

// childSlices restores as many watches as it is told, from a number on, and says how
// often the context was asked.
func childSlices() error {
	return kerneltest.Obey(func(request string) string {
		ctx := &askedContext{Context: context.Background()}
		if err := restoreNumbered(ctx, request); err != nil {
			return strings.ReplaceAll(err.Error(), "\n", " ")
		}
		return fmt.Sprint(ctx.times())
	})
}

func restoreNumbered(ctx context.Context, request string) error {
	var first, count int
	if _, err := fmt.Sscan(request, &first, &count); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "slices")
	if err != nil {
		return err
	}
	ws, err := numberedIn(dir, first, count)
	if err != nil {
		return err
	}
	n, err := inotify.New()
	if err != nil {
		return err
	}
	defer n.Close()
	kerneltest.Watched(func() { err = n.RestoreWatches(ctx, ws) })
	return err
}

// numberedIn makes files in a directory, and a batch of watches on them from a number on.
// It is for child processes.
func numberedIn(dir string, first, count int) (ws []inotify.Watch, err error) {
	for i := range count {
		w := inotify.Watch{WD: inotify.WD(first + i), Path: filepath.Join(dir, fmt.Sprint(i)), Mask: inotify.Attrib}
		if err := mknod(w.Path); err != nil {
			return nil, err
		}
		ws = append(ws, w)
	}
	return ws, nil
}
