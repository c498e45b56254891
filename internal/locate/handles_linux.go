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
// lies outside what is mounted there; the path at which another mount hides it;
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

// bases are those of a device, and the first error of one that could not be opened.
type bases struct {
	open   []base
	failed error
}

// A decoder finds the paths of many watches by their handles.
type decoder struct {
	p      *process
	ws     []inotify.Watch
	places []Place
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
	not   error // what to say if it is not; nil for the obvious
}

// decode finds the paths of the watches todo, and returns whether a handle was
// opened, and candidates that it could not compare.
func (p *process) decode(ctx context.Context, ws []inotify.Watch, places []Place, todo []int) (bool, []candidate) {
	d := &decoder{p: p, ws: ws, places: places, bases: make(map[inotify.Device]bases)}
	defer d.close()
	var ready []int
	for _, i := range todo {
		if err := d.prepare(&ws[i]); err != nil {
			places[i].Err = err
			continue
		}
		ready = append(ready, i)
	}
	if len(ready) == 0 {
		return false, nil
	}
	slices.SortStableFunc(ready, func(a, b int) int {
		x, y := ws[a].Device, ws[b].Device
		return cmp.Or(cmp.Compare(x.Major, y.Major), cmp.Compare(x.Minor, y.Minor))
	})
	d.todo = slices.Collect(slices.Chunk(ready, handlesChunk))
	threads := 1
	if len(ready) >= enoughForTwo && runtime.GOMAXPROCS(0) > 1 {
		threads = 2
	}
	var wait sync.WaitGroup
	for range threads {
		wait.Go(func() { d.thread(ctx) })
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

// prepare opens the mounts of a watch's device.
func (d *decoder) prepare(w *inotify.Watch) error {
	if w.Handle == (inotify.Handle{}) {
		return errors.New("the kernel gave no handle for it; a search can find it")
	}
	bases, known := d.bases[w.Device]
	if !known {
		bases = d.p.basesOf(w.Device)
		d.bases[w.Device] = bases
	}
	if len(bases.open) > 0 {
		return nil
	}
	for _, m := range d.p.mountsOf(w.Device) {
		if far := d.p.far(m.Point); far != nil {
			return mayWait(far)
		}
	}
	if bases.failed != nil {
		return bases.failed
	}
	return d.p.noBase(w.Device)
}

// basesOf opens the directories at which a device is mounted and can be reached,
// those with the most of the filesystem first. An O_PATH descriptor of a mount
// point queues nothing, and one can have it as its working directory. None is
// one that may wait, nor lies behind such a one.
func (p *process) basesOf(dev inotify.Device) (bs bases) {
	fail := func(m Mount, err error) {
		if bs.failed == nil {
			bs.failed = fmt.Errorf("opening %q, where device %v is mounted: %w", m.Point, dev, err)
		}
	}
	for _, m := range p.mountsOf(dev) {
		if p.far(m.Point) != nil {
			continue
		}
		fd, e := p.lookup(cstring(m.Point), unix.O_DIRECTORY)
		switch e {
		case success:
		case unix.ENOENT, unix.ENOTDIR: // it is hidden, or on no directory
			continue
		default:
			fail(m, p.explain(e))
			continue
		}
		id, err := mountOf(p.procFD, fd)
		if err != nil {
			fail(m, err)
		}
		if err != nil || id != m.ID {
			sysClose(fd)
			continue
		}
		bs.open = append(bs.open, base{m, fd})
	}
	return bs
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

func (p *process) noBase(dev inotify.Device) error {
	ms := p.mountsOf(dev)
	if len(ms) == 0 {
		return fmt.Errorf("device %v is mounted nowhere in the process's root and mount namespace; supply an open file for it", dev)
	}
	var points []string
	for _, m := range ms {
		points = append(points, m.Point)
	}
	return fmt.Errorf("device %v is mounted only at %q: on no directory, or hidden by other mounts", dev, points)
}

// thread decodes on an operating system thread with a working directory of its
// own, which ends with the goroutine as it is never unlocked. The process's first
// thread would not end, and what /proc/PID/cwd and root show is its: while it is
// locked here, another goroutine has another thread.
func (d *decoder) thread(ctx context.Context) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		var wait sync.WaitGroup
		wait.Go(func() { d.thread(ctx) })
		wait.Wait()
		runtime.UnlockOSThread()
		return
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		d.stop(fmt.Errorf("opening a file handle needs a thread with a working directory of its own, and unshare(CLONE_FS) is forbidden; a search can do without: %w",
			os.NewSyscallError("unshare", err)))
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
			d.places[i].Path, d.places[i].Err = t.find(i)
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

// find finds a watch's path by trying its device's mounts.
func (t *decodeThread) find(i int) (string, error) {
	var last error
	for _, b := range t.bases[t.ws[i].Device].open {
		if err := t.fatal.Load(); err != nil {
			return "", *err
		}
		path, more, err := t.try(i, b)
		if !more {
			return path, err
		}
		last = err
	}
	return "", last
}

// try opens the handle on a mount. more says that another mount may do better.
func (t *decodeThread) try(i int, b base) (path string, more bool, err error) {
	if t.at != b.fd {
		if err := unix.Fchdir(b.fd); err != nil {
			return "", true, fmt.Errorf("fchdir to %q: %w", b.Point, err)
		}
		t.at = b.fd
	}
	w := &t.ws[i]
	t.h.set(w.Handle.Type, w.Handle.Bytes)
	fd, e := sysOpenHandle(&t.h)
	if e != success {
		return "", false, t.cannotOpen(e, b)
	}
	t.opened = true
	text, err := t.read(i, fd)
	if err != nil {
		return "", false, err
	}
	if t.st.Nlink == 0 && strings.HasSuffix(string(text), deleted) {
		return "", false, ErrUnlinked
	}
	if !t.p.own {
		inside, ok := cutRoot(text, t.p.rootPath)
		if !ok {
			return "", true, fmt.Errorf("it is outside the process's root directory %q, at %q", t.p.rootPath, text)
		}
		text = inside
	}
	return t.compare(i, b, text)
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

// compare settles whether the text is the path.
func (t *decodeThread) compare(i int, b base, text []byte) (path string, more bool, err error) {
	full := string(text)
	if far := t.p.far(full); far != nil {
		return "", true, fmt.Errorf("it may be at %q, but %w", full, mayWait(far))
	}
	switch same, err := t.same(i, text); {
	case same:
		return full, false, nil
	case err == errUnsure:
		t.unsure = append(t.unsure, candidate{i, full, t.p.elsewhere(full, b)})
		return "", true, err
	case err != nil && err != unix.ENOENT && err != unix.ENOTDIR:
		return "", true, fmt.Errorf("looking up %q: %w", full, t.p.explain(err.(errno)))
	}
	if short, found := strings.CutSuffix(full, deleted); found {
		if far := t.p.far(short); far != nil {
			return "", true, fmt.Errorf("it may be at %q, but %w", short, mayWait(far))
		}
		if same, _ := t.same(i, text[:len(short)]); same {
			return short, false, nil
		}
		return "", true, fmt.Errorf("its name %q was removed, and %d hard links are left; a search can find them", short, t.st.Nlink)
	}
	return "", full != "/" || b.Root != "/", t.p.elsewhere(full, b)
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
func (t *decodeThread) cannotOpen(e errno, b base) error {
	switch e {
	case unix.EPERM:
		err := fmt.Errorf("opening a file handle needs CAP_DAC_READ_SEARCH, and no seccomp profile that forbids it; a search can do without: %w", os.NewSyscallError("open_by_handle_at", e))
		t.stop(err)
		return err
	case unix.ESTALE, unix.EOPNOTSUPP:
		return fmt.Errorf("%s at %q does not open this handle; a search can find it: %w", b.Type, b.Point, os.NewSyscallError("open_by_handle_at", e))
	}
	return fmt.Errorf("the handle on %s at %q: %w", b.Type, b.Point, os.NewSyscallError("open_by_handle_at", e))
}

// elsewhere explains why another inode, or none, is at the path that the kernel
// has for a watch's.
func (p *process) elsewhere(path string, b base) error {
	if path == "/" {
		return fmt.Errorf("the kernel has no path for it in its cache, at least not below %q; a search can find it", b.Point)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var hider *Mount
	for i := range p.mounts {
		m := &p.mounts[i]
		if m.ID != b.ID && within(path, m.Point) && depth(m.Point) >= depth(b.Point) &&
			(hider == nil || len(m.Point) >= len(hider.Point)) {
			hider = m
		}
	}
	if hider != nil && hider.Point != "/" {
		return fmt.Errorf("it is at %q, hidden by the %s mounted on %q", path, hider.Type, hider.Point)
	}
	return fmt.Errorf("the kernel has %q for it, where there is another inode or none; a search can find another name", path)
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
