// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed peers
var peerSources embed.FS

// perDirectory is how many files are in one directory.
const perDirectory = 20_000

// A lab is a directory with the files to watch and the peers' programs, and the
// process that runs there. close removes all of it.
type lab struct {
	dir    string
	self   string
	settle time.Duration // between two measurements
	ioctl  bool          // the kernel has INOTIFY_IOC_SETNEXTWD
	held   *holder       // whose instance is dumped
}

func newLab(parent string, ioctl bool, settle time.Duration) (*lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := makeDir(parent)
	if err != nil {
		return nil, err
	}
	l := &lab{dir: dir, self: self, settle: settle, ioctl: ioctl, held: new(holder)}
	for _, name := range []string{l.empty(), l.named()} {
		err = errors.Join(err, os.Mkdir(name, 0o700))
	}
	err = errors.Join(err, l.overlay().makeDirs())
	if err = errors.Join(err, os.WriteFile(l.target(), nil, 0o600)); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// makeDir makes a directory and returns its path as the kernel has it.
func makeDir(parent string) (string, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	parent, err := filepath.Abs(parent)
	if err != nil {
		return "", err
	}
	if parent, err = filepath.EvalSymlinks(parent); err != nil {
		return "", err
	}
	return os.MkdirTemp(parent, "inotify-bench")
}

func (l *lab) close() error { return os.RemoveAll(l.dir) }

func (l *lab) empty() string           { return filepath.Join(l.dir, "empty") }  // an empty directory for CRIU's cycle
func (l *lab) named() string           { return filepath.Join(l.dir, "named") }  // a directory of files to write to
func (l *lab) target() string          { return filepath.Join(l.dir, "target") } // a file to watch
func (l *lab) list() string            { return filepath.Join(l.dir, "list") }   // the paths of the files
func (l *lab) snapshot() string        { return filepath.Join(l.dir, "snapshot") }
func (l *lab) overlay() overlay        { return overlay(filepath.Join(l.dir, "overlay")) }
func (l *lab) peer(name string) string { return filepath.Join(l.dir, "peers", name) }

// makeFiles makes files to watch, and the list of their paths, which both sides
// read.
func (l *lab) makeFiles(ctx context.Context, count int) error {
	f, err := os.Create(l.list())
	if err != nil {
		return err
	}
	defer f.Close()
	list := bufio.NewWriter(f)
	for i := range count {
		dir := filepath.Join(l.dir, fmt.Sprint("d", i/perDirectory))
		if i%perDirectory == 0 {
			if err := errors.Join(os.Mkdir(dir, 0o700), ctx.Err()); err != nil {
				return err
			}
		}
		path := filepath.Join(dir, fmt.Sprint("f", i))
		if err := unix.Mknod(path, unix.S_IFREG|0o600, 0); err != nil {
			return &os.PathError{Op: "mknod", Path: path, Err: err}
		}
		fmt.Fprintln(list, path)
	}
	if err := list.Flush(); err != nil {
		return err
	}
	// Otherwise the kernel would write to the disk during the measurements.
	return unix.Syncfs(int(f.Fd()))
}

// buildPeers builds the C programs.
func (l *lab) buildPeers(ctx context.Context, flags ...string) error {
	src := filepath.Join(l.dir, "src")
	if err := os.CopyFS(src, peerSources); err != nil {
		return err
	}
	if err := os.Mkdir(l.peer(""), 0o700); err != nil {
		return err
	}
	sources, err := filepath.Glob(filepath.Join(src, "peers", "*.c"))
	if err != nil {
		return err
	}
	for _, source := range sources {
		program := l.peer(strings.TrimSuffix(filepath.Base(source), ".c"))
		args := append([]string{"-O2", "-pthread", "-o", program, source}, flags...)
		if _, err := output(exec.CommandContext(ctx, "cc", args...)); err != nil {
			return err
		}
	}
	return nil
}

// A job is a process that measures something and prints numbers, which are
// nanoseconds unless its task says otherwise.
type job struct {
	peer     string   // the C program, or empty for a worker of this program
	args     []string // for a worker, the first is the task
	procs    int      // GOMAXPROCS, or 0 to leave it as it is
	filtered bool     // INOTIFY_IOC_SETNEXTWD fails
	mounts   bool     // in a mount namespace of its own
}

// measure runs a job and then waits for the settle time, as the kernel frees a
// closed instance in the background.
func (l *lab) measure(ctx context.Context, j job) ([]float64, error) {
	cmd := l.command(ctx, j)
	text, err := output(cmd)
	if err != nil {
		return nil, err
	}
	time.Sleep(l.settle)
	return numbers(text)
}

// filters reports whether a job needs the filter, which makes each system call
// slower. Where the kernel lacks the ioctl, no job needs it.
func (l *lab) filters(j job) bool { return j.filtered && l.ioctl }

// command returns the command of the job. The filter survives execve(2), so this
// program installs it and then executes either side.
func (l *lab) command(ctx context.Context, j job) *exec.Cmd {
	var command []string
	if l.filters(j) {
		command = append(command, l.self, "filtered")
	}
	if j.peer != "" {
		command = append(command, l.peer(j.peer))
	} else {
		command = append(command, l.self, "worker")
	}
	command = append(command, j.args...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.SysProcAttr = new(syscall.SysProcAttr)
	cmd.Env = os.Environ()
	if j.procs > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprint("GOMAXPROCS=", j.procs))
	}
	if j.mounts {
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // with private mounts
	}
	return cmd
}

// errLimit is the error of a process that exited with exitLimit.
var errLimit = errors.New("a limit on watches was reached")

const exitLimit = 3

// output runs a command and returns its standard output. The command is killed
// if the thread that started it exits, so that it does not outlive this process;
// therefore the thread is locked meanwhile.
func output(cmd *exec.Cmd) (string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err := cmd.Run()
	return stdout.String(), ended(cmd, err, &stderr)
}

// ended adds the command's name and its standard error to err.
func ended(cmd *exec.Cmd, err error, stderr *bytes.Buffer) error {
	if err == nil {
		return nil
	}
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == exitLimit {
		err = errLimit
	}
	err = fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	if said := bytes.TrimSpace(stderr.Bytes()); len(said) > 0 {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return err
}

func numbers(text string) ([]float64, error) {
	var ns []float64
	for _, field := range strings.Fields(text) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return nil, err
		}
		ns = append(ns, n)
	}
	if len(ns) == 0 {
		return nil, errors.New("a measurement printed nothing")
	}
	return ns, nil
}
