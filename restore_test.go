// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	"github.com/seed10546c08/inotify/internal/sys"
)

// byEachWay runs f with and without the ioctl, and with and without IN_MASK_CREATE. They are
// hidden by seccomp filters of the test's thread, so f must start no subtest, and no restore
// on another goroutine.
func byEachWay(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	inParallel(t, eachWay(f))
}

func eachWay(f func(t *testing.T)) map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"ioctl": func(t *testing.T) {
			needIoctl(t)
			f(t)
		},
		"ioctl without IN_MASK_CREATE": func(t *testing.T) {
			needIoctl(t)
			withoutMaskCreate(t)
			f(t)
		},
		"cycle": func(t *testing.T) {
			withoutIoctl(t)
			f(t)
		},
		"cycle without IN_MASK_CREATE": func(t *testing.T) {
			withoutIoctl(t)
			withoutMaskCreate(t)
			f(t)
		},
	}
}

// inParallel runs subtests at the same time and waits for them.
func inParallel(t *testing.T, tests map[string]func(*testing.T)) {
	t.Helper()
	t.Run("by", func(t *testing.T) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	})
}

// restore calls RestoreWatch, which must succeed.
func restore(t testing.TB, n *inotify.Inotify, wd inotify.WD, path string, mask inotify.Mask) {
	t.Helper()
	if err := n.RestoreWatch(kerneltest.Context(t), wd, path, mask); err != nil {
		t.Fatalf("restoring watch %d: %v", wd, err)
	}
}

// The next watch gets the wd that SetNextWD sets. After the highest wd the kernel continues
// at the first free one.
func TestSetNextWD(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	paths := files(t, 6)
	for i, wd := range []inotify.WD{1, 7, 0x34d71d6, 5, math.MaxInt32} {
		if err := n.SetNextWD(wd); err != nil {
			t.Fatal(err)
		}
		if got := add(t, n, paths[i], inotify.Attrib); got != wd {
			t.Errorf("the next wd is %d, want %d", got, wd)
		}
	}
	// After the highest wd the kernel continues at 1, which is in use.
	if got := add(t, n, paths[5], inotify.Attrib); got != 2 {
		t.Errorf("the next wd after %d is %d, want 2, the first that is free", math.MaxInt32, got)
	}
}

// A wd out of range is refused without a system call.
func TestSetNextWDRefusesInvalidWDs(t *testing.T) {
	n := newInotify(t)
	for _, wd := range []inotify.WD{0, -1, math.MinInt32} {
		err := n.SetNextWD(wd)
		wantError(t, err, unix.EINVAL)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(wd)) || strings.Contains(err.Error(), "ioctl") {
			t.Errorf("error %v does not name %d, or names a call that was not made", err, wd)
		}
	}
}

// The error names the one call that failed.
func TestRestoreWatchNamesTheCall(t *testing.T) {
	needIoctl(t)
	paths := files(t, 2)
	n := newInotify(t)
	add(t, n, paths[0], inotify.Attrib)
	named := func(call string, errno unix.Errno, err error) {
		t.Helper()
		var se *os.SyscallError
		if wantError(t, err, errno); !errors.As(err, &se) || se.Syscall != call || strings.Count(err.Error(), "inotify_")+strings.Count(err.Error(), "ioctl") != 1 {
			t.Errorf("error %v, want one that names %s and no other call", err, call)
		}
	}
	named("inotify_add_watch", unix.ENOENT, n.RestoreWatch(kerneltest.Context(t), 7, paths[1]+".missing", inotify.Open))
	named("inotify_add_watch", unix.EEXIST, n.RestoreWatch(kerneltest.Context(t), 7, paths[0], inotify.Open))
	failCalls(t, unix.SYS_IOCTL, 1, uint32(sys.SetNextRequest(runtime.GOARCH)), false, unix.EIO)
	named("ioctl INOTIFY_IOC_SETNEXTWD", unix.EIO, n.RestoreWatch(kerneltest.Context(t), 7, paths[1], inotify.Open))
	named("ioctl INOTIFY_IOC_SETNEXTWD", unix.EIO, n.RestoreWatches(kerneltest.Context(t), batchOf(paths, 7)))
}

