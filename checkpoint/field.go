// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"fmt"
	"iter"
	"slices"

	"github.com/seed10546c08/inotify"
)

// A Field names what a [Gap] or a [Difference] is about. Fields that are members of the
// JSON form have the member's name.
type Field string

// Fields of an instance.
const (
	FieldBootID       Field = "boot_id"
	FieldFlags        Field = "flags"
	FieldNextWD       Field = "next_wd"
	FieldOwner        Field = "owner"
	FieldSignal       Field = "signal"
	FieldWatches      Field = "watches" // the list of watches
	FieldPending      Field = "pending" // with a wd: whether this watch, which has pending events, had ended
	FieldPendingBytes Field = "pending_bytes"
	FieldStopped      Field = "stopped" // whether all processes that have the instance were stopped (WithDrain)
)

// Fields of a watch. A gap without a wd is about all watches.
const (
	FieldWatch  Field = "watch" // the watch itself
	FieldPath   Field = "path"
	FieldType   Field = "type"
	FieldMask   Field = "mask"
	FieldInode  Field = "inode"  // which file is watched: device, inode and handle
	FieldHandle Field = "handle" // the generation in the file handle
)

var fields = [...]Field{
	FieldBootID, FieldFlags, FieldNextWD, FieldOwner, FieldSignal, FieldWatches, FieldPending, FieldPendingBytes, FieldStopped,
	FieldWatch, FieldPath, FieldType, FieldMask, FieldInode, FieldHandle,
}

func parseField(s string) (Field, error) { return parseConstant(s, "field", slices.Values(fields[:])) }

// parseConstant returns the constant that is equal to s. The result does not refer to the
// memory of s.
func parseConstant[T ~string](s, what string, constants iter.Seq[T]) (T, error) {
	for c := range constants {
		if string(c) == s {
			return c, nil
		}
	}
	return "", fmt.Errorf("unknown %s %.40q", what, s)
}

// A Gap is something that could not be determined or restored, or was not requested.
//
// Its JSON form has the strings "field" and "reason", and the number "wd".
type Gap struct {
	Field  Field
	WD     inotify.WD // the watch; 0 if the gap is about the instance or all watches
	Reason string
}

// String returns, for example, "path of watch 3: not requested".
func (g Gap) String() string { return subject(g.Field, g.WD) + ": " + g.Reason }

// subject returns "next_wd", "mask of watch 3" or "watch 3".
func subject(f Field, wd inotify.WD) string {
	switch {
	case wd == 0:
		return string(f)
	case f == FieldWatch:
		return fmt.Sprintf("watch %d", wd)
	}
	return fmt.Sprintf("%s of watch %d", f, wd)
}

// A Difference is one difference between an instance and a snapshot.
type Difference struct {
	Field Field      // FieldWatch if only one side has the watch
	WD    inotify.WD // 0 if it is about the instance
	Want  string     // in the snapshot; "" if the snapshot has no such watch
	Have  string     // in the instance; "" if the instance has no such watch
}

// String returns, for example, "mask of watch 1: expected IN_CREATE, found IN_DELETE".
func (d Difference) String() string {
	return fmt.Sprintf("%s: expected %s, found %s", subject(d.Field, d.WD), orNone(d.Want), orNone(d.Have))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// addGap lists a field that could not be determined.
func (s *Snapshot) addGap(f Field, wd inotify.WD, reason error) {
	s.Unknown = append(s.Unknown, Gap{f, wd, reason.Error()})
}

// Known reports whether a field of the instance was determined: whether Unknown does
// not list it for the instance as a whole.
func (s *Snapshot) Known(f Field) bool {
	_, unknown := s.whyUnknown(f)
	return !unknown
}

// whyUnknown returns why a field of the instance is unknown, if it is.
func (s *Snapshot) whyUnknown(f Field) (reason string, unknown bool) {
	for _, g := range s.Unknown {
		if g.Field == f && g.WD == 0 {
			return g.Reason, true
		}
	}
	return "", false
}
