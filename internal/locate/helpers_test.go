// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
)

var (
	mount          = kerneltest.Mount
	dropCaches     = kerneltest.DropCaches
	dropReadSearch = kerneltest.DropReadSearch
)

// TestMain fails the run if a descriptor or a thread's goroutine leaked.
func TestMain(m *testing.M) {
	if root := os.Getenv(mainThreadRoot); root != "" {
		os.Exit(onMainThread(root))
	}
	if role := os.Getenv(faultsRole); role != "" {
		os.Exit(runRole(role))
	}
	goroutines := runtime.NumGoroutine()
	code := kerneltest.Main(m, true)
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // package testing leaves a goroutine
	if after := runtime.NumGoroutine(); code == 0 && after > goroutines && !fuzzing {
		fmt.Printf("goroutines leaked: before %d, after %d\n", goroutines, after)
		code = 1
	}
	os.Exit(code)
}

// What the process of a test may lack.
const (
	asIs             = "as is"
	noHandles        = "without CAP_DAC_READ_SEARCH"
	noRights         = "without root's rights to files"
	noFID            = "without AT_HANDLE_FID"
	noNames          = "without name_to_handle_at"
	onlyOpen         = "without name_to_handle_at, but with open_by_handle_at"
	noOpenat2        = "without openat2"
	noOpenat2OrNames = "without openat2 and name_to_handle_at"
	noOpenByHandle   = "without open_by_handle_at"
	noUnshare        = "without unshare(CLONE_FS)"
	noThread         = "killed by unshare(CLONE_FS)"
)

var lacks = map[string]func(t testing.TB){
	asIs:      func(testing.TB) {},
	noHandles: dropReadSearch,
	noRights: func(t testing.TB) {
		for _, right := range []uintptr{unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER} {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, right, 0, 0, 0); err != nil && os.Geteuid() == 0 {
				t.Skip("this needs to drop a capability: ", err)
			}
		}
	},
	noFID: func(t testing.TB) {
		failCalls(t, unix.SYS_NAME_TO_HANDLE_AT, 4, 0x200, unix.EINVAL)
	},
	noNames: func(t testing.TB) {
		dropReadSearch(t)
		failCalls(t, unix.SYS_NAME_TO_HANDLE_AT, 0, 0, unix.ENOSYS)
	},
	noOpenat2: func(t testing.TB) {
		if kerneltest.HasOpenat2() {
			failCalls(t, unix.SYS_OPENAT2, 0, 0, unix.ENOSYS)
		}
	},
	noOpenat2OrNames: func(t testing.TB) {
		dropReadSearch(t)
		failCalls(t, unix.SYS_NAME_TO_HANDLE_AT, 0, 0, unix.ENOSYS)
		if kerneltest.HasOpenat2() {
			failCalls(t, unix.SYS_OPENAT2, 0, 0, unix.ENOSYS)
		}
	},
	onlyOpen:       func(t testing.TB) { failCalls(t, unix.SYS_NAME_TO_HANDLE_AT, 0, 0, unix.EPERM) },
	noOpenByHandle: func(t testing.TB) { failCalls(t, unix.SYS_OPEN_BY_HANDLE_AT, 0, 0, unix.EPERM) },
	noUnshare:      func(t testing.TB) { failCalls(t, unix.SYS_UNSHARE, 0, unix.CLONE_FS, unix.EPERM) },
	noThread: func(t testing.TB) {
		const kill = unix.SECCOMP_RET_KILL_PROCESS | unix.SECCOMP_RET_ERRNO // an unknown action kills
		failCalls(t, unix.SYS_UNSHARE, 0, unix.CLONE_FS, kill)
	},
}

const (
	sameNamespace = 0
	ownNamespace  = syscall.CLONE_NEWNS
)

