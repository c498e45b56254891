// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// ReadEvent waits for an event.
func TestReadEventWaits(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.Create)
	go func() {
		time.Sleep(10 * time.Millisecond)
		os.Mkdir(filepath.Join(dir, "sub"), 0o700)
	}()
	ev, err := n.ReadEvent()
	if want := (inotify.Event{WD: wd, Mask: inotify.Create | inotify.IsDir, Name: "sub"}); err != nil || ev != want {
		t.Errorf("event %v, %v; want %v", ev, err, want)
	}
}

// ReadEvents returns as many events as there are and as fit, in order, and waits only if there
// are none.
func TestReadEvents(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.Create)
	made, read := 0, 0
	create := func(count int) {
		for range count {
			touch(t, filepath.Join(dir, fmt.Sprint(made)))
			made++
		}
	}
	want := func(size, count int) {
		t.Helper()
		buf := make([]inotify.Event, size)
		k, err := n.ReadEvents(buf)
		if k != count || err != nil {
			t.Fatalf("%d events, %v; want %d", k, err, count)
		}
		for _, ev := range buf[:k] {
			if ev != (inotify.Event{WD: wd, Mask: inotify.Create, Name: fmt.Sprint(read)}) {
				t.Errorf("event %v, want that of file %d", ev, read)
			}
			read++
		}
		for _, ev := range buf[k:] {
			if ev != (inotify.Event{}) {
				t.Errorf("event %v after the last one read", ev)
			}
		}
	}
	want(0, 0)
	create(5)
	want(0, 0)
	want(3, 3)
	want(3, 2)
	// A waiting call does not return for internal records.
	time.AfterFunc(5*time.Millisecond, func() {
		for range 10 {
			if _, err := n.NextWD(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.Error(err)
			}
		}
		create(1)
	})
	want(3, 1)
	for name, buf := range map[string][]inotify.Event{"none": nil, "two": make([]inotify.Event, 2)} {
		n.SetReadDeadline(time.Unix(1, 0))
		if k, err := n.ReadEvents(buf); k != 0 || errors.Is(err, os.ErrDeadlineExceeded) != (buf != nil) {
			t.Errorf("room for %s: %d events, %v after the deadline", name, k, err)
		}
	}
	n.Close()
	for name, buf := range map[string][]inotify.Event{"none": nil, "two": make([]inotify.Event, 2)} {
		if k, err := n.ReadEvents(buf); k != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("room for %s: %d events, %v after Close", name, k, err)
		}
	}
}

// TryReadEvent returns at once if there is no event.
func TestTryReadEventDoesNotWait(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.Create)
	if ev, ok, err := n.TryReadEvent(); ok || err != nil {
		t.Errorf("event %v, %v, %v with no event queued", ev, ok, err)
	}
	touch(t, filepath.Join(dir, "x"))
	if ev, ok, err := n.TryReadEvent(); !ok || err != nil || ev != (inotify.Event{WD: wd, Mask: inotify.Create, Name: "x"}) {
		t.Errorf("event %v, %v, %v", ev, ok, err)
	}
}

// Names of any length and content are returned as the kernel gives them.
func TestEventNames(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.Create)
	var want []inotify.Event
	for _, name := range []string{
		"a", strings.Repeat("b", 15), strings.Repeat("c", 16), strings.Repeat("d", 17), strings.Repeat("e", 255),
		"sp ace", "new\nline", "\xff\xfe", "…", " (deleted)",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Logf("the filesystem refuses %q: %v", name, err)
			continue
		}
		want = append(want, inotify.Event{WD: wd, Mask: inotify.Create, Name: name})
	}
	wantEvents(t, pending(t, n), want...)
}

