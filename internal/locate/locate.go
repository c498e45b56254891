// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package locate finds the paths of a process's watches, which the kernel
// knows by inode only.
//
// A path is as the process sees it: in its mount namespace, from its root
// directory. It is believed only after it was looked up there and what it leads
// to was compared with the watch: device and file handle, and where the kernel
// gives no handle for a path (before Linux 6.5, on some filesystems) the line of
// a watch of our own on it. So a path was right when it was compared; who may
// rename can make it wrong the next moment.
package locate

import (
	"errors"

	"github.com/seed10546c08/inotify"
)

// A Level says how far Paths goes to find a path.
type Level int

const (
	// None asks only Options.Resolve, and nobody without one. Nobody's watch
	// sees anything.
	None Level = iota

	// Handles opens the watches' file handles (CAP_DAC_READ_SEARCH), asks the
	// kernel for their paths, and compares. It opens with O_PATH, which queues
	// no event. But to decode the handle of a directory that is not in the
	// kernel's cache, the filesystem reads its ancestors, and the watchers of
	// those get OPEN, ACCESS and CLOSE_NOWRITE events (Linux 6.18). Files that
	// are not in the cache, and filesystems that cannot open handles (procfs,
	// sysfs, overlayfs without nfs_export), are left to the search.
	//
	// It stays off filesystems that may wait for a program or a network, and off
	// paths that pass through one, unless AllFilesystems, by what mountinfo says.
	// What that does not say can still hang past the context's end: an overlay
	// with a layer on such a filesystem, one that is mounted meanwhile, and one
	// that holds the root directory of a process in another mount namespace, if
	// that is none of its mounts' roots.
	Handles

	// Search walks, for those then missing, the trees that they can be in, each
	// once for all of them. It opens and reads directories: their watchers get
	// OPEN, ACCESS and CLOSE_NOWRITE events. It needs no privilege but to read
	// the directories, and finds only what it may read.
	Search
)

// Options say how to find paths.
type Options struct {
	Level Level

	// SearchDirs are directories, as the process sees them, to search before the
	// mounts. Each is looked up on whatever filesystem it leads to, and its tree
	// walked up to the next mount points, but not on a kind of filesystem that
	// takes AllFilesystems.
	SearchDirs []string

	// MaxEntries is how many directory entries the search may look at in all.
	// 0 is no bound.
	MaxEntries int

	// AllFilesystems has handles decoded, paths looked up and trees walked also on
	// filesystems behind which there is a program or a network: FUSE, autofs, NFS
	// and their like. They may be slow, or hang for good, past the context's end.
	AllFilesystems bool

	// Resolve is asked first, whatever the level, unless it is nil. The path
	// that it returns is believed only after it was compared, for which it is
	// looked up on whatever filesystem it leads to. An empty path means that it
	// does not know.
	Resolve func(inotify.Watch) (path string, err error)

	// Progress is called about ten times a second during the search with the
	// number of entries looked at so far.
	Progress func(entries int)
}

// A Place is where one watch's inode is.
type Place struct {
	Path string // empty if it was not found
	Mode uint32 // the file type, S_IFMT bits; 0 if not learned. It may be known without the path.
	Err  error  // why Path is empty: of several mounts, the reason of the one that says most
}

// A Skipped is a tree, or a part of one, that the search did not walk.
type Skipped struct {
	Path   string
	Reason string
}

// A Result is what Paths found.
type Result struct {
	Places   []Place   // one for each watch, in their order
	Decoded  bool      // handles were decoded: see Handles for what that may queue
	Searched []string  // the trees that were walked: see Search for what that queues
	Skipped  []Skipped // what was left out of the search
	Entries  int       // directory entries looked at
}

// What a Place's error can be, by errors.Is; the others wrap an errno or stand
// alone.
var (
	// ErrNotAsked is the error of each watch that level None leaves.
	ErrNotAsked = errors.New("the path was not asked for")

	// ErrUnlinked means that the inode has no name any more. An open descriptor keeps
	// it, or a mount that the process does not see.
	ErrUnlinked = errors.New("unlinked: no name is left, and only an open descriptor or a mount elsewhere keeps the inode")

	// ErrAmbiguous means that the kernel's line for the watch does not tell the
	// inode from others. That is so on overlayfs for hard links of a lower layer
	// without index, and for all inodes where layers lie on several filesystems,
	// without xino, and the overlay was mounted without CAP_DAC_READ_SEARCH, as
	// in a user namespace, or on layers without file handles.
	ErrAmbiguous = errors.New("on this overlayfs, other inodes may have the same inode number and file handle, so which one is watched could not be determined")
)
