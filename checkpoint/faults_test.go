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
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// A faultOp is an operation that is tested with faults: see kerneltest.FaultTest.
type faultOp struct {
	name  string
	fails bool // it fails without a fault too
	other bool // the instance is that of the other process
	ways  []string
	ready func(r *rig) error
	do    func(r *rig) error
	check func(r *rig, failed error, a *kerneltest.FaultAnswer)
}

// A rig is what an operation works on: an instance of this or the other process, with
// watches, and events in its queue.
type rig struct {
	op    *faultOp
	dir   string
	n     *inotify.Inotify // or nil
	pid   int
	fd    int
	want  string // the events that must be read, each once
	named int

	truth *checkpoint.Snapshot // the expected dump
	s     *checkpoint.Snapshot // the dump, or what to restore
	opts  []checkpoint.DumpOption

	again     []checkpoint.RestoreOption
	restored  *checkpoint.Restored
	file      *os.File // released
	released  []inotify.Event
	known     []checkpoint.Instance // the expected list
	instances []checkpoint.Instance
	supplied  *os.File
}

// otherProcess is the other process.
var otherProcess *process

// A process is a holder in the child, without a testing.TB: see hold.
type process struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
	pid int
}

// startProcess starts a process, which is killed when its pid namespace ends.
func startProcess() (*process, error) {
	cmd := holderCommand("/proc/self/exe")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd: cmd, in: in, out: bufio.NewReader(out)}, cmd.Start()
}

func (p *process) do(words ...string) (string, error) {
	ok, text, err := request(p.in, p.out, words...)
	if err == nil && !ok {
		err = errors.New(text)
	}
	return text, err
}

// stop stops the process and waits until it is stopped.
func (p *process) stop() error {
	var info unix.Siginfo
	return errors.Join(unix.Kill(p.pid, unix.SIGSTOP), unix.Waitid(unix.P_PID, p.pid, &info, unix.WSTOPPED|unix.WNOWAIT, nil))
}

// childFaults is the program of the traced child. It has a /proc of its own, which shows
// only one other process.
func childFaults() error {
	err := unix.Mount("proc", "/proc", "proc", 0, "")
	if err == nil {
		otherProcess, err = startProcess()
	}
	if err != nil {
		return kerneltest.SkipParent(err)
	}
	otherProcess.pid = otherProcess.cmd.Process.Pid
	return kerneltest.ServeFaults(func(op string, e unix.Errno) (a kerneltest.FaultAnswer) {
		if err := tryFault(op, e, &a); err != nil {
			a.Broke("the rig: %v", err)
		}
		return a
	})
}

// tryFault runs the operation and checks the state afterwards.
func tryFault(name string, e unix.Errno, a *kerneltest.FaultAnswer) error {
	op := &faultOps[slices.IndexFunc(faultOps, func(o faultOp) bool { return o.name == name })]
	r, err := newRig(op)
	defer r.close()
	if err != nil {
		return err
	}
	resources := kerneltest.CurrentResources()
	if op.ready != nil {
		if err := op.ready(r); err != nil {
			return err
		}
	}
	var failed error
	kerneltest.Traced(func() { failed = op.do(r) })
	a.Fail(failed, e)
	kerneltest.CloseShut()
	op.check(r, failed, a)
	if r.supplied != nil {
		r.supplied.Close()
	}
	resources.Check(a)
	return nil
}

const faultNext = 30 // the next wd of a rig's instance

func newRig(op *faultOp) (*rig, error) {
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		return nil, err
	}
	r := &rig{op: op, dir: dir}
	if err := os.MkdirAll(r.path("live/below"), 0o700); err != nil {
		return r, err
	}
	for _, name := range []string{"f0", "f1", "live/below/f2"} {
		if err := os.WriteFile(r.path(name), nil, 0o600); err != nil {
			return r, err
		}
	}
	if _, err := otherProcess.do("close"); err != nil {
		return r, err
	}
	if op.other {
		r.pid = otherProcess.pid
		_, err = otherProcess.do("new")
	} else {
		r.pid = os.Getpid()
		r.n, err = kerneltest.NewWhenPossible()
	}
	if err != nil {
		return r, err
	}
	for _, w := range []struct {
		wd, mask, name string
	}{{"3", "IN_CREATE", "live"}, {"7", "IN_ATTRIB", "f0"}, {"20", "IN_ATTRIB|IN_EXCL_UNLINK", "live/below/f2"}} {
		if _, err := r.call("watch", w.wd, w.mask, r.path(w.name)); err != nil {
			return r, err
		}
		if _, err := otherProcess.do("open", r.path(w.name)); err != nil { // so that its name stays in the kernel's cache
			return r, err
		}
	}
	if _, err := r.call("next", fmt.Sprint(faultNext)); err != nil {
		return r, err
	}
	fd, err := r.call("fd")
	if err == nil {
		_, err = fmt.Sscan(fd, &r.fd)
	}
	return r, errors.Join(err, r.makeEvents(), r.makeEvents())
}

