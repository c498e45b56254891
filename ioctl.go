// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package inotify

import (
	"context"
	"fmt"
	"os"
	"time"
)

// SetNextWD makes wd the number of the next watch that is added, if it is
// free; if not, the next free one above it. It may go up or down. It wraps
// ioctl(INOTIFY_IOC_SETNEXTWD), which needs Linux 4.17 with
// CONFIG_CHECKPOINT_RESTORE; without it the error is an [*UnsupportedError]
// and errors.Is(err, errors.ErrUnsupported) holds.
//
// It waits while a restore is under way, and for adds under way.
//
// Between SetNextWD and an [Inotify.AddWatch] another goroutine can add a watch
// and take the number; [Inotify.RestoreWatch] does both in one.
func (n *Inotify) SetNextWD(wd WD) error {
	if n.closed.Load() {
		return callError(callSetNext, os.ErrClosed)
	}
	if err := checkWD(wd); err != nil {
		return fmt.Errorf("inotify: set the next wd: %w", err)
	}
	if err := n.lockNumbers(context.Background()); err != nil {
		return callError(callSetNext, err)
	}
	defer n.unlockNumbers()
	var e errno
	if err := n.control(func(fd int) { e = sysSetNext(fd, wd) }); err != nil {
		return callError(callSetNext, err)
	}
	return setNextError(e)
}

// NextWD returns the number that the next add of a new watch will get. The
// kernel does not tell, so it is found by adding a scratch watch on a directory
// that this instance does not watch, and put back with INOTIFY_IOC_SETNEXTWD;
// readers see nothing of it. If the kernel's counter stands at numbers that are
// taken, NextWD leaves it at the free one behind them.
//
// Without the ioctl the error is an [*UnsupportedError], as for
// [Inotify.SetNextWD], and nothing is changed. A [*LimitError] says that the
// user may have no more watches; the kernel has then moved the counter on by one,
// as it does for every add that fails so. Any other error tells of it if the scratch
// watch could not be removed or the number not put back.
//
// It waits while a restore is under way, and for adds under way.
func (n *Inotify) NextWD() (WD, error) {
	wd, err := n.probeNext()
	if err != nil {
		return NoWD, fmt.Errorf("inotify: find the next wd: %w", err)
	}
	return wd, nil
}

func (n *Inotify) probeNext() (wd WD, err error) {
	if n.unreadable != nil && !n.closed.Load() {
		return NoWD, n.unreadable // the scratch watch's IN_IGNORED would remain
	}
	b := batch{n: n}
	defer b.unlock()
	if err := b.lock(context.Background()); err != nil {
		return NoWD, err
	}
	c := b.newClimb()
	defer c.release()
	// Every absolute path begins there, so no other inode waits for less. To learn which
	// of scratchPaths can be used takes longer than all the rest.
	c.own.paths = append(c.own.paths, ownPath("/"))
	err = n.stage(func(fd int) (err error) {
		if e := sysSetNext(fd, 0); e != eINVAL {
			return setNextError(e)
		}
		if n.queue.buffered() > maxPutBy {
			return errPutBy
		}
		if c.from, err = n.queue.end(fd); err == nil {
			wd, err = c.probe(fd)
		}
		return join(err, n.queue.sweep(fd))
	})
	return wd, err
}

// probe adds and removes one scratch watch and sets the counter back to its
// number. It is run by stage.
func (c *climb) probe(fd int) (WD, error) {
	var none error
	for len(c.own.given) == 0 {
		if len(c.own.paths) == 0 && none == nil {
			if none = c.lastResort(); none != nil { // as without /proc
				dirs, _, _ := scratchDirs(2 * groupSteps)
				for _, dir := range dirs {
					c.own.paths = append(c.own.paths, ownPath(dir))
				}
				c.mask |= DontFollow
			}
		}
		if len(c.own.paths) == 0 {
			return NoWD, none
		}
		if c.own.add(fd, 1, time.Now()); c.own.full != nil {
			return NoWD, c.own.full
		}
	}
	own := c.own.given
	c.b.n.queue.expect(own...)
	err := c.b.n.removeOwn(fd, own)
	if e := sysSetNext(fd, own[0].wd); e != 0 {
		err = join(err, fmt.Errorf("the next wd has moved on by one: %w", setNextError(e)))
	}
	return own[0].wd, err
}

// SupportsSetNextWD reports whether [Inotify.SetNextWD] works here, by asking
// the kernel for number 0, which it refuses without changing anything. It is
// false after Close.
func (n *Inotify) SupportsSetNextWD() bool {
	e := eNOSYS
	if err := n.control(func(fd int) { e = sysSetNext(fd, 0) }); err != nil {
		return false
	}
	return e == success || e == eINVAL
}

// Buffered returns how many bytes of event records a reader would find without
// waiting: those read ahead or put by here, and those in the kernel's queue
// (ioctl FIONREAD). A record takes 16 bytes and, if it has a name, the name
// with its final NUL, rounded up to a multiple of 16. After a restore that failed,
// bytes that no reader will see can be counted too, until what is before them was
// read.
func (n *Inotify) Buffered() (int, error) {
	n.lockQueue()
	defer n.unlockQueue()
	var queued int
	var e errno
	if err := n.control(func(fd int) { queued, e = sysQueued(fd) }); err != nil {
		return 0, callError(callQueued, err)
	}
	if e != success {
		return 0, callError(callQueued, e)
	}
	return n.queue.buffered() + max(0, queued-n.queue.unwanted()), nil
}

func checkWD(wd WD) error {
	if wd < 1 {
		return fmt.Errorf("wd %d is not in 1 to %d: %w", wd, maxWD, eINVAL)
	}
	return nil
}

// setNextError explains the errno of INOTIFY_IOC_SETNEXTWD, asked for a number
// in range. ENOTTY: the kernel has no such ioctl (gVisor too); ENOSYS:
// qemu-user; EPERM: a seccomp profile.
func setNextError(e errno) error {
	switch e {
	case success:
		return nil
	case eNOTTY, eNOSYS, ePERM:
		return callError(callSetNext, &UnsupportedError{
			Feature: "setting the next watch descriptor",
			Needs:   "Linux 4.17 with CONFIG_CHECKPOINT_RESTORE",
			Err:     e,
		})
	}
	return callError(callSetNext, e)
}
