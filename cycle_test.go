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

// byCycle runs f without the ioctl, with and without IN_MASK_CREATE.
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

// A wd that needs more steps than are allowed, or that was passed, is refused at once.
// The kernel's wd counter advances by one at most.
func TestCycleRefusesBeforeTheFirstStep(t *testing.T) {
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
		if e := refused(0x34d71d6); e.Next != 12 || e.Steps != 0x34d71d6-11 || e.Limit != inotify.DefaultMaxSteps || e.Done != 0 {
			t.Errorf("%+v", e)
		} else if !strings.Contains(e.Error(), fmt.Sprint(e.Steps)) || !strings.Contains(e.Error(), fmt.Sprint(e.Limit)) {
			t.Errorf("%q does not give the steps and the limit", e)
		}
		if e := refused(20, inotify.WithMaxSteps(7)); e.Next != 13 || e.Steps != 8 || e.Limit != 7 {
			t.Errorf("%+v", e)
		}
		if e := refused(5); e.Next != 14 || e.Steps != 0 {
			t.Errorf("%+v", e)
		} else if !strings.Contains(e.Error(), "fresh instance") {
			t.Errorf("%q does not say what to do", e)
		}
		// A negative limit is a limit of 0.
		if err := newInotify(t).RestoreWatch(kerneltest.Context(t), 1, paths[1], inotify.Attrib, inotify.WithMaxSteps(-7)); err != nil {
			t.Error(err)
		}
		// From 14, the next wd in the last error, one step less is needed.
		if err := n.RestoreWatch(kerneltest.Context(t), 20, paths[1], inotify.Attrib, inotify.WithMaxSteps(6)); err != nil {
			t.Error(err)
		}
		if got := add(t, n, paths[2], inotify.Attrib); got != 21 {
			t.Errorf("the next wd is %d, want 21", got)
		}
	})
}

// A restore by the cycle leaves its own watch and no event.
func TestCycleLeavesNoWatchAndNoEvent(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		wds := []inotify.WD{1, 1000, 5000} // without and with a helper thread
		for i, path := range files(t, len(wds)) {
			restore(t, n, wds[i], path, inotify.Attrib)
			if ws := watches(t, n); ws != nil && (len(ws) != i+1 || ws[i].WD != wds[i]) {
				t.Errorf("watches %v, want those of %d", ws, wds[:i+1])
			}
			if readable(t, n) {
				t.Errorf("readable with no event queued, at wd %d", wds[i])
			}
			wantEvents(t, pending(t, n))
			// This also counts what is left in the kernel's queue.
			if b, err := n.Buffered(); b != 0 || err != nil {
				t.Errorf("Buffered %d, %v, at wd %d", b, err, wds[i])
			}
		}
	})
}

// The cycle changes no watch of an instance that watches all scratch directories and more.
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
				t.Logf("%s is another inode at each lookup, as on hostfs", dir)
				continue
			}
			paths = append(paths, dir)
		}
		before := watches(t, n)
		var wds []inotify.WD
		for _, path := range paths {
			// IN_MASK_ADD without event bits returns the wd and changes nothing.
			wds = append(wds, add(t, n, path, inotify.MaskAdd))
		}
		file := files(t, 1)[0]
		restore(t, n, 500, file, inotify.Attrib)
		for i, path := range paths {
			if got := add(t, n, path, inotify.MaskAdd); got != wds[i] {
				t.Errorf("%s is watch %d and was %d", path, got, wds[i])
			}
		}
		if after := watches(t, n); after != nil && !slices.Equal(after[:len(before)], before) {
			t.Errorf("watches:\nbefore %v\n after %v", before, after)
		}
		wantEvents(t, pending(t, n))
	})
}

// The cycle works without rights to the scratch directories: it skips those that it may
// not read.
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

