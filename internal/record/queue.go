// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package record

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/seed10546c08/inotify/internal/sys"
)

const (
	// readSize is how much one read(2) asks for. A record has at most 272 bytes,
	// or more with a name of over 255 bytes, as on FUSE, and the kernel refuses a buffer too
	// small for the next.
	readSize = 32 << 10

	// MaxBuffered is how many bytes of records the add/remove cycle buffers for
	// readers before it gives up. The kernel's own queue, at its default of 16384
	// events, can hold 4.25 MiB.
	MaxBuffered = 16 << 20
)

// errFull says that more than MaxBuffered bytes are buffered.
var errFull = errors.New("the event buffer is full (16 MiB): read events while the restore runs")

// A Queue buffers raw records between the kernel and the readers, and drops the
// internal ones. The caller of each method holds it locked.
//
// The only descriptor operations that it needs are a read that does not wait and
// FIONREAD, so that in tests a pipe can stand for the kernel.
type Queue struct {
	mu   sync.Mutex
	buf  []byte
	r, w int    // buf[r:w] is for readers
	pos  uint64 // bytes read from the kernel so far
	filter
	names *nameCache

	wake      func()        // wakes the reader in the poller
	announced uint64        // pos when Unlock last checked whether to wake readers
	asleep    bool          // the reader in the poller found no records and must be woken for new ones
	changed   chan struct{} // closed to wake the other readers that wait, or nil
}

// Init sets what wakes the reader in the poller.
func (q *Queue) Init(wake func()) { q.wake = wake }

// Lock locks the queue.
func (q *Queue) Lock() { q.mu.Lock() }

// Unlock unlocks the queue, and wakes all readers that wait if it got records that are
// still there. There is no other way to release the queue, so that each caller that reads
// from the kernel also wakes the readers.
func (q *Queue) Unlock() {
	if q.pos != q.announced {
		q.wakeReaders()
	}
	q.mu.Unlock()
}

// wakeReaders is the part of Unlock for a queue that was read from the kernel.
func (q *Queue) wakeReaders() {
	q.announced = q.pos
	if q.Buffered() == 0 {
		return
	}
	q.WakeWaiting()
	if q.asleep {
		q.asleep = false
		q.wake()
	}
}

// SetAsleep sets whether the reader in the poller found no records and must be woken when
// the buffer gets some.
func (q *Queue) SetAsleep(asleep bool) { q.asleep = asleep }

// Changed returns a channel that is closed when the buffer has got records.
func (q *Queue) Changed() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// WakeWaiting closes the channel that Changed returned.
func (q *Queue) WakeWaiting() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// Buffered returns how many bytes of records are held for readers.
func (q *Queue) Buffered() int { return q.w - q.r }

// CheckFull returns errFull if more than MaxBuffered bytes are buffered.
func (q *Queue) CheckFull() error {
	if q.Buffered() > MaxBuffered {
		return errFull
	}
	return nil
}

// Pos returns how many bytes were read from the kernel so far.
func (q *Queue) Pos() uint64 { return q.pos }

// End returns the position behind all that the kernel's queue now holds.
func (q *Queue) End(fd int) (uint64, error) {
	queued, err := sys.Queued(fd)
	if err != nil {
		return 0, err
	}
	return q.pos + uint64(queued), nil
}

// Drain reads all that the kernel's queue holds when it is called, but not the
// last record: so the descriptor stays readable for a caller who waits for that,
// though what is read here is buffered.
func (q *Queue) Drain(fd int) error {
	end, err := q.End(fd)
	if err != nil {
		return err
	}
	return q.DrainTo(fd, end)
}

// DrainTo is Drain up to the position end.
func (q *Queue) DrainTo(fd int, end uint64) (err error) {
	for err == nil && q.pos+HeaderSize < end {
		size := int(min(end-q.pos-HeaderSize, readSize))
		var n int
		if n, err = q.read(fd, size); n == 0 || n < size && size < readSize {
			break
		}
	}
	if errors.Is(err, sys.EINVAL) {
		return nil // only the last record is left, and its name does not fit into size
	}
	return err
}

// read reads at most size bytes of records once, without waiting, and returns
// how many bytes it read; 0 if there are none. Those for readers are buffered.
func (q *Queue) read(fd int, size int) (int, error) {
	free := q.room(size)
	n, e := sys.Read(fd, free)
	switch e {
	case sys.OK:
	case sys.EAGAIN:
		return 0, nil
	default:
		return 0, sys.CallError("read", e)
	}
	return n, q.Accept(free[:n])
}

// Load reads what the kernel's queue holds when it is called, and appends it to raw.
// The caller hands all of raw to Accept before anything else is read.
func (q *Queue) Load(fd int, raw []byte) ([]byte, error) {
	queued, err := sys.Queued(fd)
	if err != nil {
		return raw, err
	}
	return load(fd, raw, queued)
}

