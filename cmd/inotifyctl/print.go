// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// How a watch got its number.
const (
	byAdd   = "added" // the kernel chose it
	byIoctl = "ioctl"
	byCycle = "cycle"
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
	paths map[inotify.WD]string // of the watches that are there
}

func newPrinter(w io.Writer, json bool) *printer {
	return &printer{w: w, json: json, paths: make(map[inotify.WD]string)}
}

// watch prints w. If the same inode came before under another path, its events
// keep that one.
func (p *printer) watch(w added) error {
	if _, known := p.paths[w.wd]; !known {
		p.paths[w.wd] = w.path
	}
	if p.json {
		return p.object(watchObject{
			Watch: checkpoint.Watch{Watch: inotify.Watch{WD: w.wd, Mask: w.mask, Path: w.path}},
			How:   w.how, Steps: w.steps, Seconds: w.elapsed.Seconds(),
		})
	}
	how := w.how
	if how == byCycle {
		how = fmt.Sprintf("cycle, %d steps in %v", w.steps, w.elapsed)
	}
	return p.line(fmt.Sprintf("watch %d (%s): %s", w.wd, how, quote(w.path)))
}

func (p *printer) event(ev inotify.Event) error {
	path, known := p.paths[ev.WD]
	if ev.Mask.Has(inotify.Ignored) {
		delete(p.paths, ev.WD)
	}
	if p.json {
		return p.object(checkpoint.Event(ev))
	}
	if ev.Mask.Has(inotify.QOverflow) {
		return p.line(fmt.Sprintf("%d %v: the queue was full and events were lost: look at the watched paths again (rescan)", ev.WD, ev.Mask))
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

func (p *printer) object(v any) error { return writeObject(p.w, v) }

// writeObject writes v as one line of JSON, with one write.
func writeObject(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escape(b.Bytes()))
	return err
}

// escape has JSON hold nothing that a terminal obeys: the encoder leaves control
// characters beyond ASCII as they are.
func escape(text []byte) []byte {
	var b []byte // a copy, once there is a difference
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		harmless := r == '\n' || strconv.IsPrint(r)
		if !harmless && b == nil {
			b = append(make([]byte, 0, len(text)+64), text[:i]...)
		}
		switch {
		case !harmless:
			for _, unit := range utf16.Encode([]rune{r}) {
				b = fmt.Appendf(b, `\u%04x`, unit)
			}
		case b != nil:
			b = append(b, text[i:i+size]...)
		}
		i += size
	}
	if b == nil {
		return text
	}
	return b
}

// A watchObject is a line of -json for a watch. That for an event is a
// checkpoint.Event.
type watchObject struct {
	Watch   checkpoint.Watch `json:"watch"`
	How     string           `json:"how"`
	Steps   int64            `json:"steps"`
	Seconds float64          `json:"seconds"`
}

// invalid returns s's bytes if it is not valid UTF-8.
func invalid(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}

// join does not clean the path, which would change what it names where it
// leads through symbolic links.
func join(path, name string) string {
	if name == "" || strings.HasSuffix(path, "/") {
		return path + name
	}
	return path + "/" + name
}

// quote returns s as it is if a terminal shows it so, or else as a Go string.
// One that begins with a quotation mark is quoted too, so that the two cannot
// be confused.
func quote(s string) string {
	if s == "" || s[0] == '"' || !printable(s) {
		return strconv.Quote(s)
	}
	return s
}

func printable(s string) bool {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}
