// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// A faultRequest is what a child under supervision is told: one operation, and the
// errno that it may meet.
type faultRequest struct {
	Op    string
	Errno unix.Errno
}

// A faultAnswer is what became of it.
type faultAnswer struct {
	Err    string   // the operation's error
	Is     bool     // errors.Is of the errno
	Broken []string // promises that were not kept
	Shut   int      // descriptors whose close was failed
}

// A faultOp is an operation that is tried under faults.
type faultOp struct {
	name       string
	fails      bool     // also without a fault
	needsIoctl bool     // or it fails
	ways       []string // further ones than the kernel as it is: see faultWays
	ready      func(r *rig) error
	do         func(r *rig) error
}

// A rig is what an operation finds: an instance with a watch on a directory, a
// watch that was removed, and events of both in its queue.
type rig struct {
	dir   string
	n     *inotify.Inotify
	want  []inotify.Event // what readers must get
	wd    inotify.WD      // of the directory's watch
	named int

	other    *os.File // for the operations that need a file
	batch    []inotify.Watch
	restored []inotify.Watch // to be there if the operation succeeds
	removed  bool            // the directory's watch is not to be there then
	made     *inotify.Inotify
	given    *os.File
	event    *inotify.Event // that the operation read
}

func newRig() (*rig, error) {
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir}
	if err := os.Mkdir(r.path("live"), 0o700); err != nil {
		return nil, err
	}
	for i := range 6 {
		if err := mknod(r.path(fmt.Sprint("f", i))); err != nil {
			return nil, err
		}
	}
	for range 200 { // the instances of a user are few, and others have some, too
		if r.n, err = inotify.New(); !errors.Is(err, unix.EMFILE) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return nil, err
	}
	if r.wd, err = r.n.AddWatch(r.path("live"), inotify.Create); err != nil {
		return nil, err
	}
	former, err := r.n.AddWatch(r.path("f5"), inotify.Attrib)
	if err != nil {
		return nil, err
	}
	if err := r.happen("before"); err != nil {
		return nil, err
	}
	r.want = append(r.want, inotify.Event{WD: former, Mask: inotify.Ignored})
	return r, errors.Join(r.n.RemoveWatch(former), r.happen("before"))
}

// mknod makes a file with one call. What the child asks for costs time.
func mknod(path string) error { return unix.Mknod(path, unix.S_IFREG|0o600, 0) }

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// happen makes an event, with a name of its own.
func (r *rig) happen(name string) error {
	r.named++
	name = fmt.Sprint(name, r.named)
	r.want = append(r.want, inotify.Event{WD: r.wd, Mask: inotify.Create, Name: name})
	return mknod(r.path("live/" + name))
}

// numbered makes a batch of watches on the rig's files.
func (r *rig) numbered(wds ...inotify.WD) {
	for i, wd := range wds {
		r.batch = append(r.batch, inotify.Watch{WD: wd, Mask: inotify.Attrib, Path: r.path(fmt.Sprint("f", i))})
	}
	r.restored = r.batch
}

// leftBehind is what an operation's error says may be left behind.
const (
	watchLeft   = "could not be removed again"
	ignoredLeft = "of a watch that was removed again may follow"
)

func childFaults() error {
	return kerneltest.Obey(func(request string) string {
		var q faultRequest
		if err := json.Unmarshal([]byte(request), &q); err != nil {
			return err.Error()
		}
		answer, err := q.run()
		if err != nil {
			answer.Broken = append(answer.Broken, "the rig: "+err.Error())
		}
		text, _ := json.Marshal(answer)
		return string(text)
	})
}

