// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// read DIR NAMES EVENTS BATCH
//
// Reads EVENTS events of a watch on DIR, about its NAMES files name0, name1 and so
// on. It queues BATCH events, reads them with read(2), decodes each record, and
// repeats. Only the reading is timed. The sums of what was read are compared with
// what was written, so that the compiler cannot drop the decoding.

#include "common.h"
#include <stdint.h>

enum { BUFFER = 32 << 10, MAX_NAMES = 4096 };

static int files[MAX_NAMES];
static char names[MAX_NAMES][32];

struct sums {
	uint64_t events, masks, lengths;
};

static struct sums fill(int count, int batch)
{
	struct sums want = {0};

	for (int i = 0; i < batch; i++) {
		if (pwrite(files[i % count], "x", 1, 0) != 1)
			fail("pwrite");
		want.events++;
		want.masks += IN_MODIFY;
		want.lengths += strlen(names[i % count]);
	}
	return want;
}

static struct sums read_all(int fd, uint64_t events)
{
	static char buffer[BUFFER] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct sums got = {0};

	while (got.events < events) {
		ssize_t n = read(fd, buffer, sizeof buffer);

		if (n < 0)
			fail("read");
		for (char *p = buffer; p < buffer + n;) {
			struct inotify_event *e = (void *)p;

			got.events++;
			got.masks += e->mask;
			got.lengths += strnlen(e->name, e->len);
			p += sizeof *e + e->len;
		}
	}
	return got;
}

static void open_files(const char *dir, int count)
{
	if (count < 2 || count > MAX_NAMES)
		fail("%d names", count);
	for (int i = 0; i < count; i++) {
		char path[4096];

		snprintf(names[i], sizeof names[i], "name%d", i);
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		files[i] = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (files[i] < 0)
			fail("%s", path);
	}
}

int main(int argc, char **argv)
{
	if (argc != 5)
		fail("usage: read DIR NAMES EVENTS BATCH");
	int count = number(argv[2]), left = number(argv[3]), batch = number(argv[4]);
	int fd = new_instance();
	long long took = 0;

	open_files(argv[1], count);
	add_as(fd, argv[1], IN_MODIFY, 1);
	while (left > 0) {
		struct sums want = fill(count, left < batch ? left : batch);
		long long begin = now();
		struct sums got = read_all(fd, want.events);

		took += now() - begin;
		errno = 0;
		if (memcmp(&got, &want, sizeof got))
			fail("read %llu events with other masks or names than those written", (unsigned long long)got.events);
		left -= want.events;
	}
	printf("%lld\n", took);
	return 0;
}
