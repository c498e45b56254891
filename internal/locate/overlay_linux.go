// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"bytes"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// On overlayfs two inodes can have equal lines in fdinfo (all seen on Linux
// 6.18):
//
//   - Without index, each hard link of a lower layer's file is an inode of its
//     own, with the number and the handle of the lower file. It keeps them when it
//     is written to, and so copied up; stat(2) then shows the copy's number.
//   - Where it does not make handles from those of its layers (a mount made
//     without CAP_DAC_READ_SEARCH, as in a user namespace; layers without handles;
//     on Linux 6.1 all without nfs_export), the handle is no more than the inode's
//     number. With layers on several filesystems and without xino, that
//     is the number that a file has in its layer, and for a directory the next of
//     a counter. They collide.
//   - A handle made from a layer's holds the UUID of the layer's filesystem. It
//     is zero where that has none, or with uuid=off.
//
// So more must hold than that the lines are equal.

// An overlay is what must be known of one to compare its inodes.
type overlay struct {
	indexed  bool // hard links are one inode
	oneLower bool
	uniform  bool // inode numbers are unique: all layers on one filesystem, or xino
	sampled  bool // uniform is known
}

// handle of an overlay that was made from a layer's: struct ovl_fb behind three
// bytes.
const (
	ovlType    = 0xf8
	ovlFlags   = 6
	ovlUUID    = 8
	ovlUUIDEnd = 24
	ovlIsUpper = 1 << 2
)

// is reports whether a file, whose line is equal to the watch's, is the watch's
// for sure.
func (o *overlay) is(w *inotify.Watch, st *unix.Stat_t) error {
	made, upper := o.made(w.Handle)
	switch {
	case !made && !o.uniform:
		return ErrAmbiguous
	case st.Mode&unix.S_IFMT == unix.S_IFDIR || upper || o.indexed:
		return nil
	case st.Ino != w.Inode || st.Nlink > 1:
		return ErrAmbiguous
	}
	return nil
}

// made reports whether a handle was made from a layer's and so tells that from the
// others, and whether that is the upper one.
func (o *overlay) made(h inotify.Handle) (made, upper bool) {
	if h.Type != ovlType || len(h.Bytes) < ovlUUIDEnd {
		return false, false
	}
	if h.Bytes[ovlFlags]&ovlIsUpper != 0 {
		return true, true
	}
	noUUID := bytes.Equal([]byte(h.Bytes[ovlUUID:ovlUUIDEnd]), make([]byte, ovlUUIDEnd-ovlUUID))
	return o.oneLower || !noUUID, false
}

// hopeless reports whether no file can be told to be the watch's.
func (o *overlay) hopeless(w *inotify.Watch) bool {
	made, _ := o.made(w.Handle)
	return !made && o.sampled && !o.uniform
}

// overlayOf learns what is to be known of a mount.
func (p *process) overlayOf(m Mount) *overlay {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.overlays[m.ID]; o != nil {
		return o
	}
	o := &overlay{indexed: hasIndex(m.Super), oneLower: lowers(m.Super) == 1}
	if p.overlays == nil {
		p.overlays = make(map[int32]*overlay)
	}
	p.overlays[m.ID] = o
	for i := 0; i < len(samples) && !o.sampled; i++ {
		p.sample(o, m, samples[i])
	}
	return o
}

// samples are files that are no directories and exist on most roots.
var samples = [...]string{"/etc/passwd", "/etc/group", "/etc/os-release", "/bin/sh", "/bin", "/etc/profile", "/etc/shadow", "/lib"}

// sample learns from a file, if it is there. This opens nothing.
func (p *process) sample(o *overlay, m Mount, name string) {
	path := strings.TrimSuffix(m.Point, "/") + name
	if p.farLocked(path) != nil {
		return
	}
	fd, e := p.lookup(cstring(path), 0)
	if e != success {
		return
	}
	defer sysClose(fd)
	var st unix.Stat_t
	if id, err := mountOf(p.procFD, fd); err == nil && id == m.ID && sysFstat(fd, &st) == success {
		o.see(m.Device, &st)
	}
}

// see learns from a file of the overlay that is no directory whether its inode
// numbers are unique: only then stat(2) says that it is on the overlay's own
// device. Of a directory it says that always.
func (o *overlay) see(dev inotify.Device, st *unix.Stat_t) {
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		o.sampled = true
		o.uniform = unix.Major(uint64(st.Dev)) == dev.Major && unix.Minor(uint64(st.Dev)) == dev.Minor
	}
}

// hasIndex reads the superblock's options, in which one stands if it is not the
// module's default.
func hasIndex(super string) bool {
	for _, option := range strings.Split(super, ",") {
		switch option {
		case "index=on", "nfs_export=on":
			return true
		case "index=off":
			return false
		}
	}
	text, _ := os.ReadFile("/sys/module/overlay/parameters/index")
	return string(text) == "Y\n"
}

// lowers counts the lower layers: lowerdir=a:b, or since Linux 6.5 lowerdir+=a
// for each.
func lowers(super string) int {
	count := 0
	for _, option := range strings.Split(super, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "lowerdir":
			count += len(strings.Split(value, ":"))
		case "lowerdir+", "datadir+":
			count++
		}
	}
	return count
}
