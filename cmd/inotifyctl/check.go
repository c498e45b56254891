// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/sys"
)

var checkCommand = &subcommand{
	name:    "check",
	summary: "show what the kernel supports, and how much of the limits is in use",
	about: `
Show which inotify features this kernel has, and how much of the inotify limits the
processes of your user have in use. If a limit is exhausted, the processes that use most
of it are shown as well.

Limits are for each user: those of fs.inotify in the initial user namespace, those of
user.max_inotify in this one.
`,
	example: "inotifyctl check",
	exit: [][2]string{
		{"0", "done"},
		{"1", "failed: standard error says why"},
		{"2", "usage error"},
		{"3", "a limit is exhausted, or a process did not answer or could not be read although you have permission"},
	},
	define: func(*flag.FlagSet) action { return check },
}

// check prints the features, the limits and what is in use, and if a limit is exhausted, the
// processes that use most of it.
func check(ctx context.Context, in *invocation) error {
	if err := checkOperands(in.operands); err != nil {
		return err
	}
	features, reached := probe()
	if errors.Is(reached, errors.ErrUnsupported) {
		return reached
	}
	uid := os.Geteuid()
	c, err := countUsage(ctx, "/proc")
	if ctx.Err() != nil {
		return err
	}
	var missing []string
	if reached != nil {
		missing = append(missing, reached.Error())
	}
	if err != nil {
		missing = append(missing, "cannot count what is in use: "+textWithHint(err))
	} else {
		missing = append(missing, c.failures()...)
		if slices.ContainsFunc(c.instances, func(i checkpoint.Instance) bool { return i.Watches > 0 }) {
			features.watchList = nil
		}
	}
	lines := append(features.lines(), limitLines(sys.Sysctl, uid, c, features.watchList, reached)...)
	if c != nil && reached != nil {
		lines = append(lines, c.largestLine(uid, reached))
	}
	if _, err := io.WriteString(in.stdout, strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	if len(missing) > 0 {
		return &incompleteError{missing}
	}
	return nil
}

// features has an error for each feature: nil if the kernel has it, or else why it has not or
// why that is unknown.
type features struct {
	setNextWD, maskCreate, watchList error
}

func (f features) lines() []string {
	return []string{
		"INOTIFY_IOC_SETNEXTWD: " + yesNo(f.setNextWD),
		"IN_MASK_CREATE: " + yesNo(f.maskCreate),
		"watches in fdinfo: " + yesNo(f.watchList),
	}
}

func yesNo(missing error) string {
	var unsupported *inotify.UnsupportedError
	switch {
	case missing == nil:
		return "yes"
	case errors.As(missing, &unsupported):
		return oneLine("no: needs " + unsupported.Needs)
	case errors.Is(missing, errors.ErrUnsupported):
		return "no: " + oneLine(missing.Error())
	case errors.As(missing, new(*inotify.LimitError)):
		return "unknown: a limit is exhausted"
	}
	return "unknown: " + oneLine(missing.Error())
}

// probe probes each feature. reached says which limit, if any, did not let a probe create an
// instance or a watch.
func probe() (f features, reached error) {
	n, err := inotify.New()
	if err != nil {
		return features{err, err, err}, err
	}
	n.Close()
	f = features{inotify.HaveSetNextWD(), inotify.HaveMaskCreate(), inotify.HaveWatchList()}
	if errors.Is(f.setNextWD, errors.ErrUnsupported) {
		f.setNextWD = &inotify.UnsupportedError{
			Feature: "INOTIFY_IOC_SETNEXTWD",
			Needs:   "Linux 4.17 with CONFIG_CHECKPOINT_RESTORE, and no seccomp profile that forbids it; watches are restored by the add/remove cycle instead",
		}
	}
	for _, err := range []error{f.setNextWD, f.maskCreate, f.watchList} {
		if errors.As(err, new(*inotify.LimitError)) {
			reached = err
		}
	}
	return f, reached
}

// limitLines returns a line for each limit, with how much of it the user has in use. sysctl
// reads a limit, and returns -1 if it is unknown. c is nil if the usage could not be counted.
// watchList is nil if the kernel lists watches, so that they can be counted. reached is nil, or
// says which limit is exhausted.
func limitLines(sysctl func(name string) int64, uid int, c *usageByUser, watchList, reached error) []string {
	const uncounted = "could not count how many are in use"
	u, instances, watches := usage{}, uncounted, uncounted
	if c != nil {
		u = c.of(uid)
		instances, watches = u.inUse(u.instances, uid), u.inUse(u.watches, uid)
	}
	if watchList != nil {
		watches = uncounted + ": fdinfo does not list watches"
	}
	line := func(name, scope, what string, count int, reached bool) string {
		limit, value := sysctl(name), "unknown"
		if limit >= 0 {
			value = strconv.FormatInt(limit, 10)
		}
		if reached && limit >= 0 && int64(count) >= limit {
			what += "; exhausted"
		}
		return name + ": " + value + scope + "; " + what
	}
	const inNamespace = " (of this user namespace)"
	return []string{
		line("fs.inotify.max_user_instances", "", instances, u.instances, isInstanceLimit(reached)),
		line("fs.inotify.max_user_watches", "", watches, u.watches, isWatchLimit(reached)),
		line("fs.inotify.max_queued_events", "", "for each instance", -1, false),
		line("user.max_inotify_instances", inNamespace, instances, u.instances, isInstanceLimit(reached)),
		line("user.max_inotify_watches", inNamespace, watches, u.watches, isWatchLimit(reached)),
	}
}

// isInstanceLimit reports whether an error is that a limit of instances is exhausted.
func isInstanceLimit(err error) bool { return errors.Is(err, sys.EMFILE) }

// isWatchLimit reports whether an error is that a limit of watches is exhausted.
func isWatchLimit(err error) bool { return errors.Is(err, sys.ENOSPC) }

// largestLine says which processes of a user use most of the limit that was reached.
func (c *usageByUser) largestLine(uid int, reached error) string {
	what, use := "watches", func(i checkpoint.Instance) int { return max(i.Watches, 0) }
	if isInstanceLimit(reached) {
		what, use = "instances", func(checkpoint.Instance) int { return 1 }
	}
	var each []string
	for _, s := range c.largest(uid, use) {
		each = append(each, fmt.Sprintf("%d in process %d (%s)", s.count, s.pid, quote(commandOf("/proc", s.pid))))
	}
	if each == nil {
		each = []string{"unknown"}
	}
	return fmt.Sprintf("most %s of user %s: %s", what, userName(uid), strings.Join(each, ", "))
}

// inUse returns a number that u has, with what makes it uncertain.
func (u usage) inUse(n, uid int) string {
	text := fmt.Sprintf("%d in use by processes of user %s", n, userName(uid))
	if u.unsure {
		text = "at most " + text + " (some descriptors may be the same instance)"
	}
	if u.unreadable > 0 {
		text += fmt.Sprintf("; %s could not be read and may have more", count(u.unreadable, "process", "processes"))
	}
	return text
}
