// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package main

import "io"

// isTerminal is for climbs, which are Linux's.
func isTerminal(io.Writer) bool { return false }
