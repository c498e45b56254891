// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// internal/bench compares with peers.

// thousands returns an instance with 10,000 watches, each on a file of its own, and its
// snapshot.
func thousands(b *testing.B) (*inotify.Inotify, *checkpoint.Snapshot) {
	b.Helper()
	needLists(b)
	needIoctl(b)
	needHandles(b)
	var ws []inotify.Watch
	for i, path := range files(b, 10_000) {
		ws = append(ws, inotify.Watch{WD: inotify.WD(1_000_000 + i), Mask: inotify.AllEvents, Path: path})
	}
	n := newInotify(b)
	if err := n.RestoreWatches(kerneltest.Context(b), ws); err != nil {
		b.Fatal(err)
	}
	s, err := checkpoint.Dump(kerneltest.Context(b), n)
	if err != nil || len(s.Unknown) != 0 {
		b.Fatal(err, s.Unknown)
	}
	return n, s
}

func BenchmarkRestore(b *testing.B) {
	_, s := thousands(b)
	for name, level := range map[string]checkpoint.VerifyLevel{"identity": checkpoint.VerifyIdentity, "wds": checkpoint.VerifyWDs, "unverified": checkpoint.VerifyNone} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				r, err := s.Restore(kerneltest.Context(b), checkpoint.WithVerify(level))
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				r.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(s.Watches)), "ns/watch")
		})
	}
}

func BenchmarkDump(b *testing.B) {
	n, s := thousands(b)
	for name, paths := range map[string]checkpoint.Paths{"none": checkpoint.PathsNone, "handles": checkpoint.PathsByHandle} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := checkpoint.Dump(kerneltest.Context(b), n, checkpoint.WithPaths(paths)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(s.Watches)), "ns/watch")
		})
	}
}
