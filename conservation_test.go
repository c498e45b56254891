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
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

var conservationTime = flag.Duration("conservation", 0, "how long TestConservation goes on (1s unless given, or 30s with INOTIFY_TEST_LONG)")

// TestConservation uses each of many instances from many goroutines and counts events. Each
// event that another process causes is read once, and in order if there is one reader. The
// last events of each watch that is removed, or whose directory is removed, are read once.
// No internal record of a restore is read, whether the restore succeeds or fails. In the end
// the process has no more descriptors and no more memory than before. Every third instance is
// closed in the middle, and no wrong event was read until then.
func TestConservation(t *testing.T) {
	length, epoch := *conservationTime, 200*time.Millisecond
	if length == 0 {
		length = time.Second
		if kerneltest.LongTests() {
			length = 30 * time.Second
		}
	}
	if length > time.Second {
		epoch = 2 * time.Second
	}
	s := &conservation{t: t, hide: withoutIoctlElsewhere(t), cycles: hasMaskCreate(t), ioctl: hasIoctl(t), total: new(accounts)}
	s.epoch(50*time.Millisecond, false, true) // allocates what the process allocates once
	s.total = new(accounts)
	heap, open := memory(), len(kerneltest.OpenDescriptors())
	t.Logf("start: %d descriptors, %d KiB of heap", open, heap>>10)

	unrelated := startBystanders(t)
	for begin := time.Now(); ; {
		s.epoch(epoch, false, false)
		s.epoch(epoch, true, false)
		s.epoch(epoch/2, true, true)
		t.Logf("%v: %v", time.Since(begin).Round(time.Second), s.total)
		if t.Failed() || time.Since(begin) >= length && (s.all() || s.total.epochs > 20) {
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
		t.Errorf("an operation was never done: %v", s.total)
	}
}

// all reports whether each operation was done that this kernel supports.
func (s *conservation) all() bool {
	a := s.total
	return a.restored.Load() > 0 && a.refused.Load() > 0 && a.ended.Load() > 0 && (!s.cycles || a.cycled.Load() > 0) && (!s.ioctl || a.probed.Load() > 0)
}

// memory returns how many bytes of heap are in use after a garbage collection, and another
// one for what finalizers held.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// accounts are the counts of what was done and read.
type accounts struct {
	epochs           int
	written, read    int64 // events of what other processes did
	removed, ignored atomic.Int64
	ended, deleted   atomic.Int64 // watches whose directory was removed, and IN_DELETE_SELF
	restored         atomic.Int64 // watches, by the ioctl or by the cycle
	cycled           atomic.Int64 // restores by the cycle
	refused          atomic.Int64 // restores that failed as expected
	probed           atomic.Int64 // NextWD
}

func (a *accounts) String() string {
	return fmt.Sprintf("%d instances; events written %d, read %d; watches removed %d, and with their directories %d; IN_IGNORED read %d, IN_DELETE_SELF %d; watches restored %d, restores by the cycle %d, failed as expected %d, next wds probed %d",
		a.epochs, a.written, a.read, a.removed.Load(), a.ended.Load(), a.ignored.Load(), a.deleted.Load(), a.restored.Load(), a.cycled.Load(), a.refused.Load(), a.probed.Load())
}

type conservation struct {
	t      *testing.T
	hide   func() // hides the ioctl from the calling goroutine's thread
	cycles bool   // watches can be added while the cycle runs
	ioctl  bool   // the kernel has it; hide was not called on most threads
	total  *accounts
}

// An epoch is the use of one instance.
type epoch struct {
	*conservation
	*accounts
	n      *inotify.Inotify
	alone  bool    // there is only one reader, so that the order can be checked
	feeds  []*feed // of other processes
	ctx    context.Context
	above  atomic.Int32 // a wd just above watches that are being removed
	over   atomic.Bool
	closed atomic.Bool // before it is over
	users  sync.WaitGroup
	readMu sync.Mutex // guards seen and last of the feeds
}

// A feed is another process that creates files on request and removes each at once.
type feed struct {
	wd   inotify.WD
	proc *childProcess
	seen []byte // per file: how many of its two events were read
	last int    // the file of the last event
	made int
}

const feedStep = 200 // files

// epoch uses an instance for a while, with one reader if alone is set. If closed is set, the
// instance is closed while it is used.
func (s *conservation) epoch(length time.Duration, alone, closed bool) {
	t := s.t
	n, err := kerneltest.NewWhenPossible()
	if err != nil {
		t.Fatal(err)
	}
	e := &epoch{conservation: s, accounts: s.total, n: n, alone: alone}
	if closed {
		e.accounts = new(accounts)
	}
	ctx, cancel := context.WithCancel(kerneltest.Context(t))
	e.ctx = ctx
	for range 2 {
		dir := t.TempDir()
		e.feeds = append(e.feeds, &feed{wd: add(t, n, dir, inotify.Create|inotify.Delete), proc: startChild(t, child(t, "feed", dir))})
	}
	remover := startChild(t, child(t, "rmdir"))
	read := []func(){e.readEvents, e.readEvent, e.readEvent, e.tryReadEvent}
	if alone {
		read = read[:1]
	}
	var readers sync.WaitGroup
	for _, read := range read {
		kerneltest.Go(&readers, read)
	}
	kerneltest.Go(&e.users, func() { e.addAndRemoveDirectory(remover) })
	for _, use := range []func(){
		e.addAndRemove, e.addAndRemove, e.restoreAndRemove, e.restoreAndRemove, e.restoreMissing,
		e.cycle, e.cycle, e.probe, e.list, e.duplicate, e.setDeadlines,
	} {
		kerneltest.Go(&e.users, use)
	}
	for begin := time.Now(); time.Since(begin) < length; {
		for _, f := range e.feeds {
			f.order(t)
		}
		e.settle(16 << 10)
	}
	if closed {
		e.closed.Store(true)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	e.over.Store(true)
	e.users.Wait()
	if !closed {
		if err := n.SetReadDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
		e.settle(0)
		e.closed.Store(true)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	readers.Wait()
	for _, proc := range []*childProcess{e.feeds[0].proc, e.feeds[1].proc, remover} {
		proc.in.Close()
		if err := proc.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	e.check(!closed)
	s.total.epochs++
}

// check compares the counts. If end is set, everything was read.
func (e *epoch) check(end bool) {
	t, a := e.t, e.accounts
	for _, f := range e.feeds {
		a.written += 2 * int64(f.made)
		for i, seen := range f.seen {
			a.read += int64(seen)
			if seen > 2 || seen < 2 && end {
				t.Errorf("file %d of watch %d: %d events, want 2", i, f.wd, seen)
			}
		}
		if len(f.seen) != f.made && end || len(f.seen) > f.made {
			t.Errorf("watch %d: events of %d files, want %d", f.wd, len(f.seen), f.made)
		}
	}
	removed, ended := a.removed.Load(), a.ended.Load()
	if ignored := a.ignored.Load(); end && removed+ended != ignored {
		t.Errorf("%d watches removed, %d with their directories, and %d IN_IGNORED read", removed, ended, ignored)
	}
	if deleted := a.deleted.Load(); end && ended != deleted {
		t.Errorf("%d watches removed with their directories, and %d IN_DELETE_SELF read", ended, deleted)
	}
}

// childRmdir removes the directories that its input names.
func childRmdir() error {
	dirs := bufio.NewScanner(os.Stdin)
	for dirs.Scan() {
		if err := unix.Rmdir(dirs.Text()); err != nil {
			return err
		}
		fmt.Println(dirs.Text())
	}
	return dirs.Err()
}

// childFeed reads numbers, one per line. For each it creates and removes that many files, and
// prints how many it has made in all.
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

// order lets the other process make some more files.
func (f *feed) order(t *testing.T) {
	t.Helper()
	if _, err := fmt.Fprintln(f.proc.in, feedStep); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(f.proc.out, &f.made); err != nil {
		t.Fatal(err)
	}
}

// settle waits until at most that many bytes are left to read.
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

// count counts an event that was read.
func (e *epoch) count(ev inotify.Event) {
	switch {
	case ev.Mask.Has(inotify.Ignored):
		e.ignored.Add(1)
		return
	case ev.Mask == inotify.DeleteSelf:
		e.deleted.Add(1)
		return
	case ev.Mask == inotify.Create, ev.Mask == inotify.Delete:
		e.readMu.Lock()
		defer e.readMu.Unlock()
		for _, f := range e.feeds {
			if i, err := strconv.Atoi(ev.Name); f.wd == ev.WD && err == nil {
				for len(f.seen) <= i {
					f.seen = append(f.seen, 0)
				}
				if f.seen[i]++; e.alone && (i < f.last || i > f.last+1 || (ev.Mask == inotify.Create) != (f.seen[i] == 1)) {
					e.t.Errorf("watch %d: %v of file %d after one of file %d", ev.WD, ev.Mask, i, f.last)
				}
				f.last = i
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
			case errors.Is(err, os.ErrClosed):
				cancel()
				return
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

// wrong reports an error, unless the instance was closed and the error says so.
func (e *epoch) wrong(err error) {
	if !errors.Is(err, os.ErrClosed) || !e.closed.Load() {
		e.t.Error(err)
	}
}

// pause sleeps for a random time.
func pause() { time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond) }

func (e *epoch) remove(wd inotify.WD) {
	if err := e.n.RemoveWatch(wd); err != nil {
		e.wrong(err)
		return
	}
	e.removed.Add(1)
}

func (e *epoch) addAndRemove() {
	path := files(e.t, 1)[0]
	for ; !e.over.Load(); pause() {
		wd, err := e.n.AddWatch(path, inotify.AllEvents)
		if err != nil {
			e.wrong(err)
			return
		}
		e.remove(wd)
	}
}

// restored reports whether a restore succeeded. A restore may fail because the wd is in use or
// because, without the ioctl, it was passed.
func (e *epoch) restored(err error) bool {
	if err != nil && !errors.As(err, new(*inotify.WDError)) && !errors.Is(err, errors.ErrUnsupported) {
		e.wrong(err)
	}
	return err == nil
}

// anyWD returns a wd to restore. Other goroutines often choose the same ones.
func (e *epoch) anyWD(path string) inotify.WD {
	if e.ioctl {
		return inotify.WD(100 + rand.IntN(300))
	}
	return e.next(path) + inotify.WD(rand.IntN(300))
}

// next returns a wd near the next one.
func (e *epoch) next(path string) inotify.WD {
	wd, err := e.n.AddWatch(path, inotify.Attrib)
	if err != nil {
		e.wrong(err)
		return 1
	}
	e.remove(wd)
	return wd
}

func (e *epoch) restoreAndRemove() {
	paths := files(e.t, 10)
	for ; !e.over.Load(); pause() {
		first := e.anyWD(paths[0])
		if e.restored(e.n.RestoreWatch(e.ctx, first, paths[0], inotify.AllEvents)) {
			e.accounts.restored.Add(1)
			e.remove(first)
		}
		var ws []inotify.Watch
		for i, path := range paths {
			ws = append(ws, inotify.Watch{WD: first + inotify.WD(i), Path: path, Mask: inotify.AllEvents})
		}
		if e.restored(e.n.RestoreWatches(e.ctx, ws)) {
			e.accounts.restored.Add(int64(len(ws)))
			if e.ioctl { // so that the cycle passes them while they are removed
				e.setNext(first - 40)
				e.above.Store(int32(first) + int32(len(ws)))
			}
			for _, w := range slices.Backward(ws) {
				for begin, wait := time.Now(), time.Duration(rand.IntN(100))*time.Microsecond; time.Since(begin) < wait; {
					runtime.Gosched()
				}
				e.remove(w.WD)
			}
		}
	}
}

// restoreMissing restores watches of which the last has no file. The others are rolled back,
// and no reader gets an event of that.
func (e *epoch) restoreMissing() {
	paths := files(e.t, 10)
	for ; !e.over.Load(); pause() {
		first := e.anyWD(paths[0])
		var ws []inotify.Watch
		for i, path := range paths {
			ws = append(ws, inotify.Watch{WD: first + inotify.WD(i), Path: path, Mask: inotify.AllEvents})
		}
		ws[len(ws)-1].Path += ".missing"
		err := e.n.RestoreWatches(e.ctx, ws)
		if !errors.Is(err, os.ErrNotExist) && e.restored(err) {
			e.t.Error("restored a watch on a missing file")
		}
		e.refused.Add(1)
	}
}

// cycle restores without the ioctl.
func (e *epoch) cycle() {
	if !e.cycles {
		return
	}
	e.hide()
	path := files(e.t, 1)[0]
	for ; !e.over.Load(); pause() {
		wd := inotify.WD(e.above.Swap(0))
		switch {
		case !e.ioctl: // the counter only goes up
			wd = e.next(path) + inotify.WD(rand.IntN(1000))
		case wd == 0:
			wd = inotify.WD(100 + rand.IntN(300))
		}
		if e.restored(e.n.RestoreWatch(e.ctx, wd, path, inotify.AllEvents)) {
			e.cycled.Add(1)
			e.remove(wd)
		}
	}
}

// addAndRemoveDirectory watches directories, which another process then removes.
func (e *epoch) addAndRemoveDirectory(remover *childProcess) {
	parent := e.t.TempDir()
	for i := 0; !e.over.Load(); i++ {
		dir := filepath.Join(parent, strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			e.t.Error(err)
			return
		}
		watched := true
		if wd := e.anyWD(parent); i%2 == 0 {
			watched = e.restored(e.n.RestoreWatch(e.ctx, wd, dir, inotify.DeleteSelf))
		} else if _, err := e.n.AddWatch(dir, inotify.DeleteSelf); err != nil {
			e.wrong(err)
			watched = false
		}
		if watched {
			e.ended.Add(1)
		}
		var done string
		if _, err := fmt.Fprintln(remover.in, dir); err != nil {
			e.t.Error(err)
		}
		if _, err := fmt.Fscan(remover.out, &done); err != nil {
			e.t.Error(err)
			return
		}
	}
}

func (e *epoch) probe() {
	for ; !e.over.Load(); pause() {
		if _, err := e.n.NextWD(); err == nil {
			e.probed.Add(1)
		} else if !errors.Is(err, errors.ErrUnsupported) {
			e.wrong(err)
		}
		e.setNext(inotify.WD(1 + rand.IntN(200)))
	}
}

func (e *epoch) setNext(wd inotify.WD) {
	if err := e.n.SetNextWD(wd); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		e.wrong(err)
	}
}

func (e *epoch) list() {
	for ; !e.over.Load(); pause() {
		ws, err := e.n.Watches()
		if err == nil && len(ws) < len(e.feeds) {
			err = fmt.Errorf("%d watches", len(ws))
		}
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			e.wrong(err)
		}
	}
}

// duplicate shares the instance for a moment.
func (e *epoch) duplicate() {
	if !e.cycles {
		return
	}
	for ; !e.over.Load(); pause() {
		f, err := e.n.File()
		if err != nil {
			e.wrong(err)
			return
		}
		f.Close()
	}
}

func (e *epoch) setDeadlines() {
	for ; !e.over.Load(); pause() {
		if err := e.n.SetReadDeadline(time.Now().Add(time.Duration(rand.IntN(2000)) * time.Microsecond)); err != nil {
			e.wrong(err)
		}
	}
}
