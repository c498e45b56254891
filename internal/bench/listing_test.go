// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify"
)

// TestListWrong: it is an error if the listed watches or the length of the fdinfo
// are not the expected ones.
func TestListWrong(t *testing.T) {
	n, err := inotify.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := n.AddWatch(path, inotify.Attrib); err != nil {
			t.Fatal(err)
		}
	}
	if took, err := timeWatches(n, 2); err != nil || took <= 0 {
		t.Errorf("2 of 2 watches: %v, %v", took, err)
	}
	if _, err := timeWatches(n, 3); err == nil || !strings.Contains(err.Error(), "2 watches are listed, want 3") {
		t.Errorf("2 of 3 watches: %v", err)
	}
	if _, err := n.AddWatch("/", inotify.Create); err != nil {
		t.Fatal(err)
	}
	if _, err := timeWatches(n, 3); err == nil || !strings.Contains(err.Error(), "watch 3 is listed as") {
		t.Errorf("another mask: %v", err)
	}

	const length = 100_000
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, make([]byte, length), 0o600); err != nil {
		t.Fatal(err)
	}
	if took, err := timeBareRead(path, length); err != nil || took <= 0 {
		t.Errorf("the whole file: %v, %v", took, err)
	}
	if _, err := timeBareRead(path, length+1); err == nil || !strings.Contains(err.Error(), "has 100000 bytes, want 100001") {
		t.Errorf("a shorter file: %v", err)
	}
	if _, err := timeBareRead(path+"?", 0); err == nil || !strings.Contains(err.Error(), "text?") {
		t.Errorf("no file: %v", err)
	}
}

func TestListing(t *testing.T) {
	if err := tryListing(); err != nil {
		t.Error(err)
	}
}