// run does the operation and looks what has become of everything.
func (q *faultRequest) run() (a faultAnswer, err error) {
	op := faultOps[slices.IndexFunc(faultOps, func(o faultOp) bool { return o.name == q.Op })]
	r, err := newRig()
	if err != nil {
		return a, err
	}
	defer r.n.Close()
	before, goroutines := kerneltest.OpenDescriptors(), runtime.NumGoroutine()
	if op.ready != nil {
		if err := op.ready(r); err != nil {
			return a, err
		}
	}
	watched, err := r.n.Watches()
	if err != nil {
		return a, err
	}
	var failed error
	kerneltest.Watched(func() { failed = op.do(r) })
	if failed != nil {
		a.Err, a.Is = failed.Error(), errors.Is(failed, q.Errno)
	}
	broken := func(format string, args ...any) { a.Broken = append(a.Broken, fmt.Sprintf(format, args...)) }
	a.Shut = kerneltest.CloseShut()
	if err := r.checkMade(); err != nil {
		broken("what was made: %v", err)
	}
	if after := kerneltest.OpenDescriptors(); !slices.Equal(before, after) {
		broken("descriptors before %q, after %q", before, after)
	}
	for range 100 {
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		broken("%d goroutines, before %d", now, goroutines)
	}
	watched = r.changed(watched, failed == nil)
	if now, err := r.n.Watches(); err != nil || !sameWatches(now, watched) && !strings.Contains(a.Err, watchLeft) {
		broken("watches %v, %v; want %v", now, err, watched)
	}
	if err := r.checkUsable(failed == nil); err != nil {
		broken("afterwards: %v", err)
	}
	got, err := r.read()
	if err != nil {
		broken("reading: %v", err)
	}
	if strings.Contains(a.Err, watchLeft) || strings.Contains(a.Err, ignoredLeft) {
		got = r.withoutIgnored(got)
	}
	if !slices.Equal(got, r.want) {
		broken("events %v; want %v", got, r.want)
	}
	return a, nil
}

// checkMade uses what the operation made or was to use, and closes it.
func (r *rig) checkMade() error {
	for _, f := range []*os.File{r.given, r.other} {
		if f != nil {
			if err := f.Close(); err != nil {
				return err
			}
		}
	}
	if r.made == nil {
		return nil
	}
	wd, err := r.made.AddWatch(r.path("f0"), inotify.Attrib)
	if err == nil {
		err = os.Chmod(r.path("f0"), 0o600)
	}
	if err == nil {
		var ev inotify.Event
		if ev, err = r.made.ReadEvent(); err == nil && (ev != inotify.Event{WD: wd, Mask: inotify.Attrib}) {
			err = fmt.Errorf("it has event %v", ev)
		}
	}
	return errors.Join(err, r.made.Close())
}

// withoutIgnored drops what an error announced.
func (r *rig) withoutIgnored(got []inotify.Event) (kept []inotify.Event) {
	for _, ev := range got {
		wanted := len(kept) < len(r.want) && ev == r.want[len(kept)]
		if wanted || ev.Mask != inotify.Ignored {
			kept = append(kept, ev)
		}
	}
	return kept
}

// changed returns the watches that there are after the operation.
func (r *rig) changed(before []inotify.Watch, succeeded bool) []inotify.Watch {
	after := slices.Clone(before)
	if succeeded {
		after = append(after, r.restored...)
	}
	return slices.DeleteFunc(after, func(w inotify.Watch) bool { return r.removed && w.WD == r.wd })
}

func sameWatches(a, b []inotify.Watch) bool {
	return slices.EqualFunc(a, b, func(a, b inotify.Watch) bool { return a.WD == b.WD && a.Mask == b.Mask })
}

// checkUsable uses the instance: what is watched reports, a watch can be added and
// removed, and restored under a number.
func (r *rig) checkUsable(succeeded bool) error {
	if succeeded {
		for _, w := range r.restored {
			if err := os.Chmod(w.Path, 0o600); err != nil {
				return err
			}
			r.want = append(r.want, inotify.Event{WD: w.WD, Mask: inotify.Attrib})
		}
	}
	if !r.removed {
		if err := r.happen("after"); err != nil {
			return err
		}
	}
	late := r.path("late")
	if err := mknod(late); err != nil {
		return err
	}
	wd, err := r.n.AddWatch(late, inotify.Attrib)
	if err != nil {
		return err
	}
	const number = 9000
	for _, wd := range []inotify.WD{wd, number} {
		if wd == number {
			if !r.n.SupportsSetNextWD() {
				break
			}
			if err := r.n.RestoreWatch(context.Background(), wd, late, inotify.Attrib); err != nil {
				return err
			}
		}
		r.want = append(r.want, inotify.Event{WD: wd, Mask: inotify.Attrib}, inotify.Event{WD: wd, Mask: inotify.Ignored})
		if err := errors.Join(os.Chmod(late, 0o600), r.n.RemoveWatch(wd)); err != nil {
			return err
		}
	}
	return nil
}

