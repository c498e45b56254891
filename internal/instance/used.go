// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package instance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed10546c08/inotify/internal/bywd"
	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/sys"
)

// Watches returns the watches that the kernel lists in fdinfo, in ascending order of wd.
// It is also empty where the kernel lists none.
func (in *Instance) Watches() ([]fdinfo.Watch, error) { return list(in.Control) }

// list reads fdinfo. control runs a function with the descriptor.
func list(control func(func(fd int)) error) ([]fdinfo.Watch, error) {
	text, lines, err := read(control)
	if err != nil {
		return nil, err
	}
	return fdinfo.List(io.MultiReader(text...), lines)
}

// read reads fdinfo in pieces and counts its lines. One buffer that grows would be copied
// again and again.
//
// The kernel makes the whole text at the first read, for the file that is then open as the
// descriptor. So the descriptor must stay open for the first read only.
func read(control func(func(fd int)) error) (text []io.Reader, lines int, err error) {
	var f *os.File
	next := func() error {
		piece := make([]byte, 64<<10)
		k, err := f.Read(piece)
		text = append(text, bytes.NewReader(piece[:k]))
		lines += bytes.Count(piece[:k], []byte("\n"))
		return err
	}
	if cerr := control(func(fd int) {
		if f, err = sys.OpenFDInfo(fd); err == nil {
			err = next()
		}
	}); cerr != nil {
		err = cerr
	}
	if f != nil {
		defer f.Close()
	}
	for err == nil {
		err = next()
	}
	if err == io.EOF {
		err = nil
	}
	return text, lines, err
}

// A UsedWDs is what is known of the used wds. It is valid while the wds are locked. In the
// zero value nothing is known.
type UsedWDs struct {
	Listed  bool  // the kernel lists its watches; gVisor does not
	Highest int32 // the highest wd given here
	known   bool
	watches []fdinfo.Watch // ascending
}

// Used returns what is known of the wds that are used.
func (in *Instance) Used() (UsedWDs, error) {
	create, err := in.HasMaskCreate()
	if err != nil {
		return UsedWDs{}, err
	}
	ws, err := in.Watches()
	listed := true
	if !create && err == nil && len(ws) == 0 {
		listed, err = in.ListsWatches() // Existed depends on it
		err = NotListed(err)
	}
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			return UsedWDs{}, in.explain(sys.CallFDInfo, err, 0)
		}
		listed = false
	}
	return UsedWDs{Listed: listed, Highest: in.Highest(), known: true, watches: ws}, nil
}

func find(ws []fdinfo.Watch, wd int32) (int, bool) {
	return bywd.Find(ws, wd, func(w fdinfo.Watch) int32 { return w.WD })
}

// Has reports whether a watch is known to have the wd.
func (u UsedWDs) Has(wd int32) bool {
	_, found := find(u.watches, wd)
	return found
}

// MayHave reports whether a watch may have the wd: if it is known to have it, or if
// nothing is known.
func (u UsedWDs) MayHave(wd int32) bool { return !u.known || u.Has(wd) }

// Between returns how many wds above low and below high are not known to be used.
func (u UsedWDs) Between(low, high int32) int64 {
	free := int64(high) - int64(low) - 1
	if free <= 0 || len(u.watches) == 0 {
		return max(0, free)
	}
	i, _ := find(u.watches, low+1)
	j, _ := find(u.watches, high)
	return free - int64(j-i)
}

// FreeBelow returns the highest wd below wd that is not known to be used, or 0.
func (u UsedWDs) FreeBelow(wd int32) int32 {
	wd--
	for i, _ := find(u.watches, wd+1); i > 0 && u.watches[i-1].WD == wd; i-- {
		wd--
	}
	return wd
}

// Existed reports whether wd, which an add returned on a kernel that ignores IN_MASK_CREATE,
// is that of a watch that existed when u was read. That watch may have ended since, and the
// add may have made a new one with its wd: recheck says to read fdinfo again to find out.
func (in *Instance) Existed(u UsedWDs, wd int32, recheck bool) (bool, error) {
	if !u.Listed {
		return wd <= u.Highest, nil // gVisor gives no wd twice
	}
	i, existed := find(u.watches, wd)
	if !existed || !recheck {
		return existed, nil
	}
	ws, err := in.Watches()
	if err != nil {
		return true, fmt.Errorf("whether watch %d is leaked could not be determined: %w", wd, err)
	}
	j, exists := find(ws, wd)
	return !exists || ws[j] == u.watches[i], nil // a new watch is on another inode, or has no mask yet
}
