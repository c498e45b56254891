// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// A holder is a process that has an instance for the jobs to dump.
type holder struct {
	pid, fd int

	cmd    *exec.Cmd
	stdin  io.Closer
	stderr bytes.Buffer
}

// hold starts a worker that prints the descriptor of its instance once it is
// ready and holds it until its standard input is closed, which also happens if
// this process is killed.
func (l *lab) hold(ctx context.Context, j job) error {
	h := &holder{cmd: l.command(ctx, j)}
	h.cmd.Stderr = &h.stderr
	stdin, err := h.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := h.cmd.Start(); err != nil {
		return err
	}
	h.stdin, h.pid = stdin, h.cmd.Process.Pid
	if _, err := fmt.Fscan(stdout, &h.fd); err != nil {
		return fmt.Errorf("the holder is not ready: %w", errors.Join(h.end(), err))
	}
	l.held = h
	return nil
}

// release ends the holder, if there is one.
func (l *lab) release() error {
	h := l.held
	l.held = new(holder)
	if h.cmd == nil {
		return nil
	}
	return h.end()
}

func (h *holder) end() error {
	h.stdin.Close()
	return ended(h.cmd, h.cmd.Wait(), &h.stderr)
}
