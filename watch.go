// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify/internal/instance"
	"github.com/seed10546c08/inotify/internal/record"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A WD is a watch descriptor (wd): it names a watch in the events of its instance. The
// kernel gives each instance wds from 1 to [math.MaxInt32] in cyclic order: the next free
// one after the last given.
type WD int32

// NoWD is the WD of an event that belongs to no watch: a queue overflow.
const NoWD WD = -1

const maxWD WD = math.MaxInt32

// A Watch is one watch of an instance, as the kernel lists it in /proc/PID/fdinfo/FD and
// as [Inotify.RestoreWatches] restores it.
//
// Do not marshal it with encoding/json, which replaces bytes of Path that are not UTF-8:
// the Watch of package checkpoint has a JSON form that preserves them.
type Watch struct {
	WD     WD
	Mask   Mask   // event bits, ExclUnlink and OneShot; the kernel does not keep the other bits
	Path   string // empty in what Watches returns, as the kernel does not keep it
	Device Device // of the inode's filesystem
	Inode  uint64
	Handle Handle // zero if the kernel lists none
}

// A Device is a filesystem's device number as the kernel holds it in the
// superblock: what the third column of /proc/PID/mountinfo shows, and not
// always what stat(2) returns (overlayfs and btrfs differ).
type Device struct {
	Major, Minor uint32
}

// String returns the form of mountinfo: "254:0".
func (d Device) String() string {
	return strconv.FormatUint(uint64(d.Major), 10) + ":" + strconv.FormatUint(uint64(d.Minor), 10)
}

// MarshalText returns [Device.String]'s form.
func (d Device) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads [Device.String]'s form. An error leaves d unchanged.
func (d *Device) UnmarshalText(text []byte) error {
	major, minor, _ := strings.Cut(string(text), ":")
	a, aerr := strconv.ParseUint(major, 10, 32)
	i, ierr := strconv.ParseUint(minor, 10, 32)
	if aerr != nil || ierr != nil {
		return fmt.Errorf(`inotify: invalid device %.40q (want the form "254:0")`, text)
	}
	*d = Device{Major: uint32(a), Minor: uint32(i)}
	return nil
}

// A Handle is a file handle, as name_to_handle_at(2) returns it. Two watches
// are on the same inode when their Device, Inode and Handle are equal. The exception is
// overlayfs without index, where hard links of a file in a lower layer are different
// inodes with the same values (Linux 6.18).
type Handle struct {
	Type  int32
	Bytes string // the raw bytes; a string so that handles compare with ==
}

// String returns the type and the bytes in hexadecimal, as fdinfo has them:
// "1:91649800afc3be85", or "none" for the zero Handle.
func (h Handle) String() string {
	if h == (Handle{}) {
		return "none"
	}
	return fmt.Sprintf("%x:%s", h.Type, hex.EncodeToString([]byte(h.Bytes)))
}

// MarshalText returns [Handle.String]'s form. It fails if no kernel returns such a handle:
// if the type is negative, or there are no bytes or more than 128.
func (h Handle) MarshalText() ([]byte, error) {
	if h != (Handle{}) && (h.Type < 0 || h.Bytes == "" || len(h.Bytes) > sys.MaxHandle) {
		return nil, fmt.Errorf("inotify: invalid handle of type %d and %d bytes (want a type from 0 and 1 to %d bytes)", h.Type, len(h.Bytes), sys.MaxHandle)
	}
	return []byte(h.String()), nil
}

// UnmarshalText reads [Handle.String]'s form. An error leaves h unchanged.
func (h *Handle) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*h = Handle{}
		return nil
	}
	if kind, digits, found := bytes.Cut(text, []byte(":")); found && len(kind) <= 8 && 0 < len(digits) && len(digits) <= 2*sys.MaxHandle {
		t, terr := strconv.ParseUint(string(kind), 16, 31)
		raw, rerr := hex.DecodeString(string(digits))
		if terr == nil && rerr == nil {
			*h = Handle{Type: int32(t), Bytes: string(raw)}
			return nil
		}
	}
	return fmt.Errorf(`inotify: invalid handle %.40q (want "none", or the form "1:91649800afc3be85" with up to %d bytes)`, text, sys.MaxHandle)
}

