// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// Where the wd of a watch came from.
const (
	howAdded = "added" // the kernel chose it
	howIoctl = "ioctl"
	howCycle = "cycle"
)

// An added is a watch that was added.
type added struct {
	wd      inotify.WD
	path    string
	mask    inotify.Mask
	how     string
	steps   int64 // of the cycle
	elapsed time.Duration
}

// A printer prints watches and events with one write a line, so that none
// waits in a buffer.
type printer struct {
	w     io.Writer
	json  bool
	paths map[inotify.WD]string // of the watches that are left
}

func newPrinter(w io.Writer, json bool) *printer {
	return &printer{w: w, json: json, paths: make(map[inotify.WD]string)}
}

// watch prints w. If the same file was added before under another path, its events are
// printed with that path.
func (p *printer) watch(w added) error {
	if _, known := p.paths[w.wd]; !known {
		p.paths[w.wd] = w.path
	}
	if p.json {
		return writeObject(p.w, watchObject{
			Watch: checkpoint.Watch{Watch: inotify.Watch{WD: w.wd, Mask: w.mask, Path: w.path}},
			How:   w.how, Steps: w.steps, Seconds: w.elapsed.Seconds(),
		})
	}
	how := w.how
	if how == howCycle {
		how = fmt.Sprintf("cycle, %s in %v", count(int(w.steps), "step", "steps"), w.elapsed)
	}
	return p.line(fmt.Sprintf("watch %d (%s): %s", w.wd, how, quote(w.path)))
}

func (p *printer) event(ev inotify.Event) error {
	path, known := p.paths[ev.WD]
	if ev.Mask.Has(inotify.Ignored) {
		delete(p.paths, ev.WD)
	}
	if p.json {
		return writeObject(p.w, checkpoint.Event(ev))
	}
	if ev.Mask.Has(inotify.QOverflow) {
		return p.line(fmt.Sprintf("%d %v: the queue was full and events were lost: rescan the watched paths", ev.WD, ev.Mask))
	}
	line := fmt.Sprintf("%d %v", ev.WD, ev.Mask)
	if ev.Cookie != 0 {
		line += fmt.Sprintf(" cookie %d", ev.Cookie)
	}
	if known {
		path = join(path, ev.Name)
	} else {
		path = ev.Name
	}
	if path != "" {
		line += " " + quote(path)
	}
	return p.line(line)
}

func (p *printer) line(s string) error {
	_, err := io.WriteString(p.w, s+"\n")
	return err
}

// A watchObject is a line of -json for a watch. That for an event is a
// checkpoint.Event.
type watchObject struct {
	Watch   checkpoint.Watch `json:"watch"`
	How     string           `json:"how"`
	Steps   int64            `json:"steps"`
	Seconds float64          `json:"seconds"`
}

// join joins a directory and a name. It does not clean the path: LINK/.. may lead to another
// directory than the one without both.
func join(path, name string) string {
	if name == "" || strings.HasSuffix(path, "/") {
		return path + name
	}
	return path + "/" + name
}
