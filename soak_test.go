// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

var soakTime = flag.Duration("soak", 0, "how long TestSoak goes on (some seconds unless given)")

// TestSoak uses instances for long as many goroutines would, and keeps accounts: of
// each event that other processes cause, and of each watch that is removed, exactly
// one record is read; no record is read of what restores do by themselves; and in
// the end the process has no more descriptors and no more memory than before.
func TestSoak(t *testing.T) {
	s := &soak{t: t, hide: withoutIoctlElsewhere(t), climbs: hasMaskCreate(t), ioctl: hasIoctl(t)}
	s.epoch(time.Second) // what the process then has once, it has before the count begins
	s.total = accounts{}
	heap, open := memory(), len(kerneltest.OpenDescriptors())
	t.Logf("start: %d descriptors, %d KiB of heap", open, heap>>10)

	unrelated := startBystanders(t)
	epoch := min(10*time.Second, max(*soakTime, 2*time.Second))
	for begin := time.Now(); ; {
		s.epoch(epoch)
		t.Logf("%v: %v", time.Since(begin).Round(time.Second), &s.total)
		if t.Failed() || time.Since(begin) >= *soakTime && (s.all() || s.total.epochs > 10) {
			break
		}
	}
	unrelated.stop()

	heapAfter, openAfter := memory(), len(kerneltest.OpenDescriptors())
	t.Logf("end: %d descriptors, %d KiB of heap", openAfter, heapAfter>>10)
	if openAfter > open {
		t.Errorf("%d descriptors, %d before: %v", openAfter, open, kerneltest.OpenDescriptors())
	}
	if heapAfter > heap+1<<20 {
		t.Errorf("%d bytes of heap, %d before", heapAfter, heap)
	}
	if !s.all() {
		t.Errorf("something was never done: %v", &s.total)
	}
}

// all reports whether each thing was done that can be done here.
func (s *soak) all() bool {
	a := &s.total
	return a.restored.Load() > 0 && a.refused.Load() > 0 && (!s.climbs || a.climbed.Load() > 0) && (!s.ioctl || a.probed.Load() > 0)
}

// memory returns how many bytes of heap are in use after what is garbage was
// collected, with what finalizers held.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type accounts struct {
	epochs           int
	written, read    int64 // events of what other processes did
	removed, ignored atomic.Int64
	restored         atomic.Int64 // watches, by the ioctl or by a climb
	climbed          atomic.Int64 // restores by a climb
	refused          atomic.Int64 // restores that were to fail and did
	probed           atomic.Int64 // NextWD
}

func (a *accounts) String() string {
	return fmt.Sprintf("%d instances; events written %d, read %d; watches removed %d, IN_IGNORED read %d; watches restored %d, restores by a climb %d, failed as they should %d, next numbers probed %d",
		a.epochs, a.written, a.read, a.removed.Load(), a.ignored.Load(), a.restored.Load(), a.climbed.Load(), a.refused.Load(), a.probed.Load())
}

type soak struct {
	t      *testing.T
	hide   func() // makes the calling goroutine's thread one without the ioctl
	climbs bool   // others may add watches to an instance that climbs
	ioctl  bool   // for the threads that have not hidden it
	total  accounts
}

// An epoch is one instance's life.
type epoch struct {
	*soak
	n      *inotify.Inotify
	feeds  []*feed // by other processes
	ctx    context.Context
	ended  atomic.Bool
	users  sync.WaitGroup
	readMu sync.Mutex // of what the feeds have seen
}

// A feed is another process that makes files, as many as it is told, and removes
// each at once.
type feed struct {
	wd   inotify.WD
	proc *toucher
	seen []byte // per file: how many of its two events were read
	made int
}

const feedStep = 200 // files

