// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// A tally counts the mutants of a file.
type tally struct{ mutants, killed, elsewhere, known, survived, unreached int }

func (t *tally) add(o tally) {
	t.mutants += o.mutants
	t.killed += o.killed
	t.elsewhere += o.elsewhere
	t.known += o.known
	t.survived += o.survived
	t.unreached += o.unreached
}

func (t tally) row(name string) string {
	return fmt.Sprintf("%s\t%d\t%d\t%s\t%d\t%s\t%d\t%d\t%d\t", name, t.mutants, t.killed, share(t.killed, t.mutants),
		t.elsewhere, share(t.killed+t.elsewhere, t.mutants), t.known, t.survived, t.unreached)
}

// report prints the table and the survivors. What is known and has another fate is
// told, too.
func report(w io.Writer, mutants []*mutant, r results, known map[string]string) error {
	var names []string
	files := map[string]tally{}
	var all tally
	var left, stale []string
	for _, m := range mutants {
		if !slices.Contains(names, m.file) {
			names = append(names, m.file)
		}
		one, _ := r.of(m)
		t := tally{mutants: 1}
		reason, isKnown := known[m.key()]
		switch {
		case one.Fate == killed:
			t.killed = 1
			if isKnown {
				stale = append(stale, fmt.Sprintf("%s\n\tkilled by %s, but listed: %s", m.key(), one.Test, reason))
			}
		case killedOn.MatchString(reason):
			t.elsewhere = 1
		case isKnown:
			t.known = 1
		case one.Fate == survived:
			t.survived = 1
		default:
			t.unreached = 1
		}
		if t.survived+t.unreached > 0 {
			text := fmt.Sprintf("%s:%d: %s: %s\n\t-%s\n\t+%s\n", m.file, m.line, m.fn, told(one), m.from, m.numbered())
			left = append(left, text)
		}
		all.add(t)
		sum := files[m.file]
		sum.add(t)
		files[m.file] = sum
	}
	for _, text := range left {
		fmt.Fprintln(w, text)
	}
	for _, text := range stale {
		fmt.Fprintf(w, "%s\n\n", text)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "file\tmutants\tkilled\t\telsewhere\twith these\tknown\tsurvived\tnot reached\t")
	for _, name := range names {
		fmt.Fprintln(tw, files[name].row(name))
	}
	fmt.Fprintln(tw, all.row("all"))
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(left) > 0 {
		return errSurvivors
	}
	return nil
}

func told(one result) string {
	switch one.Fate {
	case "":
		return "not tried"
	case survived:
		if one.Of == 0 {
			return "reached, but makes no difference in any test"
		}
		text := fmt.Sprintf("survived %d of %d tests", one.Tests, one.Of)
		if one.Flaky != "" {
			text += "; " + one.Flaky + " failed once"
		}
		return text
	}
	return one.Fate
}
