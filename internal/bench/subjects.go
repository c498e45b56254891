// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sizes are how much of each thing is measured.
type sizes struct {
	restores  [2]int // watches
	goal      int    // of the cycle
	cancels   int
	low, high int // watches whose cost is compared
	lows      int // how many groups of low
	heap      int // watches
	events    int
	adds      int // watches at a time
	addGroups int
	list      int // watches
	lists     int // times
	snapshot  int // watches
	search    int // watches
	among     int // files
}

func (c config) sizes() sizes {
	if c.quick {
		return sizes{
			restores: [2]int{100, 1000}, goal: 2000, cancels: 5,
			low: 10, high: 1800, lows: 20, heap: 1000, events: 20_000, adds: 20, addGroups: 10,
			list: 1000, lists: 2, snapshot: 500, search: 50, among: 2000,
		}
	}
	return sizes{
		restores: [2]int{10_000, 100_000}, goal: 200_000, cancels: 100,
		low: 1000, high: 180_000, lows: 20, heap: 100_000, events: 1_000_000, adds: 2000, addGroups: 10,
		list: 100_000, lists: 2, snapshot: 10_000, search: 1000, among: 100_000,
	}
}

// The wds of restored watches begin at highWD.
const highWD = 1_000_000_000

// A floor is the arguments of cyclefloor, with which it makes the same system
// calls as the package's cycle and no others.
type floor struct {
	dirs   []string // of each thread, separated by colons
	group  int      // watches at a time
	anchor bool     // a second instance watches the directories meanwhile
	drain  bool     // the queue is read before it overflows
}

// The floors with two processors and with one, on the directories that the
// package uses.
var (
	floorOfTwo = floor{dirs: []string{
		"/:/dev:/etc:/usr:/opt:/boot:/dev/shm:/proc/tty",
		"/proc:/run:/tmp:/var:/media:/sys:/dev/pts:/proc/irq",
	}, group: 8, drain: true}
	floorOfOne = floor{dirs: []string{
		"/:/proc:/dev:/run:/etc:/tmp:/usr:/var:/opt:/media:/boot:/sys:/dev/shm:/dev/pts:/proc/tty:/proc/irq",
	}, group: 16, drain: true}
)

func (f floor) job(target string, goal int) job {
	bit := map[bool]string{false: "0", true: "1"}
	args := []string{target, fmt.Sprint(goal), fmt.Sprint(f.group), bit[f.anchor], bit[f.drain]}
	return job{peer: "cyclefloor", args: append(args, f.dirs...), filtered: true}
}

// A subject is one operation, measured alternately with its peers. It makes one
// row of the table for each peer, or one row if it has no peer.
type subject struct {
	what  string
	unit  string  // of the printed figures
	per   float64 // a measurement is divided by it to get the printed figure
	needs []need
	slow  bool // measured half as often
	once  bool // measured once: one run prints many samples
	job   func(*lab) job
	peers []peer

	// setUp makes what the jobs need. It is not measured.
	setUp func(context.Context, *lab) error

	// both: the job also measures its only peer, alternating in short turns, and
	// prints both figures. That is for ratios close to 1.
	both bool

	// wanted and limit are the target of a subject without a peer; limit 0 is no
	// target.
	wanted string
	limit  float64
}

// A peer is what a subject is compared with.
type peer struct {
	name string
	most float64 // the target: the highest ratio wanted
	per  float64 // if it differs from the subject's
	job  func(*lab) job
}

// names returns the names of the subject's rows, which -run matches.
func (s subject) names() []string {
	if len(s.peers) == 0 {
		return []string{s.what}
	}
	var names []string
	for _, p := range s.peers {
		names = append(names, s.what+" / "+p.name)
	}
	return names
}

// only returns the subject with those peers whose rows' names match.
func (s subject) only(pattern *regexp.Regexp) (subject, bool) {
	peers := s.peers
	s.peers = nil
	if len(peers) == 0 {
		return s, pattern.MatchString(s.what)
	}
	for i, name := range (subject{what: s.what, peers: peers}).names() {
		if pattern.MatchString(name) {
			s.peers = append(s.peers, peers[i])
		}
	}
	return s, len(s.peers) > 0
}

