// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

const (
	// A climb gives way after so many steps or so much time, whichever comes
	// first. So at most that many records of its own are queued at any time.
	sliceSteps = 64
	sliceTime  = 300 * time.Microsecond

	progressInterval = 100 * time.Millisecond

	// While progress is called others may add watches. Near the end they could
	// take the number itself, so progress is not called any more.
	quietSteps = 4096
)

// scratchMask makes a watch that queues nothing but its IN_IGNORED, and changes
// nothing about a watch that exists: IN_MASK_ADD with no event. Where
// IN_MASK_CREATE works, that bit alone is used instead: it queues as little and
// fails on a watched inode.
const scratchMask = MaskAdd

// scratchPaths are directories to climb on: those that exist nearly everywhere
// and are looked up fastest.
var scratchPaths = [...]string{"/", "/proc", "/dev", "/sys", "/usr", "/etc", "/tmp", "/var", "/run"}

// A scratch is an inode on which watches are added only to be removed.
type scratch struct {
	mask   Mask     // MaskCreate, or scratchMask where the kernel ignores that
	census *census  // what was there before, where the mask does not tell
	paths  []string // not yet tried
	path   *byte
	memfd  int // or -1
}

func (s *scratch) release() {
	if s.memfd >= 0 {
		sysClose(s.memfd)
	}
}

// add adds a watch that was not there. When it cannot on one inode, because
// the instance watches it or it may not be read, it goes to the next and stays.
// The last is one that nobody else has.
func (s *scratch) add(fd int) (WD, error) {
	for {
		var wd WD
		e := eEXIST
		if s.path != nil {
			if wd, e = sysAdd(fd, s.path, s.mask); e == success && !s.existing(wd) {
				return wd, nil
			}
		}
		if e == eNOSPC {
			return NoWD, addError(e) // no other inode would do better
		}
		if err := s.advance(); err != nil {
			return NoWD, fmt.Errorf("no inode to climb on: %w", err)
		}
	}
}

func (s *scratch) existing(wd WD) bool { return s.mask == scratchMask && s.census.existing(wd) }

func (s *scratch) advance() (err error) {
	if len(s.paths) > 0 {
		s.path, err = cString(s.paths[0])
		s.paths = s.paths[1:]
		return err
	}
	if s.memfd >= 0 {
		return errors.New("neither a directory nor a memory file can be watched")
	}
	if s.memfd, err = sysMemfd(); err == nil {
		s.path, err = cString(procFD(s.memfd))
	}
	return err
}

// A climb brings the instance's counter up to a number, by adding and removing
// scratch watches. Each of its stages holds queue.mu, and between two of them
// the readers, the context and Close have their turn.
type climb struct {
	n       *Inotify
	session *session
	target  *target
	options restoreOptions
	missing error // what SETNEXTWD said
	scratch scratch

	census *census // since the numbers were last locked
	first  WD      // the number at which it began
	last   WD      // the number that was given last
	goal   WD      // the number to be given last: then the next is the target's

	start, reported time.Time
}

// placeByClimb adds t's watch once the counter has come to its number.
func (n *Inotify) placeByClimb(ctx context.Context, s *session, t *target, path string, opts []RestoreOption, missing error) error {
	if n.unreadable != nil {
		return errors.Join(n.unreadable, missing)
	}
	c := climb{n: n, session: s, target: t, missing: missing, options: restoreOptions{maxSteps: DefaultMaxSteps}}
	for _, o := range opts {
		o(&c.options)
	}
	if t.pinned < 0 {
		if err := n.pin(t, path); err != nil {
			return err
		}
	}
	c.scratch = scratch{paths: scratchPaths[:], memfd: -1}
	defer c.scratch.release()
	if err := c.survey(); err != nil {
		return err
	}
	c.start = time.Now()
	c.reported = c.start
	placed, err := c.begin()
	if !placed && err == nil {
		if err = c.ascend(ctx); err == nil {
			err = c.arrive()
		}
	}
	if err == nil {
		c.report()
	}
	return err
}

// survey learns which numbers are taken. It is called whenever the numbers were
// locked anew.
func (c *climb) survey() (err error) {
	if c.census, err = c.n.takeCensus(); err != nil {
		return err
	}
	c.scratch.census = c.census
	c.scratch.mask = MaskCreate
	if c.target.census != nil { // IN_MASK_CREATE does not work
		c.scratch.mask = scratchMask
		c.target.census = c.census
	}
	return nil
}

// ascend makes steps until the target's number is next.
func (c *climb) ascend(ctx context.Context) error {
	for c.last < c.goal {
		err := ctx.Err()
		if err == nil {
			err = c.n.stage(c.steps)
		}
		if err == nil {
			err = c.callProgress(ctx)
		}
		if err != nil {
			return c.stopped(err)
		}
		runtime.Gosched()
	}
	return nil
}

