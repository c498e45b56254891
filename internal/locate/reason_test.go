// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
)

// wantNotInReason checks that the reason does not contain the words.
func wantNotInReason(t testing.TB, p locate.Place, words ...string) {
	t.Helper()
	for _, word := range words {
		if p.Err != nil && strings.Contains(p.Err.Error(), word) {
			t.Errorf("error %q contains %q", p.Err, word)
		}
	}
}

// A lostPath is a way to make the path of a watch below a mount unknown.
type lostPath struct {
	name string
	// lose makes a file below at, which is a mount of a part of a filesystem, watches it,
	// and makes its path unknown.
	lose func(t *testing.T, at string) inotify.Watch
	say  string // in the reason
}

func loseUnder(name string, cover func(t *testing.T, at string) string, say string) lostPath {
	return lostPath{name, func(t *testing.T, at string) inotify.Watch {
		w := watch(t, newInotify(t), mkdir(t, at+"/d/sub"))
		mount(t, "locate", cover(t, at), "tmpfs", 0, "")
		return w
	}, say}
}

var lostPaths = []lostPath{
	loseUnder("hidden", func(_ *testing.T, at string) string { return at + "/d" }, "hidden by the tmpfs mounted on"),
	loseUnder("mount hidden", func(_ *testing.T, at string) string { return at }, "hidden by the tmpfs mounted on"),
	{"file hidden", func(t *testing.T, at string) inotify.Watch {
		w := watch(t, newInotify(t), touch(t, mkdir(t, at+"/d")+"/f"))
		mount(t, "locate", at+"/d", "tmpfs", 0, "")
		return w
	}, "hidden by the tmpfs mounted on"},
	{"root hidden", func(t *testing.T, at string) inotify.Watch {
		w := watch(t, newInotify(t), at)
		mount(t, "locate", at, "tmpfs", 0, "")
		return w
	}, "hidden by the tmpfs mounted on"},
	{"unlinked", func(t *testing.T, at string) inotify.Watch {
		f, err := os.Create(at + "/f")
		try(t, err)
		t.Cleanup(func() { f.Close() })
		w := watch(t, newInotify(t), at+"/f")
		try(t, os.Remove(at+"/f"))
		return w
	}, "unlinked"},
	{"waiting", func(t *testing.T, at string) inotify.Watch {
		w := watch(t, newInotify(t), mkdir(t, at+"/d/sub"))
		fuse(t, at+"/d").stop()
		return w
	}, "all filesystems"},
	{"mount with a long path", func(t *testing.T, at string) inotify.Watch {
		w := watch(t, newInotify(t), mkdir(t, at+"/d"))
		long := strings.Repeat("/"+strings.Repeat("n", 200), 10)
		outer := tmpfs(t)
		wd, err := os.Getwd()
		try(t, err)
		defer os.Chdir(wd)
		try(t, os.Chdir(outer))
		for range 3 {
			try(t, os.MkdirAll("."+long, 0o755))
			try(t, os.Chdir("."+long))
		}
		try(t, os.Mkdir("at", 0o755))
		try(t, unix.Mount(at, "at", "", unix.MS_MOVE, ""))
		return w
	}, "too long"},
}

