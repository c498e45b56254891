// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

func TestWatchAdds(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	code, stdout, stderr := call("watch", "-n", "0", a, b)
	wantSuccess(t, code, stderr)
	wantText(t, stdout, "watch 1 (added): "+a+"\nwatch 2 (added): "+b+"\n")
}

func TestWatchRestoresByIoctl(t *testing.T) {
	if !hasIoctl(t) {
		t.Skip("this needs a kernel with the ioctl")
	}
	a, b := t.TempDir(), t.TempDir()
	for _, tt := range []struct{ wd, first, second string }{
		{"7", "7", "8"},
		{"0x34d71d6", "55407062", "55407063"},
		{"2147483647", "2147483647", "1"},
	} {
		code, stdout, stderr := call("watch", "-n", "0", "-wd", tt.wd, a, b)
		wantSuccess(t, code, stderr)
		wantText(t, stdout, "watch "+tt.first+" (ioctl): "+a+"\nwatch "+tt.second+" (added): "+b+"\n")
	}
}

func TestWatchRestoresByCycle(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, tt := range []struct{ wd, steps, second int }{
		{1, 0, 2},
		{40, 39, 41},
	} {
		code, stdout, stderr := result(t, withoutIoctl(t, "watch", "-n", "0", "-wd", fmt.Sprint(tt.wd), a, b))
		wantSuccess(t, code, stderr) // no bar, as standard error is not a terminal
		want := fmt.Sprintf(`^watch %d \(cycle, %d steps in [0-9.]+(ns|µs|ms|s)\): %s\nwatch %d \(added\): %s\n$`,
			tt.wd, tt.steps, regexp.QuoteMeta(a), tt.second, regexp.QuoteMeta(b))
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("got %q, want it to match %q", stdout, want)
		}
	}
}

func TestCycleTooLong(t *testing.T) {
	code, stdout, stderr := result(t, withoutIoctl(t, "watch", "-n", "0", "-wd", "2000", "-max-steps", "1998", t.TempDir()))
	wantText(t, stdout, "")
	wantFailure(t, code, stderr, "-max-steps 1999")
}

func TestMaxSteps(t *testing.T) {
	code, _, stderr := result(t, withoutIoctl(t, "watch", "-n", "0", "-wd", "20", "-max-steps", "19", t.TempDir()))
	wantSuccess(t, code, stderr)
}

func TestWatchPrintsEvents(t *testing.T) {
	dir := t.TempDir()
	w := startWatch(t, "-n", "5", "-mask", "IN_CREATE,IN_MOVE|IN_DELETE", dir)
	w.wantLine("watch 1 (added): " + dir)
	touch(t, dir, "one")
	w.wantLine("1 IN_CREATE " + dir + "/one")
	if err := os.Mkdir(filepath.Join(dir, "sub dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.wantLine("1 IN_CREATE|IN_ISDIR " + dir + "/sub dir")
	if err := os.Rename(filepath.Join(dir, "one"), filepath.Join(dir, "two")); err != nil {
		t.Fatal(err)
	}
	from, to := w.line(), w.line()
	var cookie uint32
	if _, err := fmt.Sscanf(from, "1 IN_MOVED_FROM cookie %d", &cookie); err != nil || cookie == 0 {
		t.Errorf("%q: cookie %d, %v", from, cookie, err)
	}
	wantText(t, from, fmt.Sprintf("1 IN_MOVED_FROM cookie %d %s/one", cookie, dir))
	wantText(t, to, fmt.Sprintf("1 IN_MOVED_TO cookie %d %s/two", cookie, dir))
	touch(t, dir, "\x1b[31mred\xff")
	w.wantLine(`1 IN_CREATE "` + dir + `/\x1b[31mred\xff"`)
	w.end()
}

func TestWatchPrintsJSON(t *testing.T) {
	dir := t.TempDir()
	w := startWatch(t, "-json", "-n", "2", "-mask", "IN_CREATE", dir)
	wantText(t, w.line(), `{"watch":{"wd":1,"mask":"IN_CREATE","path":"`+dir+`"},"how":"added","steps":0,"seconds":0}`)
	var ev checkpoint.Event
	for name, want := range map[string]string{
		"<plain>":    `{"wd":1,"mask":"IN_CREATE","name":"<plain>"}`,
		"\xfe\xff\n": `{"wd":1,"mask":"IN_CREATE","name_bytes":"/v8K"}`,
	} {
		touch(t, dir, name)
		line := w.line()
		wantText(t, line, want)
		if err := json.Unmarshal([]byte(line), &ev); err != nil || ev != (checkpoint.Event{WD: 1, Mask: inotify.Create, Name: name}) {
			t.Errorf("%s is decoded as %v, %v", line, ev, err)
		}
	}
	w.end()
}

func TestCycleInJSON(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := result(t, withoutIoctl(t, "watch", "-json", "-n", "0", "-wd", "9", dir))
	wantSuccess(t, code, stderr)
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%q: %v", stdout, err)
	}
	if watch, _ := got["watch"].(map[string]any); got["how"] != "cycle" || watch["wd"] != 9.0 || got["steps"] != 8.0 || !(got["seconds"].(float64) > 0) {
		t.Errorf("got %v, want 8 steps of the cycle", got)
	}
}

func TestSignalsEndWatch(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			dir := t.TempDir()
			w := startWatch(t, "-mask", "IN_CREATE", dir)
			w.wantLine("watch 1 (added): " + dir)
			touch(t, dir, "one")
			w.wantLine("1 IN_CREATE " + dir + "/one")
			w.signal(s)
			w.end()
		})
	}
}

