// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// startMounter starts a holder in a mount namespace of its own, with a tmpfs on
// a directory that is returned.
func startMounter(t testing.TB) (*holder, string) {
	t.Helper()
	needLists(t)
	needRoot(t)
	kerneltest.NeedOpenat2(t) // for another root directory than ours
	dir := t.TempDir()
	h := startHolder(t, unix.CLONE_NEWNS, 0)
	h.sh("mount -t tmpfs tmpfs " + dir)
	return h, dir
}

// watchAll makes a new instance in the holder that watches the paths with the wds 11, 13 and
// so on.
func (h *holder) watchAll(paths ...string) {
	h.t.Helper()
	h.do("new")
	for i, path := range paths {
		h.do("watch", fmt.Sprint(11+2*i), "IN_ATTRIB|IN_DONT_FOLLOW", path)
	}
}

// wantDumpAndRestore dumps the holder's instance, checks that the paths are those of
// watchAll, makes the holder restore and verify it, and compares the result.
func (h *holder) wantDumpAndRestore(level checkpoint.Paths, paths ...string) *checkpoint.Snapshot {
	h.t.Helper()
	s := roundTrip(h.t, h.dump(checkpoint.WithPaths(level)))
	h.wantPaths(s, paths...)
	if err := h.restore(s); err != nil {
		h.t.Fatalf("restoring: %v", err)
	}
	again := h.dump(checkpoint.WithPaths(checkpoint.PathsNone))
	if diffs := s.Compare(again); len(diffs) != 0 || len(again.Watches) != len(paths) {
		h.t.Errorf("differences %v, watches %+v", diffs, again.Watches)
	}
	return s
}

func (h *holder) wantPaths(s *checkpoint.Snapshot, paths ...string) {
	h.t.Helper()
	for i, w := range s.Watches {
		if i >= len(paths) || w.Path != paths[i] {
			h.t.Errorf("watch %d: path %q, want those of %q; unknown: %v", w.WD, w.Path, paths, s.Unknown)
		}
	}
}

// wantNoPaths checks that every path is listed as unknown, with the reason why.
func (h *holder) wantNoPaths(s *checkpoint.Snapshot, why string) {
	h.t.Helper()
	for _, w := range s.Watches {
		if w.Path != "" {
			h.t.Errorf("watch %d: path %q, want none", w.WD, w.Path)
		}
	}
	g := gaps(s.Unknown, "path")
	if len(g) < len(s.Watches) || !strings.Contains(g[0].Reason, why) {
		h.t.Errorf("unknown: %v, want %q for each of %d", s.Unknown, why, len(s.Watches))
	}
}

func TestTmpfs(t *testing.T) {
	h, dir := startMounter(t)
	h.sh("cd " + dir + "; mkdir -p a/b 'a/ (deleted)'; touch a/b/f 'a/two words' a/'new\nline'; ln -s b a/link; ln a/b/f a/second; mkfifo a/fifo; rm a/second")
	paths := []string{
		dir, dir + "/a/b", dir + "/a/b/f", dir + "/a/two words", dir + "/a/new\nline", dir + "/a/link", dir + "/a/fifo", dir + "/a/ (deleted)",
	}
	h.watchAll(paths...)
	s := h.wantDumpAndRestore(checkpoint.PathsByHandle, paths...)
	for i, want := range []checkpoint.FileType{"directory", "directory", "file", "file", "file", "symlink", "fifo", "directory"} {
		if got := s.Watches[i].Type; got != want {
			t.Errorf("%s is a %q, want %q", paths[i], got, want)
		}
	}
	h.wantDumpAndRestore(checkpoint.PathsBySearch, paths...)
	// In the test's mount namespace these paths do not exist.
	if _, err := s.Restore(kerneltest.Context(t)); err == nil {
		t.Error("restored in another mount namespace")
	}
}

