// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/assign"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

// byCycle runs f by the cycle, also where IN_MASK_CREATE does not work.
func byCycle(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	inParallel(t, eachCycle(f))
}

func eachCycle(f func(t *testing.T)) map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"with IN_MASK_CREATE": func(t *testing.T) {
			if !hasMaskCreate(t) {
				t.Skip("this needs IN_MASK_CREATE, which the kernel ignores")
			}
			withoutIoctl(t)
			f(t)
		},
		"without IN_MASK_CREATE": func(t *testing.T) {
			withoutIoctl(t)
			withoutMaskCreate(t)
			f(t)
		},
	}
}

// A number below the limit is refused at once if it takes more steps than are
// allowed, and a number that was passed too; the counter moves by one at most.
func TestCycleRefusesBeforeItClimbs(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 3)
		restore(t, n, 10, paths[0], inotify.Attrib)
		before := watches(t, n)
		refused := func(wd inotify.WD, opts ...inotify.RestoreOption) *inotify.CycleError {
			t.Helper()
			err := n.RestoreWatch(kerneltest.Context(t), wd, paths[1], inotify.AllEvents, opts...)
			wantPathError(t, err, paths[1], errors.ErrUnsupported)
			var cycle *inotify.CycleError
			if !errors.As(err, &cycle) {
				t.Fatalf("error %v (%T), want a CycleError", err, err)
			}
			wantUntouched(t, n, before)
			return cycle
		}
		if e := refused(0x34d71d6); e.Next != 11 || e.Steps != 0x34d71d6-11 || e.Limit != inotify.DefaultMaxSteps || e.Done != 0 {
			t.Errorf("%+v", e)
		} else if !strings.Contains(e.Error(), fmt.Sprint(e.Steps)) || !strings.Contains(e.Error(), fmt.Sprint(e.Limit)) {
			t.Errorf("%q does not give the steps and the limit", e)
		}
		if e := refused(20, inotify.WithMaxSteps(7)); e.Next != 12 || e.Steps != 8 || e.Limit != 7 {
			t.Errorf("%+v", e)
		}
		if e := refused(5); e.Next != 13 || e.Steps != 0 {
			t.Errorf("%+v", e)
		} else if !strings.Contains(e.Error(), "fresh instance") {
			t.Errorf("%q does not say what to do", e)
		}
		// A limit below none is none.
		if err := newInotify(t).RestoreWatch(kerneltest.Context(t), 1, paths[1], inotify.Attrib, inotify.WithMaxSteps(-7)); err != nil {
			t.Error(err)
		}
		// It is one step less from here.
		if err := n.RestoreWatch(kerneltest.Context(t), 20, paths[1], inotify.Attrib, inotify.WithMaxSteps(6)); err != nil {
			t.Error(err)
		}
		if got := add(t, n, paths[2], inotify.Attrib); got != 21 {
			t.Errorf("the next number is %d, want 21", got)
		}
	})
}

func TestCycleLeavesNoWatchAndNoEvent(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		numbers := []inotify.WD{1, 1000, 5000} // by one thread, and by two
		for i, path := range files(t, len(numbers)) {
			restore(t, n, numbers[i], path, inotify.Attrib)
			if ws := watches(t, n); ws != nil && (len(ws) != i+1 || ws[i].WD != numbers[i]) {
				t.Errorf("watches %v, want those of %d", ws, numbers[:i+1])
			}
			if readable(t, n) {
				t.Errorf("readable with no event there, at %d", numbers[i])
			}
			wantEvents(t, pending(t, n))
			// What is left in the kernel's own queue would show here.
			if b, err := n.Buffered(); b != 0 || err != nil {
				t.Errorf("Buffered %d, %v, at %d", b, err, numbers[i])
			}
		}
	})
}

// The instance watches all that the cycle likes to use, and more.
func TestCycleTouchesNoWatchedInode(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		var paths []string
		for _, dir := range append(assign.ScratchPaths[:], "/bin", "/lib", "/home", "/srv") {
			wd, err := n.AddWatch(dir, inotify.MoveSelf)
			if err != nil {
				continue
			}
			if again := add(t, n, dir, inotify.MaskAdd); again != wd {
				t.Logf("%s is another inode at each look-up, as on hostfs", dir)
				continue
			}
			paths = append(paths, dir)
		}
		before := watches(t, n)
		var numbers []inotify.WD
		for _, path := range paths {
			// Asks for the number and changes nothing.
			numbers = append(numbers, add(t, n, path, inotify.MaskAdd))
		}
		file := files(t, 1)[0]
		restore(t, n, 500, file, inotify.Attrib)
		for i, path := range paths {
			if got := add(t, n, path, inotify.MaskAdd); got != numbers[i] {
				t.Errorf("%s is watch %d and was %d", path, got, numbers[i])
			}
		}
		if after := watches(t, n); after != nil && !slices.Equal(after[:len(before)], before) {
			t.Errorf("watches:\nbefore %v\n after %v", before, after)
		}
		wantEvents(t, pending(t, n))
	})
}

