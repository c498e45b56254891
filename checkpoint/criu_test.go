// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// One test for each property of an instance that CRIU 4.2 loses or restores wrongly. Those
// about filesystems are in mounts_test.go.

func TestWDsAreExact(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	paths := files(t, 5)
	for i, wd := range restorableWDs(t) {
		restoreWatch(t, n, wd, paths[i], inotify.AllEvents)
	}
	want := watches(t, n)
	_, r := dumpAndRestore(t, n)
	wantSame(t, watches(t, r.Inotify), want)
	for i, path := range paths { // each watch is on its file
		os.Chmod(path, 0o644)
		wantEvents(t, queued(t, r), inotify.Event{WD: restorableWDs(t)[i], Mask: inotify.Attrib})
	}
}

func TestEventMasksAreRestored(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	var masks []inotify.Mask
	for bit := inotify.Access; bit <= inotify.MoveSelf; bit <<= 1 {
		masks = append(masks, bit)
	}
	masks = append(masks, inotify.AllEvents, inotify.Create|inotify.Delete)
	for i, path := range files(t, len(masks)) {
		restoreWatch(t, n, inotify.WD(i+1), path, masks[i])
	}
	want := watches(t, n)
	s, r := dumpAndRestore(t, n)
	wantSame(t, watches(t, r.Inotify), want)
	for i, w := range s.Watches {
		if w.Mask != masks[i] {
			t.Errorf("watch %d has mask %v in the snapshot, want %v", w.WD, w.Mask, masks[i])
		}
	}
}

