// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// The descriptor is non-blocking and close-on-exec.
func TestNewFlags(t *testing.T) {
	n := newInotify(t)
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	conn.Control(func(fd uintptr) {
		if fl, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK == 0 {
			t.Errorf("F_GETFL %#o, %v: want O_NONBLOCK", fl, err)
		}
		if fl, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("F_GETFD %#o, %v: want FD_CLOEXEC", fl, err)
		}
	})
}

// New fails if the descriptor cannot be added to the runtime's poller: readers would fail as if
// it were closed.
func TestNewNotPolled(t *testing.T) {
	failCalls(t, unix.SYS_EPOLL_CTL, 1, unix.EPOLL_CTL_ADD, false, unix.ENOSPC)
	if n, err := inotify.New(); err == nil || n != nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("New: %v, %v; want an error", n, err)
	}
}

// rawInotify returns an inotify descriptor that no Inotify owns.
func rawInotify(t *testing.T, flags int) int {
	t.Helper()
	fd, err := unix.InotifyInit1(flags | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// FromFile takes over the file, and Close closes it.
func TestFromFileAdopts(t *testing.T) {
	f := os.NewFile(uintptr(rawInotify(t, unix.IN_NONBLOCK)), "adopted")
	n, err := inotify.FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	path := files(t, 1)[0]
	wd := add(t, n, path, inotify.Modify)
	if err := os.WriteFile(path, []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	ev, err := n.ReadEvent()
	if err != nil || ev != (inotify.Event{WD: wd, Mask: inotify.Modify}) {
		t.Errorf("event %v, %v", ev, err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Stat of the adopted file after Close: %v, want os.ErrClosed", err)
	}
}

// FromFile refuses files that are not inotify descriptors, and leaves them open.
func TestFromFileRefuses(t *testing.T) {
	path := files(t, 1)[0]
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	regular, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	opath, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*os.File{
		"pipe":         r,
		"regular file": regular,
		"epoll":        os.NewFile(uintptr(epfd), "epoll"),
		"O_PATH":       opath,
	} {
		t.Run(name, func(t *testing.T) {
			defer f.Close()
			if _, err := inotify.FromFile(f); err == nil {
				t.Error("adopted")
			} else if !strings.Contains(err.Error(), f.Name()) {
				t.Errorf("error %q does not name the file", err)
			}
			if _, err := f.Stat(); err != nil {
				t.Errorf("the refused file was closed: %v", err)
			}
		})
	}
	t.Run("closed", func(t *testing.T) {
		f := os.NewFile(uintptr(rawInotify(t, 0)), "closed")
		f.Close()
		_, err := inotify.FromFile(f)
		wantError(t, err, os.ErrClosed)
	})
	t.Run("nil", func(t *testing.T) {
		_, err := inotify.FromFile(nil)
		wantError(t, err, os.ErrInvalid)
	})
}

// If the kernel forbids the checks of FromFile, the error names the call.
func TestFromFileForbidden(t *testing.T) {
	f := os.NewFile(uintptr(rawInotify(t, unix.IN_NONBLOCK)), "adopted")
	defer f.Close()
	refused := func(call string, errno unix.Errno) {
		t.Helper()
		_, err := inotify.FromFile(f)
		if wantError(t, err, errno); err == nil || !strings.Contains(err.Error(), call) {
			t.Errorf("error %v does not name %s", err, call)
		}
	}
	fcntl := uintptr(unix.SYS_FCNTL)
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" {
		fcntl = 221 // fcntl64
	}
	failCalls(t, fcntl, 1, unix.F_GETFL, false, unix.EACCES)
	refused("fcntl F_GETFL", unix.EACCES)
	failCalls(t, unix.SYS_INOTIFY_ADD_WATCH, 2, uint32(inotify.IsDir), false, unix.EPERM)
	refused("inotify_add_watch", unix.EPERM)
}

// On an adopted instance, a rollback keeps queued events of earlier watches that this Inotify
// has not seen.
func TestRestoreOnAdoptedKeepsEventsOfEarlierWatch(t *testing.T) {
	byEachWay(t, func(t *testing.T) {
		fd := rawInotify(t, unix.IN_NONBLOCK)
		ws := batch(t, inotify.Attrib, 1, 2, 3)
		want := 0
		if hasIoctl(t) { // without it the wd would be passed
			if wd, err := unix.InotifyAddWatch(fd, ws[0].Path, unix.IN_ATTRIB); err != nil || wd != 1 {
				t.Fatal(wd, err)
			}
			if _, err := unix.InotifyRmWatch(fd, 1); err != nil {
				t.Fatal(err)
			}
			want = 1
		}
		n, err := inotify.FromFile(os.NewFile(uintptr(fd), "adopted"))
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		ws[2].Mask |= inotify.OnlyDir
		if err := n.RestoreWatches(kerneltest.Context(t), ws); err == nil {
			t.Error("a file was restored as a directory")
		}
		if evs := pending(t, n); len(evs) != want || want == 1 && evs[0] != (inotify.Event{WD: 1, Mask: inotify.Ignored}) {
			t.Errorf("events %v, want %d of the earlier watch", evs, want)
		}
	})
}

// On a descriptor in blocking mode, all methods work except those that read: they say why, and
// the mode is not changed.
func TestFromFileBlocking(t *testing.T) {
	for name, test := range map[string]struct{ before, after bool }{ // O_NONBLOCK before and after os.NewFile
		"blocking":                  {false, false},
		"blocking at os.NewFile":    {false, true},
		"blocking after os.NewFile": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			fd := rawInotify(t, 0)
			err := unix.SetNonblock(fd, test.before)
			f := os.NewFile(uintptr(fd), "blocking")
			if err := errors.Join(err, unix.SetNonblock(fd, test.after)); err != nil {
				t.Fatal(err)
			}
			n, err := inotify.FromFile(f)
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			paths := files(t, 3)
			wd := add(t, n, paths[0], inotify.AllEvents)
			other := add(t, n, paths[1], inotify.AllEvents)
			if err := n.RemoveWatch(wd); err != nil {
				t.Error(err)
			}
			if got, err := n.Buffered(); err != nil || got != 16 {
				t.Errorf("Buffered %d, %v: want the 16 bytes of an IN_IGNORED", got, err)
			}

			_, err = n.ReadEvent()
			wantBlocking(t, "ReadEvent", err)
			_, _, err = n.TryReadEvent()
			wantBlocking(t, "TryReadEvent", err)
			wantBlocking(t, "SetReadDeadline", n.SetReadDeadline(time.Now()))
			conn, err := n.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			wantBlocking(t, "SyscallConn.Read", conn.Read(func(uintptr) bool { return true }))
			yielded := 0
			for _, err := range n.Events(kerneltest.Context(t)) {
				yielded++
				wantBlocking(t, "Events", err)
			}
			if yielded != 1 {
				t.Errorf("Events yielded %d times, want its error once", yielded)
			}
			if kerneltest.SupportsSetNext(n) {
				if err := n.RestoreWatch(kerneltest.Context(t), 77, paths[2], inotify.Create); err != nil {
					t.Error(err)
				}
				// The IN_IGNORED of the rolled-back watch stays, as it must not be read here.
				err := n.RestoreWatch(kerneltest.Context(t), other, paths[0], inotify.Create)
				wantBlocking(t, "a failed restore", err)
				var used *inotify.WDError
				if !errors.As(err, &used) || used.Want != other {
					t.Errorf("error %v, want a WDError for %d", err, other)
				}
				// If no watch was added, the error reports none.
				if err := n.RestoreWatch(kerneltest.Context(t), 90, paths[0]+".missing", inotify.Create); err == nil || strings.Contains(err.Error(), "IN_IGNORED") {
					t.Errorf("error %v of a missing file", err)
				}
				conn.Control(func(fd uintptr) {
					if queued, err := unix.IoctlGetUint32(int(fd), unix.TIOCINQ); err != nil || queued != 32 {
						t.Errorf("%d bytes are queued, %v; want two IN_IGNORED for other readers", queued, err)
					}
				})
			} else {
				err := n.RestoreWatch(kerneltest.Context(t), 77, paths[2], inotify.Create)
				if hasMaskCreate(t) || !errors.Is(err, errors.ErrUnsupported) {
					wantBlocking(t, "the cycle", err)
				}
			}
			if nonblock, err := isNonblock(conn); err != nil || nonblock != test.after {
				t.Errorf("O_NONBLOCK is %v, %v; want %v", nonblock, err, test.after)
			}
		})
	}
}

// On a descriptor in blocking mode, which the cycle would have to read, it makes no step.
func TestFromFileBlockingRefusesTheCycle(t *testing.T) {
	withoutIoctl(t)
	n, err := inotify.FromFile(os.NewFile(uintptr(rawInotify(t, 0)), "blocking"))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if !hasMaskCreate(t) {
		t.Skip("this needs IN_MASK_CREATE: without it a restore on an adopted instance is refused")
	}
	paths := files(t, 2)
	wantBlocking(t, "the cycle", n.RestoreWatch(kerneltest.Context(t), 50, paths[0], inotify.Attrib))
	if got := add(t, n, paths[1], inotify.Attrib); got != 1 {
		t.Errorf("the next wd is %d, want 1", got)
	}
}

func wantBlocking(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "blocking mode") {
		t.Errorf("%s: error %v, want one that names the blocking mode", what, err)
	}
}

