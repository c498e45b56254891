// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// hold is the program of a process that holds an instance. Each line that it reads
// is quoted words, a command; it answers with a line: true or false, and a
// quoted text.
func hold(in io.Reader, out io.Writer) {
	var h held
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		text, err := h.obey(words(lines.Text()))
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

// held is what the process holds.
type held struct {
	n    *inotify.Inotify
	open []*os.File
}

func (h *held) obey(words []string) (string, error) {
	if len(words) == 0 {
		return "", fmt.Errorf("not understood")
	}
	arg := func(i int) string { return words[i+1] }
	number := func(i int) int { v, _ := strconv.Atoi(arg(i)); return v }
	switch words[0] {
	case "sh": // SCRIPT
		text, err := exec.Command("sh", "-ec", arg(0)).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%v: %s", err, text)
		}
		return string(text), err
	case "new":
		return "", h.fresh()
	case "watch": // WD MASK PATH
		mask, err := inotify.ParseMask(arg(1))
		if err != nil {
			return "", err
		}
		return "", h.n.RestoreWatch(context.Background(), inotify.WD(number(0)), arg(2), mask)
	case "next": // WD
		return "", h.n.SetNextWD(inotify.WD(number(0)))
	case "fd":
		return fmt.Sprint(h.fd()), nil
	case "fcntl": // COMMAND ARGUMENT
		_, err := unix.FcntlInt(uintptr(h.fd()), number(0), number(1))
		return "", err
	case "open": // PATH
		f, err := os.OpenFile(arg(0), unix.O_PATH|unix.O_NOFOLLOW, 0)
		h.open = append(h.open, f)
		return "", err
	case "events": // all that can be had without waiting
		return h.events()
	case "dup": // a further descriptor
		fd, err := unix.Dup(h.fd())
		return fmt.Sprint(fd), err
	case "chroot": // DIR
		if err := unix.Chroot(arg(0)); err != nil {
			return "", err
		}
		return "", os.Chdir("/")
	case "nextwd":
		wd, err := h.n.NextWD()
		return fmt.Sprint(wd), err
	case "take": // PID FD LEVEL HINT FILE
		return "", takeTo(number(0), number(1), arg(2), arg(3), arg(4))
	case "restore": // FILE, and options
		return "", h.restore(arg(0), words[2:])
	}
	return "", fmt.Errorf("%q is not understood", words[0])
}

func (h *held) fresh() (err error) {
	if h.n != nil {
		h.n.Close()
	}
	h.n, err = inotify.New()
	return err
}

func (h *held) fd() (fd int) {
	conn, err := h.n.SyscallConn()
	if err == nil {
		err = conn.Control(func(f uintptr) { fd = int(f) })
	}
	if err != nil {
		return -1
	}
	return fd
}

func (h *held) events() (string, error) {
	var b strings.Builder
	for {
		ev, ok, err := h.n.TryReadEvent()
		if err != nil || !ok {
			return b.String(), err
		}
		fmt.Fprintf(&b, "%d %v %s\n", ev.WD, ev.Mask, ev.Name)
	}
}

func takeTo(pid, fd int, level, hint, file string) error {
	paths := map[string]checkpoint.Paths{"none": checkpoint.NoPaths, "handles": checkpoint.PathsByHandle, "search": checkpoint.PathsBySearch}[level]
	s, err := checkpoint.TakeFD(context.Background(), pid, fd, checkpoint.WithPaths(paths), checkpoint.WithHints(hint))
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.WriteTo(f)
	return err
}

func (h *held) restore(file string, options []string) error {
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
	for _, o := range options {
		switch o {
		case "missing":
			opts = append(opts, checkpoint.WithMissing())
		case "numbers":
			opts = append(opts, checkpoint.WithProof(checkpoint.ProofNumbers))
		}
	}
	r, err := s.Restore(context.Background(), opts...)
	if err != nil {
		return err
	}
	if h.n != nil {
		h.n.Close()
	}
	h.n = r.Inotify
	return nil
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)
