// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package main

import "io"

// Used on Linux only.

func isTerminal(io.Writer) bool { return false }

func columns(io.Writer) int { return 0 }