// Without the ioctl SetNextWD returns an UnsupportedError that names the kernel version, and
// RestoreWatch works all the same.
func TestMissingIoctl(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOTTY, unix.ENOSYS, unix.EPERM} {
		t.Run(errno.Error(), func(t *testing.T) {
			if errno != unix.ENOTTY {
				needIoctl(t) // a kernel without it returns its own errno
			}
			withoutIoctlAs(t, errno)
			n := newInotify(t)
			if kerneltest.SupportsSetNext(n) {
				t.Error("the ioctl is there")
			}
			err := n.SetNextWD(9)
			wantError(t, err, errors.ErrUnsupported)
			var unsupported *inotify.UnsupportedError
			var se *os.SyscallError
			if !errors.As(err, &unsupported) || !errors.As(err, &se) || !strings.Contains(err.Error(), "Linux 4.17") {
				t.Errorf("error %v (%T), want an UnsupportedError in a SyscallError that names the kernel", err, err)
			}
			if hasIoctl := errors.Is(err, errno); !hasIoctl && errno != unix.ENOTTY {
				t.Errorf("error %v does not unwrap to %v", err, errno)
			}
			restore(t, n, 3, files(t, 1)[0], inotify.Attrib)
		})
	}
}

// With and without the ioctl, the watch gets exactly the wanted wd, and works.
func TestRestoreWatchWDs(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		wds := []inotify.WD{1, 2, 7, 8, 300}
		if kerneltest.SupportsSetNext(n) {
			wds = append(wds, 0x34d71d6, math.MaxInt32, 6)
		}
		paths := files(t, len(wds))
		for i, wd := range wds {
			restore(t, n, wd, paths[i], inotify.Attrib)
		}
		for i, wd := range wds {
			if err := os.Chmod(paths[i], 0o400); err != nil {
				t.Fatal(err)
			}
			wantEvents(t, pending(t, n), inotify.Event{WD: wd, Mask: inotify.Attrib})
		}
		if ws := watches(t, n); ws != nil && len(ws) != len(wds) {
			t.Errorf("%d watches, want %d", len(ws), len(wds))
		}
	})
}

// After a restore of the highest wd, the next wd is 1.
func TestRestoreWatchWrapsToOne(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	paths := files(t, 2)
	restore(t, n, math.MaxInt32, paths[0], inotify.Attrib)
	if got := add(t, n, paths[1], inotify.Attrib); got != 1 {
		t.Errorf("the next wd after %d is %d, want 1", math.MaxInt32, got)
	}
}

// A mask as fdinfo lists it is restored exactly. Bits that only old kernels list, and
// IN_MASK_CREATE, are left out.
func TestRestoreWatchMasks(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		for _, test := range []struct {
			mask, want inotify.Mask
		}{
			{inotify.AllEvents, inotify.AllEvents},
			{inotify.Attrib | inotify.OneShot | inotify.ExclUnlink, inotify.Attrib | inotify.OneShot | inotify.ExclUnlink},
			{inotify.OneShot, inotify.OneShot},
			{inotify.ExclUnlink, inotify.ExclUnlink},
			{0, 0},
			{inotify.Create | 0x08000000 | 0x2000, inotify.Create}, // as old kernels show it
			{inotify.Create | inotify.MaskCreate, inotify.Create},
		} {
			n := newInotify(t)
			restore(t, n, 5, files(t, 1)[0], test.mask)
			if ws := watches(t, n); ws != nil && (len(ws) != 1 || ws[0].WD != 5 || ws[0].Mask != test.want) {
				t.Errorf("mask %v is restored as %v", test.mask, ws)
			}
		}
	})
}

