// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/locate"
)

// unfindable changes a watch to one of an inode that does not exist on the same device.
func unfindable(w inotify.Watch) inotify.Watch {
	w.Inode ^= 1 << 40
	if w.Handle.Bytes != "" {
		w.Handle.Bytes = string([]byte{w.Handle.Bytes[0] ^ 0xff}) + w.Handle.Bytes[1:]
	}
	return w
}

func searchIn(dirs ...string) locate.Options {
	return locate.Options{Level: locate.Search, SearchDirs: dirs}
}

// tree makes count directories of count files each.
func tree(t testing.TB, dir string, count int) (files []string) {
	t.Helper()
	for i := range count {
		sub := mkdir(t, fmt.Sprint(dir, "/d", i))
		for j := range count {
			files = append(files, touch(t, fmt.Sprint(sub, "/f", j)))
		}
	}
	return files
}

// A tree is walked once for all watches.
func TestSearchWalksOnce(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, noHandles, noNames)
	if !child {
		return
	}
	dir := tmpfs(t)
	const count = 20
	files := tree(t, dir, count)
	n := newInotify(t)
	var ws []inotify.Watch
	for _, f := range files {
		ws = append(ws, watch(t, n, f))
	}
	ws = append(ws, unfindable(ws[0])) // so that the search does not end early
	res := paths(t, 0, ws, locate.Options{Level: locate.Search})
	for i, f := range files {
		wantPath(t, res.Places[i], f)
	}
	wantNone(t, res.Places[len(files)], "did not find")
	if want := 1 + count + count*count; res.Entries != want || len(res.Searched) != 1 || res.Searched[0] != dir {
		t.Errorf("%s: %d entries in %q; want %d in %q", lack, res.Entries, res.Searched, want, dir)
	}
}

// A tree that was walked as a search directory is not walked again.
func TestSearchWalksNoTreeTwice(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	tree(t, dir, 5)
	w := unfindable(watch(t, newInotify(t), dir))
	once := paths(t, 0, []inotify.Watch{w}, searchIn()).Entries
	if got := paths(t, 0, []inotify.Watch{w}, searchIn(dir)).Entries; got > once+2 {
		t.Errorf("%d entries with the mount as a search directory, %d without", got, once)
	}
	if got := paths(t, 0, []inotify.Watch{w}, searchIn(dir+"/d1", dir+"/d2")).Entries; got > once+4 {
		t.Errorf("%d entries with two search directories below the mount, %d without", got, once)
	}
}

func TestSearchCrossesNoMountPoint(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, noHandles, noNames, noOpenat2)
	if !child {
		return
	}
	dir := tmpfs(t)
	below := mkdir(t, dir+"/below")
	n := newInotify(t)
	w := unfindable(watch(t, n, dir))
	mount(t, "locate", below, "tmpfs", 0, "")
	tree(t, below, 5)
	for name, found := range map[string]string{"nothing": "", "the mount's root": below} {
		ws := []inotify.Watch{w}
		if found != "" {
			ws = append(ws, watch(t, n, found))
		}
		res := paths(t, 0, ws, locate.Options{Level: locate.Search, SearchDirs: []string{dir}, MaxEntries: 3})
		if res.Entries > 3 || len(res.Searched) == 0 || res.Searched[0] != dir {
			t.Errorf("%s, %s: %d entries, searched %q", lack, name, res.Entries, res.Searched)
		}
		if found == "" && res.Entries != 2 {
			t.Errorf("%s: %d entries, want the root and the mount point", lack, res.Entries)
		}
		if found != "" {
			wantPath(t, res.Places[1], found)
		}
	}
}

