// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// A task is the arguments of a worker.
type task struct {
	list   string // the file of paths
	path   string // what to watch
	count  int    // of watches, events or repetitions
	groups int    // how often to restore count watches, each time on other files
	first  int    // the first wd
	stride int    // from one wd to the next
	batch  int    // events at a time
	names  int    // of files
	pid    int    // of the process whose instance to dump
	fd     int    // of its descriptor
}

// tasks are what a worker can do. Each returns numbers to print.
var tasks = map[string]func(task) ([]int64, error){
	"has-ioctl":          task.hasIoctl,
	"has-overlay":        task.hasOverlay,
	"restore":            task.restore,
	"cycle":              task.cycle,
	"cancel":             task.cancel,
	"deadline":           task.deadline,
	"heap":               task.heap,
	"add":                task.add,
	"list":               task.listWatches,
	"snapshot":           task.makeSnapshot,
	"restore-verified":   task.restoreVerified,
	"restore-unverified": task.restoreUnverified,
	"hold":               task.hold,
	"hold-overlay":       task.holdOverlay,
	"dump-by-handle":     task.dumpByHandle,
	"dump-by-search":     task.dumpBySearch,
	"read-event":         task.readEvent,
	"read-events":        task.readEvents,
	"events":             task.rangeOverEvents,
	"fsnotify":           task.fsnotify,
}

func work(args []string, stdout io.Writer) error {
	if len(args) == 0 || tasks[args[0]] == nil {
		return fmt.Errorf("worker: no task %q", args)
	}
	var t task
	f := flag.NewFlagSet("worker", flag.ContinueOnError)
	f.StringVar(&t.list, "list", "", "")
	f.StringVar(&t.path, "path", "", "")
	f.IntVar(&t.count, "count", 1, "")
	f.IntVar(&t.groups, "groups", 1, "")
	f.IntVar(&t.first, "first", 1, "")
	f.IntVar(&t.stride, "stride", 1, "")
	f.IntVar(&t.batch, "batch", 0, "")
	f.IntVar(&t.names, "names", 0, "")
	f.IntVar(&t.pid, "pid", 0, "")
	f.IntVar(&t.fd, "fd", -1, "")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	ns, err := tasks[args[0]](t)
	if err != nil {
		return fmt.Errorf("worker %s: %w", args[0], err)
	}
	for _, n := range ns {
		fmt.Fprintln(stdout, n)
	}
	return nil
}

// hasIoctl returns 1 if the kernel has INOTIFY_IOC_SETNEXTWD, and 0 if not.
func (task) hasIoctl() ([]int64, error) {
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	if inotify.HaveSetNextWD() == nil {
		return []int64{1}, nil
	}
	return []int64{0}, nil
}

// paths reads the first paths of the list.
func (t task) paths(count int) ([]string, error) {
	f, err := os.Open(t.list)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	paths := make([]string, 0, count)
	for lines := bufio.NewScanner(f); len(paths) < count; {
		if !lines.Scan() {
			return nil, fmt.Errorf("%s has fewer than %d paths", t.list, count)
		}
		paths = append(paths, lines.Text())
	}
	return paths, nil
}

// watches returns the watches to restore, in ascending order, as Watches lists
// them.
func (t task) watches(paths []string) []inotify.Watch {
	ws := make([]inotify.Watch, len(paths))
	for i, path := range paths {
		ws[i] = inotify.Watch{WD: inotify.WD(t.first + i*t.stride), Mask: inotify.Attrib, Path: path}
	}
	return ws
}

// restore restores groups of watches, each group on an instance of its own, and
// returns how long they took together.
func (t task) restore() ([]int64, error) {
	paths, err := t.paths(t.count * t.groups)
	if err != nil {
		return nil, err
	}
	var took time.Duration
	for i := range t.groups {
		ws := t.watches(paths[i*t.count : (i+1)*t.count])
		d, err := timeRestore(ws)
		if err != nil {
			return nil, err
		}
		took += d
	}
	return []int64{int64(took)}, nil
}

func timeRestore(ws []inotify.Watch) (time.Duration, error) {
	n, err := inotify.New()
	if err != nil {
		return 0, err
	}
	defer n.Close()
	start := time.Now()
	err = n.RestoreWatches(context.Background(), ws)
	return time.Since(start), err
}

