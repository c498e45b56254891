// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package inotify

import (
	"errors"
	"os"
)

// Elsewhere New and FromFile fail, so that no method gets as far as a system
// call; these functions only let the package build.

type errno uint8

const (
	success errno = iota
	eAGAIN
	eBADF
	eEXIST
	eINTR
	eINVAL
	eMFILE
	eNOENT
	eNOSPC
	eNOSYS
	eNOTTY
	ePERM
)

func (e errno) Error() string { return "not Linux" }

func sysInit() (int, error) { return -1, errors.ErrUnsupported }

func addOnce(int, *byte, Mask) (WD, errno) { return NoWD, eNOSYS }

func sysAdd(int, *byte, Mask) (WD, errno) { return NoWD, eNOSYS }

func sysRemove(int, WD) errno { return eNOSYS }

func sysAddScratch(int, *byte, Mask) (WD, errno) { return NoWD, eNOSYS }

func sysRemoveScratch(int, WD) errno { return eNOSYS }

func sysRead(int, []byte) (int, errno) { return 0, eNOSYS }

func sysQueued(int) (int, errno) { return 0, eNOSYS }

func sysSetNext(int, WD) errno { return eNOSYS }

func sysNonblock(int) (bool, error) { return false, errors.ErrUnsupported }

func sysDup(int) (int, error) { return -1, errors.ErrUnsupported }

func sysOpenPath(string, bool) (int, error) { return -1, errors.ErrUnsupported }

func sysInode(int) (Device, uint64, error) { return Device{}, 0, errors.ErrUnsupported }

func sysClose(int) {}

func sysMemfd() (int, error) { return -1, errors.ErrUnsupported }

func sysFileLimit() int64 { return -1 }

func procFD(int) string { return "" }

func openFDInfo(int) (*os.File, error) { return nil, errors.ErrUnsupported }

func sysPathInode(string, bool) (inode, error) { return inode{}, errors.ErrUnsupported }

func sysMountinfo() ([]byte, error) { return nil, errors.ErrUnsupported }
