// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

func TestUsageErrors(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "no command given"},
		{"wacth /", `unknown command "wacth"`},
		{"-json", `unknown command "-json"`},
		{"help nothing", `help: unknown command "nothing"`},
		{"help ls dump", `help: unexpected operand "dump"`},
		{"watch", "watch: PATH is missing"},
		{"watch -json", "watch: PATH is missing"},
		{"watch -frobnicate /", "watch: unknown flag -frobnicate"},
		{"watch / -frobnicate", "watch: unknown flag -frobnicate"},
		{"watch --frobnicate=3 /", "watch: unknown flag -frobnicate"},
		{"watch -json=x /", `watch: -json: invalid value "x" (want true or false)`},
		{"watch / -wd", "watch: -wd: value is missing"},
		{"watch -wd 0 /", `watch: -wd: invalid value "0" (want a number from 1 to 2147483647)`},
		{"watch -wd -1 /", "1 to 2147483647"},
		{"watch -wd 2147483648 /", "1 to 2147483647"},
		{"watch -wd 0x80000000 /", "1 to 2147483647"},
		{"watch -wd 010x /", "1 to 2147483647"},
		{"watch -wd 1_000 /", "1 to 2147483647"},
		{"watch -max-steps 5 /", "watch: -max-steps needs -wd"},
		{"watch -mask CREATE /", `watch: -mask: invalid value "CREATE" ("CREATE" is not a name such as IN_CREATE)`},
		{"watch -mask= /", "-mask"},
		{"watch -mask IN_CREATE,, /", "-mask"},
		{"watch -mask IN_CREATE,IN_NOTHING /", `("IN_NOTHING" is not a name such as IN_CREATE)`},
		{"watch -n many /", `watch: -n: invalid value "many" (want a number, 0 or more)`},
		{"watch -n -1 /", `watch: -n: invalid value "-1"`},
		{"watch -max-steps -1 /", `watch: -max-steps: invalid value "-1"`},
		{"who", "who: PATH is missing"},
		{"check /", `check: unexpected operand "/"`},
		{"check -json", "check: unknown flag -json"},
		{"ls x", `ls: invalid PID "x"`},
		{"ls 0", `ls: invalid PID "0"`},
		{"ls -- -w", `ls: invalid PID "-w"`},
		{"ls -paths all", `ls: -paths: invalid value "all" (want none, handles or search)`},
		{"ls -max-entries 0", "want a number, 1 or more"},
		{"ls -hint /", "ls: -hint needs -paths search"},
		{"ls -paths none", "ls: -paths needs -w"},
		{"ls -all-filesystems 1", "ls: -all-filesystems needs -w"},
		{"ls -v", "ls: -v needs -w"},
		{"ls -user no:one", `ls: -user: invalid value "no:one" (want the name of a user in /etc/passwd, or a uid)`},
		{"ls -user -1", `ls: -user: invalid value "-1"`},
		{"ls -min -1", `ls: -min: invalid value "-1" (want a number, 0 or more)`},
		{"ls -command", "ls: -command: value is missing"},
		{"dump", "dump: PID is missing"},
		{"dump 1 2", `dump: unexpected operand "2"`},
		{"dump -fd -1 1", "want the number of a file descriptor"},
		{"dump -paths ALL 1", "want none, handles or search"},
		{"dump -max-entries 5 1", "dump: -max-entries needs -paths search"},
		{"dump x", `dump: invalid PID "x"`},
		{"verify", "verify: FILE is missing"},
		{"verify file", "verify: PID is missing"},
		{"verify file x", `verify: invalid PID "x"`},
		{"verify -fd 4294967296 file 1", "want the number of a file descriptor"},
		{"restore", "restore: FILE is missing"},
		{"restore file", "restore: COMMAND is missing"},
		{"restore file --", "restore: COMMAND is missing"},
		{"restore file true", `restore: unexpected operand "true": put -- before COMMAND`},
		{"restore file cat -x", `restore: unexpected operand "cat": put -- before COMMAND`},
		{"restore file cat -h", `restore: unexpected operand "cat": put -- before COMMAND`},
		{"restore file cat -- x", `restore: unexpected operand "cat": put -- before COMMAND`},
		{"restore file -x -- cat", "restore: unknown flag -x"},
		{"restore -- file true", "restore: FILE is missing"},
		{"restore -pending x -drop-pending file -- true", "exclude each other"},
		{"restore -max-steps -1 file -- true", "-max-steps"},
		{"demo x", `demo: unexpected operand "x"`},
		{"version x", `version: unexpected operand "x"`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := call(strings.Fields(tt.args)...)
			if code != 2 || stdout != "" {
				t.Errorf("exit code %d and standard output %q, want 2 and no output", code, stdout)
			}
			line, rest, _ := strings.Cut(stderr, "\n")
			if !strings.HasPrefix(line, "inotifyctl: ") || !strings.Contains(line, tt.want) {
				t.Errorf("first line %q, want %q in it", line, tt.want)
			}
			name, _, _ := strings.Cut(tt.args, " ")
			pointer := "Run 'inotifyctl help' for usage.\n"
			if lookup(name) != nil {
				pointer = "Run 'inotifyctl help " + name + "' for usage.\n"
			}
			wantText(t, rest, pointer)
		})
	}
}

