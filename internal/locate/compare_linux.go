// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"fmt"
	"slices"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A walk compares directory entries with the wanted watches by handle. Entries without a handle
// are collected in byFdinfo and compared in batches, and so are all if a watch may lack its handle.

// compareEntry compares an entry of the directory fd. It reports whether the entry is a mount
// point, which only handles show.
func (w *walk) compareEntry(fd int, d dirent) (isMountPoint bool) {
	if !w.compareHandles {
		w.addByFdinfo(string(d.name))
		return false
	}
	name := d.name[:len(d.name)+1] // with the NUL byte
	switch e := w.compareHandle(fd, name, 0); e {
	case sys.OK:
		if w.handleLacking {
			w.addByFdinfo(string(d.name))
		}
	case sys.EXDEV:
		return true
	case sys.EOPNOTSUPP, sys.ENOSYS, sys.EINVAL, sys.EPERM:
		w.compareHandles = false
		w.addByFdinfo(string(d.name))
	case sys.ENOENT: // it was removed
	default:
		w.uncompared.add(fmt.Errorf("name_to_handle_at %q: %w", w.join(string(d.name)), e))
	}
	return false
}

// compareHandle compares the path of an entry if a watch has the entry's handle. name ends in a
// NUL byte. It returns EXDEV if the entry is a mount point.
func (w *walk) compareHandle(fd int, name []byte, flags int) sys.Errno {
	id, e := sys.NameToHandle(fd, &name[0], flags|w.p.handleFlags(), &w.h)
	if e != sys.OK {
		return e
	}
	if among := w.wantedHandles[string(w.h.Key())]; among != nil {
		w.comparePath(w.join(string(name[:len(name)-1])), among)
	}
	if id != w.mount.ID {
		return sys.EXDEV
	}
	return sys.OK
}

// addByFdinfo adds an entry to those that are compared by fdinfo.
func (w *walk) addByFdinfo(name string) {
	if w.byFdinfo = append(w.byFdinfo, resolved{path: w.join(name), useFdinfo: true}); len(w.byFdinfo) >= compareBatch {
		w.compareByFdinfo()
	}
}

// compareByFdinfo compares the paths that were collected in byFdinfo.
func (w *walk) compareByFdinfo() {
	w.p.resolve(w.byFdinfo)
	for i := range w.byFdinfo {
		if r := &w.byFdinfo[i]; r.err != nil {
			w.uncompared.add(r.err)
		} else {
			w.assign(r, w.wantedInodes[uint32(r.id.Inode)])
		}
	}
	w.byFdinfo = w.byFdinfo[:0]
}

// compareRetries compares the paths in retry again, now that the whole tree was walked.
func (w *walk) compareRetries() {
	for _, path := range w.retry {
		w.comparePath(path, w.wanted())
	}
}

// comparePath compares a path with those of the watches that have no path yet.
func (w *walk) comparePath(path string, among []int) {
	unfound := slices.DeleteFunc(slices.Clone(among), func(i int) bool { return w.res.Places[i].Path != "" })
	if len(unfound) == 0 {
		return
	}
	rs := []resolved{{path: path, useFdinfo: w.ws[unfound[0]].Handle == inotify.Handle{}}}
	w.p.resolve(rs)
	w.assign(&rs[0], unfound)
}

// assign sets the path of the watches that are on this inode.
func (w *walk) assign(r *resolved, among []int) {
	for _, i := range among {
		if w.res.Places[i].Path != "" {
			continue
		}
		err := r.compare(&w.ws[i])
		if err == nil {
			w.accept(i, r)
			w.remaining--
			continue
		}
		if err == ErrAmbiguous && !r.overlay.sampled {
			w.retry = append(w.retry, r.path)
		}
		if err != errOtherInode {
			w.reasons[i].search.add(notComparable(err))
		}
	}
}