func TestWatchEndsWithLastWatch(t *testing.T) {
	one, two := touch(t, t.TempDir(), "one"), touch(t, t.TempDir(), "two")
	w := startWatch(t, "-mask", "IN_DELETE_SELF", one, two)
	w.wantLine("watch 1 (added): " + one)
	w.wantLine("watch 2 (added): " + two)
	for i, name := range []string{one, two} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		w.wantLine(fmt.Sprint(i+1, " IN_DELETE_SELF ", name))
		w.wantLine(fmt.Sprint(i+1, " IN_IGNORED ", name))
	}
	w.end()
}

func TestContextEndsWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	cancel()
	var stdout, stderr strings.Builder
	dir := t.TempDir()
	code := run(ctx, []string{"watch", dir}, &stdout, &stderr)
	wantSuccess(t, code, stderr.String())
	wantText(t, stdout.String(), "watch 1 (added): "+dir+"\n")
}

// writes records each Write, as a line must be written at once.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

func TestPrinter(t *testing.T) {
	for _, tt := range []struct {
		name  string
		event inotify.Event
		plain string
		json  string
	}{
		{
			"overflow", inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow},
			"-1 IN_Q_OVERFLOW: the queue was full and events were lost: rescan the watched paths",
			`{"wd":-1,"mask":"IN_Q_OVERFLOW"}`,
		}, {
			"the watched file itself", inotify.Event{WD: 3, Mask: inotify.Attrib},
			"3 IN_ATTRIB /dir",
			`{"wd":3,"mask":"IN_ATTRIB"}`,
		}, {
			"unknown watch", inotify.Event{WD: 9, Mask: inotify.Create, Name: "x"},
			"9 IN_CREATE x",
			`{"wd":9,"mask":"IN_CREATE","name":"x"}`,
		}, {
			"unknown watch, no name", inotify.Event{WD: 9, Mask: inotify.Ignored},
			"9 IN_IGNORED",
			`{"wd":9,"mask":"IN_IGNORED"}`,
		}, {
			"name on another line", inotify.Event{WD: 3, Mask: inotify.Create, Name: "a\n3 IN_DELETE b"},
			`3 IN_CREATE "/dir/a\n3 IN_DELETE b"`,
			`{"wd":3,"mask":"IN_CREATE","name":"a\n3 IN_DELETE b"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for asJSON, want := range map[bool]string{false: tt.plain, true: tt.json} {
				var w writes
				p := newPrinter(&w, asJSON)
				p.paths[3] = "/dir"
				if err := p.event(tt.event); err != nil {
					t.Fatal(err)
				}
				wantText(t, strings.Join(w, "<write>"), want+"\n")
			}
		})
	}
}

func TestPrinterKnowsWatches(t *testing.T) {
	var w writes
	p := newPrinter(&w, false)
	p.watch(added{wd: 3, path: "/", how: howAdded})
	p.watch(added{wd: 3, path: "/same\tinode", how: howAdded})
	p.event(inotify.Event{WD: 3, Mask: inotify.Create, Name: "x"})
	p.event(inotify.Event{WD: 3, Mask: inotify.Ignored})
	p.event(inotify.Event{WD: 3, Mask: inotify.Create, Name: "x"})
	wantText(t, strings.Join(w, ""), `watch 3 (added): /
watch 3 (added): "/same\tinode"
3 IN_CREATE /x
3 IN_IGNORED /
3 IN_CREATE x
`)
}

func TestInvalidPathInJSON(t *testing.T) {
	var w writes
	p := newPrinter(&w, true)
	p.watch(added{wd: 3, path: "/\xff", mask: inotify.Create, how: howAdded})
	wantText(t, w[0], `{"watch":{"wd":3,"mask":"IN_CREATE","path_bytes":"L/8="},"how":"added","steps":0,"seconds":0}`+"\n")
}

func TestEscape(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"\"\u009b31m\x7f\u202e\"", `"\u009b31m\u007f\u202e"`},
		{"\"\U000e0001x\"", `"\udb40\udc01x"`},
	} {
		got := string(escape([]byte(tt.in)))
		wantText(t, got, tt.want)
		var before, after string
		if json.Unmarshal([]byte(tt.in), &before) != nil || json.Unmarshal([]byte(got), &after) != nil || before != after {
			t.Errorf("%q is decoded as %q, want %q", got, after, before)
		}
	}
	const plain = "{\"a\": \"größer\"}\n"
	wantText(t, string(escape([]byte(plain))), plain)
}

func TestQuote(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/tmp/a b", "/tmp/a b"},
		{`/tmp/"ä"\n`, `/tmp/"ä"\n`},
		{"", `""`},
		{`"x"`, `"\"x\""`},
		{"\x1b[2J", `"\x1b[2J"`},
		{"a\u202eb", `"a\u202eb"`},
		{"a\xffb", `"a\xffb"`},
		{"a\ufffdb", "a\ufffdb"},
		{"a\u009bb", `"a\u009bb"`},
	} {
		wantText(t, quote(tt.in), tt.want)
	}
}
