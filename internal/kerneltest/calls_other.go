// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux && !amd64 && !386

package kerneltest

// Not listed: see Supervise.
var (
	shapes       map[uintptr]shape
	runtimeCalls []uintptr
)
