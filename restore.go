// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// A RestoreOption changes how a restore goes where the kernel lacks
// INOTIFY_IOC_SETNEXTWD. It has no effect where the kernel has it.
type RestoreOption func(*restoreOptions)

type restoreOptions struct {
	maxSteps int64
	progress func(Progress)
}

// DefaultMaxSteps is how many steps a restore takes at most unless
// [WithMaxSteps] says otherwise: some seconds on ordinary hardware.
const DefaultMaxSteps = 1 << 20

// WithMaxSteps sets how many numbers the add/remove cycle may climb. A restore
// that needs more fails with a [*CycleError] before it climbs. A step takes
// some microseconds.
func WithMaxSteps(steps int64) RestoreOption {
	return func(o *restoreOptions) { o.maxSteps = steps }
}

// WithProgress has the restore call f while it climbs, about ten times a
// second, and once when it has reached the number, also if that took no step. A
// restore by the ioctl does not call it.
//
// f runs on the restoring goroutine and no lock is held meanwhile, so f may use
// the Inotify; the numbers of watches that are added meanwhile lie on the way.
func WithProgress(f func(Progress)) RestoreOption {
	return func(o *restoreOptions) { o.progress = f }
}

// Progress tells how far the climb to a number is.
type Progress struct {
	WD      WD    // the number to reach
	Done    int64 // steps done
	Steps   int64 // steps in all
	Elapsed time.Duration
}

// Remaining estimates how long the rest takes, from the pace so far. It is 0
// before the first step.
func (p Progress) Remaining() time.Duration {
	if p.Done == 0 {
		return 0
	}
	return time.Duration(float64(p.Elapsed) / float64(p.Done) * float64(p.Steps-p.Done))
}

// RestoreWatch adds a watch under the number wd, or fails and adds none. mask
// is as for [Inotify.AddWatch] or as [Inotify.Watches] shows it (also 0), with
// MaskAdd refused. An inode that the instance watches already is an error
// (EEXIST), and its watch stays as it is; so is a number that is taken
// ([*WDError]).
//
// It sets the number with INOTIFY_IOC_SETNEXTWD. Where that is missing, it
// climbs to the number by adding and removing a scratch watch, which goes up
// only and takes some microseconds a number; a climb fails with a
// [*CycleError]. It stops within about a millisecond when ctx ends or the
// Inotify is closed. After a failure, all is as before but the number that the
// next AddWatch gets, and no event of the restore's own watches is ever read.
//
// On an instance that has given no number yet, or lower ones only, any number
// can be reached: restore on a fresh instance, in ascending order.
//
// It waits for another restore under way until ctx ends, and for adds under way
// in any case. A climb, and every restore where IN_MASK_CREATE does not work,
// needs /proc and a free descriptor.
//
// Readers elsewhere that share the descriptor (see [Inotify.File]) take events
// of scratch watches, and this Inotify those meant for them, from the beginning
// of a climb until the events that it put by have been read.
func (n *Inotify) RestoreWatch(ctx context.Context, wd WD, path string, mask Mask, opts ...RestoreOption) error {
	if n.closed.Load() {
		return pathError(path, os.ErrClosed)
	}
	t, err := newTarget(wd, path, mask)
	if err != nil {
		return pathError(path, err)
	}
	s := session{n: n}
	if err := s.lock(ctx); err != nil {
		return pathError(path, err)
	}
	defer s.unlock()
	defer t.release()
	honoured, err := n.honoursCreate()
	if err == nil && !honoured {
		err = n.pin(&t, path)
	}
	var missing error
	if err == nil {
		missing, err = n.placeByIoctl(&t)
	}
	if missing != nil {
		err = n.placeByClimb(ctx, &s, &t, path, opts, missing)
	}
	if err != nil {
		return pathError(path, err)
	}
	return nil
}

// lockNumbers takes the sole right to give out numbers. It waits for the
// restore under way until ctx ends, and then for the adds under way.
func (n *Inotify) lockNumbers(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := acquire(ctx, n.restoring); err != nil {
		return err
	}
	n.numbers.Lock()
	return nil
}

func (n *Inotify) unlockNumbers() {
	n.numbers.Unlock()
	<-n.restoring
}

// A session is a restore's hold on the numbers, which it lets go for a while
// when it calls out.
type session struct {
	n    *Inotify
	held bool
}

func (s *session) lock(ctx context.Context) error {
	err := s.n.lockNumbers(ctx)
	s.held = err == nil
	return err
}

func (s *session) unlock() {
	if s.held {
		s.n.unlockNumbers()
		s.held = false
	}
}

