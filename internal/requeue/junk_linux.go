// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// Junk records are alternately of the watch on the directory, with the file's name, and of
// the watch on the file.
const (
	namedJunk  = 2 * headerSize
	selfJunk   = headerSize
	pairOfJunk = namedJunk + selfJunk
)

const (
	junkDir  = "j"
	junkFile = junkDir + "/x"
)

// A junkSource makes junk records.
type junkSource struct {
	fd  int           // of the file
	wds [2]inotify.WD // of the watches on its directory and on the file, if there are any
}

// newJunkSource makes the directory and the file, with a byte to read.
func newJunkSource(s scratch) (*junkSource, error) {
	if err := create(s.fd, junkDir, true); err != nil {
		return nil, err
	}
	fd, err := openAt(s.fd, junkFile, unix.O_CREAT|unix.O_RDWR|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	j := &junkSource{fd: fd}
	if err := j.write(); err != nil {
		return nil, errors.Join(err, sys.Close(fd))
	}
	return j, nil
}

// watch adds the watches.
func (j *junkSource) watch(in instance, s scratch, wds [2]inotify.WD) error {
	if err := in.add(wds[0], procPath(s.fd, junkDir), inotify.Access|inotify.Modify); err != nil {
		return err
	}
	j.wds[0] = wds[0]
	if err := in.add(wds[1], procPath(s.fd, junkFile), inotify.Access); err != nil {
		return err
	}
	j.wds[1] = wds[1]
	return nil
}

// unwatch removes the watches. If it fails, abandon tries again.
func (j *junkSource) unwatch(in instance) error {
	for i, wd := range j.wds {
		if wd == 0 {
			continue
		}
		if err := in.remove(wd); err != nil {
			return err
		}
		j.wds[i] = 0
	}
	return nil
}

// abandon removes the watches, also those that have ended already.
func (j *junkSource) abandon(in instance) error {
	var errs []error
	for i, wd := range j.wds {
		if wd == 0 {
			continue
		}
		if err := in.remove(wd); err != nil && !errors.Is(err, inotify.ErrNoWatch) {
			errs = append(errs, err)
		}
		j.wds[i] = 0
	}
	return errors.Join(errs...)
}

// write makes one record, of the directory's watch.
func (j *junkSource) write() error { return scratchError(junkFile, sys.WriteByte(j.fd)) }

// pairs makes count pairs of records: one by each read of the file.
func (j *junkSource) pairs(count int) error {
	for range count {
		if err := sys.ReadByte(j.fd); err != nil {
			return scratchError(junkFile, err)
		}
	}
	return nil
}

// junkWDs returns the two highest wds that no event has.
func junkWDs(events []inotify.Event) (wds [2]inotify.WD) {
	used := map[inotify.WD]bool{}
	for _, e := range events {
		used[e.WD] = true
	}
	wd := inotify.WD(math.MaxInt32)
	for i := range wds {
		for used[wd] {
			wd--
		}
		wds[i] = wd
		wd--
	}
	return wds
}

// A junkQueue is the junk at the front of the queue: all records made are numbered from 0,
// and those from number from to number to-1 are there. Even ones have the file's name.
type junkQueue struct{ from, to int }

func (q junkQueue) bytes() int { return q.bytesOf(q.to - q.from) }

// bytesOf returns how many bytes the first so many records take.
func (q junkQueue) bytesOf(records int) int {
	named := (records + 1 - q.from%2) / 2
	return named*namedJunk + (records-named)*selfJunk
}

// recordsIn returns how many junk records take so many bytes, the first of which has the
// file's name.
func recordsIn(bytes int) int { return bytes/pairOfJunk*2 + bytes%pairOfJunk/namedJunk }

// queueLimit returns fs.inotify.max_queued_events, or -1. An instance has its value of
// when it was made.
func queueLimit() int { return int(sys.Sysctl("fs.inotify.max_queued_events")) }
