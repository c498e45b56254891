// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build !linux

package main

import (
	"errors"
	"os"
)

// Used on Linux only.

func checkFDFree(int) error { return errors.ErrUnsupported }

func checkWritable(int) error { return nil }

func execWithFD(*os.File, int, string, []string) error { return errors.ErrUnsupported }
