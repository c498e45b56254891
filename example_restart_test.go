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

// A watcher writes a journal of events with their wds. After a restart its watches have
// their old wds, so the journal stays valid.
func Example_restart() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	docs, src, music := filepath.Join(dir, "docs"), filepath.Join(dir, "src"), filepath.Join(dir, "music")
	if err := errors.Join(os.Mkdir(docs, 0o700), os.Mkdir(src, 0o700), os.Mkdir(music, 0o700)); err != nil {
		log.Fatal(err)
	}
	type entry struct {
		wd   inotify.WD
		name string
	}
	var journal []entry
	var saved []inotify.Watch // a real program writes it to a file

	// The first run.
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	for _, path := range []string{docs, music, src} {
		const mask = inotify.Create | inotify.OnlyDir
		wd, err := n.AddWatch(path, mask)
		if err != nil {
			log.Fatal(err)
		}
		if path == music {
			err = n.RemoveWatch(wd) // its wd is free now, but must not be reused
		} else {
			saved = append(saved, inotify.Watch{WD: wd, Path: path, Mask: mask})
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	journal = append(journal, entry{saved[1].WD, "main.go"})
	n.Close()

	// The second run.
	n, err = inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	if err := n.RestoreWatches(context.Background(), saved); err != nil {
		log.Fatal(err) // a *RestoreError names the watch that failed; none was added
	}
	paths := map[inotify.WD]string{}
	for _, w := range saved {
		paths[w.WD] = w.Path
	}
	// The next wd is the one after the highest restored, as it was before.
	wd, err := n.AddWatch(music, inotify.Create|inotify.OnlyDir)
	if err != nil {
		log.Fatal(err)
	}
	paths[wd] = music
	if err := os.Mkdir(filepath.Join(docs, "new"), 0o700); err != nil {
		log.Fatal(err)
	}
	ev, err := n.ReadEvent()
	if err != nil {
		log.Fatal(err)
	}
	journal = append(journal, entry{ev.WD, ev.Name})
	for _, e := range journal {
		fmt.Println(e.wd, filepath.Base(paths[e.wd]), e.name)
	}
	fmt.Println(wd)
	// Output:
	// 3 src main.go
	// 1 docs new
	// 4
}
