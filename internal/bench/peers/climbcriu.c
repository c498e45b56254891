// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// climbcriu DIR TARGET GOAL REPEAT
//
// Gives a watch on TARGET the number GOAL on a new instance the way that CRIU
// goes where the ioctl is missing: a watch through /proc/self/fd, here on the
// empty directory DIR, is added and removed until the number before it comes.
// The mask is one that makes the kernel's part cheap. Nobody reads the queue. The
// instances stay open until the program ends.

#include "common.h"

static void climb(int fd, const char *link, int goal)
{
	int wd;

	do {
		wd = inotify_add_watch(fd, link, IN_MOVE_SELF);
		if (wd < 0)
			fail("inotify_add_watch %s", link);
		if (inotify_rm_watch(fd, wd))
			fail("inotify_rm_watch %d", wd);
	} while (wd < goal - 1);
}

static long long restore(const char *dir, const char *target, int goal)
{
	char link[32];
	int fd = new_instance();
	long long begin = now();
	int opened = open(dir, O_PATH | O_CLOEXEC);

	if (opened < 0)
		fail("%s", dir);
	snprintf(link, sizeof link, "/proc/self/fd/%d", opened);
	if (goal > 1)
		climb(fd, link, goal);
	close(opened);
	add_as(fd, target, IN_ATTRIB, goal);
	return now() - begin;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		fail("usage: climbcriu DIR TARGET GOAL REPEAT");
	for (int i = number(argv[4]); i > 0; i--)
		printf("%lld\n", restore(argv[1], argv[2], number(argv[3])));
	return 0;
}
