// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// The command inotifyctl watches paths, also under a watch descriptor of the
// caller's choice, tells what this kernel's inotify can do and which process
// watches what, and takes whole instances of other processes and restores them.
//
//	inotifyctl watch [-wd N] [-mask LIST] [-n COUNT] [-json] [-max-steps N] PATH...
//	inotifyctl check
//	inotifyctl ls [-w] [-json] [-paths none|handles|search] [PID...]
//	inotifyctl dump [-fd N] [-paths none|handles|search] [-drain] [-o FILE] PID
//	inotifyctl verify [-fd N] FILE PID
//	inotifyctl restore [-pending FILE | -drop-pending] [-missing] [-max-steps N]
//	                   FILE -- COMMAND [ARG...]
//	inotifyctl demo
//
// Exit codes: 0 done, also if a signal ended watch; 1 failed, and one line on
// standard error says why; 2 the arguments are wrong; 3 done, but restore refuses the
// snapshot as it is, ls or check could not read all, or check found a limit exhausted. After restore the exit code is the command's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/seed10546c08/inotify"
)

const usageText = `usage:
  inotifyctl watch [-wd N] [-mask LIST] [-n COUNT] [-json] [-max-steps N] PATH...
  inotifyctl check
  inotifyctl ls [-w] [-json] [-paths none|handles|search] [PID...]
  inotifyctl dump [-fd N] [-paths none|handles|search] [-drain] [-o FILE] PID
  inotifyctl verify [-fd N] FILE PID
  inotifyctl restore [-pending FILE | -drop-pending] [-missing] [-max-steps N]
                     FILE -- COMMAND [ARG...]
  inotifyctl demo
  inotifyctl help

watch adds a watch on each PATH, says how it got its number, and prints the
events, one a line, until it is interrupted.
  -wd N         give the watch on the first PATH the number N (1 to 2147483647,
                or hexadecimal with 0x)
  -mask LIST    watch for these events: kernel names joined by "," or "|"
                (default IN_ALL_EVENTS)
  -n COUNT      end after COUNT events; 0 ends right after the watches
  -json         print each line as a JSON object
  -max-steps N  where the kernel cannot set the number, climb at most N numbers
                (default 1048576)

check tells what this kernel's inotify can do, and how much of its limits you
have in use. The exit code is 3 if a limit is exhausted, which is printed with the
processes that have most, or if not all could be counted.

ls lists the instances that processes have, and how much of the limits their
users have in use: of all processes that you may read, or of those given. The exit
code is 3 if one of all did not answer, and 1 if one of those given cannot be read.
  -w            list the watches of each: number, mask and, if found, path
  -json         print a JSON object for each instance, then one for each user
  -paths LEVEL  as for dump

dump writes a snapshot of a process's instance, as JSON. What could not be
learned, and what others may have noticed of it, it tells on standard error.
Stop the process (kill -STOP) to have it all of one moment. The exit code is 3
if restore refuses the snapshot as it is, and standard error says what to do.
  -fd N         its descriptor, where the process has more than one instance
  -paths LEVEL  how to find the paths of the watches: none; handles opens file
                handles, which needs root (the default); search reads the
                directories of their filesystems as well, which watchers see
  -hint DIR     search below DIR first; may be given more than once
  -max-entries N
                end the search after N directory entries
  -all-filesystems
                do not stay off FUSE, autofs and network filesystems, which can
                make it wait for ever
  -drain        take the pending events, too, and the next wd: the process must
                be stopped, and does not get the events any more. If they cannot
                be written, or a signal ends dump first, they are saved in a file
                in $TMPDIR; kill -9 loses them
  -o FILE       write to FILE, which is replaced at the end, and readable for
                you alone; best in a folder that is not watched

verify compares a process's instance with the snapshot in FILE ("-": standard
input), prints the differences, and exits with 1 if there are any. The exit code
is 3 if there are none, but restore refuses the snapshot as it is. What restore
executed has FD_CLOEXEC off.
  -fd N         its descriptor, if not the same as in the snapshot

restore restores the snapshot in FILE ("-": standard input) and executes COMMAND
in its own place with the instance as the descriptor that it was. That number
must not be one that restore was started with; for 0 to 2, close it (0<&-).
COMMAND gets the signals HUP, INT, TSTP, TTIN and TTOU ignored if restore did;
to ignore others, execute sh -c 'trap "" QUIT; exec COMMAND'.
Pending events, which a new queue cannot hold, are refused without one of
  -pending FILE
                write them to FILE, as watch -json prints them; best in a folder
                that is not watched
  -drop-pending
                drop them, and tell how many there were
  -missing      leave out watches whose path is missing, and list them
  -max-steps N  as for watch

demo makes an instance in a temporary folder, dumps it, restores it and shows
that it is the same.
`

