// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package kerneltest

import (
	"runtime"
	"testing"
)

// WantLittleMemory runs f and fails the test if that allocates more than 100 KiB plus each bytes for
// every byte of size.
func WantLittleMemory(t testing.TB, size, each int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(100<<10+each*size); got > most {
		t.Errorf("%d bytes allocated for %d, want at most %d", got, size, most)
	}
}