// Where no scratch directory can be used, the cycle uses an inode of its own.
func TestCycleWithoutDirectories(t *testing.T) {
	withoutIoctl(t)
	if !hasMaskCreate(t) {
		t.Skip("this needs IN_MASK_CREATE, by which scratch watches on directories are made to fail")
	}
	dir := t.TempDir()
	n := newInotify(t)
	unstable := ""
	for _, d := range assign.ScratchPaths[:] {
		if wd, err := n.AddWatch(d, inotify.MoveSelf); err == nil && add(t, n, d, inotify.MaskAdd) != wd {
			unstable = d
		}
	}
	restore(t, n, 60, dir, inotify.Create)
	touch(t, filepath.Join(dir, "x"))
	wantEvents(t, pending(t, n), inotify.Event{WD: 60, Mask: inotify.Create, Name: "x"})
	if unstable != "" {
		t.Logf("%s is another inode at each lookup, as on hostfs, so a scratch watch is always possible", unstable)
		return
	}
	failCalls(t, unix.SYS_MEMFD_CREATE, 1, unix.MFD_CLOEXEC, false, unix.EMFILE)
	other := t.TempDir()
	wantPathError(t, n.RestoreWatch(kerneltest.Context(t), 90, other, inotify.Create), other, unix.EMFILE)
}

// The path to restore may be a scratch directory.
func TestCycleToAScratchDirectory(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		restore(t, n, 200, "/", inotify.MoveSelf)
		if got := add(t, n, "/", inotify.MaskAdd); got != 200 {
			t.Errorf("/ is watch %d, want 200", got)
		}
	})
}

// The cycle skips used wds, also directly below and above the wanted one.
func TestCycleSkipsUsedWDs(t *testing.T) {
	needIoctl(t)
	needLists(t)
	used := [][]inotify.WD{{30}, {49}, {51}, {30, 48, 49, 51}}
	var ns []*inotify.Inotify
	for i, wds := range used {
		ns = append(ns, newInotify(t))
		paths := files(t, len(wds))
		for j, wd := range wds {
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
		if slices.Contains(used[i], want) {
			want++
		}
		if got := add(t, n, paths[1], inotify.Attrib); got != want {
			t.Errorf("with %d in use the next wd is %d, want %d", used[i], got, want)
		}
		if evs := pending(t, n); evs != nil {
			t.Errorf("with %d in use: events %v", used[i], evs)
		}
	}
}

// A used wd is reported before the first step, however far it is.
func TestCycleFindsUsedWDBeforeTheFirstStep(t *testing.T) {
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
	var used *inotify.WDError
	if !errors.As(err, &used) {
		t.Errorf("error %v (%T), want a WDError", err, err)
	}
	if got := add(t, n, paths[1], inotify.Attrib); got > 7 {
		t.Errorf("the next wd is %d: steps were made", got)
	}
}

// far is a wd that the cycle needs many seconds to reach on any machine.
const far = math.MaxInt32

// The cycle stops when its context ends. The error says how far it got, and nothing is left.
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
			t.Errorf("error %v is ErrUnsupported, want only the context's", err)
		}
		wantUntouched(t, n, watches(t, newInotify(t)))
	})
}

// Close stops the cycle, which holds its locks all the time here, and does not wait for it.
func TestCycleStopsByClose(t *testing.T) {
	n := newInotify(t)
	dup, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	if !hasMaskCreate(t) {
		// gVisor could not distinguish watches that the duplicate's holder adds.
		dup.Close()
		n, dup = newInotify(t), nil
	}
	_, wait := startCycle(t, n, far)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	wantError(t, wait(), os.ErrClosed)
	if dup == nil {
		return
	}
	// No scratch watch is left in the instance, which the duplicate keeps open.
	shared, err := inotify.FromFile(dup)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	if ws := watches(t, shared); len(ws) != 0 {
		t.Errorf("watches %v are left", ws)
	}
}

