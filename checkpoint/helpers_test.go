// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

var (
	newInotify     = kerneltest.NewInotify
	files          = kerneltest.Files
	touch          = kerneltest.Touch
	tryAll         = kerneltest.Pending
	wantEvents     = kerneltest.WantEvents
	wantError      = kerneltest.WantError
	fdOf           = kerneltest.FD
	wantEquivalent = kerneltest.WantSame
	read           = kerneltest.ReadAll
	overflow       = kerneltest.Overflow
	hasIoctl       = kerneltest.HasIoctl
	needIoctl      = kerneltest.NeedIoctl
	needLists      = kerneltest.NeedLists

	needHandles = kerneltest.NeedHandles
)

// leave is closed to make a holder's main thread exit.
var leave = make(chan struct{})

// TestMain also runs the programs of the processes that tests start.
func TestMain(m *testing.M) {
	if os.Getenv("INOTIFY_TEST_HOLDER") != "" {
		go func() {
			hold(os.Stdin, os.Stdout)
			os.Exit(0)
		}()
		<-leave
		unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // ends this thread only
	}
	if os.Getenv("INOTIFY_TEST_FAULTS_CHILD") != "" {
		if err := childFaults(); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(kerneltest.Main(m, true))
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this needs root")
	}
}

// restorableWDs returns wds that CRIU was seen to restore, or small ones where only the
// add/remove cycle reaches them.
func restorableWDs(t testing.TB) []inotify.WD {
	t.Helper()
	if hasIoctl(t) {
		return []inotify.WD{1, 7, 0x1000, 0x34d71d6, math.MaxInt32}
	}
	return []inotify.WD{1, 7, 0x100, 0x101, 600}
}

func restoreWatch(t testing.TB, n *inotify.Inotify, wd inotify.WD, path string, mask inotify.Mask) {
	t.Helper()
	if err := n.RestoreWatch(kerneltest.Context(t), wd, path, mask); err != nil {
		t.Fatal(err)
	}
}

