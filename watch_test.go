// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// wantPathError checks an error of AddWatch or RestoreWatch: its type, the path and the cause.
func wantPathError(t *testing.T, err error, path string, errno error) {
	t.Helper()
	wantError(t, err, errno)
	var restore *inotify.RestoreError
	var pe *fs.PathError
	switch {
	case errors.As(err, &restore):
		if restore.Watch.Path != path || restore.Done != 0 {
			t.Errorf("error %q is for %q after %d watches, want %q", err, restore.Watch.Path, restore.Done, path)
		}
	case !errors.As(err, &pe):
		t.Errorf("error %v (%T), want a PathError or a RestoreError", err, err)
	case pe.Op != "inotify_add_watch" || pe.Path != path:
		t.Errorf("error %q names %q and %q, want inotify_add_watch and %q", err, pe.Op, pe.Path, path)
	}
}

// badPaths returns paths that cannot be watched, with a mask and the errno.
func badPaths(t *testing.T) map[string]struct {
	path  string
	mask  inotify.Mask
	errno error
} {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.Mkdir(secret, 0); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	touch(t, file)
	unreadable := filepath.Join(dir, "unreadable")
	touch(t, unreadable)
	if err := errors.Join(os.Chmod(unreadable, 0), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	return map[string]struct {
		path  string
		mask  inotify.Mask
		errno error
	}{
		"missing":               {filepath.Join(dir, "missing"), inotify.Open, unix.ENOENT},
		"empty":                 {"", inotify.Open, unix.ENOENT},
		"NUL":                   {"a\x00b", inotify.Open, unix.EINVAL},
		"NUL at the start":      {"\x00a", inotify.Open, unix.EINVAL},
		"directory not allowed": {filepath.Join(secret, "x"), inotify.Open, unix.EACCES},
		"file not allowed":      {unreadable, inotify.Open, unix.EACCES},
		"not a directory":       {file, inotify.Open | inotify.OnlyDir, unix.ENOTDIR},
		"name too long":         {filepath.Join(dir, strings.Repeat("n", 256)), inotify.Open, unix.ENAMETOOLONG},
	}
}

// AddWatch on a path that cannot be watched returns a PathError with the errno.
func TestAddWatchBadPath(t *testing.T) {
	for name, test := range badPaths(t) {
		t.Run(name, func(t *testing.T) {
			asNobody(t)
			n := newInotify(t)
			wd, err := n.AddWatch(test.path, test.mask)
			wantPathError(t, err, test.path, test.errno)
			if wd != inotify.NoWD {
				t.Errorf("wd %d with an error", wd)
			}
		})
	}
	t.Run("unknown bits", func(t *testing.T) {
		n := newInotify(t)
		path := files(t, 1)[0]
		if _, err := n.AddWatch(path, 0); err != nil {
			wantPathError(t, err, path, unix.EINVAL)
		} else {
			t.Error("the empty mask was accepted")
		}
	})
}

// The error says why the kernel refused a mask or a path, and ends with the errno.
func TestAddWatchExplains(t *testing.T) {
	n := newInotify(t)
	path := files(t, 1)[0]
	wd := add(t, n, path, inotify.Attrib)
	for _, test := range []struct {
		path  string
		mask  inotify.Mask
		errno unix.Errno
		says  string
	}{
		{path, inotify.Open | inotify.MaskCreate, unix.EEXIST, "already watches this inode"},
		{path, 0, unix.EINVAL, "mask is empty"},
		{path, inotify.Open | 0x1000, unix.EINVAL, "mask has 0x1000"},
		{path, 0x08000000, unix.EINVAL, "mask has 0x8000000"},
		{path, inotify.Open | inotify.MaskAdd | inotify.MaskCreate, unix.EINVAL, "both IN_MASK_ADD and IN_MASK_CREATE"},
		{"a\x00b", inotify.Open, unix.EINVAL, "NUL byte"},
		{path + "/x", inotify.Open, unix.ENOTDIR, ": not a directory"},
	} {
		got, err := n.AddWatch(test.path, test.mask)
		if err == nil && test.errno != unix.ENOTDIR && (!hasMaskCreate(t) || test.mask&0x08001000 != 0) {
			t.Logf("this kernel accepts the mask %v", test.mask)
			continue
		}
		wantPathError(t, err, test.path, test.errno)
		if got != inotify.NoWD || err == nil || !strings.Contains(err.Error(), test.says) || !strings.HasSuffix(err.Error(), test.errno.Error()) {
			t.Errorf("watch %d, error %v, want one that says %q and then the errno", got, err, test.says)
		}
	}
	if err := n.RemoveWatch(wd); err != nil {
		t.Fatal(err)
	}
	needIoctl(t)
	var call *os.SyscallError
	err := n.RestoreWatch(kerneltest.Context(t), 7, path, inotify.Open|0x1000)
	if wantError(t, err, unix.EINVAL); !errors.As(err, &call) || call.Syscall != "inotify_add_watch" || !strings.Contains(err.Error(), "mask has 0x1000") {
		t.Errorf("restored with unknown bits: error %v", err)
	}
}

// Without /proc, the methods that need it return an UnsupportedError that says so, and not that a
// file is missing.
func TestWithoutProc(t *testing.T) {
	f, err := os.Open(files(t, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := newInotify(t)
	kerneltest.OwnMounts(t)
	kerneltest.Mount(t, "none", "/proc", "tmpfs", 0, "")
	needsProc := func(err error) {
		t.Helper()
		var unsupported *inotify.UnsupportedError
		if !errors.As(err, &unsupported) || !errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/proc") {
			t.Errorf("error %v (%T), want an UnsupportedError that names /proc", err, err)
		}
	}
	_, err = n.AddWatchFile(f, inotify.Attrib)
	if needsProc(err); err != nil && !strings.Contains(err.Error(), f.Name()) {
		t.Errorf("error %v does not name %s", err, f.Name())
	}
	_, err = n.Watches()
	needsProc(err)
	_, err = n.AddWatch(f.Name()+".missing", inotify.Attrib)
	wantPathError(t, err, f.Name()+".missing", fs.ErrNotExist)
	add(t, n, f.Name(), inotify.Attrib)
	withoutIoctl(t)
	err = n.RestoreWatch(kerneltest.Context(t), 40, filepath.Dir(f.Name()), inotify.Attrib)
	if needsProc(err); !errors.As(err, new(*inotify.RestoreError)) {
		t.Errorf("error %v (%T), want a RestoreError", err, err)
	}
}

// There is one watch per inode: other names of a watched file return its wd.
func TestAddWatchGoesByInode(t *testing.T) {
	n := newInotify(t)
	path := files(t, 1)[0]
	link, symlink := path+".link", path+".symlink"
	if err := errors.Join(os.Link(path, link), os.Symlink(path, symlink)); err != nil {
		t.Fatal(err)
	}
	wd := add(t, n, path, inotify.Attrib)
	if got := add(t, n, symlink, inotify.Attrib); got != wd {
		t.Errorf("through a symbolic link it is watch %d, not %d", got, wd)
	}
	if !watchesInodes(t) {
		t.Log("hard links not tested: this kernel watches names")
		link = path
	}
	if got := add(t, n, link, inotify.Attrib|inotify.Modify); got != wd {
		t.Errorf("through a hard link it is watch %d, not %d", got, wd)
	}
	if got := add(t, n, symlink, inotify.Attrib|inotify.DontFollow); got == wd {
		t.Errorf("the symbolic link itself has its file's watch %d", wd)
	}
	if ws := watches(t, n); ws != nil {
		if len(ws) != 2 || ws[0].Mask != inotify.Attrib|inotify.Modify {
			t.Errorf("watches %v", ws)
		}
	}
}

// AddWatchFile watches the open file, whatever its name is now.
func TestAddWatchFile(t *testing.T) {
	open := func(t *testing.T, path string, flags int) *os.File {
		t.Helper()
		f, err := os.OpenFile(path, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	for name, flags := range map[string]int{"O_RDWR": os.O_RDWR, "O_PATH": unix.O_PATH} {
		t.Run(name+" unlinked", func(t *testing.T) {
			n := newInotify(t)
			path := files(t, 1)[0]
			held := open(t, path, os.O_RDWR)
			f := open(t, path, flags)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			wd, err := n.AddWatchFile(f, inotify.Modify)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := held.WriteString("x"); err != nil {
				t.Fatal(err)
			}
			wantEvents(t, pending(t, n), inotify.Event{WD: wd, Mask: inotify.Modify})
		})
	}
	t.Run("replaced", func(t *testing.T) {
		n := newInotify(t)
		paths := files(t, 2)
		f := open(t, paths[0], unix.O_PATH)
		if err := os.Rename(paths[1], paths[0]); err != nil {
			t.Fatal(err)
		}
		wd, err := n.AddWatchFile(f, inotify.Attrib)
		if err != nil {
			t.Fatal(err)
		}
		if got := add(t, n, paths[0], inotify.Attrib); got == wd {
			t.Error("the watch is on the file that took the name")
		}
	})
	t.Run("symbolic link itself", func(t *testing.T) {
		n := newInotify(t)
		path := files(t, 1)[0]
		link := path + ".symlink"
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		target := add(t, n, path, inotify.Attrib)
		wd, err := n.AddWatchFile(open(t, link, unix.O_PATH|unix.O_NOFOLLOW), inotify.Attrib)
		if err != nil {
			t.Fatal(err)
		}
		if wd == target {
			t.Error("the watch is on the link's target")
		}
		if got := add(t, n, link, inotify.Attrib|inotify.DontFollow); got != wd {
			t.Errorf("the link itself is watch %d, not %d", got, wd)
		}
	})
	t.Run("IN_DONT_FOLLOW", func(t *testing.T) {
		n := newInotify(t)
		path := files(t, 1)[0]
		wd := add(t, n, path, inotify.Attrib)
		got, err := n.AddWatchFile(open(t, path, unix.O_PATH), inotify.Attrib|inotify.DontFollow)
		if err != nil || got != wd {
			t.Errorf("watch %d, %v; want the file's, %d, and not one on the link in /proc", got, err, wd)
		}
	})
	t.Run("errors", func(t *testing.T) {
		n := newInotify(t)
		f := open(t, files(t, 1)[0], os.O_RDONLY)
		if wd, err := n.AddWatchFile(f, inotify.Open|inotify.OnlyDir); wd != inotify.NoWD || !errors.Is(err, unix.ENOTDIR) || !strings.Contains(err.Error(), f.Name()) {
			t.Errorf("wd %d, error %v, want ENOTDIR of %s", wd, err, f.Name())
		}
		f.Close()
		if _, err := n.AddWatchFile(f, inotify.Open); !errors.Is(err, fs.ErrInvalid) || errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), f.Name()) {
			t.Errorf("error %v, want that %s is closed, and not that the Inotify is", err, f.Name())
		}
		if wd, err := n.AddWatchFile(nil, inotify.Open); wd != inotify.NoWD || !errors.Is(err, os.ErrInvalid) {
			t.Errorf("wd %d, error %v for no file", wd, err)
		}
	})
}

// RemoveWatch returns ErrNoWatch and EINVAL for a wd that has no watch.
func TestRemoveWatch(t *testing.T) {
	n := newInotify(t)
	path := files(t, 1)[0]
	wd := add(t, n, path, inotify.Attrib)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := n.RemoveWatch(wd); err != nil {
		t.Fatal(err)
	}
	for _, unknown := range []inotify.WD{wd, 0, -1, 99} {
		err := n.RemoveWatch(unknown)
		var se *os.SyscallError
		if !errors.As(err, &se) || se.Syscall != "inotify_rm_watch" || !errors.Is(err, unix.EINVAL) || !errors.Is(err, inotify.ErrNoWatch) ||
			!strings.Contains(err.Error(), fmt.Sprintf("watch %d: ", unknown)) {
			t.Errorf("removing %d: error %v, want ErrNoWatch and EINVAL of inotify_rm_watch", unknown, err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.RemoveWatch(wd); !errors.Is(err, os.ErrClosed) || errors.Is(err, inotify.ErrNoWatch) {
		t.Errorf("after Close: error %v", err)
	}
}

// Removing a watch that ended because its file was removed returns ErrNoWatch.
func TestRemoveWatchThatEnded(t *testing.T) {
	n := newInotify(t)
	path := files(t, 1)[0]
	wd := add(t, n, path, inotify.DeleteSelf)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wantError(t, n.RemoveWatch(wd), inotify.ErrNoWatch)
	failCalls(t, unix.SYS_INOTIFY_RM_WATCH, 0, 0, true, unix.EPERM)
	if err := n.RemoveWatch(wd); !errors.Is(err, unix.EPERM) || errors.Is(err, inotify.ErrNoWatch) {
		t.Errorf("where the kernel forbids it: error %v", err)
	}
}

// Events of a removed watch are delivered before its IN_IGNORED.
func TestRemoveWatchKeepsOrder(t *testing.T) {
	n := newInotify(t)
	path := files(t, 1)[0]
	wd := add(t, n, path, inotify.Attrib)
	if err := errors.Join(os.Chmod(path, 0o400), n.RemoveWatch(wd)); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, pending(t, n),
		inotify.Event{WD: wd, Mask: inotify.Attrib},
		inotify.Event{WD: wd, Mask: inotify.Ignored})
}

// Watches lists wd, mask, inode, device and handle of each watch as the kernel has them.
func TestWatchesListsWhatTheKernelHas(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	if ws, err := n.Watches(); err != nil || len(ws) != 0 {
		t.Errorf("watches %v, %v of a new instance, want none", ws, err)
	}
	paths := files(t, 3)
	masks := []inotify.Mask{inotify.Create, inotify.AllEvents | inotify.ExclUnlink, inotify.Attrib | inotify.OneShot}
	for i, path := range paths {
		add(t, n, path, masks[i])
	}
	add(t, n, filepath.Dir(paths[0]), inotify.Delete|inotify.OnlyDir|inotify.DontFollow)
	ws, err := n.Watches()
	if err != nil {
		t.Fatal(err)
	}
	if len(ws) != 4 || !slices.IsSortedFunc(ws, func(a, b inotify.Watch) int { return int(a.WD - b.WD) }) {
		t.Fatalf("watches %v, want four in order", ws)
	}
	for i, path := range append(paths, filepath.Dir(paths[0])) {
		w := ws[i]
		if want := append(masks, inotify.Delete)[i]; w.WD != inotify.WD(i+1) || w.Mask != want || w.Path != "" {
			t.Errorf("watch %v, want wd %d, mask %v and no path", w, i+1, want)
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		if w.Inode != st.Ino {
			t.Errorf("inode %d, want %d", w.Inode, st.Ino)
		}
		if want := mountDevice(t, path); w.Device.String() != want {
			t.Errorf("device %v, want %s as mountinfo has it", w.Device, want)
		}
		const handleFID = 0x200 // AT_HANDLE_FID, Linux 6.5: the handle as fdinfo has it
		h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, handleFID)
		if err != nil {
			t.Log("handle not compared: name_to_handle_at lacks AT_HANDLE_FID: ", err)
			continue
		}
		if w.Handle.Type != h.Type() || w.Handle.Bytes != string(h.Bytes()) {
			t.Errorf("handle %v, want %x:%x", w.Handle, h.Type(), h.Bytes())
		}
	}
}

// mountDevice returns the device of the mount that path is on, as mountinfo lists it.
func mountDevice(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	device, longest := "", -1
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		f := strings.Fields(line)
		if point := f[4]; (path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")) && len(point) >= longest {
			device, longest = f[2], len(point)
		}
	}
	return device
}

// Watches lists more watches than one read of fdinfo returns.
func TestWatchesOfMany(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	const count = 2000
	for i, path := range files(t, count) {
		if wd := add(t, n, path, inotify.Attrib); wd != inotify.WD(i+1) {
			t.Fatalf("wd %d, want %d", wd, i+1)
		}
	}
	ws, err := n.Watches()
	if err != nil || len(ws) != count {
		t.Fatalf("%d watches, %v; want %d", len(ws), err, count)
	}
	for i, w := range ws {
		if w.WD != inotify.WD(i+1) || w.Mask != inotify.Attrib {
			t.Fatalf("watch %v at place %d", w, i)
		}
	}
}

// If fdinfo lists no watch, Watches probes whether the kernel lists any. If the probe fails, so
// does Watches.
func TestWatchesWhenTheProbeFails(t *testing.T) {
	n := newInotify(t)
	path := files(t, 1)[0]
	failCalls(t, unix.SYS_INOTIFY_ADD_WATCH, 2, uint32(inotify.MaskAdd), false, unix.ENOMEM)
	ws, err := n.Watches()
	if wantError(t, err, unix.ENOMEM); ws != nil || err == nil || !strings.Contains(err.Error(), "could not be determined") {
		t.Errorf("watches %v, error %v", ws, err)
	}
	add(t, n, path, inotify.Attrib)
	if ws, err := n.Watches(); (err != nil || len(ws) != 1) && !errors.Is(err, unix.ENOMEM) {
		t.Errorf("watches %v, error %v", ws, err)
	}
}

// A kernel with IN_MASK_CREATE (Linux 4.18) lists watches, so no other instance is needed for a
// probe.
func TestWatchesWithoutAnotherInstance(t *testing.T) {
	withoutInstances := func(t *testing.T) {
		failCalls(t, unix.SYS_INOTIFY_INIT1, 0, 0, true, unix.EMFILE)
	}
	t.Run("with IN_MASK_CREATE", func(t *testing.T) {
		if !hasMaskCreate(t) {
			t.Skip("this needs IN_MASK_CREATE, which the kernel ignores")
		}
		n := newInotify(t)
		withoutInstances(t)
		if ws, err := n.Watches(); len(ws) != 0 || err != nil {
			t.Errorf("watches %v, error %v", ws, err)
		}
	})
	t.Run("without IN_MASK_CREATE", func(t *testing.T) {
		withoutMaskCreate(t)
		n := newInotify(t)
		withoutInstances(t)
		ws, err := n.Watches()
		if wantError(t, err, unix.EMFILE); ws != nil || err == nil || !strings.Contains(err.Error(), "could not be determined") {
			t.Errorf("watches %v, error %v", ws, err)
		}
	})
}

// On a kernel that lists no watches, Watches returns an UnsupportedError, not an empty list.
func TestWatchesWhereNoneAreListed(t *testing.T) {
	n := newInotify(t)
	add(t, n, files(t, 1)[0], inotify.Open)
	ws, err := n.Watches()
	if err == nil {
		if len(ws) != 1 {
			t.Errorf("watches %v, want the one", ws)
		}
		return
	}
	var unsupported *inotify.UnsupportedError
	if !errors.As(err, &unsupported) || !errors.Is(err, errors.ErrUnsupported) || ws != nil {
		t.Errorf("watches %v, error %v, want an UnsupportedError", ws, err)
	}
}

// The text of a Device can be parsed, and other texts are refused.
func TestDeviceText(t *testing.T) {
	for _, test := range []struct {
		device inotify.Device
		text   string
	}{
		{inotify.Device{}, "0:0"},
		{inotify.Device{Major: 254, Minor: 3}, "254:3"},
		{inotify.Device{Major: 1<<32 - 1, Minor: 1<<32 - 1}, "4294967295:4294967295"},
	} {
		if got := test.device.String(); got != test.text {
			t.Errorf("device %q, want %q", got, test.text)
		}
		wantSameText(t, test.device, test.text)
	}
	for _, text := range []string{
		"", ":", "254", "254:", ":3", "254:3:", "254:3:1", "-1:0", "+1:0", " 1:0", "1:0\n", "fe:0", "0x1:0", "1_0:0", "4294967296:0", "0:4294967296",
		strings.Repeat("0", 1000) + ":x",
	} {
		before := inotify.Device{Major: 254, Minor: 3}
		d := before
		if err := d.UnmarshalText([]byte(text)); d != before || err == nil || len(err.Error()) > 200 || !strings.Contains(err.Error(), "254:0") {
			t.Errorf("%q is parsed as %v, error %v; want one that shows the form", text, d, err)
		}
	}
}

// The text of a Handle can be parsed, and other texts and invalid handles are refused.
func TestHandleText(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, test := range []struct {
		handle inotify.Handle
		text   string
	}{
		{inotify.Handle{}, "none"},
		{inotify.Handle{Type: 1, Bytes: "\x91\x64\x98\x00\xaf\xc3\xbe\x85"}, "1:91649800afc3be85"},
		{inotify.Handle{Type: 0x81, Bytes: "\x01\xff"}, "81:01ff"},
		{inotify.Handle{Bytes: "\x00"}, "0:00"},
		{inotify.Handle{Type: 1<<31 - 1, Bytes: string(every[:128])}, "7fffffff:" + fmt.Sprintf("%x", every[:128])},
		{inotify.Handle{Type: 2, Bytes: string(every[128:])}, "2:" + fmt.Sprintf("%x", every[128:])},
	} {
		if got := test.handle.String(); got != test.text {
			t.Errorf("handle %q, want %q", got, test.text)
		}
		wantSameText(t, test.handle, test.text)
	}
	for _, text := range []string{
		"", ":", "1", "1:", ":00", "0:", "1:0", "1:000", "1:0g", "1:00:00", "1:00 ", " 1:00", "-1:00", "+1:00", "80000000:00", "0x1:00", "none:", "None",
		"1:" + strings.Repeat("00", 129), "1:" + strings.Repeat("00", 1<<20), strings.Repeat("1", 1<<20) + ":00",
	} {
		before := inotify.Handle{Type: 1, Bytes: "x"}
		h := before
		if err := h.UnmarshalText([]byte(text)); h != before || err == nil || len(err.Error()) > 200 || !strings.Contains(err.Error(), "1:91649800afc3be85") {
			t.Errorf("%.40q is parsed as %.40v, error %v; want one that shows the form", text, h, err)
		}
	}
	// A handle whose text could not be parsed has no text.
	for _, handle := range []inotify.Handle{{Type: 1}, {Type: -1, Bytes: "x"}, {Type: 1, Bytes: strings.Repeat("x", 129)}} {
		if text, err := handle.MarshalText(); text != nil || err == nil {
			t.Errorf("%v is formatted as %q, %v; want an error", handle, text, err)
		}
	}
}

// wantSameText marshals v to JSON, which must have text, and unmarshals it.
func wantSameText[T comparable](t *testing.T, v T, text string) {
	t.Helper()
	written, err := json.Marshal(map[string]T{"v": v})
	if want := `{"v":"` + text + `"}`; err != nil || string(written) != want {
		t.Errorf("marshalled to %s, %v; want %s", written, err, want)
	}
	read := map[string]T{}
	if err := json.Unmarshal(written, &read); err != nil || read["v"] != v {
		t.Errorf("%v is unmarshalled as %v, %v", v, read["v"], err)
	}
}

// Each handle and device that the kernel lists survives the conversion to text and back.
func TestListedWatchesAsText(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	paths := append(files(t, 1), t.TempDir(), "/", "/proc", "/sys", "/dev")
	for _, path := range paths {
		if _, err := n.AddWatch(path, inotify.DeleteSelf); err != nil {
			t.Log("not tested: ", err)
		}
	}
	for _, w := range watches(t, n) {
		var h inotify.Handle
		text, err := w.Handle.MarshalText()
		if err == nil {
			err = h.UnmarshalText(text)
		}
		if err != nil || h != w.Handle {
			t.Errorf("%v is formatted as %q and parsed as %v, %v", w.Handle, text, h, err)
		}
		var d inotify.Device
		text, err = w.Device.MarshalText()
		if err == nil {
			err = d.UnmarshalText(text)
		}
		if err != nil || d != w.Device {
			t.Errorf("%v is formatted as %q and parsed as %v, %v", w.Device, text, d, err)
		}
	}
}
