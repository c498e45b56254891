// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// A dump of a descriptor that the process replaces all the time is of one instance, or fails.
func TestDumpFDOfAReplacedDescriptor(t *testing.T) {
	t.Parallel()
	needLists(t)
	const enough = 500 // snapshots without an error
	for _, others := range []int{0, 2} {
		h := startHolder(t, 0, os.Geteuid())
		h.do("new")
		h.do("watch", "1", "IN_CREATE", t.TempDir())
		words := []string{"exchange"}
		for range others {
			words = append(words, t.TempDir())
		}
		fd, _ := strconv.Atoi(h.do(words...))
		got := map[[2]int]int{} // by the counts of watches and of pending bytes
		replaced := 0
		if hasKcmp() != nil {
			replaced = 1 // it cannot be detected
		}
		for dumped, tries := 0, 0; (dumped < enough || replaced == 0) && tries < 20*enough; tries++ {
			s, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd, checkpoint.WithPaths(checkpoint.PathsNone))
			if err != nil {
				if errors.Is(err, checkpoint.ErrReplaced) {
					replaced++
				}
				continue
			}
			dumped++
			got[[2]int{len(s.Watches), s.PendingBytes}]++
		}
		if replaced == 0 {
			t.Error("ErrReplaced never came: flags of another descriptor may have been dumped")
		}
		for shape, count := range got {
			if shape != [2]int{1, 0} && (others == 0 || shape != [2]int{others, others * 16}) {
				t.Errorf("%d snapshots have %d watches and %d pending bytes", count, shape[0], shape[1])
			}
		}
	}
}

// replacing starts a holder with an instance at descriptor fd, which has wd 1 and a pending
// event. replace puts another instance at fd, with a pending event of wd 2.
func replacing(t testing.TB) (h *holder, fd int, replace func()) {
	t.Helper()
	needLists(t)
	kerneltest.NeedDuplicates(t)
	h = startHolder(t, 0, os.Geteuid())
	h.do("new")
	first, second := t.TempDir(), t.TempDir()
	h.do("watch", "1", "IN_CREATE", first)
	touch(t, filepath.Join(first, "a"))
	fd, _ = strconv.Atoi(h.do("dup"))
	return h, fd, func() {
		t.Helper()
		h.do("new")
		h.do("watch", "1", "IN_MOVE_SELF", first)
		h.do("watch", "2", "IN_CREATE", second)
		touch(t, filepath.Join(second, "b"))
		h.do("dup onto", fmt.Sprint(fd))
	}
}

// A drain of a process that runs when the dump begins is refused, even if it stops before the
// events are read: it may have replaced the descriptor after its watches were read.
func TestDrainRefusesAProcessThatStopsLate(t *testing.T) {
	h, fd, replace := replacing(t)
	resolved := false
	s, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd, checkpoint.WithDrain(),
		checkpoint.WithResolver(func(inotify.Watch) (string, error) {
			if !resolved {
				resolved = true
				replace()
				h.stop()
			}
			return "", nil
		}))
	if err == nil || s != nil || resolved {
		t.Errorf("paths were resolved: %v; snapshot %+v, error %v", resolved, s, err)
	}
}

// What a process does while its paths are resolved does not change the dump. If it still runs
// at the end, that is an error, and the snapshot has the events.
func TestDrainReadsEverythingFromOneInstance(t *testing.T) {
	for _, stops := range []bool{true, false} {
		h, fd, replace := replacing(t)
		h.stop()
		s, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd, checkpoint.WithDrain(),
			checkpoint.WithResolver(func(inotify.Watch) (string, error) {
				h.resume()
				replace()
				if stops {
					h.stop()
				}
				return "", nil
			}))
		if (err == nil) != stops || s == nil {
			t.Errorf("stopped again: %v; snapshot %+v, error %v", stops, s, err)
			continue
		}
		wantEvents(t, s.Pending, inotify.Event{WD: 1, Mask: inotify.Create, Name: "a"})
		if len(s.Watches) != 1 || s.Watches[0].Mask != inotify.Create || hasIoctl(t) && s.NextWD != 2 {
			t.Errorf("snapshot %+v", s)
		}
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// A watch that another process destroys during the dump, by removing its file, is in the
// snapshot or its IN_IGNORED is, and not both.
func TestDrainWhileWatchesEnd(t *testing.T) {
	needLists(t)
	kerneltest.NeedDuplicates(t)
	const watches = 400
	root := t.TempDir()
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	dir := func(i int) string { return filepath.Join(root, fmt.Sprint(i)) }
	for i := range watches {
		if err := os.Mkdir(dir(i), 0o700); err != nil {
			t.Fatal(err)
		}
		h.do("watch", fmt.Sprint(i+1), "IN_ATTRIB|IN_DELETE_SELF", dir(i))
		os.Chmod(dir(i), 0o755)
	}
	fd := h.fd()
	h.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range watches {
			unix.Rmdir(dir(i))
		}
	}()
	var all []inotify.Event
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		s, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd, checkpoint.WithDrain(), checkpoint.WithPaths(checkpoint.PathsNone))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		all = append(all, s.Pending...)
		live := map[inotify.WD]bool{}
		for _, w := range s.Watches {
			live[w.WD] = true
		}
		for _, ev := range all {
			if ev.Mask.Has(inotify.Ignored) && live[ev.WD] {
				t.Fatalf("watch %d is listed, and %v was drained", ev.WD, ev)
			}
		}
	}
	if len(all) != 3*watches {
		t.Errorf("%d events, want %d", len(all), 3*watches)
	}
}

