// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed10546c08/inotify"
)

// check prints what this kernel has, and the limits with what the user has in
// use. Where no instance can be made, because a limit is reached, it prints the
// limits all the same.
func check(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return misused("check: takes no arguments, and got %q", flags.Arg(0))
	}
	features, tried := probe()
	if errors.Is(tried, errors.ErrUnsupported) {
		return tried
	}
	c, err := takeCensus("/proc")
	if err != nil {
		return err
	}
	uid := os.Geteuid()
	lines := append(features.lines(), limitLines("/proc", uid, c.of(uid), features.listed)...)
	if _, err := io.WriteString(stdout, strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	return tried
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
	}
	return "not known: " + oneLine(missing.Error())
}

// probe tries each feature on an instance of its own. The error says why none
// could be made.
func probe() (features, error) {
	n, err := inotify.New()
	if err != nil {
		return features{err, err, err}, err
	}
	defer n.Close()
	return features{
		setNext:    probeSetNext(n),
		maskCreate: probeMaskCreate(n),
		listed:     probeListed(n),
	}, nil
}

func probeSetNext(n *inotify.Inotify) error {
	if n.SupportsSetNextWD() {
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

// limitLines tells the three limits under proc, and what the user has of them.
// listed is nil if the kernel lists watches, so that they can be counted.
func limitLines(proc string, uid int, u usage, listed error) []string {
	watches := u.inUse(u.watches, uid)
	if listed != nil {
		watches = "how many are in use cannot be counted, as fdinfo does not list them"
	}
	return []string{
		limitLine(proc, "max_user_instances", u.inUse(u.instances, uid)),
		limitLine(proc, "max_user_watches", watches),
		limitLine(proc, "max_queued_events", "for each instance, not for the user"),
	}
}

func limitLine(proc, name, used string) string {
	value := "not known"
	if n := limitOf(proc, name); n >= 0 {
		value = strconv.Itoa(n)
	}
	return "fs.inotify." + name + ": " + value + "; " + used
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
