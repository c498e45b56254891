// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMakeFiles(t *testing.T) {
	const count = perDirectory + 3
	l := testLab(t, count)
	paths, err := (task{list: l.list()}).paths(count)
	if err != nil {
		t.Fatal(err)
	}
	inodes := make(map[uint64]bool)
	dirs := make(map[string]int)
	for _, path := range paths {
		var s unix.Stat_t
		if err := unix.Stat(path, &s); err != nil {
			t.Fatal(path, err)
		}
		inodes[s.Ino] = true
		dirs[filepath.Base(filepath.Dir(path))]++
	}
	if len(inodes) != count {
		t.Errorf("%d files, want %d", len(inodes), count)
	}
	wantDiff(t, dirs, map[string]int{"d0": perDirectory, "d1": 3})
	if _, err := (task{list: l.list()}).paths(count + 1); err == nil {
		t.Error("there are more paths in the list than files")
	}
}

func TestMakeFilesStops(t *testing.T) {
	l := testLab(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.makeFiles(ctx, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("%v after the context was cancelled", err)
	}
}

// TestPeers: the peers succeed with right arguments and fail with wrong ones.
// TestEveryRow checks that they measure.
func TestPeers(t *testing.T) {
	l := testLab(t, 10)
	needIoctl(t, l)
	needFilter(t, l)
	twice := l.list() + ".twice"
	path := strings.Split(read(t, l.list()), "\n")[0]
	if err := writeLines(twice, path, path); err != nil {
		t.Fatal(err)
	}
	overflow := fmt.Sprint(queueSize() + 1) // one more than fits, so that the last says that events were lost
	for _, test := range []struct {
		peer     string
		args     []string
		filtered bool
		fails    string
	}{
		{peer: "restore", args: []string{"criu", l.list(), "10", "1000", "1"}},
		{peer: "restore", args: []string{"criu", l.list(), "10", "1000", "3"}},
		{peer: "restore", args: []string{"floor", l.list(), "10", "2147483638", "1"}},
		{peer: "restore", args: []string{"floor", l.list(), "10", "1000", "3"}},
		{peer: "restore", args: []string{"criu", l.list(), "11", "1000", "1"}, fails: "fewer than 11 paths"},
		{peer: "restore", args: []string{"criu", twice, "2", "1000", "1"}, fails: "got wd 1000, want 1001"},
		{peer: "restore", args: []string{"floor", twice, "2", "1000", "1"}, fails: "got wd 1000, want 1001"},
		{peer: "restore", args: []string{"criu", l.list(), "10", "1000", "1"}, filtered: true, fails: "INOTIFY_IOC_SETNEXTWD: "},
		{peer: "restore", args: []string{"floor", l.list(), "10", "1000", "1"}, filtered: true, fails: "INOTIFY_IOC_SETNEXTWD: "},
		{peer: "criucycle", args: []string{l.empty(), l.target(), "1", "2"}},
		{peer: "criucycle", args: []string{l.empty(), l.target(), "1000", "2"}},
		{peer: "criucycle", args: []string{l.empty(), l.target(), "1000", "1"}, filtered: true},
		{peer: "criucycle", args: []string{l.empty(), l.target(), "0", "1"}, fails: "got wd 1, want 0"},
		{peer: "criucycle", args: []string{l.empty() + "?", l.target(), "9", "1"}, fails: "empty?"},
		{peer: "cyclefloor", args: []string{l.target(), "1", "1", "0", "0", "/"}},
		{peer: "cyclefloor", args: []string{l.target(), "20000", "3", "0", "0", "/:/proc:/dev:/sys"}},
		{peer: "cyclefloor", args: []string{l.target(), "20000", "4", "1", "1", "/:/proc:/dev:/sys", "/usr:/etc:/tmp:/var"}},
		{peer: "cyclefloor", args: []string{l.target(), "20000", "4", "1", "1", "/:/proc:/dev:/sys", "/usr:/etc:/tmp:/var"}, filtered: true},
		{peer: "cyclefloor", args: []string{l.target(), "2", "1", "0", "0", l.target()}},
		{peer: "cyclefloor", args: []string{l.target(), "2", "2", "0", "0", "/"}, fails: "1 directories for groups of 2"},
		{peer: "cyclefloor", args: []string{l.target(), "9", "2", "0", "0", "/:/"}, fails: "inotify_add_watch /: "},
		{peer: "cyclefloor", args: []string{l.target(), "9", "1", "1", "0", "/:/"}, fails: "inotify_add_watch /: "},
		{peer: "read", args: []string{l.named(), "2", "10", "3"}},
		{peer: "read", args: []string{l.named(), "16", "100", "100"}},
		{peer: "read", args: []string{l.named(), "16", overflow, overflow}, fails: "other masks or names"},
		{peer: "read", args: []string{l.named(), "1", "2", "2"}, fails: "1 names"},
		{peer: "walk", args: []string{filepath.Join(l.dir, "d0"), "10"}},
		{peer: "walk", args: []string{filepath.Join(l.dir, "d0"), "11"}, fails: "has 10 files, not 11"},
		{peer: "walk", args: []string{filepath.Join(l.dir, "d1"), "0"}, fails: "d1: "},
	} {
		name := test.peer + " " + strings.ReplaceAll(strings.Join(test.args, " "), l.dir, "")
		t.Run(name, func(t *testing.T) {
			if test.args[len(test.args)-1] == overflow && queueSize() > 100_000 {
				t.Skip("this needs a shorter queue")
			}
			ns, err := l.measure(t.Context(), job{peer: test.peer, args: test.args, filtered: test.filtered})
			switch {
			case test.fails == "" && (err != nil || ns[0] < 100):
				t.Errorf("%v ns, %v", ns, err)
			case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
				t.Errorf("%v, want an error that says %q", err, test.fails)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	l := testLab(t, 0)
	needIoctl(t, l)
	needFilter(t, l)
	for _, filtered := range []bool{false, true} {
		has, err := l.measure(t.Context(), job{args: []string{"has-ioctl"}, filtered: filtered})
		if want := map[bool]float64{false: 1, true: 0}[filtered]; err != nil || has[0] != want {
			t.Errorf("filtered %v: %v, %v; want %v", filtered, has, err, want)
		}
	}
}

// TestNoFilterWithoutIoctl: where the kernel lacks the ioctl no filter is
// installed, as it may lack filters too.
func TestNoFilterWithoutIoctl(t *testing.T) {
	l := testLab(t, 0)
	script(t, l, "filters", "grep Seccomp: /proc/self/status | tr -dc '0-9'")
	needIoctl(t, l)
	needFilter(t, l)
	for _, ioctl := range []bool{false, true} {
		l.ioctl = ioctl
		mode, err := l.measure(t.Context(), job{peer: "filters", filtered: true})
		const none, filtering = 0, 2
		if want := map[bool]float64{false: none, true: filtering}[ioctl]; err != nil || mode[0] != want {
			t.Errorf("ioctl %v: seccomp mode %v, %v; want %v", ioctl, mode, err, want)
		}
	}
}

func TestProcessors(t *testing.T) {
	l := testLab(t, 0)
	script(t, l, "procs", "echo $GOMAXPROCS")
	if procs, err := l.measure(t.Context(), job{peer: "procs", procs: 1}); err != nil || procs[0] != 1 {
		t.Errorf("GOMAXPROCS=%v, %v; want 1", procs, err)
	}
}

func TestOutput(t *testing.T) {
	for _, test := range []struct {
		script string
		limit  bool
		says   string
	}{
		{script: "echo 1; echo 2"},
		{script: "echo why >&2; exit 1", says: "sh: exit status 1: why"},
		{script: "echo 'no space left on device' >&2; exit 3", limit: true, says: "a limit on watches was reached: no space left on device"},
		{script: "kill -9 $$", says: "killed"},
	} {
		text, err := output(exec.CommandContext(t.Context(), "sh", "-c", test.script))
		switch {
		case errors.Is(err, errLimit) != test.limit:
			t.Errorf("%s: %v; a limit: %v", test.script, err, test.limit)
		case test.says == "" && (err != nil || text != "1\n2\n"):
			t.Errorf("%s: %q, %v", test.script, text, err)
		case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s: %v, want an error that says %q", test.script, err, test.says)
		}
	}
}

func TestNumbers(t *testing.T) {
	ns, err := numbers("12\n-3\n")
	wantDiff(t, ns, []float64{12, -3})
	if err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "\n", "1 two"} {
		if ns, err := numbers(text); err == nil {
			t.Errorf("%q: %v", text, ns)
		}
	}
}
