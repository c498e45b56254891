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
)

// Decoding a handle gives an inode with some dentry of it, and reading that back
// (readlink of /proc/self/fd/N) gives a text that may be wrong in many ways: "/"
// where the inode has no dentry that leads to the root of the filesystem, or
// lies outside what is mounted there (with " (deleted)" if its name was removed); the path at which another mount hides it;
// a name that was removed, with " (deleted)" after it, which may also be the end
// of a name; a path outside the process's root directory. All of this is settled
// by comparing.

// handlesChunk is how many watches a thread takes at a time.
const handlesChunk = 64

// enoughForTwo is how many watches it takes before a second thread pays.
const enoughForTwo = 512

// A base is a mount of a wanted device, on which its handles can be opened.
type base struct {
	Mount
	fd int
}

// bases are the mounts of a device.
type bases struct {
	open    []base
	untried []untried
}

// An untried mount is one that could not be opened, or must not be, and shows what no
// open one does.
type untried struct {
	Mount
	why    error
	hidden bool // by another mount
}

// A decoder finds the paths of many watches by their handles.
type decoder struct {
	p      *process
	ws     []inotify.Watch
	places []Place
	why    []reasons
	todo   [][]int // watches, those of one device together, in chunks
	bases  map[inotify.Device]bases
	next   atomic.Int64 // in todo
	fatal  atomic.Pointer[error]

	mu      sync.Mutex
	decoded bool
	unsure  []candidate // to be compared in another way
}

// A candidate is a path that may be a watch's.
type candidate struct {
	watch int
	path  string
	not   reason // why it is not, if another inode or none is there
}

