// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// wantSameJSON checks that v is written as form, unless that is "", and read back equal.
func wantSameJSON[T comparable](t *testing.T, v T, form string) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil || form != "" && string(text) != form {
		t.Errorf("%+v is written as %s, %v; want %s", v, text, err, form)
	}
	var read T
	if err := json.Unmarshal(text, &read); err != nil || read != v {
		t.Errorf("%s is read as %+v, %v; want %+v", text, read, err, v)
	}
}

func TestEventJSON(t *testing.T) {
	wantSameJSON(t, checkpoint.Event{WD: 3, Mask: inotify.Delete | 0x1000, Name: "<\u2028\ufffd\x00\\>"}, "")
	for form, ev := range map[string]inotify.Event{
		`{"wd":0,"mask":"0"}`:                             {},
		`{"wd":-1,"mask":"IN_Q_OVERFLOW"}`:                {WD: inotify.NoWD, Mask: inotify.QOverflow},
		`{"wd":2147483647,"mask":"IN_CREATE","name":"x"}`: {WD: 1<<31 - 1, Mask: inotify.Create, Name: "x"},
		`{"wd":3,"mask":"IN_MOVED_TO|IN_ISDIR","cookie":4294967295,"name_bytes":"YmFkkGZpbGU="}`: {
			WD: 3, Mask: inotify.MovedTo | inotify.IsDir, Cookie: 1<<32 - 1, Name: "bad\x90file"},
	} {
		wantSameJSON(t, checkpoint.Event(ev), form)
	}
	for i := range 32 {
		wantSameJSON(t, checkpoint.Event{WD: 1, Mask: 1 << i}, "")
	}
	wantSameJSON(t, checkpoint.Event{WD: 1, Mask: 1<<32 - 1}, "")
	for a := range 256 {
		wantSameJSON(t, checkpoint.Event{Name: string([]byte{byte(a)})}, "")
		for b := 0; b < 256; b += 5 {
			wantSameJSON(t, checkpoint.Event{Name: string([]byte{byte(a), byte(b)})}, "")
		}
	}
}

func TestWatchJSON(t *testing.T) {
	for _, w := range full().Watches {
		wantSameJSON(t, w, "")
	}
	wantSameJSON(t, checkpoint.Watch{}, `{"wd":0,"mask":"0"}`)
	wantSameJSON(t, checkpoint.Watch{
		Watch: inotify.Watch{WD: 1, Mask: inotify.Create, Path: "/a\xff", Handle: inotify.Handle{Type: 1, Bytes: "\x91\x64\x98\x00"}},
		Type:  checkpoint.TypeDirectory,
	}, `{"wd":1,"mask":"IN_CREATE","path_bytes":"L2H/","type":"directory","handle":"1:91649800"}`)
	wantSameJSON(t, checkpoint.Watch{Watch: inotify.Watch{Device: inotify.Device{Major: 1<<32 - 1, Minor: 1<<32 - 1}}}, "")
	for _, w := range []checkpoint.Watch{
		{Type: "folder"},
		{Type: "\xff"},
		{Watch: inotify.Watch{Handle: inotify.Handle{Type: 1}}},
		{Watch: inotify.Watch{Handle: inotify.Handle{Type: 1, Bytes: strings.Repeat("x", 129)}}},
	} {
		if text, err := json.Marshal(w); err == nil {
			t.Errorf("%+v is written as %s", w, text)
		}
	}
}

