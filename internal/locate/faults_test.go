// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
)

// faultsRole says what a process is that TestFaults starts.
const faultsRole = "LOCATE_TEST_FAULTS"

// A faultOp is an operation that is tried under faults: it looks for the watches of a
// tree, in a process's eyes.
type faultOp struct {
	name  string
	tree  string   // the paths of whose watches are looked for
	other bool     // a process looks that has the tree as its root directory
	ways  []string // what the kernel lacks
	o     locate.Options
}

var bound = locate.Options{Level: locate.Search, MaxEntries: 60}

func hinted(hints ...string) locate.Options {
	o := bound
	o.SearchDirs = hints
	return o
}

// The trees of the child's: see makeTrees.
const (
	plainTree  = "/plain"
	mergedTree = "/merged" // an overlay
	alikeTree  = "/alike"  // one whose handles do not tell its layers apart
)

var anyLack = []string{noHandles, noFID, noNames, noOpenat2, noUnshare}

// faultOps are the operations.
var faultOps = []faultOp{
	{name: "handles", tree: plainTree, o: byHandles, ways: anyLack},
	{name: "handles of another", tree: plainTree, other: true, o: byHandles, ways: anyLack},
	{name: "handles of an overlay", tree: mergedTree, o: byHandles},
	{name: "search", tree: plainTree, o: bound, ways: anyLack},
	{name: "search of another", tree: plainTree, other: true, o: bound, ways: anyLack},
	{name: "search of an overlay", tree: mergedTree, o: bound, ways: anyLack},
	{name: "search of an overlay of layers alike", tree: alikeTree, o: bound, ways: []string{noNames}},
	{name: "search below a hint", tree: plainTree, o: hinted(plainTree + "/d"), ways: []string{noHandles}},
	{name: "a resolver", tree: plainTree, o: locate.Options{Resolve: func(w inotify.Watch) (string, error) {
		return theTrees.dir + plainTree + theTrees.names[int(w.WD)-1], nil
	}}, ways: []string{noNames}},
}

// theTrees are the child's.
var theTrees trees

type trees struct {
	dir     string
	names   []string // below the tree, of its watches, in ascending order of their numbers
	watches map[string][]inotify.Watch
	other   *exec.Cmd
	n       []*inotify.Inotify
}

// makeTrees makes a filesystem with a tree, and an overlay with the same. There are
// watches on the same names of both.
func makeTrees() (t trees, err error) {
	t = trees{names: []string{"/d", "/d/e/f", "/g", "/linked"}, watches: make(map[string][]inotify.Watch)}
	if t.dir, err = os.MkdirTemp("", "faults"); err != nil {
		return t, err
	}
	if err := unix.Mount("locate", t.dir, "tmpfs", 0, ""); err != nil {
		return t, err
	}
	for _, dir := range []string{"/plain/d/e", "/upper", "/work", "/merged", "/upper2", "/work2", "/alike", "/empty"} {
		if err := os.MkdirAll(t.dir+dir, 0o755); err != nil {
			return t, err
		}
	}
	for _, file := range []string{"/d/e/f", "/g", "/other"} {
		if err := os.WriteFile(t.dir+plainTree+file, nil, 0o644); err != nil {
			return t, err
		}
	}
	if err := os.Symlink("g", t.dir+plainTree+"/linked"); err != nil {
		return t, err
	}
	// The tree is a mount of its own, so that it can be a root directory that is one.
	if err := unix.Mount(t.dir+plainTree, t.dir+plainTree, "", unix.MS_BIND, ""); err != nil {
		return t, err
	}
	layers := fmt.Sprintf("lowerdir=%[1]s/plain,upperdir=%[1]s/upper,workdir=%[1]s/work", t.dir)
	if err := unix.Mount("locate", t.dir+mergedTree, "overlay", 0, layers); err != nil {
		return t, err
	}
	layers = fmt.Sprintf("lowerdir=%[1]s/plain:%[1]s/empty,upperdir=%[1]s/upper2,workdir=%[1]s/work2", t.dir)
	err = unix.Mount("locate", t.dir+alikeTree, "overlay", 0, layers+",uuid=off")
	if err == unix.EINVAL { // before Linux 5.14
		err = unix.Mount("locate", t.dir+alikeTree, "overlay", 0, layers)
	}
	if err != nil {
		return t, err
	}
	for _, tree := range []string{plainTree, mergedTree, alikeTree} {
		n, err := inotify.New() // for as long as the child lives
		if err != nil {
			return t, err
		}
		for _, name := range t.names {
			if _, err := unix.Open(t.dir+tree+name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil { // so its name stays cached
				return t, err
			}
			if _, err := n.AddWatch(t.dir+tree+name, quiet|inotify.DontFollow); err != nil {
				return t, err
			}
		}
		if t.watches[tree], err = n.Watches(); err != nil {
			return t, err
		}
		t.n = append(t.n, n)
	}
	t.other, err = startOther("other", t.dir+plainTree)
	return t, err
}

// startOther starts a process that has a tree as its root directory, or, as "other
// namespace", a directory in a filesystem that it mounts there for itself.
func startOther(role, root string) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", root)
	cmd.Env = append(os.Environ(), faultsRole+"="+role)
	if role == "other namespace" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	}
	if _, err := cmd.StdinPipe(); err != nil { // which ends with the child
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, err = io.ReadFull(out, make([]byte, 1))
	return cmd, err
}

