// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

var lsCommand = &subcommand{
	name:     "ls",
	operands: "[PID...]",
	summary:  "list processes that use inotify, and what they watch",
	about: `
List which processes use inotify, how many watches they have, and with -w what they
watch. Without PID, all processes that you may read are listed: run it as root for
those of other users.

There is a line for each inotify instance of a process. FD are its file descriptors, and
SHARED WITH the other processes that have the same instance, for example after fork(2).
The last lines show how much of the limits each user has in use.

With -json, there is an object for each instance, and then one for each user.
`,
	example: "inotifyctl ls -w 4711",
	exit: [][2]string{
		{"0", "done; processes that you may not read are only counted"},
		{"1", "failed, or a process given as PID could not be read"},
		{"2", "usage error"},
		{"3", "incomplete: a process did not answer, or could not be read although you may"},
	},
	define: func(flags *flag.FlagSet) action {
		l := new(ls)
		flags.BoolVar(&l.watches, "w", false, "list the watches of each instance: watch descriptor, mask, path")
		flags.BoolVar(&l.json, "json", false, "print JSON, one object a line")
		l.paths.define(flags)
		verboseVar(flags, &l.effects.verbose)
		return l.run
	},
}

// An ls is the command ls.
type ls struct {
	watches bool
	json    bool
	paths   pathFlags
	effects sideEffects
	pids    []int // none is all

	stderr    io.Writer
	instances []listedInstance
}

// A listedInstance is an instance with its watches.
type listedInstance struct {
	checkpoint.Instance
	watches []checkpoint.Watch
	gaps    []checkpoint.Gap // what is unknown of the watches
}

func (l *ls) run(ctx context.Context, in *invocation) error {
	for _, operand := range in.operands {
		pid, err := parsePID(operand)
		if err != nil {
			return err
		}
		l.pids = append(l.pids, pid)
	}
	if err := l.paths.check(); err != nil {
		return err
	}
	l.stderr = in.stderr
	c, err := countUsage(ctx, "/proc")
	if err != nil {
		return err
	}
	chosen, failed := l.choose(ctx, c)
	if ctx.Err() != nil {
		return errInterrupted
	}
	for _, i := range chosen {
		if err := l.list(ctx, i); err != nil {
			return err
		}
	}
	print := l.printTable
	if l.json {
		print = l.printObjects
	}
	if err := print(in.stdout, c); err != nil {
		return err
	}
	if reasons := c.failures(); failed == nil && len(reasons) > 0 && len(l.pids) == 0 {
		return &incompleteError{reasons}
	}
	return withListHint(failed)
}

// choose returns the instances to list: all, or those of the processes that were given.
// The error is of those of these that could not be read.
func (l *ls) choose(ctx context.Context, c *usageByUser) ([]checkpoint.Instance, error) {
	if len(l.pids) == 0 {
		return c.instances, nil
	}
	var chosen []checkpoint.Instance
	for _, i := range c.instances {
		if slices.ContainsFunc(i.Descriptors, func(d checkpoint.Descriptor) bool { return slices.Contains(l.pids, d.PID) }) {
			chosen = append(chosen, i)
		}
	}
	_, err := checkpoint.Instances(ctx, l.pids...)
	return chosen, err
}

// list adds an instance.
func (l *ls) list(ctx context.Context, i checkpoint.Instance) error {
	one := listedInstance{Instance: i}
	if l.watches {
		b := newBar(l.stderr)
		s, err := dumpInstance(ctx, i, l.paths.options(b)...)
		b.clear()
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case err != nil:
			one.gaps = append(one.gaps, checkpoint.Gap{Field: checkpoint.FieldWatches, Reason: err.Error()})
		default:
			one.watches = s.Watches
			one.gaps = slices.DeleteFunc(s.Unknown, func(g checkpoint.Gap) bool { return g.Field != checkpoint.FieldPath })
			l.effects.print(l.stderr, s)
		}
	}
	l.instances = append(l.instances, one)
	return nil
}

// printTable prints a line for each process that has an instance, and with -w
// below them one for each watch.
func (l *ls) printTable(w io.Writer, c *usageByUser) error {
	t := &table{columns: []column{
		{name: "PID", right: true}, {name: "COMMAND", flex: true}, {name: "FD", flex: true},
		{name: "WATCHES", right: true}, {name: "SHARED WITH", flex: true},
	}}
	for _, i := range l.instances {
		l.addRows(t, i)
		if len(i.watches) > 0 {
			t.under(watchTable(i))
		}
	}
	text := "no inotify instance was found\n"
	if len(t.rows) > 0 {
		text = t.text(columns(w))
	}
	_, err := io.WriteString(w, text+strings.Join(l.lines(c), ""))
	return err
}