// read reads all that there is.
func (r *rig) read() (evs []inotify.Event, err error) {
	if r.event != nil {
		evs = append(evs, *r.event)
	}
	if err := r.n.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, err
	}
	for {
		ev, err := r.n.ReadEvent()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return evs, nil
		}
		if err != nil {
			return evs, err
		}
		evs = append(evs, ev)
	}
}

// faultOps are the operations.
var faultOps = []faultOp{
	{name: "New", do: func(r *rig) (err error) {
		r.made, err = inotify.New()
		return err
	}},
	{name: "FromFile", ready: func(r *rig) error {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return err
		}
		r.other = os.NewFile(uintptr(fd), "inherited")
		return nil
	}, do: func(r *rig) (err error) {
		if r.made, err = inotify.FromFile(r.other); err == nil {
			r.other = nil
		}
		return err
	}},
	{name: "Close", ready: func(r *rig) (err error) {
		r.made, err = inotify.New()
		return err
	}, do: func(r *rig) error {
		n := r.made
		r.made = nil
		return n.Close()
	}},
	{name: "File", do: func(r *rig) (err error) {
		r.given, err = r.n.File()
		return err
	}},
	{name: "AddWatch", do: func(r *rig) error {
		r.numbered(3)
		_, err := r.n.AddWatch(r.batch[0].Path, inotify.Attrib)
		return err
	}},
	{name: "AddWatchFile", ready: func(r *rig) (err error) {
		r.numbered(3)
		r.other, err = os.Open(r.batch[0].Path)
		return err
	}, do: func(r *rig) error {
		_, err := r.n.AddWatchFile(r.other, inotify.Attrib)
		return err
	}},
	{name: "RemoveWatch", do: func(r *rig) error {
		err := r.n.RemoveWatch(r.wd)
		if err == nil || errors.Is(err, unix.EINVAL) { // it went just before
			r.removed, r.want = true, append(r.want, inotify.Event{WD: r.wd, Mask: inotify.Ignored})
		}
		return err
	}},
	{name: "Watches", do: func(r *rig) error {
		ws, err := r.n.Watches()
		if err == nil && len(ws) != 1 {
			err = fmt.Errorf("watches %v", ws)
		}
		return err
	}},
	{name: "Watches of none", ready: func(r *rig) (err error) {
		r.made, err = inotify.New()
		return err
	}, do: func(r *rig) error {
		n := r.made
		r.made = nil
		ws, err := n.Watches()
		if err == nil && len(ws) != 0 {
			err = fmt.Errorf("watches %v", ws)
		}
		n.Close()
		return err
	}},
	{name: "Buffered", do: func(r *rig) error {
		_, err := r.n.Buffered()
		return err
	}},
	{name: "SetNextWD", needsIoctl: true, do: func(r *rig) error { return r.n.SetNextWD(50) }},
	{name: "SupportsSetNextWD", do: func(r *rig) error {
		r.n.SupportsSetNextWD() // false tells enough
		return nil
	}},
	{name: "NextWD", needsIoctl: true, do: nextIs3},
	{name: "NextWD without directories", needsIoctl: true, ready: func(r *rig) error {
		for _, path := range inotify.ScratchPaths() {
			if _, err := r.n.AddWatch(path, inotify.DeleteSelf); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		return nil
	}, do: func(r *rig) error {
		_, err := r.n.NextWD()
		return err
	}},
	{name: "RestoreWatch", ways: []string{"without the ioctl", "without IN_MASK_CREATE", "without both"}, do: restoreOne(40)},
	{name: "RestoreWatches", ways: []string{"without the ioctl", "without IN_MASK_CREATE", "without both"}, do: restoreSome(10, 11, 12, 20, 21)},
	{name: "RestoreWatches for others", ready: sharing, do: restoreSome(10, 11, 12, 20, 21)},
	{name: "RestoreWatch of a watched inode", ways: []string{"without the ioctl"}, fails: true, do: func(r *rig) error {
		return r.n.RestoreWatch(context.Background(), 40, r.path("live"), inotify.Attrib)
	}},
	{name: "RestoreWatch of a taken number", ways: []string{"without the ioctl"}, fails: true, do: restoreOne(1)},
	{name: "RestoreWatches to a watched inode", ways: []string{"without the ioctl", "without IN_MASK_CREATE"}, fails: true, do: restoreToWatched},
	{name: "RestoreWatches to a taken number", ways: []string{"without the ioctl"}, fails: true, ready: takeNumber, do: restoreSome(10, 11, 12, 20, 21)},
	{name: "RestoreWatches to a missing path", ways: []string{"without the ioctl"}, fails: true, ready: lose, do: restoreSome(10, 11, 12, 20, 21)},
	{name: "RestoreWatches for others to a watched inode", ways: []string{"without the ioctl"}, fails: true, ready: sharing, do: restoreToWatched},
	{name: "RestoreWatches of many to a watched inode", fails: true, ready: func(r *rig) error {
		for i := range 70 { // more than are removed at a time
			w := inotify.Watch{WD: inotify.WD(100 + i), Mask: inotify.Attrib, Path: r.path(fmt.Sprint("m", i))}
			if err := mknod(w.Path); err != nil {
				return err
			}
			r.batch = append(r.batch, w)
		}
		r.batch[len(r.batch)-1].Path = r.path("live")
		return nil
	}, do: func(r *rig) error { return r.n.RestoreWatches(context.Background(), r.batch) }},
	{name: "a long RestoreWatch", ways: []string{"without the ioctl"}, do: restoreOne(1200)},
	{name: "ReadEvent", do: func(r *rig) error {
		if err := r.n.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		ev, err := r.n.ReadEvent()
		if err == nil {
			r.event = &ev
		}
		return err
	}},
	{name: "TryReadEvent", do: func(r *rig) error {
		ev, ok, err := r.n.TryReadEvent()
		if ok {
			r.event = &ev
		}
		return err
	}},
	{name: "Events", do: func(r *rig) error {
		if err := r.n.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		for ev, err := range r.n.Events(context.Background()) {
			if err == nil {
				r.event = &ev
			}
			return err
		}
		return nil
	}},
}

