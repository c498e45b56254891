// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// bystanders are instances of this process that are unrelated to those under test. They are
// created and closed all the time, so that they get descriptors that the others free, and each
// checks that its watch still exists.
type bystanders struct {
	t          *testing.T
	done       chan struct{}
	group      sync.WaitGroup
	made, lost atomic.Int64
}

func startBystanders(t *testing.T) *bystanders {
	t.Helper()
	b := &bystanders{t: t, done: make(chan struct{})}
	path := files(t, 1)[0]
	for range 5 {
		kerneltest.Go(&b.group, func() {
			for {
				select {
				case <-b.done:
					return
				default:
					b.use(path)
					runtime.Gosched() // there may be one processor only
				}
			}
		})
	}
	return b
}

// use creates an instance and adds its watch repeatedly: while the watch exists, each add returns
// the same wd.
func (b *bystanders) use(path string) {
	n, err := inotify.New()
	if err != nil {
		return // the limit of instances was reached
	}
	defer n.Close()
	wd, err := n.AddWatch(path, inotify.Attrib)
	for range 20 {
		if err == nil {
			var again inotify.WD
			if again, err = n.AddWatch(path, inotify.Attrib); again != wd {
				err = fmt.Errorf("watch %d became %d", wd, again)
			}
		}
	}
	if ev, ok, rerr := n.TryReadEvent(); err != nil || rerr != nil || ok {
		b.t.Errorf("an unrelated instance: %v, %v, event %v", err, rerr, ev)
		b.lost.Add(1)
	}
	b.made.Add(1)
}

func (b *bystanders) stop() {
	b.t.Helper()
	close(b.done)
	b.group.Wait()
	if b.made.Load() == 0 {
		b.t.Error("no unrelated instance was created")
	}
	b.t.Logf("%d unrelated instances, of which %d lost a watch", b.made.Load(), b.lost.Load())
}

// A crowd is goroutines that use one instance until it is closed.
type crowd struct {
	t     *testing.T
	n     *inotify.Inotify
	paths []string
	ctx   context.Context // ends after the instance is closed
	group sync.WaitGroup
}

// calls returns a call of every method of an Inotify except Close. i differs between calls.
// Errors that the other goroutines may cause are ignored.
func (c *crowd) calls() map[string]func(i int) error {
	n := c.n
	path := func(i int) string { return c.paths[i%len(c.paths)] }
	return map[string]func(i int) error{
		"AddWatch": func(i int) error {
			_, err := n.AddWatch(path(i), inotify.AllEvents)
			return err
		},
		"AddWatchFile": func(i int) error {
			f, err := os.Open(path(i))
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = n.AddWatchFile(f, inotify.AllEvents)
			return err
		},
		"RemoveWatch": func(i int) error {
			return unless(n.RemoveWatch(inotify.WD(1+i%20)), unix.EINVAL)
		},
		"Watches": func(int) error {
			_, err := n.Watches()
			return unless(err, errors.ErrUnsupported)
		},
		"SetNextWD": func(i int) error {
			return unless(n.SetNextWD(inotify.WD(1+i%1000)), errors.ErrUnsupported)
		},
		"NextWD": func(int) error {
			_, err := n.NextWD()
			return unless(err, errors.ErrUnsupported)
		},
		"RestoreNextWD": func(i int) error {
			return c.restored(n.RestoreNextWD(c.ctx, inotify.WD(20+i%500)))
		},
		"RestoreWatch": func(i int) error {
			return c.restored(n.RestoreWatch(c.ctx, inotify.WD(20+i%500), path(i), inotify.Open))
		},
		"RestoreWatches": func(i int) error {
			var ws []inotify.Watch
			for j := range 5 {
				ws = append(ws, inotify.Watch{WD: inotify.WD(20 + i%500 + j), Path: path(i + j), Mask: inotify.Open})
			}
			return c.restored(n.RestoreWatches(c.ctx, ws))
		},
		"ReadEvent": func(int) error {
			_, err := n.ReadEvent()
			return unless(err, os.ErrDeadlineExceeded)
		},
		"ReadEvents": func(i int) error {
			_, err := n.ReadEvents(make([]inotify.Event, i%4))
			return unless(err, os.ErrDeadlineExceeded)
		},
		"TryReadEvent": func(int) error {
			_, _, err := n.TryReadEvent()
			return err
		},
		"Events": func(int) error {
			ctx, cancel := context.WithTimeout(c.ctx, time.Millisecond)
			defer cancel()
			for _, err := range n.Events(ctx) {
				return unless(err, os.ErrDeadlineExceeded, context.DeadlineExceeded)
			}
			return errors.New("Events ended without an error")
		},
		"SetReadDeadline": func(i int) error {
			return n.SetReadDeadline(time.Now().Add(time.Duration(i%3) * time.Millisecond))
		},
		"Buffered": func(int) error {
			_, err := n.Buffered()
			return err
		},
		"File": func(int) error {
			f, err := n.File()
			if err == nil {
				f.Close()
			}
			return err
		},
		"SyscallConn": func(int) error {
			conn, err := n.SyscallConn()
			if err != nil {
				return err
			}
			return errors.Join(
				conn.Control(func(uintptr) {}),
				unless(conn.Read(func(uintptr) bool { return true }), os.ErrDeadlineExceeded),
				conn.Write(func(uintptr) bool { return true }))
		},
	}
}

// restored ignores the errors of a restore whose wd or inode others use, or whose wd was passed.
func (c *crowd) restored(err error) error {
	if errors.As(err, new(*inotify.WDError)) {
		return nil
	}
	return unless(err, unix.EEXIST, errors.ErrUnsupported)
}

