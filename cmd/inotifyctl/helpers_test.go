// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// TestMain also runs the command itself, in the processes that tests start.
func TestMain(m *testing.M) {
	switch os.Getenv("INOTIFYCTL_TEST_CHILD") {
	case "without ioctl":
		// The low half of INOTIFY_IOC_SETNEXTWD is 0x4900 on every processor.
		failCalls(unix.SYS_IOCTL, 0xffff, 0x4900, unix.ENOTTY)
		if n, err := inotify.New(); err == nil {
			if kerneltest.SupportsSetNext(n) {
				os.Exit(exitNotApplied)
			}
			n.Close()
		}
		main()
	case "without instances":
		failCalls(unix.SYS_INOTIFY_INIT1, 0, 0, unix.EMFILE)
		if _, err := inotify.New(); err == nil {
			os.Exit(exitNotApplied)
		}
		main()
	case "without proc":
		if unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") != nil || unix.Mount("tmpfs", "/proc", "tmpfs", 0, "") != nil {
			os.Exit(exitNotApplied)
		}
		main()
	case "without unshare":
		failCalls(unix.SYS_UNSHARE, 0, 0, unix.EPERM)
		if unix.Unshare(0) == nil {
			os.Exit(exitNotApplied)
		}
		main()
	case "without unshare and close_range":
		failCalls(unix.SYS_UNSHARE, 0, 0, unix.EPERM)
		failCalls(unix.SYS_CLOSE_RANGE, 0, 0, unix.ENOSYS)
		if unix.Unshare(0) == nil {
			os.Exit(exitNotApplied)
		}
		main()
	case "command":
		main()
	case "hold":
		runHolder()
	case "exec":
		path, err := exec.LookPath(os.Args[1])
		if err == nil {
			err = unix.Exec(path, os.Args[1:], os.Environ())
		}
		fmt.Println(err)
		os.Exit(1)
	}
	// Children must not ignore signals because nohup or a shell made the tests ignore them.
	for _, s := range []os.Signal{unix.SIGHUP, unix.SIGINT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	// Children must not inherit descriptors that the tests were started with.
	for fd := 3; fd < 1024; fd++ {
		unix.CloseOnExec(fd)
	}
	os.Exit(kerneltest.Main(m, true))
}

// failCalls makes system call nr fail in this process if argument 1, masked with mask,
// has the value.
func failCalls(nr, mask, value uint32, errno unix.Errno) {
	runtime.LockOSThread()   // the thread that gets no_new_privs
	offset := uint32(16 + 8) // of the low half of argument 1, in struct seccomp_data
	if one := uint16(1); *(*byte)(unsafe.Pointer(&one)) == 0 {
		offset += 4
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 4, K: nr},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: value},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
}

// exitNotApplied is the exit code of a child in which a system call did not fail as it
// should.
const exitNotApplied = 77

func hasIoctl(t *testing.T) bool {
	t.Helper()
	n, err := inotify.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	return kerneltest.SupportsSetNext(n)
}

// command returns the inotifyctl command as a child process.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(kerneltest.Executable(t), args...)
	// With -race a process otherwise sleeps for a second at its end.
	cmd.Env = append(os.Environ(), "INOTIFYCTL_TEST_CHILD=command", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// withoutIoctl returns the command, run without the ioctl: the kernel lacks it, or a seccomp
// filter makes it fail.
func withoutIoctl(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, args...)
	cmd.Env = append(cmd.Env, "INOTIFYCTL_TEST_CHILD=without ioctl")
	return cmd
}

// result runs cmd to its end.
func result(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout = &out
	if cmd.Stderr == nil {
		cmd.Stderr = &errs
	}
	err := cmd.Run()
	return exitCode(t, err), out.String(), errs.String()
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		t.Fatal(err)
	case exit.ExitCode() == exitNotApplied:
		t.Skip("this needs seccomp, or a kernel that lacks the system call")
	}
	return exit.ExitCode()
}

// call runs the command in this process.
func call(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func wantSuccess(t *testing.T, code int, stderr string) {
	t.Helper()
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, want 0; standard error %q", code, stderr)
	}
}

// wantListed checks that the exit code is 0, or 3 because other processes did not answer.
func wantListed(t *testing.T, code int, stderr string) {
	t.Helper()
	for _, line := range lines(stderr) {
		if code != 3 || !strings.HasPrefix(line, "inotifyctl: incomplete: process ") {
			t.Errorf("exit code %d, standard error %q", code, stderr)
		}
	}
	if code != 0 && stderr == "" {
		t.Errorf("exit code %d", code)
	}
}

// wantFailure checks that the exit code is 1, and that standard error is one line that
// contains every text of want.
func wantFailure(t *testing.T, code int, stderr string, want ...string) {
	t.Helper()
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.HasPrefix(stderr, "inotifyctl: ") || strings.Index(stderr, "\n") != len(stderr)-1 {
		t.Errorf("standard error %q, want one line that begins with inotifyctl", stderr)
	}
	for _, w := range want {
		if !strings.Contains(stderr, w) {
			t.Errorf("standard error %q, want %q in it", stderr, w)
		}
	}
	for _, name := range []string{": checkpoint: ", ": inotify: "} { // of a package
		if strings.Contains(stderr, name) {
			t.Errorf("standard error %q, want it without %q", stderr, name)
		}
	}
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A watchProcess is a running watch command.
type watchProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Reader
}

func startWatch(t *testing.T, args ...string) *watchProcess {
	t.Helper()
	cmd := command(t, append([]string{"watch"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return &watchProcess{t: t, cmd: cmd, out: bufio.NewReader(out)}
}

// line reads the next line.
func (w *watchProcess) line() string {
	w.t.Helper()
	line, err := w.out.ReadString('\n')
	if err != nil {
		w.t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (w *watchProcess) wantLine(want string) {
	w.t.Helper()
	wantText(w.t, w.line(), want)
}

// end checks that no more lines come and that the exit code is 0.
func (w *watchProcess) end() {
	w.t.Helper()
	rest, err := io.ReadAll(w.out)
	if err != nil || len(rest) > 0 {
		w.t.Errorf("at the end: %q, %v", rest, err)
	}
	if code := exitCode(w.t, w.cmd.Wait()); code != 0 {
		w.t.Errorf("exit code %d, want 0", code)
	}
}

func (w *watchProcess) signal(s os.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil {
		w.t.Fatal(err)
	}
}

func touch(t *testing.T, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