func nextIs3(r *rig) error {
	wd, err := r.n.NextWD()
	if err == nil && wd != 3 {
		err = fmt.Errorf("the next number is said to be %d", wd)
	}
	return err
}

func restoreOne(wd inotify.WD) func(r *rig) error {
	return func(r *rig) error {
		r.numbered(wd)
		return r.n.RestoreWatch(context.Background(), wd, r.batch[0].Path, inotify.Attrib)
	}
}

func restoreSome(wds ...inotify.WD) func(r *rig) error {
	return func(r *rig) error {
		r.numbered(wds...)
		return r.n.RestoreWatches(context.Background(), r.batch)
	}
}

func restoreToWatched(r *rig) error {
	r.numbered(10, 11, 12, 20, 21)
	r.batch = slices.Clone(r.batch)
	r.batch[3].Path = r.path("live")
	return r.n.RestoreWatches(context.Background(), r.batch)
}

// sharing has somebody else hold the instance.
func sharing(r *rig) (err error) {
	r.other, err = r.n.File()
	return err
}

// takeNumber has a watch take one of the numbers to be restored.
func takeNumber(r *rig) error {
	return r.n.RestoreWatch(context.Background(), 20, r.path("f5"), inotify.Modify)
}

// lose removes one of the files to be watched.
func lose(r *rig) error { return os.Remove(r.path("f3")) }

