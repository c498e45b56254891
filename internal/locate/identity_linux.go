// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// compareMask is for temporary watches: they queue nothing but their IN_IGNORED.
const compareMask = inotify.MaskAdd

// compareBatch is how many paths are compared by one read of fdinfo. Each needs a descriptor
// meanwhile.
const compareBatch = 256

var (
	errNoLine     = errors.New("fdinfo did not list the watch that was added for comparison")
	errOtherInode = errors.New("another inode is at the path")
)

// A resolved path is compared with watches. Set path and useFdinfo; process.resolve sets the rest.
type resolved struct {
	path      string
	useFdinfo bool // identify the inode by fdinfo even if it has a handle

	err        error // why the inode could not be identified
	st         unix.Stat_t
	id         inotify.Watch // its device, handle and inode number identify the inode
	fromFdinfo bool          // id is from fdinfo, and has the inode number
	overlay    *overlay      // nil on other filesystems
	mountErr   error         // why the mount is unknown
}

// toCompare returns a path that is to be compared with a watch.
func toCompare(path string, w *inotify.Watch) resolved {
	return resolved{path: path, useFdinfo: w.Handle == inotify.Handle{}}
}

func (r *resolved) mode() uint32 { return uint32(r.st.Mode) & unix.S_IFMT }

// compare returns nil if the watch is on this inode, and errOtherInode if it is not.
func (r *resolved) compare(w *inotify.Watch) error {
	switch {
	case r.err != nil:
		return r.err
	case w.Handle == (inotify.Handle{}) && !r.fromFdinfo:
		return errNoLine
	case r.id.Device != w.Device || r.id.Handle != w.Handle && !r.mayLackHandle(w) || r.fromFdinfo && r.id.Inode != w.Inode:
		return errOtherInode
	case r.overlay != nil:
		err := r.overlay.compare(w, &r.st)
		if err != nil && r.mountErr != nil {
			err = fmt.Errorf("the mount of %q could not be determined: %w", r.path, r.mountErr)
		}
		return err
	}
	return nil
}

// mayLackHandle reports whether the watch has no handle although the inode may have one: fdinfo of
// overlayfs shows none while no name of the inode is cached (directories with nfs_export on Linux
// 6.18), and a lookup caches one.
func (r *resolved) mayLackHandle(w *inotify.Watch) bool {
	return r.overlay != nil && w.Handle == inotify.Handle{}
}

// resolve looks up paths and identifies the inodes there: by handle, or by fdinfo if there is
// no handle or useFdinfo is set.
func (p *process) resolve(rs []resolved) {
	for some := range slices.Chunk(rs, compareBatch) {
		var c comparer
		for i := range some {
			p.resolveOne(&some[i], &c)
		}
		c.finish()
	}
}

// absolute reports whether a path is absolute and has no NUL byte.
func absolute(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.Contains(path, "\x00")
}

func (p *process) resolveOne(r *resolved, c *comparer) {
	if !absolute(r.path) {
		r.err = fmt.Errorf("%q is not an absolute path: %w", r.path, sys.EINVAL)
		return
	}
	fd, e := p.lookup(sys.CString(r.path))
	if e != sys.OK {
		r.err = fmt.Errorf("look up %.400q: %w", r.path, p.explain(e))
		return
	}
	if e := sys.Fstat(fd, &r.st); e != sys.OK {
		sys.Close(fd)
		r.err = fmt.Errorf("fstat %q: %w", r.path, e)
		return
	}
	if p.readHandle(r, fd) && !r.useFdinfo {
		sys.Close(fd)
		return
	}
	c.add(r, fd)
}

// readHandle reads the mount and, if there is one, the handle. It reports whether both are
// known.
func (p *process) readHandle(r *resolved, fd int) bool {
	var h sys.RawHandle
	id, e := sys.NameToHandle(fd, &sys.EmptyPath[0], unix.AT_EMPTY_PATH|p.handleFlags(), &h)
	if e != sys.OK {
		id, r.mountErr = mountOf(p.procFD, fd)
	}
	m, known := p.mount(id)
	if m.Type == "overlay" || !known && filesystemOf(fd) == "overlay" {
		r.overlay = p.overlayOf(m)
		r.overlay.observe(m.Device, &r.st)
	}
	r.id.Device = m.Device
	r.id.Handle = inotify.Handle{Type: h.Type, Bytes: string(h.Data[:h.Size])}
	return known && e == sys.OK
}

// A comparer identifies inodes by temporary watches on them, in an instance of its own: two
// watches are on the same inode if and only if their lines in fdinfo are equal.
type comparer struct {
	n    *inotify.Inotify
	on   map[inotify.WD][]*resolved // hard links share a wd
	open []int
}

// add adds a watch on fd, which finish closes.
func (c *comparer) add(r *resolved, fd int) {
	c.open = append(c.open, fd)
	if c.n == nil {
		n, err := inotify.New()
		if err != nil {
			r.err = fmt.Errorf("compare %q by a temporary watch: %w", r.path, err)
			return
		}
		c.n, c.on = n, make(map[inotify.WD][]*resolved)
	}
	wd, err := c.n.AddWatch(sys.ProcFD(fd), compareMask)
	if err != nil {
		r.err = fmt.Errorf("compare %q by a temporary watch: %w", r.path, err)
		return
	}
	c.on[wd] = append(c.on[wd], r)
}

func (c *comparer) finish() {
	if c.n != nil {
		c.read()
		c.n.Close()
	}
	for _, fd := range c.open {
		sys.Close(fd)
	}
}

func (c *comparer) read() {
	ws, err := c.n.Watches()
	if err == nil {
		err = errNoLine
	}
	for i := range ws {
		for _, r := range c.on[ws[i].WD] {
			r.id, r.fromFdinfo = ws[i], true
		}
	}
	for _, rs := range c.on {
		for _, r := range rs {
			if !r.fromFdinfo {
				r.err = fmt.Errorf("compare %q by a temporary watch: %w", r.path, err)
			}
		}
	}
}

// magics are the filesystems that matter here, by their magic number of statfs(2).
var magics = map[uint32]string{
	0x0187: "autofs", 0x01021997: "9p", 0x517b: "smbfs", 0x564c: "ncpfs", 0x6969: "nfs", 0x9fa0: "proc",
	0xc36400: "ceph", 0x5346414f: "afs", 0x6b414653: "afs", 0x65735546: "fuse", 0x73757245: "coda",
	0x794c7630: "overlay", 0xfe534d42: "smb3", 0xff534d42: "cifs",
}

// filesystemOf returns the type of the filesystem that a descriptor is on, or "" for those that
// do not matter here.
func filesystemOf(fd int) string {
	magic, err := sys.FilesystemMagic(fd)
	if err != nil {
		return ""
	}
	return magics[magic]
}
