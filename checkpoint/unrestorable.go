// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import "github.com/seed10546c08/inotify"

// Unrestorable lists the watches that [Snapshot.Restore] refuses with [ErrNoPath],
// each with the reason that the snapshot has: [WithFiles] can supply a file for it,
// and [WithMissing] leaves it out. Other watches can fail only by what is at their
// path by then.
func (s *Snapshot) Unrestorable() []Gap {
	var gaps []Gap
	var reasons map[inotify.WD]string
	for i := range s.Watches {
		w := &s.Watches[i]
		if w.hasTarget() == nil {
			continue
		}
		if reasons == nil {
			reasons = s.pathReasons()
		}
		why := reasons[w.WD]
		if why == "" {
			why = reasons[0]
		}
		gaps = append(gaps, Gap{"path", w.WD, why})
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
	for _, g := range s.NotLearned {
		if _, known := reasons[g.WD]; g.What == "path" && !known {
			reasons[g.WD] = g.Why
		}
	}
	if reasons[0] == "" {
		reasons[0] = "the snapshot does not say why"
	}
	return reasons
}
