// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A process is pinned: another that gets its number later is never read in its
// place. Reading its /proc directory then fails with ESRCH, and so do calls on
// the pidfd.
type process struct {
	pid   int
	dir   *os.File // /proc/PID, O_PATH
	pidfd int      // -1 where the kernel has none (before 5.3)
	none  error    // why pidfd is -1
}

// pin opens the process. It must be closed.
func pin(pid int) (*process, error) { return pinTask(pid, 0) }

// pinTask opens a process or, with pidfdThread (Linux 6.9), a thread. Its /proc/TID has the
// thread's own descriptors, root directory and the like, and all threads of the process. It
// must be closed.
func pinTask(pid, flags int) (*process, error) {
	if pid <= 0 {
		return nil, errors.New("a process's number is positive")
	}
	p := &process{pid: pid, pidfd: -1}
	// The pidfd first: so long as it has a process, the pid is that one's.
	pidfd, err := unix.PidfdOpen(pid, flags)
	switch {
	case err == nil:
		p.pidfd = pidfd
	case errors.Is(err, unix.ESRCH):
		return nil, fmt.Errorf("there is no such process: %w", err)
	case !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) && (flags == 0 || !errors.Is(err, unix.EINVAL)):
		return nil, os.NewSyscallError("pidfd_open", err)
	default:
		p.none = os.NewSyscallError("pidfd_open", err)
	}
	if err = p.checkNamespace(); err == nil {
		p.dir, err = openPath("/proc/" + strconv.Itoa(pid))
	}
	if err == nil {
		err = p.alive()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// pinSelf opens this process, also where /proc is of another pid namespace. It must be
// closed.
func pinSelf() (*process, error) {
	dir, err := openPath("/proc/self")
	if err != nil {
		return nil, err
	}
	return &process{pid: os.Getpid(), pidfd: -1, none: errors.ErrUnsupported, dir: dir}, nil
}

// checkNamespace returns an error unless the process's pid is the same in /proc. Its pidfd's
// fdinfo has the pid there, 0 for none, and -1 once the process was reaped (Linux 5.3).
func (p *process) checkNamespace() error {
	if p.pidfd < 0 {
		return checkOwnNamespace()
	}
	pids, err := procPIDs("fdinfo/"+strconv.Itoa(p.pidfd), "Pid:")
	switch {
	case err != nil || len(pids) == 0:
		return err
	case pids[0] == strconv.Itoa(p.pid):
		return nil
	case pids[0] == "-1":
		return fmt.Errorf("it has ended: %w", unix.ESRCH)
	case pids[0] == "0":
		return fmt.Errorf("%w: process %d is not in it", ErrOtherNamespace, p.pid)
	}
	return fmt.Errorf("%w: process %d is %s there", ErrOtherNamespace, p.pid, pids[0])
}

// checkOwnNamespace returns an error unless /proc is of this process's own pid namespace.
// NSpid lists its pid in that of /proc and in each below, down to its own (Linux 4.1).
func checkOwnNamespace() error {
	pids, err := procPIDs("status", "NSpid:")
	if err == nil && len(pids) > 1 {
		return fmt.Errorf("%w: this process, %s, is %s there", ErrOtherNamespace, pids[len(pids)-1], pids[0])
	}
	return err
}

// procPIDs returns the pids in the line of a file of /proc/self that begins with key, none
// if there is no such line.
func procPIDs(name, key string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/" + name)
	if err != nil {
		if _, lerr := os.Readlink("/proc/self"); errors.Is(lerr, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: this process is not in it", ErrOtherNamespace)
		}
		return nil, err
	}
	_, rest, _ := strings.Cut("\n"+string(text), "\n"+key)
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Fields(line), nil
}

func openPath(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY, 0)
}

func (p *process) close() {
	if p.dir != nil {
		p.dir.Close()
	}
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
	}
}

