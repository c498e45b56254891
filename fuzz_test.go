// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// rawRecords returns the records in testdata, in the processor's order of bytes.
func rawRecords(t testing.TB) [][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(names) == 0 {
		t.Fatal("no records: ", err)
	}
	var all [][]byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for len(text) > 0 && text[len(text)-1] == '\n' {
			text = text[:len(text)-1]
		}
		raw, err := hex.DecodeString(string(text))
		if err != nil {
			t.Fatal(name, err)
		}
		all = append(all, inOwnOrder(raw))
	}
	return all
}

// inOwnOrder turns the numbers of records that a little-endian kernel wrote.
func inOwnOrder(raw []byte) []byte {
	for at := 0; at < len(raw); {
		head := raw[at : at+16]
		at += 16 + int(binary.LittleEndian.Uint32(head[12:]))
		for i := 0; i < 16; i += 4 {
			binary.NativeEndian.PutUint32(head[i:], binary.LittleEndian.Uint32(head[i:]))
		}
	}
	return raw
}

// What a kernel really wrote is decoded to the last byte.
func TestDecodeRealRecords(t *testing.T) {
	for _, raw := range rawRecords(t) {
		for off := 0; off < len(raw); {
			ev, size, err := inotify.DecodeEvent(raw[off:])
			if err != nil {
				t.Fatalf("%x at %d: %v", raw, off, err)
			}
			if ev.WD < 1 && !ev.Mask.Has(inotify.QOverflow) || ev.Mask == 0 || ev.Mask.String() == "" {
				t.Errorf("event %v", ev)
			}
			off += size
		}
	}
}

// Whatever the bytes, decoding stays within them.
func FuzzDecodeEvent(f *testing.F) {
	for _, raw := range rawRecords(f) {
		f.Add(raw)
	}
	f.Add([]byte{})
	f.Add(make([]byte, 16))
	f.Fuzz(func(t *testing.T, raw []byte) {
		kerneltest.WantLittleMemory(t, len(raw), 8, func() {
			for len(raw) > 0 {
				size := decodeOne(t, raw)
				if size == 0 {
					return
				}
				raw = raw[size:]
			}
		})
	})
}

// decodeOne decodes the record at the front of raw and returns its size, or 0 if
// it is none.
func decodeOne(t *testing.T, raw []byte) int {
	ev, size, err := inotify.DecodeEvent(raw)
	if err != nil {
		return 0
	}
	if size < 16 || size > len(raw) {
		t.Fatalf("%d bytes of %d", size, len(raw))
	}
	if want := inotify.WD(binary.NativeEndian.Uint32(raw)); ev.WD != want {
		t.Errorf("number %d, want %d", ev.WD, want)
	}
	if len(ev.Name) > size-16 || ev.Name != string(raw[16:16+len(ev.Name)]) {
		t.Errorf("name %q of %x", ev.Name, raw)
	}
	if end := 16 + len(ev.Name); end < size && raw[end] != 0 {
		t.Errorf("name %q is cut off in %x", ev.Name, raw)
	}
	return size
}

// What ParseMask takes, String writes in a form that it takes for the same.
func FuzzParseMask(f *testing.F) {
	for _, s := range []string{"IN_CREATE|IN_ISDIR", "0", "IN_ALL_EVENTS", "IN_OPEN|0x1000", "4294967295", "IN_CLOSE|IN_MOVE", "|", "0x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var m inotify.Mask
		var err error
		kerneltest.WantLittleMemory(t, len(s), 1, func() { m, err = inotify.ParseMask(s) })
		if err != nil {
			if m != 0 {
				t.Errorf("%v with an error", m)
			}
			return
		}
		if back, err := inotify.ParseMask(m.String()); err != nil || back != m {
			t.Errorf("%q is %v, and that is %v, %v", s, m, back, err)
		}
	})
}