// A mount of the same filesystem that does not show the watched inode does not change
// the reason for an unknown path, wherever it is in the list of mounts.
func TestUnrelatedMountDoesNotChangeTheReason(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	for _, lost := range lostPaths {
		parts, orders := []string{"/one"}, []string{"alone", "before", "behind"}
		if kerneltest.LongTests() {
			parts = append(parts, "/", "/one/deep")
			orders = append(orders, "file before", "file behind", "hidden before", "hidden behind")
		}
		for _, part := range parts {
			t.Run(lost.name+" in "+part, func(t *testing.T) {
				at, other := t.TempDir(), t.TempDir()
				var alone string
				for _, order := range orders {
					if strings.HasPrefix(order, "hidden") && strings.HasSuffix(lost.name, "t hidden") {
						continue // either may show the inode
					}
					t.Run(order, func(t *testing.T) {
						base := tmpfs(t)
						mkdir(t, base+part)
						mkdir(t, base+"/two/x")
						file := touch(t, t.TempDir()+"/f")
						unrelated := func(where string) {
							switch {
							case order == where:
								bind(t, base+"/two", other)
							case order == "file "+where:
								bind(t, touch(t, base+"/unrelated"), file)
							case order == "hidden "+where:
								bind(t, base+"/two", other)
								mount(t, "locate", other, "tmpfs", 0, "")
							}
						}
						unrelated("before")
						bind(t, base+part, at)
						unrelated("behind")
						try(t, unix.Unmount(base, unix.MNT_DETACH))
						p := find(t, 0, lost.lose(t, at), byHandles)
						wantNone(t, p, lost.say)
						if p.Err == nil {
							return
						}
						wantNotInReason(t, p, other, file)
						reported := withoutNumbers(p.Err.Error())
						if order == "alone" {
							alone = reported
						} else if reported != alone {
							t.Errorf("the reason is %q, without the unrelated mount %q", reported, alone)
						}
					})
				}
			})
		}
	}
}

// withoutNumbers removes device numbers and the long mount point from a text, as they
// differ each time.
func withoutNumbers(text string) string {
	words := strings.Fields(text)
	for i := range words {
		if i > 0 && words[i-1] == "device" || strings.Contains(words[i], "nnnn") {
			words[i] = "…"
		}
	}
	return strings.Join(words, " ")
}

// The same with a file that is not in the kernel's cache.
func TestUnrelatedMountAndColdFile(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir := ext4(t)
	w := coldWatch(t, newInotify(t), touch(t, mkdir(t, dir+"/a")+"/f"))
	bind(t, mkdir(t, dir+"/b"), t.TempDir())
	dropCaches(t)
	p := find(t, 0, w, byHandles)
	if p.Path != "" {
		t.Skip("this needs the kernel to drop a name from its cache: found ", p.Path)
	}
	wantNone(t, p, "no cached name leads to the inode; a search may find the path")
	wantPath(t, find(t, 0, w, bySearch), dir+"/a/f")
}

// The same in a process with another root directory: the file is not reported as outside
// of it.
func TestColdFileInChroot(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	kerneltest.NeedOpenat2(t)
	root := ext4(t) + "/root"
	needPrograms(t, mkdir(t, root))
	pid := hold(t, &syscall.SysProcAttr{Chroot: root}, ":")
	w := coldWatch(t, newInotify(t), touch(t, mkdir(t, root+"/a")+"/f"))
	dropCaches(t)
	p := find(t, pid, w, byHandles)
	if p.Path != "" {
		t.Skip("this needs the kernel to drop a name from its cache: found ", p.Path)
	}
	wantNone(t, p, "no cached name", "a search may find")
	wantNotInReason(t, p, "outside")
}

// If no mount shows the inode, the reason says so and does not recommend a search, which
// could not find it.
func TestNotMounted(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	base := tmpfs(t)
	n := newInotify(t)
	ws := map[string]inotify.Watch{
		"/":      watch(t, n, base),
		"/out":   watch(t, n, mkdir(t, base+"/out")),
		"/out/f": watch(t, n, touch(t, base+"/out/f")),
	}
	linked := watch(t, n, touch(t, base+"/linked"))
	at := t.TempDir()
	bind(t, mkdir(t, base+"/in"), at)
	hidden := t.TempDir() // irrelevant, as the other mount shows the same directory
	bind(t, mkdir(t, base+"/in/part"), hidden)
	mount(t, "locate", hidden, "tmpfs", 0, "")
	try(t, os.Link(base+"/linked", base+"/in/link"))
	try(t, unix.Unmount(base, unix.MNT_DETACH))
	for path, w := range ws {
		p := find(t, 0, w, byHandles)
		if path == "/out/f" { // it might have another link
			wantNone(t, p, fmt.Sprintf("no cached name leads to the inode from a mount of device %v", w.Device), "a search may find the path")
			continue
		}
		wantNone(t, p, fmt.Sprintf("the inode is on device %v, below no mount", w.Device))
		wantNotInReason(t, p, "search")
		wantNone(t, find(t, 0, w, bySearch), "below no mount that the process can see", "did not find")
	}
	// Another name may be mounted.
	if p := find(t, 0, linked, byHandles); p.Path == "" {
		wantNone(t, p, "no cached name", "a search may find")
	}
	wantPath(t, find(t, 0, linked, bySearch), at+"/link")
}

