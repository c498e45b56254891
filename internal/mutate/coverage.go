// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"fmt"
	"go/ast"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// A statement is one of a block's.
type statement struct {
	file   string
	line   int
	fn     string
	text   string
	nth    int        // of several such in the function, from 1
	around *statement // that it is part of, or nil
}

func (s *statement) key() string { return fmt.Sprintf("%s: %s: %s", s.file, s.fn, s.numbered()) }

func (s *statement) numbered() string {
	if s.nth > 1 {
		return fmt.Sprintf("%s (%d)", s.text, s.nth)
	}
	return s.text
}

// statements returns the statements of all targets, and an overlay that notes which
// are reached: number k stands for the k-th, from 1. Package cover of the go command
// loses what processes executed that are killed, or cannot write in the end.
func statements(targets []*target) (all []*statement, overlay map[string][]byte) {
	overlay = map[string][]byte{}
	for _, t := range targets {
		for _, s := range t.sources {
			f := &finder{target: t, source: s}
			seen := map[string]int{}
			for _, d := range s.file.Decls {
				var stack []*statement // nil for nodes that are none
				var nodes []ast.Node
				ast.Inspect(d, func(n ast.Node) bool {
					if n == nil {
						stack, nodes = stack[:len(stack)-1], nodes[:len(nodes)-1]
						return true
					}
					var one *statement
					if stmt, ok := n.(ast.Stmt); ok && len(nodes) > 0 && slices.Contains(listOf(nodes[len(nodes)-1]), stmt) {
						one = &statement{file: s.name, line: s.line(n.Pos()), fn: s.declared(d), text: short(f.text(n)), around: innermost(stack)}
						seen[one.key()]++
						one.nth = seen[one.key()]
						all = append(all, one)
						at := s.offset(n.Pos())
						f.edits.replace(at, at, fmt.Sprintf("mutOn(%d); ", len(all)))
					}
					stack, nodes = append(stack, one), append(nodes, n)
					return true
				})
			}
			overlay[s.path] = f.edits.apply(s.text)
		}
	}
	addRuntime(overlay, targets, len(all))
	return all, overlay
}

func innermost(stack []*statement) *statement {
	for _, s := range slices.Backward(stack) {
		if s != nil {
			return s
		}
	}
	return nil
}

// coverage runs all tests, and prints the statements that none of them executes,
// in child processes neither, but those that are known not to be.
func (c config) coverage(ctx context.Context, targets []*target, known map[string]string, stdout, stderr io.Writer) error {
	all, overlay := statements(targets)
	l, err := newLab(c, nil, overlay, len(all), stderr)
	if err != nil {
		return err
	}
	defer l.close()
	binaries, err := l.build(ctx)
	if err != nil {
		return err
	}
	seen := filepath.Join(l.scratch, "seen")
	if err := os.WriteFile(seen, make([]byte, len(all)+1), 0o666); err != nil {
		return err
	}
	os.Chmod(seen, 0o666) // for tests that give up their rights
	for _, b := range binaries {
		names, err := b.list(ctx, c.onlyTests)
		if err != nil {
			return err
		}
		fmt.Fprintf(stderr, "testing %s\n", b.path)
		o := b.run(ctx, l.scratch, names, time.Hour, "MUTATE_SEEN="+seen)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if o.err != nil {
			return fmt.Errorf("testing %s: %w\n%s", b.path, o.err, o.tail)
		}
	}
	marks, err := os.ReadFile(seen)
	if err != nil {
		return err
	}
	executed := map[*statement]bool{}
	for i, s := range all {
		executed[s] = marks[i+1] != 0
	}
	return reportCoverage(stdout, all, executed, known)
}

// A share of a file's statements.
type covered struct{ statements, executed, known int }

func (c covered) row(name string) string {
	return fmt.Sprintf("%s\t%d\t%d\t%s\t%d\t%s\t", name, c.statements, c.executed,
		share(c.executed, c.statements), c.known, share(c.executed, c.statements-c.known))
}

// reportCoverage prints the statements that were not executed, of those in each
// other the outermost, and the shares.
func reportCoverage(w io.Writer, all []*statement, executed map[*statement]bool, known map[string]string) error {
	var names []string
	files := map[string]covered{}
	var sum covered
	left, excused := 0, map[*statement]bool{}
	for _, s := range all {
		if !slices.Contains(names, s.file) {
			names = append(names, s.file)
		}
		one := covered{statements: 1}
		reason, isKnown := known[s.key()]
		outer := s.around != nil && !executed[s.around]
		excused[s] = !executed[s] && (isKnown || outer && excused[s.around])
		switch {
		case executed[s]:
			one.executed = 1
			if isKnown {
				fmt.Fprintf(w, "%s\n\tis executed, but listed: %s\n\n", s.key(), reason)
			}
		case excused[s]:
			one.known = 1
		case !outer:
			left++
			fmt.Fprintf(w, "%s:%d: %s: %s\n", s.file, s.line, s.fn, s.numbered())
		}
		t := files[s.file]
		t.add(one)
		files[s.file] = t
		sum.add(one)
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "file\tstatements\texecuted\t\tknown\tof the others\t")
	for _, name := range names {
		fmt.Fprintln(tw, files[name].row(name))
	}
	fmt.Fprintln(tw, sum.row("all"))
	if err := tw.Flush(); err != nil {
		return err
	}
	if left > 0 {
		return errSurvivors
	}
	return nil
}

func (c *covered) add(o covered) {
	c.statements += o.statements
	c.executed += o.executed
	c.known += o.known
}

func share(part, whole int) string {
	if whole == 0 {
		return "100.0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}