// With the ioctl and IN_MASK_CREATE a restore opens no file, not even in /proc.
func TestRestoreOpensNothing(t *testing.T) {
	needIoctl(t)
	if !hasMaskCreate(t) {
		t.Skip("this needs IN_MASK_CREATE")
	}
	n := newInotify(t)
	share(t, n)
	ws := batch(t, inotify.Attrib, 7, 8, 20)
	ended := make(chan struct{})
	go func() { // on another thread, as the test's must still remove the files
		defer close(ended)
		failCalls(t, unix.SYS_OPENAT, 0, 0, true, unix.EMFILE)
		failCalls(t, unix.SYS_FCNTL, 1, unix.F_DUPFD_CLOEXEC, false, unix.EMFILE)
		if err := n.RestoreWatch(kerneltest.Context(t), 5, ws[0].Path, inotify.Attrib); err != nil {
			t.Error(err)
		}
		if err := n.RestoreWatches(kerneltest.Context(t), ws[1:]); err != nil {
			t.Error(err)
		}
	}()
	<-ended
	if got := watches(t, n); len(got) != 3 {
		t.Errorf("%d watches, want 3", len(got))
	}
}

// With IN_DONT_FOLLOW a symbolic link itself is watched, not its target.
func TestRestoreWatchOfASymlinkItself(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		path := files(t, 1)[0]
		link := path + ".symlink"
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		restore(t, n, 4, link, inotify.Attrib|inotify.DontFollow)
		if got := add(t, n, path, inotify.Attrib); got == 4 {
			t.Error("the link's target is watched")
		}
		if got := add(t, n, link, inotify.Attrib|inotify.DontFollow); got != 4 {
			t.Errorf("the link itself is watch %d", got)
		}
	})
}

// With IN_DONT_FOLLOW a dangling symbolic link is restored. A missing path after it is found
// before the first step of the cycle.
func TestRestoreWatchesOfADanglingSymlink(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		ws := batch(t, inotify.Attrib, 3, 20, 60)
		link := ws[1].Path + ".symlink"
		if err := os.Symlink("nowhere", link); err != nil {
			t.Fatal(err)
		}
		ws[1].Path, ws[1].Mask = link, inotify.Attrib|inotify.DontFollow
		if err := n.RestoreWatches(kerneltest.Context(t), ws); err != nil {
			t.Fatal(err)
		}
		if got := add(t, n, link, inotify.Attrib|inotify.DontFollow); got != 20 {
			t.Errorf("the link is watch %d, want 20", got)
		}
		// A missing path is found before a long cycle.
		missing := filepath.Join(t.TempDir(), "missing")
		next := add(t, n, t.TempDir(), inotify.Create) + 1
		if err := os.Symlink("nowhere", link+"2"); err != nil {
			t.Fatal(err)
		}
		err := n.RestoreWatches(kerneltest.Context(t), []inotify.Watch{
			{WD: 99_999, Path: link + "2", Mask: inotify.Attrib | inotify.DontFollow}, {WD: 100_000, Path: missing, Mask: inotify.Attrib}})
		wantError(t, err, unix.ENOENT)
		if err == nil || strings.Count(err.Error(), missing) != 1 {
			t.Errorf("error %v, want one with the path, once", err)
		}
		if got := add(t, n, t.TempDir(), inotify.Create); got > next+2 && !kerneltest.SupportsSetNext(n) {
			t.Errorf("the next wd was %d and is %d", next, got)
		}
	})
}

// IN_ONLYDIR is obeyed by a restore.
func TestRestoreWatchOnlyDir(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		path := files(t, 1)[0]
		wantError(t, n.RestoreWatch(kerneltest.Context(t), 4, path, inotify.Attrib|inotify.OnlyDir), unix.ENOTDIR)
		restore(t, n, 6, filepath.Dir(path), inotify.Attrib|inotify.OnlyDir)
	})
}

