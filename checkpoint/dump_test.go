// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// nobody is a user without privileges.
const nobody = 65534

// wantGaps compares the fields of the gaps, each of which must have a reason.
func wantGaps(t testing.TB, list []checkpoint.Gap, want ...string) {
	t.Helper()
	var got []string
	for _, g := range list {
		if g.Reason == "" {
			t.Errorf("%v has no reason", g)
		}
		got = append(got, string(g.Field))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("gaps %v, want %q", list, want)
	}
}

func TestDumpOwn(t *testing.T) {
	kerneltest.NeedBootID(t)
	needLists(t)
	n := newInotify(t)
	file := files(t, 1)[0]
	dir := filepath.Dir(file)
	restoreWatch(t, n, 3, dir, inotify.Create)
	restoreWatch(t, n, 9, file, inotify.Attrib|inotify.OneShot)
	touch(t, file+"2")
	want := watches(t, n)
	s := dump(t, n)
	wantEvents(t, tryAll(t, n), inotify.Event{WD: 3, Mask: inotify.Create, Name: "f02"}) // still queued
	for i, w := range s.Watches {
		w.Path = ""
		if w.Watch != want[i] {
			t.Errorf("watch %+v, want %+v", w.Watch, want[i])
		}
	}
	if s.Watches[0].Path != dir || s.Watches[0].Type != checkpoint.TypeDirectory || s.Watches[1].Path != file || s.Watches[1].Type != checkpoint.TypeRegular {
		t.Errorf("watches %+v", s.Watches)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || s.BootID+"\n" != string(id) {
		t.Errorf("boot id %q, want %q, %v", s.BootID, id, err)
	}
	if s.PendingBytes != 32 || s.Pending != nil || s.Flags != checkpoint.NonBlock|checkpoint.CloseOnExec || s.Owner.Kind != "" || s.Signal != 0 {
		t.Errorf("snapshot %+v", s)
	}
	if link, err := os.Readlink(fmt.Sprint("/proc/self/fd/", s.FD)); err != nil || link != "anon_inode:inotify" {
		t.Errorf("descriptor %d is %q, %v", s.FD, link, err)
	}
	if hasIoctl(t) {
		wantGaps(t, s.Unknown, "pending")
	} else {
		wantGaps(t, s.Unknown, "pending", "next_wd")
	}
	wantSame(t, watches(t, n), want)
	wantSideEffect(t, s, checkpoint.SideEffectProbed, hasIoctl(t))
	wantSideEffect(t, s, checkpoint.SideEffectDrained, false)
	s = dump(t, n, checkpoint.WithDrain())
	wantSideEffect(t, s, checkpoint.SideEffectDrained, true)
}

func TestDumpFails(t *testing.T) {
	n := newInotify(t)
	if _, err := n.AddWatch("/", inotify.DeleteSelf); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Watches(); err != nil { // gVisor
		_, err := checkpoint.Dump(kerneltest.Context(t), n)
		wantError(t, err, errors.ErrUnsupported)
		if _, err := checkpoint.DumpFD(kerneltest.Context(t), os.Getpid(), fdOf(t, n)); err == nil {
			t.Error("an instance was dumped on a kernel that lists no watches")
		}
		return
	}
	ended, cancel := context.WithCancel(kerneltest.Context(t))
	cancel()
	_, err := checkpoint.Dump(ended, n)
	wantError(t, err, context.Canceled)
	_, err = checkpoint.DumpFD(ended, os.Getpid(), fdOf(t, n))
	wantError(t, err, context.Canceled)
	n.Close()
	_, err = checkpoint.Dump(kerneltest.Context(t), n)
	wantError(t, err, os.ErrClosed)

	_, err = checkpoint.DumpFD(kerneltest.Context(t), os.Getpid(), 0)
	wantError(t, err, unix.EINVAL)
	wantError(t, err, checkpoint.ErrNotInotify)
	_, err = checkpoint.DumpFD(kerneltest.Context(t), os.Getpid(), 1<<30)
	wantError(t, err, fs.ErrNotExist)
	_, err = checkpoint.DumpFD(kerneltest.Context(t), os.Getpid(), -1)
	wantError(t, err, fs.ErrNotExist)
	for _, pid := range []int{0, -1, 1 << 30} {
		if _, err := checkpoint.DumpFD(kerneltest.Context(t), pid, 3); err == nil || !strings.Contains(err.Error(), strconv.Itoa(pid)) {
			t.Errorf("process %d: error %v", pid, err)
		}
	}
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	fd := h.fd()
	h.end()
	if _, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd); err == nil {
		t.Error("an instance of an exited process was dumped")
	}
}