// A directory that may not be read is passed over.
func TestCycleNeedsNoRights(t *testing.T) {
	withoutIoctl(t)
	path := files(t, 1)[0]
	if err := errors.Join(os.Chmod(path, 0o644), os.Chmod(filepath.Dir(path), 0o755), os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755)); err != nil {
		t.Fatal(err)
	}
	asNobody(t)
	n := newInotify(t)
	restore(t, n, 100, path, inotify.Attrib)
}

// Where the directories are all beyond reach, as in a jail, an inode of the
// cycle's own serves.
func TestCycleWithoutDirectories(t *testing.T) {
	withoutIoctl(t)
	if !hasMaskCreate(t) {
		t.Skip("this needs IN_MASK_CREATE, by which scratch watches on directories are made to fail")
	}
	dir := t.TempDir()
	n := newInotify(t)
	strange := ""
	for _, d := range assign.ScratchPaths[:] {
		if wd, err := n.AddWatch(d, inotify.MoveSelf); err == nil && add(t, n, d, inotify.MaskAdd) != wd {
			strange = d
		}
	}
	restore(t, n, 60, dir, inotify.Create)
	touch(t, filepath.Join(dir, "x"))
	wantEvents(t, pending(t, n), inotify.Event{WD: 60, Mask: inotify.Create, Name: "x"})
	if strange != "" {
		t.Logf("%s is another inode at each look-up, as on hostfs, so there is always one to climb on", strange)
		return
	}
	failCalls(t, unix.SYS_MEMFD_CREATE, 1, unix.MFD_CLOEXEC, false, unix.EMFILE)
	other := t.TempDir()
	wantPathError(t, n.RestoreWatch(kerneltest.Context(t), 90, other, inotify.Create), other, unix.EMFILE)
}

// The path to restore may be what the cycle climbs on.
func TestCycleToItsOwnDirectory(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		restore(t, n, 200, "/", inotify.MoveSelf)
		if got := add(t, n, "/", inotify.MaskAdd); got != 200 {
			t.Errorf("/ is watch %d, want 200", got)
		}
	})
}

// Numbers on the way that are taken are passed over, also just below the goal.
func TestCyclePassesTakenNumbers(t *testing.T) {
	needIoctl(t)
	needLists(t)
	taken := [][]inotify.WD{{30}, {49}, {51}, {30, 48, 49, 51}}
	var ns []*inotify.Inotify
	for i, numbers := range taken {
		ns = append(ns, newInotify(t))
		paths := files(t, len(numbers))
		for j, wd := range numbers {
			restore(t, ns[i], wd, paths[j], inotify.Attrib)
		}
		if err := ns[i].SetNextWD(5); err != nil {
			t.Fatal(err)
		}
	}
	withoutIoctl(t)
	for i, n := range ns {
		paths := files(t, 2)
		restore(t, n, 50, paths[0], inotify.Attrib)
		want := inotify.WD(51)
		if slices.Contains(taken[i], want) {
			want++
		}
		if got := add(t, n, paths[1], inotify.Attrib); got != want {
			t.Errorf("with %d taken the next number is %d, want %d", taken[i], got, want)
		}
		if evs := pending(t, n); evs != nil {
			t.Errorf("with %d taken: events %v", taken[i], evs)
		}
	}
}

// A number that is taken further up is known before the climb.
func TestCycleKnowsTakenNumber(t *testing.T) {
	needIoctl(t)
	needLists(t)
	n := newInotify(t)
	paths := files(t, 2)
	restore(t, n, 900_000, paths[0], inotify.Attrib)
	if err := n.SetNextWD(5); err != nil {
		t.Fatal(err)
	}
	withoutIoctl(t)
	err := n.RestoreWatch(kerneltest.Context(t), 900_000, paths[1], inotify.Attrib)
	var taken *inotify.WDError
	if !errors.As(err, &taken) {
		t.Errorf("error %v (%T), want a WDError", err, err)
	}
	if got := add(t, n, paths[1], inotify.Attrib); got > 7 {
		t.Errorf("the next number is %d: it climbed", got)
	}
}

// far is a number that takes many seconds to climb to anywhere.
const far = math.MaxInt32