func isNonblock(conn syscall.RawConn) (nonblock bool, err error) {
	cerr := conn.Control(func(fd uintptr) {
		var fl int
		fl, err = unix.FcntlInt(fd, unix.F_GETFL, 0)
		nonblock = fl&unix.O_NONBLOCK != 0
	})
	return nonblock, errors.Join(err, cerr)
}

// everyMethod returns a call of each method of an Inotify and its connection, except Close. f is
// an open file.
func everyMethod(t *testing.T, n *inotify.Inotify, conn syscall.RawConn, f *os.File) map[string]func() error {
	noWD := func(wd inotify.WD, err error) error {
		if wd != inotify.NoWD {
			t.Errorf("wd %d with error %v", wd, err)
		}
		return err
	}
	return map[string]func() error{
		"File":            func() error { _, err := n.File(); return err },
		"SyscallConn":     func() error { _, err := n.SyscallConn(); return err },
		"Control":         func() error { return conn.Control(func(uintptr) { t.Error("called") }) },
		"Read":            func() error { return conn.Read(func(uintptr) bool { t.Error("called"); return true }) },
		"Write":           func() error { return conn.Write(func(uintptr) bool { t.Error("called"); return true }) },
		"AddWatch":        func() error { return noWD(n.AddWatch(f.Name(), inotify.Open)) },
		"AddWatchFile":    func() error { return noWD(n.AddWatchFile(f, inotify.Open)) },
		"RemoveWatch":     func() error { return n.RemoveWatch(1) },
		"Watches":         func() error { _, err := n.Watches(); return err },
		"SetNextWD":       func() error { return n.SetNextWD(1) },
		"NextWD":          func() error { return noWD(n.NextWD()) },
		"RestoreWatch":    func() error { return n.RestoreWatch(kerneltest.Context(t), 5, f.Name(), inotify.Open) },
		"ReadEvent":       func() error { _, err := n.ReadEvent(); return err },
		"ReadEvents":      func() error { _, err := n.ReadEvents(make([]inotify.Event, 2)); return err },
		"TryReadEvent":    func() error { _, _, err := n.TryReadEvent(); return err },
		"SetReadDeadline": func() error { return n.SetReadDeadline(time.Time{}) },
		"Buffered":        func() error { _, err := n.Buffered(); return err },
	}
}

