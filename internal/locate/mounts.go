// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package locate

import "github.com/seed10546c08/inotify/internal/mountinfo"

// A Mount is one line of mountinfo.
type Mount = mountinfo.Mount

func within(path, top string) bool { return mountinfo.Within(path, top) }
