// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// Dump an instance, store the snapshot, and restore it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	if err := n.RestoreWatch(ctx, 700, dir, inotify.Create); err != nil {
		log.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "before"), nil, 0o600)

	// WithDrain includes the pending events. The path is found by its file handle or, without
	// the privilege for that, by a search that begins in TempDir.
	s, err := checkpoint.Dump(ctx, n, checkpoint.WithDrain(),
		checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(os.TempDir()))
	if err != nil {
		log.Fatal(err)
	}
	n.Close()
	var stored bytes.Buffer
	if _, err := s.WriteTo(&stored); err != nil {
		log.Fatal(err)
	}

	s, err = checkpoint.Read(&stored)
	if err != nil {
		log.Fatal(err)
	}
	r, err := s.Restore(ctx) // which also verifies the result
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	os.WriteFile(filepath.Join(dir, "after"), nil, 0o600)
	count := 0
	for ev, err := range r.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.WD, ev.Mask, ev.Name)
		if count++; count == 2 {
			break
		}
	}
	// On kernels that list watches (not gVisor), this prints:
	// 700 IN_CREATE before
	// 700 IN_CREATE after
}

// Dump all instances of a stopped process.
func ExampleDumpFD() {
	const pid = 4711 // of the stopped process
	instances, err := checkpoint.Instances(context.Background(), pid)
	if err != nil {
		log.Print(err)
		return
	}
	for _, i := range instances {
		s, err := checkpoint.DumpFD(context.Background(), pid, i.Descriptors[0].FD, checkpoint.WithDrain())
		if s != nil { // on an error, too, if events were drained
			s.WriteTo(os.Stdout)
		}
		if err != nil {
			log.Print(err)
		}
	}
}

// Restore watches on files that have no path any more, and pass the instance on.
func ExampleSnapshot_Restore() {
	var s *checkpoint.Snapshot            // from checkpoint.Read
	var held map[inotify.WD]*os.File      // files without a name
	var give func(*os.File, int) error    // passes the file to the program, as the descriptor given
	var queue func([]inotify.Event) error // passes events to the program, which handles them first
	r, err := s.Restore(context.Background(),
		checkpoint.WithFileFor(func(w checkpoint.Watch) (*os.File, error) { return held[w.WD], nil }),
		checkpoint.WithCycle(inotify.WithMaxSteps(10_000_000)), // for kernels without the ioctl
	)
	if err != nil {
		log.Print(err) // names the watch
		return
	}
	for _, gap := range r.NotRestored {
		log.Print("not restored: ", gap)
	}
	f, pending, err := r.Release()
	if err != nil {
		log.Print(err)
		return
	}
	defer f.Close()
	if err := errors.Join(queue(pending), give(f, s.FD)); err != nil {
		log.Print(err)
	}
}

// Compare two snapshots.
func ExampleSnapshot_Compare() {
	a := &checkpoint.Snapshot{Watches: []checkpoint.Watch{{Watch: inotify.Watch{WD: 1, Mask: inotify.Create}}}, NextWD: 2}
	b := &checkpoint.Snapshot{Watches: []checkpoint.Watch{{Watch: inotify.Watch{WD: 1, Mask: inotify.Delete}}}, NextWD: 2}
	for _, d := range a.Compare(b) {
		fmt.Println(d)
	}
	// Output: mask of watch 1: expected IN_CREATE, found IN_DELETE
}

// dumpToFile and restoreFromFile are in README.md.

func dumpToFile(ctx context.Context, pid, fd int, file io.Writer) error {
	s, err := checkpoint.DumpFD(ctx, pid, fd, checkpoint.WithDrain()) // of a stopped process
	if s != nil {                                                     // on an error, too, if events were drained: only s has them now
		_, werr := s.WriteTo(file) // JSON
		err = errors.Join(err, werr)
	}
	return err
}

func restoreFromFile(ctx context.Context, file io.Reader) (*os.File, []inotify.Event, error) {
	s, err := checkpoint.Read(file)
	if err != nil {
		return nil, nil, err
	}
	r, err := s.Restore(ctx) // a new instance, compared with the dump
	if err != nil {
		return nil, nil, err
	}
	for _, gap := range r.NotRestored { // nothing is left out silently
		log.Print("not restored: ", gap)
	}
	return r.Release() // the descriptor, and the events that could not be put into its queue
}

// An instance of another process is dumped to a file, and restored from it.
func ExampleDumpFD_file() {
	var file bytes.Buffer
	err := dumpToFile(context.Background(), 0, 3, &file) // there is no process 0
	fmt.Println(err != nil, file.Len())
	_, _, err = restoreFromFile(context.Background(), &file)
	fmt.Println(err != nil)
	// Output:
	// true 0
	// true
}
