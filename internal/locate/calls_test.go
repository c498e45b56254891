// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
)

// A callOp is an operation beside faultOps, whose calls are listed. They are too many to
// be failed one by one.
type callOp struct {
	name  string
	ways  []string // in which its calls are listed; "" is as is
	fails bool
	make  func(*rig)
}

// callOps are the operations.
var callOps = []callOp{
	{name: "handles on two filesystems", ways: []string{""}, make: func(r *rig) { r.alternate(10) }},
	{name: "511 handles", make: func(r *rig) { r.alternate(511) }},
	{name: "512 handles", make: func(r *rig) { r.alternate(512) }},
	{name: "a handle of nothing on two mounts", ways: []string{""}, make: func(r *rig) {
		r.bind("", "/again")
		r.watch(r.file("/f"), "")
		r.lines()
		handle := []byte(r.ws[0].Handle.Bytes)
		handle[0] ^= 1 // another generation of the inode
		r.ws[0].Handle.Bytes = string(handle)
		r.o = byHandles
	}},
	{name: "a deep tree", ways: []string{noHandles}, make: func(r *rig) {
		first := branch(r.dir, 150, 3)
		branch(first[59]+"/"+inOrder(first[59])[2], 100, 3) // behind first[60]
		r.watchLost()
	}},
	{name: "a deep tree that is changed", ways: []string{noHandles}, make: func(r *rig) {
		all := branch(r.dir, 100, 1)
		deepest, moved := all[99], all[30]
		for i := range 600 {
			must(os.WriteFile(fmt.Sprint(deepest, "/", i), nil, 0o644))
		}
		r.watchLost()
		// When the deepest directory is read, another takes a directory's place.
		done := false
		change := func() {
			if !done && slices.ContainsFunc(kerneltest.OpenDescriptors(), func(d string) bool { return strings.HasSuffix(d, deepest) }) {
				must(os.Rename(moved, r.dir+"/away"), os.Mkdir(moved, 0o755))
				done = true
			}
		}
		r.ctx = hookContext{r.ctx, func() { kerneltest.Unwatched(change) }}
		r.after = func() {
			done = false
			must(os.Remove(moved), os.Rename(r.dir+"/away", moved))
		}
	}},
	{name: "many hard links", ways: []string{noNames}, make: func(r *rig) {
		first := r.file("/links/0")
		for i := range 300 {
			must(os.Link(first, fmt.Sprint(r.dir, "/links/", i+1)))
		}
		// 255 of them are compared with the tree's root.
		r.watch(first, fmt.Sprint(r.dir, "/links/", inOrder(r.dir + "/links")[0]))
	}},
	{name: "the first of many directories", ways: []string{noHandles}, make: func(r *rig) {
		for i := range 5 {
			r.subdir(fmt.Sprint("/", i, "/below"))
		}
		r.watchThere(r.file("/" + inOrder(r.dir)[0] + "/f"))
	}},
	{name: "a hint itself", ways: []string{noHandles}, make: func(r *rig) {
		r.file("/d/f")
		r.watchThere(r.dir + "/d")
		r.o.Hints = []string{r.dir + "/d"}
		r.o.MaxEntries = 1
	}},
	{name: "the first of two parts", ways: []string{noHandles}, make: func(r *rig) {
		whole := r.filesystem("/whole", "tmpfs")
		r.file("/whole/a/f")
		r.file("/whole/b/f")
		r.watch(whole+"/a/f", r.dir+"/a/f")
		r.bind("/whole/a", "/a")
		r.bind("/whole/b", "/b")
		must(unix.Unmount(whole, 0))
	}},
	{name: "a mount that cannot be opened", ways: []string{noMount}, make: func(r *rig) {
		r.watch(r.file("/f"), "")
		r.o = byHandles
	}},
	{name: "what moves for ever", ways: []string{noCalm}, make: func(r *rig) {
		r.watch(r.file("/f"), "")
		r.o = locate.Options{Resolve: func(inotify.Watch) (string, error) { return r.dir + "/f", nil }}
	}},
	{name: "an overlay of layers alike", ways: []string{noHandles}, make: func(r *rig) {
		tree := theTrees.dir + alikeTree
		r.ws = slices.Clone(theTrees.watches[alikeTree])
		for _, name := range theTrees.names {
			r.want = append(r.want, tree+name)
		}
		r.ws = append(r.ws, nowhere(r.ws[0]))
		r.want = append(r.want, "")
		r.o.Hints = []string{tree + "/d", tree} // the first must wait for a file below it
	}},
	{name: "two mounts and a bound", ways: []string{noHandles}, make: func(r *rig) {
		r.bind("", "/again")
		r.watchLost()
		r.o.MaxEntries = 1
	}},
	{name: "two hints and a bound", ways: []string{noHandles}, make: func(r *rig) {
		r.o.Hints = []string{r.subdir("/1"), r.subdir("/2")}
		r.watchLost()
		r.o.MaxEntries = 1
	}},
	{name: "two hints", ways: []string{noHandles}, make: func(r *rig) {
		r.file("/first/below/f")
		r.watchThere(r.file("/second/below/f"))
		r.o.Hints = []string{r.dir + "/first", r.dir + "/second"}
	}},
	{name: "two hints in vain", ways: []string{noHandles}, make: func(r *rig) {
		r.file("/first/below/f")
		r.file("/second/below/f")
		r.watchLost()
		r.o.Hints = []string{r.dir + "/first", r.dir + "/second"}
	}},
	{name: "what a mount hides", ways: []string{noHandles}, make: func(r *rig) {
		r.watch(r.subdir("/hidden"), "")
		r.filesystem("/hidden", "tmpfs")
	}},
	{name: "ramfs", ways: []string{noHandles}, make: func(r *rig) {
		r.dir = r.filesystem("/ramfs", "ramfs")
		r.file("/below/f")
		r.watchLost()
	}},
	{name: "nothing on a filesystem", make: func(r *rig) {
		if dir := os.Getenv(filesystemDir); dir != "" {
			r.dir = dir
		}
		r.watch(r.dir, "")
		r.lines()
		r.ws[0] = nowhere(r.ws[0])
		r.o.Hints = []string{r.dir}
	}},
	{name: "another's root", ways: []string{"", noHandles, noNames}, make: func(r *rig) {
		r.other(r.dir)
		r.watch(r.dir, "/")
	}},
	{name: "another's root that is no mount", ways: []string{"", noHandles, noNames}, make: func(r *rig) {
		r.subdir("/bound")
		r.bind("/bound", "/root/bound")
		r.other(r.dir + "/root")
		r.watch(r.file("/root/f"), "/f")
		r.watch(r.dir+"/root", "/")
	}},
	{name: "another in a namespace", ways: []string{"", noHandles, noNames, noMountinfo, noType}, make: (*rig).inNamespace},
	{name: "another of unknown mounts", ways: []string{noInstance, noWatch, noLine}, make: func(r *rig) {
		r.inNamespace()
		r.want = []string{"", ""}
	}},
	{name: "another of unknown mounts below a hint", ways: []string{noWatchTwice}, make: func(r *rig) {
		r.inNamespace()
		r.o.Hints = []string{"/"}
	}},
	{name: "what cannot be asked", ways: []string{noOwnMount, noRootMount, noIdentity}, fails: true, make: (*rig).watchLost},
	{name: "what cannot be asked of a hint", ways: []string{noTreeMount}, fails: true, make: func(r *rig) {
		r.watchLost()
		r.lines()
		r.ws[0].Handle = inotify.Handle{}
		r.o.Hints = []string{r.dir}
	}},
	{name: "a process that is gone", ways: []string{""}, fails: true, make: func(r *rig) {
		r.watchThere(r.file("/f"))
		cmd := r.other(r.dir)
		must(cmd.Process.Kill())
		cmd.Wait()
	}},
	{name: "a mount that is new", ways: []string{""}, make: func(r *rig) {
		r.watch(r.file("/f"), r.subdir("/new")+"/f")
		r.o = locate.Options{Resolve: func(inotify.Watch) (string, error) {
			kerneltest.Unwatched(func() { r.bind("", "/new") })
			return r.dir + "/new/f", nil
		}}
		r.after = func() { must(unix.Unmount(r.dir+"/new", unix.MNT_DETACH)) }
	}},
}

