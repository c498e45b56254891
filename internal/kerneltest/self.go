// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package kerneltest

import (
	"os"
	"testing"
)

// selfVariable names an environment variable. If this program is for another processor, so that the
// kernel cannot run it, its value is a program that runs it and that any user may start (see
// .ci/qemu-user).
const selfVariable = "INOTIFY_TEST_SELF"

// Executable returns the program that tests start to run this program as a child process.
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

// AnyonesExecutable is Executable for a child that has no rights to the program's directory.
func AnyonesExecutable() string {
	if self := os.Getenv(selfVariable); self != "" {
		return self
	}
	return "/proc/self/exe"
}
