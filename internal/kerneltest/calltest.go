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
// calls in their order, those of one kind together; fold may put several into one.
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
	cmd := f.Command()
	cmd.Env = append(cmd.Environ(), "TMPDIR="+t.TempDir(), "GOMAXPROCS=1")
	s := Supervise(t, cmd)
	var b strings.Builder
	b.WriteString(head)
	for _, op := range f.Ops {
		name := strings.TrimSpace(op.Name + " " + op.Way)
		r := faultRun{FaultTest: f, t: t, s: s, op: op}
		got := ""
		for range 20 {
			if got = r.calls(fold); got == want[name] || t.Failed() {
				break
			}
		}
		if got != want[name] && os.Getenv("INOTIFY_TEST_UPDATE") == "" {
			t.Errorf("%s: it makes these calls:\n%swant:\n%s", name, got, want[name])
		}
		fmt.Fprintf(&b, "\n%s\n%s", name, got)
		delete(want, name)
	}
	if os.Getenv("INOTIFY_TEST_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name := range want {
		t.Errorf("%s lists %q, which is not tried", filepath.Base(file), name)
	}
}

// calls has the operation be done, and lists its calls.
func (f *faultRun) calls(fold func([]string) []string) string {
	report, a := f.run(0)
	if len(a.Broken) > 0 || (a.Err == "") == f.op.Fails {
		f.errorf("error %q, broken %q", a.Err, a.Broken)
	}
	var kinds []string
	for i := range report.Calls {
		if !osMakes(&report.Calls[i]) {
			kinds = append(kinds, f.Kind(&report.Calls[i]))
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
		name, lines, _ := strings.Cut(section, "\n")
		calls[name] = strings.TrimSuffix(lines, "\n") + "\n"
	}
	return strings.TrimSuffix(sections[0], "\n") + "\n", calls
}
