// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestAlternate: the jobs run in order and in reverse order, alternately. Each
// script records its name and prints how often it has run.
func TestAlternate(t *testing.T) {
	l := testLab(t, 0)
	for _, name := range []string{"a", "b", "c"} {
		script(t, l, name, fmt.Sprintf("echo %s >> %s/order; grep -c %[1]s %[2]s/order", name, l.dir))
	}
	with := func(name string) func(*lab) job { return func(*lab) job { return job{peer: name} } }
	s := subject{job: with("a"), peers: []peer{{job: with("b")}, {job: with("c")}}}
	samples, err := alternate(t.Context(), l, s, 3)
	if err != nil {
		t.Fatal(err)
	}
	wantDiff(t, strings.ReplaceAll(read(t, l.dir, "order"), "\n", ""), "abc"+"cba"+"abc")
	wantDiff(t, samples, [][]float64{{1, 2, 3}, {1, 2, 3}, {1, 2, 3}})
}

func TestTogether(t *testing.T) {
	l := testLab(t, 0)
	script(t, l, "two", "echo 1 2")
	script(t, l, "three", "echo 1 2 3")
	with := func(name string) subject { return subject{both: true, job: func(*lab) job { return job{peer: name} }} }
	samples, err := together(t.Context(), l, with("two"), 3)
	if err != nil {
		t.Fatal(err)
	}
	wantDiff(t, samples, [][]float64{{1, 1, 1}, {2, 2, 2}})
	if samples, err := together(t.Context(), l, with("three"), 1); err == nil {
		t.Errorf("three samples are accepted: %v", samples)
	}
}

func TestSkips(t *testing.T) {
	l := testLab(t, 0)
	script(t, l, "limited", "echo 'no space' >&2; exit 3")
	script(t, l, "broken", "echo broken >&2; exit 1")
	with := func(name string) func(*lab) job { return func(*lab) job { return job{peer: name} } }
	none := func(*facts) error { return errors.New("there is none") }
	for _, test := range []struct {
		name    string
		subject subject
		skipped string
		err     string
	}{
		{"need", subject{job: with("broken"), needs: []need{files(1), {missing: none}}}, "there is none", ""},
		{"limit", subject{job: with("limited")}, "limited: a limit on watches was reached: no space", ""},
		{"failure", subject{what: "subject", job: with("broken")}, "", "subject: broken: exit status 1: broken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rows, err := config{rounds: 1}.measureSubject(t.Context(), l, &facts{}, test.subject)
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("%v, want %s", err, test.err)
				}
				return
			}
			if err != nil || len(rows) != 1 || rows[0].Skipped != test.skipped {
				t.Errorf("%+v, %v; want %q", rows, err, test.skipped)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	full := sizes{restores: [2]int{10, 100}, goal: 9, cancels: 1, low: 1, high: 1800, lows: 2, heap: 100, events: 9, adds: 20, addGroups: 3, list: 30, lists: 1, snapshot: 40, search: 5, among: 50}
	all := subjects(full, 16)
	find := func(pattern string) subject {
		for _, s := range all {
			if s, ok := s.only(regexp.MustCompile(pattern)); ok {
				return s
			}
		}
		t.Fatalf("nothing is named %s", pattern)
		return subject{}
	}
	noFilter := errors.New("no filter")
	for _, test := range []struct {
		subject string
		facts   facts
		says    string
	}{
		{"1,800 watches", facts{ioctl: true, maxWatch: 1800}, ""},
		{"1,800 watches", facts{ioctl: true, maxWatch: 1799, limitedBy: "a.limit"}, "a.limit is 1799"},
		{"1,800 watches", facts{maxWatch: 1800}, "no INOTIFY_IOC_SETNEXTWD"},
		{"heap", facts{maxWatch: 1800}, "no INOTIFY_IOC_SETNEXTWD"},
		{"cycle.*GOMAXPROCS=1", facts{ioctl: true, filter: noFilter}, "no filter"},
		{"cycle.*GOMAXPROCS=1", facts{filter: noFilter}, ""},
		{"AddWatch", facts{maxWatch: 19, limitedBy: "a.limit"}, "a.limit is 19"},
		{"AddWatch", facts{maxWatch: 20}, ""},
		{"verified", facts{ioctl: true, maxWatch: 40}, ""},
		{"verified", facts{ioctl: true, maxWatch: 40, listed: errors.New("no lines")}, "no lines"},
		{"verified", facts{maxWatch: 40}, "no INOTIFY_IOC_SETNEXTWD"},
		{"by handle", facts{maxWatch: 40}, ""},
		{"by handle", facts{maxWatch: 40, handles: errors.New("no handles")}, "no handles"},
		{"by search", facts{maxWatch: 5, handles: errors.New("no handles")}, ""},
		{"by search", facts{maxWatch: 5, overlay: errors.New("no overlay")}, "no overlay"},
		{"^Watches", facts{maxWatch: 30}, ""},
		{"^Watches", facts{maxWatch: 30, listed: errors.New("no lines")}, "no lines"},
	} {
		err := find(test.subject).missing(&test.facts)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s with %+v: %v, want %q", test.subject, test.facts, err, test.says)
		}
	}
	if got := (subject{needs: []need{files(5), files(3)}}).files(); got != 5 {
		t.Errorf("%d files for 5 and 3", got)
	}
	if err := processors(1).missing(nil); err != nil {
		t.Error(err)
	}
	if err := processors(1 << 20).missing(nil); err == nil {
		t.Error("a need of a million processors is met")
	}
	if err := descriptors(1).missing(nil); err != nil {
		t.Error(err)
	}
	if err := descriptors(1 << 30).missing(nil); err == nil {
		t.Error("a need of a billion descriptors is met")
	}
	for pattern, want := range map[string]int{"1,800 watches": 1800, "AddWatch": 60, "cycle": 0} {
		if got := find(pattern).files(); got != want {
			t.Errorf("%s: %d files, want %d", pattern, got, want)
		}
	}
}

func TestSysctl(t *testing.T) {
	if n := sysctl("fs.inotify.max_user_instances"); n < 1 || n >= 1<<30 {
		t.Errorf("max_user_instances %d", n)
	}
	if n := sysctl("fs.inotify.no_such_thing"); n != 1<<30 {
		t.Errorf("a missing setting is %d, want 1<<30", n)
	}
}
