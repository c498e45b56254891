// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// What the peers share. A peer measures its own duration and prints it in
// nanoseconds. It exits with 0 only if what it measured also had the right
// result, with 3 if a limit was reached, and with 1 after any other error.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/types.h>

// The C library defines neither.
#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD _IOW('I', 0, __s32)
#endif
#ifndef IN_MASK_CREATE
#define IN_MASK_CREATE 0x10000000
#endif

enum { EXIT_LIMIT = 3 };

__attribute__((noreturn, format(printf, 1, 2)))
static void fail(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	if (error)
		fprintf(stderr, ": %s", strerror(error));
	fputc('\n', stderr);
	exit(error == ENOSPC ? EXIT_LIMIT : 1);
}

static inline long long now(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t))
		fail("clock_gettime");
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline int number(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 0 || n > 0x7fffffff)
		fail("not a number: %s", text);
	return n;
}

static inline char **read_paths(const char *list, int count)
{
	FILE *f = fopen(list, "r");
	char **paths = calloc(count, sizeof *paths);

	if (!f || !paths)
		fail("%s", list);
	for (int i = 0; i < count; i++) {
		size_t size = 0;
		ssize_t length = getline(&paths[i], &size, f);

		if (length < 1)
			fail("%s has fewer than %d paths", list, count);
		paths[i][length - 1] = 0;
	}
	fclose(f);
	return paths;
}

static inline int new_instance(void)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		fail("inotify_init1");
	return fd;
}

static inline void add_as(int fd, const char *path, unsigned mask, int want)
{
	int wd = inotify_add_watch(fd, path, mask);

	if (wd < 0)
		fail("inotify_add_watch %s", path);
	errno = 0;
	if (wd != want)
		fail("%s got wd %d, want %d", path, wd, want);
}
