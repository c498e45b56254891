// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// batch returns a watch for each of the wds, each on a file of its own.
func batch(t testing.TB, mask inotify.Mask, wds ...inotify.WD) []inotify.Watch {
	t.Helper()
	paths := files(t, len(wds))
	ws := make([]inotify.Watch, len(wds))
	for i, wd := range wds {
		ws[i] = inotify.Watch{WD: wd, Mask: mask, Path: paths[i]}
	}
	return ws
}

// wantRestored checks that n has exactly the watches ws, with their wds.
func wantRestored(t *testing.T, n *inotify.Inotify, ws []inotify.Watch) {
	t.Helper()
	want := slices.Clone(ws)
	slices.SortFunc(want, func(a, b inotify.Watch) int { return int(a.WD) - int(b.WD) })
	if got := watches(t, n); got != nil {
		if len(got) != len(want) {
			t.Fatalf("%d watches, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i].WD != want[i].WD || got[i].Mask != want[i].Mask {
				t.Fatalf("watch %d with mask %v, want %d with %v", got[i].WD, got[i].Mask, want[i].WD, want[i].Mask)
			}
		}
	}
	for _, w := range want {
		if w.Mask.Has(inotify.Attrib) {
			if err := os.Chmod(w.Path, 0o400); err != nil {
				t.Fatal(err)
			}
			wantEvents(t, pending(t, n), inotify.Event{WD: w.WD, Mask: inotify.Attrib})
		}
	}
}

// wantRestoreError checks that err is a RestoreError that names the watch and how many were
// added before it, and unwraps to is.
func wantRestoreError(t *testing.T, err error, wd inotify.WD, path string, done int, is error) {
	t.Helper()
	var e *inotify.RestoreError
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want a RestoreError", err, err)
	}
	if e.Watch.WD != wd || e.Watch.Path != path || e.Done != done {
		t.Errorf("error %v: watch %d on %s, %d done; want watch %d on %s, %d done",
			e, e.Watch.WD, e.Watch.Path, e.Done, wd, path, done)
	}
	wantError(t, e.Err, is)
	for _, say := range []string{fmt.Sprint(wd), strings.TrimSuffix(path, "\x00")} {
		if !strings.Contains(err.Error(), say) {
			t.Errorf("error %q does not say %q", err, say)
		}
	}
}

// All watches of a batch get their wds, whatever their order, and the argument is unchanged.
func TestRestoreWatches(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		wds := []inotify.WD{400, 3, 4, 5, 90, 91, 7, 401, 300, 6, 1, 700}
		if kerneltest.SupportsSetNext(n) {
			wds = append(wds, 0x34d71d6, math.MaxInt32)
		}
		ws := batch(t, inotify.Attrib, wds...)
		before := slices.Clone(ws)
		if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ws, before) {
			t.Error("the caller's slice was changed")
		}
		wantRestored(t, n, ws)
		if err := n.RestoreWatches(kerneltest.Context(t), nil); err != nil {
			t.Errorf("restoring nothing: %v", err)
		}
	})
}

// Consecutive wds are restored from any order. The next wd follows the highest.
func TestRestoreWatchesOfConsecutiveWDs(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		ws := batch(t, inotify.Attrib)
		for i, path := range files(t, 200) {
			ws = append(ws, inotify.Watch{WD: inotify.WD(5 + i), Mask: inotify.Attrib, Path: path})
		}
		rand.Shuffle(len(ws), func(i, j int) { ws[i], ws[j] = ws[j], ws[i] })
		if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
			t.Fatal(err)
		}
		wantRestored(t, n, ws)
		if got := add(t, n, t.TempDir(), inotify.Create); got != 205 {
			t.Errorf("the next wd is %d, want 205", got)
		}
	})
}

// The masks of a batch are restored as fdinfo lists them.
func TestRestoreWatchesMasks(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		ws := batch(t, 0, 10, 11, 12, 13, 14)
		want := slices.Clone(ws)
		for i, mask := range []inotify.Mask{
			0, inotify.OneShot, inotify.ExclUnlink,
			inotify.AllEvents | inotify.ExclUnlink | inotify.OneShot, inotify.Create,
		} {
			ws[i].Mask, want[i].Mask = mask|0x08000000|0x2000, mask // as old kernels show it
		}
		if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
			t.Fatal(err)
		}
		if got := watches(t, n); got != nil {
			for i := range want {
				if got[i].WD != want[i].WD || got[i].Mask != want[i].Mask {
					t.Errorf("watch %d with mask %v, want %v", got[i].WD, got[i].Mask, want[i].Mask)
				}
			}
		}
	})
}

// A run of consecutive wds takes one ioctl: here any other fails.
func TestRestoreWatchesSetsNextWDOncePerRun(t *testing.T) {
	needIoctl(t)
	var wds []inotify.WD
	for _, first := range []inotify.WD{1000, 5000} {
		for i := range inotify.WD(300) {
			wds = append(wds, first+i)
		}
	}
	ws := batch(t, inotify.Attrib, wds...)
	for _, wd := range []uint32{1001, 1064, 1150, 1299, 5001, 5299} {
		failCalls(t, unix.SYS_IOCTL, 2, wd, false, unix.EPERM)
	}
	for from, want := range []bool{false, true} {
		cycled := false
		if err := newInotify(t).RestoreWatches(kerneltest.Context(t), ws[from:], inotify.WithProgress(func(inotify.Progress) { cycled = true })); err != nil {
			t.Error(err)
		}
		if cycled != want {
			t.Errorf("from wd %d: the cycle was used: %v, want %v", ws[from].WD, cycled, want)
		}
	}
}

// A batch of one is restored. An empty batch succeeds even with an ended context.
func TestRestoreWatchesOfOneAndNone(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		ws := batch(t, inotify.Attrib, 7)
		if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
			t.Fatal(err)
		}
		wantRestored(t, n, ws)
		ended, cancel := context.WithCancel(kerneltest.Context(t))
		cancel()
		if err := n.RestoreWatches(ended, nil); err != nil {
			t.Error(err)
		}
		wantRestored(t, n, ws)
	})
}

