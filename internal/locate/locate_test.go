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
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
)

// zoo makes files of each kind in dir, and returns their paths and types.
func zoo(t testing.TB, dir string) map[string]uint32 {
	t.Helper()
	z := map[string]uint32{
		dir:                                unix.S_IFDIR,
		mkdir(t, dir+"/d"):                 unix.S_IFDIR,
		mkdir(t, dir+"/d/e e"):             unix.S_IFDIR,
		touch(t, dir+"/f"):                 unix.S_IFREG,
		touch(t, dir+"/d/e e/with\nline"):  unix.S_IFREG,
		touch(t, dir+"/d/\\040 \xff\x01"):  unix.S_IFREG,
		touch(t, dir+"/d/gone (deleted)"):  unix.S_IFREG,
		touch(t, dir+"/d/f"):               unix.S_IFREG,
		dir + "/link":                      unix.S_IFLNK,
		dir + "/dangling":                  unix.S_IFLNK,
		dir + "/d/fifo":                    unix.S_IFIFO,
		mkdir(t, dir+"/d/d (deleted)"):     unix.S_IFDIR,
		touch(t, dir+"/d/d (deleted)/end"): unix.S_IFREG,
	}
	try(t, os.Symlink("d", dir+"/link"))
	try(t, os.Symlink("nowhere", dir+"/dangling"))
	try(t, unix.Mkfifo(dir+"/d/fifo", 0o644))
	return z
}

// wantZoo checks that one call finds the path of each file of a zoo.
func wantZoo(t *testing.T, z map[string]uint32, o locate.Options) *locate.Result {
	t.Helper()
	n := newInotify(t)
	var ws []inotify.Watch
	var want []string
	for path := range z {
		ws = append(ws, watch(t, n, path))
		want = append(want, path)
	}
	res := paths(t, 0, ws, o)
	for i, p := range res.Places {
		wantPath(t, p, want[i])
		if p.Path != "" && (p.Mode != z[want[i]] || p.Err != nil) {
			t.Errorf("%q has mode %o, error %v; want mode %o", p.Path, p.Mode, p.Err, z[want[i]])
		}
	}
	return res
}

// variants are what the process lacks that looks for a filesystem's zoo.
var variants = []string{asIs, noHandles, noFID, noNames, onlyOpen, noOpenat2}

// wantZooFound checks that a zoo is found by handles alone or, if the process lacks
// what that needs, by a search that begins with searchDir.
func wantZooFound(t *testing.T, lack string, z map[string]uint32, searchDir string) {
	t.Helper()
	if lack == noHandles || lack == noNames {
		wantSearch(t, z, searchDir)
		return
	}
	needHandles(t)
	res := wantZoo(t, z, byHandles)
	if !res.Decoded || len(res.Searched) != 0 || res.Entries != 0 {
		t.Errorf("decoded %v, searched %v; want handles decoded and nothing searched", res.Decoded, res.Searched)
	}
}

func wantSearch(t *testing.T, z map[string]uint32, searchDir string) {
	t.Helper()
	res := wantZoo(t, z, locate.Options{Level: locate.Search, SearchDirs: []string{searchDir}})
	if res.Decoded || len(res.Searched) != 1 || res.Searched[0] != searchDir {
		t.Errorf("decoded %v, searched %q, skipped %q; want only %q searched", res.Decoded, res.Searched, res.Skipped, searchDir)
	}
}

func TestOrdinaryDirectory(t *testing.T) {
	if lack, child := inChildren(t, sameNamespace, variants...); child {
		lines(t, newInotify(t))
		dir := t.TempDir()
		wantZooFound(t, lack, zoo(t, dir), dir)
	}
}

func TestTmpfs(t *testing.T) {
	if lack, child := inChildren(t, ownNamespace, variants...); child {
		dir := tmpfs(t)
		wantZooFound(t, lack, zoo(t, dir), dir)
	}
}

func TestExt4(t *testing.T) {
	if lack, child := inChildren(t, ownNamespace, variants...); child {
		dir := ext4(t)
		wantZooFound(t, lack, zoo(t, dir), dir)
	}
}

