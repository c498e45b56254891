// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/abandon"
	"github.com/seed10546c08/inotify/internal/mountinfo"
	"github.com/seed10546c08/inotify/internal/sys"
)

var errNoMountID = errors.New("fdinfo has no mnt_id (Linux 3.15)")

// A process is a process's view of files: its root directory and its mounts. Its mountinfo stays
// open, because the open file keeps showing the root and the namespace that it was opened in.
type process struct {
	root           int    // O_PATH
	procFD         int    // our sys.ProcFDs, O_PATH
	sameRoot       bool   // its root directory is ours
	rootPath       string // as seen from our root directory
	rootID         int32  // of the mount that the root is on
	allFilesystems bool   // also use mounts that may block
	hasOpenat2     bool
	hasHandleFID   bool // AT_HANDLE_FID is known

	file *os.File // mountinfo

	mu       sync.Mutex
	mounts   []Mount
	blocking []*Mount // those that may block, unless allFilesystems
	byID     map[int32]*Mount
	unlisted map[int32]bool // ids of mounts that are not in mounts
	overlays map[int32]*overlay
}

func openProcess(ctx context.Context, proc *os.File, allFilesystems bool) (*process, error) {
	p := &process{root: -1, procFD: -1, allFilesystems: allFilesystems}
	err := p.open(ctx, proc)
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *process) close() {
	for _, fd := range []int{p.root, p.procFD} {
		if fd >= 0 {
			sys.Close(fd)
		}
	}
	if p.file != nil {
		p.file.Close()
	}
}

func (p *process) open(ctx context.Context, proc *os.File) error {
	files, err := abandon.Call(ctx, 0, func() (procFiles, error) { return openProcFiles(proc) }, procFiles.close)
	if err != nil {
		return fmt.Errorf("locate: %w", err)
	}
	p.root, p.file = files.root, files.mountinfo
	if p.procFD, err = sys.OpenPathDir(sys.ProcFDs); err != nil {
		return fmt.Errorf("locate: %w", err)
	}
	if err := p.readRoot(); err != nil {
		return fmt.Errorf("locate: the process's root directory: %w", err)
	}
	p.probe()
	return p.readMounts()
}

// procFiles are open files of a process's directory in /proc.
type procFiles struct {
	root      int
	mountinfo *os.File
}

func (o procFiles) close() {
	sys.Close(o.root)
	o.mountinfo.Close()
}

// openProcFiles opens the files in a process's directory. It may never return: see package
// abandon. proc is not closed while it runs.
func openProcFiles(proc *os.File) (files procFiles, err error) {
	conn, err := proc.SyscallConn()
	if err != nil {
		return procFiles{}, fmt.Errorf("the process's directory: %w", err)
	}
	cerr := conn.Control(func(fd uintptr) { files, err = openProcFilesAt(int(fd), proc.Name()) })
	if cerr != nil {
		return procFiles{}, fmt.Errorf("the process's directory: %w", os.ErrClosed) // the only error of Control
	}
	return files, err
}

func openProcFilesAt(proc int, name string) (procFiles, error) {
	root, e := sys.Openat(proc, sys.CString("root"), unix.O_PATH|unix.O_DIRECTORY)
	if e != sys.OK {
		return procFiles{}, &os.PathError{Op: "open", Path: name + "/root", Err: e}
	}
	fd, e := sys.Openat(proc, sys.CString("mountinfo"), unix.O_RDONLY)
	if e != sys.OK {
		sys.Close(root)
		return procFiles{}, &os.PathError{Op: "open", Path: name + "/mountinfo", Err: e}
	}
	return procFiles{root, os.NewFile(uintptr(fd), name+"/mountinfo")}, nil
}

// readRoot reads the path of the root directory, and whether it is ours: the same directory of
// the same mount. Mount ids are unique across namespaces. The filesystem, which may block,
// is not called.
func (p *process) readRoot() error {
	ours, err := sys.OpenPathDir("/")
	if err != nil {
		return err
	}
	defer sys.Close(ours)
	a, rootID, err := p.locationOf(p.root)
	if err != nil {
		return err
	}
	b, ourID, err := p.locationOf(ours)
	if err != nil {
		return err
	}
	text, err := sys.ReadlinkFD(p.procFD, p.root, make([]byte, unix.PathMax))
	if err != nil {
		return err
	}
	p.sameRoot, p.rootID, p.rootPath = a == b && rootID == ourID, rootID, string(text)
	return nil
}

// locationOf returns which file a descriptor is open on, and the id of its mount.
func (p *process) locationOf(fd int) (sys.Inode, int32, error) {
	id, err := sys.FDInodeUnsynced(fd)
	if err != nil {
		return sys.Inode{}, 0, err
	}
	mount, err := mountOf(p.procFD, fd)
	return id, mount, err
}

// probe finds out which features the kernel has. Only ENOSYS for a call and EINVAL for a flag say
// that it is missing.
func (p *process) probe() {
	fd, e := sys.Openat2(p.procFD, sys.CString("."), unix.O_PATH, unix.RESOLVE_IN_ROOT)
	p.hasOpenat2 = e != sys.ENOSYS
	if e == sys.OK {
		sys.Close(fd)
	}
	var h sys.RawHandle
	_, e = sys.NameToHandle(p.root, &sys.EmptyPath[0], unix.AT_EMPTY_PATH|sys.HandleFID, &h)
	p.hasHandleFID = e != sys.EINVAL
}

// handleFlags returns the flags for name_to_handle_at. Without AT_HANDLE_FID it gives the same
// handles (seen on Linux 6.1 and 6.18), but only those that can be opened.
func (p *process) handleFlags() int {
	if p.hasHandleFID {
		return sys.HandleFID
	}
	return 0
}

