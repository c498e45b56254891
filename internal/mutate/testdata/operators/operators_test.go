// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package operators

import (
	"slices"
	"testing"
)

type four [4]bool

func all(a, b, c, d bool) four { return four{a, b, c, d} }

func TestComparisons(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want four
	}{
		{"a", "b", four{true, true, false, false}},
		{"a", "a", four{false, true, false, true}},
		{"b", "a", four{false, false, true, true}},
	} {
		if got := all(order(test.a, test.b)); got != test.want {
			t.Errorf("order(%q, %q) = %v", test.a, test.b, got)
		}
	}
	for a, want := range map[number]four{
		2: {true, true, false, false},
		3: {false, true, false, true},
		4: {false, false, true, true},
	} {
		if got := all(bounds(a)); got != want {
			t.Errorf("bounds(%d) = %v", a, got)
		}
	}
	for a, want := range map[number]four{
		2: {false, true, false, false},
		3: {true, false, false, false},
		4: {false, true, false, false},
		7: {false, true, true, false},
	} {
		if got := all(equal(a, new(int))); got != want {
			t.Errorf("equal(%d) = %v", a, got)
		}
	}
}

func TestLogical(t *testing.T) {
	for _, a := range []bool{false, true} {
		for _, b := range []bool{false, true} {
			and, or := logical(a, b)
			if and != (a == b && a) || or == (a == b && !a) {
				t.Errorf("logical(%v, %v) = %v, %v", a, b, and, or)
			}
		}
		if isSet(&a) != a {
			t.Errorf("isSet(%v) is wrong", a)
		}
	}
}

func TestNumbers(t *testing.T) {
	if got, want := arithmetic(43, 5, 1), []uint8{48, 38, 215, 8, 3, 1, 47, 46, 42, 86, 21}; !slices.Equal(got, want) {
		t.Errorf("arithmetic: %v, want %v", got, want)
	}
	if got, want := assign(43, 5), []uint8{48, 38, 215, 8, 3, 1, 47, 46, 42, 86, 21}; !slices.Equal(got, want) {
		t.Errorf("assign: %v, want %v", got, want)
	}
	if least, most := extremes(3, 4); least != 3 || most != 4 {
		t.Errorf("extremes: %d, %d", least, most)
	}
	if table != [4]int{0, 1, 4, 9} {
		t.Errorf("table: %v", table)
	}
	m := map[string]int{}
	if up, down := count(m); up != 1 || down != -1 || m["a"] != 1 || m["b"] != 2 {
		t.Errorf("count: %d, %d, %v", up, down, m)
	}
	if got := sum(20); got != 0+1+2+4+5+6+7 {
		t.Errorf("sum: %d", got)
	}
}

func TestSend(t *testing.T) {
	c, d, done := make(chan int), make(chan int, 1), false
	send(c, d, func() { done = true })
	if got := <-c; got != 1 || len(d) != 1 || !done {
		t.Errorf("received %d, %d sent, done: %v", got, len(d), done)
	}
}

func TestResults(t *testing.T) {
	for _, f := range []func(bool) (int, string, error){results, both} {
		if n, s, err := f(true); n != 0 || s != "" || err == nil {
			t.Errorf("%d, %q, %v", n, s, err)
		}
		if n, s, err := f(false); n != 0 || s != "fine" || err != nil {
			t.Errorf("%d, %q, %v", n, s, err)
		}
	}
}