// load is Load for so many queued bytes. If another holder of the instance has read some of
// them, the queue is empty (EAGAIN), or a newer record does not fit into the rest (EINVAL).
func load(fd int, raw []byte, queued int) ([]byte, error) {
	end := len(raw) + queued
	raw = slices.Grow(raw, queued)
	for len(raw) < end {
		n, e := sys.Read(fd, raw[len(raw):end])
		switch e {
		case sys.OK:
			raw = raw[:len(raw)+n]
		case sys.EAGAIN, sys.EINVAL:
			return raw, nil
		default:
			return raw, sys.CallError("read", e)
		}
	}
	return raw, nil
}

// Accept buffers the records for readers among those that were read last. raw is what room
// returned, or is copied there.
func (q *Queue) Accept(raw []byte) error {
	left, err := len(raw), error(nil)
	if len(q.internal) > 0 {
		left, err = q.remove(raw, q.pos)
	}
	if left > 0 {
		copy(q.room(left), raw[:left])
	}
	q.w += left
	q.pos += uint64(len(raw))
	q.prune(q.pos)
	return err
}

// room returns the free part of the buffer, of so many bytes. It grows the buffer if needed.
func (q *Queue) room(size int) []byte {
	if q.r == q.w {
		q.r, q.w = 0, 0
		if len(q.buf) > readSize {
			q.buf = nil // it grew during a cycle
		}
	}
	if len(q.buf)-q.w < size {
		q.grow(size)
	}
	return q.buf[q.w : q.w+size]
}

func (q *Queue) grow(size int) {
	if q.names == nil {
		q.names = new(nameCache)
	}
	held := q.buf[q.r:q.w]
	if q.r >= size {
		copy(q.buf, held)
	} else {
		bigger := make([]byte, max(readSize, 2*len(held)+size))
		copy(bigger, held)
		q.buf = bigger
	}
	q.r, q.w = 0, len(held)
}

// bufferedAt returns the position of the first buffered record. If internal records were
// dropped behind it, the result is higher than the position at which it was read.
func (q *Queue) bufferedAt() uint64 { return q.pos - uint64(q.Buffered()) }

// Ignored returns, by wd, the position behind each IN_IGNORED in the buffered records and in
// raw, which Load returned.
func (q *Queue) Ignored(raw []byte) map[int32][]uint64 {
	ends := make(map[int32][]uint64)
	at := q.bufferedAt()
	for _, b := range [][]byte{q.buf[q.r:q.w], raw} {
		for len(b) > 0 {
			rec, size, err := Decode(b)
			if err != nil {
				break // the reader gets the error
			}
			b = b[size:]
			at += uint64(size)
			if rec.Mask&sys.Ignored != 0 {
				ends[rec.WD] = append(ends[rec.WD], at)
			}
		}
	}
	return ends
}

// Next removes the next event from the buffer and returns it.
func (q *Queue) Next() (ev Event, ok bool, err error) {
	if q.r == q.w {
		return Event{}, false, nil
	}
	b := q.buf[q.r:q.w]
	size := sizeOf(b)
	if size == 0 {
		q.r = q.w // where the next record begins is unknown
		return Event{}, false, sizeError(b)
	}
	q.r += size
	return q.event(b[:size]), true, nil
}

// More is Next for a caller that has an event already: a record that cannot be decoded
// is left for Next, which returns the error.
func (q *Queue) More() (ev Event, ok bool) {
	if q.r == q.w {
		return Event{}, false
	}
	b := q.buf[q.r:q.w]
	size := sizeOf(b)
	if size == 0 {
		return Event{}, false
	}
	q.r += size
	return q.event(b[:size]), true
}

// event returns the event of a whole record. Its name is from the cache of names.
func (q *Queue) event(rec []byte) Event {
	ev := Event{
		WD:     int32(binary.NativeEndian.Uint32(rec)),
		Mask:   binary.NativeEndian.Uint32(rec[4:]),
		Cookie: binary.NativeEndian.Uint32(rec[8:]),
	}
	if len(rec) > HeaderSize {
		ev.Name = q.names.get(rec[HeaderSize:])
	}
	return ev
}

// Fill reads from the kernel, without waiting, until there is a record for readers.
func (q *Queue) Fill(fd int) error {
	for q.r == q.w {
		if n, err := q.read(fd, readSize); n == 0 || err != nil {
			return err
		}
	}
	return nil
}

// Fetch is Next, but reads from the kernel if nothing is buffered.
func (q *Queue) Fetch(fd int) (Event, bool, error) {
	if err := q.Fill(fd); err != nil {
		return Event{}, false, err
	}
	return q.Next()
}