func TestSearchStopsWhenAllAreFound(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, noHandles)
	if !child {
		return
	}
	dir := tmpfs(t)
	w := watch(t, newInotify(t), touch(t, mkdir(t, dir+"/first")+"/f"))
	tree(t, mkdir(t, dir+"/second"), 30)
	res := paths(t, 0, []inotify.Watch{w}, searchIn(dir+"/first", dir+"/second"))
	wantPath(t, res.Places[0], dir+"/first/f")
	if res.Entries != 2 || len(res.Searched) != 1 {
		t.Errorf("%s: %d entries, searched %q", lack, res.Entries, res.Searched)
	}
}

func TestMaxEntries(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, 10)
	w := unfindable(watch(t, newInotify(t), dir))
	for _, bound := range []int{1, 2, 50} {
		o := searchIn(dir, dir+"/d1")
		o.MaxEntries = bound
		res := paths(t, 0, []inotify.Watch{w}, o)
		wantNone(t, res.Places[0], "did not find")
		if res.Entries != bound {
			t.Errorf("%d entries, want %d", res.Entries, bound)
		}
		if len(res.Skipped) == 0 || !strings.Contains(res.Skipped[0].Reason, "limit of") || res.Skipped[0].Path != dir {
			t.Errorf("skipped %+v", res.Skipped)
		}
	}
}

// No entry beyond MaxEntries is compared.
func TestMaxEntriesBoundsComparisons(t *testing.T) {
	lack, child := inChildren(t, sameNamespace, noHandles, noNames)
	if !child {
		return
	}
	dir, n := t.TempDir(), newInotify(t)
	var ws []inotify.Watch
	for i := range 50 {
		ws = append(ws, watch(t, n, touch(t, fmt.Sprint(dir, "/f", i))))
	}
	o := searchIn(dir)
	o.MaxEntries = 10
	found := 0
	for _, p := range paths(t, 0, ws, o).Places {
		if p.Path != "" {
			found++
		}
	}
	if found != 9 { // the directory itself is an entry
		t.Errorf("%s: %d found, want 9", lack, found)
	}
}

// Directories that other mounts hide are reported as skipped.
func TestHiddenDirectoriesAreReported(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, asIs, noHandles, noNames, noOpenat2OrNames)
	if !child {
		return
	}
	layers := tmpfs(t)
	for _, dir := range []string{tmpfs(t), overlay(t, mkdir(t, layers+"/upper"), mkdir(t, layers+"/lower"), "")} {
		n := newInotify(t)
		f, w := watch(t, n, touch(t, mkdir(t, dir+"/a")+"/f")), unfindable(watch(t, n, dir))
		below := mkdir(t, dir+"/below")
		mount(t, "locate", below, "tmpfs", 0, "")
		want := locate.Skipped{Path: dir, Reason: fmt.Sprintf("directories hidden by other mounts: %q", []string{below})}
		if res := paths(t, 0, []inotify.Watch{f, w}, searchIn(dir)); !slices.Contains(res.Skipped, want) {
			t.Errorf("%s: skipped %+v, want %+v", lack, res.Skipped, want)
		}
		for _, s := range paths(t, 0, []inotify.Watch{f}, searchIn(dir)).Skipped {
			t.Errorf("%s: skipped %+v, though all was found", lack, s)
		}
	}
}

func TestProgress(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, 10)
	w := unfindable(watch(t, newInotify(t), dir))
	var calls []int
	o := searchIn(dir)
	for range 400 { // walked once; the search then continues on the mount
		o.SearchDirs = append(o.SearchDirs, dir+"/d1")
	}
	o.MaxEntries = 200_000
	o.Progress = func(entries int) { calls = append(calls, entries) }
	began := time.Now()
	res := paths(t, 0, []inotify.Watch{w}, o)
	took := time.Since(began)
	for i := 1; i < len(calls); i++ {
		if calls[i] <= calls[i-1] || calls[i] > res.Entries {
			t.Errorf("call %d: %d entries after %d", i, calls[i], calls[i-1])
		}
	}
	if len(calls) > int(took/(100*time.Millisecond)) {
		t.Errorf("%d calls in %v, want one in a tenth of a second", len(calls), took)
	}
	t.Logf("%d calls in %d entries", len(calls), res.Entries)
}

