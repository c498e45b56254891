// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

// groupSteps is how many scratch watches each of two threads adds, each on an
// inode of its own, before it removes them again. One thread alone uses all inodes
// for a group. In groups a step takes two thirds of the time (measured on Linux
// 6.18), and there it takes less the larger they are, though not by much.
const groupSteps = 8

// A job is what the threads that make steps know of a slice. It does not change
// while they work.
type job struct {
	known
	q     *record.Queue // locked, and only asked for its end
	fd    int
	until time.Time
	mask  uint32 // of scratch watches
	from  uint64 // where the records of scratch watches begin to be this cycle's
	last  int32  // the wd given last before the slice
}

// existed is known.existed for a scratch watch. A wd that was given before needs no
// closer look.
func (j *job) existed(wd int32) bool {
	existed, _ := j.known.existed(wd, wd > j.last)
	return existed // also if that could not be determined: then it is left alone
}

// span returns the span of a scratch watch. What was queued when the wds were
// locked is a former life's. If the wd was used then, that life ended since;
// the scratch watch itself has queued nothing yet. If that life was just ending then,
// its IN_IGNORED can still come, and is read in place of the scratch watch's.
func (j *job) span(wd int32) record.Span {
	s := record.Span{WD: wd, From: j.from, Until: record.Open, Only: sys.Ignored}
	if j.used.MayHave(wd) {
		if end, err := j.q.End(j.fd); err == nil {
			s.From = end
		}
	}
	return s
}

// A scratch is the inodes on which one thread adds watches only to remove them.
type scratch struct {
	paths    []*byte       // an inode that turns out to be no use is dropped
	given    []record.Span // the watches that were added and removed since the last merge
	burned   int           // adds that failed since then and took a wd nevertheless
	full     error         // there was room for no watch at all
	leaked   leaked        // watches that could not be removed
	unusable sys.Errno     // why an inode was no use, if not because it is watched
}

// run makes steps, at most so many, until the time is over, in groups. It works on a copy,
// as another thread reads what lies beside s in memory, and the two would wait for each
// other's cache lines.
func (s *scratch) run(j *job, steps int) {
	local := *s
	last := local.made() + steps
	for local.made() < last && len(local.paths) > 0 && local.full == nil && local.leaked.count == 0 {
		first := len(local.given)
		local.add(j, last)
		for _, w := range local.given[first:] {
			if e := sys.RemoveScratch(j.fd, w.WD); e != sys.OK && e != sys.EINVAL { // else it went with its inode
				local.leaked.add(w.WD, e)
			}
		}
		if time.Now().After(j.until) {
			break
		}
	}
	*s = local
}

func (s *scratch) made() int { return len(s.given) + s.burned }

// add adds a watch on each inode, but makes no more than last.
func (s *scratch) add(j *job, last int) {
	for i := 0; i < len(s.paths) && s.made() < last; {
		if i == groupSteps && time.Now().After(j.until) {
			return
		}
		wd, e := sys.AddScratch(j.fd, s.paths[i], j.mask)
		switch {
		case e == sys.ENOSPC:
			// The kernel takes a wd before it looks at the limit.
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

// A helper is a second thread that makes steps, on inodes of its own. Both threads
// take groups of a slice's steps until none is left; those that the helper does not
// come to are done without it. It does not sleep between slices, which are some
// microseconds apart, as waking it would take longer than its share of the steps.
//
// More than two threads gain nothing, as they wait for each other in the kernel.
type helper struct {
	scratch
	_       [64]byte // what one thread waits for lies apart from what the other writes
	job     job      // of the slice
	left    atomic.Int32
	_       [64]byte
	working atomic.Bool
	stop    atomic.Bool
	ended   chan struct{}
}

// take returns how many steps the caller is to make next: fewer towards the end
// of the slice, so that both threads end together.
func (h *helper) take() int {
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
			h.working.Store(true) // before it takes anything
			for steps := h.take(); steps > 0; steps = h.take() {
				h.run(&h.job, steps)
			}
			h.working.Store(false)
		case idle < 1000:
			runtime.Gosched()
		default: // progress is being called, it seems
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// share makes a slice's steps on both threads, and returns when they are made.
func (h *helper) share(j *job, here *scratch, steps int) {
	h.job = *j // which the helper reads only when it has taken steps
	h.left.Store(int32(steps))
	for steps := h.take(); steps > 0; steps = h.take() {
		here.run(j, steps)
	}
	for h.working.Load() {
		runtime.Gosched()
	}
}

// end waits until the helper has ended, and returns the inodes that it has left.
func (h *helper) end() (paths []*byte) {
	h.stop.Store(true)
	<-h.ended
	return h.paths
}
