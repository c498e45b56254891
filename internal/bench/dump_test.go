// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// TestDump: both sides dump an instance, and fail with arguments that do not
// match it.
func TestDump(t *testing.T) {
	l := testLab(t, 10)
	if err := tryHandle(l.target()); err != nil {
		t.Skip("file handles cannot be opened here: ", err)
	}
	if err := l.hold(t.Context(), job{args: []string{"hold", "-list", l.list(), "-count", "10"}}); err != nil {
		t.Fatal(err)
	}
	defer l.release()
	lines := strings.Split(strings.TrimSpace(read(t, l.list())), "\n")
	backwards, longer := l.list()+".backwards", l.list()+".longer"
	if err := writeLines(longer, append(slices.Clone(lines), l.target())...); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(lines)
	if err := writeLines(backwards, lines...); err != nil {
		t.Fatal(err)
	}
	pid, fd := fmt.Sprint(l.held.pid), fmt.Sprint(l.held.fd)
	for _, test := range []struct {
		list    string
		count   int
		pid, fd string
		dir     string // on the filesystem of the handles
		ours    string // what our error must say
		peers   string // what the peer's error must say
	}{
		{list: l.list(), count: 10},
		{list: l.list(), count: 9, ours: "found 10 watches, want 9", peers: "more than 9 watches"},
		{list: longer, count: 11, ours: "found 10 watches, want 11", peers: "found 10 watches, want 11"},
		{list: l.list(), count: 11, ours: "fewer than 11 paths", peers: "fewer than 11 paths"},
		{list: backwards, count: 10, ours: "for the watch 1 on", peers: "for watch 10"},
		{list: l.list(), count: 10, fd: "999", ours: "worker dump-by-handle: ", peers: "fdinfo/999: "},
		{list: l.list(), count: 10, dir: "/proc", peers: "open_by_handle_at for watch 10: "},
	} {
		test.pid = pid
		if test.fd == "" {
			test.fd = fd
		}
		if test.dir == "" {
			test.dir = l.dir
		}
		count := fmt.Sprint(test.count)
		_, ours := l.measure(t.Context(), job{args: []string{
			"dump-by-handle", "-list", test.list, "-count", count, "-pid", test.pid, "-fd", test.fd,
		}})
		_, peers := l.measure(t.Context(), job{peer: "dump", args: []string{test.pid, test.fd, test.dir, test.list, count}})
		wantError(t, fmt.Sprintf("ours, %+v", test), ours, test.ours)
		wantError(t, fmt.Sprintf("the peer's, %+v", test), peers, test.peers)
	}
	// The path by handle is the file's present one, which is not in the list.
	if err := os.Rename(lines[0], lines[0]+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lines[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, ours := l.measure(t.Context(), job{args: []string{"dump-by-handle", "-list", l.list(), "-count", "10", "-pid", pid, "-fd", fd}})
	wantError(t, "ours, of a renamed file", ours, "for the watch 10 on")
	_, peers := l.measure(t.Context(), job{peer: "dump", args: []string{pid, fd, l.dir, l.list(), "10"}})
	wantError(t, "the peer's, of a renamed file", peers, "for watch 10")
}

// wantError checks that err contains the text says, or is nil if that is "".
func wantError(t *testing.T, what string, err error, says string) {
	t.Helper()
	if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want an error that says %q", what, err, says)
	}
}

func TestIsDumped(t *testing.T) {
	paths := []string{"/a", "/b"}
	dumped := func() *checkpoint.Snapshot {
		s := &checkpoint.Snapshot{Unknown: []checkpoint.Gap{{Field: "next_wd"}}}
		for i, path := range paths {
			w := checkpoint.Watch{Type: checkpoint.TypeRegular}
			w.WD, w.Path, w.Mask = inotify.WD(i+1), path, inotify.Attrib
			s.Watches = append(s.Watches, w)
		}
		return s
	}
	if err := isDumped(dumped(), paths); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*checkpoint.Snapshot){
		"path":  func(s *checkpoint.Snapshot) { s.Watches[1].Path = "/a" },
		"wd":    func(s *checkpoint.Snapshot) { s.Watches[1].WD++ },
		"mask":  func(s *checkpoint.Snapshot) { s.Watches[1].Mask = inotify.Create },
		"type":  func(s *checkpoint.Snapshot) { s.Watches[1].Type = checkpoint.TypeDirectory },
		"count": func(s *checkpoint.Snapshot) { s.Watches = s.Watches[:1] },
		"gap":   func(s *checkpoint.Snapshot) { s.Unknown = []checkpoint.Gap{{Field: "path", WD: 1}} },
	} {
		s := dumped()
		change(s)
		if err := isDumped(s, paths); err == nil {
			t.Errorf("another %s is not detected", what)
		}
	}
}

