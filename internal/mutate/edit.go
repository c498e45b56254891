// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"cmp"
	"slices"
)

// An edit replaces a piece of a file, or inserts text where length is 0.
type edit struct {
	at, length int
	text       string
	closes     bool // it ends what an earlier edit began
}

// edits are made in the order in which the tree is walked: around a node before
// what lies in it. No text has a line break, so that lines keep their numbers.
type edits []edit

// around puts text before and behind a piece.
func (e *edits) around(from, to int, before, behind string) {
	*e = append(*e, edit{at: from, text: before}, edit{at: to, text: behind, closes: true})
}

func (e *edits) replace(from, to int, text string) {
	*e = append(*e, edit{at: from, length: to - from, text: text})
}

// apply returns text with the edits made. At one place, what was begun last ends
// first, and before anything begins.
func (e edits) apply(text []byte) []byte {
	type numbered struct {
		edit
		nr int
	}
	sorted := make([]numbered, len(e))
	for i, one := range e {
		sorted[i] = numbered{one, i}
	}
	slices.SortFunc(sorted, func(a, b numbered) int {
		switch {
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		case a.closes && b.closes:
			return cmp.Compare(b.nr, a.nr)
		case a.closes:
			return -1
		case b.closes:
			return 1
		}
		return cmp.Compare(a.nr, b.nr)
	})
	var out []byte
	done := 0
	for _, one := range sorted {
		out = append(out, text[done:one.at]...)
		out = append(out, one.text...)
		done = one.at + one.length
	}
	return append(out, text[done:]...)
}