func TestExclUnlinkAndOneShotAreRestored(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	dir, file := t.TempDir(), files(t, 1)[0]
	restoreWatch(t, n, 1, dir, inotify.Modify|inotify.ExclUnlink)
	restoreWatch(t, n, 2, file, inotify.Attrib|inotify.OneShot)
	want := watches(t, n)
	_, r := dumpAndRestore(t, n)
	wantSame(t, watches(t, r.Inotify), want)
	child, err := os.Create(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	os.Remove(child.Name())
	child.WriteString("of an unlinked child")
	os.Chmod(file, 0o644)
	os.Chmod(file, 0o600)
	wantEvents(t, queued(t, r), inotify.Event{WD: 2, Mask: inotify.Attrib}, inotify.Event{WD: 2, Mask: inotify.Ignored})
}

func TestMaskWithoutEventsIsRestored(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	masks := []inotify.Mask{0, inotify.ExclUnlink, inotify.OneShot}
	for i, path := range files(t, len(masks)) {
		restoreWatch(t, n, inotify.WD(i+1), path, masks[i])
	}
	want := watches(t, n)
	_, r := dumpAndRestore(t, n)
	wantSame(t, watches(t, r.Inotify), want)
}

func TestPendingEventsComeFirst(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	dir := t.TempDir()
	restoreWatch(t, n, 1, dir, inotify.Create|inotify.Move)
	touch(t, filepath.Join(dir, "a"))
	os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b\xff\n"))
	s := roundTrip(t, dump(t, n, checkpoint.WithDrain()))
	wantEvents(t, tryAll(t, n)) // they were drained
	n.Close()
	if len(s.Pending) != 3 || s.Pending[1].Cookie == 0 || s.Pending[2].Name != "b\xff\n" || s.PendingBytes != 3*32 {
		t.Fatalf("pending: %v, %d bytes", s.Pending, s.PendingBytes)
	}
	r := restore(t, s, checkpoint.WithPendingKept())
	touch(t, filepath.Join(dir, "new"))
	for ev, err := range r.Events(kerneltest.Context(t)) {
		if ev != s.Pending[0] || err != nil {
			t.Errorf("first event %v, %v, want %v", ev, err, s.Pending[0])
		}
		break
	}
	wantEvents(t, r.Pending(), s.Pending[1:]...) // each is delivered once
	want := append(slices.Clone(s.Pending[1:]), inotify.Event{WD: 1, Mask: inotify.Create, Name: "new"})
	wantEvents(t, queued(t, r), want...)
}

func TestNextWDIsRestored(t *testing.T) {
	needLists(t)
	nexts := []inotify.WD{8, 0x7f}
	if hasIoctl(t) {
		nexts = append(nexts, 1)
	}
	for _, next := range nexts {
		n := newInotify(t)
		paths := files(t, 3)
		if next == 1 {
			restoreWatch(t, n, 2147483647, paths[0], inotify.Open)
		} else {
			restoreWatch(t, n, 3, paths[0], inotify.Open)
		}
		if err := n.SetNextWD(next); err != nil {
			restoreWatch(t, n, next-1, paths[1], inotify.Open)
			n.RemoveWatch(next - 1)
			tryAll(t, n)
		}
		s := dump(t, n)
		if !hasIoctl(t) {
			if len(gaps(s.Unknown, "next_wd")) != 1 {
				t.Errorf("unknown: %v, want next_wd", s.Unknown)
			}
			s.NextWD = next
		}
		n.Close()
		if s.NextWD != next {
			t.Fatalf("next wd %d, want %d", s.NextWD, next)
		}
		r := restore(t, roundTrip(t, s))
		wantEvents(t, queued(t, r))
		if wd, err := r.Inotify.AddWatch(paths[2], inotify.Open); wd != next || err != nil {
			t.Errorf("the next watch got wd %d, %v, want %d", wd, err, next)
		}
	}
}

func TestFlagsAreRestored(t *testing.T) {
	needLists(t)
	for _, flags := range []checkpoint.Flags{0, checkpoint.NonBlock, checkpoint.CloseOnExec, checkpoint.NonBlock | checkpoint.CloseOnExec} {
		n := newInotify(t)
		restoreWatch(t, n, 5, files(t, 1)[0], inotify.Attrib)
		s := dump(t, n)
		if s.Flags != checkpoint.NonBlock|checkpoint.CloseOnExec {
			t.Fatalf("flags %v", s.Flags)
		}
		s.Flags = flags
		r := restore(t, roundTrip(t, s))
		f, pending, err := r.Release()
		if err != nil || len(pending) != 0 {
			t.Fatal(pending, err)
		}
		fd := fdOf(t, f) // f.Fd would clear O_NONBLOCK
		status, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		fdFlags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if got := fdFlags&unix.FD_CLOEXEC != 0; got != (flags&checkpoint.CloseOnExec != 0) {
			t.Errorf("%v: FD_CLOEXEC %v", flags, got)
		}
		if got := status&unix.O_NONBLOCK != 0; got != (flags&checkpoint.NonBlock != 0) {
			t.Errorf("%v: O_NONBLOCK %v", flags, got)
		}
		f.Close()
	}
}

func TestAsyncOwnerAndSignal(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	path := files(t, 1)[0]
	restoreWatch(t, n, 1, path, inotify.Attrib)
	s := dump(t, n)
	s.Flags |= checkpoint.Async
	s.Owner = checkpoint.Owner{Kind: checkpoint.OwnerProcess, ID: os.Getpid(), Self: true}
	s.Signal = int(unix.SIGUSR2)
	s = roundTrip(t, s)
	n.Close()
	received := make(chan os.Signal, 1)
	signal.Notify(received, unix.SIGUSR2)
	defer signal.Stop(received)

	// No process is signalled that the caller did not name.
	r := restore(t, s)
	if again := dump(t, r.Inotify); again.Owner.Kind != "" || again.Signal != 0 || again.Flags&checkpoint.Async != 0 {
		t.Errorf("owner %v, signal %d, flags %v without WithOwner", again.Owner, again.Signal, again.Flags)
	}
	for _, what := range []string{"owner", "signal", "flags"} {
		if len(gaps(r.NotRestored, what)) != 1 {
			t.Errorf("not restored: %v, want %s", r.NotRestored, what)
		}
	}

	r = restore(t, s, checkpoint.WithOwner(checkpoint.OwnerProcess, os.Getpid()))
	if diffs := s.Compare(dump(t, r.Inotify)); len(diffs) != 0 || len(gaps(r.NotRestored, "owner")) != 0 {
		t.Errorf("differences %v, not restored %v", diffs, r.NotRestored)
	}
	os.Chmod(path, 0o644)
	select {
	case <-received:
	case <-time.After(10 * time.Second):
		t.Error("no signal was received")
	}

	thread := checkpoint.Owner{Kind: checkpoint.OwnerThread, ID: unix.Gettid()}
	r = restore(t, s, checkpoint.WithOwner(thread.Kind, thread.ID))
	if again := dump(t, r.Inotify); again.Owner.Kind != thread.Kind || again.Owner.ID != thread.ID || !again.Owner.Self {
		t.Errorf("owner %v, want %v", again.Owner, thread)
	}
	r.Close()
	if group := (checkpoint.Owner{Kind: checkpoint.OwnerGroup, ID: unix.Getpgrp()}); group.ID > 0 { // the first process of a container has none
		r = restore(t, s, checkpoint.WithOwner(group.Kind, group.ID))
		if again := dump(t, r.Inotify); again.Owner != group {
			t.Errorf("owner %v, want %v", again.Owner, group)
		}
	}
	if _, err := s.Restore(kerneltest.Context(t), checkpoint.WithOwner("unknown", 1)); err == nil {
		t.Error("an owner of an unknown kind was accepted")
	}
}

func TestSymlinkIsNotFollowed(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	file := files(t, 1)[0]
	link := file + ".link"
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	restoreWatch(t, n, 9, link, inotify.Attrib|inotify.DontFollow)
	want := watches(t, n)
	s, r := dumpAndRestore(t, n)
	if w := s.Watches[0]; w.Path != link || w.Type != checkpoint.TypeSymlink {
		t.Errorf("path %q, type %q", w.Path, w.Type)
	}
	wantSame(t, watches(t, r.Inotify), want)
	os.Chmod(file, 0o644)
	wantEvents(t, queued(t, r))
	os.Lchown(link, os.Getuid(), os.Getgid())
	wantEvents(t, queued(t, r), inotify.Event{WD: 9, Mask: inotify.Attrib})
}

// A path that now leads to another file is refused.
func TestReplacedPathIsRefused(t *testing.T) {
	kerneltest.NeedBootID(t)
	needLists(t)
	for _, level := range []checkpoint.VerifyLevel{checkpoint.VerifyDefault, checkpoint.VerifyIdentity} {
		n := newInotify(t)
		path := files(t, 1)[0]
		restoreWatch(t, n, 1, path, inotify.Attrib)
		s := dump(t, n)
		touch(t, path+".new")
		os.Rename(path+".new", path)
		_, err := s.Restore(kerneltest.Context(t), checkpoint.WithVerify(level))
		var e *checkpoint.VerifyError
		if !errors.As(err, &e) || len(e.Differences) != 1 || e.Differences[0].WD != 1 || e.Differences[0].Field != "inode" {
			t.Fatalf("error %v", err)
		}
		for _, want := range []string{path, fmt.Sprint(s.Watches[0].Inode), s.Watches[0].Handle.String()} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not name %s", err, want)
			}
		}
		var st unix.Stat_t
		unix.Stat(path, &st)
		if !strings.Contains(err.Error(), fmt.Sprintf("found inode %d", st.Ino)) {
			t.Errorf("error %q does not name the present inode %d", err, st.Ino)
		}
		if text := (&checkpoint.VerifyError{}).Error(); !strings.Contains(err.Error(), text+": ") {
			t.Errorf("error %q has not %q, which is the text without a difference", err, text)
		}
		restore(t, s, checkpoint.WithVerify(checkpoint.VerifyWDs)) // what the caller asks for
		n.Close()
	}
}

