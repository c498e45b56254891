// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

// groupSteps is how many scratch watches each of two threads adds, on different inodes,
// before it removes them again. A single thread uses all inodes for a group. In groups a step
// takes two thirds of the time (measured on Linux 6.18); larger groups gain little more.
const groupSteps = 8

// A job is what the threads that make steps need to know. Only the queue changes while they
// work: see reading.
type job struct {
	known
	q       *record.Queue // locked; used for Queue.End only
	reading *sync.Mutex   // locked to read the queue or to determine its end
	fd      int
	until   time.Time
	mask    uint32 // of scratch watches
	from    uint64 // the position before which no scratch watch of this cycle has a record
	last    int32  // the wd given last before
}

// existed is known.existed for a scratch watch. A wd up to last cannot be a new watch's, so
// it needs no recheck.
func (j *job) existed(wd int32) bool {
	existed, _ := j.known.existed(wd, wd > j.last)
	return existed // true if it could not be determined: the watch is not removed then
}

// span returns the span of a scratch watch. Records that were queued when the wds were locked
// are of earlier watches. If the wd was used then, the earlier watch has ended since, and the
// span begins at the end of the queue, because the scratch watch has queued nothing yet. If
// the earlier watch's IN_IGNORED is still to come, readers get the scratch watch's in its place.
func (j *job) span(wd int32) record.Span {
	s := record.Span{WD: wd, From: j.from, Until: record.Open, Only: sys.Ignored}
	if j.used.MayHave(wd) {
		j.reading.Lock()
		defer j.reading.Unlock()
		if end, err := j.q.End(j.fd); err == nil {
			s.From = end
		}
	}
	return s
}

// A stepper makes steps on one thread: it has the inodes for its scratch watches, and the results.
type stepper struct {
	paths    []*byte       // of the inodes; one that cannot be used is dropped
	given    []record.Span // the watches that were added and removed since the last merge
	burned   int           // failed adds since then that used up a wd
	full     error         // the limit of watches allows not a single one
	leaked   leaks         // watches that could not be removed
	unusable sys.Errno     // why an inode could not be used, if not because it is watched
}

// run makes at most so many steps, in groups, until the time is over. It works on a copy of s,
// because the other thread reads memory next to s, and sharing cache lines would slow both
// down.
func (s *stepper) run(j *job, steps int) {
	local := *s
	last := local.made() + steps
	for local.made() < last && len(local.paths) > 0 && local.full == nil && local.leaked.count == 0 {
		first := len(local.given)
		local.add(j, last)
		for _, w := range local.given[first:] {
			if e := sys.RemoveScratch(j.fd, w.WD); e != sys.OK && e != sys.EINVAL { // EINVAL: it ended with its inode
				local.leaked.add(w.WD, e)
			}
		}
		if time.Now().After(j.until) {
			break
		}
	}
	*s = local
}

func (s *stepper) made() int { return len(s.given) + s.burned }

// add adds a watch on each inode until made returns last.
func (s *stepper) add(j *job, last int) {
	for i := 0; i < len(s.paths) && s.made() < last; {
		if i == groupSteps && time.Now().After(j.until) {
			return
		}
		wd, e := sys.AddScratch(j.fd, s.paths[i], j.mask)
		switch {
		case e == sys.ENOSPC:
			// The kernel allocates a wd before it checks the limit.
			s.burned++
			s.paths = s.paths[:max(1, i)]
			if i == 0 {
				s.full = j.in.Explain(sys.CallAdd, e, j.mask)
			}
			return
		case e != sys.OK || j.mask&sys.MaskCreate == 0 && j.existed(wd):
			// The instance watches it, or it may not be read.
			if e != sys.OK && e != sys.EEXIST {
				s.unusable = e
			}
			s.paths = append(s.paths[:i], s.paths[i+1:]...)
			continue
		}
		s.given = append(s.given, j.span(wd))
		i++
	}
}

// A helper is a second thread that makes steps, on other inodes. Both threads reserve groups
// of steps until none is left, so the first thread never waits for a helper that was not
// scheduled. The helper does not sleep between shares, which are some microseconds apart,
// because waking it would take longer than its steps.
//
// More than two threads gain nothing, because they wait for each other in the kernel.
type helper struct {
	stepper
	_       [64]byte // separate cache lines for what each thread writes
	job     job
	left    atomic.Int32
	_       [64]byte
	working atomic.Bool
	stop    atomic.Bool
	ended   chan struct{}
}

// reserve returns how many steps the caller is to make next: fewer towards the end, so that
// both threads end together. 0 is none.
func (h *helper) reserve() int {
	for {
		left := h.left.Load()
		steps := min(int32(groupSteps), (left+2)/3)
		if left == 0 || h.left.CompareAndSwap(left, left-steps) {
			return int(steps)
		}
	}
}

func (h *helper) work() {
	defer close(h.ended)
	for idle := 0; !h.stop.Load(); idle++ {
		switch {
		case h.left.Load() > 0:
			idle = 0
			h.working.Store(true) // before reserve, so that share waits for the steps
			for steps := h.reserve(); steps > 0; steps = h.reserve() {
				h.run(&h.job, steps)
			}
			h.working.Store(false)
		case idle < 1000:
			runtime.Gosched()
		default: // progress is probably being called
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// share makes steps on both threads, and returns when they are made. While the helper begins,
// this thread reads the queue, if that has not been done. If that fails, only the steps that
// the helper has reserved are made.
func (h *helper) share(c *cycle, j *job, steps int) error {
	h.job = *j // the helper reads it only after it has reserved steps
	h.left.Store(int32(steps))
	err := c.readQueue(j.fd, j.q)
	if err != nil {
		h.left.Store(0)
	}
	for steps := h.reserve(); steps > 0; steps = h.reserve() {
		c.stepper.run(j, steps)
	}
	for h.working.Load() {
		runtime.Gosched()
	}
	return err
}

// end ends the helper, and returns the paths of its inodes.
func (h *helper) end() (paths []*byte) {
	h.stop.Store(true)
	<-h.ended
	return h.paths
}