func TestCycleStopsWithItsContext(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		ctx, cancel := context.WithCancel(kerneltest.Context(t))
		defer cancel()
		var last inotify.Progress
		err := n.RestoreWatch(ctx, far, files(t, 1)[0], inotify.AllEvents,
			inotify.WithMaxSteps(far), inotify.WithProgress(func(p inotify.Progress) {
				if p.WD != far || p.Done <= last.Done || p.Steps != far-1 || p.Elapsed < last.Elapsed+100*time.Millisecond || p.Remaining() <= 0 {
					t.Errorf("progress %+v after %+v", p, last)
				}
				if last = p; p.Done > 0 {
					cancel()
				}
			}))
		wantError(t, err, context.Canceled)
		var cycle *inotify.CycleError
		if !errors.As(err, &cycle) || cycle.Done < last.Done || cycle.Done == 0 || int64(cycle.Next) < cycle.Done {
			t.Errorf("error %+v after progress %+v", err, last)
		}
		if errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("error %v is ErrUnsupported, though it was the context", err)
		}
		wantUntouched(t, n, watches(t, newInotify(t)))
	})
}

// Close does not wait for the climb, which holds its locks all the time here.
func TestCycleStopsByClose(t *testing.T) {
	n := newInotify(t)
	dup, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	if !hasMaskCreate(t) {
		// gVisor could not tell watches that the duplicate's holder adds.
		dup.Close()
		n, dup = newInotify(t), nil
	}
	_, wait := startClimb(t, n, far)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	wantError(t, wait(), os.ErrClosed)
	if dup == nil {
		return
	}
	// And no scratch watch is left in the instance, which lives on.
	heir, err := inotify.FromFile(dup)
	if err != nil {
		t.Fatal(err)
	}
	defer heir.Close()
	if ws := watches(t, heir); len(ws) != 0 {
		t.Errorf("watches %v are left", ws)
	}
}

// Progress is called with no lock held: it may use all of the Inotify.
func TestCycleProgressMayUseTheInotify(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 2)
		ctx, cancel := context.WithCancel(kerneltest.Context(t))
		defer cancel()
		var added inotify.WD
		var last time.Duration
		err := n.RestoreWatch(ctx, far, paths[0], inotify.Create,
			inotify.WithMaxSteps(far), inotify.WithProgress(func(p inotify.Progress) {
				if p.Elapsed < last+100*time.Millisecond {
					t.Errorf("progress after %v, and after %v", last, p.Elapsed)
				}
				last = p.Elapsed
				if added != 0 {
					cancel() // after another slice
					return
				}
				// The directory that is climbed on, too: it now is the caller's.
				if added = add(t, n, "/", inotify.MoveSelf); int64(added) < p.Done {
					t.Errorf("number %d after %d steps", added, p.Done)
				}
				if wd := add(t, n, paths[1], inotify.Attrib); wd != added+1 {
					t.Errorf("number %d after %d", wd, added)
				}
				os.Chmod(paths[1], 0o400)
				if err := n.RestoreWatch(ctx, added+2, filepath.Dir(paths[1]), inotify.Create); err != nil {
					t.Error(err)
				}
				wantEvents(t, pending(t, n), inotify.Event{WD: added + 1, Mask: inotify.Attrib})
				n.SetNextWD(1)
				n.Buffered()
				watches(t, n)
			}))
		wantError(t, err, context.Canceled)
		if got := add(t, n, "/", inotify.MaskAdd); got != added {
			t.Errorf("/ is watch %d, want %d, which was added meanwhile", got, added)
		}
		if ws := watches(t, n); ws != nil && (len(ws) != 3 || ws[0].Mask != inotify.MoveSelf) {
			t.Errorf("watches %v, want the three that were added meanwhile", ws)
		}
		wantEvents(t, pending(t, n))
	})
}

// Progress is called at the end of every climb, and not for the ioctl.
func TestProgressAtTheEnd(t *testing.T) {
	calls := func(t *testing.T, n *inotify.Inotify, wd inotify.WD) []inotify.Progress {
		var ps []inotify.Progress
		begin := time.Now()
		defer func() {
			for i, p := range ps {
				if p.Elapsed > time.Since(begin) {
					t.Errorf("to %d: %v of %v have elapsed", wd, p.Elapsed, time.Since(begin))
				}
				if i < len(ps)-1 && p.Elapsed < 100*time.Millisecond {
					t.Errorf("to %d: progress was called at %v", wd, p.Elapsed)
				}
			}
		}()
		if err := n.RestoreWatch(kerneltest.Context(t), wd, files(t, 1)[0], inotify.Attrib, inotify.WithProgress(func(p inotify.Progress) {
			ps = append(ps, p)
		})); err != nil {
			t.Fatal(err)
		}
		return ps
	}
	t.Run("cycle", func(t *testing.T) {
		withoutIoctl(t)
		for wd, steps := range map[inotify.WD]int64{1: 0, 100: 99} {
			if ps := calls(t, newInotify(t), wd); len(ps) == 0 {
				t.Error("progress was not called")
			} else if p := ps[len(ps)-1]; p.WD != wd || p.Done != steps || p.Steps != steps || p.Remaining() != 0 {
				t.Errorf("to %d: progress %+v, want %d steps of as many", wd, p, steps)
			}
		}
	})
	t.Run("ioctl", func(t *testing.T) {
		needIoctl(t)
		if ps := calls(t, newInotify(t), 100); ps != nil {
			t.Errorf("progress %v", ps)
		}
	})
}