// A target of another type is refused at each level of verification.
func TestTargetOfAnotherTypeIsRefused(t *testing.T) {
	needLists(t)
	dir, file := t.TempDir(), files(t, 1)[0]
	link := file + ".link"
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, is := range []struct {
		path string
		kind checkpoint.FileType
	}{{dir, checkpoint.TypeDirectory}, {file, checkpoint.TypeRegular}, {link, checkpoint.TypeSymlink}} {
		n := newInotify(t)
		restoreWatch(t, n, 3, is.path, inotify.Attrib|inotify.DontFollow)
		s := dump(t, n, checkpoint.WithSearchDirs(dir, filepath.Dir(file)))
		if s.Watches[0].Type != is.kind {
			t.Fatalf("type %q, want %q", s.Watches[0].Type, is.kind)
		}
		for _, level := range []checkpoint.VerifyLevel{checkpoint.VerifyNone, checkpoint.VerifyWDs} {
			for _, opts := range [][]checkpoint.RestoreOption{{checkpoint.WithVerify(level)}, {checkpoint.WithVerify(level), checkpoint.AllowMissing()}} {
				restore(t, s, opts...)
				f, err := os.OpenFile(is.path, unix.O_PATH|unix.O_NOFOLLOW, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				supplied := append(slices.Clone(opts), checkpoint.WithFileFor(func(checkpoint.Watch) (*os.File, error) { return f, nil }))
				restore(t, s, supplied...)
				for _, was := range []checkpoint.FileType{checkpoint.TypeDirectory, checkpoint.TypeRegular, checkpoint.TypeSymlink, checkpoint.TypeFIFO} {
					if was == is.kind {
						continue
					}
					other := *s
					other.Watches = slices.Clone(s.Watches)
					other.Watches[0].Type = was
					for _, opts := range [][]checkpoint.RestoreOption{opts, supplied} {
						_, err := other.Restore(kerneltest.Context(t), opts...)
						var e *checkpoint.TargetError
						if !errors.As(err, &e) || !strings.Contains(err.Error(), fmt.Sprintf("is now a %s (was a %s)", is.kind, was)) {
							t.Errorf("a %s instead of a %s: error %v", is.kind, was, err)
						}
					}
				}
			}
		}
	}
}

func TestUnlinkedFileNeedsWithFileFor(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	paths := files(t, 2)
	f, err := os.Open(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	restoreWatch(t, n, 1, paths[0], inotify.Attrib|inotify.DeleteSelf)
	restoreWatch(t, n, 2, paths[1], inotify.Attrib)
	want := watches(t, n)
	os.Remove(paths[0])
	s := roundTrip(t, dump(t, n))
	if len(gaps(s.Unknown, "path")) == 0 || s.Watches[0].Path != "" {
		t.Errorf("path %q of an unlinked file; unknown: %v", s.Watches[0].Path, s.Unknown)
	}
	_, err = s.Restore(kerneltest.Context(t))
	wantError(t, err, checkpoint.ErrNoPath)

	r := restore(t, s, checkpoint.AllowMissing())
	wantSame(t, watches(t, r.Inotify), want[1:])
	if g := gaps(r.NotRestored, "watch"); len(g) != 1 || g[0].WD != 1 {
		t.Errorf("not restored: %v", r.NotRestored)
	}

	r = restore(t, s, checkpoint.WithPendingKept(), checkpoint.WithFileFor(func(w checkpoint.Watch) (*os.File, error) {
		if w.WD == 1 {
			return f, nil
		}
		return nil, nil
	}))
	wantSame(t, watches(t, r.Inotify), want)
	n.Close()
	f.Chmod(0o644)
	wantEvents(t, queued(t, r), inotify.Event{WD: 1, Mask: inotify.Attrib})
}

// Neither a dump nor a restore queues an event, in any instance.
func TestDumpAndRestoreQueueNoEvents(t *testing.T) {
	needLists(t)
	needHandles(t)
	n := newInotify(t)
	root := t.TempDir()
	dir := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(dir, "f"))
	for i, path := range []string{"/", "/proc", "/sys", os.TempDir(), root, filepath.Dir(dir), dir, filepath.Join(dir, "f")} {
		// Other processes use these directories and cause events too.
		mask := inotify.AllEvents
		if i < 4 {
			mask = inotify.DeleteSelf
		}
		restoreWatch(t, n, inotify.WD(i+1), path, mask)
	}
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("watch", "4", "IN_ALL_EVENTS", dir)
	want := watches(t, n)
	var s *checkpoint.Snapshot
	for _, level := range []checkpoint.Paths{checkpoint.PathsNone, checkpoint.PathsByHandle} {
		var err error
		if s, err = checkpoint.Dump(kerneltest.Context(t), n, checkpoint.WithPaths(level)); err != nil {
			t.Fatal(err)
		}
		h.dump(checkpoint.WithPaths(level))
	}
	r := restore(t, s, checkpoint.AllowMissing())
	wantEvents(t, queued(t, r))
	wantEvents(t, tryAll(t, n))
	wantSame(t, watches(t, n), want)
	if text := h.do("events"); text != "" {
		t.Errorf("the other process's events:\n%s", text)
	}
}

func TestRestoreOfUnsortedWatches(t *testing.T) {
	t.Parallel()
	needLists(t)
	count := 10_000
	if !hasIoctl(t) {
		count = 500
	}
	n := newInotify(t)
	var ws []inotify.Watch
	dir := t.TempDir()
	for i := range count {
		path := filepath.Join(dir, fmt.Sprint(i))
		touch(t, path)
		ws = append(ws, inotify.Watch{WD: inotify.WD(2*count - i), Mask: inotify.Attrib, Path: path})
	}
	if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
		t.Fatal(err)
	}
	want := watches(t, n)
	s := dump(t, n, checkpoint.WithSearchDirs(dir))
	slices.Reverse(s.Watches) // Dump sorts them
	n.Close()
	wantSame(t, watches(t, restore(t, s).Inotify), want)
}