// The two events of a rename have the same cookie, and each rename has another one.
func TestRenamePairsByCookie(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	if err := errors.Join(os.Mkdir(one, 0o700), os.Mkdir(two, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "y"} {
		touch(t, filepath.Join(one, name))
	}
	from, to := add(t, n, one, inotify.Move), add(t, n, two, inotify.Move)
	for _, name := range []string{"x", "y"} {
		if err := os.Rename(filepath.Join(one, name), filepath.Join(two, name+name)); err != nil {
			t.Fatal(err)
		}
	}
	evs := pending(t, n)
	if len(evs) != 4 || evs[0].Cookie == 0 || evs[2].Cookie == 0 || evs[0].Cookie == evs[2].Cookie {
		t.Fatalf("events %v, want two pairs with different cookies", evs)
	}
	x, y := evs[0].Cookie, evs[2].Cookie
	wantEvents(t, evs,
		inotify.Event{WD: from, Mask: inotify.MovedFrom, Cookie: x, Name: "x"},
		inotify.Event{WD: to, Mask: inotify.MovedTo, Cookie: x, Name: "xx"},
		inotify.Event{WD: from, Mask: inotify.MovedFrom, Cookie: y, Name: "y"},
		inotify.Event{WD: to, Mask: inotify.MovedTo, Cookie: y, Name: "yy"})
}

// A watch with IN_ONESHOT ends after one event.
func TestOneShot(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	// The event is a new file: gVisor hangs in chmod(2) of a file with such a watch.
	wd := add(t, n, dir, inotify.Create|inotify.OneShot)
	for _, name := range []string{"x", "y"} {
		touch(t, filepath.Join(dir, name))
	}
	wantEvents(t, pending(t, n),
		inotify.Event{WD: wd, Mask: inotify.Create, Name: "x"},
		inotify.Event{WD: wd, Mask: inotify.Ignored})
}

// queueSize returns how many events fit into the kernel's queue.
func queueSize(t *testing.T) int {
	t.Helper()
	var size int
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err == nil {
		_, err = fmt.Sscan(string(text), &size)
	}
	if err != nil {
		t.Skip("this needs the size of the queue: ", err)
	}
	if size > 1<<17 {
		t.Skipf("this needs a queue that can be filled, and max_queued_events is %d", size)
	}
	return size
}

// move renames one file in dir count times, to prefix0, prefix1 and so on. A watch for MovedTo
// gets an event with another name for each, although only one file is created.
func move(t *testing.T, dir, prefix string, count int) {
	t.Helper()
	last := filepath.Join(dir, "first")
	touch(t, last)
	for i := range count {
		next := filepath.Join(dir, fmt.Sprint(prefix, i))
		if err := os.Rename(last, next); err != nil {
			t.Fatal(err)
		}
		last = next
	}
	if err := os.Remove(last); err != nil {
		t.Fatal(err)
	}
}

// wantMoves checks that evs are the first count events of a move.
func wantMoves(t *testing.T, evs []inotify.Event, wd inotify.WD, prefix string, count int) {
	t.Helper()
	if len(evs) != count {
		t.Errorf("%d events, want %d", len(evs), count)
	}
	for i, ev := range evs {
		want := inotify.Event{WD: wd, Mask: inotify.MovedTo, Cookie: ev.Cookie, Name: fmt.Sprint(prefix, i)}
		if ev != want {
			t.Fatalf("event %d is %v, want %v", i, ev, want)
		}
	}
}

// An overflow is the last event of a full queue.
func TestOverflowIsAnEvent(t *testing.T) {
	size := queueSize(t)
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.MovedTo)
	move(t, dir, "x", size+100)
	evs := pending(t, n)
	wantMoves(t, evs[:len(evs)-1], wd, "x", size)
	wantEvents(t, evs[len(evs)-1:], inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow})
}

