// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// TestRestoreSnapshot: it is an error if what was restored differs from the
// snapshot, or if it is not the expected snapshot.
func TestRestoreSnapshot(t *testing.T) {
	l := testLab(t, 10)
	needIoctl(t, l)
	run := func(name string, count, first int) error {
		_, err := l.measure(t.Context(), job{args: []string{
			name, "-list", l.list(), "-path", l.snapshot(), "-count", fmt.Sprint(count), "-first", fmt.Sprint(first),
		}})
		return err
	}
	if err := run("snapshot", 10, 1000); err != nil {
		t.Fatal(err)
	}
	ways := []string{"restore-verified", "restore-unverified"}
	for _, way := range ways {
		if err := run(way, 10, 1000); err != nil {
			t.Error(err)
		}
		for _, other := range [][2]int{{9, 1000}, {11, 1000}, {10, 1001}} {
			if err := run(way, other[0], other[1]); err == nil || !strings.Contains(err.Error(), "the snapshot: ") {
				t.Errorf("%s, %d watches from %d: %v", way, other[0], other[1], err)
			}
		}
	}
	path := strings.Split(read(t, l.list()), "\n")[3]
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, says := range []string{"differs from the snapshot", "restored, but inode of watch 1003"} {
		if err := run(ways[i], 10, 1000); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s of another file: %v, want an error that says %q", ways[i], err, says)
		}
	}
	if err := run("snapshot", 11, 1000); err == nil || !strings.Contains(err.Error(), "fewer than 11 paths") {
		t.Errorf("a snapshot of more files than exist: %v", err)
	}
}

func TestIsRestored(t *testing.T) {
	n, err := inotify.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	s, err := checkpoint.Dump(t.Context(), n, checkpoint.WithPaths(checkpoint.PathsNone))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*checkpoint.Restored{
		"":          {Inotify: n},
		"less":      {Inotify: n, NotRestored: []checkpoint.Gap{{Field: "owner"}}},
		"destroyed": {Inotify: n, Destroyed: []inotify.WD{1}},
	} {
		if err := isRestored(s, r); (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
