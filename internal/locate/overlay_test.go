// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
)

// at returns options with a resolver that always returns path.
func at(path string) locate.Options {
	return locate.Options{Resolve: func(inotify.Watch) (string, error) { return path, nil }}
}

func wantAmbiguous(t *testing.T, p locate.Place) {
	t.Helper()
	if wantNone(t, p); !errors.Is(p.Err, locate.ErrAmbiguous) {
		t.Errorf("error %v, want %v", p.Err, locate.ErrAmbiguous)
	}
}

// With an index, which nfs_export needs too, the hard links of a file in a lower layer
// are one inode.
func TestOverlayIndexJoinsHardLinks(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	wantJoinedByIndex(t, "", ",index=off", ",index=on", ",index=on,nfs_export=on")
}

// The same if an index is the module's default, so that index=off is listed.
func TestOverlayWithoutTheDefaultIndex(t *testing.T) {
	kerneltest.SetOwnKernel(t, "/sys/module/overlay/parameters/index", "Y")
	wantJoinedByIndex(t, "", ",index=off")
}

// wantJoinedByIndex mounts an overlay with each of the options. It checks that two hard
// links are considered the same exactly if they are one inode.
func wantJoinedByIndex(t *testing.T, options ...string) {
	t.Helper()
	for _, options := range options {
		base := tmpfs(t)
		lower := mkdir(t, base+"/lower")
		try(t, os.Link(touch(t, lower+"/a"), lower+"/b"))
		dir := overlay(t, mkdir(t, base+"/upper"), lower, options)
		n := newInotify(t)
		a, b := watch(t, n, dir+"/a"), watch(t, n, dir+"/b")
		switch p := find(t, 0, a, at(dir+"/b")); {
		case a.WD == b.WD:
			wantPath(t, p, dir+"/b")
		default:
			wantAmbiguous(t, p)
		}
		if strings.Contains(options, "=on") && a.WD != b.WD {
			t.Skipf("this needs an index, which this overlay has not made with %q", options)
		}
	}
}

// layers returns a directory with an overlay whose lower layers are set with lowerdir+
// (Linux 6.5).
func layers(t testing.TB, lower ...string) string {
	t.Helper()
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		t.Skip("this needs fsopen: ", err)
	}
	try(t, err)
	defer unix.Close(fs)
	for _, l := range lower {
		if err := unix.FsconfigSetString(fs, "lowerdir+", l); err != nil {
			t.Skip("this needs lowerdir+: ", err)
		}
	}
	try(t, unix.FsconfigSetString(fs, "xino", "off"))
	if len(lower) == 1 {
		upper := tmpfs(t)
		try(t, unix.FsconfigSetString(fs, "upperdir", mkdir(t, upper+"/upper")))
		try(t, unix.FsconfigSetString(fs, "workdir", mkdir(t, upper+"/work")))
	}
	if err := unix.FsconfigCreate(fs); err != nil { // older kernels check the options only here
		t.Skip("this needs lowerdir+: ", err)
	}
	made, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	try(t, err)
	defer unix.Close(made)
	dir := t.TempDir()
	try(t, unix.MoveMount(made, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH))
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// If layers are on filesystems without a UUID, files of different layers can have equal
// handles: they are ambiguous.
func TestOverlayOfLayersWithoutUUID(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	one, two, empty := ext4(t, "-U", "clear"), ext4(t, "-U", "clear"), tmpfs(t)
	touch(t, one+"/a")
	n := newInotify(t)
	for name, test := range map[string]struct {
		dir    string
		others bool // it has a layer that the file could be in
	}{
		"two layers":            {mountLayers(t, one+":"+two), true},
		"two layers, lowerdir+": {layers(t, one, two), true},
		"one layer":             {mountLayers(t, one), false},
		"one layer, lowerdir+":  {layers(t, one), false},
		"and an empty layer":    {mountLayers(t, one+":"+empty), true},
	} {
		w := watch(t, n, test.dir+"/a")
		if w.Handle.Type != 0xf8 {
			t.Skip("this needs handles that contain those of the layers")
		}
		p := find(t, 0, w, at(test.dir+"/a"))
		if t.Log(name); test.others {
			wantAmbiguous(t, p)
		} else {
			wantPath(t, p, test.dir+"/a")
		}
	}
}