// unless returns err, or nil if err is one of allowed and not os.ErrClosed.
func unless(err error, allowed ...error) error {
	if errors.Is(err, os.ErrClosed) {
		return err
	}
	if slices.ContainsFunc(allowed, func(a error) bool { return errors.Is(err, a) }) {
		return nil
	}
	return err
}

// start starts a goroutine that repeats a call until it returns os.ErrClosed.
func (c *crowd) start(name string, call func(i int) error) {
	kerneltest.Go(&c.group, func() {
		for i := rand.IntN(1000); ; i++ {
			err := call(i)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				c.t.Errorf("%s: %v", name, err)
				return
			}
			if _, _, err := c.n.TryReadEvent(); i%64 == 0 && errors.Is(err, os.ErrClosed) {
				return // the calls that return no error end here
			}
		}
	})
}

// closed repeats this: it runs f on a crowd with a new instance and closes the instance at a
// random moment.
func closed(t *testing.T, f func(c *crowd)) {
	t.Helper()
	unrelated := startBystanders(t)
	defer unrelated.stop()
	paths := files(t, 30)
	rounds := 10
	if kerneltest.LongTests() {
		rounds = 50
	}
	round := func() {
		n, err := kerneltest.NewWhenPossible()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(kerneltest.Context(t))
		c := &crowd{t: t, n: n, paths: paths, ctx: ctx}
		defer func() { // also after a t.Fatal in f
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			c.group.Wait()
			cancel()
		}()
		f(c)
		time.Sleep(time.Duration(rand.IntN(10_000)) * time.Microsecond)
	}
	for range rounds {
		round()
	}
}

// Thirty goroutines call every method, and one closes the instance. No call hangs, all return
// os.ErrClosed in the end, and none uses a descriptor that has been closed and reused.
func TestThirtyGoroutines(t *testing.T) {
	closed(t, func(c *crowd) {
		calls := c.calls()
		all := reflect.TypeFor[*inotify.Inotify]()
		for i := range max(30, all.NumMethod()) {
			name := all.Method(i % all.NumMethod()).Name
			if name == "Close" {
				continue
			}
			call, ok := calls[name]
			if !ok {
				t.Fatalf("no goroutine calls %s", name)
			}
			c.start(name, call)
		}
	})
}

// The cycle runs until the instance is closed, while other goroutines read, add and remove, and
// other processes cause events.
func TestCycleWhileOthersUseTheInstance(t *testing.T) {
	t.Parallel()
	hide := withoutIoctlElsewhere(t)
	dirs := []string{t.TempDir(), t.TempDir()}
	for i, dir := range dirs {
		writer := startTouch(t, dir, fmt.Sprint("w", i, "-"))
		defer writer.stop()
	}
	var steps atomic.Int64
	first := make(chan struct{}) // closed when the first cycle has made some steps
	begun := sync.OnceFunc(func() { close(first) })
	target := files(t, 1)[0]
	closed(t, func(c *crowd) {
		for _, dir := range dirs {
			add(t, c.n, dir, inotify.Create)
		}
		kerneltest.Go(&c.group, func() {
			defer begun()
			hide()
			err := c.n.RestoreWatch(c.ctx, far, target, inotify.AllEvents, inotify.WithMaxSteps(far),
				inotify.WithProgress(func(inotify.Progress) { begun() }))
			wantError(t, err, os.ErrClosed)
			var stopped *inotify.CycleError
			if errors.As(err, &stopped) {
				steps.Add(stopped.Done)
			}
		})
		calls := c.calls()
		for _, name := range []string{"AddWatch", "AddWatchFile", "RemoveWatch", "ReadEvent", "Events", "TryReadEvent"} {
			for range 4 {
				c.start(name, calls[name])
			}
		}
		<-first
	})
	if steps.Load() == 0 {
		t.Error("no cycle made a step")
	}
	t.Logf("%d steps", steps.Load())
}

// If Close comes during Watches, it returns the instance's own watches or os.ErrClosed, and never
// those of another instance that gets the same descriptor number.
func TestWatchesWhileClosing(t *testing.T) {
	s := kerneltest.Supervise(t, child(t, "closing"))
	r, err := s.Run("", kerneltest.Rule{
		For:   func(c *kerneltest.Call) bool { return c.Name == "read" && strings.Contains(c.Object, "/fdinfo/") },
		Count: 1,
		Delay: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Answer != "right" {
		t.Error(r.Answer)
	}
}

func childClosing() error {
	return kerneltest.Serve(func(string) string {
		ws, err := watchesWhileClosing()
		switch {
		case err != nil && !errors.Is(err, os.ErrClosed):
			return err.Error()
		case err == nil && (len(ws) != 1 || ws[0].Mask != inotify.Create):
			return fmt.Sprint("watches ", ws)
		}
		return "right"
	})
}

// watchesWhileClosing closes an instance with one watch during a call of Watches, and creates
// another instance at once, which may get the descriptor.
func watchesWhileClosing() (ws []inotify.Watch, err error) {
	n, err := inotify.New()
	if err != nil {
		return nil, err
	}
	if _, err := n.AddWatch("/", inotify.Create); err != nil {
		return nil, err
	}
	kerneltest.Traced(func() {
		listed := make(chan error)
		go func() {
			var err error
			ws, err = n.Watches()
			listed <- err
		}()
		for !slices.ContainsFunc(kerneltest.OpenDescriptors(), func(d string) bool { return strings.Contains(d, "/fdinfo/") }) {
			runtime.Gosched()
		}
		err = n.Close()
		other, otherErr := inotify.New()
		if otherErr == nil {
			_, otherErr = other.AddWatch("/proc", inotify.Delete)
			defer other.Close()
		}
		err = errors.Join(err, otherErr, <-listed)
	})
	return ws, err
}