// A faultRow says which errnos the kernel may give for a call, and by which word an
// error names it. EPERM is a seccomp profile's, and EACCES, where no path is looked
// up, a security module's.
type faultRow struct {
	call, on string // the beginnings of the call's name and object
	errnos   []unix.Errno
	word     string
}

var (
	ofLookup = []unix.Errno{unix.EACCES, unix.EINTR, unix.ENOENT, unix.ENOMEM, unix.ENOTDIR} // EINTR: FUSE, and others that wait for somebody
	ofOpen   = []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOMEM}                           // of a new descriptor
)

// faultTable has every call that the library makes.
var faultTable = []faultRow{
	{"inotify_init1", "", append(ofOpen, unix.EPERM, unix.ENOSYS), "inotify_init1"}, // ENOSYS: without CONFIG_INOTIFY_USER
	{"inotify_add_watch", "", append(ofLookup, unix.ENOSPC, unix.EPERM), "inotify_add_watch"},
	{"inotify_rm_watch", "", []unix.Errno{unix.EPERM, unix.EINVAL}, "inotify_rm_watch"}, // EINVAL: the watch has just gone
	{"ioctl INOTIFY_IOC_SETNEXTWD", "", []unix.Errno{unix.ENOTTY, unix.ENOSYS, unix.EPERM, unix.EACCES}, "ioctl INOTIFY_IOC_SETNEXTWD"},
	{"ioctl FIONREAD", "", []unix.Errno{unix.EACCES, unix.EPERM}, "ioctl FIONREAD"},
	{"read", "anon_inode:inotify", []unix.Errno{unix.EACCES, unix.EINTR, unix.EAGAIN, unix.EINVAL, unix.ENOMEM}, "read"}, // EAGAIN: another reads, too; EINVAL: the next record is longer
	{"read", "", []unix.Errno{unix.EACCES, unix.EINTR, unix.ENOMEM}, "read"},
	{"fcntl F_DUPFD_CLOEXEC", "", []unix.Errno{unix.EMFILE, unix.ENOMEM, unix.EACCES}, "fcntl F_DUPFD_CLOEXEC"},
	{"fcntl F_GETFL", "", []unix.Errno{unix.EACCES}, "fcntl F_GETFL"},
	{"fcntl F_SETFL", "", []unix.Errno{unix.EACCES}, "fcntl F_SETFL"},
	{"epoll_ctl", "", []unix.Errno{unix.ENOSPC, unix.ENOMEM, unix.EPERM}, "fs.epoll.max_user_watches"}, // ENOSPC: that limit
	{"openat", "", append(ofLookup, ofOpen...), "open"},
	{"fstatat", "", ofLookup, "stat"},
	{"stat", "", ofLookup, "stat"}, // of GOARCH=386
	{"memfd_create", "", append(ofOpen, unix.ENOSYS, unix.EPERM), "memfd_create"},
	{"prlimit64", "", []unix.Errno{unix.EPERM}, "RLIMIT_NOFILE"},
	{"getrlimit", "", []unix.Errno{unix.EPERM}, "RLIMIT_NOFILE"},
	// Not of what the library closes, which has nothing to flush; but who closes
	// again after EINTR closes what is another's by then.
	{"close", "", []unix.Errno{unix.EINTR, unix.EIO}, "close"},
}

// errnosOf returns the errnos to try for a call, and the word for it.
func errnosOf(c *kerneltest.Call) ([]unix.Errno, string) {
	i := slices.IndexFunc(faultTable, func(r faultRow) bool {
		return strings.HasPrefix(c.Name, r.call) && strings.HasPrefix(c.Object, r.on)
	})
	if i < 0 {
		return nil, ""
	}
	row := faultTable[i]
	switch {
	case row.call != "inotify_add_watch":
	case c.Object == "": // asks what the kernel knows, and looks nothing up
		return []unix.Errno{unix.ENOMEM, unix.EPERM}, row.word
	case c.Args[2]&uint64(inotify.MaskCreate) != 0: // a watch that was there, and may have gone since
		return append(slices.Clone(row.errnos), unix.EEXIST), row.word
	}
	return row.errnos, row.word
}