// A search that is slower than a tenth of a second calls Progress.
func TestProgressOfALongSearch(t *testing.T) {
	dir := t.TempDir()
	for i := range 600 {
		touch(t, fmt.Sprint(dir, "/f", i))
	}
	w := unfindable(watch(t, newInotify(t), dir))
	o := searchIn(dir)
	o.MaxEntries = 600
	var calls []int
	o.Progress = func(entries int) { calls = append(calls, entries) }
	began := time.Now()
	ctx := whileRead(t, dir, func() {
		for began := time.Now(); time.Since(began) < 100*time.Millisecond; {
		}
	})
	res, err := locate.Paths(ctx, proc(t, 0), []inotify.Watch{w}, o)
	try(t, err)
	if len(calls) == 0 || calls[0] != 256 || res.Entries != 600 || time.Since(began) < time.Duration(len(calls))*100*time.Millisecond {
		t.Errorf("called at %v of %d entries within %v, want at 256", calls, res.Entries, time.Since(began))
	}
}

// Trees that are deeper than the limit of descriptors and PATH_MAX are walked.
func TestDeepTree(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, noHandles, noNames)
	if !child {
		return
	}
	dir := tmpfs(t)
	const depth = 300
	name := strings.Repeat("n", 50)
	at, err := unix.Open(dir, unix.O_PATH, 0)
	try(t, err)
	n := newInotify(t)
	near := make(map[string]inotify.WD) // in a second directory of each level
	path := dir
	var deep inotify.Watch
	for i := range depth {
		for _, sub := range []string{"a" + name, "b" + name} { // in whatever order they are read
			try(t, unix.Mkdirat(at, sub, 0o755))
		}
		next := []string{"a", "b"}[i%2]
		beside := []string{"b", "a"}[i%2] + name + "/file"
		fd, err := unix.Openat(at, beside, unix.O_CREAT|unix.O_WRONLY, 0o644)
		try(t, err)
		wd, err := n.AddWatch(fmt.Sprint("/proc/self/fd/", fd), quiet)
		try(t, err)
		unix.Close(fd)
		near[path+"/"+beside] = wd
		path += "/" + next + name
		fd, err = unix.Openat(at, next+name, unix.O_PATH, 0)
		try(t, err)
		unix.Close(at)
		at = fd
	}
	wd, err := n.AddWatch(fmt.Sprint("/proc/self/fd/", at), quiet)
	try(t, err)
	unix.Close(at)
	byWD := make(map[inotify.WD]inotify.Watch)
	for _, w := range lines(t, n) {
		byWD[w.WD] = w
	}
	deep = byWD[wd]
	var ws []inotify.Watch
	var want []string
	for p, wd := range near {
		ws, want = append(ws, byWD[wd]), append(want, p)
	}
	limit := unix.Rlimit{Cur: 100, Max: 100}
	if lack == noHandles {
		try(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	}
	res := paths(t, 0, append(ws, deep), searchIn(dir))
	for i, p := range want {
		if len(p) < unix.PathMax {
			wantPath(t, res.Places[i], p)
		} else {
			wantNone(t, res.Places[i])
		}
	}
	wantNone(t, res.Places[len(ws)])
	if lack == noHandles && !strings.Contains(res.Places[len(ws)].Err.Error(), "too long") {
		t.Errorf("error %.300v", res.Places[len(ws)].Err)
	}
	if want := 1 + 3*depth; res.Entries != want {
		t.Errorf("%d entries, want %d; skipped %+v", res.Entries, want, res.Skipped)
	}
}

