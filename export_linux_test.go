// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"runtime"
	"slices"
)

// What the tests of package inotify_test must reach.

// SetNextWDRequest is the ioctl's number on this processor.
func SetNextWDRequest() uintptr { return setNextWDRequest(runtime.GOARCH) }

// SetNextWDRequestOn is the ioctl's number on any processor.
func SetNextWDRequestOn(goarch string) uintptr { return setNextWDRequest(goarch) }

// DecodeEvent decodes the record at the front of b and returns its size.
func DecodeEvent(b []byte) (Event, int, error) {
	rec, size, err := decode(b)
	return Event{WD: rec.wd, Mask: rec.mask, Cookie: rec.cookie, Name: string(rec.name)}, size, err
}

// MaxPutBy is how many bytes a climb puts by.
const MaxPutBy = maxPutBy

// ScratchPaths are the directories that a climb may use.
func ScratchPaths() []string { return slices.Clone(scratchPaths[:]) }

// ScratchDirs are those that a long one uses here.
func ScratchDirs() []string {
	dirs, _, _ := scratchDirs(2 * groupSteps)
	return dirs
}

// LocalDirs returns those of ScratchPaths that can be used by a mountinfo.
func LocalDirs(text string) []string {
	dirs, _ := localDirs([]byte(text), scratchPaths[:])
	return dirs
}
