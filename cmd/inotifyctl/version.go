// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/seed10546c08/inotify/internal/sys"
)

var versionCommand = &subcommand{
	name:    "version",
	summary: "print the version",
	about:   "Print the version of inotifyctl, of Go and of the running kernel.",
	example: "inotifyctl version",
	exit: [][2]string{
		{"0", "done"},
		{"1", "failed: standard error says why"},
		{"2", "usage error"},
	},
	define: func(*flag.FlagSet) action { return printVersion },
}

func printVersion(_ context.Context, in *invocation) error {
	if err := checkOperands(in.operands); err != nil {
		return err
	}
	_, err := fmt.Fprintf(in.stdout, "inotifyctl %s, %s %s/%s, kernel %s\n", moduleVersion(),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, cmp.Or(sys.KernelRelease(), "unknown"))
	return err
}

// moduleVersion returns the module's version, or "unknown".
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return cmp.Or(info.Main.Version, "unknown")
}
