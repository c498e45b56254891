// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/seed10546c08/inotify/internal/fdinfo"
)

// noUser is the user of a process that has ended, or whose user is unknown.
const noUser = -1

// userOf returns the effective user of a process under proc: the one that the kernel
// charges for the instances that the process creates.
func userOf(proc string, pid int) (int, error) {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil && hasEnded(dir, err) {
		return noUser, nil
	}
	if err != nil {
		return noUser, err
	}
	return effectiveUser(status)
}

// commandOf returns the name of a process's command, which the process itself
// can set to any bytes.
func commandOf(proc string, pid int) string {
	name, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "comm"))
	if err != nil {
		return "?"
	}
	return strings.TrimSuffix(string(name), "\n")
}

// hasEnded reports whether err came because the process has ended. A file that was open
// then fails with ESRCH, which not every system defines.
func hasEnded(dir string, err error) bool {
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	_, err = os.Lstat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// effectiveUser returns the effective user that a process's status shows:
//
//	Uid:	1000	1000	1000	1000
func effectiveUser(status []byte) (int, error) {
	value, _ := fdinfo.Field(status, "Uid")
	if fields := strings.Fields(value); len(fields) > 1 {
		return strconv.Atoi(fields[1])
	}
	return noUser, errors.New("no user in /proc/PID/status")
}

// containerOf returns the container that a process is in, "" if it is in none that can be
// recognized, or "?" if that is unknown.
func containerOf(proc string, pid int) string {
	cgroups, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return "?"
	}
	return containerIn(string(cgroups))
}

// containerIn returns the innermost container in the text of /proc/PID/cgroup, which has a
// line for each hierarchy:
//
//	0::/system.slice/docker-ID.scope
//	4:memory:/docker/ID
func containerIn(cgroups string) string {
	for _, line := range strings.Split(cgroups, "\n") {
		fields := strings.SplitN(line, ":", 3)
		names := strings.Split(strings.TrimSuffix(fields[len(fields)-1], " (deleted)"), "/")
		for _, name := range slices.Backward(names) {
			if id := containerNamed(name); id != "" {
				return id
			}
		}
	}
	return ""
}

// containerNamed returns the container that a cgroup is named after, or "". Docker, Podman,
// containerd and CRI-O use ID, docker-ID.scope, libpod-ID.scope and the like, with 64
// hexadecimal digits; LXC uses lxc.payload.NAME. A user can give a cgroup any name: what is
// returned has harmless characters only.
func containerNamed(cgroup string) string {
	if name, ok := strings.CutPrefix(cgroup, "lxc.payload."); ok && isMadeOf(name, containerChars) {
		return name
	}
	cgroup = strings.TrimSuffix(cgroup, ".scope")
	at := strings.LastIndexAny(cgroup, "-:") + 1
	runtime, id := cgroup[:at], cgroup[at:]
	if len(id) == 64 && isMadeOf(id, "0123456789abcdef") && !strings.HasSuffix(runtime, "conmon-") {
		return id
	}
	return "" // conmon is the monitor of a container, outside of it
}

const containerChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// isMadeOf reports whether s has one or more characters, all of chars.
func isMadeOf(s, chars string) bool { return s != "" && strings.Trim(s, chars) == "" }

// shortContainer returns the 12 digits by which container tools list an id.
func shortContainer(container string) string {
	switch {
	case container == "":
		return "-"
	case len(container) == 64:
		return container[:12]
	}
	return container
}

// A user is a line of /etc/passwd.
type user struct {
	name string
	uid  int
}

var users = sync.OnceValue(func() []user {
	text, _ := os.ReadFile("/etc/passwd") // without it, users are shown by number
	return usersIn(string(text))
})

// usersIn returns the users in the text of /etc/passwd:
//
//	daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
//
// Other sources of names are not asked: they may be on the network.
func usersIn(passwd string) (list []user) {
	for _, line := range strings.Split(passwd, "\n") {
		fields := strings.Split(line, ":")
		if len(fields) < 3 || fields[0] == "" || strings.Contains(fields[0], " ") || !isPrintable(fields[0]) {
			continue
		}
		if uid, err := strconv.Atoi(fields[2]); err == nil && uid >= 0 {
			list = append(list, user{fields[0], uid})
		}
	}
	return list
}

// userName returns the name of a user, or the uid if it has none; "?" if the user is
// unknown.
func userName(uid int) string {
	if uid == noUser {
		return "?"
	}
	if k := slices.IndexFunc(users(), func(u user) bool { return u.uid == uid }); k >= 0 {
		return users()[k].name
	}
	return strconv.Itoa(uid)
}

// parseUser returns the uid of a user given by name or by uid.
func parseUser(s string) (int, error) {
	if k := slices.IndexFunc(users(), func(u user) bool { return u.name == s }); k >= 0 {
		return users()[k].uid, nil
	}
	uid, err := strconv.Atoi(s)
	if err != nil || uid < 0 {
		return 0, errors.New("want the name of a user in /etc/passwd, or a uid")
	}
	return uid, nil
}
