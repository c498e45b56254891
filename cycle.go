// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"errors"
	"runtime"
	"time"
)

const (
	// A restore gives way after so many steps or so much time, whichever comes
	// first. So at most that many records of its own are queued at any time.
	sliceSteps = 64
	sliceTime  = 300 * time.Microsecond

	progressInterval = 100 * time.Millisecond

	// While progress is called others may add watches. Near a number to restore
	// they could take that, so progress is called seldom there.
	quietSteps = 256
)

// A climb brings the instance's counter up to the numbers of a batch, by adding
// and removing scratch watches, and adds each watch when its number is next. Each
// of its stages holds queue.mu, and between two of them the readers, the context
// and Close have their turn.
type climb struct {
	b       *batch
	options restoreOptions
	mask    Mask    // of scratch watches
	own     scratch // this thread's
	mate    *mate   // or nil
	memfd   int     // or -1
	room    int     // for records of its own in the kernel's queue

	from    uint64 // where the records of scratch numbers begin to be the climb's
	first   WD     // the number at which it began
	last    WD     // the number that was given last
	strayed bool   // a target's watch came under a lower number, and was removed

	start, reported time.Time
	pause           time.Duration // between two reports
}

func (b *batch) newClimb() *climb {
	c := &climb{b: b, options: restoreOptions{maxSteps: DefaultMaxSteps}, mask: MaskCreate, memfd: -1, pause: progressInterval}
	c.own.c = c
	for _, o := range b.opts {
		o(&c.options)
	}
	c.options.maxSteps = max(0, c.options.maxSteps)
	if !b.honoured {
		c.mask = scratchMask
	}
	return c
}

// byClimb adds the watches as the counter comes to their numbers.
func (b *batch) byClimb(ctx context.Context) error {
	if b.n.unreadable != nil {
		return errors.Join(b.n.unreadable, b.missing)
	}
	c := b.newClimb()
	defer c.release()
	c.room = queueRoom()
	err := c.survey()
	if err == nil {
		c.start = time.Now()
		c.reported = c.start
		err = c.begin()
	}
	if err == nil && b.done < len(b.ws) {
		b.failed = b.done
		if err = c.choose(ctx); err == nil {
			err = c.ascend(ctx)
		}
	}
	if b.undo == nil && b.locked { // else rollBack does it, or report did
		err = join(err, b.n.stage(b.n.queue.sweep))
	}
	if err == nil {
		c.report()
	}
	return err
}

// survey learns which numbers are taken. It is called whenever the numbers were
// locked anew.
func (c *climb) survey() error {
	b := c.b
	if b.honoured { // else lock did
		if err := b.survey(); err != nil {
			return err
		}
	}
	return b.n.stage(func(fd int) (err error) {
		c.from, err = b.n.queue.end(fd)
		b.marks = append(b.marks, mark{b.done, c.from})
		return err
	})
}

// check finds the numbers that others have.
func (c *climb) check() error {
	b := c.b
	for i := b.done; i < len(b.ws); i++ {
		if b.census.taken(b.ws[i].WD) {
			b.failed = i
			return &WDError{Want: b.ws[i].WD, Got: NoWD}
		}
	}
	return nil
}

// begin makes the first step, which is to add the lowest watch itself: the
// counter cannot be read and may stand at its number, and much of what can be
// wrong shows at once.
func (c *climb) begin() error {
	b := c.b
	b.t.set(&b.ws[0])
	if err := b.t.pin(b.ws[0].Path, b.honoured); err != nil {
		return err
	}
	err := b.n.stage(c.arrive)
	c.first = c.last
	if c.strayed {
		err = join(err, c.takeBack())
	}
	b.t.release()
	passed := errors.Is(err, errPassed)
	if err == nil || passed {
		err = c.check()
	}
	if err == nil && passed {
		return c.stopped(b.missing)
	}
	if err == nil && c.stepsInAll() > c.options.maxSteps {
		b.failed = len(b.ws) - 1
		e := c.stopped(b.missing)
		e.Estimate = c.estimate()
		return e
	}
	return err
}