// A target is a watch to be made under a number.
//
// It is made with one call where that is safe and fast. Otherwise it is pinned:
// first a watch that reports nothing is added, and when it has the number, a
// second call sets its mask; an O_PATH descriptor makes sure that both are about
// the same inode. That is needed where the kernel ignores IN_MASK_CREATE, since
// the first call then finds out whether the inode is watched, and used for the
// climb, whose first step nearly always comes under a wrong number.
type target struct {
	wd     WD
	path   *byte // of a pinned target, through /proc/self/fd
	mask   Mask  // to have in the end, and for the call that makes the watch
	pinned int   // the O_PATH descriptor, or -1
	blank  Mask  // what a pinned target's first call passes
	census *census
}

// leakedBits are bits that old kernels show in fdinfo's masks but refuse in an
// add: FS_EVENT_ON_CHILD, and IN_UNMOUNT, which is always on.
const leakedBits = 0x08000000 | Unmount

func newTarget(wd WD, path string, mask Mask) (target, error) {
	if err := checkWD(wd); err != nil {
		return target{}, err
	}
	if mask.Has(MaskAdd) {
		return target{}, fmt.Errorf("IN_MASK_ADD cannot be restored, since a restore never changes a watch: %w", eINVAL)
	}
	p, err := cString(path)
	if err != nil {
		return target{}, err
	}
	// IN_MASK_CREATE also lets the mask be empty otherwise.
	return target{wd: wd, path: p, mask: mask&^leakedBits | MaskCreate, pinned: -1}, nil
}

// What a kernel makes of IN_MASK_CREATE (Linux 4.18).
const (
	createUnknown int32 = iota
	createHonoured
	createIgnored
)

// honoursCreate reports whether IN_MASK_CREATE works. A kernel that has it
// refuses it together with IN_MASK_ADD (EINVAL) before it looks at the path,
// and alone gets to find that the path is empty (ENOENT). Older kernels and
// gVisor ignore the bit, and find the empty path both times, or know no such
// bit, and say EINVAL both times. Nothing is changed by asking.
func (n *Inotify) honoursCreate() (bool, error) {
	if known := n.create.Load(); known != createUnknown {
		return known == createHonoured, nil
	}
	empty, err := cString("")
	if err != nil {
		return false, err
	}
	var alone, both errno
	if err := n.control(func(fd int) {
		_, alone = sysAdd(fd, empty, MaskCreate)
		_, both = sysAdd(fd, empty, MaskCreate|MaskAdd)
	}); err != nil {
		return false, err
	}
	switch {
	case alone == eNOENT && both == eINVAL:
		n.create.Store(createHonoured)
		return true, nil
	case alone == both && (alone == eNOENT || alone == eINVAL):
		n.create.Store(createIgnored)
	}
	return false, nil
}

// pin makes t a pinned target.
func (n *Inotify) pin(t *target, path string) error {
	honoured, err := n.honoursCreate()
	if err != nil {
		return err
	}
	t.blank = MaskCreate
	if !honoured {
		t.blank = scratchMask
		if t.census, err = n.takeCensus(); err != nil {
			return err
		}
		if n.foreign.Load() && !t.census.listed {
			return &UnsupportedError{
				Feature: "restoring a watch on an instance that others hold or held",
				Needs:   "IN_MASK_CREATE (Linux 4.18) or watches in fdinfo (Linux 3.8)",
			}
		}
	}
	pinned, err := sysOpenPath(path, t.mask.Has(DontFollow))
	if err != nil {
		return fmt.Errorf("open with O_PATH: %w", err)
	}
	t.pinned = pinned
	t.path, err = cString(procFD(t.pinned))
	t.blank |= t.mask & OnlyDir
	t.mask &^= DontFollow | MaskCreate // IN_DONT_FOLLOW would watch the link in /proc
	return err
}

func (t *target) release() {
	if t.pinned >= 0 {
		sysClose(t.pinned)
	}
}

// A census is what can be known of the numbers that are in use. It counts as
// long as the numbers are held.
type census struct {
	listed  bool // the kernel lists its watches; gVisor does not
	live    []WD // ascending
	highest WD   // of the watches added here
}