// A restore frees its memory when it ends, and that of buffered events once they are read.
func TestRestoreFreesItsMemory(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.MovedTo)
	var wds []inotify.WD
	for i := range inotify.WD(5000) {
		wds = append(wds, 10+i)
	}
	ws := batch(t, inotify.Attrib, wds...)
	ws[len(ws)-1].Path += " is missing"
	before := memory()
	wantMemory := func(after string) {
		t.Helper()
		const room = 160 << 10 // for the buffer of 32 KiB and 256 names
		var got uint64
		for range 10 { // the rest of the process uses memory, too
			if got = memory(); got <= before+room {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d bytes are still in use after %s", got-before, after)
	}
	if err := n.RestoreWatches(kerneltest.Context(t), ws, inotify.WithMaxSteps(math.MaxInt32)); !errors.Is(err, unix.ENOENT) {
		t.Fatalf("error %v, want ENOENT", err)
	}
	wantMemory("a restore that failed")
	move(t, dir, strings.Repeat("n", 240), 4000)
	withoutIoctl(t)
	restore(t, n, 10_000, ws[0].Path, inotify.Attrib)
	if got, err := n.Buffered(); err != nil || got < 4000*256 {
		t.Fatalf("%d bytes of events, %v: too few to test this", got, err)
	}
	pending(t, n)
	wantMemory("the events were read")
	runtime.KeepAlive(n)
	runtime.KeepAlive(ws)
}

// Invalid watches are refused before anything is done. The error names the watch.
func TestRestoreWatchesRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(ws []inotify.Watch)
		at    int
		says  string
	}{
		"wd 0":                {func(ws []inotify.Watch) { ws[0].WD = 0 }, 0, "wd 0 is not in 1 to"},
		"negative wd":         {func(ws []inotify.Watch) { ws[0].WD = math.MinInt32 }, 0, "wd -2147483648 is not in 1 to"},
		"the same wd":         {func(ws []inotify.Watch) { ws[2].WD = ws[1].WD }, 2, "twice"},
		"the first twice":     {func(ws []inotify.Watch) { ws[1].WD = ws[0].WD }, 1, "twice"},
		"an empty path":       {func(ws []inotify.Watch) { ws[2].Path = "" }, 2, "the path is empty"},
		"a NUL byte":          {func(ws []inotify.Watch) { ws[1].Path += "\x00" }, 1, "NUL"},
		"IN_MASK_ADD":         {func(ws []inotify.Watch) { ws[1].Mask |= inotify.MaskAdd }, 1, "IN_MASK_ADD"},
		"IN_MASK_ADD, sorted": {func(ws []inotify.Watch) { ws[2].Mask |= inotify.MaskAdd; ws[0], ws[2] = ws[2], ws[0] }, 0, "IN_MASK_ADD"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInotify(t)
			ws := batch(t, inotify.Attrib, 10, 12, 14)
			path := ws[0].Path
			test.spoil(ws)
			err := n.RestoreWatches(kerneltest.Context(t), ws)
			wantRestoreError(t, err, ws[test.at].WD, ws[test.at].Path, 0, unix.EINVAL)
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %q does not say %q", err, test.says)
			}
			if test.says == "twice" && !strings.Contains(err.Error(), ws[test.at-1].Path) {
				t.Errorf("error %q does not name the other watch's path", err)
			}
			if got := add(t, n, path, inotify.Open); got != 1 {
				t.Errorf("the next wd is %d, want 1", got)
			}
		})
	}
	t.Run("ended context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(kerneltest.Context(t))
		cancel()
		n := newInotify(t)
		ws := batch(t, inotify.Attrib, 10, 12)
		wantRestoreError(t, n.RestoreWatches(ctx, ws), 10, ws[0].Path, 0, context.Canceled)
		if got := add(t, n, ws[0].Path, inotify.Open); got != 1 {
			t.Errorf("the next wd is %d, want 1", got)
		}
	})
}

// If one watch of a batch cannot be restored, none is, and all is as before.
func TestRestoreWatchesAllOrNothing(t *testing.T) {
	const total = 200 // several batches of the engine
	for name, test := range map[string]struct {
		at    int // the one that fails
		spoil func(t *testing.T, n *inotify.Inotify, ws []inotify.Watch)
		is    error
		says  func(ws []inotify.Watch) string
	}{
		"missing file": {150, func(t *testing.T, n *inotify.Inotify, ws []inotify.Watch) {
			if err := os.Remove(ws[150].Path); err != nil {
				t.Fatal(err)
			}
		}, unix.ENOENT, nil},
		"two on one inode": {150, func(t *testing.T, n *inotify.Inotify, ws []inotify.Watch) {
			ws[150].Path = ws[20].Path
		}, unix.EEXIST, func(ws []inotify.Watch) string { return fmt.Sprint("as wd ", ws[20].WD) }},
		"watched inode": {150, func(t *testing.T, n *inotify.Inotify, ws []inotify.Watch) {
			add(t, n, ws[150].Path, inotify.Open)
		}, unix.EEXIST, func([]inotify.Watch) string { return "as wd 1" }},
		"used wd": {150, func(t *testing.T, n *inotify.Inotify, ws []inotify.Watch) {
			if !kerneltest.SupportsSetNext(n) {
				t.Skip("this needs the ioctl: without it the other wds are passed")
			}
			restore(t, n, ws[150].WD, t.TempDir(), inotify.Create)
		}, nil, func(ws []inotify.Watch) string { return fmt.Sprint("wd ", ws[150].WD, " is in use") }},
		"not a directory": {199, func(t *testing.T, n *inotify.Inotify, ws []inotify.Watch) {
			ws[199].Mask |= inotify.OnlyDir
		}, unix.ENOTDIR, nil},
	} {
		t.Run(name, func(t *testing.T) {
			byEachWay(t, func(t *testing.T) {
				n := newInotify(t)
				var wds []inotify.WD
				for i := range inotify.WD(total) {
					wds = append(wds, 10+i+i/50) // four runs
				}
				ws := batch(t, inotify.AllEvents, wds...)
				test.spoil(t, n, ws)
				before := watches(t, n)
				shuffled := slices.Clone(ws)
				rand.Shuffle(total, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				err := n.RestoreWatches(kerneltest.Context(t), shuffled)
				is, done := test.is, test.at
				var e *inotify.RestoreError
				var used *inotify.WDError
				if errors.As(err, &used) {
					is = used
				}
				if errors.As(err, &e) && e.Done == 0 {
					done = 0 // found before the first step of the cycle
				}
				wantRestoreError(t, err, ws[test.at].WD, ws[test.at].Path, done, is)
				if test.says != nil && watches(t, n) != nil && !strings.Contains(err.Error(), test.says(ws)) {
					t.Errorf("error %q does not say %q", err, test.says(ws))
				}
				wantUntouched(t, n, before)
				if readable(t, n) {
					t.Error("readable with no event queued")
				}
			})
		})
	}
}

// If the inode is watched already, the error gives the wd of that watch, also for a symbolic
// link itself.
func TestRestoreWatchesNamesTheWatch(t *testing.T) {
	needLists(t)
	byEachWay(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			at    int
			spoil func(n *inotify.Inotify, ws []inotify.Watch)
			as    inotify.WD
		}{
			"by this batch": {2, func(_ *inotify.Inotify, ws []inotify.Watch) { ws[2].Path = ws[1].Path }, 12},
			"before":        {2, func(n *inotify.Inotify, ws []inotify.Watch) { add(t, n, ws[2].Path, inotify.Open) }, 1},
			"the first":     {0, func(n *inotify.Inotify, ws []inotify.Watch) { add(t, n, ws[0].Path, inotify.Open) }, 1},
			"a link": {2, func(n *inotify.Inotify, ws []inotify.Watch) {
				link := ws[2].Path + ".link"
				if err := os.Symlink(ws[0].Path, link); err != nil {
					t.Fatal(err)
				}
				ws[2].Path, ws[2].Mask = link, inotify.Attrib|inotify.DontFollow
				add(t, n, link, ws[2].Mask)
			}, 1},
		} {
			n := newInotify(t)
			ws := batch(t, inotify.Attrib, 11, 12, 13)
			test.spoil(n, ws)
			before := watches(t, n)
			err := n.RestoreWatches(kerneltest.Context(t), ws)
			wantRestoreError(t, err, ws[test.at].WD, ws[test.at].Path, test.at, unix.EEXIST)
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %q has more than one line", name, err)
			}
			if says := fmt.Sprintf("as wd %d: ", test.as); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: error %q does not say %q", name, err, says)
			}
			wantUntouched(t, n, before)
		}
	})
}

