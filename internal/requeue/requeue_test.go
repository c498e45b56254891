// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package requeue_test

import (
	"context"
	"errors"
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
	"github.com/seed10546c08/inotify/internal/requeue"
)

// every has a record of each kind that needs no privilege.
var every = []string{
	"3 ACCESS 0 f", "3 MODIFY 0 f", "3 ATTRIB 0 f", "3 MODIFY|ATTRIB 0 f",
	"3 OPEN 0 f", "3 CLOSE_WRITE 0 f", "3 CLOSE_NOWRITE 0 f",
	"3 ACCESS|ISDIR 0 d", "3 MODIFY|ISDIR 0 d", "3 ATTRIB|ISDIR 0 d", "3 OPEN|ISDIR 0 d", "3 CLOSE_NOWRITE|ISDIR 0 d",
	"3 ACCESS|ISDIR", "3 MODIFY|ISDIR", "3 ATTRIB|ISDIR", "3 OPEN|ISDIR", "3 CLOSE_NOWRITE|ISDIR",
	"7 ACCESS", "7 MODIFY", "7 ATTRIB", "7 MODIFY|ATTRIB", "7 OPEN", "7 CLOSE_WRITE", "7 CLOSE_NOWRITE",
	"3 CREATE 0 f", "3 DELETE 0 f", "3 CREATE|ISDIR 0 d", "3 DELETE|ISDIR 0 d",
	// Renames within and across directories, chains, an exchange, and halves.
	"3 MOVED_FROM 5 a", "3 MOVED_TO 5 b", "3 MOVED_FROM|ISDIR 6 a", "4 MOVED_TO|ISDIR 6 a",
	"3 MOVED_FROM 7 a", "4 MOVED_TO 7 b", "4 MOVED_FROM 8 b", "3 MOVED_TO 8 c",
	"3 MOVED_FROM 9 x", "4 MOVED_TO 9 y", "4 MOVED_FROM 10 y", "3 MOVED_TO 10 x",
	"3 MOVED_FROM 11 a", "4 MOVED_TO 12 b", "3 MOVED_FROM|ISDIR 13 a", "4 MOVED_TO|ISDIR 14 b",
	// Destroyed watches, and later watches with their wds, of another type.
	"4 MOVE_SELF", "7 MOVE_SELF", "7 DELETE_SELF", "7 IGNORED", "4 DELETE_SELF", "4 IGNORED",
	"4 ACCESS", "4 IGNORED", "4 OPEN|ISDIR", "9 IGNORED", "9 IGNORED",
	"5 DELETE_SELF", "3 CREATE 0 between", "5 IGNORED", "6 DELETE_SELF", "6 ATTRIB", "6 IGNORED", "8 DELETE_SELF",
	// Any wd.
	"2147483647 OPEN", "2147483646 CREATE 0 x", "1 ATTRIB",
}

