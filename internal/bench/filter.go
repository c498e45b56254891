// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// execFiltered executes another program in which INOTIFY_IOC_SETNEXTWD fails as
// on a kernel without it. The filter is installed on the thread that calls
// execve(2), and every thread of the new program inherits it.
func execFiltered(command []string) error {
	if len(command) == 0 {
		return errors.New("filtered: no command")
	}
	runtime.LockOSThread()
	if err := refuseSetNextWD(); err != nil {
		return fmt.Errorf("filtered: %w", err)
	}
	return &os.PathError{Op: "execve", Path: command[0], Err: unix.Exec(command[0], command, os.Environ())}
}

// refuseSetNextWD has the kernel fail the ioctl with ENOTTY on this thread.
func refuseSetNextWD() error {
	const number, allow = 0, unix.SECCOMP_RET_ALLOW
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.SYS_IOCTL},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: secondArgument()},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: setNextWDRequest()},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOTTY)},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", err)
	}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	runtime.KeepAlive(filter)
	return os.NewSyscallError("prctl PR_SET_SECCOMP", err)
}

// secondArgument returns the offset of the low half of the second system call
// argument in struct seccomp_data.
func secondArgument() uint32 {
	const second = 16 + 8
	if one := uint16(1); *(*byte)(unsafe.Pointer(&one)) == 0 {
		return second + 4
	}
	return second
}

// setNextWDRequest returns INOTIFY_IOC_SETNEXTWD, _IOW('I', 0, __s32). The bits
// of the direction differ between architectures.
func setNextWDRequest() uint32 {
	switch runtime.GOARCH {
	case "mips", "mipsle", "mips64", "mips64le", "ppc64", "ppc64le", "sparc64":
		return 0x80044900
	}
	return 0x40044900
}