// estimate measures on another instance how long the climb would take: for 5 ms,
// or for longer where that is too short for a step.
func (c *climb) estimate() time.Duration {
	other, err := New()
	if err != nil {
		return 0
	}
	defer other.Close()
	for wait := 5 * time.Millisecond; wait < time.Second; wait *= 4 {
		start := time.Now()
		done, err := other.climbFor(wait, c.b.ws[0].Path)
		if done > 0 {
			return time.Duration(float64(time.Since(start)) / float64(done) * float64(c.stepsInAll()))
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return 0
}

// climbFor climbs for about as long as wait, and tells how many steps that were.
func (n *Inotify) climbFor(wait time.Duration, path string) (steps int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	err = n.RestoreWatch(ctx, maxWD, path, 0, WithMaxSteps(int64(maxWD)))
	var stopped *CycleError
	if errors.As(err, &stopped) {
		steps = stopped.Done
	}
	return steps, err
}

// ascend makes steps and adds the watches until all are there.
func (c *climb) ascend(ctx context.Context) error {
	b := c.b
	if err := c.aim(); err != nil {
		return err
	}
	for b.done < len(b.ws) {
		err := ctx.Err()
		if err == nil {
			err = b.n.stage(c.slice)
		}
		if err == nil && c.strayed {
			err = c.takeBack()
		}
		if err == nil && b.done < len(b.ws) {
			if err = c.callProgress(ctx); err == nil {
				err = c.aim()
			}
		}
		if err != nil {
			return c.explain(err)
		}
		if b.done < len(b.ws) {
			runtime.Gosched()
		}
	}
	return nil
}

// aim makes ws[done] the target, pinned where that is needed and it is next.
func (c *climb) aim() error {
	b := c.b
	w := &b.ws[b.done]
	if b.t.wd != w.WD || !b.t.pinned {
		b.t.set(w)
		if !b.honoured && c.free() == 0 {
			return b.t.pin(w.Path, false)
		}
	}
	return nil
}

// free returns how many numbers are to be given before the target's.
func (c *climb) free() int64 { return c.b.census.between(c.last, c.b.t.wd) }

// slice makes as many steps and adds as many watches as fit into one slice. It is
// run by stage.
func (c *climb) slice(fd int) error {
	b := c.b
	until := time.Now().Add(sliceTime)
	left, err := c.makeRoom(fd, until)
	if err != nil {
		return err
	}
	for left > 0 {
		if free := c.free(); free > 0 {
			made, err := c.walk(fd, int(min(free, int64(left))), until)
			if err != nil {
				return err
			}
			left -= made
		} else {
			if !b.honoured && !b.t.pinned {
				return nil
			}
			if err := c.arrive(fd); err != nil || c.strayed || b.done == len(b.ws) {
				return err
			}
			left--
			b.failed = b.done
			b.t.set(&b.ws[b.done])
		}
		if c.last >= b.t.wd {
			return errPassed
		}
		if time.Now().After(until) {
			return nil
		}
	}
	return nil
}

// makeRoom empties the queue of what the slice before left, and returns how many
// steps there is room for. The second thread has begun with some.
func (c *climb) makeRoom(fd int, until time.Time) (steps int, err error) {
	q := &c.b.n.queue
	end, err := q.end(fd)
	if err != nil {
		return 0, err
	}
	q.settleAt(end) // the scratch watches have been removed
	steps = c.room
	if c.mate != nil {
		steps -= groupSteps // it may make these before the queue is empty
	}
	c.goAhead(fd, until)
	err = q.drainTo(fd, end)
	if err == nil && q.buffered() > maxPutBy {
		err = errPutBy
	}
	if m := c.mate; err != nil && m != nil {
		m.share(&c.own, fd, m.ahead, until)
		c.merge()
	}
	return steps, err
}

// errPassed stands for a target's number that the counter has passed.
var errPassed = errors.New("the number was passed")

// arrive adds the target's watch. If that comes under a lower number it is
// removed: a number below was taken and became free meanwhile. It is run by
// stage.
func (c *climb) arrive(fd int) error {
	b := c.b
	got, err := b.place(fd)
	if got == NoWD {
		return err
	}
	c.last = got
	if got == b.t.wd && err == nil {
		return nil
	}
	stray := b.stray(got, b.t.pinned)
	if err == nil && (got < b.t.wd || b.done == 0 && b.t.pinned) {
		c.strayed = true
		var left []span
		if left, err = b.n.claim(fd, []span{stray}); len(left) > 0 {
			err = join(err, b.n.removeOwn(fd, left))
		}
	} else {
		err = join(err, b.abort(fd, stray))
	}
	if err == nil && got > b.t.wd {
		return errPassed
	}
	return err
}

// takeBack takes out the records of a target's watch that strayed.
func (c *climb) takeBack() error {
	c.strayed = false
	return c.b.takeBack(c.b.t.pinned)
}

// explain tells why the climb ended before its time.
func (c *climb) explain(err error) error {
	if errors.Is(err, errPassed) {
		return c.overshot()
	}
	if errors.Is(err, eEXIST) || errors.As(err, new(*WDError)) {
		return err
	}
	return c.stopped(err)
}

// overshot tells why the target's number was not given: somebody has it, or
// had it, or so many watches were added while progress was called.
func (c *climb) overshot() error {
	census, err := c.b.n.takeCensus()
	if err != nil {
		return err
	}
	wd := c.b.ws[c.b.failed].WD
	if census.taken(wd) {
		return &WDError{Want: wd, Got: c.last}
	}
	return c.stopped(c.b.missing)
}

// callProgress calls the caller's function, with the numbers unlocked, when it
// is due. What is learned anew then takes time with many watches, so it is called
// the less often.
func (c *climb) callProgress(ctx context.Context) error {
	b := c.b
	since := time.Since(c.reported)
	near := b.ws[b.done].WD-c.last < quietSteps
	if c.options.progress == nil || since < c.pause || near && since < 10*c.pause {
		return nil
	}
	if err := b.n.stage(b.n.queue.sweep); err != nil { // the numbers' next lives may begin
		return err
	}
	c.report()
	begin := time.Now()
	if err := b.lock(ctx); err != nil {
		if !b.locked && b.done > 0 { // they are needed to undo
			b.locked = b.n.lockNumbers(context.Background()) == nil
		}
		return err
	}
	if err := c.survey(); err != nil {
		return err
	}
	c.reported = time.Now()
	c.pause = max(progressInterval, 20*c.reported.Sub(begin))
	return c.check()
}

// report calls the caller's function with the numbers unlocked.
func (c *climb) report() {
	if c.options.progress == nil {
		return
	}
	c.b.unlock()
	c.options.progress(Progress{WD: c.goal(), Done: c.made(), Steps: c.stepsInAll(), Elapsed: time.Since(c.start)})
}

// goal is the highest number to reach.
func (c *climb) goal() WD { return c.b.ws[len(c.b.ws)-1].WD }

func (c *climb) made() int64 { return max(0, min(int64(c.last)-int64(c.first), c.stepsInAll())) }

func (c *climb) stepsInAll() int64 { return max(0, int64(c.goal())-int64(c.first)) }

func (c *climb) stopped(err error) *CycleError {
	return &CycleError{
		WD: c.b.ws[c.b.failed].WD, Next: c.last, Done: c.made(), Steps: c.stepsInAll(),
		Limit: c.options.maxSteps, Err: err,
	}
}
