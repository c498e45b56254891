// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "seed of TestModel (random unless given)")
	modelSteps = flag.Int("model.steps", 0, "operations of TestModel (5,000 unless given, 1,000,000 with INOTIFY_TEST_LONG)")
)

// TestModel runs random operations on an instance. Each result, each event and each list of watches
// must be that of a small model of the kernel: which wd a watch gets, and which events are queued in
// which order. The wds are around 1, 2^20 and 2^31-1. Some restores run on a thread without the
// ioctl.
//
//	go test -run TestModel -v -model.seed N -model.steps N .
func TestModel(t *testing.T) {
	t.Parallel()
	needIoctl(t)
	needLists(t)
	steps := *modelSteps
	if steps == 0 {
		steps = 5_000
		if kerneltest.LongTests() {
			steps = 1_000_000
		}
	}
	seed := *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-model.seed %d -model.steps %d", seed, steps)
	m := &model{t: t, rand: rand.New(rand.NewPCG(seed, 0)), cycles: startCycler(t)}
	for done := 0; done < steps; {
		m.begin()
		count := min(steps-done, 50+m.rand.IntN(2000))
		for range count {
			m.step()
			if t.Failed() {
				t.Fatalf("seed %d, operation %d; the last operations: %q", seed, m.count, m.log)
			}
		}
		m.end()
		done += count
	}
	t.Logf("%d operations, %d instances: %v", m.count, m.instances, m.did)
}

// A cycler runs functions on a thread from which the ioctl is hidden.
type cycler struct {
	jobs chan func()
	done chan struct{}
}

func startCycler(t *testing.T) *cycler {
	c := &cycler{make(chan func()), make(chan struct{})}
	hide := withoutIoctlElsewhere(t)
	go func() {
		hide()
		for job := range c.jobs {
			job()
			c.done <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(c.jobs) })
	return c
}

func (c *cycler) do(job func()) {
	c.jobs <- job
	<-c.done
}

// A model is the expected state of an instance.
type model struct {
	t         *testing.T
	rand      *rand.Rand
	cycles    *cycler
	count     int
	instances int
	did       map[string]int
	log       []string // the last operations

	n       *inotify.Inotify
	level   int // an epoll descriptor, level-triggered
	edge    int // an epoll descriptor, edge-triggered
	dirs    []*modelDir
	watches map[inotify.WD]*modelDir
	next    int64           // the kernel's wd counter, or 0 if it is unknown
	queue   []inotify.Event // the events that must be read
	names   int

	lastRead inotify.Event
	cookies  map[uint32]uint32 // from the kernel's to the model's
}

// A modelDir is a directory that may be watched.
type modelDir struct {
	path  string
	wd    inotify.WD // or 0
	mask  inotify.Mask
	files []string
}

const modelEvents = inotify.Create | inotify.Delete | inotify.Attrib | inotify.Move | inotify.DeleteSelf | inotify.MoveSelf

func (m *model) begin() {
	m.instances++
	if m.did == nil {
		m.did = make(map[string]int)
	}
	m.n = newInotify(m.t)
	m.watches = make(map[inotify.WD]*modelDir)
	m.cookies = make(map[uint32]uint32)
	m.next, m.queue, m.log, m.lastRead = 1, nil, nil, inotify.Event{}
	base, err := os.MkdirTemp(m.t.TempDir(), "")
	m.check(err)
	m.dirs = nil
	for i := range 8 {
		d := &modelDir{path: filepath.Join(base, fmt.Sprint(i))}
		m.check(os.Mkdir(d.path, 0o755))
		m.dirs = append(m.dirs, d)
	}
	m.level, m.edge = m.epoll(unix.EPOLLIN), m.epoll(unix.EPOLLIN|unix.EPOLLET)
}

func (m *model) end() {
	m.readAll()
	unix.Close(m.level)
	unix.Close(m.edge)
	m.check(m.n.Close())
	m.check(os.RemoveAll(filepath.Dir(m.dirs[0].path)))
}

