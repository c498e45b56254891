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

// A bar shows on a terminal how far a climb or a search is.
type bar struct {
	w     io.Writer // nil shows nothing
	drawn bool
}

const (
	barWidth  = 20
	clearLine = "\r\x1b[K"
)

func (b *bar) draw(p inotify.Progress) {
	b.text(barText(p))
}

// searched shows how far a search is, which has no known end.
func (b *bar) searched(entries int) {
	b.text(fmt.Sprintf("searching: %d entries looked at", entries))
}

func (b *bar) text(s string) {
	if b.w != nil {
		io.WriteString(b.w, clearLine+s)
		b.drawn = true
	}
}

// newBar returns a bar that shows itself if w is a terminal.
func newBar(w io.Writer) *bar {
	if !isTerminal(w) {
		return new(bar)
	}
	return &bar{w: w}
}

// clear leaves the line as it was before the bar.
func (b *bar) clear() {
	if b.drawn {
		io.WriteString(b.w, clearLine)
		b.drawn = false
	}
}

// barText fits into 80 columns for any number.
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
