// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package requeue_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/requeue"
)

// childVariable makes this program a child process: a reader of the instance that is its first
// extra file, of one of these kinds, or one that fills queues until it is killed.
const childVariable = "INOTIFY_TEST_REQUEUE_CHILD"

const (
	blocking = "blocking" // reads on request
	inRead   = "in read"  // waits in read(2)
	edge     = "edge"     // waits for an edge with epoll, after one was consumed
	async    = "async"    // gets SIGIO
	filling  = "filling"
)

// TestReaders: Fill on the instance of a stopped process: however the process reads, it gets
// the events once and no signal.
func TestReaders(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	for _, how := range []string{blocking, inRead, edge, async} {
		t.Run(how, func(t *testing.T) {
			n := kerneltest.NewInotify(t)
			r := startReader(t, n, how)
			r.stop()
			flags := must(unix.FcntlInt(uintptr(r.fd), unix.F_GETFL, 0))
			setFlags(t, n, flags&^unix.O_ASYNC|unix.O_NONBLOCK)
			pending := someEvents(t, n) // queued while it is stopped
			wantSame(t, kerneltest.Pending(t, n), pending)
			pending = append(pending, parse(t, every...)...)
			fill(t, n, pending, requeue.Options{})
			setFlags(t, n, flags)
			if err := r.cmd.Process.Signal(unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			wantSame(t, r.read(len(pending)), pending)
			if signals := r.line(); signals != "0 signals" {
				t.Error(signals)
			}
		})
	}
}

// someEvents queues events, and leaves no watch.
func someEvents(t *testing.T, n *inotify.Inotify) []inotify.Event {
	t.Helper()
	dir := t.TempDir()
	wd := must(n.AddWatch(dir, inotify.Create))
	kerneltest.Touch(t, filepath.Join(dir, "x"))
	if err := n.RemoveWatch(wd); err != nil {
		t.Fatal(err)
	}
	return []inotify.Event{{WD: wd, Mask: inotify.Create, Name: "x"}, {WD: wd, Mask: inotify.Ignored}}
}

// A reader is a process that reads an instance.
type reader struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
	fd  int
}