// While another process makes events and several readers wait, a climb loses
// none, and shows none of its own.
func TestCycleLosesNothing(t *testing.T) {
	for name, readers := range map[string]int{"no reader": 0, "one reader": 1, "four readers": 4} {
		t.Run(name, func(t *testing.T) {
			byCycle(t, func(t *testing.T) {
				n := newInotify(t)
				dir := t.TempDir()
				wd := add(t, n, dir, inotify.Create)
				ctx, cancel := context.WithCancel(kerneltest.Context(t))
				defer cancel()
				var mu sync.Mutex
				var seen []inotify.Event
				var group sync.WaitGroup
				for i := range readers {
					kerneltest.Go(&group, func() {
						if i%2 == 0 {
							for ev, err := range n.Events(ctx) {
								if err != nil {
									wantError(t, err, context.Canceled)
									return
								}
								mu.Lock()
								seen = append(seen, ev)
								mu.Unlock()
							}
							return
						}
						for {
							ev, err := n.ReadEvent()
							if errors.Is(err, os.ErrDeadlineExceeded) {
								return
							}
							mu.Lock()
							seen = append(seen, ev)
							mu.Unlock()
						}
					})
				}
				writer := startToucher(t, dir, "x")
				for !readable(t, n) && func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) == 0 }() {
					time.Sleep(time.Millisecond)
				}
				climb, stop := context.WithTimeout(ctx, 100*time.Millisecond)
				err := n.RestoreWatch(climb, far, files(t, 1)[0], inotify.AllEvents, inotify.WithMaxSteps(far))
				stop()
				var cycle *inotify.CycleError
				if !errors.As(err, &cycle) || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("error %v, want the context's", err)
				}
				made := writer.stop()
				for {
					// All that there is comes to the readers, or is fetched here.
					b, err := n.Buffered()
					if err != nil {
						t.Fatal(err)
					}
					if b == 0 || readers == 0 {
						break
					}
					time.Sleep(time.Millisecond)
				}
				time.Sleep(5 * time.Millisecond)
				cancel()
				n.SetReadDeadline(time.Unix(1, 0))
				group.Wait()
				seen = append(seen, pending(t, n)...)
				t.Logf("%d steps, %d events", cycle.Done, made)
				if len(seen) != made {
					t.Errorf("%d events, want %d", len(seen), made)
				}
				if readers > 1 { // in whatever order they came to it
					number := func(ev inotify.Event) (i int) { fmt.Sscanf(ev.Name, "x%d", &i); return i }
					slices.SortFunc(seen, func(a, b inotify.Event) int { return number(a) - number(b) })
				}
				for i, ev := range seen {
					if want := (inotify.Event{WD: wd, Mask: inotify.Create, Name: fmt.Sprint("x", i)}); ev != want {
						t.Fatalf("event %d is %v, want %v", i, ev, want)
					}
				}
			})
		})
	}
}

// Readers who wait are woken by what a climb puts by.
func TestCycleWakesReaders(t *testing.T) {
	withoutIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.Create)
	got := make(chan inotify.Event, 100)
	go func() {
		for ev, err := range n.Events(kerneltest.Context(t)) {
			if err != nil {
				return
			}
			got <- ev
		}
	}()
	other := files(t, 40)
	for i, path := range other {
		climbed := make(chan struct{})
		go func() {
			touch(t, filepath.Join(dir, fmt.Sprint(i)))
			close(climbed)
		}()
		restore(t, n, inotify.WD(100*(i+1)), path, inotify.Attrib)
		<-climbed
		if ev := <-got; ev.WD != wd || ev.Name != fmt.Sprint(i) {
			t.Errorf("event %v at %d", ev, i)
		}
	}
}

