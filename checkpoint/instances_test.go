// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// hasKcmp returns an error if descriptors cannot be compared.
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

// An instance with several descriptors, inherited or duplicated, is listed once.
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

	is, err := checkpoint.Instances(context.Background(), me, h.pid, heir.pid, me)
	ours := []checkpoint.Descriptor{{PID: me, FD: before}, {PID: me, FD: duplicate}, {PID: heir.pid, FD: 3}}
	slices.SortFunc(ours, func(a, b checkpoint.Descriptor) int {
		if a.PID != b.PID {
			return a.PID - b.PID
		}
		return a.FD - b.FD
	})
	theirs := []checkpoint.Descriptor{{PID: h.pid, FD: h.fd()}, {PID: h.pid, FD: second}}
	single := []checkpoint.Descriptor{{PID: me, FD: fdOf(t, other)}}
	want := [][]checkpoint.Descriptor{ours, theirs, single}
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
		case watches != -1 && (watches == 1) != slices.Equal(i.Descriptors, ours):
			t.Errorf("%v has %d watches", i.Descriptors, watches)
		}
	}

	all, _ := checkpoint.Instances(context.Background()) // some processes may not be readable
	for _, w := range want {
		found := false
		for _, i := range all {
			found = found || slices.Equal(i.Descriptors, w)
		}
		if !found {
			t.Errorf("%v is missing from all instances: %v", w, all)
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

// Without kcmp, each descriptor is listed as an instance of its own, with the reason.
func TestInstancesWithoutKcmp(t *testing.T) {
	needLists(t)
	// A process that this thread starts lacks it on all threads.
	kerneltest.FailCalls(t, unix.SYS_KCMP, 0, 0, true, unix.ENOSYS)
	if !kerneltest.Again(t, &syscall.SysProcAttr{}) {
		return
	}
	n := newInotify(t)
	dup, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	defer dup.Close()
	is, err := checkpoint.Instances(context.Background(), os.Getpid())
	if err != nil || len(is) < 2 {
		t.Fatalf("instances %v, %v", is, err)
	}
	for _, i := range is {
		if !errors.Is(i.Ungrouped, unix.ENOSYS) || len(i.Descriptors) != 1 || i.Watches != 0 {
			t.Errorf("instance %+v", i)
		}
	}
}

func TestInstancesOfProcessWithoutAny(t *testing.T) {
	h := startHolder(t, 0, os.Geteuid())
	if is, err := checkpoint.Instances(context.Background(), h.pid); err != nil || len(is) != 0 {
		t.Errorf("instances %v, %v of a process without instances", is, err)
	}
	h.end()
	_, err := checkpoint.Instances(context.Background(), h.pid, os.Getpid())
	var e *checkpoint.ProcessError
	if !errors.As(err, &e) || e.PID != h.pid || !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v of a process that has exited", err)
	}
	if os.Geteuid() != 0 {
		_, err := checkpoint.Instances(context.Background(), 1)
		wantError(t, err, os.ErrPermission)
		_, err = checkpoint.Instances(context.Background()) // some processes are other users'
		wantError(t, err, os.ErrPermission)
	}
}

// exitMainThread makes an instance and ends the main thread, while the others live on.
func exitMainThread() {
	fmt.Println(newInstance())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

// unshareTable makes an instance, then starts a thread with a copy of the descriptor table,
// which makes another instance.
func unshareTable() {
	first := newInstance()
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(first, newInstance(), unix.Gettid())
		select {}
	}()
	io.Copy(io.Discard, os.Stdin)
}

func TestInstancesAfterMainThreadExited(t *testing.T) {
	needKcmp(t)
	p, line := startRole(t, "main thread exits")
	fd, _ := strconv.Atoi(line)
	waitUntil(t, "the main thread has exited", func() bool { return state(p.pid) == 'Z' })
	is, err := checkpoint.Instances(context.Background(), p.pid)
	if err != nil || len(is) != 1 || len(is[0].Descriptors) != 1 || is[0].Watches == 0 {
		t.Fatalf("instances %+v, %v", is, err)
	}
	d := is[0].Descriptors[0]
	if _, err := os.Readlink(fmt.Sprintf("/proc/%d/task/%d/fd/%d", p.pid, d.TID, fd)); err != nil || d.PID != p.pid || d.FD != fd {
		t.Errorf("%+v: %v", d, err)
	}
}

func TestInstancesOfThreadWithItsOwnTable(t *testing.T) {
	needKcmp(t)
	p, line := startRole(t, "table of its own")
	var first, second, tid int
	if _, err := fmt.Sscan(line, &first, &second, &tid); err != nil {
		t.Skip("this needs a thread to unshare its descriptors: ", line)
	}
	is, err := checkpoint.Instances(context.Background(), p.pid)
	wantInstances(t, listed(t, is, err),
		[]checkpoint.Descriptor{{PID: p.pid, FD: first}, {PID: p.pid, TID: tid, FD: first}},
		[]checkpoint.Descriptor{{PID: p.pid, TID: tid, FD: second}})
}

// state returns the letter of a process's state.
func state(pid int) byte {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	return (rest + " ")[0]
}

// A zombie has no instances, which any user may list.
func TestInstancesOfZombie(t *testing.T) {
	h := startHolder(t, 0, os.Geteuid())
	h.in.Close()
	waitUntil(t, "the process has exited", func() bool { return state(h.pid) == 'Z' })
	needTasks(t, h.pid)
	if is, err := checkpoint.Instances(context.Background(), h.pid); len(is) != 0 || err != nil {
		t.Errorf("instances %v, %v", is, err)
	}
}

// needTasks skips the test if /proc does not list the threads of a zombie.
func needTasks(t *testing.T, pid int) {
	t.Helper()
	if _, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); err != nil {
		t.Skip("this needs a kernel that lists the threads of a zombie: ", err)
	}
}