func TestUnreadableDirectories(t *testing.T) {
	if _, child := inChildren(t, sameNamespace, noRights); !child {
		return
	}
	dir := t.TempDir()
	n := newInotify(t)
	w := watch(t, n, touch(t, mkdir(t, dir+"/closed/in")+"/f"))
	other := watch(t, n, touch(t, dir+"/z"))
	mkdir(t, dir+"/closed too")
	for _, closed := range []string{dir + "/closed", dir + "/closed too"} {
		try(t, os.Chmod(closed, 0o300))
		t.Cleanup(func() { os.Chmod(closed, 0o700) })
	}
	o := searchIn(dir)
	o.MaxEntries = 100
	res := paths(t, 0, []inotify.Watch{w, other}, o)
	wantNone(t, res.Places[0], "did not find")
	wantPath(t, res.Places[1], dir+"/z")
	if len(res.Skipped) == 0 || res.Skipped[0].Path != dir || !strings.Contains(res.Skipped[0].Reason, "2 directories in it could not be read; the first is") ||
		!strings.Contains(res.Skipped[0].Reason, dir+"/closed") || !strings.Contains(res.Skipped[0].Reason, "permission denied") {
		t.Errorf("skipped %+v", res.Skipped)
	}
}

// An entry that cannot be compared is reported for its tree only.
func TestIncomparableEntryIsReported(t *testing.T) {
	if _, child := inChildren(t, ownNamespace, noRights); !child {
		return
	}
	dir := tmpfs(t)
	closed := mkdir(t, dir+"/in/closed")
	mkdir(t, dir+"/beside")
	w := watch(t, newInotify(t), touch(t, closed+"/f"))
	try(t, os.Chmod(closed, 0o400)) // its names can be read, but not looked up
	t.Cleanup(func() { os.Chmod(closed, 0o700) })
	o := searchIn(dir+"/in", dir+"/beside")
	o.MaxEntries = 5
	res := paths(t, 0, []inotify.Watch{w}, o)
	wantNone(t, res.Places[0], "did not find")
	var reasons []string
	for _, s := range res.Skipped {
		if strings.Contains(s.Reason, "1 entries could not be compared") && strings.Contains(s.Reason, closed+"/f") {
			reasons = append(reasons, s.Path)
		}
	}
	if !slices.Equal(reasons, []string{dir + "/in"}) {
		t.Errorf("skipped %+v; want it for %q only", res.Skipped, dir+"/in")
	}
}

// It is not reported if all watches were found.
func TestIncomparableEntryIsNotReportedIfAllIsFound(t *testing.T) {
	if _, child := inChildren(t, ownNamespace, noRights); !child {
		return
	}
	dir := tmpfs(t) // whose names are listed in the order in which they were made, or the reverse
	var links []string
	for _, sub := range []string{"/closed before", "/open", "/closed behind"} {
		links = append(links, mkdir(t, dir+sub)+"/f")
	}
	touch(t, links[0])
	try(t, os.Link(links[0], links[1]))
	try(t, os.Link(links[0], links[2]))
	w := watch(t, newInotify(t), links[1])
	for _, link := range []string{links[0], links[2]} {
		closed := filepath.Dir(link)
		try(t, os.Chmod(closed, 0o400))
		t.Cleanup(func() { os.Chmod(closed, 0o700) })
	}
	res := paths(t, 0, []inotify.Watch{w}, searchIn(dir))
	wantPath(t, res.Places[0], links[1])
	if len(res.Skipped) != 0 {
		t.Errorf("skipped %+v, though all was found", res.Skipped)
	}
}

// Directories of another user are searched, though only the owner may use O_NOATIME.
func TestDirectoryOfAnotherUser(t *testing.T) {
	if _, child := inChildren(t, sameNamespace, noRights); !child {
		return
	}
	dir := t.TempDir()
	theirs := mkdir(t, dir+"/theirs")
	w := watch(t, newInotify(t), touch(t, theirs+"/f"))
	if err := errors.Join(os.Chmod(theirs, 0o777), os.Chown(theirs, 65534, 65534)); err != nil {
		t.Skip("this needs to give a directory to another user: ", err)
	}
	wantPath(t, find(t, 0, w, searchIn(dir)), theirs+"/f")
}

