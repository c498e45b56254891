// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// helpWidth is how many columns the help takes.
const helpWidth = 80

// helpNames are the words that ask for help in the place of a command.
var helpNames = []string{"help", "-h", "-help", "--help"}

// help prints the list of commands, or the help of the one that args name.
func help(args []string, stdout io.Writer) error {
	text := overview()
	if len(args) > 0 && !slices.Contains(helpNames, args[0]) {
		c := lookup(args[0])
		if c == nil {
			return usageErrorf("help: unknown command %q", args[0])
		}
		text = c.help()
	}
	if len(args) > 1 {
		return usageErrorf("help: unexpected operand %q", args[1])
	}
	_, err := io.WriteString(stdout, text)
	return err
}

// overview is the help without a command.
func overview() string {
	var b strings.Builder
	b.WriteString("usage: inotifyctl COMMAND [flags] [operands]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-9s%s\n", c.name, c.summary)
	}
	b.WriteString(`
Exit codes: 0 done, 1 failed, 2 usage error, 3 done but incomplete.
Run 'inotifyctl help COMMAND' for its flags, or see man inotifyctl.
`)
	return b.String()
}

// help is the help of one command.
func (c *subcommand) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: inotifyctl %s\n", c.synopsis())
	for _, paragraph := range strings.Split(strings.TrimSpace(c.about), "\n\n") {
		b.WriteString("\n" + wrap(paragraph, 0))
	}
	if rows := c.flags(); len(rows) > 0 {
		b.WriteString("\nFlags:\n")
		writeRows(&b, rows)
	}
	fmt.Fprintf(&b, "\nExample:\n  %s\n\nExit codes:\n", strings.ReplaceAll(strings.TrimSpace(c.example), "\n", "\n  "))
	writeRows(&b, c.exit)
	return b.String()
}

// synopsis returns "dump [flags] PID".
func (c *subcommand) synopsis() string {
	parts := []string{c.name}
	if len(c.flags()) > 0 {
		parts = append(parts, "[flags]")
	}
	if c.operands != "" {
		parts = append(parts, c.operands)
	}
	return strings.Join(parts, " ")
}

// flags returns the command's flags in alphabetical order, each as "-o FILE" and its
// usage string.
func (c *subcommand) flags() (rows [][2]string) {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.define(flags)
	flags.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		rows = append(rows, [2]string{strings.TrimSpace("-" + f.Name + " " + value), usage})
	})
	return rows
}

// writeRows writes two columns.
func writeRows(b *strings.Builder, rows [][2]string) {
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	for _, row := range rows {
		text := wrap(row[1], width+4)
		fmt.Fprintf(b, "  %-*s%s", width+2, row[0], text[width+4:])
	}
}

// wrap breaks text into lines of helpWidth columns, indented.
func wrap(text string, indent int) string {
	margin := strings.Repeat(" ", indent)
	var b strings.Builder
	line := margin
	for _, word := range strings.Fields(text) {
		if len(line) > indent && len(line)+1+len(word) > helpWidth {
			b.WriteString(line + "\n")
			line = margin
		}
		if len(line) > indent {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
	return b.String()
}