// A restore on a shared instance leaves no descriptor open.
func TestRestoreWatchesClosesWhatItOpens(t *testing.T) {
	for name, test := range eachWay(func(t *testing.T) {
		n := newInotify(t)
		if hasMaskCreate(t) || watches(t, n) != nil {
			share(t, n)
		}
		ws := batch(t, inotify.Attrib, 11, 12, 300)
		before := kerneltest.OpenDescriptors()
		if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
			t.Fatal(err)
		}
		if err := n.RestoreWatches(kerneltest.Context(t), batch(t, inotify.OnlyDir, 310, 311)); err == nil {
			t.Error("files were restored as directories")
		}
		if after := kerneltest.OpenDescriptors(); !slices.Equal(before, after) {
			t.Errorf("descriptors before %q, after %q", before, after)
		}
		wantRestored(t, n, ws)
	}) {
		t.Run(name, test) // not in parallel, as the process's descriptors are counted
	}
}

// If a rollback cannot remove its watches, the error reports the leaked ones.
func TestRestoreWatchesReportsLeakedWatches(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		failCalls(t, unix.SYS_INOTIFY_RM_WATCH, 0, 0, true, unix.EPERM)
		for good, says := range map[int]string{1: "watch 1", 2: "watch 1 and 1 other", 3: "watch 1 and 2 others"} {
			n := newInotify(t)
			ws := batch(t, inotify.Attrib, 1, 2, 3, 4)[3-good:]
			for i := range ws { // without a step of the cycle
				ws[i].WD = inotify.WD(1 + i)
			}
			ws[good].Mask |= inotify.OnlyDir
			err := n.RestoreWatches(kerneltest.Context(t), ws)
			wantRestoreError(t, err, ws[good].WD, ws[good].Path, good, unix.ENOTDIR)
			wantError(t, err, unix.EPERM)
			for _, says := range []string{"leaked " + says + ": inotify_rm_watch: ", fmt.Sprintf("(after %d watch", good)} {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("error %q does not say %q", err, says)
				}
			}
			if ws := watches(t, n); ws != nil && len(ws) != good {
				t.Errorf("%d watches are left, want %d", len(ws), good)
			}
		}
		n := newInotify(t)
		add(t, n, t.TempDir(), inotify.Create)
		err := n.RestoreWatches(kerneltest.Context(t), batch(t, inotify.Attrib, 1, 2))
		if err == nil || strings.Contains(err.Error(), "(after") {
			t.Errorf("error %v, want one without a count: no watch was added", err)
		}
	})
}

// The same for the scratch watches of the cycle.
func TestCycleReportsLeakedWatches(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		failCalls(t, unix.SYS_INOTIFY_RM_WATCH, 0, 0, true, unix.EPERM)
		n := newInotify(t)
		err := n.RestoreWatches(kerneltest.Context(t), batch(t, inotify.Attrib, 1, 50))
		wantError(t, err, unix.EPERM)
		if ws := watches(t, n); ws != nil && len(ws) != leakedCount(err) || leakedCount(err) < 2 {
			t.Errorf("watches %v are left, and %d are reported: %v", ws, leakedCount(err), err)
		}
	})
}

// leakedCount returns how many leaked watches an error reports.
func leakedCount(err error) (count int) {
	for _, m := range regexp.MustCompile(`leaked watch \d+(?: and (\d+) others?)?`).FindAllStringSubmatch(fmt.Sprint(err), -1) {
		others, _ := strconv.Atoi(m[1])
		count += 1 + others
	}
	return count
}

// The kernel reports the inode as watched, but no watch of it is found: no watch is added to
// find out more.
func TestRestoreWatchesWhenTheOtherWatchIsGone(t *testing.T) {
	for name, way := range map[string]func(t testing.TB){"ioctl": needIoctl, "cycle": withoutIoctl} {
		t.Run(name, func(t *testing.T) {
			if !hasMaskCreate(t) {
				t.Skip("this needs IN_MASK_CREATE, which the kernel ignores")
			}
			way(t)
			l := newLive(t)
			ws := batch(t, inotify.Attrib, 2, 20)
			ws[1].Mask |= inotify.OneShot
			failCalls(t, unix.SYS_INOTIFY_ADD_WATCH, 2, uint32(inotify.OneShot), true, unix.EEXIST)
			err := l.n.RestoreWatches(kerneltest.Context(t), ws)
			wantRestoreError(t, err, 20, ws[1].Path, 1, unix.EEXIST)
			if err == nil || strings.Contains(err.Error(), "may be read") || strings.Contains(err.Error(), "as wd") {
				t.Errorf("error %v", err)
			}
			l.check()
			if readable(t, l.n) {
				t.Error("readable after all was read")
			}
		})
	}
}

// If a rollback cannot find its IN_IGNORED in the queue, it is delivered to readers. The
// error announces it, and Buffered counts it.
func TestRollbackReportsRecordsItCannotDrop(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	ws := batch(t, inotify.Attrib, 5, 6)
	ws[1].Mask |= inotify.OnlyDir
	failCalls(t, unix.SYS_IOCTL, 1, unix.TIOCINQ, false, unix.EIO)
	err := n.RestoreWatches(kerneltest.Context(t), ws)
	wantRestoreError(t, err, 6, ws[1].Path, 1, unix.ENOTDIR)
	if wantError(t, err, unix.EIO); err == nil || !strings.Contains(err.Error(), "may be read") {
		t.Errorf("error %v", err)
	}
	elsewhere := make(chan int)
	go func() {
		b, err := n.Buffered()
		if err != nil {
			b = -1
		}
		elsewhere <- b
	}()
	if b := <-elsewhere; b != 16 {
		t.Errorf("Buffered %d, want 16", b)
	}
	wantEvents(t, pending(t, n), inotify.Event{WD: 5, Mask: inotify.Ignored})
}

// A countdown is a context that ends after left calls of Err.
type countdown struct {
	context.Context
	left *int
}

func (c countdown) Err() error {
	if *c.left == 0 {
		return context.Canceled
	}
	*c.left--
	return nil
}

// Wherever the context ends, all watches are restored or none, and the error names the one
// that was next.
func TestRestoreWatchesStopsAnywhere(t *testing.T) {
	t.Parallel()
	byEachWay(t, func(t *testing.T) {
		none := watches(t, newInotify(t))
		for _, wds := range [][]inotify.WD{{5, 6, 200}, {1, 200, 201}} {
			for times := 0; ; times += 1 + times/8 {
				left := times
				n := newInotify(t)
				ws := batch(t, inotify.Attrib, wds...)
				err := n.RestoreWatches(countdown{kerneltest.Context(t), &left}, ws)
				if err == nil {
					wantRestored(t, n, ws)
					break
				}
				wantError(t, err, context.Canceled)
				var e *inotify.RestoreError
				if !errors.As(err, &e) {
					t.Fatalf("%v is no RestoreError", err)
				}
				next := ws[e.Done]
				if e.Watch.WD != next.WD {
					t.Errorf("context ended after %d checks: error %v is for watch %d, want %d", times, err, e.Watch.WD, next.WD)
				}
				var c *inotify.CycleError
				if errors.As(err, &c) && c.WD != next.WD {
					t.Errorf("context ended after %d checks: the CycleError is for wd %d, want %d", times, c.WD, next.WD)
				}
				wantUntouched(t, n, none)
				n.Close() // the instances of a user are limited
			}
		}
	})
}

