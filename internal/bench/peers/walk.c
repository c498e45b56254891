// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// walk DIR COUNT
//
// Walks the tree DIR once, with lstat on each entry. DIR must have COUNT files.
// It reads directories with getdents64 and looks up each name in its own
// directory, which took as long as nftw.

#include "common.h"
#include <sys/stat.h>
#include <sys/syscall.h>

struct entry {
	__u64 inode;
	__s64 offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

static int files;

static void walk(int at, const char *name)
{
	char buffer[32 << 10] __attribute__((aligned(8)));
	int dir = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	long n;

	if (dir < 0)
		fail("%s", name);
	while ((n = syscall(SYS_getdents64, dir, buffer, sizeof buffer)) > 0)
		for (char *p = buffer; p < buffer + n;) {
			struct entry *e = (void *)p;
			struct stat s;

			p += e->length;
			if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
				continue;
			if (fstatat(dir, e->name, &s, AT_SYMLINK_NOFOLLOW))
				fail("%s", e->name);
			if (S_ISDIR(s.st_mode))
				walk(dir, e->name);
			else
				files++;
		}
	if (n < 0)
		fail("getdents64 %s", name);
	close(dir);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		fail("usage: walk DIR COUNT");
	long long begin = now();

	walk(AT_FDCWD, argv[1]);
	long long took = now() - begin;

	errno = 0;
	if (files != number(argv[2]))
		fail("%s has %d files, not %s", argv[1], files, argv[2]);
	printf("%lld\n", took);
	return 0;
}
