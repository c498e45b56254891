// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// prove compares what the kernel lists with the snapshot.
func (r *restorer) prove(n *inotify.Inotify) error {
	if r.proof == VerifyNone {
		return nil
	}
	have, err := n.Watches()
	if err != nil {
		return fmt.Errorf("it cannot be proved equal: %w", err)
	}
	diffs := compareWatches(r.ws, have, r.proof == VerifyIdentity)
	if len(diffs) > 0 {
		if diffs, err = r.others(diffs); err != nil {
			return err
		}
	}
	if len(diffs) > 0 {
		return &VerifyError{diffs}
	}
	if r.proof == VerifyIdentity {
		r.tellWeak()
		return nil
	}
	return r.proveTypes(n, have)
}

// others notes the watches that are missing because they were destroyed, and
// returns the other differences.
func (r *restorer) others(diffs []Difference) (others []Difference, err error) {
	ended, err := r.ended()
	if err != nil {
		return nil, err
	}
	for _, d := range diffs {
		if d.Field == FieldWatch && d.Have == "" && ended[d.WD] {
			r.r.Destroyed = append(r.r.Destroyed, d.WD)
		} else {
			others = append(others, d)
		}
	}
	return others, nil
}

// tellWeak lists watches whose identity is just a device and an inode number: another
// file may have got the number since.
func (r *restorer) tellWeak() {
	for i := range r.ws {
		w, target := &r.ws[i], &r.targets[i]
		if !withoutGeneration(w.Handle) {
			continue
		}
		follow := 0
		if target.Mask&inotify.DontFollow == 0 {
			follow = unix.AT_SYMLINK_FOLLOW
		}
		if err := weak(w.Handle, target.Path, follow); err != nil {
			r.addGap(FieldHandle, w.WD, err)
		}
	}
}

var (
	errNoHandle = errors.New("the kernel gave no file handle: the same inode number may be another file's by now")
	errWeak     = errors.New("file handles of this filesystem are just inode numbers, and the same number may be another file's by now")
)

// weak reports whether a handle without a generation cannot tell files apart: nil if it
// can. On ext4, inodes of generation 0 are legal (mke2fs -d makes them). A filesystem
// that opens its own handles keeps generations; procfs, sysfs and an overlayfs without
// nfs_export do not. name_to_handle_at without AT_HANDLE_FID tells which it is (Linux
// 6.1, 6.18).
func weak(h inotify.Handle, path string, follow int) error {
	if h == (inotify.Handle{}) {
		return errNoHandle
	}
	_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, follow)
	switch err {
	case nil, unix.EOVERFLOW:
		return nil
	case unix.EOPNOTSUPP:
		return errWeak
	}
	return fmt.Errorf("the handle may be just an inode number: name_to_handle_at %q: %w", path, err)
}

// withoutGeneration reports whether a handle has no generation, or one that is 0. procfs
// and sysfs have handles of type FILEID_INO64_GEN on Linux 6.18, FILEID_INO32_GEN on
// 6.1; overlayfs in a user namespace has the first (6.18). tmpfs has its generation
// first, in a longer handle of that type.
func withoutGeneration(h inotify.Handle) bool {
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

// byPath reports whether a watch's type is to be looked at by its path: IN_ONLYDIR
// is for directories, and a file that was supplied was looked at.
func (r *restorer) byPath(i int) bool {
	w := &r.ws[i]
	return w.Type != TypeDirectory && w.Type != TypeUnknown && r.targets[i].Path == w.Path
}

// checkTypes refuses paths that name something of another type now.
func (r *restorer) checkTypes(ctx context.Context) error {
	var t typeReader
	for i := range r.ws {
		if !r.byPath(i) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.check(&r.ws[i]); err != nil && !missing(err) { // whether it is there, its add tells
			return &TargetError{r.ws[i], err}
		}
	}
	return nil
}

// proveTypes refuses watches, listed by the kernel, that are on something of another
// type.
func (r *restorer) proveTypes(n *inotify.Inotify, have []inotify.Watch) error {
	for i := range r.ws {
		w := &r.ws[i]
		for len(have) > 0 && have[0].WD < w.WD {
			have = have[1:]
		}
		if len(have) == 0 || have[0].WD != w.WD || !r.byPath(i) {
			continue // gone, or proved
		}
		if err := r.proveType(n, w, &have[0]); err != nil {
			ended, derr := r.ended()
			if derr != nil {
				return derr
			}
			if !ended[w.WD] {
				return &TargetError{*w, err}
			}
			r.r.Destroyed = append(r.r.Destroyed, w.WD)
		}
	}
	return nil
}

// proveType refuses what w's path names if it is of another type, or is not what
// is watched: the path may have been swapped. On most filesystems stat(2) shows
// the device and inode that fdinfo shows.
func (r *restorer) proveType(n *inotify.Inotify, w *Watch, have *inotify.Watch) error {
	var st unix.Stat_t
	if err := unix.Lstat(w.Path, &st); err != nil {
		return os.NewSyscallError("lstat", err)
	}
	dev := inotify.Device{Major: unix.Major(uint64(st.Dev)), Minor: unix.Minor(uint64(st.Dev))}
	if dev == have.Device && st.Ino == have.Inode {
		return refuseType(w, st.Mode)
	}
	return r.proveTypeByWatch(n, w)
}

func (r *restorer) proveTypeByWatch(n *inotify.Inotify, w *Watch) error {
	f, err := os.OpenFile(w.Path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if err := refuseType(w, st.Mode); err != nil {
		return err
	}
	// This adds nothing to the watch that is there, and returns its number.
	wd, err := n.AddWatchFile(f, inotify.MaskAdd)
	if err != nil {
		return err
	}
	if wd == w.WD {
		return nil
	}
	err = errors.New("the path was given to another file while it was restored")
	if rerr := n.RemoveWatch(wd); rerr != nil {
		return errors.Join(err, rerr)
	}
	if derr := r.r.drain(); derr != nil {
		return errors.Join(err, derr)
	}
	r.drop(wd)
	return err
}

// A typeReader reads the types of files, many without making garbage.
type typeReader struct {
	path []byte
	stat unix.Statx_t
}

// check refuses what w's path names if it is of another type.
func (t *typeReader) check(w *Watch) error {
	t.path = append(append(t.path[:0], w.Path...), 0)
	dir := unix.AT_FDCWD
	_, _, e := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(&t.path[0])),
		unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, uintptr(unsafe.Pointer(&t.stat)), 0)
	if e != 0 {
		return checkType(w) // before Linux 4.11, and to tell the error
	}
	return refuseType(w, uint32(t.stat.Mode))
}

// checkType refuses what w's path names if it is of another type.
func checkType(w *Watch) error {
	var st unix.Stat_t
	switch err := unix.Lstat(w.Path, &st); {
	case errors.Is(err, unix.ENOTDIR):
		return errNotThere
	case err != nil:
		return os.NewSyscallError("lstat", err)
	}
	return refuseType(w, st.Mode)
}

func refuseType(w *Watch, mode uint32) error {
	if have := typeOf(mode); w.Type != TypeUnknown && have != w.Type {
		return fmt.Errorf("it is a %s, and was a %s", have, w.Type)
	}
	return nil
}
