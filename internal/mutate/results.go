// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// What became of a mutant.
const (
	killed    = "killed"
	survived  = "survived"
	unreached = "not reached" // by any test
)

// A result is what became of a mutant.
type result struct {
	Hash  string `json:"hash"` // of the function
	Fate  string `json:"fate"`
	Test  string `json:"test,omitempty"`  // that killed it
	How   string `json:"how,omitempty"`   // "failed" or "took too long"
	Flaky string `json:"flaky,omitempty"` // a test that failed once
	Tests int    `json:"tests"`           // how many were tried with it
	Of    int    `json:"of"`              // and for how many it may make a difference
}

// results are by the mutants' keys.
type results struct{ *store[result] }

// of returns what is known of a mutant in its function as that is now.
func (r results) of(m *mutant) (result, bool) {
	one, ok := r.get(m.key())
	return one, ok && one.Hash == m.hash
}

func (r results) note(m *mutant, one result) error {
	one.Hash = m.hash
	return r.put(m.key(), one)
}

// A store is a file with a line of JSON for each thing that was learned, at once. The
// latest of a key counts.
type store[T any] struct {
	mu   sync.Mutex
	file *os.File
	all  map[string]T
}

type entry[T any] struct {
	Key   string `json:"key"`
	Value T      `json:"value"`
}

func openStore[T any](path string) (*store[T], error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	s := &store[T]{file: f, all: map[string]T{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry[T]
		if json.Unmarshal(lines.Bytes(), &e) == nil { // the last may be cut off
			s.all[e.Key] = e.Value
		}
	}
	if err := lines.Err(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *store[T]) close() { s.file.Close() }

func (s *store[T]) get(key string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.all[key]
	return value, ok
}

func (s *store[T]) put(key string, value T) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[key] = value
	line, err := json.Marshal(entry[T]{key, value})
	if err != nil {
		return err
	}
	_, err = s.file.Write(append(line, '\n'))
	return err
}

// killedOn is how the reason begins for a mutant that survives here, but not on
// another kernel or processor: "Killed on gvisor by TestWhereNothingIsListed."
var killedOn = regexp.MustCompile(`^Killed on (\S+) by (\w+)\.`)

// listedFor returns the mutants that are listed as killed at a place, each to be tried
// on the test that the list names, and a pattern for these tests.
func listedFor(place string, mutants []*mutant, known map[string]string) (chosen []*mutant, tests string) {
	var names []string
	for _, m := range mutants {
		if by := killedOn.FindStringSubmatch(known[m.key()]); by != nil && by[1] == place {
			m.test = by[2]
			chosen, names = append(chosen, m), append(names, m.test)
		}
	}
	slices.Sort(names)
	return chosen, "^(" + pattern(slices.Compact(names)) + ")$"
}

// readKnown reads the list of mutants that may survive: lines with their keys, and
// after one or several of them indented lines with the reason that all have. What
// begins with "#" is a comment. The map is from the key to the reason.
func readKnown(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := map[string]string{}
	var keys []string
	ended := false // the reason of keys
	for nr, line := range strings.Split(string(text), "\n") {
		reason := strings.TrimSpace(line)
		switch {
		case reason == "" || strings.HasPrefix(line, "#"):
		case line == strings.TrimLeft(line, " \t"):
			if ended {
				keys, ended = nil, false
			}
			if _, ok := known[reason]; ok {
				return nil, fmt.Errorf("%s:%d: %s stands there twice", path, nr+1, reason)
			}
			known[reason] = ""
			keys = append(keys, reason)
		default:
			ended = true
			for _, key := range keys {
				known[key] = strings.TrimSpace(known[key] + " " + reason)
			}
		}
	}
	for key, reason := range known {
		if reason == "" {
			return nil, fmt.Errorf("%s: %s has no reason", path, key)
		}
	}
	return known, nil
}
