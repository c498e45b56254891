// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify/checkpoint"
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
	for _, line := range strings.Split(string(status), "\n") {
		if value, ok := strings.CutPrefix(line, "Uid:"); ok {
			if fields := strings.Fields(value); len(fields) > 1 {
				return strconv.Atoi(fields[1])
			}
		}
	}
	return noUser, errors.New("no user in /proc/PID/status")
}

// A usageByUser is the instances of all processes, and what their users have in use.
type usageByUser struct {
	instances  []checkpoint.Instance
	owners     []int // the user of each instance
	users      map[int]*usage
	unreadable []*checkpoint.ProcessError
}

// A usage is what the processes of one user have in use, as far as they could be read.
// The kernel charges an instance to the user who created it and does not show who that
// was: here it is charged to the user of the first process that has it.
type usage struct {
	instances  int
	watches    int  // 0 where the kernel lists none
	unsure     bool // some instances may be counted more than once
	unreadable int  // processes of the user that could not be read, or not in full
}

// countUsage lists the instances of all processes.
func countUsage(ctx context.Context, proc string) (*usageByUser, error) {
	list, err := checkpoint.Instances(ctx)
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	failed, err := processErrors(err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, withHint(err, "mount procfs: mount -t proc proc /proc")
	case errors.Is(err, errors.ErrUnsupported):
		return nil, err
	case errors.Is(err, checkpoint.ErrOtherNamespace):
		return nil, withHint(err, "run it where /proc shows its own pid namespace (nsenter -t PID -m -p), or mount procfs again")
	case err != nil:
		return nil, err
	}
	return newUsageByUser(list, failed, func(pid int) (int, error) { return userOf(proc, pid) }), nil
}

func newUsageByUser(list []checkpoint.Instance, failed []*checkpoint.ProcessError, userOf func(pid int) (int, error)) *usageByUser {
	c := &usageByUser{instances: list, users: make(map[int]*usage)}
	for _, i := range list {
		uid, _ := userOf(i.Descriptors[0].PID)
		c.owners = append(c.owners, uid)
		u := c.user(uid)
		u.instances++
		u.watches += max(i.Watches, 0)
		u.unsure = u.unsure || i.Ungrouped != nil
	}
	for _, f := range failed {
		uid, err := userOf(f.PID)
		switch {
		case err != nil: // of any user
			c.user(noUser).unreadable++
		case uid == noUser: // it has ended
			continue
		default:
			c.user(uid).unreadable++
		}
		c.unreadable = append(c.unreadable, f)
	}
	return c
}

func (c *usageByUser) user(uid int) *usage {
	if c.users[uid] == nil {
		c.users[uid] = new(usage)
	}
	return c.users[uid]
}

// of returns the usage of user uid. Processes whose user is unknown are counted as
// unreadable processes of each user.
func (c *usageByUser) of(uid int) usage {
	u := *c.user(uid)
	if uid != noUser {
		u.unreadable += c.user(noUser).unreadable
	}
	return u
}

// failures returns why processes could not be read, except those that the caller may not
// read, which is normal without root.
func (c *usageByUser) failures() (reasons []string) {
	for _, f := range c.unreadable {
		if !errors.Is(f, fs.ErrPermission) {
			first, _, _ := strings.Cut(f.Error(), "\n") // there is one for each descriptor
			reasons = append(reasons, first)
		}
	}
	return reasons
}

// A share is how much of a limit a process has in use.
type share struct{ pid, count int }

// largest returns up to five processes of a user that have most, in descending order.
func (c *usageByUser) largest(uid int, count func(checkpoint.Instance) int) []share {
	var shares []share
	for k, i := range c.instances {
		pid := i.Descriptors[0].PID
		if c.owners[k] != uid || count(i) == 0 {
			continue
		}
		if n := len(shares); n == 0 || shares[n-1].pid != pid {
			shares = append(shares, share{pid: pid})
		}
		shares[len(shares)-1].count += count(i)
	}
	slices.SortStableFunc(shares, func(a, b share) int { return b.count - a.count })
	return shares[:min(len(shares), 5)]
}

// processErrors splits an error of checkpoint.Instances into those of single processes
// and the rest.
func processErrors(err error) (failed []*checkpoint.ProcessError, rest error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			f, r := processErrors(e)
			failed, rest = append(failed, f...), errors.Join(rest, r)
		}
		return failed, rest
	}
	if one, ok := err.(*checkpoint.ProcessError); ok {
		return []*checkpoint.ProcessError{one}, nil
	}
	return nil, err
}

// limitOf returns a setting of inotify under proc/sys, like "fs/inotify/max_user_watches",
// or -1 if it is unknown.
func limitOf(proc, name string) int {
	text, err := os.ReadFile(filepath.Join(proc, "sys", name))
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return -1
	}
	return n
}

// ofLimit returns "3 of 128 instances", or without the limit if that is unknown.
func ofLimit(n, limit int, what string) string {
	if limit < 0 {
		return fmt.Sprintf("%d %s (limit unknown)", n, what)
	}
	return fmt.Sprintf("%d of %d %s", n, limit, what)
}