// A rollback drops the records of its watches that the kernel has removed already, and does
// not expect records that were read before.
func TestRollbackOfWatchesThatEnded(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		for _, read := range []bool{false, true} {
			n := newInotify(t)
			ctx, cancel := context.WithCancel(kerneltest.Context(t))
			ws := batch(t, inotify.Attrib, 1, 2, 3, far)
			if watches(t, n) != nil { // gVisor hangs in a chmod that triggers IN_ONESHOT
				ws[1].Mask |= inotify.OneShot
			}
			err := n.RestoreWatches(ctx, ws, inotify.WithMaxSteps(far), inotify.WithProgress(func(inotify.Progress) {
				if err := errors.Join(os.Remove(ws[0].Path), os.Chmod(ws[1].Path, 0o400), os.Chmod(ws[2].Path, 0o400)); err != nil {
					t.Error(err)
				}
				if read {
					pending(t, n)
				}
				cancel()
			}))
			cancel()
			wantRestoreError(t, err, far, ws[3].Path, 3, context.Canceled)
			if read && readable(t, n) {
				t.Error("readable with no event queued")
			}
			wantUntouched(t, n, watches(t, newInotify(t)))
			if readable(t, n) {
				t.Error("readable with no event queued")
			}
			got := add(t, n, ws[2].Path, inotify.Attrib)
			if err := errors.Join(os.Chmod(ws[2].Path, 0o600), n.RemoveWatch(got)); err != nil || got < 4 {
				t.Errorf("the next wd is %d, %v; want at least 4", got, err)
			}
			if b, err := n.Buffered(); b != 32 || err != nil {
				t.Errorf("Buffered %d, %v; want 32", b, err)
			}
			wantEvents(t, pending(t, n), inotify.Event{WD: got, Mask: inotify.Attrib}, inotify.Event{WD: got, Mask: inotify.Ignored})
		}
	})
}

// Queued events of earlier watches are delivered, although the cycle reuses their wds for
// scratch watches and for watches that are rolled back.
func TestCycleKeepsEventsOfEarlierWatches(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	var want []inotify.Event
	for i, path := range files(t, 3) {
		wd := inotify.WD(20 + 10*i)
		restore(t, n, wd, path, inotify.Attrib)
		if err := errors.Join(os.Chmod(path, 0o400), n.RemoveWatch(wd)); err != nil {
			t.Fatal(err)
		}
		want = append(want, inotify.Event{WD: wd, Mask: inotify.Attrib}, inotify.Event{WD: wd, Mask: inotify.Ignored})
	}
	if err := n.SetNextWD(5); err != nil {
		t.Fatal(err)
	}
	withoutIoctl(t)
	ws := batch(t, inotify.AllEvents, 20, 30, 50)
	ws[2].Mask |= inotify.OnlyDir
	wantRestoreError(t, n.RestoreWatches(kerneltest.Context(t), ws), 50, ws[2].Path, 2, unix.ENOTDIR)
	wantEvents(t, pending(t, n), want...)
}

// The same for a watch that was added and removed during a call of the progress function,
// and whose wd the restore uses next, before it is rolled back.
func TestCycleKeepsEventsOfWatchesDuringProgress(t *testing.T) {
	kerneltest.Long(t, "this waits for progress, which is reported once a second near a wd to restore")
	needIoctl(t)
	n := newInotify(t)
	former := files(t, 1)[0]
	next := make(chan inotify.WD)
	removed := make(chan error)
	go func() { // on a thread that has the ioctl
		runtime.LockOSThread()
		for wd := range next {
			err := n.SetNextWD(wd)
			if err == nil {
				_, err = n.AddWatch(former, inotify.Attrib)
			}
			removed <- errors.Join(err, n.RemoveWatch(wd), n.SetNextWD(wd))
		}
	}()
	defer close(next)
	withoutIoctl(t)
	ws := slowBatch(t)
	var failing inotify.Watch
	err := n.RestoreWatches(kerneltest.Context(t), ws, inotify.WithProgress(func(p inotify.Progress) {
		if failing.WD != 0 || p.Done == p.Steps {
			return
		}
		i := slices.IndexFunc(ws, func(w inotify.Watch) bool { return w.WD == inotify.WD(p.Done)+2 })
		next <- ws[i].WD
		failing = ws[i+1]
		if err := errors.Join(<-removed, os.Remove(failing.Path)); err != nil {
			t.Error(err)
		}
	}))
	if failing.WD == 0 {
		t.Skip("this needs a cycle that takes longer than a second")
	}
	wantRestoreError(t, err, failing.WD, failing.Path, int(failing.WD)-2, unix.ENOENT)
	wantEvents(t, pending(t, n), inotify.Event{WD: failing.WD - 1, Mask: inotify.Ignored})
}

// slowBatch returns watches from wd 2 on, on paths that take so long to look up that the
// cycle takes some seconds.
func slowBatch(t *testing.T) []inotify.Watch {
	t.Helper()
	const count = 1600
	var wds []inotify.WD
	for i := range inotify.WD(count) {
		wds = append(wds, 2+i)
	}
	ws := batch(t, inotify.Attrib, wds...)
	dir := filepath.Dir(ws[0].Path)
	if err := os.Symlink(strings.Repeat("./", 2047), dir+"/slow"); err != nil {
		t.Fatal(err)
	}
	slow := dir
	for range 19 { // the kernel follows 40, and may restart the lookup
		slow += "/slow"
		least := time.Hour
		for range 5 {
			begin := time.Now()
			if _, err := os.Stat(slow); err != nil {
				t.Fatal(err)
			}
			least = min(least, time.Since(begin))
		}
		if least > 1500*time.Millisecond/count {
			break
		}
	}
	for i := range ws {
		ws[i].Path = filepath.Join(slow, filepath.Base(ws[i].Path))
	}
	return ws
}

// If a wd of the batch is in use, the cycle's error names that watch, and not a scratch
// watch.
func TestCycleNamesTheUsedWD(t *testing.T) {
	needIoctl(t)
	needLists(t)
	n := newInotify(t)
	restore(t, n, 20, files(t, 1)[0], inotify.Attrib)
	if err := n.SetNextWD(5); err != nil {
		t.Fatal(err)
	}
	withoutIoctl(t)
	before := watches(t, n)
	ws := batch(t, inotify.Attrib, 10, 20, 30)
	err := n.RestoreWatches(kerneltest.Context(t), ws)
	var used *inotify.WDError
	if !errors.As(err, &used) || used.Want != 20 || used.Got != inotify.NoWD {
		t.Fatalf("error %v (%+v), want a WDError: wd 20 is in use", err, used)
	}
	wantRestoreError(t, err, 20, ws[1].Path, 0, used)
	wantUntouched(t, n, before)
}

