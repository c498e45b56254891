// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// count returns "1 watch" or "3 watches".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// list returns "3, 5", or "3, 5, 6, 7, 8, 9, 10, 11, … (20 in all)".
func list(ns []int) string {
	const most = 8
	texts := make([]string, 0, most)
	for _, n := range ns[:min(len(ns), most)] {
		texts = append(texts, strconv.Itoa(n))
	}
	text := strings.Join(texts, ", ")
	if len(ns) > most {
		text += fmt.Sprintf(", … (%d in all)", len(ns))
	}
	return text
}

// oneLine returns text as a single line without control characters, which a terminal would
// interpret: paths in it can have any byte.
func oneLine(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		text = text[size:]
	}
	return b.String()
}

// quote returns s unchanged if all of it is printable, or else as a Go string. A text that
// begins with a quotation mark is quoted, too, so that the two forms differ.
func quote(s string) string {
	if s == "" || s[0] == '"' || !isPrintable(s) {
		return strconv.Quote(s)
	}
	return s
}

func isPrintable(s string) bool {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}
