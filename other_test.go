// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package inotify_test

import (
	"errors"
	"os"
	"testing"

	"github.com/seed10546c08/inotify"
)

// On other systems New and FromFile return errors.ErrUnsupported.
func TestUnsupportedElsewhere(t *testing.T) {
	if n, err := inotify.New(); n != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("New: %v, %v; want errors.ErrUnsupported", n, err)
	}
	if n, err := inotify.FromFile(os.Stdin); n != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("FromFile: %v, %v; want errors.ErrUnsupported", n, err)
	}
}
