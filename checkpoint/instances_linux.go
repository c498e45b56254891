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

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/internal/abandon"
)

func instances(ctx context.Context, pids []int) ([]Instance, error) {
	all := len(pids) == 0
	if all {
		var err error
		if pids, err = processes(); err != nil {
			return nil, fmt.Errorf("checkpoint: list the processes: %w", err)
		}
	}
	l := lister{ctx: ctx, failed: make(map[int]error)}
	ds := l.descriptors(slices.Compact(slices.Sorted(slices.Values(pids))))
	found := l.count(l.group(ds))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return found, l.errors(all)
}

// processes lists the processes that /proc shows, which must be those of this process's
// pid namespace: the calls on processes take pids of that.
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
		return nil, fmt.Errorf("/proc shows no process: procfs is not mounted there: %w", fs.ErrNotExist)
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

// ended reports whether err came because a process has ended, or has closed a
// descriptor, which kcmp(2) reports by EBADF.
func ended(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EBADF)
}

// A lister lists instances: the descriptors of each process, then which of them are the
// same instance, then how many watches each instance has.
type lister struct {
	ctx context.Context

	mu     sync.Mutex
	failed map[int]error // by process, the first error
}

// fail notes an error of a process.
func (l *lister) fail(pid int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.failed[pid] == nil {
		l.failed[pid] = err
	}
}

// errors returns the errors of the processes, without those that have ended if all were
// to be listed.
func (l *lister) errors(all bool) error {
	var errs []error
	for pid, err := range l.failed {
		if !all || !ended(err) {
			errs = append(errs, &ProcessError{pid, err})
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return a.(*ProcessError).PID - b.(*ProcessError).PID })
	return errors.Join(errs...)
}

// descriptors lists the inotify descriptors of the processes.
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
		l.fail(pids[i], cmp.Or(err, r.err))
	})
	return slices.Concat(each...)
}

// descriptorsOf lists a process's inotify descriptors. What was found is returned with an
// error, too, unless it may be another process's.
func descriptorsOf(pid int) ([]Descriptor, error) {
	p, err := pin(pid)
	if err != nil {
		return nil, err
	}
	defer p.close()
	ds, err := p.descriptors()
	if aerr := p.alive(); aerr != nil {
		return nil, aerr
	}
	return ds, err
}

// descriptors lists the inotify descriptors of the process, in each table of descriptors
// that its threads have.
func (p *process) descriptors() (ds []Descriptor, failed error) {
	tids, err := p.tables()
	failed = err
	for _, tid := range tids {
		fds, err := p.fds(tid)
		for _, fd := range fds {
			d := Descriptor{PID: p.pid, TID: tid, FD: fd}
			is, ierr := p.isInstance(d)
			if is {
				ds = append(ds, d)
			}
			if err == nil && !ended(ierr) {
				err = ierr
			}
		}
		if failed == nil {
			failed = err
		}
	}
	return ds, failed
}

// fds lists the descriptors of a thread, 0 being the main thread. One that has exited and
// is not reaped has none; only root may read its directory.
func (p *process) fds(tid int) ([]int, error) {
	names, err := p.names(threadDir(tid) + "fd")
	if err != nil && (ended(err) && tid != 0 || p.exited(tid)) {
		return nil, nil
	}
	return numbers(names), err
}

// threadDir is the directory of a thread in /proc/PID.
func threadDir(tid int) string {
	if tid == 0 {
		return ""
	}
	return "task/" + strconv.Itoa(tid) + "/"
}

// tables returns a thread for each table of descriptors that threads of the process have,
// the first being 0, the main thread.
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
			order, cerr := kcmp(kcmpFiles, a, b, 0, 0)
			if cerr != nil && !ended(cerr) && err == nil {
				err = cerr
			}
			return order
		})
		switch {
		case err == nil && !known:
			ordered = slices.Insert(ordered, at, tid)
			tables = append(tables, tid)
		case errors.Is(err, unix.ENOSYS): // all that run have one table, as is usual
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

// exited reports whether a thread has exited, though it is listed.
func (p *process) exited(tid int) bool {
	state, err := p.state(strconv.Itoa(cmp.Or(tid, p.pid)))
	if err != nil {
		return ended(err)
	}
	return state == 'Z' || state == 'X'
}

// isInstance reports whether a descriptor of the process is an inotify descriptor.
func (p *process) isInstance(d Descriptor) (bool, error) {
	return p.isInotifyLink(threadDir(d.TID) + "fd/" + strconv.Itoa(d.FD))
}

// group finds which descriptors are the same instance. What has ended is left out, and
// so are processes that do not answer.
func (l *lister) group(ds []Descriptor) []Instance {
	for retries := 3; l.ctx.Err() == nil; {
		grouped, err := abandon.Call(l.ctx, 0, func() ([]Instance, error) { return group(ds), nil }, nil)
		if err == nil {
			return grouped
		}
		before := len(ds)
		if ds = l.answering(ds); len(ds) < before {
			continue
		}
		if retries--; retries == 0 || !errors.Is(err, ErrNoAnswer) {
			return apart(ds, err)
		}
	}
	return nil
}

// answering returns the descriptors of the processes that answer.
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
			l.fail(first[i].PID, err)
		}
	})
	return slices.DeleteFunc(slices.Clone(ds), func(d Descriptor) bool {
		i, _ := slices.BinarySearchFunc(first, d, func(f, d Descriptor) int { return f.PID - d.PID })
		return silent[i]
	})
}

