// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
)

// expression finds the mutants of an expression that is not a constant.
func (f *finder) expression(e ast.Expr) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		f.binary(e)
		return
	case *ast.UnaryExpr:
		if e.Op == token.NOT {
			f.negate(e, f.text(e), f.text(e.X))
			return
		}
	case *ast.CallExpr:
		f.extreme(e)
	}
	if f.decides(e) {
		f.negate(e, f.text(e), "!"+f.text(e))
	}
}

// decides reports whether e is a bare boolean value on which something depends.
// What is behind a "!" is negated there.
func (f *finder) decides(e ast.Expr) bool {
	switch e.(type) {
	case *ast.Ident, *ast.SelectorExpr, *ast.CallExpr, *ast.IndexExpr, *ast.StarExpr:
	default:
		return false
	}
	if t := f.typeOf(e); t == nil || !basic(t, types.IsBoolean) || f.target.info.Types[e].IsType() {
		return false
	}
	switch p := f.parent().(type) {
	case *ast.IfStmt:
		return p.Cond == e
	case *ast.ForStmt:
		return p.Cond == e
	case *ast.BinaryExpr:
		return p.Op == token.LAND || p.Op == token.LOR
	case *ast.ReturnStmt:
		return true
	case *ast.CaseClause:
		outer := f.stack[len(f.stack)-3] // the switch, its block, the clause
		s, ok := outer.(*ast.SwitchStmt)
		return ok && s.Tag == nil
	}
	return false
}

func (f *finder) negate(e ast.Expr, from, to string) {
	k := f.add(e, from, to)
	f.around(e, "(mutOn("+k+") != (", "))")
}

// literal inverts true and false, where they are values.
func (f *finder) literal(id *ast.Ident) {
	switch p := f.parent().(type) {
	case *ast.KeyValueExpr:
		if p.Value != id {
			return
		}
	case *ast.ReturnStmt:
		if f.fails(p) {
			return
		}
	case *ast.AssignStmt:
		if p.Tok != token.DEFINE {
			return // leaving it out is the same, or nearly
		}
	case *ast.CallExpr, *ast.CompositeLit:
	default:
		return
	}
	other := map[string]string{"true": "false", "false": "true"}[id.Name]
	f.negate(id, f.text(f.parent()), other+" instead of "+id.Name)
}

func (f *finder) binary(e *ast.BinaryExpr) {
	switch e.Op {
	case token.LAND, token.LOR:
		f.logical(e)
	case token.EQL, token.NEQ:
		f.equality(e)
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		f.order(e)
	default:
		f.arithmetic(e)
	}
}

// with is e with another operator.
func (f *finder) with(e *ast.BinaryExpr, op token.Token) string {
	return fmt.Sprintf("%s %s %s", f.text(e.X), op, f.text(e.Y))
}

func (f *finder) logical(e *ast.BinaryExpr) {
	call, other := "mutAnd", token.LOR
	if e.Op == token.LOR {
		call, other = "mutOr", token.LAND
	}
	k := f.add(e, f.text(e), f.with(e, other))
	f.around(e, call+"("+k+", ", ") })")
	f.operator(e.OpPos, e.Op, ", func() bool { return (")
}

func (f *finder) equality(e *ast.BinaryExpr) {
	call, other := "mutEqualConst(", token.NEQ
	if e.Op == token.NEQ {
		call, other = "mutUnequalConst(", token.EQL
	}
	negated := f.add(e, f.text(e), f.with(e, other))
	if !f.movable(e) {
		f.around(e, "(mutOn("+negated+") != (", "))")
		return
	}
	up := f.add(e, f.text(e), f.moved(e, 1))
	down := f.add(e, f.text(e), f.moved(e, -1))
	f.around(e, call+negated+", "+up+", "+down+", ", ")")
	f.operator(e.OpPos, e.Op, ",")
}

var orders = map[token.Token]struct {
	call              string
	boundary, negated token.Token
	moved             int64 // away from where boundary is
}{
	token.LSS: {"mutLess", token.LEQ, token.GEQ, -1},
	token.LEQ: {"mutLessEq", token.LSS, token.GTR, +1},
	token.GTR: {"mutGreater", token.GEQ, token.LEQ, +1},
	token.GEQ: {"mutGreaterEq", token.GTR, token.LSS, -1},
}

