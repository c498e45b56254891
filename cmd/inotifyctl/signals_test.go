// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// manyPending events have a snapshot that does not fit into a pipe of one page.
const manyPending = 200

// A drainProcess is a dump -drain that has drained events and blocks in a write to its
// standard output.
type drainProcess struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *os.File
	stderr strings.Builder
}

// drain starts dump -drain of a process with many pending events, in a shell that runs the
// script first, and waits until the events are drained.
func drain(t *testing.T, script string, edit func(*exec.Cmd)) *drainProcess {
	t.Helper()
	names := make([]string, manyPending)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	h := holdPending(t, names...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	t.Cleanup(func() { r.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Skip("this needs a small pipe: ", err)
	}
	d := &drainProcess{t: t, cmd: command(t), out: r}
	d.cmd.Path = "/bin/sh"
	d.cmd.Args = []string{"sh", "-c", script + `exec "$0" "$@"`, kerneltest.Executable(t), "dump", "-drain", "-paths", "none", h.arg()}
	d.cmd.Env = append(d.cmd.Env, "TMPDIR="+t.TempDir())
	d.cmd.Stdout, d.cmd.Stderr = w, &d.stderr
	if edit != nil {
		edit(d.cmd)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill() })
	readable := []unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}
	w.Close()
	for err = unix.EINTR; err == unix.EINTR; {
		_, err = unix.Poll(readable, -1)
	}
	if err != nil || readable[0].Revents&unix.POLLIN == 0 {
		d.cmd.Wait()
		t.Fatalf("nothing was written: %v, %q", err, d.stderr.String())
	}
	return d
}

// wantSaved checks that the command fails, and that the file that it names has all events.
func (d *drainProcess) wantSaved(stderr func() string) {
	d.t.Helper()
	code := exitCode(d.t, d.cmd.Wait())
	text := stderr()
	wantFailure(d.t, code, text, "interrupted", fmt.Sprint(manyPending, " events were already drained"))
	if n := len(read(d.t, content(d.t, savedFile(d.t, text))).Pending); n != manyPending {
		d.t.Errorf("%d events were saved, want %d", n, manyPending)
	}
}

func TestSignalsSaveDrainedEvents(t *testing.T) {
	for _, name := range []string{"SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGSEGV"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := drain(t, "", nil)
			for range 2 { // an impatient user sends it twice
				if err := d.cmd.Process.Signal(unix.SignalNum(name)); err != nil {
					t.Fatal(err)
				}
			}
			d.wantSaved(d.stderr.String)
		})
	}
}

func TestClosedTerminalSavesDrainedEvents(t *testing.T) {
	master, slave := openTerminal(t)
	d := drain(t, "", func(cmd *exec.Cmd) {
		cmd.Stdin = slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	slave.Close()
	master.Close()
	d.wantSaved(d.stderr.String)
}

// Ignored signals, and those that do not end a Go program, do not end the dump.
func TestDumpSurvivesSignals(t *testing.T) {
	d := drain(t, `trap "" HUP INT; `, nil)
	for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGPIPE, unix.SIGALRM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGPROF, unix.SIGIO, unix.SIGPWR} {
		if err := d.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(d.out)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, string(text)).Pending); n != manyPending {
		t.Errorf("%d events, want %d", n, manyPending)
	}
	if code := exitCode(t, d.cmd.Wait()); code != 3 { // the paths are missing
		t.Errorf("exit code %d: %s", code, d.stderr.String())
	}
}
