// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A watch is a scratch watch, on a scratch file or directory of its own.
type watch struct {
	kind kind
	dir  int // the descriptor of the scratch directory, or of a mount of its own; or unmounted
	name string
	mask inotify.Mask
}

// unmounted is the dir of a watch whose mount was closed.
const unmounted = -1

func (w *watch) path() string { return procPath(w.dir, w.name) }

// watches are the scratch watches that the instance has.
type watches struct {
	ctx  context.Context
	in   instance
	dir  int
	live map[inotify.WD]*watch
	made int // names so far
}

func newWatches(ctx context.Context, in instance, s scratch) *watches {
	return &watches{ctx: ctx, in: in, dir: s.fd, live: map[inotify.WD]*watch{}}
}

// newName returns a name that is not used yet in the scratch directory.
func (ws *watches) newName() string {
	ws.made++
	return "w" + strconv.Itoa(ws.made)
}

// get returns the watch of a wd, with a mask: the one that is there, or a new one.
func (ws *watches) get(wd inotify.WD, k kind, mask inotify.Mask) (*watch, error) {
	w, ok := ws.live[wd]
	switch {
	case !ok:
		return ws.add(wd, k, mask)
	case w.kind != k:
		return nil, fmt.Errorf("scratch watch %d would have to change its inode", wd)
	case w.mask != mask:
		if err := ws.in.setMask(wd, w.path(), mask); err != nil {
			return nil, err
		}
		w.mask = mask
	}
	return w, nil
}

func (ws *watches) add(wd inotify.WD, k kind, mask inotify.Mask) (w *watch, err error) {
	w = &watch{kind: k, dir: ws.dir, name: ws.newName(), mask: mask}
	if k.mounted() {
		if w.dir, err = sys.Tmpfs(); err != nil {
			return nil, err
		}
	}
	if err = create(w.dir, w.name, k.isDir()); err == nil {
		err = ws.in.add(wd, w.path(), mask)
	}
	if err != nil {
		ws.discard(w)
		return nil, err
	}
	ws.live[wd] = w
	return w, nil
}

// discard removes the file that a watch is on, or closes its mount.
func (ws *watches) discard(w *watch) error {
	switch w.dir {
	case ws.dir:
		return remove(w.dir, w.name, w.kind.isDir())
	case unmounted:
		return nil
	}
	fd := w.dir
	w.dir = unmounted // also if close fails, which closes in any case
	return sys.Close(fd)
}

// drop removes a watch. That queues an Ignored, unless the queue is full and has its
// overflow record.
func (ws *watches) drop(wd inotify.WD) error {
	if err := ws.in.remove(wd); err != nil {
		return err
	}
	w := ws.live[wd]
	delete(ws.live, wd)
	return ws.discard(w)
}

// dropAll drops all watches but those to keep.
func (ws *watches) dropAll(keep map[inotify.WD]bool) error {
	for wd := range ws.live {
		if keep[wd] {
			continue
		}
		if err := ws.drop(wd); err != nil {
			return err
		}
	}
	return nil
}

// abandon removes all watches, also those that have ended already.
func (ws *watches) abandon() error {
	var errs []error
	for wd, w := range ws.live {
		err := ws.in.remove(wd)
		if err != nil && !errors.Is(err, inotify.ErrNoWatch) {
			errs = append(errs, err)
		}
		delete(ws.live, wd)
		ws.discard(w)
	}
	return errors.Join(errs...)
}