// A tolerance says which faults an operation gets over, so that it has no error, or
// the one that it has anyway.
type tolerance struct {
	op, call, on string // of the operation's name a part, of the call's the beginning, of its object a part
	errnos       []unix.Errno
	why          string
}

const (
	anotherWillDo = "another directory will do"
	notTold       = "the error does not tell which watch it is"
	osKeeps       = "package os keeps the errno; the error tells that the runtime cannot wait"
)

var tolerances = []tolerance{
	{"", "inotify_add_watch", "", []unix.Errno{unix.EINTR}, "it is made again"},
	{"", "openat", "", []unix.Errno{unix.EINTR}, "it is made again"},
	{"", "read", "", []unix.Errno{unix.EINTR}, "it is made again"},
	{"", "fstatat", "", []unix.Errno{unix.EINTR}, "it is made again"},
	{"", "stat", "", []unix.Errno{unix.EINTR}, "it is made again"},
	{"", "close", "/", nil, "it is closed in any case, and nothing was written"},
	{"", "epoll_ctl EPOLL_CTL_DEL", "", nil, "package os asks for it, and the close that follows does it in any case"},
	{"", "epoll_ctl", "/proc", nil, "package os does without"},
	{"", "fcntl", "/proc", nil, "package os does without"},
	{"", "openat", "/proc/sys", nil, "a limit's value is not known then"},
	{"", "read", "/proc/sys", nil, "a limit's value is not known then"},
	{"", "prlimit64", "", nil, "a limit's value is not known then"},
	{"", "getrlimit", "", nil, "a limit's value is not known then"},
	{"", "inotify_rm_watch", "", []unix.Errno{unix.EINVAL}, "that is what was wanted"},
	{"", "read", "anon_inode:inotify", []unix.Errno{unix.EAGAIN}, "what was to be read has been read elsewhere"},
	{"Restore", "read", "anon_inode:inotify", []unix.Errno{unix.EINVAL}, "the last record has a name, and stays for readers"},
	{"NextWD", "read", "anon_inode:inotify", []unix.Errno{unix.EINVAL}, "the last record has a name, and stays for readers"},
	{"SupportsSetNextWD", "ioctl", "", nil, "it says no"},
	{"Watches of none", "inotify_init1", "", nil, "since Linux 4.18 watches are listed"},
	{"Watches of none", "fcntl", "anon_inode", nil, "since Linux 4.18 watches are listed"},
	{"Watches of none", "epoll_ctl", "anon_inode", nil, "since Linux 4.18 watches are listed"},
	{"", "inotify_add_watch", "/", nil, anotherWillDo},
	{"", "fstatat", "/", nil, anotherWillDo},
	{"", "stat", "/", nil, anotherWillDo},
	{"to a watched inode", "openat", "/proc/self/fdinfo", nil, notTold},
	{"to a watched inode", "read", "/proc", nil, notTold},
	{"to a watched inode", "inotify_add_watch", "/live", nil, notTold},
	{"for others", "fcntl", "anon_inode", nil, "it is for the case that the Inotify is closed meanwhile"},
	{"for others", "epoll_ctl", "anon_inode", nil, "package os does without"},
	{"Watches of none", "close", "anon_inode", nil, "it is closed in any case"},
	{"Restore", "close", "anon_inode", nil, "it is closed in any case"},
	{"NextWD without directories", "inotify_add_watch", "/proc/self/fd", []unix.Errno{unix.EEXIST}, "nobody else has the inode"},
	{"New", "fcntl", "", nil, osKeeps},
	{"New", "epoll_ctl", "", nil, osKeeps},
	{"File", "fcntl F_GETFL", "", nil, "package os does without the poller"},
	{"File", "epoll_ctl", "", nil, "package os does without the poller"},
	{"without", "ioctl FIONREAD", "", nil, "what gVisor reports of closing an O_PATH descriptor is not looked for"},
	{"Restore", "ioctl INOTIFY_IOC_SETNEXTWD", "", []unix.Errno{unix.ENOTTY, unix.ENOSYS, unix.EPERM}, "it climbs"},
}

