// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause
//
// cyclefloor TARGET GOAL GROUP ANCHOR DRAIN DIRS...
//
// Restores a watch on TARGET with the wd GOAL on a new instance by the add/remove
// cycle, with as few system calls as the cycle needs. Each DIRS is the list of
// scratch directories of one thread, separated by colons. A thread adds watches
// on GROUP of its directories, removes them, and continues with the next GROUP.
// With ANCHOR 1 a second instance watches every scratch directory meanwhile. With
// DRAIN 1 the queue is read early enough that it never holds more than MAX_QUEUED
// records; with 0 it overflows.

#include "common.h"
#include <pthread.h>
#include <stdatomic.h>

enum { MAX_QUEUED = 64, MAX_THREADS = 16, MAX_DIRS = 32 };

struct worker {
	pthread_t thread;
	const char *dirs[MAX_DIRS];
	int count, next;
	int queued; // at most so many records since it last read the queue
};

static int fd, group, draining, threads;
static int steps;          // in all
static atomic_int claimed; // steps that some thread makes or has made
static struct worker workers[MAX_THREADS];

// On a new instance each add uses one wd, so the threads can claim steps before
// they make them.
static int claim_steps(void)
{
	int old = atomic_load(&claimed), n;

	do {
		n = steps - old < group ? steps - old : group;
	} while (!atomic_compare_exchange_weak(&claimed, &old, old + n));
	return n;
}

// Each thread may have its share of MAX_QUEUED records in the queue. A read
// removes at least as many.
static void drain(struct worker *w, int more)
{
	struct inotify_event records[MAX_QUEUED];

	if (w->queued + more > MAX_QUEUED / threads) {
		if (read(fd, records, sizeof records) < 0 && errno != EAGAIN)
			fail("read");
		w->queued = 0;
	}
	w->queued += more;
}

static void *run(void *arg)
{
	struct worker *w = arg;
	int wds[MAX_DIRS];

	for (int n; (n = claim_steps()) > 0;) {
		for (int i = 0; i < n; i++) {
			const char *dir = w->dirs[w->next];

			w->next = (w->next + 1) % w->count;
			wds[i] = inotify_add_watch(fd, dir, IN_MASK_CREATE);
			if (wds[i] < 0)
				fail("inotify_add_watch %s", dir);
		}
		if (draining)
			drain(w, n);
		for (int i = 0; i < n; i++)
			if (inotify_rm_watch(fd, wds[i]))
				fail("inotify_rm_watch %d", wds[i]);
	}
	return NULL;
}

static void parse_dirs(struct worker *w, char *dirs)
{
	for (char *dir = strtok(dirs, ":"); dir; dir = strtok(NULL, ":")) {
		if (w->count == MAX_DIRS)
			fail("more than %d directories", MAX_DIRS);
		w->dirs[w->count++] = dir;
	}
	if (w->count < group)
		fail("%d directories for groups of %d", w->count, group);
}

static void hold_anchors(void)
{
	int anchor = new_instance();

	for (int i = 0; i < threads; i++)
		for (int j = 0; j < workers[i].count; j++)
			if (inotify_add_watch(anchor, workers[i].dirs[j], IN_MASK_CREATE) < 0)
				fail("inotify_add_watch %s", workers[i].dirs[j]);
}

static void run_workers(void)
{
	for (int i = 1; i < threads; i++)
		if ((errno = pthread_create(&workers[i].thread, NULL, run, &workers[i])))
			fail("pthread_create");
	run(&workers[0]);
	for (int i = 1; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
}

int main(int argc, char **argv)
{
	if (argc < 7 || argc > 6 + MAX_THREADS)
		fail("usage: cyclefloor TARGET GOAL GROUP ANCHOR DRAIN DIRS...");
	int goal = number(argv[2]);

	steps = goal - 1;
	group = number(argv[3]);
	draining = number(argv[5]);
	threads = argc - 6;
	if (goal < 1 || group < 1 || group > MAX_QUEUED / threads)
		fail("no such goal or group");
	for (int i = 0; i < threads; i++)
		parse_dirs(&workers[i], argv[6 + i]);
	fd = new_instance();

	long long begin = now();

	if (number(argv[4]))
		hold_anchors();
	run_workers();
	add_as(fd, argv[1], IN_ATTRIB, goal);
	printf("%lld\n", now() - begin);
	return 0;
}
