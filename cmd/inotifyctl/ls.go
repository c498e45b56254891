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

// lsArgs are the arguments of ls.
type lsArgs struct {
	watches bool
	json    bool
	paths   pathArgs
	pids    []int // none is all
}

func parseLs(args []string) (lsArgs, error) {
	var a lsArgs
	flags := flag.NewFlagSet("ls", flag.ContinueOnError)
	flags.BoolVar(&a.watches, "w", false, "")
	flags.BoolVar(&a.json, "json", false, "")
	a.paths.define(flags)
	if err := parseFlags(flags, args); err != nil {
		return a, err
	}
	for _, arg := range flags.Args() {
		pid, err := parsePID(arg)
		if err != nil {
			return a, misused("ls: %v", err)
		}
		a.pids = append(a.pids, pid)
	}
	return a, nil
}

func parsePID(s string) (int, error) {
	pid, err := strconv.ParseInt(s, 10, 32)
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%q is not the number of a process", s)
	}
	return int(pid), nil
}

// ls prints who has which instances, and with -w what they watch.
func ls(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	a, err := parseLs(args)
	if err != nil {
		return err
	}
	c, err := takeCensus(ctx, "/proc")
	if err != nil {
		return err
	}
	l := lister{lsArgs: a, stderr: stderr, commands: make(map[int]string)}
	failed := l.choose(ctx, c)
	if ctx.Err() != nil {
		return advised(ctx.Err(), "interrupted")
	}
	for _, i := range l.chosen {
		if err := l.list(ctx, i); err != nil {
			return err
		}
	}
	print := l.printTable
	if a.json {
		print = l.printObjects
	}
	if err := print(stdout, c); err != nil {
		return err
	}
	if reasons := c.unanswered(); failed == nil && len(reasons) > 0 && len(l.pids) == 0 {
		return &incompleteError{reasons}
	}
	return adviseFailed(failed)
}

// adviseFailed says what to do where a process that was asked for could not be read.
func adviseFailed(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return advised(err, "run it as that process's user, or as root")
	case isNoProcess(err), errors.Is(err, fs.ErrNotExist):
		return advised(err, "give the number of a process that runs")
	}
	return advised(err, "")
}

// A lister lists instances.
type lister struct {
	lsArgs
	stderr   io.Writer
	chosen   []checkpoint.Instance
	listed   []listed // one for each of chosen
	commands map[int]string
}

// A listed is an instance with its watches.
type listed struct {
	checkpoint.Instance
	watches []checkpoint.Watch
	gaps    []checkpoint.Gap // what of the watches was not learned
}

// choose chooses the instances to list: all, or those of the processes that were
// asked for. It returns which of those could not be read.
func (l *lister) choose(ctx context.Context, c *census) error {
	if len(l.pids) == 0 {
		l.chosen = c.instances
		return nil
	}
	for _, i := range c.instances {
		if slices.ContainsFunc(i.Descriptors, func(d checkpoint.Descriptor) bool { return slices.Contains(l.pids, d.PID) }) {
			l.chosen = append(l.chosen, i)
		}
	}
	_, err := checkpoint.Instances(ctx, l.pids...)
	return err
}

// list adds an instance.
func (l *lister) list(ctx context.Context, i checkpoint.Instance) error {
	one := listed{Instance: i}
	if l.watches {
		s, err := l.take(ctx, i)
		switch {
		case ctx.Err() != nil:
			return advised(ctx.Err(), "interrupted")
		case err != nil:
			one.gaps = append(one.gaps, checkpoint.Gap{What: "watches", Why: err.Error()})
		default:
			one.watches = s.Watches
			one.gaps = slices.DeleteFunc(s.NotLearned, func(g checkpoint.Gap) bool { return g.What != "path" })
		}
	}
	for _, d := range i.Descriptors {
		if _, known := l.commands[d.PID]; !known {
			l.commands[d.PID] = commandOf("/proc", d.PID)
		}
	}
	l.listed = append(l.listed, one)
	return nil
}