// call sends a command to the process that has the instance.
func (r *rig) call(words ...string) (string, error) {
	if r.n == nil {
		return otherProcess.do(words...)
	}
	h := holderState{n: r.n}
	return h.execute(words)
}

func (r *rig) close() {
	if r == nil {
		return
	}
	if r.n != nil {
		r.n.Close()
	}
	unix.Kill(otherProcess.pid, unix.SIGCONT)
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// makeEvents causes events with a new name.
func (r *rig) makeEvents() error {
	r.named++
	name := fmt.Sprint("e", r.named)
	r.want += fmt.Sprintf("3 IN_CREATE %s\n7 IN_ATTRIB \n", name)
	return errors.Join(os.WriteFile(r.path("live/"+name), nil, 0o600), os.Chmod(r.path("f0"), 0o600))
}

// dumping is an operation that dumps the instance.
func dumping(opts ...checkpoint.DumpOption) faultOp {
	return faultOp{
		ready: func(r *rig) (err error) {
			r.opts = append(slices.Clone(opts), checkpoint.WithSearchDirs(r.dir), checkpoint.WithMaxSearchEntries(30))
			r.truth, err = r.dump(slices.DeleteFunc(slices.Clone(r.opts), drains))
			if err == nil && r.op.other {
				err = otherProcess.stop()
			}
			return err
		},
		do: func(r *rig) (err error) {
			r.s, err = r.dump(r.opts)
			return err
		},
		check: checkDumped,
	}
}

var drain = checkpoint.WithDrain()

func drains(o checkpoint.DumpOption) bool {
	return reflect.ValueOf(o).Pointer() == reflect.ValueOf(drain).Pointer()
}

func (r *rig) dump(opts []checkpoint.DumpOption) (*checkpoint.Snapshot, error) {
	if r.n != nil {
		return checkpoint.Dump(context.Background(), r.n, opts...)
	}
	return checkpoint.DumpFD(context.Background(), r.pid, r.fd, opts...)
}

// What an error or a gap of package inotify reports as left behind.
const (
	watchLeft   = "leaked watch"
	ignoredLeft = "of a rolled-back watch may be read"

	nonblockLeft = "left with O_NONBLOCK"
)

// checkDumped checks the dump, and that the instance is unchanged.
func checkDumped(r *rig, failed error, a *kerneltest.FaultAnswer) {
	var events string
	if r.s != nil {
		events = lines(r.s.Pending)
		if err := r.s.Validate(); err != nil {
			a.Broke("the dump: %v", err)
		}
		for _, g := range r.s.Unknown {
			a.Reported = append(a.Reported, g.String())
		}
	}
	if failed == nil {
		r.compare(r.s, a)
	}
	reported := a.Err + strings.Join(a.Reported, "")
	left, moved := strings.Contains(reported, watchLeft), strings.Contains(reported, "has moved on")
	if err := r.makeEvents(); err != nil {
		a.Broke("afterwards: %v", err)
	}
	if err := r.op.do(r); err != nil {
		a.Broke("afterwards: %v", err)
	}
	if r.s != nil && !left && !moved {
		r.compare(r.s, a)
		for _, g := range r.s.Unknown {
			if !slices.ContainsFunc(r.truth.Unknown, func(t checkpoint.Gap) bool { return t.Field == g.Field && t.WD == g.WD }) {
				a.Broke("afterwards: %v", g)
			}
		}
	}
	if r.s != nil {
		events += lines(r.s.Pending)
	}
	unix.Kill(otherProcess.pid, unix.SIGCONT)
	if r.op.other {
		r.call("fcntl", fmt.Sprint(unix.F_SETFL), fmt.Sprint(unix.O_NONBLOCK))
	}
	if next, err := r.call("nextwd"); !left && !moved && (err != nil || next != fmt.Sprint(faultNext)) {
		a.Broke("the next wd is %s, %v", next, err)
	}
	rest, err := r.call("events")
	if err != nil {
		a.Broke("reading: %v", err)
	}
	events += rest
	if left || strings.Contains(reported, ignoredLeft) {
		events = strings.Replace(events, fmt.Sprintf("%d IN_IGNORED \n", faultNext), "", 1)
	}
	if events != r.want {
		a.Broke("events %q, want %q", events, r.want)
	}
}

// compare compares the dump with the expected one. What is missing must be listed.
func (r *rig) compare(s *checkpoint.Snapshot, a *kerneltest.FaultAnswer) {
	listed := func(what string, wd inotify.WD) bool {
		return slices.ContainsFunc(s.Unknown, func(g checkpoint.Gap) bool { return g.Field == checkpoint.Field(what) && g.WD == wd })
	}
	want := r.truth.Flags
	if listed("flags", 0) {
		want &^= checkpoint.CloseOnExec
	}
	if s.FD != r.truth.FD || s.Flags != want && !strings.Contains(a.Err, nonblockLeft) {
		a.Broke("descriptor %d with %v, want %d with %v", s.FD, s.Flags, r.truth.FD, want)
	}
	for _, f := range []struct {
		what      string
		got, want any
	}{
		{"boot_id", s.BootID, r.truth.BootID},
		{"owner", s.Owner, r.truth.Owner},
		{"signal", s.Signal, r.truth.Signal},
		{"next_wd", s.NextWD, inotify.WD(faultNext)},
	} {
		if f.got != f.want && !listed(f.what, 0) {
			a.Broke("%s is %v, want %v", f.what, f.got, f.want)
		}
	}
	if len(s.Watches) != len(r.truth.Watches) {
		a.Broke("watches %v", s.Watches)
		return
	}
	for i, w := range s.Watches {
		want := r.truth.Watches[i]
		if w.Path == "" && listed("path", w.WD) {
			want.Path = ""
		}
		if w.Type == "" && listed("type", w.WD) {
			want.Type = ""
		}
		if w.Path != want.Path && sameFile(w.Path, want.Path) { // by another mount of the filesystem
			want.Path = w.Path
		}
		if w != want {
			a.Broke("watch %+v, want %+v", w, want)
		}
	}
}

func sameFile(a, b string) bool {
	x, err := os.Lstat(a)
	y, yerr := os.Lstat(b)
	return err == nil && yerr == nil && os.SameFile(x, y)
}

// restoring is an operation that restores a dump after a change.
func restoring(change func(r *rig) error, opts ...checkpoint.RestoreOption) faultOp {
	return faultOp{
		ready: func(r *rig) (err error) {
			r.again = opts
			r.s, err = r.dump([]checkpoint.DumpOption{checkpoint.WithPaths(checkpoint.PathsBySearch), checkpoint.WithSearchDirs(r.dir)})
			if err == nil { // as if no events were pending
				r.s.PendingBytes = 0
				r.s.Unknown = slices.DeleteFunc(r.s.Unknown, func(g checkpoint.Gap) bool { return g.Field == checkpoint.FieldPending })
			}
			if err == nil && change != nil {
				err = change(r)
			}
			return err
		},
		do: func(r *rig) (err error) {
			r.restored, err = r.s.Restore(context.Background(), r.again...)
			return err
		},
		check: func(r *rig, failed error, a *kerneltest.FaultAnswer) {
			r.checkRestored(a)
			if err := r.op.do(r); (err != nil) != r.op.fails {
				a.Broke("afterwards: %v", err)
			}
			reported := a.Reported
			r.checkRestored(a)
			a.Reported = reported
		},
	}
}

// checkRestored compares the restored instance with the snapshot, reads its events and
// closes it.
func (r *rig) checkRestored(a *kerneltest.FaultAnswer) {
	if r.restored == nil {
		return
	}
	defer func() { r.restored = nil }()
	defer r.restored.Close()
	listed := func(what string, wd inotify.WD) bool {
		return slices.ContainsFunc(r.restored.NotRestored, func(g checkpoint.Gap) bool { return g.Field == checkpoint.Field(what) && g.WD == wd })
	}
	for _, g := range r.restored.NotRestored {
		a.Reported = append(a.Reported, g.String())
	}
	live, err := checkpoint.Dump(context.Background(), r.restored.Inotify, checkpoint.WithPaths(checkpoint.PathsNone))
	if err != nil {
		a.Broke("the restored instance: %v", err)
		return
	}
	for _, d := range r.s.Compare(live) {
		if !listed(string(d.Field), d.WD) {
			a.Broke("the restored instance: %v", d)
		}
	}
	r.checkEvents(a, func() (string, error) {
		var evs []inotify.Event
		evs = append(evs, r.restored.Pending()...)
		rest, err := (&holderState{n: r.restored.Inotify}).events()
		return lines(evs) + rest, err
	})
}

// checkEvents causes events and checks that the restored instance has them after those of
// the snapshot.
func (r *rig) checkEvents(a *kerneltest.FaultAnswer, read func() (string, error)) {
	before := len(r.want)
	if err := r.makeEvents(); err != nil {
		a.Broke("afterwards: %v", err)
	}
	want := lines(r.s.Pending) + r.want[before:]
	if events, err := read(); err != nil || events != want {
		a.Broke("events %q, %v; want %q", events, err, want)
	}
}

// releasing is an operation that releases a restored instance.
func releasing(change func(r *rig) error, opts ...checkpoint.RestoreOption) faultOp {
	op := restoring(change, opts...)
	dumpFirst, restore := op.ready, op.do
	op.ready = func(r *rig) error { return errors.Join(dumpFirst(r), restore(r)) }
	op.do = func(r *rig) (err error) {
		r.file, r.released, err = r.restored.Release()
		return err
	}
	op.check = func(r *rig, failed error, a *kerneltest.FaultAnswer) {
		if r.file == nil {
			if err := r.op.do(r); err != nil {
				a.Broke("afterwards: %v", err)
			}
		} else if failed == nil {
			flags, err := unix.FcntlInt(r.file.Fd(), unix.F_GETFL, 0)
			own, oerr := unix.FcntlInt(r.file.Fd(), unix.F_GETFD, 0)
			if err != nil || oerr != nil || (flags&unix.O_NONBLOCK != 0) != (r.s.Flags&checkpoint.NonBlock != 0) || (own != 0) != (r.s.Flags&checkpoint.CloseOnExec != 0) {
				a.Broke("flags %#x, %v and %#x, %v", flags, err, own, oerr)
			}
		}
		r.restored.Close()
		if r.file == nil {
			return
		}
		defer r.file.Close()
		r.checkEvents(a, func() (string, error) {
			fd, err := unix.Dup(int(r.file.Fd()))
			if err == nil {
				err = unix.SetNonblock(fd, true)
			}
			if err != nil {
				return "", err
			}
			n, err := inotify.FromFile(os.NewFile(uintptr(fd), "released"))
			if err != nil {
				return "", err
			}
			defer n.Close()
			rest, err := (&holderState{n: n}).events()
			return lines(r.released) + rest, err
		})
	}
	return op
}

// listing is an operation that lists instances.
func listing(pids func(r *rig) []int) faultOp {
	return faultOp{
		ready: func(r *rig) (err error) {
			r.known, err = checkpoint.Instances(context.Background(), pids(r)...)
			return err
		},
		do: func(r *rig) (err error) {
			r.instances, err = checkpoint.Instances(context.Background(), pids(r)...)
			return err
		},
		check: func(r *rig, failed error, a *kerneltest.FaultAnswer) {
			for i := range r.instances {
				if err := r.instances[i].Ungrouped; err != nil {
					a.Reported = append(a.Reported, err.Error())
				}
			}
			if failed == nil && len(a.Reported) == 0 && !reflect.DeepEqual(r.instances, r.known) {
				a.Broke("instances %v, want %v", r.instances, r.known)
			}
			if err := r.op.do(r); err != nil || !reflect.DeepEqual(r.instances, r.known) {
				a.Broke("afterwards: instances %v, %v; want %v", r.instances, err, r.known)
			}
		},
	}
}

func called(name string, op faultOp) faultOp {
	op.name = name
	return op
}

func ofOther(op faultOp) faultOp {
	op.other = true
	return op
}

func failing(op faultOp) faultOp {
	op.fails = true
	return op
}

func in(op faultOp, ways ...string) faultOp {
	op.ways = ways
	return op
}

var (
	noPaths  = checkpoint.WithPaths(checkpoint.PathsNone)
	searched = checkpoint.WithPaths(checkpoint.PathsBySearch)

	// pendingKept leaves the queue empty, as filling it makes some 20,000 calls. For that see
	// TestPendingFaults.
	pendingKept = checkpoint.WithPendingKept()
)

// faultOps are the operations.
var faultOps = []faultOp{
	called("Dump", dumping()),
	called("Dump by search", dumping(searched)),
	called("Dump draining", dumping(noPaths, drain)),
	called("Dump of an instance without watches", emptied(dumping())),
	ofOther(called("DumpFD", in(dumping(), "without pidfds"))),
	ofOther(called("DumpFD by search", dumping(searched))),
	ofOther(called("DumpFD draining", dumping(noPaths, drain))),
	ofOther(called("DumpFD draining a blocking instance", blocking(dumping(noPaths, drain)))),
	called("Instances", listing(func(r *rig) []int { return nil })),
	called("Instances of two", listing(func(r *rig) []int { return []int{r.pid, otherProcess.pid} })),
	called("Restore", in(restoring(pend, pendingKept), "without the ioctl")),
	called("Restore by wds", in(restoring(pend, pendingKept, checkpoint.WithVerify(checkpoint.VerifyWDs)), "without the ioctl")),
	called("Restore of a symlink by wds", restoring(link, checkpoint.WithVerify(checkpoint.VerifyWDs))),
	called("Restore unverified", restoring(nil, checkpoint.WithVerify(checkpoint.VerifyNone))),
	called("Restore with a file", restoring(supply)),
	called("Restore without a missing file", restoring(lose, checkpoint.AllowMissing())),
	called("Restore with an owner", restoring(own)),
	failing(called("Restore of a missing file", restoring(lose))),
	failing(called("Restore of another type", restoring(func(r *rig) error {
		r.s.Watches[1].Type = checkpoint.TypeSymlink
		return nil
	}, checkpoint.WithVerify(checkpoint.VerifyWDs)))),
	failing(called("Restore of another directory's type", restoring(func(r *rig) error {
		r.s.Watches[1].Type = checkpoint.TypeDirectory
		return nil
	}))),
	failing(called("Restore of another file", restoring(func(r *rig) error {
		return errors.Join(os.Rename(r.path("f0"), r.path("f3")), os.Rename(r.path("f1"), r.path("f0")))
	}))),
	called("Release", releasing(pend, pendingKept)),
	called("Release as blocking", releasing(func(r *rig) error {
		r.s.Flags = 0
		return pend(r)
	}, pendingKept)),
	called("Release with an owner", releasing(own)),
}

// emptied makes the operation remove the watches first.
func emptied(op faultOp) faultOp {
	ready := op.ready
	op.ready = func(r *rig) error {
		for _, wd := range []inotify.WD{3, 7, 20} {
			if err := r.n.RemoveWatch(wd); err != nil {
				return err
			}
			r.want += fmt.Sprintf("%d IN_IGNORED \n", wd)
		}
		return ready(r)
	}
	op.check = func(r *rig, failed error, a *kerneltest.FaultAnswer) {
		if failed == nil {
			r.compare(r.s, a)
		}
	}
	return op
}

// blocking makes the instance block.
func blocking(op faultOp) faultOp {
	ready := op.ready
	op.ready = func(r *rig) error {
		_, err := r.call("fcntl", fmt.Sprint(unix.F_SETFL), "0")
		return errors.Join(err, ready(r))
	}
	return op
}

func pend(r *rig) error {
	r.s.Pending = []inotify.Event{{WD: 7, Mask: inotify.Modify}}
	return nil
}

// link changes the path of a watch to that of a symbolic link.
func link(r *rig) error {
	if err := os.Symlink("f1", r.path("link")); err != nil {
		return err
	}
	r.s.Watches[2].Path, r.s.Watches[2].Type = r.path("link"), checkpoint.TypeSymlink
	r.s.BootID = ""
	return nil
}

// supply opens a watched file, removes it, and supplies it with WithFileFor.
func supply(r *rig) (err error) {
	if r.supplied, err = os.Open(r.path("live/below/f2")); err != nil {
		return err
	}
	r.again = append(r.again, checkpoint.WithFileFor(func(w checkpoint.Watch) (*os.File, error) {
		if w.WD == 20 {
			return r.supplied, nil
		}
		return nil, nil
	}))
	return os.Remove(r.path("live/below/f2"))
}

// lose changes the path of a watch to one that does not exist.
func lose(r *rig) error {
	r.s.Watches = slices.Clone(r.s.Watches)
	r.s.Watches[2].Path = r.path("f1") + "missing"
	return nil
}

// own makes this process the owner, with a signal that is ignored by default.
func own(r *rig) error {
	r.s.Flags |= checkpoint.Async
	r.s.Owner = checkpoint.Owner{Kind: checkpoint.OwnerProcess, ID: os.Getpid(), Self: true}
	r.s.Signal = int(unix.SIGWINCH)
	r.again = append(r.again, checkpoint.WithOwner(checkpoint.OwnerProcess, os.Getpid()))
	return nil
}

var withoutIoctl = kerneltest.Rule{
	For:   func(c *kerneltest.Call) bool { return c.Name == "ioctl INOTIFY_IOC_SETNEXTWD" },
	Errno: unix.ENOTTY,
}

var faultWays = map[string][]kerneltest.Rule{
	"without the ioctl": {withoutIoctl},
	"without pidfds":    {{For: func(c *kerneltest.Call) bool { return c.Name == "pidfd_open" }, Errno: unix.ENOSYS}},
}

// wantInError returns the part of a call's object that an error must contain.
func wantInError(c *kerneltest.Call) string {
	switch {
	case strings.HasPrefix(c.Object, "watch "):
		return c.Object
	case strings.Contains(c.Object, "/faults"):
		return strings.TrimSuffix(filepath.Base(c.Object), " (deleted)")
	}
	return ""
}

var over = kerneltest.Over

var tolerances = []kerneltest.Tolerance{
	over("", "fcntl F_GETFL", "anon_inode", nil, osDropsErrno),
	over("", "epoll_ctl", "anon_inode", nil, osDropsErrno),
	over("Dump", "openat2", "/", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere),
	over("search", "getdents64", "/faults", []unix.Errno{unix.ENOENT}, notThere),
	over("Dump", "name_to_handle_at", "/faults", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere),
}

const (
	osDropsErrno = "package os drops the errno; the error says that the runtime cannot wait"
	notThere     = "the error means that the file does not exist"

	onlyReader = "there is no other reader"
)

var untried = []kerneltest.Tolerance{
	over("Restore", "read", "anon_inode", []unix.Errno{unix.EAGAIN}, onlyReader),
	over("draining", "read", "anon_inode", []unix.Errno{unix.EAGAIN}, onlyReader),
	over("Restore without a missing file", "fstatat", "/faults", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere),
	over("Restore without a missing file", "lstat", "/faults", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere), // of GOARCH=386
	over("Restore of a missing file", "statx", "/faults", []unix.Errno{unix.ENOENT}, "the add of the watch reports it"),
	over("DumpFD", "openat", "fdinfo", []unix.Errno{unix.ENOENT}, "the error means that the descriptor was closed, which ErrReplaced reports"),
	over("Instances", "", "/proc/", []unix.Errno{unix.ENOENT}, "the error means that the process has exited"),
}

// TestFaults: whichever system call of an operation fails, the error is reported, nothing
// leaks, and the operation can be repeated.
func TestFaults(t *testing.T) {
	t.Parallel()
	needIoctl(t)
	f := kerneltest.FaultTest{
		Command: func() *exec.Cmd { return faultsCommand(t) }, Ways: faultWays,
		Named: wantInError, Tolerated: kerneltest.AnyOf(tolerances),
		Untried: kerneltest.AnyOf(untried), Checked: true, Again: true, Sparse: true,
	}
	for _, op := range faultOps {
		f.Ops = append(f.Ops, kerneltest.FaultOp{Name: op.name, Fails: op.fails})
		for _, way := range op.ways {
			f.Ops = append(f.Ops, kerneltest.FaultOp{Name: op.name, Fails: op.fails, Way: way})
		}
	}
	f.Run(t)
}

// faultsCommand starts this program in namespaces of its own.
func faultsCommand(t *testing.T) *exec.Cmd {
	self := kerneltest.Executable(t)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "INOTIFY_TEST_FAULTS_CHILD=1")
	cmd.SysProcAttr = kerneltest.OwnProc()
	return cmd
}
