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
// It is added with one call if that is safe. Otherwise it is pinned: a first call adds a
// watch that reports nothing, and if that has the wd, a second call sets its mask. An O_PATH
// descriptor makes sure that both are for the same inode. A target is pinned if the kernel
// ignores IN_MASK_CREATE, because the first call then shows whether the inode is watched
// already, and for the first step of a cycle, which nearly always gets a wrong wd.
type target struct {
	wd     int32
	path   []byte   // with a final NUL; of a pinned target, through /proc/self/fd
	room   [64]byte // for a path that is not long
	mask   uint32   // for the last call
	pinned bool
	fd     int    // the O_PATH descriptor of a pinned target
	blank  uint32 // for the first call of a pinned target
}

// set makes t the target for w, not pinned, and closes the descriptor of the previous one.
func (t *target) set(w *Watch) {
	t.release()
	t.wd = w.WD
	if t.path == nil {
		t.path = t.room[:]
	}
	t.path = sys.AppendCString(slices.Grow(t.path[:0], len(w.Path)+1), w.Path)
	t.mask = w.Mask&^sys.LeakedBits | sys.MaskCreate // with this bit the mask may have no event
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

// blankMask returns a mask for a watch that queues nothing but its IN_IGNORED, and with which
// an add does not change a watch that exists: IN_MASK_ADD without an event or, if it works,
// IN_MASK_CREATE without an event, which fails for a watched inode.
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

// finish sets the mask of a pinned target's watch, which has t's wd. It returns -1, or the wd
// of the watch that the call added if the first one is gone.
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
