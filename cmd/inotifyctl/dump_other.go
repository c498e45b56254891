// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package main

// What needs these is Linux's.

func isNoProcess(error) bool { return false }

func isNoInstance(error) bool { return false }
