// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/sys"
)

var lsCommand = &subcommand{
	name:     "ls",
	operands: "[PID...]",
	summary:  "list processes that use inotify, and what they watch",
	about: `
List which processes use inotify, the one with most watches first. Only processes that
you may read are listed: run it as root for those of other users.

There is a line for each process: its effective user, how many inotify instances and
watches it has, the id of its container ("-" if it is in none that can be recognized),
and the name of its command. An instance that several processes share is counted for
each of them.

With PID, -i or -w, there is a line for each instance of a process instead: FD are its
file descriptors, and SHARED WITH the other processes that have the same instance, for
example after fork(2).

The last lines show how much of the limits each user has in use. There, each instance is
counted once.
`,
	example: "inotifyctl ls -min 1000\ninotifyctl ls -w 4711",
	exit: [][2]string{
		{"0", "done; processes that you may not read are only counted"},
		{"1", "failed, or a process given as PID could not be read"},
		{"2", "usage error"},
		{"3", "incomplete: a process did not answer, or could not be read although you have permission"},
	},
	define: func(flags *flag.FlagSet) action {
		l := &ls{uid: noUser}
		flags.BoolVar(&l.each, "i", false, "print a line for each instance of a process")
		flags.BoolVar(&l.watches, "w", false, "list the watches of each instance: watch descriptor, mask, path")
		flags.Func("user", "list only processes of `USER`, a name or a uid", func(s string) (err error) {
			l.uid, err = parseUser(s)
			return err
		})
		flags.StringVar(&l.command, "command", "", "list only processes whose command name contains `TEXT`")
		numberVar(flags, &l.least, "min", 0, "list only processes that have `N` watches or more, or an unknown number")
		flags.BoolVar(&l.json, "json", false, "print JSON, one object a line")
		l.paths.define(flags, "with -w: ")
		verboseVar(flags, &l.effects.verbose, "with -w: ")
		return func(ctx context.Context, in *invocation) error {
			if err := l.paths.check(); err != nil {
				return err
			}
			if err := checkNeeded(flags, "w", "paths", "all-filesystems", "v"); err != nil {
				return err
			}
			return l.run(ctx, in)
		}
	},
}

// An ls is the command ls.
type ls struct {
	each    bool // print a line for each instance
	watches bool // print them as well
	json    bool
	paths   pathFlags
	effects sideEffects

	// Which processes are listed.
	pids    []int // none is all
	uid     int   // noUser is all
	command string
	least   int64 // watches

	stderr    io.Writer
	processes []*total
	instances []listedInstance // of the processes
}

// A listedInstance is an instance with its watches.
type listedInstance struct {
	checkpoint.Instance
	owner   int // the user that it is counted for
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
	l.stderr = in.stderr
	c, err := countUsage(ctx, "/proc")
	if err != nil {
		return err
	}
	failed := l.failed(ctx, c)
	if ctx.Err() != nil {
		return errInterrupted
	}
	l.choose(c)
	if l.watches {
		for i := range l.instances {
			if err := l.dump(ctx, &l.instances[i]); err != nil {
				return err
			}
		}
	}
	show := l.printTable
	if l.json {
		show = l.printObjects
	}
	if err := show(in.stdout, c); err != nil {
		return err
	}
	if reasons := c.failures(); failed == nil && len(reasons) > 0 && len(l.pids) == 0 {
		return &incompleteError{reasons}
	}
	return withListHint(failed)
}