func (m *model) check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// epoll returns an epoll descriptor that waits for the instance.
func (m *model) epoll(events uint32) int {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	m.check(err)
	conn, err := m.n.SyscallConn()
	m.check(err)
	m.check(conn.Control(func(fd uintptr) {
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: events})
	}))
	m.check(err)
	return ep
}

func ready(epoll int) bool {
	var events [1]unix.EpollEvent
	for {
		k, err := unix.EpollWait(epoll, events[:], 0)
		if err != unix.EINTR {
			return err == nil && k == 1
		}
	}
}

// step runs one random operation.
func (m *model) step() {
	m.count++
	ops := []struct {
		weight int
		name   string
		do     func()
	}{
		{8, "add", m.add},
		{3, "remove", m.remove},
		{6, "restore", func() { m.restore(false) }},
		{4, "restore several", func() { m.restoreSeveral(false) }},
		{2, "cycle", func() { m.restore(true) }},
		{1, "cycle to several", func() { m.restoreSeveral(true) }},
		{3, "set the next wd", m.setNext},
		{2, "next wd", m.nextWD},
		{8, "make a file", m.makeFile},
		{5, "remove a file", m.removeFile},
		{4, "rename", m.rename},
		{2, "chmod", m.chmod},
		{1, "rmdir", m.rmdir},
		{1, "rename a directory", m.renameDir},
		{10, "read", m.read},
		{2, "read all", m.readAll},
		{2, "list", m.list},
		{1, "edge", m.waitEdge},
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	at := m.rand.IntN(total)
	for _, op := range ops {
		if at -= op.weight; at < 0 {
			m.note("%s", op.name)
			m.did[op.name]++
			op.do()
			break
		}
	}
	m.checkBuffered()
}

func (m *model) note(format string, args ...any) {
	if len(m.log) > 30 {
		m.log = m.log[1:]
	}
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *model) errorf(format string, args ...any) {
	m.t.Helper()
	m.t.Errorf(format, args...)
}

func (m *model) anyDir() *modelDir { return m.dirs[m.rand.IntN(len(m.dirs))] }

// anyWD returns a wd that is likely to be in use, to be the next one, or to be near a
// limit.
func (m *model) anyWD() inotify.WD {
	switch m.rand.IntN(6) {
	case 0:
		for wd := range m.watches {
			return wd
		}
		return 1
	case 1:
		return inotify.WD(1 + m.rand.IntN(6))
	case 2:
		return inotify.WD(1<<20 - 3 + m.rand.IntN(6))
	case 3:
		return inotify.WD(math.MaxInt32 - m.rand.IntN(5))
	default:
		if m.next == 0 {
			return inotify.WD(1 + m.rand.IntN(100))
		}
		return inotify.WD(min(max(1, m.next-2+int64(m.rand.IntN(40))), math.MaxInt32))
	}
}

func (m *model) anyMask() inotify.Mask {
	mask := inotify.Mask(m.rand.Uint32()) & modelEvents
	if m.rand.IntN(10) == 0 {
		mask |= inotify.OneShot
	}
	if m.rand.IntN(10) == 0 {
		mask |= inotify.ExclUnlink
	}
	if mask == 0 {
		mask = inotify.Create
	}
	return mask
}

// free returns the wd that a new watch gets when the counter is at next.
func (m *model) free(next int64) inotify.WD {
	for wd := next; ; wd++ {
		if wd > math.MaxInt32 {
			wd = 1
		}
		if m.watches[inotify.WD(wd)] == nil {
			return inotify.WD(wd)
		}
	}
}

// added adds a watch to the model and advances its wd counter.
func (m *model) added(d *modelDir, wd inotify.WD, mask inotify.Mask) {
	d.wd, d.mask = wd, mask
	m.watches[wd] = d
	m.next = int64(wd) + 1
	if m.next > math.MaxInt32 {
		m.next = 1
	}
}

func (m *model) ended(d *modelDir) {
	m.queue = append(m.queue, inotify.Event{WD: d.wd, Mask: inotify.Ignored})
	delete(m.watches, d.wd)
	d.wd, d.mask = 0, 0
}

// happened queues an event of a directory, if its watch is for that.
func (m *model) happened(d *modelDir, ev inotify.Event) {
	if d.wd == 0 || d.mask&ev.Mask&inotify.AllEvents == 0 {
		return
	}
	ev.WD = d.wd
	m.queue = append(m.queue, ev)
	if d.mask&inotify.OneShot != 0 {
		m.ended(d)
	}
}

func (m *model) add() {
	d, mask := m.anyDir(), m.anyMask()
	create := m.rand.IntN(4) == 0
	flags := mask
	if create {
		flags |= inotify.MaskCreate
	}
	if d.wd != 0 && !create && m.rand.IntN(3) == 0 {
		flags |= inotify.MaskAdd
		mask |= d.mask
	}
	wd, err := m.n.AddWatch(d.path, flags)
	switch {
	case d.wd != 0 && create:
		if !errors.Is(err, unix.EEXIST) {
			m.errorf("AddWatch with MaskCreate of watch %d: %d, %v", d.wd, wd, err)
		}
	case err != nil:
		m.errorf("AddWatch: %v", err)
	case d.wd != 0:
		if wd != d.wd {
			m.errorf("AddWatch of watch %d returned %d", d.wd, wd)
		}
		d.mask = mask
	default:
		if want := m.free(m.next); m.next != 0 && wd != want {
			m.errorf("AddWatch returned %d, want %d", wd, want)
		}
		m.added(d, wd, mask)
	}
}

func (m *model) remove() {
	wd := m.anyWD()
	err := m.n.RemoveWatch(wd)
	d := m.watches[wd]
	if (d != nil) != (err == nil) || err != nil && !errors.Is(err, unix.EINVAL) {
		m.errorf("RemoveWatch(%d): %v, watched %v", wd, err, d != nil)
	}
	if d != nil {
		m.ended(d)
	}
}

// reachable reports whether the cycle reaches wd in a few steps.
func (m *model) reachable(wd inotify.WD) bool {
	return m.next != 0 && int64(wd) >= m.next && int64(wd)-m.next < 300
}

// run runs a restore, on a thread without the ioctl if it is to use the cycle.
func (m *model) run(cycle bool, restore func() error) (err error) {
	if !cycle {
		return restore()
	}
	m.cycles.do(func() { err = restore() })
	return err
}

func (m *model) restore(cycle bool) {
	d, mask, wd := m.anyDir(), m.anyMask(), m.anyWD()
	if cycle && !m.reachable(wd) {
		return
	}
	m.note("wd %d, watched as %d", wd, d.wd)
	err := m.run(cycle, func() error { return m.n.RestoreWatch(context.Background(), wd, d.path, mask) })
	m.restored(err, cycle, []inotify.Watch{{WD: wd, Path: d.path, Mask: mask}}, []*modelDir{d})
}

func (m *model) restoreSeveral(cycle bool) {
	var ws []inotify.Watch
	var dirs []*modelDir
	used := map[inotify.WD]bool{}
	for range 1 + m.rand.IntN(4) {
		d, wd := m.anyDir(), m.anyWD()
		if used[wd] || slices.Contains(dirs, d) && m.rand.IntN(8) > 0 || d.wd != 0 && m.rand.IntN(8) > 0 || cycle && !m.reachable(wd) {
			continue
		}
		used[wd] = true
		ws = append(ws, inotify.Watch{WD: wd, Path: d.path, Mask: m.anyMask()})
		dirs = append(dirs, d)
	}
	if len(ws) == 0 {
		return
	}
	m.note("%+v", ws)
	err := m.run(cycle, func() error { return m.n.RestoreWatches(context.Background(), ws) })
	m.restored(err, cycle, ws, dirs)
}

// restored checks the result of a restore: all of ws or none.
func (m *model) restored(err error, cycle bool, ws []inotify.Watch, dirs []*modelDir) {
	fails := false
	twice := map[*modelDir]bool{}
	for i, w := range ws {
		if dirs[i].wd != 0 || m.watches[w.WD] != nil || twice[dirs[i]] {
			fails = true
		}
		twice[dirs[i]] = true
	}
	if fails != (err != nil) {
		m.errorf("restore of %+v (cycle: %v): %v, want an error: %v", ws, cycle, err, fails)
		return
	}
	if fails {
		if !errors.Is(err, unix.EEXIST) && !errors.As(err, new(*inotify.WDError)) && !(cycle && errors.As(err, new(*inotify.CycleError))) {
			m.errorf("restore of %+v (cycle: %v): %v", ws, cycle, err)
		}
		m.did["failed restore"]++
		m.next = 0
		if m.rand.IntN(2) == 0 {
			m.setNext()
		}
		return
	}
	order := make([]int, len(ws))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return ws[order[a]].WD < ws[order[b]].WD })
	for _, i := range order {
		m.added(dirs[i], ws[i].WD, ws[i].Mask)
	}
}

