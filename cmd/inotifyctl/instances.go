// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/seed10546c08/inotify/checkpoint"
)

// What ls and who have in common.

// dumpInstance dumps an instance by the first of its descriptors that can be read.
func dumpInstance(ctx context.Context, i checkpoint.Instance, opts ...checkpoint.DumpOption) (s *checkpoint.Snapshot, err error) {
	for _, d := range i.Descriptors {
		s, err = checkpoint.DumpFD(ctx, cmp.Or(d.TID, d.PID), d.FD, opts...)
		if err == nil {
			break
		}
	}
	return s, err
}

// A holding has the descriptors of an instance that a process, or one of its threads, has.
type holding struct {
	pid, tid int
	fds      []int
}

// holdings returns which processes and threads have an instance, in ascending order of pid and
// tid.
func holdings(i checkpoint.Instance) []holding {
	var hs []holding
	for _, d := range i.Descriptors {
		if k := len(hs); k > 0 && hs[k-1].pid == d.PID && hs[k-1].tid == d.TID {
			hs[k-1].fds = append(hs[k-1].fds, d.FD)
		} else {
			hs = append(hs, holding{d.PID, d.TID, []int{d.FD}})
		}
	}
	return hs
}

// descriptors returns "3, 5", or "3, 5 of thread 12".
func (h holding) descriptors() string {
	if h.tid != 0 {
		return fmt.Sprintf("%s of thread %d", list(h.fds), h.tid)
	}
	return list(h.fds)
}

type processObject struct {
	PID          int    `json:"pid"`
	TID          int    `json:"tid,omitempty"` // the thread that has the descriptors, if not all threads do
	Command      string `json:"command"`
	CommandBytes []byte `json:"command_bytes,omitempty"`
	FDs          []int  `json:"fds"`
}

func processObjects(i checkpoint.Instance) (objects []processObject) {
	for _, h := range holdings(i) {
		name := commandOf("/proc", h.pid)
		objects = append(objects, processObject{PID: h.pid, TID: h.tid, Command: name, CommandBytes: invalidUTF8(name), FDs: h.fds})
	}
	return objects
}

// A sideEffects prints the side effects of several dumps, each once.
type sideEffects struct {
	verbose bool
	printed map[checkpoint.SideEffect]bool
}

func (e *sideEffects) print(stderr io.Writer, s *checkpoint.Snapshot) {
	for _, effect := range s.SideEffects {
		if e.verbose && !e.printed[effect] {
			note(stderr, "side effect", effect.String())
			if e.printed == nil {
				e.printed = make(map[checkpoint.SideEffect]bool)
			}
			e.printed[effect] = true
		}
	}
}

// hiddenLines returns lines that say which processes are missing from a list.
func hiddenLines(c *usageByUser) (lines []string) {
	if n := len(c.unreadable); n > 0 {
		line := count(n, "process", "processes") + " could not be read and may have more"
		switch first := oneLine(reason(c.unreadable[0])); {
		case os.Geteuid() != 0:
			line += " (run it as root)"
		case n == 1:
			line += " (" + first + ")"
		default:
			line += " (the first: " + first + ")"
		}
		lines = append(lines, line)
	}
	// Process 1 always runs.
	if _, err := os.Lstat("/proc/1"); errors.Is(err, fs.ErrNotExist) {
		lines = append(lines, "processes of other users are hidden: /proc is mounted with hidepid")
	}
	return lines
}
