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

// A FaultTest fails each call that each operation makes, at its first and at later
// places, with what the kernel may give. The operations are done by a child process,
// which looks what has become of everything. It fails if an operation makes a call that
// the table does not have.
type FaultTest struct {
	Command func() *exec.Cmd // whose program calls ObeyFaults
	Ops     []FaultOp
	Ways    map[string][]Rule // by which a kernel lacks something, beside the fault

	// Kind tells calls apart that may fail differently; nil is KindOf.
	Kind func(*Call) string

	// Named is what of a call's object an error must name, or "".
	Named func(*Call) string

	// Tolerated returns why an operation may get over a fault, so that it has no
	// error, or the one that it has anyway, or "".
	Tolerated func(op string, c *Call, e unix.Errno) string

	// Untried returns why a fault is not tried there, or "": nil tries all.
	Untried func(op string, c *Call, e unix.Errno) string

	// Checked says that the child compares all that an operation gives with what
	// is right, so that it may get over any fault.
	Checked bool

	Again  bool // a call that a signal or a renaming interrupts is made again
	Sparse bool // fewer faults are tried
}

// A FaultOp is an operation that is tried under faults.
type FaultOp struct {
	Name  string
	Fails bool // also without a fault
	Way   string

	number int
}

// A faultRequest is what the child is told: an operation, and the errno that it may
// meet.
type faultRequest struct {
	Op    string
	Errno unix.Errno
}

