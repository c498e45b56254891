// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// full returns a snapshot with every field set, to values that are hard to encode.
func full() *checkpoint.Snapshot {
	return &checkpoint.Snapshot{
		BootID: "0b24b1a0-ad0a-4e74-8e42-4cbc9ab1d6a5",
		FD:     5,
		Flags:  checkpoint.NonBlock | checkpoint.Async,
		NextWD: 8,
		Owner:  checkpoint.Owner{Kind: checkpoint.OwnerProcess, ID: 4711, Self: true},
		Signal: 10,
		Watches: []checkpoint.Watch{
			{Watch: inotify.Watch{
				WD: 1, Mask: inotify.Create | inotify.Delete, Path: "/a dir/<&>\n\u2028é", Device: inotify.Device{Major: 254, Minor: 3},
				Inode: 1<<64 - 1, Handle: inotify.Handle{Type: 0x81, Bytes: "\x00\xff\x10"},
			}, Type: checkpoint.TypeDirectory},
			{Watch: inotify.Watch{WD: 7, Mask: 0, Path: "/not UTF-8: \xff\xfe", Inode: 12}, Type: checkpoint.TypeCharDevice},
			{Watch: inotify.Watch{WD: 0x7fffffff, Mask: inotify.AllEvents | inotify.ExclUnlink | inotify.OneShot | 0x08000000 | inotify.Unmount}},
		},
		Pending: []inotify.Event{
			{WD: 3, Mask: inotify.MovedTo | inotify.IsDir, Cookie: 0xffffffff, Name: "\xc3\x28"},
			{WD: inotify.NoWD, Mask: inotify.QOverflow},
			{WD: 3, Mask: inotify.Ignored},
		},
		PendingBytes: 64,
		Unknown:      []checkpoint.Gap{{Field: "path", WD: 0x7fffffff, Reason: "it is unlinked"}, {Field: "next_wd", Reason: "not requested"}},
		SideEffects:  []checkpoint.SideEffect{{Kind: checkpoint.SideEffectDrained}, {Kind: checkpoint.SideEffectTreeRead, Detail: "/\xff"}},
	}
}

func encode(t testing.TB, s *checkpoint.Snapshot) string {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes written and %d reported, %v", b.Len(), n, err)
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

// The format is documented and must not change by accident.
func TestFormatIsStable(t *testing.T) {
	golden := filepath.Join("testdata", "version2.json")
	got := encode(t, full())
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the snapshot is written as\n%s\nwant that of %s", got, golden)
	}
}

// The same state gives the same bytes, in whatever order the watches are.
func TestEncodingIsDeterministic(t *testing.T) {
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
	first := encode(t, dump(t, n))
	for range 5 {
		if again := encode(t, dump(t, n)); again != first {
			t.Fatalf("got\n%s\nand then\n%s", first, again)
		}
	}
}