// subjects returns everything that can be measured.
func subjects(z sizes, names int) []subject {
	var all []subject
	for _, count := range z.restores {
		all = append(all, consecutive(count), apart(count))
	}
	all = append(all,
		cycling("two processors", 2, z.goal, floorOfTwo, 0.38),
		cycling("GOMAXPROCS=1", 1, z.goal, floorOfOne, 0.57),
		ending("cancel", 1, z.cancels),
		ending("cancel", 2, z.cancels),
		ending("deadline", 1, z.cancels),
		ending("deadline", 2, z.cancels),
		scaling(z.low, z.lows, z.high),
		holding(z.heap),
		reading("Events", "events", z.events, names, 1.15),
		reading("ReadEvents", "read-events", z.events, names, 1.15),
		reading("ReadEvent", "read-event", z.events, names, 1.20),
		adding(z.adds, z.addGroups),
		restoring(z.snapshot, "verified", 0.95),
		restoring(z.snapshot, "unverified", 0.45),
		listing(z.list, z.lists),
		dumping(z.snapshot),
		searching(z.search, z.among),
	)
	return all
}

func consecutive(count int) subject {
	return subject{
		what:  fmt.Sprintf("RestoreWatches, %s watches, consecutive wds", grouped(count)),
		unit:  "ns/watch",
		per:   float64(count),
		needs: []need{ioctl, watches(count), files(count)},
		job:   restoreJob(count, 1, 1),
		peers: []peer{
			{name: "C, CRIU's way", most: 0.40, job: restorePeer("criu", count, 1)},
			{name: "C, the fewest system calls", most: 1.12, job: restorePeer("floor", count, 1)},
		},
	}
}

func apart(count int) subject {
	const stride = 3
	return subject{
		what:  fmt.Sprintf("RestoreWatches, %s watches, wds %d apart", grouped(count), stride),
		unit:  "ns/watch",
		per:   float64(count),
		needs: []need{ioctl, watches(count), files(count)},
		job:   restoreJob(count, 1, stride),
		peers: []peer{{name: "C, the fewest system calls", most: 1.15, job: restorePeer("floor", count, stride)}},
	}
}

func restoreJob(count, groups, stride int) func(*lab) job {
	return func(l *lab) job {
		return job{args: []string{
			"restore", "-list", l.list(), "-count", fmt.Sprint(count), "-groups", fmt.Sprint(groups),
			"-first", fmt.Sprint(highWD), "-stride", fmt.Sprint(stride),
		}}
	}
}

func restorePeer(way string, count, stride int) func(*lab) job {
	return func(l *lab) job {
		return job{peer: "restore", args: []string{way, l.list(), fmt.Sprint(count), fmt.Sprint(highWD), fmt.Sprint(stride)}}
	}
}

func cycling(where string, procs, goal int, f floor, most float64) subject {
	s := subject{
		what:  fmt.Sprintf("the cycle to %s, %s", grouped(goal), where),
		unit:  "ns/step",
		per:   float64(goal),
		needs: []need{filter},
		slow:  true,
		job:   func(l *lab) job { return cycleJob(l, goal, 1, procs) },
		peers: []peer{
			{name: "C, CRIU's way", most: most, job: func(l *lab) job { return cyclePeer(l, goal, 1) }},
			{name: fmt.Sprintf("C, %d dirs, threads: %d", f.group*len(f.dirs), len(f.dirs)), most: 1.15,
				job: func(l *lab) job { return f.job(l.target(), goal) }},
		},
	}
	if procs > 1 {
		s.needs = append(s.needs, processors(procs))
	}
	return s
}

func cycleJob(l *lab, goal, repeat, procs int) job {
	return job{
		args:     []string{"cycle", "-path", l.target(), "-first", fmt.Sprint(goal), "-count", fmt.Sprint(repeat)},
		procs:    procs,
		filtered: true,
	}
}

func cyclePeer(l *lab, goal, repeat int) job {
	return job{
		peer:     "criucycle",
		args:     []string{l.empty(), l.target(), fmt.Sprint(goal), fmt.Sprint(repeat)},
		filtered: true,
	}
}

func ending(how string, procs, times int) subject {
	return subject{
		what:   fmt.Sprintf("the cycle's return after its context's %s, GOMAXPROCS=%d, %d times", how, procs, times),
		unit:   "ms",
		per:    1e6,
		needs:  []need{filter},
		once:   true,
		wanted: "near 1 ms",
		job: func(l *lab) job {
			return job{args: []string{how, "-path", l.target(), "-count", fmt.Sprint(times)}, procs: procs, filtered: true}
		},
	}
}

// scaling compares the package with itself: many watches in one instance with
// small groups, each group on different files and in an instance of its own.
func scaling(low, lows, high int) subject {
	return subject{
		what:  fmt.Sprintf("RestoreWatches, %s watches, consecutive wds", grouped(high)),
		unit:  "ns/watch",
		per:   float64(high),
		needs: []need{ioctl, watches(high), files(high)},
		slow:  true,
		job:   restoreJob(high, 1, 1),
		peers: []peer{{
			name: fmt.Sprintf("itself, %s watches", grouped(low)), most: 1.3, per: float64(low * lows),
			job: restoreJob(low, lows, 1),
		}},
	}
}

