// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// restore criu|floor LIST COUNT FIRST STRIDE
//
// Adds watches on the first COUNT paths of the file LIST with the wds FIRST,
// FIRST+STRIDE and so on. criu does what CRIU does: for each watch an O_PATH
// descriptor, the ioctl, and an add through /proc/self/fd. floor makes the fewest
// system calls that can do it: an add for each watch, and the ioctl only where
// the next wd is not the wanted one.

#include "common.h"

static void set_next(int fd, int wd)
{
	if (ioctl(fd, INOTIFY_IOC_SETNEXTWD, wd))
		fail("INOTIFY_IOC_SETNEXTWD");
}

static void criu(int fd, char **paths, int count, int first, int stride)
{
	for (int i = 0; i < count; i++) {
		char link[32];
		int opened = open(paths[i], O_PATH | O_CLOEXEC);

		if (opened < 0)
			fail("%s", paths[i]);
		snprintf(link, sizeof link, "/proc/self/fd/%d", opened);
		set_next(fd, first + i * stride);
		add_as(fd, link, IN_ATTRIB, first + i * stride);
		close(opened);
	}
}

static void minimal(int fd, char **paths, int count, int first, int stride)
{
	set_next(fd, first);
	for (int i = 0; i < count; i++) {
		if (stride > 1 && i > 0)
			set_next(fd, first + i * stride);
		add_as(fd, paths[i], IN_ATTRIB, first + i * stride);
	}
}

int main(int argc, char **argv)
{
	if (argc != 6)
		fail("usage: restore criu|floor LIST COUNT FIRST STRIDE");
	int count = number(argv[3]), first = number(argv[4]), stride = number(argv[5]);
	char **paths = read_paths(argv[2], count);
	int fd = new_instance();
	long long begin = now();

	if (strcmp(argv[1], "criu") == 0)
		criu(fd, paths, count, first, stride);
	else
		minimal(fd, paths, count, first, stride);
	printf("%lld\n", now() - begin);
	return 0;
}
