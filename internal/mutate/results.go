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
	"strings"
	"sync"
)

// What became of a mutant.
const (
	killed    = "killed"
	survived  = "survived"
	unreached = "not reached" // by any test
)

// A result is what became of a mutant, and a line of the results file.
type result struct {
	Key   string `json:"key"`
	Hash  string `json:"hash"` // of the function
	Fate  string `json:"fate"`
	Test  string `json:"test,omitempty"`  // that killed it
	How   string `json:"how,omitempty"`   // "failed" or "took too long"
	Flaky string `json:"flaky,omitempty"` // a test that failed once
	Tests int    `json:"tests"`           // how many were tried with it
	Of    int    `json:"of"`              // and for how many it may make a difference
}

// results is what is known, the latest of each mutant.
type results struct {
	mu   sync.Mutex
	file *os.File
	of   map[string]result
}

func openResults(path string) (*results, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	r := &results{file: f, of: map[string]result{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one result
		if json.Unmarshal(lines.Bytes(), &one) == nil { // the last may be cut off
			r.of[one.Key] = one
		}
	}
	if err := lines.Err(); err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

func (r *results) close() { r.file.Close() }

// get returns what is known of a mutant in its function as that is now.
func (r *results) get(m *mutant) (result, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one, ok := r.of[m.key()]
	return one, ok && one.Hash == m.hash
}

func (r *results) put(m *mutant, one result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.Key, one.Hash = m.key(), m.hash
	r.of[one.Key] = one
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	_, err = r.file.Write(append(line, '\n'))
	return err
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