// After an overflow the tree of the example reports what is new, and has a watch for each
// directory that exists, and no other.
func TestTreeAfterOverflow(t *testing.T) {
	needLists(t)
	size := queueSize(t)
	root, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	mkdir := func(dir string) {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{"busy", "removed", "moved away", "renamed", "zz"} {
		mkdir(dir)
	}
	tr := &tree{n: newInotify(t), paths: map[inotify.WD]string{}, known: map[string]bool{}}
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	defer cancel()
	reported := map[string]int{}
	err := tr.watch(ctx, root, func(path string) {
		name := strings.TrimPrefix(path, root)
		reported[name]++
		switch name {
		case "/zz": // now all directories are watched, and nothing reads the events
			move(t, filepath.Join(root, "busy"), "x", size/2+100) // two events each
			mkdir("new")
			err := errors.Join(os.Remove(filepath.Join(root, "removed")), os.Rename(filepath.Join(root, "moved away"), outside),
				os.Rename(filepath.Join(root, "renamed"), filepath.Join(root, "new/renamed")))
			if err != nil {
				t.Error(err)
			}
		case "/new/renamed":
			cancel()
		}
	})
	wantError(t, err, context.Canceled)
	for name, count := range map[string]int{"/busy": 1, "/removed": 1, "/new": 1, "/new/renamed": 1} {
		if reported[name] != count {
			t.Errorf("%s was reported %d times, want %d", name, reported[name], count)
		}
	}
	for _, w := range watches(t, tr.n) {
		if _, ok := tr.paths[w.WD]; !ok {
			t.Errorf("wd %d is watched, but not in the tree", w.WD)
		}
		delete(reported, strings.TrimPrefix(tr.paths[w.WD], root))
		delete(tr.paths, w.WD)
	}
	if len(tr.paths) > 0 {
		t.Errorf("the tree has wds without watches: %v", tr.paths)
	}
	for _, dir := range []string{"/busy", "/new", "/new/renamed", "/zz"} {
		if reported[dir] > 0 {
			t.Errorf("%s is not watched", dir)
		}
	}
}

// A deadline ends reads that wait, but not those for which an event is queued.
func TestReadDeadline(t *testing.T) {
	n := newInotify(t)
	path := files(t, 1)[0]
	wd := add(t, n, path, inotify.Attrib)
	deadline := func(d time.Time) {
		t.Helper()
		if err := n.SetReadDeadline(d); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("soon", func(t *testing.T) {
		deadline(time.Now().Add(5 * time.Millisecond))
		_, err := n.ReadEvent()
		wantError(t, err, os.ErrDeadlineExceeded)
		wantEnd(t, n.Events(kerneltest.Context(t)), os.ErrDeadlineExceeded)
	})
	t.Run("past, with an event queued", func(t *testing.T) {
		deadline(time.Unix(1, 0))
		os.Chmod(path, 0o400)
		if ev, err := n.ReadEvent(); err != nil || ev.WD != wd {
			t.Errorf("event %v, %v", ev, err)
		}
		_, err := n.ReadEvent()
		wantError(t, err, os.ErrDeadlineExceeded)
	})
	t.Run("set while all wait", func(t *testing.T) {
		deadline(time.Time{})
		errs := make(chan error)
		for range 4 {
			go func() { _, err := n.ReadEvent(); errs <- err }()
		}
		time.Sleep(10 * time.Millisecond)
		deadline(time.Now())
		for range 4 {
			wantError(t, <-errs, os.ErrDeadlineExceeded)
		}
	})
	t.Run("removed", func(t *testing.T) {
		deadline(time.Now())
		deadline(time.Time{})
		go func() { time.Sleep(5 * time.Millisecond); os.Chmod(path, 0o600) }()
		if ev, err := n.ReadEvent(); err != nil || ev.WD != wd {
			t.Errorf("event %v, %v", ev, err)
		}
	})
}

// The end of a reader's context ends its own wait and no other, whether the reader is in the
// poller or waits for its turn.
func TestContextEndsOneReader(t *testing.T) {
	for _, place := range []string{"in the poller", "waiting its turn"} {
		t.Run(place, func(t *testing.T) {
			n := newInotify(t)
			path := files(t, 1)[0]
			wd := add(t, n, path, inotify.Attrib)
			ctx, cancel := context.WithCancel(kerneltest.Context(t))
			ended := make(chan struct{})
			got := make(chan inotify.Event)
			cancelled := func() {
				wantEnd(t, n.Events(ctx), context.Canceled)
				close(ended)
			}
			other := func() {
				ev, err := n.ReadEvent()
				if err != nil {
					t.Errorf("the other reader: %v", err)
				}
				got <- ev
			}
			first, second := cancelled, other
			if place == "waiting its turn" {
				first, second = other, cancelled
			}
			go first()
			time.Sleep(10 * time.Millisecond)
			go second()
			time.Sleep(10 * time.Millisecond)
			cancel()
			<-ended
			if err := os.Chmod(path, 0o400); err != nil {
				t.Fatal(err)
			}
			if ev := <-got; ev != (inotify.Event{WD: wd, Mask: inotify.Attrib}) {
				t.Errorf("event %v", ev)
			}
		})
	}
}

// The end of a context is not missed when a deadline is set at the same moment.
func TestContextEndsWhileDeadlinesAreSet(t *testing.T) {
	t.Parallel()
	n := newInotify(t)
	stop := make(chan struct{})
	var setter sync.WaitGroup
	kerneltest.Go(&setter, func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := n.SetReadDeadline(time.Time{}); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 300 {
		ctx, cancel := context.WithTimeout(kerneltest.Context(t), 50*time.Microsecond)
		wantEnd(t, n.Events(ctx), context.DeadlineExceeded)
		cancel()
	}
	close(stop)
	setter.Wait()
}

// The end of a context does not change the caller's deadline.
func TestContextLeavesTheDeadline(t *testing.T) {
	n := newInotify(t)
	if err := n.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(kerneltest.Context(t), time.Millisecond)
	defer cancel()
	wantEnd(t, n.Events(ctx), context.DeadlineExceeded)
	_, err := n.ReadEvent()
	wantError(t, err, os.ErrDeadlineExceeded)
}

// wantEnd checks that the loop yields one pair only, with the error want.
func wantEnd(t *testing.T, events iter.Seq2[inotify.Event, error], want error) {
	t.Helper()
	pairs := 0
	for ev, err := range events {
		if pairs++; ev != (inotify.Event{}) {
			t.Errorf("event %v", ev)
		}
		wantError(t, err, want)
	}
	if pairs != 1 {
		t.Errorf("the loop yielded %d pairs, want one with the error", pairs)
	}
}

// Events always ends with an error, so that no loop around it can spin.
func TestEventsEnds(t *testing.T) {
	cause := errors.New("the cause")
	for _, test := range []struct {
		name string
		end  func(t *testing.T, n *inotify.Inotify) (ctx context.Context, end func())
		want error
	}{
		{"by Close", func(t *testing.T, n *inotify.Inotify) (context.Context, func()) {
			return kerneltest.Context(t), func() { n.Close() }
		}, os.ErrClosed},
		{"by its context", func(t *testing.T, _ *inotify.Inotify) (context.Context, func()) {
			return context.WithCancel(kerneltest.Context(t))
		}, context.Canceled},
		{"by its context's deadline", func(t *testing.T, _ *inotify.Inotify) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(kerneltest.Context(t), 5*time.Millisecond)
			t.Cleanup(cancel)
			return ctx, func() { <-ctx.Done() }
		}, context.DeadlineExceeded},
		{"by its context, with a cause", func(t *testing.T, _ *inotify.Inotify) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(kerneltest.Context(t))
			return ctx, func() { cancel(cause) }
		}, cause},
		{"by its context, with os.ErrDeadlineExceeded as the cause", func(t *testing.T, _ *inotify.Inotify) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(kerneltest.Context(t))
			return ctx, func() { cancel(os.ErrDeadlineExceeded) }
		}, os.ErrDeadlineExceeded},
		{"by the deadline", func(t *testing.T, n *inotify.Inotify) (context.Context, func()) {
			return kerneltest.Context(t), func() { n.SetReadDeadline(time.Now()) }
		}, os.ErrDeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newInotify(t)
			ctx, end := test.end(t, n)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				wantEnd(t, n.Events(ctx), test.want)
			}()
			time.Sleep(2 * time.Millisecond)
			end()
			<-ended
			for range 3 { // each later loop, too
				wantEnd(t, n.Events(ctx), test.want)
			}
		})
	}
	t.Run("by a context that has ended, with events queued", func(t *testing.T) {
		n := newInotify(t)
		add(t, n, files(t, 1)[0], inotify.Attrib)
		n.RemoveWatch(1)
		ctx, cancel := context.WithCancel(kerneltest.Context(t))
		cancel()
		wantEnd(t, n.Events(ctx), context.Canceled)
		wantEvents(t, pending(t, n), inotify.Event{WD: 1, Mask: inotify.Ignored})
	})
	t.Run("within the loop", func(t *testing.T) {
		n := newInotify(t)
		for _, path := range files(t, 3) {
			wd := add(t, n, path, inotify.Attrib)
			n.RemoveWatch(wd)
		}
		ctx, cancel := context.WithCancel(kerneltest.Context(t))
		defer cancel()
		var errs []error
		for _, err := range n.Events(ctx) {
			errs = append(errs, err)
			cancel()
		}
		if len(errs) != 2 || errs[0] != nil || errs[1] != context.Canceled {
			t.Errorf("errors %v, want none and the context's", errs)
		}
		count := 0
		for range n.Events(kerneltest.Context(t)) {
			count++
			break
		}
		if evs := pending(t, n); count != 1 || len(evs) != 1 {
			t.Errorf("break lost an event: %d and %v", count, evs)
		}
	})
	t.Run("by a break at the error", func(t *testing.T) {
		n := newInotify(t)
		n.Close()
		for range n.Events(kerneltest.Context(t)) {
			break
		}
	})
}

