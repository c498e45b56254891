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
	"time"

	"github.com/seed10546c08/inotify"
)

// debounce collects the names that change. When nothing has changed for the time quiet, it
// calls f with them. When ctx ends or n is closed, it calls f for what is left, and returns
// the reason.
func debounce(ctx context.Context, n *inotify.Inotify, quiet time.Duration, f func(changed map[string]bool)) error {
	changed := map[string]bool{}
	flush := func() {
		if len(changed) > 0 {
			f(changed)
			changed = map[string]bool{}
		}
	}
	for {
		// Events ends only with an error, which sets a deadline or returns: this cannot spin.
		for ev, err := range n.Events(ctx) {
			var deadline time.Time // none
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				flush()
			case err != nil:
				flush()
				return err
			default:
				changed[ev.Name] = true
				deadline = time.Now().Add(quiet)
			}
			if err := n.SetReadDeadline(deadline); err != nil { // n was closed
				flush()
				return err
			}
		}
	}
}

// Changes in quick succession are reported together.
func Example_debounce() {
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
	if _, err := n.AddWatch(dir, inotify.CloseWrite|inotify.OnlyDir); err != nil {
		log.Fatal(err)
	}
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("text"), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	write("a")
	write("b")
	write("a")

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	calls := 0
	err = debounce(ctx, n, 20*time.Millisecond, func(changed map[string]bool) {
		fmt.Println(changed)
		if calls++; calls == 1 {
			write("c")
			go func() {
				time.Sleep(5 * time.Millisecond)
				cancel(errors.New("enough"))
			}()
		}
	})
	fmt.Println(err)
	// Output:
	// map[a:true b:true]
	// map[c:true]
	// enough
}
