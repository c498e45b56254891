// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// restore criu|floor LIST COUNT FIRST STRIDE
//
// Adds watches on the first COUNT paths of the file LIST under the numbers
// FIRST, FIRST+STRIDE and so on: the way that CRIU goes, through an O_PATH
// descriptor and with the ioctl for each, or the shortest way that there is.

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

static void shortest(int fd, char **paths, int count, int first, int stride)
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
		shortest(fd, paths, count, first, stride);
	printf("%lld\n", now() - begin);
	return 0;
}
