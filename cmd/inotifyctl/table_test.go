// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import "testing"

func TestShorten(t *testing.T) {
	for _, tt := range []struct {
		in    string
		width int
		want  string
	}{
		{"abcdefgh", 8, "abcdefgh"},
		{"abcdefgh", 7, "abc…fgh"},
		{"abcdefgh", 6, "ab…fgh"},
		{"äöüßäöüß", 5, "äö…üß"},
		{"世界世界世界", 12, "世界世界世界"},
		{"世界世界世界", 11, "世界…界世界"},
		{"世界世界世界", 9, "世界…世界"},
		{"世界世界世界", 8, "世…世界"}, // one column stays free
	} {
		wantText(t, shorten(tt.in, tt.width), tt.want)
		if cells(shorten(tt.in, tt.width)) > tt.width {
			t.Errorf("%q does not fit into %d columns", shorten(tt.in, tt.width), tt.width)
		}
	}
}

func newTestTable() *table {
	t := &table{columns: []column{{name: "N", right: true}, {name: "NAME", flex: true}, {name: "PATH", flex: true}}}
	t.add("1", "short", "/a/very/long/path/to/a/file")
	t.add("20", "-", "")
	below := &table{indent: 4, columns: []column{{right: true}, {flex: true}}}
	below.add("7", "/x")
	below.add("100", "/another/long/path/of/a/file")
	t.under(below)
	return t
}

func TestTable(t *testing.T) {
	const all = ` N  NAME   PATH
 1  short  /a/very/long/path/to/a/file
20  -
      7  /x
    100  /another/long/path/of/a/file
`
	wantText(t, newTestTable().text(0), all)
	wantText(t, newTestTable().text(80), all)
	wantText(t, newTestTable().text(30), ` N  NAME   PATH
 1  short  /a/very/l…to/a/file
20  -
      7  /x
    100  /another/l…/of/a/file
`)
	// If the table cannot fit, columns have a minimum width.
	wantText(t, newTestTable().text(3), ` N  NAME   PATH
 1  short  /a/…file
20  -
      7  /x
    100  /an…file
`)
}
