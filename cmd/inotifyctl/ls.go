// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
		l := &ls{commands: make(map[int]string), sideEffects: make(map[string]bool)}
		flags.BoolVar(&l.watches, "w", false, "list the watches of each instance: watch descriptor, mask, path")
		flags.BoolVar(&l.json, "json", false, "print JSON, one object a line")
		l.paths.define(flags)
		verboseVar(flags, &l.verbose)
		return l.run
	},
}

// An ls is the command ls.
type ls struct {
	watches bool
	json    bool
	paths   pathFlags
	verbose bool
	pids    []int // none is all

	stderr      io.Writer
	instances   []listedInstance
	commands    map[int]string  // by pid
	sideEffects map[string]bool // already printed
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
		s, err := l.take(ctx, i)
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case err != nil:
			one.gaps = append(one.gaps, checkpoint.Gap{What: "watches", Why: err.Error()})
		default:
			one.watches = s.Watches
			one.gaps = slices.DeleteFunc(s.NotLearned, func(g checkpoint.Gap) bool { return g.What != "path" })
			l.noteSideEffects(s)
		}
	}
	for _, d := range i.Descriptors {
		if _, known := l.commands[d.PID]; !known {
			l.commands[d.PID] = commandOf("/proc", d.PID)
		}
	}
	l.instances = append(l.instances, one)
	return nil
}

// noteSideEffects prints those that other instances did not have.
func (l *ls) noteSideEffects(s *checkpoint.Snapshot) {
	for _, e := range s.Effects {
		if l.verbose && !l.sideEffects[e] {
			l.sideEffects[e] = true
			note(l.stderr, "side effect", e)
		}
	}
}

// take takes an instance by the first of its descriptors that can be read.
func (l *ls) take(ctx context.Context, i checkpoint.Instance) (s *checkpoint.Snapshot, err error) {
	b := newBar(l.stderr)
	defer b.clear()
	for _, d := range i.Descriptors {
		s, err = checkpoint.TakeFD(ctx, cmp.Or(d.TID, d.PID), d.FD, l.paths.options(b)...)
		if err == nil {
			break
		}
	}
	return s, err
}

// A holding is the descriptors by which a process, or one of its threads, has an
// instance.
type holding struct {
	pid, tid int
	fds      []int
}

// holdings returns who has an instance, in ascending order of pid and tid.
func holdings(i checkpoint.Instance) []holding {
	var hs []holding
	for _, d := range i.Descriptors {
		if k := len(hs); k > 0 && hs[k-1].pid == d.PID && hs[k-1].tid == d.TID {
			hs[k-1].fds = append(hs[k-1].fds, d.FD)
		} else {
			hs = append(hs, holding{d.PID, d.TID, []int{d.FD}})
		}
	}
	return hs
}

// descriptors returns "3, 5", or "3, 5 of thread 12".
func (h holding) descriptors() string {
	if h.tid != 0 {
		return fmt.Sprintf("%s of thread %d", list(h.fds), h.tid)
	}
	return list(h.fds)
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
		t.add(strconv.Itoa(h.pid), quote(l.commands[h.pid]), h.descriptors(), watches, i.sharedWith(hs, h.pid))
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
			gaps = append(gaps, checkpoint.Gap{What: "shared with", Why: i.Ungrouped.Error()})
		}
		gaps = append(gaps, i.gaps...)
	}
	for _, s := range summary(gaps) {
		lines = append(lines, "unknown: "+s+"\n")
	}
	if n := len(c.unreadable); n > 0 {
		lines = append(lines, unreadableLine(n))
	}
	if hidden("/proc") {
		lines = append(lines, hiddenLine)
	}
	return lines
}

func unreadableLine(n int) string {
	hint := ""
	if os.Geteuid() != 0 {
		hint = " (run it as root)"
	}
	return count(n, "process", "processes") + " could not be read and may have more" + hint + "\n"
}

const hiddenLine = "processes of other users are hidden: /proc is mounted with hidepid\n"

// hidden reports whether proc shows only some of the processes: process 1 always runs.
func hidden(proc string) bool {
	_, err := os.Lstat(filepath.Join(proc, "1"))
	return errors.Is(err, fs.ErrNotExist)
}

// users returns the users whom the instances are charged to.
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

type processObject struct {
	PID          int    `json:"pid"`
	TID          int    `json:"tid,omitempty"` // the thread that has the descriptors, if not all threads do
	Command      string `json:"command"`
	CommandBytes []byte `json:"command_bytes,omitempty"`
	FDs          []int  `json:"fds"`
}

type gapObject struct {
	What string     `json:"what"`
	WD   inotify.WD `json:"wd,omitempty"`
	Why  string     `json:"why"`
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
	if n := len(c.unreadable); n > 0 {
		fmt.Fprint(l.stderr, "inotifyctl: "+unreadableLine(n))
	}
	if hidden("/proc") {
		fmt.Fprint(l.stderr, "inotifyctl: "+hiddenLine)
	}
	return nil
}

func (l *ls) object(i listedInstance) instanceObject {
	o := instanceObject{WatchCount: known(i.Watches), Watches: i.watches}
	for _, g := range i.gaps {
		o.Unknown = append(o.Unknown, gapObject(g))
	}
	if shared := len(i.Descriptors) > 1; i.Ungrouped == nil {
		o.Shared = &shared
	}
	for _, h := range holdings(i.Instance) {
		name := l.commands[h.pid]
		o.Processes = append(o.Processes, processObject{PID: h.pid, TID: h.tid, Command: name, CommandBytes: invalidUTF8(name), FDs: h.fds})
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