// A file that was opened by its handle and unlinked, without a name in the kernel's cache,
// is reported as unlinked.
func TestUnlinkedAndOpenByHandle(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir := ext4(t)
	w := coldWatch(t, newInotify(t), touch(t, dir+"/f"))
	dropCaches(t)
	root, err := os.Open(dir)
	try(t, err)
	defer root.Close()
	fd, err := unix.OpenByHandleAt(int(root.Fd()), unix.NewFileHandle(w.Handle.Type, []byte(w.Handle.Bytes)), unix.O_RDONLY)
	try(t, err)
	defer unix.Close(fd)
	try(t, os.Remove(dir+"/f"))
	for _, o := range []locate.Options{byHandles, bySearch} {
		if p := find(t, 0, w, o); !errors.Is(p.Err, locate.ErrUnlinked) {
			t.Errorf("%+v, want %v", p, locate.ErrUnlinked)
		}
	}
}

// A search is recommended only if none was made.
func TestSearchIsNotRecommendedAfterOne(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, asIs, noHandles, noOpenByHandle)
	if !child {
		return
	}
	dir := tmpfs(t)
	w := watch(t, newInotify(t), touch(t, mkdir(t, dir+"/a")+"/f"))
	mount(t, "locate", dir+"/a", "tmpfs", 0, "")
	p := find(t, 0, w, bySearch)
	wantNone(t, p, "did not find")
	wantNotInReason(t, p, "a search")
	if lack != asIs {
		wantNone(t, find(t, 0, w, byHandles), "CAP_DAC_READ_SEARCH", "a search")
	}
}

// If an overlay's handles are not unique, files are ambiguous and no search is recommended.
func TestOverlayWithoutUniqueHandles(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	base := ext4(t, "-U", "clear")
	touch(t, mkdir(t, base+"/one/etc")+"/passwd")
	dir := t.TempDir()
	mount(t, "locate", dir, "overlay", 0, "lowerdir="+base+"/one:"+mkdir(t, ext4(t, "-U", "clear")+"/two")+",xino=off")
	w := watch(t, newInotify(t), dir+"/etc/passwd")
	wantAmbiguous(t, find(t, 0, w, at(dir+"/etc/passwd")))
	needHandles(t)
	for _, o := range []locate.Options{byHandles, searchIn(dir)} {
		p := find(t, 0, w, o)
		wantAmbiguous(t, p)
		wantNotInReason(t, p, "a search")
		if strings.Count(p.Err.Error(), locate.ErrAmbiguous.Error()) != 1 {
			t.Errorf("error %q, want %q in it once", p.Err, locate.ErrAmbiguous)
		}
	}
}

// The reason names every hidden mount that may show the inode.
func TestSeveralHiddenMounts(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir, at := tmpfs(t), t.TempDir()
	w := watch(t, newInotify(t), mkdir(t, dir+"/d"))
	bind(t, dir, at)
	for _, point := range []string{dir, at} {
		mount(t, "locate", point, "tmpfs", 0, "")
	}
	p := find(t, 0, w, byHandles)
	wantNone(t, p, fmt.Sprintf("device %v is mounted on %q, hidden by other mounts", w.Device, []string{dir, at}))
	wantNotInReason(t, p, "search")
}

