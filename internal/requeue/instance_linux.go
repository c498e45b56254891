// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/sys"
)

// An instance is the one whose queue is filled. Its queue is read here only, and past the
// buffer of n, so that no reader gets a junk record.
type instance struct {
	n    *inotify.Inotify
	conn syscall.RawConn
}

func newInstance(n *inotify.Inotify) (instance, error) {
	conn, err := n.SyscallConn()
	return instance{n, conn}, err
}

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

// checkWatches is without Inotify.Watches, which looks on another instance whether the kernel
// lists any: all that have the ioctl do.
func (in instance) checkWatches() error {
	var list *os.File
	err := in.call("open fdinfo", func(fd int) (err error) {
		list, err = sys.OpenFDInfo(fd)
		return err
	})
	if err != nil {
		return err
	}
	defer list.Close()
	for w, err := range fdinfo.Watches(list) {
		if err != nil {
			return fmt.Errorf("list watches: %w", err)
		}
		return fmt.Errorf("the instance has watches (wd %d)", w.WD)
	}
	return nil
}

// checkFlags sees to it that no read waits, and that no process gets a signal for each
// junk record.
func (in instance) checkFlags() error {
	var flags int
	err := in.call("fcntl F_GETFL", func(fd int) (err error) {
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return err
	})
	switch {
	case err != nil:
		return err
	case flags&unix.O_NONBLOCK == 0:
		return errors.New("the descriptor is in blocking mode: set O_NONBLOCK meanwhile")
	case flags&unix.O_ASYNC != 0:
		return errors.New("the descriptor has O_ASYNC, which would send a signal for each junk record: take it off meanwhile")
	}
	return nil
}

// call makes a system call with the descriptor, again if a signal interrupts it.
func (in instance) call(name string, f func(fd int) error) error {
	var err error
	cerr := in.conn.Control(func(fd uintptr) { err = retry(func() error { return f(int(fd)) }) })
	if cerr != nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// retry calls f again as long as a signal interrupts it.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// add adds a watch under a wd.
func (in instance) add(wd inotify.WD, path string, mask inotify.Mask) error {
	if err := in.n.SetNextWD(wd); err != nil {
		return fmt.Errorf("scratch watch %d: %w", wd, err)
	}
	got, err := in.n.AddWatch(path, mask)
	if err != nil {
		return fmt.Errorf("scratch watch %d: %w", wd, err)
	}
	if got == wd {
		return nil
	}
	return errors.Join(fmt.Errorf("scratch watch %d: inotify_add_watch gave wd %d", wd, got), in.remove(got))
}

// setMask changes what a watch watches for.
func (in instance) setMask(wd inotify.WD, path string, mask inotify.Mask) error {
	got, err := in.n.AddWatch(path, mask)
	if err == nil && got != wd {
		err = errors.Join(fmt.Errorf("inotify_add_watch gave wd %d", got), in.remove(got))
	}
	if err != nil {
		return fmt.Errorf("mask of scratch watch %d: %w", wd, err)
	}
	return nil
}

func (in instance) remove(wd inotify.WD) error { return in.n.RemoveWatch(wd) }

// queued returns how many bytes the kernel's queue has. The kernel goes through all of it
// for that, which takes 0.4 ms where it is full.
func (in instance) queued() (bytes int, err error) {
	err = in.call("ioctl FIONREAD", func(fd int) (err error) {
		bytes, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
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

// A sizeError says that the queue has not what was made.
type sizeError struct{ have, want int }

func (e *sizeError) Error() string {
	return fmt.Sprintf("the queue has %d bytes (ioctl FIONREAD), want %d", e.have, e.want)
}

// read reads records into buf, and returns how many bytes these take: 0 if there are none.
func (in instance) read(buf []byte) (n int, err error) {
	err = in.call("read", func(fd int) (err error) {
		n, err = unix.Read(fd, buf)
		return err
	})
	if errors.Is(err, unix.EAGAIN) {
		return 0, nil
	}
	return n, err
}

// empty reads all that is in the queue.
func (in instance) empty() error {
	buf := make([]byte, bufferSize)
	for {
		if n, err := in.read(buf); n <= 0 || err != nil {
			return err
		}
	}
}

const bufferSize = 1 << 16
