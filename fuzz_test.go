// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// Each mask that ParseMask accepts is the same after String and ParseMask.
func FuzzParseMask(f *testing.F) {
	for _, s := range []string{"IN_CREATE|IN_ISDIR", "0", "IN_ALL_EVENTS", "IN_OPEN|0x1000", "4294967295", "IN_CLOSE|IN_MOVE", "|", "0x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var m inotify.Mask
		var err error
		kerneltest.WantLittleMemory(t, len(s), 1, func() { m, err = inotify.ParseMask(s) })
		if err != nil {
			if m != 0 {
				t.Errorf("%v with an error", m)
			}
			return
		}
		if back, err := inotify.ParseMask(m.String()); err != nil || back != m {
			t.Errorf("%q is parsed as %v, and that as %v, %v", s, m, back, err)
		}
	})
}
