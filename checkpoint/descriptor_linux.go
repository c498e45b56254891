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

// What fcntl(2) and ioctl(2) tell and set of a descriptor. These are of
// include/uapi/asm-generic/fcntl.h; x/sys/unix lacks some of them.
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

// errUnseenOwner is why an owner is not learned of which only the kind shows.
var errUnseenOwner = errors.New("it is none, has ended, or is in another pid namespace")

// owner returns whom events signal. The kernel shows the number 0 for nobody, but
// also for somebody who cannot be seen from here.
func owner(fd int) (Owner, error) {
	var o ownerEx
	if _, _, e := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), fGetOwnEx, uintptr(unsafe.Pointer(&o))); e != 0 {
		return Owner{}, fcntlError("F_GETOWN_EX", e)
	}
	switch {
	case o.kind < 0 || int(o.kind) >= len(ownerKinds):
		return Owner{}, fmt.Errorf("its kind is %d, which is unknown", o.kind)
	case o.id == 0 && o.kind == 0: // as it is before it is ever set
		return Owner{}, nil
	case o.id == 0:
		return Owner{}, errUnseenOwner
	}
	return Owner{Kind: ownerKinds[o.kind], ID: int(o.id)}, nil
}

func setOwner(fd int, to Owner) error {
	for kind, name := range ownerKinds {
		if name == to.Kind {
			o := ownerEx{int32(kind), int32(to.ID)}
			if _, _, e := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), fSetOwnEx, uintptr(unsafe.Pointer(&o))); e != 0 {
				return fmt.Errorf("owner %s %d: %w", to.Kind, to.ID, fcntlError("F_SETOWN_EX", e))
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
		return fmt.Errorf("signal %d: %w", signal, fcntlError("F_SETSIG", err))
	}
	return nil
}

// flags returns those of the descriptor and of its description.
func flags(fd int) (Flags, error) {
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, fcntlError("F_GETFL", err)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		return 0, fcntlError("F_GETFD", err)
	}
	f := statusFlags(status)
	if own&unix.FD_CLOEXEC != 0 {
		f |= CloseOnExec
	}
	return f, nil
}

// statusFlags returns what Flags has of a description's flags.
func statusFlags(status int) (f Flags) {
	if status&unix.O_NONBLOCK != 0 {
		f |= NonBlock
	}
	if status&unix.O_ASYNC != 0 {
		f |= Async
	}
	return f
}

// setStatus sets or clears a flag of the description.
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

// queued returns how many bytes of events wait in the kernel's queue.
func queued(fd int) (int, error) {
	var n int32
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n))); e != 0 {
		return 0, os.NewSyscallError("ioctl FIONREAD", e)
	}
	return int(n), nil
}
