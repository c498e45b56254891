// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// statement finds the mutants of a statement as such.
func (f *finder) statement(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.ReturnStmt:
		f.results(s)
	case *ast.BranchStmt:
		f.branch(s)
	case *ast.IncDecStmt:
		f.leaveOut(s)
		f.step(s)
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE {
			return
		}
		f.leaveOut(s)
		if s.Tok != token.ASSIGN {
			f.assign(s)
		}
	case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
		f.leaveOut(s)
	}
}

// leaveOut removes a statement, where it is one of a list.
func (f *finder) leaveOut(s ast.Stmt) {
	if !slices.Contains(listOf(f.parent()), s) || f.unneeded(s) {
		return
	}
	k := f.add(s, f.text(s), "nothing")
	f.around(s, "if !mutOn("+k+") { ", " }")
}

// listOf returns the statements that n is a list of.
func listOf(n ast.Node) []ast.Stmt {
	var among []ast.Stmt
	switch n := n.(type) {
	case *ast.BlockStmt:
		among = n.List
	case *ast.CaseClause:
		among = n.Body
	case *ast.CommClause:
		among = n.Body
	}
	if len(among) > 0 {
		switch among[0].(type) {
		case *ast.CaseClause, *ast.CommClause:
			return nil // the block is a switch's
		}
	}
	return among
}

// unneeded reports whether s cannot be left out, or makes no difference.
func (f *finder) unneeded(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		return ok && (f.text(call.Fun) == "panic" || f.text(call.Fun) == "runtime.KeepAlive")
	case *ast.AssignStmt:
		return f.text(s.Lhs[0]) == "_"
	}
	return false
}

func (f *finder) step(s *ast.IncDecStmt) {
	if f.ofMap(s.X) {
		return
	}
	call, other := "mutInc", token.DEC
	if s.Tok == token.DEC {
		call, other = "mutDec", token.INC
	}
	k := f.add(s, f.text(s), f.text(s.X)+other.String())
	f.around(s.X, call+"("+k+", &(", "))")
	f.operator(s.TokPos, s.Tok, "")
}

// ofMap reports whether e has no address.
func (f *finder) ofMap(e ast.Expr) bool {
	index, ok := ast.Unparen(e).(*ast.IndexExpr)
	if !ok {
		return false
	}
	_, ok = f.typeOf(index.X).Underlying().(*types.Map)
	return ok
}

var assignments = map[token.Token]struct {
	call  string
	other token.Token
	of    types.BasicInfo
}{
	token.ADD_ASSIGN:     {"mutAddTo", token.SUB_ASSIGN, types.IsInteger | types.IsFloat},
	token.SUB_ASSIGN:     {"mutSubFrom", token.ADD_ASSIGN, types.IsInteger | types.IsFloat},
	token.MUL_ASSIGN:     {"mutMulTo", token.QUO_ASSIGN, types.IsInteger | types.IsFloat},
	token.QUO_ASSIGN:     {"mutQuoOf", token.MUL_ASSIGN, types.IsInteger | types.IsFloat},
	token.REM_ASSIGN:     {"mutRemOf", token.MUL_ASSIGN, types.IsInteger},
	token.AND_ASSIGN:     {"mutAndTo", token.OR_ASSIGN, types.IsInteger},
	token.OR_ASSIGN:      {"mutOrTo", token.AND_ASSIGN, types.IsInteger},
	token.XOR_ASSIGN:     {"mutXorTo", token.AND_ASSIGN, types.IsInteger},
	token.AND_NOT_ASSIGN: {"mutAndNotTo", token.AND_ASSIGN, types.IsInteger},
	token.SHL_ASSIGN:     {"mutShlTo", token.SHR_ASSIGN, types.IsInteger},
	token.SHR_ASSIGN:     {"mutShrTo", token.SHL_ASSIGN, types.IsInteger},
}

func (f *finder) assign(s *ast.AssignStmt) {
	a := assignments[s.Tok]
	left, right := s.Lhs[0], s.Rhs[0]
	if !basic(f.typeOf(left), a.of) || f.ofMap(left) {
		return
	}
	k := f.add(s, f.text(s), fmt.Sprintf("%s %s %s", f.text(left), a.other, f.text(right)))
	f.around(s, a.call+"("+k+", &(", ")")
	f.operator(s.TokPos, s.Tok, "),")
}

