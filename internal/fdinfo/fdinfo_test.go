// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package fdinfo_test

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

	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

func collect(r io.Reader) ([]fdinfo.Watch, error) {
	var ws []fdinfo.Watch
	for w, err := range fdinfo.Watches(r) {
		if err != nil {
			return ws, err
		}
		ws = append(ws, w)
	}
	return ws, nil
}

const line = "inotify wd:34d71d6 ino:986491 sdev:fe00003 mask:84000800 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:91649800afc3be85"

func TestLines(t *testing.T) {
	full := fdinfo.Watch{
		WD: 0x34d71d6, Inode: 0x986491, Mask: 0x84000800,
	}
	full.Device.Major, full.Device.Minor = 254, 3
	full.Handle.Type, full.Handle.Bytes = 1, "\x91\x64\x98\x00\xaf\xc3\xbe\x85"
	bare := full
	bare.Handle.Type, bare.Handle.Bytes = 0, ""
	const bareLine = "inotify wd:34d71d6 ino:986491 sdev:fe00003 mask:84000800 ignored_mask:0"
	largest := fdinfo.Watch{WD: 0x7fffffff, Inode: 1<<64 - 1, Mask: 0xffffffff}
	largest.Device.Major, largest.Device.Minor = 0xfff, 0xfffff
	largest.Handle.Type, largest.Handle.Bytes = 0x7fffffff, strings.Repeat("\xff", 128)
	for name, test := range map[string]struct {
		text string
		want []fdinfo.Watch
	}{
		"nothing":          {"", nil},
		"other fields":     {"pos:\t0\nflags:\t02004000\nmnt_id:\t15\nino:\t1057\n", nil},
		"another kind":     {"inotifyx wd:1\nfanotify ino:1\n", nil},
		"one":              {line + "\n", []fdinfo.Watch{full}},
		"no final newline": {line, []fdinfo.Watch{full}},
		"no handle":        {bareLine + "\n", []fdinfo.Watch{bare}},
		"trailing space":   {bareLine + " \n", []fdinfo.Watch{bare}},
		"in order":         {"pos:\t0\n" + bareLine + "\n" + line + "\n", []fdinfo.Watch{bare, full}},
		"additional field": {line + " more:1\n", []fdinfo.Watch{full}},
		"largest": {"inotify wd:7fffffff ino:ffffffffffffffff sdev:ffffffff mask:ffffffff ignored_mask:ffffffff fhandle-bytes:80 fhandle-type:7fffffff f_handle:" + strings.Repeat("ff", 128) + "\n",
			[]fdinfo.Watch{largest}},
		"capitals":     {strings.NewReplacer("34d71d6", "34D71D6", "91649800afc3be85", "91649800AFC3BE85").Replace(line), []fdinfo.Watch{full}},
		"empty handle": {bareLine + " fhandle-bytes:0 fhandle-type:0 f_handle:\n", []fdinfo.Watch{bare}},
	} {
		if got, err := collect(strings.NewReader(test.text)); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
	}
}

// The loop over Watches can end early.
func TestWatchesStopsEarly(t *testing.T) {
	seen := 0
	for range fdinfo.Watches(strings.NewReader(line + "\n" + line + "\n")) {
		seen++
		break
	}
	if seen != 1 {
		t.Errorf("%d watches", seen)
	}
}

