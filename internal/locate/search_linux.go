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
	"github.com/seed10546c08/inotify/internal/sys"
)

// blockingTypes are the filesystems that depend on a program or a network. A lookup may be slow,
// block for ever, or mount something. virtiofs, which is a FUSE filesystem, is not among
// them: it is often the root of a virtual machine, and the host serves it.
var blockingTypes = map[string]string{
	"autofs": "a lookup may mount something",
	"fuse":   "a program serves it", "fuseblk": "a program serves it",
	"nfs": "it is on a network", "nfs4": "it is on a network", "cifs": "it is on a network",
	"smb3": "it is on a network", "smbfs": "it is on a network", "ncpfs": "it is on a network",
	"9p": "it is on a network, or a program serves it", "ceph": "it is on a network",
	"afs": "it is on a network", "coda": "it is on a network", "lustre": "it is on a network",
	"gfs2": "it is on a network", "ocfs2": "it is on a network", "orangefs": "it is on a network",
	"beegfs": "it is on a network", "gpfs": "it is on a network", "glusterfs": "it is on a network",
}

// whyBlocking says why a mount may block, or returns "" if it does not.
func whyBlocking(m *Mount) string {
	kind, _, _ := strings.Cut(m.Type, ".")
	return blockingTypes[kind]
}

// exactTypes are filesystems whose directory entries have the inode numbers of fdinfo, so that
// entries with another number need not be looked up. overlayfs, btrfs and FUSE are not.
var exactTypes = map[string]bool{"ext2": true, "ext3": true, "ext4": true, "xfs": true, "tmpfs": true, "devtmpfs": true, "ramfs": true, "hostfs": true}

var errMaxEntries = errors.New("limit of entries reached")

// A searcher walks each directory tree once, for all watches together.
type searcher struct {
	*locator
	wantedHandles   map[string][]int // watches by type and bytes of the handle
	wantedInodes    map[uint32][]int // watches by the low half of the inode number: enough for a filter
	remaining       int              // watches without a path
	walked          []Mount          // searched completely
	walkedDirs      map[dirID]bool   // roots of completely walked trees
	tick            time.Time
	buf             []byte
	byFdinfo        []string // paths to be compared by fdinfo
	retry           []string // paths to be compared again when more is known of the overlay
	uncomparedCount int      // paths that could not be compared
	firstErr        error    // the first reason
	h               sys.RawHandle
}

// A dirID identifies a directory.
type dirID struct {
	mount    int32
	dev, ino uint64
}

func (l *locator) search(ctx context.Context) error {
	todo := l.wanted()
	if len(todo) == 0 {
		return nil
	}
	s := &searcher{
		locator: l, remaining: len(todo), walkedDirs: make(map[dirID]bool), tick: time.Now(), buf: make([]byte, 64<<10),
		wantedHandles: make(map[string][]int), wantedInodes: make(map[uint32][]int),
	}
	for _, i := range todo {
		w := &l.ws[i]
		s.h.Set(w.Handle.Type, w.Handle.Bytes)
		s.wantedHandles[string(s.h.Key())] = append(s.wantedHandles[string(s.h.Key())], i)
		s.wantedInodes[uint32(w.Inode)] = append(s.wantedInodes[uint32(w.Inode)], i)
	}
	err := s.searchTrees(ctx)
	if errors.Is(err, errMaxEntries) {
		err = nil
	}
	for _, i := range todo {
		l.reasons[i].search.add(s.notFoundReason(err))
	}
	return err
}

// notFoundReason returns the reason of a watch that the search did not find. ended is the error
// that ended the search, or nil.
func (s *searcher) notFoundReason(ended error) reason {
	err := fmt.Errorf("the search did not find the inode in %d trees, %d entries", len(s.res.Searched), s.res.Entries)
	if ended != nil {
		err = fmt.Errorf("%w: %w", err, ended)
	}
	return reason{rank: notShown, err: err}
}

// searchTrees searches Options.SearchDirs, and then the mounts of the wanted devices: first those
// that are not part of another one.
func (s *searcher) searchTrees(ctx context.Context) error {
	for _, dir := range s.o.SearchDirs {
		if err := s.searchTree(ctx, dir, 0); err != nil || s.remaining == 0 {
			return err
		}
	}
	for _, covered := range []bool{false, true} {
		for _, m := range s.wantedMounts() {
			if s.isCovered(m) != covered {
				continue
			}
			if err := s.searchTree(ctx, m.Point, m.ID); err != nil || s.remaining == 0 {
				return err
			}
			s.walked = append(s.walked, m)
		}
	}
	return nil
}

// wantedMounts returns the mounts of the devices of watches without a path.
func (s *searcher) wantedMounts() []Mount {
	var ms []Mount
	seen := make(map[inotify.Device]bool)
	for _, i := range s.wanted() {
		if dev := s.ws[i].Device; !seen[dev] {
			seen[dev] = true
			ms = append(ms, s.p.mountsOf(dev)...)
		}
	}
	return ms
}