func (n *Inotify) takeCensus() (*census, error) {
	honoured, err := n.honoursCreate()
	if err != nil {
		return nil, err
	}
	ws, err := n.watches()
	if !honoured && err == nil && len(ws) == 0 {
		err = n.listsWatches() // existing goes by it
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	c := &census{listed: err == nil, highest: WD(n.highest.Load())}
	for _, w := range ws {
		c.live = append(c.live, w.WD)
	}
	return c, nil
}

// taken reports whether a watch is known to have the number wd.
func (c *census) taken(wd WD) bool {
	_, found := slices.BinarySearch(c.live, wd)
	return found
}

// existing reports whether wd, which an add returned on a kernel that ignores
// IN_MASK_CREATE, is the number of a watch that was there at the census. A
// kernel that lists none is gVisor, which gives no number twice: what is higher
// than all that were given is new.
func (c *census) existing(wd WD) bool {
	if c.listed {
		return c.taken(wd)
	}
	return wd <= c.highest
}

// add adds t's watch, whatever number it gets, or fails because the inode is
// watched.
func (t *target) add(fd int) (WD, error) {
	mask := t.mask
	if t.pinned >= 0 {
		mask = t.blank
	}
	wd, e := sysAdd(fd, t.path, mask)
	switch {
	case e == eEXIST:
		return NoWD, errWatched
	case e != success:
		return NoWD, addError(e)
	case t.census != nil && t.census.existing(wd):
		return NoWD, fmt.Errorf("as watch %d: %w", wd, errWatched)
	}
	return wd, nil
}

// finish gives a pinned target's watch, which has t's number, its mask.
func (t *target) finish(fd int) error {
	if t.pinned < 0 || t.mask == 0 {
		return nil
	}
	wd, e := sysAdd(fd, t.path, t.mask)
	if e != success {
		return addError(e)
	}
	if wd != t.wd { // it went meanwhile, by somebody else's hand, and this is another
		sysRemove(fd, wd)
		return fmt.Errorf("setting the mask of watch %d reached watch %d", t.wd, wd)
	}
	return nil
}

var errWatched = fmt.Errorf("this instance watches the inode already: %w", eEXIST)

// place adds t's watch and returns the number that it got, or NoWD. Unless that
// is t's and err is nil, the watch has been removed again, and the caller calls
// takeBack next. place is run by stage.
func (n *Inotify) place(fd int, t *target) (got WD, err error) {
	q := &n.queue
	// A number above all that were given here had no former life, whose records
	// would have to be told apart: a restore in ascending order saves the call.
	// A one-shot watch that ends by itself just between the two calls, and whose
	// number the stray gets, is not told apart.
	from := q.pos
	if t.pinned < 0 && (n.foreign.Load() || t.wd <= WD(n.highest.Load())) {
		if from, err = q.end(fd); err != nil {
			return NoWD, err
		}
	}
	if got, err = t.add(fd); err != nil {
		return NoWD, err
	}
	if got == t.wd {
		if err = t.finish(fd); err == nil {
			n.given(got)
			return got, nil
		}
	}
	if n.unreadable != nil {
		sysRemove(fd, got)
		return got, err
	}
	if t.pinned >= 0 {
		// Blank, it has reported nothing yet: all that is queued is older.
		if end, eerr := q.end(fd); eerr == nil {
			from = end
		}
	}
	q.expect(got, from, t.pinned >= 0)
	return got, errors.Join(err, q.removeLast(fd))
}

// takeBack takes out the records of a watch that place has removed.
func (n *Inotify) takeBack(t *target, got WD) error {
	if n.unreadable != nil {
		// Whoever reads this descriptor does so elsewhere, and is told.
		return fmt.Errorf("the IN_IGNORED of watch %d remains in the queue: %w", got, n.unreadable)
	}
	var err error
	if t.pinned < 0 {
		err = quiesce()
	}
	return errors.Join(err, n.stage(n.queue.takeLast))
}

// quiesce waits until no event is on its way of a watch that has been removed.
//
// IN_IGNORED is not always a watch's last record: what another processor is
// just then reporting comes after it (seen on Linux 6.18, TestEventsAfterIgnored).
// The kernel waits for those processors (synchronize_srcu) before it frees a
// removed watch, and for that when an instance is closed, some 10 ms.
func quiesce() error {
	other, err := New()
	if err != nil {
		return fmt.Errorf("an event of a watch that was removed again may follow: %w", err)
	}
	return other.Close()
}

// stage runs f with the descriptor and holds queue.mu meanwhile.
func (n *Inotify) stage(f func(fd int) error) error {
	n.queue.mu.Lock()
	defer n.queue.mu.Unlock()
	var err error
	if cerr := n.control(func(fd int) { err = f(fd) }); cerr != nil {
		return cerr
	}
	return err
}

// placeByIoctl sets the next number and adds t's watch. If the ioctl is missing,
// it says so and has done nothing.
func (n *Inotify) placeByIoctl(t *target) (missing, err error) {
	got := NoWD
	err = n.stage(func(fd int) (err error) {
		if err = setNextError(sysSetNext(fd, t.wd)); errors.Is(err, errors.ErrUnsupported) {
			missing = err
			return nil
		}
		if err == nil {
			got, err = n.place(fd, t)
		}
		return err
	})
	switch {
	case got == NoWD || got == t.wd && err == nil:
		return missing, err
	case got != t.wd:
		err = errors.Join(&WDError{Want: t.wd, Got: got}, err)
	}
	return nil, errors.Join(err, n.takeBack(t, got))
}
