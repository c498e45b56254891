// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/seed10546c08/inotify/internal/mountinfo"
	"github.com/seed10546c08/inotify/internal/sys"
)

// ScratchPaths are directories for scratch watches: those that exist nearly everywhere,
// the fastest first. A second component of a path costs a tenth of a step. The last
// ones are for containers, where those before /proc are on an overlay.
var ScratchPaths = [...]string{
	"/", "/proc", "/dev", "/run", "/etc", "/tmp", "/usr", "/var", "/opt", "/media", "/boot",
	"/sys", "/dev/shm", "/dev/pts", "/proc/tty", "/proc/irq",
	"/proc/fs", "/proc/bus", "/proc/sys", "/sys/fs", "/sys/bus", "/sys/class", "/sys/kernel", "/sys/devices", "/sys/module", "/sys/dev",
}

// scratchTypes are the filesystems on which a scratch watch may be: a lookup in them
// waits for no program, no network and, with what is looked up all the time, no disk.
// Not so overlayfs: a layer may be on any filesystem, and is asked at each lookup.
var scratchTypes = []string{
	"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "ramfs", "devtmpfs", "devpts", "proc", "sysfs",
}

// localDirs returns the paths, of those given, that are on one of scratchTypes by the
// mounts in the text of a mountinfo. It touches none of them.
//
// So that no symbolic link leads elsewhere, the path's last component must be looked up
// with IN_DONT_FOLLOW, and one before it must be a mount point, which is none. All but the
// root directory, at which every absolute path begins, is checked on the way.
//
// What is mounted later is not known. A lookup that ends at the root of a FUSE mount asks its
// server only if that is mounted with default_permissions (Linux 6.18), and automounts are not
// triggered without IN_ONLYDIR.
func localDirs(text []byte, paths []string) ([]string, error) {
	var ms []mountinfo.Mount
	for m, err := range mountinfo.Parse(bytes.NewReader(text)) {
		if err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	root := mountinfo.Root(ms)
	var local []string
	for _, p := range paths {
		var last *mountinfo.Mount
		waits := false
		for m := range mountinfo.Passed(ms, root, p) {
			waits = waits || m.Point != "/" && !slices.Contains(scratchTypes, m.Type)
			last = m
		}
		if last != nil && !waits && slices.Contains(scratchTypes, last.Type) && (last.Point == p || last.Point == path.Dir(p)) {
			local = append(local, p)
		}
	}
	return local, nil
}

// ScratchDirs returns the first so many of ScratchPaths that can be used, which inodes
// they are, and the mountinfo by which they were chosen.
func ScratchDirs(count int) (dirs []string, inodes []sys.Inode, mounts []byte) {
	mounts, err := sys.Mountinfo()
	var local []string
	if err == nil {
		local, err = localDirs(mounts, ScratchPaths[:])
	}
	if err != nil {
		local = rootDirs()
	}
	for _, dir := range local {
		if len(dirs) == count {
			break
		}
		if i, err := sys.PathInode(dir, true); err == nil && i.Type == sys.Directory && !slices.Contains(inodes, i) {
			dirs, inodes = append(dirs, dir), append(inodes, i)
		}
	}
	return dirs, inodes, mounts
}

// rootDirs returns those of ScratchPaths that can be used without mountinfo: the root
// directory, since every absolute path begins there, and what is on the same filesystem.
func rootDirs() (dirs []string) {
	root, err := sys.PathInode("/", true)
	for _, p := range ScratchPaths {
		if path.Dir(p) != "/" {
			continue // what is on the way may wait
		}
		if i, e := sys.PathInode(p, true); err == nil && e == nil && i.Major == root.Major && i.Minor == root.Minor {
			dirs = append(dirs, p)
		}
	}
	return dirs
}

// sameElsewhere reports whether other threads have the mounts of this one. A caller may
// have moved its thread into another mount namespace or root directory.
func sameElsewhere(mounts []byte) bool {
	result := make(chan bool)
	go func() {
		theirs, err := sys.Mountinfo()
		result <- err == nil && bytes.Equal(theirs, mounts)
	}()
	return <-result
}

// lastResort finds an inode where no directory will do: one that nobody else has.
func (c *cycle) lastResort() (err error) {
	if c.memfd >= 0 {
		if c.scratch.unusable == sys.OK {
			return errNoInode
		}
		return fmt.Errorf("%w: %w", errNoInode, sys.CallError(sys.CallAdd, c.scratch.unusable))
	}
	if c.memfd, err = sys.Memfd(); err != nil {
		return fmt.Errorf("no inode for scratch watches: %w", err)
	}
	c.mask &^= sys.DontFollow // its path is a symbolic link
	c.scratch.paths = append(c.scratch.paths, sys.CString(sys.ProcFD(c.memfd)))
	return nil
}

var errNoInode = errors.New("no inode for scratch watches: neither a directory nor a memory file can be watched")
