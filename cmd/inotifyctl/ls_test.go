// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// lines returns the lines of a text, with each run of blanks replaced by one.
func lines(text string) (ls []string) {
	if text == "" {
		return nil
	}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		ls = append(ls, strings.Join(strings.Fields(line), " "))
	}
	return ls
}

func wantLine(t *testing.T, text string, format string, args ...any) {
	t.Helper()
	want := fmt.Sprintf(format, args...)
	for _, line := range lines(text) {
		if line == want {
			return
		}
	}
	t.Errorf("no line %q in\n%s", want, text)
}

func TestLs(t *testing.T) {
	needsList(t)
	needsKcmp(t)
	f := instance(t, watchesOn(t, 1, 7)...)
	one := hold(t, []*os.File{f}, "dup=3:9", "comm=one")
	two := hold(t, []*os.File{f}, "comm=two")
	alone := holdAlone(t, instance(t), "comm=alone")
	f.Close()
	// Processes that share it are listed even if they were not requested.
	code, stdout, stderr := call("ls", one.arg(), alone.arg())
	wantSuccess(t, code, stderr)
	wantText(t, lines(stdout)[0], "PID COMMAND FD WATCHES SHARED WITH")
	wantLine(t, stdout, "%d one 3, 9 2 %d", one.pid, two.pid)
	wantLine(t, stdout, "%d two 3 2 %d", two.pid, one.pid)
	wantLine(t, stdout, "%d alone 3 0 -", alone.pid)
	users := regexp.MustCompile(fmt.Sprintf(`(?m)^user %s: \d+ (of \d+ instances?|instances? \(limit unknown\)), \d+ (of \d+ watch(es)?|watch(es)? \(limit unknown\))$`, regexp.QuoteMeta(userName(os.Geteuid()))))
	if !users.MatchString(stdout) {
		t.Errorf("no line %q in\n%s", users, stdout)
	}
	for _, all := range lines(stdout)[1:] {
		if len(users.FindString(all)) > 0 {
			break
		}
		if pid := strings.Fields(all)[0]; pid != one.arg() && pid != two.arg() && pid != alone.arg() {
			t.Errorf("line %q is of another process", all)
		}
	}
}

func TestLsOfAll(t *testing.T) {
	needsList(t)
	f := instance(t, watchesOn(t, 1)...)
	h := holdAlone(t, f, "comm=the holder")
	code, stdout, stderr := call("ls")
	wantListed(t, code, stderr)
	wantText(t, lines(stdout)[0], "PID USER INSTANCES WATCHES CONTAINER COMMAND")
	wantLine(t, stdout, "%d %s 1 1 %s the holder", h.pid, userName(os.Geteuid()), shortContainer(containerOf("/proc", h.pid)))
	code, stdout, stderr = call("ls", "-i")
	wantListed(t, code, stderr)
	wantLine(t, stdout, "%d the holder 3 1 -", h.pid)
}

