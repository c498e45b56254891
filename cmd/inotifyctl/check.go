// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed10546c08/inotify"
)

// check prints what this kernel has, and the limits under proc with what the
// user has in use. Where no instance can be made, because a limit is reached,
// it prints the limits all the same.
func check(args []string, stdout io.Writer, proc string) error {
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
	u, err := countUsage(proc, os.Geteuid())
	if err != nil {
		return err
	}
	lines := append(features.lines(), limitLines(proc, u, features.listed)...)
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

// limitLines tells the three limits and what u has of them. listed is nil if
// the kernel lists watches, so that they can be counted.
func limitLines(proc string, u usage, listed error) []string {
	watches := u.inUse(u.watches)
	if listed != nil {
		watches = "how many are in use cannot be counted, as fdinfo does not list them"
	}
	return []string{
		limitLine(proc, "max_user_instances", u.inUse(u.instances)),
		limitLine(proc, "max_user_watches", watches),
		limitLine(proc, "max_queued_events", "for each instance, not for the user"),
	}
}

func limitLine(proc, name, used string) string {
	value := "not known"
	if text, err := os.ReadFile(filepath.Join(proc, "sys/fs/inotify", name)); err == nil {
		value = oneLine(string(text))
	}
	return "fs.inotify." + name + ": " + value + "; " + used
}

// A usage is what the processes of one user have open. A descriptor counts in
// each process that has it, and in each duplicate, since a process's fd
// directory does not tell which of them are the same instance.
type usage struct {
	uid        int
	instances  int
	watches    int // 0 where the kernel lists none
	unreadable int // processes that could not be read, or not in full
}

// inUse says what a count of u's is worth.
func (u usage) inUse(count int) string {
	text := fmt.Sprintf("%d in use by the processes of user %d seen here (a descriptor inherited or duplicated counts each time)", count, u.uid)
	if u.unreadable > 0 {
		return fmt.Sprintf("%s; processes that could not be read and may have more: %d", text, u.unreadable)
	}
	return "at most " + text
}

// countUsage reads the processes under proc whose effective user is uid: the
// user to whom the kernel would charge an instance that they make. What ends
// meanwhile does not count.
func countUsage(proc string, uid int) (usage, error) {
	u := usage{uid: uid}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return u, fmt.Errorf("cannot list the processes: mount proc there: %v", err)
	}
	for _, e := range entries {
		if _, err := strconv.ParseUint(e.Name(), 10, 32); err != nil {
			continue
		}
		dir := filepath.Join(proc, e.Name())
		if err := u.addProcess(dir); err != nil && !gone(dir, err) {
			u.unreadable++
		}
	}
	return u, nil
}

// addProcess adds what the process has, as far as it can be read.
func (u *usage) addProcess(dir string) error {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return err
	}
	if uid, err := holder(status); err != nil || uid != u.uid {
		return err
	}
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	for _, fd := range fds {
		if ferr := u.addDescriptor(dir, fd.Name()); ferr != nil && !errors.Is(ferr, fs.ErrNotExist) {
			err = ferr
		}
	}
	return err
}

func (u *usage) addDescriptor(dir, fd string) error {
	target, err := os.Readlink(filepath.Join(dir, "fd", fd))
	if err != nil || !isInotify(target) {
		return err
	}
	u.instances++
	info, err := os.ReadFile(filepath.Join(dir, "fdinfo", fd))
	for line := range bytes.Lines(info) {
		if bytes.HasPrefix(line, []byte("inotify ")) {
			u.watches++
		}
	}
	return err
}

// isInotify reports whether a descriptor's link is an instance's. gVisor has
// "anon_inode:[inotifyfd:1]".
func isInotify(target string) bool {
	return target == "anon_inode:inotify" || strings.HasPrefix(target, "anon_inode:[inotifyfd")
}

// gone reports whether err came because the process has ended. Reading what was
// open at its end gives ESRCH, which not every system has a name for.
func gone(dir string, err error) bool {
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	_, err = os.Lstat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// holder returns the effective user that a process's status shows:
//
//	State:	S (sleeping)
//	Uid:	1000	1000	1000	1000
//
// of a zombie, which has no descriptors left and whose fd directory only root
// may read, -1.
func holder(status []byte) (int, error) {
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch {
		case key == "State" && len(fields) > 0 && fields[0] == "Z":
			return -1, nil
		case key == "Uid" && len(fields) > 1:
			return strconv.Atoi(fields[1])
		}
	}
	return -1, errors.New("its status shows no user")
}
