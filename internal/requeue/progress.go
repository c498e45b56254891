// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import "time"

// A meter reports progress.
type meter struct {
	report      func(done, total int) // or nil
	done, total int
	last        time.Time
}

func newMeter(report func(done, total int), total int) *meter {
	return &meter{report: report, total: total, last: time.Now()}
}

func (m *meter) add(records int) {
	m.done = min(m.done+records, m.total)
	if m.report != nil && time.Since(m.last) >= 100*time.Millisecond {
		m.last = time.Now()
		m.report(m.done, m.total)
	}
}

func (m *meter) finish() {
	if m.report != nil {
		m.report(m.total, m.total)
	}
}