// If Close comes between a method's check that the Inotify is open and its system call, the
// method returns os.ErrClosed. Here the file is closed directly, which the check does not see.
func TestEveryMethodWhileClosing(t *testing.T) {
	file := os.NewFile(uintptr(rawInotify(t, unix.IN_NONBLOCK)), "adopted")
	n, err := inotify.FromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(files(t, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file.Close()
	calls := everyMethod(t, n, conn, f)
	for _, name := range []string{"SyscallConn", "Read", "ReadEvent", "ReadEvents"} { // make no call, or check again
		delete(calls, name)
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: error %v, want one that is os.ErrClosed", name, err)
		}
	}
}

// After Close, every method returns os.ErrClosed, whatever its arguments.
func TestEveryMethodAfterClose(t *testing.T) {
	n := newInotify(t)
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	path := files(t, 1)[0]
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	add(t, n, path, inotify.Attrib)
	// Two events: one is read, and the other buffered.
	os.Chmod(path, 0o400)
	os.Chtimes(path, time.Now(), time.Now())
	if err := n.RemoveWatch(1); err != nil {
		t.Fatal(err)
	}
	if _, err := n.ReadEvent(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(kerneltest.Context(t))
	cancel()
	calls := everyMethod(t, n, conn, f)
	calls["Close"] = n.Close
	maps.Copy(calls, map[string]func() error{
		// With arguments that would be refused otherwise.
		"AddWatch of a NUL":             func() error { _, err := n.AddWatch("a\x00b", inotify.Open); return err },
		"SetNextWD of 0":                func() error { return n.SetNextWD(0) },
		"RestoreWatch of 0":             func() error { return n.RestoreWatch(kerneltest.Context(t), 0, path, inotify.Open) },
		"RestoreWatches":                func() error { return n.RestoreWatches(kerneltest.Context(t), []inotify.Watch{{WD: 5, Path: path}}) },
		"RestoreWatches of nothing":     func() error { return n.RestoreWatches(kerneltest.Context(t), nil) },
		"RestoreWatch in ended context": func() error { return n.RestoreWatch(ended, 5, path, inotify.Open) },
	})
	for name, call := range calls {
		if err := call(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: error %v, want one that is os.ErrClosed", name, err)
		}
	}
	wantEnd(t, n.Events(kerneltest.Context(t)), os.ErrClosed)
}

// Close ends all waiting reads with os.ErrClosed.
func TestCloseWakesEveryReader(t *testing.T) {
	n := newInotify(t)
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	for range 4 {
		go func() { _, err := n.ReadEvent(); errs <- err }()
		go func() {
			for _, err := range n.Events(kerneltest.Context(t)) {
				errs <- err
			}
		}()
		go func() { errs <- conn.Read(func(uintptr) bool { return false }) }()
	}
	time.Sleep(20 * time.Millisecond) // until they wait
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	for range 12 {
		wantError(t, <-errs, os.ErrClosed)
	}
}

// Close closes the descriptor and does not remove the watches, which holders of a duplicate use.
func TestCloseRemovesNoWatch(t *testing.T) {
	kerneltest.NeedDuplicates(t)
	n := newInotify(t)
	path := files(t, 1)[0]
	wd := add(t, n, path, inotify.Attrib)
	shared := share(t, n)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, pending(t, shared), inotify.Event{WD: wd, Mask: inotify.Attrib})
}

// File returns a close-on-exec duplicate, which has the same watches.
func TestFileSharesTheInstance(t *testing.T) {
	n := newInotify(t)
	other := share(t, n)
	path := files(t, 1)[0]
	if one, two := add(t, n, path, inotify.Open), add(t, other, path, inotify.Open); one != two {
		t.Errorf("the same inode has wd %d and wd %d", one, two)
	}
	conn, err := other.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	conn.Control(func(fd uintptr) {
		if fl, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("F_GETFD %#o, %v: want FD_CLOEXEC", fl, err)
		}
	})
}

