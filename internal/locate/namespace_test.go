// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
	"github.com/seed10546c08/inotify/internal/mountinfo"
)

// eachLevel returns the options for handles alone, and for a search that begins with
// searchDir.
func eachLevel(searchDir string) map[string]locate.Options {
	return map[string]locate.Options{"handles": byHandles, "search": {Level: locate.Search, SearchDirs: []string{searchDir}}}
}

func bind(t testing.TB, source, target string) {
	t.Helper()
	mount(t, source, target, "", unix.MS_BIND, "")
}

func TestBindMountOfASubtree(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, variants...)
	if !child {
		return
	}
	dir := tmpfs(t)
	sub := mkdir(t, dir+"/sub")
	inside, outside := touch(t, sub+"/inside"), touch(t, dir+"/outside")
	at := mkdir(t, t.TempDir())
	bind(t, sub, at)
	n := newInotify(t)
	in, out := watch(t, n, inside), watch(t, n, outside)
	for name, o := range eachLevel(dir) {
		if name == "handles" && (lack == noHandles || lack == noNames) {
			continue
		}
		wantPath(t, find(t, 0, in, o), inside)
		wantPath(t, find(t, 0, out, o), outside)
	}

	// If only the subtree is mounted, the path is below its mount point.
	try(t, unix.Unmount(dir, unix.MNT_DETACH))
	for name, o := range eachLevel("/nowhere") {
		if name == "handles" && (lack == noHandles || lack == noNames) {
			continue
		}
		wantPath(t, find(t, 0, in, o), at+"/inside")
		wantNone(t, find(t, 0, out, o))
	}
}

// Paths are found if only several parts of a filesystem are mounted.
func TestBindMountsOfParts(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, asIs, onlyOpen, noHandles)
	if !child {
		return
	}
	dir := tmpfs(t)
	n := newInotify(t)
	var ws []inotify.Watch
	var want []string
	for _, part := range []string{"/a", "/b", "/c"} {
		at := t.TempDir()
		ws = append(ws, watch(t, n, touch(t, mkdir(t, dir+part)+"/f")), watch(t, n, dir+part))
		want = append(want, at+"/f", at)
		bind(t, dir+part, at)
	}
	try(t, unix.Unmount(dir, unix.MNT_DETACH))
	for name, o := range eachLevel("/nowhere") {
		if name == "handles" && lack == noHandles {
			continue
		}
		for i, p := range paths(t, 0, ws, o).Places {
			wantPath(t, p, want[i])
		}
	}
}

func TestBindMountedFile(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	n := newInotify(t)
	at := touch(t, t.TempDir()+"/at")
	bind(t, touch(t, dir+"/file"), at)
	w := watch(t, n, dir+"/file")
	other := watch(t, n, touch(t, dir+"/other"))
	for _, o := range eachLevel(dir) {
		wantPath(t, find(t, 0, w, o), dir+"/file")
	}
	try(t, unix.Unmount(dir, unix.MNT_DETACH))
	for _, level := range []locate.Level{locate.Handles, locate.Search} {
		wantPath(t, find(t, 0, w, locate.Options{Level: level}), at)
		wantNone(t, find(t, 0, other, locate.Options{Level: level}), "below no mount that the process can see")
	}
}

