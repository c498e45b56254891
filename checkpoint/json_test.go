// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// full has every field, with what is hard to carry.
func full() *checkpoint.Snapshot {
	return &checkpoint.Snapshot{
		BootID: "0b24b1a0-ad0a-4e74-8e42-4cbc9ab1d6a5",
		FD:     5,
		Flags:  checkpoint.NonBlock | checkpoint.Async,
		NextWD: 8,
		Owner:  checkpoint.Owner{Kind: checkpoint.ProcessOwner, ID: 4711, Self: true},
		Signal: 10,
		Watches: []checkpoint.Watch{
			{Watch: inotify.Watch{
				WD: 1, Mask: inotify.Create | inotify.Delete, Path: "/a dir/<&>\n\u2028é", Device: inotify.Device{Major: 254, Minor: 3},
				Inode: 1<<64 - 1, Handle: inotify.Handle{Type: 0x81, Bytes: "\x00\xff\x10"},
			}, Type: checkpoint.Directory},
			{Watch: inotify.Watch{WD: 7, Mask: 0, Path: "/not UTF-8: \xff\xfe", Inode: 12}, Type: checkpoint.CharDevice},
			{Watch: inotify.Watch{WD: 0x7fffffff, Mask: inotify.AllEvents | inotify.ExclUnlink | inotify.OneShot | 0x08000000 | inotify.Unmount}},
		},
		Pending: []inotify.Event{
			{WD: 3, Mask: inotify.MovedTo | inotify.IsDir, Cookie: 0xffffffff, Name: "\xc3\x28"},
			{WD: inotify.NoWD, Mask: inotify.QOverflow},
			{WD: 3, Mask: inotify.Ignored},
		},
		PendingBytes: 64,
		NotLearned:   []checkpoint.Gap{{What: "path", WD: 0x7fffffff, Why: "it is unlinked"}, {What: "next_wd", Why: "not asked for"}},
		Effects:      []string{"something was seen"},
	}
}

func encode(t testing.TB, s *checkpoint.Snapshot) string {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes written and %d told, %v", b.Len(), n, err)
	}
	return b.String()
}

func TestRoundTrip(t *testing.T) {
	for name, s := range map[string]*checkpoint.Snapshot{"full": full(), "empty": {}} {
		text := encode(t, s)
		read, err := checkpoint.Read(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if !reflect.DeepEqual(read, s) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, read, s)
		}
		short, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again := new(checkpoint.Snapshot)
		if err := json.Unmarshal(short, again); err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, again, s)
		}
	}
}

// The form is documented: it does not change by accident, and people can read it.
func TestForm(t *testing.T) {
	golden := filepath.Join("testdata", "version1.json")
	got := encode(t, full())
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the form is\n%s\nwant that of %s", got, golden)
	}
}

