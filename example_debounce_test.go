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

// debounce calls f with the names that changed each time nothing has changed for as
// long as quiet. It ends when ctx ends or n is closed, after a last call for what had
// changed by then, and returns why.
func debounce(ctx context.Context, n *inotify.Inotify, quiet time.Duration, f func(changed map[string]bool)) error {
	changed := map[string]bool{}
	flush := func() {
		if len(changed) > 0 {
			f(changed)
			changed = map[string]bool{}
		}
	}
	for {
		// Events never ends without an error unless the loop is left, so this cannot spin.
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
			if err := n.SetReadDeadline(deadline); err != nil { // it was closed
				flush()
				return err
			}
		}
	}
}

// Changes that come close together are reported together.
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