// An instance of another process is dumped and not changed.
func TestDumpFD(t *testing.T) {
	needLists(t)
	kerneltest.NeedFlags(t)
	needHandles(t)
	dir := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("watch", "3", "IN_CREATE", dir)
	h.do("watch", "400", "IN_ATTRIB|IN_ONESHOT", "/proc/self/exe")
	fd := h.fd()
	h.do("fcntl", fmt.Sprint(unix.F_SETOWN), fmt.Sprint(h.pid))
	h.do("fcntl", "10", "12") // F_SETSIG
	h.do("fcntl", fmt.Sprint(unix.F_SETFD), "0")
	touch(t, filepath.Join(dir, "new"))
	s := h.dump()
	if len(s.Watches) != 2 || s.Watches[0].Path != dir || s.Watches[0].WD != 3 || s.Watches[1].WD != 400 || s.Watches[1].Type != checkpoint.TypeRegular {
		t.Fatalf("watches %+v", s.Watches)
	}
	if s.Watches[1].Path == "" { // the test program may be unlinked or not cached
		t.Log(s.Unknown)
	}
	self := checkpoint.Owner{Kind: checkpoint.OwnerProcess, ID: h.pid, Self: true}
	if s.FD != fd || s.Flags != checkpoint.NonBlock || s.Owner != self || s.Signal != 12 || s.PendingBytes != 32 || s.NextWD != 0 {
		t.Errorf("snapshot %+v", s)
	}
	for _, what := range []string{"next_wd", "pending"} {
		if len(gaps(s.Unknown, what)) != 1 {
			t.Errorf("unknown: %v, want %s", s.Unknown, what)
		}
	}
	if len(s.SideEffects) != 2 { // a duplicate, handles
		t.Errorf("side effects %q", s.SideEffects)
	}
	if got, want := h.do("events"), "3 IN_CREATE new\n"; got != want {
		t.Errorf("the process's events %q, want %q", got, want)
	}
	if hasIoctl(t) {
		if next := h.do("nextwd"); next != "401" {
			t.Errorf("the process's next wd is %s, want 401", next)
		}
	}
	again := h.dump(checkpoint.WithPaths(checkpoint.PathsNone))
	if diffs := s.Compare(again); len(diffs) != 0 {
		t.Errorf("differences: %v", diffs)
	}
	for _, what := range []string{"path", "type"} {
		if g := gaps(again.Unknown, what); len(g) != 1 || g[0].WD != 0 {
			t.Errorf("unknown: %v, want %s", again.Unknown, what)
		}
	}
	if len(again.SideEffects) != 1 {
		t.Errorf("side effects %q", again.SideEffects)
	}
}

// program is a C program that does not use the library. It has an instance that blocks as
// its descriptor 9, and waits.
const program = `
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = inotify_init();
	if (fd < 0 || inotify_add_watch(fd, argv[1], IN_ALL_EVENTS | IN_EXCL_UNLINK) != 1 ||
	    inotify_add_watch(fd, argv[2], IN_MODIFY) != 2 || inotify_rm_watch(fd, 1) != 0 ||
	    inotify_add_watch(fd, argv[1], IN_DELETE) != 3 || dup2(fd, 9) != 9 || close(fd) != 0)
		return 1;
	puts("ready");
	fflush(stdout);
	getchar();
	return 0;
}
`