// An event with the number of an earlier scratch watch is that number's own.
func TestCycleKeepsTheNextLife(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	paths := files(t, 3)
	add(t, n, paths[0], inotify.Attrib)
	os.Chmod(paths[0], 0o400) // so that something is put by
	ended := make(chan error)
	go func() {
		failCalls(t, unix.SYS_IOCTL, 1, uint32(sys.SetNextRequest(runtime.GOARCH)), false, unix.ENOTTY)
		ended <- n.RestoreWatch(context.Background(), 40, paths[1], inotify.Attrib)
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, wd := range []inotify.WD{39, 20, 39} {
		restore(t, n, wd, paths[2], inotify.Attrib)
		if err := n.RemoveWatch(wd); err != nil {
			t.Fatal(err)
		}
	}
	wantEvents(t, pending(t, n),
		inotify.Event{WD: 1, Mask: inotify.Attrib},
		inotify.Event{WD: 39, Mask: inotify.Ignored},
		inotify.Event{WD: 20, Mask: inotify.Ignored},
		inotify.Event{WD: 39, Mask: inotify.Ignored})
}

// A queue that was full before the climb: all that was in it is delivered, the
// overflow too, and nothing else.
func TestCycleWithAFullQueue(t *testing.T) {
	size := queueSize(t)
	withoutIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.MovedTo)
	move(t, dir, "x", size+100)
	restore(t, n, 300, files(t, 1)[0], inotify.Attrib)
	evs := pending(t, n)
	wantMoves(t, evs[:len(evs)-1], wd, "x", size)
	wantEvents(t, evs[len(evs)-1:], inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow})
}

// What is put by is bounded.
func TestCycleStopsWhenTooMuchIsPutBy(t *testing.T) {
	kerneltest.Long(t, "this puts 16 MiB of events into the queue")
	withoutIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.MovedTo)
	name := strings.Repeat("n", 240)
	path := files(t, 1)[0]
	// Each climb, of ten steps, puts by what was queued.
	const count = 4000
	for i := 0; ; i++ {
		move(t, dir, fmt.Sprint(name, i, "-"), count)
		err := n.RestoreWatch(kerneltest.Context(t), inotify.WD(11+10*i), path, inotify.Attrib)
		b, berr := n.Buffered()
		if berr != nil {
			t.Fatal(berr)
		}
		if err != nil {
			if b < record.MaxBuffered || !strings.Contains(err.Error(), "buffer is full") {
				t.Errorf("with %d bytes put by: %v", b, err)
			}
			if evs := pending(t, n); len(evs) != count*(i+1)+i {
				t.Errorf("%d events, want %d and %d IN_IGNORED", len(evs), count*(i+1), i)
			}
			return
		}
		if b > record.MaxBuffered+512 { // the last record stays in the kernel's queue
			t.Fatalf("%d bytes are put by, and the climb went on", b)
		}
		if err := n.RemoveWatch(inotify.WD(11 + 10*i)); err != nil {
			t.Fatal(err)
		}
	}
}

// Nor do restores of the next wd that fail buffer without a bound.
func TestRestoreNextWDStopsWhenTooMuchIsBuffered(t *testing.T) {
	kerneltest.Long(t, "this puts 16 MiB of events into the queue")
	withoutIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.MovedTo)
	f, err := n.File() // shared: it is not known that the wd was passed
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := strings.Repeat("n", 240)
	for i := range 20 { // a MiB each
		move(t, dir, fmt.Sprint(name, i, "-"), 4000)
		switch err := n.RestoreNextWD(kerneltest.Context(t), 1); {
		case err == nil:
			t.Fatal("wd 1 is next, which is used")
		case strings.Contains(err.Error(), "buffer is full"):
			return
		}
	}
	b, err := n.Buffered()
	t.Errorf("%d bytes were buffered (%v), and each restore read more", b, err)
}

// startClimb starts a climb that takes a while, on a thread of its own and without
// progress, so that it never lets go of the numbers, and returns when it is
// under way. cancel ends its context, and wait waits for its end. It leaves two
// events for who reads: it is under way when it has put them by.
func startClimb(t *testing.T, n *inotify.Inotify, wd inotify.WD) (cancel func(), wait func() error) {
	t.Helper()
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	path := files(t, 1)[0]
	dir := t.TempDir()
	marker := add(t, n, dir, inotify.Create)
	touch(t, filepath.Join(dir, "marker"))
	if err := n.RemoveWatch(marker); err != nil {
		t.Fatal(err)
	}
	queued := func() (bytes uint32) {
		conn.Control(func(fd uintptr) { bytes, _ = unix.IoctlGetUint32(int(fd), unix.TIOCINQ) })
		return bytes
	}
	before := queued()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	lacking := !hasIoctl(t)
	go func() {
		if !lacking { // no t.Skip in here: this is another goroutine than the test's
			failCalls(t, unix.SYS_IOCTL, 1, uint32(sys.SetNextRequest(runtime.GOARCH)), false, unix.ENOTTY)
		}
		ended <- n.RestoreWatch(ctx, wd, path, inotify.Create, inotify.WithMaxSteps(far))
	}()
	for queued() == before {
		select {
		case err := <-ended:
			t.Fatal("the climb ended at once: ", err)
		default:
			time.Sleep(100 * time.Microsecond)
		}
	}
	return cancel, func() error { return <-ended }
}

