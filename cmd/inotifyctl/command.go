// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// commands are the commands in the order of the help.
func commands() []*subcommand {
	return []*subcommand{lsCommand, whoCommand, checkCommand, watchCommand, dumpCommand, verifyCommand, restoreCommand, demoCommand, versionCommand}
}

func lookup(name string) *subcommand {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return nil
}

// A subcommand is what its help says, and what it does.
type subcommand struct {
	name     string
	operands string      // as in the synopsis: "FILE PID"
	summary  string      // a line of the list of commands
	about    string      // paragraphs; the first sentence says what the command is for
	example  string      // command lines
	exit     [][2]string // code and meaning

	// define defines the flags, and returns what executes the command after they are
	// set.
	define func(*flag.FlagSet) action

	// executes says that the operands after "--" are a command to execute.
	executes bool
}

type action func(context.Context, *invocation) error

// An invocation has the input of a command, except its flags.
type invocation struct {
	operands       []string
	execute        []string // what follows "--", of a command that executes it
	stdout, stderr io.Writer
}

func (c *subcommand) execute(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	do := c.define(flags)
	operands, rest, err := parse(flags, args)
	if c.executes && len(operands) > 1 {
		err = usageErrorf("unexpected operand %q: put -- before COMMAND", operands[1])
	}
	if errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(stdout, c.help())
		return err
	}
	in := &invocation{operands: operands, execute: rest, stdout: stdout, stderr: stderr}
	if !c.executes {
		in.operands, in.execute = append(operands, rest...), nil
	}
	if err == nil {
		err = do(ctx, in)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		usage.command = c.name
	}
	return err
}

// parse sets flags from args. Unlike [flag.FlagSet.Parse] it accepts flags before,
// between and after operands, up to an argument "--"; rest is what follows that. With an
// error it returns the operands before the fault.
func parse(flags *flag.FlagSet, args []string) (operands, rest []string, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return operands, args, nil
		case len(arg) < 2 || arg[0] != '-':
			operands = append(operands, arg)
		default:
			if args, err = parseFlag(flags, arg, args); err != nil {
				return operands, nil, err
			}
		}
	}
	return operands, nil, nil
}

// parseFlag sets the flag arg, and returns args without the flag's value.
func parseFlag(flags *flag.FlagSet, arg string, args []string) ([]string, error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	f := flags.Lookup(name)
	switch {
	case f == nil && (name == "h" || name == "help"):
		return nil, flag.ErrHelp
	case f == nil:
		return nil, usageErrorf("unknown flag -%s", name)
	case hasValue:
	case isBool(f):
		value = "true"
	case len(args) == 0:
		return nil, usageErrorf("-%s: value is missing", name)
	default:
		value, args = args[0], args[1:]
	}
	if err := flags.Set(name, value); err != nil {
		if isBool(f) {
			err = errors.New("want true or false")
		}
		return nil, usageErrorf("-%s: invalid value %q (%v)", name, value, err)
	}
	return args, nil
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// checkOperands returns an error unless there is one operand for each of the names.
func checkOperands(operands []string, names ...string) error {
	switch {
	case len(operands) < len(names):
		return usageErrorf("%s is missing", names[len(operands)])
	case len(operands) > len(names):
		return usageErrorf("unexpected operand %q", operands[len(names)])
	}
	return nil
}

// A usageError says what is wrong with the command line.
type usageError struct {
	command string // "" if the command is what is wrong
	what    string
}

func usageErrorf(format string, args ...any) error {
	return &usageError{what: fmt.Sprintf(format, args...)}
}

func (e *usageError) Error() string {
	if e.command == "" {
		return e.what
	}
	return e.command + ": " + e.what
}

// help returns the command line that prints the help.
func (e *usageError) help() string {
	return strings.TrimSuffix("inotifyctl help "+e.command, " ")
}