// FaultRequest is such a request, for who tells a child itself what to do.
func FaultRequest(op string, e unix.Errno) string {
	text, err := json.Marshal(faultRequest{op, e})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// A FaultAnswer is what became of it.
type FaultAnswer struct {
	Err    string   // the operation's error
	Is     bool     // errors.Is of the errno
	Told   []string // what it says is missing in what it gives
	Broken []string // promises that were not kept
}

// Fail notes the operation's error.
func (a *FaultAnswer) Fail(err error, e unix.Errno) {
	if err != nil {
		a.Err, a.Is = err.Error(), errors.Is(err, e)
	}
}

// Broke notes a promise that was not kept.
func (a *FaultAnswer) Broke(format string, args ...any) {
	a.Broken = append(a.Broken, fmt.Sprintf(format, args...))
}

// ObeyFaults is the child's side.
func ObeyFaults(try func(op string, e unix.Errno) FaultAnswer) error {
	return Obey(func(request string) string {
		var q faultRequest
		if err := json.Unmarshal([]byte(request), &q); err != nil {
			return err.Error()
		}
		text, _ := json.Marshal(try(q.Op, q.Errno))
		return string(text)
	})
}

// A Balance is what a process has open, and how many goroutines it runs.
type Balance struct {
	open       []string
	goroutines int
}

// Weigh returns it as it is.
func Weigh() Balance { return Balance{OpenDescriptors(), runtime.NumGoroutine()} }

// Check notes what is more now. Goroutines get some time to end.
func (b *Balance) Check(a *FaultAnswer) {
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

// NewWhenPossible makes an instance. Those of a user are few, and others have some, too.
func NewWhenPossible() (n *inotify.Inotify, err error) {
	for range 200 {
		if n, err = inotify.New(); !errors.Is(err, unix.EMFILE) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return n, err
}

// Which errnos the kernel may give for a call, and by which word an error names it.
// EPERM is a seccomp profile's, and EACCES, where no path is looked up, a security
// module's.
type faultRow struct {
	call, on string // the beginnings of the call's name and object
	errnos   []unix.Errno
	word     string // or words, one of which it must be
}

var (
	ofLookup = []unix.Errno{unix.EACCES, unix.EINTR, unix.ENOENT, unix.ENOMEM, unix.ENOTDIR} // EINTR: FUSE, and others that wait for somebody
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
	{"inotify_rm_watch", "", []unix.Errno{unix.EPERM, unix.EINVAL}, "inotify_rm_watch"}, // EINVAL: the watch has just gone
	{"ioctl INOTIFY_IOC_SETNEXTWD", "", []unix.Errno{unix.ENOTTY, unix.ENOSYS, unix.EPERM, unix.EACCES}, "ioctl INOTIFY_IOC_SETNEXTWD"},
	{"ioctl FIONREAD", "", ofLSM, "ioctl FIONREAD"},
	{"read", "anon_inode:inotify", []unix.Errno{unix.EACCES, unix.EINTR, unix.EAGAIN, unix.EINVAL, unix.ENOMEM}, "read"}, // EAGAIN: another reads, too; EINVAL: the next record is longer
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
	{"epoll_ctl EPOLL_CTL_DEL", "", nil, "epoll_ctl"},                                                  // of what is there, which does not fail
	{"epoll_ctl", "", []unix.Errno{unix.ENOSPC, unix.ENOMEM, unix.EPERM}, "fs.epoll.max_user_watches"}, // ENOSPC: that limit
	{"openat", "", all(ofLookup, ofOpen...), "open|looking up"},
	{"openat2", "", all(ofLookup, unix.EMFILE, unix.ENFILE, unix.EAGAIN, unix.ENOSYS, unix.EPERM), "open|looking up"}, // EAGAIN: something was renamed
	{"fstatat", "", ofLookup, "stat"},
	{"lstat", "", ofLookup, "stat"},
	{"stat", "", ofLookup, "stat"}, // of GOARCH=386
	{"statx", "", all(ofLookup, unix.ENOSYS, unix.EPERM), "stat"},
	{"fstat", "", []unix.Errno{unix.EACCES, unix.EINTR, unix.ENOMEM}, "stat"},
	{"fstatfs", "", []unix.Errno{unix.ENOSYS, unix.EINTR, unix.ENOMEM}, "statfs"},
	{"readlinkat", "", []unix.Errno{unix.EACCES, unix.ENOENT, unix.ENOMEM}, "readlink"},
	{"getdents64", "", []unix.Errno{unix.EACCES, unix.EINTR, unix.ENOENT, unix.ENOMEM}, "read|getdents"},
	{"lseek", "", []unix.Errno{unix.EPERM}, "seek"},
	{"name_to_handle_at", "", all(ofLookup, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM, unix.EINVAL), "name_to_handle_at|looking up"}, // EINVAL: AT_HANDLE_FID is not known
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
	// Not of what the library closes, which has nothing to flush; but who closes
	// again after EINTR closes what is another's by then.
	{"close", "", []unix.Errno{unix.EINTR, unix.EIO}, "close"},
}

// errnosOf returns the errnos to try for a call, and the words for it.
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
	case c.Object == "": // asks what the kernel knows, and looks nothing up
		return []unix.Errno{unix.ENOMEM, unix.EPERM}, row.word
	case c.Args[2]&uint64(inotify.MaskCreate) != 0: // a watch that was there, and may have gone since
		return all(row.errnos, unix.EEXIST), row.word
	}
	return row.errnos, row.word
}

// A Tolerance says which faults an operation gets over.
type Tolerance struct {
	op, call, on string
	errnos       []unix.Errno
	Why          string
}

// Over makes a Tolerance: of an operation's name a part, of a call's the beginning, of
// its object a part; nil is any errno.
func Over(op, call, on string, errnos []unix.Errno, why string) Tolerance {
	return Tolerance{op, call, on, errnos, why}
}

// For reports whether it is for such a fault.
func (t *Tolerance) For(op string, c *Call, e unix.Errno) bool {
	return strings.Contains(op, t.op) && strings.HasPrefix(c.Name, t.call) && strings.Contains(c.Object, t.on) &&
		(t.errnos == nil || slices.Contains(t.errnos, e))
}

// AnyOf returns a function that returns the reason of the first that is for a fault.
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

// KindOf tells calls apart that may fail differently: numbers in names do not matter.
func KindOf(c *Call) string { return unnumbered(c.Name + " " + c.Object) }

// same compares errors, in which the names of temporary directories do not matter.
func same(a, b string) bool {
	return long.ReplaceAllString(a, "") == long.ReplaceAllString(b, "")
}

var long = regexp.MustCompile(`[0-9]{3,}`)

// unnumbered has a sign in place of each number.
func unnumbered(s string) string {
	var b strings.Builder
	for _, field := range strings.FieldsFunc(s+" ", func(r rune) bool { return r >= '0' && r <= '9' }) {
		b.WriteString(field + "#")
	}
	return strings.TrimSuffix(b.String(), " #")
}

// Run runs the test. Each errno is tried at the first place, and at the others some; or
// some everywhere, if the test is Sparse. With INOTIFY_TEST_FAULTS=all each is tried at
// each place, or with a part of an operation's name only for that operation.
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
	for range 6 { // as an instance's close waits for long
		cmd := f.Command()
		cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir()) // removed here, which takes less time
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
		t.Error("nothing was tried")
	}
}