// The progress function is called without locks and may call any method of the Inotify.
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
					cancel() // after another run of steps
					return
				}
				// It may even watch the scratch directory, which then is the caller's.
				if added = add(t, n, "/", inotify.MoveSelf); int64(added) < p.Done {
					t.Errorf("wd %d after %d steps", added, p.Done)
				}
				if wd := add(t, n, paths[1], inotify.Attrib); wd != added+1 {
					t.Errorf("wd %d after %d", wd, added)
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

// Progress is reported at the end of each cycle, and never with the ioctl.
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

// While another process causes events and several readers wait, the cycle loses no event
// and delivers none of its internal records.
func TestCycleLosesNoEvent(t *testing.T) {
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
				writer := startTouch(t, dir, "x")
				for !readable(t, n) && func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) == 0 }() {
					time.Sleep(time.Millisecond)
				}
				short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
				err := n.RestoreWatch(short, far, files(t, 1)[0], inotify.AllEvents, inotify.WithMaxSteps(far))
				stop()
				var cycle *inotify.CycleError
				if !errors.As(err, &cycle) || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("error %v, want the context's", err)
				}
				made := writer.stop()
				for {
					// The readers get all events, or they are read below.
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
				if readers > 1 { // they append in any order
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

// Events that the cycle buffers wake waiting readers.
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
		touched := make(chan struct{})
		go func() {
			touch(t, filepath.Join(dir, fmt.Sprint(i)))
			close(touched)
		}()
		restore(t, n, inotify.WD(100*(i+1)), path, inotify.Attrib)
		<-touched
		if ev := <-got; ev.WD != wd || ev.Name != fmt.Sprint(i) {
			t.Errorf("event %v at %d", ev, i)
		}
	}
}

// Events of watches that get the wd of an earlier scratch watch are delivered.
func TestCycleKeepsEventsOfLaterWatches(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	paths := files(t, 3)
	add(t, n, paths[0], inotify.Attrib)
	os.Chmod(paths[0], 0o400) // so that an event is buffered
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

// If the queue was full before the cycle, all its events and the overflow are delivered,
// and nothing else.
func TestCycleWithAFullQueue(t *testing.T) {
	t.Parallel()
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

// The cycle stops with an error when too many events are buffered, and loses none of them.
func TestCycleStopsWhenTheBufferIsFull(t *testing.T) {
	kerneltest.Long(t, "this puts 16 MiB of events into the queue")
	withoutIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.MovedTo)
	name := strings.Repeat("n", 240)
	path := files(t, 1)[0]
	// Each cycle, of ten steps, buffers what was queued.
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
				t.Errorf("with %d bytes buffered: %v", b, err)
			}
			if evs := pending(t, n); len(evs) != count*(i+1)+i {
				t.Errorf("%d events, want %d and %d IN_IGNORED", len(evs), count*(i+1), i)
			}
			return
		}
		if b > record.MaxBuffered+512 { // the last record stays in the kernel's queue
			t.Fatalf("%d bytes are buffered, and the cycle went on", b)
		}
		if err := n.RemoveWatch(inotify.WD(11 + 10*i)); err != nil {
			t.Fatal(err)
		}
	}
}

// Failed restores of the next wd do not buffer events without a bound either.
func TestRestoreNextWDStopsWhenTheBufferIsFull(t *testing.T) {
	kerneltest.Long(t, "this puts 16 MiB of events into the queue")
	withoutIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.MovedTo)
	f, err := n.File() // shared: whether the wd was passed is unknown
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := strings.Repeat("n", 240)
	for i := range 20 { // a MiB each
		move(t, dir, fmt.Sprint(name, i, "-"), 4000)
		switch err := n.RestoreNextWD(kerneltest.Context(t), 1); {
		case err == nil:
			t.Fatal("the next wd is 1, which is in use")
		case strings.Contains(err.Error(), "buffer is full"):
			return
		}
	}
	b, err := n.Buffered()
	t.Errorf("%d bytes were buffered (%v), and each restore read more", b, err)
}

// startCycle starts a restore by the cycle on a thread of its own, without a progress
// function, so that it never releases its locks. It returns when the cycle has made its
// first steps. cancel ends the restore's context, and wait returns its error. Two events
// are left to be read: the cycle is known to run when it has buffered them.
func startCycle(t *testing.T, n *inotify.Inotify, wd inotify.WD) (cancel func(), wait func() error) {
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
	ioctl := hasIoctl(t)
	go func() {
		if ioctl { // not by withoutIoctl, which must run on the test's goroutine
			failCalls(t, unix.SYS_IOCTL, 1, uint32(sys.SetNextRequest(runtime.GOARCH)), false, unix.ENOTTY)
		}
		ended <- n.RestoreWatch(ctx, wd, path, inotify.Create, inotify.WithMaxSteps(far))
	}()
	for queued() == before {
		select {
		case err := <-ended:
			t.Fatal("the cycle ended at once: ", err)
		default:
			time.Sleep(100 * time.Microsecond)
		}
	}
	return cancel, func() error { return <-ended }
}