// cycle restores a watch with the wd first, by the ioctl or the cycle, count
// times, each time on a new instance. The instances are closed at the end,
// because a close waits and what follows a wait is slow for a while.
func (t task) cycle() ([]int64, error) {
	var took []int64
	for range t.count {
		n, err := inotify.New()
		if err != nil {
			return nil, err
		}
		defer n.Close()
		start := time.Now()
		err = n.RestoreWatch(context.Background(), inotify.WD(t.first), t.path, inotify.Attrib, inotify.WithMaxSteps(math.MaxInt32))
		took = append(took, int64(time.Since(start)))
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}

// cancel cancels the contexts of cycles that would take hours, and returns how
// long after that each returned.
func (t task) cancel() ([]int64, error) {
	return t.endEarly(func(after time.Duration) (context.Context, func() time.Time) {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan time.Time, 1)
		go func() {
			time.Sleep(after)
			ended <- time.Now()
			cancel()
		}()
		return ctx, func() time.Time { return <-ended }
	})
}

// deadline is cancel with contexts that have a deadline. The durations include
// how long the cycle delayed the runtime's timer.
func (t task) deadline() ([]int64, error) {
	return t.endEarly(func(after time.Duration) (context.Context, func() time.Time) {
		end := time.Now().Add(after)
		ctx, cancel := context.WithDeadline(context.Background(), end)
		return ctx, func() time.Time { cancel(); return end }
	})
}

// endEarly starts cycles with contexts from begin, which end after a while, and
// returns how long after that each returned. The function that begin returns
// waits for the context's end and returns its time.
func (t task) endEarly(begin func(after time.Duration) (context.Context, func() time.Time)) ([]int64, error) {
	ws := []inotify.Watch{{WD: math.MaxInt32, Path: t.path, Mask: inotify.Attrib}}
	var took []int64
	for i := range t.count {
		n, err := inotify.New()
		if err != nil {
			return nil, err
		}
		// The durations differ, so that a cycle does not always end at the same point.
		ctx, ended := begin(3*time.Millisecond + time.Duration(i)*37*time.Microsecond)
		err = n.RestoreWatches(ctx, ws, inotify.WithMaxSteps(math.MaxInt32))
		returned := time.Now()
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			return nil, errors.Join(fmt.Errorf("the cycle returned before its context ended: %w", errOr(err)), n.Close())
		}
		took = append(took, int64(returned.Sub(ended())))
		if err := n.Close(); err != nil {
			return nil, err
		}
	}
	return took, nil
}

func errOr(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// heap returns how many bytes more are in use after a restore than before. The
// caller's own list of watches is there both times.
func (t task) heap() ([]int64, error) {
	paths, err := t.paths(t.count)
	if err != nil {
		return nil, err
	}
	ws := t.watches(paths)
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	startThreads()
	before := heapInUse()
	err = n.RestoreWatches(context.Background(), ws)
	after := heapInUse()
	runtime.KeepAlive(paths)
	runtime.KeepAlive(ws)
	return []int64{int64(after) - int64(before)}, err
}

// startThreads makes the runtime start threads, which it keeps. Otherwise it may
// start one between two measurements of the heap, and a thread needs 5 KB of it.
func startThreads() {
	const threads = 16
	var running, done sync.WaitGroup
	running.Add(threads)
	for range threads {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			running.Done()
			running.Wait()
		})
	}
	done.Wait()
}

// heapInUse runs the garbage collector several times: the contents of a sync.Pool
// are freed only by the second collection, and the first ones leave some memory
// of the runtime itself.
func heapInUse() uint64 {
	var m runtime.MemStats
	for range 5 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// add adds groups of watches on new instances, with the package and with bare
// system calls alternately, and returns the total duration of each.
func (t task) add() ([]int64, error) {
	paths, err := t.paths(t.count * t.groups)
	if err != nil {
		return nil, err
	}
	var took [2]time.Duration
	ways := []func([]string) (time.Duration, error){timeAdd, timeBareAdd}
	order := []int{0, 1}
	for i := range t.groups {
		for _, k := range order {
			d, err := ways[k](paths[i*t.count : (i+1)*t.count])
			if err != nil {
				return nil, err
			}
			took[k] += d
		}
		slices.Reverse(order)
	}
	return []int64{int64(took[0]), int64(took[1])}, nil
}

func timeAdd(paths []string) (time.Duration, error) {
	n, err := inotify.New()
	if err != nil {
		return 0, err
	}
	defer n.Close()
	start := time.Now()
	for _, path := range paths {
		if _, err := n.AddWatch(path, inotify.Attrib); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

func timeBareAdd(paths []string) (time.Duration, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	start := time.Now()
	for _, path := range paths {
		if _, err := unix.InotifyAddWatch(fd, path, unix.IN_ATTRIB); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}