// Flags may be anywhere before "--", also after operands.
func TestFlagsAfterOperands(t *testing.T) {
	for _, tt := range []struct{ args, operands, rest, o string }{
		{"a -o x b", "a b", "", "x"},
		{"a b --o=x", "a b", "", "x"},
		{"-b a -o x -- -c -o y", "a", "-c -o y", "x"},
		{"-o -- a", "a", "", "--"},
		{"- -b=false", "-", "", ""},
		{"a -- --", "a", "--", ""},
	} {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.Bool("b", false, "")
		o := flags.String("o", "", "")
		operands, rest, err := parse(flags, strings.Fields(tt.args))
		if err != nil || strings.Join(operands, " ") != tt.operands || strings.Join(rest, " ") != tt.rest || *o != tt.o {
			t.Errorf("%s: operands %q, rest %q, -o %q, %v", tt.args, operands, rest, *o, err)
		}
	}
	dir := t.TempDir()
	code, stdout, stderr := call("watch", dir, "-n", "0")
	wantSuccess(t, code, stderr)
	wantText(t, stdout, "watch 1 (added): "+dir+"\n")
	touch(t, dir, "-n")
	cmd := command(t, "watch", "-n", "0", "--", "-n")
	cmd.Dir = dir
	code, stdout, stderr = result(t, cmd)
	wantSuccess(t, code, stderr)
	wantText(t, stdout, "watch 1 (added): -n\n")
}

func TestVersion(t *testing.T) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Skip("this needs the kernel's release in /proc: ", err)
	}
	for _, arg := range []string{"version", "-version", "--version"} {
		code, stdout, stderr := call(arg)
		wantSuccess(t, code, stderr)
		want := fmt.Sprintf("inotifyctl %s, %s %s/%s, kernel %s", moduleVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH, release)
		wantText(t, stdout, want)
	}
}

func TestExitCodesOfTheProcess(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
	}{
		{"help", 0},
		{"watch -n 0 /", 0},
		{"watch -n 0 /there/is/no/such/path", 1},
		{"nonsense", 2},
	} {
		if code, _, stderr := result(t, command(t, strings.Fields(tt.args)...)); code != tt.code {
			t.Errorf("%s: exit code %d, want %d; standard error %q", tt.args, code, tt.code, stderr)
		}
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	file := touch(t, dir, "file")
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"no such path", []string{dir + "/none"}, []string{dir + "/none", "give a path that exists"}},
		{"empty path", []string{""}, []string{"give a path that exists"}},
		{"no directory", []string{"-mask", "IN_CREATE,IN_ONLYDIR", file}, []string{"IN_ONLYDIR"}},
		{"no mask", []string{"-mask", "0", file}, []string{"-mask"}},
		{"restore with IN_MASK_ADD", []string{"-wd", "3", "-mask", "IN_CREATE|IN_MASK_ADD", file}, []string{"IN_MASK_ADD"}},
		{"hostile path", []string{dir + "/a\n\x1b[2Jb\xff"}, []string{`/a; \x1b[2Jb\xff`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := call(append([]string{"watch", "-n", "0"}, tt.args...)...)
			wantFailure(t, code, stderr, tt.want...)
		})
	}
}

