// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A table has rows of cells, whose text must be printable. A row can have a table below it.
type table struct {
	indent  int
	columns []column
	rows    [][]string
	below   map[int]*table // by the row's index
}

type column struct {
	name  string
	right bool // to the right, as numbers are
	flex  bool // may be shortened
}

func (t *table) add(row ...string) { t.rows = append(t.rows, row) }

// under puts a table below the last row.
func (t *table) under(below *table) {
	if t.below == nil {
		t.below = make(map[int]*table)
	}
	t.below[len(t.rows)-1] = below
}

// text returns a line with the names of the columns, if they have any, and one for each row.
// Cells are shortened so that lines fit into width columns of a terminal; 0 is no limit.
func (t *table) text(width int) string {
	var b strings.Builder
	widths := t.widths()
	if width > 0 {
		t.fit(widths, width)
	}
	if names := t.names(); strings.Join(names, "") != "" {
		t.line(&b, names, widths)
	}
	for i, row := range t.rows {
		t.line(&b, row, widths)
		if below := t.below[i]; below != nil {
			b.WriteString(below.text(width))
		}
	}
	return b.String()
}

func (t *table) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

func (t *table) widths() []int {
	widths := make([]int, len(t.columns))
	for _, row := range append(t.rows, t.names()) {
		for i, cell := range row {
			widths[i] = max(widths[i], cells(cell))
		}
	}
	return widths
}

// fit makes the widest flexible column narrower, again and again, until all columns fit or
// none can be made narrower.
func (t *table) fit(widths []int, width int) {
	const least = 8
	total := t.indent + gap*(len(widths)-1)
	for _, w := range widths {
		total += w
	}
	for ; total > width; total-- {
		widest := -1
		for i, c := range t.columns {
			if c.flex && widths[i] > least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

const gap = 2 // between columns

func (t *table) line(b *strings.Builder, row []string, widths []int) {
	line := strings.Repeat(" ", t.indent)
	for i, cell := range row {
		cell = shorten(cell, widths[i])
		pad := strings.Repeat(" ", widths[i]-cells(cell))
		if t.columns[i].right {
			cell, pad = pad+cell, ""
		}
		line += cell + pad + strings.Repeat(" ", gap)
	}
	b.WriteString(strings.TrimRight(line, " "))
	b.WriteByte('\n')
}

// shorten cuts s in its middle to width cells, if it is wider.
func shorten(s string, width int) string {
	if cells(s) <= width {
		return s
	}
	const dots = "…"
	runes := []rune(s)
	head, room := 0, (width-1)/2
	for room >= cellsOf(runes[head]) {
		room -= cellsOf(runes[head])
		head++
	}
	tail, room := len(runes), width-1-cells(string(runes[:head]))
	for room >= cellsOf(runes[tail-1]) {
		room -= cellsOf(runes[tail-1])
		tail--
	}
	return string(slices.Concat(runes[:head], []rune(dots), runes[tail:]))
}

// cells returns how many columns of a terminal a printable text takes, or more.
func cells(s string) int {
	if len(s) == utf8.RuneCountInString(s) {
		return len(s)
	}
	n := 0
	for _, r := range s {
		n += cellsOf(r)
	}
	return n
}

// cellsOf returns 2 for a character that may be wide, which are those from Hangul on, except
// for punctuation that terminals show in one column.
func cellsOf(r rune) int {
	if r < 0x1100 || r >= 0x2010 && r <= 0x2027 {
		return 1
	}
	return 2
}
