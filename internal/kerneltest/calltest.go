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

// Calls compares the system calls of each operation with a file that lists them in order.
// Consecutive calls of one kind are on one line, and fold may combine more. Operations with equal
// lists share one. With INOTIFY_TEST_UPDATE=1 it writes the file instead. The child has one
// processor, so that the cycle has no helper thread. An operation is repeated if its list differs,
// as another process or the clock may have changed it.
func (f *FaultTest) Calls(t *testing.T, file string, fold func([]string) []string) {
	t.Helper()
	if os.Getenv("INOTIFY_TEST_OWN_KERNEL") != "" {
		t.Skip("this needs a processor that is not emulated, as the number of some calls depends on time")
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
		got, tries := "", 20
		if t.Failed() {
			tries = 1
		}
		for range tries {
			if got = r.list(fold); r.dead || got == want[name] {
				break
			}
		}
		if got != want[name] && os.Getenv("INOTIFY_TEST_UPDATE") == "" {
			t.Errorf("%s makes these calls:\n%swant:\n%s", name, got, want[name])
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
		t.Errorf("%s lists %q, which is not an operation of the test", filepath.Base(file), name)
	}
}

// child starts the child process that runs the operations.
func (f *FaultTest) child(t *testing.T, processors int) *faultRun {
	t.Helper()
	cmd := f.Command()
	cmd.Env = append(cmd.Environ(), "TMPDIR="+t.TempDir(), fmt.Sprint("GOMAXPROCS=", processors))
	return &faultRun{FaultTest: f, t: t, s: Supervise(t, cmd)}
}

// calls runs the operation and returns its calls.
func (f *faultRun) calls() []Call {
	report, a := f.run(0)
	if len(a.Broken) > 0 || (a.Err == "") == f.op.Fails {
		f.errorf("error %q, broken %q", a.Err, a.Broken)
	}
	return report.Calls
}

// list runs the operation and returns the list of its calls.
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

// osMakes reports whether package os makes the call for itself, which differs between versions of
// Go.
func osMakes(c *Call) bool {
	return strings.HasPrefix(c.Name, "epoll_ctl") || c.Name == "fcntl F_GETFL" || c.Name == "fcntl F_SETFL" ||
		c.Name == "fstat" && strings.HasPrefix(c.Object, "/proc/")
}

// parseCalls parses such a file: the comment at its start, and the calls of each operation.
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
