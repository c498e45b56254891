// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package locate finds the paths of a process's watches. The kernel knows only their inodes.
//
// A path is as the process sees it: in its mount namespace, from its root directory. It is
// accepted only after it was looked up there and compared with the watch, by device and file
// handle. If the kernel gives no handle for a path (some filesystems before Linux 6.5), a
// temporary watch on the path is compared by its line in fdinfo. An accepted path was right
// when it was compared; a rename may make it wrong at any moment.
package locate

import (
	"errors"

	"github.com/seed10546c08/inotify"
)

// A Level says how far Paths goes to find a path.
type Level int

const (
	// None only calls Options.Resolve. It queues no event for any watch.
	None Level = iota

	// Handles opens the watches' file handles with O_PATH (CAP_DAC_READ_SEARCH), reads the
	// paths of what was opened and compares. Opening with O_PATH queues no event. But to
	// decode the handle of a directory that is not cached, the filesystem reads its parents,
	// and watches on those get OPEN, ACCESS and CLOSE_NOWRITE (Linux 6.18). Files that are not
	// cached, and filesystems that cannot open handles (procfs, sysfs, overlayfs without
	// nfs_export), need a search.
	//
	// Unless AllFilesystems is set, Handles avoids filesystems that may block, and paths
	// through them, as far as mountinfo shows them. These can still block past the end of the
	// context: an overlay with a layer on such a filesystem; a filesystem that is mounted
	// meanwhile; the filesystem of the root directory of a process in another mount namespace,
	// if that directory is not the root of a mount.
	Handles

	// Search does as Handles, and then walks the mounts of the watches that were not found,
	// each mount once for all of them. It opens and reads directories: watches on them get
	// OPEN, ACCESS and CLOSE_NOWRITE. It finds only what it has the right to read.
	Search
)

// Options say how to find paths.
type Options struct {
	Level Level

	// SearchDirs are directories, as the process sees them, to be searched before the
	// mounts. They are looked up even on filesystems that may block, but are walked
	// on those only with AllFilesystems. A walk does not cross mount points.
	SearchDirs []string

	// MaxEntries limits how many directory entries the search reads; 0 is no limit. The
	// search ends at the limit, in the tree that is the last of Result.Skipped; later trees
	// are not listed there.
	MaxEntries int

	// AllFilesystems allows filesystems that depend on a program or a network: FUSE,
	// autofs, NFS and others. They may block for ever, past the end of the context.
	AllFilesystems bool

	// Resolve, if not nil, is called first, at each level. It returns "" for a path that
	// it does not know. A path that it returns is compared with the watch, for which
	// it is looked up even on filesystems that may block.
	Resolve func(inotify.Watch) (path string, err error)

	// Progress is called about ten times a second during the search, with the number of
	// directory entries that were read.
	Progress func(entries int)
}

// A Place is the result for one watch.
type Place struct {
	Path string // empty if it was not found
	Mode uint32 // the file type, S_IFMT bits; 0 if unknown. It may be known without the path.
	Err  error  // why Path is empty; of several mounts, the most specific reason
}

// A Skipped is a directory tree, or a part of one, that was not searched.
type Skipped struct {
	Path   string
	Reason string
}

// A Result is what Paths found.
type Result struct {
	Places   []Place   // one for each watch, in their order
	Decoded  bool      // handles were opened: see Handles for the events this may queue
	Searched []string  // the trees that were walked: see Search for the events this queues
	Skipped  []Skipped // what was not searched
	Entries  int       // directory entries that were read
}

// Errors of a Place, to be compared with errors.Is.
var (
	// ErrNotRequested: no path was found at level None, which does not look for one.
	ErrNotRequested = errors.New("the path was not requested")

	// ErrUnlinked: the inode has no name any more. An open descriptor keeps it, or a mount
	// that the process does not see.
	ErrUnlinked = errors.New("unlinked: no name is left, and only an open descriptor or a mount elsewhere keeps the inode")

	// ErrAmbiguous: other inodes may have the same line in fdinfo. On overlayfs this is so
	// for hard links of a file in a lower layer, without index; and for all inodes, if the
	// layers are on several filesystems without xino, and the overlay was mounted without
	// CAP_DAC_READ_SEARCH (as in a user namespace) or on layers without file handles.
	ErrAmbiguous = errors.New("on this overlayfs, other inodes may have the same inode number and file handle, so which one is watched could not be determined")
)
