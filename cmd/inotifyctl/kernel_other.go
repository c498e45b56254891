// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package main

// Used on Linux only.

func isNoProcess(error) bool { return false }

func isInstanceLimit(error) bool { return false }

func isWatchLimit(error) bool { return false }

func kernelRelease() string { return "" }
