// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// The inotify tests of CRIU (test/zdtm/static): a process that has an instance is dumped and
// exits, another process restores the instance, and events follow.
//
//	inotify00            a directory and a removed file in it that is
//	                     still open: events of its close, and of a new
//	                     file, are reported                             TestZDTM00RemovedFile
//	inotify01            the same with a filesystem that is mounted
//	                     only in another process's namespace, and
//	                     nothing removed                                TestZDTM01OtherNamespace
//	inotify02            64 directories are watched again               TestZDTM02ManyDirectories
//	inotify04            two instances watch one file; dump and
//	                     restore queue no event in either               TestZDTM04NoEventQueued
//	inotify_irmap        two files whose handles are not used: a search
//	                     finds their paths, and opening them is
//	                     reported                                       TestZDTMIrmapFoundBySearch
//	inotify_system       a directory, a file, and a symbolic link
//	                     itself, used in every way and removed: the
//	                     events that were pending at the dump are read
//	                     after the restore                              TestZDTMSystemPending/removed
//	inotify_system_nodel the same without the removal                   TestZDTMSystemPending/left
//
// Differences: an unlinked file, or one of another mount namespace, is restored only through a
// descriptor that the restoring program supplies, as CRIU does from the process that it
// restores. CRIU's inotify04 has both instances in one process, and its inotify_irmap has the
// files in /etc, where CRIU begins to search; here WithSearchDirs says where.

// stopAndDump stops the process and dumps its instance.
func (h *holder) stopAndDump(opts ...checkpoint.DumpOption) *checkpoint.Snapshot {
	h.t.Helper()
	h.fd() // a stopped process does not answer
	h.stop()
	return roundTrip(h.t, h.dump(opts...))
}

// wantLines reads and compares the queued events of the process.
func (h *holder) wantLines(want string) {
	h.t.Helper()
	if got := h.do("events"); got != want {
		h.t.Errorf("events:\n%swant:\n%s", got, want)
	}
}

// wantRestored makes the process restore s, and checks that the kernel lists the same
// watches.
func (h *holder) wantRestored(s *checkpoint.Snapshot, opts ...string) {
	h.t.Helper()
	if err := h.restore(s, opts...); err != nil {
		h.t.Fatalf("restoring: %v", err)
	}
	again := h.dump(checkpoint.WithPaths(checkpoint.PathsNone))
	if diffs := s.Compare(again); len(diffs) != 0 || len(again.Watches) != len(s.Watches) {
		h.t.Errorf("differences %v, watches %+v", diffs, again.Watches)
	}
}

// wantNoPathError checks that s is not restored without the files that it needs.
func (h *holder) wantNoPathError(s *checkpoint.Snapshot) {
	h.t.Helper()
	if err := h.restore(s); err == nil || !strings.Contains(err.Error(), checkpoint.ErrNoPath.Error()) {
		h.t.Errorf("error %v, want one that is %v", err, checkpoint.ErrNoPath)
	}
}

// named resolves wds 1, 2 and so on to these paths. It is for where handles cannot be opened
// and a search would cause events or read everything.
func named(paths ...string) checkpoint.DumpOption {
	return checkpoint.WithResolver(func(w inotify.Watch) (string, error) {
		if int(w.WD) > len(paths) {
			return "", nil
		}
		return paths[w.WD-1], nil
	})
}

// below finds paths by search where handles cannot be opened.
func below(dir string) []checkpoint.DumpOption {
	return []checkpoint.DumpOption{checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(dir)}
}

const zdtmMask = "IN_CREATE|IN_DELETE|IN_DELETE_SELF|IN_CLOSE_WRITE"