// isCovered reports whether the mounted directory was searched as a part of another mount.
func (s *searcher) isCovered(m Mount) bool {
	return slices.ContainsFunc(s.walked, func(w Mount) bool {
		return w.Device == m.Device && w.ID != m.ID && m.Root != "" && w.Root != "" && within(m.Root, w.Root)
	})
}

func (s *searcher) skip(path, reason string) {
	s.res.Skipped = append(s.res.Skipped, Skipped{path, reason})
}

// searchTree walks one directory tree. want is the id of the mount that must be at its root, or
// 0 for one of Options.SearchDirs.
func (s *searcher) searchTree(ctx context.Context, path string, want int32) error {
	if !absolute(path) {
		s.skip(path, "not an absolute path")
		return nil
	}
	path = "/" + strings.Trim(path, "/")
	if blocking := s.p.blockingMount(path); want != 0 && blocking != nil { // SearchDirs are looked up anywhere
		s.skip(path, fmt.Sprintf("%q is %s: %s", blocking.Point, blocking.Type, whyBlocking(blocking)))
		return nil
	}
	root, e := s.p.lookup(sys.CString(path), 0)
	if e != sys.OK {
		s.skip(path, "look up the directory: "+s.p.explain(e).Error())
		return nil
	}
	defer sys.Close(root)
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
		m = Mount{ID: id, Type: filesystemOf(root)}
	}
	if why := whyBlocking(&m); why != "" && !s.o.AllFilesystems {
		s.skip(path, fmt.Sprintf("%s filesystem: %s", m.Type, why))
		return nil
	}
	if s.o.MaxEntries > 0 && s.res.Entries >= s.o.MaxEntries {
		s.skip(path, s.maxEntriesReached())
		return nil
	}
	w := &walk{searcher: s, path: path, mount: m, exact: exactTypes[m.Type], compareHandles: known}
	if m.Type == "overlay" {
		w.overlay = s.p.overlayOf(m)
	}
	err = w.run(ctx, root)
	s.compareByFdinfo()
	s.compareRetries()
	w.report()
	if s.uncomparedCount > 0 && s.remaining > 0 {
		s.skip(path, fmt.Sprintf("%d entries could not be compared; the first: %.400v", s.uncomparedCount, s.firstErr))
	}
	s.uncomparedCount = 0
	if s.remaining == 0 {
		return nil
	}
	return err
}

func (s *searcher) maxEntriesReached() string {
	return fmt.Sprintf("the limit of %d entries was reached", s.o.MaxEntries)
}

// count counts a directory entry, checks the limit and the context, and reports progress.
func (s *searcher) count(ctx context.Context) error {
	if s.o.MaxEntries > 0 && s.res.Entries >= s.o.MaxEntries {
		return errMaxEntries
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

// comparePath compares a path with those of the watches that have no path yet.
func (s *searcher) comparePath(path string, among []int) {
	unfound := slices.DeleteFunc(slices.Clone(among), func(i int) bool { return s.res.Places[i].Path != "" })
	if len(unfound) == 0 {
		return
	}
	rs := s.p.resolve([]string{path}, s.ws[unfound[0]].Handle == inotify.Handle{})
	s.assign(&rs[0], unfound)
}

// assign sets the path of the watches that are on this inode.
func (s *searcher) assign(r *resolved, among []int) {
	for _, i := range among {
		err := r.compare(&s.ws[i])
		switch {
		case s.res.Places[i].Path != "" || err == errOtherInode:
		case err == nil:
			s.accept(i, r)
			s.remaining--
		case err == ErrAmbiguous && !r.overlay.sampled:
			s.retry = append(s.retry, r.path)
			fallthrough
		default:
			s.reasons[i].search.add(notComparable(err))
		}
	}
}

// compareRetries compares the paths to be retried, after the whole tree was walked.
func (s *searcher) compareRetries() {
	for _, path := range s.retry {
		s.comparePath(path, s.wanted())
	}
	s.retry = nil
}

// uncompared counts a path that could not be compared.
func (s *searcher) uncompared(why error) {
	if s.uncomparedCount++; s.uncomparedCount == 1 {
		s.firstErr = why
	}
}

// compareByFdinfo compares the paths that were collected in byFdinfo.
func (s *searcher) compareByFdinfo() {
	rs := s.p.resolve(s.byFdinfo, true)
	s.byFdinfo = s.byFdinfo[:0]
	for k := range rs {
		if rs[k].err != nil {
			s.uncompared(rs[k].err)
			continue
		}
		s.assign(&rs[k], s.wantedInodes[uint32(rs[k].id.Inode)])
	}
}
