// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// Each of readers waits for one event by another method.
var readers = map[string]func(n *inotify.Inotify) (inotify.Event, error){
	"ReadEvent": (*inotify.Inotify).ReadEvent,
	"ReadEvents": func(n *inotify.Inotify) (inotify.Event, error) {
		buf := make([]inotify.Event, 1)
		_, err := n.ReadEvents(buf)
		return buf[0], err
	},
	"Events": func(n *inotify.Inotify) (inotify.Event, error) {
		for ev, err := range n.Events(context.Background()) {
			return ev, err
		}
		return inotify.Event{}, errors.New("Events ended without a pair")
	},
	"SyscallConn.Read": func(n *inotify.Inotify) (ev inotify.Event, err error) {
		conn, err := n.SyscallConn()
		if err != nil {
			return ev, err
		}
		cerr := conn.Read(func(uintptr) (ok bool) {
			ev, ok, err = n.TryReadEvent()
			return ok || err != nil
		})
		return ev, errors.Join(cerr, err)
	},
}

// A readerTest has an instance with a watch on a directory, and collects the events that readers
// get.
type readerTest struct {
	*testing.T
	n    *inotify.Inotify
	dir  string
	made int // files in dir
	got  chan string
	seen map[string]bool

	group sync.WaitGroup // of the readers
}

func newReaderTest(t *testing.T) *readerTest {
	t.Helper()
	r := &readerTest{T: t, n: newInotify(t), dir: t.TempDir(), got: make(chan string, 1000), seen: map[string]bool{}}
	add(t, r.n, r.dir, inotify.Create)
	t.Cleanup(func() {
		r.n.Close()
		r.group.Wait()
	})
	return r
}

// start starts a reader that calls read for count events, or until the instance is closed if count
// is negative.
func (r *readerTest) start(count int, read func(n *inotify.Inotify) (inotify.Event, error)) {
	kerneltest.Go(&r.group, func() {
		for ; count != 0; count-- {
			ev, err := read(r.n)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				r.Error(err)
				return
			}
			r.got <- ev.Name
		}
	})
}

// cause causes events, by creating files.
func (r *readerTest) cause(count int) {
	r.Helper()
	for range count {
		if err := unix.Mknod(filepath.Join(r.dir, fmt.Sprint(r.made)), unix.S_IFREG|0o600, 0); err != nil {
			r.Fatal(err)
		}
		r.made++
	}
}

// tryRead reads an event without waiting, and returns how many it got.
func (r *readerTest) tryRead() int {
	r.Helper()
	ev, ok, err := r.n.TryReadEvent()
	if err != nil {
		r.Fatal(err)
	}
	if !ok {
		return 0
	}
	r.got <- ev.Name
	return 1
}

// wait waits until count more events were read, and fails if readers wait although there are
// events.
func (r *readerTest) wait(count int) {
	r.Helper()
	asleep := time.NewTimer(10 * time.Second)
	defer asleep.Stop()
	for range count {
		select {
		case name := <-r.got:
			if r.seen[name] {
				r.Errorf("the event of %s was read twice", name)
			}
			r.seen[name] = true
		case <-asleep.C:
			b, err := r.n.Buffered()
			r.Fatalf("readers wait with %d bytes buffered (%v)", b, err)
		}
	}
}

// settleReaders gives the readers time until they wait.
func settleReaders() { time.Sleep(500 * time.Microsecond) }

// oneProcessor lets one goroutine run at a time until the test ends. Then the readers that the
// kernel's events wake run later than the goroutine that caused the events and reads some itself.
func oneProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func rounds(short, long int) int {
	if kerneltest.LongTests() {
		return long
	}
	return short
}

// TryReadEvent reads all events from the kernel and returns one. The others go to a waiting
// reader.
func TestTryReadEventWakesAReader(t *testing.T) {
	oneProcessor(t)
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			r := newReaderTest(t)
			r.start(-1, read)
			for range rounds(50, 5000) {
				settleReaders()
				r.cause(3)
				r.tryRead()
				r.wait(3)
			}
		})
	}
}