func (s *soak) epoch(length time.Duration) {
	t := s.t
	n, err := kerneltest.NewWhenPossible()
	if err != nil {
		t.Fatal(err)
	}
	e := &epoch{soak: s, n: n}
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	e.ctx = ctx
	for range 2 {
		dir := t.TempDir()
		e.feeds = append(e.feeds, &feed{wd: add(t, n, dir, inotify.Create|inotify.Delete), proc: startChild(t, child(t, "feed", dir))})
	}
	var readers sync.WaitGroup
	for _, read := range []func(){e.readEvents, e.readEvent, e.readEvent, e.tryReadEvent} {
		kerneltest.Go(&readers, read)
	}
	for range 6 {
		kerneltest.Go(&e.users, e.addAndRemove)
		kerneltest.Go(&e.users, e.restoreAndRemove)
		kerneltest.Go(&e.users, e.restoreInVain)
	}
	for _, use := range []func(){e.climb, e.probe, e.list, e.lend, e.setDeadlines} {
		kerneltest.Go(&e.users, use)
	}
	for begin := time.Now(); time.Since(begin) < length; {
		for _, f := range e.feeds {
			f.order(t)
		}
		e.settle(16 << 10)
	}
	e.ended.Store(true)
	e.users.Wait()
	if err := n.SetReadDeadline(time.Time{}); err != nil {
		t.Error(err)
	}
	e.settle(0)
	cancel()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	readers.Wait()
	for _, f := range e.feeds {
		f.proc.in.Close()
		if err := f.proc.cmd.Wait(); err != nil {
			t.Error(err)
		}
		s.total.written += 2 * int64(f.made)
		for i, seen := range f.seen {
			s.total.read += int64(seen)
			if seen != 2 {
				t.Errorf("file %d of watch %d: %d events, want 2", i, f.wd, seen)
			}
		}
		if len(f.seen) != f.made {
			t.Errorf("watch %d: events of %d files, want %d", f.wd, len(f.seen), f.made)
		}
	}
	if removed, ignored := s.total.removed.Load(), s.total.ignored.Load(); removed != ignored {
		t.Errorf("%d watches removed, and %d IN_IGNORED read", removed, ignored)
	}
	s.total.epochs++
}

// childFeed makes and removes files, as many as each line of its input says, and
// prints how many it has made.
func childFeed() error {
	made := 0
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		count, err := strconv.Atoi(orders.Text())
		if err != nil {
			return err
		}
		for ; count > 0; count-- {
			path := filepath.Join(os.Args[1], strconv.Itoa(made))
			if err := unix.Mknod(path, unix.S_IFREG|0o600, 0); err != nil {
				return err
			}
			if err := unix.Unlink(path); err != nil {
				return err
			}
			made++
		}
		fmt.Println(made)
	}
	return orders.Err()
}

// order has the other process make some more files.
func (f *feed) order(t *testing.T) {
	t.Helper()
	if _, err := fmt.Fprintln(f.proc.in, feedStep); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(f.proc.out, &f.made); err != nil {
		t.Fatal(err)
	}
}

