// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// prove compares what the kernel lists with the snapshot.
func (r *restorer) prove(n *inotify.Inotify) error {
	if r.proof == NoProof {
		return nil
	}
	have, err := n.Watches()
	if err != nil {
		return fmt.Errorf("it cannot be proved equal: %w", err)
	}
	diffs := compareWatches(r.ws, have, r.proof == ProofIdentity)
	if len(diffs) > 0 {
		if diffs, err = r.gone(diffs); err != nil {
			return err
		}
	}
	if len(diffs) > 0 {
		return &ProofError{diffs}
	}
	if r.proof == ProofIdentity {
		return nil // the type is the inode's
	}
	return r.proveTypes(n, have)
}

// gone notes the watches that are missing because they were destroyed: their
// IN_IGNORED is queued. It returns the other differences.
func (r *restorer) gone(diffs []Difference) ([]Difference, error) {
	if err := r.r.drain(); err != nil {
		return nil, err
	}
	ended := map[inotify.WD]bool{}
	for _, ev := range r.r.pending {
		if ev.Mask.Has(inotify.Ignored) {
			ended[ev.WD] = true
		}
	}
	var others []Difference
	for _, d := range diffs {
		if d.What == "watch" && d.Have == "" && ended[d.WD] {
			r.r.Gone = append(r.r.Gone, d.WD)
		} else {
			others = append(others, d)
		}
	}
	return others, nil
}

// byPath reports whether a watch's type is to be looked at by its path: IN_ONLYDIR
// is for directories, and a file that was supplied was looked at.
func (r *restorer) byPath(i int) bool {
	w := &r.ws[i]
	return w.Type != Directory && w.Type != UnknownType && r.targets[i].Path == w.Path
}

// checkTypes refuses paths that name something of another type now.
func (r *restorer) checkTypes(ctx context.Context) error {
	for i := range r.ws {
		if !r.byPath(i) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := checkType(&r.ws[i]); err != nil {
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
		if err := proveType(n, w, &have[0]); err != nil {
			return &TargetError{*w, err}
		}
	}
	return nil
}

// proveType refuses what w's path names if it is of another type, or is not what
// is watched: the path may have been swapped. On most filesystems stat(2) shows
// the device and inode that fdinfo shows.
func proveType(n *inotify.Inotify, w *Watch, have *inotify.Watch) error {
	var st unix.Stat_t
	if err := unix.Lstat(w.Path, &st); err != nil {
		return os.NewSyscallError("lstat", err)
	}
	dev := inotify.Device{Major: unix.Major(uint64(st.Dev)), Minor: unix.Minor(uint64(st.Dev))}
	if dev == have.Device && st.Ino == have.Inode {
		return refuseType(w, st.Mode)
	}
	return proveTypeByWatch(n, w)
}

func proveTypeByWatch(n *inotify.Inotify, w *Watch) error {
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
	if wd != w.WD {
		return errors.New("the path was given to another file while it was restored")
	}
	return nil
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
	if have := typeOf(mode); w.Type != UnknownType && have != w.Type {
		return fmt.Errorf("it is a %s, and was a %s", have, w.Type)
	}
	return nil
}