func TestHints(t *testing.T) {
	restore := func(err error) error {
		return &inotify.RestoreError{Watch: inotify.Watch{WD: 7, Path: "/proc"}, Err: err}
	}
	limit := &inotify.LimitError{What: "inotify watches", Limits: []inotify.Limit{{Name: "fs.inotify.max_user_watches", Value: 3}}, Err: syscall.ENOSPC}
	for _, tt := range []struct {
		name string
		err  error
		want string // what follows the error's text
	}{
		{"limit", &fs.PathError{Op: "inotify_add_watch", Path: "/", Err: limit}, ""},
		{"no inotify", errors.ErrUnsupported, "; this system has no inotify: run it on Linux"},
		{"permission", &fs.PathError{Op: "inotify_add_watch", Path: "/", Err: syscall.EACCES}, "; make sure that you may read the path"},
		{"watched", &fs.PathError{Op: "inotify_add_watch", Path: "/", Err: syscall.EEXIST}, "; give each file once, or leave out IN_MASK_CREATE"},
		{"too far", &inotify.CycleError{WD: 100, Next: 1, Steps: 99, Limit: 9, Err: errors.ErrUnsupported}, "; run it with -max-steps 99"},
		{"cycle failed", &inotify.CycleError{WD: 100, Next: 5, Done: 4, Steps: 99, Limit: 1000, Err: limit}, ""},
		{"other", io.ErrClosedPipe, ""},
		{"no inotify in this kernel", os.NewSyscallError("inotify_init1", syscall.ENOSYS), "; this system has no inotify: run it on Linux"},
		{"no other call", os.NewSyscallError("kcmp", syscall.ENOSYS), ""},
		{"the text says what is needed", fmt.Errorf("list: %w", &inotify.UnsupportedError{Feature: "listing", Needs: "Linux 3.8"}), ""},
		{"no such path in the cycle", restore(os.NewSyscallError("statx", syscall.ENOENT)), "; give a path that exists"},
		{"no such process", &fs.PathError{Op: "open", Path: "/proc/1/fdinfo", Err: syscall.ENOENT}, ""},
		{"process not readable", &fs.PathError{Op: "open", Path: "/proc/1/fdinfo", Err: syscall.EACCES}, ""},
		{"no such file", &fs.PathError{Op: "open", Path: "/tmp/snapshot", Err: syscall.ENOENT}, "; give a path that exists"},
		{"restore, no such path", restore(os.NewSyscallError("inotify_add_watch", syscall.ENOENT)), "; give a path that exists"},
		{"restore, ioctl not permitted", restore(os.NewSyscallError("ioctl FIONREAD", syscall.EPERM)), ""},
		{"restore, bad mask", restore(syscall.EINVAL), "; give another -mask"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantText(t, textWithHint(tt.err), tt.err.Error()+tt.want)
		})
	}
}

// Root is not told to run the command as root.
func TestHintOfPermission(t *testing.T) {
	for _, hinted := range []error{withDumpHint(syscall.EPERM), withListHint(syscall.EPERM)} {
		want := syscall.EPERM.Error() + "; run it as the user of that process, or as root"
		if os.Geteuid() == 0 {
			want = syscall.EPERM.Error()
		}
		wantText(t, textWithHint(hinted), want)
	}
}

// If the kernel refuses a system call or /proc is missing, the hint is not about paths.
func TestHintsOnWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	try := func(t *testing.T, want string, args ...string) {
		t.Helper()
		code, _, stderr := call(args...)
		if wantFailure(t, code, stderr, want); strings.Contains(stderr, "path") || strings.Contains(stderr, "run it") {
			t.Errorf("%q has a hint that does not help", stderr)
		}
	}
	t.Run("inotify_init1", func(t *testing.T) {
		kerneltest.FailCalls(t, unix.SYS_INOTIFY_INIT1, 0, 0, true, unix.EPERM)
		try(t, "seccomp", "watch", "-n", "0", dir)
	})
	t.Run("proc", func(t *testing.T) {
		kerneltest.OwnMounts(t)
		for _, setNextWD := range []uint32{0x40044900, 0x80044900} { // as the processor has it
			kerneltest.FailCalls(t, unix.SYS_IOCTL, 1, setNextWD, false, unix.ENOTTY)
		}
		kerneltest.Mount(t, "none", "/proc", "tmpfs", 0, "")
		try(t, "/proc, which is not mounted", "watch", "-n", "0", "-wd", "9", dir)
	})
}

func TestCount(t *testing.T) {
	wantText(t, count(0, "watch", "watches")+count(1, "watch", "watches")+count(2, "watch", "watches"), "0 watches1 watch2 watches")
}

func TestOneLine(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain text, größer", "plain text, größer"},
		{"two\nlines\n", "two; lines"},
		{"\x1b]0;title\a\r\t", `\x1b]0;title\a`},
		{"it's \"so\" \\ \xff\u202e.", `it's "so" \ \xff\u202e.`},
		{"\ufffd", "\ufffd"},
	} {
		wantText(t, oneLine(tt.in), tt.want)
	}
}

// failing is a writer that fails like a full disk.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestOutputThatFails(t *testing.T) {
	dir := t.TempDir()
	instance(t) // for ls
	for _, args := range [][]string{
		{"help"},
		{"check"},
		{"ls"},
		{"ls", "-json"},
		{"who", dir},
		{"demo"},
		{"watch", "-n", "0", dir},
		{"watch", "-json", "-n", "0", dir},
	} {
		t.Run(strings.Join(args[:1], " "), func(t *testing.T) {
			if args[0] == "who" {
				needsList(t)
			}
			var stderr strings.Builder
			code := run(kerneltest.Context(t), args, failing{}, &stderr)
			wantFailure(t, code, stderr.String(), syscall.ENOSPC.Error())
		})
	}
}
