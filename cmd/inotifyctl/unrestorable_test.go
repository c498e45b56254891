// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// If restore would refuse a dump, dump and verify say so.
func TestDumpThatRestoreRefuses(t *testing.T) {
	needsList(t)
	ws := watchesOn(t, 1, 7)
	h := holdAlone(t, instance(t, ws...))
	file := filepath.Join(t.TempDir(), "snapshot")
	code, stdout, stderr := call("dump", "-paths", "none", "-o", file, h.arg())
	want := "inotifyctl: incomplete: restore would refuse this dump: unknown path of 2 watches (1, 7); "
	if code != 3 || stdout != "" || !strings.Contains(stderr, want) || !strings.Contains(stderr, "-paths search") {
		t.Errorf("dump: exit code %d, %q, %s", code, stdout, stderr)
	}
	code, stdout, stderr = call("verify", file, h.arg())
	if code != 3 || !strings.Contains(stdout, "is equal to the dump") ||
		!strings.HasPrefix(stderr, "inotifyctl: unknown: path of 2 watches (1, 7): not requested\n"+want) {
		t.Errorf("verify: exit code %d, %q, %s", code, stdout, stderr)
	}
	code, _, stderr = result(t, command(t, "restore", file, "--", "true"))
	wantFailure(t, code, stderr, "wd 1")

	code, _, stderr = call("dump", "-paths", "search", "-hint", filepath.Dir(ws[0].Path), "-o", file, h.arg())
	if code != 0 || strings.Contains(stderr, "incomplete") {
		t.Errorf("dump: exit code %d, %s", code, stderr)
	}
	code, _, stderr = call("verify", file, h.arg())
	wantSuccess(t, code, stderr)
	if code, _, stderr = result(t, command(t, "restore", "-missing", file, "--", "true")); code != 0 {
		t.Errorf("restore: exit code %d, %s", code, stderr)
	}
}

// Without -drain, pending events are not in the snapshot, and a restored instance has an
// overflow event instead.
func TestDumpWithoutPendingEvents(t *testing.T) {
	h := holdPending(t)
	kerneltest.NeedDuplicates(t)
	file := filepath.Join(t.TempDir(), "snapshot")
	code, _, stderr := call("dump", "-paths", "search", "-hint", os.TempDir(), "-o", file, h.arg())
	if code != 0 || !strings.Contains(stderr, "pending: not requested") {
		t.Errorf("dump: exit code %d, %s", code, stderr)
	}
	if code, _, stderr = call("verify", file, h.arg()); code != 0 {
		t.Errorf("verify: exit code %d, %s", code, stderr)
	}
	if _, _, stderr = result(t, command(t, "restore", file, "--", "true")); hasIoctl(t) {
		wantLine(t, stderr, "inotifyctl: added: an overflow event, for 96 bytes of pending events that the dump lacks")
	}
}

// A second dump would not have the events that the first one drained.
func TestDrainedDumpThatRestoreRefuses(t *testing.T) {
	h := holdPending(t)
	file := filepath.Join(t.TempDir(), "snapshot")
	const want = "; only this dump has its 3 drained events: write another dump to another file\n"
	code, _, stderr := call("dump", "-drain", "-paths", "none", "-o", file, h.arg())
	if code != 3 || !strings.HasSuffix(stderr, want) {
		t.Errorf("dump: exit code %d, %s", code, stderr)
	}
	if code, _, stderr = call("verify", file, h.arg()); code != 3 || !strings.HasSuffix(stderr, want) {
		t.Errorf("verify: exit code %d, %s", code, stderr)
	}
	code, _, stderr = result(t, command(t, "restore", file, "--", "true"))
	if hasIoctl(t) && (code != 1 || !strings.HasSuffix(stderr, want)) { // else the events are refused first
		t.Errorf("restore: exit code %d, %s", code, stderr)
	}
}

// The advice depends on the user and on the flags of the dump.
func TestPathAdvice(t *testing.T) {
	root := os.Geteuid() == 0
	for _, tt := range []struct {
		args       pathFlags
		root, user string
	}{
		{pathFlags{level: checkpoint.PathsNone}, "dump again with -paths handles or -paths search", "dump again as root, or with -paths search"},
		{pathFlags{level: checkpoint.PathsByHandle}, searchAdvice, "dump again as root, or " + searchAdvice},
		{pathFlags{level: checkpoint.PathsBySearch}, "", "dump again as root"},
		{pathFlags{level: checkpoint.PathsBySearch, maxEntries: 9}, "dump again with a greater -max-entries, or with -hint DIR", "dump again with a greater -max-entries, or with -hint DIR"},
	} {
		want := tt.user
		if root {
			want = tt.root
		}
		wantText(t, tt.args.advice(), want)
	}
}
