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

// faultsRole is the environment variable with the role of a process that TestFaults
// starts.
const faultsRole = "LOCATE_TEST_FAULTS"

// A faultOp is an operation that is tested with faults: it looks for the watches of a
// tree, for one process.
type faultOp struct {
	name  string
	tree  string   // whose watches are looked for
	other bool     // for a process that has the tree as its root directory
	ways  []string // what the kernel lacks
	o     locate.Options
}

var bound = locate.Options{Level: locate.Search, MaxEntries: 60}

func boundedSearchIn(searchDirs ...string) locate.Options {
	o := bound
	o.SearchDirs = searchDirs
	return o
}

// The trees of the child: see makeTrees.
const (
	plainTree  = "/plain"
	mergedTree = "/merged" // an overlay
	alikeTree  = "/alike"  // an overlay whose handles do not distinguish its layers
)

var anyLack = []string{noHandles, noFID, noNames, noOpenat2, noUnshare}

// faultOps are the operations.
var faultOps = []faultOp{
	{name: "handles", tree: plainTree, o: byHandles, ways: anyLack},
	{name: "handles, other root", tree: plainTree, other: true, o: byHandles, ways: anyLack},
	{name: "handles of an overlay", tree: mergedTree, o: byHandles},
	{name: "search", tree: plainTree, o: bound, ways: anyLack},
	{name: "search, other root", tree: plainTree, other: true, o: bound, ways: anyLack},
	{name: "search of an overlay", tree: mergedTree, o: bound, ways: anyLack},
	{name: "search of an overlay with equal layers", tree: alikeTree, o: bound, ways: []string{noNames}},
	{name: "search in a directory", tree: plainTree, o: boundedSearchIn(plainTree + "/d"), ways: []string{noHandles}},
	{name: "a resolver", tree: plainTree, o: locate.Options{Resolve: func(w inotify.Watch) (string, error) {
		return childTrees.dir + plainTree + childTrees.names[int(w.WD)-1], nil
	}}, ways: []string{noNames}},
}

// childTrees are the trees of the child.
var childTrees trees

type trees struct {
	dir     string
	names   []string // of the watches of each tree, below it, in ascending order of wds
	watches map[string][]inotify.Watch
	other   *exec.Cmd
	n       []*inotify.Inotify
}

