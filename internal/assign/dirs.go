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

// scratchTypes are the filesystems on which a scratch watch may be: a lookup in them waits
// for no program and no network, and the names looked up here are cached. overlayfs is not
// among them: it looks names up in its layers, which may be on any filesystem.
var scratchTypes = []string{
	"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "ramfs", "devtmpfs", "devpts", "proc", "sysfs",
}

// localDirs returns the paths, of those given, that are on one of scratchTypes by the
// mounts in the text of a mountinfo. It touches none of them.
//
// Symbolic links must not lead elsewhere. So the caller looks up the last component with
// IN_DONT_FOLLOW, and a path has at most one component before it, a mount point, which is
// not a symbolic link. Each mount on the way is checked except the root directory's, because
// every lookup begins there.
//
// A filesystem that is mounted later is not checked. A lookup that ends at the root of a FUSE
// mount calls the server only if it is mounted with default_permissions (Linux 6.18), and
// automounts are not triggered without IN_ONLYDIR.
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
		mayBlock := false
		for m := range mountinfo.Passed(ms, root, p) {
			mayBlock = mayBlock || m.Point != "/" && !slices.Contains(scratchTypes, m.Type)
			last = m
		}
		if last != nil && !mayBlock && slices.Contains(scratchTypes, last.Type) && (last.Point == p || last.Point == path.Dir(p)) {
			local = append(local, p)
		}
	}
	return local, nil
}

// ScratchDirs returns the first count of ScratchPaths that can be used, their inodes, and the
// mountinfo by which they were chosen.
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
// directory, because every lookup begins there, and directories on the same filesystem.
func rootDirs() (dirs []string) {
	root, err := sys.PathInode("/", true)
	for _, p := range ScratchPaths {
		if path.Dir(p) != "/" {
			continue // the lookup of the component before it may block
		}
		if i, e := sys.PathInode(p, true); err == nil && e == nil && i.Major == root.Major && i.Minor == root.Minor {
			dirs = append(dirs, p)
		}
	}
	return dirs
}

// sameElsewhere reports whether other threads see the same mounts as this one. The caller may
// have moved this thread to another mount namespace or root directory.
func sameElsewhere(mounts []byte) bool {
	result := make(chan bool)
	go func() {
		other, err := sys.Mountinfo()
		result <- err == nil && bytes.Equal(other, mounts)
	}()
	return <-result
}

// useMemfd adds a memory file to the inodes for scratch watches. It is used if no directory
// is left: only this restore has it open, so the instance does not watch it yet.
func (c *cycle) useMemfd() (err error) {
	if c.memfd >= 0 {
		if c.stepper.unusable == sys.OK {
			return errNoInode
		}
		return fmt.Errorf("%w: %w", errNoInode, sys.CallError(sys.CallAdd, c.stepper.unusable))
	}
	if c.memfd, err = sys.Memfd(); err != nil {
		return fmt.Errorf("no inode for scratch watches: %w", err)
	}
	c.mask &^= sys.DontFollow // its path is a symbolic link
	c.stepper.paths = append(c.stepper.paths, sys.CString(sys.ProcFD(c.memfd)))
	return nil
}

var errNoInode = errors.New("no inode for scratch watches: neither a directory nor a memory file can be watched")
