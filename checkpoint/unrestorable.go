// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"cmp"

	"github.com/seed10546c08/inotify"
)

// Unrestorable lists the watches without a path, each with the snapshot's reason.
// [Snapshot.Restore] fails with [ErrNoPath] for them, unless [WithFileFor] supplies a file or
// [AllowMissing] leaves them out.
func (s *Snapshot) Unrestorable() []Gap {
	var gaps []Gap
	reasons := s.pathReasons()
	for i := range s.Watches {
		w := &s.Watches[i]
		if w.checkPath() != nil {
			gaps = append(gaps, Gap{FieldPath, w.WD, pathReason(reasons, w.WD)})
		}
	}
	return gaps
}

// checkPath returns ErrNoPath if w has no path.
func (w *Watch) checkPath() error {
	if w.Path == "" {
		return ErrNoPath
	}
	return nil
}

// pathReasons returns why the path of each watch is unknown. wd 0 has the reason for watches
// that are not listed.
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
	return cmp.Or(reasons[wd], reasons[0], "the snapshot has no reason")
}
