// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
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
)

var errNoMountID = errors.New("fdinfo has no mnt_id (Linux 3.15)")

// A process is how a process sees files: its root directory and its mounts. The
// file of its mountinfo stays open, as it goes on to show the root and the
// namespace of the moment at which it was opened.
type process struct {
	root     int // O_PATH
	procFD   int // our /proc/self/fd, O_PATH
	own      bool
	rootPath string // as the kernel reads it back to us
	rootID   int32  // of the mount that the root is on
	all      bool   // also mounts that may wait are looked at
	openat2  bool
	fid      bool // AT_HANDLE_FID is known

	file *os.File // mountinfo

	mu       sync.Mutex
	mounts   []Mount
	waiting  []*Mount // those that may wait
	byID     map[int32]*Mount
	strange  map[int32]bool // ids that are not in the list
	overlays map[int32]*overlay
}

func openProcess(ctx context.Context, proc *os.File, all bool) (*process, error) {
	p := &process{root: -1, procFD: -1, all: all}
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
			sysClose(fd)
		}
	}
	if p.file != nil {
		p.file.Close()
	}
}

func (p *process) open(ctx context.Context, proc *os.File) error {
	o, err := abandon.Call(ctx, 0, func() (opened, error) { return openIn(proc) }, opened.close)
	if err != nil {
		return fmt.Errorf("locate: %w", err)
	}
	p.root, p.file = o.root, o.mountinfo
	if p.procFD, err = openPath("/proc/self/fd"); err != nil {
		return fmt.Errorf("locate: our own descriptors: %w", err)
	}
	if err := p.learnRoot(); err != nil {
		return fmt.Errorf("locate: the process's root directory: %w", err)
	}
	p.probe()
	return p.readMounts()
}

// An opened is what is opened in a process's directory.
type opened struct {
	root      int
	mountinfo *os.File
}

func (o opened) close() {
	sysClose(o.root)
	o.mountinfo.Close()
}

// openIn opens what is needed of a process's directory. It may never return: see package
// abandon. The directory stays open until then.
func openIn(proc *os.File) (o opened, err error) {
	conn, err := proc.SyscallConn()
	if err != nil {
		return o, fmt.Errorf("the process's directory: %w", err)
	}
	cerr := conn.Control(func(dir uintptr) {
		var e errno
		if o.root, e = sysOpenat(int(dir), cstring("root"), unix.O_PATH|unix.O_DIRECTORY); e != success {
			err = &os.PathError{Op: "open", Path: proc.Name() + "/root", Err: e}
			return
		}
		fd, e := sysOpenat(int(dir), cstring("mountinfo"), unix.O_RDONLY)
		if e != success {
			sysClose(o.root)
			err = &os.PathError{Op: "open", Path: proc.Name() + "/mountinfo", Err: e}
			return
		}
		o.mountinfo = os.NewFile(uintptr(fd), proc.Name()+"/mountinfo")
	})
	if cerr != nil {
		err = fmt.Errorf("the process's directory: %w", os.ErrClosed) // all that Control says
	}
	return o, err
}

// learnRoot finds out whether the process's root directory is ours: the same
// directory of the same mount. Ids of mounts are unique across namespaces. The
// root may be on a filesystem that waits for a program: it is not asked.
func (p *process) learnRoot() error {
	own, err := openPath("/")
	if err != nil {
		return err
	}
	defer sysClose(own)
	a, err := sysIdentity(p.root)
	if err != nil {
		return err
	}
	b, err := sysIdentity(own)
	if err != nil {
		return err
	}
	mount, err := mountOf(p.procFD, p.root)
	if err != nil {
		return err
	}
	ownMount, err := mountOf(p.procFD, own)
	if err != nil {
		return err
	}
	p.own, p.rootID = mount == ownMount && a == b, mount
	text, e := readBack(p.procFD, p.root, make([]byte, unix.PathMax))
	if e != success {
		return os.NewSyscallError("readlink", e)
	}
	p.rootPath = string(text)
	return nil
}

// probe finds out what the kernel knows. Only "there is no such call" and "there
// is no such flag" are conclusive; every other answer shows that there is.
func (p *process) probe() {
	fd, e := sysOpenat2(p.procFD, cstring("."), unix.O_PATH, unix.RESOLVE_IN_ROOT)
	p.openat2 = e != unix.ENOSYS
	if e == success {
		sysClose(fd)
	}
	var h rawHandle
	_, e = sysNameToHandle(p.root, &empty[0], unix.AT_EMPTY_PATH|handleFID, &h)
	p.fid = e != unix.EINVAL
}

// handleFlags are what to ask name_to_handle_at with. Without AT_HANDLE_FID it
// gives the same handles (seen on Linux 6.1 and 6.18), but only those that can
// be opened.
func (p *process) handleFlags() int {
	if p.fid {
		return handleFID
	}
	return 0
}

func (p *process) readMounts() error {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("locate: %w", err)
	}
	p.mounts, p.byID = nil, make(map[int32]*Mount)
	for m, err := range mountinfo.Parse(p.file) {
		if err != nil {
			return fmt.Errorf("locate: %w", err)
		}
		p.mounts = append(p.mounts, m)
	}
	if err := p.addRootMount(); err != nil {
		return err
	}
	var waiting []*Mount
	for i := range p.mounts {
		m := &p.mounts[i]
		p.byID[m.ID] = m
		if !p.all && remote(m) != "" {
			waiting = append(waiting, m)
		}
	}
	p.waiting = waiting
	return nil
}

