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

// A Supervised is a child process whose system calls its parent sees, and allows or fails, by
// seccomp's user notification (Linux 5.0; for all threads of a process 5.7). The calls that the Go
// runtime makes for itself are exempt, so a test sees all calls of the tested code and no others.
//
// The child runs Serve. Only calls inside Traced are recorded and subject to rules.
type Supervised struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Reader
	listener int
	shut     int      // replaces descriptors whose close was made to fail
	mem      *os.File // the child's memory
	ended    chan struct{}

	mu     sync.Mutex
	rules  []Rule
	inside bool
	calls  []Call
	met    []int // how many calls each rule was for
	hits   []int // how many calls each rule applied to
}

// A Rule makes calls fail or take long.
type Rule struct {
	For   func(*Call) bool
	Skip  int // how many calls are allowed first
	Count int // how many calls then fail; 0 is all
	Errno unix.Errno
	Delay time.Duration // before the call fails, or is made if Errno is 0
}

// A Report is the result of a request.
type Report struct {
	Calls  []Call // in order, with those that failed by a rule
	Hits   []int  // how many calls each rule applied to
	Answer string // of the child
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

// Arguments of getpgid, which the library does not call, that mark where tracing begins and ends.
// No process has these pids.
const (
	windowBegins = 0x7fff0001
	windowEnds   = 0x7fff0002
)

// Supervise starts the command, whose program must call Serve. It skips the test if the kernel
// lacks what that needs.
func Supervise(t testing.TB, cmd *exec.Cmd) *Supervised {
	t.Helper()
	if len(shapes) == 0 {
		t.Skipf("this needs the system call numbers of %s, which are not listed", runtime.GOARCH)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skip("this needs a pair of sockets: ", err)
	}
	childSocket := os.NewFile(uintptr(pair[1]), "child's socket")
	defer unix.Close(pair[0])
	cmd.ExtraFiles = []*os.File{childSocket}
	// Otherwise the runtime would send signals, read files of cgroups and name its memory.
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
	childSocket.Close()
	if err != nil {
		t.Skip("this needs to start a child process: ", err)
	}
	t.Cleanup(s.end)
	if s.listener, err = receiveListener(pair[0]); err != nil {
		close(s.ended)
		t.Skip("this needs a child under seccomp's user notification: ", err)
	}
	if s.mem, err = os.Open(fmt.Sprintf("/proc/%d/mem", cmd.Process.Pid)); err == nil {
		s.shut, err = unix.MemfdCreate(shutName, unix.MFD_CLOEXEC)
	}
	// Faster: the two threads run on one processor (Linux 6.6).
	unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	go s.answerAll()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shutName is the name of the memory file that replaces descriptors whose close failed.
const shutName = "closed-with-an-error"

// receiveListener receives the descriptor that Serve sends, or the reason of SkipParent.
func receiveListener(socket int) (int, error) {
	var text [200]byte
	oob := make([]byte, unix.CmsgSpace(4))
	var n, noob int
	var err error
	for {
		n, noob, _, _, err = unix.Recvmsg(socket, text[:], oob, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:noob])
	if err != nil || len(messages) == 0 {
		return -1, errors.Join(err, fmt.Errorf("%s", text[:n]))
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

// Run sends the child a request, with rules for its system calls, and waits for the answer. A child
// that does not answer within a minute, or ten if tests are slow, prints its stacks and ends.
func (s *Supervised) Run(request string, rules ...Rule) (Report, error) {
	s.mu.Lock()
	s.rules, s.calls = rules, nil
	s.met, s.hits = make([]int, len(rules)), make([]int, len(rules))
	s.mu.Unlock()
	timeout := time.Minute
	if slow() {
		timeout *= 10
	}
	quit := time.AfterFunc(timeout, func() { s.cmd.Process.Signal(unix.SIGQUIT) })
	defer quit.Stop()
	if _, err := fmt.Fprintln(s.in, request); err != nil {
		return Report{}, err
	}
	answer, err := s.out.ReadString('\n')
	if err != nil {
		return Report{}, fmt.Errorf("no answer from the child: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Report{Calls: s.calls, Hits: s.hits, Answer: strings.TrimSuffix(answer, "\n")}, nil
}

// answerAll answers the child's calls until it has ended.
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

// answer answers a call. A call that a signal interrupts is made again, and is recorded only when it
// was answered.
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
	if call.byRuntime {
		s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
		return
	}
	rule, met := s.rule(&call)
	if rule < 0 || s.rules[rule].Delay == 0 {
		s.finish(n, call, rule, met)
		return
	}
	delay, at := s.rules[rule].Delay, time.Now()
	go func() { // so that calls of other threads are answered
		time.Sleep(delay - 2*time.Millisecond)
		for time.Since(at) < delay { // a sleep would be too long
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.finish(n, call, rule, met)
	}()
}

// finish answers a call according to the rule, if one applies, and records it.
func (s *Supervised) finish(n *notification, call Call, rule int, met []int) {
	r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if rule >= 0 {
		call.Errno = s.rules[rule].Errno
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
	if rule >= 0 {
		s.hits[rule]++
	}
}

// rule returns the rule that applies to a call, or -1, and all rules up to it that are for the call.
func (s *Supervised) rule(c *Call) (rule int, met []int) {
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

// shutDescriptor closes the descriptor of a close that fails, as Linux does whatever it returns. A
// file named shutName takes its place, so that the child notices if it is closed again.
func (s *Supervised) shutDescriptor(n *notification) {
	a := addition{id: n.id, flags: unix.SECCOMP_ADDFD_FLAG_SETFD, from: uint32(s.shut), to: uint32(n.args[0]), mode: unix.O_CLOEXEC}
	s.ioctl(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a))
}

// removeWatch removes the watch of an inotify_rm_watch that fails with EINVAL, as if its file had
// been removed just before.
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

// SkipParent lets the parent skip its test, with the reason why. The child calls it instead of
// Serve.
func SkipParent(why error) error {
	_, err := unix.Write(socket, []byte(why.Error()))
	return errors.Join(why, err)
}

// Serve is the child's side: it lets its parent supervise its system calls, and answers each line
// that it reads with a line.
func Serve(answer func(request string) string) error {
	listener, err := listen()
	if err != nil {
		return SkipParent(err)
	}
	// The sendmsg call is in runtimeCalls for this.
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

// listen installs a filter on all threads of this process and returns the descriptor from which
// their calls are answered.
func listen() (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the system call number
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

// Traced runs f, whose calls the parent records and applies its rules to.
func Traced(f func()) {
	unix.RawSyscall(unix.SYS_GETPGID, windowBegins, 0, 0)
	f()
	unix.RawSyscall(unix.SYS_GETPGID, windowEnds, 0, 0)
}

// CloseShut closes the files that replaced descriptors whose close failed, and returns how many
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
