// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package instance

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed10546c08/inotify/internal/sys"
)

// What a kernel makes of IN_MASK_CREATE (Linux 4.18).
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

// ProbeMaskCreate reports whether IN_MASK_CREATE works. A kernel that has it
// refuses it together with IN_MASK_ADD (EINVAL) before it looks at the path,
// and alone gets to find that the path is empty (ENOENT). Older kernels
// ignore the bit, and find the empty path both times, or know no such
// bit, and say EINVAL both times. gVisor finds no bit that it knows in the one alone
// (EINVAL). Nothing is changed by asking. The error says why the answer cannot be known.
func (in *Instance) ProbeMaskCreate() (bool, error) {
	if known := in.create.Load(); known != createUnknown {
		return known == createHonored, nil
	}
	var empty byte
	var alone, both sys.Errno
	if err := in.Control(func(fd int) {
		_, alone = sys.Add(fd, &empty, sys.MaskCreate)
		_, both = sys.Add(fd, &empty, sys.MaskCreate|sys.MaskAdd)
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

// HasSetNext asks the kernel for the next wd 0, which it refuses without changing
// anything, and returns the errno, or OK if it has INOTIFY_IOC_SETNEXTWD.
func (in *Instance) HasSetNext() (e sys.Errno, err error) {
	err = in.Control(func(fd int) { e = sys.SetNext(fd, 0) })
	if e == sys.EINVAL {
		e = sys.OK
	}
	return e, err
}

// ListsWatches reports, by another instance, whether the kernel lists watches in
// fdinfo: an instance without watches looks the same as one whose watches are not listed.
func (in *Instance) ListsWatches() (bool, error) {
	fd, err := sys.Init()
	if err != nil {
		if create, _ := in.HasMaskCreate(); create {
			return true, nil // Linux 4.18 or later, which lists them
		}
		return false, notProbed(in.explain(sys.CallInit, err, 0))
	}
	defer sys.Close(fd)
	if _, e := sys.Add(fd, sys.CString("/"), sys.MaskAdd); e != sys.OK {
		return false, notProbed(in.explain(sys.CallAdd, e, sys.MaskAdd))
	}
	ws, err := list(func(f func(fd int)) error { f(fd); return nil })
	return len(ws) > 0, err
}

func notProbed(err error) error {
	return fmt.Errorf("none is listed, and the kernel could not be probed for whether it lists any: %w", err)
}