// group joins descriptors that are the same instance, and leaves out what has ended.
// kcmp orders file descriptions, so that sorting brings equal ones together, unless a
// descriptor changes meanwhile: that one, and what it might separate, is compared with
// one descriptor of each instance instead.
func group(ds []Descriptor) (joined []Instance) {
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
	if len(joined) == 1 { // there is nothing that it could be the same as
		joined[0].Ungrouped = nil
	}
	for _, i := range joined {
		slices.SortFunc(i.Descriptors, inOrder)
	}
	slices.SortFunc(joined, func(a, b Instance) int { return inOrder(a.Descriptors[0], b.Descriptors[0]) })
	return joined
}

func inOrder(a, b Descriptor) int { return cmp.Or(a.PID-b.PID, a.TID-b.TID, a.FD-b.FD) }

// sortByFile sorts descriptors by their file descriptions. Odd are those that were not
// always in the same order to a neighbour, or could not be compared.
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
	for round := range 8 { // as one that changes may look right
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

// joinEach adds descriptors to instances. What has ended is left out.
func joinEach(joined []Instance, ds []Descriptor) []Instance {
next:
	for _, d := range ds {
		_, failed := compareFiles(d, d)
		if ended(failed) {
			continue
		}
		for i := 0; i < len(joined) && failed == nil; i++ {
			order, err := compareFiles(joined[i].Descriptors[0], d)
			if err == nil && order == 0 {
				joined[i].Descriptors = append(joined[i].Descriptors, d)
				continue next
			}
			if !ended(err) {
				failed = err
			}
		}
		joined = append(joined, newInstance(d, failed))
	}
	return joined
}

func newInstance(d Descriptor, ungrouped error) Instance {
	return Instance{Descriptors: []Descriptor{d}, Watches: -1, Ungrouped: ungrouped}
}

// apart returns an instance for each descriptor, where they cannot be compared.
func apart(ds []Descriptor, why error) []Instance {
	single := make([]Instance, len(ds))
	for i, d := range ds {
		single[i] = newInstance(d, why)
	}
	return single
}

// count counts the watches of each instance by one of its descriptors, and by the next
// where that fails. An instance whose descriptors are all gone is left out.
func (l *lister) count(is []Instance) []Instance {
	type place struct {
		instance int
		next     int // of its descriptors
		err      error
	}
	places := make([]place, len(is))
	for i := range is {
		places[i].instance = i
	}
	for len(places) > 0 && l.ctx.Err() == nil {
		descriptor := func(p place) Descriptor { return is[p.instance].Descriptors[p.next] }
		slices.SortStableFunc(places, func(a, b place) int { return descriptor(a).PID - descriptor(b).PID })
		var each [][]Descriptor // by process
		for _, p := range places {
			d := descriptor(p)
			if k := len(each); k == 0 || each[k-1][0].PID != d.PID {
				each = append(each, nil)
			}
			each[len(each)-1] = append(each[len(each)-1], d)
		}
		counts := make([][]counted, len(each))
		abandon.InTurn(len(each), func(i int) { counts[i] = l.countOf(each[i]) })
		var again []place
		for k, c := range slices.Concat(counts...) {
			p := places[k]
			if c.err == nil {
				is[p.instance].Watches = c.watches
				continue
			}
			if d := descriptor(p); p.err == nil && !ended(c.err) {
				p.err = &ProcessError{d.PID, c.err}
			}
			switch p.next++; {
			case p.next < len(is[p.instance].Descriptors):
				again = append(again, p)
			case p.err != nil:
				l.fail(p.err.(*ProcessError).PID, p.err.(*ProcessError).Err)
			default:
				is[p.instance].Descriptors = nil
			}
		}
		places = again
	}
	is = slices.DeleteFunc(is, func(i Instance) bool { return i.Descriptors == nil })
	return unlisted(is)
}

// unlisted says of instances that show no watches that their number is unknown, where
// the kernel shows none.
func unlisted(is []Instance) []Instance {
	some := slices.ContainsFunc(is, func(i Instance) bool { return i.Watches > 0 })
	none := slices.ContainsFunc(is, func(i Instance) bool { return i.Watches == 0 })
	if none && !some && listed() != nil {
		for i := range is {
			is[i].Watches = -1
		}
	}
	return is
}

// counted is how many watches a descriptor's instance has.
type counted struct {
	watches int
	err     error
}

// countOf counts the watches of descriptors of one process.
func (l *lister) countOf(ds []Descriptor) []counted {
	cs, err := abandon.Call(l.ctx, ds[0].PID, func() ([]counted, error) {
		p, err := pin(ds[0].PID)
		if err != nil {
			return nil, err
		}
		defer p.close()
		cs := make([]counted, len(ds))
		buffer := bufio.NewReaderSize(nil, 64<<10)
		for i, d := range ds {
			cs[i].watches, cs[i].err = p.countWatches(d, buffer)
		}
		return cs, p.alive()
	}, nil)
	if err != nil {
		cs = slices.Repeat([]counted{{err: err}}, len(ds))
	}
	return cs
}

// countWatches counts the lines of watches in a descriptor's fdinfo. The descriptor must
// be inotify's still.
func (p *process) countWatches(d Descriptor, buffer *bufio.Reader) (n int, err error) {
	f, err := p.open(threadDir(d.TID) + "fdinfo/" + strconv.Itoa(d.FD))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buffer.Reset(f)
	begins := true // the part a line
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
	is, err := p.isInstance(d)
	if err == nil && !is {
		err = unix.EBADF // it was closed, and the number is another file's
	}
	return n, err
}
