// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package operators has code for each kind of mutant.
package operators

import "errors"

type number int64

const limit number = 7

var table = func() (squares [4]int) {
	for i := range squares {
		squares[i] = i * i
	}
	return squares
}()

func order(a, b string) (bool, bool, bool, bool) { return a < b, a <= b, a > b, a >= b }

func bounds(a number) (bool, bool, bool, bool) { return a < 3, a <= 3, a > 3, a >= 3 }

func equal(a number, p *int) (bool, bool, bool, bool) {
	return a == 3, a != 3, a == limit, p == nil
}

func logical(a, b bool) (bool, bool) {
	return a &&
		b, a || b
}

func arithmetic(a, b uint8, n int) []uint8 {
	return []uint8{a + b, a - b, a * b, a / b, a % b, a & b, a | b, a ^ b, a &^ b, a << n, a >> n}
}

func extremes(a, b int) (int, int) { return min(a, b, 100), max(a, b) }

func assign(a, b uint8) (all []uint8) {
	for i := 0; i < 11; i++ {
		c := a
		switch i {
		case 0:
			c += b
		case 1:
			c -= b
		case 2:
			c *= b
		case 3:
			c /= b
		case 4:
			c %= b
		case 5:
			c &= b
		case 6:
			c |= b
		case 7:
			c ^= b
		case 8:
			c &^= b
		case 9:
			c <<= 1
		case 10:
			c >>= 1
		}
		all = append(all, c)
	}
	return all
}

func count(m map[string]int) (up, down int) {
	m["a"]++
	m["b"] += 2
	up++
	down--
	return up, down
}

func sum(n int) (sum int) {
	for i := range n {
		if i == 3 {
			continue
		}
		if i == 8 {
			break
		}
		sum += i
	}
	return sum
}

func send(c, d chan int, done func()) {
	defer done()
	go func() { c <- 1 }()
	d <- 2
}

func isSet(p *bool) bool {
	if *p {
		return true
	}
	switch {
	case !*p:
		return false
	}
	panic("never")
}

func results(fail bool) (int, string, error) {
	if fail {
		return 0, "", errors.New("failed")
	}
	return 0, "fine", nil
}

func both(fail bool) (int, string, error) { return results(fail) }
