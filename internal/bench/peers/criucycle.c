// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// criucycle DIR TARGET GOAL REPEAT
//
// Restores a watch on TARGET with the wd GOAL on a new instance, REPEAT times,
// as CRIU does where the ioctl is missing: it adds and removes a watch through
// /proc/self/fd, here on the empty directory DIR, until GOAL is the next wd. The
// mask makes the kernel's part cheap. The queue is not read. The instances stay
// open until the program exits, as closing one slows down what follows.

#include "common.h"

static void cycle(int fd, const char *link, int goal)
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
		cycle(fd, link, goal);
	close(opened);
	add_as(fd, target, IN_ATTRIB, goal);
	return now() - begin;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		fail("usage: criucycle DIR TARGET GOAL REPEAT");
	for (int i = number(argv[4]); i > 0; i--)
		printf("%lld\n", restore(argv[1], argv[2], number(argv[3])));
	return 0;
}
