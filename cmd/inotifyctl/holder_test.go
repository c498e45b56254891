// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// Processes that have instances, for the commands that look at other processes.

// watchesOn returns a watch with each wd on a new directory.
func watchesOn(t *testing.T, wds ...inotify.WD) (ws []inotify.Watch) {
	t.Helper()
	dir := t.TempDir()
	for _, wd := range wds {
		path := filepath.Join(dir, fmt.Sprint(wd))
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		ws = append(ws, inotify.Watch{WD: wd, Mask: inotify.Create | inotify.Delete, Path: path})
	}
	return ws
}

// instance returns an instance with the watches.
func instance(t *testing.T, ws ...inotify.Watch) *os.File {
	t.Helper()
	n := newInotify(t, ws...)
	f, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	t.Cleanup(func() { f.Close() })
	return f
}

func newInotify(t *testing.T, ws ...inotify.Watch) *inotify.Inotify {
	t.Helper()
	n, err := inotify.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
		t.Fatal(err)
	}
	return n
}

// listsWatches reports whether this kernel lists watches in fdinfo.
func listsWatches(t *testing.T) bool {
	t.Helper()
	n, err := inotify.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	_, err = n.Watches()
	return !errors.Is(err, errors.ErrUnsupported)
}

func needsList(t *testing.T) {
	t.Helper()
	if !listsWatches(t) {
		t.Skip("this needs a kernel that lists watches in fdinfo")
	}
}

// needsKcmp skips the test if the kernel cannot compare descriptors.
func needsKcmp(t *testing.T) {
	t.Helper()
	self := uintptr(os.Getpid())
	if _, _, e := unix.Syscall6(unix.SYS_KCMP, self, self, 0, 0, 0, 0); e != 0 {
		t.Skip("this needs a kernel with CONFIG_KCMP: ", e)
	}
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this needs root")
	}
}

// A holder is a process that has instances until the test ends.
type holder struct {
	t   *testing.T
	cmd *exec.Cmd
	pid int
	end io.WriteCloser
}

// hold starts a process that has the files as its descriptors 3 and so on, and makes
// the steps; see runHolder.
func hold(t *testing.T, files []*os.File, steps ...string) *holder {
	t.Helper()
	cmd := command(t, steps...)
	cmd.Env = append(cmd.Env, "INOTIFYCTL_TEST_CHILD=hold")
	cmd.ExtraFiles = files
	return start(t, cmd)
}

// holdAlone does the same with one file, and closes it in this process.
func holdAlone(t *testing.T, f *os.File, steps ...string) *holder {
	t.Helper()
	h := hold(t, []*os.File{f}, steps...)
	f.Close()
	return h
}

// start starts a process that prints "ready" and then waits.
func start(t *testing.T, cmd *exec.Cmd) *holder {
	t.Helper()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &holder{t: t, cmd: cmd, pid: cmd.Process.Pid, end: in}
	t.Cleanup(h.kill)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the holder printed %q: %v", line, err)
	}
	return h
}

func (h *holder) kill() {
	h.end.Close()
	h.cmd.Process.Kill()
	h.cmd.Wait()
}

func (h *holder) arg() string { return strconv.Itoa(h.pid) }

// runHolder is the program of the process. Its steps are "move=3:7" and "dup=3:7" for
// descriptors, and "comm=NAME".
func runHolder() {
	for _, step := range os.Args[1:] {
		name, value, _ := strings.Cut(step, "=")
		var err error
		var from, to int
		switch name {
		case "comm":
			err = os.WriteFile("/proc/self/comm", []byte(value), 0)
		case "move", "dup":
			fmt.Sscanf(value, "%d:%d", &from, &to)
			err = unix.Dup3(from, to, 0)
			if name == "move" {
				unix.Close(from)
			}
		default:
			err = errors.New("unknown step")
		}
		if err != nil {
			fmt.Println(step, err)
			os.Exit(1)
		}
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// holdInC starts a C program with this name that has an instance as descriptor fd and
// watches the paths. If the name is "exit main", the main thread exits and another thread
// stays.
func holdInC(t *testing.T, fd int, name string, paths ...string) *holder {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("this needs a C compiler: ", err)
	}
	dir := t.TempDir()
	source, program := filepath.Join(dir, "hold.c"), filepath.Join(dir, "hold")
	if err := os.WriteFile(source, []byte(holderSource), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-pthread", "-o", program, source).CombinedOutput(); err != nil {
		t.Skipf("this needs a C compiler that works: %v: %s", err, out)
	}
	return start(t, exec.Command(program, append([]string{strconv.Itoa(fd), name}, paths...)...))
}

const holderSource = `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *wait_for_end(void *buffer)
{
	while (read(0, buffer, 1) > 0)
		;
	exit(0);
}

int main(int argc, char **argv)
{
	int first = inotify_init(), fd = dup2(first, atoi(argv[1]));

	if (first != fd)
		close(first);
	prctl(PR_SET_NAME, argv[2]);
	for (int i = 3; i < argc; i++)
		if (inotify_add_watch(fd, argv[i], IN_CREATE | IN_DELETE | IN_EXCL_UNLINK) < 0) {
			perror(argv[i]);
			return 1;
		}
	puts("ready");
	fflush(stdout);
	if (!strcmp(argv[2], "exit main")) {
		pthread_t other;
		pthread_create(&other, NULL, wait_for_end, argv[0]);
		syscall(SYS_exit, 0);
	}
	wait_for_end(argv[0]);
}
`

// asNobody makes cmd run as an unprivileged user.
func asNobody(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if os.Geteuid() == 0 {
		cmd.Path = kerneltest.AnyonesExecutable()
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		probe := exec.Command("/bin/true")
		probe.SysProcAttr = cmd.SysProcAttr
		if err := probe.Run(); err != nil {
			t.Skip("this needs to become another user: ", err)
		}
	}
	return cmd
}