// begin makes the first step, which is to add the watch itself: the counter
// cannot be read and may stand at its number, and whatever else is wrong shows
// at once. Unless that placed the watch, it sets goal.
func (c *climb) begin() (placed bool, err error) {
	t := c.target
	got := NoWD
	err = c.n.stage(func(fd int) (err error) {
		got, err = c.n.place(fd, t)
		return err
	})
	c.first, c.last = got, got
	if got == NoWD || got == t.wd && err == nil {
		return err == nil, err
	}
	err = errors.Join(err, c.n.takeBack(t, got))
	switch {
	case err != nil:
		return false, err
	case c.census.taken(t.wd):
		return false, &WDError{Want: t.wd, Got: got}
	case got > t.wd || c.stepsInAll() > c.options.maxSteps:
		return false, c.stopped(c.missing)
	}
	c.goal = c.below(t.wd)
	return false, nil
}

// below returns the highest number under wd that is free. The one given after
// it is wd.
func (c *climb) below(wd WD) WD {
	for wd--; c.census.taken(wd); wd-- {
	}
	return wd
}

// steps makes as many steps as fit into one slice. It is run by stage.
func (c *climb) steps(fd int) (err error) {
	q := &c.n.queue
	defer func() { err = errors.Join(err, q.takeLast(fd)) }()
	until := time.Now().Add(sliceTime)
	begin, err := q.end(fd)
	if err != nil {
		return err
	}
	for i := 1; ; i++ {
		wd, err := c.scratch.add(fd)
		if err != nil {
			return err
		}
		// What is queued before the slice is a former life's. If the number was
		// taken when the numbers were locked, that life ended since, perhaps in
		// this slice; the scratch watch itself has queued nothing yet.
		from := begin
		if c.census.taken(wd) {
			if end, err := q.end(fd); err == nil {
				from = end
			}
		}
		q.expect(wd, from, true)
		c.last = wd
		if i >= sliceSteps-1 || wd >= c.goal || time.Now().After(until) {
			// With the IN_IGNORED that the slice before left that makes 64.
			if err = q.removeLast(fd); err == nil && q.buffered() > maxPutBy {
				err = errPutBy
			}
			return err
		}
		sysRemove(fd, wd)
	}
}

// arrive adds the target's watch as the counter stands at its number. It may
// stand lower, if the number below was taken and became free meanwhile.
func (c *climb) arrive() error {
	for {
		got := NoWD
		err := c.n.stage(func(fd int) (err error) {
			got, err = c.n.place(fd, c.target)
			return err
		})
		if got == NoWD {
			return err
		}
		c.last = got
		if got == c.target.wd && err == nil {
			return nil
		}
		if err = errors.Join(err, c.n.takeBack(c.target, got)); err != nil {
			return err
		}
		if got > c.target.wd {
			return c.overshot()
		}
	}
}

// overshot tells why the target's number was not given: somebody has it, or
// had it, or so many watches were added while progress was called.
func (c *climb) overshot() error {
	census, err := c.n.takeCensus()
	if err != nil {
		return err
	}
	if census.taken(c.target.wd) {
		return &WDError{Want: c.target.wd, Got: c.last}
	}
	return c.stopped(c.missing)
}

// callProgress calls the caller's function, with the numbers unlocked, when it
// is due.
func (c *climb) callProgress(ctx context.Context) error {
	if c.options.progress == nil || time.Since(c.reported) < progressInterval || c.goal-c.last < quietSteps {
		return nil
	}
	c.report()
	c.reported = time.Now()
	if err := c.session.lock(ctx); err != nil {
		return err
	}
	if err := c.survey(); err != nil {
		return err
	}
	if c.census.taken(c.target.wd) {
		return &WDError{Want: c.target.wd, Got: NoWD}
	}
	c.goal = c.below(c.target.wd)
	return nil
}

// report calls the caller's function with the numbers unlocked.
func (c *climb) report() {
	if c.options.progress == nil {
		return
	}
	c.session.unlock()
	c.options.progress(Progress{WD: c.target.wd, Done: c.done(), Steps: c.stepsInAll(), Elapsed: time.Since(c.start)})
}

func (c *climb) done() int64 { return max(0, min(int64(c.last)-int64(c.first), c.stepsInAll())) }

func (c *climb) stepsInAll() int64 { return max(0, int64(c.target.wd)-int64(c.first)) }

func (c *climb) stopped(err error) error {
	return &CycleError{
		WD: c.target.wd, Next: c.last, Done: c.done(), Steps: c.stepsInAll(),
		Limit: c.options.maxSteps, Err: err,
	}
}
