// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/locate"
)

// manyWatches makes files in directories of 100 and watches every nth file.
func manyWatches(b *testing.B, files, every int) (dir string, ws []inotify.Watch) {
	b.Helper()
	dir = b.TempDir()
	if env := os.Getenv("LOCATE_BENCH_DIR"); env != "" {
		var err error
		dir, err = os.MkdirTemp(env, "bench")
		try(b, err)
		b.Cleanup(func() { os.RemoveAll(dir) })
	}
	n := newInotify(b)
	for i := range files {
		if i%100 == 0 {
			mkdir(b, fmt.Sprintf("%s/%d", dir, i/100))
		}
		path := touch(b, fmt.Sprintf("%s/%d/file-%d", dir, i/100, i))
		if i%every == 0 {
			_, err := n.AddWatch(path, quiet)
			try(b, err)
		}
	}
	return dir, lines(b, n)
}

func benchmark(b *testing.B, ws []inotify.Watch, o locate.Options) {
	b.Helper()
	p := proc(b, 0)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		res, err := locate.Paths(context.Background(), p, ws, o)
		try(b, err)
		for i := range res.Places {
			if res.Places[i].Path == "" {
				b.Fatal(res.Places[i].Err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(ws)), "ns/watch")
}

func BenchmarkHandles(b *testing.B) {
	needHandles(b)
	_, ws := manyWatches(b, 10_000, 1)
	benchmark(b, ws, byHandles)
}

// BenchmarkSearch must run with LOCATE_BENCH_DIR on an overlay, or where handles
// cannot be opened.
func BenchmarkSearch(b *testing.B) {
	dir, ws := manyWatches(b, 100_000, 100)
	benchmark(b, ws, locate.Options{Level: locate.Search, SearchDirs: []string{dir}})
}
