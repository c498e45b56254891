// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// String and ParseMask are each other's inverse.
func TestMaskString(t *testing.T) {
	for _, test := range []struct {
		mask inotify.Mask
		want string
	}{
		{0, "0"},
		{inotify.Create, "IN_CREATE"},
		{inotify.IsDir | inotify.Create, "IN_CREATE|IN_ISDIR"},
		{inotify.Close | inotify.Move, "IN_CLOSE_WRITE|IN_CLOSE_NOWRITE|IN_MOVED_FROM|IN_MOVED_TO"},
		{0x1000, "0x1000"},
		{inotify.Open | 0x08001000, "IN_OPEN|0x8001000"},
		{inotify.AllEvents | inotify.ExclUnlink | inotify.OneShot, "IN_ACCESS|IN_MODIFY|IN_ATTRIB|IN_CLOSE_WRITE|IN_CLOSE_NOWRITE|IN_OPEN|IN_MOVED_FROM|IN_MOVED_TO|IN_CREATE|IN_DELETE|IN_DELETE_SELF|IN_MOVE_SELF|IN_EXCL_UNLINK|IN_ONESHOT"},
	} {
		if got := test.mask.String(); got != test.want {
			t.Errorf("%#x is %q, want %q", uint32(test.mask), got, test.want)
		}
		if back, err := inotify.ParseMask(test.want); err != nil || back != test.mask {
			t.Errorf("%q is parsed as %v, %v", test.want, back, err)
		}
	}
}

// Each bit has the kernel's value and name.
func TestMaskBits(t *testing.T) {
	for name, bits := range map[string][2]inotify.Mask{
		"IN_ACCESS":        {inotify.Access, unix.IN_ACCESS},
		"IN_MODIFY":        {inotify.Modify, unix.IN_MODIFY},
		"IN_ATTRIB":        {inotify.Attrib, unix.IN_ATTRIB},
		"IN_CLOSE_WRITE":   {inotify.CloseWrite, unix.IN_CLOSE_WRITE},
		"IN_CLOSE_NOWRITE": {inotify.CloseNoWrite, unix.IN_CLOSE_NOWRITE},
		"IN_OPEN":          {inotify.Open, unix.IN_OPEN},
		"IN_MOVED_FROM":    {inotify.MovedFrom, unix.IN_MOVED_FROM},
		"IN_MOVED_TO":      {inotify.MovedTo, unix.IN_MOVED_TO},
		"IN_CREATE":        {inotify.Create, unix.IN_CREATE},
		"IN_DELETE":        {inotify.Delete, unix.IN_DELETE},
		"IN_DELETE_SELF":   {inotify.DeleteSelf, unix.IN_DELETE_SELF},
		"IN_MOVE_SELF":     {inotify.MoveSelf, unix.IN_MOVE_SELF},
		"IN_UNMOUNT":       {inotify.Unmount, unix.IN_UNMOUNT},
		"IN_Q_OVERFLOW":    {inotify.QOverflow, unix.IN_Q_OVERFLOW},
		"IN_IGNORED":       {inotify.Ignored, unix.IN_IGNORED},
		"IN_ONLYDIR":       {inotify.OnlyDir, unix.IN_ONLYDIR},
		"IN_DONT_FOLLOW":   {inotify.DontFollow, unix.IN_DONT_FOLLOW},
		"IN_EXCL_UNLINK":   {inotify.ExclUnlink, unix.IN_EXCL_UNLINK},
		"IN_MASK_CREATE":   {inotify.MaskCreate, unix.IN_MASK_CREATE},
		"IN_MASK_ADD":      {inotify.MaskAdd, unix.IN_MASK_ADD},
		"IN_ISDIR":         {inotify.IsDir, unix.IN_ISDIR},
		"IN_ONESHOT":       {inotify.OneShot, unix.IN_ONESHOT},
		"IN_CLOSE":         {inotify.Close, unix.IN_CLOSE},
		"IN_MOVE":          {inotify.Move, unix.IN_MOVE},
		"IN_ALL_EVENTS":    {inotify.AllEvents, unix.IN_ALL_EVENTS},
	} {
		if bits[0] != bits[1] {
			t.Errorf("%s is %#x, want %#x as in the kernel", name, uint32(bits[0]), uint32(bits[1]))
		}
		if got, err := inotify.ParseMask(name); err != nil || got != bits[1] {
			t.Errorf("%s is parsed as %v, %v", name, got, err)
		}
	}
}

