// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package fdinfo parses /proc/PID/fdinfo/FD of inotify descriptors.
package fdinfo

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify/internal/sys"
)

// A Watch is one "inotify" line.
type Watch struct {
	WD     int32
	Mask   uint32
	Device struct{ Major, Minor uint32 } // the superblock's
	Inode  uint64
	Handle struct { // zero if the line has no handle
		Type  int32
		Bytes string // the raw bytes
	}
}

// List returns the watches in the text of r in ascending order of wd. size is the expected
// number, for which it allocates memory at once.
func List(r io.Reader, size int) ([]Watch, error) {
	ws := make([]Watch, 0, size)
	for w, err := range Watches(r) {
		if err != nil {
			return nil, err
		}
		ws = append(ws, w)
	}
	slices.SortFunc(ws, func(a, b Watch) int { return cmp.Compare(a.WD, b.WD) })
	return ws, nil
}

// Flags returns the flags in text: O_CLOEXEC of the descriptor, and the flags of its file
// description, such as O_NONBLOCK. The line is octal:
//
//	flags:	02004000
func Flags(text []byte) (int, error) {
	value, found := Field(text, "flags")
	if !found {
		return 0, errors.New("fdinfo: no line with flags")
	}
	flags, err := strconv.ParseUint(value, 8, 31)
	if err != nil {
		return 0, fmt.Errorf("fdinfo: line %.400q: not an octal number", "flags:\t"+value)
	}
	return int(flags), nil
}

// Field returns the value of the first line with the name in the text of an fdinfo, or of
// another file of /proc in that form, such as status.
func Field(text []byte, name string) (value string, found bool) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		if key, value, found := bytes.Cut(line, []byte(":")); found && string(key) == name {
			return string(bytes.TrimSpace(value)), true
		}
	}
	return "", false
}

const (
	maxLine       = 64 << 10 // far more than the longest line that the kernel writes
	handlesAtOnce = 1 << 10  // bytes, at least sys.MaxHandle
)

// Watches yields the watches in the text of r, in its order. Other lines are skipped. It ends
// with an error if reading fails or a line is malformed.
//
// A line, written by inotify_fdinfo in fs/notify/fdinfo.c. All numbers are hexadecimal. The last
// three fields are there only if the filesystem has handles:
//
//	inotify wd:34d71d6 ino:986491 sdev:fe00000 mask:84000800 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:91649800afc3be85
//
// sdev is MAJOR<<20 | MINOR.
func Watches(r io.Reader) iter.Seq2[Watch, error] {
	return func(yield func(Watch, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, maxLine), maxLine)
		var handles handles
		for lines.Scan() {
			fields, ok := bytes.CutPrefix(lines.Bytes(), []byte("inotify "))
			if !ok {
				continue
			}
			w, err := parse(fields, &handles)
			if err != nil {
				yield(Watch{}, fmt.Errorf("fdinfo: line %.400q: %w", lines.Bytes(), err))
				return
			}
			if !yield(w, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Watch{}, fmt.Errorf("fdinfo: %w", err))
		}
	}
}

// parse parses a line without its "inotify ".
func parse(line []byte, handles *handles) (w Watch, err error) {
	f := fields{line: line}
	w.WD = int32(f.number("wd:", math.MaxInt32))
	w.Inode = f.number("ino:", math.MaxUint64)
	sdev := f.number("sdev:", math.MaxUint32)
	w.Device.Major, w.Device.Minor = uint32(sdev>>20), uint32(sdev&(1<<20-1))
	w.Mask = uint32(f.number("mask:", math.MaxUint32))
	f.number("ignored_mask:", math.MaxUint32)
	if f.err == nil && len(bytes.TrimSpace(line[f.at:])) > 0 {
		length := f.number("fhandle-bytes:", sys.MaxHandle)
		w.Handle.Type = int32(f.number("fhandle-type:", math.MaxInt32))
		w.Handle.Bytes = f.handle("f_handle:", int(length), handles)
	}
	if f.err == nil && w.WD == 0 {
		f.err = errors.New("wd is 0")
	}
	return w, f.err
}

// fields reads the fields of a line in order and keeps the first error. An instance may have
// hundreds of thousands of lines, so it reads each byte once, and keeps an index: storing a
// subslice would cost a write barrier.
type fields struct {
	line []byte
	at   int // where the next field begins
	err  error
}

// value returns the rest of the line after key, which must begin the next field.
func (f *fields) value(key string) []byte {
	if f.err != nil {
		return nil
	}
	rest := f.line[f.at:]
	if len(rest) < len(key) || string(rest[:len(key)]) != key {
		f.err = fmt.Errorf("found %.100q, want %q", first(rest), key)
		return nil
	}
	f.at += len(key)
	return rest[len(key):]
}

// first returns the text before the first space.
func first(rest []byte) []byte {
	field, _, _ := bytes.Cut(rest, []byte(" "))
	return field
}

// skip moves to the next field, behind a value of n bytes and a space.
func (f *fields) skip(n int) {
	f.at = min(f.at+n+1, len(f.line))
}

func (f *fields) number(key string, limit uint64) uint64 {
	value := f.value(key)
	if f.err != nil {
		return 0
	}
	v, n := uint64(0), 0
	for n < len(value) && digits[value[n]] < 16 {
		v = v<<4 | uint64(digits[value[n]])
		n++
	}
	if n == 0 || n > 16 || v > limit || n < len(value) && value[n] != ' ' {
		f.err = fmt.Errorf("%s %.100q is not a hexadecimal number up to %x", key, first(value), limit)
		return 0
	}
	f.skip(n)
	return v
}

// handle reads the last field.
func (f *fields) handle(key string, length int, handles *handles) string {
	value := f.value(key)
	if f.err != nil {
		return ""
	}
	value = first(value)
	if len(value) != 2*length {
		f.err = fmt.Errorf("%s has %d digits, want %d bytes", key, len(value), length)
		return ""
	}
	var raw [sys.MaxHandle]byte
	for i := range length {
		high, low := digits[value[2*i]], digits[value[2*i+1]]
		if high|low > 15 {
			f.err = fmt.Errorf("%s %.100q is not hexadecimal", key, value)
			return ""
		}
		raw[i] = high<<4 | low
	}
	return handles.keep(raw[:length])
}

// handles converts handles to strings, many in one allocation.
type handles struct{ b strings.Builder }

func (h *handles) keep(raw []byte) string {
	if h.b.Cap()-h.b.Len() < len(raw) {
		h.b.Reset()
		h.b.Grow(handlesAtOnce)
	}
	h.b.Write(raw) // within the capacity, so that earlier strings stay valid
	return h.b.String()[h.b.Len()-len(raw):]
}

// digits has the values of hexadecimal digits, and 255 for other bytes.
var digits = func() (values [256]byte) {
	for i := range values {
		values[i] = 255
	}
	for i, d := range "0123456789abcdef" {
		values[d] = byte(i)
	}
	for i, d := range "ABCDEF" {
		values[d] = byte(10 + i)
	}
	return values
}()
