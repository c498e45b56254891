// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of fcntl(2), from include/uapi/asm-generic/fcntl.h. x/sys/unix lacks some of them.
const (
	fSetSig   = 10
	fGetSig   = 11
	fSetOwnEx = 15
	fGetOwnEx = 16
)

// ownerEx is struct f_owner_ex.
type ownerEx struct {
	kind int32
	id   int32
}

var ownerKinds = [...]OwnerKind{OwnerThread, OwnerProcess, OwnerGroup} // by F_OWNER_TID etc.

// errHiddenOwner is the error for an owner whose id the kernel shows as 0.
var errHiddenOwner = errors.New("there is no owner, or it has ended, or it is in another pid namespace")

// owner returns the owner. The kernel shows id 0 if there is none, but also if it has ended or
// is in another pid namespace.
func owner(fd int) (Owner, error) {
	var o ownerEx
	if _, _, e := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), fGetOwnEx, uintptr(unsafe.Pointer(&o))); e != 0 {
		return Owner{}, fcntlError("F_GETOWN_EX", e)
	}
	switch {
	case o.kind < 0 || int(o.kind) >= len(ownerKinds):
		return Owner{}, fmt.Errorf("unknown kind %d", o.kind)
	case o.id == 0 && o.kind == 0: // the initial value
		return Owner{}, nil
	case o.id == 0:
		return Owner{}, errHiddenOwner
	}
	return Owner{Kind: ownerKinds[o.kind], ID: int(o.id)}, nil
}

func setOwner(fd int, to Owner) error {
	for kind, name := range ownerKinds {
		if name == to.Kind {
			o := ownerEx{int32(kind), int32(to.ID)}
			if _, _, e := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), fSetOwnEx, uintptr(unsafe.Pointer(&o))); e != 0 {
				return fmt.Errorf("set owner %s %d: %w", to.Kind, to.ID, fcntlError("F_SETOWN_EX", e))
			}
		}
	}
	return nil
}

func signal(fd int) (int, error) {
	s, err := unix.FcntlInt(uintptr(fd), fGetSig, 0)
	if err != nil {
		return 0, fcntlError("F_GETSIG", err)
	}
	return s, nil
}

func setSignal(fd, signal int) error {
	if _, err := unix.FcntlInt(uintptr(fd), fSetSig, signal); err != nil {
		return fmt.Errorf("set signal %d: %w", signal, fcntlError("F_SETSIG", err))
	}
	return nil
}

// flags returns the flags of the descriptor and of its file description.
func flags(fd int) (Flags, error) {
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, fcntlError("F_GETFL", err)
	}
	descriptorFlags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		return 0, fcntlError("F_GETFD", err)
	}
	f := statusFlags(status)
	if descriptorFlags&unix.FD_CLOEXEC != 0 {
		f |= CloseOnExec
	}
	return f, nil
}

// statusFlags converts the flags of a file description.
func statusFlags(status int) (f Flags) {
	if status&unix.O_NONBLOCK != 0 {
		f |= NonBlock
	}
	if status&unix.O_ASYNC != 0 {
		f |= Async
	}
	return f
}

// setStatus sets or clears a flag of the file description.
func setStatus(fd, flag int, on bool) error {
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return fcntlError("F_GETFL", err)
	}
	want := status &^ flag
	if on {
		want |= flag
	}
	if want == status {
		return nil
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, want); err != nil {
		return fcntlError("F_SETFL", err)
	}
	return nil
}

func fcntlError(command string, err error) error {
	return os.NewSyscallError("fcntl "+command, err)
}