func TestMountedOver(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	n := newInotify(t)
	cover := mkdir(t, dir+"/cover")
	hidden, point := watch(t, n, touch(t, cover+"/f")), watch(t, n, cover)
	file := watch(t, n, touch(t, dir+"/file"))
	mount(t, "locate", cover, "tmpfs", 0, "")
	bind(t, touch(t, cover+"/f"), dir+"/file")
	above := watch(t, n, cover+"/f")
	root := watch(t, n, cover)
	for name, o := range eachLevel(dir) {
		wantNone(t, find(t, 0, hidden, o), cover)
		wantNone(t, find(t, 0, point, o), cover)
		wantNone(t, find(t, 0, file, o), dir+"/file")
		wantPath(t, find(t, 0, root, o), cover)
		if p := find(t, 0, above, o); p.Path != cover+"/f" && p.Path != dir+"/file" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	// The same directory can be reached by another mount.
	at := t.TempDir()
	bind(t, dir, at)
	for _, o := range eachLevel(at) {
		wantPath(t, find(t, 0, hidden, o), at+"/cover/f")
		wantPath(t, find(t, 0, point, o), at+"/cover")
	}
}

// A hookContext calls a function in Err.
type hookContext struct {
	context.Context
	hook func()
}

func (c hookContext) Err() error {
	c.hook()
	return c.Context.Err()
}

// If mounts change during the lookup, the paths that were found are compared again.
func TestMountsChangeDuringLookup(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir, other := tmpfs(t), tmpfs(t)
	n := newInotify(t)
	ws := []inotify.Watch{watch(t, n, dir), watch(t, n, touch(t, dir+"/f")), watch(t, n, touch(t, other+"/f"))}
	answers := []string{"", dir + "/f", other + "/f"}
	calls := 0
	o := locate.Options{Resolve: func(inotify.Watch) (string, error) {
		calls++
		return answers[calls-1], nil
	}}
	ctx := hookContext{context.Background(), func() {
		if calls == len(ws) { // all were compared
			calls++
			mount(t, "locate", dir, "tmpfs", 0, "")
			touch(t, dir+"/f")
		}
	}}
	res, err := locate.Paths(ctx, proc(t, 0), ws, o)
	try(t, err)
	if calls != len(ws)+1 {
		t.Fatal("nothing was mounted")
	}
	wantNone(t, res.Places[0], "not requested")
	wantNone(t, res.Places[1], "changed meanwhile")
	wantPath(t, res.Places[2], other+"/f")
}

// A filesystem whose root has the same handle, mounted over the other between lookup
// and comparison, is detected.
func TestMountedOverDuringLookup(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	a, b := ext4(t), ext4(t)
	n := newInotify(t)
	w := watch(t, n, a)
	if other := watch(t, n, b); w.Handle != other.Handle {
		t.Skipf("%+v and %+v: this needs equal handles", w, other)
	}
	mounted := false
	ctx := hookContext{context.Background(), func() {
		if !mounted {
			mounted = true
			bind(t, b, a)
		}
	}}
	res, err := locate.Paths(ctx, proc(t, 0), []inotify.Watch{w}, byHandles)
	try(t, err)
	wantNone(t, res.Places[0], "hidden by")
}

func TestHiddenMountIsReported(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	n := newInotify(t)
	w := watch(t, n, touch(t, dir+"/f"))
	mount(t, "locate", dir, "tmpfs", 0, "")
	res := paths(t, 0, []inotify.Watch{w}, bySearch)
	wantNone(t, res.Places[0], dir, "hidden")
	if len(res.Skipped) != 1 || res.Skipped[0].Path != dir {
		t.Errorf("skipped %+v; want %q", res.Skipped, dir)
	}
}

// If handles can be opened but not obtained, inodes are compared by watches.
func TestHandlesThatCannotBeCompared(t *testing.T) {
	if _, child := inChildren(t, ownNamespace, onlyOpen); !child {
		return
	}
	dir := tmpfs(t)
	n := newInotify(t)
	w, root := watch(t, n, touch(t, mkdir(t, dir+"/a")+"/f")), watch(t, n, dir)
	bind(t, dir, t.TempDir()) // another candidate
	wantPath(t, find(t, 0, w, byHandles), dir+"/a/f")
	wantPath(t, find(t, 0, root, byHandles), dir)
	mount(t, "locate", dir+"/a", "tmpfs", 0, "")
	touch(t, dir+"/a/f")
	for _, m := range mountedAt(t, w.Device) {
		if m != dir {
			wantPath(t, find(t, 0, w, byHandles), m+"/a/f")
			try(t, unix.Unmount(m, unix.MNT_DETACH))
		}
	}
	for range 2 {
		wantNone(t, find(t, 0, w, byHandles), fmt.Sprintf("%q is hidden by the tmpfs mounted on %q", dir+"/a/f", dir+"/a"))
		os.Remove(dir + "/a/f")
	}
}

// A file that is replaced between the opening of the handle and the comparison is not
// found at its former path.
func TestFileReplacedDuringLookup(t *testing.T) {
	if _, child := inChildren(t, sameNamespace, onlyOpen); !child {
		return
	}
	needHandles(t)
	dir := t.TempDir()
	w, other := watch(t, newInotify(t), touch(t, dir+"/f")), touch(t, dir+"/other")
	calls := 0
	ctx := hookContext{context.Background(), func() {
		if calls++; calls == 3 { // the only thread has opened all handles
			try(t, os.Rename(other, dir+"/f"))
		}
	}}
	res, err := locate.Paths(ctx, proc(t, 0), []inotify.Watch{w}, byHandles)
	try(t, err)
	wantNone(t, res.Places[0], fmt.Sprintf("the kernel has %q for the inode, where there is another inode", dir+"/f"))
}

// mountedAt returns the mount points of a device.
func mountedAt(t testing.TB, dev inotify.Device) (points []string) {
	t.Helper()
	f, err := os.Open("/proc/self/mountinfo")
	try(t, err)
	defer f.Close()
	for m, err := range mountinfo.Parse(f) {
		if try(t, err); m.Device == dev {
			points = append(points, m.Point)
		}
	}
	return points
}

// If several mounts hide the path, the reason names the deepest.
func TestHidingMountIsNamed(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir := tmpfs(t)
	mkdir(t, dir+"/sibling with a longer name")
	n := newInotify(t)
	w := watch(t, n, touch(t, mkdir(t, dir+"/a/b")+"/f"))
	mount(t, "locate", dir+"/a", "tmpfs", 0, "")
	mount(t, "locate", mkdir(t, dir+"/a/b"), "tmpfs", 0, "")
	mount(t, "locate", dir+"/sibling with a longer name", "tmpfs", 0, "")
	wantNone(t, find(t, 0, w, byHandles), fmt.Sprintf("%q is hidden by the tmpfs mounted on %q", dir+"/a/b/f", dir+"/a/b"))
}

// Of several mounts of a filesystem, the one with the largest part is used first. Mounts
// on which no handle can be opened are skipped.
func TestMountsOfOneFilesystem(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir := tmpfs(t)
	deep := mkdir(t, dir+"/sub/deep")
	w := watch(t, newInotify(t), touch(t, deep+"/f"))
	atFile, atHidden, atDeep, atSub, atRoot := touch(t, t.TempDir()+"/file"), t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	bind(t, touch(t, dir+"/file"), atFile)
	bind(t, mkdir(t, dir+"/hidden"), atHidden)
	mount(t, "locate", atHidden, "tmpfs", 0, "")
	bind(t, deep, atDeep)
	bind(t, dir+"/sub", atSub)
	bind(t, dir, atRoot)
	try(t, unix.Unmount(dir, unix.MNT_DETACH))
	for _, mounted := range []struct{ on, below string }{{atRoot, "/sub/deep"}, {atSub, "/deep"}, {atDeep, ""}} {
		wantPath(t, find(t, 0, w, byHandles), mounted.on+mounted.below+"/f")
		try(t, unix.Unmount(mounted.on, unix.MNT_DETACH))
	}
}

// insideRoot checks the paths of a process with another root directory, which has the
// path prefix in the test's root directory.
func insideRoot(t *testing.T, lack string, pid int, prefix string) {
	t.Helper()
	if lack != noOpenat2 {
		kerneltest.NeedOpenat2(t)
	}
	n := newInotify(t)
	z := map[string]uint32{}
	for path, mode := range zoo(t, mkdir(t, prefix+"/box")) {
		z[path] = mode
	}
	wants := func(p locate.Place, path string) {
		t.Helper()
		if lack == noOpenat2 {
			wantNone(t, p, "openat2")
			return
		}
		wantPath(t, p, path)
	}
	for name, o := range eachLevel("/box") {
		if name == "handles" && lack != asIs && lack != noFID {
			continue
		}
		for path, mode := range z {
			p := find(t, pid, watch(t, n, path), o)
			wants(p, path[len(prefix):])
			if p.Path != "" && p.Mode != mode {
				t.Errorf("%q has mode %o, want %o", path, p.Mode, mode)
			}
		}
		if name == "handles" {
			wants(find(t, pid, watch(t, n, prefix+"/."), o), "/")
		}
	}
	if lack != noOpenat2 { // all in one call, longest paths first
		var ws []inotify.Watch
		sorted := slices.SortedFunc(maps.Keys(z), func(a, b string) int { return len(b) - len(a) })
		for _, path := range sorted {
			ws = append(ws, watch(t, n, path))
		}
		o := searchIn("/box")
		if lack == asIs || lack == noFID {
			o = byHandles
		}
		for i, p := range paths(t, pid, ws, o).Places {
			wantPath(t, p, sorted[i][len(prefix):])
		}
	}
	// Links that lead out of the root directory, seen from outside, stay in it.
	try(t, os.Symlink("/box", prefix+"/absolute"))
	try(t, os.Symlink("../../../../../../../../box", prefix+"/box/up"))
	secret := watch(t, n, prefix+"/box/f")
	for _, path := range []string{"/absolute/f", "/box/up/f", "/../../box/f"} {
		wants(find(t, pid, secret, locate.Options{Resolve: func(inotify.Watch) (string, error) { return path, nil }}), path)
	}
	outside := watch(t, n, touch(t, tmpfs(t)+"/outside"))
	try(t, os.Symlink("/proc/self/root", prefix+"/box/out"))
	for _, path := range []string{"/../../../../../../../etc", "/box/out/etc"} {
		wantNone(t, find(t, pid, watch(t, n, "/etc"), locate.Options{Resolve: func(inotify.Watch) (string, error) { return path, nil }}))
	}
	for _, o := range eachLevel("/") {
		wantNone(t, find(t, pid, outside, o))
	}
}

var otherRoots = []string{asIs, noHandles, noFID, noNames, noOpenat2}

func TestChroot(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, otherRoots...)
	if !child {
		return
	}
	dir := tmpfs(t)
	root := mkdir(t, dir+"/ro ot")
	needPrograms(t, root)
	pid := hold(t, &syscall.SysProcAttr{Chroot: root}, ":")
	insideRoot(t, lack, pid, root)
	if lack == asIs {
		needHandles(t)
		p := find(t, pid, watch(t, newInotify(t), touch(t, dir+"/beside")), byHandles)
		wantNone(t, p, "outside of the process's root directory", dir+"/beside")
	}
}