// A file without a name is restored by its path in /proc/self/fd.
func TestRestoreWatchOfAnUnlinkedFile(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		path := files(t, 1)[0]
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		restore(t, n, 4, fmt.Sprint("/proc/self/fd/", f.Fd()), inotify.Modify)
		f.WriteString("x")
		wantEvents(t, pending(t, n), inotify.Event{WD: 4, Mask: inotify.Modify})
	})
}

// Invalid arguments and paths are refused, and nothing is changed.
func TestRestoreWatchRefuses(t *testing.T) {
	t.Parallel()
	path := files(t, 1)[0]
	cancelled, cancel := context.WithCancel(kerneltest.Context(t))
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		wd   inotify.WD
		mask inotify.Mask
		want error
		says string
	}{
		"wd 0":          {kerneltest.Context(t), 0, inotify.Open, unix.EINVAL, "wd 0 is not in 1 to"},
		"negative wd":   {kerneltest.Context(t), -7, inotify.Open, unix.EINVAL, "wd -7 is not in 1 to"},
		"IN_MASK_ADD":   {kerneltest.Context(t), 5, inotify.Open | inotify.MaskAdd, unix.EINVAL, "IN_MASK_ADD"},
		"ended context": {cancelled, 5, inotify.Open, context.Canceled, path},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInotify(t)
			err := n.RestoreWatch(test.ctx, test.wd, path, test.mask)
			wantPathError(t, err, path, test.want)
			if !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "inotify_add_watch") {
				t.Errorf("error %q does not say %q, or names a call that was not made", err, test.says)
			}
			if got := add(t, n, path, inotify.Open); got != 1 {
				t.Errorf("the next wd is %d, want 1", got)
			}
		})
	}
	for name, bad := range badPaths(t) {
		t.Run(name, func(t *testing.T) {
			byEachWay(t, func(t *testing.T) {
				asNobody(t)
				n := newInotify(t)
				wantPathError(t, n.RestoreWatch(kerneltest.Context(t), 5, bad.path, bad.mask), bad.path, bad.errno)
				wantUntouched(t, n, nil)
			})
		})
	}
}

// wantUntouched checks that n has the same watches as before and no events.
func wantUntouched(t *testing.T, n *inotify.Inotify, before []inotify.Watch) {
	t.Helper()
	if after := watches(t, n); !slices.Equal(after, before) {
		t.Errorf("watches:\nbefore %v\n after %v", before, after)
	}
	wantEvents(t, pending(t, n))
	if b, err := n.Buffered(); b != 0 || err != nil {
		t.Errorf("Buffered %d, %v with no event queued", b, err)
	}
}

// A restore on a watched inode fails with EEXIST and leaves its watch unchanged.
func TestRestoreWatchOfWatchedPath(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 2)
		names := paths[:1]
		if link := paths[0] + ".link"; watchesInodes(t) {
			if err := os.Link(paths[0], link); err != nil {
				t.Fatal(err)
			}
			names = []string{paths[0], link}
		}
		wd := add(t, n, paths[0], inotify.Attrib|inotify.ExclUnlink)
		last := add(t, n, paths[1], inotify.Attrib)
		before := watches(t, n)
		// The wd of its watch, the next wd, and one that takes steps of the cycle.
		for _, want := range []inotify.WD{wd, last + 1, 40} {
			for _, path := range names {
				err := n.RestoreWatch(kerneltest.Context(t), want, path, inotify.Open)
				wantPathError(t, err, path, unix.EEXIST)
				if err == nil || !strings.Contains(err.Error(), "already watches this inode") {
					t.Errorf("error %q does not say why", err)
				}
				wantUntouched(t, n, before)
			}
		}
		// The mask is unchanged: a change of the mode is an event, opening the file is not.
		if f, err := os.Open(paths[0]); err != nil {
			t.Fatal(err)
		} else {
			f.Close()
		}
		if err := os.Chmod(paths[0], 0o400); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, pending(t, n), inotify.Event{WD: wd, Mask: inotify.Attrib})
	})
}