// TestHolder: a holder keeps its instance open until it is released, and reports
// why it could not make one.
func TestHolder(t *testing.T) {
	l := testLab(t, 10)
	if err := l.release(); err != nil {
		t.Errorf("release without a holder: %v", err)
	}
	script(t, l, "limited", "echo 'no space' >&2; exit 3")
	for _, test := range []struct {
		job  job
		says string
	}{
		{job{args: []string{"hold", "-list", l.list(), "-count", "11"}}, "fewer than 11 paths"},
		{job{args: []string{"hold-overlay", "-path", l.target(), "-list", l.list()}}, "mount overlay"},
		{job{peer: "limited"}, "a limit on watches was reached: no space"},
		{job{peer: "missing"}, "missing"},
	} {
		err := l.hold(t.Context(), test.job)
		wantError(t, fmt.Sprintf("%+v", test.job), err, test.says)
		if test.job.peer == "limited" && !errors.Is(err, errLimit) {
			t.Errorf("%v is not a limit", err)
		}
	}
	if err := l.hold(t.Context(), job{args: []string{"hold", "-list", l.list(), "-count", "10"}}); err != nil {
		t.Fatal(err)
	}
	info := fmt.Sprintf("/proc/%d/fdinfo/%d", l.held.pid, l.held.fd)
	if lines := strings.Count(read(t, info), "\ninotify wd:"); lines != 10 {
		t.Errorf("%d watches, want 10", lines)
	}
	if err := l.release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(info); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the release: %v", err)
	}
}

// TestSearch: both sides find the files on an overlayfs that only the process with
// the instance has mounted.
func TestSearch(t *testing.T) {
	const count, watched = 2*perLeaf + 50, 7
	l := testLab(t, 0)
	if err := l.facts(t.Context()).overlay; err != nil {
		t.Skip("no overlayfs can be mounted here: ", err)
	}
	o := l.overlay()
	if err := o.makeFiles(t.Context(), count, watched); err != nil {
		t.Fatal(err)
	}
	paths, err := task{list: o.list()}.paths(watched)
	if err != nil {
		t.Fatal(err)
	}
	dirs := make(map[string]bool)
	for _, path := range paths {
		dirs[filepath.Dir(path)] = true
	}
	if len(dirs) != 3 {
		t.Errorf("the files to watch are in %v", dirs)
	}
	if _, err := (task{list: o.list()}).paths(watched + 1); err == nil {
		t.Error("more are listed")
	}
	args := []string{"-path", string(o), "-list", o.list(), "-count", fmt.Sprint(watched)}
	if err := l.hold(t.Context(), job{args: append([]string{"hold-overlay"}, args...), mounts: true}); err != nil {
		t.Fatal(err)
	}
	defer l.release()
	wantEmpty(t, o.tree())
	tree := fmt.Sprintf("/proc/%d/root%s", l.held.pid, o.tree())
	if err := tryHandle(filepath.Join(tree, "b0", "d0", "f0")); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("opening a handle on the overlayfs: %v, want EOPNOTSUPP", err)
	}
	args = append(args, "-pid", fmt.Sprint(l.held.pid), "-fd", fmt.Sprint(l.held.fd))
	_, err = l.measure(t.Context(), job{args: append([]string{"dump-by-search"}, args...)})
	wantError(t, "the search", err, "")
	_, err = l.measure(t.Context(), job{peer: "walk", args: []string{tree, fmt.Sprint(count)}})
	wantError(t, "the peer's walk", err, "")
	_, err = l.measure(t.Context(), job{peer: "walk", args: []string{tree, fmt.Sprint(count + 1)}})
	wantError(t, "the peer's walk of one file more", err, "has 250 files, not 251")
}