// The root directory of the process is a mount point.
func TestChrootToAMount(t *testing.T) {
	if lack, child := inChildren(t, ownNamespace, otherRoots...); child {
		root := tmpfs(t)
		needPrograms(t, root)
		insideRoot(t, lack, hold(t, &syscall.SysProcAttr{Chroot: root}, ":"), root)
	}
}

// needPrograms makes a shell runnable in a root directory.
func needPrograms(t testing.TB, root string) {
	t.Helper()
	for _, dir := range []string{"/bin", "/usr", "/lib", "/lib64", "/lib32", "/libx32"} {
		if target, err := os.Readlink(dir); err == nil {
			try(t, os.Symlink(target, root+dir))
		} else if _, err := os.Stat(dir); err == nil {
			bind(t, dir, mkdir(t, root+dir))
		}
	}
}

func TestOtherMountNamespace(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, otherRoots...)
	if !child {
		return
	}
	if lack != noOpenat2 {
		kerneltest.NeedOpenat2(t)
	}
	dir := mkdir(t, tmpfs(t)+"/there")
	pid := hold(t, &syscall.SysProcAttr{Unshareflags: ownNamespace}, `mount -t tmpfs locate "$1"; mkdir "$1/in"; : >"$1/in/f"`, dir)
	prefix := fmt.Sprint("/proc/", pid, "/root")
	n := newInotify(t)
	in := watch(t, n, prefix+dir+"/in/f")
	out := watch(t, n, touch(t, mkdir(t, dir+"/in")+"/f"))
	for name, o := range eachLevel(dir) {
		if name == "handles" && (lack == noHandles || lack == noNames) {
			continue
		}
		if lack == noOpenat2 {
			wantNone(t, find(t, pid, in, o), "openat2")
			continue
		}
		wantPath(t, find(t, pid, in, o), dir+"/in/f")
		wantNone(t, find(t, pid, out, o))
		if name == "handles" {
			wantNone(t, find(t, pid, out, o), "hidden", dir)
		}
	}
	// This process does not see that mount.
	for _, o := range eachLevel(dir) {
		wantNone(t, find(t, 0, in, o), "below no mount that the process can see")
	}
}

