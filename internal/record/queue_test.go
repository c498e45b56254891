// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package record_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/internal/record"
)

// A kernel is a pipe, in place of an instance's queue.
type kernel struct {
	t           *testing.T
	read, write int
}

func newKernel(t *testing.T) kernel {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return kernel{t, p[0], p[1]}
}

func (k kernel) queue(wd int32, mask uint32, name string) {
	k.t.Helper()
	if _, err := unix.Write(k.write, encode(wd, mask, name)); err != nil {
		k.t.Fatal(err)
	}
}

func (k kernel) end(q *record.Queue) uint64 {
	k.t.Helper()
	end, err := q.End(k.read)
	if err != nil {
		k.t.Fatal(err)
	}
	return end
}

// events reads all events, as "wd:name", with "!" for an IN_IGNORED.
func (k kernel) events(q *record.Queue) (all []string) {
	k.t.Helper()
	for {
		ev, ok, err := q.Fetch(k.read)
		if err != nil {
			k.t.Fatal(err)
		}
		if !ok {
			return all
		}
		if ev.Mask == ignored {
			ev.Name = "!"
		}
		all = append(all, fmt.Sprintf("%d:%s", ev.WD, ev.Name))
	}
}

func (k kernel) want(q *record.Queue, want string) {
	k.t.Helper()
	if got := k.events(q); !slices.Equal(got, strings.Fields(want)) {
		k.t.Errorf("events %q, want %q", got, want)
	}
}

// If three watches in turn have one wd and the second is internal, only its records are
// dropped, whether they are still in the kernel's queue or buffered.
func TestFilterDropsOnlyInternalRecords(t *testing.T) {
	for _, buffered := range []bool{false, true} {
		k, q := newKernel(t), new(record.Queue)
		k.queue(5, create, "former")
		k.queue(5, ignored, "")
		k.queue(6, create, "other")
		from := k.end(q)
		k.queue(5, create, "internal")
		k.queue(6, create, "other")
		k.queue(6, create, "") // stays in the pipe, which unlike the kernel would return half a record
		if buffered {
			if err := q.Drain(k.read); err != nil {
				t.Fatal(err)
			}
		}
		span := record.Span{WD: 5, From: from, Until: record.Open}
		if err := q.FilterBuffered(span); err != nil {
			t.Fatal(err)
		}
		k.queue(5, ignored, "")
		k.queue(5, create, "late")
		q.CloseSpans(k.end(q))
		k.queue(5, create, "next")
		k.queue(5, ignored, "")
		k.want(q, "5:former 5:! 6:other 6:other 6: 5:next 5:!")
	}
}

// With Only, one record with that mask is dropped. Other records of the wd belong to other
// watches.
func TestFilterOnly(t *testing.T) {
	k, q := newKernel(t), new(record.Queue)
	q.Filter(record.Span{WD: 7, Until: record.Open, Only: ignored})
	k.queue(7, create, "another")
	k.queue(7, ignored, "")
	k.queue(7, ignored, "")
	k.want(q, "7:another 7:!")
	if q.Internal() != 0 {
		t.Errorf("%d bytes of internal records are still expected", q.Internal())
	}
}

// Discard drops the internal records if there are no others, and otherwise leaves them to the
// reader, which is woken for the others.
func TestDiscard(t *testing.T) {
	for _, others := range []bool{false, true} {
		k, q := newKernel(t), new(record.Queue)
		q.Filter(record.Span{WD: 7, Until: record.Open, Only: ignored}, record.Span{WD: 8, Until: record.Open, Only: ignored})
		k.queue(7, ignored, "")
		k.queue(8, ignored, "")
		want, left := "", uint64(0)
		if others {
			k.queue(9, create, "other")
			want, left = "9:other", 64
		}
		if err := q.Discard(k.read); err != nil {
			t.Fatal(err)
		}
		if got := k.end(q) - q.Pos(); got != left {
			t.Errorf("%d bytes are queued, want %d", got, left)
		}
		k.want(q, want)
	}
}

// Drain leaves the last record, so that the descriptor stays readable.
func TestDrainLeavesLastRecord(t *testing.T) {
	k, q := newKernel(t), new(record.Queue)
	for i := range int32(3000) {
		k.queue(1+i, create, "")
	}
	if err := q.Drain(k.read); err != nil {
		t.Fatal(err)
	}
	if left := k.end(q) - q.Pos(); left != 16 || q.Buffered() != 2999*16 {
		t.Errorf("%d bytes are queued and %d buffered, want 16 and %d", left, q.Buffered(), 2999*16)
	}
}

// If another holder of the instance reads between FIONREAD and read, what is left of the size may
// be too small for a newer record. That is no error.
func TestLoadWithAnotherReader(t *testing.T) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	dir := t.TempDir()
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkdir(dir+"/name", 0o700); err != nil { // a record of 32 bytes
		t.Fatal(err)
	}
	if raw, err := record.Load(fd, nil, 16); err != nil || len(raw) != 0 {
		t.Errorf("%d bytes, error %v, want none", len(raw), err)
	}
	if raw, err := record.Load(fd, nil, 48); err != nil || len(raw) != 32 {
		t.Errorf("%d bytes, error %v, want 32", len(raw), err)
	}
}

// Unlock wakes all waiting readers if records were buffered, and none for internal records.
func TestUnlockWakesReaders(t *testing.T) {
	for _, internal := range []bool{false, true} {
		k, q := newKernel(t), new(record.Queue)
		woken := 0
		q.Init(func() { woken++ })
		q.Lock()
		q.SetAsleep(true)
		changed := q.Changed()
		q.Unlock()
		q.Lock()
		if internal {
			q.Filter(record.Span{WD: 3, Until: record.Open})
		}
		k.queue(3, ignored, "")
		if err := q.Fill(k.read); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			q.Unlock()
			q.Lock()
		}
		q.Unlock()
		notified := false
		select {
		case <-changed:
			notified = true
		default:
		}
		if notified == internal || (woken == 1) == internal || woken > 1 {
			t.Errorf("internal %t: the reader was woken %d times, and the others %t", internal, woken, notified)
		}
	}
}

// A name of over 255 bytes, as FUSE allows, is read whole, and is not kept in the cache.
func TestLongNameIsNotCached(t *testing.T) {
	k, q := newKernel(t), new(record.Queue)
	for size, want := range map[int]float64{255: 0, 256: 1, 1000: 1} {
		name := strings.Repeat("n", size)
		read := func() {
			k.queue(1, create, name)
			if ev, ok, err := q.Fetch(k.read); !ok || err != nil || ev.Name != name {
				t.Fatalf("%d bytes: read %d, %v, %v", size, len(ev.Name), ok, err)
			}
		}
		empty := testing.AllocsPerRun(50, func() { encode(1, create, name) })
		if got := testing.AllocsPerRun(50, read) - empty; got != want {
			t.Errorf("a name of %d bytes is allocated %v times, want %v", size, got, want)
		}
	}
}

// A cached name is not taken for a longer one that begins with it, nor the reverse.
func TestNamesThatBeginAlike(t *testing.T) {
	k, q := newKernel(t), new(record.Queue)
	for range 2 {
		for size := 1; size <= 255; size++ {
			name := strings.Repeat("n", size)
			k.queue(1, create, name)
			if ev, _, err := q.Fetch(k.read); err != nil || ev.Name != name {
				t.Fatalf("%d bytes: read %d, %v", size, len(ev.Name), err)
			}
		}
	}
}
