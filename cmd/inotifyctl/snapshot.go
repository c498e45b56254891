// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// pathArgs say how far to go to find the paths of watches.
type pathArgs struct {
	level      checkpoint.Paths
	hints      []string
	maxEntries int
	all        bool // filesystems
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
	flags.BoolVar(&a.all, "all-filesystems", false, "")
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
	if a.all {
		opts = append(opts, checkpoint.WithAllFilesystems())
	}
	return opts
}

// advice says how another dump can find paths that this one did not; "" if this
// cannot be told.
func (a *pathArgs) advice() string {
	root := os.Geteuid() == 0
	switch {
	case a.level == checkpoint.NoPaths && root:
		return "dump it with -paths handles or -paths search"
	case a.level == checkpoint.PathsBySearch && a.maxEntries > 0:
		return "dump it with a greater -max-entries, or with -hint DIR"
	case a.level == checkpoint.PathsBySearch && root:
		return ""
	case a.level == checkpoint.PathsBySearch:
		return "dump it as root"
	case root:
		return "if a search can find it, dump it with -paths search"
	}
	return "dump it as root, or with -paths search"
}

// restorable returns an error that says why restore refuses the snapshot as it is,
// and what to do; nil if it does not.
func restorable(s *checkpoint.Snapshot, advice string) error {
	var reasons []string
	if gaps := s.Unrestorable(); len(gaps) > 0 {
		if advice != "" {
			advice += ", or "
		}
		reasons = append(reasons, fmt.Sprintf("restore refuses the snapshot, as the %s is unknown: %sleave such watches out with restore -missing",
			strings.Join(subjects(gaps), ", "), advice))
	}
	if lost := lostBytes(s); lost > 0 {
		reasons = append(reasons, fmt.Sprintf("restore refuses the snapshot, as it lacks %d bytes of pending events: stop the process and dump it with -drain, or drop them with restore -drop-pending", lost))
	}
	if reasons == nil {
		return nil
	}
	return &incompleteError{reasons}
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
	type subject struct {
		what string
		wds  []inotify.WD // empty if it is about the instance
	}
	var subjects []*subject
	for _, g := range gaps {
		i := slices.IndexFunc(subjects, func(s *subject) bool { return s.what == g.What && (len(s.wds) == 0) == (g.WD == 0) })
		if i < 0 {
			i, subjects = len(subjects), append(subjects, &subject{what: g.What})
		}
		if g.WD != 0 {
			subjects[i].wds = append(subjects[i].wds, g.WD)
		}
	}
	for _, s := range subjects {
		switch what := oneLine(s.what); {
		case len(s.wds) == 0:
			names = append(names, what)
		case s.what == "watch":
			names = append(names, watches(s.wds))
		default:
			names = append(names, what+" of "+watches(s.wds))
		}
	}
	return names
}

// watches returns "watch 7", or how many there are, and the numbers of some.
func watches(wds []inotify.WD) string {
	const most = 5
	if len(wds) == 1 {
		return fmt.Sprint("watch ", wds[0])
	}
	var numbers []string
	for _, wd := range wds[:min(len(wds), most)] {
		numbers = append(numbers, fmt.Sprint(wd))
	}
	if len(wds) > most {
		numbers = append(numbers, "…")
	}
	return fmt.Sprintf("%d watches (%s)", len(wds), strings.Join(numbers, ", "))
}
