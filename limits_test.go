// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// Tests at the limits. Those of inotify are set in a new user namespace; ownkernel_test.go has
// the tests of machine-wide limits.

// wantLimit checks that err is a LimitError for errno that contains the words.
func wantLimit(t testing.TB, err error, errno unix.Errno, words ...string) {
	t.Helper()
	if !errors.As(err, new(*inotify.LimitError)) || !errors.Is(err, errno) {
		t.Errorf("error %v (%T), want a LimitError for %v", err, err, errno)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not contain %q", err, w)
		}
	}
}

// batchOf returns a batch of watches on files, with every other wd from wd on.
func batchOf(paths []string, wd inotify.WD) (ws []inotify.Watch) {
	for i, path := range paths {
		ws = append(ws, inotify.Watch{WD: wd + inotify.WD(2*i), Mask: inotify.Attrib, Path: path})
	}
	return ws
}

// A live is an instance with a watch and with events that were not read.
type live struct {
	t    *testing.T
	n    *inotify.Inotify
	dir  string
	wd   inotify.WD
	want []inotify.Event

	named int
}

func newLive(t *testing.T) *live {
	t.Helper()
	l := &live{t: t, n: newInotify(t), dir: t.TempDir()}
	l.wd = add(t, l.n, l.dir, inotify.Create)
	l.makeEvent()
	return l
}

// makeEvent causes an event with a new name.
func (l *live) makeEvent() {
	l.t.Helper()
	l.named++
	name := fmt.Sprint("e", l.named)
	touch(l.t, filepath.Join(l.dir, name))
	l.want = append(l.want, inotify.Event{WD: l.wd, Mask: inotify.Create, Name: name})
}

// check checks that the instance has its watch and no other, and delivers all its events,
// including a new one.
func (l *live) check() {
	l.t.Helper()
	if ws := watches(l.t, l.n); ws != nil && (len(ws) != 1 || ws[0].WD != l.wd || ws[0].Mask != inotify.Create) {
		l.t.Errorf("watches %v", ws)
	}
	l.makeEvent()
	wantEvents(l.t, pending(l.t, l.n), l.want...)
	l.want = nil
}

// At the limit of instances, New returns a LimitError that names it, and a rollback, which uses
// another instance, still works.
func TestLimitOfInstances(t *testing.T) {
	if !kerneltest.Again(t, kerneltest.OwnUsers(t)) {
		return
	}
	l := newLive(t)
	held := []*inotify.Inotify{newInotify(t), newInotify(t)}
	other, err := l.n.File() // shared, so that a rollback waits for other readers
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	kerneltest.OwnLimit(t, "max_inotify_instances", 3)
	n, err := inotify.New()
	if err == nil {
		n.Close()
	}
	wantLimit(t, err, unix.EMFILE, "inotify_init1", "user.max_inotify_instances (now 3)", "fs.inotify.max_user_instances", "raise")
	if err != nil && strings.Contains(err.Error(), "RLIMIT_NOFILE") {
		t.Errorf("%q names the limit of open files, which was not reached", err)
	}
	l.check()

	paths := files(t, 4)
	batch := batchOf(paths, 20)
	batch[3].Path += "gone"
	err = l.n.RestoreWatches(kerneltest.Context(t), batch)
	wantError(t, err, unix.ENOENT)
	l.check()
	if err := l.n.RestoreWatches(kerneltest.Context(t), batch[:3]); err != nil {
		t.Error(err)
	}
	held[0].Close()
	newInotify(t)
}

// A batch that does not fit into the limit of watches is rolled back. The error names the limit
// and the watch.
func TestLimitOfWatchesWhileRestoring(t *testing.T) {
	if !kerneltest.Again(t, kerneltest.OwnUsers(t)) {
		return
	}
	kerneltest.OwnLimit(t, "max_inotify_watches", 100)
	paths := files(t, 6)
	try := func(t *testing.T) {
		l := newLive(t)
		batch := batchOf(paths, 20)
		kerneltest.OwnLimit(t, "max_inotify_watches", 4)
		err := l.n.RestoreWatches(kerneltest.Context(t), batch)
		wantLimit(t, err, unix.ENOSPC, "inotify_add_watch", filepath.Base(paths[3]), "user.max_inotify_watches (now 4)", "fs.inotify.max_user_watches", "raise")
		var r *inotify.RestoreError
		if !errors.As(err, &r) || r.Done != 3 || r.Watch != batch[3] {
			t.Errorf("error %v, want one for %v after three", err, batch[3])
		}
		l.check()
		wantLimit(t, l.n.RestoreWatches(kerneltest.Context(t), batchOf(paths, 40)), unix.ENOSPC) // the first restore leaked nothing
		kerneltest.OwnLimit(t, "max_inotify_watches", 100)
		l.check()
		batch = batchOf(paths, 60) // higher wds, as the cycle only counts up
		if err := l.n.RestoreWatches(kerneltest.Context(t), batch); err != nil {
			t.Error(err)
		}
		for _, w := range batch {
			if err := os.Chmod(w.Path, 0o600); err != nil {
				t.Fatal(err)
			}
			l.want = append(l.want, inotify.Event{WD: w.WD, Mask: inotify.Attrib})
		}
		wantEvents(t, pending(t, l.n), l.want...)
		l.n.Close()
	}
	t.Run("ioctl", func(t *testing.T) {
		needIoctl(t)
		try(t)
	})
	t.Run("cycle", func(t *testing.T) {
		withoutIoctl(t)
		try(t)
	})
}

