// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package requeue_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/requeue"
)

// Events that real operations of several threads queued are the same when their second half
// is put into the queue of another instance.
func TestHistories(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	rounds := 4
	if kerneltest.LongTests() {
		rounds = 60
	}
	for round := range rounds {
		seed := rand.Uint64()
		h := newHistory(t, seed)
		h.run(1+round%4, 100<<(round%4))
		events := kerneltest.Pending(t, h.n)
		h.n.Close()
		if round%3 == 1 {
			events = slices.Insert(events, len(events)*2/3, overflow)
		}
		pending := events[len(events)/2:]
		got, r := refill(t, n, pending, requeue.Options{})
		wantSame(t, got, applied(pending, r))
		for _, c := range r.Changes {
			if c.Reason != requeue.Advanced && c.Reason != requeue.Unpaired && c.Reason != requeue.OverflowFirst && c.Reason != requeue.Merged {
				t.Errorf("change: %v", c)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d, %d events of which %d were pending; changes %v", seed, len(events), len(pending), r.Changes)
		}
	}
}

// A history is a tree on which threads make random operations.
type history struct {
	t    *testing.T
	n    *inotify.Inotify
	dir  string
	seed uint64

	mu  sync.Mutex
	wds []inotify.WD
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, n: kerneltest.NewInotify(t), dir: t.TempDir(), seed: seed}
	for i := range 4 {
		os.Mkdir(h.path(fmt.Sprint("d", i)), 0o700)
		kerneltest.Touch(t, h.path(fmt.Sprint("d", i), "f0"))
	}
	h.watch("d0")
	h.watch("d1")
	h.watch("d2")
	h.watch("d0", "f0")
	return h
}

func (h *history) path(names ...string) string {
	return filepath.Join(append([]string{h.dir}, names...)...)
}

func (h *history) watch(names ...string) {
	wd, err := h.n.AddWatch(h.path(names...), inotify.AllEvents)
	if err != nil {
		return // the file was removed
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wds = append(h.wds, wd)
}

func (h *history) run(threads, operations int) {
	var wg sync.WaitGroup
	for i := range threads {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(h.seed, uint64(i)))
			for range operations {
				h.operate(r)
			}
		}()
	}
	wg.Wait()
}

// operate makes one operation, which may fail because of another thread.
func (h *history) operate(r *rand.Rand) {
	d := fmt.Sprint("d", r.IntN(4))
	name := fmt.Sprint("f", r.IntN(6))
	if r.IntN(8) == 0 {
		name = fmt.Sprint("a longer name, which is not UTF-8: \xff ", r.IntN(3))
	}
	path := h.path(d, name)
	switch r.IntN(13) {
	case 0, 1:
		os.WriteFile(path, []byte("content"), 0o600)
	case 2:
		os.ReadFile(path)
	case 3:
		os.Chmod(path, 0o640)
	case 4:
		os.Remove(path)
	case 5, 6:
		os.Rename(path, h.path(fmt.Sprint("d", r.IntN(4)), fmt.Sprint("f", r.IntN(6))))
	case 7:
		os.Mkdir(path, 0o700)
	case 8:
		os.ReadDir(path)
	case 9:
		os.Link(path, h.path(fmt.Sprint("d", r.IntN(4)), fmt.Sprint("f", r.IntN(6))))
	case 10:
		unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, h.path(fmt.Sprint("d", r.IntN(4)), name), unix.RENAME_EXCHANGE)
	case 11:
		h.watch(d, name)
	case 12:
		h.mu.Lock()
		wd := h.wds[r.IntN(len(h.wds))]
		h.mu.Unlock()
		if wd > 3 || r.IntN(20) == 0 {
			h.n.RemoveWatch(wd)
		}
	}
}

// Any events in any order, as a hostile snapshot may have them, are queued as the changes say.
func TestRandomLists(t *testing.T) {
	t.Parallel()
	kerneltest.NeedIoctl(t)
	n := kerneltest.NewInotify(t)
	rounds := 4
	if kerneltest.LongTests() {
		rounds = 300
	}
	for range rounds {
		seed := rand.Uint64()
		events := randomEvents(parse(t, every...), rand.New(rand.NewPCG(seed, 0)))
		got, r := refill(t, n, events, requeue.Options{})
		if wantSame(t, got, applied(events, r)); t.Failed() {
			t.Fatalf("seed %d; changes %v", seed, r.Changes)
		}
	}
}

func randomEvents(kinds []inotify.Event, r *rand.Rand) (events []inotify.Event) {
	wds := 1 + r.IntN(8)
	open := map[inotify.Mask]uint32{} // the last MovedFrom without its MovedTo
	for i := range r.IntN(400) {
		e := kinds[r.IntN(len(kinds))]
		e.WD = inotify.WD(1 + r.IntN(wds))
		isDir := e.Mask & inotify.IsDir
		switch {
		case e.Mask.Has(inotify.MovedFrom):
			e.Cookie = uint32(i + 1)
			open[isDir] = e.Cookie
		case e.Mask.Has(inotify.MovedTo):
			e.Cookie = uint32(i + 1)
			if open[isDir] != 0 {
				e.Cookie, open[isDir] = open[isDir], 0
			}
		}
		switch r.IntN(200) {
		case 0:
			e.Mask, e.Cookie = inotify.Mask(r.Uint32())&^(inotify.Access|inotify.Modify|inotify.Attrib), 0
		case 1:
			e.WD = -e.WD
		case 2:
			e = overflow
		}
		events = append(events, e)
	}
	return events
}