// decode finds the paths of the watches todo, and returns whether a handle was
// opened, and candidates that it could not compare.
func (l *locator) decode(ctx context.Context, todo []int) (bool, []candidate) {
	d := &decoder{p: l.p, ws: l.ws, places: l.res.Places, why: l.why, bases: make(map[inotify.Device]bases)}
	defer d.close()
	var ready []int
	for _, i := range todo {
		if d.why[i].handle = d.prepare(&d.ws[i]); d.why[i].handle.rank == noReason {
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
	if len(ready) >= enoughForTwo && runtime.GOMAXPROCS(0) > 1 {
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
	return d.decoded, d.unsure
}

func (d *decoder) close() {
	for _, bases := range d.bases {
		for _, b := range bases.open {
			sysClose(b.fd)
		}
	}
}

// prepare opens the mounts of a watch's device. The reason is why nothing can be
// decoded.
func (d *decoder) prepare(w *inotify.Watch) reason {
	if w.Handle == (inotify.Handle{}) {
		return reason{rank: final, err: errors.New("the kernel gave no file handle"), search: "the path"}
	}
	bases, known := d.bases[w.Device]
	if !known {
		bases = d.p.basesOf(w.Device)
		d.bases[w.Device] = bases
	}
	if len(bases.open) > 0 {
		return reason{}
	}
	return bases.notTried(w.Device)
}

// notTried is the reason where no mount of the device was tried.
func (bs *bases) notTried(dev inotify.Device) reason {
	var hidden []string
	for _, u := range bs.untried {
		if !u.hidden {
			return reason{rank: notTried, err: u.why}
		}
		hidden = append(hidden, u.Point)
	}
	switch len(hidden) {
	case 0:
		return reason{rank: notShown, err: fmt.Errorf("the inode is on device %v, below no mount that the process can see", dev)}
	case 1:
		return reason{rank: notTried, err: bs.untried[0].why}
	}
	return reason{rank: notTried, err: fmt.Errorf("device %v is mounted on %q, hidden by other mounts", dev, hidden)}
}

// addTo adds to the reason of the mounts that were tried that another one may show the
// inode.
func (bs *bases) addTo(r *reason) {
	if len(bs.untried) > 0 {
		r.add(reason{rank: notTried, err: bs.untried[0].why, search: r.search})
	}
}

// basesOf opens the directories at which a device is mounted and can be reached,
// those with the most of the filesystem first. An O_PATH descriptor of a mount
// point queues nothing, and one can have it as its working directory. None is
// one that may wait, nor lies behind such a one. What is mounted on a file is not
// among them: see mountPoints.
func (p *process) basesOf(dev inotify.Device) (bs bases) {
	for _, m := range p.mountsOf(dev) {
		if far := p.far(m.Point); far != nil {
			bs.untried = append(bs.untried, untried{m, mayWait(far), false})
			continue
		}
		switch fd, isDir, err := p.openMount(m); {
		case err == errHidden:
			bs.untried = append(bs.untried, untried{m, p.hiddenMount(m), true})
		case err != nil:
			why := fmt.Errorf("open %.400q, where device %v is mounted: %w", m.Point, dev, err)
			bs.untried = append(bs.untried, untried{m, why, false})
		case isDir:
			bs.open = append(bs.open, base{m, fd})
		default:
			sysClose(fd)
		}
	}
	bs.untried = slices.DeleteFunc(bs.untried, func(u untried) bool {
		return u.Root != "" && slices.ContainsFunc(bs.open, func(b base) bool { return b.Root != "" && within(u.Root, b.Root) })
	})
	slices.SortStableFunc(bs.untried, func(a, b untried) int {
		return cmp.Compare(a.priority(), b.priority())
	})
	return bs
}

// priority orders the reasons of mounts that were not tried: an errno is the first.
func (u *untried) priority() int {
	var e errno
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
	fd, e := p.lookup(cstring(m.Point), 0)
	switch e {
	case success:
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
		if e := sysFstat(fd, &st); e != success {
			err = os.NewSyscallError("fstat", e)
		}
	}
	if err != nil {
		sysClose(fd)
		return -1, false, err
	}
	return fd, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// hiddenMount says which mount hides another.
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

// mountsOf returns the mounts of a device, those with the most of the filesystem
// first.
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

// depth is how far down a path is; a root that is not known is taken to be one
// level down.
func depth(path string) int {
	if path == "/" {
		return 0
	}
	return max(1, strings.Count(path, "/"))
}

// thread decodes on an operating system thread with a working directory of its
// own, which ends with the goroutine as it is never unlocked. The process's first
// thread would not end, and what /proc/PID/cwd and root show is its: while it is
// locked here, another goroutine has another thread.
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
	unix.Chdir("/") // or the thread, which ends a moment later, keeps a mount busy
}

// run decodes until nothing is left.
func (d *decoder) run(ctx context.Context) {
	t := &decodeThread{decoder: d, procFD: d.p.procFD, at: -1}
	for ctx.Err() == nil {
		next := int(d.next.Add(1)) - 1
		if next >= len(d.todo) {
			break
		}
		for _, i := range d.todo[next] {
			d.places[i].Path, d.why[i].handle = t.find(i)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decoded = d.decoded || t.opened
	d.unsure = append(d.unsure, t.unsure...)
}

// stop has the rest of the watches get an error that holds for all.
func (d *decoder) stop(err error) { d.fatal.CompareAndSwap(nil, &err) }

// A decodeThread is one thread's part.
type decodeThread struct {
	*decoder
	procFD int
	at     int // the base that is the working directory, or -1
	opened bool
	unsure []candidate
	h      rawHandle
	st     unix.Stat_t
	text   [unix.PathMax + 1]byte
}

// find finds a watch's path by trying its device's mounts, or says why there is none.
func (t *decodeThread) find(i int) (string, reason) {
	var best reason
	bases := t.bases[t.ws[i].Device]
	for k := range bases.open {
		if err := t.fatal.Load(); err != nil {
			return "", reason{rank: final, err: *err, search: "the path"}
		}
		path, why := t.try(i, &bases.open[k])
		if path != "" {
			return path, reason{}
		}
		if best.add(why); best.rank >= nameless {
			return "", best
		}
	}
	bases.addTo(&best)
	return "", best
}

// try opens the handle on a mount.
func (t *decodeThread) try(i int, b *base) (string, reason) {
	if t.at != b.fd {
		if err := unix.Fchdir(b.fd); err != nil {
			return "", reason{rank: failed, err: fmt.Errorf("fchdir %q: %w", b.Point, err), search: "the path"}
		}
		t.at = b.fd
	}
	w := &t.ws[i]
	t.h.set(w.Handle.Type, w.Handle.Bytes)
	fd, e := sysOpenHandle(&t.h)
	if e != success {
		return "", t.cannotOpen(e, w, b)
	}
	t.opened = true
	text, err := t.read(i, fd)
	if err != nil {
		return "", reason{rank: failed, err: err, search: "the path"}
	}
	return t.believe(i, b, text)
}

// believe settles whether the kernel's text for the inode is the path.
func (t *decodeThread) believe(i int, b *base, text []byte) (string, reason) {
	full := string(text)
	removed := strings.HasSuffix(full, deleted)
	unconnected := full == "/" && !t.isDir()
	isRoot := b.Point == "/" && t.p.rootPath == "/" // what is mounted, where the text is "/"
	switch {
	case t.st.Nlink == 0 && (removed || unconnected && remote(&b.Mount) == ""): // FUSE may show 0 always
		return "", reason{rank: final, err: ErrUnlinked}
	case unconnected, !isRoot && (full == "/" || full == "/"+deleted):
		return "", t.notBelow(i, b)
	}
	if !t.p.own {
		inside, ok := cutRoot(text, t.p.rootPath)
		if !ok {
			return "", reason{rank: outside, err: fmt.Errorf("%q is outside of the process's root directory, %q", full, t.p.rootPath)}
		}
		text = inside
	}
	return t.compare(i, b, text)
}

func (t *decodeThread) isDir() bool { return t.st.Mode&unix.S_IFMT == unix.S_IFDIR }

// notBelow is the reason of a mount from which no cached name leads to the inode. To a
// directory that is below it one always does: decoding the handle sees to that.
func (t *decodeThread) notBelow(i int, b *base) reason {
	switch dev := t.ws[i].Device; {
	case t.isDir():
		return reason{rank: notShown, err: fmt.Errorf("the inode is on device %v, below no mount that the process can see", dev)}
	case b.Root == "/":
		return reason{rank: nameless, err: errors.New("no cached name leads to the inode"), search: "the path"}
	default:
		return reason{rank: notShown, err: fmt.Errorf("no cached name leads to the inode from a mount of device %v that the process can see", dev), search: "the path"}
	}
}

// read learns the inode's type and the kernel's text for its path, and closes
// the descriptor, which would delay an unlinked file's IN_DELETE_SELF. The text
// has room for a zero byte after it.
func (t *decodeThread) read(i, fd int) ([]byte, error) {
	defer sysClose(fd)
	if e := sysFstat(fd, &t.st); e != success {
		return nil, os.NewSyscallError("fstat", e)
	}
	t.places[i].Mode = uint32(t.st.Mode) & unix.S_IFMT
	text, e := readBack(t.procFD, fd, t.text[:unix.PathMax])
	if e != success {
		return nil, os.NewSyscallError("readlink", e)
	}
	return text, nil
}

// deleted is what the kernel puts behind the path of a name that was removed.
const deleted = " (deleted)"

// compare settles whether the text, a slice of t.text, is the path.
func (t *decodeThread) compare(i int, b *base, text []byte) (string, reason) {
	full := string(text)
	if far := t.p.far(full); far != nil {
		return "", behindFar(full, far)
	}
	switch same, err := t.same(i, text); {
	case same:
		return full, reason{}
	case err == errUnsure:
		t.unsure = append(t.unsure, candidate{i, full, t.elsewhere(i, full, b)})
		return "", reason{}
	case err != nil && err != unix.ENOENT && err != unix.ENOTDIR:
		return "", reason{rank: failed, err: fmt.Errorf("looking up %q: %w", full, t.p.explain(err.(errno)))}
	}
	short, removed := strings.CutSuffix(full, deleted)
	if !removed || short == "/" {
		return "", t.elsewhere(i, full, b)
	}
	if far := t.p.far(short); far != nil {
		return "", behindFar(short, far)
	}
	if same, _ := t.same(i, text[:len(short)]); same {
		return short, reason{}
	}
	return "", reason{rank: unnamed, err: fmt.Errorf("name %q was removed, hard links left: %d", short, t.st.Nlink), search: "another name"}
}

func behindFar(path string, far *Mount) reason {
	return reason{rank: behind, err: fmt.Errorf("the path may be %q, but %w", path, mayWait(far))}
}

// same reports whether the path, a slice of t.text, leads to the watch's inode.
// The error is errUnsure where there is no handle to compare. On overlayfs, where a
// handle alone is not enough (see overlay), one that can be opened is: nfs_export
// implies index.
//
// Where the process's root directory is ours, this is one call by path, which
// is as good as a lookup confined to the root: there is no way out of it.
func (t *decodeThread) same(i int, path []byte) (bool, error) {
	t.text[len(path)] = 0
	dir, name, flags := unix.AT_FDCWD, &path[0], t.p.handleFlags()
	if !t.p.own {
		fd, e := t.p.lookup(name, 0)
		if e != success {
			return false, e
		}
		defer sysClose(fd)
		dir, name, flags = fd, &empty[0], flags|unix.AT_EMPTY_PATH
	}
	id, e := sysNameToHandle(dir, name, flags, &t.h)
	switch e {
	case success:
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM:
		return false, errUnsure
	default:
		return false, e
	}
	m, known := t.p.mount(id)
	if !known {
		return false, errUnsure
	}
	w := &t.ws[i]
	return m.Device == w.Device && t.h.kind == w.Handle.Type && string(t.h.data[:t.h.size]) == w.Handle.Bytes, nil
}

// errUnsure stands for a candidate that is compared later.
var errUnsure = errors.New("not compared yet")

// cannotOpen explains why open_by_handle_at failed.
func (t *decodeThread) cannotOpen(e errno, w *inotify.Watch, b *base) reason {
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

// elsewhere explains why another inode, or none, is at the path that the kernel
// has for a watch's.
func (t *decodeThread) elsewhere(i int, path string, b *base) reason {
	if path == "/" || path == "/"+deleted {
		return t.notBelow(i, b)
	}
	p := t.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if way := mountsOnPath(p.mounts, p.rootID, b.ID, path); len(way) > 1 {
		hider := way[len(way)-1]
		return reason{rank: covered, err: fmt.Errorf("%q is hidden by the %s mounted on %q", path, hider.Type, hider.Point)}
	}
	return reason{rank: renamed, err: fmt.Errorf("the kernel has %q for the inode, where there is another inode or none", path), search: "another name"}
}

// cutRoot cuts the path of a root directory off a path inside it, in place.
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