// inChildren runs the test again in child processes, one for each element of
// lacking, with these namespaces of their own. In a child it returns what that
// lacks, and true. If it returns false, the test is over.
func inChildren(t *testing.T, namespace uintptr, lacking ...string) (lack string, child bool) {
	t.Helper()
	const name, what = "LOCATE_TEST_NAME", "LOCATE_TEST_LACKS"
	if os.Getenv(name) == t.Name() {
		return os.Getenv(what), true
	}
	if namespace != 0 {
		needNamespaces(t)
	}
	for _, lack := range lacking {
		t.Run(lack, func(t *testing.T) {
			t.Parallel()
			runtime.LockOSThread() // never unlocked, so that the restricted thread exits
			parent, _, _ := strings.Cut(t.Name(), "/")
			cmd := exec.Command(kerneltest.Executable(t), "-test.v", "-test.run=^"+parent+"$")
			cmd.Env = append(os.Environ(), name+"="+parent, what+"="+lack, "GORACE=atexit_sleep_ms=0")
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: namespace}
			lacks[lack](t)
			out, err := cmd.CombinedOutput()
			switch {
			case err != nil:
				t.Errorf("%v\n%s", err, out)
			case strings.Contains(string(out), "--- SKIP: "+parent):
				t.Skipf("%s", out)
			case !strings.Contains(string(out), "--- PASS: "+parent):
				t.Errorf("the test did not run:\n%s", out)
			}
		})
	}
	return "", false
}

// inNamespace runs the test again in a child with a mount namespace of its own.
func inNamespace(t *testing.T) bool {
	t.Helper()
	_, child := inChildren(t, ownNamespace, asIs)
	return child
}

func needNamespaces(t testing.TB) {
	t.Helper()
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: ownNamespace}
	if err := cmd.Run(); err != nil {
		t.Skip("this needs mount namespaces: ", err)
	}
}

// tmpfs returns a directory with a filesystem of its own.
func tmpfs(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	mount(t, "locate", dir, "tmpfs", 0, "")
	return dir
}

