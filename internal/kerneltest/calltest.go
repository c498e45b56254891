// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Calls compares what each operation asks of the kernel with a file that lists it: the
// calls in their order, those of one kind together; fold may put several into one. What
// several operations do alike is listed once.
// With INOTIFY_TEST_UPDATE=1 it writes the file. The child has one processor, so that no
// second thread helps. What another process or the clock has a part in gets some chances.
func (f *FaultTest) Calls(t *testing.T, file string, fold func([]string) []string) {
	t.Helper()
	if os.Getenv("INOTIFY_TEST_OWN_KERNEL") != "" {
		t.Skip("this needs a processor that is not emulated, as the time decides how often the queue is looked at")
	}
	text, err := os.ReadFile(file)
	if err != nil && os.Getenv("INOTIFY_TEST_UPDATE") == "" {
		t.Fatal(err)
	}
	head, want := parseCalls(string(text))
	r := f.child(t, 1)
	var lists []string
	names := map[string][]string{}
	for _, op := range f.Ops {
		name := strings.TrimSpace(op.Name + " " + op.Way)
		r.op = op
		got, chances := "", 20
		if t.Failed() {
			chances = 1 // it is told already that something is wrong
		}
		for range chances {
			if got = r.list(fold); r.dead || got == want[name] {
				break
			}
		}
		if got != want[name] && os.Getenv("INOTIFY_TEST_UPDATE") == "" {
			t.Errorf("%s: it makes these calls:\n%swant:\n%s", name, got, want[name])
		}
		if names[got] = append(names[got], name); len(names[got]) == 1 {
			lists = append(lists, got)
		}
		delete(want, name)
	}
	if os.Getenv("INOTIFY_TEST_UPDATE") != "" {
		var b strings.Builder
		b.WriteString(head)
		for _, list := range lists {
			fmt.Fprintf(&b, "\n%s\n%s", strings.Join(names[list], "\n"), list)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name := range want {
		t.Errorf("%s lists %q, which is not tried", filepath.Base(file), name)
	}
}

// child starts a child for operations.
func (f *FaultTest) child(t *testing.T, processors int) *faultRun {
	t.Helper()
	cmd := f.Command()
	cmd.Env = append(cmd.Environ(), "TMPDIR="+t.TempDir(), fmt.Sprint("GOMAXPROCS=", processors))
	return &faultRun{FaultTest: f, t: t, s: Supervise(t, cmd)}
}

// calls has the operation be done, and returns its calls.
func (f *faultRun) calls() []Call {
	report, a := f.run(0)
	if len(a.Broken) > 0 || (a.Err == "") == f.op.Fails {
		f.errorf("error %q, broken %q", a.Err, a.Broken)
	}
	return report.Calls
}

// list has the operation be done, and lists its calls.
func (f *faultRun) list(fold func([]string) []string) string {
	calls := f.calls()
	var kinds []string
	for i := range calls {
		if !osMakes(&calls[i]) {
			kinds = append(kinds, f.Kind(&calls[i]))
		}
	}
	var b strings.Builder
	kinds = fold(kinds)
	for i := 0; i < len(kinds); {
		first := i
		for i < len(kinds) && kinds[i] == kinds[first] {
			i++
		}
		b.WriteString("\t" + kinds[first])
		if n := i - first; n > 1 {
			fmt.Fprintf(&b, ", %d times", n)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// osMakes reports whether package os makes the call, in another way with each version of
// Go.
func osMakes(c *Call) bool {
	return strings.HasPrefix(c.Name, "epoll_ctl") || c.Name == "fcntl F_GETFL" || c.Name == "fcntl F_SETFL" ||
		c.Name == "fstat" && strings.HasPrefix(c.Object, "/proc/")
}

// parseCalls reads such a file: the comment that it begins with, and the calls of each
// operation.
func parseCalls(text string) (head string, calls map[string]string) {
	calls = map[string]string{}
	sections := strings.Split(text, "\n\n")
	for _, section := range sections[1:] {
		names, lines, _ := strings.Cut(section, "\n\t")
		for _, name := range strings.Split(names, "\n") {
			calls[name] = "\t" + strings.TrimSuffix(lines, "\n") + "\n"
		}
	}
	return strings.TrimSuffix(sections[0], "\n") + "\n", calls
}
