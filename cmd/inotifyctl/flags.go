// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/seed10546c08/inotify"
)

// parsePID parses an operand.
func parsePID(s string) (int, error) {
	pid, err := strconv.ParseInt(s, 10, 32)
	if err != nil || pid <= 0 {
		return 0, usageErrorf("invalid PID %q (want the number of a process)", s)
	}
	return int(pid), nil
}

// parseWD parses a watch descriptor, in decimal or in hexadecimal with 0x.
func parseWD(s string) (inotify.WD, error) {
	digits, base := s, 10
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		digits, base = hex, 16
	}
	v, err := strconv.ParseUint(digits, base, 31)
	if err != nil || v == 0 {
		return 0, fmt.Errorf("want a number from 1 to %d", math.MaxInt32)
	}
	return inotify.WD(v), nil
}

// parseMask parses names of events that are joined by "," or "|", or numbers.
func parseMask(s string) (mask inotify.Mask, err error) {
	for _, name := range strings.Split(strings.ReplaceAll(s, ",", "|"), "|") {
		bits, err := inotify.ParseMask(name)
		if err != nil {
			return 0, fmt.Errorf("%q is not a name such as IN_CREATE", name)
		}
		mask |= bits
	}
	return mask, nil
}

// fdVar defines -fd, which is -1 if it is not given.
func fdVar(flags *flag.FlagSet, fd *int, usage string) {
	*fd = -1
	flags.Func("fd", usage, func(s string) error {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 0 {
			return errors.New("want the number of a file descriptor")
		}
		*fd = int(n)
		return nil
	})
}

// numberVar defines a flag for a number that is not less than least.
func numberVar(flags *flag.FlagSet, n *int64, name string, least int64, usage string) {
	flags.Func(name, usage, func(s string) error {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil || v < least {
			return fmt.Errorf("want a number, %d or more", least)
		}
		*n = v
		return nil
	})
}

// maxStepsVar defines -max-steps. when says when it has an effect.
func maxStepsVar(flags *flag.FlagSet, n *int64, when string) {
	*n = inotify.DefaultMaxSteps
	numberVar(flags, n, "max-steps", 0, fmt.Sprintf(when+"where the kernel lacks INOTIFY_IOC_SETNEXTWD: "+
		"run at most `N` steps of the add/remove cycle (default %d)", inotify.DefaultMaxSteps))
}

// checkNeeded returns an error if one of the flags with these names was given without the one
// that it has an effect with.
func checkNeeded(flags *flag.FlagSet, needed string, names ...string) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for _, name := range names {
		if given[name] && !given[needed] {
			return usageErrorf("-%s needs -%s", name, needed)
		}
	}
	return nil
}

// verboseVar defines -v. when says when it has an effect.
func verboseVar(flags *flag.FlagSet, v *bool, when string) {
	flags.BoolVar(v, "v", false, when+"print side effects: what other processes may have noticed")
}