// A sample file that is on another mount does not determine the kind of the overlay.
func TestOverlayWithAHiddenSample(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	base := ext4(t, "-U", "clear")
	one := mkdir(t, base+"/one")
	mkdir(t, one+"/etc")
	touch(t, mkdir(t, one+"/d")+"/f")
	dir := t.TempDir()
	mount(t, "locate", dir, "overlay", 0, "lowerdir="+one+":"+mkdir(t, base+"/two")+",xino=off")
	mount(t, "locate", dir+"/etc", "tmpfs", 0, "")
	touch(t, dir+"/etc/passwd")
	w := watch(t, newInotify(t), dir+"/d")
	wantAmbiguous(t, find(t, 0, w, at(dir+"/d")))
	wantPath(t, find(t, 0, w, searchIn(dir)), dir+"/d")
}

// A file in the upper layer is not ambiguous, even without a UUID.
func TestOverlayWithAnUpperLayerWithoutUUID(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := overlay(t, mkdir(t, ext4(t, "-U", "clear")+"/upper"), ext4(t, "-U", "clear")+":"+tmpfs(t), ",xino=off")
	w := watch(t, newInotify(t), touch(t, dir+"/f"))
	if w.Handle.Type != 0xf8 {
		t.Skip("this needs handles that contain those of the layers")
	}
	wantPath(t, find(t, 0, w, at(dir+"/f")), dir+"/f")
}

func mountLayers(t testing.TB, lower string) string {
	t.Helper()
	dir := t.TempDir()
	data := "lowerdir=" + lower + ",xino=off"
	if !strings.Contains(lower, ":") {
		upper := tmpfs(t)
		data += ",upperdir=" + mkdir(t, upper+"/upper") + ",workdir=" + mkdir(t, upper+"/work")
	}
	mount(t, "locate", dir, "overlay", 0, data)
	return dir
}

// Whether an overlay has inode numbers of its own is determined from any file of it that
// is not a directory: a sample that most systems have, or one that the search meets.
func TestOverlayKindIsDeterminedByAFile(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	base := ext4(t, "-U", "clear")
	two := mkdir(t, base+"/two")
	for name, test := range map[string]struct {
		file  string
		known bool
	}{
		"without a file": {"", false},
		"another file":   {"/d/f", false},
		"a sample":       {"/etc/passwd", true},
		"another sample": {"/lib", true},
	} {
		one := mkdir(t, base+"/"+name)
		mkdir(t, one+"/d")
		if test.file != "" {
			mkdir(t, filepath.Dir(one+test.file))
			touch(t, one+test.file)
		}
		dir := t.TempDir()
		mount(t, "locate", dir, "overlay", 0, "lowerdir="+one+":"+two+",xino=off")
		n := newInotify(t)
		ws := []inotify.Watch{watch(t, n, dir), watch(t, n, dir+"/d")}
		if p := find(t, 0, ws[1], at(dir+"/d")); test.known {
			wantPath(t, p, dir+"/d")
		} else {
			wantAmbiguous(t, p)
		}
		if file := dir + test.file; test.file != "" { // a file needs no sample
			wantPath(t, find(t, 0, watch(t, n, file), at(file)), file)
		}
		for i, p := range paths(t, 0, ws, searchIn(dir)).Places {
			switch want := []string{dir, dir + "/d"}[i]; {
			case test.file != "":
				wantPath(t, p, want)
			default:
				wantAmbiguous(t, p)
			}
		}
	}
}

// A file that is moved between the reading of its name and the lookup does not determine
// the kind of the overlay.
func TestOverlayKindIsNotDeterminedByAMovedFile(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	base := ext4(t, "-U", "clear")
	one := mkdir(t, base+"/one")
	mkdir(t, one+"/d")
	last := strings.Repeat("/c", 253) // whose first entry is the 256th, at which the context is checked
	mkdir(t, one+last+"/later")
	touch(t, one+last+"/f")
	dir := overlay(t, mkdir(t, base+"/upper"), one+":"+mkdir(t, base+"/two"), ",xino=off")
	w := watch(t, newInotify(t), dir+"/d")
	wantAmbiguous(t, find(t, 0, w, at(dir+"/d")))
	moved := false
	ctx := whileRead(t, dir+last, func() {
		moved = true
		try(t, os.Rename(dir+last+"/f", dir+last+"/later/f"))
	})
	res, err := locate.Paths(ctx, proc(t, 0), []inotify.Watch{w}, searchIn(dir))
	try(t, err)
	if wantPath(t, res.Places[0], dir+"/d"); !moved {
		t.Errorf("%d entries: nothing was moved", res.Entries)
	}
}