// alive returns an error if the process has ended, and its number may be
// another's.
func (p *process) alive() error {
	if p.pidfd >= 0 {
		err := unix.PidfdSendSignal(p.pidfd, 0, nil, 0)
		if errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("it has ended: %w", err)
		}
		if err == nil || errors.Is(err, unix.EPERM) {
			return nil
		}
	}
	if _, err := p.read("status"); err != nil {
		return fmt.Errorf("it has ended: %w", err)
	}
	return nil
}

// open opens a file of the process's /proc directory.
func (p *process) open(name string) (*os.File, error) {
	fd, err := unix.Openat(int(p.dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p.path(name), Err: err}
	}
	return os.NewFile(uintptr(fd), p.path(name)), nil
}

func (p *process) path(name string) string { return fmt.Sprintf("/proc/%d/%s", p.pid, name) }

func (p *process) read(name string) ([]byte, error) {
	f, err := p.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// names lists a directory of the process's.
func (p *process) names(dir string) ([]string, error) {
	f, err := p.open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// isInotify reports whether a descriptor of the process is an instance's. It may never
// return, unless the process is this one: see package abandon.
func (p *process) isInotify(fd int) (bool, error) {
	return p.isInotifyLink("fd/" + strconv.Itoa(fd))
}

// isInotifyLink reports whether a link of the process's, like fd/3, is an instance's. It may
// never return, too.
// gVisor's are like "anon_inode:[inotifyfd:1]".
func (p *process) isInotifyLink(name string) (bool, error) {
	var buf [64]byte
	n, err := unix.Readlinkat(int(p.dir.Fd()), name, buf[:])
	if err != nil {
		return false, &fs.PathError{Op: "readlink", Path: p.path(name), Err: err}
	}
	link := string(buf[:n])
	return link == "anon_inode:inotify" || strings.HasPrefix(link, "anon_inode:[inotifyfd"), nil
}

// duplicate returns a duplicate of the process's descriptor (pidfd_getfd, Linux
// 5.6). While it is open, the instance lives on whatever the process does, and
// the process gets epoll events for it after closing its own. It may never return: see
// package abandon.
func (p *process) duplicate(fd int) (*os.File, error) {
	if p.pidfd < 0 {
		return nil, fmt.Errorf("duplicating the descriptor needs a pidfd (Linux 5.6): %w", p.none)
	}
	dup, err := unix.PidfdGetfd(p.pidfd, fd, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_getfd", err)
	}
	return os.NewFile(uintptr(dup), "inotify"), nil
}

// hasThread reports whether id is one of the process's threads.
func (p *process) hasThread(id int) bool {
	_, err := p.read("task/" + strconv.Itoa(id) + "/status")
	return err == nil
}

// Of include/uapi/linux/kcmp.h: KCMP_FILE compares descriptions, KCMP_FILES tables
// of descriptors.
const (
	kcmpFile  = 0
	kcmpFiles = 2
)

// compareFiles orders two descriptors by their file descriptions: 0 if they are the same
// one, else -1 or 1. It may never return: see package abandon.
func compareFiles(a, b Descriptor) (int, error) {
	return kcmp(kcmpFile, cmp.Or(a.TID, a.PID), cmp.Or(b.TID, b.PID), a.FD, b.FD)
}

// kcmp is kcmp(2) of two threads, of a kernel with CONFIG_KCMP. It returns 0 if both are
// the same, else -1 or 1, by an order that holds until the next boot.
func kcmp(kind, tid1, tid2, fd1, fd2 int) (int, error) {
	order, _, e := unix.Syscall6(unix.SYS_KCMP, uintptr(tid1), uintptr(tid2), uintptr(kind), uintptr(fd1), uintptr(fd2), 0)
	switch {
	case e != 0:
		return 0, os.NewSyscallError("kcmp", e)
	case order == 1:
		return -1, nil
	case order == 0:
		return 0, nil
	}
	return 1, nil
}
