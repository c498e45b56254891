// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/sys"
)

// An ending is an operation during which a watch ends.
type ending struct {
	name string
	way  string     // of faultWays
	next inotify.WD // the kernel's wd counter when it begins
	do   func(r *endingRig) error
	made []inotify.WD // the watches that it adds if it succeeds
	// It restores a watch on the victim's directory, so the directory must stay.
	sameDir bool
	fails   bool
	first   inotify.WD // the first wd that it restores
	long    bool       // only in the long tests
}

// victim is the wd of the caller's watch that ends.
const victim inotify.WD = 10

var endings = []ending{
	{name: "RestoreWatch just above", way: "without the ioctl", next: 6, first: victim + 1, do: endingRestore(victim+1, "a"), made: []inotify.WD{victim + 1}},
	{name: "RestoreWatch just above", way: "without both", next: 6, first: victim + 1, do: endingRestore(victim+1, "a"), made: []inotify.WD{victim + 1}},
	{name: "RestoreWatch with the same wd", next: 6, first: victim, do: endingRestore(victim, "a"), made: []inotify.WD{victim}},
	{name: "RestoreWatch with the same wd", way: "without IN_MASK_CREATE", next: 6, first: victim, do: endingRestore(victim, "a"), made: []inotify.WD{victim}},
	{name: "RestoreWatch below a used wd", way: "without the ioctl", next: 6, first: victim - 1, do: endingRestore(victim-1, "a"), made: []inotify.WD{victim - 1}, long: true},
	{name: "RestoreWatches that fails", next: 6, first: 8, do: endingFail(8, victim, 11), fails: true},
	{name: "RestoreWatches that fails", way: "without the ioctl", next: 6, first: 8, do: endingFail(8, 11, 12), fails: true, long: true},
	{name: "RestoreWatches that fails", way: "without IN_MASK_CREATE", next: 6, first: 8, do: endingFail(8, victim, 11), fails: true, long: true},
	{name: "RestoreWatches that fails", way: "without both", next: 6, first: 8, do: endingFail(8, 11, 12), fails: true, long: true},
	{name: "RestoreWatches of a watched inode", next: 6, do: endingWatched, made: []inotify.WD{5, victim}, sameDir: true},
	{name: "RestoreWatches of a watched inode", way: "without the ioctl", next: 3, do: endingWatched, made: []inotify.WD{5, victim}, sameDir: true},
	{name: "RestoreWatches of a watched inode", way: "without IN_MASK_CREATE", next: 6, do: endingWatched, made: []inotify.WD{5, victim}, sameDir: true, long: true},
	{name: "RestoreWatches of a watched inode", way: "without both", next: 3, do: endingWatched, made: []inotify.WD{5, victim}, sameDir: true, long: true},
	{name: "NextWD", next: victim, do: func(r *endingRig) error {
		_, err := r.n.NextWD()
		return err
	}},
}

func endingRestore(wd inotify.WD, dir string) func(r *endingRig) error {
	return func(r *endingRig) error {
		return r.n.RestoreWatch(context.Background(), wd, r.path(dir), endingMask)
	}
}

// endingFail restores two watches and then a third, whose add fails.
func endingFail(wds ...inotify.WD) func(r *endingRig) error {
	return func(r *endingRig) error {
		return r.n.RestoreWatches(context.Background(), []inotify.Watch{
			{WD: wds[0], Path: r.path("a"), Mask: endingMask},
			{WD: wds[1], Path: r.path("b"), Mask: endingMask},
			{WD: wds[2], Path: r.path("file"), Mask: endingMask | inotify.OnlyDir},
		})
	}
}

func endingWatched(r *endingRig) error {
	return r.n.RestoreWatches(context.Background(), []inotify.Watch{
		{WD: 5, Path: r.path("a"), Mask: endingMask},
		{WD: victim, Path: r.path("victim"), Mask: endingMask},
	})
}

const endingMask = inotify.Create | inotify.DeleteSelf

// How a watch ends. The first two end the caller's watch, the next two the first watch that is
// restored. In the last case another process adds a watch, removes it and sets the kernel's
// wd counter back.
const (
	watchRemoved    = "watch removed"
	dirRemoved      = "directory removed"
	restoredRemoved = "restored watch removed"
	restoredDir     = "restored directory removed"
	otherWatch      = "another watch added and removed"
)

// canEnd reports whether a watch can end so during the operation.
func (e *ending) canEnd(how string) bool {
	switch how {
	case dirRemoved:
		return !e.sameDir
	case restoredRemoved:
		return e.first > 0 && e.first != victim
	case restoredDir:
		return e.fails // if it succeeds, the watch is the caller's
	}
	return true
}

