// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package bywd sorts and searches lists by watch descriptor (wd).
package bywd

import (
	"cmp"
	"slices"
)

// Sorted returns list in ascending order of wd: itself, or a sorted copy. wdOf returns an
// element's wd.
func Sorted[T any, WD ~int32](list []T, wdOf func(T) WD) []T {
	compare := func(a, b T) int { return cmp.Compare(wdOf(a), wdOf(b)) }
	if slices.IsSortedFunc(list, compare) {
		return list
	}
	list = slices.Clone(list)
	slices.SortFunc(list, compare)
	return list
}

// Find returns the index of the first element of list, which is in ascending order, with the
// wd or a higher one, and whether it has the wd.
func Find[T any, WD ~int32](list []T, wd WD, wdOf func(T) WD) (int, bool) {
	return slices.BinarySearchFunc(list, wd, func(e T, wd WD) int { return cmp.Compare(wdOf(e), wd) })
}