// Files are found on a filesystem whose directories do not have file types.
func TestExt4WithoutFileTypes(t *testing.T) {
	if lack, child := inChildren(t, ownNamespace, noHandles, noNames); child {
		dir := ext4(t, "-O", "^filetype")
		wantZooFound(t, lack, zoo(t, dir), dir)
	}
}

func TestOverlayOnOneFilesystem(t *testing.T) {
	if lack, child := inChildren(t, ownNamespace, variants...); child {
		base := tmpfs(t)
		testOverlay(t, lack, mkdir(t, base+"/upper"), mkdir(t, base+"/lower"), "")
	}
}

func TestOverlayOnTwoFilesystems(t *testing.T) {
	if lack, child := inChildren(t, ownNamespace, variants...); child {
		testOverlay(t, lack, mkdir(t, tmpfs(t)+"/upper"), tmpfs(t), "")
	}
}

func TestOverlayWithExport(t *testing.T) {
	if lack, child := inChildren(t, ownNamespace, variants...); child {
		base := tmpfs(t)
		testOverlay(t, lack, mkdir(t, base+"/upper"), mkdir(t, base+"/lower"), ",index=on,nfs_export=on")
	}
}

// testOverlay looks for files that are in the lower layer, in the upper one, or
// copied up.
func testOverlay(t *testing.T, lack, upper, lower, options string) {
	zoo(t, mkdir(t, lower+"/low"))
	dir := overlay(t, upper, lower, options)
	z := zoo(t, mkdir(t, dir+"/up"))
	for _, name := range []string{"/low", "/low/d/e e", "/low/d"} {
		z[dir+name] = unix.S_IFDIR
	}
	z[dir+"/low/f"] = unix.S_IFREG
	z[touch(t, dir+"/low/d/f")] = unix.S_IFREG // copied up
	z[dir+"/low/link"] = unix.S_IFLNK
	if options != "" {
		wantZooFound(t, lack, z, dir)
		return
	}
	if lack == asIs {
		needHandles(t)
		p := find(t, 0, watch(t, newInotify(t), dir+"/low/f"), byHandles)
		wantNone(t, p, "overlay", "a search may find the path")
	}
	if !sameDevice(t, upper, lower) && lessThanLayers(t, dir) {
		wantAmbiguousZoo(t, z, dir)
		return
	}
	res := wantZoo(t, z, locate.Options{Level: locate.Search, SearchDirs: []string{dir}})
	if len(res.Searched) != 1 {
		t.Errorf("searched %q; want %q", res.Searched, dir)
	}
}

func sameDevice(t testing.TB, a, b string) bool {
	t.Helper()
	var x, y unix.Stat_t
	try(t, unix.Stat(a, &x))
	try(t, unix.Stat(b, &y))
	return x.Dev == y.Dev
}

// lessThanLayers reports whether an overlay's handles do not contain those of its
// layers.
func lessThanLayers(t testing.TB, dir string) bool {
	t.Helper()
	return watch(t, newInotify(t), dir+"/low/f").Handle.Type != 0xf8
}

// wantAmbiguousZoo checks that each file has the right path, or none and ErrAmbiguous.
func wantAmbiguousZoo(t *testing.T, z map[string]uint32, searchDir string) {
	t.Helper()
	n := newInotify(t)
	lines := make(map[inotify.Watch]string) // without wds
	for path := range z {
		w := watch(t, n, path)
		if p := find(t, 0, w, locate.Options{Level: locate.Search, SearchDirs: []string{searchDir}}); p.Path != path && !errors.Is(p.Err, locate.ErrAmbiguous) {
			t.Errorf("%q: path %q, error %v", path, p.Path, p.Err)
		}
		w.WD = 0
		if other, twice := lines[w]; twice {
			t.Logf("%q and %q are listed equally: %+v", path, other, w)
		}
		lines[w] = path
	}
}

