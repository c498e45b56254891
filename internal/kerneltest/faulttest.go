// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package kerneltest

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
)

// A FaultTest makes each system call of each operation fail, the first and later ones of its kind,
// with the errnos that the kernel may return. A child process runs the operations and checks the
// result. An operation that makes a call which is not in faultTable fails the test.
type FaultTest struct {
	Command func() *exec.Cmd // its program calls ServeFaults
	Ops     []FaultOp
	Ways    map[string][]Rule // by which a kernel lacks something, besides the fault

	// Kind returns the kind of a call: calls of one kind fail alike. nil is KindOf.
	Kind func(*Call) string

	// Named returns the part of a call's object that an error must name, or "".
	Named func(*Call) string

	// Tolerated returns why an operation may ignore a fault, or "". Then it must have no error, or
	// the one that it has without the fault.
	Tolerated func(op string, c *Call, e unix.Errno) string

	// Untried returns why a fault is not injected, or "". nil injects all.
	Untried func(op string, c *Call, e unix.Errno) string

	// Checked says that the child checks an operation's whole result, so that it may ignore any
	// fault if the result is right.
	Checked bool

	Again  bool // calls that a signal or a rename interrupts must be repeated
	Sparse bool // fewer faults are injected
}

// A FaultOp is an operation in which system calls are made to fail.
type FaultOp struct {
	Name  string
	Fails bool // also without a fault
	Way   string

	number int
}

// A faultRequest is a request to the child: an operation, and the errno of the fault.
type faultRequest struct {
	Op    string
	Errno unix.Errno
}