// What the kernel lacks for them.
const (
	noMount      = "without a mount that can be opened"
	noCalm       = "without a moment's rest"
	noMountinfo  = "without our mountinfo"
	noInstance   = "without an instance"
	noWatch      = "without a watch"
	noWatchTwice = "without a watch, twice"
	noLine       = "without a watch's line"
	noType       = "without statfs"
	noOwnMount   = "without the mount of our root"
	noRootMount  = "without the mount of the process's root"
	noTreeMount  = "without the mount of the tree"
	noIdentity   = "without statx and fstat"
)

func onObject(part string) func(*kerneltest.Call) bool {
	return func(c *kerneltest.Call) bool { return strings.Contains(c.Object, part) }
}

// failTimes fails some of the calls only.
func failTimes(rule kerneltest.Rule, skip, count int) []kerneltest.Rule {
	rule.Skip, rule.Count = skip, count
	return []kerneltest.Rule{rule}
}

// ofMount is the reading of the mount of a descriptor.
var ofMount = failingCall("read", unix.EACCES, onObject("/fdinfo/"))

var callWays = map[string][]kerneltest.Rule{
	noMount:      {failingCall("openat2 O_PATH", unix.EACCES, onObject("/faults"))},
	noCalm:       {failingCall("openat2 O_PATH", unix.EAGAIN, onObject("/faults"))},
	noMountinfo:  {failingCall("openat", unix.EMFILE, onObject("/proc/self/mountinfo"))},
	noInstance:   {failingCall("inotify_init1", unix.ENOMEM, nil)},
	noWatch:      {failingCall("inotify_add_watch", unix.ENOMEM, nil)},
	noWatchTwice: failTimes(failingCall("inotify_add_watch", unix.ENOMEM, nil), 0, 2),
	noLine:       {failingCall("openat", unix.EMFILE, onObject("/proc/self/fdinfo"))},
	noType:       {failingCall("fstatfs", unix.ENOSYS, nil)},
	noOwnMount:   failTimes(ofMount, 1, 1),
	noRootMount:  failTimes(ofMount, 2, 1),
	noTreeMount:  failTimes(ofMount, 3, 1),
	noIdentity:   {failingCall("statx", unix.ENOSYS, nil), failingCall("fstat", unix.EACCES, nil)},
}