// Events that the dump causes itself, by searching watched directories, are not in Pending.
func TestDrainHasNoEventsOfTheSearch(t *testing.T) {
	needLists(t)
	kerneltest.NeedDuplicates(t)
	const mask = "IN_OPEN|IN_ACCESS|IN_CLOSE|IN_CREATE"
	prepare := func(h interface{ do(...string) string }) (dir, file string) {
		dir = t.TempDir()
		file = filepath.Join(dir, "file")
		touch(t, file)
		h.do("new")
		h.do("watch", "1", mask, dir)
		h.do("watch", "2", mask, file)
		h.do("create", filepath.Join(dir, "a"))
		return dir, file
	}
	want := []inotify.Event{{WD: 1, Mask: inotify.Create, Name: "a"}, {WD: 1, Mask: inotify.Open, Name: "a"}}
	h := startHolder(t, 0, os.Geteuid())
	dir, file := prepare(h)
	options := func(dir string) []checkpoint.DumpOption {
		return []checkpoint.DumpOption{checkpoint.WithDrain(), checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(dir),
			checkpoint.WithResolver(func(inotify.Watch) (string, error) {
				_, err := os.ReadDir(dir) // as a search does
				return "", err
			})}
	}
	fd := h.fd()
	h.stop()
	s, err := checkpoint.DumpFD(kerneltest.Context(t), h.pid, fd, options(dir)...)
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s.Pending, want...)
	h.wantPaths(s, dir, file)

	me := localHolder{t: t}
	dir, file = prepare(&me)
	defer me.n.Close()
	defer me.do("close") // not by a finalizer before
	s, err = checkpoint.Dump(kerneltest.Context(t), me.n, options(dir)...)
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s.Pending, want...)
	if len(s.Watches) != 2 || s.Watches[0].Path != dir || s.Watches[1].Path != file {
		t.Errorf("watches %+v", s.Watches)
	}
}

// localHolder executes a holder's commands in this process.
type localHolder struct {
	holderState
	t testing.TB
}

func (h *localHolder) do(words ...string) string {
	h.t.Helper()
	text, err := h.execute(words)
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

// The queue can have an event of a destroyed watch without IN_IGNORED or an overflow: it was
// full when the watch was destroyed, and the overflow before the event was read. The snapshot
// is valid and lists this.
func TestDrainOfAWatchWithoutIgnored(t *testing.T) {
	needLists(t)
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skip("this needs to read the length of the queue: ", err)
	}
	limit, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if limit > 100_000 {
		t.Skipf("this needs a queue of at most 100,000 events: max_queued_events is %d", limit)
	}
	n := newInotify(t)
	paths := files(t, 3)
	for i, path := range paths {
		restoreWatch(t, n, inotify.WD(i+1), path, inotify.Attrib)
	}
	read := func(count int) {
		buf := make([]byte, 16*count)
		if got, err := unix.Read(fdOf(t, n), buf); got != len(buf) || err != nil {
			t.Fatalf("read %d bytes, %v, want %d", got, err, len(buf))
		}
	}
	fill := func(count int) {
		for i := range count { // alternately, as the kernel merges equal events in a row
			os.Chmod(paths[i%2], 0o600)
		}
	}
	fill(limit + 1)
	read(10)
	os.Chmod(paths[2], 0o600) // its event is behind the overflow
	fill(10)
	if err := n.RemoveWatch(3); err != nil {
		t.Fatal(err)
	}
	read(limit - 10 + 1)
	s, err := checkpoint.Dump(kerneltest.Context(t), n, checkpoint.WithDrain(), checkpoint.WithPaths(checkpoint.PathsNone))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Pending) == 0 || s.Pending[0] != (inotify.Event{WD: 3, Mask: inotify.Attrib}) || len(s.Watches) != 2 {
		t.Fatalf("snapshot %+v", s)
	}
	for _, ev := range s.Pending {
		if ev.Mask.Has(inotify.QOverflow) || ev.Mask.Has(inotify.Ignored) {
			t.Fatalf("pending %v", s.Pending)
		}
	}
	if g := gaps(s.Unknown, "pending"); len(g) != 1 || g[0].WD != 3 {
		t.Errorf("unknown: %v", s.Unknown)
	}
	if read := roundTrip(t, s); len(read.Pending) != len(s.Pending) {
		t.Errorf("after a round trip: %+v", read)
	}
}