// readMounts reads the mounts. If it fails, the mounts stay as they were.
func (p *process) readMounts() error {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("locate: %w", err)
	}
	var ms []Mount
	for m, err := range mountinfo.Parse(p.file) {
		if err != nil {
			return fmt.Errorf("locate: %w", err)
		}
		ms = append(ms, m)
	}
	ms = p.addRootMount(ms)
	p.mounts, p.blocking, p.byID = ms, nil, make(map[int32]*Mount)
	for i := range ms {
		m := &ms[i]
		p.byID[m.ID] = m
		if !p.allFilesystems && whyBlocking(m) != "" {
			p.blocking = append(p.blocking, m)
		}
	}
	return nil
}

// addRootMount adds the mount of the root directory. mountinfo omits it if the root directory is
// not the root of the mount, as after chroot(2). If the mount cannot be determined, files on it
// are compared by temporary watches.
func (p *process) addRootMount(ms []Mount) []Mount {
	if slices.ContainsFunc(ms, func(m Mount) bool { return m.ID == p.rootID }) {
		return ms
	}
	m, known := p.unlistedMount(p.rootID)
	if !known {
		return ms
	}
	m.Point = "/"
	return append(ms, m)
}

// unlistedMount returns a mount that the process's mountinfo omits, from our mountinfo or by a
// watch on the root directory.
func (p *process) unlistedMount(id int32) (m Mount, known bool) {
	if text, err := sys.Mountinfo(); err == nil {
		for m := range mountinfo.Parse(bytes.NewReader(text)) {
			if m.ID == id {
				m.Root = "" // unknown for the process
				return m, true
			}
		}
	}
	return p.mountByWatch(id)
}

// mountByWatch reads the device of the root directory's mount by a temporary watch.
func (p *process) mountByWatch(id int32) (m Mount, known bool) {
	n, err := inotify.New()
	if err != nil {
		return Mount{}, false
	}
	defer n.Close()
	if _, err := n.AddWatch(sys.ProcFD(p.root), compareMask); err != nil {
		return Mount{}, false
	}
	ws, _ := n.Watches()
	if len(ws) != 1 {
		return Mount{}, false
	}
	return Mount{ID: id, Device: ws[0].Device, Type: filesystemOf(p.root)}, true
}

// mount returns the mount with an id. If the id is new, it reads mountinfo again.
func (p *process) mount(id int32) (Mount, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.byID[id]; m != nil {
		return *m, true
	}
	if !p.unlisted[id] && p.readMounts() == nil {
		if m := p.byID[id]; m != nil {
			return *m, true
		}
	}
	if p.unlisted == nil {
		p.unlisted = make(map[int32]bool)
	}
	p.unlisted[id] = true
	return Mount{}, false
}

// blockingMount returns the first mount that may block on the way to a path without symbolic
// links, or nil.
func (p *process) blockingMount(path string) *Mount {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blockingMountLocked(path)
}

func (p *process) blockingMountLocked(path string) *Mount {
	if !slices.ContainsFunc(p.blocking, func(m *Mount) bool { return within(path, m.Point) }) {
		return nil
	}
	return firstBlocking(p.mounts, p.rootID, path)
}

// firstBlocking returns the first mount on the way to path that may block, or nil.
func firstBlocking(ms []Mount, root int32, path string) *Mount {
	for m := range mountinfo.Passed(ms, root, path) {
		if whyBlocking(m) != "" {
			return m
		}
	}
	return nil
}

// mountAt returns the mount that a path is on, for a lookup that begins in the mount from. It
// returns false if there is no mount from.
func (p *process) mountAt(from int32, path string) (m Mount, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.byID[from]
	if at == nil {
		return Mount{}, false
	}
	for range p.mounts { // mounts are a tree; but a hostile text may have a cycle
		next := mountinfo.Next(p.mounts, p.rootID, at.ID, path)
		if next == nil {
			break
		}
		at = next
	}
	return *at, true
}

var errMayBlock = errors.New("may block")

// mayBlock returns the reason for not using a mount. It wraps errMayBlock.
func mayBlock(m *Mount) error {
	return fmt.Errorf("the %s on %q %w, and is used only if all filesystems are allowed", m.Type, m.Point, errMayBlock)
}

// lookup opens a path with O_PATH, in the process's root directory. A symbolic link at its end is
// not followed. With openat2, symbolic links do not lead out of the root directory, and magic
// links of /proc are refused.
func (p *process) lookup(path *byte) (int, sys.Errno) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW
	if p.hasOpenat2 {
		return sys.Openat2(p.root, path, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	}
	return sys.Openat(unix.AT_FDCWD, path, flags) // in our root directory, which Paths has checked to be the same
}

// fromRoot turns a path from our root directory into one from the process's. It returns false if the
// path is outside of that.
func (p *process) fromRoot(path string) (string, bool) {
	switch {
	case p.sameRoot, p.rootPath == "/":
		return path, true
	case !within(path, p.rootPath):
		return "", false
	}
	return cmp.Or(path[len(p.rootPath):], "/"), true
}

// explain adds to an errno of lookup what it means.
func (p *process) explain(e sys.Errno) error {
	switch {
	case e == sys.ENOSYS && !p.hasOpenat2:
		return fmt.Errorf("the process has another root directory, and openat2 (Linux 5.6) is missing: %w", e)
	case e == sys.ENAMETOOLONG:
		return fmt.Errorf("the path is too long for one system call: %w", e)
	}
	return e
}
