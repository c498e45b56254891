// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// dump PID FD DIR LIST COUNT
//
// Finds the paths of the watches that process PID's descriptor FD has: parses
// its fdinfo with sscanf, opens each file handle on the filesystem of the
// directory DIR, reads the path from /proc/self/fd, opens that path and compares
// the inodes. The watches must have the wds 1 to COUNT, on the first COUNT paths
// of the file LIST in that order.

#include "common.h"
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct watch {
	int wd;
	unsigned sdev, mask;
	unsigned long long inode;
	char *path;
	unsigned size;
	int type;
	unsigned char bytes[MAX_HANDLE_SZ];
};

static int digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse(const char *line, struct watch *w)
{
	unsigned ignored;
	int at = 0;

	if (sscanf(line, "inotify wd:%x ino:%llx sdev:%x mask:%x ignored_mask:%x fhandle-bytes:%x fhandle-type:%x f_handle:%n",
		(unsigned *)&w->wd, &w->inode, &w->sdev, &w->mask, &ignored, &w->size, (unsigned *)&w->type, &at) != 7 ||
		!at || w->size > MAX_HANDLE_SZ)
		return 0;
	for (unsigned i = 0; i < w->size; i++) {
		int high = digit(line[at + 2 * i]), low = high < 0 ? -1 : digit(line[at + 2 * i + 1]);

		if (low < 0)
			return 0;
		w->bytes[i] = high << 4 | low;
	}
	return 1;
}

static int read_watches(const char *pid, const char *fd, struct watch *ws, int count)
{
	static const char prefix[] = "inotify ";
	char path[64], *line = NULL;
	size_t size = 0;
	int n = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%s/fdinfo/%s", pid, fd);
	f = fopen(path, "re");
	if (!f)
		fail("%s", path);
	while (getline(&line, &size, f) > 0) {
		if (strncmp(line, prefix, sizeof prefix - 1))
			continue;
		errno = 0;
		if (n == count)
			fail("%s has more than %d watches", path, count);
		if (!parse(line, &ws[n]))
			fail("%s: %s", path, line);
		n++;
	}
	free(line);
	fclose(f);
	return n;
}

static char *read_path(int mount, const struct watch *w)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u;
	char link[32], path[4096], *copy;
	ssize_t length;
	int fd;

	u.h.handle_bytes = w->size;
	u.h.handle_type = w->type;
	memcpy(u.h.f_handle, w->bytes, w->size);
	fd = open_by_handle_at(mount, &u.h, O_PATH | O_CLOEXEC);
	if (fd < 0)
		fail("open_by_handle_at for watch %d", w->wd);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof path - 1);
	if (length < 0)
		fail("%s", link);
	close(fd);
	path[length] = 0;
	copy = strdup(path);
	if (!copy)
		fail("strdup");
	return copy;
}

static void compare(const struct watch *w)
{
	int fd = open(w->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat s;

	if (fd < 0 || fstat(fd, &s))
		fail("%s", w->path);
	close(fd);
	errno = 0;
	if (s.st_ino != w->inode || major(s.st_dev) != w->sdev >> 20 || minor(s.st_dev) != (w->sdev & 0xfffff))
		fail("%s is not the file of watch %d", w->path, w->wd);
}

static void check(const struct watch *ws, int count, char **paths)
{
	for (int i = 0; i < count; i++) {
		int wd = ws[i].wd;

		errno = 0;
		if (wd < 1 || wd > count || !paths[wd - 1] || strcmp(ws[i].path, paths[wd - 1]) || ws[i].mask != IN_ATTRIB)
			fail("found %s for watch %d", ws[i].path, wd);
		paths[wd - 1] = NULL;
	}
}

int main(int argc, char **argv)
{
	if (argc != 6)
		fail("usage: dump PID FD DIR LIST COUNT");
	int count = number(argv[5]);
	char **paths = read_paths(argv[4], count);
	struct watch *ws = calloc(count, sizeof *ws);

	if (!ws)
		fail("calloc");
	long long begin = now();
	int mount = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (mount < 0)
		fail("%s", argv[3]);
	int n = read_watches(argv[1], argv[2], ws, count);

	for (int i = 0; i < n; i++) {
		ws[i].path = read_path(mount, &ws[i]);
		compare(&ws[i]);
	}
	close(mount);
	long long took = now() - begin;

	errno = 0;
	if (n != count)
		fail("found %d watches, want %d", n, count);
	check(ws, count, paths);
	printf("%lld\n", took);
	return 0;
}