func holding(count int) subject {
	return subject{
		what:   fmt.Sprintf("heap held after restoring %s watches", grouped(count)),
		unit:   "bytes",
		per:    1,
		needs:  []need{ioctl, watches(count), files(count)},
		slow:   true,
		wanted: "under 4096",
		limit:  4096,
		job: func(l *lab) job {
			return job{args: []string{"heap", "-list", l.list(), "-count", fmt.Sprint(count), "-first", fmt.Sprint(highWD)}}
		},
	}
}

// reading measures one of the ways to read events.
func reading(method, task string, events, names int, most float64) subject {
	batch := fmt.Sprint(min(16_000, queueSize()-64))
	count := []string{fmt.Sprint(names), fmt.Sprint(events), batch}
	worker := func(name string) func(*lab) job {
		return func(l *lab) job {
			return job{args: []string{name, "-path", l.named(), "-names", count[0], "-count", count[1], "-batch", count[2]}}
		}
	}
	s := subject{
		what:  fmt.Sprintf("%s, %s events about %d names", method, grouped(events), names),
		unit:  "ns/event",
		per:   float64(events),
		needs: []need{queue},
		slow:  true,
		job:   worker(task),
		peers: []peer{
			{name: "C, read(2) and walk the records", most: most, job: func(l *lab) job {
				return job{peer: "read", args: append([]string{l.named()}, count...)}
			}},
		},
	}
	if method == "Events" {
		s.peers = append(s.peers, peer{name: "fsnotify's channel", most: 0.40, job: worker("fsnotify")})
	}
	return s
}

func adding(count, groups int) subject {
	return subject{
		what:  fmt.Sprintf("AddWatch, %s new watches", grouped(count*groups)),
		unit:  "ns/watch",
		per:   float64(count * groups),
		needs: []need{watches(count), files(count * groups)},
		job: func(l *lab) job {
			return job{args: []string{"add", "-list", l.list(), "-count", fmt.Sprint(count), "-groups", fmt.Sprint(groups)}}
		},
		peers: []peer{{name: "unix.InotifyAddWatch", most: 1.05}},
		both:  true,
	}
}

func listing(count, times int) subject {
	return subject{
		what:  fmt.Sprintf("Watches, %s watches", grouped(count)),
		unit:  "ns/watch",
		per:   float64(count * times),
		needs: []need{listed, watches(count), files(count)},
		slow:  true,
		job: func(l *lab) job {
			return job{args: []string{"list", "-list", l.list(), "-count", fmt.Sprint(count), "-groups", fmt.Sprint(times)}}
		},
		peers: []peer{{name: "read(2) of the same fdinfo to its end", most: 1.15}},
		both:  true,
	}
}

// restoring restores a whole instance with package checkpoint, on the same files
// as the peer.
func restoring(count int, how string, most float64) subject {
	args := func(l *lab, name string) []string {
		return []string{name, "-list", l.list(), "-path", l.snapshot(), "-count", fmt.Sprint(count), "-first", fmt.Sprint(highWD)}
	}
	return subject{
		what:  fmt.Sprintf("Snapshot.Restore, %s watches, consecutive wds, %s", grouped(count), how),
		unit:  "ns/watch",
		per:   float64(count),
		needs: []need{ioctl, listed, watches(count), files(count)},
		setUp: func(ctx context.Context, l *lab) error {
			_, err := l.measure(ctx, job{args: args(l, "snapshot")})
			return err
		},
		job:   func(l *lab) job { return job{args: args(l, "restore-"+how)} },
		peers: []peer{{name: "C, CRIU's way", most: most, job: restorePeer("criu", count, 1)}},
	}
}

// dumping dumps an instance of another process, the same one for both sides.
func dumping(count int) subject {
	args := func(l *lab, name string) []string {
		return []string{name, "-list", l.list(), "-count", fmt.Sprint(count)}
	}
	return subject{
		what:  fmt.Sprintf("DumpFD, %s watches, paths by handle", grouped(count)),
		unit:  "ns/watch",
		per:   float64(count),
		needs: []need{listed, handles, watches(count), descriptors(count), files(count)},
		setUp: func(ctx context.Context, l *lab) error { return l.hold(ctx, job{args: args(l, "hold")}) },
		job: func(l *lab) job {
			return job{args: append(args(l, "dump-by-handle"), "-pid", fmt.Sprint(l.held.pid), "-fd", fmt.Sprint(l.held.fd))}
		},
		peers: []peer{{name: "C, sscanf, open_by_handle_at and fstat", most: 0.90, job: func(l *lab) job {
			return job{peer: "dump", args: []string{fmt.Sprint(l.held.pid), fmt.Sprint(l.held.fd), l.dir, l.list(), fmt.Sprint(count)}}
		}}},
	}
}

