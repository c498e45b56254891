// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// If the output would be lost, because standard output is closed or /dev/null, the events
// are not drained.
func TestDumpWithoutStandardOutput(t *testing.T) {
	h := holdPending(t)
	for _, tt := range []struct{ script, output, want string }{
		{`>&-`, "", "standard output: descriptor 1 is closed or /dev/null, and the output would be lost: write to a file"},
		{`0<&- 2>&- >&-`, "", ""}, // no message can be printed
		{`1<>/dev/null`, "", "is closed or /dev/null"},
		{`>&-`, "-o /dev/stdout", "open /dev/stdout: descriptor 1 is closed or /dev/null"},
		{`>&-`, "-o /dev/fd/1", "open /dev/fd/1: descriptor 1 is closed or /dev/null"},
		{`0<&-`, "-o /proc/self/fd/0", "open /proc/self/fd/0: descriptor 0 is closed or /dev/null"},
		{`1</etc/passwd`, "", "standard output: descriptor 1 is not open for writing"},
	} {
		args := append([]string{kerneltest.Executable(t), "dump", "-drain"}, strings.Fields(tt.output+" "+h.arg())...)
		code, stdout, stderr, _ := shell(t, nil, `exec "$0" "$@" `+tt.script, args...)
		wantText(t, stdout, "")
		if tt.want == "" {
			if code != 1 {
				t.Errorf("%s: exit code %d, want 1", tt.script, code)
			}
			continue
		}
		wantFailure(t, code, stderr, tt.want)
	}
	// A file is accepted, and so is /dev/null without -drain.
	file := filepath.Join(t.TempDir(), "snapshot")
	_, _, stderr, _ := shell(t, nil, `"$0" "$@" >&- 2>&- 0<&-`, kerneltest.Executable(t), "dump", "-drain", "-o", file, h.arg())
	wantPending(t, read(t, content(t, file)))
	wantText(t, stderr, "")
	code, _, stderr, _ := shell(t, nil, `exec "$0" "$@" >/dev/null`, kerneltest.Executable(t), "dump", h.arg())
	if code != 0 && code != 3 { // 3 where the path is unknown
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// If pending events would be lost, COMMAND is not executed.
func TestRestoreWithoutStandardOutput(t *testing.T) {
	needsList(t)
	file := snapshotFile(t, 5, watchesOn(t, 1), withPending(2))
	code, _, stderr, _ := shell(t, nil, `exec "$0" "$@" >&-`, kerneltest.Executable(t), "restore", "-pending", "/dev/stdout", file, "--", "sh", "-c", "echo executed >&2")
	wantFailure(t, code, stderr, "open /dev/stdout: descriptor 1 is closed")
}

// If standard error is closed and becomes the instance, no note is written to it.
func TestRestoreOnClosedStandardError(t *testing.T) {
	needsList(t)
	file := snapshotFile(t, 2, watchesOn(t, 1), func(s *checkpoint.Snapshot) { s.NextWD = 0 }) // causes a note
	const script = `readlink /proc/$$/fd/2; grep -c "^inotify wd:" /proc/$$/fdinfo/2`
	code, stdout, stderr, _ := shell(t, nil, `exec "$0" "$@" 2>&-`, kerneltest.Executable(t), "restore", file, "--", "sh", "-c", script)
	if code != 0 || stdout != "anon_inode:inotify\n1\n" || stderr != "" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

// If a standard descriptor is closed, no command writes its output into a file that it
// opened itself.
func TestClosedStandardDescriptors(t *testing.T) {
	dir := t.TempDir()
	all := []string{"help", "watch -n 0 " + dir}
	if listsWatches(t) {
		all = append(all, "demo")
	}
	for _, args := range all {
		code, stdout, stderr, _ := shell(t, nil, `exec "$0" "$@" 0<&- >&- 2>&-`, append([]string{kerneltest.Executable(t)}, strings.Fields(args)...)...)
		if code != 0 || stdout != "" || stderr != "" {
			t.Errorf("%s: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
}