func TestDumpCProgram(t *testing.T) {
	needLists(t)
	kerneltest.NeedDuplicates(t)
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("this needs a C compiler: ", err)
	}
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "hold.c"), filepath.Join(dir, "hold")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-o", binary, source).CombinedOutput(); err != nil {
		t.Skipf("this needs a C compiler: %v: %s", err, out)
	}
	watched := filepath.Join(dir, "watched")
	if err := os.Mkdir(watched, 0o700); err != nil {
		t.Fatal(err)
	}
	h := startCommand(t, exec.Command(binary, watched, source))
	if line, err := h.out.ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	is, err := checkpoint.Instances(context.Background(), h.pid)
	if err != nil || len(is) != 1 || is[0].Watches != 2 || !slices.Equal(is[0].Descriptors, []checkpoint.Descriptor{{PID: h.pid, FD: 9}}) {
		t.Fatalf("instances %+v, %v", is, err)
	}
	opts := []checkpoint.DumpOption{checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(dir), checkpoint.WithDrain()}
	if _, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, 9, opts...); !errors.Is(err, checkpoint.ErrNotStopped) {
		t.Errorf("drained while it runs: error %v", err)
	}
	h.stop()
	s, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, 9, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if s.Flags != 0 || s.FD != 9 || len(s.Watches) != 2 {
		t.Errorf("snapshot %+v", s)
	}
	wantEvents(t, s.Pending, inotify.Event{WD: 1, Mask: inotify.Ignored})
	s = roundTrip(t, s)
	unix.Kill(h.pid, unix.SIGKILL)
	r := restore(t, s)
	got := watches(t, r.Inotify)
	if len(got) != 2 || got[0].WD != 2 || got[0].Mask != inotify.Modify || got[1].WD != 3 || got[1].Mask != inotify.Delete {
		t.Errorf("watches %+v", got)
	}
	if wd, err := r.Inotify.AddWatch(dir, inotify.Open); hasIoctl(t) && (wd != 4 || err != nil) {
		t.Errorf("the next wd is %d, %v, want 4", wd, err)
	}
	f, pending, err := r.Release()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantEvents(t, append(pending, read(t, f)...), inotify.Event{WD: 1, Mask: inotify.Ignored})
}

