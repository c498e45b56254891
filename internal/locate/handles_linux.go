// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// Opening a handle gives a descriptor. The kernel's path of its inode is the text that readlink of
// /proc/self/fd/N returns. It may be wrong:
//
//   - It is "/" if no cached name leads from the inode to the root of the filesystem, or if the
//     inode is outside of the directory that is mounted.
//   - It ends in " (deleted)" if the name was removed; but a name may also end so.
//   - Another mount may hide the inode at this path.
//   - The path may be outside of the process's root directory.
//
// So each path is compared with the watch.

// handlesChunk is how many watches a thread decodes at a time.
const handlesChunk = 64

// minForTwoThreads is how many watches make a second thread worthwhile.
const minForTwoThreads = 512

// A mountDir is an open mount on a directory, on which handles can be opened.
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
	*locator
	todo      [][]int // watches, those of one device together, in chunks
	mountDirs map[inotify.Device]mountDirs
	next      atomic.Int64           // index in todo of the next chunk
	stopped   atomic.Pointer[reason] // if set, the reason of all watches that are not decoded yet

	mu         sync.Mutex
	unverified []candidate // to be compared in another way
}

// decode opens the handles of the watches that have no path yet, and so finds paths.
func (l *locator) decode(ctx context.Context) {
	d := &decoder{locator: l, mountDirs: make(map[inotify.Device]mountDirs)}
	d.run(ctx, d.prepare())
	d.close()
	for k, why := range l.compareCandidates(d.unverified) {
		l.reasons[d.unverified[k].watch].handle.add(why)
	}
}

// prepare opens the mounts of the watches' devices. It returns the watches that can be decoded.
func (d *decoder) prepare() (ready []int) {
	for _, i := range d.wanted() {
		if d.reasons[i].handle = d.openMountsOf(&d.ws[i]); d.reasons[i].handle.rank == noReason {
			ready = append(ready, i)
		}
	}
	return ready
}

// run decodes the watches on one or two threads.
func (d *decoder) run(ctx context.Context, ready []int) {
	slices.SortStableFunc(ready, func(a, b int) int {
		x, y := d.ws[a].Device, d.ws[b].Device
		return cmp.Or(cmp.Compare(x.Major, y.Major), cmp.Compare(x.Minor, y.Minor))
	})
	d.todo = slices.Collect(slices.Chunk(ready, handlesChunk))
	threads := min(1, len(ready))
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
}

func (d *decoder) close() {
	for _, dirs := range d.mountDirs {
		for _, m := range dirs.open {
			sys.Close(m.fd)
		}
	}
}