// ParseMask accepts names and numbers, and refuses everything else.
func TestParseMask(t *testing.T) {
	for text, want := range map[string]inotify.Mask{
		"IN_OPEN|IN_OPEN":          inotify.Open,
		"IN_ISDIR|IN_CREATE":       inotify.Create | inotify.IsDir,
		"256|0x40000000":           inotify.Create | inotify.IsDir,
		"4294967295":               0xffffffff,
		"IN_ALL_EVENTS|IN_ONLYDIR": inotify.AllEvents | inotify.OnlyDir,
	} {
		if got, err := inotify.ParseMask(text); err != nil || got != want {
			t.Errorf("%q is parsed as %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "|", "IN_CREATE|", "|IN_CREATE", "CREATE", "in_create", " IN_CREATE",
		"IN_CREATE,IN_DELETE", "0x", "0x100000000", "4294967296", "-1", "+1", "1_0", "0X10", "010z",
	} {
		if got, err := inotify.ParseMask(text); err == nil {
			t.Errorf("%q is parsed as %v, want an error", text, got)
		}
	}
}

// Has reports whether any of the bits is set, and HasAll whether all are.
func TestMaskHas(t *testing.T) {
	for _, test := range []struct {
		mask, bits inotify.Mask
		any, all   bool
	}{
		{inotify.MovedTo, inotify.Move, true, false},
		{inotify.MovedTo | inotify.IsDir, inotify.Create | inotify.MovedTo, true, false},
		{inotify.MovedTo | inotify.IsDir, inotify.MovedTo | inotify.IsDir, true, true},
		{inotify.AllEvents | inotify.OneShot, inotify.AllEvents, true, true},
		{inotify.AllEvents &^ inotify.Open, inotify.AllEvents, true, false},
		{inotify.Create, inotify.Create, true, true},
		{inotify.Create, inotify.Delete, false, false},
		{inotify.OneShot, inotify.OneShot, true, true},
		{0, inotify.Create, false, false},
		{inotify.Create, 0, false, true},
		{0, 0, false, true},
	} {
		if got := test.mask.Has(test.bits); got != test.any {
			t.Errorf("(%v).Has(%v) is %t", test.mask, test.bits, got)
		}
		if got := test.mask.HasAll(test.bits); got != test.all {
			t.Errorf("(%v).HasAll(%v) is %t", test.mask, test.bits, got)
		}
	}
}

// The event of a directory that is moved in has the bits that its documentation lists.
func TestMaskHasOfEvent(t *testing.T) {
	n := newInotify(t)
	dir, other := t.TempDir(), t.TempDir()
	add(t, n, dir, inotify.AllEvents)
	if err := os.Rename(other, filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	evs := pending(t, n)
	if len(evs) != 1 || !evs[0].Mask.Has(inotify.Move) || !evs[0].Mask.Has(inotify.Create|inotify.MovedTo) ||
		!evs[0].Mask.HasAll(inotify.MovedTo|inotify.IsDir) || evs[0].Mask.HasAll(inotify.Move) || evs[0].Mask.Has(inotify.Close) {
		t.Errorf("events %v, want one of a directory that was moved in", evs)
	}
}

// In JSON a mask is its text.
func TestMaskInJSON(t *testing.T) {
	text, err := json.Marshal(inotify.Create | inotify.IsDir)
	if err != nil || string(text) != `"IN_CREATE|IN_ISDIR"` {
		t.Errorf("JSON %s, %v", text, err)
	}
	m := inotify.Open
	if err := json.Unmarshal(text, &m); err != nil || m != inotify.Create|inotify.IsDir {
		t.Errorf("read back %v, %v", m, err)
	}
	if err := json.Unmarshal([]byte(`"IN_NONSENSE"`), &m); err == nil || m != inotify.Create|inotify.IsDir {
		t.Errorf("nonsense is parsed as %v, %v", m, err)
	}
}