// A mount that is hidden after the list of mounts was read is reported.
func TestMountHiddenDuringLookup(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	outer := tmpfs(t)
	dir := mkdir(t, outer+"/d")
	mount(t, "locate", dir, "tmpfs", 0, "")
	w := watch(t, newInotify(t), mkdir(t, dir+"/sub"))
	for point, say := range map[string]string{
		dir:   fmt.Sprintf("the mount of device %v on %q is hidden by the tmpfs mounted on %q", w.Device, dir, dir),
		outer: fmt.Sprintf("no path leads to the mount of device %v on %q", w.Device, dir),
	} {
		called := false
		o := locate.Options{Level: locate.Handles, Resolve: func(inotify.Watch) (string, error) {
			called = true
			return "", unix.Mount("locate", point, "tmpfs", 0, "")
		}}
		if wantNone(t, find(t, 0, w, o), say); !called {
			t.Error("nothing was mounted")
		}
		try(t, unix.Unmount(point, 0))
	}
}

// If an editor replaces a file, a bind mount of it still leads to the old inode: the path
// is the mount point.
func TestBindMountedFileIsReplaced(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, asIs, noHandles, noFID, noNames, onlyOpen)
	if !child {
		return
	}
	for _, name := range []string{"mounted", "not mounted"} {
		for _, links := range []int{1, 2} {
			dir, n := tmpfs(t), newInotify(t)
			file, at := touch(t, dir+"/file"), touch(t, t.TempDir()+"/at")
			bind(t, file, at)
			w := watch(t, n, at)
			if links == 2 {
				try(t, os.Link(file, mkdir(t, dir+"/hidden")+"/link"))
				mount(t, "locate", dir+"/hidden", "tmpfs", 0, "")
			}
			try(t, os.Rename(touch(t, dir+"/new"), file))
			replaced := watch(t, n, file)
			unlinked := unlinked(t, n, dir+"/unlinked")
			if name == "not mounted" {
				try(t, unix.Unmount(dir, unix.MNT_DETACH))
			}
			for _, level := range []locate.Level{locate.Handles, locate.Search} {
				o := locate.Options{Level: level}
				wantPath(t, find(t, 0, w, o), at)
				wantNone(t, find(t, 0, unlinked, o))
				if name == "mounted" && (level == locate.Search || lack != noHandles && lack != noNames) {
					wantPath(t, find(t, 0, replaced, o), file)
				}
			}
		}
	}
}

// unlinked returns a watch on a file that is open and has no name.
func unlinked(t testing.TB, n *inotify.Inotify, path string) inotify.Watch {
	t.Helper()
	f, err := os.Create(path)
	try(t, err)
	t.Cleanup(func() { f.Close() })
	w := watch(t, n, path)
	try(t, os.Remove(path))
	return w
}

// The same for a bind-mounted directory that was removed.
func TestBindMountedDirectoryIsRemoved(t *testing.T) {
	if _, child := inChildren(t, ownNamespace, asIs, noHandles, noFID, noNames, onlyOpen); !child {
		return
	}
	dir, n, at := tmpfs(t), newInotify(t), t.TempDir()
	bind(t, mkdir(t, dir+"/d"), at)
	w := watch(t, n, at)
	try(t, os.Remove(dir+"/d"))
	mkdir(t, dir+"/d")
	for _, again := range []bool{false, true} {
		for _, level := range []locate.Level{locate.Handles, locate.Search} {
			p := find(t, 0, w, locate.Options{Level: level})
			if wantPath(t, p, at); p.Mode != unix.S_IFDIR || p.Err != nil {
				t.Errorf("%+v", p)
			}
		}
		if !again {
			try(t, unix.Unmount(dir, unix.MNT_DETACH))
		}
	}
}