// tolerated returns why a fault may have no effect, or "".
func tolerated(op string, c *kerneltest.Call, e unix.Errno) string {
	if c.Name == "inotify_add_watch" && c.Object == "" {
		return "IN_MASK_CREATE is taken to be missing"
	}
	for _, t := range tolerances {
		if strings.Contains(op, t.op) && strings.HasPrefix(c.Name, t.call) && strings.Contains(c.Object, t.on) &&
			(t.errnos == nil || slices.Contains(t.errnos, e)) &&
			(t.why != anotherWillDo || slices.Contains(inotify.ScratchPaths(), c.Object)) {
			return t.why
		}
	}
	return ""
}

// kindOf tells calls apart that may fail differently: numbers and names do not
// matter, nor which directory it is that a climb uses.
func kindOf(c *kerneltest.Call) string {
	if slices.Contains(inotify.ScratchPaths(), c.Object) {
		return c.Name + " a scratch directory"
	}
	var b strings.Builder
	for _, field := range strings.FieldsFunc(c.Name+" "+c.Object+" ", func(r rune) bool { return r >= '0' && r <= '9' }) {
		b.WriteString(field + "#")
	}
	return strings.TrimSuffix(b.String(), " #")
}

// faultWays are what a kernel may lack, in any case and beside the fault.
var faultWays = map[string][]kerneltest.Rule{
	"":                       nil,
	"without the ioctl":      {withoutIoctlRule},
	"without IN_MASK_CREATE": {withoutCreateRule},
	"without both":           {withoutIoctlRule, withoutCreateRule},
}

var (
	withoutIoctlRule = kerneltest.Rule{
		For:   func(c *kerneltest.Call) bool { return c.Name == "ioctl INOTIFY_IOC_SETNEXTWD" },
		Errno: unix.ENOTTY,
	}
	withoutCreateRule = kerneltest.Rule{
		For: func(c *kerneltest.Call) bool {
			return c.Name == "inotify_add_watch" && c.Args[2]&uint64(inotify.MaskCreate) != 0
		},
		Errno: unix.EINVAL,
	}
)

// A faultJob is one operation under all of its faults.
type faultJob struct {
	op  *faultOp
	way string
}

func faultJobs(t *testing.T) (jobs []faultJob) {
	ioctl := hasIoctl(t)
	for i := range faultOps {
		op := &faultOps[i]
		if !op.needsIoctl || ioctl {
			jobs = append(jobs, faultJob{op, ""})
		}
		for _, way := range op.ways {
			jobs = append(jobs, faultJob{op, way})
		}
	}
	return jobs
}

// TestFaults fails each call of each operation, at its first and at later places.
// It fails if the library makes a call that the table does not have. With
// INOTIFY_TEST_FAULTS=all each errno is tried at each place, otherwise only at the
// first.
func TestFaults(t *testing.T) {
	jobs := make(chan faultJob)
	var workers sync.WaitGroup
	var runs atomic.Int32
	for range 6 { // as an instance's close waits for long
		cmd := child(t, "faults")
		cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir()) // removed here, which takes less time
		s := kerneltest.Supervise(t, cmd)
		workers.Go(func() {
			for job := range jobs {
				f := faultRun{t: t, s: s, job: job}
				f.all()
				runs.Add(int32(f.runs))
			}
		})
	}
	for _, job := range faultJobs(t) {
		if !enough(t) {
			jobs <- job
		}
	}
	close(jobs)
	workers.Wait()
	t.Logf("%d faults", runs.Load())
}

// enough reports whether the test failed and need not go on, by -failfast.
func enough(t *testing.T) bool {
	return t.Failed() && flag.Lookup("test.failfast").Value.String() == "true"
}

// A faultRun tries one job's faults.
type faultRun struct {
	t    *testing.T
	s    *kerneltest.Supervised
	job  faultJob
	runs int
	dead bool
}

func (f *faultRun) errorf(format string, args ...any) {
	f.t.Helper()
	f.t.Errorf("%s %s: %s", f.job.op.name, f.job.way, fmt.Sprintf(format, args...))
}