// The same for directories, for which gVisor would otherwise report all events.
func TestRestoreWatchOfWatchedDirectory(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		dir := t.TempDir()
		wd := add(t, n, dir, inotify.Delete)
		wantError(t, n.RestoreWatch(kerneltest.Context(t), 9, dir, inotify.Open), unix.EEXIST)
		sub := filepath.Join(dir, "sub")
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(sub); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, pending(t, n), inotify.Event{WD: wd, Mask: inotify.Delete | inotify.IsDir, Name: "sub"})
	})
}

// The same for a path whose watch was itself restored.
func TestRestoreWatchOfRestoredPath(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		path := files(t, 1)[0]
		restore(t, n, 7, path, inotify.Attrib)
		before := watches(t, n)
		wantPathError(t, n.RestoreWatch(kerneltest.Context(t), 9, path, inotify.Open), path, unix.EEXIST)
		wantUntouched(t, n, before)
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, pending(t, n), inotify.Event{WD: 7, Mask: inotify.Attrib})
	})
}

// Where the kernel neither lists watches nor supports IN_MASK_CREATE, watches of other
// holders cannot be detected, so a restore on a shared instance is refused.
func TestRestoreOnSharedInstanceWhereNothingIsListed(t *testing.T) {
	n := newInotify(t)
	if _, err := n.Watches(); err == nil || hasMaskCreate(t) {
		t.Skip("this needs a kernel that lists no watches and ignores IN_MASK_CREATE")
	}
	path := files(t, 1)[0]
	restore(t, n, 3, path, inotify.Attrib)
	other, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = n.RestoreWatch(kerneltest.Context(t), 9, files(t, 1)[0], inotify.Attrib)
	var unsupported *inotify.UnsupportedError
	if !errors.As(err, &unsupported) || !strings.Contains(unsupported.Feature, "others hold") {
		t.Errorf("error %v, want an UnsupportedError of an instance that others hold", err)
	}
	wantUntouched(t, n, nil)
}

// A restore itself queues no event and does not make the descriptor readable.
func TestRestoreQueuesNoEvent(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		restore(t, n, 7, files(t, 1)[0], inotify.AllEvents)
		if readable(t, n) {
			t.Error("readable with no event queued")
		}
		wantEvents(t, pending(t, n))
	})
}

// A restore with a used wd fails and says so, and changes nothing.
func TestRestoreWatchOfUsedWD(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 3)
		restore(t, n, 7, paths[0], inotify.Attrib)
		before := watches(t, n)
		err := n.RestoreWatch(kerneltest.Context(t), 7, paths[1], inotify.AllEvents)
		var used *inotify.WDError
		var cycle *inotify.CycleError
		switch {
		case errors.As(err, &used):
			if used.Want != 7 || used.Got != 8 && used.Got != inotify.NoWD {
				t.Errorf("error %+v", used)
			}
		case errors.As(err, &cycle) && watches(t, n) == nil:
			// Without fdinfo a used wd cannot be distinguished from one that was passed.
			if cycle.WD != 7 || cycle.Next != 9 {
				t.Errorf("error %+v", cycle)
			}
		default:
			t.Errorf("error %v (%T)", err, err)
		}
		wantPathError(t, err, paths[1], err)
		wantUntouched(t, n, before)
	})
}

