// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed10546c08/inotify"
)

// remoteTypes are the filesystems behind which there is a program or a network: a
// lookup there may be slow, hang for good, or mount something. virtiofs is not
// among them, though it is FUSE inside: it is a virtual machine's own root often
// enough, and answers from the host's memory.
var remoteTypes = map[string]string{
	"autofs": "a lookup in it mounts something",
	"fuse":   "a program answers for it", "fuseblk": "a program answers for it",
	"nfs": "it is on the network", "nfs4": "it is on the network", "cifs": "it is on the network",
	"smb3": "it is on the network", "smbfs": "it is on the network", "ncpfs": "it is on the network",
	"9p": "it is on the network, or a program answers for it", "ceph": "it is on the network",
	"afs": "it is on the network", "coda": "it is on the network", "lustre": "it is on the network",
	"gfs2": "it is on the network", "ocfs2": "it is on the network", "orangefs": "it is on the network",
	"beegfs": "it is on the network", "gpfs": "it is on the network", "glusterfs": "it is on the network",
}

// remote says what waits for a program or a network, or "" if nothing does.
func remote(m *Mount) string {
	kind, _, _ := strings.Cut(m.Type, ".")
	return remoteTypes[kind]
}

// exact are the filesystems whose directories hold the inode numbers that fdinfo
// prints, so that an entry with another number needs no further look. Not so are
// overlayfs, btrfs and FUSE.
var exact = map[string]bool{"ext2": true, "ext3": true, "ext4": true, "xfs": true, "tmpfs": true, "devtmpfs": true, "ramfs": true, "hostfs": true}

var errBound = errors.New("bound reached")

// A seeker is a search: one walk of each tree for all watches together.
type seeker struct {
	*locator
	byHandle map[string][]int // type and bytes of the handle
	byInode  map[uint32][]int // low half, which a filter needs only
	left     int              // watches that are missing
	walked   []Mount
	whole    map[dirID]bool // trees walked to the end
	tick     time.Time
	buf      []byte
	names    []string // candidates that need fdinfo to be compared
	later    []string // candidates on an overlay of which too little is known yet
	failed   int      // candidates that could not be compared
	why      error    // of the first
	h        rawHandle
}

// A dirID tells directories apart.
type dirID struct {
	mount    int32
	dev, ino uint64
}

func (l *locator) search(ctx context.Context) error {
	todo := l.missing()
	if len(todo) == 0 {
		return nil
	}
	s := &seeker{
		locator: l, left: len(todo), whole: make(map[dirID]bool), tick: time.Now(), buf: make([]byte, 64<<10),
		byHandle: make(map[string][]int), byInode: make(map[uint32][]int),
	}
	for _, i := range todo {
		w := &l.ws[i]
		s.h.set(w.Handle.Type, w.Handle.Bytes)
		s.byHandle[string(s.h.key())] = append(s.byHandle[string(s.h.key())], i)
		s.byInode[uint32(w.Inode)] = append(s.byInode[uint32(w.Inode)], i)
	}
	err := s.trees(ctx)
	if errors.Is(err, errBound) {
		err = nil
	}
	for _, i := range todo {
		l.why[i].search.add(s.notFound(err))
	}
	return err
}

// notFound is the reason of a watch that the search did not come across.
func (s *seeker) notFound(ended error) reason {
	err := fmt.Errorf("the search did not find the inode in %d trees, %d entries", len(s.res.Searched), s.res.Entries)
	if ended != nil {
		err = fmt.Errorf("%w: %w", err, ended)
	}
	return reason{rank: notShown, err: err}
}

// trees walks the hints, then the mounts of the wanted devices.
func (s *seeker) trees(ctx context.Context) error {
	for _, hint := range s.o.SearchDirs {
		if err := s.tree(ctx, hint, 0); err != nil || s.left == 0 {
			return err
		}
	}
	for _, again := range []bool{false, true} {
		for _, m := range s.candidates() {
			if s.covered(m) != again {
				continue
			}
			if err := s.tree(ctx, m.Point, m.ID); err != nil || s.left == 0 {
				return err
			}
			s.walked = append(s.walked, m)
		}
	}
	return nil
}

// candidates returns the mounts of the devices of missing watches.
func (s *seeker) candidates() []Mount {
	var ms []Mount
	seen := make(map[inotify.Device]bool)
	for _, i := range s.missing() {
		if dev := s.ws[i].Device; !seen[dev] {
			seen[dev] = true
			ms = append(ms, s.p.mountsOf(dev)...)
		}
	}
	return ms
}