// The same state gives the same bytes, in whatever order the watches stand.
func TestSameBytes(t *testing.T) {
	s := full()
	slices.Reverse(s.Watches)
	if got, want := encode(t, s), encode(t, full()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	needLists(t)
	n := newInotify(t)
	for i, path := range files(t, 20) {
		restoreWatch(t, n, inotify.WD(3+2*i), path, inotify.Attrib)
	}
	first := encode(t, take(t, n))
	for range 5 {
		if again := encode(t, take(t, n)); again != first {
			t.Fatalf("got\n%s\nand then\n%s", first, again)
		}
	}
}

// replaced is the full snapshot's text with a member's value replaced.
func replaced(t testing.TB, old, by string) string {
	t.Helper()
	text := encode(t, full())
	if strings.Count(text, old) < 1 {
		t.Fatalf("the text has no %s:\n%s", old, text)
	}
	return strings.Replace(text, old, by, 1)
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ old, by, want string }{
		{`"version": 1`, `"version": 2`, "version 2"},
		{`"version": 1`, `"version": 2, "new": [1]`, "version 2"},
		{`"version": 1`, `"version": "1"`, "version"},
		{`"version": 1,`, ``, "no version"},
		{`"version": 1`, `"version": 1, "more": 0`, "more"},
		{`"fd": 5`, `"fd": -1`, "fd"},
		{`"fd": 5`, `"fd": 99999999999999999999`, "fd"},
		{`"boot_id": "`, `"boot_id": "` + strings.Repeat("x", 64), "boot_id"},
		{`O_ASYNC`, `O_APPEND`, "O_APPEND"},
		{`"next_wd": 8`, `"next_wd": 7`, "next_wd"},
		{`"next_wd": 8`, `"next_wd": -8`, "next_wd"},
		{`"next_wd": 8`, `"next_wd": 2147483648`, "next_wd"},
		{`"kind": "process"`, `"kind": "everybody"`, "everybody"},
		{`"kind": "process"`, `"kind": ""`, "owner"},
		{`"id": 4711`, `"id": -1`, "-1"},
		{`"signal": 10`, `"signal": 65`, "signal"},
		{`"signal": 10`, `"signal": -9`, "signal"},
		{`"wd": 7`, `"wd": 1`, "two watches"},
		{`"wd": 7`, `"wd": 0`, "positive"},
		{`"wd": 7`, `"wd": -7`, "positive"},
		{`"wd": 7`, `"wd": 7.5`, "wd"},
		{`IN_CREATE`, `IN_CREATION`, "IN_CREATION"},
		{`IN_CREATE`, `IN_MASK_ADD`, "IN_MASK_ADD"},
		{`IN_CREATE`, `0x1000`, "0x1000"},
		{`IN_CREATE`, `IN_ONLYDIR`, "IN_ONLYDIR"},
		{`"path": "/a`, `"path": "a`, "slash"},
		{`"path": "/a`, `"path": "/a\u0000`, "zero byte"},
		{`"path": "/a`, `"path_bytes": "L2E=", "path": "/a`, "both"},
		{`"type": "directory"`, `"type": "folder"`, "folder"},
		{`"device": "254:3"`, `"device": "254"`, "device"},
		{`"device": "254:3"`, `"device": "4096:0"`, "device"},
		{`"inode": 18446744073709551615`, `"inode": 18446744073709551616`, "inode"},
		{`"handle": "81:`, `"handle": "`, "handle"},
		{`"handle": "81:`, `"handle": "81:0`, "handle"},
		{`"handle": "81:`, `"handle": "81:` + strings.Repeat("00", 128), "handle"},
		{`"wd": 3`, `"wd": 0`, "pending event 0"},
		{`"wd": 3`, `"wd": -1`, "pending event 0"},
		{`"mask": "IN_Q_OVERFLOW"`, `"mask": "IN_OPEN"`, "pending event 1"},
		{`"name_bytes": "`, `"name": "..", "x": "`, "unknown"},
		{`"name_bytes": "wyg="`, `"name": ".."`, "pending event 0"},
		{`"name_bytes": "wyg="`, `"name": "a/b"`, "pending event 0"},
		{`"name_bytes": "wyg="`, `"name": "a\u0000b"`, "pending event 0"},
		{`"name_bytes": "wyg="`, `"name": "` + strings.Repeat("n", 256) + `"`, "pending event 0"},
		{`"pending_bytes": 64`, `"pending_bytes": -1`, "pending_bytes"},
		{"{", "", ""},
		{"{", "[", ""},
		{"{", "{}{", ""},
	} {
		_, err := checkpoint.Read(strings.NewReader(replaced(t, c.old, c.by)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s instead of %s: error %v, want one with %q", c.by, c.old, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "%!") {
			t.Errorf("error %q", err)
		}
	}
	if _, err := checkpoint.Read(strings.NewReader(encode(t, full()) + "{}")); err == nil {
		t.Error("what follows the snapshot was taken")
	}
	if _, err := checkpoint.Read(strings.NewReader("")); err == nil {
		t.Error("nothing was taken for a snapshot")
	}
	if _, err := checkpoint.Read(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want the reader's", err)
	}
}

// Its size is bounded.
func TestReadIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("this takes much memory")
	}
	read := 0
	_, err := checkpoint.Read(readerFunc(func(p []byte) (int, error) {
		for i := range p {
			p[i] = ' '
		}
		read += len(p)
		return len(p), nil
	}))
	if err == nil || read > checkpoint.MaxSize+1<<20 {
		t.Errorf("read %d bytes without an end: %v", read, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// What cannot be read again is not written.
func TestWriteRefuses(t *testing.T) {
	s := full()
	s.Watches[0].Path = "relative"
	if _, err := s.WriteTo(io.Discard); err == nil {
		t.Error("WriteTo: no error")
	}
	if _, err := json.Marshal(s); err == nil {
		t.Error("Marshal: no error")
	}
	if _, err := full().WriteTo(writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe })); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want the writer's", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func FuzzRead(f *testing.F) {
	f.Add([]byte(encode(f, full())))
	f.Add([]byte(`{"version":1,"fd":0,"flags":"0","watches":[]}`))
	f.Add([]byte(`{"version":1,"watches":[{"wd":1,"mask":"0","path_bytes":"L/8="}],"next_wd":2}`))
	f.Add([]byte(`{"version":3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := checkpoint.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		// What is taken is valid, and is the same after another round.
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		again, err := checkpoint.Read(strings.NewReader(encode(t, s)))
		if err != nil {
			t.Fatal(err)
		}
		if first, second := encode(t, s), encode(t, again); first != second {
			t.Errorf("first\n%s\nand then\n%s", first, second)
		}
	})
}

func TestFlagsText(t *testing.T) {
	for flags, want := range map[checkpoint.Flags]string{
		0: "0", checkpoint.CloseOnExec | checkpoint.NonBlock: "O_NONBLOCK|FD_CLOEXEC", checkpoint.Async: "O_ASYNC", 8: "8", 9: "O_NONBLOCK|8",
	} {
		if got := flags.String(); got != want {
			t.Errorf("%d: %q, want %q", flags, got, want)
		}
	}
	f := checkpoint.Async
	if err := f.UnmarshalText([]byte("O_NONBLOCK|what")); err == nil || f != checkpoint.Async {
		t.Errorf("flags %v, %v: changed by an error", f, err)
	}
}

func TestCompare(t *testing.T) {
	a, b := full(), full()
	if diffs := a.Compare(b); len(diffs) != 0 {
		t.Errorf("differences of equal ones: %v", diffs)
	}
	b.Watches[0].Mask = inotify.Create
	b.Watches[1].Inode++
	b.Watches[2].WD--
	b.NextWD, b.Flags, b.Owner, b.Signal = 9, 0, checkpoint.Owner{}, 0
	b.Watches[0].Path, b.Pending, b.FD = "/other", nil, 3 // not compared
	want := []string{
		"mask of watch 1: expected IN_CREATE|IN_DELETE, found IN_CREATE",
		`inode of watch 7: expected "/not UTF-8: \xff\xfe", inode 12 on device 0:0, handle none, found "/not UTF-8: \xff\xfe", inode 13 on device 0:0, handle none`,
		"watch 2147483646: expected none, found inode 0 on device 0:0, handle none",
		"watch 2147483647: expected inode 0 on device 0:0, handle none, found none",
		"flags: expected O_NONBLOCK|O_ASYNC, found 0",
		"owner: expected itself, found none",
		"signal: expected 10, found 0",
	}
	check := func() {
		t.Helper()
		var got []string
		for _, d := range a.Compare(b) {
			got = append(got, d.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("differences\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	check() // next_wd was not learned
	a.NotLearned, b.NotLearned = nil, nil
	want = slices.Insert(want, 4, "next_wd: expected 8, found 9")
	check()
	for _, one := range []*checkpoint.Snapshot{a, b} { // one of the two is enough
		one.NotLearned = []checkpoint.Gap{{What: "next_wd", Why: "for the test"}}
		all := want
		want = slices.Delete(slices.Clone(want), 4, 5)
		check()
		want, one.NotLearned = all, nil
	}
	b.BootID = "another"
	want = slices.Delete(want, 1, 2)
	check()
}