// While other goroutines add watches, each restore gets its wd.
func TestConcurrentAddsDoNotTakeTheWD(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	adders, restored := files(t, 64), files(t, 300)
	var stop atomic.Bool
	var group sync.WaitGroup
	for i := range 8 {
		kerneltest.Go(&group, func() {
			for j := i; !stop.Load(); j++ {
				wd, err := n.AddWatch(adders[j%64], inotify.MaskCreate)
				if err == nil {
					err = n.RemoveWatch(wd)
				}
				if err != nil && !errors.Is(err, unix.EEXIST) {
					t.Error(err)
				}
			}
		})
	}
	for i, path := range restored {
		// In descending order, so that no add gets a wd that is still to be restored.
		if err := n.RestoreWatch(kerneltest.Context(t), inotify.WD(1_000_000-10*i), path, inotify.Attrib); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	group.Wait()
}

// rollback calls queue, which causes events, and then has a restore of wd 7 fail, because that
// is in use: the kernel gives the watch wd 8, and it is rolled back. rollback returns the
// events that are read afterwards.
func rollback(t *testing.T, queue func(n *inotify.Inotify, dir string)) []inotify.Event {
	t.Helper()
	needIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	restore(t, n, 7, dir, inotify.Create|inotify.MovedTo)
	queue(n, dir)
	before := watches(t, n)
	path := files(t, 1)[0]
	var used *inotify.WDError
	if err := n.RestoreWatch(kerneltest.Context(t), 7, path, inotify.AllEvents); !errors.As(err, &used) || used.Got != 8 {
		t.Fatalf("error %v, want a WDError that got 8", err)
	}
	if after := watches(t, n); !slices.Equal(after, before) {
		t.Errorf("watches:\nbefore %v\n after %v", before, after)
	}
	evs := pending(t, n)
	if b, err := n.Buffered(); b != 0 || err != nil {
		t.Errorf("Buffered %d, %v after all was read", b, err)
	}
	if readable(t, n) {
		t.Error("readable after all was read")
	}
	// Buffered counts later events from the first one on.
	add(t, n, dir, inotify.MovedTo)
	move(t, dir, "after", 1)
	if b, err := n.Buffered(); b != 32 || err != nil || !readable(t, n) {
		t.Errorf("Buffered %d, %v, readable %v with an event of 32 bytes", b, err, readable(t, n))
	}
	wantMoves(t, pending(t, n), 7, "after", 1)
	return evs
}

// A rollback delivers no event of its own.
func TestRollbackLeavesNoEvent(t *testing.T) {
	wantEvents(t, rollback(t, func(*inotify.Inotify, string) {}))
}

// A rollback keeps the events that were queued before.
func TestRollbackKeepsWhatWasQueued(t *testing.T) {
	wantEvents(t, rollback(t, func(n *inotify.Inotify, dir string) {
		touch(t, filepath.Join(dir, "x"))
	}), inotify.Event{WD: 7, Mask: inotify.Create, Name: "x"})
}

// Queued events of an earlier watch with the wd of the rolled-back one are delivered.
func TestRollbackKeepsEventsOfEarlierWatch(t *testing.T) {
	wantEvents(t, rollback(t, func(n *inotify.Inotify, dir string) {
		path := files(t, 1)[0]
		restore(t, n, 8, path, inotify.Attrib)
		if err := errors.Join(os.Chmod(path, 0o400), n.RemoveWatch(8)); err != nil {
			t.Fatal(err)
		}
	}),
		inotify.Event{WD: 8, Mask: inotify.Attrib},
		inotify.Event{WD: 8, Mask: inotify.Ignored})
}

// So are the events of a later watch that gets that wd.
func TestRollbackKeepsEventsOfLaterWatch(t *testing.T) {
	needIoctl(t)
	for _, times := range []int{1, 3} {
		n := newInotify(t)
		paths := files(t, 3)
		restore(t, n, 7, paths[0], inotify.Attrib)
		if err := os.Chmod(paths[0], 0o400); err != nil { // so that an event is buffered
			t.Fatal(err)
		}
		for range times {
			if err := n.RestoreWatch(kerneltest.Context(t), 7, paths[1], inotify.AllEvents); err == nil {
				t.Fatal("restored a used wd")
			}
		}
		restore(t, n, 8, paths[2], inotify.Attrib)
		if err := errors.Join(os.Chmod(paths[2], 0o400), n.RemoveWatch(8)); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, pending(t, n),
			inotify.Event{WD: 7, Mask: inotify.Attrib},
			inotify.Event{WD: 8, Mask: inotify.Attrib},
			inotify.Event{WD: 8, Mask: inotify.Ignored})
	}
}

