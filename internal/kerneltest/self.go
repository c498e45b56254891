// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package kerneltest

import (
	"os"
	"testing"
)

// selfVariable is in the environment where the kernel cannot run this program, as it
// is one for another processor: a program that can, and that anyone may start (see
// .ci/qemu-user).
const selfVariable = "INOTIFY_TEST_SELF"

// Executable returns what tests start to have this program as a child process.
func Executable(t testing.TB) string {
	t.Helper()
	if self := os.Getenv(selfVariable); self != "" {
		return self
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// AnyonesExecutable is Executable for a child that may not enter the directory where
// the program is.
func AnyonesExecutable() string {
	if self := os.Getenv(selfVariable); self != "" {
		return self
	}
	return "/proc/self/exe"
}