// run has the child do the operation.
func (f *faultRun) run(e unix.Errno, rules ...kerneltest.Rule) (kerneltest.Report, faultAnswer) {
	var a faultAnswer
	text, err := json.Marshal(faultRequest{f.job.op.name, e})
	if err != nil {
		f.t.Error(err)
	}
	r, err := f.s.Run(string(text), append(rules, faultWays[f.job.way]...)...)
	if err == nil {
		err = json.Unmarshal([]byte(r.Answer), &a)
	}
	if err != nil && !f.dead {
		f.dead = true
		f.errorf("%v", err)
	}
	return r, a
}

// all tries everything.
func (f *faultRun) all() {
	report, plain := f.run(0)
	if len(plain.Broken) > 0 || (plain.Err == "") == f.job.op.fails {
		f.errorf("without a fault: error %q, broken %q", plain.Err, plain.Broken)
		return
	}
	kinds, count := []*kerneltest.Call{}, map[string]int{}
	for i := range report.Calls {
		c := &report.Calls[i]
		if count[kindOf(c)]++; count[kindOf(c)] == 1 {
			kinds = append(kinds, c)
		}
	}
	for k, c := range kinds {
		errnos, _ := errnosOf(c)
		if len(errnos) == 0 {
			f.errorf("it makes a call that the table does not have: %v", c)
		}
		for i, e := range errnos {
			for _, p := range places(count[kindOf(c)]) {
				some := i == (k+p.skip)%len(errnos) || p.skip == 0 && p.count == 1 && f.job.way == "" && !testing.Short()
				if !f.dead && !enough(f.t) && (some || os.Getenv("INOTIFY_TEST_FAULTS") == "all") {
					f.try(c, e, p, plain.Err)
				}
			}
		}
	}
}

// A place says which of a kind's calls fail.
type place struct{ skip, count int }

// places are the first, the last, one between them, and all.
func places(count int) []place {
	all := []place{{0, 1}, {0, 0}}
	if count > 1 {
		all = append(all, place{count - 1, 1})
	}
	if count > 2 {
		all = append(all, place{count / 2, 1})
	}
	return all
}

// try tries one fault.
func (f *faultRun) try(c *kerneltest.Call, e unix.Errno, p place, plain string) {
	if p.count == 0 && (e == unix.EINTR || e == unix.EEXIST) {
		return // nobody is interrupted for ever
	}
	f.runs++
	kind := kindOf(c)
	report, a := f.run(e, kerneltest.Rule{
		For: func(c *kerneltest.Call) bool { return kindOf(c) == kind }, Skip: p.skip, Count: p.count, Errno: e,
	})
	complain := func(format string, args ...any) {
		f.errorf("%s, %d from the %dth on: %s: %s\n\terror %q", unix.ErrnoName(e), p.count, p.skip+1, kind, fmt.Sprintf(format, args...), a.Err)
	}
	at := slices.IndexFunc(report.Calls, func(c kerneltest.Call) bool { return kindOf(&c) == kind && c.Errno == e })
	switch {
	case f.dead:
		return
	case len(a.Broken) > 0:
		complain("%s", strings.Join(a.Broken, "\n\t"))
	case at < 0 && p.skip == 0:
		complain("it was not made")
	case at < 0:
		return // how many there are depends on the time
	case a.Is && a.Err != plain:
		f.wantNamed(&report.Calls[at], a.Err, complain)
	case tolerated(f.job.op.name+" "+f.job.way, &report.Calls[at], e) == "":
		complain("it went unnoticed")
	}
}

// wantNamed checks that an error names the call and what it was about.
func (f *faultRun) wantNamed(c *kerneltest.Call, text string, complain func(string, ...any)) {
	_, word := errnosOf(c)
	words := []string{word}
	switch {
	case strings.HasPrefix(c.Object, "watch "):
		words = append(words, c.Object)
	case strings.Contains(c.Object, "/faults"):
		words = append(words, filepath.Base(c.Object))
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			complain("the error does not name %q", w)
		}
	}
}