// Near a wd to restore, progress is reported only about once a second, because others may
// take the wd during the call.
func TestProgressNearTheWDs(t *testing.T) {
	kerneltest.Long(t, "this waits for progress, which is reported once a second near a wd to restore")
	withoutIoctl(t)
	n := newInotify(t)
	ws := slowBatch(t)
	var at []time.Duration
	if err := n.RestoreWatches(kerneltest.Context(t), ws, inotify.WithProgress(func(p inotify.Progress) { at = append(at, p.Elapsed) })); err != nil {
		t.Fatal(err)
	}
	t.Logf("progress at %v", at)
	if len(at) == 1 {
		t.Skip("this needs a cycle that takes longer than a second")
	}
	for i := range at[:len(at)-1] { // the last is the end
		if i == 0 && at[i] < time.Second || i > 0 && at[i]-at[i-1] < time.Second {
			t.Errorf("progress at %v, want at most one a second", at)
		}
	}
}

// Far from the wds to restore, progress is reported more often than once a second.
func TestProgressFarFromTheWDs(t *testing.T) {
	withoutIoctl(t)
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	defer cancel()
	var at []time.Duration
	err := newInotify(t).RestoreWatch(ctx, far, files(t, 1)[0], inotify.Attrib, inotify.WithMaxSteps(far),
		inotify.WithProgress(func(p inotify.Progress) {
			at = append(at, p.Elapsed)
			if i := len(at) - 1; i == 20 || i > 0 && at[i]-at[i-1] < time.Second {
				cancel()
			}
		}))
	wantError(t, err, context.Canceled)
	if len(at) > 20 {
		t.Errorf("progress at %v, want two within a second", at)
	}
}

// A restore by the cycle that ends during progress with nothing to roll back does not wait
// for other restores.
func TestCycleWithNothingToRollBackDoesNotWait(t *testing.T) {
	hideIoctl := withoutIoctlElsewhere(t)
	n := newInotify(t)
	ws := batch(t, inotify.Attrib, far)
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	defer cancel()
	called, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		hideIoctl()
		ended <- n.RestoreWatches(ctx, ws, inotify.WithMaxSteps(far), inotify.WithProgress(func(inotify.Progress) {
			called <- struct{}{}
			<-goOn
		}))
	}()
	<-called
	end, wait := startCycle(t, n, far)
	cancel()
	close(goOn)
	wantError(t, <-ended, context.Canceled)
	end()
	wantError(t, wait(), context.Canceled)
	if ws := watches(t, n); len(ws) != 0 {
		t.Errorf("watches %v are left", ws)
	}
}

// If it has something to roll back, it waits for other restores, because a rollback needs the
// wd lock.
func TestCycleWaitsForOthersToRollBack(t *testing.T) {
	t.Parallel()
	elsewhere := withoutIoctlElsewhere(t)
	withoutIoctl(t)
	n := newInotify(t)
	ws := batch(t, inotify.Attrib, 1, far)
	path := files(t, 1)[0]
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	defer cancel()
	other := &countingContext{Context: kerneltest.Context(t)}
	ended := make(chan error, 1)
	err := n.RestoreWatches(ctx, ws, inotify.WithMaxSteps(far), inotify.WithProgress(func(p inotify.Progress) {
		go func() {
			elsewhere()
			ended <- n.RestoreWatch(other, inotify.WD(p.Done)+150_000, path, inotify.Attrib, inotify.WithMaxSteps(far))
		}()
		for other.times() < 5 && len(ended) == 0 {
			runtime.Gosched()
		}
		cancel()
	}))
	then := other.times()
	wantRestoreError(t, err, far, ws[1].Path, 1, context.Canceled)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if now := other.times(); now != then {
		t.Errorf("the rollback did not wait for the other restore, which had checked its context %d of %d times", then, now)
	}
}

// If the watches cannot be listed after a call of the progress function, the cycle stops,
// rolls back, and returns the error.
func TestCycleStopsWhenWatchesCannotBeListed(t *testing.T) {
	needLists(t)
	for _, wds := range [][]inotify.WD{{far}, {1, far}} {
		byCycle(t, func(t *testing.T) {
			n := newInotify(t)
			failed := false
			err := n.RestoreWatches(kerneltest.Context(t), batch(t, inotify.Attrib, wds...), inotify.WithMaxSteps(far), inotify.WithProgress(func(inotify.Progress) {
				if !failed { // the reads of fdinfo, on this thread
					failed = true
					failCalls(t, unix.SYS_READ, 2, 64<<10, false, unix.EIO)
				}
			}))
			wantError(t, err, unix.EIO)
			elsewhere := make(chan error)
			go func() {
				ws, err := n.Watches()
				if len(ws) != 0 {
					err = fmt.Errorf("watches %v are left", ws)
				}
				elsewhere <- err
			}()
			if err := <-elsewhere; err != nil {
				t.Error(err)
			}
			wantEvents(t, pending(t, n))
		})
	}
}

// A rollback drops the records of its own watches only. All other events are delivered in
// order, also those between the dropped records.
func TestRestoreWatchesRollbackKeepsOthersEvents(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		dir := t.TempDir()
		wd := add(t, n, dir, inotify.Create)
		old := files(t, 1)[0]
		former := add(t, n, old, inotify.Attrib)
		if err := errors.Join(os.Chmod(old, 0o400), n.RemoveWatch(former)); err != nil {
			t.Fatal(err)
		}
		touch(t, filepath.Join(dir, "a"))
		first := inotify.WD(3)
		if kerneltest.SupportsSetNext(n) {
			first = former // events of the earlier watch with this wd are queued
		}
		ws := batch(t, inotify.AllEvents, first, first+1, first+2, first+9)
		ws[3].Mask |= inotify.OnlyDir
		wantRestoreError(t, n.RestoreWatches(kerneltest.Context(t), ws), ws[3].WD, ws[3].Path, 3, unix.ENOTDIR)
		touch(t, filepath.Join(dir, "b"))
		want := []inotify.Event{
			{WD: former, Mask: inotify.Attrib},
			{WD: former, Mask: inotify.Ignored},
			{WD: wd, Mask: inotify.Create, Name: "a"},
			{WD: wd, Mask: inotify.Create, Name: "b"},
		}
		wantEvents(t, pending(t, n), want...)
		if readable(t, n) {
			t.Error("readable after all was read")
		}
	})
}