// makeTrees makes a filesystem with a tree, and overlays of it. There are watches on the
// same names in each.
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
	// The tree is a mount of its own, so that the root directory of a process is a mount.
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
			if _, err := unix.Open(t.dir+tree+name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil { // so that its name stays cached
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

// startOther starts a process whose root directory is root or, in the role "other
// namespace", a directory of a filesystem that it mounts there in its own namespace.
func startOther(role, root string) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", root)
	cmd.Env = append(os.Environ(), faultsRole+"="+role)
	if role == "other namespace" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	}
	if _, err := cmd.StdinPipe(); err != nil { // closed when the child exits
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

// runOther is the program of that process.
func runOther(root string) error {
	if err := errors.Join(unix.Chroot(root), os.Chdir("/")); err != nil {
		return err
	}
	fmt.Println()
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// runRole is the program of a process that TestFaults starts.
func runRole(role string) int {
	err := error(nil)
	switch role {
	case "other":
		err = runOther(os.Args[1])
	case "other namespace":
		root := os.Args[1] + "/root"
		err = errors.Join(unix.Mount("locate", os.Args[1], "tmpfs", 0, ""), os.Mkdir(root, 0o755), os.WriteFile(root+"/f", nil, 0o644), runOther(root))
	default:
		err = childFaults()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	return 0
}

// childFaults is the program of the traced child, which runs the faultOps.
func childFaults() (err error) {
	if err = unix.Mount("proc", "/proc", "proc", 0, ""); err == nil {
		childTrees, err = makeTrees()
	}
	if err != nil {
		return kerneltest.SkipParent(err)
	}
	return kerneltest.ServeFaults(tryFault)
}

// tryFault looks for the watches' paths, and checks the result.
func tryFault(name string, e unix.Errno) (a kerneltest.FaultAnswer) {
	op := &faultOps[slices.IndexFunc(faultOps, func(o faultOp) bool { return o.name == name })]
	root, pid := childTrees.dir+op.tree, "self"
	o := op.o
	o.SearchDirs = nil
	for _, searchDir := range op.o.SearchDirs {
		o.SearchDirs = append(o.SearchDirs, childTrees.dir+searchDir)
	}
	if op.other {
		root, pid = "", fmt.Sprint(childTrees.other.Process.Pid)
	}
	dir, err := os.Open("/proc/" + pid)
	if err != nil {
		a.Broke("the rig: %v", err)
		return a
	}
	defer dir.Close()
	ws := childTrees.watches[op.tree]
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

// check checks the paths that were found, and returns the reasons for the others.
func check(res *locate.Result, root string, a *kerneltest.FaultAnswer) (reasons []string) {
	kinds := []uint32{unix.S_IFDIR, unix.S_IFREG, unix.S_IFREG, unix.S_IFLNK}
	for i, p := range res.Places {
		switch {
		case p.Path != "" && (p.Path != root+childTrees.names[i] || p.Mode != kinds[i] || p.Err != nil):
			a.Broke("place %+v, want %q", p, root+childTrees.names[i])
		case p.Path == "" && p.Err == nil:
			a.Broke("place %+v has neither a path nor an error", p)
		case p.Mode != 0 && p.Mode != kinds[i]:
			a.Broke("the type of %q is %o", childTrees.names[i], p.Mode)
		case p.Err != nil:
			reasons = append(reasons, fmt.Sprintf("watch %d: %v", i+1, p.Err))
		}
	}
	for _, s := range res.Skipped {
		if reasons == nil {
			break // nothing was missed
		}
		reasons = append(reasons, s.Path+": "+s.Reason)
	}
	return reasons
}

func failingCall(name string, errno unix.Errno, when func(c *kerneltest.Call) bool) kerneltest.Rule {
	return kerneltest.Rule{For: func(c *kerneltest.Call) bool { return c.Name == name && (when == nil || when(c)) }, Errno: errno}
}

// faultWays are what a kernel may lack in addition to the fault: see lacks.
var faultWays = map[string][]kerneltest.Rule{
	noHandles: {failingCall("open_by_handle_at", unix.EPERM, nil)},
	noFID: {failingCall("name_to_handle_at", unix.EINVAL, func(c *kerneltest.Call) bool {
		return c.Args[4]&0x200 != 0
	})},
	noNames:   {failingCall("open_by_handle_at", unix.EPERM, nil), failingCall("name_to_handle_at", unix.ENOSYS, nil)},
	noOpenat2: {failingCall("openat2", unix.ENOSYS, nil), failingCall("openat2 O_PATH", unix.ENOSYS, nil)},
	noUnshare: {failingCall("unshare", unix.EPERM, nil)},
}

// wantInError returns the part of a call's object that an error must contain.
func wantInError(c *kerneltest.Call) string {
	for _, tree := range []string{plainTree, mergedTree, alikeTree} {
		if _, below, found := strings.Cut(c.Object, tree+"/"); found {
			return filepath.Base(below)
		}
	}
	return ""
}

var over = kerneltest.Over

const (
	notThere     = "the error means that the file does not exist"
	osDropsErrno = "package os drops the errno; the error says that the runtime cannot wait"
)

var tolerances = []kerneltest.Tolerance{
	over("", "openat2", "/", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere),
	over("", "openat", "/faults", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere),
	over("", "name_to_handle_at", "/", []unix.Errno{unix.ENOENT, unix.ENOTDIR}, notThere),
	over("search", "getdents64", "/faults", []unix.Errno{unix.ENOENT}, notThere),
	over("", "fcntl F_GETFL", "anon_inode", nil, osDropsErrno),
	over("", "epoll_ctl", "anon_inode", nil, osDropsErrno),
}

// TestFaults: whichever system call of an operation fails, nothing is found wrongly, the
// reason is reported, and the operation can be repeated.
func TestFaults(t *testing.T) {
	t.Parallel()
	faultTest(t).Run(t)
}

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
		Ways: faultWays, Named: wantInError, Tolerated: kerneltest.AnyOf(tolerances), Checked: true, Again: true, Sparse: true,
	}
	for _, op := range faultOps {
		for _, way := range append([]string{""}, op.ways...) {
			f.Ops = append(f.Ops, kerneltest.FaultOp{Name: op.name, Way: way})
		}
	}
	return f
}
