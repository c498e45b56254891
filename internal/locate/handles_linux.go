// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// Opening a handle gives a descriptor whose path is read by readlink of /proc/self/fd/N. This
// text may be wrong:
//
//   - It is "/" if no cached name leads from the inode to the root of the filesystem, or if the
//     inode is outside of what is mounted, with " (deleted)" if its name was removed.
//   - Another mount may hide the inode at this path.
//   - It ends in " (deleted)" if the name was removed; a name may also end so.
//   - It may be outside of the process's root directory.
//
// So each text is compared with the watch.

// handlesChunk is how many watches a thread decodes at a time.
const handlesChunk = 64

// minForTwoThreads is how many watches make a second thread worthwhile.
const minForTwoThreads = 512

// A mountDir is an open mount of a wanted device, on which handles can be opened.
type mountDir struct {
	Mount
	fd int
}

// mountDirs are the mounts of one device.
type mountDirs struct {
	open    []mountDir
	untried []untriedMount
}

// An untriedMount could not be opened, or must not be, and shows a part of the filesystem that
// no open mount shows.
type untriedMount struct {
	Mount
	why    error
	hidden bool // by another mount
}

// A decoder finds the paths of many watches by their handles.
type decoder struct {
	p         *process
	ws        []inotify.Watch
	places    []Place
	reasons   []reasons
	todo      [][]int // watches, those of one device together, in chunks
	mountDirs map[inotify.Device]mountDirs
	next      atomic.Int64 // in todo
	fatal     atomic.Pointer[error]

	mu         sync.Mutex
	decoded    bool
	unverified []candidate // to be compared in another way
}

// A candidate is a path that may be a watch's.
type candidate struct {
	watch int
	path  string
	not   reason // the reason if another inode, or none, is there
}

// decode finds the paths of the watches todo by their handles. It returns whether a handle was
// opened, and candidates that it could not compare.
func (l *locator) decode(ctx context.Context, todo []int) (bool, []candidate) {
	d := &decoder{p: l.p, ws: l.ws, places: l.res.Places, reasons: l.reasons, mountDirs: make(map[inotify.Device]mountDirs)}
	defer d.close()
	var ready []int
	for _, i := range todo {
		if d.reasons[i].handle = d.prepare(&d.ws[i]); d.reasons[i].handle.rank == noReason {
			ready = append(ready, i)
		}
	}
	if len(ready) == 0 {
		return false, nil
	}
	slices.SortStableFunc(ready, func(a, b int) int {
		x, y := d.ws[a].Device, d.ws[b].Device
		return cmp.Or(cmp.Compare(x.Major, y.Major), cmp.Compare(x.Minor, y.Minor))
	})
	d.todo = slices.Collect(slices.Chunk(ready, handlesChunk))
	threads := 1
	if len(ready) >= minForTwoThreads && runtime.GOMAXPROCS(0) > 1 {
		threads = 2
	}
	var wait sync.WaitGroup
	for range threads {
		wait.Add(1)
		go func() {
			defer wait.Done()
			d.thread(ctx)
		}()
	}
	wait.Wait()
	return d.decoded, d.unverified
}

func (d *decoder) close() {
	for _, dirs := range d.mountDirs {
		for _, b := range dirs.open {
			sys.Close(b.fd)
		}
	}
}

// prepare opens the mounts of a watch's device. It returns a reason if there is no open mount.
func (d *decoder) prepare(w *inotify.Watch) reason {
	if w.Handle == (inotify.Handle{}) {
		return reason{rank: final, err: errors.New("the kernel gave no file handle"), search: "the path"}
	}
	dirs, known := d.mountDirs[w.Device]
	if !known {
		dirs = d.p.openMounts(w.Device)
		d.mountDirs[w.Device] = dirs
	}
	if len(dirs.open) > 0 {
		return reason{}
	}
	return dirs.notTried(w.Device)
}