// SyscallConn's Write calls its function once, with the descriptor.
func TestSyscallConnWrite(t *testing.T) {
	n := newInotify(t)
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	if err := conn.Write(func(fd uintptr) bool {
		calls++
		_, err = unix.InotifyAddWatch(int(fd), "/", unix.IN_ATTRIB)
		return true
	}); err != nil {
		t.Error(err)
	}
	if err != nil || calls != 1 {
		t.Errorf("called %d times: %v", calls, err)
	}
}

// A reader that uses SyscallConn and one that uses ReadEvent take turns.
func TestSyscallConnReadTakesTurns(t *testing.T) {
	n := newInotify(t)
	path := files(t, 1)[0]
	add(t, n, path, inotify.Attrib)
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		got <- conn.Read(func(fd uintptr) bool {
			b := make([]byte, 4096)
			_, err := unix.Read(int(fd), b)
			return err == nil
		})
	}()
	time.Sleep(10 * time.Millisecond)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	if err := n.RemoveWatch(1); err != nil {
		t.Error(err)
	}
	if ev, err := n.ReadEvent(); err != nil || ev.Mask != inotify.Ignored {
		t.Errorf("event %v, %v", ev, err)
	}
}

func childLimitFiles() error {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 20, Max: 20}); err != nil {
		return err
	}
	var keep []*inotify.Inotify
	for range 30 {
		n, err := inotify.New()
		if err != nil {
			var limit *inotify.LimitError
			if !errors.As(err, &limit) || !errors.Is(err, unix.EMFILE) {
				return fmt.Errorf("error %v (%T), want a LimitError for EMFILE", err, err)
			}
			fmt.Println(err)
			return nil
		}
		keep = append(keep, n)
	}
	return fmt.Errorf("made %d instances with 20 descriptors", len(keep))
}

// Without a free descriptor, New returns a LimitError that names RLIMIT_NOFILE and its value.
func TestLimitOfDescriptors(t *testing.T) {
	out, err := child(t, "limit files").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"inotify_init1", "RLIMIT_NOFILE (now 20)"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q does not name %q", out, want)
		}
	}
}

