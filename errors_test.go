// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify"
)

// Each error has its documented text and unwraps to its cause.
func TestErrorTexts(t *testing.T) {
	cause := errors.New("cause")
	cycle := inotify.CycleError{WD: 900, Next: 100, Steps: 800, Limit: 800, Err: cause}
	arrived, stopped, long, passed := cycle, cycle, cycle, cycle
	arrived.Next = 900
	stopped.Done = 7
	long.Limit = 799
	passed.Next = 901
	const cycleText = "add/remove cycle to wd 900: "
	for _, test := range []struct {
		err  error
		text string
	}{
		{&inotify.UnsupportedError{Feature: "this", Needs: "Linux 9", Err: cause}, "this needs Linux 9: cause"},
		{&inotify.UnsupportedError{Feature: "this", Needs: "Linux 9"}, "this needs Linux 9"},
		{&inotify.WDError{Want: 5, Got: inotify.NoWD}, "wd 5 is in use by another watch of this instance"},
		{&inotify.WDError{Want: 5, Got: 6}, "wd 5 is in use by another watch of this instance: the kernel gave 6"},
		{&inotify.RestoreError{Watch: inotify.Watch{WD: 5, Path: "/a\n"}, Err: cause}, `restore wd 5 on "/a\n": cause`},
		{&inotify.RestoreError{Watch: inotify.Watch{WD: 5, Path: "/a"}, Done: 1, Err: cause}, `restore wd 5 on "/a": cause (1 watch rolled back)`},
		{&inotify.RestoreError{Watch: inotify.Watch{WD: 5, Path: "/a"}, Done: 2, Err: cause}, `restore wd 5 on "/a": cause (2 watches rolled back)`},
		{&cycle, cycleText + "stopped after 0 of 800 steps: cause"},
		{&arrived, cycleText + "stopped after 0 of 800 steps: cause"},
		{&stopped, cycleText + "stopped after 7 of 800 steps: cause"},
		{&long, cycleText + "800 steps are needed and 799 are allowed: raise the limit: cause"},
		{&passed, cycleText + "the next wd is already 901, and the cycle only counts up: restore on a fresh instance, in ascending order: cause"},
		{&inotify.LimitError{What: "things", Limits: []inotify.Limit{{"fs.a", 0}, {"fs.b", -1}, {"fs.c", 7}}, Err: cause},
			"too many things: raise fs.a (now 0) or fs.b or fs.c (now 7): cause"},
	} {
		if got := test.err.Error(); got != test.text {
			t.Errorf("%#v is\n%s\nwant\n%s", test.err, got, test.text)
		}
		if got, want := errors.Is(test.err, cause), strings.Contains(test.text, "cause"); got != want {
			t.Errorf("%v: errors.Is its cause: %v, want %v", test.err, got, want)
		}
		_, isUnsupported := test.err.(*inotify.UnsupportedError)
		if got := errors.Is(test.err, errors.ErrUnsupported); got != isUnsupported {
			t.Errorf("%v: errors.Is ErrUnsupported: %v, want %v", test.err, got, isUnsupported)
		}
		if errors.Is(test.err, fs.ErrClosed) {
			t.Errorf("%v: errors.Is ErrClosed", test.err)
		}
	}
}
