// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/record"
)

// A kind is what a scratch watch has to be on.
type kind uint8

const (
	kindUnknown kind = iota
	kindFile
	kindDir
	kindMountFile // in a mount of its own, for Unmount
	kindMountDir
)

func (k kind) isDir() bool   { return k == kindDir || k == kindMountDir }
func (k kind) mounted() bool { return k == kindMountFile || k == kindMountDir }

// kindsOf returns the kind for each record. Where the record alone does not show it, such as
// IN_MOVE_SELF, the next record of the same watch does, or else an earlier one.
func kindsOf(rs []plannedRecord) []kind {
	kinds, next := make([]kind, len(rs)), map[inotify.WD]kind{}
	for i := len(rs) - 1; i >= 0; i-- {
		r := rs[i]
		k := kindOf(r.Event)
		if r.freesWD() {
			delete(next, r.WD)
		}
		if k == kindUnknown {
			k = next[r.WD]
		}
		if kinds[i] = k; !k.mounted() {
			next[r.WD] = k
		}
	}
	last := map[inotify.WD]kind{}
	for i, r := range rs { // what is still unknown is as before it
		if kinds[i] == kindUnknown {
			kinds[i] = max(last[r.WD], kindFile)
		}
		if last[r.WD] = kinds[i]; r.freesWD() {
			delete(last, r.WD)
		}
	}
	return kinds
}

// kindOf returns the kind that an event shows by itself, or kindUnknown.
func kindOf(e inotify.Event) kind {
	isDir := e.Mask.Has(inotify.IsDir)
	switch e.Mask &^ inotify.IsDir {
	case inotify.Ignored, inotify.MoveSelf, inotify.DeleteSelf:
		return kindUnknown
	case inotify.Unmount:
		if isDir {
			return kindMountDir
		}
		return kindMountFile
	}
	if e.Name != "" || isDir {
		return kindDir
	}
	return kindFile
}

// A step makes a record, or two that the kernel queues at once.
type step struct {
	inotify.Event
	kind    kind
	to      inotify.Event // the other half, if paired
	paired  bool          // the two halves of a rename
	ignored bool          // the watch ends, and its Ignored is wanted, too
}

// records returns how many records it makes.
func (s *step) records() int {
	if s.paired || s.ignored {
		return 2
	}
	return 1
}

// size returns how many bytes of the queue they take.
func (s *step) size() (bytes int) {
	bytes = record.Size(s.Name)
	if s.paired {
		bytes += record.Size(s.to.Name)
	}
	if s.ignored {
		bytes += headerSize
	}
	return bytes
}

// leavesIgnored reports whether the kernel queues an Ignored that is not wanted, if there
// is room.
func (s *step) leavesIgnored() bool { return plannedRecord{Event: s.Event}.ends() && !s.ignored }

func (s *step) freesWD() bool { return plannedRecord{Event: s.Event}.freesWD() }

// mask returns the mask that the watch needs.
func (s *step) mask() inotify.Mask {
	switch bits := s.Mask &^ inotify.IsDir; {
	case bits == inotify.Modify|inotify.Attrib:
		return inotify.Modify // not for the chmod before it
	case bits == inotify.Unmount, bits == inotify.Ignored:
		return inotify.IsDir // nothing: these come in any case
	case s.paired && s.to.WD == s.WD:
		return inotify.Move
	default:
		return bits
	}
}

// stepsFor returns the steps that make the records.
func stepsFor(rs []plannedRecord, kinds []kind) []step {
	steps := make([]step, 0, len(rs))
	for i := 0; i < len(rs); i += steps[len(steps)-1].records() {
		s := step{Event: rs[i].Event, kind: kinds[i]}
		if i+1 < len(rs) {
			next := rs[i+1]
			s.ignored = rs[i].ends() && next.ignores(s.WD)
			if s.paired = pairs(s.Event, next.Event); s.paired {
				s.to = next.Event
			}
		}
		steps = append(steps, s)
	}
	return steps
}

// pairs reports whether the two are one rename.
func pairs(a, b inotify.Event) bool {
	return a.Mask.Has(inotify.MovedFrom) && b.Mask.Has(inotify.MovedTo) && a.Cookie == b.Cookie && (a.Mask^b.Mask)&inotify.IsDir == 0
}

// maxSegment is how many steps there are in a segment.
const maxSegment = 256

// segment returns how many of the steps can be made before the queue must be full again: until
// a wd needs another inode, or a watch has ended whose Ignored is not wanted.
func segment(steps []step) int {
	kinds := map[inotify.WD]kind{}
	for i := range steps[:min(len(steps), maxSegment)] {
		s := &steps[i]
		if k, ok := kinds[s.WD]; ok && k != s.kind {
			return i
		}
		if k, ok := kinds[s.to.WD]; s.paired && ok && k != kindDir {
			return i
		}
		if kinds[s.WD] = s.kind; s.paired {
			kinds[s.to.WD] = kindDir
		}
		if s.freesWD() {
			delete(kinds, s.WD)
		}
		if s.leavesIgnored() {
			return i + 1
		}
	}
	return min(len(steps), maxSegment)
}

const headerSize = record.HeaderSize // a record without a name

func recordsSize(rs []plannedRecord) (bytes int) {
	for _, r := range rs {
		bytes += record.Size(r.Name)
	}
	return bytes
}
