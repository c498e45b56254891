// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/abandon"
	"github.com/seed10546c08/inotify/internal/sys"
)

func instances(ctx context.Context, pids []int) ([]Instance, error) {
	all := len(pids) == 0
	if all {
		var err error
		if pids, err = processes(); err != nil {
			return nil, fmt.Errorf("checkpoint: list processes: %w", err)
		}
	}
	l := lister{ctx: ctx, failed: make(map[int]error)}
	ds := l.descriptors(slices.Compact(slices.Sorted(slices.Values(pids))))
	found := l.countWatches(l.group(ds))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return found, l.errors(all)
}

// processes lists the processes in /proc, which must be of this process's pid namespace.
func processes() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	pids := numbers(names)
	if len(pids) == 0 {
		return nil, fmt.Errorf("/proc lists no processes: procfs is not mounted there: %w", fs.ErrNotExist)
	}
	return pids, checkOwnNamespace()
}

func numbers(names []string) []int {
	var ns []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			ns = append(ns, n)
		}
	}
	slices.Sort(ns)
	return ns
}

// hasEnded reports whether err means that a process has ended or has closed the descriptor
// (EBADF of kcmp(2)).
func hasEnded(err error) bool {
	return errors.Is(err, sys.ESRCH) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, sys.EBADF)
}

// A lister lists instances in three steps: the inotify descriptors of each process; which
// of these are the same instance; how many watches each instance has.
type lister struct {
	ctx context.Context

	mu     sync.Mutex
	failed map[int]error // the first error of each process
}

// addError keeps a process's first error.
func (l *lister) addError(pid int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.failed[pid] == nil {
		l.failed[pid] = err
	}
}

// errors joins the errors of the processes. If all processes were to be listed, one that has
// ended is not an error.
func (l *lister) errors(all bool) error {
	var errs []error
	for pid, err := range l.failed {
		if !all || !hasEnded(err) {
			errs = append(errs, &ProcessError{pid, err})
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return a.(*ProcessError).PID - b.(*ProcessError).PID })
	return errors.Join(errs...)
}

// descriptors lists the inotify descriptors of all processes.
func (l *lister) descriptors(pids []int) []Descriptor {
	each := make([][]Descriptor, len(pids))
	abandon.InTurn(len(pids), func(i int) {
		type result struct {
			ds  []Descriptor
			err error
		}
		r, err := abandon.Call(l.ctx, pids[i], func() (result, error) {
			ds, err := descriptorsOf(pids[i])
			return result{ds, err}, nil
		}, nil)
		each[i] = r.ds
		l.addError(pids[i], cmp.Or(err, r.err))
	})
	return slices.Concat(each...)
}

// descriptorsOf lists the inotify descriptors of a process. It returns what was found with an
// error, too, unless the pid may have been reused.
func descriptorsOf(pid int) ([]Descriptor, error) {
	p, err := openProcess(pid)
	if err != nil {
		return nil, err
	}
	defer p.close()
	ds, err := p.descriptors()
	if aerr := p.checkAlive(); aerr != nil {
		return nil, aerr
	}
	return ds, err
}

// descriptors lists the inotify descriptors in all descriptor tables of the process's threads.
func (p *process) descriptors() (ds []Descriptor, failed error) {
	tids, err := p.tables()
	failed = err
	for _, tid := range tids {
		fds, err := p.fds(tid)
		for _, fd := range fds {
			d := Descriptor{PID: p.pid, TID: tid, FD: fd}
			is, ierr := p.hasInotify(d)
			if is {
				ds = append(ds, d)
			}
			if err == nil && !hasEnded(ierr) {
				err = ierr
			}
		}
		if failed == nil {
			failed = err
		}
	}
	return ds, failed
}

// fds lists the descriptors of a thread; tid 0 is the main thread. A thread that has exited
// has none. Only root may read the directory of one that was not reaped.
func (p *process) fds(tid int) ([]int, error) {
	names, err := p.names(threadDir(tid) + "fd")
	if err != nil && (hasEnded(err) && tid != 0 || p.exited(tid)) {
		return nil, nil
	}
	return numbers(names), err
}

