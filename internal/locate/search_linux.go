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

// errMaxEntries ends the search at Options.MaxEntries.
var errMaxEntries = errors.New("limit of entries reached")

// A searcher walks each directory tree once, for all watches together.
type searcher struct {
	*locator
	wantedHandles map[string][]int // watches by type and bytes of the handle
	wantedInodes  map[uint32][]int // watches by the low half of the inode number: enough for a filter
	remaining     int              // watches without a path
	walkedDirs    map[dirID]bool   // roots of completely walked trees
	tick          time.Time        // of the last call of Options.Progress
	buf           []byte           // for directory entries
	h             sys.RawHandle
}

// A dirID identifies a directory on a mount.
type dirID struct {
	mount    int32
	dev, ino uint64
}

// search walks directory trees until all watches are found.
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
	if err == errMaxEntries {
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
	for _, path := range s.o.SearchDirs {
		if err := s.searchDir(ctx, path); err != nil || s.remaining == 0 {
			return err
		}
	}
	var searched []Mount
	for _, part := range []bool{false, true} {
		for _, m := range s.wantedMounts() {
			if isPart(m, searched) != part {
				continue
			}
			if err := s.searchMount(ctx, m); err != nil || s.remaining == 0 {
				return err
			}
			searched = append(searched, m)
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

// isPart reports whether the mounted directory is below that of one of the mounts ms.
func isPart(m Mount, ms []Mount) bool {
	return slices.ContainsFunc(ms, func(other Mount) bool {
		return other.Device == m.Device && other.ID != m.ID && m.Root != "" && other.Root != "" && within(m.Root, other.Root)
	})
}

// searchDir searches one of Options.SearchDirs. It looks it up on any filesystem, but does not
// walk one that may block.
func (s *searcher) searchDir(ctx context.Context, path string) error {
	if !absolute(path) {
		s.skip(path, "not an absolute path")
		return nil
	}
	path = "/" + strings.Trim(path, "/")
	root, e := s.p.lookup(sys.CString(path))
	if e != sys.OK {
		s.skip(path, "look up the directory: "+s.p.explain(e).Error())
		return nil
	}
	defer sys.Close(root)
	id, err := mountOf(s.p.procFD, root)
	if err != nil {
		s.skip(path, "find its mount: "+err.Error())
		return nil
	}
	m, listed := s.p.mount(id)
	if !listed {
		m = Mount{ID: id, Type: filesystemOf(root)}
	}
	if why := whyBlocking(&m); why != "" && !s.o.AllFilesystems {
		s.skip(path, fmt.Sprintf("%s filesystem: %s", m.Type, why))
		return nil
	}
	return s.searchTree(ctx, root, &walk{searcher: s, path: path, mount: m, compareHandles: listed})
}

// searchMount searches a mount, unless it or one on the way to it may block.
func (s *searcher) searchMount(ctx context.Context, m Mount) error {
	if blocking := s.p.blockingMount(m.Point); blocking != nil {
		s.skip(m.Point, fmt.Sprintf("%q is %s: %s", blocking.Point, blocking.Type, whyBlocking(blocking)))
		return nil
	}
	root, _, err := s.p.openMount(m)
	if err != nil {
		s.skip(m.Point, err.Error())
		return nil
	}
	defer sys.Close(root)
	return s.searchTree(ctx, root, &walk{searcher: s, path: m.Point, mount: m, compareHandles: true})
}

// searchTree walks the directory tree at root.
func (s *searcher) searchTree(ctx context.Context, root int, w *walk) error {
	if s.limitReached() {
		s.skip(w.path, s.limitText())
		return errMaxEntries
	}
	w.exact = exactTypes[w.mount.Type]
	if w.mount.Type == "overlay" {
		w.overlay = s.p.overlayOf(w.mount)
		w.handleLacking = slices.ContainsFunc(s.wanted(), func(i int) bool {
			return s.ws[i].Device == w.mount.Device && s.ws[i].Handle == inotify.Handle{}
		})
	}
	err := w.run(ctx, root)
	w.compareByFdinfo()
	w.compareRetries()
	w.report()
	if s.remaining == 0 {
		return nil
	}
	return err
}

func (s *searcher) skip(path, why string) {
	s.res.Skipped = append(s.res.Skipped, Skipped{path, why})
}

func (s *searcher) limitReached() bool {
	return s.o.MaxEntries > 0 && s.res.Entries >= s.o.MaxEntries
}

func (s *searcher) limitText() string {
	return fmt.Sprintf("the limit of %d entries was reached", s.o.MaxEntries)
}

// count counts a directory entry, checks the limit and the context, and reports progress.
func (s *searcher) count(ctx context.Context) error {
	if s.limitReached() {
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
