// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// hold is the program of a holder. Each line that it reads is a command, of quoted words. It
// answers each with a line: true and a quoted text, or false and a quoted error.
func hold(in io.Reader, out io.Writer) {
	var h holderState
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		text, err := h.execute(words(lines.Text()))
		if err != nil {
			fmt.Fprintf(out, "false %q\n", err)
		} else {
			fmt.Fprintf(out, "true %q\n", text)
		}
	}
}

func words(line string) (ws []string) {
	for line != "" {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil
		}
		w, _ := strconv.Unquote(quoted)
		ws = append(ws, w)
		line = strings.TrimPrefix(line[len(quoted):], " ")
	}
	return ws
}

// holderState is the instance of a holder, and what else it has open.
type holderState struct {
	n       *inotify.Inotify
	pending []inotify.Event // come before those of n
	open    []*os.File

	innerIn  io.Writer // of the holder in a nested pid namespace, once it was started
	innerOut *bufio.Reader
}

func (h *holderState) execute(words []string) (string, error) {
	if len(words) == 0 {
		return "", fmt.Errorf("no command")
	}
	arg := func(i int) string { return words[i+1] }
	argInt := func(i int) int { v, _ := strconv.Atoi(arg(i)); return v }
	switch words[0] {
	case "sh": // SCRIPT
		text, err := exec.Command("sh", "-ec", arg(0)).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%v: %s", err, text)
		}
		return string(text), err
	case "new":
		return "", h.newInstance()
	case "watch": // WD MASK PATH
		mask, err := inotify.ParseMask(arg(1))
		if err != nil {
			return "", err
		}
		return "", h.n.RestoreWatch(context.Background(), inotify.WD(argInt(0)), arg(2), mask)
	case "next": // WD
		return "", h.n.SetNextWD(inotify.WD(argInt(0)))
	case "fd":
		return fmt.Sprint(h.fd()), nil
	case "fcntl": // COMMAND ARGUMENT
		_, err := unix.FcntlInt(uintptr(h.fd()), argInt(0), argInt(1))
		return "", err
	case "open": // PATH
		return h.keep(arg(0), unix.O_PATH|unix.O_NOFOLLOW)
	case "create": // PATH, which may exist, opened for writing
		return h.keep(arg(0), os.O_RDWR|os.O_CREATE)
	case "close": // all files that were opened
		for _, f := range h.open {
			f.Close()
		}
		h.open = nil
		return "", nil
	case "events": // all that can be read without waiting
		return h.events()
	case "dup": // a further descriptor
		fd, err := unix.Dup(h.fd())
		return fmt.Sprint(fd), err
	case "exit thread": // the main thread, so that the process's state is Z
		close(leave)
		return "", nil
	case "own table": // PATH: a thread with a descriptor table of its own watches it; returns TID FD
		return threadWithOwnTable(arg(0))
	case "dup onto": // FD
		return "", unix.Dup3(h.fd(), argInt(0), 0)
	case "exchange": // PATH...: see exchange
		return h.exchange(words[1:])
	case "chroot": // DIR
		if err := unix.Chroot(arg(0)); err != nil {
			return "", err
		}
		return "", os.Chdir("/")
	case "nextwd":
		wd, err := h.n.NextWD()
		return fmt.Sprint(wd), err
	case "inner": // WORD...: sends a command to a holder in a nested pid namespace
		return h.callInner(words[1:])
	case "dump": // PID FD LEVEL DIR FILE
		return "", dumpTo(argInt(0), argInt(1), arg(2), arg(3), arg(4))
	case "dump own": // FILE
		s, err := checkpoint.Dump(context.Background(), h.n, checkpoint.WithPaths(checkpoint.PathsNone))
		if err != nil {
			return "", err
		}
		return "", writeTo(arg(0), s)
	case "restore": // FILE, and options
		return "", h.restore(arg(0), words[2:])
	}
	return "", fmt.Errorf("unknown command %q", words[0])
}

// callInner sends a command to the inner holder. That exits when this process does, as its
// standard input is then closed.
func (h *holderState) callInner(words []string) (string, error) {
	if h.innerIn == nil {
		cmd := holderCommand("/proc/self/exe")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return "", err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return "", err
		}
		if err := cmd.Start(); err != nil {
			return "", err
		}
		h.innerIn, h.innerOut = in, bufio.NewReader(out)
	}
	ok, text, err := request(h.innerIn, h.innerOut, words...)
	if err == nil && !ok {
		err = errors.New(text)
	}
	return text, err
}