// FaultRequest returns such a request, for callers of Supervised.Run.
func FaultRequest(op string, e unix.Errno) string {
	text, err := json.Marshal(faultRequest{op, e})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// A FaultAnswer is the child's answer.
type FaultAnswer struct {
	Err      string   // the operation's error
	Is       bool     // errors.Is of the errno
	Reported []string // what the result reports as missing
	Broken   []string // promises that were not kept
}

// Fail records the operation's error.
func (a *FaultAnswer) Fail(err error, e unix.Errno) {
	if err != nil {
		a.Err, a.Is = err.Error(), errors.Is(err, e)
	}
}

// Broke records a promise that was not kept.
func (a *FaultAnswer) Broke(format string, args ...any) {
	a.Broken = append(a.Broken, fmt.Sprintf(format, args...))
}

// ServeFaults is the child's side.
func ServeFaults(try func(op string, e unix.Errno) FaultAnswer) error {
	return Serve(func(request string) string {
		var q faultRequest
		if err := json.Unmarshal([]byte(request), &q); err != nil {
			return err.Error()
		}
		text, _ := json.Marshal(try(q.Op, q.Errno))
		return string(text)
	})
}

// Resources are the open descriptors and the number of goroutines of this process.
type Resources struct {
	open       []string
	goroutines int
}

// CurrentResources returns those of this moment.
func CurrentResources() Resources { return Resources{OpenDescriptors(), runtime.NumGoroutine()} }

// Check records leaks since then. Goroutines get some time to end.
func (b *Resources) Check(a *FaultAnswer) {
	if after := OpenDescriptors(); !slices.Equal(b.open, after) {
		a.Broke("descriptors before %q, after %q", b.open, after)
	}
	for range 100 {
		if runtime.NumGoroutine() <= b.goroutines {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	a.Broke("%d goroutines, before %d", runtime.NumGoroutine(), b.goroutines)
}

// NewWhenPossible creates an instance. It waits at the limit of instances, which other processes
// use, too.
func NewWhenPossible() (n *inotify.Inotify, err error) {
	for range 200 {
		if n, err = inotify.New(); !errors.Is(err, unix.EMFILE) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return n, err
}

// A faultRow lists the errnos that the kernel may return for a call, and the word by which an error
// names the call. EPERM comes from a seccomp profile, and EACCES, where no path is looked up, from
// a security module.
type faultRow struct {
	call, on string // prefixes of the call's name and object
	errnos   []unix.Errno
	word     string // alternatives are separated by |
}

var (
	ofLookup = []unix.Errno{unix.EACCES, unix.EINTR, unix.ENOENT, unix.ENOMEM, unix.ENOTDIR} // EINTR: FUSE and other filesystems that wait
	ofOpen   = []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOMEM}                           // of a new descriptor
	ofLSM    = []unix.Errno{unix.EACCES, unix.EPERM}
)

func all(errnos []unix.Errno, more ...unix.Errno) []unix.Errno {
	return append(slices.Clone(errnos), more...)
}

// faultTable has every call that the library makes.
var faultTable = []faultRow{
	{"inotify_init1", "", all(ofOpen, unix.EPERM, unix.ENOSYS), "inotify_init1"}, // ENOSYS: without CONFIG_INOTIFY_USER
	{"inotify_add_watch", "", all(ofLookup, unix.ENOSPC, unix.EPERM), "inotify_add_watch"},
	{"inotify_rm_watch", "", []unix.Errno{unix.EPERM, unix.EINVAL}, "inotify_rm_watch"}, // EINVAL: the watch ended just before
	{"ioctl INOTIFY_IOC_SETNEXTWD", "", []unix.Errno{unix.ENOTTY, unix.ENOSYS, unix.EPERM, unix.EACCES}, "ioctl INOTIFY_IOC_SETNEXTWD"},
	{"ioctl FIONREAD", "", ofLSM, "ioctl FIONREAD"},
	{"read", "anon_inode:inotify", []unix.Errno{unix.EACCES, unix.EINTR, unix.EAGAIN, unix.EINVAL, unix.ENOMEM}, "read"}, // EAGAIN: another reader was faster; EINVAL: the next record is longer
	{"read", "", []unix.Errno{unix.EACCES, unix.EINTR, unix.ENOMEM}, "read"},
	{"fcntl F_DUPFD_CLOEXEC", "", []unix.Errno{unix.EMFILE, unix.ENOMEM, unix.EACCES}, "fcntl F_DUPFD_CLOEXEC"},
	{"fcntl F_GETFL", "", []unix.Errno{unix.EACCES}, "fcntl F_GETFL"},
	{"fcntl F_SETFL", "", []unix.Errno{unix.EACCES}, "fcntl F_SETFL"},
	{"fcntl F_GETFD", "", []unix.Errno{unix.EACCES}, "fcntl F_GETFD"},
	{"fcntl F_SETFD", "", []unix.Errno{unix.EACCES}, "fcntl F_SETFD"},
	{"fcntl F_GETOWN_EX", "", []unix.Errno{unix.EACCES}, "fcntl F_GETOWN_EX"},
	{"fcntl F_SETOWN_EX", "", []unix.Errno{unix.EACCES, unix.EPERM}, "fcntl F_SETOWN_EX"},
	{"fcntl F_GETSIG", "", []unix.Errno{unix.EACCES}, "fcntl F_GETSIG"},
	{"fcntl F_SETSIG", "", []unix.Errno{unix.EACCES, unix.EINVAL}, "fcntl F_SETSIG"},
	{"epoll_ctl EPOLL_CTL_DEL", "", nil, "epoll_ctl"},                                                  // removing a registered descriptor does not fail
	{"epoll_ctl", "", []unix.Errno{unix.ENOSPC, unix.ENOMEM, unix.EPERM}, "fs.epoll.max_user_watches"}, // ENOSPC: that limit
	{"openat", "", all(ofLookup, ofOpen...), "open|look up"},
	{"openat2", "", all(ofLookup, unix.EMFILE, unix.ENFILE, unix.EAGAIN, unix.ENOSYS, unix.EPERM), "open|look up"}, // EAGAIN: something was renamed
	{"fstatat", "", ofLookup, "stat"},
	{"lstat", "", ofLookup, "stat"},
	{"stat", "", ofLookup, "stat"}, // of GOARCH=386
	{"statx", "", all(ofLookup, unix.ENOSYS, unix.EPERM), "stat"},
	{"fstat", "", []unix.Errno{unix.EACCES, unix.EINTR, unix.ENOMEM}, "stat"},
	{"fstatfs", "", []unix.Errno{unix.ENOSYS, unix.EINTR, unix.ENOMEM}, "statfs"},
	{"readlinkat", "", []unix.Errno{unix.EACCES, unix.ENOENT, unix.ENOMEM}, "readlink"},
	{"getdents64", "", []unix.Errno{unix.EACCES, unix.EINTR, unix.ENOENT, unix.ENOMEM}, "read|getdents"},
	{"lseek", "", []unix.Errno{unix.EPERM}, "seek"},
	{"name_to_handle_at", "", all(ofLookup, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM, unix.EINVAL), "name_to_handle_at|look up"}, // EINVAL: AT_HANDLE_FID is unknown
	{"open_by_handle_at", "", all(ofOpen, unix.EINTR, unix.EPERM, unix.ESTALE, unix.EACCES, unix.ENOSYS, unix.EBADF), "open_by_handle_at"},
	{"unshare", "", []unix.Errno{unix.EPERM, unix.ENOMEM, unix.ENOSYS}, "unshare"},
	{"fchdir", "", []unix.Errno{unix.EACCES, unix.EPERM}, "fchdir"},
	{"chdir", "", []unix.Errno{unix.EACCES, unix.EPERM}, "chdir"},
	{"pidfd_open", "", all(ofOpen, unix.ENOSYS, unix.EPERM), "pidfd_open"},
	{"pidfd_getfd", "", all(ofOpen, unix.ENOSYS, unix.EPERM, unix.EBADF), "pidfd_getfd"}, // EBADF: it was closed
	{"pidfd_send_signal", "", []unix.Errno{unix.ENOSYS, unix.EPERM}, "pidfd_send_signal"},
	{"kcmp", "", []unix.Errno{unix.ENOSYS, unix.EPERM, unix.EACCES, unix.EBADF}, "kcmp"},
	{"ppoll", "", []unix.Errno{unix.EINTR, unix.ENOMEM}, "poll"},
	{"memfd_create", "", all(ofOpen, unix.ENOSYS, unix.EPERM), "memfd_create"},
	{"prlimit64", "", []unix.Errno{unix.EPERM}, "RLIMIT_NOFILE"},
	{"getrlimit", "", []unix.Errno{unix.EPERM}, "RLIMIT_NOFILE"},
	// The files that the library closes have nothing to flush; but code that closes again after
	// EINTR could close another file.
	{"close", "", []unix.Errno{unix.EINTR, unix.EIO}, "close"},
}

// errnosOf returns the errnos to inject for a call, and the words that name it.
func errnosOf(c *Call) ([]unix.Errno, string) {
	i := slices.IndexFunc(faultTable, func(r faultRow) bool {
		name, _, _ := strings.Cut(c.Name, " O_PATH")
		return (name == r.call || strings.HasPrefix(name, r.call+" ")) && strings.HasPrefix(c.Object, r.on)
	})
	if i < 0 {
		return nil, ""
	}
	row := faultTable[i]
	switch {
	case row.call != "inotify_add_watch":
	case c.Object == "": // a probe, which looks up no path
		return []unix.Errno{unix.ENOMEM, unix.EPERM}, row.word
	case c.Args[2]&uint64(inotify.MaskCreate) != 0: // the inode is watched at this moment
		return all(row.errnos, unix.EEXIST), row.word
	}
	return row.errnos, row.word
}

// A Tolerance says which faults an operation may ignore.
type Tolerance struct {
	op, call, on string
	errnos       []unix.Errno
	Why          string
}

// Over returns a Tolerance for operations whose name contains op, and calls whose name begins with
// call and whose object contains on. nil is any errno.
func Over(op, call, on string, errnos []unix.Errno, why string) Tolerance {
	return Tolerance{op, call, on, errnos, why}
}

// For reports whether t is for a fault.
func (t *Tolerance) For(op string, c *Call, e unix.Errno) bool {
	return strings.Contains(op, t.op) && strings.HasPrefix(c.Name, t.call) && strings.Contains(c.Object, t.on) &&
		(t.errnos == nil || slices.Contains(t.errnos, e))
}

// AnyOf returns a function that returns the reason of the first Tolerance for a fault, or "".
func AnyOf(ts []Tolerance) func(op string, c *Call, e unix.Errno) string {
	return func(op string, c *Call, e unix.Errno) string {
		for i := range ts {
			if ts[i].For(op, c, e) {
				return ts[i].Why
			}
		}
		return ""
	}
}

// KindOf returns a call's name and object, with a # in place of each number.
func KindOf(c *Call) string { return unnumbered(c.Name + " " + c.Object) }

// same compares error texts without the numbers in the names of temporary directories.
func same(a, b string) bool {
	return long.ReplaceAllString(a, "") == long.ReplaceAllString(b, "")
}

var long = regexp.MustCompile(`[0-9]{3,}`)

// unnumbered replaces each number by a #.
func unnumbered(s string) string {
	var b strings.Builder
	for _, field := range strings.FieldsFunc(s+" ", func(r rune) bool { return r >= '0' && r <= '9' }) {
		b.WriteString(field + "#")
	}
	return strings.TrimSuffix(b.String(), " #")
}

// Run runs the test. At the first call of a kind it injects each errno, and at the others some of
// them; if the test is Sparse, only some everywhere. With INOTIFY_TEST_FAULTS=all it injects each
// errno everywhere, or, with a part of an operation's name, only in the operations of such names.
func (f *FaultTest) Run(t *testing.T) {
	only := os.Getenv("INOTIFY_TEST_FAULTS")
	if only == "all" {
		only = ""
	}
	if f.Kind == nil {
		f.Kind = KindOf
	}
	ops := make(chan FaultOp)
	var workers sync.WaitGroup
	var runs atomic.Int32
	for range 6 { // because the close of an instance waits
		cmd := f.Command()
		cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir()) // removed by this process, which is faster
		s := Supervise(t, cmd)
		Go(&workers, func() {
			for op := range ops {
				r := faultRun{FaultTest: f, t: t, s: s, op: op}
				r.all()
				runs.Add(int32(r.runs))
			}
		})
	}
	for i, op := range f.Ops {
		if slow() && (op.Way != "" || i%2 == 1) {
			continue
		}
		if !enough(t) && strings.Contains(op.Name+" "+op.Way, only) {
			op.number = i
			ops <- op
		}
	}
	close(ops)
	workers.Wait()
	t.Logf("%d faults", runs.Load())
	if runs.Load() == 0 && only == "" {
		t.Error("no fault was injected")
	}
}

// slow reports whether to inject fewer faults: unless the long tests run, and always on a kernel
// that was started for the tests, which is slow.
func slow() bool { return !LongTests() || os.Getenv("INOTIFY_TEST_OWN_KERNEL") != "" }

// enough reports whether the test failed and -failfast is set.
func enough(t *testing.T) bool {
	return t.Failed() && flag.Lookup("test.failfast").Value.String() == "true"
}

// A faultRun injects the faults of one operation.
type faultRun struct {
	*FaultTest
	t    *testing.T
	s    *Supervised
	op   FaultOp
	runs int
	dead bool
}

func (f *faultRun) errorf(format string, args ...any) {
	f.t.Helper()
	f.t.Errorf("%s %s: %s", f.op.Name, f.op.Way, fmt.Sprintf(format, args...))
}

// run lets the child run the operation.
func (f *faultRun) run(e unix.Errno, rules ...Rule) (Report, FaultAnswer) {
	var a FaultAnswer
	r, err := f.s.Run(FaultRequest(f.op.Name, e), append(rules, f.Ways[f.op.Way]...)...)
	if err == nil {
		err = json.Unmarshal([]byte(r.Answer), &a)
	}
	if err != nil && !f.dead {
		f.dead = true
		f.errorf("%v", err)
	}
	return r, a
}

// all injects all faults.
func (f *faultRun) all() {
	report, plain := f.run(0)
	if len(plain.Broken) > 0 || (plain.Err == "") == f.op.Fails {
		f.errorf("without a fault: error %q, broken %q", plain.Err, plain.Broken)
		return
	}
	if len(report.Calls) == 0 {
		f.errorf("no system call")
	}
	kinds, count := []*Call{}, map[string]int{}
	for i := range report.Calls {
		c := &report.Calls[i]
		if c.Errno != 0 { // fails by the way already
			continue
		}
		if count[f.Kind(c)]++; count[f.Kind(c)] == 1 {
			kinds = append(kinds, c)
		}
	}
	for k, c := range kinds {
		errnos, words := errnosOf(c)
		if words == "" {
			f.errorf("call is not in faultTable: %v", c)
		}
		for i, e := range errnos {
			for _, p := range places(count[f.Kind(c)]) {
				if slow() && p != (place{0, 1}) {
					continue
				}
				some := i == (k+p.skip+f.op.number)%len(errnos) ||
					p.skip == 0 && p.count == 1 && f.op.Way == "" && !f.Sparse && !slow()
				if !f.dead && !enough(f.t) && (some || os.Getenv("INOTIFY_TEST_FAULTS") != "") {
					f.try(c, e, p, &plain)
				}
			}
		}
	}
}

// A place says which of a kind's calls fail.
type place struct{ skip, count int }

// places returns the first, the last, a middle one, and all.
func places(count int) []place {
	all := []place{{0, 1}, {0, 0}}
	if count > 1 {
		all = append(all, place{count - 1, 1})
	}
	if count > 2 {
		all = append(all, place{count / 2, 1})
	}
	return all
}

// try injects one fault and checks the result.
func (f *faultRun) try(c *Call, e unix.Errno, p place, plain *FaultAnswer) {
	if p.count == 0 && (e == unix.EINTR || e == unix.EEXIST) {
		return // calls do not fail so each time
	}
	if f.Untried != nil && f.Untried(f.op.Name+" "+f.op.Way, c, e) != "" {
		return
	}
	f.runs++
	kind := f.Kind(c)
	report, a := f.run(e, Rule{
		For: func(c *Call) bool { return f.Kind(c) == kind }, Skip: p.skip, Count: p.count, Errno: e,
	})
	complain := func(format string, args ...any) {
		f.errorf("%s, %d from the %dth on: %s: %s\n\terror %q, reported %q", unix.ErrnoName(e), p.count, p.skip+1, kind, fmt.Sprintf(format, args...), a.Err, a.Reported)
	}
	at := slices.IndexFunc(report.Calls, func(c Call) bool { return f.Kind(&c) == kind && c.Errno == e })
	switch {
	case f.dead:
		return
	case len(a.Broken) > 0:
		complain("%s", strings.Join(a.Broken, "\n\t"))
		return
	case at < 0 && p.skip == 0:
		complain("the call was not made")
		return
	case at < 0:
		return // the number of calls depends on time
	}
	failed := &report.Calls[at]
	reported := newIn(a.Reported, plain.Reported)
	isNew := a.Is && (!same(a.Err, plain.Err) || !strings.Contains(plain.Err, f.Named(failed)))
	switch {
	case passes(failed, e, p) && f.Again && (isNew || reported != ""):
		complain("the call was not repeated")
	case isNew:
		f.wantWord(failed, a.Err, complain)
		if !slices.ContainsFunc(report.Calls, func(c Call) bool { return c.Errno == e && strings.Contains(a.Err, f.Named(&c)) }) {
			complain("the error does not name %q", f.Named(failed))
		}
	case f.Tolerated(f.op.Name+" "+f.op.Way, failed, e) != "":
	case f.op.Fails && f.Checked && a.Err != "":
	case !same(a.Err, plain.Err):
		complain("the error is not the errno")
	case reported != "":
		f.wantWord(failed, reported, complain)
		if !strings.Contains(reported, e.Error()) {
			complain("the report does not have the errno")
		}
	case !f.Checked:
		complain("the fault was not reported")
	}
}

// passes reports whether the call succeeds when repeated: a signal interrupted it, or a rename came
// during a lookup that must not leave its root.
func passes(c *Call, e unix.Errno, p place) bool {
	switch e {
	case unix.EINTR:
		return c.Name != "close"
	case unix.EAGAIN:
		return strings.HasPrefix(c.Name, "openat2") && p.count == 1
	}
	return false
}

// newIn returns what is reported only with the fault.
func newIn(reported, plain []string) string {
	var news []string
	for _, s := range reported {
		if !slices.ContainsFunc(plain, func(p string) bool { return same(p, s) }) {
			news = append(news, s)
		}
	}
	return strings.Join(news, "\n")
}

// wantWord checks that an error names the call.
func (f *faultRun) wantWord(c *Call, text string, complain func(string, ...any)) {
	_, words := errnosOf(c)
	if !slices.ContainsFunc(strings.Split(words, "|"), func(w string) bool { return strings.Contains(text, w) }) {
		complain("the error does not name %q", words)
	}
}
