// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/internal/sys"
)

// maxOpenDirs is how many directories of a walk may be open at a time.
const maxOpenDirs = 64

// A walk walks one directory tree by descriptors, so that long paths and renames do not mislead
// it. It crosses no mount point and follows no symbolic link.
type walk struct {
	*searcher
	path           string // of the root of the tree
	mount          Mount
	exact          bool // directory entries have the inode numbers of fdinfo
	compareHandles bool // compare entries by handle
	overlay        *overlay
	stack          []dir
	open           int    // how many directories of the stack are open
	unread         int    // directories that could not be read
	firstUnread    string // of the first
	procDirs       int    // directories of processes in /proc, which are not entered
	hidden         []string
}

// A dir is a directory on the path from the root of the tree to the walk's current directory.
type dir struct {
	name     string
	fd       int // -1 while it is closed
	dev, ino uint64
	todo     []string // directories in it that are still to be entered
}

// run walks the tree at root, an O_PATH descriptor.
func (w *walk) run(ctx context.Context, root int) error {
	defer func() {
		for i := range w.stack {
			w.close(i)
		}
	}()
	var st unix.Stat_t
	if e := sys.Fstat(root, &st); e != sys.OK {
		w.skip(w.path, "fstat: "+e.Error())
		return nil
	}
	id := dirID{w.mount.ID, uint64(st.Dev), st.Ino}
	if w.walkedDirs[id] {
		return nil
	}
	if err := w.checkRoot(ctx, root); err != nil || w.remaining == 0 {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		w.skip(w.path, "not a directory")
		return nil
	}
	w.res.Searched = append(w.res.Searched, w.path)
	if err := w.enter(ctx, root, "."); err != nil {
		return err
	}
	for len(w.stack) > 0 && w.remaining > 0 {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
	w.walkedDirs[id] = true // or all watches were found
	return nil
}

// checkRoot compares the root of the tree.
func (w *walk) checkRoot(ctx context.Context, root int) error {
	if err := w.count(ctx); err != nil {
		return err
	}
	if w.compareHandles && w.compareHandle(root, empty[:], unix.AT_EMPTY_PATH) == sys.OK {
		return nil
	}
	w.byFdinfo = append(w.byFdinfo, w.path)
	return nil
}

// step enters the next directory in the current one, or leaves the current one.
func (w *walk) step(ctx context.Context) error {
	last := len(w.stack) - 1
	d := &w.stack[last]
	if len(d.todo) == 0 {
		w.close(last)
		w.stack = w.stack[:last]
		return nil
	}
	name := d.todo[0]
	d.todo = d.todo[1:]
	if e := w.reopen(last); e != sys.OK {
		w.fail("open", w.join(name), e)
		d.todo = nil
		return nil
	}
	return w.enter(ctx, d.fd, name)
}

// enter opens a directory, pushes it on the stack and reads it.
func (w *walk) enter(ctx context.Context, parent int, name string) error {
	fd, e := openDir(parent, sys.CString(name), w.p.hasOpenat2)
	switch e {
	case sys.OK:
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		return nil // it was removed or replaced
	case unix.EXDEV:
		w.hidden = append(w.hidden, w.join(name))
		return nil
	default:
		w.fail("open", w.join(name), e)
		return nil
	}
	var st unix.Stat_t
	e = sys.Fstat(fd, &st)
	crosses := e == sys.OK && w.crosses(&st)
	switch {
	case e != sys.OK:
		w.fail("fstat", w.join(name), e)
	case crosses:
		w.hidden = append(w.hidden, w.join(name))
	}
	if e != sys.OK || crosses || w.known(&st) {
		sys.Close(fd)
		return nil
	}
	w.stack = append(w.stack, dir{name: name, fd: fd, dev: uint64(st.Dev), ino: st.Ino})
	w.open++
	if err := w.read(ctx, fd); err != nil {
		return err
	}
	last := len(w.stack) - 1
	if len(w.stack[last].todo) == 0 {
		w.close(last)
	}
	w.closeOne()
	return nil
}

// crosses reports whether a directory is on another device than the root of the tree. It is
// needed only without openat2.
func (w *walk) crosses(st *unix.Stat_t) bool {
	return !w.p.hasOpenat2 && len(w.stack) > 0 && uint64(st.Dev) != w.stack[0].dev
}

// known reports whether the tree at a directory was walked before.
func (w *walk) known(st *unix.Stat_t) bool {
	return w.walkedDirs[dirID{w.mount.ID, uint64(st.Dev), st.Ino}]
}

// openDir opens a directory on the same mount, if permitted without changing its access time.
func openDir(parent int, name *byte, hasOpenat2 bool) (int, sys.Errno) {
	fd, e := openDirWith(parent, name, hasOpenat2, unix.O_NOATIME)
	if e == unix.EPERM { // the owner is another user
		fd, e = openDirWith(parent, name, hasOpenat2, 0)
	}
	return fd, e
}

func openDirWith(parent int, name *byte, hasOpenat2 bool, flags int) (int, sys.Errno) {
	flags |= unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_LARGEFILE
	if hasOpenat2 {
		return sys.Openat2(parent, name, flags, unix.RESOLVE_NO_XDEV)
	}
	return sys.Openat(parent, name, flags)
}

func (w *walk) close(i int) {
	if d := &w.stack[i]; d.fd >= 0 {
		sys.Close(d.fd)
		d.fd = -1
		w.open--
	}
}

// closeOne closes the outermost open directory, except the root, if too many are open.
func (w *walk) closeOne() {
	if w.open <= maxOpenDirs {
		return
	}
	i := 1
	for w.stack[i].fd < 0 {
		i++
	}
	w.close(i)
}

// reopen opens a closed directory of the stack again, from the nearest open one; the root is
// always open. It leaves directories on the way open that are needed soon.
func (w *walk) reopen(at int) sys.Errno {
	first := at
	for w.stack[first].fd < 0 {
		first--
	}
	parent := w.stack[first].fd
	for i := first + 1; i <= at; i++ {
		d := &w.stack[i]
		fd, e := openDir(parent, sys.CString(d.name), w.p.hasOpenat2)
		if e != sys.OK {
			return e
		}
		d.fd = fd
		w.open++
		var st unix.Stat_t
		if e := sys.Fstat(fd, &st); e != sys.OK || uint64(st.Dev) != d.dev || st.Ino != d.ino {
			w.close(i)
			return unix.ESTALE
		}
		if i-1 > first && (len(w.stack[i-1].todo) == 0 || i-1 < at-maxOpenDirs/2) {
			w.close(i - 1)
		}
		parent = fd
	}
	return sys.OK
}

// read reads the entries of the current directory.
func (w *walk) read(ctx context.Context, fd int) error {
	for {
		n, err := unix.Getdents(fd, w.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			if err != unix.ENOENT { // the directory was removed
				w.fail("getdents64", w.join(""), err.(sys.Errno))
			}
			return nil
		case n == 0:
			return nil
		}
		for rest := w.buf[:n]; len(rest) > 0; {
			var e dirent
			e, rest = cutDirent(rest)
			if err := w.entry(ctx, fd, e); err != nil {
				return err
			}
			if w.remaining == 0 {
				return nil
			}
		}
	}
}

// entry compares one entry. If it is a directory, it is to be entered later.
func (w *walk) entry(ctx context.Context, fd int, d dirent) error {
	if string(d.name) == "." || string(d.name) == ".." {
		return nil
	}
	if err := w.count(ctx); err != nil {
		return err
	}
	if w.overlay != nil && !w.overlay.sampled && d.kind != unix.DT_DIR {
		var st unix.Stat_t
		if sys.StatAt(fd, &d.name[0], &st) == sys.OK {
			w.overlay.observe(w.mount.Device, &st)
		}
	}
	crosses := false
	if !w.exact || w.wantedInodes[uint32(d.inode)] != nil {
		crosses = w.compareEntry(fd, d)
	}
	switch {
	case crosses:
		w.hidden = append(w.hidden, w.join(string(d.name)))
	case !w.isDir(fd, d):
	case w.mount.Type == "proc" && len(w.stack) == 1 && w.path == w.mount.Point && w.mount.Root == "/" && len(bytes.Trim(d.name, "0123456789")) == 0:
		w.procDirs++
	default:
		last := len(w.stack) - 1
		w.stack[last].todo = append(w.stack[last].todo, string(d.name))
	}
	return nil
}

// compareEntry compares an entry with the watches. It reports whether the entry is a mount point.
func (w *walk) compareEntry(fd int, d dirent) (crosses bool) {
	if !w.compareHandles {
		w.addByFdinfo(string(d.name))
		return false
	}
	name := d.name[:len(d.name)+1] // with the NUL byte
	switch e := w.compareHandle(fd, name, 0); e {
	case sys.OK:
	case unix.EXDEV:
		return true
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM:
		w.compareHandles = false
		w.addByFdinfo(string(d.name))
	case unix.ENOENT: // it was removed
	default:
		w.uncompared(fmt.Errorf("name_to_handle_at of %q: %w", w.join(string(d.name)), e))
	}
	return false
}

// addByFdinfo adds an entry to those that are compared by fdinfo.
func (w *walk) addByFdinfo(name string) {
	if w.byFdinfo = append(w.byFdinfo, w.join(name)); len(w.byFdinfo) >= compareBatch {
		w.compareByFdinfo()
	}
}

// compareHandle looks for an entry's handle among the wanted ones, and if it is one compares its
// path. It returns EXDEV if the entry is a mount point.
func (w *walk) compareHandle(fd int, name []byte, flags int) sys.Errno {
	id, e := sys.NameToHandle(fd, &name[0], flags|w.p.handleFlags(), &w.h)
	if e != sys.OK {
		return e
	}
	if among := w.wantedHandles[string(w.h.Key())]; among != nil {
		w.comparePath(w.join(string(name[:len(name)-1])), among)
	}
	if id != w.mount.ID {
		return unix.EXDEV
	}
	return sys.OK
}

func (w *walk) isDir(fd int, d dirent) bool {
	if d.kind != unix.DT_UNKNOWN {
		return d.kind == unix.DT_DIR
	}
	var st unix.Stat_t
	return sys.StatAt(fd, &d.name[0], &st) == sys.OK && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// join returns the path of a name in the current directory.
func (w *walk) join(name string) string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(w.path, "/"))
	for i := 1; i < len(w.stack); i++ {
		b.WriteByte('/')
		b.WriteString(w.stack[i].name)
	}
	if name != "" && name != "." {
		b.WriteByte('/')
		b.WriteString(name)
	}
	return cmp.Or(b.String(), "/")
}

func (w *walk) fail(call, path string, e sys.Errno) {
	if w.unread++; w.unread == 1 {
		w.firstUnread = fmt.Sprintf("%s %q: %v", call, path, e)
	}
}

// report lists what was left out of the tree.
func (w *walk) report() {
	if w.unread > 0 {
		w.skip(w.path, fmt.Sprintf("%d directories in it could not be read; the first is %s", w.unread, w.firstUnread))
	}
	if w.procDirs > 0 {
		w.skip(w.path, fmt.Sprintf("%d directories of processes were not entered", w.procDirs))
	}
	if w.remaining > 0 && len(w.hidden) > 0 {
		w.skip(w.path, fmt.Sprintf("directories hidden by other mounts: %.400q", w.hidden))
	}
	if w.o.MaxEntries > 0 && w.res.Entries >= w.o.MaxEntries && w.remaining > 0 {
		w.skip(w.path, w.maxEntriesReached()+" in it")
	}
}