// A restore waits for another one, but not longer than its context. AddWatch and SetNextWD
// wait for the restore as well.
func TestRestoreWaitsForRestore(t *testing.T) {
	n := newInotify(t)
	end, wait := startCycle(t, n, far)
	paths := files(t, 2)
	ctx, cancel := context.WithTimeout(kerneltest.Context(t), 20*time.Millisecond)
	defer cancel()
	wantError(t, n.RestoreWatch(ctx, 1, paths[0], inotify.Attrib), context.DeadlineExceeded)
	// They return after the restore has ended, and not before.
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

// The cycle never has more than 256 internal records in the kernel's queue.
func TestCycleQueuesFewRecords(t *testing.T) {
	n := newInotify(t)
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	end, wait := startCycle(t, n, far)
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
	if most > 256*16 || most == 0 {
		t.Errorf("%d bytes are queued, want at most 256 records of 16 bytes, and some", most)
	}
}

// The cycle may get descriptor 0, if the program has closed its standard input.
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
		restored := n.RestoreWatch(kerneltest.Context(t), 50, paths[1], inotify.Attrib)
		left, err := os.Readlink("/proc/self/fd/0")
		if err := unix.Dup3(input, 0, 0); err != nil {
			t.Fatal(err)
		}
		unix.Close(input)
		if err == nil {
			t.Errorf("%s is left open", left)
		}
		wantError(t, watched, unix.EEXIST)
		if restored != nil {
			t.Error(restored)
		}
		if got := add(t, n, paths[0], inotify.MaskAdd); got != wd {
			t.Errorf("the watch's wd is %d, want %d", got, wd)
		}
		if after := watches(t, n); after != nil && after[0] != before[0] {
			t.Errorf("the watch was %v and is %v", before[0], after[0])
		}
	}) {
		t.Run(name, test) // not in parallel, as the process's descriptor is closed
	}
}

