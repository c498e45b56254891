// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"go/ast"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// A block is statements that run one after the other.
type block struct {
	file                   *source
	fn, text               string
	line, column           int
	endLine, endColumn     int
	statements, executions int
	nth                    int
}

func (b *block) key() string {
	key := fmt.Sprintf("%s: %s: %s", b.file.name, b.fn, b.text)
	if b.nth > 1 {
		key += fmt.Sprintf(" (%d)", b.nth)
	}
	return key
}

// coverage runs all tests, and prints the statements that none of them executes,
// in child processes neither, but those that are known not to be. A process that is
// killed does not tell what it executed.
func (c config) coverage(ctx context.Context, targets []*target, known map[string]string, stdout, stderr io.Writer) error {
	scratch, err := os.MkdirTemp("", "coverage")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	os.Chmod(scratch, 0o755)
	profile, err := c.profile(ctx, scratch, targets, stderr)
	if err != nil {
		return err
	}
	blocks, err := readBlocks(profile, targets)
	if err != nil {
		return err
	}
	return reportBlocks(stdout, blocks, known)
}

// profile runs the tests of the packages, and those of -with.
func (c config) profile(ctx context.Context, scratch string, targets []*target, stderr io.Writer) (string, error) {
	packages, err := list(ctx, c.dir, append(strings.Fields(c.packages), strings.Fields(c.with)...))
	if err != nil {
		return "", err
	}
	var covered, dirs []string
	for _, t := range targets {
		covered = append(covered, t.path)
	}
	for i, p := range packages {
		program, dir := filepath.Join(scratch, fmt.Sprint("test", i)), filepath.Join(scratch, fmt.Sprint(i))
		if _, err := goCommand(ctx, c.dir, "test", "-c", "-cover", "-coverpkg="+strings.Join(covered, ","), "-o", program, p.ImportPath); err != nil {
			return "", err
		}
		if err := os.Mkdir(dir, 0o777); err != nil {
			return "", err
		}
		os.Chmod(dir, 0o777) // for tests that give up their rights
		dirs = append(dirs, dir)
		fmt.Fprintf(stderr, "testing %s\n", p.ImportPath)
		cmd := exec.CommandContext(ctx, program, "-test.gocoverdir="+dir)
		cmd.Dir, cmd.Env = p.Dir, append(os.Environ(), "GOCOVERDIR="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("testing %s: %w\n%s", p.ImportPath, err, out[max(0, len(out)-2000):])
		}
	}
	profile := filepath.Join(scratch, "profile")
	_, err = goCommand(ctx, c.dir, "tool", "covdata", "textfmt", "-i="+strings.Join(dirs, ","), "-o="+profile)
	return profile, err
}

// readBlocks reads a profile. A block can be there several times.
func readBlocks(profile string, targets []*target) ([]*block, error) {
	f, err := os.Open(profile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sources := map[string]*source{}
	for _, t := range targets {
		for _, s := range t.sources {
			sources[t.path+"/"+filepath.Base(s.path)] = s
		}
	}
	var blocks []*block
	at := map[string]*block{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		s, ok := sources[name]
		if !ok {
			continue // the mode, or of another package
		}
		b := &block{file: s}
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &b.line, &b.column, &b.endLine, &b.endColumn, &b.statements, &b.executions); err != nil {
			return nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		place, _, _ := strings.Cut(lines.Text(), " ")
		if known, ok := at[place]; ok {
			known.executions = max(known.executions, b.executions)
			continue
		}
		at[place] = b
		blocks = append(blocks, b)
	}
	slices.SortStableFunc(blocks, func(a, b *block) int {
		if c := strings.Compare(a.file.name, b.file.name); c != 0 {
			return c
		}
		if a.line != b.line {
			return a.line - b.line
		}
		return a.column - b.column
	})
	seen := map[string]int{}
	for _, b := range blocks {
		b.fn, b.text = b.file.function(b.line), b.file.piece(b)
		seen[b.key()]++
		b.nth = seen[b.key()]
	}
	return blocks, lines.Err()
}

// function returns the name of the function at a line.
func (s *source) function(line int) string {
	for _, d := range s.file.Decls {
		first, last := s.line(d.Pos()), s.line(d.End())
		if line >= first && line <= last {
			return s.declared(d)
		}
	}
	return ""
}

// piece returns a block's code in one line.
func (s *source) piece(b *block) string {
	lines := strings.Split(string(s.text), "\n")[b.line-1 : b.endLine]
	var words []string
	for i, line := range lines {
		if i == len(lines)-1 {
			line = line[:b.endColumn-1]
		}
		if i == 0 {
			line = line[b.column-1:]
		}
		line, _, _ = strings.Cut(line, "//")
		words = append(words, strings.Fields(line)...)
	}
	text := strings.Join(words, " ")
	return short(strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")))
}

// reportBlocks prints the statements that were not executed, and the shares.
func reportBlocks(w io.Writer, blocks []*block, known map[string]string) error {
	type tally struct{ statements, executed, known int }
	var names []string
	files := map[string]tally{}
	all, left := tally{}, 0
	for _, b := range blocks {
		if !slices.Contains(names, b.file.name) {
			names = append(names, b.file.name)
		}
		t := files[b.file.name]
		t.statements += b.statements
		all.statements += b.statements
		reason, isKnown := known[b.key()]
		switch {
		case b.executions > 0:
			t.executed += b.statements
			all.executed += b.statements
			if isKnown {
				fmt.Fprintf(w, "%s\n\tis executed, but listed: %s\n\n", b.key(), reason)
			}
		case isKnown:
			t.known += b.statements
			all.known += b.statements
		default:
			left++
			fmt.Fprintf(w, "%s:%d: %s\n\t%s\n\n", b.file.name, b.line, b.fn, b.text)
		}
		files[b.file.name] = t
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "file\tstatements\texecuted\t\tknown\tof the others\t")
	row := func(name string, t tally) {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%s\t%d\t%s\t\n", name, t.statements, t.executed,
			share(t.executed, t.statements), t.known, share(t.executed, t.statements-t.known))
	}
	for _, name := range names {
		row(name, files[name])
	}
	row("all", all)
	if err := tw.Flush(); err != nil {
		return err
	}
	if left > 0 {
		return errSurvivors
	}
	return nil
}

func share(part, whole int) string {
	if whole == 0 {
		return "100.0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// declared returns the name of what is declared, as "(*queue).read".
func (s *source) declared(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		receiver := s.raw(d.Recv.List[0].Type)
		if strings.HasPrefix(receiver, "*") {
			receiver = "(" + receiver + ")"
		}
		return receiver + "." + d.Name.Name
	case *ast.GenDecl:
		if v, ok := d.Specs[0].(*ast.ValueSpec); ok && len(d.Specs) == 1 {
			return "var " + v.Names[0].Name
		}
	}
	return "var"
}
