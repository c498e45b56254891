// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// readInChild returns what another program, which inherits the descriptor, reads with one
// read(2).
func readInChild(t *testing.T, f *os.File) []inotify.Event {
	t.Helper()
	dd, err := exec.LookPath("dd")
	if err != nil {
		t.Skip("this needs a program that reads: ", err)
	}
	cmd := exec.Command(dd, "bs=65536", "count=1")
	cmd.Stdin = f
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return kerneltest.Decode(out)
}

// release calls Release, which must return no events.
func release(t *testing.T, r *checkpoint.Restored) *os.File {
	t.Helper()
	f, pending, err := r.Release()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	wantEvents(t, pending)
	return f
}

// drained returns a snapshot of a watch on a directory, wd 7, with pending events. The next wd
// is 3.
func drained(t *testing.T) (s *checkpoint.Snapshot, dir string) {
	t.Helper()
	needLists(t)
	n := newInotify(t)
	dir = t.TempDir()
	restoreWatch(t, n, 7, dir, inotify.Create|inotify.Move|inotify.Delete)
	touch(t, filepath.Join(dir, "a"))
	os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b\xff\n"))
	if err := n.SetNextWD(3); hasIoctl(t) && err != nil {
		t.Fatal(err)
	}
	s = roundTrip(t, dump(t, n, checkpoint.WithDrain()))
	n.Close()
	if len(s.Pending) != 3 {
		t.Fatalf("pending %v", s.Pending)
	}
	return s, dir
}

// A process that inherits the descriptor reads the pending events, and then new ones.
func TestPendingEventsAreQueued(t *testing.T) {
	needIoctl(t)
	s, dir := drained(t)
	r := restore(t, s)
	if len(gaps(r.NotRestored, "pending")) > 0 || r.Queued != 3 || len(r.Changed) > 0 || len(r.Pending()) > 0 {
		t.Errorf("not restored %v, queued %d, changed %v, pending %v", r.NotRestored, r.Queued, r.Changed, r.Pending())
	}
	touch(t, filepath.Join(dir, "new"))
	f := release(t, r)
	want := append(slices.Clone(s.Pending), inotify.Event{WD: 7, Mask: inotify.Create, Name: "new"})
	got := readInChild(t, f)
	wantEquivalent(t, got, want...)
	n, err := inotify.FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	if next, err := n.NextWD(); next != 3 || err != nil {
		t.Errorf("the next wd is %d, %v, want 3", next, err)
	}
}

// Release returns the events that Events has read and not delivered. The others stay in the
// kernel's queue.
func TestPendingPartlyRead(t *testing.T) {
	needIoctl(t)
	s, _ := drained(t)
	const count = 1500 // more than one read(2) returns
	s.Pending = nil
	for i := range count {
		s.Pending = append(s.Pending, inotify.Event{WD: 7, Mask: inotify.Create, Name: fmt.Sprintf("%0*d", 1+i%40, i)})
	}
	r := restore(t, s)
	var got []inotify.Event
	for ev, err := range r.Events(kerneltest.Context(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, ev); len(got) == 5 {
			break
		}
	}
	f, pending, err := r.Release()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rest := read(t, f)
	if len(pending) == 0 || len(rest) == 0 {
		t.Errorf("%d events returned, %d in the queue; want some of each", len(pending), len(rest))
	}
	wantEvents(t, slices.Concat(got, pending, rest), s.Pending...)
}

// undrained returns a snapshot without the events that were pending.
func undrained(t *testing.T) *checkpoint.Snapshot {
	t.Helper()
	needLists(t)
	n := newInotify(t)
	dir := t.TempDir()
	restoreWatch(t, n, 1, dir, inotify.Create)
	touch(t, filepath.Join(dir, "a"))
	s := dump(t, n)
	n.Close()
	if s.PendingBytes != 32 {
		t.Fatalf("%d pending bytes", s.PendingBytes)
	}
	return s
}

// If the pending events were not drained, an overflow is queued, so that the program rescans.
func TestPendingNotDrained(t *testing.T) {
	needIoctl(t)
	s := undrained(t)
	r := restore(t, s)
	if len(gaps(r.NotRestored, "pending")) != 1 || r.Queued != 1 {
		t.Errorf("not restored %v, queued %d", r.NotRestored, r.Queued)
	}
	wantEvents(t, readInChild(t, release(t, r)), overflow)
	r = restore(t, s, checkpoint.WithPendingKept())
	wantEvents(t, r.Pending())
	wantEvents(t, read(t, release(t, r)))
}

func TestWithOverflow(t *testing.T) {
	s, _ := drained(t)
	want := append(slices.Clone(s.Pending), overflow)
	for range 2 { // the second time the snapshot has an overflow
		r := restore(t, s, checkpoint.WithOverflow(), checkpoint.WithPendingKept())
		wantEvents(t, r.Pending(), want...)
		if hasIoctl(t) {
			r = restore(t, s, checkpoint.WithOverflow())
			wantEquivalent(t, read(t, release(t, r)), want...)
		}
		s.Pending = want
	}
}

