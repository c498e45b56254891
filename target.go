// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A target is a watch to be made under a number.
//
// It is made with one call where that is safe. Otherwise it is pinned: first a
// watch that reports nothing is added, and when it has the number, a second call
// sets its mask; an O_PATH descriptor makes sure that both are about the same
// inode. That is needed where the kernel ignores IN_MASK_CREATE, since the first
// call then finds out whether the inode is watched, and used for the first step
// of a climb, which nearly always comes under a wrong number.
type target struct {
	wd     WD
	path   []byte   // with a final NUL; of a pinned target, through /proc/self/fd
	room   [64]byte // for a path that is not long
	mask   Mask     // to have in the end, and for the call that makes the watch
	pinned bool
	fd     int  // the O_PATH descriptor of a pinned target
	blank  Mask // what a pinned target's first call passes
}

// leakedBits are bits that old kernels show in fdinfo's masks but refuse in an
// add: FS_EVENT_ON_CHILD, and IN_UNMOUNT, which is always on.
const leakedBits = 0x08000000 | Unmount

// checkWatch finds what is wrong with a watch that is to be restored, as far as
// it shows without asking the kernel.
func checkWatch(w *Watch) error {
	if err := checkWD(w.WD); err != nil {
		return err
	}
	if w.Mask.Has(MaskAdd) {
		return fmt.Errorf("the mask has IN_MASK_ADD, but a restore never changes a watch: %w", eINVAL)
	}
	if strings.IndexByte(w.Path, 0) >= 0 {
		return fmt.Errorf("the path has a NUL byte: %w", eINVAL)
	}
	return nil
}

// set makes t the watch w, which was checked, and not pinned. The descriptor of the one
// before is closed.
func (t *target) set(w *Watch) {
	t.release()
	t.wd = w.WD
	if t.path == nil {
		t.path = t.room[:]
	}
	t.path = append(append(slices.Grow(t.path[:0], len(w.Path)+1), w.Path...), 0)
	t.mask = w.Mask&^leakedBits | MaskCreate // which also lets the mask be empty otherwise
}

// pin makes t a pinned target.
func (t *target) pin(path string, honoured bool) error {
	fd, err := sysOpenPath(path, t.mask.Has(DontFollow))
	if err != nil {
		return callError("open O_PATH", err)
	}
	t.pinned, t.fd = true, fd
	t.path = append(append(t.path[:0], procFD(fd)...), 0)
	t.blank = MaskCreate
	if !honoured {
		t.blank = scratchMask
	}
	t.blank |= t.mask & OnlyDir
	t.mask &^= DontFollow | MaskCreate // IN_DONT_FOLLOW would watch the link in /proc
	return nil
}

func (t *target) release() {
	if t.pinned {
		sysClose(t.fd)
		t.pinned = false
	}
}

// firstMask is the mask for the call that makes the watch.
func (t *target) firstMask() Mask {
	if t.pinned {
		return t.blank
	}
	return t.mask
}

// check tells what is wrong with what that call returned, which may be any number,
// but not that of a watch that was there: existing tells which were, which matters
// where IN_MASK_CREATE does not work.
func (t *target) check(wd WD, e errno, existing func(wd WD, closely bool) (bool, error)) error {
	switch {
	case e == eEXIST:
		return errWatched
	case e != success:
		return callError(callAdd, addError(e, t.firstMask()))
	case t.firstMask().Has(MaskCreate):
		return nil
	}
	if existed, err := existing(wd, true); existed {
		return join(watchedAs(wd), err)
	}
	return nil
}

// finish gives a pinned target's watch, which has t's number, its mask. It returns
// the number of another watch if it has made that instead.
func (t *target) finish(fd int) (other WD, err error) {
	if !t.pinned || t.mask == 0 {
		return NoWD, nil
	}
	wd, e := sysAdd(fd, &t.path[0], t.mask)
	switch {
	case e != success:
		return NoWD, callError(callAdd, addError(e, t.mask))
	case wd != t.wd:
		return wd, nil
	}
	return NoWD, nil
}

var errWatched = callError(callAdd, fmt.Errorf("the instance already watches this inode: %w", eEXIST))

func watchedAs(wd WD) error {
	return callError(callAdd, fmt.Errorf("the instance already watches this inode as wd %d: %w", wd, eEXIST))
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
	var empty byte
	var alone, both errno
	if err := n.control(func(fd int) {
		_, alone = sysAdd(fd, &empty, MaskCreate)
		_, both = sysAdd(fd, &empty, MaskCreate|MaskAdd)
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

// A census is what can be known of the numbers that are in use. It counts as
// long as the numbers are held.
type census struct {
	listed  bool    // the kernel lists its watches; gVisor does not
	live    []Watch // ascending
	highest WD      // of the watches added here
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
		return nil, needsProc("listing watches", err)
	}
	return &census{listed: err == nil, live: ws, highest: WD(n.highest.Load())}, nil
}

// find returns the place in ws, which ascend, of the watch wd or of the next.
func find(ws []Watch, wd WD) (int, bool) {
	return slices.BinarySearchFunc(ws, wd, func(w Watch, wd WD) int { return int(w.WD) - int(wd) })
}

// taken reports whether a watch is known to have the number wd.
func (c *census) taken(wd WD) bool {
	_, found := find(c.live, wd)
	return found
}

// between returns how many numbers above low and below high are not known to be
// taken.
func (c *census) between(low, high WD) int64 {
	free := int64(high) - int64(low) - 1
	if free <= 0 || len(c.live) == 0 {
		return max(0, free)
	}
	i, _ := find(c.live, low+1)
	j, _ := find(c.live, high)
	return free - int64(j-i)
}