func (m *model) setNext() {
	wd := m.anyWD()
	if err := m.n.SetNextWD(wd); err != nil {
		m.errorf("SetNextWD(%d): %v", wd, err)
	}
	m.next = int64(wd)
}

func (m *model) nextWD() {
	wd, err := m.n.NextWD()
	if err != nil || m.next != 0 && wd != m.free(m.next) {
		m.errorf("NextWD: %d, %v, want %d", wd, err, m.free(max(1, m.next)))
	}
	m.next = int64(wd)
}

func (m *model) newName() string {
	m.names++
	return fmt.Sprintf("%0*d", 1+m.rand.IntN(40), m.names)
}

func (m *model) makeFile() {
	d, name := m.anyDir(), m.newName()
	m.check(os.Symlink("nothing", filepath.Join(d.path, name)))
	d.files = append(d.files, name)
	m.happened(d, inotify.Event{Mask: inotify.Create, Name: name})
}

// takeFile removes a random file from the model's list.
func (m *model) takeFile() (*modelDir, string) {
	d := m.anyDir()
	if len(d.files) == 0 {
		return nil, ""
	}
	i := m.rand.IntN(len(d.files))
	name := d.files[i]
	d.files = slices.Delete(d.files, i, i+1)
	return d, name
}

func (m *model) removeFile() {
	if d, name := m.takeFile(); d != nil {
		m.check(os.Remove(filepath.Join(d.path, name)))
		m.happened(d, inotify.Event{Mask: inotify.Delete, Name: name})
	}
}

