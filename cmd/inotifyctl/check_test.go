// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify"
)

func TestCheck(t *testing.T) {
	code, stdout, stderr := call("check")
	wantSuccess(t, code, stderr)
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	const inUse = `(not known|\d+); ((at most )?\d+ in use by the processes of user \d+ seen here|how many are in use cannot be counted)`
	for i, want := range []string{
		`^INOTIFY_IOC_SETNEXTWD: (yes$|no: )`,
		`^IN_MASK_CREATE: (yes$|no: )`,
		`^watches in fdinfo: (yes$|no: )`,
		`^fs\.inotify\.max_user_instances: ` + inUse,
		`^fs\.inotify\.max_user_watches: ` + inUse,
		`^fs\.inotify\.max_queued_events: (not known|\d+); for each instance`,
	} {
		if i >= len(lines) || !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Fatalf("line %d of %q does not match %q", i, stdout, want)
		}
	}
	if len(lines) != 6 {
		t.Errorf("%d lines, want 6: %q", len(lines), stdout)
	}
	if got, want := strings.HasSuffix(lines[0], ": yes"), hasIoctl(t); got != want {
		t.Errorf("%q, while the kernel has it: %v", lines[0], want)
	}
}

func TestCheckWithoutIoctl(t *testing.T) {
	code, stdout, stderr := result(t, withoutIoctl(t, "check"))
	wantSuccess(t, code, stderr)
	if want := "INOTIFY_IOC_SETNEXTWD: no: it needs Linux 4.17 with CONFIG_CHECKPOINT_RESTORE"; !strings.HasPrefix(stdout, want) {
		t.Errorf("got %q, want it to begin with %q", stdout, want)
	}
}

// Where a limit is reached, the limits are what one wants to see.
func TestCheckAtTheLimit(t *testing.T) {
	cmd := command(t, "check")
	cmd.Env = append(cmd.Env, "INOTIFYCTL_TEST_CHILD=without instances")
	code, stdout, stderr := result(t, cmd)
	wantFailure(t, code, stderr, "raise fs.inotify.max_user_instances")
	for _, want := range []string{"INOTIFY_IOC_SETNEXTWD: not known: ", "\nfs.inotify.max_user_instances: ", "\nfs.inotify.max_queued_events: "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("got %q, want %q in it", stdout, want)
		}
	}
}

// What the kernel really shows of this process's own instances.
func TestUsageCountsThisProcess(t *testing.T) {
	before := countOwn(t)
	n, err := inotify.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for range 3 {
		if _, err := n.AddWatch(t.TempDir(), inotify.Create); err != nil {
			t.Fatal(err)
		}
	}
	listed := 3
	if _, err := n.Watches(); errors.Is(err, errors.ErrUnsupported) {
		listed = 0
	}
	after := countOwn(t)
	if after.instances != before.instances+1 || after.watches != before.watches+listed {
		t.Errorf("usage %+v became %+v with one instance, of which %d watches are listed", before, after, listed)
	}
}

func countOwn(t *testing.T) usage {
	t.Helper()
	u := usage{uid: os.Geteuid()}
	if err := u.addProcess("/proc/self"); err != nil {
		t.Fatal(err)
	}
	return u
}

// A fakeProc is a tree that looks like /proc.
type fakeProc struct {
	t   *testing.T
	dir string
}

func newFakeProc(t *testing.T) fakeProc { return fakeProc{t, t.TempDir()} }