// addRootMount adds the mount that the root directory is on, where mountinfo
// leaves it out: that is so if the root directory is not the mount's own root,
// as chroot(2) makes it.
func (p *process) addRootMount() error {
	id, err := mountOf(p.procFD, p.root)
	if err != nil {
		return fmt.Errorf("locate: the process's root directory: %w", err)
	}
	for i := range p.mounts {
		if p.mounts[i].ID == id {
			return nil
		}
	}
	if m := p.strangeMount(id); m.ID == id { // or what is on it is compared by scratch watches
		m.Point = "/"
		p.mounts = append(p.mounts, m)
	}
	return nil
}

// strangeMount finds a mount that the process's mountinfo leaves out in ours, or
// else what can be learned of it from its files; the zero Mount is nothing.
func (p *process) strangeMount(id int32) Mount {
	if f, err := os.Open("/proc/self/mountinfo"); err == nil {
		defer f.Close()
		for m := range mountinfo.Parse(f) {
			if m.ID == id {
				m.Root = "" // it is not what lies at the process's root
				return m
			}
		}
	}
	return p.mountByWatch(id)
}

// mountByWatch learns the device of the root directory's mount from a watch of
// our own.
func (p *process) mountByWatch(id int32) Mount {
	n, err := inotify.New()
	if err != nil {
		return Mount{}
	}
	defer n.Close()
	if _, err := n.AddWatch(procPath(p.root), scratchMask); err != nil {
		return Mount{}
	}
	ws, _ := n.Watches()
	if len(ws) != 1 {
		return Mount{}
	}
	return Mount{ID: id, Device: ws[0].Device, Type: typeOf(p.root)}
}

// mount returns the mount with an id. If it is new, the list is read again.
func (p *process) mount(id int32) (Mount, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.byID[id]; m != nil {
		return *m, true
	}
	if !p.strange[id] && p.readMounts() == nil {
		if m := p.byID[id]; m != nil {
			return *m, true
		}
	}
	if p.strange == nil {
		p.strange = make(map[int32]bool)
	}
	p.strange[id] = true
	return Mount{}, false
}

// far returns the mount that may wait and that a path leads to or through, by the
// mounts that are known, or nil. Without symbolic links in the path, that is all
// there can be.
func (p *process) far(path string) *Mount {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.farLocked(path)
}

func (p *process) farLocked(path string) *Mount {
	if !slices.ContainsFunc(p.waiting, func(m *Mount) bool { return within(path, m.Point) }) {
		return nil
	}
	return firstFar(p.mounts, p.rootID, path)
}

// firstFar returns the first mount on a path's way that may wait, or nil.
func firstFar(ms []Mount, root int32, path string) *Mount {
	for m := range mountinfo.Passed(ms, root, path) {
		if remote(m) != "" {
			return m
		}
	}
	return nil
}

// mountsOnPath returns the mounts that a lookup of a path crosses, from one on, which
// is the first. The last is the one that the path leads to. root is the mount of the
// root directory, in which a lookup begins: not in what is mounted on it.
func mountsOnPath(ms []Mount, root, from int32, path string) (way []*Mount) {
	i := slices.IndexFunc(ms, func(m Mount) bool { return m.ID == from })
	if i < 0 {
		return nil
	}
	for at := &ms[i]; at != nil && len(way) <= len(ms); at = mountinfo.Next(ms, root, at.ID, path) { // mounts are a tree, or the text is hostile
		way = append(way, at)
	}
	return way
}

func mayWait(m *Mount) error {
	return fmt.Errorf("the %s on %q may wait for a program or a network, and is not used unless all filesystems are allowed", m.Type, m.Point)
}

// lookup returns an O_PATH descriptor of what the process's path names: in its
// root directory, which no symbolic link leaves, and through no link of /proc
// that is none of text, which only openat2 can refuse. The last link is not followed.
func (p *process) lookup(path *byte, flags int) (int, errno) {
	flags |= unix.O_PATH | unix.O_NOFOLLOW
	if p.openat2 {
		return sysOpenat2(p.root, path, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	}
	return sysOpenat(unix.AT_FDCWD, path, flags) // in our own root directory: see Paths
}

// explain says what an errno of lookup means where that is not plain.
func (p *process) explain(e errno) error {
	switch {
	case e == unix.ENOSYS && !p.openat2:
		return fmt.Errorf("the process has another root directory, and openat2 (Linux 5.6) is missing: %w", e)
	case e == unix.ENAMETOOLONG:
		return fmt.Errorf("the path is too long for one system call: %w", e)
	}
	return e
}

func openPath(path string) (int, error) {
	fd, e := sysOpenat(unix.AT_FDCWD, cstring(path), unix.O_PATH|unix.O_DIRECTORY)
	if e != success {
		return -1, &os.PathError{Op: "open", Path: path, Err: e}
	}
	return fd, nil
}

// cstring is for paths that are ours, or were checked for zero bytes.
func cstring(s string) *byte { return &append([]byte(s), 0)[0] }
