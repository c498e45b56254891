// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"runtime"
	"sync/atomic"
	"time"
)

// scratchMask makes a watch that queues nothing but its IN_IGNORED, and changes
// nothing about a watch that exists: IN_MASK_ADD with no event. Where
// IN_MASK_CREATE works, that bit alone is used instead: it queues as little and
// fails on a watched inode.
const scratchMask = MaskAdd

// groupSteps is how many scratch watches each of two threads adds, each on an
// inode of its own, before it removes them again. One thread alone uses all inodes
// for a group. In groups a step takes two thirds of the time (measured on Linux
// 6.18), and there it takes less the larger they are, though not by much.
const groupSteps = 8

// A scratch is the inodes on which one thread adds watches only to remove them.
// While it runs it works on a copy, as the other thread reads what lies beside it
// in memory, and the two would wait for each other's cache lines.
type scratch struct {
	c     *climb
	paths []*byte // an inode that turns out to be no use is dropped
	given []span  // the watches that were added and removed since the last merge
	lost  int     // adds that failed since then and took a number nevertheless
	full  error   // there was room for no watch at all
	kept  kept    // watches that could not be removed
	no    errno   // why an inode was no use, if not because it is watched
}

// run makes steps, as many as it is told or until the time, in groups.
func (s *scratch) run(fd, steps int, until time.Time) {
	own := *s
	last := own.made() + steps
	for own.made() < last && len(own.paths) > 0 && own.full == nil && own.kept.count == 0 {
		first := len(own.given)
		own.add(fd, last, until)
		for _, w := range own.given[first:] {
			if e := sysRemoveScratch(fd, w.wd); e != success && e != eINVAL { // else it went with its inode
				own.kept.add(w.wd, e)
			}
		}
		if time.Now().After(until) {
			break
		}
	}
	*s = own
}

func (s *scratch) made() int { return len(s.given) + s.lost }

// add adds a watch on each inode, but makes no more than last.
func (s *scratch) add(fd, last int, until time.Time) {
	for i := 0; i < len(s.paths) && s.made() < last; {
		if i == groupSteps && time.Now().After(until) {
			return
		}
		wd, e := sysAddScratch(fd, s.paths[i], s.c.mask)
		switch {
		case e == eNOSPC:
			// The kernel takes a number before it looks at the limit.
			s.lost++
			s.paths = s.paths[:max(1, i)]
			if i == 0 {
				s.full = callError(callAdd, addError(e, s.c.mask))
			}
			return
		case e != success || s.c.mask&MaskCreate == 0 && s.c.existing(wd):
			// The instance watches it, or it may not be read.
			if e != success && e != eEXIST {
				s.no = e
			}
			s.paths = append(s.paths[:i], s.paths[i+1:]...)
			continue
		}
		s.given = append(s.given, s.c.span(fd, wd))
		i++
	}
}

// existing is batch.existing for a scratch watch. A number that was given before
// needs no closer look.
func (c *climb) existing(wd WD) bool {
	existing, _ := c.b.existing(wd, wd > c.last)
	return existing // also if that could not be told: then it is left alone
}

// span returns the span of a scratch watch. What was queued when the numbers were
// locked is a former life's. If the number was taken then, that life ended since;
// the scratch watch itself has queued nothing yet. If that life was just ending then,
// its IN_IGNORED can still come, and is read in place of the scratch watch's.
func (c *climb) span(fd int, wd WD) span {
	s := span{wd: wd, from: c.from, until: unsettled, only: Ignored}
	if c.b.census == nil || c.b.census.taken(wd) {
		if end, err := c.b.n.queue.end(fd); err == nil {
			s.from = end
		}
	}
	return s
}

// A mate is a second thread that makes steps, on inodes of its own. Both threads
// take groups of a slice's steps until none is left; those that the mate does not
// come to are done without it. It does not sleep between slices, which are some
// microseconds apart, as waking it would take longer than its share of the steps.
//
// More than two threads gain nothing, as they wait for each other in the kernel.
type mate struct {
	scratch
	_       [64]byte // what one thread waits for lies apart from what the other writes
	fd      int      // of the slice
	until   time.Time
	left    atomic.Int32 // steps of the slice that nobody has taken
	ahead   int          // how many were given out before the others
	_       [64]byte
	working atomic.Bool
	stop    atomic.Bool
	ended   chan struct{}
}

// take returns how many steps the caller is to make next: fewer towards the end
// of the slice, so that both threads end together.
func (m *mate) take() int {
	for {
		left := m.left.Load()
		steps := min(int32(groupSteps), (left+2)/3)
		if left == 0 || m.left.CompareAndSwap(left, left-steps) {
			return int(steps)
		}
	}
}