// take takes an instance by the first of its descriptors that can be read.
func (l *lister) take(ctx context.Context, i checkpoint.Instance) (s *checkpoint.Snapshot, err error) {
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

// A holding is one process's part of an instance, or one of its threads'.
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
func (l *lister) printTable(w io.Writer, c *census) error {
	t := &table{columns: []column{
		{name: "PID", right: true}, {name: "COMMAND", flex: true}, {name: "FD", flex: true},
		{name: "WATCHES", right: true}, {name: "SHARED WITH", flex: true},
	}}
	for _, i := range l.listed {
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

func (l *lister) addRows(t *table, i listed) {
	watches := "?"
	if i.Watches >= 0 {
		watches = strconv.Itoa(i.Watches)
	}
	hs := holdings(i.Instance)
	for _, h := range hs {
		t.add(strconv.Itoa(h.pid), quote(l.commands[h.pid]), h.descriptors(), watches, i.sharedWith(hs, h.pid))
	}
}

// sharedWith tells which other processes have the instance.
func (i listed) sharedWith(hs []holding, pid int) string {
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

func watchTable(i listed) *table {
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

// lines are those below the table.
func (l *lister) lines(c *census) (lines []string) {
	instances, watches := limitOf("/proc", "fs/inotify/max_user_instances"), limitOf("/proc", "fs/inotify/max_user_watches")
	for _, uid := range l.users() {
		u, who := c.of(uid), "user "+strconv.Itoa(uid)
		if uid == noUser {
			who = "users not known"
		}
		lines = append(lines, fmt.Sprintf("%s: %d %s instances, %d %s watches\n",
			who, u.instances, ofLimit(instances), u.watches, ofLimit(watches)))
	}
	var gaps []checkpoint.Gap
	for _, i := range l.listed {
		if i.Ungrouped != nil {
			gaps = append(gaps, checkpoint.Gap{What: "shared with", Why: i.Ungrouped.Error()})
		}
		gaps = append(gaps, i.gaps...)
	}
	for _, s := range summary(gaps) {
		lines = append(lines, "not learned: "+s+"\n")
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
	return fmt.Sprintf("processes that could not be read and may have more: %d%s\n", n, hint)
}

const hiddenLine = "processes of other users are hidden: /proc is mounted with hidepid\n"

// hidden reports whether proc shows only some of the processes. The first one always runs.
func hidden(proc string) bool {
	_, err := os.Lstat(filepath.Join(proc, "1"))
	return errors.Is(err, fs.ErrNotExist)
}

// users returns those to whom the instances are charged.
func (l *lister) users() (uids []int) {
	for _, i := range l.listed {
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
	Shared     *bool              `json:"shared"`  // null if it cannot be told
	Watches    *int               `json:"watches"` // null if not known
	WatchList  []checkpoint.Watch `json:"watchList,omitempty"`
	NotLearned []string           `json:"notLearned,omitempty"`
}

type processObject struct {
	PID          int    `json:"pid"`
	TID          int    `json:"tid,omitempty"` // the thread whose descriptors they are, if not all threads'
	Command      string `json:"command"`
	CommandBytes []byte `json:"commandBytes,omitempty"`
	FDs          []int  `json:"fds"`
}

type userObject struct {
	UID          int  `json:"uid"`
	Instances    int  `json:"instances"`
	MaxInstances *int `json:"maxInstances"` // null if not known
	Watches      int  `json:"watches"`
	MaxWatches   *int `json:"maxWatches"`
}

func (l *lister) printObjects(w io.Writer, c *census) error {
	for _, i := range l.listed {
		if err := writeObject(w, l.object(i)); err != nil {
			return err
		}
	}
	for _, uid := range l.users() {
		u := c.of(uid)
		if err := writeObject(w, userObject{
			UID: uid, Instances: u.instances, Watches: u.watches,
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

func (l *lister) object(i listed) instanceObject {
	o := instanceObject{Watches: known(i.Watches), WatchList: i.watches, NotLearned: summary(i.gaps)}
	if shared := len(i.Descriptors) > 1; i.Ungrouped == nil {
		o.Shared = &shared
	}
	for _, h := range holdings(i.Instance) {
		name := l.commands[h.pid]
		o.Processes = append(o.Processes, processObject{PID: h.pid, TID: h.tid, Command: name, CommandBytes: invalid(name), FDs: h.fds})
	}
	return o
}

// known returns nil for -1.
func known(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

// list returns "3, 5".
func list(ns []int) string {
	texts := make([]string, len(ns))
	for i, n := range ns {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ", ")
}