// branch swaps break and continue.
func (f *finder) branch(s *ast.BranchStmt) {
	other := token.CONTINUE
	switch s.Tok {
	case token.BREAK:
	case token.CONTINUE:
		other = token.BREAK
	default:
		return
	}
	var label string
	if s.Label != nil {
		label = " " + s.Label.Name
	}
	if !f.mayBranch(s, other) {
		return
	}
	k := f.add(s, f.text(s), other.String()+label)
	f.around(s, "if mutOn("+k+") { "+other.String()+label+" }; ", "")
}

// mayBranch reports whether the other branch statement is possible there. A loop
// that only a return ends must stay one, as nothing may follow it.
func (f *finder) mayBranch(s *ast.BranchStmt, other token.Token) bool {
	for i := len(f.stack) - 1; i >= 0; i-- {
		switch n := f.stack[i].(type) {
		case *ast.FuncLit:
			return false
		case *ast.ForStmt:
			if f.labelled(i, s.Label) {
				return n.Cond != nil || other == token.CONTINUE
			}
		case *ast.RangeStmt:
			if f.labelled(i, s.Label) {
				return true
			}
		}
	}
	return false
}

// labelled reports whether the statement at a place of the stack has the label, if
// there is one.
func (f *finder) labelled(at int, label *ast.Ident) bool {
	if label == nil {
		return true
	}
	l, ok := f.stack[at-1].(*ast.LabeledStmt)
	return ok && l.Label.Name == label.Name
}

// results has each result of a return be another.
func (f *finder) results(s *ast.ReturnStmt) {
	returned := f.resultTypes()
	switch {
	case len(s.Results) == 0:
	case len(s.Results) < len(returned):
		if len(returned) > 3 {
			return
		}
		var names []string
		for _, t := range returned {
			names = append(names, f.text(t))
		}
		k := f.add(s, f.text(s), "return zeros, after the call")
		f.around(s.Results[0], fmt.Sprintf("mutZero%d[%s](%s)(", len(names), strings.Join(names, ", "), k), ")")
	default:
		for i, e := range s.Results {
			f.result(s, e, returned[i])
		}
	}
}

func (f *finder) result(s *ast.ReturnStmt, e, of ast.Expr) {
	t := f.typeOf(of)
	replace := func(call, with string) {
		at := f.offset(e.Pos()) - f.offset(s.Pos())
		end := f.offset(e.End()) - f.offset(s.Pos())
		raw := f.raw(s)
		to := strings.Join(strings.Fields(raw[:at]+with+raw[end:]), " ")
		k := f.add(s, f.text(s), to)
		f.around(e, call+"("+k+", ", ")")
	}
	switch {
	case isError(t) && isNil(e):
		replace("mutNil", "an error")
	case isError(t):
		replace("mutZero[error]", "nil")
	case basic(t, types.IsBoolean):
		// They are negated where they are computed.
	case f.zero(e) && (f.fails(s) || !basic(t, types.IsInteger|types.IsFloat)):
	case f.zero(e):
		replace("mutOne["+f.text(of)+"]", "1")
	default:
		replace("mutZero["+f.text(of)+"]", "zero")
	}
}

// fails reports whether s returns an error, beside which other results say
// nothing.
func (f *finder) fails(s *ast.ReturnStmt) bool {
	returned := f.resultTypes()
	last := len(returned) - 1
	return len(s.Results) == len(returned) && isError(f.typeOf(returned[last])) && !isNil(s.Results[last])
}

// zero reports whether e is its type's zero value, as it is written.
func (f *finder) zero(e ast.Expr) bool {
	if isNil(e) {
		return true
	}
	if value := f.target.info.Types[e].Value; value != nil {
		return value.String() == "0" || value.String() == `""`
	}
	composite, ok := e.(*ast.CompositeLit)
	return ok && len(composite.Elts) == 0
}

// resultTypes returns the types of the results of the innermost function, each as
// it is written.
func (f *finder) resultTypes() []ast.Expr {
	var of *ast.FuncType
	for i := len(f.stack) - 1; of == nil; i-- {
		switch n := f.stack[i].(type) {
		case *ast.FuncLit:
			of = n.Type
		case *ast.FuncDecl:
			of = n.Type
		}
	}
	var returned []ast.Expr
	if of.Results == nil {
		return nil
	}
	for _, field := range of.Results.List {
		for range max(1, len(field.Names)) {
			returned = append(returned, field.Type)
		}
	}
	return returned
}

func isError(t types.Type) bool { return types.Identical(t, types.Universe.Lookup("error").Type()) }
