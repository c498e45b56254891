// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"fmt"
	"maps"
	"slices"
)

// A SideEffect is something that a dump did and that another process may have noticed.
//
// Its JSON form has the strings "kind" and "detail". If Detail is not UTF-8, it has
// "detail_bytes" in base64 instead.
type SideEffect struct {
	Kind   SideEffectKind
	Detail string // for SideEffectTreeRead the root of the tree; otherwise empty
}

// A SideEffectKind is a kind of side effect.
type SideEffectKind string

const (
	// SideEffectDuplicated: a duplicate of the descriptor was open. A process that
	// closed its own descriptor meanwhile still got epoll events for it.
	SideEffectDuplicated SideEffectKind = "duplicated"

	// SideEffectDrained: the pending events were removed from the instance. Meanwhile,
	// the instance had O_NONBLOCK.
	SideEffectDrained SideEffectKind = "drained"

	// SideEffectProcRead: directories and files of /proc were read, to find the processes
	// that have the instance. Watches on them, also of the instance itself, got
	// IN_OPEN, IN_ACCESS and IN_CLOSE_NOWRITE.
	SideEffectProcRead SideEffectKind = "proc_read"

	// SideEffectProbed: a watch was added and removed to read the next wd, which was
	// then set back. Readers of the instance may have been woken, and may have read
	// the watch's IN_IGNORED.
	SideEffectProbed SideEffectKind = "probed"

	// SideEffectNextWDMoved: the next wd is greater by one. It was to be read by adding a
	// watch, which failed because the limit of watches was reached.
	SideEffectNextWDMoved SideEffectKind = "next_wd_moved"

	// SideEffectHandlesOpened: file handles were opened with O_PATH. Watches on directories
	// above those that were not cached may have got IN_OPEN, IN_ACCESS and
	// IN_CLOSE_NOWRITE. An IN_DELETE_SELF may have been delayed.
	SideEffectHandlesOpened SideEffectKind = "handles_opened"

	// SideEffectTreeRead: the directories below Detail were read. Watches on them got
	// IN_OPEN, IN_ACCESS and IN_CLOSE_NOWRITE.
	SideEffectTreeRead SideEffectKind = "tree_read"
)

var sideEffects = map[SideEffectKind]string{
	SideEffectDuplicated:    "a duplicate of the descriptor was open: a process that closed its own meanwhile still got epoll events for it",
	SideEffectDrained:       "the pending events were removed from the instance, which had O_NONBLOCK meanwhile",
	SideEffectProcRead:      "/proc was read to find the processes that have the instance: watches on it, also of the instance itself, got IN_OPEN, IN_ACCESS and IN_CLOSE_NOWRITE",
	SideEffectProbed:        "a watch was added and removed to read the next wd: readers of the instance may have been woken and may have read its IN_IGNORED",
	SideEffectNextWDMoved:   "the next wd is greater by one: the watch that was to read it was over the limit of watches",
	SideEffectHandlesOpened: "file handles were opened: watches on directories above those that were not cached may have got IN_OPEN, IN_ACCESS and IN_CLOSE_NOWRITE, and an IN_DELETE_SELF may have been delayed",
	SideEffectTreeRead:      "the directories below %s were read: watches on them got IN_OPEN, IN_ACCESS and IN_CLOSE_NOWRITE",
}

// String describes the side effect in a sentence.
func (e SideEffect) String() string {
	text, known := sideEffects[e.Kind]
	switch {
	case !known:
		return fmt.Sprintf("%s: %s", string(e.Kind), e.Detail)
	case e.Kind == SideEffectTreeRead:
		return fmt.Sprintf(text, e.Detail)
	}
	return text
}

func parseSideEffectKind(s string) (SideEffectKind, error) {
	return parseConstant(s, "kind", maps.Keys(sideEffects))
}

func (s *Snapshot) addSideEffect(kind SideEffectKind, detail string) {
	if e := (SideEffect{kind, detail}); !slices.Contains(s.SideEffects, e) {
		s.SideEffects = append(s.SideEffects, e)
	}
}
