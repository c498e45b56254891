// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

// The command mutate asks whether the tests bite: it changes the code in many small
// ways, one at a time, and tells which of these mutants no test notices.
//
//	go run . [-package PATTERNS] [-with PATTERNS] [-mutants REGEXP] [-tests REGEXP]
//	         [-run-only-survivors] [-try-known] [-skip-slower TIME] [-budget TIME]
//	         [-results FILE] [-exec PROGRAM] [-goarch ARCH]
//	go run . -elsewhere PLACE [-exec PROGRAM] [-goarch ARCH]
//	go run . -coverage [-package PATTERNS] [-with PATTERNS]
//	go run . -list
//
// It is run in its own folder, and looks two folders further up for the packages.
//
// All mutants are compiled into the packages at once, each behind a switch, by an
// overlay, so that the files stay as they are and each test binary is built once.
// Each test is run alone first, without a mutant: that tells its time, and which
// mutants would compute something else on its way, in child processes too, or are on
// its way, where that cannot be told. Then each mutant is switched on for those
// tests, those first that killed others in the function, then those that kill most for
// their time in the file, until one fails. A mutant is killed when a test fails,
// crashes, or takes too long (-grace); a failure must show twice, and a test that took
// too long must pass without the mutant.
//
// The mutants: comparisons with the boundary moved or the result inverted, && and
// ||, conditions and true and false inverted, + and -, * and /, & and |, shifts, min
// and max swapped, ++ and --, break and continue, statements left out, and results
// replaced: an error by nil, nil by an error, anything else by its zero.
//
// What is learned is added to the results file at once, as a line of JSON each. A
// further run with that file leaves out the mutants that it knows as killed, if
// their functions are as they were, and with -run-only-survivors those that no test
// came to, too. Interrupt it at any time.
//
// A mutant that survives has run each of these tests. A first run with
// -budget 2s -skip-slower 5s kills most in a fraction of the time; the next run,
// without them, is for those that are left.
//
// Some tests need an ordinary user: -run-only-survivors -exec ../../.ci/user is for
// the mutants that only those notice.
//
// Whether a new test notices what it is for: -results /dev/null -mutants and -tests.
//
// survivors.txt lists the mutants that may survive, with the reasons, and so the
// statements that no test executes, which -coverage tells. Some are killed on another
// kernel or processor, and counted apart: their reason begins with "Killed on PLACE by
// TEST.", and -elsewhere PLACE tries them there, each on that test. The list's head has
// the commands. Where a test's traces do not come back, as out of gVisor, it counts as
// one that comes to every mutant.
//
// The exit code is 0 if each mutant was killed or is in survivors.txt, 1 if not or
// after a failure or an interrupt, and 2 if the arguments are wrong.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// runtimeText is what the mutants' code calls: a file that is added to each
// package.
//
//go:embed runtime.go.txt
var runtimeText string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type config struct {
	dir       string
	packages  string
	with      string
	only      string
	onlyTests string
	exec      string
	goarch    string
	results   string
	traces    string
	known     string
	survivors bool
	list      bool
	cover     bool
	tryKnown  bool
	elsewhere string
	slow      time.Duration
	budget    time.Duration
	grace     time.Duration
	workers   int
}

// errUsage has been reported already, by package flag.
var errUsage = errors.New("wrong arguments")

