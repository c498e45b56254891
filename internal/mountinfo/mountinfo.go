// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

// Package mountinfo parses /proc/PID/mountinfo.
package mountinfo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Mount is one line of mountinfo.
type Mount struct {
	ID     int32                         // unique on the machine while the mount lasts
	Parent int32                         // may be a mount that is not listed, because the process cannot reach it
	Device struct{ Major, Minor uint32 } // the superblock's
	Root   string                        // the mounted directory within the filesystem; "" if unknown
	Point  string                        // the mount point, from the process's root directory
	Type   string                        // of the filesystem, with its subtype: "fuse.sshfs"
	Source string
	Super  string // the superblock's options
}

// maxMountLine is much longer than the longest line seen, of an overlay with 500 layers.
const maxMountLine = 1 << 20

// Parse yields the mounts in the text of r, in its order. It ends with an error if reading
// fails or a line is malformed.
//
// A line, written by show_mountinfo in fs/proc_namespace.c:
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//	id |  |    root  point options    optional |  type source   super options
//	   |  device                      fields   separator
//	   parent
//
// There may be any number of optional fields; they are skipped. In root, mount point, type and
// source the kernel writes space, tab, newline and backslash (and in some '#') as \ and three
// octal digits.
func Parse(r io.Reader) iter.Seq2[Mount, error] {
	return func(yield func(Mount, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 4096), maxMountLine)
		lines.Split(splitLine)
		number := 0
		for lines.Scan() {
			number++
			m, err := parseMount(lines.Bytes())
			if err != nil {
				yield(Mount{}, fmt.Errorf("mountinfo: line %d, %.400q: %w", number, lines.Bytes(), err))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Mount{}, fmt.Errorf("mountinfo: line %d: %w", number+1, err))
		}
	}
}

// splitLine is bufio.ScanLines, except that it keeps a carriage return before the newline: the
// kernel does not escape it, and the path of an overlay's layer may end in one.
func splitLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func parseMount(line []byte) (m Mount, err error) {
	head, tail, found := bytes.Cut(line, []byte(" - "))
	if !found {
		return Mount{}, errors.New("no separator \" - \"")
	}
	h, t := bytes.Split(head, []byte(" ")), bytes.SplitN(tail, []byte(" "), 3)
	if len(h) < 6 || len(t) < 3 {
		return Mount{}, fmt.Errorf("%d fields before the separator and %d after it, want 6 and 3", len(h), len(t))
	}
	major, minor, _ := strings.Cut(string(h[2]), ":")
	n := numbers{}
	m.ID = int32(n.read("mount id", string(h[0]), math.MaxInt32))
	m.Parent = int32(n.read("parent's id", string(h[1]), math.MaxInt32))
	m.Device.Major = uint32(n.read("device's major number", major, 1<<12-1))
	m.Device.Minor = uint32(n.read("device's minor number", minor, 1<<20-1))
	m.Root, m.Point = unescape(h[3]), unescape(h[4])
	m.Type, m.Source, m.Super = unescape(t[0]), unescape(t[1]), string(t[2])
	return m, n.err
}

// numbers reads decimal numbers and keeps the first error.
type numbers struct{ err error }

func (n *numbers) read(what, text string, limit uint64) uint64 {
	v, err := strconv.ParseUint(text, 10, 64)
	if n.err == nil && (err != nil || v > limit) {
		n.err = fmt.Errorf("%s %.100q is not a number up to %d", what, text, limit)
	}
	return v
}

// unescape replaces \ and three octal digits by the byte. Other text stays.
func unescape(s []byte) string {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		c, n := s[0], 1
		if v := octal(s); v >= 0 {
			c, n = byte(v), 4
		}
		out, s = append(out, c), s[n:]
	}
	return string(out)
}

// octal reads \ and three octal digits at the front of s, or returns -1.
func octal(s []byte) int {
	if len(s) < 4 || s[0] != '\\' || s[1] > '3' {
		return -1
	}
	v := 0
	for _, d := range s[1:4] {
		if d < '0' || d > '7' {
			return -1
		}
		v = v<<3 | int(d-'0')
	}
	return v
}

// Within reports whether path is dir or below it.
func Within(path, dir string) bool {
	return dir == "/" || strings.HasPrefix(path, dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}

// Root returns the id of the mount of the root directory, or -1 if it is unknown. mountinfo
// lists the mounts that can be reached from the root directory. It omits the root directory's
// mount if that directory is not the mount's root, as after chroot(2). In this case Root
// returns a mount on top of the root directory, if there is one, although no lookup enters it.
func Root(ms []Mount) int32 {
	listed := make(map[int32]bool, len(ms))
	for i := range ms {
		listed[ms[i].ID] = true
	}
	root := int32(-1)
	for i := range ms {
		if m := &ms[i]; !listed[m.Parent] || m.Parent == m.ID {
			if m.Point == "/" {
				return m.ID
			}
			root = m.Parent
		}
	}
	return root
}

// Passed yields the mounts that the lookup of an absolute path without symbolic links passes. The
// last one is the mount that the path is on. root is the id of the root directory's mount,
// which is not yielded if it is not in ms. Mounts that are hidden by others are not yielded.
func Passed(ms []Mount, root int32, path string) iter.Seq[*Mount] {
	return func(yield func(*Mount) bool) {
		var at *Mount
		if i := slices.IndexFunc(ms, func(m Mount) bool { return m.ID == root }); i >= 0 {
			at = &ms[i]
		}
		id := root
		for range len(ms) + 1 { // mounts are a tree
			next := Next(ms, root, id, path)
			covered := at != nil && next != nil && next.Point == at.Point
			if at != nil && !covered && !yield(at) || next == nil {
				return
			}
			at, id = next, next.ID
		}
	}
}

// Next returns the first mount that the lookup of an absolute path enters from the mount id, or
// nil. root is the id of the root directory's mount: a lookup begins in it, and not in what
// is mounted on it.
func Next(ms []Mount, root, id int32, path string) (next *Mount) {
	for i := range ms {
		m := &ms[i]
		onRoot := id == root && m.Point == "/"
		if m.Parent == id && m.ID != id && !onRoot && Within(path, m.Point) && (next == nil || len(m.Point) < len(next.Point)) {
			next = m
		}
	}
	return next
}
