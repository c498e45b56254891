// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// scratchMask makes a watch that queues nothing but its IN_IGNORED.
const scratchMask = inotify.MaskAdd

// scratchBatch is how many paths are compared with one reading of fdinfo; each
// takes a descriptor meanwhile.
const scratchBatch = 256

var (
	errNoLine = errors.New("fdinfo did not list the watch that was added for comparison")
	errOther  = errors.New("another inode is there")
)

func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// A reached is what a path led to.
type reached struct {
	path  string
	err   error
	st    unix.Stat_t
	id    inotify.Watch
	lined bool // id is from fdinfo, inode number included
	merge *overlay
	where error // why it is not known on which mount it is
}

func (r *reached) mode() uint32 { return uint32(r.st.Mode) & unix.S_IFMT }

// is reports whether a watch is on the inode that was reached: nil if so.
func (r *reached) is(w *inotify.Watch) error {
	switch {
	case r.err != nil:
		return r.err
	case w.Handle == (inotify.Handle{}) && !r.lined:
		return errNoLine
	case r.id.Device != w.Device || r.id.Handle != w.Handle || r.lined && r.id.Inode != w.Inode:
		return errOther
	case r.merge != nil:
		err := r.merge.is(w, &r.st)
		if err != nil && r.where != nil {
			err = fmt.Errorf("the mount of %q could not be determined: %w", r.path, r.where)
		}
		return err
	}
	return nil
}

// reach looks up paths and learns what is there. lines asks for fdinfo's lines
// also where a handle would do.
func (p *process) reach(paths []string, lines bool) []reached {
	rs := make([]reached, len(paths))
	for i := range rs {
		rs[i].path = paths[i]
	}
	for some := range slices.Chunk(rs, scratchBatch) {
		s := scratch{}
		for i := range some {
			p.reachOne(&some[i], &s, lines)
		}
		s.finish()
	}
	return rs
}

// absolute reports whether a path can be one of the kernel's.
func absolute(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.Contains(path, "\x00")
}

func (p *process) reachOne(r *reached, s *scratch, lines bool) {
	if !absolute(r.path) {
		r.err = fmt.Errorf("%q is not an absolute path: %w", r.path, unix.EINVAL)
		return
	}
	fd, e := p.lookup(cstring(r.path), 0)
	if e != success {
		r.err = fmt.Errorf("looking up %.400q: %w", r.path, p.explain(e))
		return
	}
	if e := sysFstat(fd, &r.st); e != success {
		sysClose(fd)
		r.err = fmt.Errorf("fstat of %q: %w", r.path, e)
		return
	}
	if p.byHandle(r, fd) && !lines {
		sysClose(fd)
		return
	}
	s.add(r, fd)
}

// byHandle learns the identity from the handle, if there is one to be had, and
// the mount.
func (p *process) byHandle(r *reached, fd int) bool {
	var h rawHandle
	id, e := sysNameToHandle(fd, &empty[0], unix.AT_EMPTY_PATH|p.handleFlags(), &h)
	if e != success {
		id, r.where = mountOf(p.procFD, fd)
	}
	m, known := p.mount(id)
	if m.Type == "overlay" || !known && typeOf(fd) == "overlay" {
		r.merge = p.overlayOf(m)
		r.merge.see(m.Device, &r.st)
	}
	r.id.Device = m.Device
	r.id.Handle = inotify.Handle{Type: h.kind, Bytes: string(h.data[:h.size])}
	return known && e == success
}

// A scratch compares by watches of our own: two watches are on the same inode
// exactly when their lines in fdinfo are equal. Nobody else sees these watches.
type scratch struct {
	n    *inotify.Inotify
	on   map[inotify.WD][]*reached // hard links share one
	open []int
}

// add takes over fd.
func (s *scratch) add(r *reached, fd int) {
	s.open = append(s.open, fd)
	if s.n == nil {
		n, err := inotify.New()
		if err != nil {
			r.err = fmt.Errorf("comparing %q by an internal watch: %w", r.path, err)
			return
		}
		s.n, s.on = n, make(map[inotify.WD][]*reached)
	}
	wd, err := s.n.AddWatch(procPath(fd), scratchMask)
	if err != nil {
		r.err = fmt.Errorf("comparing %q by an internal watch: %w", r.path, err)
		return
	}
	s.on[wd] = append(s.on[wd], r)
}

func (s *scratch) finish() {
	if s.n != nil {
		s.read()
		s.n.Close()
	}
	for _, fd := range s.open {
		sysClose(fd)
	}
}

func (s *scratch) read() {
	ws, err := s.n.Watches()
	if err == nil {
		err = errNoLine
	}
	for i := range ws {
		for _, r := range s.on[ws[i].WD] {
			r.id, r.lined = ws[i], true
		}
	}
	for _, rs := range s.on {
		for _, r := range rs {
			if !r.lined {
				r.err = fmt.Errorf("comparing %q by an internal watch: %w", r.path, err)
			}
		}
	}
}

// magics are the filesystems that matter here, by what statfs(2) says.
var magics = map[int64]string{
	0x0187: "autofs", 0x01021997: "9p", 0x517b: "smbfs", 0x564c: "ncpfs", 0x6969: "nfs", 0x9fa0: "proc",
	0xc36400: "ceph", 0x5346414f: "afs", 0x6b414653: "afs", 0x65735546: "fuse", 0x73757245: "coda",
	0x794c7630: "overlay", 0xfe534d42: "smb3", 0xff534d42: "cifs",
}

// typeOf returns the kind of filesystem that a descriptor is on, or "" if it is
// none of those that matter here.
func typeOf(fd int) string {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return ""
	}
	return magics[int64(uint32(st.Type))]
}