func childLimitWatches() error {
	if err := os.WriteFile("/proc/sys/user/max_inotify_watches", []byte("3"), 0); err != nil {
		return err
	}
	n, err := inotify.New()
	if err != nil {
		return err
	}
	for i := range 5 {
		path := filepath.Join(os.Args[1], fmt.Sprint("f", i))
		if _, err := n.AddWatch(path, inotify.Open); err != nil {
			var limit *inotify.LimitError
			if !errors.As(err, &limit) || !errors.Is(err, unix.ENOSPC) || i != 3 {
				return fmt.Errorf("at watch %d error %v (%T), want a LimitError for ENOSPC at watch 3", i, err, err)
			}
			fmt.Println(err)
			err = n.RestoreWatch(context.Background(), 90, path, inotify.Open)
			if !errors.As(err, &limit) {
				return fmt.Errorf("RestoreWatch: error %v (%T), want a LimitError", err, err)
			}
			if ws, err := n.Watches(); err != nil || len(ws) != 3 {
				return fmt.Errorf("watches %v, %v: want the three", ws, err)
			}
			for wd := range inotify.WD(3) {
				n.RemoveWatch(1 + wd)
			}
			var many []inotify.Watch
			for i := range 5 {
				many = append(many, inotify.Watch{WD: inotify.WD(20 + i), Mask: inotify.Open, Path: filepath.Join(os.Args[1], fmt.Sprint("f", i))})
			}
			var restore *inotify.RestoreError
			if err := n.RestoreWatches(context.Background(), many); !errors.As(err, &limit) || !errors.As(err, &restore) || restore.Done != 3 {
				return fmt.Errorf("RestoreWatches: error %v (%T), want a LimitError after three", err, err)
			}
			// The limit allows these, and a scratch watch until the last one is added.
			fresh, err := inotify.New()
			if err != nil {
				return err
			}
			if err := fresh.RestoreWatches(context.Background(), many[:3]); err != nil {
				return err
			}
			fresh.Close()
			// The cycle reaches any wd within that limit.
			for wd := range inotify.WD(80) {
				fresh, err := inotify.New()
				if err != nil {
					return err
				}
				if err := fresh.RestoreWatch(context.Background(), 1+wd, path, inotify.Open); err != nil {
					return err
				}
				fresh.Close()
			}
			return nil
		}
	}
	return errors.New("five watches where three are allowed")
}

// At the limit of watches, adds and restores return a LimitError that names the limits. The
// limit is that of a new user namespace.
func TestLimitOfWatches(t *testing.T) {
	t.Parallel()
	attr := kerneltest.OwnUsers(t)
	dir := filepath.Dir(files(t, 5)[0])
	inNamespace := func(name string) ([]byte, error) {
		cmd := child(t, name, dir)
		cmd.SysProcAttr = attr
		return cmd.CombinedOutput()
	}
	out, err := inNamespace("limit watches")
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skip("this needs a user namespace: ", err)
	case err != nil && strings.Contains(string(out), "/proc/sys/user/max_inotify_watches"):
		t.Skip("this needs a namespace's own limits: ", string(out))
	case err != nil:
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"inotify_add_watch", "f3", "user.max_inotify_watches (now 3)", "fs.inotify.max_user_watches"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q does not name %q", out, want)
		}
	}
}

// FromFD takes over the descriptor, and Close closes it.
func TestFromFD(t *testing.T) {
	fd := rawInotify(t, unix.IN_NONBLOCK)
	n, err := inotify.FromFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	path := files(t, 1)[0]
	wd := add(t, n, path, inotify.Attrib)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if ev, err := n.ReadEvent(); err != nil || ev != (inotify.Event{WD: wd, Mask: inotify.Attrib}) {
		t.Errorf("event %v, %v", ev, err)
	}
	n.Close()
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("after Close the descriptor is %v, want EBADF", err)
	}
}

// A descriptor in blocking mode stays so, and reads fail with an error that says why.
func TestFromFDBlocking(t *testing.T) {
	n, err := inotify.FromFD(rawInotify(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	add(t, n, files(t, 1)[0], inotify.Attrib)
	_, err = n.ReadEvent()
	wantBlocking(t, "ReadEvent", err)
	wantError(t, err, os.ErrNoDeadline)
	conn, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if nonblock, err := isNonblock(conn); nonblock || err != nil {
		t.Errorf("O_NONBLOCK was set, %v", err)
	}
}

// A descriptor that is not of inotify is refused and stays open.
func TestFromFDNotInotify(t *testing.T) {
	if n, err := inotify.FromFD(-1); n != nil || !errors.Is(err, unix.EBADF) {
		t.Errorf("%v, %v; want EBADF", n, err)
	}
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := inotify.FromFD(fd); n != nil || !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "not an inotify descriptor") {
		t.Errorf("%v, %v; want EINVAL", n, err)
	}
	runtime.GC() // an os.File for it would be finalized now, and close it
	time.Sleep(time.Millisecond)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		t.Error("the descriptor was closed: ", err)
	}
}
