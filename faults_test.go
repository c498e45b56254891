// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/assign"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// A faultOp is an operation in which system calls are made to fail.
type faultOp struct {
	name       string
	fails      bool     // also without a fault
	needsIoctl bool     // fails without the ioctl
	ways       []string // of faultWays, besides the kernel as it is
	noFaults   bool     // only TestCalls runs it
	ready      func(r *rig) error
	do         func(r *rig) error
}

// A rig is the state in which an operation begins: an instance with a watch on a directory, a
// watch that was removed, and events of both in its queue.
type rig struct {
	dir   string
	n     *inotify.Inotify
	want  []inotify.Event // what readers must get
	wd    inotify.WD      // of the directory's watch
	named int

	other    *os.File // for the operations that need a file
	batch    []inotify.Watch
	restored []inotify.Watch  // watches that exist if the operation succeeds
	removed  bool             // the operation removed the directory's watch
	made     *inotify.Inotify // the operation's result
	given    *os.File         // the operation's result
	event    *inotify.Event   // the event that the operation read
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
	if r.n, err = kerneltest.NewWhenPossible(); err != nil {
		return nil, err
	}
	if r.wd, err = r.n.AddWatch(r.path("live"), inotify.Create); err != nil {
		return nil, err
	}
	former, err := r.n.AddWatch(r.path("f5"), inotify.Attrib)
	if err != nil {
		return nil, err
	}
	if err := r.makeEvent("before"); err != nil {
		return nil, err
	}
	r.want = append(r.want, inotify.Event{WD: former, Mask: inotify.Ignored})
	return r, errors.Join(r.n.RemoveWatch(former), r.makeEvent("before"))
}

// mknod makes a file with one system call, as each call of a supervised process takes long.
func mknod(path string) error { return unix.Mknod(path, unix.S_IFREG|0o600, 0) }

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// makeEvent causes an event with a new name.
func (r *rig) makeEvent(name string) error {
	r.named++
	name = fmt.Sprint(name, r.named)
	r.want = append(r.want, inotify.Event{WD: r.wd, Mask: inotify.Create, Name: name})
	return mknod(r.path("live/" + name))
}

// setBatch sets a batch of watches on the rig's files, which the operation is to restore.
func (r *rig) setBatch(wds ...inotify.WD) {
	for i, wd := range wds {
		r.batch = append(r.batch, inotify.Watch{WD: wd, Mask: inotify.Attrib, Path: r.path(fmt.Sprint("f", i))})
	}
	r.restored = r.batch
}

// Parts of errors that announce what a rollback left behind.
const (
	watchLeft   = "leaked watch"
	ignoredLeft = "of a rolled-back watch may be read"
)

func childFaults() error {
	return kerneltest.ServeFaults(func(op string, e unix.Errno) (a kerneltest.FaultAnswer) {
		if err := tryFault(op, e, &a); err != nil {
			a.Broke("the rig: %v", err)
		}
		return a
	})
}

// tryFault runs the operation and checks its result, the watches, the events, and what is open.
func tryFault(name string, e unix.Errno, a *kerneltest.FaultAnswer) error {
	op := faultOps[slices.IndexFunc(faultOps, func(o faultOp) bool { return o.name == name })]
	r, err := newRig()
	if err != nil {
		return err
	}
	defer r.n.Close()
	resources := kerneltest.CurrentResources()
	if op.ready != nil {
		if err := op.ready(r); err != nil {
			return err
		}
	}
	watched, err := r.n.Watches()
	if err != nil {
		return err
	}
	var failed error
	kerneltest.Traced(func() { failed = op.do(r) })
	a.Fail(failed, e)
	kerneltest.CloseShut()
	if err := r.checkMade(); err != nil {
		a.Broke("what was made: %v", err)
	}
	resources.Check(a)
	watched = r.changed(watched, failed == nil)
	if now, err := r.n.Watches(); err != nil || !sameWatches(now, watched) && !strings.Contains(a.Err, watchLeft) {
		a.Broke("watches %v, %v; want %v", now, err, watched)
	}
	if err := r.checkUsable(failed == nil); err != nil {
		a.Broke("afterwards: %v", err)
	}
	got, err := r.read()
	if err != nil {
		a.Broke("reading: %v", err)
	}
	if strings.Contains(a.Err, watchLeft) || strings.Contains(a.Err, ignoredLeft) {
		got = r.withoutIgnored(got)
	}
	if !slices.Equal(got, r.want) {
		a.Broke("events %v; want %v", got, r.want)
	}
	return nil
}

// checkMade uses and closes the operation's results.
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

// withoutIgnored drops the unexpected IN_IGNORED that an error announced.
func (r *rig) withoutIgnored(got []inotify.Event) (kept []inotify.Event) {
	for _, ev := range got {
		wanted := len(kept) < len(r.want) && ev == r.want[len(kept)]
		if wanted || ev.Mask != inotify.Ignored {
			kept = append(kept, ev)
		}
	}
	return kept
}

