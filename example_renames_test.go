// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/seed10546c08/inotify"
)

// A half is a MovedFrom whose MovedTo has not come yet.
type half struct {
	event inotify.Event
	until time.Time // then it counts as moved out of the directory
}

// pairRenames reports renames until the Inotify is closed. The two halves of a rename have
// the same cookie. Other events can lie between them, and one half is missing if the other
// directory is not watched: then from or to is empty.
func pairRenames(n *inotify.Inotify, wait time.Duration, report func(from, to string)) error {
	var halves []half // the oldest first
	for {
		// ReadEvent returns events that are there even after the deadline, so look at the
		// clock after each.
		ev, err := n.ReadEvent()
		for len(halves) > 0 && time.Now().After(halves[0].until) {
			report(halves[0].event.Name, "")
			halves = halves[1:]
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			for _, h := range halves {
				report(h.event.Name, "")
			}
			return err
		case ev.Mask.Has(inotify.MovedFrom):
			halves = append(halves, half{ev, time.Now().Add(wait)})
		case ev.Mask.Has(inotify.MovedTo):
			from := ""
			for i, h := range halves {
				if h.event.Cookie == ev.Cookie {
					from = h.event.Name
					halves = append(halves[:i], halves[i+1:]...)
					break
				}
			}
			report(from, ev.Name)
		}
		var deadline time.Time // none
		if len(halves) > 0 {
			deadline = halves[0].until
		}
		if err := n.SetReadDeadline(deadline); err != nil {
			return err
		}
	}
}

// Renames are paired by their cookie. A half without a partner is a file that left or
// entered the directory.
func Example_renames() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	inside, outside := filepath.Join(dir, "inside"), filepath.Join(dir, "outside")
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	err = errors.Join(os.Mkdir(inside, 0o700), os.Mkdir(outside, 0o700),
		os.WriteFile(filepath.Join(inside, "one"), nil, 0o600))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := n.AddWatch(inside, inotify.Move|inotify.OnlyDir); err != nil {
		log.Fatal(err)
	}
	err = errors.Join(
		os.Rename(filepath.Join(inside, "one"), filepath.Join(inside, "two")),
		os.Rename(filepath.Join(inside, "two"), filepath.Join(outside, "three")))
	if err != nil {
		log.Fatal(err)
	}

	err = pairRenames(n, 10*time.Millisecond, func(from, to string) {
		fmt.Printf("%q -> %q\n", from, to)
		if to == "" {
			os.Rename(filepath.Join(outside, "three"), filepath.Join(inside, "four"))
		}
		if from == "" {
			n.Close()
		}
	})
	fmt.Println(errors.Is(err, os.ErrClosed))
	// Output:
	// "one" -> "two"
	// "two" -> ""
	// "" -> "four"
	// true
}
