// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package record decodes event records, buffers them between the kernel and the
// readers, and filters out the internal ones, which the library itself causes.
package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// HeaderSize is the size of struct inotify_event without the name: wd, mask, cookie
// and len, in the processor's byte order.
const HeaderSize = 16

// Size returns how many bytes of a queue the record of an event with this name takes: a
// header, and the name with at least one NUL behind it, rounded up to whole headers.
func Size(name string) int {
	if name == "" {
		return HeaderSize
	}
	return HeaderSize + (len(name)/HeaderSize+1)*HeaderSize
}

// A Record is one struct inotify_event.
type Record struct {
	WD     int32
	Mask   uint32
	Cookie uint32
	Name   []byte // without the NULs behind it; it aliases what was decoded
}

// Decode decodes the record at the front of b and returns its size.
func Decode(b []byte) (rec Record, size int, err error) {
	if size = sizeOf(b); size == 0 {
		return Record{}, 0, sizeError(b)
	}
	return Record{
		WD:     int32(binary.NativeEndian.Uint32(b)),
		Mask:   binary.NativeEndian.Uint32(b[4:]),
		Cookie: binary.NativeEndian.Uint32(b[8:]),
		Name:   withoutPadding(b[HeaderSize:size]),
	}, size, nil
}

// sizeOf returns the size of the record at the front of b, or 0 if it is not all there: see
// sizeError. The compiler inlines it.
func sizeOf(b []byte) int {
	if len(b) < HeaderSize {
		return 0
	}
	size := HeaderSize + uint64(binary.NativeEndian.Uint32(b[12:]))
	if size > uint64(len(b)) {
		return 0
	}
	return int(size)
}

// sizeError says why sizeOf returned 0.
func sizeError(b []byte) error {
	if len(b) < HeaderSize {
		return fmt.Errorf("inotify: decode event record: %d bytes are left, and a header has %d", len(b), HeaderSize)
	}
	length := binary.NativeEndian.Uint32(b[12:])
	return fmt.Errorf("inotify: decode event record: the name has %d bytes, and %d are left", length, len(b)-HeaderSize)
}

// withoutPadding returns the name of a record without the NULs behind it.
func withoutPadding(name []byte) []byte {
	if i := bytes.IndexByte(name, 0); i >= 0 {
		return name[:i]
	}
	return name
}

// An Event is a record that a reader gets.
type Event struct {
	WD     int32
	Mask   uint32
	Cookie uint32
	Name   string
}

// A nameCache has recent names, so that a name that comes again costs no allocation. A name
// belongs to one set, by its hash, and replaces the older name there. All together hold at
// most 64 KiB: longer names, as on FUSE, are not kept.
type nameCache [128][2]string

const maxCached = 256 // bytes of a name and its NULs

// get returns the name of a record, which has NULs behind it.
func (c *nameCache) get(padded []byte) string {
	if len(padded) > maxCached {
		return string(withoutPadding(padded))
	}
	set := &c[hash(padded)%uint64(len(c))]
	if isPadded(set[0], padded) {
		return set[0]
	}
	if isPadded(set[1], padded) {
		return set[1]
	}
	name := string(withoutPadding(padded))
	set[0], set[1] = name, set[0]
	return name
}

// isPadded reports whether padded is the name with NULs behind it. The name has no NUL.
func isPadded(name string, padded []byte) bool {
	n := len(name)
	return n < len(padded) && padded[n] == 0 && string(padded[:n]) == name
}

// hash hashes a name, which the kernel has padded with NULs to a multiple of HeaderSize, to 7
// bits. It is faster than a hash with a secret seed. An attacker can make names collide, which
// costs allocations only.
func hash(padded []byte) uint64 {
	const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	h := uint64(0)
	for ; len(padded) >= 8; padded = padded[8:] {
		h = (h ^ binary.NativeEndian.Uint64(padded)) * golden
		h ^= h >> 32
	}
	return h * golden >> 57
}