// threadDir returns the directory of a thread in /proc/PID; tid 0 is the main thread.
func threadDir(tid int) string {
	if tid == 0 {
		return ""
	}
	return "task/" + strconv.Itoa(tid) + "/"
}

// tables returns one thread for each descriptor table of the process. The first is 0, the main
// thread.
func (p *process) tables() ([]int, error) {
	tables := []int{0}
	names, err := p.names("task")
	if err != nil {
		return tables, err
	}
	ordered := []int{p.pid}
	for _, tid := range numbers(names) {
		if tid == p.pid {
			continue
		}
		at, known := slices.BinarySearchFunc(ordered, tid, func(a, b int) int {
			order, cerr := sys.Kcmp(sys.KcmpFiles, a, b, 0, 0)
			if cerr != nil && !hasEnded(cerr) && err == nil {
				err = cerr
			}
			return order
		})
		switch {
		case err == nil && !known:
			ordered = slices.Insert(ordered, at, tid)
			tables = append(tables, tid)
		case errors.Is(err, sys.ENOSYS): // assume that all running threads share one table
			if p.exited(0) {
				tables = append(tables, tid)
			}
			return tables, nil
		case err != nil:
			return tables, err
		}
	}
	return tables, nil
}

// exited reports whether a thread that is still listed has exited.
func (p *process) exited(tid int) bool {
	state, err := p.state(strconv.Itoa(cmp.Or(tid, p.pid)))
	if err != nil {
		return hasEnded(err)
	}
	return state == 'Z' || state == 'X'
}

// hasInotify reports whether d, of this process, is an inotify descriptor.
func (p *process) hasInotify(d Descriptor) (bool, error) {
	return p.isInotifyLink(threadDir(d.TID) + "fd/" + strconv.Itoa(d.FD))
}

// group groups descriptors by instance. It leaves out processes that have ended or do not
// answer.
func (l *lister) group(ds []Descriptor) []Instance {
	for retries := 3; l.ctx.Err() == nil; {
		grouped, err := abandon.Call(l.ctx, 0, func() ([]Instance, error) { return groupByFile(ds), nil }, nil)
		if err == nil {
			return grouped
		}
		before := len(ds)
		if ds = l.answering(ds); len(ds) < before {
			continue
		}
		if retries--; retries == 0 || !errors.Is(err, ErrNoAnswer) {
			return ungrouped(ds, err)
		}
	}
	return nil
}

// answering returns the descriptors of processes that answer.
func (l *lister) answering(ds []Descriptor) []Descriptor {
	var first []Descriptor // of each process
	for _, d := range ds {
		if len(first) == 0 || first[len(first)-1].PID != d.PID {
			first = append(first, d)
		}
	}
	silent := make([]bool, len(first))
	abandon.InTurn(len(first), func(i int) {
		_, err := abandon.Call(l.ctx, first[i].PID, func() (int, error) { return compareFiles(first[i], first[i]) }, nil)
		if silent[i] = errors.Is(err, ErrNoAnswer); silent[i] {
			l.addError(first[i].PID, err)
		}
	})
	return slices.DeleteFunc(slices.Clone(ds), func(d Descriptor) bool {
		i, _ := slices.BinarySearchFunc(first, d, func(f, d Descriptor) int { return f.PID - d.PID })
		return silent[i]
	})
}

