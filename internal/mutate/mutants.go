// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
)

// A mutant is one small change of a function.
type mutant struct {
	id     int // from 1; also its place in the file of those reached
	target *target
	file   string
	line   int
	fn     string // the function, as "(*queue).read"
	hash   string // of the function's text
	from   string // what stands there
	to     string // and what this mutant has instead
	nth    int    // of several such in the function, from 1
	test   string // the only one that it is tried on, or ""
}

// key names a mutant for as long as its function has such code, wherever that is.
func (m *mutant) key() string {
	return fmt.Sprintf("%s: %s: %s -> %s", m.file, m.fn, m.from, m.numbered())
}

// numbered is what the mutant has, and which of several such it is.
func (m *mutant) numbered() string {
	if m.nth > 1 {
		return fmt.Sprintf("%s (%d)", m.to, m.nth)
	}
	return m.to
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d: %s: %s -> %s", m.file, m.line, m.fn, m.from, m.numbered())
}

// A finder finds the mutants of a file, and makes the edits that put them in.
type finder struct {
	target  *target
	source  *source
	mutants []*mutant // of all files
	edits   edits

	fn    string
	hash  string
	seen  map[string]int // how often each key came
	stack []ast.Node     // down to the node that is visited
}

// find returns the mutants of all targets, and each target's overlay: the text of
// each file with all of its mutants in it, by the file's path.
func find(targets []*target) (mutants []*mutant, overlay map[string][]byte) {
	overlay = map[string][]byte{}
	for _, t := range targets {
		for _, s := range t.sources {
			f := &finder{target: t, source: s, mutants: mutants, seen: map[string]int{}}
			for _, d := range s.file.Decls {
				f.declaration(d)
			}
			mutants = f.mutants
			overlay[s.path] = f.edits.apply(s.text)
		}
	}
	addRuntime(overlay, targets, len(mutants))
	return mutants, overlay
}

// addRuntime adds to each target what numbers up to count need.
func addRuntime(overlay map[string][]byte, targets []*target, count int) {
	for _, t := range targets {
		text := strings.ReplaceAll(runtimeText, "PACKAGE", t.name)
		text = strings.ReplaceAll(text, "COUNT", fmt.Sprint(count+1))
		overlay[filepath.Join(t.dir, "zz_mutant.go")] = []byte(text)
	}
}

func (f *finder) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Body == nil {
			return
		}
	case *ast.GenDecl:
		if d.Tok != token.VAR {
			return
		}
	}
	f.fn = f.source.declared(d)
	f.hash = fmt.Sprintf("%x", sha256.Sum256([]byte(f.raw(d))))[:12]
	ast.Inspect(d, func(n ast.Node) bool {
		if n == nil {
			f.stack = f.stack[:len(f.stack)-1]
			return true
		}
		f.visit(n)
		f.stack = append(f.stack, n)
		return true
	})
}

func (f *finder) visit(n ast.Node) {
	if s, ok := n.(ast.Stmt); ok {
		f.statement(s)
	}
	if e, ok := n.(ast.Expr); ok {
		if value := f.target.info.Types[e]; value.Value == nil {
			f.expression(e)
		} else if id, ok := e.(*ast.Ident); ok && (id.Name == "true" || id.Name == "false") {
			f.literal(id)
		}
	}
}

// add notes a mutant and returns its number for the code.
func (f *finder) add(at ast.Node, from, to string) string {
	m := &mutant{
		id: len(f.mutants) + 1, target: f.target, file: f.source.name, fn: f.fn, hash: f.hash,
		line: f.source.line(at.Pos()), from: short(from), to: short(to),
	}
	key := m.key()
	f.seen[key]++
	m.nth = f.seen[key]
	f.mutants = append(f.mutants, m)
	return fmt.Sprint(m.id)
}

// short keeps a text readable in a line.
func short(text string) string {
	const most = 100
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "..."
	}
	return text
}

func (f *finder) offset(p token.Pos) int { return f.source.offset(p) }

func (f *finder) raw(n ast.Node) string { return f.source.raw(n) }

// text is the code of a node in one line.
func (f *finder) text(n ast.Node) string {
	lines := strings.Split(f.raw(n), "\n")
	for i, line := range lines {
		if i < len(lines)-1 {
			line, _, _ = strings.Cut(line, "//")
		}
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, " ")
}

func (f *finder) around(n ast.Node, before, behind string) {
	f.edits.around(f.offset(n.Pos()), f.offset(n.End()), before, behind)
}

// operator replaces the operator between two operands.
func (f *finder) operator(at token.Pos, op token.Token, text string) {
	from := f.offset(at)
	f.edits.replace(from, from+len(op.String()), text)
}

func (f *finder) parent() ast.Node { return f.stack[len(f.stack)-1] }

func (f *finder) typeOf(e ast.Expr) types.Type { return f.target.info.TypeOf(e) }

func (f *finder) constant(e ast.Expr) bool { return f.target.info.Types[e].Value != nil }

func basic(t types.Type, of types.BasicInfo) bool {
	if _, ok := t.(*types.TypeParam); ok {
		return false
	}
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&of != 0
}

func isNil(e ast.Expr) bool {
	id, ok := ast.Unparen(e).(*ast.Ident)
	return ok && id.Name == "nil"
}
