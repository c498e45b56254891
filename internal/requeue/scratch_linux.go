// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify/internal/sys"
)

// A scratch is the directory for scratch files.
type scratch struct {
	fd   int
	path string // or "" if it is mounted nowhere
}

// newScratch makes the directory: in below, or, if that is "", in a mount of its own, or,
// where that is not allowed, in a temporary directory.
func newScratch(below string) (scratch, error) {
	if below != "" {
		return scratchBelow(below)
	}
	fd, err := newMount()
	if err == nil {
		return scratch{fd: fd}, nil
	}
	errs := []error{err}
	for _, dir := range temporaryDirs() {
		s, err := scratchBelow(dir)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return scratch{}, errors.Join(errs...)
}

func temporaryDirs() []string {
	if os.Getenv("TMPDIR") != "" {
		return []string{os.TempDir()}
	}
	return []string{"/dev/shm", os.TempDir()}
}

func scratchBelow(dir string) (scratch, error) {
	path, err := os.MkdirTemp(dir, "inotify-requeue-"+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return scratch{}, fmt.Errorf("scratch directory: %w", err)
	}
	fd, err := openAt(unix.AT_FDCWD, path, unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return scratch{}, errors.Join(err, os.Remove(path))
	}
	return scratch{fd, path}, nil
}

// newMount makes a tmpfs that is mounted nowhere. It ends when its last descriptor is closed.
func newMount() (mount int, err error) {
	var config int
	err = sys.Retry(func() (err error) {
		config, err = unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(config)
	if err := sys.Retry(func() error { return unix.FsconfigCreate(config) }); err != nil {
		return -1, fmt.Errorf("fsconfig FSCONFIG_CMD_CREATE tmpfs: %w", err)
	}
	err = sys.Retry(func() (err error) {
		mount, err = unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	return mount, nil
}

// canMount returns whether newMount is allowed and supported. It fails if that is unknown, for
// example because there is no free descriptor.
func canMount() (bool, error) {
	fd, err := newMount()
	switch {
	case err == nil:
		unix.Close(fd)
		return true, nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENODEV):
		return false, nil
	}
	return false, err
}

// remove removes the directory and what is in it. The descriptor may be closed by then.
func (s scratch) remove() error {
	if s.path == "" {
		return nil
	}
	if err := os.RemoveAll(s.path); err != nil {
		return fmt.Errorf("scratch directory: %w", err)
	}
	return nil
}

// procPath is the path of a name below an open directory.
func procPath(fd int, name string) string { return sys.ProcFD(fd) + "/" + name }

// The system calls below are repeated if a signal interrupts them.

func callError(call, name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s scratch %q: %w", call, name, err)
	}
	return nil
}

func openAt(dir int, name string, flags int) (fd int, err error) {
	err = sys.Retry(func() (err error) {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0o600)
		return err
	})
	return fd, callError("openat", name, err)
}

// create makes a file or a directory.
func create(dir int, name string, isDir bool) error {
	if isDir {
		return callError("mkdirat", name, sys.Retry(func() error { return unix.Mkdirat(dir, name, 0o700) }))
	}
	return callError("mknodat", name, sys.Retry(func() error { return unix.Mknodat(dir, name, unix.S_IFREG|0o600, 0) }))
}

func remove(dir int, name string, isDir bool) error {
	flags := 0
	if isDir {
		flags = unix.AT_REMOVEDIR
	}
	return callError("unlinkat", name, sys.Retry(func() error { return unix.Unlinkat(dir, name, flags) }))
}

func rename(dir int, from, to string) error {
	return callError("renameat", from, sys.Retry(func() error { return unix.Renameat(dir, from, dir, to) }))
}