// covered reports whether what is mounted was walked as a part of another mount.
func (s *seeker) covered(m Mount) bool {
	return slices.ContainsFunc(s.walked, func(w Mount) bool {
		return w.Device == m.Device && w.ID != m.ID && m.Root != "" && w.Root != "" && within(m.Root, w.Root)
	})
}

func (s *seeker) skip(path, reason string) {
	s.res.Skipped = append(s.res.Skipped, Skipped{path, reason})
}

// tree walks one tree. want is the mount that must be found at its root, or 0.
func (s *seeker) tree(ctx context.Context, path string, want int32) error {
	if !absolute(path) {
		s.skip(path, "not an absolute path")
		return nil
	}
	path = "/" + strings.Trim(path, "/")
	if far := s.p.far(path); want != 0 && far != nil { // a hint is the caller's own business
		s.skip(path, fmt.Sprintf("%q is %s: %s", far.Point, far.Type, remote(far)))
		return nil
	}
	root, e := s.p.lookup(cstring(path), 0)
	if e != success {
		s.skip(path, "looking up the directory: "+s.p.explain(e).Error())
		return nil
	}
	defer sysClose(root)
	id, err := mountOf(s.p.procFD, root)
	if err != nil {
		return err
	}
	if want != 0 && id != want {
		s.skip(path, "hidden by another mount")
		return nil
	}
	m, known := s.p.mount(id)
	if !known {
		m = Mount{ID: id, Type: typeOf(root)}
	}
	if why := remote(&m); why != "" && !s.o.AllFilesystems {
		s.skip(path, fmt.Sprintf("%s filesystem: %s", m.Type, why))
		return nil
	}
	if s.o.MaxEntries > 0 && s.res.Entries >= s.o.MaxEntries {
		s.skip(path, s.boundReached())
		return nil
	}
	w := &walk{seeker: s, path: path, mount: m, exact: exact[m.Type], byHandle: known}
	if m.Type == "overlay" {
		w.merge = s.p.overlayOf(m)
	}
	err = w.run(ctx, root)
	s.compareNames()
	s.compareLater()
	w.report()
	if s.failed > 0 && s.left > 0 {
		s.skip(path, fmt.Sprintf("%d entries could not be compared; the first: %.400v", s.failed, s.why))
	}
	s.failed = 0
	if s.left == 0 {
		return nil
	}
	return err
}

func (s *seeker) boundReached() string {
	return fmt.Sprintf("the bound of %d entries was reached", s.o.MaxEntries)
}

// count counts an entry that is looked at.
func (s *seeker) count(ctx context.Context) error {
	if s.o.MaxEntries > 0 && s.res.Entries >= s.o.MaxEntries {
		return errBound
	}
	s.res.Entries++
	if s.res.Entries%256 != 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.o.Progress != nil {
		if now := time.Now(); now.Sub(s.tick) >= 100*time.Millisecond {
			s.tick = now
			s.o.Progress(s.res.Entries)
		}
	}
	return nil
}

// found has the paths compared with watches that they may be of.
func (s *seeker) found(path string, among []int) {
	missing := slices.DeleteFunc(slices.Clone(among), func(i int) bool { return s.res.Places[i].Path != "" })
	if len(missing) == 0 {
		return
	}
	rs := s.p.reach([]string{path}, s.ws[missing[0]].Handle == inotify.Handle{})
	s.take(&rs[0], missing)
}

// take gives a path to the watches whose inode it leads to.
func (s *seeker) take(r *reached, among []int) {
	for _, i := range among {
		err := r.is(&s.ws[i])
		switch {
		case s.res.Places[i].Path != "" || err == errOther:
		case err == nil:
			s.accept(i, r)
			s.left--
		case err == ErrAmbiguous && !r.merge.sampled:
			s.later = append(s.later, r.path)
			fallthrough
		default:
			s.locator.why[i].search.add(unlike(err))
		}
	}
}

// compareLater compares candidates once more, when the whole tree was seen.
func (s *seeker) compareLater() {
	for _, path := range s.later {
		s.found(path, s.missing())
	}
	s.later = nil
}

// uncompared notes a candidate that could not be compared.
func (s *seeker) uncompared(why error) {
	if s.failed++; s.failed == 1 {
		s.why = why
	}
}

// compareNames compares candidates by fdinfo, many at a time.
func (s *seeker) compareNames() {
	rs := s.p.reach(s.names, true)
	s.names = s.names[:0]
	for k := range rs {
		if rs[k].err != nil {
			s.uncompared(rs[k].err)
			continue
		}
		s.take(&rs[k], s.byInode[uint32(rs[k].id.Inode)])
	}
}
