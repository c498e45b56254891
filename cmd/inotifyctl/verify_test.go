// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

func TestVerify(t *testing.T) {
	needsKcmp(t)
	needsList(t)
	kerneltest.NeedBootID(t)
	ws := watchesOn(t, 1, 7)
	h := holdAlone(t, instance(t, ws...), "move=3:12")
	_, text, _ := call("dump", "-paths", "search", "-hint", filepath.Dir(ws[0].Path), h.arg())
	file := writeSnapshot(t, read(t, text))
	code, stdout, stderr := call("verify", file, h.arg())
	wantSuccess(t, code, stderr)
	wantText(t, stdout, fmt.Sprintf("descriptor 12 of process %d is equal to the dump: compared 2 watches (wd, mask), "+
		"inodes, flags, owner, signal; not compared next_wd, paths, pending events\n", h.pid))
	cmd := command(t, "verify", "-", h.arg())
	cmd.Stdin = strings.NewReader(text)
	code, fromStdin, stderr := result(t, cmd)
	wantSuccess(t, code, stderr)
	wantText(t, fromStdin, stdout)
}

func TestVerifyFindsDifferences(t *testing.T) {
	needsKcmp(t)
	needsList(t)
	kerneltest.NeedBootID(t)
	kerneltest.NeedFlags(t)
	h := holdAlone(t, instance(t, watchesOn(t, 1, 7, 9)...), "move=3:12")
	_, text, _ := call("dump", h.arg())
	s := read(t, text)
	s.FD = 5
	s.Flags = checkpoint.Async
	s.Watches[0].Mask = inotify.Open
	s.Watches[1].Inode++
	s.Watches[2].WD = 10
	s.Watches[2].Path = "/\x1b[31m\nx"
	code, stdout, stderr := call("verify", "-fd", "12", writeSnapshot(t, s), h.arg())
	wantFailure(t, code, stderr, fmt.Sprintf("descriptor 12 of process %d differs from the dump: 5 differences", h.pid))
	for i, want := range []string{
		"mask of watch 1: expected IN_OPEN, found IN_CREATE|IN_DELETE",
		"inode of watch 7: expected ",
		"watch 9: expected none, found ",
		`watch 10: expected "/\x1b[31m\nx", `,
		"flags: expected O_ASYNC, found O_NONBLOCK",
	} {
		if got := strings.Split(stdout, "\n"); len(got) != 6 || !strings.HasPrefix(got[i], want) {
			t.Errorf("line %d of\n%s\nis not %q", i, stdout, want)
		}
	}
}

func TestVerifyOfOtherMachine(t *testing.T) {
	needsList(t)
	kerneltest.NeedBootID(t)
	ws := watchesOn(t, 1)
	h := holdAlone(t, instance(t, ws...))
	_, text, _ := call("dump", "-paths", "search", "-hint", filepath.Dir(ws[0].Path), h.arg())
	s := read(t, text)
	s.Watches[0].Inode++
	for id, want := range map[string]string{
		"another": "not compared inodes (the dump is from another machine or boot)",
		"":        "not compared inodes (the boot id is unknown)",
	} {
		s.BootID = id
		code, stdout, stderr := call("verify", writeSnapshot(t, s), h.arg())
		wantSuccess(t, code, stderr)
		if !strings.Contains(stdout, want) {
			t.Errorf("boot id %q: got %q, want %q in it", id, stdout, want)
		}
	}
}

func TestVerifyFailures(t *testing.T) {
	h := hold(t, nil)
	dir := t.TempDir()
	broken := dir + "/broken"
	if err := os.WriteFile(broken, []byte(`{"version": 1, "escape": "\u001b[2J"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	good := writeSnapshot(t, &checkpoint.Snapshot{FD: 99})
	for _, tt := range []struct {
		file, pid string
		want      []string
	}{
		{dir + "/none", h.arg(), []string{dir + "/none", "give a path that exists"}},
		{broken, h.arg(), []string{broken, "version 1"}},
		{good, h.arg(), []string{"descriptor 99", "inotifyctl ls"}},
		{good, "2147483647", []string{"process 2147483647", "inotifyctl ls"}},
	} {
		code, stdout, stderr := call("verify", tt.file, tt.pid)
		wantFailure(t, code, stderr, tt.want...)
		wantText(t, stdout, "")
	}
}

func writeSnapshot(t *testing.T, s *checkpoint.Snapshot) string {
	t.Helper()
	text, err := snapshotText(s)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "snapshot.json")
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
