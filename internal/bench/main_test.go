// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEveryRow: every row can be measured, with small counts.
func TestEveryRow(t *testing.T) {
	list, _ := bench(t, 0, "-quick", "-list")
	stdout, _ := bench(t, 0, "-quick", "-json")
	var got table
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if m := got.Machine; m.Kernel == "unknown" || m.Processors < 1 || m.Arch == "" || !strings.Contains(m.Go, "go1") || len(m.Date) != len("2026-01-31") {
		t.Errorf("machine %+v", m)
	}
	var names []string
	for _, r := range got.Rows {
		name := r.What
		if r.Peer != "" {
			name += " / " + r.Peer
		}
		names = append(names, name)
		checkRow(t, name, r)
	}
	wantDiff(t, names, strings.Split(strings.TrimSpace(list), "\n"))
	if len(names) != 26 {
		t.Errorf("%d rows, want 26", len(names))
	}
}

func checkRow(t *testing.T, name string, r row) {
	t.Helper()
	switch {
	case r.Skipped != "":
		t.Logf("%s: skipped: %s", name, r.Skipped)
	case r.Ours == nil || *r.Ours < 0 || r.Wanted == "" || r.Samples < 2:
		t.Errorf("%s: %+v", name, r)
	case strings.HasPrefix(name, "the cycle's return") && r.Samples != 5:
		t.Errorf("%s: %d samples", name, r.Samples)
	case r.Peer == "" && (r.Worst == nil || *r.Worst < *r.Ours):
		t.Errorf("%s: the worst is better than the median: %+v", name, r)
	case r.Peer != "" && (*r.Ours < 10 || r.Theirs == nil || *r.Theirs < 10 || r.Ratio.Median < 0.01 || r.Ratio.Median > 100):
		t.Errorf("%s: ours %v, theirs %v, ratio %v", name, *r.Ours, *r.Theirs, r.Ratio)
	}
}

func TestRunSelects(t *testing.T) {
	stdout, stderr := bench(t, 0, "-quick", "-rounds", "1", "-run", "^RestoreWatches, 100 .*fewest|^AddWatch")
	for _, want := range []string{"RestoreWatches, 100 watches, consecutive", "RestoreWatches, 100 watches, wds 3 apart", "AddWatch"} {
		if !strings.Contains(stdout, "\n"+want) {
			t.Errorf("no row %q in:\n%s", want, stdout)
		}
	}
	if lines := strings.Split(strings.TrimSpace(stdout), "\n"); len(lines) != 4+1+3 {
		t.Errorf("%d lines, want 8:\n%s", len(lines), stdout)
	}
	if strings.Contains(stdout, "CRIU") || !strings.Contains(stderr, "3/3") {
		t.Errorf("measured rows that -run does not match:\n%s\n%s", stdout, stderr)
	}
}

func TestWrongArguments(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-run", "nothing has this name"}, 1, "selects no row"},
		{[]string{"-run", "("}, 1, "missing closing )"},
		{[]string{"-dir", "/nowhere", "-quick"}, 1, "/nowhere"},
		{[]string{"-rounds", "0"}, 2, "-rounds 0"},
		{[]string{"-names", "1"}, 2, "-names 1"},
		{[]string{"-plot", "picture.jpeg"}, 2, "want a name that ends in .svg or .png"},
		{[]string{"-plot", "picture.svg", "-json"}, 2, "-plot cannot be combined with"},
		{[]string{"-unknown"}, 2, "not defined"},
		{[]string{"argument"}, 2, `unexpected argument "argument"`},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			if stdout, stderr := bench(t, test.code, test.args...); stdout != "" || !strings.Contains(stderr, test.says) {
				t.Errorf("printed %q and %q, want the latter to say %q", stdout, stderr, test.says)
			}
		})
	}
}

// TestInterrupt: an interrupt during a measurement ends the run and its processes,
// with exit code 1.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	cmd := self(t.Context(), t, dir, "-run", "GOMAXPROCS=1 / C, CRIU", "-rounds", "1000")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	if _, err := lines.ReadString(','); err != nil { // "1/1 the cycle to 200,"
		t.Fatal(err)
	}
	for len(processesAbout(t, dir)) < 2 { // the run and its child
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	said, _ := lines.ReadString(0)
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(said, "bench: interrupted\n") {
		t.Errorf("%v, exit code %d, said %q", err, code, said)
	}
	wantEmpty(t, dir)
	if left := processesAbout(t, dir); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
}

// TestKilled: a measurement does not outlive the run when that is killed.
func TestKilled(t *testing.T) {
	seconds := fmt.Sprintf("300.%d", os.Getpid()) // unique on the machine
	cmd := self(t.Context(), t, "", seconds)
	cmd.Env = append(cmd.Env, "BENCH_TEST_SLEEP="+seconds)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for len(processesAbout(t, "sleep\x00"+seconds)) == 0 {
	}
	cmd.Process.Kill()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v", err)
	}
	for range 500 { // 5 seconds
		if len(processesAbout(t, seconds)) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the process that it ran still exists")
}

// processesAbout returns the command lines that contain text.
func processesAbout(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		line, _ := os.ReadFile(file) // the process may have exited meanwhile
		if strings.Contains(string(line), text) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