func (p fakeProc) write(text string, path ...string) string {
	p.t.Helper()
	name := filepath.Join(append([]string{p.dir}, path...)...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return name
}

func (p fakeProc) process(pid string, state string, uid int) {
	p.t.Helper()
	// The effective user is the second one.
	p.write(fmt.Sprintf("Name:\tx\nState:\t%s\nTgid:\t%s\nUid:\t7\t%d\t7\t7\nGid:\t1\t1\t1\t1\n", state, pid, uid), pid, "status")
	if err := os.MkdirAll(filepath.Join(p.dir, pid, "fd"), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

func (p fakeProc) descriptor(pid, fd, target string, watches int) {
	p.t.Helper()
	p.write("pos:\t0\nflags:\t02004000\nmnt_id:\t15\nino:\t1057\n"+
		strings.Repeat("inotify wd:1 ino:2 sdev:3 mask:4 ignored_mask:0\n", watches), pid, "fdinfo", fd)
	if err := os.Symlink(target, filepath.Join(p.dir, pid, "fd", fd)); err != nil {
		p.t.Fatal(err)
	}
}

func (p fakeProc) want(want usage) {
	p.t.Helper()
	got, err := countUsage(p.dir, want.uid)
	if err != nil || got != want {
		p.t.Errorf("usage %+v, %v, want %+v", got, err, want)
	}
}

const inotifyLink = "anon_inode:inotify"

func TestUsage(t *testing.T) {
	p := newFakeProc(t)
	p.process("10", "S (sleeping)", 1000)
	p.descriptor("10", "3", inotifyLink, 2)
	p.descriptor("10", "4", inotifyLink, 0)
	p.descriptor("10", "5", "anon_inode:[eventpoll]", 4)
	p.descriptor("10", "6", "/home/inotify", 8)
	p.process("20", "R (running)", 1000)
	p.descriptor("20", "3", inotifyLink, 16)
	p.process("30", "S (sleeping)", 1001)
	p.descriptor("30", "3", inotifyLink, 32)
	p.process("40", "Z (zombie)", 1000)
	p.descriptor("40", "3", inotifyLink, 64)
	p.process("self", "R (running)", 1000)
	p.descriptor("self", "3", inotifyLink, 128)
	p.write("", "uptime")
	p.want(usage{uid: 1000, instances: 3, watches: 18})
	p.want(usage{uid: 1001, instances: 1, watches: 32})
	p.want(usage{uid: 7})
}

func TestUsageSkipsTheVanished(t *testing.T) {
	p := newFakeProc(t)
	p.process("10", "S (sleeping)", 1000)
	p.descriptor("10", "3", inotifyLink, 2)
	if err := os.Mkdir(filepath.Join(p.dir, "20"), 0o755); err != nil {
		t.Fatal(err) // ended before its status was read
	}
	p.process("30", "S (sleeping)", 1000) // and after
	if err := os.Remove(filepath.Join(p.dir, "30", "fd")); err != nil {
		t.Fatal(err)
	}
	p.process("40", "S (sleeping)", 1000) // a descriptor closed before its fdinfo was read
	p.descriptor("40", "3", inotifyLink, 4)
	if err := os.Remove(filepath.Join(p.dir, "40", "fdinfo", "3")); err != nil {
		t.Fatal(err)
	}
	p.want(usage{uid: 1000, instances: 2, watches: 2})
}

func TestUsageCountsTheUnreadable(t *testing.T) {
	p := newFakeProc(t)
	// A directory where a file is to be cannot be read by root either.
	for _, dir := range []string{"10/status", "20/fdinfo/3"} {
		if err := os.MkdirAll(filepath.Join(p.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.process("20", "S (sleeping)", 1000)
	if err := os.Symlink(inotifyLink, filepath.Join(p.dir, "20", "fd", "3")); err != nil {
		t.Fatal(err)
	}
	p.descriptor("20", "4", inotifyLink, 2)
	p.process("30", "S (sleeping)", 1000)
	if err := os.Remove(filepath.Join(p.dir, "30", "fd")); err != nil {
		t.Fatal(err)
	}
	p.write("", "30", "fd")
	p.write("Name:\tx\n", "40", "status")
	want := usage{uid: 1000, instances: 2, watches: 2, unreadable: 4}
	p.want(want)
	wantText(t, limitLines(p.dir, want, nil)[1], "fs.inotify.max_user_watches: not known; 2 in use by the processes of user 1000 seen here "+
		"(a descriptor inherited or duplicated counts each time); processes that could not be read and may have more: 4")
}

func TestUsageWithoutProc(t *testing.T) {
	var stdout strings.Builder
	err := check(nil, &stdout, filepath.Join(t.TempDir(), "none"))
	if err == nil || !strings.Contains(advise(err), "mount proc") || strings.Contains(advise(err), "give a path") {
		t.Errorf("error %v, want one that says to mount proc", err)
	}
}

func TestLimitLines(t *testing.T) {
	p := newFakeProc(t)
	p.write("128\n", "sys/fs/inotify/max_user_instances")
	p.write("8192\n", "sys/fs/inotify/max_user_watches")
	p.write("16384\n", "sys/fs/inotify/max_queued_events")
	u := usage{uid: 1000, instances: 3, watches: 18}
	const counted = " in use by the processes of user 1000 seen here (a descriptor inherited or duplicated counts each time)"
	for _, tt := range []struct {
		listed  error
		watches string
	}{
		{nil, "at most 18" + counted},
		{errors.ErrUnsupported, "how many are in use cannot be counted, as fdinfo does not list them"},
	} {
		wantText(t, strings.Join(limitLines(p.dir, u, tt.listed), "\n"),
			"fs.inotify.max_user_instances: 128; at most 3"+counted+"\n"+
				"fs.inotify.max_user_watches: 8192; "+tt.watches+"\n"+
				"fs.inotify.max_queued_events: 16384; for each instance, not for the user")
	}
}

func TestFeatureLines(t *testing.T) {
	limit := errors.New("too\nmany")
	got := features{setNext: &inotify.UnsupportedError{Feature: "it", Needs: "Linux 4.17"}, listed: limit}.lines()
	wantText(t, strings.Join(got, "\n"), "INOTIFY_IOC_SETNEXTWD: no: it needs Linux 4.17\nIN_MASK_CREATE: yes\nwatches in fdinfo: not known: too; many")
}

func TestOwnUserIsShown(t *testing.T) {
	_, stdout, _ := call("check")
	if want := "user " + strconv.Itoa(os.Geteuid()) + " "; !strings.Contains(stdout, want) {
		t.Errorf("%q, want %q in it", stdout, want)
	}
}