// Read accepts members and watches in any order.
func TestReadAnyOrder(t *testing.T) {
	text := `{"watches":[{"mask":"IN_OPEN","wd":9},{"wd":2,"mask":"0"},{"wd":5,"mask":"0"}],"flags":"0","fd":3,"version":2}`
	s, err := checkpoint.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &checkpoint.Snapshot{FD: 3, Watches: []checkpoint.Watch{
		{Watch: inotify.Watch{WD: 2}}, {Watch: inotify.Watch{WD: 5}}, {Watch: inotify.Watch{WD: 9, Mask: inotify.Open}},
	}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

// replaced returns the text of the full snapshot with old replaced by by.
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
		{`"version": 2`, `"version": 1`, "version 1"},
		{`"version": 2`, `"version": 1, "new": [1]`, "version 1"},
		{`"version": 2`, `"version": "1"`, "version"},
		{`"version": 2,`, ``, "missing version"},
		{`"version": 2`, `"version": 2, "more": 0`, "more"},
		{`"fd": 5`, `"fd": -1`, "fd"},
		{`"fd": 5`, `"fd": 99999999999999999999`, "fd"},
		{`"fd": 5`, `"fd": 2147483648`, "fd"},
		{`"boot_id": "`, `"boot_id": "` + strings.Repeat("x", 64), "boot_id"},
		{`O_ASYNC`, `O_APPEND`, "O_APPEND"},
		{`"next_wd": 8`, `"next_wd": 7`, "next_wd"},
		{`"next_wd": 8`, `"next_wd": -8`, "next_wd"},
		{`"next_wd": 8`, `"next_wd": 2147483648`, "next_wd"},
		{`"kind": "process"`, `"kind": "everybody"`, "everybody"},
		{`"kind": "process"`, `"kind": ""`, "owner"},
		{`"id": 4711`, `"id": -1`, "-1"},
		{`"id": 4711`, `"id": 4294967297`, "id"},
		{`"signal": 10`, `"signal": 129`, "signal"},
		{`"signal": 10`, `"signal": -9`, "signal"},
		{`"wd": 7`, `"wd": 1`, "two watches"},
		{`"wd": 7`, `"wd": 0`, "positive"},
		{`"wd": 7`, `"wd": -7`, "positive"},
		{`"wd": 7`, `"wd": 7.5`, "wd"},
		{`IN_CREATE`, `IN_CREATION`, "IN_CREATION"},
		{`IN_CREATE`, `IN_MASK_ADD`, "IN_MASK_ADD"},
		{`IN_CREATE`, `0x1000`, "0x1000"},
		{`IN_CREATE`, `IN_ONLYDIR`, "IN_ONLYDIR"},
		{`"path": "/a`, `"path": "a`, "not absolute"},
		{`"path": "/a`, `"path": "/a\u0000`, "NUL byte"},
		{`"path": "/a`, `"path_bytes": "L2E=", "path": "/a`, "both"},
		{`"type": "directory"`, `"type": "folder"`, "folder"},
		{`"device": "254:3"`, `"device": "254"`, "device"},
		{`"device": "254:3"`, `"device": "4096:0"`, "device"},
		{`"inode": 18446744073709551615`, `"inode": 18446744073709551616`, "inode"},
		{`"handle": "81:`, `"handle": "`, "handle"},
		{`"handle": "81:`, `"handle": "81:0`, "handle"},
		{`"handle": "81:`, `"handle": "81:` + strings.Repeat("00", 128), "handle"},
		{`"wd": 3`, `"wd": 0`, "pending: element 0"},
		{`"wd": 3`, `"wd": -1`, "pending: element 0"},
		{`"mask": "IN_Q_OVERFLOW"`, `"mask": "IN_OPEN"`, "pending: element 1"},
		{`"mask": "IN_Q_OVERFLOW"`, `"mask": "IN_Q_OVERFLOW", "name": "x"`, "pending: element 1"},
		{`"name_bytes": "`, `"name": "..", "x": "`, "unknown"},
		{`"name_bytes": "wyg="`, `"name": ".."`, "pending: element 0"},
		{`"name_bytes": "wyg="`, `"name": "a/b"`, "pending: element 0"},
		{`"name_bytes": "wyg="`, `"name": "a\u0000b"`, "pending: element 0"},
		{`"name_bytes": "wyg="`, `"name": "` + strings.Repeat("n", 4097) + `"`, "pending: element 0"},
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
		t.Error("text after the snapshot was accepted")
	}
	if _, err := checkpoint.Read(strings.NewReader("")); err == nil {
		t.Error("an empty text was accepted")
	}
	if _, err := checkpoint.Read(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want the reader's", err)
	}
}