// TestCalls compares what each way of looking asks of the kernel with testdata/calls.txt:
// nothing in vain, and nothing left out.
func TestCalls(t *testing.T) {
	f := callTest(t)
	for _, op := range callOps {
		for _, way := range op.ways {
			f.Ops = append(f.Ops, kerneltest.FaultOp{Name: op.name, Way: way, Fails: op.fails})
		}
	}
	f.Calls(t, "testdata/calls.txt", func(calls []string) []string {
		slices.Sort(calls)                                    // the order says little
		return slices.DeleteFunc(calls, func(c string) bool { // these are as many as it takes for the machine's mounts
			return strings.HasPrefix(c, "read ") && strings.HasSuffix(c, "/mountinfo")
		})
	})
}

// TestThreads counts the threads that open handles: each has a working directory of its
// own.
func TestThreads(t *testing.T) {
	f := callTest(t)
	for _, test := range []struct {
		watches, processors, want int
	}{{512, 2, 2}, {511, 2, 1}, {512, 1, 1}} {
		threads := 0
		for _, c := range f.CallsOf(t, kerneltest.FaultOp{Name: fmt.Sprint(test.watches, " handles")}, test.processors) {
			if c.Name == "unshare" {
				threads++
			}
		}
		if threads != test.want {
			t.Errorf("%d threads for %d watches with %d processors, want %d", threads, test.watches, test.processors, test.want)
		}
	}
}

// filesystemDir names the filesystem for TestEntriesLookedAt in the environment.
const filesystemDir = "LOCATE_TEST_FILESYSTEM"

// TestEntriesLookedAt wants no call for an entry of another number, where a directory holds
// those of fdinfo.
func TestEntriesLookedAt(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	made := func(options ...string) func(testing.TB) string {
		return func(t testing.TB) string {
			dir := ext4(t, options...)
			for i := range 5 {
				touch(t, fmt.Sprint(dir, "/f", i))
			}
			return dir
		}
	}
	for name, filesystem := range map[string]func(testing.TB) string{
		"ext2": made("-t", "ext2"), "ext3": made("-t", "ext3"), "ext4": made(),
		"ext4 without file types": made("-O", "^filetype"),
		"devtmpfs": func(t testing.TB) string {
			dir := t.TempDir()
			mount(t, "locate", dir, "devtmpfs", 0, "")
			return dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filesystem(t)
			f := callTest(t)
			command := f.Command
			f.Command = func() *exec.Cmd {
				cmd := command()
				cmd.Env = append(cmd.Env, filesystemDir+"="+dir)
				return cmd
			}
			read := false
			for _, c := range f.CallsOf(t, kerneltest.FaultOp{Name: "nothing on a filesystem", Way: noHandles}, 1) {
				switch _, entry, _ := strings.Cut(c.Object, dir+"/"); {
				case c.Name == "getdents64":
					read = true
				case c.Name == "name_to_handle_at" && entry != "", c.Name == "openat2" && strings.HasPrefix(entry, "f"):
					t.Errorf("%v", &c)
				}
			}
			if !read {
				t.Error("no directory was read")
			}
		})
	}
}

// callTest has the operations of faultTest, and children that know callOps.
func callTest(t *testing.T) *kerneltest.FaultTest {
	t.Helper()
	needHandles(t)
	needFID(t)
	kerneltest.NeedOpenat2(t)
	f := faultTest(t)
	f.Ways = maps.Clone(f.Ways)
	maps.Copy(f.Ways, callWays)
	command := f.Command
	f.Command = func() *exec.Cmd {
		cmd := command()
		cmd.Env = append(cmd.Env, faultsRole+"=calls")
		return cmd
	}
	f.Kind = func(c *kerneltest.Call) string {
		object := c.Object
		if _, below, found := strings.Cut(object, "/faults"); found {
			_, below, _ = strings.Cut(below, "/")
			object = "/" + below
		}
		kind := kerneltest.KindOf(&kerneltest.Call{Name: c.Name, Object: object})
		return numbers.ReplaceAllString(kind, "/#")
	}
	return f
}

// numbers are directories below each other whose names are numbers.
var numbers = regexp.MustCompile(`(/#){2,}`)

// needFID skips where the kernel does not know AT_HANDLE_FID (Linux 6.5).
func needFID(t *testing.T) {
	t.Helper()
	const flag = 0x200
	if _, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", flag); err == unix.EINVAL {
		t.Skip("this needs AT_HANDLE_FID")
	}
}