// The same in a container: another mount namespace and root directory.
func TestBindMountedFileIsReplacedInContainer(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	kerneltest.NeedOpenat2(t)
	dir, root := tmpfs(t), tmpfs(t)
	needPrograms(t, root)
	file, volume := touch(t, dir+"/conf"), mkdir(t, dir+"/volume")
	bind(t, file, touch(t, mkdir(t, root+"/etc")+"/conf"))
	bind(t, volume, mkdir(t, root+"/volume"))
	pid := hold(t, &syscall.SysProcAttr{Chroot: root}, ":")
	w := watch(t, newInotify(t), root+"/etc/conf")
	try(t, os.Rename(touch(t, dir+"/conf.new"), file))
	wantPath(t, find(t, pid, w, byHandles), "/etc/conf")
	needHandles(t)
	for _, outside := range []inotify.Watch{watch(t, newInotify(t), dir), removedLink(t, dir)} {
		p := find(t, pid, outside, byHandles)
		wantNone(t, p, "that the process can see")
		wantNotInReason(t, p, "outside")
	}
	wantPath(t, find(t, pid, w, bySearch), "/etc/conf")
}

// removedLink returns a watch on a file with a removed name, which the kernel's cache has,
// and another name.
func removedLink(t testing.TB, dir string) inotify.Watch {
	t.Helper()
	f, err := os.Create(dir + "/linked")
	try(t, err)
	t.Cleanup(func() { f.Close() })
	w := coldWatch(t, newInotify(t), dir+"/linked")
	try(t, os.Link(dir+"/linked", dir+"/another"))
	try(t, os.Remove(dir+"/linked"))
	return w
}

// If the process's root directory is a bind mount of a part of a filesystem, inodes outside
// of that part, whose path reads as "/", are not found there.
func TestOutsideOfBindMountedRoot(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	kerneltest.NeedOpenat2(t)
	dir := ext4(t)
	needPrograms(t, mkdir(t, dir+"/sub"))
	n := newInotify(t)
	ws := []inotify.Watch{watch(t, n, dir), watch(t, n, mkdir(t, dir+"/d")), removedLink(t, dir)}
	dropCaches(t)
	pivoted := hold(t, &syscall.SysProcAttr{Unshareflags: ownNamespace}, `
		mount --rbind "$1/sub" "$2"
		umount -l "$1"
		cd "$2"
		mkdir old
		pivot_root . old`, dir, t.TempDir())
	root := t.TempDir()
	mount(t, dir+"/sub", root, "", unix.MS_BIND|unix.MS_REC, "")
	chrooted := hold(t, &syscall.SysProcAttr{Chroot: root}, ":")
	for name, pid := range map[string]int{"pivot_root": pivoted, "chroot": chrooted} {
		wantPath(t, find(t, pid, watch(t, n, mkdir(t, dir+"/sub/in")), byHandles), "/in")
		wantPath(t, find(t, pid, watch(t, n, dir+"/sub"), byHandles), "/")
		for i, w := range ws {
			t.Log(name, i)
			p := find(t, pid, w, byHandles)
			wantNone(t, p, "that the process can see")
			wantNotInReason(t, p, "outside", "another inode")
		}
	}
}

// Of equally good reasons, that of the first mount is reported.
func TestFirstOfEqualReasons(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir, at := tmpfs(t), t.TempDir()
	w := watch(t, newInotify(t), mkdir(t, dir+"/d/sub"))
	bind(t, dir, at)
	for _, point := range []string{dir + "/d", at + "/d"} {
		mount(t, "locate", point, "tmpfs", 0, "")
	}
	wantNone(t, find(t, 0, w, byHandles), fmt.Sprintf("%q is hidden by the tmpfs mounted on %q", dir+"/d/sub", dir+"/d"))
}

// A watch without a handle is not compared with those that have one.
func TestMountPointWithoutHandle(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	at := touch(t, t.TempDir()+"/at")
	bind(t, touch(t, dir+"/f"), at)
	w := watch(t, newInotify(t), at)
	try(t, unix.Unmount(dir, unix.MNT_DETACH))
	w.Handle = inotify.Handle{}
	wantNone(t, find(t, 0, w, byHandles), "no file handle", "a search may find the path")
}