// Whenever another process ends a watch during an operation, the watch's last events are read
// once, no internal records are read, and no watch is leaked. The watch ends just before each
// system call of the operation that concerns the instance, in turn.
func TestWatchEndsBeforeEachCall(t *testing.T) {
	needIoctl(t)
	needLists(t)
	for _, e := range endings {
		for _, how := range []string{watchRemoved, dirRemoved, restoredRemoved, restoredDir, otherWatch} {
			name := strings.TrimSuffix(e.name+" "+e.way, " ") + ", " + how
			if e.long && !kerneltest.LongTests() || !e.canEnd(how) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := kerneltest.Supervise(t, child(t, "endings"))
				for at, c := range endBefore(t, s, &e, how, -1) {
					if strings.HasPrefix(c.Name, "inotify") || strings.HasPrefix(c.Object, "anon_inode:") || strings.Contains(c.Object, "/fdinfo/") {
						endBefore(t, s, &e, how, at)
					}
				}
			})
		}
	}
}

// endBefore runs the operation, ends the watch before system call number at, or after all if at
// is negative, and returns the calls.
func endBefore(t *testing.T, s *kerneltest.Supervised, e *ending, how string, at int) []kerneltest.Call {
	t.Helper()
	dir := t.TempDir()
	ready, err := s.Run(fmt.Sprintf("%s|%s|%s|%s", e.name, e.way, how, dir))
	if err != nil {
		t.Fatal(err)
	}
	var pid, fd int
	if _, err := fmt.Sscan(ready.Answer, &pid, &fd); err != nil {
		t.Fatalf("%q: %v", ready.Answer, err)
	}
	held, err := takeDescriptor(pid, fd)
	if err != nil {
		t.Skip("this needs to take another process's descriptor: ", err)
	}
	defer unix.Close(held)
	calls, next, other := 0, "", 0
	end := kerneltest.Rule{For: func(c *kerneltest.Call) bool {
		if calls == at {
			next = c.String()
			switch how {
			case watchRemoved:
				_, err = unix.InotifyRmWatch(held, uint32(victim))
			case dirRemoved:
				err = os.Remove(filepath.Join(dir, "victim"))
			case restoredRemoved:
				unix.InotifyRmWatch(held, uint32(e.first)) // if it exists
			case restoredDir:
				err = os.Remove(filepath.Join(dir, "a"))
			case otherWatch:
				other, err = addAndRemove(held, filepath.Join(dir, "other"))
			}
			err = errors.Join(err, os.Mkdir(filepath.Join(dir, "live", fmt.Sprint("ended", other)), 0o700))
		}
		calls++
		return false
	}}
	r, rerr := s.Run("go", append([]kerneltest.Rule{end}, faultWays[e.way]...)...)
	if err := errors.Join(err, rerr); err != nil {
		t.Fatal(err)
	}
	if r.Answer != "right" {
		t.Errorf("%s before call %d of %d, which is %v: %s", how, at, len(r.Calls), next, r.Answer)
	}
	return r.Calls
}

// addAndRemove adds a watch, causes an event, removes the watch, and makes its wd, which it
// returns, the next one again.
func addAndRemove(fd int, dir string) (wd int, err error) {
	if wd, err = unix.InotifyAddWatch(fd, dir, uint32(endingMask)); err != nil {
		return wd, err
	}
	err = os.Mkdir(dir+"/x", 0o700)
	_, rerr := unix.InotifyRmWatch(fd, uint32(wd))
	return wd, errors.Join(err, rerr, unix.IoctlSetInt(fd, uint(sys.SetNextRequest(runtime.GOARCH)), wd))
}

func takeDescriptor(pid, fd int) (int, error) {
	p, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(p)
	return unix.PidfdGetfd(p, fd, 0)
}

// An endingRig is the state in which an operation begins: an instance with two watches, and an
// event of each in its queue.
type endingRig struct {
	*ending
	n    *inotify.Inotify
	how  string
	dir  string
	want []inotify.Event
}

func (r *endingRig) path(name string) string { return filepath.Join(r.dir, name) }

func childEndings() error {
	var r *endingRig
	return kerneltest.Serve(func(request string) string {
		var err error
		if r == nil {
			var fd int
			if r, fd, err = newEndingRig(request); err == nil {
				return fmt.Sprint(os.Getpid(), " ", fd)
			}
		} else {
			err = r.run()
			r = nil
		}
		if err != nil {
			return fmt.Sprintf("%q", err)
		}
		return "right"
	})
}

