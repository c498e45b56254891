// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

// Package kerneltest has helpers of the tests: it hides features of the kernel by seccomp filters,
// makes system calls fail, sets limits and mounts in namespaces, skips tests with the reason, and
// finds leaked descriptors.
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

// Main runs the tests and returns the exit code, which is not 0 if a descriptor leaked. searches says
// that tests of the package search filesystems for files.
func Main(m *testing.M, searches bool) int {
	if n, err := inotify.New(); err == nil {
		n.Close() // so that the runtime has opened the poller's descriptors
	}
	defer onTmpfs(searches)()
	before := OpenDescriptors()
	code := m.Run()
	runtime.GC()
	after := OpenDescriptors()
	for tries := 0; code == 0 && len(after) > len(before) && tries < 100; tries++ {
		time.Sleep(10 * time.Millisecond) // abandoned calls close what they opened
		runtime.GC()                      // finalizers close the pidfds of processes that were not waited for
		after = OpenDescriptors()
	}
	if code == 0 && len(after) > len(before) {
		fmt.Printf("descriptors leaked: before %v, after %v\n", before, after)
		code = 1
	}
	return code
}

// onTmpfs moves temporary directories to a tmpfs, where creating a file takes a hundredth of the time.
// As root it mounts a new one below /dev/shm: searches of other tests would cause events in a shared
// one. remove unmounts it, and onTmpfs unmounts those that killed processes left. Other users use
// /dev/shm itself, unless the package's own tests search. If TMPDIR is set, or without /dev/shm,
// nothing is moved.
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

// LongTests reports whether INOTIFY_TEST_LONG is set: then the long tests run.
func LongTests() bool { return os.Getenv("INOTIFY_TEST_LONG") != "" }

// Long skips the test unless INOTIFY_TEST_LONG is set. why says what takes long.
func Long(t testing.TB, why string) {
	t.Helper()
	if !LongTests() {
		t.Skip(why + "; set INOTIFY_TEST_LONG=1 to run it")
	}
}

// OpenDescriptors lists the open descriptors of this process, except the one that it reads them from.
func OpenDescriptors() []string {
	entries, _ := os.ReadDir("/proc/self/fd")
	var open []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		ofGo := runtime.Version() == "go1.23.0" && target == "anon_inode:[pidfd]" // leaked if a command cannot be executed
		if err == nil && !strings.Contains(target, "coverage") && !ofGo {
			open = append(open, e.Name()+" "+target)
		}
	}
	return open
}

// OnOwnThread locks the test to a thread that ends with it, so that changes of the thread do not
// affect other tests.
func OnOwnThread(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked
}

// FailCalls makes calls of system call nr fail with an errno on the test's thread, by a seccomp
// filter, if argument arg is equal to value. With anyBit they fail if arg has any bit of value, or
// always if value is 0. Programs that the thread starts inherit the filter.
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
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the system call number
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

// NeedOpenat2 skips the test if the kernel lacks openat2.
func NeedOpenat2(t testing.TB) {
	t.Helper()
	if !HasOpenat2() {
		t.Skip("this needs openat2")
	}
}

// NeedUserNamespaces skips the test if a process cannot create a user namespace. The probe maps no
// users, as package syscall would leak a pipe if that failed.
func NeedUserNamespaces(t testing.TB) {
	t.Helper()
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	if err := cmd.Run(); err != nil {
		t.Skip("this needs a user namespace: ", err)
	}
}

// AsNobody drops root's rights to files on the test's thread.
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

// DropReadSearch takes the right to open file handles from programs that the test's thread starts.
func DropReadSearch(t testing.TB) {
	t.Helper()
	OnOwnThread(t)
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_DAC_READ_SEARCH, 0, 0, 0); err != nil && os.Geteuid() == 0 {
		t.Skip("this needs to drop a capability: ", err)
	}
}

// WithoutIoctl hides INOTIFY_IOC_SETNEXTWD from the test's thread by a seccomp filter, if the kernel
// has it.
func WithoutIoctl(t testing.TB) {
	t.Helper()
	n, err := inotify.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if SupportsSetNext(n) {
		for _, request := range []uint32{0x40044900, 0x80044900} { // the request code depends on the processor
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