// AddWatch watches the file that path names and returns its wd: inotify_add_watch(2). If
// the instance already watches that inode, AddWatch changes the mask of its watch and
// returns its wd. With [MaskCreate] it fails instead. With [DontFollow] it watches a
// symbolic link itself.
//
// The error is a [*fs.PathError] that unwraps to the errno, and to a [*LimitError] for
// ENOSPC. AddWatch waits while a restore is running.
func (n *Inotify) AddWatch(path string, mask Mask) (WD, error) {
	if n.in.Closed.Load() {
		return NoWD, pathError(path, os.ErrClosed)
	}
	if strings.IndexByte(path, 0) >= 0 {
		return NoWD, pathError(path, fmt.Errorf("the path has a NUL byte: %w", sys.EINVAL))
	}
	wd, err := n.in.Add(path, uint32(mask))
	if err != nil {
		if e, ok := err.(sys.Errno); ok {
			err = addError(e, mask)
		}
		return NoWD, pathError(path, err)
	}
	return WD(wd), nil
}

// AddWatchFile is [Inotify.AddWatch] for an open file. It adds the watch through
// /proc/self/fd, so it watches exactly the inode that f is open on, even if the file's name
// now leads elsewhere. f may be open with O_PATH, so that opening it queues no event, and
// also with O_NOFOLLOW, to watch a symbolic link. f may be closed afterwards, but if the
// file has no name left, its last close ends the watch. [DontFollow] has no effect. Without
// /proc the error is an [*UnsupportedError].
func (n *Inotify) AddWatchFile(f *os.File, mask Mask) (WD, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return NoWD, fmt.Errorf("inotify: watch open file: %w", err)
	}
	wd := NoWD
	if cerr := conn.Control(func(fd uintptr) {
		// With IN_DONT_FOLLOW the kernel would watch the link in /proc.
		wd, err = n.AddWatch(sys.ProcFD(int(fd)), mask&^DontFollow)
	}); cerr != nil {
		err = fmt.Errorf("the file is closed: %w", fs.ErrInvalid) // os.ErrClosed would mean the Inotify
	}
	if err != nil {
		return NoWD, fmt.Errorf("inotify: watch open file %q: %w", f.Name(), needsProc("watching an open file", err))
	}
	return wd, nil
}

// RemoveWatch removes a watch: inotify_rm_watch(2). Its unread events stay in the queue,
// and an [Ignored] event follows them; RemoveWatch does not wait for it. If there is no
// such watch, for example because it ended meanwhile, the error matches [ErrNoWatch].
func (n *Inotify) RemoveWatch(wd WD) error {
	// Under the queue's lock, so that no IN_IGNORED comes between a restore's
	// look at the queue and its add.
	var e sys.Errno
	if err := n.in.With(func(fd int, _ *record.Queue) error {
		e = sys.Remove(fd, int32(wd))
		return nil
	}); err != nil {
		return sys.CallError(sys.CallRemove, err)
	}
	switch e {
	case sys.OK:
		return nil
	case sys.EINVAL:
		return sys.CallError(sys.CallRemove, fmt.Errorf("watch %d: %w: %w", wd, ErrNoWatch, e))
	}
	return sys.CallError(sys.CallRemove, fmt.Errorf("watch %d: %w", wd, e))
}

// Watches returns the instance's watches in ascending order of WD, as the kernel lists them
// in /proc/self/fdinfo (Linux 3.8). Path is empty, as the kernel does not keep it. Watches
// that other holders of the instance added are included.
//
// If the kernel lists no watches (gVisor), and without /proc, the error is an
// [*UnsupportedError].
func (n *Inotify) Watches() ([]Watch, error) {
	list, err := n.in.Watches()
	if err == nil && len(list) == 0 {
		err = instance.NotListed(n.haveWatchList())
	}
	if err != nil {
		return nil, fmt.Errorf("inotify: list watches: %w", needsProc("listing watches", err))
	}
	ws := make([]Watch, len(list))
	for i, w := range list {
		ws[i] = Watch{WD: WD(w.WD), Mask: Mask(w.Mask), Device: w.Device, Inode: w.Inode, Handle: w.Handle}
	}
	return ws, nil
}
