// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package sys

import "errors"

// Errno stands for a system call's error number.
type Errno uint8

const (
	OK Errno = iota
	EAGAIN
	EBADF
	EEXIST
	EINTR
	EINVAL
	EMFILE
	ENOENT
	ENOMEM
	ENOSPC
	ENOSYS
	ENOTTY
	EPERM
	ESRCH
)

func (e Errno) Error() string { return "not Linux" }

// On other systems Init fails, so that no method makes one of the other calls.

func Init() (int, error) { return -1, errors.ErrUnsupported }

func AddOnce(int, *byte, uint32) (int32, Errno) { return -1, ENOSYS }

func Add(int, *byte, uint32) (int32, Errno) { return -1, ENOSYS }

func Remove(int, int32) Errno { return ENOSYS }

func AddScratch(int, *byte, uint32) (int32, Errno) { return -1, ENOSYS }

func RemoveScratch(int, int32) Errno { return ENOSYS }

func Read(int, []byte) (int, Errno) { return 0, ENOSYS }

func Queued(int) (int, error) { return 0, errors.ErrUnsupported }

func SetNext(int, int32) Errno { return ENOSYS }

func Nonblock(int) (bool, error) { return false, errors.ErrUnsupported }

func Dup(int, int) (int, error) { return -1, errors.ErrUnsupported }

func OpenPath(string, bool) (int, error) { return -1, errors.ErrUnsupported }

func FDInode(int) (Inode, error) { return Inode{}, errors.ErrUnsupported }

func PathInode(string, bool) (Inode, error) { return Inode{}, errors.ErrUnsupported }

func Close(int) error { return errors.ErrUnsupported }

func Memfd() (int, error) { return -1, errors.ErrUnsupported }

func FileLimit() (uint64, error) { return 0, errors.ErrUnsupported }

func KernelRelease() string { return "" }

func Columns(int) int { return -1 }

func Mountinfo() ([]byte, error) { return nil, errors.ErrUnsupported }
