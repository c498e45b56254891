// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

func TestWho(t *testing.T) {
	needsList(t)
	needsKcmp(t)
	dir := t.TempDir()
	file := touch(t, dir, "file")
	hard, soft, other := filepath.Join(dir, "hard"), filepath.Join(dir, "soft"), touch(t, dir, "other")
	if err := os.Link(file, hard); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", soft); err != nil {
		t.Fatal(err)
	}
	f := instance(t, inotify.Watch{WD: 1, Mask: inotify.Create, Path: dir}, inotify.Watch{WD: 7, Mask: inotify.Attrib, Path: hard})
	one, two := hold(t, []*os.File{f}, "comm=one"), hold(t, []*os.File{f}, "dup=3:9", "comm=t w o")
	f.Close()
	code, stdout, stderr := call("who", file)
	wantListed(t, code, stderr)
	wantText(t, lines(stdout)[0], "PID COMMAND FD WD MASK PATH")
	wantLine(t, stdout, "%d one 3 7 IN_ATTRIB %s", one.pid, file)
	wantLine(t, stdout, "%d t w o 3, 9 7 IN_ATTRIB %s", two.pid, file)
	if strings.Contains(stdout, "IN_CREATE") {
		t.Errorf("the watch on the directory is listed in\n%s", stdout)
	}
	// The watches of each path are listed, in the order given, even if two are the same file.
	code, stdout, stderr = call("who", soft, other, dir, file)
	wantListed(t, code, stderr)
	var got []string
	for _, line := range lines(stdout) {
		if strings.HasPrefix(line, one.arg()+" ") || strings.HasPrefix(line, "no process") {
			got = append(got, line)
		}
	}
	wantText(t, strings.Join(got, "\n"), fmt.Sprintf("%[1]d one 3 7 IN_ATTRIB %[2]s\n%[1]d one 3 1 IN_CREATE %[3]s\n%[1]d one 3 7 IN_ATTRIB %[4]s\n"+
		"no process was found that watches %[5]s", one.pid, soft, dir, file, other))

	code, stdout, stderr = call("who", "-json", hard)
	if code != 0 && code != 3 {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	var object watchOnObject
	if err := json.Unmarshal([]byte(stdout), &object); err != nil {
		t.Fatalf("%q: %v", stdout, err)
	}
	if len(object.Processes) != 2 || object.Processes[1].PID != two.pid || len(object.Processes[1].FDs) != 2 ||
		object.Watch.WD != 7 || object.Watch.Path != hard || object.Watch.Mask != inotify.Attrib {
		t.Errorf("got %s", stdout)
	}
}

// On overlayfs, stat(2) has another device number than fdinfo. The watch is found.
func TestWhoOnOverlayfs(t *testing.T) {
	needsList(t)
	kerneltest.OwnMounts(t)
	dir := t.TempDir()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	touch(t, dir, "lower", "file")
	merged := filepath.Join(dir, "merged")
	kerneltest.Mount(t, "overlay", merged, "overlay", 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir))
	path := filepath.Join(merged, "file")
	h := holdAlone(t, instance(t, inotify.Watch{WD: 1, Mask: inotify.Open, Path: path}), "comm=holder")
	_, stdout, _ := call("who", path)
	wantLine(t, stdout, "%d holder 3 1 IN_OPEN %s", h.pid, path)
}

// who causes no event on its path. A path that does not exist is an error.
func TestWhoCausesNoEvents(t *testing.T) {
	needsList(t)
	dir := t.TempDir()
	n := newInotify(t)
	if _, err := n.AddWatch(dir, inotify.AllEvents); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call("who", dir)
	wantListed(t, code, stderr)
	if ev, ok, err := n.TryReadEvent(); ok || err != nil {
		t.Errorf("event %v, %v", ev, err)
	}
	code, _, stderr = call("who", dir, dir+"/none")
	wantFailure(t, code, stderr, dir+"/none", "give a path that exists")
}