// An unprivileged user can dump the instances of their own processes, without file handles.
func TestDumpUnprivileged(t *testing.T) {
	needLists(t)
	uid := os.Geteuid()
	if uid == 0 {
		uid = nobody
	}
	root, err := os.MkdirTemp("", "dump")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	os.Chmod(root, 0o755)
	dir := filepath.Join(root, "dir")
	os.Mkdir(dir, 0o777)
	os.Chmod(dir, 0o777)
	target := startHolder(t, 0, uid)
	if _, err := target.try("new"); err != nil {
		t.Skip("this needs a user that can run the test: ", err)
	}
	target.do("watch", "7", "IN_CREATE", dir)
	dumper := startHolder(t, 0, uid)
	for _, level := range []string{"handles", "search"} {
		out := filepath.Join(dir, "snapshot."+level)
		if _, err := dumper.try("dump", fmt.Sprint(target.pid), fmt.Sprint(target.fd()), level, root, out); err != nil {
			t.Skip("this needs a user who may read their own processes: ", err)
		}
		f, err := os.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		s, err := checkpoint.Read(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		switch w := s.Watches[0]; {
		case level == "handles" && (w.Path != "" || len(gaps(s.Unknown, "path")) == 0 || len(gaps(s.Unknown, "type")) == 0):
			t.Errorf("path %q, unknown: %v", w.Path, s.Unknown)
		case level == "search" && w.Path != dir:
			t.Errorf("path %q, unknown: %v", w.Path, s.Unknown)
		}
	}
	if got := target.do("events"); got != "7 IN_CREATE snapshot.handles\n7 IN_CREATE snapshot.search\n" {
		t.Errorf("the process's events %q", got)
	}
}

// Without permission to read the process, DumpFD fails with EACCES.
func TestDumpFDWithoutPermission(t *testing.T) {
	needLists(t)
	needRoot(t)
	target := startHolder(t, 0, 0)
	target.do("new")
	dumper := startHolder(t, 0, nobody)
	_, err := dumper.try("dump", fmt.Sprint(target.pid), fmt.Sprint(target.fd()), "handles", "/", "/dev/null")
	if err == nil || !strings.Contains(err.Error(), unix.EACCES.Error()) {
		t.Errorf("error %v", err)
	}
}

func TestResolver(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	paths := files(t, 3)
	for i, path := range paths {
		restoreWatch(t, n, inotify.WD(i+1), path, inotify.Attrib)
	}
	var asked []inotify.WD
	s, err := checkpoint.Dump(kerneltest.Context(t), n, checkpoint.WithPaths(checkpoint.PathsNone), checkpoint.WithResolver(func(w inotify.Watch) (string, error) {
		asked = append(asked, w.WD)
		switch w.WD {
		case 1:
			return paths[0], nil
		case 2:
			return paths[0], nil // the wrong one
		}
		return "", errors.New("no path for this watch")
	}))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked, []inotify.WD{1, 2, 3}) || s.Watches[0].Path != paths[0] || s.Watches[1].Path != "" || s.Watches[2].Path != "" {
		t.Errorf("the resolver was called for %v; watches %v", asked, s.Watches)
	}
	g := gaps(s.Unknown, "path")
	if len(g) != 2 || g[0].WD != 2 || g[1].WD != 3 || !strings.Contains(g[1].Reason, "no path for this watch") {
		t.Errorf("unknown: %v", s.Unknown)
	}
	if s.Watches[0].Type != checkpoint.TypeRegular {
		t.Errorf("type %q", s.Watches[0].Type)
	}
}

// wantSideEffect checks whether a kind of side effect is listed.
func wantSideEffect(t testing.TB, s *checkpoint.Snapshot, kind checkpoint.SideEffectKind, want bool) {
	t.Helper()
	if got := slices.ContainsFunc(s.SideEffects, func(e checkpoint.SideEffect) bool { return e.Kind == kind }); got != want {
		t.Errorf("side effects %v: %q among them: %v", s.SideEffects, kind, got)
	}
}