// A failed add uses up a wd. The cycle reaches the wd all the same if the limit allows a few
// scratch watches, or one. If it allows none, the cycle stops at once.
func TestLimitOfWatchesDuringTheCycle(t *testing.T) {
	t.Parallel()
	if !kerneltest.Again(t, kerneltest.OwnUsers(t)) {
		return
	}
	withoutIoctl(t)
	failCalls(t, unix.SYS_MEMFD_CREATE, 1, unix.MFD_CLOEXEC, false, unix.EMFILE) // only scratch directories
	limit := func(watches int) { kerneltest.OwnLimit(t, "max_inotify_watches", watches) }
	limit(100)
	paths := files(t, 2)
	for steps := range inotify.WD(30) {
		l := newLive(t)
		limit(4)
		if err := l.n.RestoreWatch(kerneltest.Context(t), 3+steps, paths[0], inotify.Attrib); err != nil {
			t.Errorf("to wd %d: %v", 3+steps, err)
		} else if err := errors.Join(os.Chmod(paths[0], 0o600), l.n.RemoveWatch(3+steps)); err != nil {
			t.Error(err)
		}
		l.want = append(l.want, inotify.Event{WD: 3 + steps, Mask: inotify.Attrib}, inotify.Event{WD: 3 + steps, Mask: inotify.Ignored})
		l.check()
		l.n.Close()
		limit(100)
	}
	for range 10 {
		l := newLive(t)
		limit(2)
		if err := l.n.RestoreWatch(kerneltest.Context(t), 5000, paths[0], inotify.Attrib); err != nil {
			t.Error(err)
		}
		l.n.Close()
		limit(100)
	}
	for _, wd := range []inotify.WD{500, far} {
		l := newLive(t)
		limit(2)
		err := l.n.RestoreWatches(kerneltest.Context(t), []inotify.Watch{
			{WD: 2, Mask: inotify.Attrib, Path: paths[0]}, {WD: wd, Mask: inotify.Attrib, Path: paths[1]},
		}, inotify.WithMaxSteps(far))
		wantLimit(t, err, unix.ENOSPC, "inotify_add_watch", "user.max_inotify_watches (now 2)")
		l.check()
		if next := add(t, l.n, paths[0], inotify.Attrib); next > 100 {
			t.Errorf("the next wd is %d, want at most 100", next)
		}
		l.n.Close()
		limit(100)
	}
}

// With no descriptor left, calls that need one return an error that says so and change nothing.
func TestNoDescriptorLeft(t *testing.T) {
	if !kerneltest.Again(t, &syscall.SysProcAttr{}) {
		return
	}
	needLists(t)
	l := newLive(t)
	paths := files(t, 4)
	f, err := os.Open(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	inherited := os.NewFile(uintptr(fd), "inherited")
	defer inherited.Close()
	open := kerneltest.OpenDescriptors()
	kerneltest.WithFiles(t, 0, func() {
		_, err := inotify.New()
		wantLimit(t, err, unix.EMFILE, "inotify_init1", "RLIMIT_NOFILE (now ", "raise")
		if err != nil && strings.Contains(err.Error(), "max_") {
			t.Errorf("%q names limits that were not reached", err)
		}
		for call, f := range map[string]func() error{
			"fcntl F_DUPFD_CLOEXEC": func() error { _, err := l.n.File(); return err },
			"/proc/self/fdinfo/":    func() error { _, err := l.n.Watches(); return err },
		} {
			err := f()
			wantError(t, err, unix.EMFILE)
			if err != nil && !strings.Contains(err.Error(), call) {
				t.Errorf("%q does not name %q", err, call)
			}
		}
		// These need none.
		wd, err := l.n.AddWatchFile(f, inotify.Attrib)
		if err != nil {
			t.Error(err)
		}
		if err := l.n.RemoveWatch(wd); err != nil {
			t.Error(err)
		}
		l.want = append(l.want, inotify.Event{WD: wd, Mask: inotify.Ignored})
		n, err := inotify.FromFile(inherited)
		if err != nil {
			t.Fatal(err)
		}
		n.Buffered()
		batch := batchOf(paths, 20)
		batch[3].Path += "gone"
		if err := l.n.RestoreWatches(kerneltest.Context(t), batch); err == nil {
			t.Error("restored a watch on a missing file")
		}
	})
	if now := kerneltest.OpenDescriptors(); !slices.Equal(open, now) {
		t.Errorf("descriptors %q, before %q", now, open)
	}
	l.check()
	if err := l.n.RestoreWatches(kerneltest.Context(t), batchOf(paths, 60)); err != nil {
		t.Error(err)
	}
}

// wantFull checks that evs are the moves that fit into the queue, and then an overflow.
func wantFull(t *testing.T, evs []inotify.Event, wd inotify.WD, prefix string, size int) {
	t.Helper()
	if len(evs) == 0 {
		t.Fatal("no events")
	}
	wantMoves(t, evs[:len(evs)-1], wd, prefix, size)
	wantEvents(t, evs[len(evs)-1:], inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow})
}

