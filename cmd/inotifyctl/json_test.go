// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// All members of JSON objects are in snake_case.
func TestJSONMembers(t *testing.T) {
	needsList(t)
	kerneltest.NeedDuplicates(t)
	ws := watchesOn(t, 1, 7)
	h := holdAlone(t, instance(t, ws...), "comm=\xff")
	touch(t, ws[1].Path, "\xff")
	h.stop()
	for _, args := range [][]string{
		{"ls", "-json", "-w", "-paths", "none", h.arg()},
		{"ls", "-json"},
		{"who", "-json", ws[0].Path},
		{"watch", "-json", "-n", "0", ws[0].Path},
		{"dump", "-drain", "-paths", "none", h.arg()},
	} {
		_, stdout, stderr := call(args...)
		members := make(map[string]bool)
		for d := json.NewDecoder(strings.NewReader(stdout)); ; {
			var v any
			err := d.Decode(&v)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v, %q, %s", args, err, stdout, stderr)
			}
			addMembers(v, members)
		}
		if len(members) == 0 {
			t.Errorf("%s: no object in %q, %s", args, stdout, stderr)
		}
		for name := range members {
			if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(name) {
				t.Errorf("%s: member %q", args, name)
			}
		}
	}
}

// addMembers adds the names of the members of v and of the values in it.
func addMembers(v any, names map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			names[name] = true
			addMembers(member, names)
		}
	case []any:
		for _, element := range v {
			addMembers(element, names)
		}
	}
}