// Who waits for a restore to end waits no longer than his context.
func TestRestoreWaitsForRestore(t *testing.T) {
	n := newInotify(t)
	end, wait := startClimb(t, n, far)
	paths := files(t, 2)
	ctx, cancel := context.WithTimeout(kerneltest.Context(t), 20*time.Millisecond)
	defer cancel()
	wantError(t, n.RestoreWatch(ctx, 1, paths[0], inotify.Attrib), context.DeadlineExceeded)
	// Adds and SetNextWD have their turn when it has ended, and not before.
	var over sync.WaitGroup
	var ended atomic.Bool
	kerneltest.Go(&over, func() {
		if _, err := n.AddWatch(paths[1], inotify.Attrib); err != nil || !ended.Load() {
			t.Errorf("AddWatch returned during a restore, or failed: %v", err)
		}
	})
	kerneltest.Go(&over, func() {
		if err := n.SetNextWD(1); err != nil && !errors.Is(err, errors.ErrUnsupported) || !ended.Load() {
			t.Errorf("SetNextWD returned during a restore, or failed: %v", err)
		}
	})
	time.Sleep(20 * time.Millisecond)
	ended.Store(true)
	end()
	wantError(t, wait(), context.Canceled)
	over.Wait()
}

// A climb never has more than 64 records of its own in the kernel's queue.
func TestCycleQueuesLittle(t *testing.T) {
	n := newInotify(t)
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	end, wait := startClimb(t, n, far)
	most, samples := uint32(0), 0
	for until := time.Now().Add(200 * time.Millisecond); time.Now().Before(until); samples++ {
		conn.Control(func(fd uintptr) {
			if k, err := unix.IoctlGetUint32(int(fd), unix.TIOCINQ); err == nil {
				most = max(most, k)
			}
		})
	}
	end()
	wantError(t, wait(), context.Canceled)
	t.Logf("at most %d bytes in %d samples", most, samples)
	if most > 64*16 || most == 0 {
		t.Errorf("%d bytes are queued, want at most 64 records of 16 bytes, and some", most)
	}
}

// Descriptor 0 is one like any other, when a program has closed its input.
func TestCycleWithDescriptorZero(t *testing.T) {
	for name, test := range eachCycle(func(t *testing.T) {
		input, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Skip("this needs a standard input to close: ", err)
		}
		n := newInotify(t)
		paths := files(t, 2)
		wd := add(t, n, paths[0], inotify.Attrib)
		before := watches(t, n)
		unix.Close(0)
		watched := n.RestoreWatch(kerneltest.Context(t), 40, paths[0], inotify.Open)
		placed := n.RestoreWatch(kerneltest.Context(t), 50, paths[1], inotify.Attrib)
		left, err := os.Readlink("/proc/self/fd/0")
		if err := unix.Dup3(input, 0, 0); err != nil {
			t.Fatal(err)
		}
		unix.Close(input)
		if err == nil {
			t.Errorf("%s is left open", left)
		}
		wantError(t, watched, unix.EEXIST)
		if placed != nil {
			t.Error(placed)
		}
		if got := add(t, n, paths[0], inotify.MaskAdd); got != wd {
			t.Errorf("the watch has become %d", got)
		}
		if after := watches(t, n); after != nil && after[0] != before[0] {
			t.Errorf("the watch was %v and is %v", before[0], after[0])
		}
	}) {
		t.Run(name, test) // one after the other, as the process's descriptor is closed
	}
}

// Nor is it taken for the instance, by either thread, when that is another one.
func TestCycleTouchesNoOtherInstance(t *testing.T) {
	needIoctl(t)
	needLists(t)
	var ns []*inotify.Inotify
	for _, near := range []bool{false, true} {
		n := newInotify(t)
		if near { // so that the second thread is never ahead
			var numbers []inotify.WD
			for wd := inotify.WD(30); wd < 5000; wd += 50 {
				numbers = append(numbers, wd)
			}
			if err := errors.Join(n.RestoreWatches(kerneltest.Context(t), batch(t, inotify.Attrib, numbers...)), n.SetNextWD(5)); err != nil {
				t.Fatal(err)
			}
		}
		ns = append(ns, n)
	}
	other := newInotify(t)
	conn, err := other.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	withoutIoctl(t)
	input, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Skip("this needs a standard input to close: ", err)
	}
	conn.Control(func(fd uintptr) { err = unix.Dup3(int(fd), 0, 0) })
	var errs []error
	for _, n := range ns {
		errs = append(errs, err, n.RestoreWatch(kerneltest.Context(t), 5000, t.TempDir(), inotify.Create))
	}
	if err := errors.Join(append(errs, unix.Dup3(input, 0, 0), unix.Close(input))...); err != nil {
		t.Fatal(err)
	}
	wantUntouched(t, other, watches(t, newInotify(t)))
}

