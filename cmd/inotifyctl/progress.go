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

// A bar shows the progress of a cycle or a search on a terminal.
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
	done := 1.0
	if p.Steps > 0 {
		done = float64(p.Done) / float64(p.Steps)
	}
	full := int(done * barWidth)
	return fmt.Sprintf("[%s%s] %3d%% %d / %d steps, %v left",
		strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), int(done*100),
		p.Done, p.Steps, p.Remaining().Round(time.Second))
}
