// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seed10546c08/inotify"
)

func ExampleNew() {
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err) // a *LimitError names the limits that can be the cause
	}
	defer n.Close()
	pending, err := n.Buffered()
	fmt.Println(pending, err)
	// Output: 0 <nil>
}

func ExampleInotify_AddWatch() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	paths := map[inotify.WD]string{}
	wd, err := n.AddWatch(dir, inotify.Create|inotify.OnlyDir)
	if err != nil {
		log.Fatal(err)
	}
	paths[wd] = dir

	if err := os.WriteFile(filepath.Join(dir, "hello"), nil, 0o600); err != nil {
		log.Fatal(err)
	}
	ev, err := n.ReadEvent()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ev.WD == wd, paths[ev.WD] == dir, ev.Mask, ev.Name)
	// Output: true true IN_CREATE hello
}

func ExampleInotify_Events() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	if _, err := n.AddWatch(dir, inotify.Create|inotify.Delete); err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(dir, "hello")
	if err := errors.Join(os.Mkdir(path, 0o700), os.Remove(path)); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for ev, err := range n.Events(ctx) {
		if err != nil {
			fmt.Println(err) // of the last pair: ctx ended, n was closed, or a read failed
			break
		}
		switch {
		case ev.Mask.Has(inotify.QOverflow):
			fmt.Println("events were lost: look at the directory again")
		case ev.Mask.Has(inotify.Delete):
			cancel()
		}
		fmt.Println(ev.Mask, ev.Name)
	}
	// Output:
	// IN_CREATE|IN_ISDIR hello
	// IN_DELETE|IN_ISDIR hello
	// context canceled
}

func ExampleInotify_SetNextWD() {
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	switch err := n.SetNextWD(1000); {
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Println(1000) // this kernel lacks the ioctl; RestoreNextWD works without it
		return
	case err != nil:
		log.Fatal(err)
	}
	wd, err := n.AddWatch("/", inotify.MoveSelf)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(wd)
	// Output: 1000
}

func ExampleInotify_RestoreWatch() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()

	// On any kernel the watch has this wd, or there is an error.
	err = n.RestoreWatch(context.Background(), 1234, dir, inotify.Create,
		inotify.WithMaxSteps(5000), // for kernels without the ioctl
		inotify.WithProgress(func(p inotify.Progress) { log.Printf("%d of %d", p.Done, p.Steps) }))
	var cycle *inotify.CycleError
	if errors.As(err, &cycle) && cycle.Steps > cycle.Limit {
		log.Fatalf("it would take %d steps", cycle.Steps)
	}
	if err != nil {
		log.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "hello"), 0o700); err != nil {
		log.Fatal(err)
	}
	ev, err := n.ReadEvent()
	fmt.Println(ev.WD, ev.Mask, ev.Name, err)
	// Output: 1234 IN_CREATE|IN_ISDIR hello <nil>
}

func ExampleInotify_RestoreWatches() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()

	saved := []inotify.Watch{
		{WD: 1700, Path: dir, Mask: inotify.Create},
		{WD: 12, Path: "/", Mask: inotify.MoveSelf | inotify.OneShot},
		{WD: 13, Path: filepath.Join(dir, "gone"), Mask: inotify.Modify},
	}
	// All or none; the error names the watch that failed.
	err = n.RestoreWatches(context.Background(), saved)
	var failed *inotify.RestoreError
	if errors.As(err, &failed) {
		fmt.Println(failed.Watch.WD, errors.Is(err, os.ErrNotExist))
	}
	// Without the ioctl, n may have passed these wds now. A new instance can reach any wd.
	fresh, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer fresh.Close()
	fmt.Println(fresh.RestoreWatches(context.Background(), saved[:2]))
	// Output:
	// 13 true
	// <nil>
}

func ExampleInotify_NextWD() {
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	if err := n.RestoreWatch(context.Background(), 41, "/", inotify.MoveSelf); err != nil {
		log.Fatal(err)
	}
	wd, err := n.NextWD()
	if errors.Is(err, errors.ErrUnsupported) {
		wd = 42 // this kernel lacks the ioctl
	}
	fmt.Println(wd)
	// Output: 42
}

func ExampleInotify_TryReadEvent() {
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	wd, err := n.AddWatch("/", inotify.MoveSelf)
	if err != nil {
		log.Fatal(err)
	}
	if err := n.RemoveWatch(wd); err != nil {
		log.Fatal(err)
	}
	// When your event loop says that the descriptor is readable:
	for {
		ev, ok, err := n.TryReadEvent()
		if err != nil {
			log.Fatal(err)
		}
		if !ok {
			break
		}
		fmt.Println(ev.WD == wd, ev.Mask)
	}
	// Output: true IN_IGNORED
}

func ExampleInotify_Watches() {
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	if _, err := n.AddWatch("/", inotify.MoveSelf|inotify.ExclUnlink); err != nil {
		log.Fatal(err)
	}
	ws, err := n.Watches()
	if errors.Is(err, errors.ErrUnsupported) {
		ws = []inotify.Watch{{WD: 1, Mask: inotify.MoveSelf | inotify.ExclUnlink}} // gVisor lists none
	}
	for _, w := range ws {
		fmt.Println(w.WD, w.Mask)
	}
	// Output: 1 IN_MOVE_SELF|IN_EXCL_UNLINK
}

func ExampleParseMask() {
	m, err := inotify.ParseMask("IN_CREATE|IN_DELETE")
	fmt.Println(m == inotify.Create|inotify.Delete, err)
	// Output: true <nil>
}