// A caller with its own event loop still sees what was there, however a restore
// ends.
func TestCycleKeepsReadable(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		for _, test := range []struct {
			name string
			wd   inotify.WD
			busy bool
		}{
			{"placed at once", 2, false}, {"climbed", 90, false},
			{"watched, at once", 2, true}, {"watched, to climb", 90, true}, {"refused", far, false},
		} {
			n := newInotify(t)
			paths := files(t, 2)
			wd := add(t, n, paths[0], inotify.Attrib)
			if err := os.Chmod(paths[0], 0o400); err != nil {
				t.Fatal(err)
			}
			path := paths[1]
			if test.busy {
				path = paths[0]
			}
			n.RestoreWatch(kerneltest.Context(t), test.wd, path, inotify.Attrib)
			if b, err := n.Buffered(); err != nil || b != 16 || !readable(t, n) {
				t.Errorf("%s: Buffered %d, %v, readable %v; want 16 and true", test.name, b, err, readable(t, n))
			}
			wantEvents(t, pending(t, n), inotify.Event{WD: wd, Mask: inotify.Attrib})
			if readable(t, n) {
				t.Errorf("%s: readable when all is read", test.name)
			}
		}
	})
}

// A watch further up that is removed during the climb: its last events are
// delivered, although its number is then climbed over.
func TestCycleKeepsTheFormerLife(t *testing.T) {
	needIoctl(t)
	needLists(t)
	n := newInotify(t)
	paths := files(t, 3)
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	defer cancel()
	ahead := inotify.WD(0)
	reached := make(chan struct{})
	ended := make(chan error)
	go func() {
		failCalls(t, unix.SYS_IOCTL, 1, uint32(sys.SetNextRequest(runtime.GOARCH)), false, unix.ENOTTY)
		ended <- n.RestoreWatch(ctx, far, paths[0], inotify.Attrib, inotify.WithMaxSteps(far), inotify.WithProgress(func(p inotify.Progress) {
			switch {
			case ahead == 0:
				// On this thread the ioctl is missing; the other lends a hand.
				ahead = inotify.WD(p.Done) + 30
				reached <- struct{}{}
				<-reached
			case p.Done > int64(ahead):
				cancel()
			}
		}))
	}()
	<-reached
	next := add(t, n, paths[2], inotify.Attrib)
	restore(t, n, ahead, paths[1], inotify.Attrib)
	err := errors.Join(os.Chmod(paths[1], 0o400), n.RemoveWatch(ahead), n.RemoveWatch(next), n.SetNextWD(next))
	if err != nil {
		t.Fatal(err)
	}
	reached <- struct{}{}
	wantError(t, <-ended, context.Canceled)
	wantEvents(t, pending(t, n),
		inotify.Event{WD: ahead, Mask: inotify.Attrib},
		inotify.Event{WD: ahead, Mask: inotify.Ignored},
		inotify.Event{WD: next, Mask: inotify.Ignored})
}

// What was queued last when a climb begins stays in the kernel's queue at first, and is
// its number's former life, also where that number is given at once, and is undone.
func TestCycleKeepsTheLastRecord(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	path := files(t, 1)[0]
	restore(t, n, 8, path, inotify.Attrib)
	if err := errors.Join(os.Chmod(path, 0o400), n.RemoveWatch(8), n.SetNextWD(5)); err != nil {
		t.Fatal(err)
	}
	withoutIoctl(t)
	ws := batch(t, inotify.AllEvents, 5, 8, 12)
	ws[2].Mask |= inotify.OnlyDir
	wantRestoreError(t, n.RestoreWatches(kerneltest.Context(t), ws), 12, ws[2].Path, 2, unix.ENOTDIR)
	wantEvents(t, pending(t, n), inotify.Event{WD: 8, Mask: inotify.Attrib}, inotify.Event{WD: 8, Mask: inotify.Ignored})
}

// Numbers that were taken become free during the climb: one on the way, which is
// then climbed over, and the one just below the wanted one.
func TestCycleWhenNumbersBecomeFree(t *testing.T) {
	needIoctl(t)
	needLists(t)
	n := newInotify(t)
	const wd = 200_000
	path := files(t, 1)[0]
	restore(t, n, wd/2, path, inotify.Attrib)
	restore(t, n, wd-1, files(t, 1)[0], inotify.Attrib)
	if err := n.SetNextWD(1); err != nil {
		t.Fatal(err)
	}
	_, wait := startClimb(t, n, wd)
	if err := errors.Join(os.Chmod(path, 0o400), n.RemoveWatch(wd/2), n.RemoveWatch(wd-1)); err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil {
		t.Error(err)
	}
	evs := pending(t, n)
	wantEvents(t, evs[2:],
		inotify.Event{WD: wd / 2, Mask: inotify.Attrib},
		inotify.Event{WD: wd / 2, Mask: inotify.Ignored},
		inotify.Event{WD: wd - 1, Mask: inotify.Ignored})
}

