// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed10546c08/inotify/internal/sys"
)

// An output is where a command writes its result, with one write. A regular file is replaced
// when the whole text is in the new one; until then it stays as it was.
type output struct {
	w       io.Writer
	file    *os.File // to be closed
	replace string   // the path that file replaces at the end; "" if file is written itself
}

// openOutput opens the output with a name: standard output if it is "-", a file that
// replaces the regular file of that name when it is complete, or an existing device or
// pipe.
func openOutput(ctx context.Context, name string, stdout io.Writer) (*output, error) {
	switch name {
	case "-":
		return &output{w: stdout}, checkStdout(stdout)
	case "":
		return nil, errors.New("open the output: the name of the file is empty")
	}
	if fd := standardDescriptor(name); fd >= 0 {
		if err := checkWritable(fd); err != nil {
			return nil, fmt.Errorf("open %s: %w: give another file", name, err)
		}
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return openReplacement(name)
	case err != nil:
		return nil, err
	case info.Mode().IsRegular():
		if target, err := filepath.EvalSymlinks(name); err == nil {
			return openReplacement(target)
		}
	}
	var f *os.File
	if err := until(ctx, func() (err error) { // a pipe waits for a reader
		f, err = os.OpenFile(name, os.O_WRONLY, 0)
		return err
	}); err != nil {
		return nil, withOutputHint(err)
	}
	return &output{w: f, file: f}, nil
}

// checkStdout refuses a standard output that drops what is written.
func checkStdout(stdout io.Writer) error {
	f, ok := stdout.(*os.File)
	if !ok {
		return nil
	}
	if err := sys.Control(f, checkWritable); err != nil {
		return fmt.Errorf("standard output: %w: write to a file", err)
	}
	return nil
}

// standardDescriptor returns which of the descriptors 0 to 2 a path leads to, or -1.
func standardDescriptor(name string) int {
	for fd, std := range []string{"/dev/stdin", "/dev/stdout", "/dev/stderr"} {
		if name == std || name == fmt.Sprint("/dev/fd/", fd) || name == sys.ProcFD(fd) {
			return fd
		}
	}
	return -1
}

// openReplacement opens a file that only its owner may read.
func openReplacement(name string) (*output, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".inotifyctl-*")
	if err != nil {
		return nil, withOutputHint(&fs.PathError{Op: "create", Path: name, Err: errors.Unwrap(err)})
	}
	return &output{w: f, file: f, replace: name}, nil
}

// write writes the text, and returns when it is on the disk or ctx ends.
func (o *output) write(ctx context.Context, text []byte) error {
	if err := until(ctx, func() error { // a pipe may never be read
		_, err := o.w.Write(text)
		return err
	}); err != nil {
		return err
	}
	if o.file == nil {
		return nil
	}
	if o.replace == "" {
		return o.close()
	}
	if err := o.file.Sync(); err != nil {
		return err
	}
	temporary := o.file.Name()
	if err := o.close(); err != nil {
		return err
	}
	if err := os.Rename(temporary, o.replace); err != nil {
		os.Remove(temporary)
		return err
	}
	return nil
}

func (o *output) close() error {
	f := o.file
	o.file = nil
	return f.Close()
}

// abandon closes an output that was not written, and leaves a regular file as it was.
func (o *output) abandon() {
	if o == nil || o.file == nil {
		return
	}
	if o.replace != "" {
		os.Remove(o.file.Name())
	}
	o.close()
}

// until calls do, which may block for ever, and returns when it does or ctx ends.
func until(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errInterrupted
	}
}

// saveTemporary writes text to a new temporary file that only its owner may read, and
// returns its name.
func saveTemporary(text []byte) (name string, err error) {
	f, err := os.CreateTemp("", "inotifyctl-*.json")
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
