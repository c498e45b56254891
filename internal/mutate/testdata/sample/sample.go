// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package sample has mutants of each fate. Its tests are weak on purpose.
package sample

import "errors"

// Sign has one mutant that its test does not notice.
func Sign(x int) int {
	if x < 0 {
		return -1
	}
	return 1
}

// Unused has mutants that no test comes to.
func Unused(ok bool) bool { return !ok }

// Wait has a mutant that never returns.
func Wait(n int) {
	for n > 0 {
		n--
	}
}

// Open runs in a process that its test starts.
func Open() error { return errors.New("closed") }