func TestSearchBounds(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	path := files(t, 300)[299]
	restoreWatch(t, n, 1, path, inotify.Attrib)
	dir := filepath.Dir(path)
	moved := filepath.Join(dir, "deep", "zz")
	os.Mkdir(filepath.Dir(moved), 0o700)
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	touch(t, path)
	opts := []checkpoint.DumpOption{
		checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(dir),
		checkpoint.WithResolver(func(inotify.Watch) (string, error) { return path, nil }), // a wrong one
	}
	s, err := checkpoint.Dump(kerneltest.Context(t), n, append(opts, checkpoint.WithMaxSearchEntries(1))...)
	if err != nil {
		t.Fatal(err)
	}
	if s.Watches[0].Path == "" {
		if g := gaps(s.Unknown, "path"); len(g) < 2 || !slices.ContainsFunc(g, func(g checkpoint.Gap) bool { return g.WD == 0 && strings.Contains(g.Reason, "not searched") }) {
			t.Errorf("unknown: %v, want what was not searched", s.Unknown)
		}
	} else if os.Geteuid() != 0 { // root finds it by its handle
		t.Errorf("path %q was found after one entry", s.Watches[0].Path)
	}
	s, err = checkpoint.Dump(kerneltest.Context(t), n, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if s.Watches[0].Path != moved {
		t.Errorf("path %q, unknown: %v", s.Watches[0].Path, s.Unknown)
	}
}

// If every path was found, directories that were not searched are not listed.
func TestCompleteSearchHasNoGaps(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	const path = "/proc/sys/kernel" // its file handle cannot be opened
	if _, err := n.AddWatch(path, inotify.Attrib); err != nil {
		t.Skip("this needs /proc/sys: ", err)
	}
	kerneltest.KeepCached(t, path)
	s := dump(t, n, checkpoint.WithSearchDirs(filepath.Join(t.TempDir(), "missing"), "/proc/sys"))
	if s.Watches[0].Path != path {
		t.Skip("this needs a search that finds "+path+": ", s.Unknown)
	}
	if g := gaps(s.Unknown, "path"); len(g) != 0 {
		t.Errorf("every path was found; unknown: %v", g)
	}
}

// The directories that were searched are listed as a side effect, and those that
// WithMaxSearchEntries excluded as unknown.
func TestSearchIsListedAsSideEffect(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	if _, err := n.AddWatch("/proc/sys/kernel", inotify.Attrib); err != nil { // its file handle cannot be opened
		t.Skip("this needs /proc/sys: ", err)
	}
	dir := filepath.Dir(files(t, 50)[0])
	s := dump(t, n, checkpoint.WithSearchDirs(dir), checkpoint.WithMaxSearchEntries(10))
	if !slices.Contains(s.SideEffects, checkpoint.SideEffect{Kind: checkpoint.SideEffectTreeRead, Detail: dir}) {
		t.Errorf("side effects %v, want that %s was read", s.SideEffects, dir)
	}
	notSearched := func(g checkpoint.Gap) bool { return g.WD == 0 && strings.Contains(g.Reason, "was not searched") }
	if g := gaps(s.Unknown, "path"); !slices.ContainsFunc(g, notSearched) {
		t.Errorf("unknown: %v, want what was not searched", s.Unknown)
	}
}

// Without pidfd_getfd, everything that does not need a duplicate is dumped.
func TestDumpWithoutADuplicate(t *testing.T) {
	kerneltest.NeedBootID(t)
	needLists(t)
	// In a process that this thread starts, the call fails on all threads.
	kerneltest.FailCalls(t, unix.SYS_PIDFD_GETFD, 0, 0, true, unix.EPERM)
	if !kerneltest.Again(t, &syscall.SysProcAttr{}) {
		return
	}
	dir := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("watch", "3", "IN_CREATE", dir)
	s := h.dump(checkpoint.WithPaths(checkpoint.PathsNone))
	wantGaps(t, s.Unknown, "owner", "signal", "pending_bytes", "pending", "next_wd", "path", "type")
	wantSideEffect(t, s, checkpoint.SideEffectDuplicated, false)
	if len(s.Watches) != 1 || s.Watches[0].WD != 3 || s.Flags != checkpoint.NonBlock|checkpoint.CloseOnExec {
		t.Errorf("snapshot %+v", s)
	}
	h.stop()
	if s, err := h.drain(h.fd()); !errors.Is(err, unix.EPERM) || s != nil {
		t.Errorf("drained: %v, %v", s, err)
	}
}

// Without a duplicate, a descriptor whose fdinfo lists no watches may be another file by now.
// It is dumped only if the process is stopped.
func TestDumpWithoutADuplicateOrWatches(t *testing.T) {
	needLists(t)
	// In a process that this thread starts, the call fails on all threads.
	kerneltest.FailCalls(t, unix.SYS_PIDFD_GETFD, 0, 0, true, unix.EPERM)
	if !kerneltest.Again(t, &syscall.SysProcAttr{}) {
		return
	}
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	fd := h.fd()
	if s, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd); !errors.Is(err, unix.EPERM) || !errors.Is(err, checkpoint.ErrNotStopped) {
		t.Errorf("snapshot %+v, error %v", s, err)
	}
	h.stop()
	if s, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd); err != nil || len(s.Watches) != 0 || s.Flags != checkpoint.NonBlock|checkpoint.CloseOnExec {
		t.Errorf("snapshot %+v, error %v", s, err)
	}
}