func TestEveryKind(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	events := parse(t, every...)
	for _, scratch := range []string{"", t.TempDir()} {
		got, r := refill(t, n, events, requeue.Options{Scratch: scratch, Rehearse: true})
		wantSame(t, got, events)
		wantChanges(t, r)
		if left, _ := os.ReadDir(scratch); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// All kinds of events can be made on the filesystems that a scratch directory is usually on.
func TestFilesystems(t *testing.T) {
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	events := parse(t, every...)
	for _, kind := range []string{"ext4", "overlay"} {
		t.Run(kind, func(t *testing.T) {
			kerneltest.OwnMounts(t)
			dir := t.TempDir()
			mountKind(t, kind, dir)
			got, r := refill(t, n, events, requeue.Options{Scratch: dir})
			wantSame(t, got, events)
			wantChanges(t, r)
			for _, e := range must(os.ReadDir(dir)) {
				if strings.HasPrefix(e.Name(), "inotify-requeue-") {
					t.Errorf("left behind: %s", e.Name())
				}
			}
		})
	}
}

func mountKind(t *testing.T, kind, dir string) {
	t.Helper()
	if kind == "overlay" {
		layers := t.TempDir()
		for _, name := range []string{"lower", "upper", "work"} {
			os.Mkdir(filepath.Join(layers, name), 0o700)
		}
		kerneltest.Mount(t, "overlay", dir, "overlay", 0, "lowerdir="+layers+"/lower,upperdir="+layers+"/upper,workdir="+layers+"/work")
		return
	}
	image := filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{{"truncate", "-s", "4M", image}, {"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, dir}} {
		cmd := exec.Command(args[0], args[1:]...)
		if args[0] == "mount" {
			defer func() { unix.Unmount(dir, 0) }()
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("this needs an ext4: %v: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// Scratch files in a detached mount cause no events on TMPDIR.
func TestScratchFilesCauseNoEvents(t *testing.T) {
	kerneltest.NeedIoctl(t)
	needMounts(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	watcher, n := kerneltest.NewInotify(t), kerneltest.NewInotify(t)
	must(watcher.AddWatch(dir, inotify.AllEvents))
	fill(t, n, parse(t, every...), requeue.Options{})
	kerneltest.WantEvents(t, kerneltest.Pending(t, watcher))
	fill(t, kerneltest.NewInotify(t), parse(t, every...), requeue.Options{Scratch: dir})
	if len(kerneltest.Pending(t, watcher)) == 0 {
		t.Error("scratch files in the watched directory cause no events")
	}
}

func needMounts(t *testing.T) {
	t.Helper()
	fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Skip("this needs to mount: fsopen: ", err)
	}
	unix.Close(fd)
}

// Without privileges, the scratch directory is in TMPDIR, and only IN_UNMOUNT is left out.
func TestUnprivileged(t *testing.T) {
	kerneltest.NeedIoctl(t)
	if os.Geteuid() == 0 {
		dir := must(os.MkdirTemp("", "nobody"))
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", dir)
		t.Setenv("INOTIFY_TEST_SELF", copyExecutable(t, dir))
		if !kerneltest.Again(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}) {
			return
		}
	}
	n := kerneltest.NewInotify(t)
	events := append(parse(t, every...), parse(t, "10 UNMOUNT", "10 IGNORED", "11 UNMOUNT|ISDIR")...)
	got, r := refill(t, n, events, requeue.Options{})
	wantChanges(t, r, "65 NoPrivilege", "67 NoPrivilege", "-1 OverflowAdded", "-1 OverflowFirst")
	wantSame(t, got, applied(events, r))
	if left := must(os.ReadDir(os.TempDir())); len(left) > 1 {
		t.Errorf("left behind: %v", left)
	}
}

func copyExecutable(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "self")
	if err := os.WriteFile(path, must(os.ReadFile("/proc/self/exe")), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRootlessNamespace(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	attr := kerneltest.OwnUsers(t)
	attr.Cloneflags |= unix.CLONE_NEWNS
	if kerneltest.Again(t, attr) {
		wantUnmounts(t)
	}
}

func TestUnmount(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	needMounts(t)
	wantUnmounts(t)
}

func wantUnmounts(t *testing.T) {
	n := kerneltest.NewInotify(t)
	events := append(parse(t, every...), parse(t,
		"10 ATTRIB", "10 UNMOUNT", "10 IGNORED", "11 UNMOUNT|ISDIR", "11 IGNORED",
		"12 UNMOUNT", "3 CREATE 0 between", "12 IGNORED", "13 UNMOUNT|ISDIR", "3 CREATE 0 x", "10 UNMOUNT", "10 IGNORED")...)
	got, r := refill(t, n, events, requeue.Options{})
	wantSame(t, got, events)
	wantChanges(t, r)
}

func TestNames(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	var events []inotify.Event
	for length := 1; length <= 255; length++ {
		name := make([]byte, length)
		for i := range name {
			name[i] = byte(1 + (i+length)%255)
			if name[i] == '/' {
				name[i] = 0xff
			}
		}
		if string(name) == "." || string(name) == ".." {
			name[0] = '-'
		}
		events = append(events,
			inotify.Event{WD: 3, Mask: inotify.Create, Name: string(name)},
			inotify.Event{WD: 3, Mask: inotify.Attrib | inotify.IsDir, Name: string(name)},
			inotify.Event{WD: 3, Mask: inotify.MovedFrom, Name: string(name), Cookie: uint32(length)},
			inotify.Event{WD: 4, Mask: inotify.MovedTo, Name: string(name[:1]) + "-", Cookie: uint32(length)})
	}
	got, r := refill(t, n, events, requeue.Options{})
	wantSame(t, got, events)
	wantChanges(t, r)
}

// Events of more wds than Fill uses watches at once are made.
func TestManyWDs(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	var events []inotify.Event
	for i := range 4000 {
		wd := inotify.WD(i%2500 + 1)
		events = append(events, inotify.Event{WD: wd, Mask: inotify.Attrib, Name: "abcdefghijklmnopq"[:wd%17]})
		if i%3 == 0 {
			events = append(events, inotify.Event{WD: wd, Mask: inotify.Ignored})
		}
	}
	got, r := refill(t, n, events, requeue.Options{})
	wantSame(t, got, events)
	wantChanges(t, r)
}

// After Fill, wds and events of the instance are as on a new one.
func TestInstanceIsUsable(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	pending := parse(t, "7 ATTRIB", "3 CREATE 0 x")
	fill(t, n, pending, requeue.Options{})
	dir := t.TempDir()
	if err := n.SetNextWD(7); err != nil {
		t.Fatal(err)
	}
	if wd, err := n.AddWatch(dir, inotify.Create); wd != 7 || err != nil {
		t.Fatal(wd, err)
	}
	kerneltest.Touch(t, filepath.Join(dir, "new"))
	kerneltest.WantEvents(t, kerneltest.Pending(t, n), append(pending, inotify.Event{WD: 7, Mask: inotify.Create, Name: "new"})...)
}

// The events can be read from a duplicate. A blocking descriptor is refused.
func TestFillThroughDuplicate(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	kerneltest.NeedDuplicates(t)
	fd := must(unix.InotifyInit1(unix.IN_CLOEXEC)) // blocking
	theirs := os.NewFile(uintptr(must(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0))), "theirs")
	defer theirs.Close()
	n := must(inotify.FromFile(os.NewFile(uintptr(fd), "blocking")))
	defer n.Close()
	events := parse(t, every...)
	_, err := requeue.Fill(context.Background(), n, events, requeue.Options{})
	if err == nil || !strings.Contains(err.Error(), "blocking mode") {
		t.Errorf("error %v of a blocking descriptor", err)
	}
	if err := unix.SetNonblock(kerneltest.FD(t, theirs), true); err != nil {
		t.Fatal(err)
	}
	fill(t, n, events, requeue.Options{})
	wantSame(t, kerneltest.ReadAll(t, theirs), events)
}

func TestNoEvents(t *testing.T) {
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	got, r := refill(t, n, nil, requeue.Options{})
	wantSame(t, got, nil)
	wantChanges(t, r)
}

func TestWithoutIoctl(t *testing.T) {
	kerneltest.NeedLists(t)
	kerneltest.WithoutIoctl(t)
	n := kerneltest.NewInotify(t)
	_, err := requeue.Fill(context.Background(), n, parse(t, "3 ATTRIB"), requeue.Options{})
	kerneltest.WantError(t, err, errors.ErrUnsupported)
	wantEmpty(t, n)
}

// Fill checks its requirements before it changes anything.
func TestFillRefuses(t *testing.T) {
	kerneltest.NeedIoctl(t)
	events := parse(t, "3 ATTRIB")
	wantError := func(n *inotify.Inotify, opts requeue.Options, words string) {
		t.Helper()
		if _, err := requeue.Fill(context.Background(), n, events, opts); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v, want %q", err, words)
		}
	}
	n := kerneltest.NewInotify(t)
	wd := must(n.AddWatch(t.TempDir(), inotify.Create))
	wantError(n, requeue.Options{}, "has watches (wd 1)")
	if err := n.RemoveWatch(wd); err != nil {
		t.Fatal(err)
	}
	wantError(n, requeue.Options{}, "unread events (16 bytes)")
	kerneltest.WantEvents(t, kerneltest.Pending(t, n), inotify.Event{WD: wd, Mask: inotify.Ignored})
	wantError(n, requeue.Options{MaxQueue: 3}, "fs.inotify.max_queued_events is ")
	wantError(n, requeue.Options{Scratch: filepath.Join(t.TempDir(), "missing")}, "scratch directory: ")
	setFlags(t, n, unix.O_NONBLOCK|unix.O_ASYNC)
	wantError(n, requeue.Options{}, "O_ASYNC")
	setFlags(t, n, unix.O_NONBLOCK)
	wantEmpty(t, n)
	n.Close()
	_, err := requeue.Fill(context.Background(), n, events, requeue.Options{})
	if err == nil {
		t.Error("no error of a closed instance")
	}
}

func setFlags(t *testing.T, n *inotify.Inotify, flags int) {
	t.Helper()
	if _, err := unix.FcntlInt(uintptr(kerneltest.FD(t, n)), unix.F_SETFL, flags); err != nil {
		t.Fatal(err)
	}
}

func maxQueued(t *testing.T) int {
	t.Helper()
	limit, err := strconv.Atoi(strings.TrimSpace(string(must(os.ReadFile("/proc/sys/fs/inotify/max_queued_events")))))
	if err != nil || limit < 64 || limit > 1<<17 {
		t.Skipf("this needs a queue that can be filled soon, and max_queued_events is %d, %v", limit, err)
	}
	return limit
}
