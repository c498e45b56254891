// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMain also runs the program itself, for the processes that tests start.
func TestMain(m *testing.M) {
	if seconds := os.Getenv("BENCH_TEST_SLEEP"); seconds != "" {
		output(exec.Command("sleep", seconds))
		os.Exit(0)
	}
	if len(os.Args) > 1 && (os.Args[1] == "worker" || os.Args[1] == "filtered") || os.Getenv("BENCH_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// bench runs the program and returns what it printed. It checks the exit code, and
// that nothing is left in the directory where it makes its files.
func bench(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	got := run(t.Context(), append([]string{"-dir", dir}, args...), &out, &errs)
	if got != code {
		t.Errorf("%q: exit code %d, want %d\n%s", args, got, code, &errs)
	}
	wantEmpty(t, dir)
	return out.String(), errs.String()
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}

func wantDiff(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// testLab returns a lab with the peers and count files.
func testLab(t *testing.T, count int) *lab {
	t.Helper()
	l, err := (config{quick: true, dir: t.TempDir()}).openLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.buildPeers(t.Context(), "-Wall", "-Wextra", "-Werror"); err != nil {
		t.Fatal(err)
	}
	if err := l.makeFiles(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	return l
}

// script makes a peer that is a shell script.
func script(t *testing.T, l *lab, name, text string) {
	t.Helper()
	if err := os.MkdirAll(l.peer(""), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.peer(name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func needIoctl(t *testing.T, l *lab) {
	t.Helper()
	if !l.ioctl {
		t.Skip("this needs INOTIFY_IOC_SETNEXTWD, which this kernel lacks")
	}
}

func needFilter(t *testing.T, l *lab) {
	t.Helper()
	if _, err := os.Stat("/proc/sys/kernel/seccomp"); err != nil {
		t.Skip("this needs a seccomp filter, which this kernel lacks: ", err)
	}
	if err := filter.missing(l.facts(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// self returns a command that runs this program, with its files in dir.
func self(ctx context.Context, t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-dir", dir}, args...)...)
	cmd.Env = append(os.Environ(), "BENCH_TEST_MAIN=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // in case the tests time out
	return cmd
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