func startReader(t *testing.T, n *inotify.Inotify, how string) *reader {
	t.Helper()
	file := must(n.File())
	t.Cleanup(func() { file.Close() })
	cmd := child(t, how)
	cmd.ExtraFiles = []*os.File{file}
	r := &reader{t: t, cmd: cmd, in: must(cmd.StdinPipe()), out: bufio.NewReader(must(cmd.StdoutPipe())), fd: kerneltest.FD(t, file)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line := r.line(); line != "ready" {
		t.Fatalf("the reader printed %q", line)
	}
	if how == inRead {
		r.awaitRead()
	}
	return r
}

func child(t *testing.T, how string) *exec.Cmd {
	cmd := exec.Command(kerneltest.Executable(t))
	cmd.Env = append(os.Environ(), childVariable+"="+how)
	cmd.Stderr = os.Stderr
	return cmd
}

func (r *reader) line() string {
	r.t.Helper()
	line, err := r.out.ReadString('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// stop stops the process and waits until it is stopped.
func (r *reader) stop() {
	r.t.Helper()
	var info unix.Siginfo
	err := errors.Join(r.cmd.Process.Signal(unix.SIGSTOP), unix.Waitid(unix.P_PID, r.cmd.Process.Pid, &info, unix.WSTOPPED|unix.WNOWAIT, nil))
	if err != nil {
		r.t.Fatal(err)
	}
}

// awaitRead waits until a thread is in a system call on descriptor 3.
func (r *reader) awaitRead() {
	r.t.Helper()
	for range 1000 {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", r.cmd.Process.Pid))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			if fields := strings.Fields(string(text)); len(fields) > 2 && fields[0] == fmt.Sprint(unix.SYS_READ) && fields[1] == "0x3" {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.t.Skip("this needs to see in /proc/PID/task/TID/syscall that a thread reads")
}

// read makes the process read count events, and returns them.
func (r *reader) read(count int) []inotify.Event {
	r.t.Helper()
	fmt.Fprintln(r.in, count)
	var events []inotify.Event
	for len(events) < count {
		line := r.line()
		b, err := hex.DecodeString(line)
		if err != nil {
			r.t.Fatalf("the reader printed %q", line)
		}
		events = append(events, kerneltest.Decode(b)...)
	}
	return events
}

// runChild is the program of the child process.
func runChild(how string) int {
	var err error
	if how == filling {
		err = fillUntilKilled()
	} else {
		err = runReader(how)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func runReader(how string) error {
	const fd = 3
	var signals atomic.Int32
	ready := func() error { return nil }
	flags := 0
	switch how {
	case edge:
		flags = unix.O_NONBLOCK
		poll, err := consumedEdge(fd)
		if err != nil {
			return err
		}
		ready = func() error { return await(poll) }
	case async:
		flags = unix.O_NONBLOCK | unix.O_ASYNC
		sigio := make(chan os.Signal, 1000)
		signal.Notify(sigio, unix.SIGIO)
		go func() {
			for range sigio {
				signals.Add(1)
			}
		}()
		if _, err := unix.FcntlInt(fd, unix.F_SETOWN, os.Getpid()); err != nil {
			return err
		}
	}
	if _, err := unix.FcntlInt(fd, unix.F_SETFL, flags); err != nil {
		return err
	}
	fmt.Println("ready")
	if how == inRead {
		if err := printRecords(fd, 1); err != nil {
			return err
		}
	}
	var count int
	if _, err := fmt.Scan(&count); err != nil {
		return err
	}
	if how == inRead { // the first read returned all events
		count = 0
	}
	if err := errors.Join(ready(), printRecords(fd, count)); err != nil {
		return err
	}
	fmt.Println(signals.Load(), "signals")
	var end string
	fmt.Scan(&end)
	return nil
}

// printRecords reads and prints at least count records.
func printRecords(fd, count int) error {
	buf := make([]byte, 1<<16)
	for count > 0 {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Println(hex.EncodeToString(buf[:n]))
		count -= len(kerneltest.Decode(buf[:n]))
	}
	return nil
}

// consumedEdge returns an epoll descriptor that has reported an edge, whose events were read.
func consumedEdge(fd int) (int, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}
	if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return -1, err
	}
	wd, err := unix.InotifyAddWatch(fd, "/", unix.IN_DELETE_SELF)
	if err != nil {
		return -1, err
	}
	if _, err := unix.InotifyRmWatch(fd, uint32(wd)); err != nil {
		return -1, err
	}
	if err := await(poll); err != nil {
		return -1, err
	}
	_, err = unix.Read(fd, make([]byte, 100))
	return poll, err
}

func await(poll int) error {
	for {
		n, err := unix.EpollWait(poll, make([]unix.EpollEvent, 1), 10000)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return errors.New("epoll_wait reports nothing")
		default:
			return nil
		}
	}
}

func fillUntilKilled() error {
	fmt.Println("ready")
	events := many(300)
	for {
		n, err := kerneltest.NewWhenPossible()
		if err != nil {
			return err
		}
		if _, err := requeue.Fill(context.Background(), n, events, requeue.Options{}); err != nil {
			return err
		}
		n.Close()
	}
}

// If the scratch files are in a detached mount, nothing is left of a process that is killed.
func TestKilledFillLeavesNothing(t *testing.T) {
	kerneltest.NeedIoctl(t)
	needMounts(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	kerneltest.OwnMounts(t) // in which no other test mounts
	mounts := mountCount(t)
	kills := 4
	if kerneltest.LongTests() {
		kills = 40
	}
	for i := range kills {
		cmd := child(t, filling)
		out := must(cmd.StdoutPipe())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := must(bufio.NewReader(out).ReadString('\n'))
		time.Sleep(time.Duration(10+i*37%100) * time.Millisecond) // at any point of a Fill
		cmd.Process.Kill()
		if cmd.Wait(); line != "ready\n" {
			t.Fatal(line)
		}
		if left := must(os.ReadDir(dir)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if now := mountCount(t); now != mounts {
		t.Errorf("%d mounts, before %d", now, mounts)
	}
}

func mountCount(t *testing.T) int {
	return strings.Count(string(must(os.ReadFile("/proc/thread-self/mountinfo"))), "\n")
}
