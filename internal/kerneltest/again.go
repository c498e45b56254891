// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Again runs the test in a child process, which it starts with attr, and reports whether this is
// the child. So the test can change its process without affecting other tests.
func Again(t *testing.T, attr *syscall.SysProcAttr) bool {
	t.Helper()
	const name = "INOTIFY_TEST_AGAIN"
	if os.Getenv(name) == t.Name() {
		return true
	}
	self := Executable(t)
	var out bytes.Buffer
	cmd := exec.Command(self, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), name+"="+t.Name(), "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = attr, &out, &out
	if err := cmd.Start(); err != nil {
		t.Skip("this needs to start a child process: ", err)
	}
	err := cmd.Wait()
	result := func(s string) bool { return bytes.Contains(out.Bytes(), []byte("--- "+s+": "+t.Name()+" ")) }
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, &out)
	case result("SKIP"):
		t.Skipf("%s", &out)
	case !result("PASS"):
		t.Errorf("the test did not run:\n%s", &out)
	}
	return false
}

// OwnUsers returns attributes that start a process in a new user namespace, as root there.
func OwnUsers(t testing.TB) *syscall.SysProcAttr {
	t.Helper()
	NeedUserNamespaces(t)
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// OwnLimit sets a limit, "max_inotify_watches" or "max_inotify_instances", of the process's user
// namespace, which must have been created for the test.
func OwnLimit(t testing.TB, name string, value int) {
	t.Helper()
	if uids, err := os.ReadFile("/proc/self/uid_map"); err != nil || len(bytes.Fields(uids)) != 3 || string(bytes.Fields(uids)[2]) != "1" {
		t.Fatalf("the user namespace is not the test's own: %q, %v", uids, err)
	}
	if err := os.WriteFile("/proc/sys/user/"+name, fmt.Append(nil, value), 0); err != nil {
		t.Skip("this needs limits of a user namespace: ", err)
	}
}

// WithFiles runs f while the process can open only more further descriptors.
func WithFiles(t testing.TB, more int, f func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	var fill []int // the gaps below
	last, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	for highest := len(OpenDescriptors()) + 64; err == nil && last < highest; {
		fill = append(fill, last)
		last, err = unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, fd := range append(fill, last) {
			unix.Close(fd)
		}
	}()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(last + 1 + more), Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}
