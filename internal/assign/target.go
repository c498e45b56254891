// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"fmt"
	"slices"

	"github.com/seed10546c08/inotify/internal/instance"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A target is a watch to be added under a wd.
//
// It is added with one call where that is safe. Otherwise it is pinned: first a
// watch that reports nothing is added, and when it has the wd, a second call
// sets its mask; an O_PATH descriptor makes sure that both are about the same
// inode. That is needed where the kernel ignores IN_MASK_CREATE, since the first
// call then finds out whether the inode is watched, and used for the first step
// of a cycle, which nearly always comes under a wrong wd.
type target struct {
	wd     int32
	path   []byte   // with a final NUL; of a pinned target, through /proc/self/fd
	room   [64]byte // for a path that is not long
	mask   uint32   // to have in the end, and for the call that adds the watch
	pinned bool
	fd     int    // the O_PATH descriptor of a pinned target
	blank  uint32 // what a pinned target's first call passes
}

// set makes t the watch w, which was checked, and not pinned. The descriptor of the one
// before is closed.
func (t *target) set(w *Watch) {
	t.release()
	t.wd = w.WD
	if t.path == nil {
		t.path = t.room[:]
	}
	t.path = sys.AppendCString(slices.Grow(t.path[:0], len(w.Path)+1), w.Path)
	t.mask = w.Mask&^sys.LeakedBits | sys.MaskCreate // which also lets the mask be empty otherwise
}

// pin makes t a pinned target.
func (t *target) pin(path string, create bool) error {
	fd, err := sys.OpenPath(path, t.mask&sys.DontFollow != 0)
	if err != nil {
		return err
	}
	t.pinned, t.fd = true, fd
	t.path = sys.AppendCString(t.path[:0], sys.ProcFD(fd))
	t.blank = blankMask(create) | t.mask&sys.OnlyDir
	t.mask &^= sys.DontFollow | sys.MaskCreate // IN_DONT_FOLLOW would watch the link in /proc
	return nil
}

// blankMask makes a watch that queues nothing but its IN_IGNORED, and changes nothing
// about a watch that exists: IN_MASK_ADD with no event. Where IN_MASK_CREATE works, that
// bit alone is used instead: it queues as little and fails on a watched inode.
func blankMask(create bool) uint32 {
	if create {
		return sys.MaskCreate
	}
	return sys.MaskAdd
}

func (t *target) release() {
	if t.pinned {
		sys.Close(t.fd)
		t.pinned = false
	}
}

// firstMask is the mask for the call that adds the watch.
func (t *target) firstMask() uint32 {
	if t.pinned {
		return t.blank
	}
	return t.mask
}

// finish gives a pinned target's watch, which has t's wd, its mask. It returns
// the wd of another watch if it has added that instead, and otherwise -1.
func (t *target) finish(in *instance.Instance, fd int) (other int32, err error) {
	if !t.pinned || t.mask == 0 {
		return -1, nil
	}
	wd, e := sys.Add(fd, &t.path[0], t.mask)
	switch {
	case e != sys.OK:
		in.Failed(e)
		return -1, in.Explain(sys.CallAdd, e, t.mask)
	case wd != t.wd:
		return wd, nil
	}
	return -1, nil
}

var errWatched = sys.CallError(sys.CallAdd, fmt.Errorf("the instance already watches this inode: %w", sys.EEXIST))

func watchedAs(wd int32) error {
	return sys.CallError(sys.CallAdd, fmt.Errorf("the instance already watches this inode as wd %d: %w", wd, sys.EEXIST))
}
