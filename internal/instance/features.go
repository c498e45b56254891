// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package instance

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed10546c08/inotify/internal/sys"
)

// Whether the kernel honors IN_MASK_CREATE (Linux 4.18) or ignores it.
const (
	createUnknown int32 = iota
	createHonored
	createIgnored
)

// HasMaskCreate reports whether IN_MASK_CREATE is known to work.
func (in *Instance) HasMaskCreate() (bool, error) {
	has, err := in.ProbeMaskCreate()
	if errors.Is(err, os.ErrClosed) {
		return false, err
	}
	return has, nil
}

// ProbeMaskCreate reports whether IN_MASK_CREATE works. It tries two adds of an empty path,
// which change nothing on any kernel:
//
//	                               the bit alone  with IN_MASK_ADD
//	Linux 4.18                     ENOENT         EINVAL, before the path is looked up
//	Linux that ignores the bit     ENOENT         ENOENT
//	Linux that refuses the bit     EINVAL         EINVAL
//	gVisor, which ignores the bit  EINVAL         ENOENT
//
// Other results are returned as an error, because the answer is then unknown.
func (in *Instance) ProbeMaskCreate() (bool, error) {
	if known := in.create.Load(); known != createUnknown {
		return known == createHonored, nil
	}
	var alone, both sys.Errno
	if err := in.Control(func(fd int) {
		_, alone = sys.Add(fd, &sys.EmptyPath[0], sys.MaskCreate)
		_, both = sys.Add(fd, &sys.EmptyPath[0], sys.MaskCreate|sys.MaskAdd)
	}); err != nil {
		return false, err
	}
	switch {
	case alone == sys.ENOENT && both == sys.EINVAL:
		in.create.Store(createHonored)
		return true, nil
	case (alone == sys.ENOENT || alone == sys.EINVAL) && (both == sys.ENOENT || both == alone):
		in.create.Store(createIgnored)
		return false, nil
	case alone == sys.ENOENT:
		alone = both
	}
	return false, in.explain(sys.CallAdd, alone, sys.MaskCreate)
}

// ProbeSetNext returns OK if the kernel has INOTIFY_IOC_SETNEXTWD, and otherwise the errno. It
// tries to set the next wd 0, which the ioctl refuses with EINVAL and without a change.
func ProbeSetNext(fd int) sys.Errno {
	e := sys.SetNext(fd, 0)
	if e == sys.EINVAL {
		return sys.OK
	}
	return e
}

// ListsWatches reports whether the kernel lists watches in fdinfo, by a watch in another
// instance: an instance without watches looks the same as one whose watches are not listed.
func (in *Instance) ListsWatches() (bool, error) {
	fd, err := sys.Init()
	if err != nil {
		if create, _ := in.HasMaskCreate(); create {
			return true, nil // Linux 4.18 or later, which lists them
		}
		return false, in.explain(sys.CallInit, err, 0)
	}
	defer sys.Close(fd)
	if _, e := sys.Add(fd, sys.CString("/"), sys.MaskAdd); e != sys.OK {
		return false, in.explain(sys.CallAdd, e, sys.MaskAdd)
	}
	ws, err := list(func(f func(fd int)) error { f(fd); return nil })
	return len(ws) > 0, err
}

// NotListed adds to the error of a probe, whether the kernel lists watches, that it was made
// because no watches are listed. The kernel's answer, nil or ErrUnsupported, stays as it is.
func NotListed(err error) error {
	if err == nil || errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return fmt.Errorf("no watches are listed, and whether the kernel lists watches could not be determined: %w", err)
}