func newEndingRig(request string) (r *endingRig, fd int, err error) {
	args := strings.Split(request, "|")
	i := slices.IndexFunc(endings, func(e ending) bool { return e.name == args[0] && e.way == args[1] })
	r = &endingRig{ending: &endings[i], how: args[2], dir: args[3]}
	for _, name := range []string{"live", "victim", "a", "b", "other"} {
		err = errors.Join(err, os.Mkdir(r.path(name), 0o700))
	}
	if err = errors.Join(err, mknod(r.path("file"))); err != nil {
		return nil, 0, err
	}
	if r.n, err = kerneltest.NewWhenPossible(); err != nil {
		return nil, 0, err
	}
	// By AddWatch: a restore would already probe for IN_MASK_CREATE.
	_, err = r.n.AddWatch(r.path("live"), inotify.Create)
	err = errors.Join(err, r.n.SetNextWD(victim))
	if err == nil {
		_, err = r.n.AddWatch(r.path("victim"), endingMask)
	}
	for _, name := range []string{"victim", "live"} {
		err = errors.Join(err, os.Mkdir(r.path(name+"/x"), 0o700), os.Remove(r.path(name+"/x")))
	}
	r.want = []inotify.Event{
		{WD: victim, Mask: inotify.Create | inotify.IsDir, Name: "x"},
		{WD: 1, Mask: inotify.Create | inotify.IsDir, Name: "x"},
	}
	conn, cerr := r.n.SyscallConn()
	err = errors.Join(err, cerr, r.n.SetNextWD(r.next))
	if err == nil {
		err = conn.Control(func(own uintptr) { fd = int(own) })
	}
	return r, fd, err
}

// run runs the operation and checks the watches and the events afterwards.
func (r *endingRig) run() error {
	defer func() { go r.n.Close() }() // takes some milliseconds
	var failed error
	kerneltest.Traced(func() { failed = r.do(r) })
	ended, err := filepath.Glob(r.path("live/ended*"))
	if err != nil {
		return err
	}
	if len(ended) == 0 { // no watch ended during the operation
		switch r.how {
		case watchRemoved:
			err = r.n.RemoveWatch(victim)
		case dirRemoved:
			err = os.Remove(r.path("victim"))
		}
		ended = []string{r.path("live/ended0")}
		if err = errors.Join(err, os.Mkdir(ended[0], 0o700)); err != nil {
			return err
		}
	}
	left := []inotify.WD{1}
	switch r.how {
	case watchRemoved:
		r.want = append(r.want, inotify.Event{WD: victim, Mask: inotify.Ignored})
	case dirRemoved:
		r.want = append(r.want, inotify.Event{WD: victim, Mask: inotify.DeleteSelf}, inotify.Event{WD: victim, Mask: inotify.Ignored})
	default:
		left = append(left, victim)
	}
	next := inotify.Event{WD: 1, Mask: inotify.Create | inotify.IsDir, Name: filepath.Base(ended[0])}
	var other inotify.WD
	if _, err := fmt.Sscanf(next.Name, "ended%d", &other); err != nil {
		return err
	}
	if other != 0 {
		r.want = append(r.want, inotify.Event{WD: other, Mask: inotify.Create | inotify.IsDir, Name: "x"}, inotify.Event{WD: other, Mask: inotify.Ignored})
	}
	if failed == nil {
		left = append(left, r.made...)
		slices.Sort(left)
	}
	ws, err := r.n.Watches()
	if r.how == restoredRemoved && failed == nil && len(ws) < len(left) { // it ended after the restore, as the caller's
		left = slices.DeleteFunc(left, func(wd inotify.WD) bool { return wd == r.first })
		r.want = append(r.want, inotify.Event{WD: r.first, Mask: inotify.Ignored})
	}
	r.want = append(r.want, next)
	if !slices.EqualFunc(ws, left, func(w inotify.Watch, wd inotify.WD) bool { return w.WD == wd && w.Mask != 0 }) {
		return fmt.Errorf("watches %v, %v; want %d; the operation: %v", ws, err, left, failed)
	}
	var got []inotify.Event
	for {
		ev, ok, err := r.n.TryReadEvent()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		got = append(got, ev)
	}
	if i := len(r.want) - 1; other != 0 && len(got) > 0 && got[len(got)-1].WD == other {
		// The wd was free when the used wds were listed, so this IN_IGNORED is dropped, and that of
		// the scratch watch with the same wd delivered in its place.
		r.want[i-1], r.want[i] = r.want[i], r.want[i-1]
	}
	if b, err := r.n.Buffered(); !slices.Equal(got, r.want) || err != nil || b != 0 {
		return fmt.Errorf("events %v; want %v; then Buffered %d, %v; the operation: %v", got, r.want, b, err, failed)
	}
	if errors.Is(failed, unix.EINVAL) || strings.Contains(fmt.Sprint(failed), "may be read") {
		return failed
	}
	return nil
}
