// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
)

const (
	// readSize is how much one read(2) asks for. A record has at most 272
	// bytes, and the kernel refuses a buffer too small for the next.
	readSize = 32 << 10

	// maxPutBy is how many bytes of records a climb puts by for readers before
	// it gives up. The kernel's own queue, at its default of 16384 events, can
	// hold 4.25 MiB.
	maxPutBy = 16 << 20
)

var errPutBy = errors.New("the event buffer is full (16 MiB): read events while the restore runs")

// A queue holds raw records between the kernel and the readers, and takes out
// those that a restore causes. The caller of each method holds mu.
//
// A restore adds watches that nobody asked for: scratch watches, and strays
// that came under the wrong number. Their records must not reach a reader, but
// those of the same number's former and next life must. The three lie apart:
// the kernel gives a number out again only after it has queued the former life's
// IN_IGNORED, and as long as the restore holds the numbers no next life begins. So
// the queue counts the bytes that it reads, and an own watch's records lie between
// two positions, of which claim finds the first where it was not known at the add.
type queue struct {
	mu      sync.Mutex
	buf     []byte
	r, w    int    // buf[r:w] is for readers
	pos     uint64 // bytes read from the kernel so far
	own     []span // ascending by wd
	awaited int    // how many of own have not been seen to end
	ending  uint64 // the first position at which one of their spans ends
	guess   int    // where in own the next record's may be

	names *nameCache

	told    uint64        // pos when readers were last told of records
	asleep  bool          // the reader in the poller found none and is to be woken for more
	changed chan struct{} // closed to wake those that wait for their turn, or nil
}

// change returns a channel that is closed when the buffer has got records.
func (q *queue) change() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// wakeWaiting has the readers that wait for their turn look again.
func (q *queue) wakeWaiting() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// A span is where in the stream of records those of an own watch lie. What another
// life of the number queues there is told apart: a life has one IN_IGNORED.
type span struct {
	wd          WD
	from, until uint64
	only        Mask // the bit of the only record, which has no name; 0 if there may be any before the IN_IGNORED, and late ones
	seen        bool // its last record was seen
	awaited     bool // that is still to come, as far as is known
}

const unsettled = math.MaxUint64 // the until of a watch that may still report

func (q *queue) buffered() int { return q.w - q.r }

// unwanted returns how many bytes in the kernel's queue no reader will see:
// the IN_IGNORED of the queue's own watches, and what unpin expects. A stray that
// was not quiet may have reported more, which is counted.
func (q *queue) unwanted() int { return recordHeader * q.awaited }

// end returns the position behind all that the kernel's queue now holds.
func (q *queue) end(fd int) (uint64, error) {
	queued, e := sysQueued(fd)
	if e != success {
		return 0, callError(callQueued, e)
	}
	return q.pos + uint64(queued), nil
}

// expect makes watches own watches.
func (q *queue) expect(own ...span) {
	for _, s := range own {
		s.awaited = true
		q.own = append(q.own, s)
		q.ending = min(q.ending, s.until)
	}
	q.awaited += len(own)
	q.sortOwn()
}

// expectHeld is expect for watches whose records may be among those held here, too.
func (q *queue) expectHeld(own ...span) error {
	others := q.own // which these positions do not hold for
	q.own = nil
	q.expect(own...)
	kept, err := q.takeOut(q.buf[q.r:q.w], q.heldAt())
	q.w = q.r + kept
	q.own = append(q.own, others...)
	q.sortOwn()
	return err
}

func (q *queue) sortOwn() {
	byWD := func(a, b span) int { return int(a.wd) - int(b.wd) }
	if !slices.IsSortedFunc(q.own, byWD) {
		slices.SortStableFunc(q.own, byWD)
	}
	q.guess = 0
}

// gone notes that an own watch ended before it was removed: its IN_IGNORED is
// queued or was read.
func (q *queue) gone(wd WD) {
	for i := q.firstOwn(wd); i < len(q.own) && q.own[i].wd == wd; i++ {
		if s := &q.own[i]; s.until == unsettled {
			q.stopAwaiting(s)
		}
	}
}

func (q *queue) stopAwaiting(s *span) {
	if s.awaited {
		s.awaited = false
		q.awaited--
	}
}

// firstOwn returns the place of the first own watch with the number wd or a
// higher one.
func (q *queue) firstOwn(wd WD) int {
	i, _ := slices.BinarySearchFunc(q.own, wd, func(s span, wd WD) int { return int(s.wd) - int(wd) })
	return i
}