// exchange replaces the file of a new descriptor, which it returns, as fast as it can,
// alternately by the instance and by another file: /dev/null, or if there are paths, another
// instance that watches them and has an event pending of each.
func (h *holderState) exchange(paths []string) (string, error) {
	fd, err := unix.Dup(h.fd())
	if err != nil {
		return "", err
	}
	other := -1
	if len(paths) == 0 {
		other, err = unix.Open(os.DevNull, unix.O_RDWR, 0)
	} else {
		other, err = unix.InotifyInit1(unix.IN_NONBLOCK)
	}
	for _, path := range paths {
		if err == nil {
			_, err = unix.InotifyAddWatch(other, path, unix.IN_DELETE|unix.IN_ATTRIB)
		}
		if err == nil {
			err = os.Chmod(path, 0o700)
		}
	}
	if err != nil {
		return "", err
	}
	go func() {
		for first := h.fd(); ; {
			unix.Dup3(other, fd, 0)
			pause()
			unix.Dup3(first, fd, 0)
			pause()
		}
	}()
	return fmt.Sprint(fd), nil
}

// threadWithOwnTable starts a thread with a descriptor table of its own, and an instance in
// it.
func threadWithOwnTable(path string) (string, error) {
	type result struct {
		text string
		err  error
	}
	results := make(chan result)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FILES)
		fd := -1
		if err == nil {
			fd, err = unix.InotifyInit1(unix.IN_NONBLOCK)
		}
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, path, unix.IN_CREATE)
		}
		results <- result{fmt.Sprint(unix.Gettid(), " ", fd), err}
		select {}
	}()
	r := <-results
	return r.text, r.err
}

// pause takes some microseconds.
func pause() {
	for range 20 {
		unix.Getppid()
	}
}

func (h *holderState) newInstance() (err error) {
	if h.n != nil {
		h.n.Close()
	}
	h.n, err = inotify.New()
	h.pending = nil
	return err
}

// keep opens a file and returns its descriptor.
func (h *holderState) keep(path string, flags int) (string, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return "", err
	}
	h.open = append(h.open, f)
	return fmt.Sprint(f.Fd()), nil
}

func (h *holderState) fd() (fd int) {
	conn, err := h.n.SyscallConn()
	if err == nil {
		err = conn.Control(func(f uintptr) { fd = int(f) })
	}
	if err != nil {
		return -1
	}
	return fd
}

func (h *holderState) events() (string, error) {
	evs := h.pending
	h.pending = nil
	for {
		ev, ok, err := h.n.TryReadEvent()
		if err != nil || !ok {
			return lines(evs), err
		}
		evs = append(evs, ev)
	}
}

// lines returns a line for each event, without its cookie.
func lines(evs []inotify.Event) string {
	var b strings.Builder
	for _, ev := range evs {
		fmt.Fprintf(&b, "%d %v %s\n", ev.WD, ev.Mask, ev.Name)
	}
	return b.String()
}

func dumpTo(pid, fd int, level, dir, file string) error {
	paths := map[string]checkpoint.Paths{"none": checkpoint.PathsNone, "handles": checkpoint.PathsByHandle, "search": checkpoint.PathsBySearch}[level]
	s, err := checkpoint.DumpFD(context.Background(), pid, fd, checkpoint.WithPaths(paths), checkpoint.WithSearchDirs(dir))
	if err != nil {
		return err
	}
	return writeTo(file, s)
}

func writeTo(file string, s *checkpoint.Snapshot) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.WriteTo(f)
	return err
}

func (h *holderState) restore(file string, options []string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := checkpoint.Read(f)
	if err != nil {
		return err
	}
	var opts []checkpoint.RestoreOption
	supplied := map[inotify.WD]*os.File{}
	for _, o := range options {
		if wd, path, ok := strings.Cut(o, " "); ok { // "WD PATH": WithFileFor
			file, err := os.OpenFile(path, unix.O_PATH, 0)
			if err != nil {
				return err
			}
			defer file.Close()
			n, _ := strconv.Atoi(wd)
			supplied[inotify.WD(n)] = file
		}
		switch o {
		case "missing":
			opts = append(opts, checkpoint.AllowMissing())
		case "wds":
			opts = append(opts, checkpoint.WithVerify(checkpoint.VerifyWDs))
		}
	}
	if len(supplied) > 0 {
		opts = append(opts, checkpoint.WithFileFor(func(w checkpoint.Watch) (*os.File, error) { return supplied[w.WD], nil }))
	}
	r, err := s.Restore(context.Background(), opts...)
	if err != nil {
		return err
	}
	if h.n != nil {
		h.n.Close()
	}
	h.n, h.pending = r.Inotify, r.Pending()
	return nil
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)
