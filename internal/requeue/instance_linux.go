// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/sys"
)

// An instance is the one whose queue is filled. Its descriptor is read directly and not by
// n's methods, so that no junk record gets into n's buffer.
type instance struct{ n *inotify.Inotify }

// check returns why the instance cannot be used as it is, or nil.
func (in instance) check() error {
	if err := in.checkFlags(); err != nil {
		return err
	}
	if err := in.checkWatches(); err != nil {
		return err
	}
	buffered, err := in.n.Buffered()
	if err != nil {
		return err
	}
	queued, err := in.queued()
	if err != nil {
		return err
	}
	if buffered+queued > 0 {
		return fmt.Errorf("the instance has unread events (%d bytes)", max(buffered, queued))
	}
	return nil
}

func (in instance) checkWatches() error {
	return in.eachWatch(func(wd inotify.WD) error { return fmt.Errorf("the instance has watches (wd %d)", wd) })
}

// eachWatch calls f for each watch in the instance's fdinfo until f returns an error, and
// returns that. It does not use Inotify.Watches, which also checks, on another instance,
// whether the kernel lists watches at all: each kernel that has the ioctl does.
func (in instance) eachWatch(f func(inotify.WD) error) error {
	var list *os.File
	if err := sys.Control(in.n, func(fd int) (err error) {
		list, err = sys.OpenFDInfo(fd)
		return err
	}); err != nil {
		return fmt.Errorf("open fdinfo: %w", err)
	}
	defer list.Close()
	for w, err := range fdinfo.Watches(list) {
		if err != nil {
			return fmt.Errorf("list watches: %w", err)
		}
		if err := f(inotify.WD(w.WD)); err != nil {
			return err
		}
	}
	return nil
}

// lists reports whether the kernel lists a watch in fdinfo. Of a watch that is just ending
// it reports false from when the event that ends it is queued (IN_DELETE_SELF or
// IN_UNMOUNT), which is before its IN_IGNORED is (Linux 6.18).
func (in instance) lists(wd inotify.WD) (bool, error) {
	found := errors.New("found")
	err := in.eachWatch(func(w inotify.WD) error {
		if w == wd {
			return found
		}
		return nil
	})
	if err == found {
		return true, nil
	}
	return false, err
}

// checkFlags returns an error if reads would wait for records, or if a process would get a
// signal for each junk record.
func (in instance) checkFlags() error {
	var flags int
	err := sys.Control(in.n, func(fd int) (err error) {
		flags, err = sys.Status(fd)
		return err
	})
	switch {
	case err != nil:
		return err
	case flags&unix.O_NONBLOCK == 0:
		return errors.New("the descriptor is in blocking mode: set O_NONBLOCK first")
	case flags&unix.O_ASYNC != 0:
		return errors.New("the descriptor has O_ASYNC, which would send a signal for each junk record: clear it first")
	}
	return nil
}

// add adds a watch under a wd.
func (in instance) add(wd inotify.WD, path string, mask inotify.Mask) error {
	if err := in.n.SetNextWD(wd); err != nil {
		return fmt.Errorf("add scratch watch %d: %w", wd, err)
	}
	got, err := in.n.AddWatch(path, mask)
	if err != nil {
		return fmt.Errorf("add scratch watch %d: %w", wd, err)
	}
	if got == wd {
		return nil
	}
	return errors.Join(fmt.Errorf("add scratch watch %d: inotify_add_watch gave wd %d", wd, got), in.remove(got))
}

// setMask changes the mask of a watch.
func (in instance) setMask(wd inotify.WD, path string, mask inotify.Mask) error {
	got, err := in.n.AddWatch(path, mask)
	if err == nil && got != wd {
		err = errors.Join(fmt.Errorf("inotify_add_watch gave wd %d", got), in.remove(got))
	}
	if err != nil {
		return fmt.Errorf("set the mask of scratch watch %d: %w", wd, err)
	}
	return nil
}

func (in instance) remove(wd inotify.WD) error { return in.n.RemoveWatch(wd) }

// queued returns how many bytes the kernel's queue has. The kernel adds up all records for
// that, which takes 0.4 ms if the queue is full.
func (in instance) queued() (bytes int, err error) {
	err = sys.Control(in.n, func(fd int) (err error) {
		bytes, err = sys.Queued(fd)
		return err
	})
	return bytes, err
}

// wantQueued fails with a *sizeError if the queue has not so many bytes.
func (in instance) wantQueued(want int) error {
	have, err := in.queued()
	if err == nil && have != want {
		err = &sizeError{have, want}
	}
	return err
}

// A sizeError says that the queue has another size than the records that were made.
type sizeError struct{ have, want int }

func (e *sizeError) Error() string {
	return fmt.Sprintf("the queue has %d bytes (ioctl FIONREAD), want %d", e.have, e.want)
}

// read reads records into buf, and returns how many bytes these take: 0 if there are none.
// It does not wait for records, or not for long: see waker. It returns errWoken if the queue
// was empty for too long, and may then have a record of the waker.
func (in instance) read(buf []byte) (n int, err error) {
	w := newWaker(in)
	err = sys.Control(in.n, func(fd int) error {
		var e sys.Errno
		n, e = sys.Read(fd, buf)
		return errorOf(e)
	})
	switch woken := w.stop(); {
	case err != nil && !errors.Is(err, sys.EAGAIN):
		return n, fmt.Errorf("read: %w", err)
	case woken:
		return n, errWoken
	}
	return n, nil
}

var errWoken = errors.New("read: the queue was empty for too long: another process may have read it")

// errorOf returns nil for 0.
func errorOf(e sys.Errno) error {
	if e == sys.OK {
		return nil
	}
	return e
}

// A waker ends a read that sleeps. A read sleeps only if another holder of the instance has
// cleared O_NONBLOCK and emptied the queue, against what Fill asks for. That cannot be
// excluded: read(2) takes the flag from the description, which all holders share, and an
// inotify instance does not support RWF_NOWAIT (EOPNOTSUPP on Linux 6.18). So the waker queues
// an IN_IGNORED, which is then one record too many: the fill fails, as it must in that case.
// If the user may have no further watch, the read sleeps on.
type waker struct {
	in    instance
	timer *time.Timer

	mu      sync.Mutex
	stopped bool
	woke    bool // it has queued a record
}

// sleepTime is how long a read takes before the waker checks the queue.
const sleepTime = 200 * time.Millisecond

func newWaker(in instance) *waker {
	w := &waker{in: in}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(sleepTime, w.wake)
	return w
}

func (w *waker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	defer w.timer.Reset(sleepTime) // another reader may take this record, too
	if bytes, err := w.in.queued(); err != nil || bytes > 0 {
		return // the read returns by itself
	}
	if err := w.in.setNonblock(); err != nil {
		return
	}
	if wd, err := w.in.n.AddWatch("/", inotify.DeleteSelf); err == nil {
		w.woke = true
		w.in.remove(wd)
	}
}

// stop ends the waker, and reports whether it has queued a record.
func (w *waker) stop() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
	return w.woke
}

func (in instance) setNonblock() error {
	return sys.Control(in.n, func(fd int) error { return sys.SetStatusFlag(fd, unix.O_NONBLOCK, true) })
}

// empty reads all that is in the queue.
func (in instance) empty() error {
	buf := make([]byte, bufferSize)
	for {
		n, err := in.read(buf)
		if err == errWoken {
			continue
		}
		if n <= 0 || err != nil {
			return err
		}
	}
}

const bufferSize = 1 << 16
