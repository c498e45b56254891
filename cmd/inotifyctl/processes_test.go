// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A fakeProc is a tree that looks like /proc.
type fakeProc struct {
	t   *testing.T
	dir string
}

func newFakeProc(t *testing.T) fakeProc { return fakeProc{t, t.TempDir()} }

func (p fakeProc) write(text string, path ...string) {
	p.t.Helper()
	name := filepath.Join(append([]string{p.dir}, path...)...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func TestUserOf(t *testing.T) {
	p := newFakeProc(t)
	// The effective user is the second one.
	status := "Name:\tx\nState:\t%s\nTgid:\t1\nUid:\t7\t1000\t7\t7\nGid:\t1\t1\t1\t1\n"
	p.write(fmt.Sprintf(status, "S (sleeping)"), "10", "status")
	p.write(fmt.Sprintf(status, "Z (zombie)"), "20", "status")
	p.write("Name:\tx\n", "30", "status")
	// A directory where a file is to be cannot be read by root either.
	p.write("", "40", "status", "x")
	for pid, want := range map[int]struct {
		uid     int
		unknown bool
	}{
		10: {1000, false},
		20: {1000, false}, // other threads may run
		30: {noUser, true},
		40: {noUser, true},
		50: {noUser, false}, // there is none
	} {
		if uid, err := userOf(p.dir, pid); uid != want.uid || (err != nil) != want.unknown {
			t.Errorf("process %d: user %d, %v, want %+v", pid, uid, err, want)
		}
	}
}

func TestCommandOf(t *testing.T) {
	p := newFakeProc(t)
	p.write("a\nb\n\n", "10", "comm")
	wantText(t, commandOf(p.dir, 10), "a\nb\n")
	wantText(t, commandOf(p.dir, 20), "?")
}

func TestContainerIn(t *testing.T) {
	inner, outer := strings.Repeat("0123456789abcdef", 4), strings.Repeat("f", 64)
	for _, tt := range []struct{ cgroups, want string }{
		{"0::/\n", ""},
		{"", ""},
		{"0::/user.slice/user-1000.slice/session-3.scope\n", ""},
		{"0::/system.slice/docker-" + inner + ".scope\n", inner},
		{"0::/system.slice/docker-" + inner + ".scope/init.scope\n", inner},
		{"12:pids:/docker/" + inner + "\n1:name=systemd:/docker/" + inner + "\n0::/\n", inner},
		{"4:memory:/\n3:cpu,cpuacct:/docker/" + inner + "\n", inner},
		{"0::/machine.slice/libpod-" + inner + ".scope/container\n", inner},
		{"0::/machine.slice/libpod-conmon-" + inner + ".scope\n", ""},
		{"0::/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-" + inner + ".scope\n", inner},
		{"0::/kubepods/burstable/pod1-2/" + inner + "\n", inner},
		{"1:cpu:/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" + inner + "\n", inner},
		{"0::/kubepods.slice/crio-conmon-" + inner + ".scope\n", ""},
		{"0::/docker/" + outer + "/kubepods/pod1/" + inner + "\n", inner},
		{"0::/../" + inner + "\n", inner},
		{"0::/docker/" + inner + " (deleted)\n", inner},
		{"0::/lxc.payload.web-1.example_x/system.slice/a.service\n", "web-1.example_x"},
		// Names that somebody chose to confuse.
		{"0::/lxc.payload.\x1b[2J\n", ""},
		{"0::/lxc.payload.\n", ""},
		{"0::/lxc.payload.a b\n", ""},
		{"0::/docker-" + inner[:63] + ".scope\n", ""},
		{"0::/" + inner[:63] + "g\n", ""},
		{"0::/" + strings.ToUpper(inner) + "\n", ""},
		{"0::/" + inner + "0\n", ""},
		{"::::/\xff:" + inner[:3] + "\n\n:\n", ""},
		{strings.Repeat("/", 10000), ""},
	} {
		wantText(t, containerIn(tt.cgroups), tt.want)
	}
}

func TestContainerOf(t *testing.T) {
	p := newFakeProc(t)
	id := strings.Repeat("0123456789abcdef", 4)
	p.write("0::/docker/"+id+"\n", "10", "cgroup")
	p.write("0::/init.scope\n", "20", "cgroup")
	p.write("0::/lxc.payload.a-long-name\n", "30", "cgroup")
	for pid, want := range map[int]string{10: "0123456789ab", 20: "-", 30: "a-long-name", 40: "?"} {
		wantText(t, shortContainer(containerOf(p.dir, pid)), want)
	}
}

func TestUsersIn(t *testing.T) {
	got := fmt.Sprint(usersIn("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\n#x\n+::::::\n:x:5:5::/:\n" +
		"a b:x:6:6::/:\n\x1b[2J:x:7:7::/:\nnegative:x:-1:1::/:\nnobody:x:65534:65534::/:"))
	wantText(t, got, "[{root 0} {toor 0} {nobody 65534}]")
}