// If the queue is full before the cycle, or fills up during it, the events that fitted are
// delivered, and then the overflow.
func TestOverflowDuringTheCycle(t *testing.T) {
	t.Parallel()
	size := queueSize(t)
	withoutIoctl(t)
	for _, early := range []bool{true, false} {
		n := newInotify(t)
		dir, paths := t.TempDir(), files(t, 1)
		wd := add(t, n, dir, inotify.MovedTo)
		filled := false
		fill := func() {
			if !filled {
				filled = true
				move(t, dir, "x", size+100)
			}
		}
		if early {
			fill()
		}
		if err := n.RestoreWatch(kerneltest.Context(t), 3000, paths[0], inotify.Attrib,
			inotify.WithProgress(func(inotify.Progress) { fill() })); err != nil {
			t.Fatal(err)
		}
		if !filled {
			t.Fatal("progress was not reported")
		}
		evs := pending(t, n)
		overflow := slices.Index(evs, inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow})
		if overflow != len(evs)-1 || overflow < size-100 {
			t.Errorf("early %t: %d events, the overflow is number %d", early, len(evs), overflow)
		}
		wantMoves(t, evs[:max(overflow, 0)], wd, "x", overflow)
		wantUsable(t, n, 3000, paths[0])
	}
}

// wantUsable checks that a watch for Attrib reports an event, and removes it.
func wantUsable(t *testing.T, n *inotify.Inotify, wd inotify.WD, path string) {
	t.Helper()
	if err := errors.Join(os.Chmod(path, 0o600), n.RemoveWatch(wd)); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, pending(t, n), inotify.Event{WD: wd, Mask: inotify.Attrib}, inotify.Event{WD: wd, Mask: inotify.Ignored})
}

// A batch is rolled back on a full queue, so its IN_IGNORED are lost. The records of later
// watches with the same wds are not dropped in their place.
func TestOverflowWhileRestoring(t *testing.T) {
	size := queueSize(t)
	needIoctl(t)
	n := newInotify(t)
	dir, paths := t.TempDir(), files(t, 4)
	wd := add(t, n, dir, inotify.MovedTo)
	move(t, dir, "x", size+100)
	batch := batchOf(paths, 20)
	batch[3].Path += "gone"
	wantError(t, n.RestoreWatches(context.Background(), batch), unix.ENOENT)
	wantFull(t, pending(t, n), wd, "x", size)
	if err := n.RestoreWatches(kerneltest.Context(t), batch[:3]); err != nil {
		t.Fatal(err)
	}
	for _, w := range batch[:3] {
		wantUsable(t, n, w.WD, w.Path)
	}
	wantError(t, n.RestoreWatches(context.Background(), batch), unix.ENOENT)
	if readable(t, n) {
		t.Error("readable: records of rolled-back watches were not dropped")
	}
}

// A limit that cannot be read has the value -1.
func TestLimitThatCannotBeRead(t *testing.T) {
	failCalls(t, unix.SYS_INOTIFY_INIT1, 0, 0, true, unix.EMFILE)
	failCalls(t, unix.SYS_OPENAT, 2, unix.O_PATH, true, unix.EMFILE) // so the error must name RLIMIT_NOFILE
	failCalls(t, unix.SYS_PRLIMIT64, 1, unix.RLIMIT_NOFILE, false, unix.EPERM)
	if runtime.GOARCH == "amd64" { // where it is asked for by getrlimit
		failCalls(t, 97, 0, unix.RLIMIT_NOFILE, false, unix.EPERM)
	}
	if unix.Getrlimit(unix.RLIMIT_NOFILE, new(unix.Rlimit)) == nil {
		t.Skip("this needs the system call number of getrlimit on this processor")
	}
	_, err := inotify.New()
	var limit *inotify.LimitError
	if !errors.As(err, &limit) {
		t.Fatalf("error %v, want a LimitError", err)
	}
	i := slices.IndexFunc(limit.Limits, func(l inotify.Limit) bool { return l.Name == "RLIMIT_NOFILE" })
	if i < 0 || limit.Limits[i].Value != -1 {
		t.Errorf("limits %+v, want RLIMIT_NOFILE with the value -1", limit.Limits)
	}
}