// changed returns the watches that must exist after the operation.
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

// checkUsable checks that the instance works: its watches report events, and a watch can be
// added, restored and removed.
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
		if err := r.makeEvent("after"); err != nil {
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
	const restored = 9000
	for _, wd := range []inotify.WD{wd, restored} {
		if wd == restored {
			if !kerneltest.SupportsSetNext(r.n) {
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

// read reads all events.
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
		r.setBatch(3)
		_, err := r.n.AddWatch(r.batch[0].Path, inotify.Attrib)
		return err
	}},
	{name: "AddWatchFile", ready: func(r *rig) (err error) {
		r.setBatch(3)
		r.other, err = os.Open(r.batch[0].Path)
		return err
	}, do: func(r *rig) error {
		_, err := r.n.AddWatchFile(r.other, inotify.Attrib)
		return err
	}},
	{name: "RemoveWatch", do: func(r *rig) error {
		err := r.n.RemoveWatch(r.wd)
		if err == nil || errors.Is(err, unix.EINVAL) { // the fault: it was removed just before
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
	{name: "RestoreNextWD", ways: []string{"without the ioctl", "without both"}, do: func(r *rig) error {
		return r.n.RestoreNextWD(context.Background(), 40)
	}},
	{name: "NextWD", needsIoctl: true, do: nextIs3},
	{name: "NextWD without directories", needsIoctl: true, ready: func(r *rig) error {
		for _, path := range assign.ScratchPaths[:] {
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
	{name: "RestoreWatches on a shared instance", ready: shareRig, do: restoreSome(10, 11, 12, 20, 21)},
	{name: "RestoreWatch of a watched inode", ways: []string{"without the ioctl"}, fails: true, do: func(r *rig) error {
		return r.n.RestoreWatch(context.Background(), 40, r.path("live"), inotify.Attrib)
	}},
	{name: "RestoreWatch with a used wd", ways: []string{"without the ioctl"}, fails: true, do: restoreOne(1)},
	{name: "RestoreWatches to a watched inode", ways: []string{"without the ioctl", "without IN_MASK_CREATE"}, fails: true, do: restoreToWatched},
	{name: "RestoreWatches with a used wd", ways: []string{"without the ioctl"}, fails: true, ready: useWD, do: restoreSome(10, 11, 12, 20, 21)},
	{name: "RestoreWatches to a missing path", ways: []string{"without the ioctl"}, fails: true, ready: removeFile, do: restoreSome(10, 11, 12, 20, 21)},
	{name: "RestoreWatches on a shared instance to a watched inode", ways: []string{"without the ioctl"}, fails: true, ready: shareRig, do: restoreToWatched},
	{name: "RestoreWatches of many to a watched inode", fails: true, ready: func(r *rig) error {
		for i := range 70 { // more than a rollback removes at a time
			w := inotify.Watch{WD: inotify.WD(100 + i), Mask: inotify.Attrib, Path: r.path(fmt.Sprint("m", i))}
			if err := mknod(w.Path); err != nil {
				return err
			}
			r.batch = append(r.batch, w)
		}
		r.batch[len(r.batch)-1].Path = r.path("live")
		return nil
	}, do: func(r *rig) error { return r.n.RestoreWatches(context.Background(), r.batch) }},
	{name: "a long RestoreWatch", ways: []string{"without the ioctl", slowSteps}, do: restoreOne(1200)},
	{name: "a long RestoreWatch where the first thread has no scratch directory", ways: []string{slowSteps}, ready: func(r *rig) error {
		for i, path := range scratchDirs() {
			if i%2 == 0 {
				if _, err := r.n.AddWatch(path, inotify.DeleteSelf); err != nil && !errors.Is(err, unix.ENOENT) {
					return err
				}
			}
		}
		return nil
	}, do: restoreOne(1200)},
	{name: "RestoreWatch on a shared instance", noFaults: true, ways: []string{"without the ioctl"}, ready: shareRig, do: restoreOne(40)},
	{name: "RestoreWatch twice", noFaults: true, ways: []string{"without IN_MASK_CREATE"}, do: func(r *rig) error {
		r.setBatch(30, 40)
		for _, w := range slices.Backward(r.batch) {
			if err := r.n.RestoreWatch(context.Background(), w.WD, w.Path, w.Mask); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "RestoreWatch in 1023 steps", noFaults: true, ways: []string{"without the ioctl"}, do: restoreOne(3 + 1023)},
	{name: "RestoreWatch in 1024 steps", noFaults: true, ways: []string{"without the ioctl"}, do: restoreOne(3 + 1024)},
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
	{name: "ReadEvents", do: func(r *rig) error {
		if err := r.n.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		buf := make([]inotify.Event, 1)
		_, err := r.n.ReadEvents(buf)
		if err == nil {
			r.event = &buf[0]
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
		err = fmt.Errorf("NextWD is %d, want 3", wd)
	}
	return err
}

func restoreOne(wd inotify.WD) func(r *rig) error {
	return func(r *rig) error {
		r.setBatch(wd)
		return r.n.RestoreWatch(context.Background(), wd, r.batch[0].Path, inotify.Attrib)
	}
}

func restoreSome(wds ...inotify.WD) func(r *rig) error {
	return func(r *rig) error {
		r.setBatch(wds...)
		return r.n.RestoreWatches(context.Background(), r.batch)
	}
}

func restoreToWatched(r *rig) error {
	r.setBatch(10, 11, 12, 20, 21)
	r.batch = slices.Clone(r.batch)
	r.batch[3].Path = r.path("live")
	return r.n.RestoreWatches(context.Background(), r.batch)
}

// shareRig keeps a duplicate, so that the instance is shared.
func shareRig(r *rig) (err error) {
	r.other, err = r.n.File()
	return err
}

// useWD adds a watch with one of the wds to be restored.
func useWD(r *rig) error {
	return r.n.RestoreWatch(context.Background(), 20, r.path("f5"), inotify.Modify)
}

// removeFile removes one of the files to be watched.
func removeFile(r *rig) error { return os.Remove(r.path("f3")) }

const (
	otherDirectory   = "another directory is used"
	otherWDUnknown   = "the error does not give the wd of the other watch"
	withoutMountinfo = "only directories on the root directory's filesystem are used"
	osKeeps          = "package os drops the errno; the error says that the runtime cannot wait"
)

var over = kerneltest.Over

var tolerances = []kerneltest.Tolerance{
	over("", "inotify_add_watch", "", []unix.Errno{unix.EINTR}, "the call is repeated"),
	over("", "openat", "", []unix.Errno{unix.EINTR}, "the call is repeated"),
	over("", "read", "", []unix.Errno{unix.EINTR}, "the call is repeated"),
	over("", "fstatat", "", []unix.Errno{unix.EINTR}, "the call is repeated"),
	over("", "stat", "", []unix.Errno{unix.EINTR}, "the call is repeated"),
	over("", "close", "/", nil, "it is closed anyway, and nothing was written"),
	over("", "epoll_ctl", "/proc", nil, "package os does without it"),
	over("", "fcntl", "/proc", nil, "package os does without it"),
	over("", "openat", "/proc/sys", nil, "the limit's value is unknown"),
	over("", "fstat", "/proc/sys", nil, "the limit's value is unknown"),
	over("", "read", "/proc/sys", nil, "the limit's value is unknown"),
	over("", "prlimit64", "", nil, "the limit's value is unknown"),
	over("", "getrlimit", "", nil, "the limit's value is unknown"),
	over("", "inotify_rm_watch", "", []unix.Errno{unix.EINVAL}, "the watch is gone, as wanted"),
	over("", "read", "anon_inode:inotify", []unix.Errno{unix.EAGAIN}, "another reader was faster"),
	over("Restore", "read", "anon_inode:inotify", []unix.Errno{unix.EINVAL}, "the last record has a name, so it is a reader's"),
	over("NextWD", "read", "anon_inode:inotify", []unix.Errno{unix.EINVAL}, "the last record has a name, so it is a reader's"),
	over("Watches of none", "inotify_init1", "", nil, "a kernel with IN_MASK_CREATE (Linux 4.18) lists watches"),
	over("Watches of none", "fcntl", "anon_inode", nil, "a kernel with IN_MASK_CREATE (Linux 4.18) lists watches"),
	over("Watches of none", "epoll_ctl", "anon_inode", nil, "a kernel with IN_MASK_CREATE (Linux 4.18) lists watches"),
	over("", "inotify_add_watch", "/", nil, otherDirectory),
	over("", "statx", "/", nil, otherDirectory),
	over("", "statx", "", []unix.Errno{unix.EINTR}, "the call is repeated"),
	over("", "statx", "", []unix.Errno{unix.ENOSYS, unix.EPERM}, "stat is used"),
	over("", "openat", "/proc/thread-self/mountinfo", nil, withoutMountinfo),
	over("", "read", "/mountinfo", nil, withoutMountinfo),
	over("", "ppoll", "", nil, withoutMountinfo),
	over("to a watched inode", "openat", "/proc/self/fdinfo", nil, otherWDUnknown),
	over("to a watched inode", "read", "/proc", nil, otherWDUnknown),
	over("to a watched inode", "openat O_PATH", "/live", nil, otherWDUnknown),
	over("to a watched inode", "fstat", "/live", nil, otherWDUnknown),
	over("a watched inode", "inotify_add_watch", "", []unix.Errno{unix.EEXIST}, "the inode is watched, as without the fault"),
	over("on a shared instance", "fcntl", "anon_inode", nil, "the duplicate is needed only if the Inotify is closed during the restore"),
	over("on a shared instance", "epoll_ctl", "anon_inode", nil, "package os does without it"),
	over("Watches of none", "close", "anon_inode", nil, "it is closed anyway"),
	over("Restore", "close", "anon_inode", nil, "it is closed anyway"),
	over("NextWD without directories", "inotify_add_watch", "/proc/self/fd", []unix.Errno{unix.EEXIST}, "no other watch has the inode"),
	over("New", "fcntl", "", nil, osKeeps),
	over("New", "epoll_ctl", "", nil, osKeeps),
	over("File", "fcntl F_GETFL", "", nil, "package os does not use the poller"),
	over("File", "epoll_ctl", "", nil, "package os does not use the poller"),
	over("without", "ioctl FIONREAD", "", nil, "events of closing an O_PATH descriptor, which only gVisor reports, are not dropped"),
	over("Restore", "ioctl INOTIFY_IOC_SETNEXTWD", "", []unix.Errno{unix.ENOTTY, unix.ENOSYS, unix.EPERM}, "the cycle is used"),
}

// tolerated returns why a fault may have no effect, or "".
func tolerated(op string, c *kerneltest.Call, e unix.Errno) string {
	if c.Name == "inotify_add_watch" && c.Object == "" {
		return "IN_MASK_CREATE counts as missing"
	}
	for _, t := range tolerances {
		if t.For(op, c, e) && (t.Why != otherDirectory || slices.Contains(assign.ScratchPaths[:], c.Object)) {
			return t.Why
		}
	}
	return ""
}

// kindOf does not distinguish the scratch directories of the cycle.
func kindOf(c *kerneltest.Call) string {
	if slices.Contains(assign.ScratchPaths[:], c.Object) {
		return c.Name + " " + scratchKind
	}
	return kerneltest.KindOf(c)
}

const scratchKind = "a scratch directory"

// named returns the part of a call's object that an error must name.
func named(c *kerneltest.Call) string {
	switch {
	case strings.HasPrefix(c.Object, "watch "):
		return c.Object
	case strings.Contains(c.Object, "/faults"):
		return filepath.Base(c.Object)
	}
	return ""
}

// slowSteps is the way in which each step takes long, so that one thread of the cycle is in
// the middle of a step whenever the other makes a call.
const slowSteps = "by slow steps"

// faultWays are the rules by which a kernel lacks something, besides the fault.
var faultWays = map[string][]kerneltest.Rule{
	"":                       nil,
	"without the ioctl":      {withoutIoctlRule},
	"without IN_MASK_CREATE": {withoutCreateRule},
	"without both":           {withoutIoctlRule, withoutCreateRule},
	slowSteps:                {withoutIoctlRule, slowStepsRule},
}

var (
	withoutIoctlRule = kerneltest.Rule{
		For:   func(c *kerneltest.Call) bool { return c.Name == "ioctl INOTIFY_IOC_SETNEXTWD" },
		Errno: unix.ENOTTY,
	}
	slowStepsRule = kerneltest.Rule{
		For: func(c *kerneltest.Call) bool {
			return c.Name == "inotify_add_watch" && slices.Contains(assign.ScratchPaths[:], c.Object)
		},
		Delay: 100 * time.Microsecond,
	}
	withoutCreateRule = kerneltest.Rule{
		For: func(c *kerneltest.Call) bool {
			return c.Name == "inotify_add_watch" && c.Args[2]&uint64(inotify.MaskCreate) != 0
		},
		Errno: unix.EINVAL,
	}
)

// Whatever system call of an operation fails, the error names the call, and no watch,
// descriptor, goroutine or event is leaked.
func TestFaults(t *testing.T) {
	t.Parallel()
	f := faultTest(t, func(op *faultOp) bool { return !op.noFaults })
	f.Run(t)
}

// faultTest returns a test of the wanted operations that the kernel supports.
func faultTest(t *testing.T, wanted func(op *faultOp) bool) *kerneltest.FaultTest {
	ioctl := hasIoctl(t)
	f := &kerneltest.FaultTest{
		Command: func() *exec.Cmd { return child(t, "faults") }, Ways: faultWays,
		Kind: kindOf, Named: named, Tolerated: tolerated, Again: true,
	}
	for i := range faultOps {
		op := &faultOps[i]
		if !wanted(op) {
			continue
		}
		if !op.needsIoctl || ioctl {
			f.Ops = append(f.Ops, kerneltest.FaultOp{Name: op.name, Fails: op.fails})
		}
		for _, way := range op.ways {
			f.Ops = append(f.Ops, kerneltest.FaultOp{Name: op.name, Fails: op.fails, Way: way})
		}
	}
	return f
}