// groupByFile groups descriptors by file description, and leaves out those that were closed.
// It sorts them by kcmp's order. A descriptor that is replaced meanwhile would break the order:
// it is compared with one descriptor of each instance instead.
func groupByFile(ds []Descriptor) (joined []Instance) {
	var each []Descriptor
	for {
		var odd map[Descriptor]bool
		ds, odd = sortByFile(ds)
		if len(odd) == 0 {
			break
		}
		ds = slices.DeleteFunc(ds, func(d Descriptor) bool { return odd[d] })
		each = slices.AppendSeq(each, maps.Keys(odd))
	}
	for _, d := range ds {
		order, err := 1, error(nil)
		if len(joined) > 0 {
			order, err = compareFiles(joined[len(joined)-1].Descriptors[0], d)
		}
		switch {
		case err != nil:
			each = append(each, d)
		case order == 0:
			last := &joined[len(joined)-1]
			last.Descriptors = append(last.Descriptors, d)
		default:
			joined = append(joined, newInstance(d, nil))
		}
	}
	joined = joinEach(joined, each)
	if len(joined) == 1 { // there is no other instance
		joined[0].Ungrouped = nil
	}
	for _, i := range joined {
		slices.SortFunc(i.Descriptors, inOrder)
	}
	slices.SortFunc(joined, func(a, b Instance) int { return inOrder(a.Descriptors[0], b.Descriptors[0]) })
	return joined
}

func inOrder(a, b Descriptor) int { return cmp.Or(a.PID-b.PID, a.TID-b.TID, a.FD-b.FD) }

// sortByFile sorts descriptors by file description. odd has those that could not be compared,
// or whose order to a neighbour changed.
func sortByFile(ds []Descriptor) (sorted []Descriptor, odd map[Descriptor]bool) {
	odd = make(map[Descriptor]bool)
	for _, d := range ds {
		if _, err := compareFiles(d, d); err != nil {
			odd[d] = true
		} else {
			sorted = append(sorted, d)
		}
	}
	compare := func(a, b Descriptor) int {
		order, err := compareFiles(a, b)
		if err != nil {
			odd[a], odd[b] = true, true
		}
		return order
	}
	slices.SortStableFunc(sorted, compare)
	orders := make([]int, len(sorted))
	for round := range 8 { // a descriptor that changes may be in order by chance
		for i := 1; i < len(sorted); i++ {
			order := compare(sorted[i-1], sorted[i])
			if order > 0 || round > 0 && order != orders[i] {
				odd[sorted[i-1]], odd[sorted[i]] = true, true
			}
			orders[i] = order
		}
	}
	return sorted, odd
}

// joinEach adds each descriptor to the instance among joined that it is of, or as another
// instance. It leaves out those that were closed.
func joinEach(joined []Instance, ds []Descriptor) []Instance {
next:
	for _, d := range ds {
		_, failed := compareFiles(d, d)
		if hasEnded(failed) {
			continue
		}
		for i := 0; i < len(joined) && failed == nil; i++ {
			order, err := compareFiles(joined[i].Descriptors[0], d)
			if err == nil && order == 0 {
				joined[i].Descriptors = append(joined[i].Descriptors, d)
				continue next
			}
			if !hasEnded(err) {
				failed = err
			}
		}
		joined = append(joined, newInstance(d, failed))
	}
	return joined
}

func newInstance(d Descriptor, ungroupedErr error) Instance {
	return Instance{Descriptors: []Descriptor{d}, Watches: -1, Ungrouped: ungroupedErr}
}

// ungrouped returns an instance for each descriptor, because they cannot be compared.
func ungrouped(ds []Descriptor, reason error) []Instance {
	single := make([]Instance, len(ds))
	for i, d := range ds {
		single[i] = newInstance(d, reason)
	}
	return single
}

// countWatches counts the watches of each instance through its first descriptor, and if that
// fails, through the next. It leaves out instances whose descriptors were all closed.
func (l *lister) countWatches(is []Instance) []Instance {
	todo := make([]counting, len(is))
	for i := range is {
		todo[i].instance = &is[i]
	}
	for len(todo) > 0 && l.ctx.Err() == nil {
		slices.SortStableFunc(todo, func(a, b counting) int { return a.descriptor().PID - b.descriptor().PID })
		var failed []counting
		for k, c := range l.countEach(todo) {
			if l.finishCounting(&todo[k], c) {
				failed = append(failed, todo[k])
			}
		}
		todo = failed
	}
	is = slices.DeleteFunc(is, func(i Instance) bool { return i.Descriptors == nil })
	return clearWatchCounts(is)
}

