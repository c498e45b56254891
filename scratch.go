// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// scratchMask makes a watch that queues nothing but its IN_IGNORED, and changes
// nothing about a watch that exists: IN_MASK_ADD with no event. Where
// IN_MASK_CREATE works, that bit alone is used instead: it queues as little and
// fails on a watched inode.
const scratchMask = MaskAdd

// scratchPaths are directories to climb on: those that exist nearly everywhere,
// are looked up fast, and whose lookup waits for no disk and no network.
var scratchPaths = [...]string{
	"/", "/proc", "/dev", "/sys", "/run", "/etc", "/proc/sys", "/proc/fs",
	"/proc/tty", "/proc/bus", "/dev/shm", "/dev/pts", "/tmp", "/usr", "/var", "/proc/irq",
}

// groupSteps is how many scratch watches a thread adds before it removes them
// again, each on an inode of its own. In groups a step takes two thirds of the
// time; more than eight gain nothing (measured on Linux 6.18).
const groupSteps = 8

// A scratch is the inodes on which one thread adds watches only to remove them.
type scratch struct {
	c     *climb
	paths []*byte // an inode that turns out to be no use is dropped
	given []span  // the watches that were added and removed since the last merge
	lost  int     // adds that failed since then and took a number nevertheless
	full  error   // there was room for no watch at all
}

// run makes steps, as many as it is told or until the time, in groups.
func (s *scratch) run(fd, steps int, until time.Time) {
	last := s.made() + steps
	for s.made() < last && len(s.paths) > 0 && s.full == nil {
		first := len(s.given)
		s.add(fd, last)
		for _, own := range s.given[first:] {
			sysRemoveScratch(fd, own.wd)
		}
		if time.Now().After(until) {
			return
		}
	}
}

func (s *scratch) made() int { return len(s.given) + s.lost }

// add adds a watch on each inode, but makes no more than last.
func (s *scratch) add(fd, last int) {
	for i := 0; i < len(s.paths) && s.made() < last; {
		wd, e := sysAddScratch(fd, s.paths[i], s.c.mask)
		switch {
		case e == eNOSPC:
			// The kernel takes a number before it looks at the limit.
			s.lost++
			s.paths = s.paths[:max(1, i)]
			if i == 0 {
				s.full = addError(e)
			}
			return
		case e != success || s.c.mask == scratchMask && s.c.b.existing(wd):
			// The instance watches it, or it may not be read.
			s.paths = append(s.paths[:i], s.paths[i+1:]...)
			continue
		}
		s.given = append(s.given, s.c.span(fd, wd))
		i++
	}
}

// span returns the span of a scratch watch. What was queued when the numbers were
// locked is a former life's. If the number was taken then, that life ended since;
// the scratch watch itself has queued nothing yet.
func (c *climb) span(fd int, wd WD) span {
	s := span{wd: wd, from: c.from, until: unsettled, quiet: true}
	if c.b.census == nil || c.b.census.taken(wd) {
		if end, err := c.b.n.queue.end(fd); err == nil {
			s.from = end
		}
	}
	return s
}

// choose finds inodes to climb on that no watch of the batch is for, and starts
// a second thread if that helps.
func (c *climb) choose() error {
	var found []fs.FileInfo
	var paths []*byte
	known := func(info fs.FileInfo) int {
		for i := range found {
			if os.SameFile(found[i], info) {
				return i
			}
		}
		return -1
	}
	for _, name := range scratchPaths {
		info, err := os.Stat(name)
		if err != nil || !info.IsDir() || known(info) >= 0 {
			continue
		}
		path, err := cString(name)
		if err != nil {
			return err
		}
		found, paths = append(found, info), append(paths, path)
	}
	for i := range c.b.ws {
		// Also finds what is missing before a climb that may be long.
		info, err := os.Stat(c.b.ws[i].Path)
		if err != nil {
			if c.b.ws[i].Mask.Has(DontFollow) {
				continue
			}
			c.b.failed = i
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return err
		}
		if at := known(info); info.IsDir() && at >= 0 {
			paths[at] = nil
		}
	}
	for _, path := range paths {
		if path != nil {
			c.own.paths = append(c.own.paths, path)
		}
	}
	c.startMate()
	return nil
}

// lastResort finds an inode where no directory will do: one that nobody else has.
func (c *climb) lastResort() (err error) {
	if c.memfd >= 0 {
		return errors.New("no inode to climb on: neither a directory nor a memory file can be watched")
	}
	if c.memfd, err = sysMemfd(); err != nil {
		return fmt.Errorf("no inode to climb on: %w", err)
	}
	path, err := cString(procFD(c.memfd))
	c.own.paths = append(c.own.paths, path)
	return err
}

// A mate is a second thread that makes steps, on inodes of its own. Both threads
// take groups of a slice's steps until none is left; those that the mate does not
// come to are done without it. It does not sleep between slices, which are some
// microseconds apart, as waking it would take longer than its share of the steps.
//
// More than two threads gain nothing, as they wait for each other in the kernel.
type mate struct {
	scratch
	fd      int // of the slice
	until   time.Time
	left    atomic.Int32 // steps of the slice that nobody has taken
	working atomic.Bool
	stop    atomic.Bool
	ended   chan struct{}
}

// take returns how many steps the caller is to make next.
func (m *mate) take() int {
	left := m.left.Add(-groupSteps)
	return int(min(groupSteps, left+groupSteps))
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

// worthAMate is how many steps it takes before a second thread pays.
const worthAMate = 1024

// startMate starts the second thread, if there is a processor for it.
func (c *climb) startMate() {
	paths := c.own.paths
	if runtime.GOMAXPROCS(0) < 2 || runtime.NumCPU() < 2 || len(paths) < 2 || c.stepsInAll() < worthAMate {
		c.own.paths = paths[:min(groupSteps, len(paths))]
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

// walk makes steps, with the second thread if there is one, and returns how many
// it made. It is run by stage.
func (c *climb) walk(fd, steps int, until time.Time) (int, error) {
	if len(c.own.paths) == 0 {
		if err := c.lastResort(); err != nil {
			return 0, err
		}
	}
	if m := c.mate; m == nil || steps <= groupSteps {
		c.own.run(fd, steps, until)
	} else {
		m.share(&c.own, fd, steps, until)
	}
	return c.merge()
}

// share makes steps on both threads, and returns when they are made.
func (m *mate) share(own *scratch, fd, steps int, until time.Time) {
	m.fd, m.until = fd, until
	m.left.Store(int32(steps))
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
	made, full := s.made(), s.full
	if m := c.mate; m != nil {
		made += m.made()
		s.given = append(s.given, m.given...)
		full = join(full, m.full)
		m.given, m.lost = m.given[:0], 0
	}
	for i := range s.given {
		c.last = max(c.last, s.given[i].wd)
	}
	// Rather too high: a watch that then comes under a lower number is removed.
	c.last += WD(made - len(s.given))
	c.b.n.queue.expect(s.given...)
	s.given, s.lost = s.given[:0], 0
	if full != nil && c.mate != nil {
		c.endMate() // it may be what took the room
		s.full, full = nil, nil
	}
	return made, full
}
