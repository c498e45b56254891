// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// climbfloor TARGET GOAL GROUP ANCHOR DRAIN DIRS...
//
// Gives a watch on TARGET the number GOAL on a new instance with as little as a
// climb can do. Each DIRS is a thread: its scratch directories, with colons
// between them. A thread adds watches on GROUP of its directories, removes them,
// and goes on with the next GROUP. With ANCHOR 1 a second instance watches every
// scratch directory meanwhile. With DRAIN 1 the queue is read in time, so that
// it never holds more than MAX_QUEUED records; with 0 it is left to overflow.

#include "common.h"
#include <pthread.h>
#include <stdatomic.h>

enum { MAX_QUEUED = 64, MAX_THREADS = 16, MAX_DIRS = 32 };

struct climber {
	pthread_t thread;
	const char *dirs[MAX_DIRS];
	int count, next;
	int queued; // records since it last read the queue, at most
};

static int fd, group, draining, threads;
static int steps;         // in all
static atomic_int begun;  // steps that some thread has taken on
static struct climber climbers[MAX_THREADS];

// A new instance gives one number an add, so the steps are shared out before
// they are made.
static int take_on(void)
{
	int old = atomic_load(&begun), n;

	do {
		n = steps - old < group ? steps - old : group;
	} while (!atomic_compare_exchange_weak(&begun, &old, old + n));
	return n;
}

// Each thread may have its share queued. When it reads, at least its own are
// taken out.
static void drain(struct climber *c, int more)
{
	struct inotify_event records[MAX_QUEUED];

	if (c->queued + more > MAX_QUEUED / threads) {
		if (read(fd, records, sizeof records) < 0 && errno != EAGAIN)
			fail("read");
		c->queued = 0;
	}
	c->queued += more;
}

static void *run(void *arg)
{
	struct climber *c = arg;
	int wds[MAX_DIRS];

	for (int n; (n = take_on()) > 0;) {
		for (int i = 0; i < n; i++) {
			const char *dir = c->dirs[c->next];

			c->next = (c->next + 1) % c->count;
			wds[i] = inotify_add_watch(fd, dir, IN_MASK_CREATE);
			if (wds[i] < 0)
				fail("inotify_add_watch %s", dir);
		}
		if (draining)
			drain(c, n);
		for (int i = 0; i < n; i++)
			if (inotify_rm_watch(fd, wds[i]))
				fail("inotify_rm_watch %d", wds[i]);
	}
	return NULL;
}

static void parse_dirs(struct climber *c, char *dirs)
{
	for (char *dir = strtok(dirs, ":"); dir; dir = strtok(NULL, ":")) {
		if (c->count == MAX_DIRS)
			fail("more than %d directories", MAX_DIRS);
		c->dirs[c->count++] = dir;
	}
	if (c->count < group)
		fail("%d directories for groups of %d", c->count, group);
}

static void hold_anchors(void)
{
	int anchor = new_instance();

	for (int i = 0; i < threads; i++)
		for (int j = 0; j < climbers[i].count; j++)
			if (inotify_add_watch(anchor, climbers[i].dirs[j], IN_MASK_CREATE) < 0)
				fail("inotify_add_watch %s", climbers[i].dirs[j]);
}

static void climb(void)
{
	for (int i = 1; i < threads; i++)
		if ((errno = pthread_create(&climbers[i].thread, NULL, run, &climbers[i])))
			fail("pthread_create");
	run(&climbers[0]);
	for (int i = 1; i < threads; i++)
		pthread_join(climbers[i].thread, NULL);
}

int main(int argc, char **argv)
{
	if (argc < 7 || argc > 6 + MAX_THREADS)
		fail("usage: climbfloor TARGET GOAL GROUP ANCHOR DRAIN DIRS...");
	int goal = number(argv[2]);

	steps = goal - 1;
	group = number(argv[3]);
	draining = number(argv[5]);
	threads = argc - 6;
	if (goal < 1 || group < 1 || group > MAX_QUEUED / threads)
		fail("no such goal or group");
	for (int i = 0; i < threads; i++)
		parse_dirs(&climbers[i], argv[6 + i]);
	fd = new_instance();

	long long begin = now();

	if (number(argv[4]))
		hold_anchors();
	climb();
	add_as(fd, argv[1], IN_ATTRIB, goal);
	printf("%lld\n", now() - begin);
	return 0;
}