// failed returns why processes that were given as PID could not be read.
func (l *ls) failed(ctx context.Context, c *usageByUser) error {
	var errs []error
	var missing []int
	for _, pid := range l.pids {
		k := slices.IndexFunc(c.unreadable, func(e *checkpoint.ProcessError) bool { return e.PID == pid })
		switch {
		case k >= 0:
			errs = append(errs, c.unreadable[k])
		case !slices.ContainsFunc(c.instances, func(i checkpoint.Instance) bool { return has(i, pid) }):
			missing = append(missing, pid)
		}
	}
	if missing != nil { // without an instance, or not running
		_, err := checkpoint.Instances(ctx, missing...)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// has reports whether a process has the instance.
func has(i checkpoint.Instance, pid int) bool {
	return slices.ContainsFunc(i.Descriptors, func(d checkpoint.Descriptor) bool { return d.PID == pid })
}

// choose sets the processes to list, and the instances that they have, in the order of the
// processes.
func (l *ls) choose(c *usageByUser) {
	l.processes = slices.DeleteFunc(totals(c.instances), func(p *total) bool { return !l.wants(p) })
	ranks := make(map[int]int)
	for rank, p := range l.processes {
		ranks[p.pid] = rank
	}
	rankOf := func(i listedInstance) int {
		rank := len(l.processes)
		for _, d := range i.Descriptors {
			if r, ok := ranks[d.PID]; ok {
				rank = min(rank, r)
			}
		}
		return rank
	}
	for k, i := range c.instances {
		if one := (listedInstance{Instance: i, owner: c.owners[k]}); rankOf(one) < len(l.processes) {
			l.instances = append(l.instances, one)
		}
	}
	slices.SortStableFunc(l.instances, func(a, b listedInstance) int { return rankOf(a) - rankOf(b) })
}

// wants reports whether a process is to be listed.
func (l *ls) wants(p *total) bool {
	return (len(l.pids) == 0 || slices.Contains(l.pids, p.pid)) &&
		(l.uid == noUser || l.uid == p.uid) &&
		strings.Contains(p.command, l.command) &&
		(p.uncounted || int64(p.watches) >= l.least)
}

// dump reads the watches of an instance.
func (l *ls) dump(ctx context.Context, i *listedInstance) error {
	if i.Watches == 0 {
		return nil
	}
	b := newBar(l.stderr)
	s, err := dumpInstance(ctx, i.Instance, l.paths.options(b)...)
	b.clear()
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		i.gaps = append(i.gaps, checkpoint.Gap{Field: checkpoint.FieldWatches, Reason: err.Error()})
	default:
		i.watches = s.Watches
		i.gaps = slices.DeleteFunc(s.Unknown, func(g checkpoint.Gap) bool { return g.Field != checkpoint.FieldPath })
		l.effects.print(l.stderr, s)
	}
	return nil
}

// byInstance reports whether each instance of a process has a line.
func (l *ls) byInstance() bool { return l.each || l.watches || len(l.pids) > 0 }

// printTable prints the processes or the instances, and what users have in use.
func (l *ls) printTable(w io.Writer, c *usageByUser) error {
	t := l.processTable()
	if l.byInstance() {
		t = l.instanceTable()
	}
	text := "no inotify instance was found\n"
	if len(t.rows) > 0 {
		text = t.text(columns(w))
	}
	_, err := io.WriteString(w, text+strings.Join(l.lines(c), ""))
	return err
}

// processTable has a line for each process. The command is last because only that can
// contain blanks.
func (l *ls) processTable() *table {
	t := &table{columns: []column{
		{name: "PID", right: true}, {name: "USER"}, {name: "INSTANCES", right: true},
		{name: "WATCHES", right: true}, {name: "CONTAINER"}, {name: "COMMAND", flex: true},
	}}
	for _, p := range l.processes {
		t.add(strconv.Itoa(p.pid), userName(p.uid), strconv.Itoa(p.instances), countOrUnknown(p.knownWatches()),
			shortContainer(containerOf("/proc", p.pid)), quote(p.command))
	}
	return t
}

// instanceTable has a line for each process that has an instance, and with -w one for each
// watch below them.
func (l *ls) instanceTable() *table {
	t := &table{columns: []column{
		{name: "PID", right: true}, {name: "COMMAND", flex: true}, {name: "FD", flex: true},
		{name: "WATCHES", right: true}, {name: "SHARED WITH", flex: true},
	}}
	commands := make(map[int]string)
	for _, p := range l.processes {
		commands[p.pid] = p.command
	}
	for _, i := range l.instances {
		hs := holdings(i.Instance)
		for _, h := range hs {
			if _, known := commands[h.pid]; !known {
				commands[h.pid] = commandOf("/proc", h.pid)
			}
			t.add(strconv.Itoa(h.pid), quote(commands[h.pid]), h.descriptors(), countOrUnknown(i.Watches), i.sharedWith(hs, h.pid))
		}
		if len(i.watches) > 0 {
			t.under(watchTable(i))
		}
	}
	return t
}

// countOrUnknown returns "?" for -1.
func countOrUnknown(n int) string {
	if n < 0 {
		return "?"
	}
	return strconv.Itoa(n)
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
	maxInstances, maxWatches := limitOf("instances"), limitOf("watches")
	for _, uid := range l.owners() {
		u, name := c.of(uid), "user "+userName(uid)
		if uid == noUser {
			name = "unknown users"
		}
		lines = append(lines, fmt.Sprintf("%s: %s, %s\n", name,
			ofLimit(u.instances, maxInstances, "instance", "instances"), ofLimit(u.knownWatches(), maxWatches, "watch", "watches")))
	}
	var gaps []checkpoint.Gap
	for _, i := range l.instances {
		if i.Ungrouped != nil {
			gaps = append(gaps, checkpoint.Gap{Field: "which descriptors are the same instance", Reason: i.Ungrouped.Error()})
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

// owners returns the users that the instances are counted for.
func (l *ls) owners() (uids []int) {
	for _, i := range l.instances {
		uids = append(uids, i.owner)
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}

// limitOf returns how many instances or watches a user may have, or -1 if that is unknown.
func limitOf(what string) int { return int(sys.Sysctl("fs.inotify.max_user_" + what)) }

// The lines of -json: an object for each process or instance, and then one for each user.

type totalObject struct {
	PID           int     `json:"pid"`
	UID           *int    `json:"uid"` // null if unknown
	User          string  `json:"user,omitempty"`
	Command       string  `json:"command"`
	CommandBytes  []byte  `json:"command_bytes,omitempty"`
	Container     *string `json:"container"` // null if unknown, "" if there is none
	InstanceCount int     `json:"instance_count"`
	WatchCount    *int    `json:"watch_count"` // null if unknown
}

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
	UID           *int   `json:"uid"` // null if unknown
	User          string `json:"user,omitempty"`
	InstanceCount int    `json:"instance_count"`
	MaxInstances  *int   `json:"max_instances"` // null if unknown
	WatchCount    *int   `json:"watch_count"`   // null if unknown
	MaxWatches    *int   `json:"max_watches"`
}

func (l *ls) printObjects(w io.Writer, c *usageByUser) error {
	var objects []any
	if l.byInstance() {
		for _, i := range l.instances {
			objects = append(objects, l.object(i))
		}
	} else {
		for _, p := range l.processes {
			objects = append(objects, p.object())
		}
	}
	for _, uid := range l.owners() {
		u := c.of(uid)
		objects = append(objects, userObject{
			UID: known(uid), User: nameInJSON(uid), InstanceCount: u.instances, WatchCount: known(u.knownWatches()),
			MaxInstances: known(limitOf("instances")),
			MaxWatches:   known(limitOf("watches")),
		})
	}
	for _, o := range objects {
		if err := writeObject(w, o); err != nil {
			return err
		}
	}
	for _, line := range hiddenLines(c) {
		fmt.Fprintf(l.stderr, "inotifyctl: %s\n", line)
	}
	return nil
}

func (p *total) object() totalObject {
	o := totalObject{
		PID: p.pid, UID: known(p.uid), User: nameInJSON(p.uid), Command: p.command, CommandBytes: invalidUTF8(p.command),
		InstanceCount: p.instances, WatchCount: known(p.knownWatches()),
	}
	if container := containerOf("/proc", p.pid); container != "?" {
		o.Container = &container
	}
	return o
}

// nameInJSON returns the name of a user, or "" if it has none.
func nameInJSON(uid int) string {
	if name := userName(uid); name != "?" && name != strconv.Itoa(uid) {
		return name
	}
	return ""
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