// Hard links in a lower layer are different inodes for inotify, which fdinfo lists
// equally.
func TestOverlayLowerHardLinksAreAmbiguous(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	base := tmpfs(t)
	lower := mkdir(t, base+"/lower")
	try(t, os.Link(touch(t, lower+"/a"), lower+"/b"))
	try(t, os.Link(lower+"/a", lower+"/c"))
	dir := overlay(t, mkdir(t, base+"/upper"), lower, "")
	n := newInotify(t)
	a, b := watch(t, n, dir+"/a"), watch(t, n, dir+"/b")
	if a.WD == b.WD || a.Handle != b.Handle || a.Inode != b.Inode {
		t.Fatalf("%+v and %+v: want two watches that are listed equally", a, b)
	}
	wantAmbiguous := func(w inotify.Watch, searchDir string) {
		t.Helper()
		p := find(t, 0, w, locate.Options{Level: locate.Search, SearchDirs: []string{searchDir}})
		if wantNone(t, p); !errors.Is(p.Err, locate.ErrAmbiguous) {
			t.Errorf("error %v", p.Err)
		}
	}
	wantAmbiguous(a, dir)
	f, err := os.OpenFile(dir+"/b", os.O_WRONLY|os.O_APPEND, 0) // copied up: now it has one link
	try(t, err)
	f.Close()
	wantAmbiguous(a, dir)

	// Hard links made in the overlay are one inode.
	try(t, os.Link(touch(t, dir+"/one"), dir+"/two"))
	p := find(t, 0, watch(t, n, dir+"/two"), locate.Options{Level: locate.Search, SearchDirs: []string{dir}})
	made := b.Handle.Type == 0xf8 // with the layer's handle, which distinguishes upper and lower (not on Linux 6.1)
	if p.Path != dir+"/one" && p.Path != dir+"/two" && (made || !errors.Is(p.Err, locate.ErrAmbiguous)) {
		t.Errorf("%+v", p)
	}
}

// Equal handles on two devices, such as those of two ext4 roots, are distinguished.
func TestSameHandleOnAnotherDevice(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, asIs, noHandles, noFID, noNames)
	if !child {
		return
	}
	a, b := ext4(t), ext4(t)
	n := newInotify(t)
	w, other := watch(t, n, a), watch(t, n, b)
	if w.Handle != other.Handle || w.Device == other.Device {
		t.Skipf("%+v and %+v: this needs equal handles", w, other)
	}
	wantNone(t, find(t, 0, w, locate.Options{Resolve: func(inotify.Watch) (string, error) { return b, nil }}), "another inode")
	for name, o := range eachLevel(b) {
		if name == "search" || lack != noHandles && lack != noNames {
			wantPath(t, find(t, 0, w, o), a)
		}
	}
}

func TestColdDirectory(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir := ext4(t)
	deep := mkdir(t, dir+"/a/b/c/d")
	w := coldWatch(t, newInotify(t), deep)
	o := newInotify(t)
	for d := deep; d != filepath.Dir(dir); d = filepath.Dir(d) {
		_, err := o.AddWatch(d, inotify.AllEvents)
		try(t, err)
	}
	dropCaches(t)
	pending(t, o)
	res := paths(t, 0, []inotify.Watch{w}, byHandles)
	wantPath(t, res.Places[0], deep)
	if !res.Decoded {
		t.Error("Decoded is false")
	}
	evs := pending(t, o)
	for _, ev := range evs {
		if ev.Mask&^(inotify.Open|inotify.Access|inotify.CloseNoWrite|inotify.IsDir) != 0 {
			t.Errorf("event %+v is not documented", ev)
		}
	}
	t.Logf("%d events", len(evs))
}

func TestColdFile(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir := ext4(t)
	file := touch(t, mkdir(t, dir+"/a/b/c/d")+"/f")
	w := coldWatch(t, newInotify(t), file)
	dropCaches(t)
	if p := find(t, 0, w, byHandles); p.Path != "" {
		t.Logf("found nevertheless: %+v", p)
		wantPath(t, p, file)
	} else {
		wantNone(t, p, "no cached name", "a search may find the path")
		if p.Mode != unix.S_IFREG {
			t.Errorf("mode %o is not known", p.Mode)
		}
	}
	dropCaches(t)
	wantPath(t, find(t, 0, w, bySearch), file)
}