func (m *model) rename() {
	from, old := m.takeFile()
	if from == nil {
		return
	}
	to, name := m.anyDir(), m.newName()
	m.check(os.Rename(filepath.Join(from.path, old), filepath.Join(to.path, name)))
	to.files = append(to.files, name)
	cookie := uint32(m.names)
	m.happened(from, inotify.Event{Mask: inotify.MovedFrom, Cookie: cookie, Name: old})
	m.happened(to, inotify.Event{Mask: inotify.MovedTo, Cookie: cookie, Name: name})
}

func (m *model) chmod() {
	d := m.anyDir()
	m.check(os.Chmod(d.path, 0o755))
	m.happened(d, inotify.Event{Mask: inotify.Attrib | inotify.IsDir})
}

// rmdir replaces an empty directory by a new one.
func (m *model) rmdir() {
	d := m.anyDir()
	if len(d.files) > 0 {
		return
	}
	m.check(os.Remove(d.path))
	m.happened(d, inotify.Event{Mask: inotify.DeleteSelf})
	if d.wd != 0 {
		m.ended(d)
	}
	m.check(os.Mkdir(d.path, 0o755))
}

func (m *model) renameDir() {
	d := m.anyDir()
	path := filepath.Join(filepath.Dir(d.path), "d"+m.newName())
	m.check(os.Rename(d.path, path))
	d.path = path
	m.happened(d, inotify.Event{Mask: inotify.MoveSelf})
}