// A required member that is missing is an error, not zero.
func TestReadRefusesMissing(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{}`, "missing version"},
		{`{"version":2,"flags":"0","watches":[]}`, "missing fd"},
		{`{"version":2,"fd":3,"watches":[]}`, "missing flags"},
		{`{"version":2,"fd":3,"flags":"0"}`, "missing watches"},
		{minimal(`"watches":[{"mask":"0"}]`), "watches: element 0: missing wd"},
		{minimal(`"watches":[{"wd":1,"mask":"0"},{"wd":2}]`), "watches: element 1: missing mask"},
		{minimal(`"watches":[],"pending":[{"mask":"IN_OPEN"}]`), "pending: element 0: missing wd"},
		{minimal(`"watches":[],"pending":[{"wd":1}]`), "pending: element 0: missing mask"},
		{minimal(`"watches":[],"owner":{"id":1}`), "owner: missing kind"},
		{minimal(`"watches":[],"owner":{"kind":"process"}`), "owner: missing id"},
		{minimal(`"watches":[],"unknown":[{"reason":""}]`), "unknown: element 0: missing field"},
		{minimal(`"watches":[],"unknown":[{"field":"path"}]`), "unknown: element 0: missing reason"},
		{minimal(`"watches":[],"unknown":[{"field":"","reason":""}]`), "unknown: element 0: field: unknown field \"\""},
		{minimal(`"watches":[],"side_effects":[{"detail":"/"}]`), "side_effects: element 0: missing kind"},
		{minimal(`"watches":[],"side_effects":[{"kind":"moved"}]`), "side_effects: element 0: kind: unknown kind \"moved\""},
	} {
		refused(t, c.text, c.want)
	}
}

// minimal returns the text of a snapshot with the required members and these.
func minimal(members string) string { return `{"version":2,"fd":3,"flags":"0",` + members + `}` }

func refused(t *testing.T, text, want string) {
	t.Helper()
	if _, err := checkpoint.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%.200s: error %v, want one with %q", text, err, want)
	}
	if err := new(checkpoint.Snapshot).UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%.200s: UnmarshalJSON: error %v, want one with %q", text, err, want)
	}
}

// A member of any object that is null, given twice, or has a name in another case is refused;
// the error names it.
func TestReadRefusesMalformedMembers(t *testing.T) {
	text := encode(t, full())
	members := regexp.MustCompile(`(?m)^( *)"([a-z_]+)": (.*)$`).FindAllStringSubmatchIndex(text, -1)
	if len(members) < 35 {
		t.Fatalf("%d members in\n%s", len(members), text)
	}
	for _, m := range members {
		start, name, value, end := m[3], text[m[4]:m[5]], text[m[6]:m[7]], m[1]
		refused(t, text[:start]+strings.ToUpper(text[start:m[6]])+text[m[6]:], strconv.Quote(strings.ToUpper(name)))
		if value == "{" || value == "[" {
			refused(t, text[:m[6]]+`null, "x": `+text[m[6]:], name+": value is null")
			refused(t, text[:start]+`"`+name+`": `+value+map[string]string{"{": `"kind": "process", "id": 1}`, "[": "]"}[value]+`, `+text[start:], `"`+name+`" is given twice`)
			continue
		}
		value = strings.TrimSuffix(value, ",")
		rest := text[m[6]+len(value):]
		refused(t, text[:m[6]]+"null"+rest, name+": value is null")
		refused(t, text[:end]+strings.Repeat(",", 1-strings.Count(text[end-1:end], ","))+`"`+name+`": `+value+
			map[bool]string{true: ",", false: ""}[text[end-1] == ',']+text[end:], `"`+name+`" is given twice`)
	}
	for _, c := range []struct{ text, want string }{
		{minimal(`"watches":[null]`), "watches: element 0: value is null"},
		{minimal(`"watches":[],"pending":[null]`), "pending: element 0: value is null"},
		{minimal(`"watches":[],"unknown":[null]`), "unknown: element 0: value is null"},
		{minimal(`"watches":[],"side_effects":[{"kind":"drained"},null]`), "side_effects: element 1: value is null"},
		{minimal(`"watches":{}`), "watches: not an array"},
		{minimal(`"watches":[],"owner":[]`), "owner: not an object"},
		{minimal(`"watches":[[]]`), "watches: element 0: not an object"},
		{minimal(`"watches":[],"boot_id":1`), "boot_id: not a string"},
		{minimal(`"watches":[],"owner":{"kind":"process","id":1,"self":1}`), "owner: self: not true or false"},
		{minimal(`"watches":[{"wd":1,"mask":"0","path_bytes":"L/8"}]`), "path_bytes: not base64"},
		{minimal(`"watches":[{"wd":1,"mask":"0","path_bytes":"L/9="}]`), "path_bytes: not base64"}, // not the canonical base64
		{minimal(`"watches":[{"wd":1,"mask":"0","path":"/","path_bytes":"L/8="}]`), "path_bytes: given both"},
		{`null`, "value is null"}, {`7`, "not an object"}, {`["version", 2]`, "not an object"},
	} {
		refused(t, c.text, c.want)
	}
}

// Text that encoding/json would change silently is refused, and other text is not.
func TestReadUnicode(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/a\xff", "path: not UTF-8"},
		{"/a\xed\xa0\x80", "path: not UTF-8"},
		{`/\ud800`, "path: half of a surrogate pair"},
		{`/\uD800\n`, "path: half of a surrogate pair"},
		{`/\udc00\ud800`, "path: half of a surrogate pair"},
		{`/\ud83d\ude00\ude00`, "path: half of a surrogate pair"},
		{`/\ud83d\\ude00`, "path: half of a surrogate pair"},
		{`/\ud83`, "invalid character"},
	} {
		refused(t, minimal(`"watches":[{"wd":1,"mask":"0","path":"`+c.path+`"}]`), c.want)
	}
	refused(t, minimal("\"w\xffatches\":[]"), "unknown")
	refused(t, minimal("\"watches\":[],\"side_effects\":[{\"kind\":\"\xc3\x28\"}]"), "side_effects: element 0: kind: not UTF-8")
	for path, want := range map[string]string{
		`/\ud83d\ude00`: "/😀", `/\ud83d\uDE00\ud83d\ude00x`: "/😀😀x", `/\\ud800`: `/\ud800`, `/\ufffd\"`: "/\ufffd\"", "/\ufffd": "/\ufffd",
	} {
		s, err := checkpoint.Read(strings.NewReader(minimal(`"watches":[{"wd":1,"mask":"0","path":"` + path + `"}]`)))
		if err != nil || s.Watches[0].Path != want {
			t.Errorf("%s: %v, %+v", path, err, s)
		}
	}
}