// settle ends the own watches' spans at what the kernel's queue now holds.
func (q *queue) settle(fd int) error {
	if len(q.own) == 0 {
		return nil
	}
	end, err := q.end(fd) // or 0: rather read one record too many than lose one, of those that end now
	if err != nil && q.awaited > 0 {
		err = mayFollow(err)
	}
	q.settleAt(end)
	return err
}

// settleAt ends the own watches' spans at end.
func (q *queue) settleAt(end uint64) {
	for i := range q.own {
		if q.own[i].until == unsettled {
			q.own[i].until = end
		}
		q.ending = min(q.ending, q.own[i].until)
	}
	q.forget()
}

// forget forgets the spans that have been read.
func (q *queue) forget() {
	if len(q.own) == 0 || q.pos < q.ending {
		return
	}
	q.ending, q.guess = unsettled, 0
	q.own = slices.DeleteFunc(q.own, func(s span) bool {
		if s.until > q.pos {
			q.ending = min(q.ending, s.until)
			return false
		}
		q.stopAwaiting(&s) // it was lost in an overflow
		return true
	})
	if len(q.own) == 0 && cap(q.own) > 4*sliceSteps {
		q.own = nil
	}
}

// drain reads all that the kernel's queue holds when it is called, but not the
// last record: so the descriptor stays readable for a caller who waits for that,
// though what is read here is put by.
func (q *queue) drain(fd int) error {
	end, err := q.end(fd)
	if err != nil {
		return err
	}
	return q.drainTo(fd, end)
}

// drainTo is drain for what the queue held when it ended at end.
func (q *queue) drainTo(fd int, end uint64) (err error) {
	for err == nil && q.pos+recordHeader < end {
		size := int(min(end-q.pos-recordHeader, readSize))
		var n int
		if n, err = q.read(fd, size); n == 0 || n < size && size < readSize {
			break
		}
	}
	if errors.Is(err, eINVAL) {
		return nil // the last has a name, and is all that is left
	}
	return err
}

// sweep ends the spans of own watches, which have been removed, and takes their
// records out if nothing else is there. Otherwise they stay for the next reader to
// drop, as what is among them is what somebody is being woken for.
func (q *queue) sweep(fd int) error {
	if err := q.settle(fd); err != nil || q.buffered() > 0 || q.awaited == 0 {
		return err
	}
	queued, e := sysQueued(fd)
	if e != success {
		return callError(callQueued, e)
	}
	if queued != q.unwanted() || queued > readSize {
		return nil
	}
	_, err := q.read(fd, queued)
	return err
}

// read reads at most size bytes of records once, without waiting, and returns
// how many bytes it read; 0 if there are none. It keeps what is for readers.
func (q *queue) read(fd int, size int) (int, error) {
	free := q.room(size)
	n, e := sysRead(fd, free)
	switch e {
	case success:
	case eAGAIN:
		return 0, nil
	default:
		return 0, callError("read", e)
	}
	return n, q.accept(free[:n])
}

// load reads what the kernel's queue holds when it is called, and appends it to raw.
// The caller hands all of raw to accept before anything else is read.
func (q *queue) load(fd int, raw []byte) ([]byte, error) {
	queued, e := sysQueued(fd)
	if e != success {
		return raw, callError(callQueued, e)
	}
	end := len(raw) + queued
	raw = slices.Grow(raw, queued)
	for len(raw) < end {
		n, e := sysRead(fd, raw[len(raw):end])
		if e == eAGAIN { // it was read elsewhere
			break
		}
		if e != success {
			return raw, callError("read", e)
		}
		raw = raw[:len(raw)+n]
	}
	return raw, nil
}

// accept takes in the records that were read last, and keeps those for readers. They lie
// where room said, or else are copied there.
func (q *queue) accept(raw []byte) error {
	kept, err := len(raw), error(nil)
	if len(q.own) > 0 {
		kept, err = q.takeOut(raw, q.pos)
	}
	if kept > 0 {
		copy(q.room(kept), raw[:kept])
	}
	q.w += kept
	q.pos += uint64(len(raw))
	q.forget()
	return err
}

// room returns where so many bytes of records for readers can be put.
func (q *queue) room(size int) []byte {
	if q.r == q.w {
		q.r, q.w = 0, 0
		if len(q.buf) > readSize {
			q.buf = nil // grown by a climb, and done with
		}
	}
	if len(q.buf)-q.w < size {
		q.grow(size)
	}
	return q.buf[q.w : q.w+size]
}

