// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// perform performs a step, which makes its records.
func (ws *watches) perform(s *step) error {
	w, err := ws.get(s.WD, s.kind, s.mask())
	if err == nil {
		switch {
		case s.Mask.Has(inotify.Ignored):
			err = ws.drop(s.WD)
		case s.paired:
			err = ws.renamePair(w, s)
		case s.Name != "":
			err = ws.makeNamed(w, s.Event)
		default:
			err = ws.makeSelf(w, s.Event)
		}
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", describe(s.Event), err)
	}
	return nil
}

// renamePair makes the two halves of a rename.
func (ws *watches) renamePair(w *watch, s *step) error {
	to := w
	if s.to.WD != s.WD {
		var err error
		if to, err = ws.get(s.to.WD, kindDir, inotify.MovedTo); err != nil {
			return err
		}
	}
	return ws.move(w.name+"/"+s.Name, to.name+"/"+s.to.Name, s.Mask.Has(inotify.IsDir))
}

// move makes a file, renames and removes it.
func (ws *watches) move(from, to string, isDir bool) error {
	if err := create(ws.dir, from, isDir); err != nil {
		return err
	}
	if err := rename(ws.dir, from, to); err != nil {
		return err
	}
	return remove(ws.dir, to, isDir)
}

// makeNamed makes the record of a file or directory in the watched directory. The file is
// removed at once, because changing the mask of a directory takes longer the more names the
// kernel has cached in it.
func (ws *watches) makeNamed(w *watch, e inotify.Event) error {
	isDir, name := e.Mask.Has(inotify.IsDir), w.name+"/"+e.Name
	switch e.Mask &^ inotify.IsDir {
	case inotify.MovedFrom:
		return ws.move(name, ws.newName(), isDir)
	case inotify.MovedTo:
		return ws.move(ws.newName(), name, isDir)
	}
	if err := create(ws.dir, name, isDir); err != nil {
		return err
	}
	if e.Mask&(inotify.Create|inotify.Delete) == 0 {
		if err := ws.touch(name, e.Mask); err != nil {
			return err
		}
	}
	return remove(ws.dir, name, isDir)
}

// makeSelf makes a record without a name, of the watched file or directory itself.
func (ws *watches) makeSelf(w *watch, e inotify.Event) error {
	switch e.Mask &^ inotify.IsDir {
	case inotify.MoveSelf:
		to := ws.newName()
		if err := rename(ws.dir, w.name, to); err != nil {
			return err
		}
		w.name = to
		return nil
	case inotify.DeleteSelf:
		if err := ws.discard(w); err != nil {
			return err
		}
		delete(ws.live, e.WD)
		return ws.checkEnded(e.WD)
	case inotify.Unmount:
		if err := scratchError(w.name, ws.discard(w)); err != nil {
			return err
		}
		if err := ws.awaitUnmount(e.WD); err != nil {
			return err
		}
		delete(ws.live, e.WD)
		return nil
	}
	return ws.touch(w.name, e.Mask)
}

// checkEnded returns an error if a watch has not ended with the removal of its file. That
// is so if another process has the file open, for example one that indexes the directory:
// then IN_DELETE_SELF is queued when that process closes the file.
func (ws *watches) checkEnded(wd inotify.WD) error {
	err := ws.in.remove(wd)
	if errors.Is(err, inotify.ErrNoWatch) {
		return nil
	}
	return errors.Join(errors.New("another process has the scratch file open"), err)
}

// unmountTime is how long to wait for an IN_UNMOUNT.
const unmountTime = 5 * time.Second

// awaitUnmount waits until the kernel has queued the IN_UNMOUNT of a watch and has removed
// the watch. Usually it has when close returns. But a process that is forked at the time has
// a duplicate of the mount's descriptor until it executes its program, and then it is
// the last close that unmounts.
func (ws *watches) awaitUnmount(wd inotify.WD) error {
	ctx, cancel := context.WithTimeoutCause(ws.ctx, unmountTime, errors.New("another process has the mount"))
	defer cancel()
	listed := true // and so IN_UNMOUNT is not queued yet
	for ctx.Err() == nil {
		var err error
		if listed {
			listed, err = ws.in.lists(wd)
		} else if err = ws.in.remove(wd); errors.Is(err, inotify.ErrNoWatch) {
			return nil
		} // else the kernel is about to remove it
		if err != nil {
			return err
		}
		if listed {
			time.Sleep(time.Millisecond)
		}
	}
	return fmt.Errorf("the mount of scratch %q is closed and not unmounted: %w", ws.live[wd].name, context.Cause(ctx))
}

// touch makes a record of a file or directory by accessing it or changing its attributes.
func (ws *watches) touch(name string, mask inotify.Mask) error {
	dir, flags := ws.dir, unix.O_RDONLY
	if mask.Has(inotify.IsDir) {
		flags = unix.O_DIRECTORY
	}
	switch mask &^ inotify.IsDir {
	case inotify.Access:
		return setTimes(dir, name, someTime, sameTime)
	case inotify.Modify:
		return setTimes(dir, name, sameTime, someTime)
	case inotify.Attrib:
		return setTimes(dir, name, someTime, someTime)
	case inotify.Modify | inotify.Attrib:
		return withoutForks(ws.ctx, func() error { return truncateSetuid(dir, name) })
	case inotify.CloseWrite:
		flags = unix.O_WRONLY
	}
	return withoutForks(ws.ctx, func() error { return openClose(dir, name, flags) })
}

// withoutForks calls f while this program starts no process. A process that is forked while
// f has a file open has a duplicate of the descriptor until it executes its program: then
// f's close is not the last one, and IN_CLOSE_WRITE, IN_CLOSE_NOWRITE and a later IN_DELETE_SELF
// come late. The lock is the one that the Go runtime takes to start a process. It does not keep C
// code or direct system calls from forking, nor another process from taking the
// descriptor (pidfd_getfd).
func withoutForks(ctx context.Context, f func() error) error {
	if !syscall.ForkLock.TryRLock() {
		locked := make(chan struct{})
		go func() {
			syscall.ForkLock.RLock()
			close(locked)
		}()
		select {
		case <-locked:
		case <-ctx.Done(): // the process that is being started may wait for a filesystem
			go func() {
				<-locked
				syscall.ForkLock.RUnlock()
			}()
			return context.Cause(ctx)
		}
	}
	defer syscall.ForkLock.RUnlock()
	return f()
}

var (
	someTime = unix.Timespec{Sec: 1}
	sameTime = unix.Timespec{Nsec: unix.UTIME_OMIT}
)

// setTimes sets the times of access and modification. The kernel reports a new time of access
// alone as IN_ACCESS, one of modification alone as IN_MODIFY, and both as IN_ATTRIB.
func setTimes(dir int, name string, access, modification unix.Timespec) error {
	return scratchError(name, sys.Utimensat(dir, name, access, modification))
}

func openClose(dir int, name string, flags int) error {
	fd, err := openAt(dir, name, flags|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	return scratchError(name, sys.Close(fd))
}

// truncateSetuid makes a record with both Modify and Attrib: truncating a set-user-ID file
// also clears that bit, unless the thread has CAP_FSETID.
func truncateSetuid(dir int, name string) error {
	if err := sys.Fchmodat(dir, name, 0o4700); err != nil {
		return scratchError(name, err)
	}
	fd, err := openAt(dir, name, unix.O_WRONLY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	err = sys.WithoutFsetid(func() error { return sys.Truncate(fd) })
	return scratchError(name, errors.Join(err, sys.Close(fd)))
}
