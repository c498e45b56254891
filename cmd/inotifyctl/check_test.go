// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

func TestCheck(t *testing.T) {
	code, stdout, stderr := call("check")
	wantListed(t, code, stderr)
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	const inUse = `(unknown|\d+); ((at most )?\d+ in use by processes of user \S+|could not count how many are in use)`
	for i, want := range []string{
		`^INOTIFY_IOC_SETNEXTWD: (yes$|no: )`,
		`^IN_MASK_CREATE: (yes$|no: )`,
		`^watches in fdinfo: (yes$|no: )`,
		`^fs\.inotify\.max_user_instances: ` + inUse,
		`^fs\.inotify\.max_user_watches: ` + inUse,
		`^fs\.inotify\.max_queued_events: (unknown|\d+); for each instance`,
		`^user\.max_inotify_instances: (unknown|\d+) \(of this user namespace\); `,
		`^user\.max_inotify_watches: (unknown|\d+) \(of this user namespace\); `,
	} {
		if i >= len(lines) || !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Fatalf("line %d of %q does not match %q", i, stdout, want)
		}
	}
	if len(lines) != 8 {
		t.Errorf("%d lines, want 8: %q", len(lines), stdout)
	}
	if got, want := strings.HasSuffix(lines[0], ": yes"), hasIoctl(t); got != want {
		t.Errorf("%q, want yes: %v", lines[0], want)
	}
}

func TestCheckWithoutIoctl(t *testing.T) {
	code, stdout, stderr := result(t, withoutIoctl(t, "check"))
	wantListed(t, code, stderr)
	if want := "INOTIFY_IOC_SETNEXTWD: no: needs Linux 4.17 with CONFIG_CHECKPOINT_RESTORE"; !strings.HasPrefix(stdout, want) {
		t.Errorf("got %q, want it to begin with %q", stdout, want)
	}
}

// At a limit, check prints which limit is exhausted and which process has most.
func TestCheckAtTheLimit(t *testing.T) {
	if !kerneltest.Again(t, ownProc(t)) {
		return
	}
	needsList(t)
	kerneltest.Mount(t, "proc", "/proc", "proc", 0, "")
	h := holdAlone(t, instance(t, watchesOn(t, 1, 2)...), "comm=holder")
	for _, tt := range []struct {
		limit   string
		value   int
		uses    string
		most    string
		known   string
		unknown string // or "": probing IN_MASK_CREATE takes no watch
	}{
		{"max_inotify_watches", 2, "2 in use by processes of user " + userName(0), "watches of user " + userName(0) + ": 2", "watches in fdinfo: yes", ""},
		{"max_inotify_instances", 1, "1 in use by processes of user " + userName(0), "instances of user " + userName(0) + ": 1", "watches in fdinfo: yes", "INOTIFY_IOC_SETNEXTWD"},
	} {
		kerneltest.OwnLimit(t, tt.limit, tt.value)
		code, stdout, stderr := result(t, command(t, "check"))
		if code != 3 || !strings.HasPrefix(stderr, "inotifyctl: incomplete: ") || !strings.Contains(stderr, fmt.Sprintf("user.%s (now %d)", tt.limit, tt.value)) {
			t.Errorf("exit code %d, want 3; standard error %q", code, stderr)
		}
		wantLine(t, stdout, "user.%s: %d (of this user namespace); %s; exhausted", tt.limit, tt.value, tt.uses)
		wantLine(t, stdout, "most %s in process %d (holder)", tt.most, h.pid)
		wantLine(t, stdout, "%s", tt.known)
		if tt.unknown != "" {
			wantLine(t, stdout, "%s: unknown: a limit is exhausted", tt.unknown)
		}
	}
}

