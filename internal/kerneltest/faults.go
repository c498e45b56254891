// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Supervised is a child process whose system calls go past its parent, which
// lets each be made or has it fail: seccomp's user notification (Linux 5.0; for all
// threads of a process 5.7). Only the calls that the Go runtime makes for itself
// are let through unseen. So what a test counts, and fails, is all that the tested
// code asks of the kernel.
//
// The child runs Obey. What it does inside Watched is looked at.
type Supervised struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Reader
	listener int
	shut     int      // what takes the place of a descriptor whose close was failed
	mem      *os.File // the child's memory
	ended    chan struct{}

	mu     sync.Mutex
	rules  []Rule
	inside bool
	calls  []Call
	met    []int // for each rule, how many calls it was for
	hits   []int // and how many it failed
}

// A Rule has calls fail, or take long.
type Rule struct {
	For   func(*Call) bool
	Skip  int // how many of those are let through first
	Count int // how many then fail; 0 is all
	Errno unix.Errno
	Delay time.Duration // before the call is answered, or made if Errno is 0
}

// A Report tells what a request came to.
type Report struct {
	Calls  []Call // in their order, those that were failed included
	Hits   []int  // how many calls each rule failed
	Answer string // what the child said
}

// struct seccomp_notif, seccomp_notif_resp and seccomp_notif_addfd of
// include/uapi/linux/seccomp.h.
type notification struct {
	id    uint64
	tid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

type addition struct {
	id    uint64
	flags uint32
	from  uint32
	to    uint32
	mode  uint32
}

// Numbers that no process and no group has, for a call that the library does not
// make: they tell where what is looked at begins and ends.
const (
	windowBegins = 0x7fff0001
	windowEnds   = 0x7fff0002
)

// Supervise starts the command, whose program must call Obey, or skips the test
// where the kernel lacks what it takes.
func Supervise(t testing.TB, cmd *exec.Cmd) *Supervised {
	t.Helper()
	if len(shapes) == 0 {
		t.Skipf("this needs the numbers of the system calls of %s, which are not listed", runtime.GOARCH)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skip("this needs a pair of sockets: ", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "their socket")
	defer unix.Close(pair[0])
	cmd.ExtraFiles = []*os.File{theirs}
	// The runtime would send signals, read files of cgroups and name its memory.
	cmd.Env = append(cmd.Environ(), "GODEBUG=asyncpreemptoff=1,updatemaxprocs=0,containermaxprocs=0,decoratemappings=0")
	s := &Supervised{cmd: cmd, listener: -1, shut: -1, ended: make(chan struct{})}
	if s.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	cmd.Stderr = os.Stderr
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Skip("this needs to start a process so: ", err)
	}
	t.Cleanup(s.end)
	if s.listener, err = receiveListener(pair[0]); err != nil {
		close(s.ended)
		t.Skip("this needs a child under seccomp's user notification: ", err)
	}
	if s.mem, err = os.Open(fmt.Sprintf("/proc/%d/mem", cmd.Process.Pid)); err == nil {
		s.shut, err = unix.MemfdCreate(shutName, unix.MFD_CLOEXEC)
	}
	// The two threads are better woken on one processor (Linux 6.6).
	unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	go s.answerAll()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shutName is the name of the memory file that stands where a descriptor was.
const shutName = "closed-with-an-error"

// receiveListener takes what Obey sends.
func receiveListener(socket int) (int, error) {
	var said [200]byte
	oob := make([]byte, unix.CmsgSpace(4))
	var n, noob int
	var err error
	for {
		n, noob, _, _, err = unix.Recvmsg(socket, said[:], oob, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:noob])
	if err != nil || len(messages) == 0 {
		return -1, errors.Join(err, fmt.Errorf("the child said %q", said[:n]))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

func (s *Supervised) end() {
	s.in.Close()
	s.cmd.Wait()
	<-s.ended
	for _, fd := range []int{s.listener, s.shut} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if s.mem != nil {
		s.mem.Close()
	}
}

// Run has the child do what the request says, under rules. A child that says
// nothing for a minute, or ten on a slow kernel, shows where it hangs, and ends.
func (s *Supervised) Run(request string, rules ...Rule) (Report, error) {
	s.mu.Lock()
	s.rules, s.calls = rules, nil
	s.met, s.hits = make([]int, len(rules)), make([]int, len(rules))
	s.mu.Unlock()
	patience := time.Minute
	if slow() {
		patience *= 10
	}
	hangs := time.AfterFunc(patience, func() { s.cmd.Process.Signal(unix.SIGQUIT) })
	defer hangs.Stop()
	if _, err := fmt.Fprintln(s.in, request); err != nil {
		return Report{}, err
	}
	answer, err := s.out.ReadString('\n')
	if err != nil {
		return Report{}, fmt.Errorf("the child said nothing: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Report{Calls: s.calls, Hits: s.hits, Answer: strings.TrimSuffix(answer, "\n")}, nil
}

// answerAll answers every call, until the child has ended.
func (s *Supervised) answerAll() {
	defer close(s.ended)
	for {
		ready := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err != nil && err != unix.EINTR {
			return
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			if ready[0].Revents != 0 {
				return
			}
			continue
		}
		var n notification
		if e := s.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); e == 0 {
			s.answer(&n)
		}
	}
}

func (s *Supervised) ioctl(request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), request, uintptr(arg))
	return e
}

// answer answers a call. One that a signal interrupts comes again, and counts only
// when it was answered.
func (s *Supervised) answer(n *notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if n.nr == unix.SYS_GETPGID && (n.args[0] == windowBegins || n.args[0] == windowEnds) {
		r.flags = 0
		if s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) == 0 {
			s.inside = n.args[0] == windowBegins
		}
		return
	}
	if !s.inside {
		s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
		return
	}
	call := s.describe(n)
	if call.runtimes {
		s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
		return
	}
	ruling, met := s.rule(&call)
	if ruling < 0 || s.rules[ruling].Delay == 0 {
		s.finish(n, call, ruling, met)
		return
	}
	delay, at := s.rules[ruling].Delay, time.Now()
	go func() { // other threads go on
		time.Sleep(delay - 2*time.Millisecond)
		for time.Since(at) < delay { // no sleep is that short
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.finish(n, call, ruling, met)
	}()
}

// finish answers a call as the rule says, if there is one.
func (s *Supervised) finish(n *notification, call Call, ruling int, met []int) {
	r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if ruling >= 0 {
		call.Errno = s.rules[ruling].Errno
	}
	if call.Errno != 0 {
		r.flags, r.errno = 0, -int32(call.Errno)
		switch {
		case call.Name == "close":
			s.shutDescriptor(n)
		case call.Name == "inotify_rm_watch" && call.Errno == unix.EINVAL:
			s.removeWatch(n)
		}
	}
	if s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) != 0 {
		return
	}
	s.calls = append(s.calls, call)
	for _, i := range met {
		s.met[i]++
	}
	if ruling >= 0 {
		s.hits[ruling]++
	}
}

// rule returns the rule by which a call fails or takes long, or -1, and which rules the
// call is for.
func (s *Supervised) rule(c *Call) (ruling int, met []int) {
	for i, r := range s.rules {
		if !r.For(c) {
			continue
		}
		met = append(met, i)
		if at := s.met[i]; at >= r.Skip && (r.Count == 0 || at < r.Skip+r.Count) {
			return i, met
		}
	}
	return -1, met
}

// shutDescriptor closes what a close that is failed was to close: on Linux it
// always has, whatever it returns. The number stays taken, so that the child finds
// out if it is closed again.
func (s *Supervised) shutDescriptor(n *notification) {
	a := addition{id: n.id, flags: unix.SECCOMP_ADDFD_FLAG_SETFD, from: uint32(s.shut), to: uint32(n.args[0]), mode: unix.O_CLOEXEC}
	s.ioctl(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a))
}

// removeWatch removes the watch that is to be said not to be there, as what it
// watches may have gone just before.
func (s *Supervised) removeWatch(n *notification) {
	pidfd, err := unix.PidfdOpen(s.cmd.Process.Pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, int(int32(n.args[0])), 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	unix.InotifyRmWatch(fd, uint32(n.args[1]))
}

// socket is the first of ExtraFiles.
const socket = 3

// Refuse has the parent's test be skipped, with the reason why the child lacks what
// it takes. It is called instead of Obey.
func Refuse(why error) error {
	_, err := unix.Write(socket, []byte(why.Error()))
	return errors.Join(why, err)
}

// Obey is the child's side: it hands its parent the right to answer its system
// calls, and answers each line that it reads with a line.
func Obey(answer func(request string) string) error {
	listener, err := listen()
	if err != nil {
		return Refuse(err)
	}
	// The one call that is let through for this.
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return err
	}
	unix.Close(listener)
	unix.Close(socket)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(answer(lines.Text()))
	}
	return lines.Err()
}