// ext4 returns a directory with an ext4 filesystem of its own, made with options.
func ext4(t testing.TB, options ...string) string {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{
		{"truncate", "-s", "16M", image},
		append(append([]string{"mkfs.ext4", "-q", "-F"}, options...), image),
		{"mount", "-o", "loop,lazytime", image, dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("this needs a loop-mounted ext4: %q: %v %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-d", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

// overlay returns a directory with an overlay of the layers, of which the first
// is the upper one.
func overlay(t testing.TB, upper, lower, options string) string {
	t.Helper()
	dir := t.TempDir()
	work := upper + ".work"
	mkdir(t, work)
	mount(t, "locate", dir, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s%s", lower, upper, work, options))
	return dir
}

func mkdir(t testing.TB, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func touch(t testing.TB, path string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(path), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func try(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newInotify(t testing.TB) *inotify.Inotify {
	t.Helper()
	n, err := inotify.New()
	try(t, err)
	t.Cleanup(func() { n.Close() })
	return n
}

// quiet is a mask for watches that report nothing.
const quiet = inotify.MaskAdd

// watch returns a new watch on a path as fdinfo lists it. The path stays in the
// kernel's cache until the test ends, even if other tests drop the caches.
func watch(t testing.TB, n *inotify.Inotify, path string) inotify.Watch {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	try(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return coldWatch(t, n, path)
}

// coldWatch is watch, but the path may be dropped from the cache.
func coldWatch(t testing.TB, n *inotify.Inotify, path string) inotify.Watch {
	t.Helper()
	wd, err := n.AddWatch(path, quiet|inotify.DontFollow)
	try(t, err)
	for _, w := range lines(t, n) {
		if w.WD == wd {
			return w
		}
	}
	t.Fatalf("fdinfo does not list watch %d on %q", wd, path)
	return inotify.Watch{}
}

func lines(t testing.TB, n *inotify.Inotify) []inotify.Watch {
	t.Helper()
	ws, err := n.Watches()
	if err != nil {
		t.Skip("this needs watches in fdinfo: ", err)
	}
	return ws
}

// proc opens a process's directory in /proc, that of this process if pid is 0.
func proc(t testing.TB, pid int) *os.File {
	t.Helper()
	name := "/proc/self"
	if pid != 0 {
		name = fmt.Sprint("/proc/", pid)
	}
	f, err := os.Open(name)
	try(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func paths(t testing.TB, pid int, ws []inotify.Watch, o locate.Options) *locate.Result {
	t.Helper()
	res, err := locate.Paths(context.Background(), proc(t, pid), ws, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Places) != len(ws) {
		t.Fatalf("%d places for %d watches", len(res.Places), len(ws))
	}
	return res
}

// find looks for the path of one watch.
func find(t testing.TB, pid int, w inotify.Watch, o locate.Options) locate.Place {
	t.Helper()
	p := paths(t, pid, []inotify.Watch{w}, o).Places[0]
	if (p.Path == "") == (p.Err == nil) {
		t.Errorf("%+v: want either a path or an error", p)
	}
	return p
}

var (
	byHandles = locate.Options{Level: locate.Handles}
	bySearch  = locate.Options{Level: locate.Search}
)

func wantPath(t testing.TB, p locate.Place, want string) {
	t.Helper()
	if p.Path != want {
		t.Errorf("path %q, error %v; want %q", p.Path, p.Err, want)
	}
}

// wantNone checks that there is no path, and an error that contains the words.
func wantNone(t testing.TB, p locate.Place, words ...string) {
	t.Helper()
	if p.Path != "" || p.Err == nil {
		t.Errorf("path %q, error %v; want no path and an error", p.Path, p.Err)
		return
	}
	if strings.Contains(p.Err.Error(), "%!") {
		t.Errorf("error %q has a verb without a value", p.Err)
	}
	for _, word := range words {
		if !strings.Contains(p.Err.Error(), word) {
			t.Errorf("error %q does not say %q", p.Err, word)
		}
	}
}

// needHandles skips the test if handles cannot be opened.
func needHandles(t testing.TB) {
	t.Helper()
	w := watch(t, newInotify(t), os.TempDir())
	if w.Handle.Bytes == "" {
		t.Skip("this needs file handles, and fdinfo has none")
	}
	dir, err := os.Open(os.TempDir())
	try(t, err)
	defer dir.Close()
	fd, err := unix.OpenByHandleAt(int(dir.Fd()), unix.NewFileHandle(w.Handle.Type, []byte(w.Handle.Bytes)), unix.O_PATH)
	if err != nil {
		t.Skip("this needs to open file handles: open_by_handle_at: ", err)
	}
	unix.Close(fd)
}

// pending returns the queued events.
func pending(t testing.TB, n *inotify.Inotify) []inotify.Event {
	t.Helper()
	var evs []inotify.Event
	for {
		ev, ok, err := n.TryReadEvent()
		try(t, err)
		if !ok {
			return evs
		}
		evs = append(evs, ev)
	}
}

// hold starts a process with these attributes that runs a shell script and then
// waits for the test's end. It returns its pid.
func hold(t testing.TB, attr *syscall.SysProcAttr, script string, args ...string) int {
	t.Helper()
	cmd := exec.Command("/bin/sh", append([]string{"-ec", script + "\necho ready; read end", "sh"}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	try(t, err)
	out, err := cmd.StdoutPipe()
	try(t, err)
	if err := cmd.Start(); err != nil {
		t.Skip("this needs to start a process with these attributes: ", err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Skipf("this needs a shell that can %q: %q, %v", script, line, err)
	}
	return cmd.Process.Pid
}

// failCalls makes system call nr fail on this thread, and in the programs that it
// starts; with bits, only if argument arg has any of them.
func failCalls(t testing.TB, nr uintptr, arg int, bits uint32, errno unix.Errno) {
	t.Helper()
	kerneltest.FailCalls(t, nr, arg, bits, true, errno)
}

// inOrder returns the names in a directory as the kernel lists them.
func inOrder(t *testing.T, dir string) []string {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