// searching is dumping on an overlayfs that is mounted only in the namespace of
// the process that holds the instance. All of it is in the kernel's cache.
func searching(count, among int) subject {
	args := func(l *lab, name string) []string {
		o := l.overlay()
		return []string{name, "-path", string(o), "-list", o.list(), "-count", fmt.Sprint(count)}
	}
	return subject{
		what:  fmt.Sprintf("DumpFD, %s watches among %s files on overlayfs, paths by search", grouped(count), grouped(among)),
		unit:  "ns/file",
		per:   float64(among),
		needs: []need{listed, overlays, watches(count), descriptors(count)},
		slow:  true,
		setUp: func(ctx context.Context, l *lab) error {
			if err := l.overlay().makeFiles(ctx, among, count); err != nil {
				return err
			}
			return l.hold(ctx, job{args: args(l, "hold-overlay"), mounts: true})
		},
		job: func(l *lab) job {
			return job{args: append(args(l, "dump-by-search"), "-pid", fmt.Sprint(l.held.pid), "-fd", fmt.Sprint(l.held.fd))}
		},
		peers: []peer{{name: "C, lstat on each file", most: 1.5, job: func(l *lab) job {
			return job{peer: "walk", args: []string{fmt.Sprintf("/proc/%d/root%s", l.held.pid, l.overlay().tree()), fmt.Sprint(among)}}
		}}},
	}
}

// A need is a requirement of a subject.
type need struct {
	files   int                // the number of files to watch
	missing func(*facts) error // why it is not met here, or nil
}

// facts are what the kernel supports.
type facts struct {
	ioctl     bool
	filter    error // why the ioctl cannot be made to fail, or nil
	maxWatch  int   // the lower of the limits on watches
	limitedBy string
	listed    error // why the kernel lists no watches, or nil
	handles   error // why no file handle can be opened, or nil
	overlay   error // why no overlayfs can be mounted, or nil
}

var (
	ioctl = need{missing: func(f *facts) error {
		if !f.ioctl {
			return errors.New("the kernel has no INOTIFY_IOC_SETNEXTWD")
		}
		return nil
	}}
	filter = need{missing: func(f *facts) error {
		if f.ioctl && f.filter != nil {
			return fmt.Errorf("the kernel has INOTIFY_IOC_SETNEXTWD and no seccomp filter to hide it: %w", f.filter)
		}
		return nil
	}}
	listed   = need{missing: func(f *facts) error { return f.listed }}
	handles  = need{missing: func(f *facts) error { return f.handles }}
	overlays = need{missing: func(f *facts) error { return f.overlay }}
	queue    = need{missing: func(*facts) error {
		if size := queueSize(); size < 128 {
			return fmt.Errorf("fs.inotify.max_queued_events is %d", size)
		}
		return nil
	}}
)

func files(count int) need { return need{files: count} }

func watches(count int) need {
	return need{missing: func(f *facts) error {
		if f.maxWatch < count {
			return fmt.Errorf("%s is %d", f.limitedBy, f.maxWatch)
		}
		return nil
	}}
}

// descriptors is how many file descriptors one process needs.
func descriptors(count int) need {
	return need{missing: func(*facts) error {
		const others = 100
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return os.NewSyscallError("getrlimit", err)
		}
		if limit.Cur < uint64(count+others) { // package os has raised it to the hard limit
			return fmt.Errorf("RLIMIT_NOFILE is %d", limit.Cur)
		}
		return nil
	}}
}

func processors(count int) need {
	return need{missing: func(*facts) error {
		if has := runtime.NumCPU(); has < count {
			return fmt.Errorf("it needs %d processors and there are %d", count, has)
		}
		return nil
	}}
}

// missing returns why the subject cannot be measured here, or nil.
func (s subject) missing(f *facts) error {
	for _, n := range s.needs {
		if n.missing != nil {
			if err := n.missing(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// files returns how many files the subject watches.
func (s subject) files() int {
	count := 0
	for _, n := range s.needs {
		count = max(count, n.files)
	}
	return count
}

func queueSize() int { return sysctl("fs.inotify.max_queued_events") }

// sysctl returns a setting of the kernel, or a high value if it has none.
func sysctl(name string) int {
	const unlimited = 1 << 30
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return unlimited
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return unlimited
	}
	return n
}