// With several readers, each event goes to exactly one of them.
func TestSeveralReaders(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.Create)
	const count = 2000
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	defer cancel()
	var mu sync.Mutex
	seen := map[string]int{}
	var readers sync.WaitGroup
	for range 6 {
		kerneltest.Go(&readers, func() {
			for ev, err := range n.Events(ctx) {
				if err != nil {
					wantError(t, err, context.Canceled)
					return
				}
				mu.Lock()
				seen[ev.Name]++
				if len(seen) == count {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for i := range count {
		touch(t, filepath.Join(dir, fmt.Sprint(i)))
	}
	readers.Wait()
	for name, times := range seen {
		if times != 1 {
			t.Errorf("%s was read %d times", name, times)
		}
	}
	if len(seen) != count {
		t.Errorf("%d names, want %d", len(seen), count)
	}
}

// Buffered counts the bytes of the unread events, wherever they are.
func TestBuffered(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.Create)
	for i := range 10 {
		touch(t, filepath.Join(dir, fmt.Sprint("twelve bytes", i)))
	}
	for left := 10; left >= 0; left-- {
		if got, err := n.Buffered(); err != nil || got != left*32 {
			t.Errorf("Buffered %d, %v with %d events of 32 bytes left", got, err, left)
		}
		if _, ok, err := n.TryReadEvent(); err != nil || ok != (left > 0) {
			t.Fatalf("%v, %v", ok, err)
		}
	}
}

// In the steady state, reads and adds allocate nothing: repeated names are reused, and so are
// the functions passed to SyscallConn.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a name")
	touch(t, path)
	want := inotify.Event{WD: add(t, n, dir, inotify.Attrib), Mask: inotify.Attrib, Name: "a name"}
	ev, ok, err := want, true, error(nil)
	buf := make([]inotify.Event, 2)
	measure := func(f func()) float64 {
		allocs := testing.AllocsPerRun(200, func() {
			if err := unix.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			if f(); ev != want || !ok || err != nil {
				t.Fatal(ev, ok, err)
			}
		})
		pending(t, n)
		return allocs
	}
	chmod := measure(func() {})
	for name, f := range map[string]func(){
		"ReadEvent":    func() { ev, err = n.ReadEvent() },
		"ReadEvents":   func() { _, err = n.ReadEvents(buf); ev = buf[0] },
		"TryReadEvent": func() { ev, ok, err = n.TryReadEvent() },
		"AddWatch":     func() { _, err = n.AddWatch(dir, inotify.Attrib) },
	} {
		if allocs := measure(f) - chmod; allocs > 0 {
			t.Errorf("%s allocates %v times", name, allocs)
		}
	}
}

// The same holds for several names in turn, short and long ones.
func TestSeveralNamesDoNotAllocate(t *testing.T) {
	for _, prefix := range []string{"", "a long name with a number at its end, ", "longer"} {
		if times := allocations(t, prefix+"%d", 3); times > 0 {
			t.Errorf("reading names like %q allocates %v times", prefix, times)
		}
	}
}

// Reads of many different names rarely allocate.
func TestManyNamesRarelyAllocate(t *testing.T) {
	for _, form := range []string{"%d", "name%d", "%08d", "%016d", "%d and all alike", "between, %d, words that are alike"} {
		if times := allocations(t, form, 32); times > 6 {
			t.Errorf("reading 32 names like %q allocates %v times", form, times)
		}
	}
}

// allocations returns how many allocations it takes to read one event for each of several
// names that have been read before.
func allocations(t *testing.T, form string, names int) float64 {
	t.Helper()
	n := newInotify(t)
	dir := t.TempDir()
	var paths []string
	for i := range names {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf(form, i)))
		touch(t, paths[i])
	}
	add(t, n, dir, inotify.Attrib)
	times := func(read bool) float64 {
		return testing.AllocsPerRun(100, func() {
			for i, path := range paths {
				if err := unix.Chmod(path, 0o600); err != nil {
					t.Fatal(err)
				}
				if !read {
					continue
				}
				if ev, err := n.ReadEvent(); err != nil || ev.Name != filepath.Base(paths[i]) {
					t.Fatal(ev, err)
				}
			}
		})
	}
	return times(true) - times(false)
}