// Neither thread of the cycle touches another instance that has descriptor 0.
func TestCycleTouchesNoOtherInstance(t *testing.T) {
	needIoctl(t)
	needLists(t)
	var ns []*inotify.Inotify
	for _, near := range []bool{false, true} {
		n := newInotify(t)
		if near { // so that the helper thread never starts early
			var wds []inotify.WD
			for wd := inotify.WD(30); wd < 5000; wd += 50 {
				wds = append(wds, wd)
			}
			if err := errors.Join(n.RestoreWatches(kerneltest.Context(t), batch(t, inotify.Attrib, wds...)), n.SetNextWD(5)); err != nil {
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

// However a restore ends, the descriptor stays readable while events are queued, for
// callers with an event loop.
func TestCycleKeepsReadable(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		for _, test := range []struct {
			name    string
			wd      inotify.WD
			watched bool // the inode is watched already
		}{
			{"next wd", 2, false}, {"after some steps", 90, false},
			{"watched inode, next wd", 2, true}, {"watched inode, after some steps", 90, true}, {"refused", far, false},
		} {
			n := newInotify(t)
			paths := files(t, 2)
			wd := add(t, n, paths[0], inotify.Attrib)
			if err := os.Chmod(paths[0], 0o400); err != nil {
				t.Fatal(err)
			}
			path := paths[1]
			if test.watched {
				path = paths[0]
			}
			n.RestoreWatch(kerneltest.Context(t), test.wd, path, inotify.Attrib)
			if b, err := n.Buffered(); err != nil || b != 16 || !readable(t, n) {
				t.Errorf("%s: Buffered %d, %v, readable %v; want 16 and true", test.name, b, err, readable(t, n))
			}
			wantEvents(t, pending(t, n), inotify.Event{WD: wd, Mask: inotify.Attrib})
			if readable(t, n) {
				t.Errorf("%s: readable after all was read", test.name)
			}
		}
	})
}

// A watch with a higher wd is removed during the cycle. Its last events are delivered,
// although a scratch watch gets its wd afterwards.
func TestCycleKeepsEventsOfRemovedWatch(t *testing.T) {
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
				// This thread has no ioctl, so the other one makes the calls.
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

// The events that are last in the queue when the cycle begins are delivered, even if their
// wd is used by the first step and by a watch that is rolled back.
func TestCycleKeepsTheLastQueuedEvents(t *testing.T) {
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

// Used wds become free during the cycle: many that scratch watches then get, and the one
// directly below the wanted wd.
func TestCycleWhenWDsBecomeFree(t *testing.T) {
	t.Parallel()
	needIoctl(t)
	needLists(t)
	n := newInotify(t)
	const wd = 100_000
	var want []inotify.Event
	for i, path := range files(t, 500) {
		restore(t, n, wd/2+inotify.WD(i), path, inotify.Attrib)
		want = append(want, inotify.Event{WD: wd/2 + inotify.WD(i), Mask: inotify.Ignored})
	}
	restore(t, n, wd-1, files(t, 1)[0], inotify.Attrib)
	want = append(want, inotify.Event{WD: wd - 1, Mask: inotify.Ignored})
	if err := n.SetNextWD(1); err != nil {
		t.Fatal(err)
	}
	_, wait := startCycle(t, n, wd)
	for _, ev := range want {
		if err := n.RemoveWatch(ev.WD); err != nil {
			t.Fatal(err)
		}
	}
	if err := wait(); err != nil {
		t.Error(err)
	}
	wantEvents(t, pending(t, n)[2:], want...)
}

// share returns another Inotify of the same instance.
func share(t *testing.T, n *inotify.Inotify) *inotify.Inotify {
	t.Helper()
	dup, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	shared, err := inotify.FromFile(dup)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shared.Close() })
	return shared
}

// Another holder of the instance uses it during the cycle. The error says whether the
// holder's watch has the wd or the wd was only passed.
func TestCycleOnSharedInstance(t *testing.T) {
	needIoctl(t)
	needLists(t)
	const wd = 100_000_000
	n := newInotify(t)
	shared := share(t, n)
	restoreWhile := func(meanwhile func(inotify.WD) error) error {
		t.Helper()
		_, wait := startCycle(t, n, wd)
		if err := meanwhile(wd); err != nil {
			t.Log(err) // the cycle was faster
		}
		err := wait()
		pending(t, n)
		if err := shared.SetNextWD(1); err != nil {
			t.Fatal(err)
		}
		return err
	}
	var passed *inotify.CycleError
	err := restoreWhile(func(wd inotify.WD) error { return shared.SetNextWD(wd + 10) })
	if !errors.As(err, &passed) || !errors.Is(err, errors.ErrUnsupported) || passed.WD != wd || passed.Next < wd+10 {
		t.Errorf("error %v (%+v), want a CycleError: wd %d was passed", err, passed, wd)
	}
	wantUntouched(t, n, watches(t, newInotify(t)))
	var used *inotify.WDError
	path := files(t, 1)[0]
	for range 200 {
		err = restoreWhile(func(wd inotify.WD) error { return shared.RestoreWatch(kerneltest.Context(t), wd, path, inotify.Attrib) })
		if errors.As(err, &used) {
			break
		}
		wantError(t, err, errors.ErrUnsupported)
	}
	if used == nil || used.Want != wd || used.Got <= wd {
		t.Errorf("error %v (%+v), want a WDError: wd %d is in use", err, used, wd)
	}
	if ws := watches(t, n); len(ws) != 1 || ws[0].WD != wd || ws[0].Mask != inotify.Attrib {
		t.Errorf("watches %v, want the one that was added meanwhile", ws)
	}
	wantEvents(t, pending(t, n))
}

// The cycle resolves the path when it reaches the wd, not when it begins.
func TestCycleResolvesThePathAtTheEnd(t *testing.T) {
	t.Parallel()
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 2)
		restoreWithProgress(t, n, paths[0], func() {
			if err := os.Rename(paths[1], paths[0]); err != nil {
				t.Error(err)
			}
		})
		if err := os.Chmod(paths[0], 0o400); err != nil {
			t.Fatal(err)
		}
		if evs := pending(t, n); len(evs) != 1 || evs[0].Mask != inotify.Attrib {
			t.Errorf("events %v, want one of the file that now has the path", evs)
		}
	})
}

