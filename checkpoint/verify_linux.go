// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/bywd"
	"github.com/seed10546c08/inotify/internal/sys"
)

// verify compares the watches that the kernel lists with the snapshot.
func (r *restorer) verify(n *inotify.Inotify) error {
	if r.verifyLevel == VerifyNone {
		return nil
	}
	have, err := listWatches(n)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	diffs := compareWatches(r.ws, have, r.verifyLevel == VerifyIdentity)
	if len(diffs) > 0 {
		if diffs, err = r.splitDestroyed(diffs); err != nil {
			return err
		}
	}
	if len(diffs) > 0 {
		return &VerifyError{diffs}
	}
	if r.verifyLevel == VerifyIdentity {
		r.listWeakHandles(have)
		return nil
	}
	return r.verifyTypes(n, have)
}

// splitDestroyed lists watches that are not there because they have ended since, and returns
// the other differences.
func (r *restorer) splitDestroyed(diffs []Difference) (rest []Difference, err error) {
	ended, err := r.ended()
	if err != nil {
		return nil, err
	}
	for _, d := range diffs {
		if d.Field == FieldWatch && d.Have == "" && ended[d.WD] {
			r.out.Destroyed = append(r.out.Destroyed, d.WD)
		} else {
			rest = append(rest, d)
		}
	}
	return rest, nil
}

// listWeakHandles lists watches that were compared only by device and inode number: the
// number may have been reused for another file. A handle may be missing on either side: on
// overlayfs, fdinfo has none while no name of the inode is cached (Linux 6.18).
func (r *restorer) listWeakHandles(have []inotify.Watch) {
	for i := range r.ws {
		w, target := &r.ws[i], &r.targets[i]
		h := w.Handle
		if j, found := bywd.Find(have, w.WD, func(w inotify.Watch) inotify.WD { return w.WD }); found && have[j].Handle == (inotify.Handle{}) {
			h = have[j].Handle
		}
		if !hasNoGeneration(h) {
			continue
		}
		if err := checkWeakHandle(h, target); err != nil {
			r.addGap(FieldHandle, w.WD, err)
		}
	}
}

var (
	errNoHandle   = errors.New("weak identity: there is no file handle, and the inode number may have been reused")
	errWeakHandle = errors.New("weak identity: file handles of this filesystem are just inode numbers, and the number may have been reused")
)

// checkWeakHandle returns an error if a handle without a generation does not identify the
// file. On ext4, inodes of generation 0 are legal (mke2fs -d makes them). A filesystem that
// opens its own handles keeps generations; procfs, sysfs and an overlayfs without nfs_export
// do not. name_to_handle_at without AT_HANDLE_FID shows which it is (Linux 6.1, 6.18).
func checkWeakHandle(h inotify.Handle, target *inotify.Watch) error {
	if h == (inotify.Handle{}) {
		return errNoHandle
	}
	var raw sys.RawHandle
	switch e := sys.PathHandle(target.Path, !target.Mask.Has(inotify.DontFollow), &raw); e {
	case sys.OK, sys.EOVERFLOW:
		return nil
	case sys.EOPNOTSUPP:
		return errWeakHandle
	default:
		return fmt.Errorf("weak identity: the handle may be just an inode number: name_to_handle_at %q: %w", target.Path, e)
	}
}

// hasNoGeneration reports whether a handle has no generation, or generation 0. procfs and
// sysfs have handles of type FILEID_INO64_GEN on Linux 6.18 and FILEID_INO32_GEN on 6.1;
// overlayfs in a user namespace has the former (6.18). tmpfs has its generation first, in a
// longer handle of that type.
func hasNoGeneration(h inotify.Handle) bool {
	generation := ""
	switch {
	case h.Type == 0x81 && len(h.Bytes) > 8:
		generation = h.Bytes[8:]
	case h.Type == 1 && len(h.Bytes) == 8:
		generation = h.Bytes[4:]
	default:
		return h.Bytes == ""
	}
	return strings.Trim(generation, "\x00") == ""
}

