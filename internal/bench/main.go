// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

// The command bench measures package inotify and its peers alternately in one
// run, and prints a table of the ratios or draws a picture.
//
//	go run . [-run REGEXP] [-rounds N] [-quick] [-json] [-dir DIR] [-names N]
//	go run . -plot FILE [-quick] [-dir DIR]
//	go run . -list
//
// The peers are C programs, which it builds with cc from the folder peers,
// fsnotify, and the system calls of golang.org/x/sys/unix. Each measurement runs
// in a process of its own, which measures its own duration.
//
// The exit code is 0 if every selected row was measured or skipped with a reason,
// whether or not the targets are met; 1 after a failure or an interrupt (3 if
// the failure is ENOSPC); 2 if the arguments are wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type config struct {
	pattern string
	rounds  int
	quick   bool
	json    bool
	list    bool
	plot    string
	dir     string
	names   int
}

// errUsage has been reported already, by package flag.
var errUsage = errors.New("wrong arguments")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return 2
	case ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	fmt.Fprintln(stderr, "bench:", err)
	if errors.Is(err, unix.ENOSPC) {
		return exitLimit
	}
	return 1
}

// dispatch also handles the two subcommands with which bench runs itself.
func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "worker":
			return work(args[1:], stdout)
		case "filtered":
			return execFiltered(args[1:])
		}
	}
	c, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.run(ctx, stdout, stderr)
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.pattern, "run", "", "measure only the rows that match `REGEXP` (see -list)")
	f.IntVar(&c.rounds, "rounds", 20, "measure each row `N` times, slow rows half as often")
	f.BoolVar(&c.quick, "quick", false, "small counts and 3 rounds, to check that everything works")
	f.BoolVar(&c.json, "json", false, "print the table as JSON")
	f.BoolVar(&c.list, "list", false, "list the rows and measure nothing")
	f.StringVar(&c.plot, "plot", "", "draw the picture instead, to `FILE` (.svg or .png), and a dark variant to FILE with -dark before its extension")
	f.StringVar(&c.dir, "dir", "", "make the files in a new directory in `DIR` (default: the system's temporary directory)")
	f.IntVar(&c.names, "names", 16, "read events about `N` files in turn")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return c, err
		}
		return c, errUsage
	}
	usage := func(format string, a ...any) (config, error) {
		fmt.Fprintf(stderr, "bench: "+format+"\n", a...)
		return c, errUsage
	}
	if c.quick {
		c.rounds = min(c.rounds, 3)
	}
	switch ext := filepath.Ext(c.plot); {
	case f.NArg() > 0:
		return usage("unexpected argument %q", f.Arg(0))
	case c.rounds < 1:
		return usage("-rounds %d: want at least 1", c.rounds)
	case c.names < 2 || c.names > 4096:
		return usage("-names %d: want 2 to 4096 (the kernel merges equal events in a row)", c.names)
	case c.plot != "" && ext != ".svg" && ext != ".png":
		return usage("-plot %s: want a name that ends in .svg or .png", c.plot)
	case c.plot != "" && (c.pattern != "" || c.json || c.list):
		return usage("-plot cannot be combined with -run, -json or -list")
	}
	return c, nil
}

func (c config) run(ctx context.Context, stdout, stderr io.Writer) error {
	if c.plot != "" {
		return c.drawPicture(ctx, stderr)
	}
	subjects, err := c.choose()
	if err != nil {
		return err
	}
	if c.list {
		for _, s := range subjects {
			for _, name := range s.names() {
				fmt.Fprintln(stdout, name)
			}
		}
		return nil
	}
	t, err := c.measure(ctx, subjects, stderr)
	if err != nil {
		return err
	}
	if c.json {
		return t.writeJSON(stdout)
	}
	return t.writeText(stdout)
}

// choose returns the subjects with the rows that were asked for.
func (c config) choose() ([]subject, error) {
	pattern, err := regexp.Compile(c.pattern)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	var chosen []subject
	for _, s := range subjects(c.sizes(), c.names) {
		if s, ok := s.only(pattern); ok {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-run %s selects no row; -list lists them", c.pattern)
	}
	return chosen, nil
}
