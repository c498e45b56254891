// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// Unrestorable lists exactly the watches that Restore cannot restore.
func TestUnrestorable(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	const stale, notRequested, noReason = "stale", "not requested", "the snapshot has no reason"
	for _, tt := range []struct {
		name  string
		paths []string
		gaps  []checkpoint.Gap
		want  []checkpoint.Gap
	}{
		{"all known", dirs, nil, nil},
		{"all known, another field unknown", dirs, []checkpoint.Gap{{Field: "next_wd", Reason: notRequested}, {Field: "type", WD: 2, Reason: stale}}, nil},
		{"one unknown", []string{dirs[0], ""},
			[]checkpoint.Gap{{Field: "path", Reason: "/mnt was not searched"}, {Field: "path", WD: 2, Reason: stale}},
			[]checkpoint.Gap{{Field: "path", WD: 2, Reason: stale}}},
		{"none requested", []string{"", ""}, []checkpoint.Gap{{Field: "path", Reason: notRequested}},
			[]checkpoint.Gap{{Field: "path", WD: 1, Reason: notRequested}, {Field: "path", WD: 2, Reason: notRequested}}},
		{"no reason", []string{"", dirs[1]}, []checkpoint.Gap{{Field: "type", WD: 1, Reason: stale}},
			[]checkpoint.Gap{{Field: "path", WD: 1, Reason: noReason}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &checkpoint.Snapshot{Unknown: tt.gaps}
			for i, path := range tt.paths {
				s.Watches = append(s.Watches, checkpoint.Watch{Watch: inotify.Watch{WD: inotify.WD(i + 1), Mask: inotify.Create, Path: path}})
			}
			if got := s.Unrestorable(); !slices.Equal(got, tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
			r, err := s.Restore(context.Background(), checkpoint.WithVerify(checkpoint.VerifyNone))
			if errors.Is(err, checkpoint.ErrNoPath) != (tt.want != nil) {
				t.Errorf("Restore's error is %v", err)
			}
			if err == nil {
				r.Close()
			} else if tt.want == nil {
				t.Error(err)
			}
			if r, err = s.Restore(context.Background(), checkpoint.AllowMissing(), checkpoint.WithVerify(checkpoint.VerifyNone)); err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if len(r.NotRestored) < len(tt.want) {
				t.Errorf("not restored: %v", r.NotRestored)
			}
		})
	}
}