// Sums are by process, the largest first, and the instances of a process are in the same order.
func TestLsSums(t *testing.T) {
	needsList(t)
	needsKcmp(t)
	few, many, shared := instance(t, watchesOn(t, 1)...), instance(t, watchesOn(t, 1, 2, 3)...), instance(t, watchesOn(t, 1, 2)...)
	small := holdAlone(t, instance(t, watchesOn(t, 1)...), "comm=small")
	one := hold(t, []*os.File{few, shared}, "dup=3:9", "comm=one \x1b[2J")
	two := hold(t, []*os.File{few, many, shared}, "comm=two \xff")
	for _, f := range []*os.File{few, many, shared} {
		f.Close()
	}
	user := userName(os.Geteuid())
	sums := []string{
		fmt.Sprintf(`%d %s 3 6 %s "two \xff"`, two.pid, user, shortContainer(containerOf("/proc", two.pid))),
		fmt.Sprintf(`%d %s 2 3 %s "one \x1b[2J"`, one.pid, user, shortContainer(containerOf("/proc", one.pid))),
	}
	each := []string{ // the instances of the largest process come first
		fmt.Sprintf(`%d "one \x1b[2J" 3, 9 1 %d`, one.pid, two.pid), fmt.Sprintf(`%d "two \xff" 3 1 %d`, two.pid, one.pid),
		fmt.Sprintf(`%d "one \x1b[2J" 4 2 %d`, one.pid, two.pid), fmt.Sprintf(`%d "two \xff" 5 2 %d`, two.pid, one.pid),
		fmt.Sprintf(`%d "two \xff" 4 3 -`, two.pid),
	}
	slices.Sort(each)
	isOurs := func(line string) bool {
		return strings.HasPrefix(line, one.arg()+" ") || strings.HasPrefix(line, two.arg()+" ")
	}
	for _, tt := range []struct {
		args string
		want []string
	}{
		{"", sums},
		{"-command two", sums[:1]},
		{"-min 6", sums[:1]},
		{"-min 7", nil},
		{"-user " + strconv.Itoa(os.Geteuid()), sums},
		{"-user 4294967", nil},
		{"-i", each},
	} {
		code, stdout, stderr := call(strings.Fields("ls " + tt.args)...)
		wantListed(t, code, stderr)
		var got []string
		for _, line := range lines(stdout) {
			if isOurs(line) {
				got = append(got, line)
			}
		}
		if tt.args == "-i" {
			slices.Sort(got)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("ls %s printed %q, want %q", tt.args, got, tt.want)
		}
	}
	// Of the instances, those of the process with most watches come first.
	_, stdout, _ := call("ls", small.arg(), two.arg())
	wantLine(t, stdout, "%d small 3 1 -", small.pid)
	if at := strings.Index(stdout, "small"); at < strings.LastIndex(stdout, "two") {
		t.Errorf("process %d is not behind process %d in\n%s", small.pid, two.pid, stdout)
	}
	code, stdout, stderr := call("ls", "-json", "-command", "two \xff")
	if code != 0 && code != 3 {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	var object totalObject
	if err := json.NewDecoder(strings.NewReader(stdout)).Decode(&object); err != nil || object.Container == nil || object.UID == nil || object.WatchCount == nil {
		t.Fatalf("%q: %v", stdout, err)
	}
	if object.PID != two.pid || string(object.CommandBytes) != "two \xff" || *object.UID != os.Geteuid() || object.InstanceCount != 3 || *object.WatchCount != 6 {
		t.Errorf("got %s", stdout)
	}
}

func TestLsDescriptors(t *testing.T) {
	wantText(t, list([]int{3, 4, 5, 6, 7, 8, 9, 10}), "3, 4, 5, 6, 7, 8, 9, 10")
	wantText(t, list([]int{3, 4, 5, 6, 7, 8, 9, 10, 11}), "3, 4, 5, 6, 7, 8, 9, 10, … (9 in all)")
}

func TestOfLimit(t *testing.T) {
	for _, tt := range []struct {
		n, limit int
		want     string
	}{
		{1, 128, "1 of 128 watches"}, {0, 1, "0 of 1 watch"}, {1, -1, "1 watch (limit unknown)"},
		{-1, 5, "unknown number of watches"}, {-1, -1, "unknown number of watches"},
	} {
		wantText(t, ofLimit(tt.n, tt.limit, "watch", "watches"), tt.want)
	}
}

// As root, the reason is shown; otherwise, what to do.
func TestHiddenLines(t *testing.T) {
	failed := func(n int) *usageByUser {
		c := new(usageByUser)
		for pid := range n {
			c.unreadable = append(c.unreadable, &checkpoint.ProcessError{PID: pid + 7, Err: errors.New("\x1b no\nsecond")})
		}
		return c
	}
	one, two := `1 process could not be read and may have more (process 7: \x1b no)`, `2 processes could not be read and may have more (the first: process 7: \x1b no)`
	if os.Geteuid() != 0 {
		one, two = "1 process could not be read and may have more (run it as root)", "2 processes could not be read and may have more (run it as root)"
	}
	wantText(t, hiddenLines(failed(1))[0], one)
	wantText(t, hiddenLines(failed(2))[0], two)
}

// A descriptor whose path is longer than a page is not an inotify descriptor.
func TestLsOfLongPath(t *testing.T) {
	needsList(t)
	h := hold(t, []*os.File{instance(t), longPath(t)}, "comm=holder")
	code, stdout, stderr := call("ls", h.arg())
	wantSuccess(t, code, stderr)
	if !regexp.MustCompile(`(?m)^ *` + h.arg() + ` +holder +3 +`).MatchString(stdout) {
		t.Errorf("ls printed %q", stdout)
	}
}

// longPath returns a directory whose path has more than a page.
func longPath(t *testing.T) *os.File {
	t.Helper()
	name := strings.Repeat("d", 250)
	dir, err := os.Open(t.TempDir())
	for range os.Getpagesize()/len(name) + 1 {
		if err == nil {
			err = unix.Mkdirat(int(dir.Fd()), name, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		fd, oerr := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		dir.Close()
		dir, err = os.NewFile(uintptr(fd), name), oerr
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

func TestLsJSON(t *testing.T) {
	needsList(t)
	needsKcmp(t)
	n := newInotify(t, watchesOn(t, 1, 7)...)
	f, err := n.File()
	if err != nil {
		t.Fatal(err)
	}
	one := hold(t, []*os.File{f}, "dup=3:9", "comm=<one>")
	two := hold(t, []*os.File{f}, "comm=\xff\n")
	var ws []checkpoint.Watch
	have, err := n.Watches()
	for _, w := range have {
		ws = append(ws, checkpoint.Watch{Watch: w})
	}
	list, jerr := json.Marshal(ws)
	if err := errors.Join(err, jerr, f.Close(), n.Close()); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := call("ls", "-json", "-w", "-paths", "none", one.arg())
	if code != 0 || strings.Contains(stderr, "\n") && !strings.Contains(stderr, "could not be read and may have more") {
		t.Fatalf("exit code %d and %q", code, stderr)
	}
	first, rest, _ := strings.Cut(stdout, "\n")
	wantText(t, first, fmt.Sprintf(`{"processes":[{"pid":%d,"command":"<one>","fds":[3,9]},{"pid":%d,"command":"\ufffd\n","command_bytes":"/wo=","fds":[3]}],`+
		`"shared":true,"watch_count":2,"watches":%s,"unknown":[{"field":"path","reason":"not requested"}]}`, one.pid, two.pid, list))
	var user map[string]any
	if err := json.Unmarshal([]byte(rest), &user); err != nil || strings.Count(rest, "\n") != 1 {
		t.Fatalf("%q: %v", rest, err)
	}
	for _, name := range []string{"uid", "instance_count", "max_instances", "watch_count", "max_watches"} {
		_, is := user[name].(float64)
		if _, err := os.Stat("/proc/sys/fs/inotify"); err != nil && strings.HasPrefix(name, "max") {
			_, present := user[name]
			is = present && user[name] == nil
		}
		if !is {
			t.Errorf("%q lacks %s", rest, name)
		}
	}
}

func TestLsWatches(t *testing.T) {
	kerneltest.NeedHandles(t)
	needsList(t)
	dir := filepath.Join(t.TempDir(), "a\x1b[31m\nb")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f := instance(t, inotify.Watch{WD: 1, Mask: inotify.Create, Path: dir}, inotify.Watch{WD: 20, Mask: inotify.AllEvents | inotify.OneShot, Path: filepath.Dir(dir)})
	h := holdAlone(t, f, "comm=x\x1b[2J\ny")
	code, stdout, stderr := call("ls", "-w", h.arg())
	wantSuccess(t, code, stderr)
	wantLine(t, stdout, `%d "x\x1b[2J\ny" 3 2 -`, h.pid)
	wantLine(t, stdout, `1 IN_CREATE "%s"`, filepath.Dir(dir)+`/a\x1b[31m\nb`)
	wantLine(t, stdout, `20 IN_ALL_EVENTS|IN_ONESHOT %s`, filepath.Dir(dir))
	if strings.Contains(stdout, "\x1b") {
		t.Errorf("%q has an escape character", stdout)
	}
}

// Without the privilege to open handles, the reason is printed once.
func TestLsUnprivileged(t *testing.T) {
	needsList(t)
	f := instance(t, watchesOn(t, 1, 2, 3)...)
	h := holdAlone(t, f)
	cmd := asNobody(t, command(t, "ls", "-w"))
	if os.Geteuid() == 0 {
		// The user nobody may read only its own instances.
		f := instance(t, watchesOn(t, 1, 2, 3)...)
		holder := asNobody(t, command(t))
		holder.Env = append(holder.Env, "INOTIFYCTL_TEST_CHILD=hold")
		holder.ExtraFiles = []*os.File{f}
		h = start(t, holder)
		f.Close()
	}
	cmd.Args = append(cmd.Args, h.arg())
	code, stdout, stderr := result(t, cmd)
	wantSuccess(t, code, stderr)
	for _, wd := range []string{"1", "2", "3"} {
		wantLine(t, stdout, "%s IN_CREATE|IN_DELETE ?", wd)
	}
	if n := strings.Count(stdout, "unknown: path of 3 watches (1, 2, 3): "); n != 1 || strings.Count(stdout, "unknown:") != 1 {
		t.Errorf("the reason is not printed once in\n%s", stdout)
	}
	if os.Geteuid() == 0 { // the user nobody cannot read root's processes
		all := lines(stdout)
		if last := all[len(all)-1]; !strings.HasSuffix(last, " could not be read and may have more (run it as root)") {
			t.Errorf("the last line is %q", last)
		}
	}
}

func TestLsUnreadableInJSON(t *testing.T) {
	needsRoot(t)
	needsList(t)
	code, stdout, stderr := result(t, asNobody(t, command(t, "ls", "-json")))
	if code != 0 || !regexp.MustCompile(`^inotifyctl: \d+ process(es)? could not be read and may have more \(run it as root\)\n$`).MatchString(stderr) {
		t.Errorf("exit code %d and %q", code, stderr)
	}
	if strings.Contains(stdout, "could not be read") {
		t.Errorf("standard output has more than objects: %q", stdout)
	}
}

// A process that cannot be read is reported after the others were printed.
func TestLsFailures(t *testing.T) {
	needsList(t)
	f := instance(t)
	h := holdAlone(t, f, "comm=holder")
	code, stdout, stderr := call("ls", "2147483647", h.arg())
	wantLine(t, stdout, "%d holder 3 0 -", h.pid)
	wantFailure(t, code, stderr, "process 2147483647", "give the PID of a running process")
}

func TestLsWithoutInstances(t *testing.T) {
	h := hold(t, nil)
	code, stdout, stderr := call("ls", h.arg())
	wantSuccess(t, code, stderr)
	if !strings.HasPrefix(stdout, "no inotify instance was found\n") {
		t.Errorf("got %q", stdout)
	}
}

func TestLsWithoutWatchList(t *testing.T) {
	if listsWatches(t) {
		t.Skip("this needs a kernel that lists no watches in fdinfo")
	}
	h := holdAlone(t, instance(t, watchesOn(t, 1)...))
	code, stdout, stderr := call("ls", "-w", h.arg())
	wantSuccess(t, code, stderr)
	if !regexp.MustCompile(`(?m)^ *` + h.arg() + ` +\S+ +3 +\? `).MatchString(stdout) {
		t.Errorf("no line with an unknown number of watches in\n%s", stdout)
	}
	if !strings.Contains(stdout, "unknown: watches: ") {
		t.Errorf("no reason in\n%s", stdout)
	}
}

// Long values are shortened in the middle on a terminal, and only there.
func TestLsOnTerminal(t *testing.T) {
	kerneltest.NeedHandles(t)
	needsList(t)
	path := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	f := instance(t, inotify.Watch{WD: 1, Mask: inotify.Create | inotify.Delete | inotify.MovedFrom | inotify.MovedTo, Path: path})
	h := holdAlone(t, f, "comm=holder")
	for _, tt := range []struct{ columns, width int }{{50, 50}, {0, 80}} {
		master, slave := openTerminal(t)
		if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(tt.columns)}); err != nil {
			t.Fatal(err)
		}
		cmd := command(t, "ls", "-w", h.arg())
		cmd.Stdout, cmd.Stderr = slave, os.Stderr
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		readUntil(t, master, "\r\n") // the names
		readUntil(t, master, "\r\n") // the process
		got := strings.TrimSuffix(readUntil(t, master, "\r\n"), "\r\n")
		if cells(got) != tt.width || strings.Count(got, "…") == 0 || !strings.HasPrefix(got, "    1  IN_") || !strings.HasSuffix(got, "long") {
			t.Errorf("on %d columns: %q", tt.columns, got)
		}
	}
	code, stdout, stderr := call("ls", "-w", h.arg())
	wantSuccess(t, code, stderr)
	wantLine(t, stdout, "1 IN_MOVED_FROM|IN_MOVED_TO|IN_CREATE|IN_DELETE %s", path)
}

func TestMaskText(t *testing.T) {
	for mask, want := range map[inotify.Mask]string{
		0:                                    "0",
		inotify.Create:                       "IN_CREATE",
		inotify.AllEvents:                    "IN_ALL_EVENTS",
		inotify.AllEvents | inotify.OneShot:  "IN_ALL_EVENTS|IN_ONESHOT",
		inotify.AllEvents &^ inotify.Access:  (inotify.AllEvents &^ inotify.Access).String(),
		inotify.ExclUnlink | inotify.OneShot: "IN_EXCL_UNLINK|IN_ONESHOT",
	} {
		wantText(t, maskText(mask), want)
	}
}

func TestLsOfProgramInC(t *testing.T) {
	needsList(t)
	h := holdInC(t, 200, "c\x1bc", t.TempDir(), t.TempDir())
	code, stdout, stderr := call("ls", h.arg())
	wantSuccess(t, code, stderr)
	wantLine(t, stdout, `%s "c\x1bc" 200 2 -`, strconv.Itoa(h.pid))
}

// A process whose execve waits for a FUSE server is reported, and no command waits for it.
func TestProcessThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	needsList(t)
	h := holdAlone(t, instance(t), "comm=holder")
	f := instance(t)
	pid, _ := kerneltest.StartHung(t, f)
	f.Close()
	hung := strconv.Itoa(pid)
	snapshot := filepath.Join(t.TempDir(), "snapshot")
	code, text, errs := call("dump", "-fd", "3", h.arg())
	if code != 0 {
		t.Fatal(errs)
	}
	if err := os.WriteFile(snapshot, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	why := fmt.Sprintf("process %d: no answer within 1s", pid)
	var all sync.WaitGroup
	for _, tt := range []struct {
		args string
		code int
		line string // on standard output
	}{
		{"ls -i", 3, fmt.Sprintf("%d holder 3 0 -", h.pid)},
		{"ls " + hung, 1, "no inotify instance was found"},
		{"ls " + hung + " " + h.arg(), 1, fmt.Sprintf("%d holder 3 0 -", h.pid)},
		{"check", 3, ""},
		{"dump " + hung, 1, ""},
		{"dump -fd 3 " + hung, 1, ""},
		{"dump -drain -fd 3 " + hung, 1, ""},
		{"verify " + snapshot + " " + hung, 1, ""},
	} {
		cmd := command(t, strings.Fields(tt.args)...)
		all.Add(1)
		go func() {
			defer all.Done()
			var out, errs strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &errs
			cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(errs.String(), why) {
				t.Errorf("%s: exit code %d, want %d; standard error %q, want %q in it", tt.args, code, tt.code, &errs, why)
			}
			if tt.line != "" {
				wantLine(t, out.String(), "%s", tt.line)
			}
		}()
	}
	all.Wait() // so that the processors are free: Ctrl-C must come before a command times out
	for _, args := range []string{"ls", "check", "dump " + hung, "dump -fd 3 " + hung, "verify " + snapshot + " " + hung} {
		cmd := command(t, strings.Fields(args)...)
		var errs strings.Builder
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitUntilBlocked(cmd.Process.Pid)
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(errs.String(), "interrupted") {
			t.Errorf("%s at the first Ctrl-C: exit code %d and %q", args, code, &errs)
		}
	}
}

// waitUntilBlocked returns when a thread of the process has been in uninterruptible sleep
// for a while, which a starting process is only for a moment, or when all threads have
// exited.
func waitUntilBlocked(pid int) {
	for consecutive, last := 0, ""; consecutive < 10; time.Sleep(time.Millisecond) {
		name := blockedThread(pid)
		if name == "" || name != last {
			consecutive = 0
		}
		consecutive, last = consecutive+1, name
	}
}

// blockedThread returns the file in /proc of a thread that is in uninterruptible sleep or a
// zombie.
func blockedThread(pid int) string {
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, name := range names {
		if stat, err := os.ReadFile(name); err == nil && (strings.Contains(string(stat), ") D ") || strings.Contains(string(stat), ") Z ")) {
			return name
		}
	}
	return ""
}

// The descriptors of threads are listed after the main thread has exited.
func TestLsOfThreads(t *testing.T) {
	needsKcmp(t)
	h := holdInC(t, 200, "exit main", t.TempDir())
	for range 1000 {
		stat, _ := os.ReadFile("/proc/" + h.arg() + "/stat")
		if strings.Contains(string(stat), ") Z ") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	code, stdout, stderr := call("ls", h.arg())
	wantSuccess(t, code, stderr)
	if !regexp.MustCompile(`(?m)^ *` + h.arg() + ` +exit main +200 of thread \d+ +[1?] `).MatchString(stdout) {
		t.Errorf("ls printed %q", stdout)
	}
	_, stdout, _ = call("ls", "-json", h.arg())
	if !regexp.MustCompile(`^{"processes":\[{"pid":` + h.arg() + `,"tid":\d+,"command":"exit main","fds":\[200\]}\]`).MatchString(stdout) {
		t.Errorf("ls -json printed %q", stdout)
	}
}
