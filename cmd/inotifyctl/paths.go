// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"errors"
	"flag"
	"math"
	"os"

	"github.com/seed10546c08/inotify/checkpoint"
)

// pathFlags say how to find the paths of watches.
type pathFlags struct {
	level          checkpoint.Paths
	hints          []string
	maxEntries     int64 // 0 is no limit
	allFilesystems bool
}

var pathLevels = map[string]checkpoint.Paths{
	"none":    checkpoint.PathsNone,
	"handles": checkpoint.PathsByHandle,
	"search":  checkpoint.PathsBySearch,
}

// define defines the flags. when says when they have an effect: it is "" or like "with -w: ".
func (p *pathFlags) define(flags *flag.FlagSet, when string) {
	p.level = checkpoint.PathsByHandle
	flags.Func("paths", when+"how to find the paths of watches: `METHOD` is none; handles, to open the file handles that the kernel lists "+
		"(default, needs root); or search, to read directories as well (their watchers get events)", func(s string) error {
		level, ok := pathLevels[s]
		if !ok {
			return errors.New("want none, handles or search")
		}
		p.level = level
		return nil
	})
	flags.Func("hint", "with -paths search: search below `DIR` first; can be repeated", func(s string) error {
		p.hints = append(p.hints, s)
		return nil
	})
	flags.BoolVar(&p.allFilesystems, "all-filesystems", false, when+"find paths on FUSE, autofs and network filesystems, too, which may hang")
	numberVar(flags, &p.maxEntries, "max-entries", 1, "with -paths search: stop after `N` directory entries")
}

// check refuses flags that have no effect.
func (p *pathFlags) check() error {
	switch {
	case p.level == checkpoint.PathsBySearch:
		return nil
	case p.hints != nil:
		return usageErrorf("-hint needs -paths search")
	case p.maxEntries > 0:
		return usageErrorf("-max-entries needs -paths search")
	}
	return nil
}

// options returns those for a dump, with the progress of a search on b.
func (p *pathFlags) options(b *bar) []checkpoint.DumpOption {
	opts := []checkpoint.DumpOption{
		checkpoint.WithPaths(p.level),
		checkpoint.WithSearchDirs(p.hints...),
		checkpoint.WithProgress(b.drawSearch),
	}
	if p.maxEntries > 0 {
		opts = append(opts, checkpoint.WithMaxSearchEntries(int(min(p.maxEntries, math.MaxInt))))
	}
	if p.allFilesystems {
		opts = append(opts, checkpoint.WithAllFilesystems())
	}
	return opts
}

// searchAdvice leaves it to the reasons for unknown paths whether a search can help: it
// cannot find a file that is unlinked or hidden by a mount.
const searchAdvice = "dump again with -paths search where the reason says that a search may find the path"

// advice says how another dump can find paths that this one did not find; it is "" if
// there may be no way.
func (p *pathFlags) advice() string {
	root := os.Geteuid() == 0
	switch {
	case p.level == checkpoint.PathsNone && root:
		return "dump again with -paths handles or -paths search"
	case p.level == checkpoint.PathsNone:
		return "dump again as root, or with -paths search"
	case p.level == checkpoint.PathsBySearch && p.maxEntries > 0:
		return "dump again with a greater -max-entries, or with -hint DIR"
	case p.level == checkpoint.PathsBySearch && root:
		return ""
	case p.level == checkpoint.PathsBySearch:
		return "dump again as root"
	case root:
		return searchAdvice
	}
	return "dump again as root, or " + searchAdvice
}
