// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package record_test

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/record"
)

const (
	create   = 0x100
	overflow = 0x4000
	ignored  = 0x8000
)

// rawRecords returns the records in testdata, in native byte order.
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
		all = append(all, toNativeEndian(raw))
	}
	return all
}

// toNativeEndian converts records that a little-endian kernel wrote.
func toNativeEndian(raw []byte) []byte {
	for at := 0; at < len(raw); {
		head := raw[at : at+16]
		at += 16 + int(binary.LittleEndian.Uint32(head[12:]))
		for i := 0; i < 16; i += 4 {
			binary.NativeEndian.PutUint32(head[i:], binary.LittleEndian.Uint32(head[i:]))
		}
	}
	return raw
}

// Records that kernels have written are decoded to the last byte.
func TestDecodeRealRecords(t *testing.T) {
	for _, raw := range rawRecords(t) {
		for off := 0; off < len(raw); {
			ev, size, err := record.Decode(raw[off:])
			if err != nil {
				t.Fatalf("%x at %d: %v", raw, off, err)
			}
			if ev.WD < 1 && ev.Mask&overflow == 0 || ev.Mask == 0 {
				t.Errorf("record %v", ev)
			}
			if want := record.Size(string(ev.Name)); size != want {
				t.Errorf("record %v takes %d bytes, and Size is %d", ev, size, want)
			}
			off += size
		}
	}
}

// FuzzDecode: for any bytes, Decode stays within them.
func FuzzDecode(f *testing.F) {
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

// decodeOne decodes the first record of raw and returns its size, or 0 after an error.
func decodeOne(t *testing.T, raw []byte) int {
	ev, size, err := record.Decode(raw)
	if err != nil {
		return 0
	}
	if size < 16 || size > len(raw) {
		t.Fatalf("%d bytes of %d", size, len(raw))
	}
	if want := int32(binary.NativeEndian.Uint32(raw)); ev.WD != want {
		t.Errorf("wd %d, want %d", ev.WD, want)
	}
	if len(ev.Name) > size-16 || string(ev.Name) != string(raw[16:16+len(ev.Name)]) {
		t.Errorf("name %q of %x", ev.Name, raw)
	}
	if end := 16 + len(ev.Name); end < size && raw[end] != 0 {
		t.Errorf("name %q is cut off in %x", ev.Name, raw)
	}
	return size
}

func TestDecodeIsBoundsChecked(t *testing.T) {
	raw := encode(7, create, "name")
	ev, size, err := record.Decode(raw)
	if err != nil || size != 32 || ev.WD != 7 || ev.Mask != create || string(ev.Name) != "name" {
		t.Fatalf("record %v of %d bytes, %v", ev, size, err)
	}
	for short := range 32 {
		if ev, _, err := record.Decode(raw[:short]); err == nil {
			t.Errorf("the first %d bytes are decoded as %v", short, ev)
		}
	}
	clear(raw[16:])
	if ev, size, err := record.Decode(raw); err != nil || size != 32 || len(ev.Name) > 0 {
		t.Errorf("a name of only NULs is decoded as %q, of %d bytes, %v", ev.Name, size, err)
	}
	for i := 12; i < 16; i++ {
		raw[i] = 0xff // a length of 4 GiB, whatever the byte order
	}
	if ev, _, err := record.Decode(raw); err == nil || !strings.Contains(err.Error(), "4294967295 bytes, and 16 are left") {
		t.Errorf("a name beyond the end is decoded as %v, %v", ev, err)
	}
}

// encode returns a record as the kernel writes it.
func encode(wd int32, mask uint32, name string) []byte {
	size := 0
	if name != "" {
		size = (len(name) + 16) &^ 15 // with at least one NUL
	}
	b := make([]byte, 16+size)
	binary.NativeEndian.PutUint32(b, uint32(wd))
	binary.NativeEndian.PutUint32(b[4:], mask)
	binary.NativeEndian.PutUint32(b[12:], uint32(size))
	copy(b[16:], name)
	return b
}