// longTree makes a chain of directories, each with two others beside the next, and
// with many files in the last, which it returns.
func longTree(t testing.TB, dir string) string {
	t.Helper()
	for range 80 { // more than are open at a time
		mkdir(t, dir+"/1")
		mkdir(t, dir+"/2")
		mkdir(t, dir+"/3")
		dir += "/2"
	}
	for i := range 300 {
		touch(t, fmt.Sprint(dir, "/f", i))
	}
	return dir
}

// whileRead returns a context whose Err calls f once, while a directory is being read.
func whileRead(t testing.TB, dir string, f func()) context.Context {
	t.Helper()
	n, done := newInotify(t), false
	_, err := n.AddWatch(dir, inotify.Open)
	try(t, err)
	return hookContext{context.Background(), func() {
		if !done && len(pending(t, n)) > 0 {
			done = true
			f()
		}
	}}
}

// If the tree that is searched is moved or replaced, the directories not yet read are
// reported as skipped, and the replacement is not searched.
func TestSearchedTreeIsMoved(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, replaced := range map[string]bool{"moved": false, "replaced": true} {
		dir, other := tmpfs(t), tmpfs(t)
		last := longTree(t, dir)
		n := newInotify(t)
		present := watch(t, n, touch(t, other+"/f"))
		w := unfindable(watch(t, n, dir))
		ctx := whileRead(t, last, func() {
			try(t, os.Rename(dir+"/2", dir+"/away"))
			if replaced {
				mkdir(t, dir+"/2/2")
			}
		})
		res, err := locate.Paths(ctx, proc(t, 0), []inotify.Watch{w, present}, searchIn(dir))
		try(t, err)
		wantPath(t, res.Places[1], other+"/f")
		want := unix.ENOENT
		if replaced {
			want = unix.ESTALE
		}
		if len(res.Skipped) == 0 || res.Skipped[0].Path != dir || !strings.Contains(res.Skipped[0].Reason, "directories in it could not be read; the first is") ||
			!strings.Contains(res.Skipped[0].Reason, want.Error()) || !strings.Contains(res.Skipped[0].Reason, dir+"/2/2") {
			t.Errorf("%s: skipped %+v", name, res.Skipped)
		}
	}
}

// A directory that is removed while it is read has no more entries, and is not reported as
// skipped.
func TestSearchedDirectoryIsRemoved(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	sub := mkdir(t, dir+"/sub")
	for i := range 5000 { // more than one read returns
		touch(t, fmt.Sprint(sub, "/f", i))
	}
	w := unfindable(watch(t, newInotify(t), dir))
	ctx := whileRead(t, sub, func() { try(t, os.RemoveAll(sub)) })
	res, err := locate.Paths(ctx, proc(t, 0), []inotify.Watch{w}, searchIn(dir))
	try(t, err)
	wantNone(t, res.Places[0], "did not find")
	if _, err := os.Stat(sub); err == nil || res.Entries >= 5000 || len(res.Skipped) != 0 {
		t.Errorf("%d entries, skipped %+v; the directory exists: %v", res.Entries, res.Skipped, err == nil)
	}
}