// settle waits until the readers have left no more than so many bytes.
func (e *epoch) settle(most int) {
	for {
		b, err := e.n.Buffered()
		if err != nil {
			e.t.Error(err)
		}
		if b <= most || err != nil {
			return
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// count enters an event.
func (e *epoch) count(ev inotify.Event) {
	switch {
	case ev.Mask.Has(inotify.Ignored):
		e.total.ignored.Add(1)
		return
	case ev.Mask == inotify.Create, ev.Mask == inotify.Delete:
		e.readMu.Lock()
		defer e.readMu.Unlock()
		for _, f := range e.feeds {
			if i, err := strconv.Atoi(ev.Name); f.wd == ev.WD && err == nil {
				for len(f.seen) <= i {
					f.seen = append(f.seen, 0)
				}
				f.seen[i]++
				return
			}
		}
	}
	e.t.Errorf("event %v %v %q", ev.WD, ev.Mask, ev.Name)
}

// The readers go on until the instance is closed.

func (e *epoch) readEvents() {
	for e.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(e.ctx, time.Duration(rand.IntN(5000))*time.Microsecond)
		for ev, err := range e.n.Events(ctx) {
			switch {
			case err == nil:
				e.count(ev)
			case ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded):
				e.t.Error(err)
			}
		}
		cancel()
	}
}

func (e *epoch) readEvent() {
	for {
		switch ev, err := e.n.ReadEvent(); {
		case err == nil:
			e.count(ev)
		case errors.Is(err, os.ErrClosed):
			return
		case !errors.Is(err, os.ErrDeadlineExceeded):
			e.t.Error(err)
			return
		}
	}
}

func (e *epoch) tryReadEvent() {
	for {
		switch ev, ok, err := e.n.TryReadEvent(); {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			e.t.Error(err)
			return
		case ok:
			e.count(ev)
		default:
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// The users go on until the epoch has ended.

// pause gives way for a random time.
func pause() { time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond) }

func (e *epoch) remove(wd inotify.WD) {
	if err := e.n.RemoveWatch(wd); err != nil {
		e.t.Error(err)
		return
	}
	e.total.removed.Add(1)
}

func (e *epoch) addAndRemove() {
	path := files(e.t, 1)[0]
	for ; !e.ended.Load(); pause() {
		wd, err := e.n.AddWatch(path, inotify.AllEvents)
		if err != nil {
			e.t.Error(err)
			return
		}
		e.remove(wd)
	}
}

// restored reports whether a restore succeeded. It may have failed only since
// others had the number, or were beyond it where the counter only goes up.
func (e *epoch) restored(err error) bool {
	if err != nil && !errors.As(err, new(*inotify.WDError)) && !errors.Is(err, errors.ErrUnsupported) {
		e.t.Error(err)
	}
	return err == nil
}

// number chooses one to restore at. Without the ioctl it is not far up, as each
// restore climbs there, one after the other.
func (e *epoch) number(path string) inotify.WD {
	if e.ioctl {
		return inotify.WD(100 + rand.IntN(10_000))
	}
	return e.next(path) + inotify.WD(rand.IntN(300))
}

// next returns about the number that the next watch gets.
func (e *epoch) next(path string) inotify.WD {
	wd, err := e.n.AddWatch(path, inotify.Attrib)
	if err != nil {
		e.t.Error(err)
		return 1
	}
	e.remove(wd)
	return wd
}

func (e *epoch) restoreAndRemove() {
	paths := files(e.t, 10)
	for ; !e.ended.Load(); pause() {
		first := e.number(paths[0])
		if e.restored(e.n.RestoreWatch(e.ctx, first, paths[0], inotify.AllEvents)) {
			e.total.restored.Add(1)
			e.remove(first)
		}
		var ws []inotify.Watch
		for i, path := range paths {
			ws = append(ws, inotify.Watch{WD: first + inotify.WD(i), Path: path, Mask: inotify.AllEvents})
		}
		if e.restored(e.n.RestoreWatches(e.ctx, ws)) {
			e.total.restored.Add(int64(len(ws)))
			for _, w := range ws {
				e.remove(w.WD)
			}
		}
	}
}

// restoreInVain restores watches of which the last has no file. The others are
// removed again, which no reader sees.
func (e *epoch) restoreInVain() {
	paths := files(e.t, 10)
	for ; !e.ended.Load(); pause() {
		first := e.number(paths[0])
		var ws []inotify.Watch
		for i, path := range paths {
			ws = append(ws, inotify.Watch{WD: first + inotify.WD(i), Path: path, Mask: inotify.AllEvents})
		}
		ws[len(ws)-1].Path += ".missing"
		err := e.n.RestoreWatches(e.ctx, ws)
		if !errors.Is(err, os.ErrNotExist) && e.restored(err) {
			e.t.Error("restored a watch on a missing file")
		}
		e.total.refused.Add(1)
	}
}

// climb restores without the ioctl, on a fresh part of the numbers.
func (e *epoch) climb() {
	if !e.climbs {
		return
	}
	e.hide()
	path := files(e.t, 1)[0]
	for ; !e.ended.Load(); pause() {
		wd := e.next(path) + inotify.WD(rand.IntN(3000))
		if e.restored(e.n.RestoreWatch(e.ctx, wd, path, inotify.AllEvents)) {
			e.total.climbed.Add(1)
			e.remove(wd)
		}
	}
}

func (e *epoch) probe() {
	for ; !e.ended.Load(); pause() {
		if _, err := e.n.NextWD(); err == nil {
			e.total.probed.Add(1)
		} else if !errors.Is(err, errors.ErrUnsupported) {
			e.t.Error(err)
		}
		if err := e.n.SetNextWD(inotify.WD(1 + rand.IntN(20_000))); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			e.t.Error(err)
		}
	}
}

func (e *epoch) list() {
	for ; !e.ended.Load(); pause() {
		ws, err := e.n.Watches()
		if err == nil && len(ws) < len(e.feeds) {
			err = fmt.Errorf("%d watches", len(ws))
		}
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			e.t.Error(err)
		}
	}
}

// lend hands out duplicates.
func (e *epoch) lend() {
	if !e.climbs {
		return
	}
	for ; !e.ended.Load(); pause() {
		f, err := e.n.File()
		if err != nil {
			e.t.Error(err)
			return
		}
		f.Close()
	}
}

func (e *epoch) setDeadlines() {
	for ; !e.ended.Load(); pause() {
		if err := e.n.SetReadDeadline(time.Now().Add(time.Duration(rand.IntN(2000)) * time.Microsecond)); err != nil {
			e.t.Error(err)
		}
	}
}