// sharer returns another Inotify of the same instance.
func sharer(t *testing.T, n *inotify.Inotify) *inotify.Inotify {
	t.Helper()
	dup, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	heir, err := inotify.FromFile(dup)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { heir.Close() })
	return heir
}

// Others who hold the instance know nothing of the climb. The error tells whether one
// of them has the number or it was only passed.
func TestCycleWhenOthersCome(t *testing.T) {
	needIoctl(t)
	needLists(t)
	const wd = 100_000_000
	n := newInotify(t)
	heir := sharer(t, n)
	climb := func(meanwhile func(inotify.WD) error) error {
		t.Helper()
		_, wait := startClimb(t, n, wd)
		if err := meanwhile(wd); err != nil {
			t.Log(err) // the climb was faster
		}
		err := wait()
		pending(t, n)
		if err := heir.SetNextWD(1); err != nil {
			t.Fatal(err)
		}
		return err
	}
	var passed *inotify.CycleError
	err := climb(func(wd inotify.WD) error { return heir.SetNextWD(wd + 10) })
	if !errors.As(err, &passed) || !errors.Is(err, errors.ErrUnsupported) || passed.WD != wd || passed.Next < wd+10 {
		t.Errorf("error %v (%+v), want one that the number was passed", err, passed)
	}
	wantUntouched(t, n, watches(t, newInotify(t)))
	var taken *inotify.WDError
	path := files(t, 1)[0]
	for range 200 {
		err = climb(func(wd inotify.WD) error { return heir.RestoreWatch(kerneltest.Context(t), wd, path, inotify.Attrib) })
		if errors.As(err, &taken) {
			break
		}
		wantError(t, err, errors.ErrUnsupported)
	}
	if taken == nil || taken.Want != wd || taken.Got <= wd {
		t.Errorf("error %v (%+v), want one that the number is taken", err, taken)
	}
	if ws := watches(t, n); len(ws) != 1 || ws[0].WD != wd || ws[0].Mask != inotify.Attrib {
		t.Errorf("watches %v, want the one that was added meanwhile", ws)
	}
	wantEvents(t, pending(t, n))
}

// A climb adds the watch on what the path names when its number comes, not on what it
// named before.
func TestCycleGoesByThePathAtTheEnd(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 2)
		climbFor(t, n, paths[0], func() {
			if err := os.Rename(paths[1], paths[0]); err != nil {
				t.Error(err)
			}
		})
		if err := os.Chmod(paths[0], 0o400); err != nil {
			t.Fatal(err)
		}
		if evs := pending(t, n); len(evs) != 1 || evs[0].Mask != inotify.Attrib {
			t.Errorf("events %v, want one of the file that came there", evs)
		}
	})
}

// climbFor restores a watch for Attrib under a number that takes long enough for
// progress to be called, which calls meanwhile, once.
func climbFor(t *testing.T, n *inotify.Inotify, path string, meanwhile func()) {
	t.Helper()
	for wd, called := inotify.WD(200_000), 0; called < 2; wd *= 4 {
		called = 0
		if err := n.RestoreWatch(kerneltest.Context(t), wd, path, inotify.Attrib, inotify.WithMaxSteps(far), inotify.WithProgress(func(p inotify.Progress) {
			if called++; called == 1 && p.Done < p.Steps-1000 {
				meanwhile()
			}
		})); err != nil {
			t.Fatal(err)
		}
		if called < 2 { // at its end only
			if err := n.RemoveWatch(wd); err != nil {
				t.Fatal(err)
			}
			pending(t, n)
		}
	}
}

// A climb that cannot read any more ends, and its records are still taken out, those of
// the second thread too.
func TestCycleThatCannotRead(t *testing.T) {
	lacking := withoutIoctlElsewhere(t)
	path := files(t, 1)[0]
	for range 5 {
		n := newInotify(t)
		conn, err := n.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var number uint32
		conn.Control(func(fd uintptr) { number = uint32(fd) })
		ended := make(chan error)
		go func() {
			defer close(ended) // also if there is no seccomp
			lacking()
			failed := false
			ended <- n.RestoreWatch(context.Background(), far, path, inotify.Attrib, inotify.WithMaxSteps(far), inotify.WithProgress(func(inotify.Progress) {
				if !failed {
					failed = true
					failCalls(t, unix.SYS_READ, 0, number, false, unix.EIO)
				}
			}))
		}()
		err, ran := <-ended
		if !ran {
			return
		}
		wantError(t, err, unix.EIO)
		wantUntouched(t, n, watches(t, newInotify(t)))
	}
}