// notTried returns the reason for a device without an open mount.
func (ds *mountDirs) notTried(dev inotify.Device) reason {
	var hidden []string
	for _, u := range ds.untried {
		if !u.hidden {
			return reason{rank: notTried, err: u.why}
		}
		hidden = append(hidden, u.Point)
	}
	switch len(hidden) {
	case 0:
		return reason{rank: notShown, err: fmt.Errorf("the inode is on device %v, below no mount that the process can see", dev)}
	case 1:
		return reason{rank: notTried, err: ds.untried[0].why}
	}
	return reason{rank: notTried, err: fmt.Errorf("device %v is mounted on %q, hidden by other mounts", dev, hidden)}
}

// addTo adds the reason that an untried mount may show the inode.
func (ds *mountDirs) addTo(r *reason) {
	if len(ds.untried) > 0 {
		r.add(reason{rank: notTried, err: ds.untried[0].why, search: r.search})
	}
}

// openMounts opens the directories on which a device is mounted, those that show most of the
// filesystem first. Opening with O_PATH queues no event, and allows fchdir(2). Mounts
// that may block, or are behind one that may, are not opened. Mounts on files are left to
// mountPoints.
func (p *process) openMounts(dev inotify.Device) (ds mountDirs) {
	for _, m := range p.mountsOf(dev) {
		if blocking := p.blockingMount(m.Point); blocking != nil {
			ds.untried = append(ds.untried, untriedMount{m, mayBlock(blocking), false})
			continue
		}
		switch fd, isDir, err := p.openMount(m); {
		case err == errHidden:
			ds.untried = append(ds.untried, untriedMount{m, p.hiddenMount(m), true})
		case err != nil:
			why := fmt.Errorf("open %.400q, where device %v is mounted: %w", m.Point, dev, err)
			ds.untried = append(ds.untried, untriedMount{m, why, false})
		case isDir:
			ds.open = append(ds.open, mountDir{m, fd})
		default:
			sys.Close(fd)
		}
	}
	ds.untried = slices.DeleteFunc(ds.untried, func(u untriedMount) bool {
		return u.Root != "" && slices.ContainsFunc(ds.open, func(b mountDir) bool { return b.Root != "" && within(u.Root, b.Root) })
	})
	slices.SortStableFunc(ds.untried, func(a, b untriedMount) int {
		return cmp.Compare(a.priority(), b.priority())
	})
	return ds
}

// priority orders untried mounts by what their reason says: an errno comes first.
func (u *untriedMount) priority() int {
	var e sys.Errno
	switch {
	case errors.As(u.why, &e):
		return 0
	case !u.hidden:
		return 1
	}
	return 2
}

var errHidden = errors.New("hidden by another mount")

// openMount opens a mount with O_PATH.
func (p *process) openMount(m Mount) (fd int, isDir bool, err error) {
	fd, e := p.lookup(sys.CString(m.Point), 0)
	switch e {
	case sys.OK:
	case unix.ENOENT, unix.ENOTDIR:
		return -1, false, errHidden
	default:
		return -1, false, p.explain(e)
	}
	id, err := mountOf(p.procFD, fd)
	var st unix.Stat_t
	switch {
	case err != nil:
	case id != m.ID:
		p.mount(id) // read the list again if it is new
		err = errHidden
	default:
		if e := sys.Fstat(fd, &st); e != sys.OK {
			err = os.NewSyscallError("fstat", e)
		}
	}
	if err != nil {
		sys.Close(fd)
		return -1, false, err
	}
	return fd, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// hiddenMount returns an error that names the mount that hides m.
func (p *process) hiddenMount(m Mount) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	way := mountsOnPath(p.mounts, p.rootID, p.rootID, m.Point)
	if len(way) == 0 || way[len(way)-1].ID == m.ID {
		return fmt.Errorf("no path leads to the mount of device %v on %q", inotify.Device(m.Device), m.Point)
	}
	hider := way[len(way)-1]
	return fmt.Errorf("the mount of device %v on %q is hidden by the %s mounted on %q", inotify.Device(m.Device), m.Point, hider.Type, hider.Point)
}

