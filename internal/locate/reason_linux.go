// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"errors"
	"fmt"
)

// A rank orders the reasons why a path is unknown. Each mount of a filesystem may give another
// reason; the most specific one, which has the highest rank, is reported.
type rank int

const (
	noReason       rank = iota
	notDecoded          // open_by_handle_at does not find the handle on the mount
	notShown            // the mount shows another part of the filesystem
	notTried            // the mount may show the inode, but is hidden, may block, or could not be opened
	outsideRoot         // the inode is outside of the process's root directory
	renamed             // another inode, or none, is at the kernel's path
	behindBlocking      // the path leads through a filesystem that may block
	nameRemoved         // the name was removed, and the inode has others
	hiddenPath          // another mount hides the path
	failed              // a system call on the handle or the path failed
	ambiguous           // ErrAmbiguous
	notCached           // no cached name leads to the inode, on any mount
	final               // the same on each mount: ErrUnlinked, or no right to open handles
)

// A reason says why a path is unknown. The zero value is no reason.
type reason struct {
	rank   rank
	err    error
	search string // what a search may find: "the path"; empty if none can help
}

// add keeps the reason of the higher rank, and the first of equal ones.
func (r *reason) add(other reason) {
	if other.rank > r.rank {
		*r = other
	}
}

// reasons say why the path of one watch is unknown, one for each step.
type reasons struct {
	resolver reason
	handle   reason
	search   reason
}

// err joins the reasons. It recommends a search that may help, unless one was made. It returns
// nil if there is no reason.
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
