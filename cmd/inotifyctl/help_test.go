// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	for _, args := range []string{"help", "-h", "-help", "--help", "help help", "help -h"} {
		code, stdout, stderr := call(strings.Fields(args)...)
		wantSuccess(t, code, stderr)
		wantText(t, stdout, overview())
	}
	for _, c := range commands() {
		if want := "  " + c.name + " "; strings.Count(overview(), "\n"+want) != 1 {
			t.Errorf("no line %q in\n%s", want, overview())
		}
	}
	if n := strings.Count(overview(), "\n"); n > 15 {
		t.Errorf("the list of commands has %d lines", n)
	}
	wantColumns(t, overview())
}

func TestHelpOfCommands(t *testing.T) {
	for _, c := range commands() {
		t.Run(c.name, func(t *testing.T) {
			for _, args := range []string{"help " + c.name, c.name + " -h", c.name + " --help", c.name + " x -help"} {
				code, stdout, stderr := call(strings.Fields(args)...)
				wantSuccess(t, code, stderr)
				wantText(t, stdout, c.help())
			}
			text := c.help()
			for _, want := range []string{"usage: inotifyctl " + c.name, "\nExample:\n  ", "inotifyctl " + c.name, "\nExit codes:\n", "\n  1  ", "\n  2  "} {
				if c.executes {
					want = strings.TrimRight(want, " ")
				}
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			for _, f := range c.flags() {
				if !strings.Contains(text, "\n  "+f[0]+"  ") || len(f[1]) < 10 {
					t.Errorf("no %q with a text in\n%s", f[0], text)
				}
			}
			wantColumns(t, text)
		})
	}
}

// wantColumns checks that no line is wider than the help text may be.
func wantColumns(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		if len(line) > helpWidth {
			t.Errorf("line %q is longer than %d columns", line, helpWidth)
		}
	}
}

// The man page has every command with its synopsis and every flag, and no others.
func TestManPage(t *testing.T) {
	if _, err := os.Stat("../../go.mod"); err != nil {
		t.Skip("this needs the source tree: ", err)
	}
	text := content(t, "../../docs/inotifyctl.1")
	page := make(map[string]string) // the text of each command's section
	name := ""
	for _, line := range strings.Split(text, "\n") {
		if section, ok := strings.CutPrefix(line, ".Ss "); ok {
			name, _, _ = strings.Cut(section, " ")
		}
		if strings.HasPrefix(line, ".Sh ") {
			name = ""
		}
		page[name] += line + "\n"
	}
	delete(page, "")
	for _, c := range commands() {
		section, ok := page[c.name]
		if !ok {
			t.Errorf("no section on %s", c.name)
		}
		delete(page, c.name)
		want := make(map[string]bool)
		for _, f := range c.flags() {
			flag, value, _ := strings.Cut(f[0], " ")
			item := ".It Fl " + flag[1:]
			if value != "" {
				item += " Ar " + value
			}
			want[item] = true
		}
		for _, line := range strings.Split(section, "\n") {
			if strings.HasPrefix(line, ".It Fl ") {
				if !want[line] {
					t.Errorf("%s: the program does not have %q", c.name, line)
				}
				delete(want, line)
			}
		}
		for line := range want {
			t.Errorf("%s: no line %q", c.name, line)
		}
	}
	for name := range page {
		t.Errorf("the program has no command %s", name)
	}
}