func TestUnlinked(t *testing.T) {
	needHandles(t)
	dir, n := t.TempDir(), newInotify(t)
	f, err := os.Create(dir + "/x")
	try(t, err)
	defer f.Close()
	removed := watch(t, n, dir+"/x")
	try(t, os.Remove(dir+"/x"))
	present := watch(t, n, touch(t, dir+"/x (deleted)"))
	wantPath(t, find(t, 0, present, byHandles), dir+"/x (deleted)")
	for _, o := range []locate.Options{byHandles, bySearch} {
		p := find(t, 0, removed, o)
		wantNone(t, p)
		if !errors.Is(p.Err, locate.ErrUnlinked) || p.Mode != unix.S_IFREG {
			t.Errorf("mode %o, error %v; want %v", p.Mode, p.Err, locate.ErrUnlinked)
		}
	}
	// Another file with that name changes nothing.
	touch(t, dir+"/x")
	wantNone(t, find(t, 0, removed, byHandles), "unlinked")
}

func TestUnlinkedDirectory(t *testing.T) {
	needHandles(t)
	dir, n := t.TempDir(), newInotify(t)
	f, err := os.Open(mkdir(t, dir+"/x"))
	try(t, err)
	defer f.Close()
	w := watch(t, n, dir+"/x")
	try(t, os.Remove(dir+"/x"))
	wantNone(t, find(t, 0, w, byHandles), "unlinked")
}

func TestHardLinkWithOneNameRemoved(t *testing.T) {
	dir := t.TempDir()
	n := newInotify(t)
	w := watch(t, n, touch(t, dir+"/x"))
	f, err := os.Open(dir + "/x") // keeps the dentry of the removed name
	try(t, err)
	defer f.Close()
	try(t, os.Link(dir+"/x", mkdir(t, dir+"/d")+"/y"))
	try(t, os.Remove(dir+"/x"))
	t.Run("handles", func(t *testing.T) {
		needHandles(t)
		if p := find(t, 0, w, byHandles); p.Path != "" {
			wantPath(t, p, dir+"/d/y")
		} else {
			wantNone(t, p, "removed", "hard links left: 1", "a search may find another name")
		}
	})
	t.Run("search", func(t *testing.T) {
		wantPath(t, find(t, 0, w, locate.Options{Level: locate.Search, SearchDirs: []string{dir}}), dir+"/d/y")
	})
	t.Run("the name again", func(t *testing.T) {
		needHandles(t)
		try(t, os.Link(dir+"/d/y", dir+"/x"))
		try(t, os.Remove(dir+"/d/y"))
		if p := find(t, 0, w, byHandles); p.Path != "" {
			wantPath(t, p, dir+"/x")
		}
	})
}

// If the kernel's cache has only a removed name of a file, the reason says so.
func TestOnlyRemovedNameCached(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir := ext4(t)
	n := newInotify(t)
	w := coldWatch(t, n, touch(t, dir+"/x"))
	f, err := os.Open(dir + "/x")
	try(t, err)
	defer f.Close()
	try(t, os.Link(dir+"/x", mkdir(t, dir+"/d")+"/y"))
	try(t, os.Remove(dir+"/x"))
	dropCaches(t)
	p := find(t, 0, w, byHandles)
	if wantNone(t, p, fmt.Sprintf("%q was removed, hard links left: 1", dir+"/x"), "a search may find another name"); p.Mode != unix.S_IFREG {
		t.Errorf("mode %o is not known", p.Mode)
	}
	touch(t, dir+"/x") // another file
	dropCaches(t)
	wantNone(t, find(t, 0, w, byHandles), "was removed, hard links left: 1")
	try(t, os.Rename(dir+"/d/y", dir+"/x"))
	dropCaches(t)
	wantPath(t, find(t, 0, w, byHandles), dir+"/x")
	touch(t, dir+"/x (deleted)")
	dropCaches(t)
	wantPath(t, find(t, 0, w, byHandles), dir+"/x")
}

