// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// hasKcmp returns an error where descriptors cannot be compared.
func hasKcmp() error {
	pid := uintptr(os.Getpid())
	if _, _, e := unix.Syscall6(unix.SYS_KCMP, pid, pid, 0, 0, 0, 0); e != 0 {
		return e
	}
	return nil
}

func needKcmp(t testing.TB) {
	t.Helper()
	if err := hasKcmp(); err != nil {
		t.Skip("this needs kcmp: ", err)
	}
}

// listed returns the descriptors of each instance.
func listed(t testing.TB, is []checkpoint.Instance, err error) (all [][]checkpoint.Descriptor) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range is {
		all = append(all, i.Descriptors)
	}
	return all
}

func wantInstances(t testing.TB, got [][]checkpoint.Descriptor, want ...[]checkpoint.Descriptor) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("instances\n%v\nwant\n%v", got, want)
	}
}

// One that was inherited or duplicated is listed once.
func TestInstancesAreGrouped(t *testing.T) {
	needKcmp(t)
	n, other := newInotify(t), newInotify(t)
	if _, err := n.AddWatch("/", inotify.DeleteSelf); err != nil {
		t.Fatal(err)
	}
	before := fdOf(t, n)
	dup, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	defer dup.Close()
	duplicate := int(dup.Fd())
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	var second int
	fmt.Sscan(h.do("dup"), &second)
	heir := startHeir(t, dup)
	me := os.Getpid()

	is, err := checkpoint.Instances(me, h.pid, heir.pid, me)
	mine := []checkpoint.Descriptor{{PID: me, FD: before}, {PID: me, FD: duplicate}, {PID: heir.pid, FD: 3}}
	slices.SortFunc(mine, func(a, b checkpoint.Descriptor) int {
		if a.PID != b.PID {
			return a.PID - b.PID
		}
		return a.FD - b.FD
	})
	his := []checkpoint.Descriptor{{PID: h.pid, FD: h.fd()}, {PID: h.pid, FD: second}}
	single := []checkpoint.Descriptor{{PID: me, FD: fdOf(t, other)}}
	want := [][]checkpoint.Descriptor{mine, his, single}
	slices.SortFunc(want, func(a, b []checkpoint.Descriptor) int {
		if a[0].PID != b[0].PID {
			return a[0].PID - b[0].PID
		}
		return a[0].FD - b[0].FD
	})
	wantInstances(t, listed(t, is, err), want...)
	for _, i := range is {
		switch watches := i.Watches; {
		case i.Ungrouped != nil:
			t.Errorf("not grouped: %v", i.Ungrouped)
		case watches != -1 && (watches == 1) != slices.Equal(i.Descriptors, mine):
			t.Errorf("%v has %d watches", i.Descriptors, watches)
		}
	}

	all, _ := checkpoint.Instances() // others' processes may not be readable
	for _, w := range want {
		found := false
		for _, i := range all {
			found = found || slices.Equal(i.Descriptors, w)
		}
		if !found {
			t.Errorf("%v is not among all instances: %v", w, all)
		}
	}
}

// startHeir starts a process that inherits f as its descriptor 3.
func startHeir(t testing.TB, f *os.File) *holder {
	t.Helper()
	cmd := holderCommand(kerneltest.Executable(t))
	cmd.ExtraFiles = []*os.File{f}
	return startCommand(t, cmd)
}

// Where they cannot be compared, each is listed, and says why.
func TestInstancesWithoutKcmp(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	dup, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	defer dup.Close()
	kerneltest.FailCalls(t, unix.SYS_KCMP, 2, 0, false, unix.ENOSYS)
	is, err := checkpoint.Instances(os.Getpid())
	if err != nil || len(is) < 2 {
		t.Fatalf("instances %v, %v", is, err)
	}
	if last := is[len(is)-1]; !errors.Is(last.Ungrouped, unix.ENOSYS) || len(last.Descriptors) != 1 {
		t.Errorf("instance %+v", last)
	}
}

func TestInstancesOfNobody(t *testing.T) {
	h := startHolder(t, 0, os.Geteuid())
	if is, err := checkpoint.Instances(h.pid); err != nil || len(is) != 0 {
		t.Errorf("instances %v of a process that has none, %v", is, err)
	}
	h.end()
	_, err := checkpoint.Instances(h.pid, os.Getpid())
	var e *checkpoint.ProcessError
	if !errors.As(err, &e) || e.PID != h.pid || !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v of a process that has ended", err)
	}
	if os.Geteuid() != 0 {
		_, err := checkpoint.Instances(1)
		wantError(t, err, os.ErrPermission)
		_, err = checkpoint.Instances() // one of them is somebody else's
		wantError(t, err, os.ErrPermission)
	}
}