// openMountsOf opens the mounts of a watch's device, if no other watch on it came before. It
// returns a reason if none could be opened.
func (d *decoder) openMountsOf(w *inotify.Watch) reason {
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

// addTo adds to a watch's reason that an untried mount may show the inode.
func (ds *mountDirs) addTo(r *reason) {
	if len(ds.untried) > 0 {
		r.add(reason{rank: notTried, err: ds.untried[0].why, search: r.search})
	}
}

// openMounts opens the directories on which a device is mounted, those that show most of the
// filesystem first. Opening with O_PATH queues no event, and allows fchdir(2). Mounts
// that may block, or are behind one that may, are not opened. Mounts on files are left to
// compareMountPoints.
func (p *process) openMounts(dev inotify.Device) (ds mountDirs) {
	for _, m := range p.mountsOf(dev) {
		if blocking := p.blockingMount(m.Point); blocking != nil {
			ds.untried = append(ds.untried, untriedMount{m, mayBlock(blocking), false})
			continue
		}
		fd, onDir, err := p.openMount(m)
		switch {
		case err == errHidden:
			ds.untried = append(ds.untried, untriedMount{m, p.hiddenMount(m), true})
		case err != nil:
			ds.untried = append(ds.untried, untriedMount{m, err, false})
		case onDir:
			ds.open = append(ds.open, mountDir{m, fd})
		default:
			sys.Close(fd)
		}
	}
	ds.untried = slices.DeleteFunc(ds.untried, func(u untriedMount) bool {
		return u.Root != "" && slices.ContainsFunc(ds.open, func(m mountDir) bool { return m.Root != "" && within(u.Root, m.Root) })
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

// openMount opens a mount with O_PATH. It returns errHidden if the mount point leads to another
// mount.
func (p *process) openMount(m Mount) (fd int, onDir bool, err error) {
	fd, e := p.lookup(sys.CString(m.Point))
	if e == sys.ENOENT || e == sys.ENOTDIR {
		return -1, false, errHidden
	}
	if e != sys.OK {
		return -1, false, openMountError(m, p.explain(e))
	}
	onDir, err = p.checkMount(m, fd)
	if err != nil {
		sys.Close(fd)
		return -1, false, err
	}
	return fd, onDir, nil
}

// checkMount returns errHidden if fd is not on the mount, and reports whether fd is a directory.
func (p *process) checkMount(m Mount, fd int) (onDir bool, err error) {
	id, err := mountOf(p.procFD, fd)
	if err != nil {
		return false, openMountError(m, err)
	}
	if id != m.ID {
		p.mount(id) // if it is new, this reads the list of mounts again
		return false, errHidden
	}
	var st unix.Stat_t
	if e := sys.Fstat(fd, &st); e != sys.OK {
		return false, openMountError(m, sys.CallError("fstat", e))
	}
	return isDir(&st), nil
}

func openMountError(m Mount, err error) error {
	return fmt.Errorf("open %.400q, where device %v is mounted: %w", m.Point, inotify.Device(m.Device), err)
}

// hiddenMount returns an error that names the mount that hides m.
func (p *process) hiddenMount(m Mount) error {
	hider, ok := p.mountAt(p.rootID, m.Point)
	if !ok || hider.ID == m.ID {
		return fmt.Errorf("no path leads to the mount of device %v on %q", inotify.Device(m.Device), m.Point)
	}
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

// thread decodes on an operating system thread with its own working directory. The goroutine
// never unlocks the thread, so that the thread ends with it. The main thread must not be used:
// it would not end, and /proc/PID/cwd shows its directory. A goroutine that runs on it keeps
// it locked and starts another goroutine, which therefore gets another thread.
func (d *decoder) thread(ctx context.Context) {
	runtime.LockOSThread()
	if sys.OnMainThread() {
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
	if err := sys.UnshareFS(); err != nil {
		d.stop(fmt.Errorf("unshare(CLONE_FS), which opening file handles needs: %w", err))
	} else {
		defer sys.Chdir("/") // until the thread ends, its directory would keep a mount busy
	}
	d.decodeTodo(ctx)
}

// decodeTodo decodes chunks of todo until none is left.
func (d *decoder) decodeTodo(ctx context.Context) {
	t := &decodeThread{decoder: d, cwd: -1}
	for ctx.Err() == nil {
		next := int(d.next.Add(1)) - 1
		if next >= len(d.todo) {
			break
		}
		for _, i := range d.todo[next] {
			d.res.Places[i].Path, d.reasons[i].handle = t.findPath(i)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.res.Decoded = d.res.Decoded || t.opened
}

func (d *decoder) addUnverified(c candidate) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unverified = append(d.unverified, c)
}

// stop ends the decoding of all watches. It returns their reason.
func (d *decoder) stop(err error) reason {
	why := reason{rank: final, err: err, search: "the path"}
	d.stopped.CompareAndSwap(nil, &why)
	return why
}

// A decodeThread is the state of one thread.
type decodeThread struct {
	*decoder
	cwd    int  // the descriptor of the working directory, or -1
	opened bool // a handle was opened
	h      sys.RawHandle
	path   [unix.PathMax + 1]byte // for system calls
}

// A finding is the result of one mount for one watch: a verified path, or one that is still to be
// compared, or a reason.
type finding struct {
	path     string
	verified bool   // path leads to the watch's inode
	why      reason // why there is no path; or, of an unverified one, the reason if it leads elsewhere
}

// findPath tries the mounts of a watch's device. It returns the path, or the reason.
func (t *decodeThread) findPath(i int) (string, reason) {
	var best reason
	dirs := t.mountDirs[t.ws[i].Device]
	for k := range dirs.open {
		if why := t.stopped.Load(); why != nil {
			return "", *why
		}
		f := t.tryMount(i, &dirs.open[k])
		switch {
		case f.verified:
			return f.path, reason{}
		case f.path != "":
			t.addUnverified(candidate{i, f.path, f.why})
		default:
			best.add(f.why)
		}
		if best.rank >= notCached {
			return "", best
		}
	}
	dirs.addTo(&best)
	return "", best
}

// tryMount opens the handle on a mount and reads the path.
func (t *decodeThread) tryMount(i int, m *mountDir) finding {
	if t.cwd != m.fd {
		if err := sys.Fchdir(m.fd); err != nil {
			return finding{why: reason{rank: failed, err: fmt.Errorf("%q: %w", m.Point, err), search: "the path"}}
		}
		t.cwd = m.fd
	}
	w := &t.ws[i]
	t.h.Set(w.Handle.Type, w.Handle.Bytes)
	fd, e := sys.OpenHandle(&t.h)
	if e != sys.OK {
		return finding{why: t.notOpened(e, w, m)}
	}
	t.opened = true
	in, err := t.read(fd)
	if mode := uint32(in.st.Mode) & unix.S_IFMT; mode != 0 { // also if only the path is unknown
		t.res.Places[i].Mode = mode
	}
	if err != nil {
		return finding{why: reason{rank: failed, err: err, search: "the path"}}
	}
	in.watch, in.mount = w, m
	return t.check(&in)
}

// A decodedInode is a watch's inode, whose handle was opened on a mount.
type decodedInode struct {
	watch *inotify.Watch
	mount *mountDir
	st    unix.Stat_t
	text  string // the kernel's path
}

// read reads the inode's type and path, and closes fd at once, because an open descriptor
// delays the IN_DELETE_SELF of an unlinked file.
func (t *decodeThread) read(fd int) (in decodedInode, err error) {
	defer sys.Close(fd)
	if e := sys.Fstat(fd, &in.st); e != sys.OK {
		return decodedInode{}, sys.CallError("fstat", e)
	}
	text, err := sys.ReadlinkFD(t.p.procFD, fd, t.path[:unix.PathMax])
	if err != nil {
		return in, err
	}
	in.text = string(text)
	return in, nil
}

// check finds out whether the kernel's path is right.
func (t *decodeThread) check(in *decodedInode) finding {
	if why := t.noPath(in); why.rank != noReason {
		return finding{why: why}
	}
	path, inside := t.p.fromRoot(in.text)
	if !inside {
		return finding{why: reason{rank: outsideRoot, err: fmt.Errorf("%q is outside of the process's root directory, %q", in.text, t.p.rootPath)}}
	}
	return t.comparePath(in, path)
}

// deleted is what the kernel appends to a path whose name was removed.
const deleted = " (deleted)"

// noPath returns a reason if the kernel has no path of the inode.
func (t *decodeThread) noPath(in *decodedInode) reason {
	removed := strings.HasSuffix(in.text, deleted)
	unconnected := in.text == "/" && !isDir(&in.st)
	isRoot := in.mount.Point == "/" && t.p.rootPath == "/" // then "/" is also the path of the mount's root
	switch {
	case in.st.Nlink == 0 && (removed || unconnected && whyBlocking(&in.mount.Mount) == ""): // FUSE may show 0 always
		return reason{rank: final, err: ErrUnlinked}
	case unconnected, !isRoot && (in.text == "/" || in.text == "/"+deleted):
		return in.noCachedName()
	}
	return reason{}
}

// noCachedName returns the reason if no cached name leads from the mount to the inode. Decoding
// a handle caches the names of a directory, so a directory is then not below the mount.
func (in *decodedInode) noCachedName() reason {
	switch dev := in.watch.Device; {
	case isDir(&in.st):
		return reason{rank: notShown, err: fmt.Errorf("the inode is on device %v, below no mount that the process can see", dev)}
	case in.mount.Root == "/":
		return reason{rank: notCached, err: errors.New("no cached name leads to the inode"), search: "the path"}
	default:
		return reason{rank: notShown, err: fmt.Errorf("no cached name leads to the inode from a mount of device %v that the process can see", dev), search: "the path"}
	}
}

// comparePath compares a path with the watch. If another inode or none is there, and the path ends
// in " (deleted)", it compares the path without that: a new link may have the name again.
func (t *decodeThread) comparePath(in *decodedInode, path string) finding {
	err := t.compare(in.watch, path)
	if err == nil {
		return finding{path: path, verified: true}
	}
	short, removed := strings.CutSuffix(path, deleted)
	if err != errOtherInode || !removed || short == "/" {
		return judge(path, err, t.otherInode(in, path))
	}
	return judge(short, t.compare(in.watch, short), reason{
		rank: nameRemoved, err: fmt.Errorf("name %q was removed, hard links left: %d", short, in.st.Nlink), search: "another name",
	})
}

// judge returns the finding for a path, from the result of compare. other is the reason if another
// inode, or none, is there.
func judge(path string, err error, other reason) finding {
	switch {
	case err == nil:
		return finding{path: path, verified: true}
	case err == errUnverified:
		return finding{path: path, why: other}
	case err == errOtherInode:
		return finding{why: other}
	case errors.Is(err, errMayBlock):
		return finding{why: reason{rank: behindBlocking, err: fmt.Errorf("the path may be %q, but %w", path, err)}}
	}
	return finding{why: reason{rank: failed, err: fmt.Errorf("look up %q: %w", path, err)}}
}

// errUnverified is the error for a path that must be compared in another way.
var errUnverified = errors.New("not compared yet")

// compare returns nil if the path leads to the watch's inode, errOtherInode if another inode or
// none is there, and errUnverified if there is no handle to compare. On overlayfs a handle
// alone may be ambiguous (see overlay), but not one that can be opened: that needs
// nfs_export, which implies index.
func (t *decodeThread) compare(w *inotify.Watch, path string) error {
	if blocking := t.p.blockingMount(path); blocking != nil {
		return mayBlock(blocking)
	}
	id, e := t.pathHandle(path)
	switch e {
	case sys.OK:
	case sys.ENOENT, sys.ENOTDIR:
		return errOtherInode
	case sys.EOPNOTSUPP, sys.ENOSYS, sys.EINVAL, sys.EPERM:
		return errUnverified
	default:
		return t.p.explain(e)
	}
	m, known := t.p.mount(id)
	switch {
	case !known:
		return errUnverified
	case m.Device != w.Device || t.h.Type != w.Handle.Type || string(t.h.Data[:t.h.Size]) != w.Handle.Bytes:
		return errOtherInode
	}
	return nil
}

// pathHandle reads the handle at a path into t.h, and returns the id of its mount. If the
// process's root directory is ours, it is one call by path: no path leads out of our root.
func (t *decodeThread) pathHandle(path string) (mount int32, e sys.Errno) {
	name, flags := &sys.AppendCString(t.path[:0], path)[0], t.p.handleFlags()
	if t.p.sameRoot {
		return sys.NameToHandle(unix.AT_FDCWD, name, flags, &t.h)
	}
	fd, e := t.p.lookup(name)
	if e != sys.OK {
		return 0, e
	}
	defer sys.Close(fd)
	return sys.NameToHandle(fd, &sys.EmptyPath[0], flags|unix.AT_EMPTY_PATH, &t.h)
}

// notOpened explains why open_by_handle_at failed.
func (t *decodeThread) notOpened(e sys.Errno, w *inotify.Watch, m *mountDir) reason {
	err := sys.CallError("open_by_handle_at", e)
	switch e {
	case sys.EPERM:
		return t.stop(fmt.Errorf("opening file handles needs CAP_DAC_READ_SEARCH in the initial user namespace, and a seccomp profile that allows it: %w", err))
	case sys.ESTALE, sys.EOPNOTSUPP:
		if m.Type == "overlay" && t.p.overlayOf(m.Mount).alwaysAmbiguous(w) {
			return reason{rank: ambiguous, err: ErrAmbiguous}
		}
		return reason{rank: notDecoded, err: fmt.Errorf("the %s on %q does not open the handle: %w", m.Type, m.Point, err), search: "the path"}
	}
	return reason{rank: failed, err: fmt.Errorf("the handle on the %s on %q: %w", m.Type, m.Point, err), search: "the path"}
}

// otherInode returns the reason if another inode, or none, is at the kernel's path.
func (t *decodeThread) otherInode(in *decodedInode, path string) reason {
	if path == "/" || path == "/"+deleted {
		return in.noCachedName()
	}
	if hider, ok := t.p.mountAt(in.mount.ID, path); ok && hider.ID != in.mount.ID {
		return reason{rank: hiddenPath, err: fmt.Errorf("%q is hidden by the %s mounted on %q", path, hider.Type, hider.Point)}
	}
	return reason{rank: renamed, err: fmt.Errorf("the kernel has %q for the inode, where there is another inode or none", path), search: "another name"}
}
