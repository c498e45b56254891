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
)

// openDirs is how many directories of a walk are open at a time.
const openDirs = 64

// A walk walks one tree, by descriptors, so that neither the length of a path nor
// what is renamed meanwhile leads it astray. It crosses no mount point and
// follows no symbolic link.
type walk struct {
	*seeker
	path     string // of the tree
	mount    Mount
	exact    bool // entries' inode numbers are those of fdinfo
	byHandle bool // entries are compared by their handles
	merge    *overlay
	chain    []dir
	open     int    // how many of the chain
	closed   int    // directories that could not be read
	why      string // of the first
	kept     int    // process directories that were not entered
	hidden   []string
}

// A dir is a directory that the walk is in. The names that are still to be
// entered are kept, and the descriptor only so long as it is needed.
type dir struct {
	name     string
	fd       int // -1 if it is closed for the time being
	dev, ino uint64
	todo     []string
}

// run walks the tree below root, an O_PATH descriptor.
func (w *walk) run(ctx context.Context, root int) error {
	defer func() {
		for i := range w.chain {
			w.close(i)
		}
	}()
	var st unix.Stat_t
	if e := sysFstat(root, &st); e != success {
		w.skip(w.path, "fstat: "+e.Error())
		return nil
	}
	id := dirID{w.mount.ID, uint64(st.Dev), st.Ino}
	if w.whole[id] {
		return nil
	}
	if err := w.rootItself(ctx, root); err != nil || w.left == 0 {
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
	for len(w.chain) > 0 && w.left > 0 {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
	w.whole[id] = true // or nothing is left, and nobody asks
	return nil
}

// rootItself looks at the tree's root.
func (w *walk) rootItself(ctx context.Context, root int) error {
	if err := w.count(ctx); err != nil {
		return err
	}
	if w.byHandle && w.look(root, empty[:], unix.AT_EMPTY_PATH) == success {
		return nil
	}
	w.names = append(w.names, w.path)
	return nil
}

// step enters the next directory of the innermost one, or leaves that.
func (w *walk) step(ctx context.Context) error {
	last := len(w.chain) - 1
	d := &w.chain[last]
	if len(d.todo) == 0 {
		w.close(last)
		w.chain = w.chain[:last]
		return nil
	}
	name := d.todo[0]
	d.todo = d.todo[1:]
	if e := w.reopen(last); e != success {
		w.fail("open", w.join(name), e)
		d.todo = nil
		return nil
	}
	return w.enter(ctx, d.fd, name)
}

// enter opens a directory, looks at its entries and adds it to the chain.
func (w *walk) enter(ctx context.Context, parent int, name string) error {
	fd, e := openDir(parent, cstring(name), w.p.openat2)
	switch e {
	case success:
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		return nil // it went away, or something else is there now
	case unix.EXDEV:
		w.hidden = append(w.hidden, w.join(name))
		return nil
	default:
		w.fail("open", w.join(name), e)
		return nil
	}
	var st unix.Stat_t
	e = sysFstat(fd, &st)
	crosses := e == success && w.crosses(&st)
	switch {
	case e != success:
		w.fail("fstat", w.join(name), e)
	case crosses:
		w.hidden = append(w.hidden, w.join(name))
	}
	if e != success || crosses || w.known(&st) {
		sysClose(fd)
		return nil
	}
	w.chain = append(w.chain, dir{name: name, fd: fd, dev: uint64(st.Dev), ino: st.Ino})
	w.open++
	if err := w.read(ctx, fd); err != nil {
		return err
	}
	last := len(w.chain) - 1
	if len(w.chain[last].todo) == 0 {
		w.close(last)
	}
	w.closeOne()
	return nil
}

// crosses reports, without openat2, whether a directory is on another device than the
// root of the chain.
func (w *walk) crosses(st *unix.Stat_t) bool {
	return !w.p.openat2 && len(w.chain) > 0 && uint64(st.Dev) != w.chain[0].dev
}

// known reports whether a directory's tree was walked before. The root of the chain is
// never known: run does not walk it then.
func (w *walk) known(st *unix.Stat_t) bool {
	return w.whole[dirID{w.mount.ID, uint64(st.Dev), st.Ino}]
}

// openDir opens a directory for reading, where it may without changing its
// access time, and on the same mount.
func openDir(parent int, name *byte, has2 bool) (int, errno) {
	fd, e := openDirWith(parent, name, has2, unix.O_NOATIME)
	if e == unix.EPERM { // it is somebody else's
		fd, e = openDirWith(parent, name, has2, 0)
	}
	return fd, e
}

func openDirWith(parent int, name *byte, has2 bool, flags int) (int, errno) {
	flags |= unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_LARGEFILE
	if has2 {
		return sysOpenat2(parent, name, flags, unix.RESOLVE_NO_XDEV)
	}
	return sysOpenat(parent, name, flags)
}

func (w *walk) close(i int) {
	if d := &w.chain[i]; d.fd >= 0 {
		sysClose(d.fd)
		d.fd = -1
		w.open--
	}
}

// closeOne closes the outermost directory but the tree's root if too many are
// open.
func (w *walk) closeOne() {
	if w.open <= openDirs {
		return
	}
	i := 1
	for w.chain[i].fd < 0 {
		i++
	}
	w.close(i)
}

// reopen opens a directory of the chain again if it is closed, from the nearest one
// that is open, as the tree's root always is, and keeps some on the way open that are
// soon needed.
func (w *walk) reopen(at int) errno {
	first := at
	for w.chain[first].fd < 0 {
		first--
	}
	parent := w.chain[first].fd
	for i := first + 1; i <= at; i++ {
		d := &w.chain[i]
		fd, e := openDir(parent, cstring(d.name), w.p.openat2)
		if e != success {
			return e
		}
		d.fd = fd
		w.open++
		var st unix.Stat_t
		if e := sysFstat(fd, &st); e != success || uint64(st.Dev) != d.dev || st.Ino != d.ino {
			w.close(i)
			return unix.ESTALE
		}
		if i-1 > first && (len(w.chain[i-1].todo) == 0 || i-1 < at-openDirs/2) {
			w.close(i - 1)
		}
		parent = fd
	}
	return success
}

// read looks at the entries of the innermost directory.
func (w *walk) read(ctx context.Context, fd int) error {
	for {
		n, err := unix.Getdents(fd, w.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			if err != unix.ENOENT { // it was removed
				w.fail("getdents64", w.join(""), err.(errno))
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
			if w.left == 0 {
				return nil
			}
		}
	}
}

// entry looks at one entry, and notes a directory to be entered.
func (w *walk) entry(ctx context.Context, fd int, d dirent) error {
	if string(d.name) == "." || string(d.name) == ".." {
		return nil
	}
	if err := w.count(ctx); err != nil {
		return err
	}
	if w.merge != nil && !w.merge.sampled && d.kind != unix.DT_DIR {
		var st unix.Stat_t
		if sysStatAt(fd, &d.name[0], &st) == success {
			w.merge.see(w.mount.Device, &st)
		}
	}
	crosses := false
	if !w.exact || w.byInode[uint32(d.inode)] != nil {
		crosses = w.candidate(fd, d)
	}
	switch {
	case crosses:
		w.hidden = append(w.hidden, w.join(string(d.name)))
	case !w.isDir(fd, d):
	case w.mount.Type == "proc" && len(w.chain) == 1 && w.path == w.mount.Point && w.mount.Root == "/" && len(bytes.Trim(d.name, "0123456789")) == 0:
		w.kept++
	default:
		last := len(w.chain) - 1
		w.chain[last].todo = append(w.chain[last].todo, string(d.name))
	}
	return nil
}

// candidate looks whether an entry is a watch's, and reports whether it is a
// mount point.
func (w *walk) candidate(fd int, d dirent) (crosses bool) {
	if !w.byHandle {
		w.name(string(d.name))
		return false
	}
	name := d.name[:len(d.name)+1] // the zero byte
	switch e := w.look(fd, name, 0); e {
	case success:
	case unix.EXDEV:
		return true
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM:
		w.byHandle = false
		w.name(string(d.name))
	case unix.ENOENT: // it went away
	default:
		w.uncompared(fmt.Errorf("name_to_handle_at of %q: %w", w.join(string(d.name)), e))
	}
	return false
}

// name keeps a candidate to be compared by fdinfo.
func (w *walk) name(name string) {
	if w.names = append(w.names, w.join(name)); len(w.names) >= scratchBatch {
		w.compareNames()
	}
}

// look looks up an entry's handle among those that are missing. EXDEV says that
// the entry is a mount point. One that is found is compared by its path.
func (w *walk) look(fd int, name []byte, flags int) errno {
	id, e := sysNameToHandle(fd, &name[0], flags|w.p.handleFlags(), &w.h)
	if e != success {
		return e
	}
	if among := w.seeker.byHandle[string(w.h.key())]; among != nil {
		w.found(w.join(string(name[:len(name)-1])), among)
	}
	if id != w.mount.ID {
		return unix.EXDEV
	}
	return success
}

func (w *walk) isDir(fd int, d dirent) bool {
	if d.kind != unix.DT_UNKNOWN {
		return d.kind == unix.DT_DIR
	}
	var st unix.Stat_t
	return sysStatAt(fd, &d.name[0], &st) == success && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// join returns the path of a name in the innermost directory.
func (w *walk) join(name string) string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(w.path, "/"))
	for i := 1; i < len(w.chain); i++ {
		b.WriteByte('/')
		b.WriteString(w.chain[i].name)
	}
	if name != "" && name != "." {
		b.WriteByte('/')
		b.WriteString(name)
	}
	return cmp.Or(b.String(), "/")
}

func (w *walk) fail(call, path string, e errno) {
	if w.closed++; w.closed == 1 {
		w.why = fmt.Sprintf("%s %q: %v", call, path, e)
	}
}

// report says what of the tree was left out.
func (w *walk) report() {
	if w.closed > 0 {
		w.skip(w.path, fmt.Sprintf("%d directories in it could not be read; the first is %s", w.closed, w.why))
	}
	if w.kept > 0 {
		w.skip(w.path, fmt.Sprintf("%d directories of processes; give one as a hint to search it", w.kept))
	}
	if w.left > 0 && len(w.hidden) > 0 {
		w.skip(w.path, fmt.Sprintf("what other mounts hide, at %.400q", w.hidden))
	}
	if w.o.MaxEntries > 0 && w.res.Entries >= w.o.MaxEntries && w.left > 0 {
		w.skip(w.path, w.boundReached()+" in it")
	}
}
