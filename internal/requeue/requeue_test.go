// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package requeue_test

import (
	"testing"

	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/requeue"
)

// every is a record of each kind.
var every = []string{
	"3 ACCESS 0 f", "3 MODIFY 0 f", "3 ATTRIB 0 f", "3 MODIFY|ATTRIB 0 f",
	"3 OPEN 0 f", "3 CLOSE_WRITE 0 f", "3 CLOSE_NOWRITE 0 f",
	"3 ACCESS|ISDIR 0 d", "3 MODIFY|ISDIR 0 d", "3 ATTRIB|ISDIR 0 d", "3 OPEN|ISDIR 0 d", "3 CLOSE_NOWRITE|ISDIR 0 d",
	"3 ACCESS|ISDIR", "3 MODIFY|ISDIR", "3 ATTRIB|ISDIR", "3 OPEN|ISDIR", "3 CLOSE_NOWRITE|ISDIR",
	"7 ACCESS", "7 MODIFY", "7 ATTRIB", "7 MODIFY|ATTRIB", "7 OPEN", "7 CLOSE_WRITE", "7 CLOSE_NOWRITE",
	"3 CREATE 0 f", "3 DELETE 0 f", "3 CREATE|ISDIR 0 d", "3 DELETE|ISDIR 0 d",
	"3 MOVED_FROM 5 a", "3 MOVED_TO 5 b", "3 MOVED_FROM|ISDIR 6 a", "4 MOVED_TO|ISDIR 6 a",
	"3 MOVED_FROM 8 a", "4 MOVED_TO 9 b", "3 MOVED_FROM|ISDIR 10 a", "4 MOVED_TO|ISDIR 11 b",
	"4 MOVE_SELF", "7 MOVE_SELF", "7 DELETE_SELF", "7 IGNORED", "4 DELETE_SELF", "4 IGNORED",
	"4 ACCESS", "4 IGNORED", "4 OPEN|ISDIR", "9 IGNORED", "9 IGNORED",
	"2147483647 OPEN", "2147483646 CREATE 0 x", "1 ATTRIB",
}

func TestEveryKind(t *testing.T) {
	kerneltest.NeedIoctl(t)
	events := parse(t, every...)
	got, r := refill(t, events, requeue.Options{})
	same(t, got, events)
	if len(r.Changes) > 0 {
		t.Errorf("changes %v", r.Changes)
	}
}