// ownProc returns attributes for a command that is root of a user namespace and process 1 of
// a pid namespace, so that it may mount that namespace's /proc.
func ownProc(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	attr := kerneltest.OwnUsers(t)
	attr.Cloneflags |= unix.CLONE_NEWPID
	attr.Unshareflags = unix.CLONE_NEWNS
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		t.Skip("this needs a pid and a mount namespace: ", err)
	}
	return attr
}

// If /proc does not show the processes of this pid namespace, the command says so and does
// not print "0 in use".
func TestProcOfAnotherPIDNamespace(t *testing.T) {
	for _, without := range []string{"", "without proc"} {
		run := func(args ...string) (code int, stdout, stderr string) {
			cmd := command(t, args...)
			cmd.SysProcAttr = ownProc(t)
			if without != "" {
				cmd.Env = append(cmd.Env, "INOTIFYCTL_TEST_CHILD="+without)
			}
			return result(t, cmd)
		}
		code, stdout, stderr := run("ls")
		want := "/proc is of another pid namespace"
		if without != "" {
			want = "mount procfs: mount -t proc proc /proc"
		}
		wantFailure(t, code, stderr, want)
		wantText(t, stdout, "")
		code, stdout, stderr = run("check")
		if code != 3 || !strings.HasPrefix(stderr, "inotifyctl: incomplete: cannot count what is in use: ") || !strings.Contains(stderr, want) {
			t.Errorf("check: exit code %d and %q", code, stderr)
		}
		if strings.Contains(stdout, "0 in use") || !strings.Contains(stdout, "could not count how many are in use") || !strings.Contains(stdout, "INOTIFY_IOC_SETNEXTWD: ") {
			t.Errorf("check printed %q", stdout)
		}
	}
}

// An instance with two descriptors counts once.
func TestUsageCountsThisProcess(t *testing.T) {
	before := countOwn(t)
	f := instance(t, watchesOn(t, 1, 2, 3)...)
	dup, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dup)
	watches := 3
	if !listsWatches(t) {
		watches = 0
	}
	after := countOwn(t)
	instances := 1
	if after.unsure { // a kernel without kcmp
		instances, watches = 2, 2*watches
	}
	if after.instances != before.instances+instances || after.watches != before.watches+watches {
		t.Errorf("usage %+v became %+v with one more instance, with %d listed watches", before, after, watches)
	}
}

