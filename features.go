// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"errors"
	"sync"

	"github.com/seed10546c08/inotify/internal/instance"
	"github.com/seed10546c08/inotify/internal/sys"
)

// HaveSetNextWD reports whether INOTIFY_IOC_SETNEXTWD works: the kernel has it (Linux 4.17
// with CONFIG_CHECKPOINT_RESTORE), and no seccomp profile forbids it. It returns nil, an
// [*UnsupportedError] with the reason, or the error of a probe that could not be made, such
// as EMFILE. The kernel's answer is cached, an error of the probe is not.
//
// Without the ioctl [Inotify.SetNextWD] and [Inotify.NextWD] fail, and restores use the
// add/remove cycle.
func HaveSetNextWD() error { return setNextFeature.have() }

// HaveMaskCreate reports whether [MaskCreate] works: IN_MASK_CREATE (Linux 4.18; gVisor
// ignores it). The error is as for [HaveSetNextWD].
func HaveMaskCreate() error { return maskCreateFeature.have() }

// HaveWatchList reports whether the kernel lists watches in fdinfo, so that
// [Inotify.Watches] works (Linux 3.8; not gVisor). It needs /proc. The error is as for
// [HaveSetNextWD].
func HaveWatchList() error { return needsProc("listing watches", watchListFeature.have()) }

var (
	setNextFeature    = feature{probe: (*Inotify).haveSetNext}
	maskCreateFeature = feature{probe: (*Inotify).haveMaskCreate}
	watchListFeature  = feature{probe: (*Inotify).haveWatchList}
)

// A feature is a feature of the kernel, with the cached result of its probe.
type feature struct {
	probe func(*Inotify) error // an *UnsupportedError is the kernel's answer, any other error is not

	mu    sync.Mutex
	known bool
	err   error
}

func (f *feature) have() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known {
		return f.err
	}
	n, err := New()
	if err != nil {
		return err
	}
	defer n.Close()
	err = f.probe(n)
	if _, unsupported := err.(*UnsupportedError); err == nil || unsupported {
		f.known, f.err = true, err
	}
	return err
}

func (n *Inotify) haveSetNext() error {
	var e sys.Errno
	if err := n.in.Control(func(fd int) { e = instance.ProbeSetNext(fd) }); err != nil {
		return err
	}
	err := setNextError(e)
	if unsupported := (*UnsupportedError)(nil); errors.As(err, &unsupported) {
		return unsupported
	}
	return err
}

func (n *Inotify) haveMaskCreate() error {
	has, err := n.in.ProbeMaskCreate()
	if err == nil && !has {
		return &UnsupportedError{Feature: "IN_MASK_CREATE", Needs: "Linux 4.18"}
	}
	return err
}

func (n *Inotify) haveWatchList() error {
	lists, err := n.in.ListsWatches()
	if err == nil && !lists {
		return &UnsupportedError{Feature: "listing watches in /proc/self/fdinfo", Needs: "Linux 3.8"}
	}
	return err
}
