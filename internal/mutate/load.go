// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// A target is a package whose code is mutated.
type target struct {
	path string // its import path
	dir  string
	name string
	info *types.Info
	fset *token.FileSet

	sources []*source
}

// A source is a file of a target, as it is built here.
type source struct {
	name string // its path below the directory in which the tool works
	path string
	text []byte
	file *ast.File
	fset *token.FileSet
}

func (s *source) offset(p token.Pos) int { return s.fset.Position(p).Offset }

func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

// raw is the code of a node as it stands there.
func (s *source) raw(n ast.Node) string { return string(s.text[s.offset(n.Pos()):s.offset(n.End())]) }

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

type listed struct {
	ImportPath, Name, Dir, Export string
	GoFiles, CgoFiles             []string
	Match                         []string // the patterns that name it; none if it is only imported
}

// load parses and type-checks the packages that the patterns name.
func load(ctx context.Context, dir string, patterns []string) ([]*target, error) {
	all, err := list(ctx, dir, append([]string{"-export", "-deps"}, patterns...))
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range all {
		exports[p.ImportPath] = p.Export
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	var targets []*target
	for _, p := range all {
		if len(p.Match) == 0 {
			continue
		}
		if len(p.CgoFiles) > 0 {
			return nil, fmt.Errorf("%s uses cgo", p.ImportPath)
		}
		t := &target{path: p.ImportPath, dir: p.Dir, name: p.Name, fset: fset}
		if err := t.check(dir, p.GoFiles, imports); err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	if len(targets) == 0 {
		return nil, errors.New("no package is named")
	}
	return targets, nil
}

// check parses and type-checks the package.
func (t *target) check(dir string, names []string, imports types.Importer) error {
	var files []*ast.File
	for _, name := range names {
		path := filepath.Join(t.dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(t.fset, path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if short, err := filepath.Rel(dir, path); err == nil {
			name = short
		}
		t.sources = append(t.sources, &source{name: name, path: path, text: text, file: file, fset: t.fset})
		files = append(files, file)
	}
	t.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: imports, Sizes: types.SizesFor("gc", cmp.Or(os.Getenv("GOARCH"), runtime.GOARCH))}
	_, err := config.Check(t.path, t.fset, files, t.info)
	return err
}

// list runs go list.
func list(ctx context.Context, dir string, args []string) ([]listed, error) {
	out, err := goCommand(ctx, dir, append([]string{"list", "-json=ImportPath,Name,Dir,Export,GoFiles,CgoFiles,Match"}, args...)...)
	if err != nil {
		return nil, err
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
}

// goCommand runs the go command and returns what it prints.
func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, said.String())
	}
	return out.String(), nil
}
