// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify/checkpoint"
)

// pathArgs say how far to go to find the paths of watches.
type pathArgs struct {
	level      checkpoint.Paths
	hints      []string
	maxEntries int
}

var pathLevels = map[string]checkpoint.Paths{
	"none":    checkpoint.NoPaths,
	"handles": checkpoint.PathsByHandle,
	"search":  checkpoint.PathsBySearch,
}

func (a *pathArgs) define(flags *flag.FlagSet) {
	a.level = checkpoint.PathsByHandle
	flags.Func("paths", "", func(s string) (err error) {
		level, ok := pathLevels[s]
		if !ok {
			return fmt.Errorf("it is none of none, handles and search")
		}
		a.level = level
		return nil
	})
	flags.Func("hint", "", func(s string) error {
		a.hints = append(a.hints, s)
		return nil
	})
	flags.Func("max-entries", "", func(s string) (err error) {
		a.maxEntries, err = positive(s)
		return err
	})
}

// options returns those for taking, with a search's progress on b.
func (a *pathArgs) options(b *bar) []checkpoint.TakeOption {
	opts := []checkpoint.TakeOption{
		checkpoint.WithPaths(a.level),
		checkpoint.WithHints(a.hints...),
		checkpoint.WithSearchProgress(b.searched),
	}
	if a.maxEntries > 0 {
		opts = append(opts, checkpoint.WithMaxEntries(a.maxEntries))
	}
	return opts
}

func positive(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("not a number from 1 on")
	}
	return int(n), nil
}

// summary puts gaps together that have the same reason: "next_wd, path of 3
// watches: why".
func summary(gaps []checkpoint.Gap) (lines []string) {
	const most = 8
	var reasons []string
	byReason := make(map[string][]checkpoint.Gap)
	for _, g := range gaps {
		if byReason[g.Why] == nil {
			reasons = append(reasons, g.Why)
		}
		byReason[g.Why] = append(byReason[g.Why], g)
	}
	for i, why := range reasons {
		if i == most && len(reasons) > most+1 {
			return append(lines, fmt.Sprintf("and more, for %d other reasons", len(reasons)-most))
		}
		lines = append(lines, strings.Join(subjects(byReason[why]), ", ")+": "+oneLine(why))
	}
	return lines
}

// subjects tells what gaps are about.
func subjects(gaps []checkpoint.Gap) (names []string) {
	type count struct {
		what string
		n    int
		one  checkpoint.Gap
	}
	var counts []*count
	for _, g := range gaps {
		i := slices.IndexFunc(counts, func(c *count) bool { return c.what == g.What && (c.one.WD == 0) == (g.WD == 0) })
		if i < 0 {
			i, counts = len(counts), append(counts, &count{what: g.What, one: g})
		}
		counts[i].n++
	}
	for _, c := range counts {
		switch {
		case c.one.WD == 0:
			names = append(names, oneLine(c.what))
		case c.what == "watch":
			names = append(names, watches(c.n, c.one))
		default:
			names = append(names, oneLine(c.what)+" of "+watches(c.n, c.one))
		}
	}
	return names
}

func watches(n int, one checkpoint.Gap) string {
	if n == 1 {
		return fmt.Sprintf("watch %d", one.WD)
	}
	return fmt.Sprintf("%d watches", n)
}
