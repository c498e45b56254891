// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

// MaxSize is the number of bytes that Read reads at most.
const MaxSize = maxSize