// CRIU cannot dump a watch on an overlayfs without nfs_export, or dumps the wrong inode.
func TestOverlayWithoutNFSExport(t *testing.T) {
	for name, layers := range map[string]string{
		"one filesystem":  "mkdir -p lower/d upper work merged",
		"two filesystems": "mkdir -p lower two merged; mount -t tmpfs tmpfs two; mkdir two/upper two/work; ln -s two/upper upper; ln -s two/work work; mkdir lower/d",
	} {
		t.Run(name, func(t *testing.T) {
			h, dir := startMounter(t)
			h.sh("cd " + dir + "; " + layers + "; touch lower/d/f lower/d/copied; " +
				"mount -t overlay overlay -o lowerdir=lower,upperdir=$(readlink -f upper),workdir=$(readlink -f work) merged; touch merged/d/new; mkdir merged/e")
			merged := dir + "/merged"
			paths := []string{merged, merged + "/d", merged + "/d/f", merged + "/d/copied", merged + "/d/new", merged + "/e"}
			h.watchAll(paths...)
			h.sh("chmod 600 " + merged + "/d/copied") // copies it to the upper layer
			var s *checkpoint.Snapshot
			for _, level := range []checkpoint.Paths{checkpoint.PathsByHandle, checkpoint.PathsBySearch} {
				s = h.dump(checkpoint.WithPaths(level))
				for i, w := range s.Watches {
					if w.Path != paths[i] && (w.Path != "" || len(gaps(s.Unknown, "path")) == 0) {
						t.Errorf("watch %d: path %q, want %q or none; unknown: %v", w.WD, w.Path, paths[i], s.Unknown)
					}
				}
			}
			if g := gaps(s.Unknown, "path"); len(g) > 0 && strings.Contains(g[0].Reason, "could not be determined") {
				t.Skip("this needs a kernel that distinguishes these inodes: ", g[0]) // Linux 6.1 does not
			}
			s = h.wantDumpAndRestore(checkpoint.PathsBySearch, paths...)
			// stat(2) shows other inode numbers than fdinfo, but types are compared.
			if err := h.restore(s, "wds"); err != nil {
				t.Error(err)
			}
			s.Watches[2].Type = checkpoint.TypeFIFO
			if err := h.restore(s, "wds"); err == nil || !strings.Contains(err.Error(), "is now a file (was a fifo)") {
				t.Errorf("another type was accepted: %v", err)
			}
		})
	}
}

func TestOverlayWithNFSExport(t *testing.T) {
	h, dir := startMounter(t)
	h.sh("cd " + dir + "; mkdir -p lower/d upper work merged; touch lower/d/f; " +
		"mount -t overlay overlay -o nfs_export=on,index=on,lowerdir=lower,upperdir=upper,workdir=work merged")
	paths := []string{dir + "/merged/d", dir + "/merged/d/f"}
	h.watchAll(paths...)
	h.wantDumpAndRestore(checkpoint.PathsBySearch, paths...)
}

// CRIU fails on a watch that a mount hides. Its path is listed as unknown, and it is not
// restored without AllowMissing. A path that is mounted over after the dump is refused.
func TestMountedOver(t *testing.T) {
	kerneltest.NeedBootID(t)
	h, dir := startMounter(t)
	h.sh("cd " + dir + "; mkdir -p d/e; touch f g")
	h.watchAll(dir+"/d", dir+"/d/e", dir+"/f")
	h.sh("mount -t tmpfs tmpfs " + dir + "/d; mount --bind " + dir + "/g " + dir + "/f")
	for _, level := range []checkpoint.Paths{checkpoint.PathsByHandle, checkpoint.PathsBySearch} {
		s := h.dump(checkpoint.WithPaths(level))
		h.wantNoPaths(s, "mount")
		if err := h.restore(s); err == nil {
			t.Error("restored without a path")
		}
		if err := h.restore(s, "missing"); err != nil {
			t.Error(err)
		}
		h.sh("umount " + dir + "/d " + dir + "/f")
		h.watchAll(dir+"/d", dir+"/d/e", dir+"/f")
		h.sh("mount -t tmpfs tmpfs " + dir + "/d; mount --bind " + dir + "/g " + dir + "/f")
	}
	h.sh("umount " + dir + "/d " + dir + "/f")
	h.wantDumpAndRestore(checkpoint.PathsByHandle, dir+"/d", dir+"/d/e", dir+"/f")

	// Mounted over after the dump.
	s := h.dump()
	h.sh("mount -t tmpfs tmpfs " + dir + "/d; mkdir " + dir + "/d/e")
	if err := h.restore(s); err == nil || !strings.Contains(err.Error(), dir+"/d") {
		t.Errorf("error %v", err)
	}
}

func TestBindMounts(t *testing.T) {
	h, dir := startMounter(t)
	h.sh("cd " + dir + "; mkdir -p real/sub/deep bound only; touch real/sub/f; mount --bind real/sub bound")
	h.watchAll(dir+"/real/sub/deep", dir+"/real/sub/f")
	s := h.dump()
	for i, alternatives := range [][]string{
		{dir + "/real/sub/deep", dir + "/bound/deep"}, {dir + "/real/sub/f", dir + "/bound/f"},
	} {
		if got := s.Watches[i].Path; got != alternatives[0] && got != alternatives[1] {
			t.Errorf("path %q, want one of %q; unknown: %v", got, alternatives, s.Unknown)
		}
	}
	// Only a bind mount of a subtree is left of this filesystem.
	h.sh("cd " + dir + "; mkdir far; mount -t tmpfs other far; mkdir -p far/in/x; touch far/in/x/f; mount --bind far/in only")
	h.watchAll(dir+"/only/x", dir+"/only/x/f", dir+"/far")
	h.sh("umount -l " + dir + "/far")
	s = h.dump(checkpoint.WithPaths(checkpoint.PathsBySearch))
	h.wantPaths(s, dir+"/only/x", dir+"/only/x/f", "")
	if g := gaps(s.Unknown, "path"); len(g) == 0 || g[0].WD != 15 {
		t.Errorf("unknown: %v", s.Unknown)
	}
}

