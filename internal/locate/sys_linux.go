// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/sys"
)

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

// mountOf returns the id of the mount of an open descriptor, from fdinfo (Linux 3.15). procFD is
// open on sys.ProcFDs.
func mountOf(procFD, fd int) (int32, error) {
	var buf [1024]byte
	text, err := sys.ReadFDInfo(procFD, fd, buf[:])
	if err != nil {
		return 0, err
	}
	id, found := fdinfo.Field(text, "mnt_id")
	if !found {
		return 0, errNoMountID
	}
	v, err := strconv.ParseInt(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("fdinfo: mnt_id %.100q is not a number", id)
	}
	return int32(v), nil
}

// A dirent is one directory entry. name is a slice of the buffer, followed by a NUL byte.
type dirent struct {
	inode uint64
	kind  byte
	name  []byte
}

// isDir reports whether the entry of the directory fd is a directory.
func (d dirent) isDir(fd int) bool {
	if d.kind != unix.DT_UNKNOWN {
		return d.kind == unix.DT_DIR
	}
	var st unix.Stat_t
	return sys.StatAt(fd, &d.name[0], &st) == sys.OK && isDir(&st)
}

// cutDirent returns the first entry in the buffer of getdents64, and the rest of the buffer.
//
// An entry: u64 inode, s64 offset, u16 length of the entry, u8 type, name, NUL bytes.
func cutDirent(buf []byte) (d dirent, rest []byte) {
	length := binary.NativeEndian.Uint16(buf[16:])
	name := buf[19:length]
	return dirent{
		inode: binary.NativeEndian.Uint64(buf),
		kind:  buf[18],
		name:  name[:bytes.IndexByte(name, 0)],
	}, buf[length:]
}