// A counting is an instance whose watches are to be counted.
type counting struct {
	instance *Instance
	next     int           // index of the descriptor to use
	failed   *ProcessError // the first error of the descriptors before it, or nil
}

func (c *counting) descriptor() Descriptor { return c.instance.Descriptors[c.next] }

// countEach counts the watches of each instance through its next descriptor. todo is in the
// order of the processes.
func (l *lister) countEach(todo []counting) []watchCount {
	var each [][]Descriptor // by process
	for i := range todo {
		d := todo[i].descriptor()
		if k := len(each); k == 0 || each[k-1][0].PID != d.PID {
			each = append(each, nil)
		}
		each[len(each)-1] = append(each[len(each)-1], d)
	}
	counts := make([][]watchCount, len(each))
	abandon.InTurn(len(each), func(i int) { counts[i] = l.countIn(each[i]) })
	return slices.Concat(counts...)
}

// finishCounting stores the result for an instance. It reports whether the next descriptor is to
// be tried. If there is none, it lists the error, or drops the instance if all descriptors
// were closed.
func (l *lister) finishCounting(c *counting, result watchCount) (again bool) {
	if result.err == nil {
		c.instance.Watches = result.watches
		return false
	}
	if c.failed == nil && !hasEnded(result.err) {
		c.failed = &ProcessError{c.descriptor().PID, result.err}
	}
	switch c.next++; {
	case c.next < len(c.instance.Descriptors):
		return true
	case c.failed != nil:
		l.addError(c.failed.PID, c.failed.Err)
	default:
		c.instance.Descriptors = nil
	}
	return false
}

// clearWatchCounts sets the watch counts to unknown if this kernel lists no watches.
func clearWatchCounts(is []Instance) []Instance {
	some := slices.ContainsFunc(is, func(i Instance) bool { return i.Watches > 0 })
	none := slices.ContainsFunc(is, func(i Instance) bool { return i.Watches == 0 })
	if none && !some && inotify.HaveWatchList() != nil {
		for i := range is {
			is[i].Watches = -1
		}
	}
	return is
}

// A watchCount is the number of watches of one descriptor's instance.
type watchCount struct {
	watches int
	err     error
}

// countIn counts the watches of descriptors of one process.
func (l *lister) countIn(ds []Descriptor) []watchCount {
	cs, err := abandon.Call(l.ctx, ds[0].PID, func() ([]watchCount, error) {
		p, err := openProcess(ds[0].PID)
		if err != nil {
			return nil, err
		}
		defer p.close()
		cs := make([]watchCount, len(ds))
		buffer := bufio.NewReaderSize(nil, 64<<10)
		for i, d := range ds {
			cs[i].watches, cs[i].err = p.countWatches(d, buffer)
		}
		return cs, p.checkAlive()
	}, nil)
	if err != nil {
		cs = slices.Repeat([]watchCount{{err: err}}, len(ds))
	}
	return cs
}

// countWatches counts the lines of watches in the fdinfo of d, which must still be an inotify
// descriptor afterwards.
func (p *process) countWatches(d Descriptor, buffer *bufio.Reader) (n int, err error) {
	f, err := p.open(threadDir(d.TID) + "fdinfo/" + strconv.Itoa(d.FD))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buffer.Reset(f)
	begins := true // part begins a line
	for {
		part, err := buffer.ReadSlice('\n')
		if begins && bytes.HasPrefix(part, []byte("inotify ")) {
			n++
		}
		begins = err == nil
		if err == io.EOF {
			break
		} else if err != nil && err != bufio.ErrBufferFull {
			return 0, err
		}
	}
	is, err := p.hasInotify(d)
	if err == nil && !is {
		err = sys.EBADF // the descriptor was replaced
	}
	return n, err
}
