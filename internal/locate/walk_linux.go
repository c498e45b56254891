// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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
	mount          Mount  // of the root
	exact          bool   // directory entries have the inode numbers of fdinfo
	compareHandles bool   // compare entries by handle
	overlay        *overlay
	handleLacking  bool // a watch may lack its handle: see mayLackHandle

	stack []directory // from the root of the tree to the current directory
	open  int         // how many directories of the stack are open

	byFdinfo []resolved // paths to be compared by fdinfo
	retry    []string   // paths to be compared again when more is known of the overlay

	// What is left out of the tree.
	unread     failures // directories
	uncompared failures // entries
	processes  int      // directories of processes in /proc
	hidden     []string // mount points
}

// A directory on the path from the root of the tree to the current directory.
type directory struct {
	name string
	fd   int // -1 while it is closed
	id   dirID
	todo []string // directories in it that are still to be entered
}

// failures counts errors and stores the first one.
type failures struct {
	count int
	first error
}

func (f *failures) add(err error) {
	if f.count++; f.count == 1 {
		f.first = err
	}
}

// run walks the tree at root, an O_PATH descriptor.
func (w *walk) run(ctx context.Context, root int) error {
	defer w.closeAll()
	var st unix.Stat_t
	if e := sys.Fstat(root, &st); e != sys.OK {
		w.skip(w.path, "fstat: "+e.Error())
		return nil
	}
	id := w.dirID(&st)
	if w.walkedDirs[id] {
		return nil
	}
	if err := w.compareRoot(ctx, root); err != nil || w.remaining == 0 {
		return err
	}
	if !isDir(&st) {
		w.skip(w.path, "not a directory")
		return nil
	}
	w.res.Searched = append(w.res.Searched, w.path)
	err := w.enter(ctx, root, ".")
	for err == nil && len(w.stack) > 0 && w.remaining > 0 {
		err = w.step(ctx)
	}
	if err == nil {
		w.walkedDirs[id] = true // or all watches were found
	}
	return err
}

func (w *walk) dirID(st *unix.Stat_t) dirID { return dirID{w.mount.ID, uint64(st.Dev), st.Ino} }

// compareRoot compares the root of the tree.
func (w *walk) compareRoot(ctx context.Context, root int) error {
	if err := w.count(ctx); err != nil {
		return err
	}
	if !w.compareHandles || w.compareHandle(root, sys.EmptyPath[:], unix.AT_EMPTY_PATH) != sys.OK || w.handleLacking {
		w.addByFdinfo("")
	}
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
	if err := w.reopen(last); err != nil {
		w.notRead(name, err)
		d.todo = nil
		return nil
	}
	return w.enter(ctx, d.fd, name)
}

// enter opens a directory and reads it, unless it is the root of a tree that was walked before.
func (w *walk) enter(ctx context.Context, parent int, name string) error {
	d, err := w.openDir(parent, name)
	switch {
	case err == nil && !w.walkedDirs[d.id]:
		return w.push(ctx, d)
	case err == nil:
		sys.Close(d.fd)
	case errors.Is(err, sys.EXDEV):
		w.hidden = append(w.hidden, w.join(name))
	case isGone(err), errors.Is(err, sys.ELOOP): // it was removed or replaced
	default:
		w.notRead(name, err)
	}
	return nil
}

// push makes a directory the current one and reads it. The directory stays open if there are
// others in it to be entered.
func (w *walk) push(ctx context.Context, d directory) error {
	last := len(w.stack)
	w.stack = append(w.stack, d)
	w.open++
	if err := w.read(ctx, d.fd); err != nil {
		return err
	}
	if len(w.stack[last].todo) == 0 {
		w.close(last)
	}
	w.limitOpen()
	return nil
}