// mustCheckType reports whether a watch's type is to be checked by its path. IN_ONLYDIR
// checks directories, and the caller's files are checked when they are supplied.
func (r *restorer) mustCheckType(i int) bool {
	w := &r.ws[i]
	return w.Type != TypeDirectory && w.Type != TypeUnknown && r.targets[i].Path == w.Path
}

// checkTypes returns an error if a path names a file of another type now.
func (r *restorer) checkTypes(ctx context.Context) error {
	var t typeReader
	for i := range r.ws {
		if !r.mustCheckType(i) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.check(&r.ws[i]); err != nil && !isMissing(err) { // a missing file fails when it is added
			return &TargetError{r.ws[i], err}
		}
	}
	return nil
}

// verifyTypes returns an error if a watch that the kernel lists is on a file of another
// type.
func (r *restorer) verifyTypes(n *inotify.Inotify, have []inotify.Watch) error {
	for i := range r.ws {
		w := &r.ws[i]
		for len(have) > 0 && have[0].WD < w.WD {
			have = have[1:]
		}
		if len(have) == 0 || have[0].WD != w.WD || !r.mustCheckType(i) {
			continue // destroyed, or checked
		}
		if err := r.verifyType(n, w, &have[0]); err != nil {
			ended, eerr := r.ended()
			if eerr != nil {
				return eerr
			}
			if !ended[w.WD] {
				return &TargetError{*w, err}
			}
			r.out.Destroyed = append(r.out.Destroyed, w.WD)
		}
	}
	return nil
}

// verifyType returns an error if w's path names a file of another type, or not the watched
// file: the path may have been swapped. On most filesystems stat(2) has the device and
// inode that fdinfo has.
func (r *restorer) verifyType(n *inotify.Inotify, w *Watch, have *inotify.Watch) error {
	inode, err := sys.LinkInode(w.Path)
	if err != nil {
		return err
	}
	if (inotify.Device{Major: inode.Major, Minor: inode.Minor}) == have.Device && inode.Number == have.Inode {
		return compareType(w, inode.Type)
	}
	return r.verifyTypeByWatch(n, w)
}

// verifyTypeByWatch identifies the watched file by adding a watch on it again.
func (r *restorer) verifyTypeByWatch(n *inotify.Inotify, w *Watch) error {
	f, err := os.OpenFile(w.Path, sys.OPath|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	inode, err := sys.FDInode(int(f.Fd()))
	if err != nil {
		return err
	}
	if err := compareType(w, inode.Type); err != nil {
		return err
	}
	// If the file is watched, this changes nothing and returns the watch's wd.
	wd, err := n.AddWatchFile(f, inotify.MaskAdd)
	if err != nil {
		return err
	}
	if wd == w.WD {
		return nil
	}
	err = errors.New("the path was given to another file during the restore")
	if rerr := n.RemoveWatch(wd); rerr != nil {
		return errors.Join(err, rerr)
	}
	if qerr := r.out.drain(); qerr != nil {
		return errors.Join(err, qerr)
	}
	r.dropEvents(wd)
	return err
}

// A typeReader reads the types of many files without allocating for each.
type typeReader struct{ path []byte }

// check returns an error if w's path names a file of another type.
func (t *typeReader) check(w *Watch) error {
	t.path = sys.AppendCString(t.path[:0], w.Path)
	mode, e := sys.LinkType(&t.path[0])
	if e != sys.OK {
		return checkType(w) // before Linux 4.11, and for the error
	}
	return compareType(w, mode)
}

// checkType returns an error if w's path names a file of another type.
func checkType(w *Watch) error {
	inode, err := sys.LinkInode(w.Path)
	switch {
	case errors.Is(err, sys.ENOTDIR):
		return errNoParent
	case err != nil:
		return err
	}
	return compareType(w, inode.Type)
}

func compareType(w *Watch, mode uint32) error {
	if have := typeOf(mode); w.Type != TypeUnknown && have != w.Type {
		return fmt.Errorf("file is now a %s (was a %s)", have, w.Type)
	}
	return nil
}
