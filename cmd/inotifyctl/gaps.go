// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// checkRestorable returns an incompleteError if restore would refuse the dump as it is.
// It has the reason and what to do, with advice for paths that are unknown.
func checkRestorable(s *checkpoint.Snapshot, advice string) error {
	gaps := s.Unrestorable()
	if len(gaps) == 0 {
		return nil
	}
	drained := ""
	if advice != "" {
		advice += ", or "
		drained = drainedAdvice(s)
	}
	return &incompleteError{[]string{fmt.Sprintf("restore would refuse this dump: unknown %s; %sleave out such watches with restore -missing%s",
		strings.Join(subjects(gaps), ", "), advice, drained)}}
}

// drainedAdvice is what to know before another dump is made: it would lack the events that
// this one has drained.
func drainedAdvice(s *checkpoint.Snapshot) string {
	if len(s.Pending) == 0 {
		return ""
	}
	return fmt.Sprintf("; only this dump has its %s: write another dump to another file", count(len(s.Pending), "drained event", "drained events"))
}

// undumpedBytes returns how many bytes of events were pending and are not in the dump.
func undumpedBytes(s *checkpoint.Snapshot) int {
	if len(s.Pending) > 0 && s.Known(checkpoint.FieldPending) {
		return 0
	}
	return s.PendingBytes
}

// splitGaps splits the gaps of a restore into what is not as it was at the dump, and what was
// restored but could not be compared with the dump.
func splitGaps(gaps []checkpoint.Gap) (missing, unverified []checkpoint.Gap) {
	for _, g := range gaps {
		if g.Field == checkpoint.FieldInode || g.Field == checkpoint.FieldHandle {
			unverified = append(unverified, g)
		} else {
			missing = append(missing, g)
		}
	}
	return missing, unverified
}

// summary joins gaps that have the same reason: "next_wd, path of 3 watches (1, 2, 3):
// the reason".
func summary(gaps []checkpoint.Gap) (lines []string) {
	const most = 8
	var reasons []string
	byReason := make(map[string][]checkpoint.Gap)
	for _, g := range gaps {
		if byReason[g.Reason] == nil {
			reasons = append(reasons, g.Reason)
		}
		byReason[g.Reason] = append(byReason[g.Reason], g)
	}
	for i, reason := range reasons {
		if i == most && len(reasons) > most+1 {
			return append(lines, fmt.Sprintf("and more, for %d other reasons", len(reasons)-most))
		}
		lines = append(lines, strings.Join(subjects(byReason[reason]), ", ")+": "+oneLine(reason))
	}
	return lines
}

// subjects returns what gaps are about.
func subjects(gaps []checkpoint.Gap) (names []string) {
	type subject struct {
		field checkpoint.Field
		wds   []inotify.WD // empty if it is about the instance
	}
	var subjects []*subject
	for _, g := range gaps {
		i := slices.IndexFunc(subjects, func(s *subject) bool { return s.field == g.Field && (len(s.wds) == 0) == (g.WD == 0) })
		if i < 0 {
			i, subjects = len(subjects), append(subjects, &subject{field: g.Field})
		}
		if g.WD != 0 {
			subjects[i].wds = append(subjects[i].wds, g.WD)
		}
	}
	for _, s := range subjects {
		switch field := string(s.field); {
		case s.field == checkpoint.FieldStopped:
			names = append(names, "whether all processes that have the instance were stopped")
		case len(s.wds) == 0:
			names = append(names, field)
		case s.field == checkpoint.FieldWatch:
			names = append(names, watches(s.wds))
		default:
			names = append(names, field+" of "+watches(s.wds))
		}
	}
	return names
}

// watches returns "watch 7", or "6 watches (1, 2, 3, 4, 5, …)".
func watches(wds []inotify.WD) string {
	const most = 5
	if len(wds) == 1 {
		return fmt.Sprint("watch ", wds[0])
	}
	var some []string
	for _, wd := range wds[:min(len(wds), most)] {
		some = append(some, fmt.Sprint(wd))
	}
	if len(wds) > most {
		some = append(some, "…")
	}
	return fmt.Sprintf("%d watches (%s)", len(wds), strings.Join(some, ", "))
}