// A watched file that another was renamed over is not found.
func TestRenamedOver(t *testing.T) {
	dir, n := t.TempDir(), newInotify(t)
	f, err := os.Create(dir + "/x")
	try(t, err)
	defer f.Close()
	w := watch(t, n, dir+"/x")
	try(t, os.Rename(touch(t, dir+"/new"), dir+"/x"))
	answers := func(inotify.Watch) (string, error) { return dir + "/x", nil }
	for _, o := range []locate.Options{byHandles, {Level: locate.Search, SearchDirs: []string{dir}, MaxEntries: 10_000}, {Resolve: answers}} {
		wantNone(t, find(t, 0, w, o))
	}
}

func TestResolve(t *testing.T) {
	dir, n := t.TempDir(), newInotify(t)
	try(t, os.Symlink("f", dir+"/link"))
	w := watch(t, n, touch(t, dir+"/f"))
	other := touch(t, dir+"/other")
	boom := errors.New("boom")
	for name, test := range map[string]struct {
		path string
		err  error
		want string
		word string
	}{
		"right":           {dir + "/f", nil, dir + "/f", ""},
		"wrong":           {other, nil, "", "another inode"},
		"a symbolic link": {dir + "/link", nil, "", "another inode"},
		"missing":         {dir + "/missing", nil, "", "no such file"},
		"no path":         {"", nil, "", "not requested"},
		"fails":           {"", boom, "", "boom"},
		"through /proc":   {"/proc/self/root" + dir + "/f", nil, "", "symbolic links"},
		"relative":        {"f", nil, "", "not an absolute path"},
		"with zero byte":  {dir + "/f\x00", nil, "", "not an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "through /proc" {
				kerneltest.NeedOpenat2(t)
			}
			o := locate.Options{Resolve: func(got inotify.Watch) (string, error) {
				if got != w {
					t.Errorf("called for %+v, want %+v", got, w)
				}
				return test.path, test.err
			}}
			p := find(t, 0, w, o)
			if test.want != "" {
				wantPath(t, p, test.want)
			} else {
				wantNone(t, p, test.word)
			}
			if test.err != nil && !errors.Is(p.Err, test.err) {
				t.Errorf("error %v does not wrap %v", p.Err, test.err)
			}
		})
	}
}

// When the context ends, no more watches are resolved, and earlier results are kept.
func TestContextWhileResolving(t *testing.T) {
	dir, n := t.TempDir(), newInotify(t)
	ws := []inotify.Watch{watch(t, n, touch(t, dir+"/f")), watch(t, n, touch(t, dir+"/g"))}
	boom := errors.New("boom")
	for last := range ws {
		ctx, cancel := context.WithCancel(context.Background())
		calls := 0
		o := locate.Options{Level: locate.Search, Resolve: func(w inotify.Watch) (string, error) {
			if calls++; calls == last+1 {
				cancel()
			}
			return "", boom
		}}
		res, err := locate.Paths(ctx, proc(t, 0), ws, o)
		if !errors.Is(err, context.Canceled) || calls != last+1 || res.Decoded || res.Entries != 0 {
			t.Fatalf("error %v, %d calls, %+v; want the context's error after %d", err, calls, res, last+1)
		}
		for i, p := range res.Places {
			if wantNone(t, p); errors.Is(p.Err, boom) != (i <= last) || errors.Is(p.Err, context.Canceled) != (i > last) {
				t.Errorf("%d calls, place %d: error %v", calls, i, p.Err)
			}
		}
	}
}

// The reason of a failed lookup is reported, and no other reason.
func TestReasonOfFailedLookup(t *testing.T) {
	if _, child := inChildren(t, sameNamespace, asIs, noOpenat2); !child {
		return
	}
	dir := t.TempDir()
	w := watch(t, newInotify(t), touch(t, dir+"/f"))
	p := find(t, 0, w, at(dir+"/missing"))
	if wantNone(t, p, dir+"/missing", "no such file"); strings.Contains(p.Err.Error(), "openat2") || strings.Contains(p.Err.Error(), "too long") {
		t.Errorf("error %v", p.Err)
	}
	wantNone(t, find(t, 0, w, at("/"+strings.Repeat("x/", 3000))), "too long")
}

