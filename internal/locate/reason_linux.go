// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"errors"
	"fmt"
)

// A rank orders the reasons for an unknown path that the mounts of one filesystem
// give: the more a reason says about where the inode is, the higher its rank.
type rank int

const (
	noReason   rank = iota
	notDecoded      // open_by_handle_at on the mount does not know the handle
	notShown        // the mount shows another part of the filesystem
	notTried        // the mount may show the inode, but is hidden or left alone, or was not opened
	outside         // the inode is outside of the process's root directory
	renamed         // another inode, or none, is at the path that the kernel has
	behind          // the path leads through a filesystem that may wait
	unnamed         // that name was removed, and others are left
	covered         // another mount hides the path
	failed          // a system call on the handle or the path failed
	ambiguous       // ErrAmbiguous
	nameless        // no cached name leads to the inode, on any mount
	final           // the same on any mount: ErrUnlinked, or no right to open handles
)

// A reason says why a path is unknown. The zero reason is none.
type reason struct {
	rank   rank
	err    error
	search string // what a search may find; empty if it cannot help
}

// add keeps the reason of the higher rank, and the first of equal ones.
func (r *reason) add(other reason) {
	if other.rank > r.rank {
		*r = other
	}
}

// reasons are why the path of one watch is unknown, by each step that looked for it.
type reasons struct {
	resolver reason
	handle   reason
	search   reason
}

// err joins the reasons. searched tells that there was a search, so that none is
// recommended. It returns nil if no step was taken.
func (r *reasons) err(searched bool) error {
	handle := r.handle.err
	if handle != nil && r.handle.search != "" && !searched {
		handle = fmt.Errorf("%w; a search may find %s", handle, r.handle.search)
	}
	var joined error
	for _, err := range []error{r.resolver.err, handle, r.search.err} {
		switch {
		case joined == nil:
			joined = err
		case err != nil && !errors.Is(joined, err):
			joined = fmt.Errorf("%w; %w", joined, err)
		}
	}
	return joined
}

// isUnlinked reports whether the inode has no name, which ends the search for one.
func (r *reasons) isUnlinked() bool { return r.handle.err == ErrUnlinked }