func countOwn(t *testing.T) usage {
	t.Helper()
	list, err := checkpoint.Instances(context.Background(), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return newUsageByUser(list, nil, func(int) (int, error) { return 5, nil }).of(5)
}

func TestUsageByUser(t *testing.T) {
	instanceOf := func(watches int, pids ...int) checkpoint.Instance {
		i := checkpoint.Instance{Watches: watches}
		for _, pid := range pids {
			i.Descriptors = append(i.Descriptors, checkpoint.Descriptor{PID: pid, FD: 3})
		}
		return i
	}
	unsure := instanceOf(7, 30)
	unsure.Ungrouped = errors.New("no kcmp")
	var failed []*checkpoint.ProcessError
	for _, pid := range []int{50, 60, 70, 80} {
		failed = append(failed, &checkpoint.ProcessError{PID: pid})
	}
	unknown := errors.New("unknown")
	users := map[int]int{10: 1000, 11: 1000, 20: 1001, 30: 1002, 50: 1000, 60: 1001, 70: noUser}
	c := newUsageByUser(
		[]checkpoint.Instance{instanceOf(2, 10, 11, 20), instanceOf(4, 20), instanceOf(-1, 20), unsure},
		failed,
		func(pid int) (int, error) {
			uid, known := users[pid]
			if !known {
				return noUser, unknown
			}
			return uid, nil
		})
	for uid, want := range map[int]usage{
		1000: {instances: 1, watches: 2, unreadable: 2},
		1001: {instances: 2, watches: 4, uncounted: true, unreadable: 2},
		1002: {instances: 1, watches: 7, unsure: true, unreadable: 1},
		7:    {unreadable: 1},
	} {
		if got := c.of(uid); got != want {
			t.Errorf("user %d: %+v, want %+v", uid, got, want)
		}
	}
	if len(c.unreadable) != 3 { // 70 has exited
		t.Errorf("unreadable: %v, want three", c.unreadable)
	}
}

func TestProcessErrors(t *testing.T) {
	one, two := &checkpoint.ProcessError{PID: 1, Err: io.EOF}, &checkpoint.ProcessError{PID: 2, Err: errors.Join(io.EOF, io.EOF)}
	failed, rest := processErrors(errors.Join(one, errors.Join(two, io.ErrClosedPipe)))
	if len(failed) != 2 || failed[0] != one || failed[1] != two || !errors.Is(rest, io.ErrClosedPipe) || errors.Is(rest, io.EOF) {
		t.Errorf("got %v and %v", failed, rest)
	}
	if failed, rest := processErrors(nil); failed != nil || rest != nil {
		t.Errorf("of nil: %v and %v", failed, rest)
	}
}

func TestLimitLines(t *testing.T) {
	settings := map[string]int64{"fs.inotify.max_user_instances": 128, "fs.inotify.max_user_watches": 8192, "user.max_inotify_watches": 18}
	sysctl := func(name string) int64 {
		if value, known := settings[name]; known {
			return value
		}
		return -1
	}
	counted := func(u usage) *usageByUser { return &usageByUser{users: map[int]*usage{1000: &u}} }
	used := " in use by processes of user " + userName(1000)
	const (
		uncertain = " (some descriptors may be the same instance); 4 processes could not be read and may have more"
		uncounted = "could not count how many are in use"
	)
	for _, tt := range []struct {
		c                        *usageByUser
		listed, reached          error
		instances, watches, full string
	}{
		{counted(usage{instances: 3, watches: 18}), nil, nil, "3" + used, "18" + used, ""},
		{counted(usage{instances: 3, watches: 18}), nil, syscall.ENOSPC, "3" + used, "18" + used, "; exhausted"},
		{counted(usage{instances: 3, watches: 18}), nil, syscall.EMFILE, "3" + used, "18" + used, ""},
		{counted(usage{instances: 3, watches: 17}), nil, syscall.ENOSPC, "3" + used, "17" + used, ""},
		{counted(usage{instances: 3}), errors.ErrUnsupported, nil, "3" + used, uncounted + ": fdinfo does not list watches", ""},
		{counted(usage{instances: 3, watches: 18, unsure: true, unreadable: 4}), nil, nil, "at most 3" + used + uncertain, "at most 18" + used + uncertain, ""},
		{nil, nil, nil, uncounted, uncounted, ""},
	} {
		wantText(t, strings.Join(limitLines(sysctl, 1000, tt.c, tt.listed, tt.reached), "\n"),
			"fs.inotify.max_user_instances: 128; "+tt.instances+"\n"+
				"fs.inotify.max_user_watches: 8192; "+tt.watches+"\n"+
				"fs.inotify.max_queued_events: unknown; for each instance\n"+
				"user.max_inotify_instances: unknown (of this user namespace); "+tt.instances+"\n"+
				"user.max_inotify_watches: 18 (of this user namespace); "+tt.watches+tt.full)
	}
}

func TestFeatureLines(t *testing.T) {
	limit := errors.New("too\nmany")
	got := features{setNextWD: &inotify.UnsupportedError{Feature: "x", Needs: "Linux 4.17"}, watchList: limit}.lines()
	wantText(t, strings.Join(got, "\n"), "INOTIFY_IOC_SETNEXTWD: no: needs Linux 4.17\nIN_MASK_CREATE: yes\nwatches in fdinfo: unknown: too; many")
}

func TestCheckShowsTheUser(t *testing.T) {
	_, stdout, _ := call("check")
	if want := "user " + userName(os.Geteuid()); !strings.Contains(stdout, want) {
		t.Errorf("%q, want %q in it", stdout, want)
	}
}
