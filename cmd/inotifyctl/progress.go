// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed10546c08/inotify"
)

// A bar shows the progress of a cycle, a search or the filling of a queue on a terminal.
type bar struct {
	w     io.Writer // nil shows nothing
	drawn bool
}

const (
	barWidth  = 20
	clearLine = "\r\x1b[K"
)

// drawCycle shows the progress of an add/remove cycle.
func (b *bar) drawCycle(p inotify.Progress) { b.draw(barText(p)) }

// drawSearch shows the progress of a search, which has no known end.
func (b *bar) drawSearch(entries int) {
	b.draw(fmt.Sprintf("searching: %s read", count(entries, "directory entry", "directory entries")))
}

// drawQueue shows the progress of putting pending events into a queue.
func (b *bar) drawQueue(done, total int) {
	b.draw(fmt.Sprintf("filling the queue: %s records", gauge(int64(done), int64(total))))
}

func (b *bar) draw(text string) {
	if b.w != nil {
		io.WriteString(b.w, clearLine+text)
		b.drawn = true
	}
}

// newBar returns a bar that is shown if w is a terminal.
func newBar(w io.Writer) *bar {
	if !isTerminal(w) {
		return new(bar)
	}
	return &bar{w: w}
}

// clear removes the bar.
func (b *bar) clear() {
	if b.drawn {
		io.WriteString(b.w, clearLine)
		b.drawn = false
	}
}

// barText returns at most 80 columns.
func barText(p inotify.Progress) string {
	return fmt.Sprintf("%s steps, %v left", gauge(p.Done, p.Steps), p.Remaining().Round(time.Second))
}

// gauge draws how many of total are done.
func gauge(done, total int64) string {
	part := 1.0
	if total > 0 {
		part = float64(done) / float64(total)
	}
	full := int(part * barWidth)
	return fmt.Sprintf("[%s%s] %3d%% %d / %d",
		strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), int(part*100), done, total)
}