// restoreWithProgress restores a watch for Attrib by the cycle and calls meanwhile once from
// the progress function. It tries higher wds until the cycle takes long enough for that.
func restoreWithProgress(t *testing.T, n *inotify.Inotify, path string, meanwhile func()) {
	t.Helper()
	for wd, called := inotify.WD(100_000), 0; called < 2; wd *= 4 {
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

// When reads of the descriptor fail, the cycle stops, and its internal records and those of
// its helper thread are still dropped.
func TestCycleStopsWhenReadFails(t *testing.T) {
	t.Parallel()
	hideIoctl := withoutIoctlElsewhere(t)
	path := files(t, 1)[0]
	for range 5 {
		n := newInotify(t)
		conn, err := n.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var descriptor uint32
		conn.Control(func(fd uintptr) { descriptor = uint32(fd) })
		ended := make(chan error)
		go func() {
			defer close(ended) // also if there is no seccomp
			hideIoctl()
			failed := false
			ended <- n.RestoreWatch(context.Background(), far, path, inotify.Attrib, inotify.WithMaxSteps(far), inotify.WithProgress(func(inotify.Progress) {
				if !failed {
					failed = true
					failCalls(t, unix.SYS_READ, 0, descriptor, false, unix.EIO)
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

// If watches cannot be removed either, the error names those that are left: the helper may
// have made steps when the read fails.
func TestCycleReportsLeaksWhenReadFails(t *testing.T) {
	withoutIoctl(t)
	needLists(t)
	failCalls(t, unix.SYS_READ, 0, math.MaxUint32, false, unix.EIO) // skips here without seccomp
	for range 3 {
		n := newInotify(t)
		dir := t.TempDir()
		add(t, n, dir, inotify.Create)
		descriptor := uint32(kerneltest.FD(t, n))
		failed := false
		err := n.RestoreWatch(kerneltest.Context(t), far, files(t, 1)[0], inotify.Attrib, inotify.WithMaxSteps(far), inotify.WithProgress(func(inotify.Progress) {
			if !failed {
				failed = true
				for i := range 5 {
					touch(t, filepath.Join(dir, fmt.Sprint(i)))
				}
				failCalls(t, unix.SYS_READ, 0, descriptor, false, unix.EIO)
				failCalls(t, unix.SYS_INOTIFY_RM_WATCH, 0, descriptor, false, unix.EPERM)
			}
		}))
		wantError(t, err, unix.EIO)
		if ws := watches(t, n); len(ws) != 1+leakedCount(err) {
			t.Errorf("watches %v are left besides one, and %d are reported: %v", ws, leakedCount(err), err)
		}
	}
}

// A hook is a context that calls a function whenever it is checked.
type hook struct {
	context.Context
	f func()
}

func (h *hook) Err() error {
	h.f()
	return h.Context.Err()
}

// While another holder of the instance reads from a long queue, the cycle's internal records
// stay out of what is read here.
func TestCycleWhileAnotherHolderReads(t *testing.T) {
	needLists(t)
	size := queueSize(t)
	withoutIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.MovedTo)
	file, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	descriptor := kerneltest.FD(t, file)
	var reading, ended atomic.Bool
	var other sync.WaitGroup
	kerneltest.Go(&other, func() {
		buf := make([]byte, 1600)
		for !ended.Load() {
			if reading.Load() {
				unix.Read(descriptor, buf)
			} else {
				time.Sleep(50 * time.Microsecond)
			}
		}
	})
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	internal, slices := 0, 0
	err = n.RestoreWatch(&hook{ctx, func() {
		if slices++; slices%10 > 0 || slices < 100 {
			return
		}
		reading.Store(false)
		for _, ev := range pending(t, n) {
			if ev.WD != wd {
				internal++
			}
		}
		if slices == 130 {
			cancel()
			return
		}
		move(t, dir, "x", size-1000)
		reading.Store(true)
	}}, far, files(t, 1)[0], inotify.Attrib, inotify.WithMaxSteps(far))
	wantError(t, err, context.Canceled)
	ended.Store(true)
	other.Wait()
	if internal > 0 {
		t.Errorf("%d internal records were read", internal)
	}
}
