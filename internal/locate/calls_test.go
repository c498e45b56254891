// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// TestCalls compares what each way of looking asks of the kernel with testdata/calls.txt:
// nothing in vain, and nothing left out.
func TestCalls(t *testing.T) {
	needHandles(t)
	needFID(t)
	kerneltest.NeedOpenat2(t)
	f := faultTest(t)
	f.Kind = func(c *kerneltest.Call) string {
		object := c.Object
		if _, below, found := strings.Cut(object, "/faults"); found {
			_, below, _ = strings.Cut(below, "/")
			object = "/" + below
		}
		return kerneltest.KindOf(&kerneltest.Call{Name: c.Name, Object: object})
	}
	f.Calls(t, "testdata/calls.txt", func(calls []string) []string {
		slices.Sort(calls)                                    // the order says little
		return slices.DeleteFunc(calls, func(c string) bool { // these are as many as it takes for the machine's mounts
			return strings.HasPrefix(c, "read ") && strings.HasSuffix(c, "/mountinfo")
		})
	})
}

// needFID skips where the kernel does not know AT_HANDLE_FID (Linux 6.5).
func needFID(t *testing.T) {
	t.Helper()
	const flag = 0x200
	if _, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", flag); err == unix.EINVAL {
		t.Skip("this needs AT_HANDLE_FID")
	}
}