func (m *mate) work() {
	defer close(m.ended)
	for idle := 0; !m.stop.Load(); idle++ {
		switch {
		case m.left.Load() > 0:
			idle = 0
			m.working.Store(true) // before it takes anything
			for steps := m.take(); steps > 0; steps = m.take() {
				m.run(m.fd, steps, m.until)
			}
			m.working.Store(false)
		case idle < 1000:
			runtime.Gosched()
		default: // progress is being called, it seems
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// worthAMate is how many steps it takes before a second thread and more inodes pay.
const worthAMate = 1024

// startMate starts the second thread, if there is a processor for it.
func (c *climb) startMate(mounts []byte) {
	paths := c.own.paths
	if runtime.GOMAXPROCS(0) < 2 || len(paths) < 2 || c.stepsInAll() < worthAMate || c.room < sliceSteps-1 || !sameElsewhere(mounts) {
		return
	}
	m := &mate{scratch: scratch{c: c}, ended: make(chan struct{})}
	c.own.paths = nil
	for i, path := range paths {
		if i%2 == 0 {
			c.own.paths = append(c.own.paths, path)
		} else {
			m.paths = append(m.paths, path)
		}
	}
	c.mate = m
	go m.work()
}

// release gives back what the climb used. The second thread has ended then.
func (c *climb) release() {
	c.endMate()
	if c.memfd >= 0 {
		sysClose(c.memfd)
	}
}

func (c *climb) endMate() {
	if c.mate != nil {
		c.mate.stop.Store(true)
		<-c.mate.ended
		c.mate = nil
	}
}

// goAhead has the second thread make its first steps while this one empties the
// queue. It is run by stage.
func (c *climb) goAhead(fd int, until time.Time) {
	// Not where numbers were taken, or can have been by others: of one that is free
	// again the end of the queue must be learned, which moves meanwhile.
	far := c.last + min(sliceSteps, maxWD-c.last)
	if m := c.mate; m != nil && !c.b.n.foreign.Load() && c.free() >= sliceSteps && c.b.census.between(c.last, far) == sliceSteps-1 {
		m.fd, m.until, m.ahead = fd, until, groupSteps
		m.left.Store(int32(groupSteps))
	}
}

// walk makes steps, with the second thread if there is one, and returns how many
// it made. It is run by stage.
func (c *climb) walk(fd, steps int, until time.Time) (int, error) {
	switch m := c.mate; {
	case len(c.own.paths) > 0:
	case m != nil:
		m.share(&c.own, fd, m.ahead, until)
		made, err := c.merge()
		c.endMate()
		c.own.paths = m.paths
		return made, err
	default:
		if err := c.lastResort(); err != nil {
			return 0, err
		}
	}
	if c.mate == nil || steps <= groupSteps {
		c.own.run(fd, steps, until)
	} else {
		c.mate.share(&c.own, fd, steps, until)
	}
	return c.merge()
}

// share makes steps on both threads, and returns when they are made.
func (m *mate) share(own *scratch, fd, steps int, until time.Time) {
	if m.ahead == 0 {
		m.fd, m.until = fd, until
	}
	m.left.Add(int32(steps - m.ahead))
	m.ahead = 0
	for steps := m.take(); steps > 0; steps = m.take() {
		own.run(fd, steps, until)
	}
	for m.working.Load() {
		runtime.Gosched()
	}
}

// merge has the queue expect the records of the watches that were added and
// removed, and returns how many steps were made.
func (c *climb) merge() (int, error) {
	s := &c.own
	made, full, failed := s.made(), s.full, s.kept.error()
	if m := c.mate; m != nil {
		made += m.made()
		s.given = append(s.given, m.given...)
		full = join(full, m.full)
		failed = join(failed, m.kept.error())
		m.given, m.lost = m.given[:0], 0
	}
	for i := range s.given {
		c.last = max(c.last, s.given[i].wd)
	}
	if lost := WD(made - len(s.given)); lost > 0 {
		// Rather too high, as a watch that comes under a lower number is removed.
		c.last = max(c.last, c.b.t.wd-1-max(0, c.b.t.wd-1-c.last-lost))
	}
	c.b.n.queue.expect(s.given...)
	s.given, s.lost = s.given[:0], 0
	if failed != nil {
		return made, failed
	}
	if full != nil && c.mate != nil {
		c.endMate() // it may be what took the room
		s.full, full = nil, nil
	}
	return made, full
}