// mountsOf returns the mounts of a device, those that show most of the filesystem first.
func (p *process) mountsOf(dev inotify.Device) []Mount {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ms []Mount
	for _, m := range p.mounts {
		if m.Device == dev {
			ms = append(ms, m)
		}
	}
	slices.SortStableFunc(ms, func(a, b Mount) int { return depth(a.Root) - depth(b.Root) })
	return ms
}

// depth returns how many levels a path has; an unknown root ("") counts as one.
func depth(path string) int {
	if path == "/" {
		return 0
	}
	return max(1, strings.Count(path, "/"))
}

// thread decodes on an operating system thread with its own working directory. The thread is
// never unlocked, so that it ends with the goroutine. The main thread cannot be used: it would
// not end, and /proc/PID/cwd shows its directory. It is locked while another goroutine
// decodes, which therefore runs on another thread.
func (d *decoder) thread(ctx context.Context) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		var wait sync.WaitGroup
		wait.Add(1)
		go func() {
			defer wait.Done()
			d.thread(ctx)
		}()
		wait.Wait()
		runtime.UnlockOSThread()
		return
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		d.stop(fmt.Errorf("unshare(CLONE_FS), which opening file handles needs: %w", os.NewSyscallError("unshare", err)))
		d.run(ctx)
		return
	}
	d.run(ctx)
	unix.Chdir("/") // until the thread ends, its directory would keep a mount busy
}

