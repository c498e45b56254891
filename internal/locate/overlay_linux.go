// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import (
	"bytes"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// On overlayfs two inodes can have equal lines in fdinfo (all seen on Linux 6.18):
//
//   - Without index, each hard link of a lower layer's file is an inode of its own, with the
//     inode number and the handle of the lower file. It keeps them when it is written to, and so
//     copied up; stat(2) then shows the copy's inode number.
//   - Some overlays do not make handles from those of their layers: one mounted without
//     CAP_DAC_READ_SEARCH, as in a user namespace; one with layers without handles; on
//     Linux 6.1 each one without nfs_export. Then the handle is just the inode number. With
//     layers on several filesystems and without xino, that is a file's number in its layer,
//     and for a directory the next value of a counter. Such numbers collide.
//   - A handle made from a layer's handle has the UUID of the layer's filesystem. The UUID is
//     zero if that has none, and with uuid=off.
//
// So equal lines alone do not identify an inode.

// An overlay has the properties of an overlay mount that say whether equal lines in fdinfo mean
// the same inode.
type overlay struct {
	indexed      bool // hard links are one inode
	oneLower     bool // there is one lower layer
	uniqueInodes bool // inode numbers are unique: all layers on one filesystem, or xino
	sampled      bool // uniqueInodes is known
}

// Offsets in a handle that was made from a layer's handle: struct ovl_fb after three bytes.
const (
	ovlType    = 0xf8
	ovlFlags   = 6
	ovlUUID    = 8
	ovlUUIDEnd = 24
	ovlIsUpper = 1 << 2
)

// compare returns ErrAmbiguous unless a file whose line in fdinfo equals the watch's is
// certainly the watched file.
func (o *overlay) compare(w *inotify.Watch, st *unix.Stat_t) error {
	identified, upper := o.fromLayer(w.Handle)
	switch {
	case !identified && !o.uniqueInodes:
		return ErrAmbiguous
	case isDir(st) || upper || o.indexed:
		return nil
	case st.Ino != w.Inode || st.Nlink > 1:
		return ErrAmbiguous
	}
	return nil
}

// fromLayer reports whether a handle identifies its layer, because it was made from a layer's
// handle, and whether that is the upper layer.
func (o *overlay) fromLayer(h inotify.Handle) (identified, upper bool) {
	if h.Type != ovlType || len(h.Bytes) < ovlUUIDEnd {
		return false, false
	}
	if h.Bytes[ovlFlags]&ovlIsUpper != 0 {
		return true, true
	}
	noUUID := bytes.Equal([]byte(h.Bytes[ovlUUID:ovlUUIDEnd]), make([]byte, ovlUUIDEnd-ovlUUID))
	return o.oneLower || !noUUID, false
}

// alwaysAmbiguous reports whether compare returns ErrAmbiguous for each file.
func (o *overlay) alwaysAmbiguous(w *inotify.Watch) bool {
	identified, _ := o.fromLayer(w.Handle)
	return !identified && o.sampled && !o.uniqueInodes
}

// overlayOf returns the properties of an overlay mount. It looks up files on it.
func (p *process) overlayOf(m Mount) *overlay {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.overlays[m.ID]; o != nil {
		return o
	}
	o := &overlay{indexed: hasIndex(m.Super), oneLower: lowerLayers(m.Super) == 1}
	if p.overlays == nil {
		p.overlays = make(map[int32]*overlay)
	}
	p.overlays[m.ID] = o
	for i := 0; i < len(samples) && !o.sampled; i++ {
		p.sample(o, m, samples[i])
	}
	return o
}

// samples are files that most root directories have, and that usually are not directories.
var samples = [...]string{"/etc/passwd", "/etc/group", "/etc/os-release", "/bin/sh", "/bin", "/etc/profile", "/etc/shadow", "/lib"}

// sample observes a file of the mount, if it exists, without opening it for reading.
func (p *process) sample(o *overlay, m Mount, name string) {
	path := strings.TrimSuffix(m.Point, "/") + name
	if p.blockingMountLocked(path) != nil {
		return
	}
	fd, e := p.lookup(sys.CString(path))
	if e != sys.OK {
		return
	}
	defer sys.Close(fd)
	var st unix.Stat_t
	if id, err := mountOf(p.procFD, fd); err == nil && id == m.ID && sys.Fstat(fd, &st) == sys.OK {
		o.observe(m.Device, &st)
	}
}

// observe finds out whether inode numbers are unique, from a file that is not a directory: only
// then does stat(2) show the overlay's own device. For directories it always does.
func (o *overlay) observe(dev inotify.Device, st *unix.Stat_t) {
	if !isDir(st) {
		o.sampled = true
		o.uniqueInodes = unix.Major(uint64(st.Dev)) == dev.Major && unix.Minor(uint64(st.Dev)) == dev.Minor
	}
}

// hasIndex reports whether the overlay has an index. The superblock's options show it only if it
// differs from the module's default.
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

// lowerLayers counts the lower layers: lowerdir=a:b, or lowerdir+=a for each (Linux 6.5).
func lowerLayers(super string) int {
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
