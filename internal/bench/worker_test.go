// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

func writeLines(path string, lines ...string) error {
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// TestWorkers: workers with wrong arguments fail and say why. TestEveryRow checks
// that they measure.
func TestWorkers(t *testing.T) {
	l := testLab(t, 10)
	twice := l.list() + ".twice"
	path := strings.Split(read(t, l.list()), "\n")[0]
	if err := writeLines(twice, path, path); err != nil {
		t.Fatal(err)
	}
	const overflow = "20000"
	for _, test := range []struct {
		args  string
		fails string
	}{
		{"restore -list " + twice + " -count 2 -first 1000", "worker restore: "},
		{"restore -list " + l.list() + " -count 11 -first 1000", "fewer than 11 paths"},
		{"restore -list " + l.list() + " -count 6 -groups 2 -first 1000", "fewer than 12 paths"},
		{"heap -list " + twice + " -count 2 -first 1000", "worker heap: "},
		{"cycle -path " + l.target() + "? -first 10", "target?"},
		{"cancel -path " + l.target() + "?", "target?"},
		{"add -list " + l.list() + " -count 2 -groups 6", "fewer than 12 paths"},
		{"list -list " + l.list() + " -count 11", "fewer than 11 paths"},
		{"list -list " + twice + " -count 2", "got wd 1, want 2"},
		{"read-event -path " + l.named() + " -names 2 -batch " + overflow + " -count " + overflow, "IN_Q_OVERFLOW"},
		{"fsnotify -path " + l.named() + " -names 2 -batch " + overflow + " -count " + overflow, "overflow"},
		{"unknown", "no task"},
	} {
		t.Run(strings.ReplaceAll(test.args, l.dir, ""), func(t *testing.T) {
			if strings.HasSuffix(test.args, overflow) && queueSize() >= 18_000 {
				t.Skip("this needs a shorter queue")
			}
			ns, err := l.measure(t.Context(), job{args: strings.Fields(test.args)})
			if err == nil || !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%v, %v; want an error that says %q", ns, err, test.fails)
			}
		})
	}
}

// TestGroups: each group restores different files, with the same wds.
func TestGroups(t *testing.T) {
	l := testLab(t, 10)
	needIoctl(t, l)
	for _, args := range []string{"-count 10", "-count 5 -groups 2", "-count 3 -stride 3 -groups 3"} {
		ns, err := l.measure(t.Context(), job{args: strings.Fields("restore -list " + l.list() + " -first 1000 " + args)})
		if err != nil || len(ns) != 1 || ns[0] < 1000 {
			t.Errorf("%s: %v, %v", args, ns, err)
		}
	}
	ws := task{first: 7, stride: 3}.watches([]string{"a", "b"})
	wantDiff(t, ws, []inotify.Watch{
		{WD: 7, Mask: inotify.Attrib, Path: "a"},
		{WD: 10, Mask: inotify.Attrib, Path: "b"},
	})
}

// TestRestoreBeforeContextEnds: with the ioctl the restore returns before its
// context ends, which is an error of the measurement.
func TestRestoreBeforeContextEnds(t *testing.T) {
	l := testLab(t, 0)
	needIoctl(t, l)
	for _, how := range []string{"cancel", "deadline"} {
		ns, err := l.measure(t.Context(), job{args: []string{how, "-path", l.target()}})
		if err == nil || !strings.Contains(err.Error(), "before its context ended: no error") {
			t.Errorf("%s: %v, %v", how, ns, err)
		}
	}
}

// TestReadWrong: it is an error if the events that were read are not those that
// were written.
func TestReadWrong(t *testing.T) {
	tk := task{path: t.TempDir(), names: 10, count: 25, batch: 20}
	const mask = 2
	right := func(events int) sums { return sums{events, mask * events, events * len("name0")} }
	for name, read := range map[string]func(int) sums{
		"":        right,
		"events":  func(n int) sums { s := right(n); s.events--; return s },
		"masks":   func(n int) sums { s := right(n); s.masks++; return s },
		"lengths": func(n int) sums { s := right(n); s.lengths++; return s },
	} {
		var batches []int
		_, err := tk.readAll(mask, func(events int) (sums, error) {
			batches = append(batches, events)
			return read(events), nil
		})
		if (err == nil) != (name == "") {
			t.Errorf("wrong %s: %v", name, err)
		}
		if name == "" {
			wantDiff(t, batches, []int{20, 5})
		}
	}
}

// TestLimit: the exit code distinguishes a limit from other errors.
func TestLimit(t *testing.T) {
	tasks["limited"] = func(task) ([]int64, error) { return nil, &os.PathError{Err: unix.ENOSPC} }
	tasks["failing"] = func(task) ([]int64, error) { return nil, &os.PathError{Err: unix.EMFILE} }
	for name, want := range map[string]int{"limited": exitLimit, "failing": 1} {
		var out, errs strings.Builder
		if code := run(t.Context(), []string{"worker", name}, &out, &errs); code != want || errs.Len() == 0 {
			t.Errorf("%s: exit code %d, want %d; stderr %q", name, code, want, &errs)
		}
		delete(tasks, name)
	}
}
