// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// SetKernel sets fs.inotify.NAME until the test ends.
func SetKernel(t testing.TB, name string, value int) {
	t.Helper()
	SetOwnKernel(t, "/proc/sys/fs/inotify/"+name, fmt.Sprint(value))
}

// SetOwnKernel writes to a file of /proc or /sys, and restores it at the end of the test. Such a file
// is for the whole machine, even if written in a container or a user namespace. So the test is
// skipped unless the kernel was started for the test: .ci/uml and .ci/qemu say so in the environment,
// and notOwn checks it.
func SetOwnKernel(t testing.TB, path, value string) {
	t.Helper()
	if os.Getenv("INOTIFY_TEST_OWN_KERNEL") != "1" {
		t.Skip("this needs a kernel that is started for the test: run it with -exec .ci/uml or .ci/qemu")
	}
	if why := notOwn(); why != "" {
		t.Skip("INOTIFY_TEST_OWN_KERNEL is set, but ", why)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	set := func(text []byte) {
		if err := os.WriteFile(path, text, 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { set(before) })
	set([]byte(value))
}

// notOwn returns why the kernel is not one that was started for this test, or "". On such a kernel, the
// init of .ci/uml or .ci/qemu is the first process and started this one, and the kernel is user-mode
// Linux or has the command line of .ci/qemu.
func notOwn() string {
	first, _ := os.ReadFile("/proc/1/cmdline")
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	line, _ := os.ReadFile("/proc/cmdline")
	switch {
	case os.Getppid() != 1 || !bytes.HasSuffix(first, []byte("/init\x00")):
		return fmt.Sprintf("the first process, %q, did not start this one", first)
	case bytes.Contains(cpu, []byte("User Mode Linux")):
		return ""
	case strings.Contains(string(line), "console=ttyS0 quiet panic=-1"):
		return ""
	}
	return fmt.Sprintf("the kernel is not user-mode Linux, and its command line is %q", line)
}