func (f *finder) order(e *ast.BinaryExpr) {
	if !basic(f.typeOf(e.X), types.IsOrdered) {
		return
	}
	o := orders[e.Op]
	numbers := f.add(e, f.text(e), f.with(e, o.boundary)) + ", " + f.add(e, f.text(e), f.with(e, o.negated))
	call := o.call
	if f.movable(e) {
		call += "Const"
		numbers += ", " + f.add(e, f.text(e), f.moved(e, o.moved))
	}
	f.around(e, call+"("+numbers+", ", ")")
	f.operator(e.OpPos, e.Op, ",")
}

// movable reports whether e compares with a constant that is a number, and not the
// name of a thing.
func (f *finder) movable(e *ast.BinaryExpr) bool {
	if f.constant(e.X) || !f.constant(e.Y) || !basic(f.typeOf(e.X), types.IsInteger) {
		return false
	}
	if _, ok := f.typeOf(e.X).(*types.TypeParam); ok {
		return false
	}
	switch y := ast.Unparen(e.Y).(type) {
	case *ast.Ident:
		c, ok := f.target.info.Uses[y].(*types.Const)
		return ok && basicType(c.Type())
	case *ast.SelectorExpr:
		return false
	}
	return true
}

// moved is e with another constant.
func (f *finder) moved(e *ast.BinaryExpr, by int64) string {
	to := fmt.Sprintf("%s%+d", f.text(e.Y), by)
	if lit, ok := e.Y.(*ast.BasicLit); ok && lit.Kind == token.INT {
		if n, ok := constant.Int64Val(f.target.info.Types[e.Y].Value); ok {
			to = fmt.Sprint(n + by)
		}
	}
	return fmt.Sprintf("%s %s %s", f.text(e.X), e.Op, to)
}

func basicType(t types.Type) bool {
	_, ok := t.(*types.Basic)
	return ok
}

var arithmetic = map[token.Token]struct {
	call  string
	other token.Token
	of    types.BasicInfo
}{
	token.ADD:     {"mutAdd", token.SUB, types.IsInteger | types.IsFloat},
	token.SUB:     {"mutSub", token.ADD, types.IsInteger | types.IsFloat},
	token.MUL:     {"mutMul", token.QUO, types.IsInteger | types.IsFloat},
	token.QUO:     {"mutQuo", token.MUL, types.IsInteger | types.IsFloat},
	token.REM:     {"mutRem", token.MUL, types.IsInteger},
	token.AND:     {"mutBitAnd", token.OR, types.IsInteger},
	token.OR:      {"mutBitOr", token.AND, types.IsInteger},
	token.XOR:     {"mutXor", token.AND, types.IsInteger},
	token.AND_NOT: {"mutAndNot", token.AND, types.IsInteger},
	token.SHL:     {"mutShl", token.SHR, types.IsInteger},
	token.SHR:     {"mutShr", token.SHL, types.IsInteger},
}

func (f *finder) arithmetic(e *ast.BinaryExpr) {
	a, ok := arithmetic[e.Op]
	if !ok || !basic(f.typeOf(e), a.of) {
		return
	}
	if (e.Op == token.SHL || e.Op == token.SHR) && f.constant(e.X) {
		return // the constant's type is the context's
	}
	k := f.add(e, f.text(e), f.with(e, a.other))
	f.around(e, a.call+"("+k+", ", ")")
	f.operator(e.OpPos, e.Op, ",")
}

// extreme swaps min and max.
func (f *finder) extreme(e *ast.CallExpr) {
	id, ok := e.Fun.(*ast.Ident)
	if !ok || !basic(f.typeOf(e), types.IsOrdered) {
		return
	}
	if _, ok := f.target.info.Uses[id].(*types.Builtin); !ok {
		return
	}
	calls := map[string][2]string{"min": {"mutMin", "max"}, "max": {"mutMax", "min"}}
	if c, ok := calls[id.Name]; ok {
		k := f.add(e, f.text(e), c[1]+f.text(e)[len("min"):])
		f.edits.replace(f.offset(id.Pos()), f.offset(e.Lparen)+1, c[0]+"("+k+", ")
	}
}
