// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// NewInotify returns an instance that is closed at the end of the test.
func NewInotify(t testing.TB) *inotify.Inotify {
	t.Helper()
	n, err := inotify.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// Files makes count files in a new directory.
func Files(t testing.TB, count int) []string {
	t.Helper()
	dir := t.TempDir()
	paths := make([]string, count)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprint("f", i))
		Touch(t, paths[i])
	}
	return paths
}

// Touch makes an empty file.
func Touch(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Pending reads all events that can be read without waiting.
func Pending(t testing.TB, n *inotify.Inotify) []inotify.Event {
	t.Helper()
	var evs []inotify.Event
	for {
		ev, ok, err := n.TryReadEvent()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return evs
		}
		evs = append(evs, ev)
	}
}

// WantEvents compares events.
func WantEvents(t testing.TB, got []inotify.Event, want ...inotify.Event) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("events:\n got %v\nwant %v", got, want)
	}
}

// WantError checks that err is want, by errors.Is.
func WantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v (%T), want one that is %v", err, err, want)
	}
}

// HasIoctl reports whether the kernel has INOTIFY_IOC_SETNEXTWD.
func HasIoctl(t testing.TB) bool {
	t.Helper()
	return SupportsSetNext(NewInotify(t))
}

// SupportsSetNext reports whether the ioctl works on the calling thread, from which a seccomp filter
// may hide it.
func SupportsSetNext(n *inotify.Inotify) bool {
	conn, err := n.SyscallConn()
	if err != nil {
		return false
	}
	e := sys.ENOSYS
	conn.Control(func(fd uintptr) { e = sys.SetNext(int(fd), 0) })
	return e == sys.OK || e == sys.EINVAL
}

// NeedIoctl skips the test if the kernel lacks the ioctl.
func NeedIoctl(t testing.TB) {
	t.Helper()
	if err := NewInotify(t).SetNextWD(1); err != nil {
		t.Skip("this needs the ioctl: ", err)
	}
}

// NeedDuplicates skips the test if records that are read from a duplicate of an instance do not have
// the processor's byte order. qemu-user converts only records from the descriptor that inotify_init1
// returned.
func NeedDuplicates(t testing.TB) {
	t.Helper()
	n := NewInotify(t)
	f, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	shared, err := inotify.FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	wd, err := n.AddWatch("/", inotify.DeleteSelf)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.RemoveWatch(wd); err != nil {
		t.Fatal(err)
	}
	if ev, _, _ := shared.TryReadEvent(); uint32(ev.WD) == bits.ReverseBytes32(uint32(wd)) {
		t.Skip("this needs duplicates whose events have the processor's byte order")
	}
}

// NeedFlags skips the test if the flags in fdinfo do not have this processor's values. With qemu-user
// they have those of the machine, which differ from those of MIPS.
func NeedFlags(t testing.TB) {
	t.Helper()
	conn, err := NewInotify(t).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	conn.Control(func(fd uintptr) {
		text, _ := os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", fd))
		var pos, flags int
		if n, _ := fmt.Sscanf(string(text), "pos: %d\nflags: %o", &pos, &flags); n == 2 && flags&unix.O_NONBLOCK == 0 {
			t.Skipf("this needs this processor's flags in fdinfo: O_NONBLOCK is not in %#o", flags)
		}
	})
}

// ManyWatches waits until no test of another process uses very many watches, as their number per user
// is limited. Other tests that call it wait until this one ends.
func ManyWatches(t testing.TB) {
	t.Helper()
	f, err := os.Open("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		t.Skip("this needs the limit of watches: ", err)
	}
	t.Cleanup(func() { f.Close() })
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Skip("this needs to lock a file of /proc: ", err)
	}
}

// NeedLists skips the test if the kernel does not list watches in fdinfo.
func NeedLists(t testing.TB) {
	t.Helper()
	if _, err := NewInotify(t).Watches(); err != nil {
		t.Skip("this needs watches in fdinfo: ", err)
	}
}