// All descriptors have FD_CLOEXEC, so that programs started meanwhile do not inherit them.
func TestDescriptorsAreClosedOnExec(t *testing.T) {
	if _, child := inChildren(t, sameNamespace, noHandles, noOpenat2, noNames); !child {
		return
	}
	dir := t.TempDir()
	for i := range 300 {
		touch(t, fmt.Sprint(dir, "/f", i))
	}
	w := unfindable(watch(t, newInotify(t), dir))
	inherited, looks := kerneltest.OpenDescriptors(), 0
	look := func() {
		looks++
		for _, open := range kerneltest.OpenDescriptors() {
			fd, link, _ := strings.Cut(open, " ")
			text, err := os.ReadFile("/proc/self/fdinfo/" + fd)
			if err != nil || slices.Contains(inherited, open) {
				continue // the descriptor read the directory, or was inherited
			}
			if flags, err := fdinfo.Flags(text); err != nil || flags&unix.O_CLOEXEC == 0 {
				t.Errorf("descriptor %s of %s has flags %o, %v", fd, link, flags, err)
			}
		}
	}
	o := locate.Options{Level: locate.Search, SearchDirs: []string{dir}, MaxEntries: 300, Resolve: func(inotify.Watch) (string, error) { look(); return dir, nil }}
	_, err := locate.Paths(whileRead(t, dir, look), proc(t, 0), []inotify.Watch{w}, o)
	if try(t, err); looks != 2 {
		t.Errorf("looked %d times", looks)
	}
}

func TestResolveComesFirst(t *testing.T) {
	dir := t.TempDir()
	w := watch(t, newInotify(t), touch(t, dir+"/f"))
	try(t, os.Link(dir+"/f", dir+"/g"))
	for _, path := range []string{dir + "/f", dir + "/g"} {
		o := locate.Options{Level: locate.Search, SearchDirs: []string{dir}, Resolve: func(inotify.Watch) (string, error) { return path, nil }}
		res := paths(t, 0, []inotify.Watch{w}, o)
		wantPath(t, res.Places[0], path)
		if res.Decoded || res.Entries != 0 {
			t.Errorf("%+v: more than the resolver was used", res)
		}
	}
}