// On a full queue, which has no room for the IN_IGNORED of the rolled-back watch, no event is
// lost and no overflow reported that did not happen.
func TestRollbackWithAFullQueue(t *testing.T) {
	t.Parallel()
	size := queueSize(t)
	t.Run("exactly", func(t *testing.T) {
		evs := rollback(t, func(n *inotify.Inotify, dir string) {
			add(t, n, dir, inotify.MovedTo)
			move(t, dir, "x", size)
		})
		wantMoves(t, evs, 7, "x", size)
	})
	t.Run("overflowed", func(t *testing.T) {
		evs := rollback(t, func(n *inotify.Inotify, dir string) {
			add(t, n, dir, inotify.MovedTo)
			move(t, dir, "x", size+1)
		})
		wantMoves(t, evs[:len(evs)-1], 7, "x", size)
		wantEvents(t, evs[len(evs)-1:], inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow})
	})
}

// Events of a watch that is rolled back are dropped, although another process causes some
// while it exists. Each restore fails because its wd is in use.
func TestRollbackInventsNoEvent(t *testing.T) {
	needIoctl(t)
	n := newInotify(t)
	dir := t.TempDir()
	restore(t, n, 7, files(t, 1)[0], inotify.Attrib)
	writer := startChild(t, child(t, "rename", dir))
	until := time.Now().Add(300 * time.Millisecond)
	for time.Now().Before(until) {
		if err := n.RestoreWatch(kerneltest.Context(t), 7, dir, inotify.AllEvents); err == nil {
			t.Fatal("restored a used wd")
		}
		wantEvents(t, pending(t, n))
	}
	writer.stop()
	wantEvents(t, pending(t, n))
}

// Events that another processor queues at the moment of a removal can come after IN_IGNORED.
// Such events have the wd of the removed watch. How many there were is logged.
func TestEventsAfterIgnored(t *testing.T) {
	n := newInotify(t)
	dir := t.TempDir()
	writer := startChild(t, child(t, "rename", dir))
	removals, late := 0, 0
	until := time.Now().Add(200 * time.Millisecond)
	for time.Now().Before(until) {
		wd := add(t, n, dir, inotify.AllEvents)
		if err := n.RemoveWatch(wd); err != nil {
			t.Fatal(err)
		}
		removals++
		ended := false
		for _, ev := range pending(t, n) {
			switch {
			case ev.WD < 1 || ev.WD > wd:
				t.Errorf("event %v after watch %d was removed", ev, wd)
			case ev.Mask.Has(inotify.Ignored):
				ended = true
			case ended || ev.WD < wd:
				late++
			}
		}
		if !ended {
			t.Errorf("watch %d was removed, but IN_IGNORED was not reported", wd)
		}
	}
	made := writer.stop()
	t.Logf("%d removals, %d renames; %d events came after IN_IGNORED", removals, made, late)
}

// While events are buffered, poll(2) reports the descriptor as readable, for callers with an
// event loop, and no longer once they are read.
func TestReadableAfterRestore(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 3)
		restore(t, n, 7, paths[0], inotify.Attrib)
		if readable(t, n) {
			t.Error("readable with no event queued")
		}
		for range 3 {
			if err := os.Chmod(paths[0], 0o400); err != nil {
				t.Fatal(err)
			}
			before, err := n.Buffered()
			if err != nil {
				t.Fatal(err)
			}
			if err := n.RestoreWatch(kerneltest.Context(t), 7, paths[1], inotify.Attrib); err == nil {
				t.Fatal("restored a used wd")
			}
			if after, err := n.Buffered(); err != nil || after != before {
				t.Errorf("Buffered was %d and is %d, %v", before, after, err)
			}
			if !readable(t, n) {
				t.Error("not readable although an event is buffered")
			}
			wantEvents(t, pending(t, n), inotify.Event{WD: 7, Mask: inotify.Attrib})
			if readable(t, n) {
				t.Error("readable after all was read")
			}
		}
	})
}