// listen puts all threads of this process under a filter, and returns the
// descriptor from which their calls are answered.
func listen() (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the call's number
	for i, nr := range runtimeCalls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(runtimeCalls) - i), K: uint32(nr)})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("no_new_privs: %w", err)
	}
	const all = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	for _, flags := range []uintptr{all | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, all} { // the former since Linux 5.19
		fd, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
		if e == 0 {
			return int(fd), nil
		}
		if flags == all {
			return -1, os.NewSyscallError("seccomp", e)
		}
	}
	panic("not reached")
}

// Watched has the parent look at what f does.
func Watched(f func()) {
	unix.RawSyscall(unix.SYS_GETPGID, windowBegins, 0, 0)
	f()
	unix.RawSyscall(unix.SYS_GETPGID, windowEnds, 0, 0)
}

// Unwatched has the parent look away from what f does, within Watched.
func Unwatched(f func()) {
	unix.RawSyscall(unix.SYS_GETPGID, windowEnds, 0, 0)
	f()
	unix.RawSyscall(unix.SYS_GETPGID, windowBegins, 0, 0)
}

// CloseShut closes the descriptors whose close was failed, and returns how many
// there were.
func CloseShut() int {
	shut := 0
	for _, open := range OpenDescriptors() {
		var fd int
		if _, err := fmt.Sscan(open, &fd); err == nil && strings.Contains(open, shutName) {
			unix.Close(fd)
			shut++
		}
	}
	return shut
}