// slow reports whether fewer faults are to be tried: unless the long tests run, and on a
// kernel of the tests' own, which is not on the processor itself.
func slow() bool { return !LongTests() || os.Getenv("INOTIFY_TEST_OWN_KERNEL") != "" }

// enough reports whether the test failed and need not go on, by -failfast.
func enough(t *testing.T) bool {
	return t.Failed() && flag.Lookup("test.failfast").Value.String() == "true"
}

// A faultRun tries one operation's faults.
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

// run has the child do the operation.
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

// all tries everything.
func (f *faultRun) all() {
	report, plain := f.run(0)
	if len(plain.Broken) > 0 || (plain.Err == "") == f.op.Fails {
		f.errorf("without a fault: error %q, broken %q", plain.Err, plain.Broken)
		return
	}
	if len(report.Calls) == 0 {
		f.errorf("it makes no call")
	}
	kinds, count := []*Call{}, map[string]int{}
	for i := range report.Calls {
		c := &report.Calls[i]
		if c.Errno != 0 { // what the kernel lacks fails in one way
			continue
		}
		if count[f.Kind(c)]++; count[f.Kind(c)] == 1 {
			kinds = append(kinds, c)
		}
	}
	for k, c := range kinds {
		errnos, words := errnosOf(c)
		if words == "" {
			f.errorf("it makes a call that the table does not have: %v", c)
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

// places are the first, the last, one between them, and all.
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

// try tries one fault.
func (f *faultRun) try(c *Call, e unix.Errno, p place, plain *FaultAnswer) {
	if p.count == 0 && (e == unix.EINTR || e == unix.EEXIST) {
		return // nobody is interrupted for ever
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
		f.errorf("%s, %d from the %dth on: %s: %s\n\terror %q, told %q", unix.ErrnoName(e), p.count, p.skip+1, kind, fmt.Sprintf(format, args...), a.Err, a.Told)
	}
	at := slices.IndexFunc(report.Calls, func(c Call) bool { return f.Kind(&c) == kind && c.Errno == e })
	switch {
	case f.dead:
		return
	case len(a.Broken) > 0:
		complain("%s", strings.Join(a.Broken, "\n\t"))
		return
	case at < 0 && p.skip == 0:
		complain("it was not made")
		return
	case at < 0:
		return // how many there are depends on the time
	}
	failed := &report.Calls[at]
	told := unlike(a.Told, plain.Told)
	anew := a.Is && (!same(a.Err, plain.Err) || !strings.Contains(plain.Err, f.Named(failed)))
	switch {
	case passes(failed, e, p) && f.Again && (anew || told != ""):
		complain("it was not made again")
	case anew:
		f.wantWord(failed, a.Err, complain)
		if !slices.ContainsFunc(report.Calls, func(c Call) bool { return c.Errno == e && strings.Contains(a.Err, f.Named(&c)) }) {
			complain("the error does not name %q", f.Named(failed))
		}
	case f.Tolerated(f.op.Name+" "+f.op.Way, failed, e) != "":
	case f.op.Fails && f.Checked && a.Err != "":
	case !same(a.Err, plain.Err):
		complain("the error is not the errno")
	case told != "":
		f.wantWord(failed, told, complain)
		if !strings.Contains(told, e.Error()) {
			complain("what is told does not have the errno")
		}
	case !f.Checked:
		complain("it went unnoticed")
	}
}

// passes reports whether the call need only be made again: a signal interrupted it, or
// something was renamed during a lookup that must not leave its root.
func passes(c *Call, e unix.Errno, p place) bool {
	switch e {
	case unix.EINTR:
		return c.Name != "close"
	case unix.EAGAIN:
		return strings.HasPrefix(c.Name, "openat2") && p.count == 1
	}
	return false
}

// unlike returns what is told, but for what is told in any case.
func unlike(told, plain []string) string {
	var news []string
	for _, s := range told {
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