// expected removes ev, which was read, from the expected events. The kernel merges an event with an
// equal one that is the last in the queue, unless that was read already.
func (m *model) expected(ev inotify.Event) {
	for len(m.queue) > 0 && m.queue[0] == m.lastRead && m.queue[0].Mask != ev.Mask {
		m.queue = m.queue[1:]
	}
	if cookie := ev.Cookie; cookie != 0 {
		if m.cookies[cookie] == 0 && len(m.queue) > 0 {
			m.cookies[cookie] = m.queue[0].Cookie
		}
		ev.Cookie = m.cookies[cookie]
	}
	for len(m.queue) > 0 && m.queue[0] != ev && m.queue[0] == m.lastRead {
		m.queue = m.queue[1:]
	}
	if len(m.queue) == 0 || m.queue[0] != ev {
		m.errorf("read %+v, want the first of %+v", ev, m.queue[:min(3, len(m.queue))])
		return
	}
	m.queue = m.queue[1:]
	m.lastRead = ev
	if n, err := m.n.Buffered(); err == nil && n == 0 {
		for len(m.queue) > 0 && m.queue[0] == ev {
			m.queue = m.queue[1:]
		}
	}
}

// read reads one event by a random method.
func (m *model) read() {
	var ev inotify.Event
	var err error
	some := true
	if n, err := m.n.Buffered(); err != nil {
		m.errorf("Buffered: %v", err)
	} else if n == 0 {
		some = false
	}
	switch way := m.rand.IntN(4); {
	case way == 0 && some:
		ev, err = m.n.ReadEvent()
	case way == 1 && some:
		for ev, err = range m.n.Events(context.Background()) {
			break
		}
	case way == 2:
		m.check(m.n.SetReadDeadline(time.Unix(1, 0)))
		ev, err = m.n.ReadEvent()
		m.check(m.n.SetReadDeadline(time.Time{}))
		if errors.Is(err, os.ErrDeadlineExceeded) && !some {
			return
		}
	default:
		var ok bool
		ev, ok, err = m.n.TryReadEvent()
		if ok != some {
			m.errorf("TryReadEvent: %v, want %v", ok, some)
		}
		if !ok && err == nil {
			return
		}
	}
	if err != nil {
		m.errorf("reading: %v", err)
		return
	}
	m.expected(ev)
}

func (m *model) readAll() {
	for {
		ev, ok, err := m.n.TryReadEvent()
		if err != nil {
			m.errorf("TryReadEvent: %v", err)
		}
		if !ok {
			break
		}
		if m.expected(ev); m.t.Failed() {
			return
		}
	}
	if len(m.queue) > 0 {
		m.errorf("nothing to read, want %+v", m.queue[0])
	}
	if ready(m.level) {
		m.errorf("readable after all was read")
	}
}

// checkBuffered compares Buffered with the expected events.
func (m *model) checkBuffered() {
	n, err := m.n.Buffered()
	if err != nil {
		m.errorf("Buffered: %v", err)
	}
	if (n > 0) != (len(m.queue) > 0) {
		m.errorf("Buffered is %d, and %d events are expected", n, len(m.queue))
	}
	most := 0
	for _, ev := range m.queue {
		most += 16
		if ev.Name != "" {
			most += (len(ev.Name) + 16) / 16 * 16
		}
	}
	if n > most {
		m.errorf("Buffered is %d, and the events expected have %d bytes", n, most)
	}
}

func (m *model) list() {
	ws, err := m.n.Watches()
	if err != nil {
		m.errorf("Watches: %v", err)
	}
	if len(ws) != len(m.watches) {
		m.errorf("%d watches, want %d", len(ws), len(m.watches))
	}
	for _, w := range ws {
		if d := m.watches[w.WD]; d == nil || w.Mask != d.mask {
			m.errorf("watch %+v, want %+v", w, d)
		}
	}
}

// waitEdge checks that a new event makes an edge-triggered epoll report the descriptor.
func (m *model) waitEdge() {
	m.readAll()
	ready(m.edge)
	before := len(m.queue)
	m.makeFile()
	if len(m.queue) > before && (!ready(m.edge) || !ready(m.level)) {
		m.errorf("epoll reports nothing after an event")
	}
}
