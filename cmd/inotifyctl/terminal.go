// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"io"
	"os"

	"github.com/seed10546c08/inotify/internal/sys"
)

func isTerminal(w io.Writer) bool { return columns(w) > 0 }

// columns returns how wide the terminal w is, or 0 if w is not a terminal.
func columns(w io.Writer) int {
	const usual = 80 // where the terminal does not know
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns := -1
	sys.Control(f, func(fd int) error {
		columns = sys.Columns(fd)
		return nil
	})
	if columns == 0 {
		return usual
	}
	return max(columns, 0)
}
