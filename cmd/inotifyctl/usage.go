// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/seed10546c08/inotify/checkpoint"
)

// A usageByUser has the instances of all processes, and what each user has in use.
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
	watches    int
	uncounted  bool // the watches of some instances are not counted
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
		u.uncounted = u.uncounted || i.Watches < 0
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

// knownWatches returns how many watches the user has at least, or -1 where the kernel lists
// none.
func (u usage) knownWatches() int {
	if u.watches == 0 && u.uncounted {
		return -1
	}
	return u.watches
}

// failures returns why processes could not be read, except for lack of permission, which is
// normal without root.
func (c *usageByUser) failures() (reasons []string) {
	for _, f := range c.unreadable {
		if !errors.Is(f, fs.ErrPermission) {
			reasons = append(reasons, reason(f))
		}
	}
	return reasons
}

// reason returns the first reason why a process, or a descriptor of it, could not be read.
func reason(e *checkpoint.ProcessError) string {
	first, _, _ := strings.Cut(e.Error(), "\n")
	return first
}

// A total is what a process has in use. An instance that several processes share is counted
// for each.
type total struct {
	pid, uid  int
	command   string
	instances int
	watches   int
	uncounted bool // the watches of some instances are not counted
}

// knownWatches returns how many watches the process has, or -1 if that is unknown.
func (p *total) knownWatches() int {
	if p.uncounted {
		return -1
	}
	return p.watches
}

// totals returns what each process has in use, the one with most watches first.
func totals(instances []checkpoint.Instance) (list []*total) {
	byPID := make(map[int]*total)
	for _, i := range instances {
		last := 0
		for _, d := range i.Descriptors { // in the order of their processes
			if d.PID == last {
				continue
			}
			last = d.PID
			p := byPID[d.PID]
			if p == nil {
				p = &total{pid: d.PID, command: commandOf("/proc", d.PID)}
				p.uid, _ = userOf("/proc", d.PID)
				byPID[d.PID], list = p, append(list, p)
			}
			p.instances++
			p.watches += max(i.Watches, 0)
			p.uncounted = p.uncounted || i.Watches < 0
		}
	}
	slices.SortFunc(list, func(a, b *total) int {
		return cmp.Or(b.watches-a.watches, b.instances-a.instances, a.pid-b.pid)
	})
	return list
}

// A share is how much of a limit a process has in use.
type share struct{ pid, count int }

// largest returns the processes of a user that have most in use, five at most, in descending
// order. use returns what an instance counts.
func (c *usageByUser) largest(uid int, use func(checkpoint.Instance) int) []share {
	var shares []share
	for k, i := range c.instances {
		pid := i.Descriptors[0].PID
		if c.owners[k] != uid || use(i) == 0 {
			continue
		}
		if n := len(shares); n == 0 || shares[n-1].pid != pid {
			shares = append(shares, share{pid: pid})
		}
		shares[len(shares)-1].count += use(i)
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

// ofLimit returns "3 of 128 instances", without the limit if that is unknown. n is -1 if it
// is unknown itself.
func ofLimit(n, limit int, one, many string) string {
	switch {
	case n < 0:
		return "unknown number of " + many
	case limit < 0:
		return count(n, one, many) + " (limit unknown)"
	}
	return fmt.Sprintf("%d of %s", n, count(limit, one, many))
}