// The fdinfo of an instance is read once, however many descriptors it has.
func TestInstancesReadsFdinfoOnce(t *testing.T) {
	needKcmp(t)
	needLists(t)
	h := startHolder(t, 0, os.Geteuid())
	h.do("new")
	h.do("watch", "1", "IN_CREATE", t.TempDir())
	for range 20 {
		h.do("dup")
	}
	infos := fmt.Sprintf("/proc/%d/fdinfo", h.pid)
	kerneltest.KeepCached(t, infos)
	n := newInotify(t)
	if _, err := n.AddWatch(infos, inotify.Open); err != nil {
		t.Fatal(err)
	}
	os.ReadFile(fmt.Sprint(infos, "/", h.fd()))
	if len(tryAll(t, n)) != 1 {
		t.Skip("this needs a kernel that reports reads of fdinfo")
	}
	is, err := checkpoint.Instances(context.Background(), h.pid)
	if err != nil || len(is) != 1 || len(is[0].Descriptors) != 21 || is[0].Watches != 1 {
		t.Fatalf("instances %+v, %v", is, err)
	}
	if evs := tryAll(t, n); len(evs) != 1 {
		t.Errorf("fdinfo was read %d times: %v", len(evs), evs)
	}
}

func TestInstancesNeedsProcOfThePIDNamespace(t *testing.T) {
	if !kerneltest.Again(t, kerneltest.OwnProc()) {
		return
	}
	n := newInotify(t)
	want := func(what string) {
		t.Helper()
		is, err := checkpoint.Instances(context.Background())
		if is != nil || err == nil || !strings.Contains(err.Error(), what) || errors.As(err, new(*checkpoint.ProcessError)) {
			t.Errorf("instances %v, error %v, want %q", is, err, what)
		}
	}
	want("/proc is of another pid namespace")
	kerneltest.Mount(t, "tmpfs", "/proc", "tmpfs", 0, "")
	want("procfs is not mounted")
	kerneltest.Mount(t, "proc", "/proc", "proc", 0, "")
	is, err := checkpoint.Instances(context.Background())
	wantInstances(t, listed(t, is, err), []checkpoint.Descriptor{{PID: os.Getpid(), FD: fdOf(t, n)}})
}

// Other descriptors are grouped correctly while one is replaced all the time.
func TestInstancesWithChangingDescriptor(t *testing.T) {
	needKcmp(t)
	var files []*os.File
	for range 4 {
		n := newInotify(t)
		for range 3 {
			f, err := n.File()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			files = append(files, f)
		}
	}
	changing, err := unix.Dup(int(files[0].Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(changing)
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				unix.Dup3(int(files[i%len(files)].Fd()), changing, unix.O_CLOEXEC)
			}
		}
	}()
	for range 10 {
		is, err := checkpoint.Instances(context.Background(), os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		for i := range files {
			with := slices.IndexFunc(is, func(in checkpoint.Instance) bool {
				return slices.Contains(in.Descriptors, checkpoint.Descriptor{PID: os.Getpid(), FD: int(files[i].Fd())})
			})
			first := checkpoint.Descriptor{PID: os.Getpid(), FD: int(files[i-i%3].Fd())}
			if with < 0 || !slices.Contains(is[with].Descriptors, first) {
				t.Fatalf("descriptors %d and %d are not grouped in %+v", first.FD, files[i].Fd(), is)
			}
		}
	}
}