func TestZDTM00RemovedFile(t *testing.T) {
	needLists(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	held := fmt.Sprintf("/proc/%d/fd/%s", h.pid, h.do("create", path))
	h.do("watch", "1", zdtmMask, dir)
	h.do("watch", "2", zdtmMask, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	h.wantLines("1 IN_DELETE file\n")
	s := h.stopAndDump(named(dir, path))
	if s.Watches[0].Path != dir || s.Watches[1].Path != "" || len(gaps(s.Unknown, "path")) == 0 {
		t.Errorf("paths %q and %q, unknown: %v", s.Watches[0].Path, s.Watches[1].Path, s.Unknown)
	}

	next := startHolder(t, 0, os.Geteuid())
	held = "/proc/self/fd/" + next.do("create", held)
	h.end()
	next.wantNoPathError(s)
	next.wantRestored(s, "2 "+held)
	next.wantLines("")
	next.do("close")
	next.wantLines("1 IN_CLOSE_WRITE file\n2 IN_CLOSE_WRITE \n2 IN_DELETE_SELF \n2 IN_IGNORED \n")
	touch(t, path)
	next.wantLines("1 IN_CREATE file\n1 IN_CLOSE_WRITE file\n")
}

func TestZDTM01OtherNamespace(t *testing.T) {
	mounter, at := startMounter(t)
	dir := fmt.Sprintf("/proc/%d/fd/%s", mounter.pid, mounter.do("open", at))
	path := dir + "/file"
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("create", path)
	h.do("watch", "1", zdtmMask, dir)
	h.do("watch", "2", zdtmMask, path)
	s := h.stopAndDump()
	h.wantNoPaths(s, "")

	next := startHolder(t, 0, os.Geteuid())
	next.do("create", path)
	h.end()
	next.wantNoPathError(s)
	next.wantRestored(s, "1 "+dir, "2 "+path)
	next.wantLines("")
	next.do("close")
	next.wantLines("1 IN_CLOSE_WRITE file\n2 IN_CLOSE_WRITE \n")
}

func TestZDTM02ManyDirectories(t *testing.T) {
	needLists(t)
	const count = 64
	root := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	for i := range count {
		dir := filepath.Join(root, fmt.Sprint("d", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		h.do("watch", fmt.Sprint(i+1), zdtmMask, dir)
	}
	s := h.stopAndDump(below(root)...)
	if len(s.Watches) != count {
		t.Fatalf("%d watches, want %d", len(s.Watches), count)
	}
	h.end()
	next := startHolder(t, 0, os.Geteuid())
	next.wantRestored(s)
	want := ""
	for i := range count { // each watch is on its directory
		touch(t, filepath.Join(root, fmt.Sprint("d", i), "file"))
		want += fmt.Sprintf("%d IN_CREATE file\n%[1]d IN_CLOSE_WRITE file\n", i+1)
	}
	next.wantLines(want)
}

func TestZDTM04NoEventQueued(t *testing.T) {
	needLists(t)
	path := files(t, 1)[0]
	var first, second [2]*holder
	var s [2]*checkpoint.Snapshot
	for i := range first {
		first[i] = startHolder(t, 0, os.Geteuid())
		first[i].do("new")
		first[i].do("watch", "1", "IN_ALL_EVENTS", path)
	}
	for i, h := range first {
		s[i] = h.stopAndDump(below(filepath.Dir(path))...)
		if s[i].PendingBytes != 0 {
			t.Errorf("%d bytes of events are in the dump", s[i].PendingBytes)
		}
	}
	for i, h := range first {
		h.end()
		second[i] = startHolder(t, 0, os.Geteuid())
	}
	for i, h := range second {
		h.wantRestored(s[i])
	}
	for _, h := range second {
		h.wantLines("")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, h := range second {
		h.wantLines("1 IN_ATTRIB \n")
	}
}

func TestZDTMIrmapFoundBySearch(t *testing.T) {
	needLists(t)
	kerneltest.DropReadSearch(t)
	dir := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	names := []string{1: filepath.Join(dir, "a"), 2: filepath.Join(dir, "b")}
	for wd, name := range names[1:] {
		touch(t, name)
		h.do("watch", fmt.Sprint(wd+1), "IN_OPEN", name)
	}
	h.fd()
	h.stop()
	dumper := startHolder(t, 0, os.Geteuid())
	for _, level := range []string{"handles", "search"} {
		file := filepath.Join(dir, level)
		dumper.do("dump", fmt.Sprint(h.pid), fmt.Sprint(h.fd()), level, dir, file)
		s := readSnapshot(t, file)
		for _, w := range s.Watches {
			want := ""
			if level == "search" {
				want = names[w.WD]
			}
			if w.Path != want {
				t.Errorf("by %s: path %q, want %q; unknown: %v", level, w.Path, want, s.Unknown)
			}
		}
	}
	h.end()
	next := startHolder(t, 0, os.Geteuid())
	next.wantRestored(readSnapshot(t, filepath.Join(dir, "search")))
	next.wantLines("")
	for wd, name := range names[1:] {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		next.wantLines(fmt.Sprintf("%d IN_OPEN \n", wd+1))
	}
}

func readSnapshot(t testing.TB, file string) *checkpoint.Snapshot {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := checkpoint.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The wds are 1 for the directory, 2 for the link and 3 for the file.
const (
	systemUse = "1 IN_CREATE file\n1 IN_OPEN file\n1 IN_CLOSE_NOWRITE file\n1 IN_CREATE link\n" +
		"1 IN_ATTRIB file\n3 IN_ATTRIB \n" +
		"1 IN_OPEN file\n3 IN_OPEN \n1 IN_MODIFY file\n3 IN_MODIFY \n1 IN_CLOSE_WRITE file\n3 IN_CLOSE_WRITE \n" +
		"1 IN_OPEN file\n3 IN_OPEN \n1 IN_ACCESS file\n3 IN_ACCESS \n1 IN_CLOSE_NOWRITE file\n3 IN_CLOSE_NOWRITE \n" +
		"1 IN_MOVED_FROM file\n3 IN_MOVE_SELF \n1 IN_MOVED_TO file\n3 IN_MOVE_SELF \n"
	systemRemoval = "3 IN_ATTRIB \n3 IN_DELETE_SELF \n3 IN_IGNORED \n1 IN_DELETE file\n" +
		"2 IN_ATTRIB \n2 IN_DELETE_SELF \n2 IN_IGNORED \n1 IN_DELETE link\n" +
		"1 IN_DELETE_SELF \n1 IN_IGNORED \n"
)

func TestZDTMSystemPending(t *testing.T) {
	needLists(t)
	kerneltest.NeedDuplicates(t)
	for name, removed := range map[string]bool{"removed": true, "left": false} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "dir")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
			h := startHolder(t, 0, os.Geteuid())
			h.do("new")
			h.fd()
			n := newInotify(t) // gets the same events, and is not dumped
			watch := func(wd inotify.WD, path string) {
				const mask = inotify.AllEvents | inotify.DontFollow
				h.do("watch", fmt.Sprint(wd), mask.String(), path)
				restoreWatch(t, n, wd, path, mask)
			}
			watch(1, dir)
			try := func(errs ...error) {
				t.Helper()
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
			}
			f, err := os.OpenFile(file, os.O_CREATE|os.O_RDONLY, 0o644)
			try(err, f.Close(), os.Symlink("file", link))
			watch(2, link)
			watch(3, file)
			try(os.Chmod(link, 0o755))
			f, err = os.OpenFile(link, os.O_RDWR|os.O_CREATE, 0)
			try(err)
			_, err = f.WriteString("string")
			try(err, f.Close())
			f, err = os.Open(link)
			try(err)
			_, err = f.Read(make([]byte, 100))
			try(err, f.Close())
			elsewhere := filepath.Join(root, "file")
			try(os.Rename(file, elsewhere), os.Rename(elsewhere, file))
			remove := func() { try(unix.Unlink(file), unix.Unlink(link), unix.Rmdir(dir)) }
			want := systemUse
			if removed {
				remove()
				want += systemRemoval
			}

			s := h.stopAndDump(named(dir, link, file), checkpoint.WithDrain())
			reference := tryAll(t, n)
			if got := lines(reference); got != want {
				t.Errorf("events of the other instance:\n%swant:\n%s", got, want)
			}
			wantEvents(t, s.Pending, reference...) // with the cookies of the moves
			h.end()
			next := startHolder(t, 0, os.Geteuid())
			next.wantRestored(s)
			if removed && len(s.Watches) != 0 {
				t.Errorf("watches %v", s.Watches)
			}
			next.wantLines(want)
			if hasIoctl(t) {
				if wd := next.do("nextwd"); wd != "4" {
					t.Errorf("the next wd is %s, want 4", wd)
				}
			}
			if !removed {
				remove()
				next.wantLines(systemRemoval)
			}
		})
	}
}
