// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A binary is the tests of a package.
type binary struct {
	path    string // the package's
	dir     string
	program string
	hash    string // of what is in it
	exec    string // what runs it, or ""
	with    bool   // it is for mutants of other packages, too
}

// hashOf returns the hash of a file.
func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// list returns the names of the tests that match a pattern.
func (b *binary) list(ctx context.Context, pattern string) ([]string, error) {
	args := b.command("-test.list=" + pattern)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = b.dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests of %s: %w", b.path, err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool {
		return !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Example") && !strings.HasPrefix(name, "Fuzz")
	}), nil
}

// command is what runs the binary.
func (b *binary) command(args ...string) []string {
	args = append([]string{b.program}, args...)
	if b.exec != "" {
		args = append([]string{b.exec}, args...)
	}
	return args
}

// An outcome is how tests ended.
type outcome struct {
	err  error  // nil if they passed
	late bool   // they were ended as they took too long
	test string // the first that failed, or ""
	time time.Duration
	tail string // the end of what they printed
}

// run runs tests in a process of their own, which is ended, with what it started,
// after the limit.
func (b *binary) run(ctx context.Context, scratch string, names []string, limit time.Duration, env ...string) (o outcome) {
	dir, err := os.MkdirTemp(scratch, "run")
	if err != nil {
		return outcome{err: err}
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o777) // for tests that give up their rights
	// A file, and no pipe, which a process that a test left behind would hold open.
	out, err := os.CreateTemp(scratch, "out")
	if err != nil {
		return outcome{err: err}
	}
	defer os.Remove(out.Name())
	defer out.Close()
	args := b.command("-test.v", "-test.failfast", "-test.timeout=0", "-test.run=^("+pattern(names)+")$")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = b.dir
	cmd.Env = append(append(os.Environ(), "TMPDIR="+dir), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		// What a mutant makes a test mount ends with it.
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return outcome{err: err}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case o.err = <-ended:
		end(cmd)
	case <-time.After(limit):
		end(cmd)
		<-ended
		o.err, o.late = fmt.Errorf("took longer than %v", limit), true
	case <-ctx.Done():
		end(cmd)
		o.err = <-ended
	}
	o.time = time.Since(start)
	text, _ := os.ReadFile(out.Name())
	if o.err != nil {
		o.test = failedTest(text)
		o.tail = string(text[max(0, len(text)-2000):])
	}
	return o
}

func pattern(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return strings.Join(quoted, "|")
}

// end ends what is left of the processes of a command, which are its session: timeout(1),
// with which .ci starts kernels, has a process group of its own.
func end(cmd *exec.Cmd) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		text, _ := os.ReadFile(path)
		// PID (NAME) STATE PARENT GROUP SESSION ...
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 3 && fields[3] == fmt.Sprint(cmd.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// failedTest finds the test that failed, or the one that was running.
func failedTest(text []byte) string {
	var running string
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		switch {
		case bytes.HasPrefix(line, []byte("--- FAIL: ")) && len(fields) > 2:
			return fields[2]
		case bytes.HasPrefix(line, []byte("--- ")):
			running = "" // it passed, or was skipped
		case bytes.HasPrefix(line, []byte("=== RUN ")) && len(fields) > 2:
			running, _, _ = strings.Cut(fields[2], "/")
		}
	}
	return running
}

// limitMemory limits what this process and those that it starts may have.
func limitMemory() {
	const most = 6 << 30
	var now syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_DATA, &now) == nil && now.Cur > most {
		syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: most, Max: now.Max})
	}
}