func TestMalformedLines(t *testing.T) {
	change := func(from, to string) string { return strings.Replace(line, from, to, 1) }
	for name, text := range map[string]string{
		"only the first word":   "inotify ",
		"cut off":               "inotify wd:1 ino:2",
		"no watch":              change("wd:34d71d6 ", ""),
		"watch 0":               change("wd:34d71d6", "wd:0"),
		"watch too large":       change("wd:34d71d6", "wd:80000000"),
		"negative watch":        change("wd:34d71d6", "wd:-1"),
		"not a number":          change("wd:34d71d6", "wd:xyz"),
		"no number":             change("wd:34d71d6", "wd:"),
		"0x":                    change("wd:34d71d6", "wd:0x1"),
		"no colon":              change("ino:986491", "ino986491"),
		"other order":           change("ino:986491 sdev:fe00003", "sdev:fe00003 ino:986491"),
		"inode too large":       change("ino:986491", "ino:10000000000000000"),
		"device too large":      change("sdev:fe00003", "sdev:100000000"),
		"mask too large":        change("mask:84000800", "mask:100000000"),
		"handle too short":      change("fhandle-bytes:8", "fhandle-bytes:9"),
		"handle too long":       change("fhandle-bytes:8", "fhandle-bytes:7"),
		"handle beyond maximum": change("fhandle-bytes:8", "fhandle-bytes:81"),
		"no inode":              change("ino:986491", "ino:"),
		"handle not hex":        change("91649800afc3be85", "91649800afc3bexx"),
		"high digit not hex":    change("91649800afc3be85", "9164x800afc3be85"),
		"low digit not hex":     change("91649800afc3be85", "91649x00afc3be85"),
		"no handle fields":      change("fhandle-bytes:8 fhandle-type:1 f_handle:91649800afc3be85", "x"),
		"odd digits":            change("91649800afc3be85", "91649800afc3be853"),
		"no handle":             change(" f_handle:91649800afc3be85", ""),
		"long field":            change("sdev:fe00003", strings.Repeat("\xa2", 60_000)),
		"long number":           change("fe00003", strings.Repeat("f", 60_000)),
	} {
		ws, err := collect(strings.NewReader(line + "\n" + text + "\n" + line + "\n"))
		if err == nil || len(ws) != 1 {
			t.Errorf("%s: %d watches, error %v; want 1 watch and an error", name, len(ws), err)
		} else if len(err.Error()) > 4000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// An error shows the malformed field and says what is expected.
func TestErrorsNameTheField(t *testing.T) {
	for text, want := range map[string]string{
		strings.Replace(line, "ino:986491", "inode:986491", 1):          `found "inode:986491", want "ino:"`,
		strings.Replace(line, "sdev:fe00003", "sdev:fe:3", 1):           `sdev: "fe:3" is not a hexadecimal number up to ffffffff`,
		strings.Replace(line, "fhandle-type:1", "fhandle-type", 1):      `found "fhandle-type", want "fhandle-type:"`,
		strings.Replace(line, "fhandle-bytes:8", "fhandle-bytes:81", 1): `fhandle-bytes: "81" is not a hexadecimal number up to 80`,
	} {
		if _, err := collect(strings.NewReader(text)); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: error %v, want it to end with %s", text, err, want)
		}
	}
}

func TestReaderErrors(t *testing.T) {
	boom := errors.New("boom")
	if ws, err := collect(io.MultiReader(strings.NewReader(line+"\n"), iotest.ErrReader(boom))); !errors.Is(err, boom) || len(ws) != 1 {
		t.Errorf("%d watches, error %v; want 1 watch and the reader's error", len(ws), err)
	}
	if _, err := collect(strings.NewReader("inotify " + strings.Repeat("x", 1<<20))); err == nil {
		t.Error("a line of 1 MiB was accepted")
	}
	if ws, err := collect(iotest.OneByteReader(strings.NewReader(line + "\n"))); err != nil || len(ws) != 1 {
		t.Errorf("byte by byte: %v, %v", ws, err)
	}
}

// Texts of many watches or with very long lines need little memory.
func TestWatchesMemoryIsBounded(t *testing.T) {
	const size = 1 << 20
	for name, text := range map[string]string{
		"no handles":   strings.Repeat("inotify wd:1 ino:2 sdev:3 mask:4 ignored_mask:0\n", size/48),
		"handles":      strings.Repeat(line+"\n", size/len(line)),
		"large handle": strings.Repeat("inotify wd:1 ino:2 sdev:3 mask:4 ignored_mask:0 fhandle-bytes:80 fhandle-type:1 f_handle:"+strings.Repeat("ff", 128)+"\n", size/346),
		"other lines":  strings.Repeat("\n", size),
		"long line":    "inotify " + strings.Repeat("\xff", size),
	} {
		t.Run(name, func(t *testing.T) {
			kerneltest.WantLittleMemory(t, len(text), 20, func() { collect(strings.NewReader(text)) })
		})
	}
}

// Texts that kernels have written are parsed.
func TestTextsOfKernels(t *testing.T) {
	want := map[string]int{
		"gvisor.txt":                     0,
		"linux-6.1-filesystems.txt":      23,
		"linux-6.1-uml-filesystems.txt":  23,
		"linux-6.1-uml-hostfs-tmpfs.txt": 12,
		"linux-6.18-ext4-tmpfs-proc.txt": 18,
		"linux-6.18-filesystems.txt":     23,
	}
	for name, count := range want {
		f, err := os.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		ws, err := collect(f)
		f.Close()
		if err != nil || len(ws) != count {
			t.Errorf("%s: %d watches, %v; want %d", name, len(ws), err, count)
		}
	}
}

// Handles share allocations, as an instance may have very many watches.
func TestHandlesShareAllocations(t *testing.T) {
	const count = 10_000
	text := strings.Repeat(line+"\n", count)
	if allocs := testing.AllocsPerRun(5, func() {
		for _, err := range fdinfo.Watches(strings.NewReader(text)) {
			if err != nil {
				t.Error(err)
			}
		}
	}); allocs > count/50 {
		t.Errorf("%.0f allocations for %d watches", allocs, count)
	}
}

// FuzzWatches: for any text, Watches and Flags return, with values in range.
func FuzzWatches(f *testing.F) {
	texts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(texts) == 0 {
		f.Fatal("no seed texts: ", err)
	}
	for _, name := range texts {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(line))
	f.Fuzz(func(t *testing.T, text []byte) {
		var ws []fdinfo.Watch
		kerneltest.WantLittleMemory(t, len(text), 20, func() {
			ws, _ = collect(bytes.NewReader(text))
		})
		if flags, err := fdinfo.Flags(text); flags < 0 || err != nil && flags != 0 {
			t.Errorf("flags %o, %v", flags, err)
		}
		if len(ws) > strings.Count(string(text), "inotify ") {
			t.Errorf("%d watches from %d lines", len(ws), strings.Count(string(text), "inotify "))
		}
		for _, w := range ws {
			if w.WD < 1 || len(w.Handle.Bytes) > 128 || w.Handle.Type < 0 || w.Device.Minor >= 1<<20 || w.Device.Major >= 1<<12 {
				t.Errorf("out of range: %+v", w)
			}
		}
	})
}

func BenchmarkWatches(b *testing.B) {
	text := strings.Repeat(line+"\n", 1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if ws, err := collect(strings.NewReader(text)); err != nil || len(ws) != 1000 {
			b.Fatal(len(ws), err)
		}
	}
}

func TestFlags(t *testing.T) {
	const rest = "\nmnt_id:\t16\nino:\t1057\n"
	for text, want := range map[string]int{
		"pos:\t0\nflags:\t02004000" + rest: 0o2004000,
		"pos:\t0\nflags:\t00" + rest:       0,
	} {
		if got, err := fdinfo.Flags([]byte(text)); got != want || err != nil {
			t.Errorf("%q: flags %o, %v, want %o", text, got, err, want)
		}
	}
	for _, text := range []string{"", "pos:\t0\n", "flags:\t9\n", "flags:\n", "flags:\t77777777777777\n", line} {
		if got, err := fdinfo.Flags([]byte(text)); err == nil {
			t.Errorf("%q: flags %o, want an error", text, got)
		}
	}
}

// Each watch has its own handle, however many are read.
func TestManyHandles(t *testing.T) {
	var text strings.Builder
	for i := range 3000 {
		length := i % 129
		fmt.Fprintf(&text, "inotify wd:%x ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:%x fhandle-type:1 f_handle:%s\n",
			i+1, length, strings.Repeat(fmt.Sprintf("%02x", i%256), length))
	}
	ws, err := collect(strings.NewReader(text.String()))
	if err != nil || len(ws) != 3000 {
		t.Fatal(len(ws), err)
	}
	for i, w := range ws {
		if want := strings.Repeat(string([]byte{byte(i % 256)}), i%129); w.Handle.Bytes != want {
			t.Fatalf("watch %d has the handle %x, want %x", w.WD, w.Handle, want)
		}
	}
}