// An unknown version is reported wherever it is in the text, and whatever comes before it.
func TestReadReportsVersion(t *testing.T) {
	for _, text := range []string{
		`{"version":1`, // nothing after it matters
		`{"fd":[{"version":2},"version"],"version":1}`,
		`{"new":{"version":2,"watches":[1e999]},"version":1}`,
		`{"watches":[{"wd":1,"mask":"0"},{"wd":2,"more":[{}]}],"version":1}`,
		`{"fd":3,"fd":"version","version":1}`,
		`{"fd":"version","version":1}`,
		`{"new":"version","version":1}`,
		`{"watches":7,"version":1}`,
		`{"owner":[{}],"version":1}`,
		`{"new":null,"version":1.0}`,
	} {
		refused(t, text, "version 1")
	}
	refused(t, `{"new":1,"version":2}`, `unknown member "new"`)
	refused(t, `{"version":"2"}`, "version: not a number")
	refused(t, `{"new":1,"version":"2"}`, `unknown member "new"`)
	refused(t, `{"new":"version","version":2}`, `unknown member "new"`)
	refused(t, `{"version":2,"new":1,"version":1}`, `unknown member "new"`)
}

// A hostile text needs no more memory than a small multiple of its size.
func TestReadMemoryIsBounded(t *testing.T) {
	const size = 4 << 20
	fill := func(begin, element string, end ...string) string {
		return begin + strings.Repeat(element, size/len(element)) + strings.Join(end, "")
	}
	manyWatches := func() string {
		var b strings.Builder
		for i := size / 25; i > 0; i-- {
			fmt.Fprintf(&b, `{"wd":%d,"mask":"0"},`, i)
		}
		return b.String() + `{"wd":1,"mask":"0"}`
	}
	for name, c := range map[string]struct {
		text string
		most int // times the size
	}{
		"empty watches":   {minimal(fill(`"watches":[`, `{},`, `{}]`)), 1},
		"unknown version": {fill(`{"version":1,"watches":[`, `{},`, `{}]}`), 1},
		"null watches":    {minimal(fill(`"watches":[`, `null,`, `null]`)), 1},
		"deep watches":    {minimal(fill(`"watches":`, `[`)), 1},
		"deep member":     {minimal(fill(`"watches":[{"wd":`, `[`)), 1},
		"empty events":    {minimal(fill(`"watches":[],"pending":[`, `{},`, `{}]`)), 1},
		"deep unknown":    {fill(`{"new":`, `{"a":`), 1},
		"late version":    {fill(`{"watches":[`, `{},`, `{}],"version":1}`), 20},
		"long name":       {fill(`{"`, `a`, `":1}`), 20},
		"long number":     {fill(`{"version":`, `1`, `}`), 20},
		"long path":       {minimal(fill(`"watches":[{"wd":1,"mask":"0","path":"`, `\n`, `"}]`)), 20},
		"long mask":       {minimal(fill(`"watches":[{"wd":1,"mask":"`, `0|`, `"}]`)), 20},
		"white space":     {fill(`{`, ` `, `}`), 20},
		"side_effects":    {minimal(fill(`"watches":[],"side_effects":[`, `{"kind":"drained"},`, `7]`)), 80},
		"watches":         {minimal(`"watches":[` + manyWatches() + `]`), 80},
		"trailing text":   {fill(minimal(`"watches":[]`), `{}`), 1},
	} {
		t.Run(name, func(t *testing.T) {
			kerneltest.WantLittleMemory(t, len(c.text), c.most, func() {
				if _, err := checkpoint.Read(strings.NewReader(c.text)); err == nil {
					t.Error("no error")
				}
			})
		})
	}
}