// run decodes chunks of todo until none is left.
func (d *decoder) run(ctx context.Context) {
	t := &decodeThread{decoder: d, procFD: d.p.procFD, cwd: -1}
	for ctx.Err() == nil {
		next := int(d.next.Add(1)) - 1
		if next >= len(d.todo) {
			break
		}
		for _, i := range d.todo[next] {
			d.places[i].Path, d.reasons[i].handle = t.find(i)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decoded = d.decoded || t.opened
	d.unverified = append(d.unverified, t.unverified...)
}

// stop sets an error for all watches that were not decoded yet.
func (d *decoder) stop(err error) { d.fatal.CompareAndSwap(nil, &err) }

// A decodeThread is the state of one thread.
type decodeThread struct {
	*decoder
	procFD     int
	cwd        int // the descriptor of the working directory, or -1
	opened     bool
	unverified []candidate
	h          sys.RawHandle
	st         unix.Stat_t
	text       [unix.PathMax + 1]byte
}

// find tries the mounts of a watch's device. It returns the path, or the reason.
func (t *decodeThread) find(i int) (string, reason) {
	var best reason
	dirs := t.mountDirs[t.ws[i].Device]
	for k := range dirs.open {
		if err := t.fatal.Load(); err != nil {
			return "", reason{rank: final, err: *err, search: "the path"}
		}
		path, why := t.tryMount(i, &dirs.open[k])
		if path != "" {
			return path, reason{}
		}
		if best.add(why); best.rank >= nameless {
			return "", best
		}
	}
	dirs.addTo(&best)
	return "", best
}

// tryMount opens the handle on a mount.
func (t *decodeThread) tryMount(i int, b *mountDir) (string, reason) {
	if t.cwd != b.fd {
		if err := unix.Fchdir(b.fd); err != nil {
			return "", reason{rank: failed, err: fmt.Errorf("fchdir %q: %w", b.Point, err), search: "the path"}
		}
		t.cwd = b.fd
	}
	w := &t.ws[i]
	t.h.Set(w.Handle.Type, w.Handle.Bytes)
	fd, e := sys.OpenHandle(&t.h)
	if e != sys.OK {
		return "", t.cannotOpen(e, w, b)
	}
	t.opened = true
	text, err := t.read(i, fd)
	if err != nil {
		return "", reason{rank: failed, err: err, search: "the path"}
	}
	return t.checkText(i, b, text)
}

// checkText decides whether the kernel's text for the inode is the path.
func (t *decodeThread) checkText(i int, b *mountDir, text []byte) (string, reason) {
	full := string(text)
	removed := strings.HasSuffix(full, deleted)
	unconnected := full == "/" && !t.isDir()
	isRoot := b.Point == "/" && t.p.rootPath == "/" // what is mounted, where the text is "/"
	switch {
	case t.st.Nlink == 0 && (removed || unconnected && whyBlocking(&b.Mount) == ""): // FUSE may show 0 always
		return "", reason{rank: final, err: ErrUnlinked}
	case unconnected, !isRoot && (full == "/" || full == "/"+deleted):
		return "", t.noCachedName(i, b)
	}
	if !t.p.sameRoot {
		inside, ok := cutRoot(text, t.p.rootPath)
		if !ok {
			return "", reason{rank: outside, err: fmt.Errorf("%q is outside of the process's root directory, %q", full, t.p.rootPath)}
		}
		text = inside
	}
	return t.comparePath(i, b, text)
}

func (t *decodeThread) isDir() bool { return t.st.Mode&unix.S_IFMT == unix.S_IFDIR }

// noCachedName returns the reason if no cached name leads from the mount to the inode. Decoding
// a handle caches the names of a directory, so a directory is then not below the mount.
func (t *decodeThread) noCachedName(i int, b *mountDir) reason {
	switch dev := t.ws[i].Device; {
	case t.isDir():
		return reason{rank: notShown, err: fmt.Errorf("the inode is on device %v, below no mount that the process can see", dev)}
	case b.Root == "/":
		return reason{rank: nameless, err: errors.New("no cached name leads to the inode"), search: "the path"}
	default:
		return reason{rank: notShown, err: fmt.Errorf("no cached name leads to the inode from a mount of device %v that the process can see", dev), search: "the path"}
	}
}

// read reads the inode's type and path and closes fd at once: an open descriptor delays the
// IN_DELETE_SELF of an unlinked file. A NUL byte fits after the path.
func (t *decodeThread) read(i, fd int) ([]byte, error) {
	defer sys.Close(fd)
	if e := sys.Fstat(fd, &t.st); e != sys.OK {
		return nil, os.NewSyscallError("fstat", e)
	}
	t.places[i].Mode = uint32(t.st.Mode) & unix.S_IFMT
	text, e := readlinkFD(t.procFD, fd, t.text[:unix.PathMax])
	if e != sys.OK {
		return nil, os.NewSyscallError("readlink", e)
	}
	return text, nil
}

// deleted is what the kernel appends to a path whose name was removed.
const deleted = " (deleted)"

// comparePath decides whether the text, a slice of t.text, is the path.
func (t *decodeThread) comparePath(i int, b *mountDir, text []byte) (string, reason) {
	full := string(text)
	if blocking := t.p.blockingMount(full); blocking != nil {
		return "", behindBlocking(full, blocking)
	}
	switch same, err := t.isSame(i, text); {
	case same:
		return full, reason{}
	case err == errUnverified:
		t.unverified = append(t.unverified, candidate{i, full, t.otherInode(i, full, b)})
		return "", reason{}
	case err != nil && err != unix.ENOENT && err != unix.ENOTDIR:
		return "", reason{rank: failed, err: fmt.Errorf("looking up %q: %w", full, t.p.explain(err.(sys.Errno)))}
	}
	short, removed := strings.CutSuffix(full, deleted)
	if !removed || short == "/" {
		return "", t.otherInode(i, full, b)
	}
	if blocking := t.p.blockingMount(short); blocking != nil {
		return "", behindBlocking(short, blocking)
	}
	if same, _ := t.isSame(i, text[:len(short)]); same {
		return short, reason{}
	}
	return "", reason{rank: unnamed, err: fmt.Errorf("name %q was removed, hard links left: %d", short, t.st.Nlink), search: "another name"}
}

func behindBlocking(path string, blocking *Mount) reason {
	return reason{rank: behind, err: fmt.Errorf("the path may be %q, but %w", path, mayBlock(blocking))}
}

// isSame reports whether the path, a slice of t.text, leads to the watch's inode.
// The error is errUnverified where there is no handle to compare. On overlayfs, where a
// handle alone is not enough (see overlay), one that can be opened is: nfs_export
// implies index.
//
// Where the process's root directory is ours, this is one call by path, which
// is as good as a lookup confined to the root: there is no way out of it.
func (t *decodeThread) isSame(i int, path []byte) (bool, error) {
	t.text[len(path)] = 0
	dir, name, flags := unix.AT_FDCWD, &path[0], t.p.handleFlags()
	if !t.p.sameRoot {
		fd, e := t.p.lookup(name, 0)
		if e != sys.OK {
			return false, e
		}
		defer sys.Close(fd)
		dir, name, flags = fd, &empty[0], flags|unix.AT_EMPTY_PATH
	}
	id, e := sys.NameToHandle(dir, name, flags, &t.h)
	switch e {
	case sys.OK:
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM:
		return false, errUnverified
	default:
		return false, e
	}
	m, known := t.p.mount(id)
	if !known {
		return false, errUnverified
	}
	w := &t.ws[i]
	return m.Device == w.Device && t.h.Type == w.Handle.Type && string(t.h.Data[:t.h.Size]) == w.Handle.Bytes, nil
}

// errUnverified is the error for a path that must be compared in another way.
var errUnverified = errors.New("not compared yet")

// cannotOpen explains why open_by_handle_at failed.
func (t *decodeThread) cannotOpen(e sys.Errno, w *inotify.Watch, b *mountDir) reason {
	err := os.NewSyscallError("open_by_handle_at", e)
	switch e {
	case unix.EPERM:
		err = fmt.Errorf("opening file handles needs CAP_DAC_READ_SEARCH in the initial user namespace, and a seccomp profile that allows it: %w", err)
		t.stop(err)
		return reason{rank: final, err: err, search: "the path"}
	case unix.ESTALE, unix.EOPNOTSUPP:
		if b.Type == "overlay" && t.p.overlayOf(b.Mount).hopeless(w) {
			return reason{rank: ambiguous, err: ErrAmbiguous}
		}
		return reason{rank: notDecoded, err: fmt.Errorf("the %s on %q does not open the handle: %w", b.Type, b.Point, err), search: "the path"}
	}
	return reason{rank: failed, err: fmt.Errorf("the handle on the %s on %q: %w", b.Type, b.Point, err), search: "the path"}
}

// otherInode returns the reason if another inode, or none, is at the kernel's path.
func (t *decodeThread) otherInode(i int, path string, b *mountDir) reason {
	if path == "/" || path == "/"+deleted {
		return t.noCachedName(i, b)
	}
	p := t.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if way := mountsOnPath(p.mounts, p.rootID, b.ID, path); len(way) > 1 {
		hider := way[len(way)-1]
		return reason{rank: hiddenPath, err: fmt.Errorf("%q is hidden by the %s mounted on %q", path, hider.Type, hider.Point)}
	}
	return reason{rank: renamed, err: fmt.Errorf("the kernel has %q for the inode, where there is another inode or none", path), search: "another name"}
}

// cutRoot removes the path of the root directory from the front of path, in place.
func cutRoot(path []byte, root string) ([]byte, bool) {
	switch {
	case root == "/":
		return path, true
	case string(path) == root:
		return append(path[:0], '/'), true
	case within(string(path), root):
		return path[:copy(path, path[len(root):])], true // to the front of the buffer
	}
	return nil, false
}