// CRIU cannot dump watches on procfs and sysfs. A search finds their paths; their file handles
// cannot be opened.
func TestProcfsAndSysfs(t *testing.T) {
	h, _ := startMounter(t)
	var paths []string
	for _, path := range []string{"/proc/sys/kernel/hostname", "/sys/kernel/mm", "/sys/kernel"} {
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
			kerneltest.KeepCached(t, path)
		}
	}
	if len(paths) == 0 {
		t.Skip("this needs /proc/sys or /sys")
	}
	h.watchAll(paths...)
	h.wantNoPaths(h.dump(), "search")
	h.wantDumpAndRestore(checkpoint.PathsBySearch, paths...)
}

// After the kernel's caches were dropped, a path by handle is right or unknown, and a search
// finds it.
func TestColdCaches(t *testing.T) {
	h, dir := startMounter(t)
	h.sh("cd " + dir + "; truncate -s 16M image; mkfs.ext4 -q image; mkdir ext4; mount -o loop image ext4; " +
		"mkdir -p ext4/a/b/c ext4/a/other; touch ext4/a/b/c/f ext4/a/b/held; ln ext4/a/b/c/f ext4/a/linked")
	base := dir + "/ext4/a"
	h.watchAll(base+"/b/c", base+"/b/c/f", base+"/other", base+"/b/held")
	h.sh("rm " + base + "/linked; sync; echo 2 >/proc/sys/vm/drop_caches")
	s := h.dump()
	for i, want := range []string{base + "/b/c", base + "/b/c/f", base + "/other", base + "/b/held"} {
		w := s.Watches[i]
		if w.Path != want && w.Path != "" {
			t.Errorf("watch %d: path %q, want %q or none", w.WD, w.Path, want)
		}
		if w.Path == "" {
			t.Logf("not cached: %s: %v", want, gaps(s.Unknown, "path"))
		}
		if w.Type == checkpoint.TypeDirectory && w.Path == "" {
			t.Errorf("directory %q was not found", want)
		}
	}
	h.sh("echo 2 >/proc/sys/vm/drop_caches")
	h.wantDumpAndRestore(checkpoint.PathsBySearch, base+"/b/c", base+"/b/c/f", base+"/other", base+"/b/held")
}

func TestChroot(t *testing.T) {
	h, dir := startMounter(t)
	h.sh("cd " + dir + "; mkdir -p root/in outside root/proc; touch root/in/f; ln -s /outside root/escape; mount -t proc proc root/proc")
	h.watchAll(dir + "/outside")
	h.do("chroot", dir+"/root")
	h.wantNoPaths(h.dump(), "root")
	h.watchAll("/", "/in/f", "/in") // a shorter path after a longer one, and the reverse
	h.wantPaths(h.dump(), "/", "/in/f", "/in")
	h.watchAll("/in", "/in/f", "/")
	h.wantPaths(h.dump(), "/in", "/in/f", "/")
	h.wantPaths(h.dump(checkpoint.WithPaths(checkpoint.PathsBySearch)), "/in", "/in/f", "/")
	s := h.dump(checkpoint.WithPaths(checkpoint.PathsNone), checkpoint.WithResolver(func(w inotify.Watch) (string, error) {
		return "/in/../in/../../in", nil // still inside the root
	}))
	if s.Watches[0].Path == "" || s.Watches[1].Path != "" {
		t.Errorf("watches %+v", s.Watches)
	}
}

// In a mount namespace with the same paths on other inodes, a snapshot is refused unless only
// wds are verified or it is of another boot.
func TestOtherMountNamespace(t *testing.T) {
	kerneltest.NeedBootID(t)
	h, dir := startMounter(t)
	populate := "cd " + dir + "; mkdir -p d/e; touch d/f"
	h.sh(populate)
	paths := []string{dir + "/d", dir + "/d/e", dir + "/d/f"}
	h.watchAll(paths...)
	s := roundTrip(t, h.dump())
	h.wantPaths(s, paths...)

	other := startHolder(t, unix.CLONE_NEWNS, 0)
	other.sh("mount -t tmpfs tmpfs " + dir + "; touch " + dir + "/1 " + dir + "/2; " + populate)
	err := other.restore(s)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "d")) {
		t.Errorf("other inodes were accepted: %v", err)
	}
	if err := other.restore(s, "wds"); err != nil {
		t.Fatal(err)
	}
	there := other.dump()
	other.wantPaths(there, paths...)
	for i, w := range there.Watches {
		if w.WD != s.Watches[i].WD || w.Mask != s.Watches[i].Mask || w.Device == s.Watches[i].Device {
			t.Errorf("watch %+v, was %+v", w, s.Watches[i])
		}
	}

	// For a snapshot of another boot, VerifyWDs is the default.
	s.BootID = "another"
	if err := other.restore(s); err != nil {
		t.Fatal(err)
	}
	other.sh("rm " + paths[2] + "; mkdir " + paths[2])
	if err := other.restore(s); err == nil || !strings.Contains(err.Error(), "is now a directory (was a file)") {
		t.Errorf("another type was dumped: %v", err)
	}
}