func (q *queue) grow(size int) {
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

// takeOut removes the own watches' records from b, which lay at a position, and
// returns how many bytes are left at b's front.
func (q *queue) takeOut(b []byte, at uint64) (int, error) {
	kept := 0
	for off := 0; off < len(b); {
		rec, size, err := decode(b[off:])
		if err != nil {
			return kept, err
		}
		if !q.isOwn(rec, at+uint64(off)) {
			kept += copy(b[kept:], b[off:off+size])
		}
		off += size
	}
	return kept, nil
}

// heldAt returns a position for the first of the records that are held here. Where others
// were taken out from among them, it is not the one that it had but a later one.
func (q *queue) heldAt() uint64 { return q.pos - uint64(q.buffered()) }

// ignoredIn returns where each IN_IGNORED ends in the records that are held here, and in
// those that load returned.
func (q *queue) ignoredIn(raw []byte) map[WD][]uint64 {
	ends := make(map[WD][]uint64)
	at := q.heldAt()
	for _, b := range [][]byte{q.buf[q.r:q.w], raw} {
		for len(b) > 0 {
			rec, size, err := decode(b)
			if err != nil {
				break // who reads them is told
			}
			b = b[size:]
			at += uint64(size)
			if rec.mask&Ignored != 0 {
				ends[rec.wd] = append(ends[rec.wd], at)
			}
		}
	}
	return ends
}

// isOwn reports whether a record at a position is an own watch's.
func (q *queue) isOwn(rec record, at uint64) bool {
	i := q.guess // mostly they come in order
	if i >= len(q.own) || q.own[i].wd != rec.wd || i > 0 && q.own[i-1].wd == rec.wd {
		i = q.firstOwn(rec.wd)
	}
	for ; i < len(q.own) && q.own[i].wd == rec.wd; i++ {
		s := &q.own[i]
		if at < s.from || at >= s.until {
			continue
		}
		last := s.only
		if last == 0 {
			last = Ignored
		}
		switch {
		case rec.mask&last == 0 || len(rec.name) > 0:
			if s.only != 0 {
				continue
			}
		case s.seen: // another life's
			continue
		default:
			s.seen = true
			q.stopAwaiting(s)
			q.guess = i + 1
		}
		return true
	}
	return false
}

// next takes the next event from what is held here.
func (q *queue) next() (ev Event, ok bool, err error) {
	if q.r == q.w {
		return Event{}, false, nil
	}
	rec, size, err := decode(q.buf[q.r:q.w])
	if err != nil {
		q.r = q.w // nothing behind it can be told apart
		return Event{}, false, err
	}
	return q.consume(rec, size), true, nil
}

// consume returns the event of the record at the front, which is taken.
func (q *queue) consume(rec record, size int) Event {
	q.r += size
	return Event{WD: rec.wd, Mask: rec.mask, Cookie: rec.cookie, Name: q.names.get(rec.name)}
}

// take takes events, as many as are held here and fit into evs. A record that cannot
// be decoded is left for next, which says so.
func (q *queue) take(evs []Event) (count int) {
	for count < len(evs) && q.r < q.w {
		rec, size, err := decode(q.buf[q.r:q.w])
		if err != nil {
			break
		}
		evs[count] = q.consume(rec, size)
		count++
	}
	return count
}

// fill reads from the kernel, without waiting, until there is a record for readers.
func (q *queue) fill(fd int) error {
	for q.r == q.w {
		if n, err := q.read(fd, readSize); n == 0 || err != nil {
			return err
		}
	}
	return nil
}

// fetch takes the next event, from the kernel if none is held here.
func (q *queue) fetch(fd int) (Event, bool, error) {
	if err := q.fill(fd); err != nil {
		return Event{}, false, err
	}
	return q.next()
}

// A nameCache holds recently seen names, so that a name that comes again costs
// no allocation. A name has one place; two that share it push each other out.
type nameCache [128]string

func (c *nameCache) get(name []byte) string {
	if len(name) == 0 {
		return ""
	}
	place := &c[mix(name)%uint64(len(c))]
	if *place != string(name) {
		*place = string(name)
	}
	return *place
}

// mix spreads names over the places, in less time than a hash that strangers
// cannot foresee: those could cause allocations only.
func mix(name []byte) uint64 {
	h := uint64(len(name))
	for ; len(name) >= 8; name = name[8:] {
		h = (h ^ binary.NativeEndian.Uint64(name)) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	for _, b := range name {
		h = (h ^ uint64(b)) * 0x9e3779b97f4a7c15
	}
	return h >> 57
}