// wantNotQueued restores a snapshot whose events cannot be queued, and checks that the caller
// gets them.
func wantNotQueued(t *testing.T, s *checkpoint.Snapshot, why string, events []inotify.Event, opts ...checkpoint.RestoreOption) {
	t.Helper()
	r := restore(t, s, opts...)
	if g := gaps(r.NotRestored, "pending"); len(g) == 0 || !strings.Contains(g[0].Reason, why) || r.Queued != 0 {
		t.Errorf("not restored %v, queued %d; want %q", r.NotRestored, r.Queued, why)
	}
	wantEvents(t, r.Pending(), events...)
	f, pending, err := r.Release()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantEvents(t, pending, events...)
	wantEvents(t, read(t, f))
}

func TestPendingWithoutIoctl(t *testing.T) {
	s, _ := drained(t)
	lost := undrained(t)
	kerneltest.WithoutIoctl(t)
	s.NextWD, lost.NextWD = 0, 0
	wantNotQueued(t, s, "INOTIFY_IOC_SETNEXTWD", s.Pending)
	wantNotQueued(t, lost, "INOTIFY_IOC_SETNEXTWD", []inotify.Event{overflow})
}

func TestPendingCannotBeQueued(t *testing.T) {
	needIoctl(t)
	s, _ := drained(t)
	wantNotQueued(t, s, "max_queued_events is ", s.Pending, checkpoint.WithMaxQueue(10))
	wantNotQueued(t, s, "scratch directory: ", s.Pending, checkpoint.WithScratch(filepath.Join(t.TempDir(), "missing")))
	dir := t.TempDir()
	r := restore(t, s, checkpoint.WithScratch(dir))
	wantEquivalent(t, read(t, release(t, r)), s.Pending...)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	cancel()
	if _, err := s.Restore(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

// The progress is of the whole queue, which is filled and emptied.
func TestWithQueueProgress(t *testing.T) {
	needIoctl(t)
	s, _ := drained(t)
	var last, most, calls int
	progress := checkpoint.WithQueueProgress(func(done, total int) {
		if calls++; done < last || done > total {
			t.Errorf("%d of %d records after %d", done, total, last)
		}
		last, most = done, total
	})
	restore(t, s, progress)
	if calls == 0 || last != most || most <= len(s.Pending) {
		t.Errorf("%d calls, the last says %d of %d records", calls, last, most)
	}
	calls = 0
	if restore(t, s, progress, checkpoint.WithPendingKept()); calls > 0 {
		t.Errorf("%d calls without a queue to fill", calls)
	}
}

// Events that were moved or omitted are listed in Changed. An omitted one is also listed in
// NotRestored, and an overflow is queued.
func TestPendingChanged(t *testing.T) {
	needIoctl(t)
	s, _ := drained(t)
	s.Pending = []inotify.Event{
		{WD: 7, Mask: inotify.MovedFrom, Cookie: 5, Name: "a"},
		{WD: 7, Mask: inotify.Create, Name: "c"},
		{WD: 7, Mask: inotify.MovedTo, Cookie: 5, Name: "b"},
		{WD: 7, Mask: inotify.CloseWrite | inotify.IsDir, Name: "directories are never written to"},
	}
	r := restore(t, s)
	want := []inotify.Event{s.Pending[0], s.Pending[2], s.Pending[1], overflow}
	wantEquivalent(t, read(t, release(t, r)), want...)
	var got []string
	for _, c := range r.Changed {
		got = append(got, fmt.Sprint(c.Index, " ", int(c.Reason), " ", c.Reason.Lost()))
		if c.Index >= 0 && c.Event != s.Pending[c.Index] || c.String() == "" {
			t.Errorf("change %+v", c)
		}
	}
	expected := []string{
		fmt.Sprint("2 ", int(checkpoint.ChangeAdvanced), " false"),
		fmt.Sprint("3 ", int(checkpoint.ChangeImpossible), " true"),
		fmt.Sprint("-1 ", int(checkpoint.ChangeOverflowAdded), " false"),
	}
	if !slices.Equal(got, expected) {
		t.Errorf("changes %q, want %q: %v", got, expected, r.Changed)
	}
	if g := gaps(r.NotRestored, "pending"); len(g) != 1 || !strings.Contains(g[0].Reason, "1 of 4 events") {
		t.Errorf("not restored %v", r.NotRestored)
	}
}

// Pending events of a watch that cannot be restored are queued with AllowMissing. Without it
// the restore fails and leaks nothing.
func TestPendingOfMissingWatch(t *testing.T) {
	needIoctl(t)
	s, dir := drained(t)
	os.RemoveAll(dir)
	if _, err := s.Restore(kerneltest.Context(t)); err == nil {
		t.Error("no error")
	}
	r := restore(t, s, checkpoint.AllowMissing())
	wantEquivalent(t, read(t, release(t, r)), s.Pending...)
}

// Whichever call fails, each event is in the queue or returned to the caller. The other calls
// of Fill are tested in internal/requeue.
func TestPendingFaults(t *testing.T) {
	needIoctl(t)
	s, _ := drained(t)
	restore(t, s).Close() // does what is done once per process
	t.Setenv("TMPDIR", t.TempDir())
	for i, nr := range []uintptr{
		unix.SYS_INOTIFY_INIT1, unix.SYS_IOCTL, unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_INOTIFY_RM_WATCH, unix.SYS_FSMOUNT,
		unix.SYS_OPENAT, unix.SYS_PREAD64, unix.SYS_READ, unix.SYS_UNLINKAT, unix.SYS_MKNODAT,
	} {
		places := 2
		if kerneltest.LongTests() {
			places = 10
		}
		calls := 1
		for place := 0; place < calls; place += 1 + calls/places {
			var r *checkpoint.Restored
			var err error
			calls = kerneltest.FailOne(t, nr, place, unix.ENOMEM, func() { r, err = s.Restore(context.Background()) })
			if err != nil {
				wantError(t, err, unix.ENOMEM)
				continue
			}
			wantEquivalent(t, queued(t, r), s.Pending...)
			if ws := watches(t, r.Inotify); len(ws) != 1 {
				t.Errorf("watches %v", ws)
			}
			if wd, err := r.Inotify.AddWatch("/", inotify.DeleteSelf); wd != 3 || err != nil {
				t.Errorf("the next wd is %d, %v, want 3", wd, err)
			}
			r.Close()
			if t.Failed() {
				t.Fatalf("call %d (system call %d), at place %d", i, nr, place)
			}
		}
	}
}

// Two instances get the same random history, and one of them is dumped and restored in the
// middle: both deliver the same events.
func TestPendingHistory(t *testing.T) {
	needIoctl(t)
	needLists(t)
	needHandles(t)
	rounds := 5
	if kerneltest.LongTests() {
		rounds = 200
	}
	for range rounds {
		seed := rand.Uint64()
		h := history{t: t, dir: t.TempDir(), r: rand.New(rand.NewPCG(seed, 0)), both: []*inotify.Inotify{newInotify(t), newInotify(t)}}
		h.watch("")
		h.run(100)
		dumped, undisturbed := h.both[0], h.both[1]
		got, want := tryAll(t, dumped), tryAll(t, undisturbed)
		h.run(200)
		s, err := checkpoint.Dump(kerneltest.Context(t), dumped, checkpoint.WithDrain())
		if err != nil {
			t.Fatal(err)
		}
		dumped.Close()
		r := restore(t, roundTrip(t, s), checkpoint.AllowMissing())
		h.both[0] = r.Inotify
		h.run(100)
		rest := tryAll(t, undisturbed)
		undisturbed.Close()
		wantEvents(t, withoutWalks(got), withoutWalks(want)...)
		f := release(t, r)
		wantEquivalent(t, withoutWalks(read(t, f)), withoutWalks(rest)...)
		f.Close()
		for _, c := range r.Changed {
			t.Errorf("change: %v", c)
		}
		if t.Failed() {
			t.Fatalf("seed %d; not restored %v", seed, r.NotRestored)
		}
	}
}

// withoutWalks removes the events of other processes that walk the test's directory between
// the reads of the two instances.
func withoutWalks(evs []inotify.Event) []inotify.Event {
	const walk = inotify.Open | inotify.Access | inotify.CloseNoWrite
	return slices.DeleteFunc(evs, func(ev inotify.Event) bool { return ev.Mask.Has(inotify.IsDir) && ev.Mask.Has(walk) })
}

// A history makes random operations in a tree that instances watch.
type history struct {
	t    *testing.T
	dir  string
	r    *rand.Rand
	both []*inotify.Inotify
}

func (h *history) run(operations int) {
	for range operations {
		h.operate()
	}
}

func (h *history) watch(path string) {
	for _, n := range h.both {
		n.AddWatch(filepath.Join(h.dir, path), inotify.AllEvents) // it may not exist
	}
}

// randomPath returns a path that may exist.
func (h *history) randomPath() string {
	path := fmt.Sprint(h.r.IntN(6))
	if h.r.IntN(2) == 0 {
		path = filepath.Join(fmt.Sprint(h.r.IntN(3)), path+strings.Repeat("é\xff", h.r.IntN(2)))
	}
	return path
}

// operate makes one operation, which may fail.
func (h *history) operate() {
	name := h.randomPath()
	path, to := filepath.Join(h.dir, name), filepath.Join(h.dir, h.randomPath())
	switch h.r.IntN(9) {
	case 0:
		os.WriteFile(path, []byte("content"), 0o600)
	case 1:
		os.Mkdir(path, 0o700)
	case 2:
		if f, err := os.Open(path); err == nil {
			io.Copy(io.Discard, f)
			f.Close()
		}
	case 3:
		os.Chmod(path, 0o750)
	case 4:
		os.Remove(path)
	case 5:
		os.Rename(path, to)
	case 6:
		os.ReadDir(path)
	case 7:
		os.Link(path, to)
	case 8:
		h.watch(name)
	}
}