// openDir opens a directory in parent. It fails with EXDEV at a mount point; without openat2
// only at one of another device.
func (w *walk) openDir(parent int, name string) (directory, error) {
	cname := sys.CString(name)
	fd, e := openDirWith(parent, cname, w.p.hasOpenat2, unix.O_NOATIME)
	if e == sys.EPERM { // O_NOATIME is only for the owner
		fd, e = openDirWith(parent, cname, w.p.hasOpenat2, 0)
	}
	if e != sys.OK {
		return directory{}, sys.CallError("open", e)
	}
	var st unix.Stat_t
	e = sys.Fstat(fd, &st)
	if e == sys.OK && !w.p.hasOpenat2 && len(w.stack) > 0 && uint64(st.Dev) != w.stack[0].id.dev {
		e = sys.EXDEV
	}
	if e != sys.OK {
		sys.Close(fd)
		return directory{}, sys.CallError("fstat", e)
	}
	return directory{name: name, fd: fd, id: w.dirID(&st)}, nil
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

func (w *walk) closeAll() {
	for i := range w.stack {
		w.close(i)
	}
}

// limitOpen closes the outermost open directory, except the root, if too many are open.
func (w *walk) limitOpen() {
	if w.open <= maxOpenDirs {
		return
	}
	i := 1
	for w.stack[i].fd < 0 {
		i++
	}
	w.close(i)
}

// reopen opens a closed directory of the stack again, starting at the nearest open one; the root
// is always open. It leaves those open on the way that are needed soon.
func (w *walk) reopen(at int) error {
	first := at
	for w.stack[first].fd < 0 {
		first--
	}
	for i := first + 1; i <= at; i++ {
		parent, d := &w.stack[i-1], &w.stack[i]
		again, err := w.openDir(parent.fd, d.name)
		if err != nil {
			return err
		}
		if again.id != d.id {
			sys.Close(again.fd)
			return sys.ESTALE
		}
		d.fd = again.fd
		w.open++
		if i-1 > first && (len(parent.todo) == 0 || i-1 < at-maxOpenDirs/2) {
			w.close(i - 1)
		}
	}
	return nil
}

// read reads the entries of the current directory.
func (w *walk) read(ctx context.Context, fd int) error {
	for {
		n, e := sys.Getdents(fd, w.buf)
		switch {
		case e != sys.OK:
			if e != sys.ENOENT { // the directory was removed
				w.notRead("", sys.CallError("getdents64", e))
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
	w.sampleOverlay(fd, d)
	mayBeWanted := !w.exact || w.wantedInodes[uint32(d.inode)] != nil
	switch {
	case mayBeWanted && w.compareEntry(fd, d):
		w.hidden = append(w.hidden, w.join(string(d.name)))
	case !d.isDir(fd):
	case w.isProcess(d.name):
		w.processes++
	default:
		last := &w.stack[len(w.stack)-1]
		last.todo = append(last.todo, string(d.name))
	}
	return nil
}

// sampleOverlay looks at an entry that may show whether inode numbers of the overlay are unique.
func (w *walk) sampleOverlay(fd int, d dirent) {
	if w.overlay == nil || w.overlay.sampled || d.kind == unix.DT_DIR {
		return
	}
	var st unix.Stat_t
	if sys.StatAt(fd, &d.name[0], &st) == sys.OK {
		w.overlay.observe(w.mount.Device, &st)
	}
}

// isProcess reports whether a directory in the current one is a process's in /proc.
func (w *walk) isProcess(name []byte) bool {
	inRoot := len(w.stack) == 1 && w.path == w.mount.Point && w.mount.Root == "/"
	return w.mount.Type == "proc" && inRoot && len(bytes.Trim(name, "0123456789")) == 0
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

// notRead counts a directory that could not be read.
func (w *walk) notRead(name string, err error) {
	w.unread.add(fmt.Errorf("%q: %w", w.join(name), err))
}

// report lists what was left out of the tree.
func (w *walk) report() {
	if w.unread.count > 0 {
		w.skip(w.path, fmt.Sprintf("%d directories in it could not be read; the first is %v", w.unread.count, w.unread.first))
	}
	if w.processes > 0 {
		w.skip(w.path, fmt.Sprintf("%d directories of processes were not entered", w.processes))
	}
	if w.remaining == 0 {
		return
	}
	if len(w.hidden) > 0 {
		w.skip(w.path, fmt.Sprintf("directories hidden by other mounts: %.400q", w.hidden))
	}
	if w.limitReached() {
		w.skip(w.path, w.limitText()+" in it")
	}
	if w.uncompared.count > 0 {
		w.skip(w.path, fmt.Sprintf("%d entries could not be compared; the first: %.400v", w.uncompared.count, w.uncompared.first))
	}
}