func main() {
	ctx, stop := untilSignal(context.Background(), endSignals)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command but for the process around it. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdout, stderr)
	var misuse *usageError
	var incomplete *incompleteError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &incomplete):
		note(stderr, "incomplete", incomplete.reasons...)
		return 3
	case errors.As(err, &misuse):
		fmt.Fprintf(stderr, "inotifyctl: %s\n%s", oneLine(misuse.Error()), usageText)
		return 2
	}
	fmt.Fprintf(stderr, "inotifyctl: %s\n", oneLine(advise(err)))
	return 1
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return misused("a command is missing")
	}
	var err error
	switch args[0] {
	case "watch":
		err = watch(ctx, args[1:], stdout, stderr)
	case "check":
		err = check(ctx, args[1:], stdout)
	case "ls":
		err = ls(ctx, args[1:], stdout, stderr)
	case "dump":
		err = dump(ctx, args[1:], stdout, stderr)
	case "verify":
		err = verify(ctx, args[1:], stdout, stderr)
	case "restore":
		err = restore(ctx, args[1:], stderr)
	case "demo":
		err = demo(ctx, args[1:], stdout)
	case "help", "-h", "-help", "--help":
		err = flag.ErrHelp
	default:
		err = misused("unknown command %q", args[0])
	}
	if errors.Is(err, flag.ErrHelp) {
		_, err = io.WriteString(stdout, usageText)
	}
	return err
}

// A usageError says what is wrong with the arguments.
type usageError struct{ what string }

func (e *usageError) Error() string { return e.what }

func misused(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// An incompleteError says that a command has done all it could, and what is missing
// from the result.
type incompleteError struct{ reasons []string }

func (e *incompleteError) Error() string { return strings.Join(e.reasons, "; ") }

// parseFlags parses args with flags, which print nothing themselves.
func parseFlags(flags *flag.FlagSet, args []string) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return misused("%s: %v", flags.Name(), err)
	}
	return err
}

// advise returns the error's text with what to do about it, where the text
// itself does not say that.
func advise(err error) string {
	if hint := hint(err); hint != "" {
		return err.Error() + "; " + hint
	}
	return err.Error()
}

// An advisedError has its own hint.
type advisedError struct {
	error
	hint string // "" if there is none
}

func (e *advisedError) Unwrap() error { return e.error }

// advised returns err with the hint, unless it is nil.
func advised(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &advisedError{err, hint}
}

func hint(err error) string {
	var own *advisedError
	var cycle *inotify.CycleError
	var limit *inotify.LimitError
	switch {
	case errors.As(err, &own):
		return own.hint
	case errors.As(err, &limit):
		return "" // it names the settings to raise
	case errors.Is(err, context.Canceled):
		return "interrupted, and no watch is left: run it again to begin anew"
	case errors.As(err, &cycle):
		if errors.Is(err, errors.ErrUnsupported) && cycle.Steps > cycle.Limit {
			return fmt.Sprintf("run it with -max-steps %d", cycle.Steps)
		}
		return ""
	case errors.As(err, new(*inotify.UnsupportedError)):
		return "" // it says what is needed
	case !onPath(err):
		return hintOnCall(err)
	case errors.Is(err, fs.ErrNotExist):
		return "give a path that exists"
	case errors.Is(err, fs.ErrPermission):
		return "make sure that you may read the path"
	case errors.Is(err, fs.ErrExist):
		return "give each inode once, or leave out IN_MASK_CREATE"
	case errors.Is(err, syscall.ENOTDIR):
		return "give a directory, or leave out IN_ONLYDIR"
	case errors.Is(err, syscall.EINVAL):
		return "give another -mask"
	}
	return ""
}

// onPath reports whether an error is about a path that the user gave, or about the
// mask for it.
func onPath(err error) bool {
	var call *os.SyscallError
	var path *fs.PathError
	restore := errors.As(err, new(*inotify.RestoreError))
	switch {
	case errors.As(err, &call):
		switch call.Syscall {
		case "inotify_add_watch", "open O_PATH", "stat":
			return restore
		}
		return false
	case errors.As(err, &path):
		return path.Op == "inotify_add_watch" || !strings.HasPrefix(path.Path+"/", "/proc/")
	}
	return restore
}

// hintOnCall returns the hint for an error that is not about a path.
func hintOnCall(err error) string {
	var call *os.SyscallError
	isInit := errors.As(err, &call) && call.Syscall == "inotify_init1"
	switch {
	case errors.Is(err, errors.ErrUnsupported) && (isInit || call == nil):
		return "this system has no inotify: run it on Linux"
	case errors.Is(err, fs.ErrPermission) && isInit:
		return "a seccomp profile or a security module forbids inotify here"
	}
	return ""
}

// oneLine makes text a single line without anything that a terminal obeys:
// paths in it can hold any byte.
func oneLine(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		text = text[size:]
	}
	return b.String()
}