// Read works with readers that return little at a time.
func TestReadInSmallPieces(t *testing.T) {
	for name, text := range map[string]string{"full": encode(t, full()), "white space": strings.Repeat(" ", 1<<20) + minimal(`"watches":[]`)} {
		for _, r := range []io.Reader{iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
			if _, err := checkpoint.Read(r); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	broken := io.MultiReader(strings.NewReader(minimal(`"watches":[]`)), iotest.ErrReader(io.ErrClosedPipe))
	if _, err := checkpoint.Read(broken); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want the reader's", err)
	}
}

// Read stops after MaxSize bytes.
func TestReadSizeIsBounded(t *testing.T) {
	kerneltest.Long(t, "this reads MaxSize bytes")
	text := strings.Repeat(" ", 1<<20) + `"",`
	read := 0
	_, err := checkpoint.Read(io.MultiReader(strings.NewReader(`{"new":[`), readerFunc(func(p []byte) (int, error) {
		n := copy(p, text[read%len(text):])
		read += n
		return n, nil
	})))
	if err == nil || !strings.Contains(err.Error(), "longer than") || read > checkpoint.MaxSize+1<<20 {
		t.Errorf("read %d bytes without an end: %v", read, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A snapshot that Read would refuse is not written.
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

// Values at the bounds of what kernels report are written, and values above are not.
func TestValidateBounds(t *testing.T) {
	named := func(length int) checkpoint.Snapshot {
		return checkpoint.Snapshot{Watches: []checkpoint.Watch{{Watch: inotify.Watch{WD: 1, Mask: inotify.Create}}},
			Pending: []inotify.Event{{WD: 1, Mask: inotify.Create, Name: strings.Repeat("n", length)}}}
	}
	owned := func(id int) checkpoint.Snapshot {
		return checkpoint.Snapshot{Owner: checkpoint.Owner{Kind: checkpoint.OwnerProcess, ID: id}}
	}
	above := math.MaxInt32
	above++ // negative where int has 32 bits
	for name, c := range map[string]struct {
		s  checkpoint.Snapshot
		ok bool
	}{
		"a long name of FUSE":   {named(1024), true},
		"the longest name":      {named(4096), true},
		"a longer name":         {named(4097), false},
		"MIPS's last signal":    {checkpoint.Snapshot{Signal: 128}, true},
		"no signal":             {checkpoint.Snapshot{Signal: 129}, false},
		"the highest fd":        {checkpoint.Snapshot{FD: math.MaxInt32}, true},
		"an fd above":           {checkpoint.Snapshot{FD: above}, false},
		"the highest owner":     {owned(math.MaxInt32), true},
		"an owner above":        {owned(above), false},
		"a boot_id not in UTF8": {checkpoint.Snapshot{BootID: "\xff"}, false},
	} {
		if err := c.s.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: Validate: %v", name, err)
		}
		var b bytes.Buffer
		if _, err := c.s.WriteTo(&b); (err == nil) != c.ok {
			t.Errorf("%s: WriteTo: %v", name, err)
		}
		if !c.ok {
			continue
		}
		if read, err := checkpoint.Read(&b); err != nil || !reflect.DeepEqual(*read, c.s) {
			t.Errorf("%s: Read: %v, %.100v", name, err, read)
		}
	}
}

// A pending event must be of a watch that the snapshot has, or that was destroyed according to
// another pending event or a gap.
func TestValidatePending(t *testing.T) {
	create := func(wd inotify.WD) inotify.Event { return inotify.Event{WD: wd, Mask: inotify.Create, Name: "a"} }
	ignored := inotify.Event{WD: 7, Mask: inotify.Ignored}
	listed := []checkpoint.Gap{{Field: "pending", WD: 7, Reason: "the watch was destroyed"}}
	for name, c := range map[string]struct {
		pending []inotify.Event
		gaps    []checkpoint.Gap
		refused string
	}{
		"of a watch":                        {pending: []inotify.Event{create(1), create(5)}},
		"of no watch":                       {pending: []inotify.Event{create(1), create(7)}, refused: "wd 7"},
		"of a destroyed watch":              {pending: []inotify.Event{create(7), ignored}},
		"queued after IN_IGNORED":           {pending: []inotify.Event{ignored, create(7)}},
		"IN_IGNORED alone":                  {pending: []inotify.Event{ignored}},
		"another's IN_IGNORED":              {pending: []inotify.Event{ignored, create(8)}, refused: "wd 8"},
		"of an earlier watch of the wd":     {pending: []inotify.Event{create(1), {WD: 1, Mask: inotify.Ignored}, create(1)}},
		"IN_IGNORED lost after an overflow": {pending: []inotify.Event{create(7), overflow}},
		"an overflow that was queued":       {pending: []inotify.Event{overflow, create(7)}},
		"listed":                            {pending: []inotify.Event{create(7)}, gaps: listed},
		"another listed":                    {pending: []inotify.Event{create(7), create(8)}, gaps: listed, refused: "wd 8"},
		"all listed": {pending: []inotify.Event{create(7), create(8)}, gaps: []checkpoint.Gap{{Field: "pending", Reason: "not requested"}},
			refused: "wd 7"},
	} {
		s := checkpoint.Snapshot{Pending: c.pending, Unknown: c.gaps, Watches: []checkpoint.Watch{
			{Watch: inotify.Watch{WD: 5, Mask: inotify.Create}}, {Watch: inotify.Watch{WD: 1, Mask: inotify.Create}}}}
		err := s.Validate()
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v, want %q", name, err, c.refused)
		}
	}
	text := `{"version": 2, "fd": 3, "flags": "0", "pending": [{"wd": 7, "mask": "IN_CREATE", "name": "a"}], "watches": []}`
	if _, err := checkpoint.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "wd 7") {
		t.Errorf("Read: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// kernelsSnapshots returns snapshots that were dumped on several kernels, of watches on
// several filesystems.
func kernelsSnapshots(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/linux-*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no snapshots: %q, %v", names, err)
	}
	texts := make(map[string][]byte)
	for _, name := range names {
		if texts[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

func TestReadSnapshotsOfKernels(t *testing.T) {
	for name, text := range kernelsSnapshots(t) {
		s, err := checkpoint.Read(bytes.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := encode(t, s); got != string(text) {
			t.Errorf("%s: written back as\n%s", name, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range kernelsSnapshots(f) {
		f.Add(text)
	}
	f.Add([]byte(encode(f, full())))
	f.Add([]byte(`{"version":2,"fd":0,"flags":"0","watches":[]}`))
	f.Add([]byte(`{"version":2,"watches":[{"wd":1,"mask":"0","path_bytes":"L/8="}],"next_wd":2}`))
	f.Add([]byte(`{"version":3}`))
	for _, seed := range []string{
		minimal(`"watches":[{"wd":2,"mask":"0","path":"/\ud83d\ude00\u2028"},{"mask":"IN_OPEN","wd":1}]`),
		minimal(`"watches":[{"wd":1,"mask":"0","path":"/\ud800"}]`),
		minimal(`"watches":[{"wd":1,"mask":"0","path":"/\\ud800"}]`),
		minimal("\"watches\":[{\"wd\":1,\"mask\":\"0\",\"path\":\"/\xff\"}]"),
		minimal(`"watches":[{"WD":1,"mask":"0","mask":null}]`),
		minimal(`"watches":[],"watches":[]`),
		minimal(`"watches":[],"owner":{"kind":"process","id":4294967297},"signal":128`),
		minimal(`"watches":[],"pending":[{"wd":-1,"mask":"IN_Q_OVERFLOW"}],"unknown":[{"field":"type","reason":"\ufffd"}],"side_effects":[{"kind":"tree_read","detail_bytes":"/w=="}]`),
		`{"new":[{"version":2},"version",1e999],"version":1}`,
		`{"watches":[[[[[[[[{}]]]]]]]],"version":2}`,
		`{"fd":2147483648`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s *checkpoint.Snapshot
		var err error
		kerneltest.WantLittleMemory(t, len(text), 80, func() { s, err = checkpoint.Read(bytes.NewReader(text)) })
		if err != nil {
			return
		}
		// What is read is valid, and a second round trip does not change it.
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
		t.Errorf("flags %v, error %v; want an error and unchanged flags", f, err)
	}
}

func TestCompare(t *testing.T) {
	a, b := full(), full()
	if diffs := a.Compare(b); len(diffs) != 0 {
		t.Errorf("differences of equal snapshots: %v", diffs)
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
	check() // next_wd was not determined
	a.Unknown, b.Unknown = nil, nil
	want = slices.Insert(want, 4, "next_wd: expected 8, found 9")
	check()
	for _, one := range []*checkpoint.Snapshot{a, b} { // unknown in one of the two is enough
		one.Unknown = []checkpoint.Gap{{Field: "next_wd", Reason: "for the test"}}
		all := want
		want = slices.Delete(slices.Clone(want), 4, 5)
		check()
		want, one.Unknown = all, nil
	}
	b.BootID = "another"
	want = slices.Delete(want, 1, 2)
	check()
}

// Owners are equal if both are the same process, whichever process the instance was dumped
// from, or if each is the dumped process itself.
func TestCompareOwners(t *testing.T) {
	owned := func(boot string, kind checkpoint.OwnerKind, id int, self bool) *checkpoint.Snapshot {
		return &checkpoint.Snapshot{BootID: boot, Owner: checkpoint.Owner{Kind: kind, ID: id, Self: self}}
	}
	const process, thread, group = checkpoint.OwnerProcess, checkpoint.OwnerThread, checkpoint.OwnerGroup
	for _, c := range []struct {
		a, b *checkpoint.Snapshot
		same bool
	}{
		{owned("a", process, 7, true), owned("a", process, 7, false), true},
		{owned("a", process, 7, true), owned("a", process, 8, true), true},
		{owned("a", process, 7, true), owned("a", process, 8, false), false},
		{owned("a", process, 7, false), owned("a", process, 7, false), true},
		{owned("a", process, 7, false), owned("a", process, 8, false), false},
		{owned("a", process, 7, true), owned("b", process, 8, true), true},
		{owned("a", process, 7, true), owned("b", process, 7, false), false}, // ids of different boots cannot be compared
		{owned("", process, 7, true), owned("", process, 7, false), false},
		{owned("a", thread, 7, true), owned("a", thread, 7, false), true},
		{owned("a", thread, 7, true), owned("a", thread, 8, true), false},
		{owned("a", process, 7, true), owned("a", group, 7, false), false},
		{owned("a", checkpoint.OwnerNone, 0, false), owned("a", process, 7, true), false},
	} {
		for _, pair := range [][2]*checkpoint.Snapshot{{c.a, c.b}, {c.b, c.a}} {
			diffs := pair[0].Compare(pair[1])
			if len(diffs) != 0 == c.same {
				t.Errorf("boot %q, %+v and boot %q, %+v: differences %v, want none: %v", pair[0].BootID, pair[0].Owner, pair[1].BootID, pair[1].Owner, diffs, c.same)
			}
			for _, d := range diffs {
				if d.Want == d.Have {
					t.Errorf("a difference of equal values: %v", d)
				}
			}
		}
	}
}

// Unknown fields and kinds of side effects are neither written nor read.
func TestValidateConstants(t *testing.T) {
	for name, s := range map[string]checkpoint.Snapshot{
		"field":       {Unknown: []checkpoint.Gap{{Field: "what", Reason: "none"}}},
		"side effect": {SideEffects: []checkpoint.SideEffect{{Kind: "moved"}}},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "unknown") {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := s.WriteTo(io.Discard); err == nil {
			t.Errorf("%s: WriteTo: no error", name)
		}
	}
}