func TestHighWDWithoutTheIoctl(t *testing.T) {
	needLists(t)
	path := files(t, 1)[0]
	kerneltest.WithoutIoctl(t)
	n := newInotify(t)
	restoreWatch(t, n, 2, path, inotify.Attrib)
	s := dump(t, n)
	n.Close()
	s.Watches[0].WD = 0x34d71d6
	_, err := s.Restore(kerneltest.Context(t))
	var e *inotify.CycleError
	if !errors.As(err, &e) || e.Done != 0 || e.Steps < 0x34d71d5-2 {
		t.Fatalf("error %v", err)
	}

	// With a higher limit the cycle runs, reports its progress, and is cancelled.
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	calls := 0
	_, err = s.Restore(ctx, checkpoint.WithCycle(inotify.WithMaxSteps(1<<30), inotify.WithProgress(func(p inotify.Progress) {
		if calls++; p.Steps != e.Steps || p.Done == 0 {
			t.Errorf("progress %+v", p)
		}
		cancel()
	})))
	wantError(t, err, context.Canceled)
	if calls == 0 {
		t.Error("no progress was reported")
	}

	s.Watches[0].WD, s.NextWD = 300, 0
	r := restore(t, s)
	if ws := watches(t, r.Inotify); len(ws) != 1 || ws[0].WD != 300 {
		t.Errorf("watches %v", ws)
	}
	s.NextWD = 500
	r = restore(t, s)
	wantEvents(t, queued(t, r))
	if wd, err := r.Inotify.AddWatch(t.TempDir(), inotify.Create); wd != 500 || err != nil {
		t.Errorf("the next wd is %d, %v, want 500", wd, err)
	}
	for _, next := range []inotify.WD{7, 1 << 30} { // below the watch's wd, and too many steps
		s.NextWD = next
		r = restore(t, s)
		if len(gaps(r.NotRestored, "next_wd")) != 1 {
			t.Errorf("next wd %d: not restored: %v", next, r.NotRestored)
		}
		if wd, err := r.Inotify.AddWatch(t.TempDir(), inotify.Create); next == 7 && wd != 301 || err != nil {
			t.Errorf("next wd %d: the next watch got wd %d, %v, want 301", next, wd, err)
		}
		wantEvents(t, queued(t, r))
	}
}

