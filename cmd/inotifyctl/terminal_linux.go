// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"io"
	"os"
	"syscall"
	"unsafe"
)

// isTerminal asks for w's terminal settings, which only a terminal has.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var settings syscall.Termios
	e := syscall.EBADF
	conn.Control(func(fd uintptr) {
		_, _, e = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TCGETS, uintptr(unsafe.Pointer(&settings)))
	})
	return e == 0
}

// columns returns how wide the terminal w is, or 0 if w is not a terminal.
func columns(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	conn, err := w.(*os.File).SyscallConn()
	if err != nil {
		return 0
	}
	const usual = 80 // where the terminal does not know
	var size struct{ rows, columns, x, y uint16 }
	conn.Control(func(fd uintptr) {
		syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	})
	if size.columns == 0 {
		return usual
	}
	return int(size.columns)
}
