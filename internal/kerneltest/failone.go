// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"runtime"
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FailOne runs f on a new thread, on which one call of system call nr fails: the one after skip
// others, or none if skip is negative. It returns how many calls of nr there were. Unlike
// Supervise, it does not slow down other system calls.
func FailOne(t testing.TB, nr uintptr, skip int, errno unix.Errno, f func()) (calls int) {
	t.Helper()
	return FailWhen(t, nr, errno, func(call int) bool { return call == skip }, f)
}

// FailWhen is FailOne for the calls for which when returns true. when gets the number of the call,
// which begins at 0, and may wait: the call waits for its answer.
func FailWhen(t testing.TB, nr uintptr, errno unix.Errno, when func(call int) bool, f func()) (calls int) {
	t.Helper()
	// A thread that waits for the answer to a RawSyscall does not stop for the garbage collector,
	// and while the collector waits for it, the answering goroutine is stopped.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC() // so that no collection that has begun goes on
	listener, ended := make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		fd, err := notifyOf(nr)
		listener <- fd
		if err == nil {
			f()
		}
		ended <- err
	}()
	fd := <-listener
	stop, stopped := make(chan struct{}), make(chan int, 1)
	go func() { stopped <- answerCalls(fd, errno, when, stop) }()
	err := <-ended
	close(stop)
	calls = <-stopped
	if err != nil {
		t.Skip("this needs seccomp's user notification: ", err)
	}
	unix.Close(fd)
	return calls
}

// notifyOf installs a filter on this thread and returns the descriptor from which calls of system
// call nr are answered.
func notifyOf(nr uintptr) (int, error) {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the system call number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(nr)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	fd, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}

// answerCalls answers calls until stop is closed, and counts them.
func answerCalls(listener int, errno unix.Errno, when func(call int) bool, stop <-chan struct{}) (calls int) {
	for {
		ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		unix.Poll(ready, 10)
		if ready[0].Revents&unix.POLLIN == 0 {
			select {
			case <-stop:
				return calls
			default:
				continue
			}
		}
		var n notification
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); e != 0 {
			continue
		}
		r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if when(calls) {
			r.flags, r.errno = 0, -int32(errno)
		}
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r))); e == 0 {
			calls++
		}
	}
}
