// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/seed10546c08/inotify/internal/sys"
)

var ownerKinds = [...]OwnerKind{OwnerThread, OwnerProcess, OwnerGroup} // by F_OWNER_TID etc.

// errHiddenOwner is the error for an owner whose id the kernel shows as 0.
var errHiddenOwner = errors.New("there is no owner, or it has ended, or it is in another pid namespace")

// owner returns the owner. The kernel shows id 0 if there is none, but also if it has ended or
// is in another pid namespace.
func owner(fd int) (Owner, error) {
	o, err := sys.GetOwner(fd)
	switch {
	case err != nil:
		return Owner{}, err
	case o.Kind < 0 || int(o.Kind) >= len(ownerKinds):
		return Owner{}, fmt.Errorf("unknown kind %d", o.Kind)
	case o.ID == 0 && o.Kind == 0: // the initial value
		return Owner{}, nil
	case o.ID == 0:
		return Owner{}, errHiddenOwner
	}
	return Owner{Kind: ownerKinds[o.Kind], ID: int(o.ID)}, nil
}

func setOwner(fd int, to Owner) error {
	kind := slices.Index(ownerKinds[:], to.Kind)
	if kind < 0 {
		return nil
	}
	if err := sys.SetOwner(fd, sys.Owner{Kind: int32(kind), ID: int32(to.ID)}); err != nil {
		return fmt.Errorf("set owner %s %d: %w", to.Kind, to.ID, err)
	}
	return nil
}

func setSignal(fd, signal int) error {
	if err := sys.SetSignal(fd, signal); err != nil {
		return fmt.Errorf("set signal %d: %w", signal, err)
	}
	return nil
}

// flags returns the flags of the descriptor and of its file description.
func flags(fd int) (Flags, error) {
	status, err := sys.Status(fd)
	if err != nil {
		return 0, err
	}
	closes, err := sys.CloseOnExec(fd)
	if err != nil {
		return 0, err
	}
	f := statusFlags(status)
	if closes {
		f |= CloseOnExec
	}
	return f, nil
}

// statusFlags converts the flags of a file description.
func statusFlags(status int) (f Flags) {
	if status&syscall.O_NONBLOCK != 0 {
		f |= NonBlock
	}
	if status&syscall.O_ASYNC != 0 {
		f |= Async
	}
	return f
}
