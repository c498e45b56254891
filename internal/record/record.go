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

// A nameCache has recent names, so that a name that comes again costs no allocation. Each
// name has one slot; names with the same slot replace each other.
type nameCache [128]string

// get returns the name of a record, which has NULs behind it.
func (c *nameCache) get(padded []byte) string {
	name := withoutPadding(padded)
	if len(name) == 0 {
		return ""
	}
	slot := &c[hash(padded, len(name))%uint64(len(c))]
	if *slot != string(name) {
		*slot = string(name)
	}
	return *slot
}

// hash hashes a name of so many bytes, which the kernel has padded with NULs to a multiple of
// HeaderSize. It is faster than a hash with a secret seed. An attacker can make names collide,
// which costs allocations only.
func hash(padded []byte, size int) uint64 {
	h := uint64(size)
	for i := 0; i < size && i+8 <= len(padded); i += 8 {
		h = (h ^ binary.NativeEndian.Uint64(padded[i:])) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return h >> 57
}