// errSurvivors has been reported already, in the tables.
var errSurvivors = errors.New("mutants survived")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	if err == nil {
		err = c.run(ctx, stdout, stderr)
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	case errors.Is(err, errSurvivors):
		return 1
	case ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	fmt.Fprintln(stderr, "mutate:", err)
	return 1
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.dir, "dir", "../..", "work in `DIR`, where a module is")
	f.StringVar(&c.packages, "package", ". ./internal/fdinfo ./internal/locate", "mutate the packages that `PATTERNS` name, and try each mutant on its package's tests")
	f.StringVar(&c.with, "with", "", "try mutants also on the tests of the packages that `PATTERNS` name")
	f.StringVar(&c.only, "mutants", "", "only the mutants that match `REGEXP`, as -list prints them")
	f.StringVar(&c.onlyTests, "tests", ".", "only the tests that match `REGEXP`; of a fuzz target, its seeds")
	f.StringVar(&c.exec, "exec", "", "run the tests with `PROGRAM`, as go test -exec does")
	f.StringVar(&c.goarch, "goarch", "", "mutate and test the packages as built for `ARCH`")
	f.StringVar(&c.elsewhere, "elsewhere", "", "only the mutants that are listed as killed on `PLACE`, each on the test that the list names; keep no results")
	f.StringVar(&c.results, "results", "mutants.json", "keep the results in `FILE`")
	f.StringVar(&c.traces, "traces", "traces.json", "keep in `FILE` where the tests come to, until they are built anew")
	f.StringVar(&c.known, "known", "survivors.txt", "`FILE` with the mutants that may survive and the statements that no test need execute")
	f.BoolVar(&c.survivors, "run-only-survivors", false, "not those either that no test came to")
	f.BoolVar(&c.list, "list", false, "list the mutants and run nothing")
	f.BoolVar(&c.cover, "coverage", false, "run all tests once, and tell which statements no test executes")
	f.DurationVar(&c.slow, "skip-slower", 0, "leave out tests that take more than `TIME`, say 10s; 0: none")
	f.DurationVar(&c.budget, "budget", 0, "try each mutant only on as many tests as take `TIME` together, the fastest; 0: on all")
	f.DurationVar(&c.grace, "grace", 10*time.Second, "a test took too long after ten times its time and `TIME`")
	f.BoolVar(&c.tryKnown, "try-known", false, "try the mutants that may survive, too")
	f.IntVar(&c.workers, "workers", 2, "run `N` tests at a time")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return c, err
		}
		return c, errUsage
	}
	if f.NArg() > 0 || c.workers < 1 {
		fmt.Fprintln(stderr, "mutate: unexpected argument, or -workers below 1")
		return c, errUsage
	}
	return c, nil
}

func (c config) run(ctx context.Context, stdout, stderr io.Writer) error {
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return err
	}
	c.dir = dir
	if c.exec != "" {
		if c.exec, err = filepath.Abs(c.exec); err != nil {
			return err
		}
	}
	if c.goarch != "" {
		os.Setenv("GOARCH", c.goarch) // for the go command
	}
	wanted, err := regexp.Compile(c.only)
	if err != nil {
		return fmt.Errorf("-mutants: %w", err)
	}
	known, err := readKnown(c.known)
	if err != nil {
		return err
	}
	targets, err := load(ctx, c.dir, strings.Fields(c.packages))
	if err != nil {
		return err
	}
	if c.cover {
		return c.coverage(ctx, targets, known, stdout, stderr)
	}
	mutants, overlay := find(targets)
	var chosen []*mutant
	for _, m := range mutants {
		if wanted.MatchString(m.String()) {
			chosen = append(chosen, m)
		}
	}
	if c.elsewhere != "" {
		chosen, c.onlyTests = listedFor(c.elsewhere, chosen, known)
		if len(chosen) == 0 {
			return fmt.Errorf("no mutant is listed as killed on %s", c.elsewhere)
		}
		known, c.results = nil, os.DevNull // which are of here
	}
	if c.list {
		for _, m := range chosen {
			fmt.Fprintln(stdout, m)
		}
		return nil
	}
	results, traces, err := c.openStores()
	if err != nil {
		return err
	}
	defer results.close()
	defer traces.close()
	l, err := newLab(c, traces, overlay, len(mutants), stderr)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.measure(ctx); err != nil {
		return err
	}
	if err := l.tryAll(ctx, chosen, results, known); err != nil {
		return err
	}
	return report(stdout, chosen, results, known)
}

// openStores opens the files with what was learned.
func (c config) openStores() (results, *store[trace], error) {
	r, err := openStore[result](c.results)
	if err != nil {
		return results{}, nil, err
	}
	traces, err := openStore[trace](c.traces)
	if err != nil {
		r.close()
		return results{}, nil, err
	}
	return results{r}, traces, nil
}