// After a rollback of many watches, Buffered counts exactly the events that readers get, and
// the descriptor is readable while there are some.
func TestRestoreWatchesRollbackKeepsBuffered(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		path := files(t, 1)[0]
		wd := add(t, n, path, inotify.Attrib)
		var wds []inotify.WD
		for i := range inotify.WD(200) {
			wds = append(wds, 10+i)
		}
		ws := batch(t, inotify.AllEvents, wds...)
		ws[199].Mask |= inotify.OnlyDir
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		wantRestoreError(t, n.RestoreWatches(kerneltest.Context(t), ws), 209, ws[199].Path, 199, unix.ENOTDIR)
		if b, err := n.Buffered(); b != 16 || err != nil || !readable(t, n) {
			t.Errorf("Buffered %d, %v, readable %v; want 16 and true", b, err, readable(t, n))
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := n.Buffered(); b != 32 || err != nil {
			t.Errorf("Buffered %d, %v; want 32", b, err)
		}
		wantEvents(t, pending(t, n), inotify.Event{WD: wd, Mask: inotify.Attrib}, inotify.Event{WD: wd, Mask: inotify.Attrib})
		if b, err := n.Buffered(); b != 0 || err != nil || readable(t, n) {
			t.Errorf("Buffered %d, %v, readable %v after all was read", b, err, readable(t, n))
		}
	})
}

// While readers wait and the new watches report events, rollbacks deliver no IN_IGNORED and
// lose no event of other watches.
func TestRestoreWatchesRollbackWhileOthersRead(t *testing.T) {
	t.Parallel()
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		busy, live := t.TempDir(), t.TempDir()
		wd := add(t, n, live, inotify.Create)
		var mu sync.Mutex
		var seen []inotify.Event
		ctx, cancel := context.WithCancel(kerneltest.Context(t))
		defer cancel()
		var group sync.WaitGroup
		kerneltest.Go(&group, func() {
			for ev, err := range n.Events(ctx) {
				if err != nil {
					break
				}
				mu.Lock()
				seen = append(seen, ev)
				mu.Unlock()
			}
		})
		renamer := startChild(t, child(t, "rename", busy))
		writer := startTouch(t, live, "x")
		first := inotify.WD(10)
		var wds []inotify.WD
		for i := range inotify.WD(100) {
			wds = append(wds, first+i)
		}
		ws := batch(t, inotify.AllEvents, wds...)
		ws[0].Path = busy
		ws[99].Mask |= inotify.OnlyDir
		for until := time.Now().Add(150 * time.Millisecond); time.Now().Before(until); {
			err := n.RestoreWatches(ctx, ws)
			wantRestoreError(t, err, ws[99].WD, ws[99].Path, len(ws)-1, unix.ENOTDIR)
			if !kerneltest.SupportsSetNext(n) {
				break // the wds are passed
			}
		}
		renamer.stop()
		made := writer.stop()
		for ; ; time.Sleep(time.Millisecond) {
			if b, err := n.Buffered(); b == 0 || err != nil {
				break
			}
		}
		time.Sleep(5 * time.Millisecond)
		cancel()
		group.Wait()
		seen = append(seen, pending(t, n)...)
		next := 0
		for _, ev := range seen {
			switch {
			case ev.Mask.Has(inotify.Ignored):
				t.Errorf("event %v", ev)
			case ev.WD == wd:
				if want := (inotify.Event{WD: wd, Mask: inotify.Create, Name: fmt.Sprint("x", next)}); ev != want {
					t.Fatalf("event %v, want %v", ev, want)
				}
				next++
			}
		}
		if next != made {
			t.Errorf("%d events of the other watch, want %d", next, made)
		}
	})
}

// The IN_IGNORED of later watches with the wds of rolled-back ones are delivered.
func TestRestoreWatchesRollbackKeepsEventsOfLaterWatches(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	ws := batch(t, inotify.AllEvents, 5, 6, 7)
	good := ws[2].Path
	ws[2].Path += ".missing"
	other := files(t, 1)[0]
	add(t, n, other, inotify.Attrib)
	if err := os.Chmod(other, 0o400); err != nil { // so that an event is buffered
		t.Fatal(err)
	}
	for range 3 {
		if err := n.RestoreWatches(kerneltest.Context(t), ws); err == nil {
			t.Fatal("restored a watch on a missing file")
		}
	}
	ws[2].Path = good
	if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
		t.Fatal(err)
	}
	for _, w := range ws {
		if err := n.RemoveWatch(w.WD); err != nil {
			t.Fatal(err)
		}
	}
	wantEvents(t, pending(t, n),
		inotify.Event{WD: 1, Mask: inotify.Attrib},
		inotify.Event{WD: 5, Mask: inotify.Ignored},
		inotify.Event{WD: 6, Mask: inotify.Ignored},
		inotify.Event{WD: 7, Mask: inotify.Ignored})
}

// The end of the context also stops a restore with the ioctl, between two batches.
func TestRestoreWatchesStopsWithItsContext(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	var wds []inotify.WD
	for i := range inotify.WD(3000) {
		wds = append(wds, 10+i)
	}
	ws := batch(t, inotify.AllEvents, wds...)
	for wait := 50 * time.Microsecond; ; wait += 50 * time.Microsecond {
		ctx, cancel := context.WithTimeout(kerneltest.Context(t), wait)
		err := n.RestoreWatches(ctx, ws)
		cancel()
		if err == nil {
			t.Fatal("no context ended in the middle of a restore")
		}
		wantError(t, err, context.DeadlineExceeded)
		wantUntouched(t, n, watches(t, newInotify(t)))
		var e *inotify.RestoreError
		if errors.As(err, &e) && e.Done > 0 {
			if e.Watch != ws[e.Done] {
				t.Errorf("error %v after %d watches", e, e.Done)
			}
			return
		}
	}
}

// One run of the cycle restores the whole batch. Its progress counts to the highest wd.
func TestRestoreWatchesRunsTheCycleOnce(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		ws := batch(t, inotify.Attrib, 3000, 2, 2500, 2501, 1000)
		var last inotify.Progress
		if err := n.RestoreWatches(kerneltest.Context(t), ws, inotify.WithMaxSteps(2999), inotify.WithProgress(func(p inotify.Progress) {
			last = p
		})); err != nil {
			t.Fatal(err)
		}
		if last.WD != 3000 || last.Steps != 2999 || last.Done != 2999 {
			t.Errorf("progress %+v, want 2999 steps to 3000", last)
		}
		wantRestored(t, n, ws)
		// One step too many, or a wd that was passed, is refused before any watch is added.
		var cycle *inotify.CycleError
		ws = batch(t, inotify.Attrib, 4000, 6001)
		err := n.RestoreWatches(kerneltest.Context(t), ws, inotify.WithMaxSteps(2999))
		wantRestoreError(t, err, 6001, ws[1].Path, 0, errors.ErrUnsupported)
		if !errors.As(err, &cycle) || cycle.Steps != 3000 || cycle.Next != 3002 || cycle.WD != 6001 {
			t.Errorf("%+v, want 3000 steps, and 3002 is next", cycle)
		}
		ws = batch(t, inotify.Attrib, 4000, 2000)
		err = n.RestoreWatches(kerneltest.Context(t), ws)
		wantRestoreError(t, err, 2000, ws[1].Path, 0, errors.ErrUnsupported)
		if !errors.As(err, &cycle) || cycle.WD != 2000 || !strings.Contains(err.Error(), "fresh instance") {
			t.Errorf("error %v, want one that recommends a fresh instance", err)
		}
		wantEvents(t, pending(t, n))
	})
}

