// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// read parses a snapshot.
func read(t *testing.T, text string) *checkpoint.Snapshot {
	t.Helper()
	s, err := checkpoint.Read(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return s
}

func content(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stop stops the process, and returns when all its threads are stopped.
func (h *holder) stop() {
	h.t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		h.t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(h.pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		h.t.Fatalf("the process did not stop: %v, %v", status, err)
	}
	// Threads on other processors stop a little later.
	tasks := fmt.Sprintf("/proc/%d/task", h.pid)
	for running := true; running; {
		running = false
		threads, err := os.ReadDir(tasks)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(filepath.Join(tasks, thread.Name(), "stat"))
			if err == nil && !strings.Contains(string(stat), ") T ") {
				running = true
			}
		}
	}
}

// holdPending returns a stopped process that has an instance with pending events about
// files with these names: three, unless names are given.
func holdPending(t *testing.T, names ...string) *holder {
	t.Helper()
	needsList(t)
	kerneltest.NeedDuplicates(t)
	ws := watchesOn(t, 7)
	f := instance(t, ws...)
	h := holdAlone(t, f)
	if names == nil {
		names = []string{"one", "two", "three"}
	}
	for _, name := range names {
		touch(t, ws[0].Path, name)
	}
	h.stop()
	return h
}

// wantDumped checks that the exit code is 0, or 3 with the reason if the paths are
// unknown, as only root can find them by handle.
func wantDumped(t *testing.T, code int, stdout, stderr string) *checkpoint.Snapshot {
	t.Helper()
	if code != 0 && code != 3 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	s := read(t, stdout)
	refused := len(s.Unrestorable()) > 0
	if (code == 3) != refused || strings.Contains(stderr, "inotifyctl: incomplete: ") != refused {
		t.Errorf("exit code %d, and %d watches without a path: %s", code, len(s.Unrestorable()), stderr)
	}
	if refused && kerneltest.OpenHandle(t.TempDir()) == nil {
		t.Errorf("the paths are unknown: %s", stderr)
	}
	return s
}

func wantPending(t *testing.T, s *checkpoint.Snapshot) {
	t.Helper()
	var names []string
	for _, ev := range s.Pending {
		names = append(names, ev.Name)
	}
	wantText(t, strings.Join(names, " "), "one two three")
}

func TestDump(t *testing.T) {
	needsList(t)
	ws := watchesOn(t, 1, 7)
	f := instance(t, ws...)
	h := holdAlone(t, f, "move=3:12")
	code, stdout, stderr := call("dump", "-v", h.arg())
	s := wantDumped(t, code, stdout, stderr)
	if s.FD != 12 || len(s.Watches) != 2 || s.Watches[0].WD != 1 || s.Watches[1].WD != 7 || s.Watches[1].Mask != ws[1].Mask {
		t.Errorf("got %+v", s)
	}
	if kerneltest.OpenHandle(ws[0].Path) == nil && (s.Watches[0].Path != ws[0].Path || s.Watches[1].Path != ws[1].Path) {
		t.Errorf("got %+v, want the paths of %+v", s.Watches, ws)
	}
	for _, want := range []string{`unknown: .*\bnext_wd\b.*: not requested`, `side effect: a duplicate of the descriptor`} {
		if !regexp.MustCompile(`(?m)^inotifyctl: ` + want).MatchString(stderr) {
			t.Errorf("standard error lacks %q:\n%s", want, stderr)
		}
	}
}

func TestDumpOfProgramInC(t *testing.T) {
	kerneltest.NeedHandles(t)
	needsList(t)
	dir := t.TempDir()
	h := holdInC(t, 5, "holder", dir)
	code, stdout, stderr := call("dump", "-fd", "5", h.arg())
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	s := read(t, stdout)
	if s.FD != 5 || s.Flags != 0 || len(s.Watches) != 1 || s.Watches[0].Path != dir || s.Watches[0].Mask != inotify.Create|inotify.Delete|inotify.ExclUnlink {
		t.Errorf("got %+v", s)
	}
}

// Without privileges, the paths are unknown by handle and found by a search.
func TestDumpUnprivileged(t *testing.T) {
	needsList(t)
	ws := watchesOn(t, 1, 7)
	if os.Geteuid() == 0 { // the other user needs access
		for dir := ws[0].Path; dir != os.TempDir(); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := instance(t, ws...)
	holder := asNobody(t, command(t))
	holder.Env = append(holder.Env, "INOTIFYCTL_TEST_CHILD=hold")
	holder.ExtraFiles = []*os.File{f}
	h := start(t, holder)
	f.Close()
	code, stdout, stderr := result(t, asNobody(t, command(t, "dump", h.arg())))
	if code != 3 || !strings.Contains(stderr, "path of 2 watches") {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if s := read(t, stdout); len(s.Watches) != 2 || s.Watches[0].Path != "" {
		t.Errorf("got %+v", s)
	}
	code, stdout, stderr = result(t, asNobody(t, command(t, "dump", "-paths", "search", "-hint", "/proc/self", "-hint", filepath.Dir(ws[0].Path), "-max-entries", "1000", "-v", h.arg())))
	if code != 0 || strings.Contains(stderr, "path of ") || !strings.Contains(stderr, "side effect: the directories below ") {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if s := read(t, stdout); s.Watches[0].Path != ws[0].Path || s.Watches[1].Path != ws[1].Path {
		t.Errorf("got %+v, want the paths of %+v", s.Watches, ws)
	}
}

func TestDumpChoosesDescriptor(t *testing.T) {
	needsList(t)
	needsKcmp(t)
	f, g := instance(t, watchesOn(t, 1)...), instance(t, watchesOn(t, 2)...)
	several := hold(t, []*os.File{f, g}, "dup=3:9")
	same := hold(t, []*os.File{f}, "dup=3:9")
	none := hold(t, nil)
	for _, tt := range []struct {
		args string
		want []string // in the error, nil for none
	}{
		{several.arg(), []string{"has 2 inotify instances", "-fd 3 (and 1 duplicate of it), -fd 4"}},
		{"-fd 4 " + several.arg(), nil},
		{same.arg(), nil},
		{none.arg(), []string{"has no inotify instance"}},
		{"-fd 0 " + none.arg(), []string{"not an inotify descriptor", "'inotifyctl ls -i'"}},
		{"-fd 99 " + none.arg(), []string{"descriptor 99", "'inotifyctl ls -i'"}},
		{"2147483647", []string{"process 2147483647", "'inotifyctl ls -i'"}},
		{"-drain " + same.arg(), []string{"running", "stop it first; use kill -STOP PID"}},
	} {
		code, stdout, stderr := call(append([]string{"dump"}, strings.Fields(tt.args)...)...)
		if tt.want == nil {
			if s := wantDumped(t, code, stdout, stderr); len(s.Watches) != 1 {
				t.Errorf("%s: %q, %q", tt.args, stdout, stderr)
			}
			continue
		}
		wantFailure(t, code, stderr, tt.want...)
		wantText(t, stdout, "")
	}
}

func TestDumpOfAnotherUsersProcess(t *testing.T) {
	needsRoot(t)
	needsList(t)
	h := holdAlone(t, instance(t))
	for _, args := range [][]string{{"dump", h.arg()}, {"dump", "-fd", "3", h.arg()}} {
		code, _, stderr := result(t, asNobody(t, command(t, args...)))
		wantFailure(t, code, stderr, h.arg(), "run it as the user of that process, or as root")
	}
}

func TestDumpDrains(t *testing.T) {
	h := holdPending(t)
	code, stdout, stderr := call("dump", "-drain", "-v", h.arg())
	s := wantDumped(t, code, stdout, stderr)
	wantPending(t, s)
	if hasIoctl(t) && s.NextWD != 8 {
		t.Errorf("next wd %d, want 8", s.NextWD)
	}
	if !strings.Contains(stderr, "side effect: the pending events were removed") {
		t.Errorf("standard error %q", stderr)
	}
}

// Side effects are printed only with -v.
func TestSideEffects(t *testing.T) {
	needsList(t)
	kerneltest.NeedDuplicates(t)
	ws := watchesOn(t, 1)
	h := holdAlone(t, instance(t, ws...))
	file := filepath.Join(t.TempDir(), "dump")
	for _, args := range [][]string{
		{"dump", "-o", file, h.arg()},
		{"verify", file, h.arg()},
		{"ls", "-w", h.arg()},
		{"who", ws[0].Path},
	} {
		_, stdout, stderr := call(args...)
		if strings.Contains(stdout+stderr, "side effect") || strings.Contains(stdout+stderr, "duplicate") {
			t.Errorf("%s: standard error %q", args, stderr)
		}
		_, _, stderr = call(append(args, "-v")...)
		if strings.Count(stderr, "inotifyctl: side effect: a duplicate of the descriptor") != 1 {
			t.Errorf("%s -v: standard error %q", args, stderr)
		}
	}
}

func TestDumpToStandardOutput(t *testing.T) {
	needsList(t)
	h := holdAlone(t, instance(t))
	cmd := command(t, "dump", "-o", "-", h.arg())
	cmd.Dir = t.TempDir()
	code, stdout, stderr := result(t, cmd)
	wantDumped(t, code, stdout, stderr)
	wantNoFiles(t, cmd.Dir)
}

// A named pipe is written to, and not replaced by a file.
func TestDumpToPipe(t *testing.T) {
	needsList(t)
	h := holdAlone(t, instance(t))
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	text := make(chan string)
	go func() {
		got, _ := os.ReadFile(pipe)
		text <- string(got)
	}()
	if code, _, stderr := call("dump", "-o", pipe, h.arg()); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	read(t, <-text)
	if is, err := os.Lstat(pipe); err != nil || is.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe is %v, %v", is, err)
	}
}

func TestDumpToFile(t *testing.T) {
	needsList(t)
	h := holdAlone(t, instance(t))
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file, link} { // new, existing, and a link to it
		code, stdout, stderr := call("dump", "-o", name, h.arg())
		if code != 0 || stdout != "" {
			t.Fatalf("exit code %d: %q, %s", code, stdout, stderr)
		}
		read(t, content(t, file))
		if err := os.WriteFile(file, []byte("older"), 0); err != nil {
			t.Fatal(err)
		}
		if is, err := os.Stat(file); err != nil || is.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", is.Mode(), err)
		}
	}
	if is, err := os.Lstat(link); err != nil || is.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v, %v", is, err)
	}
	// A failure changes nothing.
	code, _, stderr := call("dump", "-drain", "-o", file, h.arg())
	wantFailure(t, code, stderr, "running", "stop it first")
	wantText(t, content(t, file), "older")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// If the output cannot be opened, nothing is drained.
func TestDumpOpensOutputFirst(t *testing.T) {
	h := holdPending(t)
	for _, name := range []string{"", t.TempDir(), t.TempDir() + "/none/file"} {
		code, _, stderr := call("dump", "-drain", "-o", name, h.arg())
		wantFailure(t, code, stderr, name)
	}
	readOnly := t.TempDir()
	if err := os.Chmod(readOnly, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		code, _, stderr := call("dump", "-drain", "-o", readOnly+"/file", h.arg())
		wantFailure(t, code, stderr, readOnly+"/file", "make sure that you may write there")
	}
	_, stdout, _ := call("dump", "-drain", h.arg())
	wantPending(t, read(t, stdout))
}

// savedFile returns the name of the file in which drained events were saved, according to
// standard error.
func savedFile(t *testing.T, stderr string) string {
	t.Helper()
	_, name, _ := strings.Cut(strings.TrimSpace(stderr), "already drained: saved in ")
	if is, err := os.Stat(name); err != nil || is.Mode().Perm() != 0o600 {
		t.Errorf("%q: %v, %v", stderr, is, err)
	}
	return name
}

func TestDumpToFullDevice(t *testing.T) {
	for _, stdout := range []bool{false, true} {
		h := holdPending(t)
		cmd := command(t, "dump", "-drain", "-o", "/dev/full", h.arg())
		if stdout {
			cmd = command(t, "dump", "-drain", h.arg())
		}
		cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
		code, stderr := runIntoFull(t, cmd)
		wantFailure(t, code, stderr, "no space left on device", "3 events were already drained")
		wantPending(t, read(t, content(t, savedFile(t, stderr))))
	}
}

func TestDumpWithoutEventsToFullDevice(t *testing.T) {
	needsList(t)
	h := holdAlone(t, instance(t))
	h.stop()
	cmd := command(t, "dump", "-drain", h.arg())
	dir := t.TempDir()
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	code, stderr := runIntoFull(t, cmd)
	wantFailure(t, code, stderr, "no space left on device")
	wantNoFiles(t, dir)
}

// If drained events cannot be saved in a file either, they are printed on standard error.
func TestDumpWithNowhereToSave(t *testing.T) {
	h := holdPending(t)
	cmd := command(t, "dump", "-drain", h.arg())
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir()+"/none")
	code, stderr := runIntoFull(t, cmd)
	end := strings.LastIndex(stderr, "inotifyctl: ")
	wantFailure(t, code, stderr[end:], "no space left on device", "printed above")
	wantPending(t, read(t, stderr[:end]))
}