// Reading JSON that is not in the documented form fails and changes nothing.
func TestJSONRefused(t *testing.T) {
	event, watch := checkpoint.Event{WD: 5, Name: "x"}, checkpoint.Watch{Watch: inotify.Watch{WD: 5, Path: "/x"}}
	refuse := func(text string, v json.Unmarshaler) {
		t.Helper()
		if err := v.UnmarshalJSON([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "checkpoint: invalid ") {
			t.Errorf("%s: error %v", text, err)
		}
		if (event != checkpoint.Event{WD: 5, Name: "x"}) || watch != (checkpoint.Watch{Watch: inotify.Watch{WD: 5, Path: "/x"}}) {
			t.Fatalf("%s was read in part: %+v, %+v", text, event, watch)
		}
	}
	for _, text := range []string{
		``, `null`, `[]`, `1`, `{`, `{}`, `{"wd":1}`, `{"mask":"0"}`, `{"wd":1,"mask":"0"}x`, `{"wd":1,"mask":"0"}{}`,
		`{"wd":1,"wd":1,"mask":"0"}`, `{"wd":1,"Mask":"0"}`, `{"wd":1,"mask":"0","more":0}`, `{"wd":null,"mask":"0"}`,
		`{"wd":1,"mask":0}`, `{"wd":1,"mask":"IN_NOTHING"}`, `{"wd":2147483648,"mask":"0"}`, `{"wd":"1","mask":"0"}`,
	} {
		refuse(text, &event)
		refuse(text, &watch)
	}
	for _, more := range []string{
		`"cookie":-1`, `"cookie":4294967296`, `"name":null`, `"name":1`, "\"name\":\"\xff\"", `"name":"\ud800"`,
		`"name_bytes":"_w=="`, `"name_bytes":"/w"`, `"name":"a","name_bytes":"/w=="`, `"name_bytes":"/w==","name":"a"`, `"nameBytes":"/w=="`,
	} {
		refuse(`{"wd":1,"mask":"0",`+more+`}`, &event)
	}
	for _, more := range []string{
		`"path":null`, "\"path\":\"\xff\"", `"path":"/a","path_bytes":"/w=="`, `"type":"folder"`, `"device":"254"`,
		`"inode":-1`, `"inode":18446744073709551616`, `"handle":""`, `"handle":"1:"`, `"handle":"1:` + strings.Repeat("00", 129) + `"`,
	} {
		refuse(`{"wd":1,"mask":"0",`+more+`}`, &watch)
	}
}

// Events and watches of the kernel with names that are not UTF-8 are written and read back
// unchanged.
func TestJSONOfKernel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir\xff\xfe")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Skip("this needs a filesystem that allows any bytes in a name: ", err)
	}
	n := newInotify(t)
	if _, err := n.AddWatch(dir, inotify.Create); err != nil {
		t.Fatal(err)
	}
	var want []string
	for b := 1; b < 256; b++ {
		if name := "n" + string([]byte{byte(b)}); b != '/' {
			touch(t, filepath.Join(dir, name))
			want = append(want, name)
		}
	}
	var got []string
	for _, ev := range kerneltest.Pending(t, n) {
		wantSameJSON(t, checkpoint.Event(ev), "")
		got = append(got, ev.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	ws, err := n.Watches()
	if err != nil {
		t.Skip("this needs watches in fdinfo: ", err)
	}
	for _, w := range ws {
		w.Path = dir
		wantSameJSON(t, checkpoint.Watch{Watch: w}, "")
	}
}

// An event with a name that is not UTF-8 is written and read back.
func ExampleEvent() {
	ev := inotify.Event{WD: 1, Mask: inotify.Create, Name: "caf\xe9"} // in Latin-1

	text, err := json.Marshal(checkpoint.Event(ev))
	fmt.Println(string(text), err)

	var read checkpoint.Event
	err = json.Unmarshal(text, &read)
	fmt.Println(inotify.Event(read) == ev, err)
	// Output:
	// {"wd":1,"mask":"IN_CREATE","name_bytes":"Y2Fm6Q=="} <nil>
	// true <nil>
}

func ExampleWatch() {
	w := inotify.Watch{WD: 7, Mask: inotify.Create | inotify.Delete, Path: "/srv/caf\xe9"}

	text, err := json.Marshal(checkpoint.Watch{Watch: w})
	fmt.Println(string(text), err)

	var read checkpoint.Watch
	err = json.Unmarshal(text, &read)
	fmt.Println(read.Watch == w, err)
	// Output:
	// {"wd":7,"mask":"IN_CREATE|IN_DELETE","path_bytes":"L3Nydi9jYWbp"} <nil>
	// true <nil>
}