func watches(t testing.TB, n *inotify.Inotify) []inotify.Watch {
	t.Helper()
	ws, err := n.Watches()
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

// dump dumps n with its paths, which are found by search where handles cannot be
// opened.
func dump(t testing.TB, n *inotify.Inotify, opts ...checkpoint.DumpOption) *checkpoint.Snapshot {
	t.Helper()
	dirs := []string{os.TempDir()}
	all := append([]checkpoint.DumpOption{checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(dirs...)}, opts...)
	s, err := checkpoint.Dump(kerneltest.Context(t), n, all...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// roundTrip writes s as JSON and reads it back.
func roundTrip(t testing.TB, s *checkpoint.Snapshot) *checkpoint.Snapshot {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	read, err := checkpoint.Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func restore(t testing.TB, s *checkpoint.Snapshot, opts ...checkpoint.RestoreOption) *checkpoint.Restored {
	t.Helper()
	r, err := s.Restore(kerneltest.Context(t), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// dumpAndRestore dumps n, closes it, and restores the snapshot after a round trip through
// JSON.
func dumpAndRestore(t testing.TB, n *inotify.Inotify, opts ...checkpoint.RestoreOption) (*checkpoint.Snapshot, *checkpoint.Restored) {
	t.Helper()
	s := roundTrip(t, dump(t, n))
	n.Close()
	return s, restore(t, s, opts...)
}

// wantSame compares the watches that the kernel lists of two instances.
func wantSame(t testing.TB, got, want []inotify.Watch) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("watches:\n got %v\nwant %v", got, want)
	}
}

// queued returns the events that r delivers without waiting.
func queued(t testing.TB, r *checkpoint.Restored) []inotify.Event {
	t.Helper()
	if err := r.Inotify.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	var evs []inotify.Event
	for ev, err := range r.Events(kerneltest.Context(t)) {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		evs = append(evs, ev)
	}
	return append(evs, tryAll(t, r.Inotify)...)
}

// gaps returns the gaps of a field.
func gaps(list []checkpoint.Gap, what string) (found []checkpoint.Gap) {
	for _, g := range list {
		if g.Field == checkpoint.Field(what) {
			found = append(found, g)
		}
	}
	return found
}

// A holder is another process that has an instance and executes commands: see hold.
type holder struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	pid int

	known int // the descriptor of its instance, once it was requested
}

// startHolder starts a holder with these clone flags, as the user uid if that is not the
// test's.
func startHolder(t testing.TB, flags uintptr, uid int) *holder {
	t.Helper()
	cmd := holderCommand(kerneltest.Executable(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: flags}
	if uid != os.Geteuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	return startCommand(t, cmd)
}

func holderCommand(program string) *exec.Cmd {
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "INOTIFY_TEST_HOLDER=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

func startCommand(t testing.TB, cmd *exec.Cmd) *holder {
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
		t.Skip("this needs to start a process with these attributes: ", err)
	}
	h := &holder{t: t, cmd: cmd, in: in, out: bufio.NewReader(out), pid: cmd.Process.Pid}
	t.Cleanup(h.end)
	return h
}

func (h *holder) end() {
	unix.Kill(h.pid, unix.SIGCONT)
	h.in.Close()
	h.cmd.Wait()
}

// stop stops the process and waits until it is stopped.
func (h *holder) stop() {
	h.t.Helper()
	if err := unix.Kill(h.pid, unix.SIGSTOP); err != nil {
		h.t.Fatal(err)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, h.pid, &info, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		h.t.Fatal(err)
	}
}

func (h *holder) resume() { unix.Kill(h.pid, unix.SIGCONT) }

// try sends a command to the process and returns its answer or its error.
func (h *holder) try(words ...string) (string, error) {
	h.t.Helper()
	if words[0] == "new" || words[0] == "restore" {
		h.known = 0
	}
	ok, text, err := request(h.in, h.out, words...)
	if err != nil {
		h.t.Fatal(err)
	}
	if !ok {
		return "", errors.New(text)
	}
	return text, nil
}

// request sends a command to a holder, and returns its answer.
func request(in io.Writer, out *bufio.Reader, words ...string) (ok bool, text string, err error) {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	if _, err := fmt.Fprintln(in, strings.Join(quoted, " ")); err != nil {
		return false, "", err
	}
	line, err := out.ReadString('\n')
	if err != nil {
		return false, "", fmt.Errorf("%v: no answer from the process: %w", words, err)
	}
	if _, err := fmt.Sscanf(line, "%t %q", &ok, &text); err != nil {
		return false, "", fmt.Errorf("%v: the process answered %q: %w", words, line, err)
	}
	return ok, text, nil
}

// do is try for a command that must not fail.
func (h *holder) do(words ...string) string {
	h.t.Helper()
	text, err := h.try(words...)
	if err != nil {
		h.t.Fatalf("%v: %v", words, err)
	}
	return text
}

// sh makes the process run a shell command. It skips the test if that fails.
func (h *holder) sh(script string) {
	h.t.Helper()
	if _, err := h.try("sh", script); err != nil {
		h.t.Skipf("this needs: %s: %v", script, err)
	}
}

// fd returns the descriptor of the process's instance. The first call must come before the
// process is stopped, as a stopped process does not answer.
func (h *holder) fd() int {
	h.t.Helper()
	if h.known == 0 {
		if _, err := fmt.Sscan(h.do("fd"), &h.known); err != nil {
			h.t.Fatal(err)
		}
	}
	return h.known
}

// dump dumps the process's instance.
func (h *holder) dump(opts ...checkpoint.DumpOption) *checkpoint.Snapshot {
	h.t.Helper()
	s, err := checkpoint.DumpFD(kerneltest.Context(h.t), h.pid, h.fd(), opts...)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// restore makes the process restore s and replace its instance.
func (h *holder) restore(s *checkpoint.Snapshot, opts ...string) error {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "snapshot")
	f, err := os.Create(file)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	if _, err := s.WriteTo(f); err != nil {
		h.t.Fatal(err)
	}
	_, err = h.try(append([]string{"restore", file}, opts...)...)
	return err
}
