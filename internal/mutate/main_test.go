// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// mutate runs the command on the sample package and compares its exit code.
func mutate(t *testing.T, ctx context.Context, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, said bytes.Buffer
	args = append([]string{"-dir", ".", "-package", "./testdata/sample", "-grace", "3s", "-traces", filepath.Join(t.TempDir(), "traces")}, args...)
	if got := run(ctx, args, &out, &said); got != code {
		t.Errorf("exit code %d, want %d\n%s\n%s", got, code, out.String(), said.String())
	}
	return out.String(), said.String()
}

// fates returns the fate of each mutant by what it changes, and which test killed
// it.
func fates(t *testing.T, path string) map[string]string {
	t.Helper()
	r, err := openStore[result](path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	got := map[string]string{}
	for key, one := range r.all {
		_, change, _ := strings.Cut(key, ": ")
		got[change] = one.Fate
		if one.Fate == killed {
			test := strings.Fields(one.Test)
			got[change] += " by " + test[len(test)-1]
		}
	}
	return got
}

// TestSample finds out the fate of every mutant, twice, the second time with a list
// of those that may survive.
func TestSample(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "results")
	known := filepath.Join(dir, "known")
	stdout, stderr := mutate(t, t.Context(), 1, "-results", file, "-known", known)
	want := map[string]string{
		"Sign: x < 0 -> x <= 0":                           survived,
		"Sign: x < 0 -> x >= 0":                           "killed by TestSign",
		"Sign: x < 0 -> x < -1":                           survived,
		"Sign: return -1 -> return zero":                  "killed by TestSign",
		"Sign: return 1 -> return zero":                   "killed by TestSign",
		"Unused: !ok -> ok":                               unreached,
		"Wait: n > 0 -> n >= 0":                           survived,
		"Wait: n > 0 -> n <= 0":                           survived,
		"Wait: n > 0 -> n > 1":                            survived,
		"Wait: n-- -> nothing":                            "killed by TestWait",
		"Wait: n-- -> n++":                                "killed by TestWait",
		`Open: return errors.New("closed") -> return nil`: "killed by TestChild",
	}
	got := fates(t, file)
	for change, fate := range want {
		if got[change] != fate {
			t.Errorf("%s: %q, want %q", change, got[change], fate)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d mutants, want %d: %v", len(got), len(want), got)
	}
	wantLine(t, stdout, "testdata/sample/sample.go 12 6 50.0 % 0 50.0 % 0 5 1")
	wantLine(t, stdout, "all 12 6 50.0 % 0 50.0 % 0 5 1")
	wantLine(t, stdout, "+x <= 0")
	wantLine(t, stderr, "11 mutants to try") // all but the one that no test comes to

	list := `# Of the sample.
testdata/sample/sample.go: Sign: x < 0 -> x <= 0
testdata/sample/sample.go: Sign: x < 0 -> x < -1
	The test is
	weak.

testdata/sample/sample.go: Wait: n > 0 -> n >= 0
	Killed on there by TestWait.
testdata/sample/sample.go: Wait: n > 0 -> n <= 0
testdata/sample/sample.go: Wait: n > 0 -> n > 1
testdata/sample/sample.go: Unused: !ok -> ok
	It has none.
testdata/sample/sample.go: Sign: return 1 -> return zero
	Wrong.
`
	if err := os.WriteFile(known, []byte(list), 0o666); err != nil {
		t.Fatal(err)
	}
	stdout, stderr = mutate(t, t.Context(), 0, "-results", file, "-known", known)
	wantLine(t, stdout, "all 12 6 50.0 % 1 58.3 % 5 0 0")
	wantLine(t, stderr, "0 mutants to try")
	wantLine(t, stdout, "killed by github.com/seed10546c08/inotify/internal/mutate/testdata/sample TestSign, but listed: Wrong.")
	_, stderr = mutate(t, t.Context(), 0, "-results", file, "-known", known, "-try-known")
	wantLine(t, stderr, "5 mutants to try")
}

func wantLine(t *testing.T, text, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	if !slices.Contains(lines, want) {
		t.Errorf("no line %q in:\n%s", want, text)
	}
}

// TestInterrupt interrupts a run, and goes on where it was, with a program that
// runs the tests.
func TestInterrupt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if text, _ := os.ReadFile(file); bytes.Count(text, []byte("\n")) > 3 {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, stderr := mutate(t, ctx, 1, "-results", file, "-known", "", "-workers", "1")
	wantLine(t, stderr, "mutate: interrupted")
	before := len(fates(t, file))
	wrapper := filepath.Join(t.TempDir(), "wrapper")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\necho >>\"$0.ran\"\nexec \"$@\"\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	mutate(t, t.Context(), 1, "-results", file, "-known", "", "-exec", wrapper)
	if _, err := os.Stat(wrapper + ".ran"); err != nil {
		t.Error("it was not used: ", err)
	}
	if after := len(fates(t, file)); before < 3 || before == 12 || after != 12 {
		t.Errorf("%d results before, %d after, want 12 in the end", before, after)
	}
}

// TestElsewhere tries the mutants that are listed for a place, and no others, each on
// the test that the list names, with binaries of another processor, out of which no
// trace comes.
func TestElsewhere(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("this needs a processor that runs the binaries of another one")
	}
	t.Setenv("GOARCH", "") // -goarch sets it
	dir := t.TempDir()
	known, wrapper := filepath.Join(dir, "known"), filepath.Join(dir, "wrapper")
	script := "#!/bin/sh\nod -An -tu1 -j4 -N1 \"$1\" >>\"$0.class\"\nexec env -u MUTATE_SEEN \"$@\"\n"
	if err := os.WriteFile(wrapper, []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		list         string
		code         int
		stdout, tell string
	}{
		{"testdata/sample/sample.go: Sign: return 1 -> return zero\n\tKilled on there by TestSign. It is.\n", 0, "all 1 1 100.0 % 0 100.0 % 0 0 0", "1 mutants to try"},
		// It is not, but by another test.
		{"testdata/sample/sample.go: Sign: return 1 -> return zero\n\tKilled on there by TestWait.\n" +
			"testdata/sample/sample.go: Wait: n-- -> n++\n\tKilled on there by TestSign.\n", 1, "all 2 0 0.0 % 0 0.0 % 0 2 0", "2 mutants to try"},
		// Without a trace nobody knows that no test comes to it.
		{"testdata/sample/sample.go: Unused: !ok -> ok\n\tKilled on there by TestSign.\n", 1, "all 1 0 0.0 % 0 0.0 % 0 1 0", "1 mutants to try"},
		{"testdata/sample/sample.go: Sign: return 1 -> return zero\n\tKilled on another by TestSign.\n", 1, "", "mutate: no mutant is listed as killed on there"},
	} {
		if err := os.WriteFile(known, []byte(c.list+"testdata/sample/sample.go: Sign: return -1 -> return zero\n\tKilled here.\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		stdout, stderr := mutate(t, t.Context(), c.code, "-known", known, "-elsewhere", "there", "-exec", wrapper, "-goarch", "386")
		if c.stdout != "" {
			wantLine(t, stdout, c.stdout)
		}
		wantLine(t, stderr, c.tell)
	}
	if class, err := os.ReadFile(wrapper + ".class"); err != nil || strings.Trim(string(class), " \n1") != "" {
		t.Errorf("classes %q of ELF binaries, %v, want 1, of 32 bits", class, err)
	}
}

// TestEndsOtherGroups has a mutant hang below a program with a process group of its own.
func TestEndsOtherGroups(t *testing.T) {
	dir := t.TempDir()
	file, wrapper := filepath.Join(dir, "results"), filepath.Join(dir, "wrapper")
	script := "#!/bin/sh\ntimeout 1000 \"$@\" &\necho $! >>\"$0.pids\"\nwait $!\n"
	if err := os.WriteFile(wrapper, []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	const change = "Wait: n-- -> nothing"
	mutate(t, t.Context(), 0, "-results", file, "-known", "", "-exec", wrapper, "-tests", "TestWait", "-mutants", change)
	if got := fates(t, file)[change]; got != "killed by TestWait" {
		t.Errorf("%s: %q", change, got)
	}
	pids, err := os.ReadFile(wrapper + ".pids")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(pids)) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err == nil && !strings.Contains(string(stat), ") Z ") && strings.Contains(string(stat), "(timeout)") {
			t.Errorf("it is left: %s", stat)
		}
	}
}

// TestCoverage counts what runs in a child process, too.
func TestCoverage(t *testing.T) {
	known := filepath.Join(t.TempDir(), "known")
	stdout, _ := mutate(t, t.Context(), 1, "-coverage", "-known", known)
	wantLine(t, stdout, "testdata/sample/sample.go:18: Unused: return !ok")
	wantLine(t, stdout, "all 7 6 85.7 % 0 85.7 %")
	list := "testdata/sample/sample.go: Unused: return !ok\n\tNobody needs it.\ntestdata/sample/sample.go: Sign: return -1\n\tWrong.\n"
	if err := os.WriteFile(known, []byte(list), 0o666); err != nil {
		t.Fatal(err)
	}
	stdout, _ = mutate(t, t.Context(), 0, "-coverage", "-known", known)
	wantLine(t, stdout, "all 7 6 85.7 % 1 100.0 %")
	wantLine(t, stdout, "is executed, but listed: Wrong.")
}

func TestReadKnownRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"twice":         "a: b\na: b\n\treason\n",
		"has no reason": "a: b\n\n# comment\n",
	} {
		path := filepath.Join(t.TempDir(), "known")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := readKnown(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v, want an error with %q", text, err, name)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{{"argument"}, {"-workers", "0"}, {"-unknown"}} {
		mutate(t, t.Context(), 2, args...)
	}
	mutate(t, t.Context(), 1, "-mutants", "(")
	mutate(t, t.Context(), 1, "-dir", "/", "-package", "./nothing")
}

// TestEdits nests edits.
func TestEdits(t *testing.T) {
	var e edits
	text := []byte("a && b < c")
	e.around(0, 10, "and(", ")")
	e.replace(2, 4, ", ")
	e.around(5, 10, "less(", ")")
	e.replace(7, 8, ",")
	e.around(5, 6, "[", "]")
	e.around(9, 10, "{", "}")
	if got, want := string(e.apply(text)), "and(a ,  less([b] , {c}))"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestOperators lists the mutants of every kind.
func TestOperators(t *testing.T) {
	stdout, _ := mutate(t, t.Context(), 0, "-package", "./testdata/operators", "-list")
	want, err := os.ReadFile("testdata/operators/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	if stdout != string(want) {
		t.Errorf("listed\n%s\nwant\n%s", stdout, want)
	}
	// They compile, and change nothing unless they are switched on.
	_, stderr := mutate(t, t.Context(), 0, "-package", "./testdata/operators", "-known", "", "-results", filepath.Join(t.TempDir(), "results"))
	wantLine(t, stderr, "114 mutants to try")
}
