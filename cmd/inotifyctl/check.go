// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// check prints what this kernel has, and the limits with what the user has in use. At
// the limit it prints them all the same, and who has most.
func check(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return misused("check: takes no arguments, and got %q", flags.Arg(0))
	}
	features, reached := probe()
	if errors.Is(reached, errors.ErrUnsupported) {
		return reached
	}
	uid := os.Geteuid()
	c, err := takeCensus(ctx, "/proc")
	if ctx.Err() != nil {
		return err
	}
	var missing []string
	if reached != nil {
		missing = append(missing, reached.Error())
	}
	if err != nil {
		missing = append(missing, "what is in use could not be counted: "+advise(err))
	} else {
		missing = append(missing, c.unanswered()...)
		if slices.ContainsFunc(c.instances, func(i checkpoint.Instance) bool { return i.Watches > 0 }) {
			features.listed = nil
		}
	}
	lines := append(features.lines(), limitLines("/proc", uid, c, features.listed, reached)...)
	if c != nil && reached != nil {
		lines = append(lines, c.holders(uid, reached))
	}
	if _, err := io.WriteString(stdout, strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	if len(missing) > 0 {
		return &incompleteError{missing}
	}
	return nil
}

// features are nil where the kernel has it, and otherwise say why it is not
// known to have it.
type features struct {
	setNext, maskCreate, listed error
}

func (f features) lines() []string {
	return []string{
		"INOTIFY_IOC_SETNEXTWD: " + yes(f.setNext),
		"IN_MASK_CREATE: " + yes(f.maskCreate),
		"watches in fdinfo: " + yes(f.listed),
	}
}

func yes(missing error) string {
	switch {
	case missing == nil:
		return "yes"
	case errors.Is(missing, errors.ErrUnsupported):
		return "no: " + oneLine(missing.Error())
	case errors.As(missing, new(*inotify.LimitError)):
		return "not known, as a limit is reached"
	}
	return "not known: " + oneLine(missing.Error())
}

// probe tries each feature on an instance of its own. The error says why no instance or
// no watch could be made, as a limit is reached.
func probe() (f features, reached error) {
	n, err := inotify.New()
	if err != nil {
		return features{err, err, err}, err
	}
	defer n.Close()
	f = features{
		setNext:    probeSetNext(n),
		maskCreate: probeMaskCreate(n),
		listed:     probeListed(n),
	}
	for _, err := range []error{f.maskCreate, f.listed} {
		if errors.As(err, new(*inotify.LimitError)) {
			reached = err
		}
	}
	return f, reached
}

func probeSetNext(n *inotify.Inotify) error {
	if inotify.HaveSetNextWD() == nil {
		return nil
	}
	return &inotify.UnsupportedError{
		Feature: "it",
		Needs:   "Linux 4.17 with CONFIG_CHECKPOINT_RESTORE, and no seccomp profile that forbids it; without it a watch gets its number by the add/remove cycle",
	}
}

// probeMaskCreate watches an inode that is watched already.
func probeMaskCreate(n *inotify.Inotify) error {
	const mask = inotify.MaskCreate | inotify.IsDir
	_, err := n.AddWatch("/", mask)
	if err == nil {
		_, err = n.AddWatch("/", mask)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err == nil, errors.Is(err, syscall.EINVAL):
		return &inotify.UnsupportedError{Feature: "it", Needs: "Linux 4.18"}
	}
	return err
}

func probeListed(n *inotify.Inotify) error {
	if _, err := n.AddWatch("/", inotify.IsDir|inotify.MaskAdd); err != nil {
		return err
	}
	ws, err := n.Watches()
	if err == nil && len(ws) != 1 {
		return fmt.Errorf("%d watches are listed where 1 is there", len(ws))
	}
	return err
}

// limitLines returns a line for each limit under proc, with what the user has of it in c,
// which is nil if that could not be counted. listed is nil if the kernel lists watches, so
// that they can be counted. reached is nil, or says what is exhausted.
func limitLines(proc string, uid int, c *census, listed, reached error) []string {
	const uncounted = "how many are in use could not be counted"
	u, instances, watches := usage{}, uncounted, uncounted
	if c != nil {
		u = c.of(uid)
		instances, watches = u.inUse(u.instances, uid), u.inUse(u.watches, uid)
	}
	if listed != nil {
		watches = "how many are in use cannot be counted, as fdinfo does not list them"
	}
	line := func(name, scope, what string, count int, errno error) string {
		limit, value := limitOf(proc, strings.ReplaceAll(name, ".", "/")), "not known"
		if limit >= 0 {
			value = strconv.Itoa(limit)
		}
		if errors.Is(reached, errno) && limit >= 0 && count >= limit {
			what += "; it is exhausted"
		}
		return name + ": " + value + scope + "; " + what
	}
	const own = " (of this user namespace)"
	return []string{
		line("fs.inotify.max_user_instances", "", instances, u.instances, syscall.EMFILE),
		line("fs.inotify.max_user_watches", "", watches, u.watches, syscall.ENOSPC),
		line("fs.inotify.max_queued_events", "", "for each instance, not for the user", -1, nil),
		line("user.max_inotify_instances", own, instances, u.instances, syscall.EMFILE),
		line("user.max_inotify_watches", own, watches, u.watches, syscall.ENOSPC),
	}
}

// holders says which processes of a user have most of what has reached a limit.
func (c *census) holders(uid int, reached error) string {
	what, count := "watches", func(i checkpoint.Instance) int { return max(i.Watches, 0) }
	if errors.Is(reached, syscall.EMFILE) {
		what, count = "instances", func(checkpoint.Instance) int { return 1 }
	}
	var each []string
	for _, s := range c.largest(uid, count) {
		each = append(each, fmt.Sprintf("%d in process %d (%s)", s.count, s.pid, quote(commandOf("/proc", s.pid))))
	}
	if each == nil {
		each = []string{"none that could be read"}
	}
	return fmt.Sprintf("most %s of user %d: %s", what, uid, strings.Join(each, ", "))
}

// inUse says what a count of u's is worth.
func (u usage) inUse(count, uid int) string {
	text := fmt.Sprintf("%d in use by the processes of user %d", count, uid)
	if u.unsure {
		text = "at most " + text + " (whether some are the same instance cannot be told)"
	}
	if u.unreadable > 0 {
		text += fmt.Sprintf("; processes that could not be read and may have more: %d", u.unreadable)
	}
	return text
}
