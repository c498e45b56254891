// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/assign"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/sys"
)

var (
	failCalls  = kerneltest.FailCalls
	asNobody   = kerneltest.AsNobody
	newInotify = kerneltest.NewInotify
	files      = kerneltest.Files
	touch      = kerneltest.Touch
	pending    = kerneltest.Pending
	wantEvents = kerneltest.WantEvents
	wantError  = kerneltest.WantError
	hasIoctl   = kerneltest.HasIoctl
	needIoctl  = kerneltest.NeedIoctl
	needLists  = kerneltest.NeedLists
)

// TestMain also runs as the child processes that tests start. It fails the run if a descriptor
// leaked.
func TestMain(m *testing.M) {
	if name := os.Getenv("INOTIFY_TEST_CHILD"); name != "" {
		if err := children[name](); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		p.Value.Set("4") // tests mostly wait, for example for the close of an instance
	}
	os.Exit(kerneltest.Main(m, false))
}

// children are the functions that TestMain runs in a child process.
var children = map[string]func() error{
	"touch":           childTouch,
	"rename":          childRename,
	"feed":            childFeed,
	"rmdir":           childRmdir,
	"limit files":     childLimitFiles,
	"limit watches":   childLimitWatches,
	"faults":          childFaults,
	"closing":         childClosing,
	"closed rollback": childClosedRollback,
	"endings":         childEndings,
}

// child returns a command that runs a function of children in a child process.
func child(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(kerneltest.Executable(t), args...)
	cmd.Env = append(os.Environ(), "INOTIFY_TEST_CHILD="+name)
	return cmd
}

// inputEnds returns a channel that is closed when the standard input ends.
func inputEnds() <-chan struct{} {
	end := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(end)
	}()
	return end
}

// childTouch creates files in a directory, named with a prefix and a counter, until its input
// ends, and prints how many. It is not too fast, as only 16,384 events fit into the kernel's
// queue.
func childTouch() error {
	dir, prefix := os.Args[1], os.Args[2]
	stop := inputEnds()
	for i := 0; ; i++ {
		select {
		case <-stop:
			fmt.Println(i)
			return nil
		default:
		}
		if err := unix.Mknod(filepath.Join(dir, fmt.Sprint(prefix, i)), unix.S_IFREG|0o600, 0); err != nil {
			return err
		}
		if i%8 == 0 {
			time.Sleep(200 * time.Microsecond)
		}
	}
}

// childRename renames a file back and forth as fast as it can until its input ends, and prints
// how often.
func childRename() error {
	one, two := os.Args[1]+"/one", os.Args[1]+"/two"
	if err := os.WriteFile(one, nil, 0o600); err != nil {
		return err
	}
	stop := inputEnds()
	for i := 0; ; i++ {
		select {
		case <-stop:
			fmt.Println(i)
			return nil
		default:
		}
		if err := os.Rename(one, two); err != nil {
			return err
		}
		one, two = two, one
	}
}

// A childProcess is a running child process.
type childProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startTouch(t *testing.T, dir, prefix string) *childProcess {
	t.Helper()
	return startChild(t, child(t, "touch", dir, prefix))
}

func startChild(t *testing.T, cmd *exec.Cmd) *childProcess {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &childProcess{t: t, cmd: cmd, in: in, out: bufio.NewReader(out)}
}

// stop ends the process and returns the number that it prints.
func (c *childProcess) stop() int {
	c.t.Helper()
	c.in.Close()
	var n int
	if _, err := fmt.Fscan(c.out, &n); err != nil {
		c.t.Fatalf("the child process printed no number: %v", err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatal(err)
	}
	return n
}

func add(t testing.TB, n *inotify.Inotify, path string, mask inotify.Mask) inotify.WD {
	t.Helper()
	wd, err := n.AddWatch(path, mask)
	if err != nil {
		t.Fatal(err)
	}
	return wd
}

// watches returns what the kernel lists, or nil where it lists none.
func watches(t testing.TB, n *inotify.Inotify) []inotify.Watch {
	t.Helper()
	ws, err := n.Watches()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	return ws
}

// readable reports whether poll(2) reports the descriptor as readable.
func readable(t testing.TB, n *inotify.Inotify) bool {
	t.Helper()
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ready bool
	if err := conn.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		k, err := unix.Poll(p, 0)
		ready = err == nil && k == 1
	}); err != nil {
		t.Fatal(err)
	}
	return ready
}

// What this kernel supports, as probed.

func hasMaskCreate(t testing.TB) bool {
	t.Helper()
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.Create)
	_, err := n.AddWatch(dir, inotify.Create|inotify.MaskCreate)
	return err != nil
}

// watchesInodes reports whether two hard links share one watch. In gVisor each has its own.
func watchesInodes(t testing.TB) bool {
	t.Helper()
	n := newInotify(t)
	path := files(t, 1)[0]
	if err := os.Link(path, path+".link"); err != nil {
		t.Fatal(err)
	}
	return add(t, n, path, inotify.Attrib) == add(t, n, path+".link", inotify.Attrib)
}

// withoutIoctl hides the ioctl from the test's thread by a seccomp filter, if the kernel has it.
func withoutIoctl(t testing.TB) {
	t.Helper()
	withoutIoctlAs(t, unix.ENOTTY)
}

func withoutIoctlAs(t testing.TB, errno unix.Errno) {
	t.Helper()
	if hasIoctl(t) {
		failCalls(t, unix.SYS_IOCTL, 1, uint32(sys.SetNextRequest(runtime.GOARCH)), false, errno)
	}
	if kerneltest.SupportsSetNext(newInotify(t)) {
		t.Fatal("the ioctl is still there")
	}
}

// withoutIoctlElsewhere returns a function that hides the ioctl from the thread of another
// goroutine. It must be called before withoutIoctl.
func withoutIoctlElsewhere(t testing.TB) func() {
	t.Helper()
	has := hasIoctl(t)
	return func() {
		if has {
			failCalls(t, unix.SYS_IOCTL, 1, uint32(sys.SetNextRequest(runtime.GOARCH)), false, unix.ENOTTY)
		}
	}
}

// withoutMaskCreate hides IN_MASK_CREATE from the test's thread, if the kernel has it: a seccomp
// filter refuses the bit, as Linux 4.17 refuses unknown bits.
func withoutMaskCreate(t testing.TB) {
	t.Helper()
	if hasMaskCreate(t) {
		failCalls(t, unix.SYS_INOTIFY_ADD_WATCH, 2, uint32(inotify.MaskCreate), true, unix.EINVAL)
	}
}

// scratchDirs returns the scratch directories that a long cycle uses on this machine.
func scratchDirs() []string {
	dirs, _, _ := assign.ScratchDirs(16)
	return dirs
}

// A countingContext counts the calls of Err.
type countingContext struct {
	context.Context
	calls atomic.Int64
}

func (c *countingContext) Err() error {
	c.calls.Add(1)
	return c.Context.Err()
}

func (c *countingContext) times() int { return int(c.calls.Load()) }

// makeBatchIn creates files in a directory and returns a batch of watches on them, with
// consecutive wds from first on. It is for child processes.
func makeBatchIn(dir string, first, count int) (ws []inotify.Watch, err error) {
	for i := range count {
		w := inotify.Watch{WD: inotify.WD(first + i), Path: filepath.Join(dir, fmt.Sprint(i)), Mask: inotify.Attrib}
		if err := mknod(w.Path); err != nil {
			return nil, err
		}
		ws = append(ws, w)
	}
	return ws, nil
}