// fillers are calls that read the kernel's events into the buffer.
var fillers = map[string]func(r *readerTest){
	"TryReadEvent": func(r *readerTest) { r.tryRead() },
	"nothing":      func(*readerTest) {},
	"NextWD": func(r *readerTest) {
		if _, err := r.n.NextWD(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			r.Error(err)
		}
	},
	"a rollback": func(r *readerTest) {
		err := r.n.RestoreWatches(kerneltest.Context(r.T), []inotify.Watch{
			{WD: 100, Path: files(r.T, 1)[0], Mask: inotify.Attrib},
			{WD: 101, Path: r.dir, Mask: inotify.Attrib},
		})
		wantError(r.T, err, unix.EEXIST)
	},
	"a cycle": func(r *readerTest) {
		withoutIoctl(r.T)
		if err := r.n.RestoreWatch(kerneltest.Context(r.T), 300, files(r.T, 1)[0], inotify.Attrib); err != nil {
			r.Error(err)
		}
	},
}

// While a Read of SyscallConn is in the poller and reads nothing, the readers that wait for their
// turn get the events, buffered or in the kernel's queue.
func TestReadersBehindAnIdleRead(t *testing.T) {
	for name, read := range readers {
		for by, fill := range fillers {
			t.Run(name+" and "+by, func(t *testing.T) {
				r := newReaderTest(t)
				r.idleRead(func() bool { return false })
				r.start(-1, read)
				settleReaders()
				r.cause(3)
				fill(r)
				r.wait(3)
			})
		}
	}
}

// The same holds if the events come before the reader.
func TestReaderComesToAnIdleRead(t *testing.T) {
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			r := newReaderTest(t)
			r.idleRead(func() bool { return false })
			r.cause(3)
			settleReaders()
			r.start(-1, read)
			r.wait(3)
			r.cause(3)
			r.tryRead()
			r.wait(3)
		})
	}
}

// While the function of a Read runs, other readers get the buffered events.
func TestReadersBehindABusyRead(t *testing.T) {
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			r := newReaderTest(t)
			done := make(chan struct{})
			r.idleRead(func() bool { <-done; return true })
			defer close(done)
			r.start(-1, read)
			settleReaders()
			r.cause(3)
			r.tryRead()
			r.wait(3)
		})
	}
}

// idleRead starts a Read of SyscallConn and returns when it is in the poller.
func (r *readerTest) idleRead(f func() bool) {
	r.Helper()
	conn, err := r.n.SyscallConn()
	if err != nil {
		r.Fatal(err)
	}
	called := make(chan struct{})
	once := sync.OnceFunc(func() { close(called) })
	go conn.Read(func(uintptr) bool { once(); return f() })
	<-called
	settleReaders()
}

// The function of a Read is called again when events are buffered, but not in a loop.
func TestIdleReadDoesNotSpin(t *testing.T) {
	for name, others := range map[string]int{"alone": 0, "with another": 1} {
		t.Run(name, func(t *testing.T) {
			r := newReaderTest(t)
			conn, err := r.n.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var calls [2]chan struct{}
			for i := range others + 1 {
				calls[i] = make(chan struct{}, 1000)
				go conn.Read(func(uintptr) bool {
					select {
					case calls[i] <- struct{}{}:
					default:
					}
					return false
				})
			}
			settleReaders()
			r.cause(3)
			r.tryRead()
			for range 20 {
				settleReaders()
				if _, err := r.n.Buffered(); err != nil {
					t.Error(err)
				}
			}
			for i := range others + 1 {
				if k := len(calls[i]); k < 1 || k > 20 {
					t.Errorf("the function was called %d times", k)
				}
			}
		})
	}
}

// Each of several readers gets its one event, although an Events ends by its context, and others
// by a break, while there are events for the rest.
func TestEveryReaderIsWoken(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs, " processors"), func(t *testing.T) {
			if procs == 1 {
				oneProcessor(t)
			}
			r := newReaderTest(t)
			for round := range rounds(30, 6000) {
				ctx, cancel := context.WithCancel(kerneltest.Context(t))
				ended := make(chan int)
				go func() {
					count := 0
					for ev, err := range r.n.Events(ctx) {
						if err != nil {
							break
						}
						r.got <- ev.Name
						count++
					}
					ended <- count
				}()
				for _, read := range readers {
					r.start(1, read)
					r.start(1, read)
				}
				if round%2 == 0 {
					settleReaders()
				}
				want := 2 * len(readers)
				r.cause(want)
				go cancel()
				extra := r.tryRead()
				extra += <-ended
				r.cause(extra) // in place of the events that those two read
				r.wait(want + extra)
			}
		})
	}
}
