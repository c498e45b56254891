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
	fd, err := sys.Tmpfs()
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

// canMount returns whether sys.Tmpfs is allowed and supported. It fails if that is unknown, for
// example because there is no free descriptor.
func canMount() (bool, error) {
	fd, err := sys.Tmpfs()
	switch {
	case err == nil:
		sys.Close(fd)
		return true, nil
	case errors.Is(err, sys.EPERM), errors.Is(err, sys.EACCES), errors.Is(err, sys.ENOSYS), errors.Is(err, sys.ENODEV):
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

// scratchError adds the name of a scratch file to an error that is not nil.
func scratchError(name string, err error) error {
	if err != nil {
		return fmt.Errorf("scratch %q: %w", name, err)
	}
	return nil
}

func openAt(dir int, name string, flags int) (fd int, err error) {
	fd, err = sys.OpenFileAt(dir, name, flags)
	return fd, scratchError(name, err)
}

// create makes a file or a directory.
func create(dir int, name string, isDir bool) error {
	if isDir {
		return scratchError(name, sys.Mkdirat(dir, name))
	}
	return scratchError(name, sys.Mknodat(dir, name))
}

func remove(dir int, name string, isDir bool) error {
	return scratchError(name, sys.Unlinkat(dir, name, isDir))
}

func rename(dir int, from, to string) error {
	return scratchError(from, sys.Renameat(dir, from, to))
}