// beOther is the program of that process.
func beOther(root string) error {
	if err := errors.Join(unix.Chroot(root), os.Chdir("/")); err != nil {
		return err
	}
	fmt.Println()
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// playRole is what TestMain does in a process that TestFaults starts.
func playRole(role string) int {
	err := error(nil)
	switch role {
	case "other":
		err = beOther(os.Args[1])
	case "other namespace":
		root := os.Args[1] + "/root"
		err = errors.Join(unix.Mount("locate", os.Args[1], "tmpfs", 0, ""), os.Mkdir(root, 0o755), os.WriteFile(root+"/f", nil, 0o644), beOther(root))
	default:
		err = childFaults()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	return 0
}

// childFaults is the program of a child that does faultOps.
func childFaults() (err error) {
	if err = unix.Mount("proc", "/proc", "proc", 0, ""); err == nil {
		theTrees, err = makeTrees()
	}
	if err != nil {
		return kerneltest.SkipParent(err)
	}
	return kerneltest.ServeFaults(tryFault)
}

// tryFault looks for the watches' paths, and at what was said.
func tryFault(name string, e unix.Errno) (a kerneltest.FaultAnswer) {
	op := &faultOps[slices.IndexFunc(faultOps, func(o faultOp) bool { return o.name == name })]
	root, pid := theTrees.dir+op.tree, "self"
	o := op.o
	o.SearchDirs = nil
	for _, hint := range op.o.SearchDirs {
		o.SearchDirs = append(o.SearchDirs, theTrees.dir+hint)
	}
	if op.other {
		root, pid = "", fmt.Sprint(theTrees.other.Process.Pid)
	}
	dir, err := os.Open("/proc/" + pid)
	if err != nil {
		a.Broke("the rig: %v", err)
		return a
	}
	defer dir.Close()
	ws := theTrees.watches[op.tree]
	resources := kerneltest.CurrentResources()
	var res *locate.Result
	var failed error
	kerneltest.Traced(func() { res, failed = locate.Paths(context.Background(), dir, ws, o) })
	a.Fail(failed, e)
	kerneltest.CloseShut()
	resources.Check(&a)
	if failed == nil {
		a.Reported = check(res, root, &a)
	}
	if res, failed = locate.Paths(context.Background(), dir, ws, o); failed != nil {
		a.Broke("afterwards: %v", failed)
		return a
	}
	check(res, root, &a)
	return a
}

// check checks that what was found is right, and returns what is said of the rest.
func check(res *locate.Result, root string, a *kerneltest.FaultAnswer) (told []string) {
	kinds := []uint32{unix.S_IFDIR, unix.S_IFREG, unix.S_IFREG, unix.S_IFLNK}
	for i, p := range res.Places {
		switch {
		case p.Path != "" && (p.Path != root+theTrees.names[i] || p.Mode != kinds[i] || p.Err != nil):
			a.Broke("place %+v, want %q", p, root+theTrees.names[i])
		case p.Path == "" && p.Err == nil:
			a.Broke("place %+v says nothing", p)
		case p.Mode != 0 && p.Mode != kinds[i]:
			a.Broke("the type of %q is %o", theTrees.names[i], p.Mode)
		case p.Err != nil:
			told = append(told, fmt.Sprintf("watch %d: %v", i+1, p.Err))
		}
	}
	for _, s := range res.Skipped {
		if told == nil {
			break // nothing was missed
		}
		told = append(told, s.Path+": "+s.Reason)
	}
	return told
}

func failingCall(name string, errno unix.Errno, when func(c *kerneltest.Call) bool) kerneltest.Rule {
	return kerneltest.Rule{For: func(c *kerneltest.Call) bool { return c.Name == name && (when == nil || when(c)) }, Errno: errno}
}

// faultWays are what a kernel may lack beside the fault: see lacks.
var faultWays = map[string][]kerneltest.Rule{
	noHandles: {failingCall("open_by_handle_at", unix.EPERM, nil)},
	noFID: {failingCall("name_to_handle_at", unix.EINVAL, func(c *kerneltest.Call) bool {
		return c.Args[4]&0x200 != 0
	})},
	noNames:   {failingCall("open_by_handle_at", unix.EPERM, nil), failingCall("name_to_handle_at", unix.ENOSYS, nil)},
	noOpenat2: {failingCall("openat2", unix.ENOSYS, nil), failingCall("openat2 O_PATH", unix.ENOSYS, nil)},
	noUnshare: {failingCall("unshare", unix.EPERM, nil)},
}

// namedOf is what of a call's object an error must name.
func namedOf(c *kerneltest.Call) string {
	for _, tree := range []string{plainTree, mergedTree, alikeTree} {
		if _, below, found := strings.Cut(c.Object, tree+"/"); found {
			return filepath.Base(below)
		}
	}
	return ""
}

var over = kerneltest.Over

const (
	notThere = "it is believed that it is not there"
	osKeeps  = "package os keeps the errno; the error tells that the runtime cannot wait"
)

var tolerances = []kerneltest.Tolerance{
	over("", "openat2", "/", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere),
	over("", "openat", "/faults", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere),
	over("", "name_to_handle_at", "/", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere),
	over("search", "getdents64", "/faults", []unix.Errno{unix.ENOENT}, notThere),
	over("", "fcntl F_GETFL", "anon_inode", nil, osKeeps),
	over("", "epoll_ctl", "anon_inode", nil, osKeeps),
}

// TestFaults fails each call of each operation.
func TestFaults(t *testing.T) { faultTest(t).Run(t) }

// faultTest has all operations.
func faultTest(t *testing.T) *kerneltest.FaultTest {
	self := kerneltest.Executable(t)
	f := &kerneltest.FaultTest{
		Command: func() *exec.Cmd {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), faultsRole+"=child")
			cmd.SysProcAttr = kerneltest.OwnProc()
			return cmd
		},
		Ways: faultWays, Named: namedOf, Tolerated: kerneltest.AnyOf(tolerances), Checked: true, Again: true, Sparse: true,
	}
	for _, op := range faultOps {
		for _, way := range append([]string{""}, op.ways...) {
			f.Ops = append(f.Ops, kerneltest.FaultOp{Name: op.name, Way: way})
		}
	}
	return f
}
