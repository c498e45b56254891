// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"cmp"

	"github.com/seed10546c08/inotify"
)

// Unrestorable lists the watches that [Snapshot.Restore] refuses with [ErrNoPath],
// each with the reason that the snapshot has: [WithFileFor] can supply a file for it,
// and [AllowMissing] leaves it out. Other watches can fail only by what is at their
// path by then.
func (s *Snapshot) Unrestorable() []Gap {
	var gaps []Gap
	reasons := s.pathReasons()
	for i := range s.Watches {
		w := &s.Watches[i]
		if w.hasTarget() != nil {
			gaps = append(gaps, Gap{FieldPath, w.WD, pathReason(reasons, w.WD)})
		}
	}
	return gaps
}

// hasTarget returns ErrNoPath if w names nothing that could be watched again.
func (w *Watch) hasTarget() error {
	if w.Path == "" {
		return ErrNoPath
	}
	return nil
}

// pathReasons returns why paths are unknown: of each watch, and for wd 0 of those
// that have no reason of their own.
func (s *Snapshot) pathReasons() map[inotify.WD]string {
	reasons := make(map[inotify.WD]string)
	for _, g := range s.Unknown {
		if _, known := reasons[g.WD]; g.Field == FieldPath && !known {
			reasons[g.WD] = g.Reason
		}
	}
	return reasons
}

func pathReason(reasons map[inotify.WD]string, wd inotify.WD) string {
	return cmp.Or(reasons[wd], reasons[0], "the snapshot does not say why")
}