// A restore that fails leaves no descriptor open. TestMain checks the same after all tests.
func TestFailedRestoreLeaksNoDescriptor(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	path := files(t, 1)[0]
	restoreWatch(t, n, 1, path, inotify.Attrib)
	s := dump(t, n)
	s.Owner = checkpoint.Owner{Kind: checkpoint.OwnerProcess, ID: 1}
	closed, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	before := len(kerneltest.OpenDescriptors())
	for name, opts := range map[string][]checkpoint.RestoreOption{
		"an error":      {checkpoint.WithFileFor(func(checkpoint.Watch) (*os.File, error) { return nil, os.ErrPermission })},
		"a closed file": {checkpoint.WithFileFor(func(checkpoint.Watch) (*os.File, error) { return closed, nil })},
		"another type": {checkpoint.WithFileFor(func(checkpoint.Watch) (*os.File, error) {
			f, err := os.Open(t.TempDir())
			t.Cleanup(func() { f.Close() })
			before++
			return f, err
		})},
		"no process": {checkpoint.WithOwner(checkpoint.OwnerProcess, 1<<30)},
	} {
		if _, err := s.Restore(kerneltest.Context(t), opts...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	os.Remove(path)
	if _, err := s.Restore(kerneltest.Context(t)); err == nil {
		t.Error("no error without the file")
	}
	if after := len(kerneltest.OpenDescriptors()); after != before {
		t.Errorf("%d descriptors are open, want %d: %v", after, before, kerneltest.OpenDescriptors())
	}
}
