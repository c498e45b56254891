// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// wantSteps compares the lines that demo prints with regular expressions.
func wantSteps(t *testing.T, stdout string, steps ...string) {
	t.Helper()
	got := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(got) != len(steps) {
		t.Fatalf("%d lines, want %d:\n%s", len(got), len(steps), stdout)
	}
	for i, want := range steps {
		if !regexp.MustCompile("^" + want + "$").MatchString(got[i]) {
			t.Errorf("line %q does not match %q", got[i], want)
		}
		if len(got[i]) > 80 && !strings.Contains(got[i], "/inotifyctl-demo-") {
			t.Errorf("line %q is longer than 80 columns", got[i])
		}
	}
}

func TestDemo(t *testing.T) {
	kerneltest.NeedBootID(t)
	if !hasIoctl(t) {
		t.Skip("this needs a kernel with the ioctl")
	}
	t.Setenv("TMPDIR", t.TempDir())
	code, stdout, stderr := call("demo")
	wantSuccess(t, code, stderr)
	steps := []string{
		`created   an instance with 4 watches in /.*/inotifyctl-demo-\d+`,
		`touched   a file "before" in 3 of the directories`,
		`dumped    to snapshot.json, \d+ bytes: 3 pending events, next wd 2, and`,
		`          watch 1          IN_CREATE\|IN_DELETE on 1, inode \d+`,
		`          watch 7          IN_CREATE\|IN_DELETE on 7, inode \d+`,
		`          watch 55407062   IN_CREATE\|IN_DELETE on 55407062, inode \d+`,
		`          watch 2147483647 IN_CREATE\|IN_DELETE on 2147483647, inode \d+`,
		`closed    the instance`,
		`restored  4 watches, 3 events in the queue, in .*s`,
		`touched   a file "after" in 3 of the directories`,
		`read      watch 7          IN_CREATE "before"`,
		`read      watch 55407062   IN_CREATE "before"`,
		`read      watch 2147483647 IN_CREATE "before"`,
		`read      watch 7          IN_CREATE "after"`,
		`read      watch 55407062   IN_CREATE "after"`,
		`read      watch 2147483647 IN_CREATE "after"`,
		`verified  equal: wds, masks, inodes, next wd 2`,
		`removed   /.*`,
	}
	wantSteps(t, stdout, steps...)
	wantNoFiles(t, os.TempDir())
}

func wantNoFiles(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// If standard output is a closed pipe, demo still removes its directory.
func TestDemoIntoBrokenPipe(t *testing.T) {
	needsList(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd := command(t, "demo")
	dir := t.TempDir()
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = w, &errs
	err = cmd.Run()
	w.Close()
	wantFailure(t, exitCode(t, err), errs.String(), "broken pipe")
	wantNoFiles(t, dir)
}

func TestDemoWithoutIoctl(t *testing.T) {
	needsList(t)
	code, stdout, stderr := result(t, withoutIoctl(t, "demo"))
	wantSuccess(t, code, stderr)
	for _, want := range []string{"note      this kernel lacks INOTIFY_IOC_SETNEXTWD", "watch 40 ", "verified  equal: ", `watch 40         IN_CREATE "after"`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

func TestDemoWithoutWatchList(t *testing.T) {
	if listsWatches(t) {
		t.Skip("this needs a kernel that lists no watches in fdinfo")
	}
	t.Setenv("TMPDIR", t.TempDir())
	code, _, stderr := call("demo")
	wantFailure(t, code, stderr, "fdinfo")
	wantNoFiles(t, os.TempDir())
}