func TestChrootInOtherMountNamespace(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, asIs, noHandles, noFID, noNames)
	if !child {
		return
	}
	kerneltest.NeedOpenat2(t)
	dir := t.TempDir()
	pid := hold(t, &syscall.SysProcAttr{Unshareflags: ownNamespace}, `
		mount -t tmpfs locate "$1"
		mkdir "$1/sub" "$1/sub/in"
		for d in /bin /usr /lib /lib64; do
			if [ -L $d ]; then cp -P $d "$1/sub$d"; elif [ -d $d ]; then mkdir "$1/sub$d"; mount --bind $d "$1/sub$d"; fi
		done
		: >"$1/sub/in/f"; : >"$1/beside"
		exec chroot "$1/sub" /bin/sh -c "echo ready; read end"`, dir)
	prefix := fmt.Sprint("/proc/", pid, "/root")
	n := newInotify(t)
	for name, o := range eachLevel("/in") {
		if name == "handles" && (lack == noHandles || lack == noNames) {
			continue
		}
		wantPath(t, find(t, pid, watch(t, n, prefix+"/in/f"), o), "/in/f")
		wantPath(t, find(t, pid, watch(t, n, prefix+"/in"), o), "/in")
	}
}

func TestProcAndSysfs(t *testing.T) {
	lack, child := inChildren(t, sameNamespace, variants...)
	if !child {
		return
	}
	n := newInotify(t)
	for _, path := range []string{"/proc/sys/fs", "/proc/sys/kernel/hostname", "/proc/version", "/sys/kernel", "/sys/kernel/mm", "/proc", "/sys"} {
		wd, err := n.AddWatch(path, quiet)
		if err != nil {
			t.Logf("not watched: %v", err)
			continue
		}
		kerneltest.KeepCached(t, path)
		var w inotify.Watch
		for _, w = range lines(t, n) {
			if w.WD == wd {
				break
			}
		}
		searchDir := filepath.Dir(path)
		wantPath(t, find(t, 0, w, locate.Options{Level: locate.Search, SearchDirs: []string{searchDir}}), path)
		wantPath(t, find(t, 0, w, at(path)), path)
		if lack == asIs && searchDir != "/" {
			res := paths(t, 0, []inotify.Watch{w}, bySearch)
			wantPath(t, res.Places[0], path)
		}
	}
}