func (l *ls) addRows(t *table, i listedInstance) {
	watches := "?"
	if i.Watches >= 0 {
		watches = strconv.Itoa(i.Watches)
	}
	hs := holdings(i.Instance)
	for _, h := range hs {
		t.add(strconv.Itoa(h.pid), quote(commandOf("/proc", h.pid)), h.descriptors(), watches, i.sharedWith(hs, h.pid))
	}
}

// sharedWith returns which other processes have the instance.
func (i listedInstance) sharedWith(hs []holding, pid int) string {
	if i.Ungrouped != nil {
		return "?"
	}
	var others []int
	for _, h := range hs {
		if h.pid != pid && !slices.Contains(others, h.pid) {
			others = append(others, h.pid)
		}
	}
	if others == nil {
		return "-"
	}
	return list(others)
}

func watchTable(i listedInstance) *table {
	t := &table{indent: 4, columns: []column{{right: true}, {flex: true}, {flex: true}}}
	for _, w := range i.watches {
		path := "?"
		if w.Path != "" {
			path = quote(w.Path)
		}
		t.add(strconv.Itoa(int(w.WD)), maskText(w.Mask), path)
	}
	return t
}

// maskText is shorter than Mask.String for the many watches on everything.
func maskText(m inotify.Mask) string {
	if !m.HasAll(inotify.AllEvents) {
		return m.String()
	}
	text := "IN_ALL_EVENTS"
	if m &^= inotify.AllEvents; m != 0 {
		text += "|" + m.String()
	}
	return text
}

// lines returns the lines below the table.
func (l *ls) lines(c *usageByUser) (lines []string) {
	maxInstances, maxWatches := limitOf("/proc", "fs/inotify/max_user_instances"), limitOf("/proc", "fs/inotify/max_user_watches")
	for _, uid := range l.users() {
		u, who := c.of(uid), "user "+strconv.Itoa(uid)
		if uid == noUser {
			who = "unknown users"
		}
		lines = append(lines, fmt.Sprintf("%s: %s, %s\n", who,
			ofLimit(u.instances, maxInstances, "instances"), ofLimit(u.watches, maxWatches, "watches")))
	}
	var gaps []checkpoint.Gap
	for _, i := range l.instances {
		if i.Ungrouped != nil {
			gaps = append(gaps, checkpoint.Gap{Field: "shared with", Reason: i.Ungrouped.Error()})
		}
		gaps = append(gaps, i.gaps...)
	}
	for _, s := range summary(gaps) {
		lines = append(lines, "unknown: "+s+"\n")
	}
	for _, line := range hiddenLines(c) {
		lines = append(lines, line+"\n")
	}
	return lines
}

// users returns the users that the instances are charged to.
func (l *ls) users() (uids []int) {
	for _, i := range l.instances {
		if uid, _ := userOf("/proc", i.Descriptors[0].PID); !slices.Contains(uids, uid) {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	return uids
}

// The lines of -json: an object for each instance, and then one for each user.

type instanceObject struct {
	Processes  []processObject    `json:"processes"`
	Shared     *bool              `json:"shared"`      // null if unknown
	WatchCount *int               `json:"watch_count"` // null if unknown
	Watches    []checkpoint.Watch `json:"watches,omitempty"`
	Unknown    []gapObject        `json:"unknown,omitempty"`
}

type gapObject struct {
	Field  checkpoint.Field `json:"field"`
	WD     inotify.WD       `json:"wd,omitempty"`
	Reason string           `json:"reason"`
}

type userObject struct {
	UID           *int `json:"uid"` // null if unknown
	InstanceCount int  `json:"instance_count"`
	MaxInstances  *int `json:"max_instances"` // null if unknown
	WatchCount    int  `json:"watch_count"`
	MaxWatches    *int `json:"max_watches"`
}

func (l *ls) printObjects(w io.Writer, c *usageByUser) error {
	for _, i := range l.instances {
		if err := writeObject(w, l.object(i)); err != nil {
			return err
		}
	}
	for _, uid := range l.users() {
		u := c.of(uid)
		if err := writeObject(w, userObject{
			UID: known(uid), InstanceCount: u.instances, WatchCount: u.watches,
			MaxInstances: known(limitOf("/proc", "fs/inotify/max_user_instances")),
			MaxWatches:   known(limitOf("/proc", "fs/inotify/max_user_watches")),
		}); err != nil {
			return err
		}
	}
	for _, line := range hiddenLines(c) {
		fmt.Fprintf(l.stderr, "inotifyctl: %s\n", line)
	}
	return nil
}

func (l *ls) object(i listedInstance) instanceObject {
	o := instanceObject{Processes: processObjects(i.Instance), WatchCount: known(i.Watches), Watches: i.watches}
	for _, g := range i.gaps {
		o.Unknown = append(o.Unknown, gapObject(g))
	}
	if shared := len(i.Descriptors) > 1; i.Ungrouped == nil {
		o.Shared = &shared
	}
	return o
}

// known returns nil if n is -1, which is unknown.
func known(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}