// If the context ends during the cycle, the watches added so far are rolled back.
func TestRestoreWatchesCycleStopsWithItsContext(t *testing.T) {
	byCycle(t, func(t *testing.T) {
		n := newInotify(t)
		ctx, cancel := context.WithCancel(kerneltest.Context(t))
		defer cancel()
		ws := batch(t, inotify.AllEvents, 1, 7, 50, far)
		err := n.RestoreWatches(ctx, ws, inotify.WithMaxSteps(far), inotify.WithProgress(func(inotify.Progress) { cancel() }))
		wantRestoreError(t, err, far, ws[3].Path, 3, context.Canceled)
		var cycle *inotify.CycleError
		if !errors.As(err, &cycle) || cycle.Done == 0 || cycle.Steps != far-1 {
			t.Errorf("error %+v", cycle)
		}
		wantUntouched(t, n, watches(t, newInotify(t)))
	})
}

// If the context ends during progress, the restore is rolled back without a trace, although
// other restores run at the same time.
func TestRestoreWatchesRollbackAfterProgress(t *testing.T) {
	hideIoctl := withoutIoctlElsewhere(t)
	withoutIoctl(t)
	n := newInotify(t)
	wds := []inotify.WD{far}
	for i := range inotify.WD(3000) {
		wds = append(wds, 1+i)
	}
	ws := batch(t, inotify.AllEvents, wds...)
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	defer cancel()
	other := files(t, 1)[0]
	begin, stop := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	kerneltest.Go(&group, func() {
		hideIoctl()
		<-begin
		for {
			select {
			case <-stop:
				return
			default:
				if n.RestoreWatch(context.Background(), 1, other, inotify.Attrib) == nil {
					t.Error("restored a wd that was passed")
				}
			}
		}
	})
	err := n.RestoreWatches(ctx, ws, inotify.WithMaxSteps(far), inotify.WithProgress(func(inotify.Progress) {
		cancel()
		close(begin)
		time.Sleep(time.Millisecond)
	}))
	close(stop)
	group.Wait()
	wantError(t, err, context.Canceled)
	wantUntouched(t, n, watches(t, newInotify(t)))
}

// If Close ends a restore on a shared instance, no watch of the restore is left in it.
func TestRestoreWatchesStopsByClose(t *testing.T) {
	needIoctl(t)
	needLists(t)
	var wds []inotify.WD
	for i := range inotify.WD(3000) {
		wds = append(wds, 10+i)
	}
	ws := batch(t, inotify.AllEvents, wds...)
	for wait := 100 * time.Microsecond; ; wait += 200 * time.Microsecond {
		n := newInotify(t)
		dup, err := n.File()
		if err != nil {
			t.Fatal(err)
		}
		shared, err := inotify.FromFile(dup)
		if err != nil {
			t.Fatal(err)
		}
		defer shared.Close()
		time.AfterFunc(wait, func() { n.Close() })
		err = n.RestoreWatches(kerneltest.Context(t), ws)
		if err == nil {
			t.Fatal("no Close came in the middle of a restore")
		}
		wantError(t, err, os.ErrClosed)
		if left := len(watches(t, shared)); left != 0 {
			t.Errorf("%d watches are left of a restore that failed: %v", left, err)
		}
		var e *inotify.RestoreError
		if errors.As(err, &e) && e.Done > 0 {
			return
		}
	}
}

// The same for the cycle, between two watches of which one has been added.
func TestRestoreWatchesCycleStopsByClose(t *testing.T) {
	needLists(t)
	withoutIoctl(t)
	if !hasMaskCreate(t) {
		t.Skip("this needs IN_MASK_CREATE, without which the cycle can do little on a shared instance")
	}
	n := newInotify(t)
	shared := share(t, n)
	added := 0
	err := n.RestoreWatches(kerneltest.Context(t), batch(t, inotify.Attrib, 10, 100_000_000), inotify.WithMaxSteps(math.MaxInt32),
		inotify.WithProgress(func(inotify.Progress) {
			added = len(watches(t, shared))
			n.Close()
		}))
	wantError(t, err, os.ErrClosed)
	if err != nil && strings.Count(err.Error(), os.ErrClosed.Error()) != 1 {
		t.Errorf("error %q repeats that the file is closed", err)
	}
	if left := watches(t, shared); added != 1 || len(left) != 0 {
		t.Errorf("%d watches before Close, want 1; left are %v", added, left)
	}
}

// If half of the scratch directories are watched and no other inode can be made, the cycle
// uses the rest.
func TestCycleWithHalfTheDirectories(t *testing.T) {
	t.Parallel()
	byCycle(t, func(t *testing.T) {
		failCalls(t, unix.SYS_MEMFD_CREATE, 1, unix.MFD_CLOEXEC, false, unix.EMFILE)
		for range 10 {
			n := newInotify(t)
			for i, dir := range scratchDirs() {
				if i%2 == 0 {
					n.AddWatch(dir, inotify.MoveSelf)
				}
			}
			before := watches(t, n)
			restore(t, n, 5000, files(t, 1)[0], inotify.Attrib)
			if after := watches(t, n); after != nil && !slices.Equal(after[:len(after)-1], before) {
				t.Errorf("watches:\nbefore %v\n after %v", before, after)
			}
			if readable(t, n) {
				t.Error("readable with no event queued")
			}
			wantEvents(t, pending(t, n))
			if b, err := n.Buffered(); b != 0 || err != nil {
				t.Errorf("Buffered %d, %v with no event queued", b, err)
			}
		}
	})
}

// The cycle adds no scratch watch on an inode that the batch is going to watch.
func TestCycleAddsNoScratchWatchOnTargets(t *testing.T) {
	needLists(t)
	withoutIoctl(t)
	n := newInotify(t)
	dirs := []string{"/", "/proc", "/sys", "/dev"}
	var ws []inotify.Watch
	targets := map[inotify.Handle]bool{}
	probe := newInotify(t)
	for i, dir := range dirs {
		ws = append(ws, inotify.Watch{WD: inotify.WD(20_000 + i), Mask: inotify.MoveSelf, Path: dir})
		add(t, probe, dir, inotify.MoveSelf)
	}
	key := func(w inotify.Watch) string { return fmt.Sprint(w.Device, w.Inode, w.Handle) }
	for _, w := range watches(t, probe) {
		targets[inotify.Handle{Bytes: key(w)}] = true
	}
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	seen := 0
	kerneltest.Go(&group, func() {
		for ctx.Err() == nil {
			ws, err := n.Watches()
			if err != nil {
				t.Error(err)
				return
			}
			for _, w := range ws {
				if w.WD > 1 && w.WD < 20_000 { // the first step adds one of the targets
					seen++
					if targets[inotify.Handle{Bytes: key(w)}] {
						t.Errorf("scratch watch %v on a target of the restore", w)
						return
					}
				}
			}
		}
	})
	err := n.RestoreWatches(kerneltest.Context(t), ws)
	cancel()
	group.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Skip("this needs scratch watches to be listed while they exist, and none was")
	}
}

// skipSlowCycle skips a test whose cycle would take very long on this machine.
func skipSlowCycle(t *testing.T, steps inotify.WD) {
	t.Helper()
	const few = 2000
	start := time.Now()
	restore(t, newInotify(t), few, files(t, 1)[0], inotify.Attrib)
	if all := time.Since(start) / few * time.Duration(steps); all > 30*time.Second {
		t.Skipf("a cycle of %d steps would take %v here", steps, all)
	}
}

