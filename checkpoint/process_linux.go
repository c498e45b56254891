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

	"github.com/seed10546c08/inotify/internal/fdinfo"
	"github.com/seed10546c08/inotify/internal/sys"
)

// A process is an open process, or one of its threads. After it has ended, reading its
// directory in /proc and calls on its pidfd fail with ESRCH, even if another process has
// its pid by then.
type process struct {
	pid      int
	dir      *os.File // /proc/PID, O_PATH
	pidfd    int      // -1 if it cannot be opened (before Linux 5.3)
	pidfdErr error    // why pidfd is -1
}

// openProcess opens a process, which must be closed.
func openProcess(pid int) (*process, error) { return openTask(pid, 0) }

// openTask opens a process or, with the flag sys.PidfdThread, a thread, which must be
// closed. A thread's directory /proc/TID has its own descriptors and root directory, and lists
// all threads of the process.
func openTask(pid, flags int) (*process, error) {
	if pid <= 0 {
		return nil, errors.New("pid must be positive")
	}
	p := &process{pid: pid, pidfd: -1}
	// The pidfd comes first: as long as its process lives, the pid is not reused.
	pidfd, e := sys.PidfdOpen(pid, flags)
	switch {
	case e == sys.OK:
		p.pidfd = pidfd
	case e == sys.ESRCH:
		return nil, e
	case e != sys.ENOSYS && e != sys.EPERM && (flags == 0 || e != sys.EINVAL):
		return nil, sys.CallError("pidfd_open", e)
	default:
		p.pidfdErr = sys.CallError("pidfd_open", e)
	}
	err := p.checkNamespace()
	if err == nil {
		p.dir, err = openDir("/proc/" + strconv.Itoa(pid))
	}
	if err == nil {
		err = p.checkAlive()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// openSelf opens this process, even if /proc is of another pid namespace. It must be closed.
func openSelf() (*process, error) {
	dir, err := openDir(sys.ProcSelf)
	if err != nil {
		return nil, err
	}
	return &process{pid: os.Getpid(), pidfd: -1, pidfdErr: errors.ErrUnsupported, dir: dir}, nil
}

// checkNamespace returns ErrOtherNamespace unless the process has the same pid in /proc: system
// calls use a pid of the caller's namespace, and /proc/PID is of the namespace that procfs was
// mounted in. The fdinfo of the pidfd has the pid in /proc, 0 for none, and -1 after the
// process was reaped (Linux 5.3).
func (p *process) checkNamespace() error {
	if p.pidfd < 0 {
		return checkOwnNamespace()
	}
	pids, err := procPIDs(sys.FDInfo(p.pidfd), "Pid")
	switch {
	case err != nil || len(pids) == 0:
		return err
	case pids[0] == strconv.Itoa(p.pid):
		return nil
	case pids[0] == "-1":
		return fmt.Errorf("process has ended: %w", sys.ESRCH)
	case pids[0] == "0":
		return fmt.Errorf("%w: process %d is not in it", ErrOtherNamespace, p.pid)
	}
	return fmt.Errorf("%w: process %d is %s there", ErrOtherNamespace, p.pid, pids[0])
}

// checkOwnNamespace returns ErrOtherNamespace unless /proc is of this process's pid namespace.
// NSpid lists the process's pids, from the namespace of /proc down to its own (Linux 4.1).
func checkOwnNamespace() error {
	pids, err := procPIDs(sys.ProcSelf+"/status", "NSpid")
	if err == nil && len(pids) > 1 {
		return fmt.Errorf("%w: this process, %s, is %s there", ErrOtherNamespace, pids[len(pids)-1], pids[0])
	}
	return err
}

// procPIDs returns the pids in the field with a name in a file of sys.ProcSelf, or none if
// there is no such line.
func procPIDs(file, key string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		if _, lerr := os.Readlink(sys.ProcSelf); errors.Is(lerr, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: this process is not in it", ErrOtherNamespace)
		}
		return nil, err
	}
	value, _ := fdinfo.Field(text, key)
	return strings.Fields(value), nil
}

// openDir opens a directory with sys.OPath.
func openDir(path string) (*os.File, error) {
	fd, err := sys.OpenPathDir(path)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (p *process) close() {
	if p.dir != nil {
		p.dir.Close()
	}
	if p.pidfd >= 0 {
		sys.Close(p.pidfd)
	}
}

// checkAlive returns an error if the process has ended and its pid may have been reused.
func (p *process) checkAlive() error {
	if p.pidfd >= 0 {
		switch e := sys.PidfdSignal(p.pidfd); e {
		case sys.ESRCH:
			return fmt.Errorf("process has ended: %w", e)
		case sys.OK, sys.EPERM:
			return nil
		}
	}
	if _, err := p.read("status"); err != nil {
		return fmt.Errorf("process has ended: %w", err)
	}
	return nil
}

// open opens a file in the process's directory in /proc.
func (p *process) open(name string) (*os.File, error) {
	fd, e := sys.Openat(int(p.dir.Fd()), sys.CString(name), os.O_RDONLY)
	if e != sys.OK {
		return nil, &fs.PathError{Op: "open", Path: p.path(name), Err: e}
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

// names lists a directory in the process's directory in /proc.
func (p *process) names(dir string) ([]string, error) {
	f, err := p.open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// isInotify reports whether fd is an inotify descriptor. It may never return, unless the
// process is this one: see package abandon.
func (p *process) isInotify(fd int) (bool, error) {
	return p.isInotifyLink("fd/" + strconv.Itoa(fd))
}

// isInotifyLink is isInotify for a link in the process's directory, such as fd/3. Linux has
// "anon_inode:inotify", gVisor has "anon_inode:[inotifyfd:1]".
func (p *process) isInotifyLink(name string) (bool, error) {
	var buf [64]byte
	n, e := sys.Readlink(int(p.dir.Fd()), sys.CString(name), buf[:])
	if e == sys.ENAMETOOLONG { // a file whose path is longer than a page
		return false, nil
	}
	if e != sys.OK {
		return false, &fs.PathError{Op: "readlink", Path: p.path(name), Err: e}
	}
	link := string(buf[:n])
	return link == "anon_inode:inotify" || strings.HasPrefix(link, "anon_inode:[inotifyfd"), nil
}

// duplicate returns a duplicate of a descriptor of the process (pidfd_getfd, Linux 5.6). While
// the duplicate is open, the instance exists, and the process gets epoll events for it even
// after it closed its own descriptor. duplicate may never return: see package abandon.
func (p *process) duplicate(fd int) (*os.File, error) {
	if p.pidfd < 0 {
		return nil, fmt.Errorf("duplicate the descriptor, which needs a pidfd (Linux 5.6): %w", p.pidfdErr)
	}
	dup, err := sys.PidfdGetfd(p.pidfd, fd)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(dup), "inotify"), nil
}

// hasThread reports whether id is one of the process's threads.
func (p *process) hasThread(id int) bool {
	_, err := p.read("task/" + strconv.Itoa(id) + "/status")
	return err == nil
}

// compareFiles orders two descriptors by their file descriptions: it returns 0 if these are
// the same, and -1 or 1 otherwise. It may never return: see package abandon.
func compareFiles(a, b Descriptor) (int, error) {
	return sys.Kcmp(sys.KcmpFile, cmp.Or(a.TID, a.PID), cmp.Or(b.TID, b.PID), a.FD, b.FD)
}
