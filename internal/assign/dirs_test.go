// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package assign

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestLocalDirs(t *testing.T) {
	local := func(text string) []string {
		dirs, _ := localDirs([]byte(text), ScratchPaths[:])
		return dirs
	}
	line := func(id, parent int, point, kind string) string {
		return fmt.Sprintf("%d %d 0:%d / %s rw - %s none rw\n", id, parent, id, point, kind)
	}
	const inRoot = "/ /run /etc /tmp /usr /var /opt /media /boot"
	proc := line(2, 1, "/proc", "proc")
	const inProc = " /proc /proc/tty /proc/irq /proc/fs /proc/bus /proc/sys"
	for name, test := range map[string]struct{ text, want string }{
		"plain":                  {line(1, 0, "/", "ext4") + proc, inRoot + " /dev /sys" + inProc},
		"root is its own parent": {line(1, 1, "/", "ext4"), "/proc /dev /sys " + inRoot},
		"overlay":                {line(1, 0, "/", "overlay") + proc, inProc},
		"NFS":                    {line(1, 0, "/", "nfs4") + proc, inProc},
		"FUSE":                   {line(1, 0, "/", "fuse.sshfs") + proc, inProc},
		"unknown":                {line(1, 0, "/", "newfs") + proc, inProc},
		"chroot":                 {proc, inProc},
		"nothing":                {"", ""},
		"malformed":              {line(1, 0, "/", "ext4") + "x\n", ""},
		"FUSE below a tmpfs":     {line(1, 0, "/", "overlay") + line(3, 1, "/dev", "tmpfs") + line(4, 3, "/dev/shm", "fuse"), "/dev /dev/pts"},
		"tmpfs below FUSE":       {line(1, 0, "/", "overlay") + line(3, 1, "/dev", "fuse") + line(4, 3, "/dev/shm", "tmpfs"), ""},
		"mount point below":      {line(1, 0, "/", "overlay") + line(4, 1, "/dev/shm", "tmpfs"), "/dev/shm"},
		"no mount point":         {line(1, 0, "/", "tmpfs") + line(3, 1, "/x", "fuse"), "/proc /dev /sys " + inRoot},
		"hides FUSE":             {line(1, 0, "/", "overlay") + line(3, 1, "/run", "fuse") + line(4, 3, "/run", "tmpfs"), "/run"},
		"hidden by FUSE":         {line(1, 0, "/", "overlay") + line(3, 1, "/run", "tmpfs") + line(4, 3, "/run", "fuse"), ""},
		"another order":          {line(4, 3, "/run", "fuse") + line(3, 1, "/run", "tmpfs") + line(1, 0, "/", "overlay"), ""},
		"hidden with parent":     {line(1, 0, "/", "overlay") + line(3, 1, "/dev", "tmpfs") + line(4, 3, "/dev/shm", "tmpfs") + line(5, 3, "/dev", "fuse"), ""},
		"mounted on the root":    {line(1, 0, "/", "overlay") + line(3, 1, "/", "ext4") + line(4, 3, "/run", "tmpfs") + line(5, 1, "/opt", "tmpfs"), "/opt"},
		"cyclic parents":         {line(1, 0, "/", "overlay") + line(3, 4, "/run", "tmpfs") + line(4, 3, "/run", "tmpfs"), ""},
		"name with that prefix":  {line(1, 0, "/", "overlay") + line(3, 1, "/optional", "tmpfs"), ""},
	} {
		got := slices.Sorted(slices.Values(local(test.text)))
		if want := slices.Sorted(slices.Values(strings.Fields(test.want))); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if dirs := local(line(1, 0, "/", "ext4") + proc); len(dirs) < 2 || dirs[0] != "/" || dirs[1] != "/proc" {
		t.Errorf("%v is not in the order of ScratchPaths", dirs)
	}
}