func TestLevelNone(t *testing.T) {
	w := watch(t, newInotify(t), t.TempDir())
	p := find(t, 0, w, locate.Options{})
	if wantNone(t, p); !errors.Is(p.Err, locate.ErrNotRequested) {
		t.Errorf("error %v", p.Err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := locate.Paths(ended, proc(t, 0), []inotify.Watch{w}, locate.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after the context was cancelled", err)
	}
	// The process's directory in /proc is not used.
	f, err := os.Open(t.TempDir())
	try(t, err)
	defer f.Close()
	if _, err := locate.Paths(context.Background(), f, []inotify.Watch{w}, locate.Options{}); err != nil {
		t.Error(err)
	}
}

// Only a search causes events on the directories of the paths.
func TestOnlySearchCausesEvents(t *testing.T) {
	dir := t.TempDir()
	deep := mkdir(t, dir+"/a/b/c")
	var ws []inotify.Watch
	target := newInotify(t)
	for d := deep; d != filepath.Dir(dir); d = filepath.Dir(d) {
		ws = append(ws, watch(t, target, d), watch(t, target, touch(t, d+"/file")))
	}
	o, parts := newInotify(t), make(map[inotify.WD]string)
	for d := deep; d != "/"; d = filepath.Dir(d) {
		wd, err := o.AddWatch(filepath.Dir(d), inotify.AllEvents)
		if err != nil {
			t.Logf("not watched: %v", err)
			continue
		}
		if parts[wd] = filepath.Base(d); within(filepath.Dir(d), dir) {
			parts[wd] = "" // no other process works there
		}
	}
	for _, test := range []struct {
		name  string
		o     locate.Options
		found string
		loud  bool
	}{
		{"none", locate.Options{}, "", false},
		{"resolver", locate.Options{Resolve: func(inotify.Watch) (string, error) { return deep + "/file", nil }}, deep + "/file", false},
		{"handles", byHandles, "", false},
		{"search", locate.Options{Level: locate.Search, SearchDirs: []string{dir}, MaxEntries: 100}, deep + "/file", true},
	} {
		these := ws
		if test.loud {
			these = append([]inotify.Watch{unfindable(ws[0])}, ws...)
		}
		pending(t, o)
		res := paths(t, 0, these, test.o)
		var seen []inotify.Event
		for _, ev := range pending(t, o) {
			if part := parts[ev.WD]; part == "" || ev.Name == part {
				seen = append(seen, ev)
			}
		}
		if (len(seen) > 0) != test.loud {
			t.Errorf("%s: events %+v", test.name, seen)
		}
		if test.found != "" && !hasPath(res, test.found) {
			t.Errorf("%s: %q is not found", test.name, test.found)
		}
	}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func hasPath(res *locate.Result, path string) bool {
	for _, p := range res.Places {
		if p.Path == path {
			return true
		}
	}
	return false
}

func TestManyWatches(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir, n := tmpfs(t), newInotify(t)
	want := make(map[inotify.WD]string)
	for i := range 3000 {
		path := touch(t, fmt.Sprintf("%s/file-%d", dir, i))
		wd, err := n.AddWatch(path, quiet)
		try(t, err)
		want[wd] = path
	}
	ws := lines(t, n)
	for i, p := range paths(t, 0, ws, byHandles).Places {
		wantPath(t, p, want[ws[i].WD])
	}
}

func TestContext(t *testing.T) {
	dir := t.TempDir()
	ws := []inotify.Watch{watch(t, newInotify(t), touch(t, dir+"/f"))}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, level := range []locate.Level{locate.Handles, locate.Search} {
		res, err := locate.Paths(ctx, proc(t, 0), ws, locate.Options{Level: level})
		if !errors.Is(err, context.Canceled) || res == nil {
			t.Fatalf("level %d: %+v, %v", level, res, err)
		}
		wantNone(t, res.Places[0], "canceled")
	}
}

// Paths that were found before the context ended are kept.
func TestContextDuringTheSearch(t *testing.T) {
	dir, n := t.TempDir(), newInotify(t)
	known := watch(t, n, touch(t, dir+"/known"))
	missing := watch(t, n, touch(t, dir+"/missing"))
	try(t, os.Link(dir+"/missing", mkdir(t, dir+"/far")+"/z"))
	for i := range 2000 {
		touch(t, fmt.Sprint(dir, "/f", i))
	}
	ctx, cancel := context.WithCancel(context.Background())
	resolve := func(w inotify.Watch) (string, error) {
		if w == known {
			return dir + "/known", nil
		}
		return "", nil
	}
	o := locate.Options{Level: locate.Search, Resolve: resolve, SearchDirs: []string{dir, "/"}, Progress: func(int) { cancel() }}
	missing.Inode++ // so that it is not found
	missing.Handle.Bytes += "x"
	res, err := locate.Paths(ctx, proc(t, 0), []inotify.Watch{known, missing}, o)
	if err == nil && ctx.Err() == nil {
		t.Skipf("the search ended within a tenth of a second: %+v", res)
	}
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	wantPath(t, res.Places[0], dir+"/known")
	wantNone(t, res.Places[1], "canceled")
}

// A watch without a file handle has no path by handle; a search is recommended.
func TestWatchWithoutHandle(t *testing.T) {
	dir := t.TempDir()
	w := watch(t, newInotify(t), touch(t, dir+"/f"))
	w.Handle = inotify.Handle{}
	wantNone(t, find(t, 0, w, byHandles), "no file handle", "a search may find the path")
}
