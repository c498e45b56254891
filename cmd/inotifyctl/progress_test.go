// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

func TestBarText(t *testing.T) {
	for _, tt := range []struct {
		p    inotify.Progress
		want string
	}{
		{inotify.Progress{Done: 25, Steps: 100, Elapsed: 2 * time.Second}, "[=====               ]  25% 25 / 100 steps, 6s left"},
		{inotify.Progress{Done: 0, Steps: 100}, "[                    ]   0% 0 / 100 steps, 0s left"},
		{inotify.Progress{Done: 99, Steps: 100, Elapsed: time.Second}, "[=================== ]  99% 99 / 100 steps, 0s left"},
		{inotify.Progress{Done: 100, Steps: 100, Elapsed: time.Second}, "[====================] 100% 100 / 100 steps, 0s left"},
		{inotify.Progress{}, "[====================] 100% 0 / 0 steps, 0s left"},
	} {
		wantText(t, barText(tt.p), tt.want)
	}
	const most = math.MaxInt32
	longest := barText(inotify.Progress{Done: most/10 + 1, Steps: most, Elapsed: 99 * time.Hour})
	if len(longest) >= 80 {
		t.Errorf("%q has %d columns", longest, len(longest))
	}
}

func TestQueueText(t *testing.T) {
	var w writes
	b := bar{w: &w}
	b.drawQueue(3, 4)
	b.drawQueue(math.MaxInt32, math.MaxInt32)
	wantText(t, w[0], clearLine+"filling the queue: [===============     ]  75% 3 / 4 records")
	if columns := len(w[1]) - len(clearLine); columns >= 80 {
		t.Errorf("%q has %d columns", w[1], columns)
	}
}

func TestBarIsCleared(t *testing.T) {
	var w writes
	b := bar{w: &w}
	b.clear()
	b.drawCycle(inotify.Progress{Done: 1, Steps: 2})
	b.clear()
	b.clear()
	if len(w) != 2 || !strings.HasPrefix(w[0], clearLine+"[") || w[1] != clearLine {
		t.Errorf("wrote %q, want the bar and then %q", w, clearLine)
	}
}

func TestIsTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) {
		t.Error("isTerminal is true for /dev/null")
	}
	if isTerminal(new(strings.Builder)) {
		t.Error("isTerminal is true for a strings.Builder")
	}
	if _, slave := openTerminal(t); !isTerminal(slave) {
		t.Error("isTerminal is false for a terminal")
	}
}

func TestBarOnTerminal(t *testing.T) {
	master, slave := openTerminal(t)
	cmd := withoutIoctl(t, "watch", "-n", "0", "-wd", "12", t.TempDir())
	cmd.Stderr = slave
	code, stdout, _ := result(t, cmd)
	if code != 0 || !strings.HasPrefix(stdout, "watch 12 (cycle") {
		t.Fatalf("exit code %d and %q", code, stdout)
	}
	got := readUntil(t, master, "left"+clearLine)
	wantText(t, got, clearLine+"[====================] 100% 11 / 11 steps, 0s left"+clearLine)
}

func TestInterruptEndsCycle(t *testing.T) {
	master, slave := openTerminal(t)
	cmd := withoutIoctl(t, "watch", "-wd", "2147483647", "-max-steps", "2147483647", t.TempDir())
	cmd.Stderr = slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	slave.Close() // so that reading ends when the command does
	if !strings.HasSuffix(readUntil(t, master, "left"), "left") {
		exitCode(t, cmd.Wait()) // skips
		t.Fatal("no bar was drawn")
	}
	cmd.Process.Signal(syscall.SIGINT)
	got := readUntil(t, master, "\r\n")
	code := exitCode(t, cmd.Wait())
	_, line, _ := strings.Cut(got, clearLine+"inotifyctl")
	wantFailure(t, code, "inotifyctl"+strings.TrimSuffix(line, "\r\n")+"\n", "stopped after ", " of 2147483646 steps", "interrupted")
}

// openTerminal returns the two ends of a new terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("this needs a terminal: ", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skip("this needs a terminal: ", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// readUntil reads f up to and including the text, or until the other end is closed.
func readUntil(t *testing.T, f *os.File, text string) string {
	t.Helper()
	var got []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(got), text) {
		if _, err := f.Read(one); err != nil {
			t.Logf("after %q: %v", got, err)
			break
		}
		got = append(got, one...)
	}
	return string(got)
}