// Without kcmp, the duplicate cannot be compared with the descriptor: FD_CLOEXEC is unknown
// unless the process is stopped.
func TestDumpWithoutKcmp(t *testing.T) {
	needLists(t)
	// In a process that this thread starts, the call fails on all threads.
	kerneltest.FailCalls(t, unix.SYS_KCMP, 0, 0, true, unix.EPERM)
	if !kerneltest.Again(t, &syscall.SysProcAttr{}) {
		return
	}
	dir := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("watch", "3", "IN_CREATE", dir)
	s := h.dump(checkpoint.WithPaths(checkpoint.PathsNone))
	if g := gaps(s.Unknown, "flags"); len(g) != 1 || !strings.Contains(g[0].Reason, "FD_CLOEXEC") || !strings.HasSuffix(g[0].Reason, "kcmp: operation not permitted") || s.Flags != checkpoint.NonBlock {
		t.Errorf("flags %v, unknown: %v", s.Flags, s.Unknown)
	}
	h.stop() // a stopped process cannot replace the descriptor
	if s, err := h.drain(h.fd()); err != nil || s.Flags != checkpoint.NonBlock|checkpoint.CloseOnExec || !s.Known("flags") {
		t.Errorf("snapshot %+v, error %v", s, err)
	}
}

// WithProgress is called during a long search.
func TestSearchProgress(t *testing.T) {
	kerneltest.Long(t, "this walks a filesystem")
	needLists(t)
	n := newInotify(t)
	f, err := os.Open(files(t, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	restoreWatch(t, n, 1, f.Name(), inotify.Attrib)
	os.Remove(f.Name()) // so that it is not found
	last, shown := 0, 0
	s, err := checkpoint.Dump(kerneltest.Context(t), n, checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithMaxSearchEntries(2_000_000),
		checkpoint.WithSearchDirs("/usr"), checkpoint.WithProgress(func(entries int) {
			if shown++; entries < last {
				t.Errorf("%d entries after %d", entries, last)
			}
			last = entries
		}))
	if err != nil {
		t.Fatal(err)
	}
	wantSideEffect(t, s, checkpoint.SideEffectTreeRead, shown > 0)
	if shown == 0 {
		t.Skip("this needs a search that takes longer than a tenth of a second")
	}
}

func TestHundredThousandWatches(t *testing.T) {
	kerneltest.Long(t, "this makes 100,000 files")
	needLists(t)
	needIoctl(t)
	needHandles(t)
	kerneltest.ManyWatches(t)
	const total = 100_000
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "watches"); err == nil { // a tmpfs is faster
		dir = shm
		defer os.RemoveAll(shm)
	}
	ws := make([]inotify.Watch, total)
	for i := range ws {
		path := filepath.Join(dir, fmt.Sprint(i))
		if i%100 == 0 {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		} else if err := unix.Mknod(path, unix.S_IFREG|0o600, 0); err != nil {
			t.Fatal(err)
		}
		ws[i] = inotify.Watch{WD: inotify.WD(3 * (i + 1)), Mask: inotify.AllEvents, Path: path}
	}
	n := newInotify(t)
	if err := n.RestoreWatches(kerneltest.Context(t), ws); errors.As(err, new(*inotify.LimitError)) {
		t.Skip("this needs 100,000 watches: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	want := watches(t, n)
	s := dump(t, n, checkpoint.WithPaths(checkpoint.PathsByHandle))
	for i, w := range s.Watches {
		if w.Path != ws[i].Path {
			t.Fatalf("watch %d: path %q, want %q", w.WD, w.Path, ws[i].Path)
		}
	}
	s = roundTrip(t, s)
	n.Close()
	r := restore(t, s)
	wantSame(t, watches(t, r.Inotify), want)
	wantEvents(t, queued(t, r))
}
