// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

// Package kerneltest lets tests run on a kernel that lacks something, by what the
// kernel itself offers for that, and finds leaked descriptors.
package kerneltest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// The main goroutine keeps the main thread. A test that changes its own thread, for example its
// mount namespace, would otherwise change what /proc/self shows if that is the main thread,
// which does not end with the test.
func init() { runtime.LockOSThread() }

// Main runs the tests and returns the exit code, which says so if a descriptor
// leaked. searches says that tests of the package search filesystems for files.
func Main(m *testing.M, searches bool) int {
	if n, err := inotify.New(); err == nil {
		n.Close() // the runtime's poller has its descriptors from now on
	}
	defer onTmpfs(searches)()
	before := OpenDescriptors()
	code := m.Run()
	runtime.GC()
	after := OpenDescriptors()
	for tries := 0; code == 0 && len(after) > len(before) && tries < 100; tries++ {
		time.Sleep(10 * time.Millisecond) // calls that were abandoned close what they opened
		runtime.GC()                      // and processes that nobody waited for, their pidfds
		after = OpenDescriptors()
	}
	if code == 0 && len(after) > len(before) {
		fmt.Printf("descriptors leaked: before %v, after %v\n", before, after)
		code = 1
	}
	return code
}

// onTmpfs moves temporary directories to a tmpfs: there it takes a hundredth of the time
// to make a file. Root gets one of its own, below /dev/shm, so that no search of other
// tests walks it, which the tests' watches would report. It is unmounted at the end, and
// one that a killed process left is unmounted here. Other users get /dev/shm itself unless
// the package's own tests search. With TMPDIR set, or without /dev/shm, nothing is moved.
// It returns what removes the directory.
func onTmpfs(searches bool) (remove func()) {
	var st unix.Statfs_t
	if os.Getenv("TMPDIR") != "" || unix.Statfs("/dev/shm", &st) != nil || st.Type != unix.TMPFS_MAGIC {
		return func() {}
	}
	const prefix = "/dev/shm/inotify-test-"
	stale, _ := filepath.Glob(prefix + "*")
	for _, dir := range stale {
		pid, _, _ := strings.Cut(strings.TrimPrefix(dir, prefix), "-")
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			unix.Unmount(dir, unix.MNT_DETACH)
			os.Remove(dir)
		}
	}
	dir := fmt.Sprint(prefix, os.Getpid(), "-", rand.Uint32())
	if err := os.Mkdir(dir, 0o755); err != nil {
		return func() {}
	}
	mounted := unix.Mount("inotify-test", dir, "tmpfs", 0, "mode=0755") == nil
	if !mounted && searches {
		os.Remove(dir)
		return func() {}
	}
	os.Setenv("TMPDIR", dir)
	return func() {
		if mounted {
			unix.Unmount(dir, unix.MNT_DETACH)
		}
		os.Remove(dir)
		os.Unsetenv("TMPDIR")
	}
}

// LongTests reports whether the tests that take long are to run.
func LongTests() bool { return os.Getenv("INOTIFY_TEST_LONG") != "" }

// Long skips a test that takes long unless INOTIFY_TEST_LONG is set. why says
// what takes so long.
func Long(t testing.TB, why string) {
	t.Helper()
	if !LongTests() {
		t.Skip(why, "; set INOTIFY_TEST_LONG=1 to run it")
	}
}

// OpenDescriptors lists what this process has open, but for the directory that
// it reads for that.
func OpenDescriptors() []string {
	entries, _ := os.ReadDir("/proc/self/fd")
	var open []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		ofGo := runtime.Version() == "go1.23.0" && target == "anon_inode:[pidfd]" // of a command that could not be executed
		if err == nil && !strings.Contains(target, "coverage") && !ofGo {
			open = append(open, e.Name()+" "+target)
		}
	}
	return open
}

// OnOwnThread keeps the test on a thread that ends with it, so that what is
// changed about the thread harms no other test.
func OnOwnThread(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked
}

// FailCalls has the kernel fail calls of number nr on the test's thread with an
// errno, by a seccomp filter, if argument arg is equal to value, or, with
// anyBit, has any of its bits; with anyBit and no value, in any case. It holds for
// programs that the thread starts, too.
func FailCalls(t testing.TB, nr uintptr, arg int, value uint32, anyBit bool, errno unix.Errno) {
	t.Helper()
	OnOwnThread(t)
	offset := uint32(16 + 8*arg) // of the low half, in struct seccomp_data
	if one := uint16(1); *(*byte)(unsafe.Pointer(&one)) == 0 {
		offset += 4
	}
	compare := uint16(unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K)
	switch {
	case anyBit && value == 0:
		compare = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K // always
	case anyBit:
		compare = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: uint32(nr)},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset},
		{Code: compare, Jf: 1, K: value},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Skip("this needs seccomp: no_new_privs: ", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		t.Skip("this needs seccomp: ", err)
	}
	runtime.KeepAlive(filter)
}

// HasOpenat2 reports whether the kernel has openat2 (Linux 5.6).
func HasOpenat2() bool {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH})
	if err == nil {
		unix.Close(fd)
	}
	return err != unix.ENOSYS
}

// NeedOpenat2 skips the test where the kernel lacks it.
func NeedOpenat2(t testing.TB) {
	t.Helper()
	if !HasOpenat2() {
		t.Skip("this needs openat2")
	}
}

// NeedUserNamespaces skips the test where a process cannot have one of its own. To find
// out by mapping users would leak the pipe by which package syscall does that.
func NeedUserNamespaces(t testing.TB) {
	t.Helper()
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	if err := cmd.Run(); err != nil {
		t.Skip("this needs a user namespace: ", err)
	}
}

// AsNobody gives up root's rights to files on the test's thread.
func AsNobody(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	OnOwnThread(t)
	const nobody = 65534
	unix.RawSyscall(unix.SYS_SETFSUID, nobody, 0, 0)
	if now, _, _ := unix.RawSyscall(unix.SYS_SETFSUID, nobody, 0, 0); now != nobody {
		t.Skip("this needs setfsuid, which had no effect")
	}
	t.Cleanup(func() { unix.RawSyscall(unix.SYS_SETFSUID, 0, 0, 0) }) // before the directories are removed
}

// DropReadSearch has the programs that the test's thread starts lack the right to
// open file handles.
func DropReadSearch(t testing.TB) {
	t.Helper()
	OnOwnThread(t)
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_DAC_READ_SEARCH, 0, 0, 0); err != nil && os.Geteuid() == 0 {
		t.Skip("this needs to drop a capability: ", err)
	}
}

// WithoutIoctl runs the rest of the test on a kernel that lacks
// INOTIFY_IOC_SETNEXTWD: as it is, or by a seccomp filter on the test's thread.
func WithoutIoctl(t testing.TB) {
	t.Helper()
	n, err := inotify.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if SupportsSetNext(n) {
		for _, request := range []uint32{0x40044900, 0x80044900} { // which one it is depends on the processor
			FailCalls(t, unix.SYS_IOCTL, 1, request, false, unix.ENOTTY)
		}
	}
	if SupportsSetNext(n) {
		t.Fatal("the ioctl is still there")
	}
}

// Context returns a context that ends with the test.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx
}

// Go calls f in a goroutine of the group.
func Go(group *sync.WaitGroup, f func()) {
	group.Add(1)
	go func() {
		defer group.Done()
		f()
	}()
}