// MaxEntries is checked before each tree, and the context in its root.
func TestSearchEndsBetweenTrees(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"/a", "/b"} {
		mkdir(t, dir+sub)
		for i := range 255 - 1 { // the directory itself is an entry
			touch(t, fmt.Sprint(dir, sub, "/f", i))
		}
	}
	w := unfindable(watch(t, newInotify(t), dir))
	o := searchIn(dir+"/a", dir+"/b")
	o.MaxEntries = 255
	res := paths(t, 0, []inotify.Watch{w}, o)
	if want := (locate.Skipped{Path: dir + "/b", Reason: "the limit of 255 entries was reached"}); res.Entries != 255 ||
		len(res.Searched) != 1 || res.Searched[0] != dir+"/a" || !slices.Contains(res.Skipped, want) {
		t.Errorf("%d entries, searched %q, skipped %+v; want %+v", res.Entries, res.Searched, res.Skipped, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.MaxEntries = 0
	res, err := locate.Paths(endingContext{ctx, whileRead(t, dir+"/a", cancel)}, proc(t, 0), []inotify.Watch{w}, o)
	if !errors.Is(err, context.Canceled) || res.Entries != 256 || len(res.Searched) != 1 {
		t.Errorf("error %v, %d entries, searched %q; want the context's error at the second root", err, res.Entries, res.Searched)
	}
}

// A symbolic link that replaces a directory while its parent is read is not followed.
func TestSearchFollowsNoNewLink(t *testing.T) {
	if _, child := inChildren(t, ownNamespace, noHandles); !child {
		return
	}
	dir := tmpfs(t)
	in, other := mkdir(t, dir+"/in"), mkdir(t, dir+"/other")
	mkdir(t, in+"/sub")
	const files = 300 // more than between two checks of the context
	for i := range files {
		touch(t, fmt.Sprint(in, "/f", i))
	}
	w := watch(t, newInotify(t), touch(t, other+"/f"))
	linked := false
	ctx := whileRead(t, in, func() {
		linked = true
		try(t, errors.Join(os.Remove(in+"/sub"), os.Symlink("../other", in+"/sub")))
	})
	o := searchIn(in)
	o.MaxEntries = 1 + files + 1 + 1 // one more than exist
	res, err := locate.Paths(ctx, proc(t, 0), []inotify.Watch{w}, o)
	try(t, err)
	if wantNone(t, res.Places[0]); !linked || len(res.Searched) == 0 || res.Searched[0] != in {
		t.Errorf("searched %q; the link was made: %v", res.Searched, linked)
	}
}

// The context ends a search in the only directory of the only tree.
func TestContextEndsInTheLastDirectory(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	for i := range 300 { // more than between two checks of the context
		touch(t, fmt.Sprint(dir, "/f", i))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := unfindable(watch(t, newInotify(t), dir))
	res, err := locate.Paths(endingContext{ctx, whileRead(t, dir, cancel)}, proc(t, 0), []inotify.Watch{w}, bySearch)
	if !errors.Is(err, context.Canceled) || res.Entries != 256 {
		t.Errorf("error %v, %d entries; want the context's error at 256", err, res.Entries)
	}
}

// If everything was found when the context ends, there is no error.
func TestContextEndsWhenAllIsFound(t *testing.T) {
	if _, child := inChildren(t, ownNamespace, noNames); !child {
		return
	}
	dir := tmpfs(t)
	for i := range 300 {
		touch(t, fmt.Sprint(dir, "/f", i))
	}
	path := dir + "/" + inOrder(t, dir)[0] // compared after the directory was read
	w := watch(t, newInotify(t), path)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	res, err := locate.Paths(endingContext{ctx, whileRead(t, dir, cancel)}, proc(t, 0), []inotify.Watch{w}, searchIn(dir))
	if err != nil || ctx.Err() == nil {
		t.Fatalf("error %v, the context's %v; want only the latter", err, ctx.Err())
	}
	wantPath(t, res.Places[0], path)
}

// An endingContext calls Err of another context first.
type endingContext struct {
	context.Context
	first context.Context
}

func (c endingContext) Err() error {
	c.first.Err()
	return c.Context.Err()
}

// A file with several names is found under the first, and the others are skipped.
func TestSearchOfHardLinks(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, noHandles, noNames)
	if !child {
		return
	}
	dir := tmpfs(t)
	file := touch(t, dir+"/a")
	for _, name := range []string{"/b", "/c"} {
		try(t, os.Link(file, dir+name))
	}
	n := newInotify(t)
	w := watch(t, n, file)
	res := paths(t, 0, []inotify.Watch{w, w, unfindable(w)}, searchIn(dir))
	if p := res.Places[0]; filepath.Dir(p.Path) != dir || res.Places[1] != p {
		t.Errorf("%s: %+v and %+v", lack, p, res.Places[1])
	}
	wantNone(t, res.Places[2], "did not find")
	if res.Entries != 4 {
		t.Errorf("%s: %d entries, want 4", lack, res.Entries)
	}
}

// A search directory may have redundant slashes.
func TestSearchDirsWithSlashes(t *testing.T) {
	if _, child := inChildren(t, sameNamespace, noHandles, noNames); !child {
		return
	}
	dir := t.TempDir()
	w := watch(t, newInotify(t), touch(t, dir+"/f"))
	for _, h := range []string{dir + "/", dir + "//", "/" + dir, "///" + dir + "///"} {
		res := paths(t, 0, []inotify.Watch{w}, searchIn(h))
		if wantPath(t, res.Places[0], dir+"/f"); len(res.Searched) != 1 || res.Searched[0] != dir {
			t.Errorf("search directory %q: searched %q", h, res.Searched)
		}
	}
}

// The trees of several filesystems are each walked once.
func TestSearchOfTwoFilesystems(t *testing.T) {
	if _, child := inChildren(t, ownNamespace, noHandles); !child {
		return
	}
	one, two := tmpfs(t), tmpfs(t)
	n := newInotify(t)
	ws := []inotify.Watch{unfindable(watch(t, n, one)), unfindable(watch(t, n, two)), watch(t, n, touch(t, two+"/f")), watch(t, n, touch(t, one+"/f"))}
	res := paths(t, 0, ws, bySearch)
	if res.Entries != 4 || len(res.Searched) != 2 || res.Searched[0] != one || res.Searched[1] != two {
		t.Errorf("%d entries in %q; want 4 in %q", res.Entries, res.Searched, []string{one, two})
	}
	wantPath(t, res.Places[2], two+"/f")
	wantPath(t, res.Places[3], one+"/f")
	// Another mount of a tree is searched only if a watch was not found.
	ws = append(ws, watch(t, n, touch(t, mkdir(t, two+"/sub")+"/f")))
	res = paths(t, 0, append(ws, unfindable(ws[4])), bySearch)
	wantPath(t, res.Places[4], two+"/sub/f")
	at := t.TempDir()
	bind(t, one, at)
	res = paths(t, 0, []inotify.Watch{ws[3], ws[2]}, bySearch)
	if len(res.Searched) != 2 || res.Searched[0] != one || res.Searched[1] != two {
		t.Errorf("searched %q, want %q", res.Searched, []string{one, two})
	}
	wantPath(t, res.Places[0], one+"/f")
	wantPath(t, res.Places[1], two+"/f")
	mount(t, "locate", one, "tmpfs", 0, "")
	res = paths(t, 0, []inotify.Watch{ws[3]}, bySearch)
	wantPath(t, res.Places[0], at+"/f")
}

func TestInvalidSearchDirs(t *testing.T) {
	dir := t.TempDir()
	file := touch(t, dir+"/f")
	try(t, os.Symlink(dir, dir+"/link"))
	w := watch(t, newInotify(t), file)
	searchDirs := []string{"", "relative", dir + "/missing", file + "/below", dir + "/link", file, "/\x00", dir + "/" + strings.Repeat("x/", 3000)}
	o := searchIn(searchDirs...)
	o.MaxEntries = 100
	res := paths(t, 0, []inotify.Watch{unfindable(w)}, o)
	for i, h := range searchDirs {
		if i >= len(res.Skipped) || filepath.Clean(res.Skipped[i].Path) != filepath.Clean(h) || res.Skipped[i].Reason == "" {
			t.Fatalf("skipped %+v; want %q first", res.Skipped, searchDirs)
		}
	}
}

// A search never follows a symbolic link.
func TestSearchFollowsNoLink(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	w := watch(t, newInotify(t), touch(t, other+"/f"))
	try(t, os.Symlink(other, dir+"/link"))
	resolve := func(inotify.Watch) (string, error) { return "", nil }
	o := locate.Options{Level: locate.Search, SearchDirs: []string{dir}, MaxEntries: 5, Resolve: resolve}
	res := paths(t, 0, []inotify.Watch{unfindable(w)}, o)
	for _, s := range res.Searched {
		if strings.Contains(s, "link") {
			t.Errorf("searched %q", s)
		}
	}
	if res.Entries > 5 {
		t.Errorf("%d entries", res.Entries)
	}
}

func TestRemoteFilesystems(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := mkdir(t, t.TempDir()+"/auto")
	var pipe [2]int
	try(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	mount(t, "locate", dir, "autofs", 0, fmt.Sprintf("fd=%d,pgrp=%d,minproto=5,maxproto=5,indirect", pipe[1], unix.Getpgrp()))
	w := unfindable(watch(t, newInotify(t), t.TempDir()))
	o := searchIn(dir)
	o.MaxEntries = 10
	res := paths(t, 0, []inotify.Watch{w}, o)
	if len(res.Skipped) == 0 || res.Skipped[0].Path != dir || !strings.Contains(res.Skipped[0].Reason, "autofs") {
		t.Errorf("skipped %+v", res.Skipped)
	}
	o.AllFilesystems = true
	res = paths(t, 0, []inotify.Watch{w}, o)
	if len(res.Searched) == 0 || res.Searched[0] != dir {
		t.Errorf("searched %q, skipped %+v", res.Searched, res.Skipped)
	}
}

// While directories are renamed, no path is wrong, and the search ends.
func TestSearchOfAMovingTree(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	files := tree(t, dir, 20)
	n := newInotify(t)
	var ws []inotify.Watch
	for _, f := range files {
		ws = append(ws, unfindable(watch(t, n, f)))
	}
	still := touch(t, mkdir(t, dir+"/still")+"/f")
	ws = append(ws, watch(t, n, still))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			a, b := fmt.Sprintf("%s/d%d", dir, i%20), fmt.Sprintf("%s/d%d/in", dir, (i+7)%20)
			if os.Rename(a, b) == nil {
				os.Rename(b, a)
			}
		}
	}()
	for range 20 {
		res, err := locate.Paths(context.Background(), proc(t, 0), ws, locate.Options{Level: locate.Search})
		if err != nil {
			t.Error(err)
			break
		}
		for _, p := range res.Places[:len(files)] {
			wantNone(t, p)
		}
		wantPath(t, res.Places[len(files)], still)
	}
	close(stop)
	<-ended
}

func TestExitedProcess(t *testing.T) {
	if text, err := os.ReadFile("/proc/self/fdinfo/0"); err == nil && !bytes.Contains(text, []byte("mnt_id:")) {
		t.Skip("this needs mnt_id in fdinfo")
	}
	living := proc(t, hold(t, nil, ":"))
	w := inotify.Watch{WD: 1, Inode: 2}
	if _, err := locate.Paths(context.Background(), living, []inotify.Watch{w}, byHandles); err != nil {
		t.Fatalf("while the process lives: %v", err)
	}
	t.Run("exited", func(t *testing.T) {
		var dead *os.File
		t.Run("lives", func(t *testing.T) {
			pid := hold(t, nil, ":")
			var err error
			dead, err = os.Open(fmt.Sprint("/proc/", pid))
			try(t, err)
		})
		defer dead.Close()
		_, err := locate.Paths(context.Background(), dead, []inotify.Watch{w}, byHandles)
		if !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOENT) {
			t.Errorf("error %v", err)
		}
	})
	closed, err := os.Open("/proc/self")
	try(t, err)
	closed.Close()
	if _, err := locate.Paths(context.Background(), closed, []inotify.Watch{w}, byHandles); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: error %v", err)
	}
}