// A watch has no handle in fdinfo while no name of its inode is cached. Then the path is compared,
// and found by a search, all the same.
func TestOverlayWatchWithoutACachedName(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	base := tmpfs(t)
	lower := mkdir(t, base+"/lower")
	mkdir(t, lower+"/d")
	mkdir(t, lower+"/other")
	touch(t, lower+"/lib") // a sample
	dir := overlay(t, mkdir(t, base+"/upper"), lower, ",index=on,nfs_export=on")
	n := newInotify(t)
	coldWatch(t, n, dir+"/d")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, ""); err != nil { // which drops the names
		t.Skip("this needs to remount an overlay: ", err)
	}
	ws, err := n.Watches()
	try(t, err)
	if len(ws) != 1 || ws[0].Handle != (inotify.Handle{}) {
		t.Skipf("this needs a watch without a handle: %v", ws)
	}
	wantPath(t, find(t, 0, ws[0], bySearch), dir+"/d")
	wantPath(t, find(t, 0, ws[0], searchIn(dir+"/d")), dir+"/d")
	wantPath(t, find(t, 0, ws[0], at(dir+"/d")), dir+"/d")
	wantNone(t, find(t, 0, ws[0], at(dir+"/other")))
}

// A search compares handles of several lengths.
func TestSearchOfHandlesOfSeveralLengths(t *testing.T) {
	if _, child := inChildren(t, ownNamespace, noOpenByHandle); !child {
		return
	}
	base, n := tmpfs(t), newInotify(t)
	dir := overlay(t, mkdir(t, base+"/upper"), mkdir(t, base+"/lower"), "")
	touch(t, mkdir(t, dir+"/a")+"/f")
	want := []string{touch(t, dir+"/f"), touch(t, base+"/g"), dir}
	var ws []inotify.Watch
	for _, path := range want {
		ws = append(ws, watch(t, n, path))
	}
	ws[2] = unfindable(ws[2]) // so that the whole overlay is searched
	res := paths(t, 0, ws, bySearch)
	wantPath(t, res.Places[0], want[0])
	wantPath(t, res.Places[1], want[1])
}

// chrootOnUnlistedMount starts a process in another mount namespace, whose root directory
// is below the root of an overlay there, so that no mountinfo lists its mount. In it, /in/a
// and /in/b are hard links of a file in a lower layer.
func chrootOnUnlistedMount(t *testing.T) (pid int, a, b inotify.Watch) {
	t.Helper()
	kerneltest.NeedOpenat2(t)
	pid = hold(t, &syscall.SysProcAttr{Unshareflags: ownNamespace}, `
		mount -t tmpfs locate "$1"
		mkdir -p "$1/lower/sub/in" "$1/upper" "$1/work" "$1/merged"
		: >"$1/lower/sub/in/a"; ln "$1/lower/sub/in/a" "$1/lower/sub/in/b"
		mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work,index=off" locate "$1/merged"
		for d in /bin /usr /lib /lib64; do
			if [ -L $d ]; then cp -P $d "$1/merged/sub$d"; elif [ -d $d ]; then mkdir "$1/merged/sub$d"; mount --bind $d "$1/merged/sub$d"; fi
		done
		exec chroot "$1/merged/sub" /bin/sh -c "echo ready; read end"`, t.TempDir())
	n := newInotify(t)
	prefix := fmt.Sprint("/proc/", pid, "/root/in/")
	a, b = watch(t, n, prefix+"a"), watch(t, n, prefix+"b")
	if a.WD == b.WD {
		t.Skip("this needs an overlay without index")
	}
	return pid, a, b
}

// The kind of such a mount is determined from the root directory.
func TestOverlayOnUnlistedMount(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	pid, a, _ := chrootOnUnlistedMount(t)
	wantAmbiguous(t, find(t, pid, a, at("/in/b")))
	wantAmbiguous(t, find(t, pid, a, at("/in/a")))
}

// If that fails, the watches are not found, with the reason.
func TestUnlistedMountOfUnknownKind(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, test := range []struct {
		nr    uintptr
		errno unix.Errno
	}{{unix.SYS_INOTIFY_INIT1, unix.EMFILE}, {unix.SYS_INOTIFY_ADD_WATCH, unix.ENOSPC}} {
		t.Run(test.errno.Error(), func(t *testing.T) {
			pid, a, _ := chrootOnUnlistedMount(t)
			process := proc(t, pid)
			failCalls(t, test.nr, 0, 0, test.errno)
			for name, o := range eachLevel("/in") {
				res, err := locate.Paths(context.Background(), process, []inotify.Watch{a}, o)
				try(t, err)
				if wantNone(t, res.Places[0]); name == "search" && (len(res.Searched) != 1 || res.Searched[0] != "/in") {
					t.Errorf("searched %q, skipped %+v", res.Searched, res.Skipped)
				}
			}
		})
	}
}