// Each method that reads returns the error of a failed read(2).
func TestReadFails(t *testing.T) {
	n := newInotify(t)
	path := files(t, 1)[0]
	add(t, n, path, inotify.Attrib|inotify.Modify)
	if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 9), os.Chmod(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	ioctl := kerneltest.SupportsSetNext(n)
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	conn.Control(func(fd uintptr) { failCalls(t, unix.SYS_READ, 0, uint32(fd), false, unix.ENOMEM) })
	check := func(what string, err error) {
		if wantError(t, err, unix.ENOMEM); err == nil || !strings.Contains(err.Error(), "read") {
			t.Errorf("%s: error %v does not name read", what, err)
		}
	}
	_, err = n.ReadEvent()
	check("ReadEvent", err)
	_, ok, err := n.TryReadEvent()
	if check("TryReadEvent", err); ok {
		t.Error("TryReadEvent has an event")
	}
	yielded := 0
	for _, err := range n.Events(kerneltest.Context(t)) {
		yielded++
		check("Events", err)
	}
	if yielded != 1 {
		t.Errorf("Events yielded %d times, want its error once", yielded)
	}
	if ioctl {
		_, err := n.NextWD()
		check("NextWD", err)
		check("RestoreWatch", n.RestoreWatch(kerneltest.Context(t), 1, filepath.Dir(path), inotify.Create))
	}
	if b, err := n.Buffered(); b < 16 || err != nil {
		t.Errorf("Buffered %d, %v; want the unread events", b, err)
	}
}
