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

// An instance is taken, carried, and put together again.
func Example_carry() {
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

	// WithDrain takes the pending events as well. The path is found by its handle,
	// or, without the privilege for that, by searching, first in TempDir.
	s, err := checkpoint.Dump(ctx, n, checkpoint.WithDrain(),
		checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(os.TempDir()))
	if err != nil {
		log.Fatal(err)
	}
	n.Close()
	var carried bytes.Buffer
	if _, err := s.WriteTo(&carried); err != nil {
		log.Fatal(err)
	}

	s, err = checkpoint.Read(&carried)
	if err != nil {
		log.Fatal(err)
	}
	r, err := s.Restore(ctx) // and proved: an error if it is not the same
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
	// It prints, where the kernel lists watches (not gVisor):
	// 700 IN_CREATE before
	// 700 IN_CREATE after
}

// A checkpoint tool takes the instances of a stopped process, each once.
func ExampleDumpFD() {
	const pid = 1 // the process
	instances, err := checkpoint.Instances(context.Background(), pid)
	if err != nil {
		log.Print(err)
		return
	}
	for _, i := range instances {
		s, err := checkpoint.DumpFD(context.Background(), pid, i.Descriptors[0].FD, checkpoint.WithDrain())
		if s != nil { // also with an error, if events were taken
			s.WriteTo(os.Stdout)
		}
		if err != nil {
			log.Print(err)
		}
	}
}

// A restore tool supplies files for what has no path any more, and hands the
// instance on.
func ExampleSnapshot_Restore() {
	var s *checkpoint.Snapshot            // read from somewhere
	var held map[inotify.WD]*os.File      // what the process had open
	var give func(*os.File, int) error    // puts it in its place
	var queue func([]inotify.Event) error // keeps events that the kernel's queue cannot have
	r, err := s.Restore(context.Background(),
		checkpoint.WithFileFor(func(w checkpoint.Watch) (*os.File, error) { return held[w.WD], nil }),
		checkpoint.WithCycle(inotify.WithMaxSteps(10_000_000)), // for kernels without the ioctl
	)
	if err != nil {
		log.Print(err) // what differs, or which watch could not be restored
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

// A live instance is compared with a snapshot.
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
	if s != nil {                                                     // also with an error, if events were drained: they are nowhere else now
		_, werr := s.WriteTo(file) // JSON
		err = errors.Join(err, werr)
	}
	if err != nil {
		return err
	}
	return nil
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
	return r.Release() // the descriptor, and events that could not be put back into its queue
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
