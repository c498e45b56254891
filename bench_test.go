// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/sys"
)

// The benchmarks measure both sides of a ratio in turn, a batch of each at a
// time, so that the machine's noise falls on both, and report the median of the
// batches' ratios.

// alternate runs ours and bare in turn, which return how long they took, and reports the median
// of ours over bare. Each is first in every other round.
func alternate(b *testing.B, ours, bare func() time.Duration) {
	b.Helper()
	var ratios []float64
	b.ResetTimer()
	for range b.N {
		var one, two time.Duration
		if len(ratios)%2 == 0 {
			one, two = ours(), bare()
		} else {
			two, one = bare(), ours()
		}
		ratios = append(ratios, float64(one)/float64(two))
	}
	b.ReportMetric(median(ratios), "ratio")
}

// times returns a function that calls f count times and returns how long that took.
func times(count int, f func()) func() time.Duration {
	return func() time.Duration {
		start := time.Now()
		for range count {
			f()
		}
		return time.Since(start)
	}
}

func median(xs []float64) float64 {
	sorted := slices.Sorted(slices.Values(xs))
	return sorted[len(sorted)/2]
}

// onNew returns a function that calls f for each path on a new instance and returns how long
// that took.
func onNew(b *testing.B, paths []string, f func(n *inotify.Inotify, i int, path string) error) func() time.Duration {
	return func() time.Duration {
		n, err := inotify.New()
		if err != nil {
			b.Fatal(err)
		}
		defer n.Close()
		start := time.Now()
		for i, path := range paths {
			if err := f(n, i, path); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
}

// onBare is onNew for bare system calls.
func onBare(b *testing.B, paths []string, f func(fd, i int, path string) error) func() time.Duration {
	return func() time.Duration {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(fd)
		start := time.Now()
		for i, path := range paths {
			if err := f(fd, i, path); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
}

// BenchmarkAddWatch compares with the bare call, for new watches.
func BenchmarkAddWatch(b *testing.B) {
	paths := files(b, 5000)
	b.ReportAllocs()
	alternate(b, onNew(b, paths, func(n *inotify.Inotify, _ int, path string) error {
		_, err := n.AddWatch(path, inotify.Attrib)
		return err
	}), onBare(b, paths, func(fd, _ int, path string) error {
		_, err := unix.InotifyAddWatch(fd, path, unix.IN_ATTRIB)
		return err
	}))
}

// BenchmarkAddWatchAgain compares with the bare call on a watched path, which is the shortest
// call. Both use one descriptor, because a second watch on an inode takes the kernel longer to
// find.
func BenchmarkAddWatchAgain(b *testing.B) {
	n := newInotify(b)
	conn, err := n.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	var bare int
	conn.Control(func(fd uintptr) { bare = int(fd) })
	for name, path := range map[string]string{"root": "/", "file": files(b, 1)[0]} {
		b.Run(name, func(b *testing.B) {
			alternate(b, times(2000, func() {
				if _, err := n.AddWatch(path, inotify.Attrib); err != nil {
					b.Fatal(err)
				}
			}), times(2000, func() {
				if _, err := unix.InotifyAddWatch(bare, path, unix.IN_ATTRIB); err != nil {
					b.Fatal(err)
				}
			}))
		})
	}
}

// BenchmarkRestoreWatch compares with the two bare calls, each on new watches.
func BenchmarkRestoreWatch(b *testing.B) {
	needIoctl(b)
	paths := files(b, 5000)
	request := uint(sys.SetNextRequest(runtime.GOARCH))
	alternate(b, onNew(b, paths, func(n *inotify.Inotify, i int, path string) error {
		return n.RestoreWatch(kerneltest.Context(b), inotify.WD(1000+3*i), path, inotify.Attrib)
	}), onBare(b, paths, func(fd, i int, path string) error {
		if err := unix.IoctlSetInt(fd, request, 1000+3*i); err != nil {
			return err
		}
		_, err := unix.InotifyAddWatch(fd, path, unix.IN_ATTRIB)
		return err
	}))
}

// BenchmarkReadEvent reads events of 16 names in turn.
func BenchmarkReadEvent(b *testing.B) {
	n := newInotify(b)
	dir := b.TempDir()
	paths := make([]string, 16)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprint("file", i))
		touch(b, paths[i])
	}
	add(b, n, dir, inotify.Attrib)
	const batch = 8000
	fill := func() {
		for i := range batch {
			if err := unix.Chmod(paths[i%16], 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	left := 0
	b.ResetTimer()
	for range b.N {
		if left == 0 {
			b.StopTimer()
			fill()
			left = batch
			b.StartTimer()
		}
		if _, err := n.ReadEvent(); err != nil {
			b.Fatal(err)
		}
		left--
	}
}

// BenchmarkCycleStep measures one step of the add/remove cycle.
func BenchmarkCycleStep(b *testing.B) {
	withoutIoctl(b)
	n := newInotify(b)
	path := files(b, 1)[0]
	b.ResetTimer()
	if err := n.RestoreWatch(kerneltest.Context(b), inotify.WD(1+b.N), path, inotify.Attrib, inotify.WithMaxSteps(int64(b.N))); err != nil {
		b.Fatal(err)
	}
	if b.N > 1 {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/step")
	}
	os.Remove(path)
}