// runIntoFull runs cmd with /dev/full as its standard output.
func runIntoFull(t *testing.T, cmd *exec.Cmd) (code int, stderr string) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this needs /dev/full: ", err)
	}
	defer full.Close()
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = full, &errs
	return exitCode(t, cmd.Run()), errs.String()
}

// If standard output is a closed pipe, SIGPIPE does not end the process before it has saved
// the drained events.
func TestDumpIntoBrokenPipe(t *testing.T) {
	for _, both := range []bool{false, true} { // standard error is closed too
		h := holdPending(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := command(t, "dump", "-drain", h.arg())
		dir := t.TempDir()
		cmd.Env = append(cmd.Env, "TMPDIR="+dir)
		var errs strings.Builder
		cmd.Stdout, cmd.Stderr = w, &errs
		if both {
			cmd.Stderr = w
		}
		err = cmd.Run()
		w.Close()
		if both {
			saved, _ := filepath.Glob(dir + "/*")
			if len(saved) != 1 {
				t.Fatalf("saved files: %v; %v", saved, err)
			}
			wantPending(t, read(t, content(t, saved[0])))
			continue
		}
		wantFailure(t, exitCode(t, err), errs.String(), "broken pipe", "3 events were already drained")
		wantPending(t, read(t, content(t, savedFile(t, errs.String()))))
	}
}

// An interrupt ends a dump that blocks in a write to standard output.
func TestInterruptEndsDump(t *testing.T) {
	h := holdPending(t)
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	t.Setenv("TMPDIR", t.TempDir())
	blocked := writerFunc(func(p []byte) (int, error) {
		cancel()
		select {}
	})
	var stderr strings.Builder
	code := run(ctx, []string{"dump", "-drain", h.arg()}, blocked, &stderr)
	wantFailure(t, code, stderr.String(), "interrupted", "3 events were already drained")
	wantPending(t, read(t, content(t, savedFile(t, stderr.String()))))
}

// An interrupt ends a dump that blocks in the opening of a named pipe.
func TestInterruptEndsOpening(t *testing.T) {
	h := holdPending(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	cancel()
	var stderr strings.Builder
	code := run(ctx, []string{"dump", "-drain", "-o", pipe, h.arg()}, io.Discard, &stderr)
	wantFailure(t, code, stderr.String(), "interrupted")
	r, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0) // unblocks the opening
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestInterruptEndsSearch(t *testing.T) {
	needsList(t)
	h := holdAlone(t, instance(t, watchesOn(t, 1)...))
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	cancel()
	var stderr strings.Builder
	code := run(ctx, []string{"dump", "-paths", "search", h.arg()}, io.Discard, &stderr)
	wantFailure(t, code, stderr.String(), "interrupted")
}

func TestSearchOnTerminal(t *testing.T) {
	master, slave := openTerminal(t)
	b := newBar(slave)
	b.drawSearch(12345)
	b.clear()
	wantText(t, readUntil(t, master, "read"+clearLine), clearLine+"searching: 12345 directory entries read"+clearLine)
}

func TestSummary(t *testing.T) {
	gaps := []checkpoint.Gap{
		{Field: "path", WD: 3, Reason: "stale"},
		{Field: "next_wd", Reason: "not requested"},
		{Field: "path", WD: 4, Reason: "stale"},
		{Field: "type", WD: 3, Reason: "stale"},
		{Field: "pending", Reason: "not requested"},
		{Field: "watch", WD: 9, Reason: "first\nsecond\x1b"},
	}
	wantText(t, strings.Join(summary(gaps), "\n"), "path of 2 watches (3, 4), type of watch 3: stale\n"+
		"next_wd, pending: not requested\n"+
		`watch 9: first; second\x1b`)
	wantText(t, watches([]inotify.WD{1, 2, 3, 4, 5}), "5 watches (1, 2, 3, 4, 5)")
	wantText(t, watches([]inotify.WD{1, 2, 3, 4, 5, 6}), "6 watches (1, 2, 3, 4, 5, …)")
	var many []checkpoint.Gap
	for i := range 20 {
		many = append(many, checkpoint.Gap{Field: "path", WD: inotify.WD(i + 1), Reason: fmt.Sprint(i)})
	}
	got := summary(many)
	if len(got) != 9 || got[8] != "and more, for 12 other reasons" {
		t.Errorf("got %q", got)
	}
}

// A path in a snapshot may have control characters: they are escaped and read back.
func TestSnapshotOnTerminal(t *testing.T) {
	const path = "/\u009b31m\x1b[2J\x7f\n"
	text, err := snapshotText(&checkpoint.Snapshot{Watches: []checkpoint.Watch{{Watch: inotify.Watch{WD: 1, Mask: inotify.Create, Path: path}}}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(string(text), "\u009b\x1b\x7f") {
		t.Errorf("%q has a control character", text)
	}
	wantText(t, read(t, string(text)).Watches[0].Path, path)
}

// If drained events cannot be written as a snapshot, they are saved as JSON lines.
func TestSalvageOfEvents(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := &checkpoint.Snapshot{Pending: []inotify.Event{{WD: 3, Mask: inotify.Create, Name: "x"}}}
	err := salvage(s, nil, syscall.EIO, io.Discard)
	wantText(t, content(t, savedFile(t, textWithHint(err))), `{"wd":3,"mask":"IN_CREATE","name":"x"}`+"\n")
}
