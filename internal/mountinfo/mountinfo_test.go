// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package mountinfo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/mountinfo"
)

func mounts(r io.Reader) ([]mountinfo.Mount, error) {
	var ms []mountinfo.Mount
	for m, err := range mountinfo.Parse(r) {
		if err != nil {
			return ms, err
		}
		ms = append(ms, m)
	}
	return ms, nil
}

func device(major, minor uint32) struct{ Major, Minor uint32 } {
	return struct{ Major, Minor uint32 }{major, minor}
}

const mountLine = `36 35 98:1 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`

func TestMountLines(t *testing.T) {
	plain := mountinfo.Mount{
		ID: 36, Parent: 35, Device: device(98, 1), Root: "/mnt1", Point: "/mnt2",
		Type: "ext3", Source: "/dev/root", Super: "rw,errors=continue",
	}
	change := func(f func(*mountinfo.Mount)) mountinfo.Mount {
		m := plain
		f(&m)
		return m
	}
	long := "lowerdir=" + strings.Repeat("/layer:", 100_000) + "/last"
	replace := func(from, to string) string { return strings.Replace(mountLine, from, to, 1) }
	for name, test := range map[string]struct {
		text string
		want mountinfo.Mount
	}{
		"plain":               {mountLine, plain},
		"no optional field":   {replace(" master:1", ""), plain},
		"many optional":       {replace("master:1", "shared:1 master:2 propagate_from:3 unbindable new-one"), plain},
		"escapes in the root": {replace("/mnt1", `/a\040b\011c\012d\134040`), change(func(m *mountinfo.Mount) { m.Root = "/a b\tc\nd\\040" })},
		"in the mount point":  {replace("/mnt2", `/\040`), change(func(m *mountinfo.Mount) { m.Point = "/ " })},
		"in the source":       {replace("/dev/root", `\043x`), change(func(m *mountinfo.Mount) { m.Source = "#x" })},
		"no escape":           {replace("/mnt2", `/\9\77\8888\`), change(func(m *mountinfo.Mount) { m.Point = `/\9\77\8888\` })},
		"no octal digits":     {replace("/mnt2", `/\080\0/0\008\00/\07`), change(func(m *mountinfo.Mount) { m.Point = `/\080\0/0\008\00/\07` })},
		"all octal digits":    {replace("/mnt2", `/\067\000\377`), change(func(m *mountinfo.Mount) { m.Point = "/7\x00\xff" })},
		"above one byte":      {replace("/mnt2", `/\777`), change(func(m *mountinfo.Mount) { m.Point = `/\777` })},
		"just above one byte": {replace("/mnt2", `/\400`), change(func(m *mountinfo.Mount) { m.Point = `/\400` })},
		"other bytes":         {replace("/mnt2", "/\xff\x01"), change(func(m *mountinfo.Mount) { m.Point = "/\xff\x01" })},
		"empty source":        {replace("/dev/root", ""), change(func(m *mountinfo.Mount) { m.Source = "" })},
		"options with spaces": {replace("errors=continue", "lowerdir=a b"), change(func(m *mountinfo.Mount) { m.Super = "rw,lowerdir=a b" })},
		"many layers":         {replace("errors=continue", long), change(func(m *mountinfo.Mount) { m.Super = "rw," + long })},
		"carriage return":     {replace("errors=continue", "upperdir=a\r"), change(func(m *mountinfo.Mount) { m.Super = "rw,upperdir=a\r" })},
		"dash in the options": {replace("errors=continue", "x - y"), change(func(m *mountinfo.Mount) { m.Super = "rw,x - y" })},
		"largest": {replace("36 35 98:1", "2147483647 2147483647 4095:1048575"), change(func(m *mountinfo.Mount) {
			m.ID, m.Parent, m.Device = 1<<31-1, 1<<31-1, device(1<<12-1, 1<<20-1)
		})},
	} {
		got, err := mounts(strings.NewReader(test.text + "\n"))
		if err != nil || !reflect.DeepEqual(got, []mountinfo.Mount{test.want}) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
	}
	if got, err := mounts(strings.NewReader("")); err != nil || got != nil {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

func TestMalformedMountLines(t *testing.T) {
	replace := func(from, to string) string { return strings.Replace(mountLine, from, to, 1) }
	for name, text := range map[string]string{
		"empty":               "",
		"no separator":        replace(" - ", " "),
		"few fields before":   "36 35 98:1 /mnt1 /mnt2 - ext3 /dev/root rw",
		"few fields after":    replace("/dev/root rw,errors=continue", "/dev/root"),
		"id is no number":     replace("36", "x"),
		"id is too large":     replace("36", "2147483648"),
		"id is negative":      replace("36", "-1"),
		"parent is no number": replace("35", ""),
		"device has no minor": replace("98:1", "98"),
		"device is no number": replace("98:1", "x:1"),
		"minor is too large":  replace("98:1", "98:1048576"),
		"major is too large":  replace("98:1", "4096:1"),
		"two minors":          replace("98:1", "98:1:2"),
		"id is long":          replace("36", strings.Repeat("x", 100)),
	} {
		ms, err := mounts(strings.NewReader(mountLine + "\n" + text + "\n" + mountLine + "\n"))
		if err == nil || len(ms) != 1 {
			t.Errorf("%s: %d mounts, error %v; want 1 mount and an error", name, len(ms), err)
		} else if !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("%s: error %q does not name the line", name, err)
		}
	}
}

// A truncated last line is an error, even if it has only one byte.
func TestTruncatedMountLine(t *testing.T) {
	if ms, err := mounts(strings.NewReader(mountLine + "\n3")); err == nil || len(ms) != 1 {
		t.Errorf("%d mounts, error %v; want 1 mount and an error", len(ms), err)
	}
}

// Very long or malformed lines need little memory.
func TestParseMemoryIsBounded(t *testing.T) {
	const size = 1_000_000
	for name, text := range map[string]string{
		"spaces":      strings.Repeat(" ", size),
		"backslashes": strings.Replace(mountLine, "/mnt1", strings.Repeat(`\`, size), 1),
		"escapes":     strings.Replace(mountLine, "/mnt1", strings.Repeat(`\377`, size/4), 1),
		"long number": strings.Replace(mountLine, "36", strings.Repeat("\xff", size), 1),
		"short lines": strings.Repeat(`1 2 3:4 / / - x x x`+"\n", size/20),
	} {
		t.Run(name, func(t *testing.T) {
			kerneltest.WantLittleMemory(t, len(text), 30, func() { mounts(strings.NewReader(text)) })
		})
	}
}

func TestMountReaderErrors(t *testing.T) {
	boom := errors.New("boom")
	if ms, err := mounts(io.MultiReader(strings.NewReader(mountLine+"\n"), iotest.ErrReader(boom))); !errors.Is(err, boom) || len(ms) != 1 || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%d mounts, error %v; want 1 mount and the reader's error in line 2", len(ms), err)
	}
	long := strings.Replace(mountLine, "errors", strings.Repeat("x", 2<<20), 1)
	if ms, err := mounts(strings.NewReader(long)); err == nil || len(ms) != 0 {
		t.Errorf("a line of 2 MiB was accepted: %v", err)
	}
	if ms, err := mounts(iotest.OneByteReader(strings.NewReader(mountLine))); err != nil || len(ms) != 1 {
		t.Errorf("byte by byte: %v, %v", ms, err)
	}
}

func TestMountinfoOfThisProcess(t *testing.T) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Skip("this needs Linux: ", err)
	}
	defer f.Close()
	ms, err := mounts(f)
	if err != nil || len(ms) == 0 {
		t.Fatalf("%d mounts, %v", len(ms), err)
	}
	for _, m := range ms {
		if !strings.HasPrefix(m.Point, "/") || m.Type == "" || m.ID == 0 {
			t.Errorf("%+v", m)
		}
	}
}

func mountinfoFiles(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/*-mountinfo.txt")
	if err != nil || len(names) == 0 {
		t.Fatal("no texts: ", err)
	}
	return names
}

// Texts that kernels have written are parsed. Each has these mounts.
func TestMountinfosOfKernels(t *testing.T) {
	for _, name := range mountinfoFiles(t) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		ms, err := mounts(f)
		f.Close()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		found := make(map[string]mountinfo.Mount)
		for _, m := range ms {
			found[m.Point] = m
		}
		for point, want := range map[string]mountinfo.Mount{
			"/proc":               {Root: "/", Type: "proc"},
			"/mnt/two words":      {Root: "/", Type: "tmpfs"},
			"/mnt/new\nline\ttab": {Root: "/", Type: "tmpfs"},
			"/mnt/back\\slash":    {Root: "/", Type: "tmpfs"},
			"/mnt/bound":          {Root: "/dir", Type: "tmpfs"},
			"/mnt/overlay":        {Root: "/", Type: "overlay"},
		} {
			if got := found[point]; got.Root != want.Root || got.Type != want.Type {
				t.Errorf("%s: %q is %+v, want %+v", name, point, got, want)
			}
		}
	}
}

// FuzzMountinfo: what was parsed is parsed to the same again after it was written as the
// kernel writes it.
func FuzzMountinfo(f *testing.F) {
	f.Add([]byte(mountLine + "\n"))
	f.Add([]byte(`1 2 3:4 /\040\134 /\011\012 rw - x  rw` + "\n" + mountLine))
	for _, name := range append(mountinfoFiles(f), "/proc/self/mountinfo") {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(text)
		}
	}
	special := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
	escape := func(field string) string {
		if field == "-" { // no root or mount point is "-", so the kernel need not escape it
			return `\055`
		}
		return special.Replace(field)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var ms []mountinfo.Mount
		kerneltest.WantLittleMemory(t, len(text), 30, func() { ms, _ = mounts(bytes.NewReader(text)) })
		var again strings.Builder
		for _, m := range ms {
			fmt.Fprintf(&again, "%d %d %d:%d %s %s rw - %s %s %s\n", m.ID, m.Parent, m.Device.Major, m.Device.Minor,
				escape(m.Root), escape(m.Point), escape(m.Type), escape(m.Source), m.Super)
		}
		got, err := mounts(strings.NewReader(again.String()))
		if err != nil || !reflect.DeepEqual(got, ms) {
			t.Errorf("%q\nparsed again: %+v, %v\nwant %+v", again.String(), got, err, ms)
		}
	})
}