// A search of /proc skips the directories of processes, and reports that.
func TestProcessDirectories(t *testing.T) {
	n := newInotify(t)
	self := fmt.Sprint("/proc/", os.Getpid())
	w := watch(t, n, self+"/status")
	res := paths(t, 0, []inotify.Watch{w}, bySearch)
	wantNone(t, res.Places[0], "did not find")
	reported := false
	for _, s := range res.Skipped {
		reported = reported || s.Path == "/proc"
	}
	if !reported {
		t.Errorf("skipped %+v; want /proc named", res.Skipped)
	}
	wantPath(t, find(t, 0, watch(t, n, self), bySearch), self)
	wantPath(t, find(t, 0, w, locate.Options{Level: locate.Search, SearchDirs: []string{self}}), self+"/status")
}

// A process's directory is also skipped if /proc shows only one process.
func TestOneProcessDirectory(t *testing.T) {
	dir := t.TempDir()
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: ownNamespace}
	pid := hold(t, attr, `mount -t proc -o subset=pid proc "$1"`, dir)
	w := watch(t, newInotify(t), fmt.Sprintf("/proc/%d/root%s/1/status", pid, dir))
	res := paths(t, pid, []inotify.Watch{w}, bySearch)
	wantNone(t, res.Places[0], "did not find")
	if !slices.ContainsFunc(res.Skipped, func(s locate.Skipped) bool { return s.Path == dir }) {
		t.Errorf("skipped %+v; want %q named", res.Skipped, dir)
	}
}

// Without CAP_DAC_READ_SEARCH the reason recommends a search, and a search works.
func TestUnprivileged(t *testing.T) {
	_, child := inChildren(t, sameNamespace, noHandles)
	if !child {
		return
	}
	dir := t.TempDir()
	w := watch(t, newInotify(t), touch(t, dir+"/f"))
	wantNone(t, find(t, 0, w, byHandles), "CAP_DAC_READ_SEARCH", "search")
	wantPath(t, find(t, 0, w, locate.Options{Level: locate.Search, SearchDirs: []string{dir}}), dir+"/f")
}
