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

// TestMain also is the program of the child processes that tests start, and
// fails the run if a descriptor leaked.
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
		p.Value.Set("4") // mostly they wait, as the close of an instance does
	}
	os.Exit(kerneltest.Main(m, false))
}

// children are what TestMain runs in a child process.
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

// child prepares this program to run as a child process. Its input and output
// are pipes.
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

// childTouch makes files in a directory, named with a prefix and a number, as
// many as it is told or until its input ends, and prints how many it made. It
// makes them through a directory descriptor and keeps the pace moderate, as the
// kernel's queue has only 16,384 places.
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

// childRename renames a file to and fro as fast as it can until its input ends,
// and prints how often.
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

// A childProcess is another process that makes or renames files.
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

// stop ends the process and returns how many files it made or renamed.
func (c *childProcess) stop() int {
	c.t.Helper()
	c.in.Close()
	var n int
	if _, err := fmt.Fscan(c.out, &n); err != nil {
		c.t.Fatalf("childProcess said nothing: %v", err)
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

// readable reports whether poll(2) says so of the descriptor.
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

// What this kernel has, found by trying.

func hasMaskCreate(t testing.TB) bool {
	t.Helper()
	n := newInotify(t)
	dir := t.TempDir()
	add(t, n, dir, inotify.Create)
	_, err := n.AddWatch(dir, inotify.Create|inotify.MaskCreate)
	return err != nil
}

// watchesInodes reports whether two hard links have one watch. In gVisor each
// has its own.
func watchesInodes(t testing.TB) bool {
	t.Helper()
	n := newInotify(t)
	path := files(t, 1)[0]
	if err := os.Link(path, path+".link"); err != nil {
		t.Fatal(err)
	}
	return add(t, n, path, inotify.Attrib) == add(t, n, path+".link", inotify.Attrib)
}

// withoutIoctl runs the rest of the test on a kernel that lacks the ioctl: as
// it is, or by a seccomp filter.
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

// withoutIoctlElsewhere returns a function that does for the thread of another
// goroutine what withoutIoctl does for the test's, before which it is called.
func withoutIoctlElsewhere(t testing.TB) func() {
	t.Helper()
	has := hasIoctl(t)
	return func() {
		if has {
			failCalls(t, unix.SYS_IOCTL, 1, uint32(sys.SetNextRequest(runtime.GOARCH)), false, unix.ENOTTY)
		}
	}
}

// withoutMaskCreate runs the rest of the test on a kernel without
// IN_MASK_CREATE: as it is, or with a seccomp filter that makes it look like
// Linux 4.17, which refuses bits that it does not know.
func withoutMaskCreate(t testing.TB) {
	t.Helper()
	if hasMaskCreate(t) {
		failCalls(t, unix.SYS_INOTIFY_ADD_WATCH, 2, uint32(inotify.MaskCreate), true, unix.EINVAL)
	}
}

// scratchDirs returns the directories that a long cycle uses here.
func scratchDirs() []string {
	dirs, _, _ := assign.ScratchDirs(16)
	return dirs
}

// An countingContext counts how often it is asked.
type countingContext struct {
	context.Context
	asked atomic.Int64
}

func (c *countingContext) Err() error {
	c.asked.Add(1)
	return c.Context.Err()
}

func (c *countingContext) times() int { return int(c.asked.Load()) }

// makeBatchIn makes files in a directory, and a batch of watches on them from a number on.
// It is for child processes.
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
