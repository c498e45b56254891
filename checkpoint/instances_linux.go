// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

func instances(pids []int) ([]Instance, error) {
	all := len(pids) == 0
	if all {
		var err error
		if pids, err = processes(); err != nil {
			return nil, fmt.Errorf("checkpoint: listing the processes: %w", err)
		}
	}
	pids = slices.Compact(slices.Sorted(slices.Values(pids)))
	var single []Instance
	var failed []error
	for _, pid := range pids {
		found, err := instancesOf(pid)
		single = append(single, found...)
		if err != nil && !(all && ended(err)) {
			failed = append(failed, &ProcessError{pid, err})
		}
	}
	return group(counted(single)), errors.Join(failed...)
}

// counted says of instances that show no watches that this is not known, where the
// kernel shows none.
func counted(single []Instance) []Instance {
	none := func(i Instance) bool { return i.Watches == 0 }
	if slices.ContainsFunc(single, none) && listed() != nil {
		for i := range single {
			if none(single[i]) {
				single[i].Watches = -1
			}
		}
	}
	return single
}

// processes lists the processes that /proc shows.
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
	return numbers(names), nil
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
// descriptor, which kcmp(2) tells by EBADF.
func ended(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EBADF)
}

// instancesOf lists a process's descriptors, each as an instance.
func instancesOf(pid int) ([]Instance, error) {
	p, err := pin(pid)
	if err != nil {
		return nil, err
	}
	defer p.close()
	fds, err := p.instances()
	var found []Instance
	for _, fd := range fds {
		text, ferr := p.read("fdinfo/" + strconv.Itoa(fd))
		i := Instance{Descriptors: []Descriptor{{PID: pid, FD: fd}}, Watches: -1}
		if ferr == nil {
			i.Watches = watchLines(text)
		} else if err == nil && !ended(ferr) {
			err = ferr
		}
		found = append(found, i)
	}
	if aerr := p.alive(); aerr != nil {
		return nil, aerr // what was found may be of it or not
	}
	return found, err
}

// watchLines counts the lines of watches.
func watchLines(text []byte) (n int) {
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("inotify ")) {
			n++
		}
	}
	return n
}

// instances lists the descriptors of the process that are inotify's. The error is
// the first of those that came; what was found is returned with it.
func (p *process) instances() ([]int, error) {
	names, err := p.names("fd")
	var fds []int
	for _, fd := range numbers(names) {
		is, ierr := p.isInotify(fd)
		if is {
			fds = append(fds, fd)
		}
		if err == nil && ierr != nil && !ended(ierr) {
			err = ierr
		}
	}
	if err == nil {
		err = p.ownTables()
	}
	return fds, err
}

// ownTables returns an error if threads of the process have descriptors that are
// not those of its main thread: by unshare(CLONE_FILES), or since that has ended.
func (p *process) ownTables() error {
	threads, err := p.names("task")
	if err != nil {
		return err
	}
	for _, thread := range numbers(threads) {
		if thread == p.pid {
			continue
		}
		order, _, e := unix.Syscall6(unix.SYS_KCMP, uintptr(p.pid), uintptr(thread), kcmpFiles, 0, 0, 0)
		if e == 0 && order != 0 {
			return fmt.Errorf("thread %d has descriptors of its own, which cannot be read here", thread)
		}
	}
	return nil
}

// group joins instances of a descriptor each that are the same. kcmp orders file
// descriptions, so that sorting brings equal ones together.
func group(single []Instance) []Instance {
	byFile := slices.Clone(single)
	var failed error
	slices.SortStableFunc(byFile, func(a, b Instance) int {
		order, err := compareFiles(a.Descriptors[0], b.Descriptors[0])
		switch {
		case err != nil:
			failed = err
		case order == 1:
			return -1
		case order == 2:
			return 1
		}
		return 0
	})
	if failed != nil {
		return groupSlowly(single)
	}
	var grouped []Instance
	for _, i := range byFile {
		if k := len(grouped); k > 0 {
			order, err := compareFiles(grouped[k-1].Descriptors[0], i.Descriptors[0])
			if err == nil && order == 0 {
				grouped[k-1].Descriptors = append(grouped[k-1].Descriptors, i.Descriptors...)
				continue
			}
		}
		grouped = append(grouped, i)
	}
	return inOrder(grouped)
}

// groupSlowly groups what can be compared, where some cannot.
func groupSlowly(single []Instance) []Instance {
	var grouped []Instance
next:
	for _, i := range single {
		for k := range grouped {
			order, err := compareFiles(grouped[k].Descriptors[0], i.Descriptors[0])
			if err == nil && order == 0 {
				grouped[k].Descriptors = append(grouped[k].Descriptors, i.Descriptors...)
				continue next
			}
			if err != nil && !ended(err) {
				i.Ungrouped = err
			}
		}
		grouped = append(grouped, i)
	}
	return inOrder(grouped)
}

func inOrder(grouped []Instance) []Instance {
	byNumber := func(a, b Descriptor) int { return cmp.Or(a.PID-b.PID, a.FD-b.FD) }
	for i := range grouped {
		slices.SortFunc(grouped[i].Descriptors, byNumber)
	}
	slices.SortFunc(grouped, func(a, b Instance) int { return byNumber(a.Descriptors[0], b.Descriptors[0]) })
	return grouped
}