// During a million steps, with two readers and two writing processes, each event is delivered
// once, and to each reader in order.
func TestCycleOfAMillionSteps(t *testing.T) {
	kerneltest.Long(t, "this takes some seconds")
	withoutIoctl(t)
	const steps = 1_000_000
	skipSlowCycle(t, steps)
	n := newInotify(t)
	dir := t.TempDir()
	wd := add(t, n, dir, inotify.Create)
	var seen [2][]inotify.Event
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	defer cancel()
	kerneltest.Go(&group, func() {
		for ev, err := range n.Events(ctx) {
			if err != nil {
				break
			}
			seen[0] = append(seen[0], ev)
		}
	})
	kerneltest.Go(&group, func() {
		for {
			ev, err := n.ReadEvent()
			if err != nil {
				return
			}
			seen[1] = append(seen[1], ev)
		}
	})
	one, two := startTouch(t, dir, "one"), startTouch(t, dir, "two")
	start := time.Now()
	if err := n.RestoreWatch(kerneltest.Context(t), steps+2, files(t, 1)[0], inotify.Attrib); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	made := [2]int{one.stop(), two.stop()}
	for ; ; time.Sleep(time.Millisecond) {
		if b, err := n.Buffered(); b == 0 || err != nil {
			break
		}
	}
	time.Sleep(5 * time.Millisecond)
	cancel()
	if err := n.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	t.Logf("%d steps in %v, %d and %d events, read by two: %d and %d", steps, took, made[0], made[1], len(seen[0]), len(seen[1]))
	count := map[string]int{}
	for _, evs := range seen {
		last := map[string]int{"one": -1, "two": -1}
		for _, ev := range evs {
			if ev.WD != wd || ev.Mask != inotify.Create || len(ev.Name) < 4 {
				t.Fatalf("event %v", ev)
			}
			writer := ev.Name[:3]
			file, err := strconv.Atoi(ev.Name[3:])
			if err != nil || file <= last[writer] {
				t.Fatalf("event %v after that of file %d", ev, last[writer])
			}
			last[writer] = file
			count[ev.Name]++
		}
	}
	for writer, made := range map[string]int{"one": made[0], "two": made[1]} {
		for i := range made {
			if c := count[fmt.Sprint(writer, i)]; c != 1 {
				t.Fatalf("the event of %s%d was read %d times", writer, i, c)
			}
		}
	}
	if len(count) != made[0]+made[1] {
		t.Errorf("%d events, want %d", len(count), made[0]+made[1])
	}
}

// 180,000 watches are restored, or all rolled back if the last one fails.
func TestRestoreWatchesMany(t *testing.T) {
	kerneltest.Long(t, "this makes 180,000 files")
	needIoctl(t)
	kerneltest.ManyWatches(t)
	const total = 180_000
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		t.Skip("this needs to know how many watches a user may have: ", err)
	}
	if limit, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || limit < total+1000 {
		t.Skipf("this needs %d watches: fs.inotify.max_user_watches is %s", total, text)
	}
	n := newInotify(t)
	dir := t.TempDir()
	ws := make([]inotify.Watch, total)
	for i := range ws {
		path := filepath.Join(dir, strconv.Itoa(i))
		if err := unix.Mknod(path, unix.S_IFREG|0o600, 0); err != nil {
			t.Fatal(err)
		}
		ws[i] = inotify.Watch{WD: inotify.WD(2 + i + i/1000), Mask: inotify.AllEvents, Path: path}
	}
	rand.Shuffle(total, func(i, j int) { ws[i], ws[j] = ws[j], ws[i] })
	check := func(want int) {
		t.Helper()
		got := watches(t, n)
		if len(got) != want {
			t.Errorf("%d watches, want %d", len(got), want)
		}
		wantEvents(t, pending(t, n))
	}
	highest := slices.MaxFunc(ws, func(a, b inotify.Watch) int { return int(a.WD) - int(b.WD) })
	// The last one fails: all are rolled back.
	stranger := add(t, n, highest.Path, inotify.Attrib)
	wantRestoreError(t, n.RestoreWatches(kerneltest.Context(t), ws[:total]), highest.WD, highest.Path, total-1, unix.EEXIST)
	check(1)
	if err := n.RemoveWatch(stranger); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, pending(t, n), inotify.Event{WD: stranger, Mask: inotify.Ignored})
	if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
		t.Fatal(err)
	}
	check(total)
}

// If a shared instance is closed in the middle of a restore, the error reports the leaked
// watches, and only those.
func TestRollbackOnSharedInstanceReportsLeakedWatches(t *testing.T) {
	t.Parallel()
	keep := func(t *testing.T) { failCalls(t, unix.SYS_INOTIFY_RM_WATCH, 1, 11, false, unix.EPERM) }
	noDuplicate := func(t *testing.T) { failCalls(t, unix.SYS_FCNTL, 1, unix.F_DUPFD_CLOEXEC, false, unix.EMFILE) }
	for name, c := range map[string]struct {
		forbid func(t *testing.T)
		before []inotify.WD // are added before far
		want   unix.Errno   // of the leaked watches
		left   []inotify.WD
	}{
		"all removed":               {nil, []inotify.WD{10, 11}, 0, nil},
		"one leaked":                {keep, []inotify.WD{10, 11}, unix.EPERM, []inotify.WD{11}},
		"no duplicate":              {noDuplicate, []inotify.WD{10, 11}, unix.EMFILE, []inotify.WD{10, 11}},
		"no duplicate, one watch":   {noDuplicate, []inotify.WD{11}, unix.EMFILE, []inotify.WD{11}},
		"no duplicate and no watch": {noDuplicate, []inotify.WD{far - 1}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if !hasMaskCreate(t) {
				t.Skip("this needs IN_MASK_CREATE, without which an instance is not shared")
			}
			withoutIoctl(t)
			n := newInotify(t)
			shared, err := n.File()
			if err != nil {
				t.Fatal(err)
			}
			other, err := inotify.FromFile(shared)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if c.forbid != nil {
				c.forbid(t)
			}
			if strings.HasPrefix(name, "no duplicate") {
				if f, err := n.File(); err == nil {
					f.Close()
					t.Skip("this needs a kernel where fcntl has one number")
				}
			}
			batch := batchOf(files(t, len(c.before)+1), 1)
			for i, wd := range append(c.before, far) {
				batch[i].WD = wd
			}
			err = n.RestoreWatches(kerneltest.Context(t), batch, inotify.WithMaxSteps(far),
				inotify.WithProgress(func(inotify.Progress) { n.Close() }))
			wantError(t, err, os.ErrClosed)
			reported := strings.Contains(err.Error(), "leaked watch")
			if reported != (c.want != 0) || reported && (!errors.Is(err, c.want) || strings.Contains(err.Error(), "rolled back")) {
				t.Error(err)
			}
			var left []inotify.WD
			for _, w := range watches(t, other) {
				left = append(left, w.WD)
			}
			slices.Sort(left)
			if !slices.Equal(left, c.left) {
				t.Errorf("watches %v are left, want %v", left, c.left)
			}
		})
	}
}
