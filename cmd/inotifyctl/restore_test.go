// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// look is a script that prints a shell's descriptors and limits, on standard error, as
// descriptor 1 may be the instance.
const look = `exec >&2; echo pid $$; ls /proc/$$/fd; cat /proc/$$/fdinfo/$0; ` +
	`readlink /proc/$$/fd/$0; ulimit -Sn; grep -E 'Sig(Blk|Ign)' /proc/self/status`

// shell runs a script with the arguments $0 and so on, in a process that has the files
// as its descriptors 3 and so on.
func shell(t *testing.T, files []*os.File, script string, args ...string) (code int, stdout, stderr string, pid int) {
	t.Helper()
	cmd := command(t)
	cmd.Path = "/bin/sh"
	cmd.Args = append([]string{"sh", "-c", script}, args...)
	cmd.ExtraFiles = files
	code, stdout, stderr = result(t, cmd)
	return code, stdout, stderr, cmd.ProcessState.Pid()
}

// descriptors returns the descriptors that a shell has without restore.
func descriptors(t *testing.T) []string {
	t.Helper()
	_, stdout, _, _ := shell(t, nil, `ls /proc/$$/fd`)
	return strings.Fields(stdout)
}

// COMMAND gets the instance at its descriptor, and otherwise the same descriptors, limits
// and signals as without restore. The Go runtime uses descriptors among 3 to 8.
func TestRestore(t *testing.T) {
	needsList(t)
	ws := watchesOn(t, 1, 7)
	usual := descriptors(t)
	_, signals, _, _ := shell(t, nil, `grep -E 'Sig(Blk|Ign)' /proc/self/status`)
	for _, fd := range []int{3, 4, 5, 6, 7, 8, 200} {
		for _, flags := range []checkpoint.Flags{checkpoint.NonBlock | checkpoint.CloseOnExec, 0} {
			t.Run(fmt.Sprint(fd, " ", flags), func(t *testing.T) {
				fdText := strconv.Itoa(fd)
				if slices.Contains(usual, fdText) {
					t.Skip("the tests have this descriptor open")
				}
				file := snapshotFile(t, fd, ws, func(s *checkpoint.Snapshot) { s.Flags = flags })
				code, _, stderr, pid := shell(t, nil, `ulimit -Sn 300; exec "$0" "$@"`, kerneltest.Executable(t), "restore", file, "--", "sh", "-c", look, fdText)
				_, stderr, _ = strings.Cut(stderr, "pid ")
				if code != 0 || !strings.HasPrefix(stderr, strconv.Itoa(pid)+"\n") {
					t.Fatalf("exit code %d, and not process %d:\n%s", code, pid, stderr)
				}
				open := append(slices.Clone(usual), fdText)
				slices.Sort(open)
				list, _, _ := strings.Cut(stderr, "pos:")
				got := strings.Fields(list)[1:]
				slices.Sort(got)
				if !slices.Equal(got, open) {
					t.Errorf("descriptors %v, want %v", got, open)
				}
				status := map[checkpoint.Flags]string{0: "flags: 00", checkpoint.NonBlock | checkpoint.CloseOnExec: "flags: 04000"}[flags]
				wantLine(t, stderr, "%s", status)
				for _, w := range ws {
					if want := fmt.Sprintf("\ninotify wd:%x ", int(w.WD)); !strings.Contains(stderr, want) || !strings.Contains(stderr, " mask:300 ") {
						t.Errorf("watch %d with its mask is missing in\n%s", w.WD, stderr)
					}
				}
				wantLine(t, stderr, "anon_inode:inotify")
				wantLine(t, stderr, "300") // the soft limit, which the Go runtime raises
				for _, line := range strings.Split(strings.TrimSpace(signals), "\n") {
					wantLine(t, stderr, "%s", strings.Join(strings.Fields(line), " "))
				}
			})
		}
	}
}

// An instance is restored at a standard descriptor only if that is closed.
func TestRestoreOnStandardDescriptors(t *testing.T) {
	needsList(t)
	ws := watchesOn(t, 1)
	for fd := range 3 {
		fdText := strconv.Itoa(fd)
		file := snapshotFile(t, fd, ws, nil)
		_, _, stderr, _ := shell(t, nil, `exec "$0" "$@" </etc/passwd`, kerneltest.Executable(t), "restore", file, "--", "true")
		if !strings.Contains(stderr, "of the dump is in use here") || !strings.Contains(stderr, fdText+"<&-") {
			t.Errorf("%d: %q, want a refusal", fd, stderr)
		}
		out := filepath.Join(t.TempDir(), "out")
		code, _, stderr, _ := shell(t, nil, `exec "$0" "$@" `+fdText+`<&-`, kerneltest.Executable(t), "restore", file, "--",
			"sh", "-c", `readlink /proc/$$/fd/`+fdText+` | cat >"$0"`, out)
		if code != 0 {
			t.Fatalf("%d: exit code %d: %s", fd, code, stderr)
		}
		wantText(t, content(t, out), "anon_inode:inotify\n")
	}
}

// COMMAND inherits ignored signals, except those that the Go runtime handles from the
// start.
func TestRestoreKeepsIgnoredSignals(t *testing.T) {
	needsList(t)
	const script, all = `trap "" INT HUP TSTP TTIN TTOU; exec "$0" "$@"`, "SigIgn: 0000000000380003"
	status := []string{"grep", "SigIgn", "/proc/self/status"}
	_, stdout, _, _ := shell(t, nil, `INOTIFYCTL_TEST_CHILD=exec; `+script, append([]string{kerneltest.Executable(t)}, status...)...)
	if strings.Join(strings.Fields(stdout), " ") != all {
		t.Skipf("this needs a program that runs another to leave signals ignored (qemu-user does not): %s", stdout)
	}
	file := snapshotFile(t, 5, watchesOn(t, 1), nil)
	code, stdout, stderr, _ := shell(t, nil, script, append([]string{kerneltest.Executable(t), "restore", file, "--"}, status...)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	wantLine(t, stdout, all)
}

// The instance does not replace a descriptor that COMMAND inherits.
func TestRestoreRefusesInheritedDescriptor(t *testing.T) {
	needsList(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ws := watchesOn(t, 1)
	cmd := command(t, "restore", snapshotFile(t, 3, ws, nil), "--", "true")
	cmd.ExtraFiles = []*os.File{r}
	code, _, stderr := result(t, cmd)
	wantFailure(t, code, stderr, "file descriptor 3 of the dump is in use", "3<&-")
	cmd = command(t, "restore", snapshotFile(t, 4, ws, nil), "--", "sh", "-c", `readlink /proc/$$/fd/3 /proc/$$/fd/4`)
	cmd.ExtraFiles = []*os.File{r}
	code, stdout, stderr := result(t, cmd)
	if code != 0 || !strings.HasPrefix(stdout, "pipe:") || !strings.HasSuffix(stdout, "anon_inode:inotify\n") {
		t.Errorf("exit code %d, %q, %s", code, stdout, stderr)
	}
}

func TestRestoreRefusesDescriptorBeyondLimit(t *testing.T) {
	needsList(t)
	file := snapshotFile(t, 100, watchesOn(t, 1), nil)
	code, _, stderr, _ := shell(t, nil, `ulimit -n 100; exec "$0" "$@"`, kerneltest.Executable(t), "restore", file, "--", "true")
	wantFailure(t, code, stderr, "descriptor 100", "raise it (ulimit -Hn)")
}

// In COMMAND, the next wd and events are as if the instance was never dumped.
func TestRestoredInstanceWorks(t *testing.T) {
	needsList(t)
	kerneltest.NeedDuplicates(t)
	ws := watchesOn(t, 1, 7)
	var next inotify.WD
	file := snapshotFile(t, 9, ws, func(s *checkpoint.Snapshot) {
		next = s.NextWD
		s.Flags &^= checkpoint.CloseOnExec // execve would have closed it
	})
	h := start(t, command(t, "restore", file, "--", "env", "INOTIFYCTL_TEST_CHILD=hold", kerneltest.Executable(t)))
	touch(t, ws[1].Path, "new")
	h.stop()
	code, stdout, stderr := call("dump", "-drain", h.arg())
	s := wantDumped(t, code, stdout, stderr)
	if !hasIoctl(t) {
		next = 0 // cannot be determined
	}
	if s.FD != 9 || s.NextWD != next || len(s.Pending) != 1 || s.Pending[0] != (inotify.Event{WD: 7, Mask: inotify.Create, Name: "new"}) {
		t.Errorf("got %+v, want next wd %d and one event", s, next)
	}
	code, stdout, stderr = call("verify", file, h.arg())
	if code != 0 {
		t.Errorf("exit code %d: %q, %s", code, stdout, stderr)
	}
}

// If COMMAND cannot be executed, nothing is changed, and the file for events is not made.
func TestRestoreWithoutCommand(t *testing.T) {
	dir := t.TempDir()
	file := touch(t, dir, "no snapshot")
	for _, name := range []string{"no-such-command", dir + "/none", dir, file} {
		events := filepath.Join(dir, "events")
		code, _, stderr := call("restore", "-pending", events, file, "--", name)
		wantFailure(t, code, stderr, name, "give a command that can be executed")
		if _, err := os.Lstat(events); !os.IsNotExist(err) {
			t.Errorf("%s was made: %v", events, err)
		}
	}
}

// A command that only execve finds to be broken fails with a message too.
func TestRestoreOfBrokenCommand(t *testing.T) {
	kerneltest.NeedBootID(t)
	needsList(t)
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("\x7fELF"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, fd := range []int{3, 4, 5, 50} {
		code, _, stderr := result(t, command(t, "restore", snapshotFile(t, fd, watchesOn(t, 1), nil), "--", broken))
		wantFailure(t, code, stderr, "cannot execute "+broken, "exec format error")
	}
}

func withPending(n int) func(*checkpoint.Snapshot) {
	return func(s *checkpoint.Snapshot) {
		for i := range n {
			s.Pending = append(s.Pending, inotify.Event{WD: 1, Mask: inotify.Create, Name: fmt.Sprint("<", i, ">\n")})
		}
		s.PendingBytes = 32 * n
	}
}

// COMMAND reads the pending events from its descriptor. Changes of the events are printed.
func TestRestorePutsPendingEventsIntoTheQueue(t *testing.T) {
	needsList(t)
	if !hasIoctl(t) {
		t.Skip("this needs a kernel with the ioctl")
	}
	const read = `dd bs=4096 count=1 <&5 2>/dev/null`
	file := snapshotFile(t, 5, watchesOn(t, 1), withPending(2))
	code, stdout, stderr := result(t, command(t, "restore", file, "--", "sh", "-c", read))
	if code != 0 || len(stdout) != 64 || strings.Index(stdout, "<0>\n") != 16 || strings.Index(stdout, "<1>\n") != 48 {
		t.Errorf("exit code %d, %q, %s", code, stdout, stderr)
	}
	wantSuccess(t, code, stderr)

	file = snapshotFile(t, 5, watchesOn(t, 1), func(s *checkpoint.Snapshot) {
		withPending(1)(s)
		s.Pending = append(s.Pending, s.Pending[0], inotify.Event{WD: 1, Mask: inotify.CloseWrite | inotify.IsDir})
	})
	code, stdout, stderr = result(t, command(t, "restore", file, "--", "sh", "-c", read))
	if code != 0 || len(stdout) != 48 {
		t.Errorf("exit code %d, %q, %s", code, stdout, stderr)
	}
	wantLine(t, stderr, "inotifyctl: changed: 1 pending event: merged with an equal neighbour")
	wantLine(t, stderr, "inotifyctl: changed: 1 pending event: left out, as such a record cannot be made")
	wantLine(t, stderr, "inotifyctl: changed: an overflow event was appended")
	if !strings.Contains(stderr, "inotifyctl: not restored: pending: 1 of 3 events") {
		t.Errorf("standard error %q", stderr)
	}
}

func TestRestoreWithPendingEvents(t *testing.T) {
	needsList(t)
	file := snapshotFile(t, 5, watchesOn(t, 1), withPending(2))
	const queued = `LC_ALL=C timeout 1 dd bs=4096 count=1 <&5 2>&1 | head -c 100; exit 0`

	code, stdout, stderr := result(t, withoutIoctl(t, "restore", file, "--", "echo", "executed"))
	note, failure, _ := strings.Cut(stderr, "\n")
	if !strings.HasPrefix(note, "inotifyctl: not restored: pending: ") || !strings.Contains(note, "Linux 4.17") {
		t.Errorf("standard error %q", stderr)
	}
	wantFailure(t, code, failure, "2 pending events are not in the queue", "-pending FILE", "-drop-pending")
	wantText(t, stdout, "")

	code, stdout, stderr = result(t, command(t, "restore", "-drop-pending", file, "--", "echo", "executed"))
	if code != 0 || stdout != "executed\n" {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	wantLine(t, stderr, "inotifyctl: dropped: 2 pending events")

	events := filepath.Join(t.TempDir(), "events")
	code, stdout, stderr = result(t, command(t, "restore", "-pending", events, file, "--", "sh", "-c", queued))
	if code != 0 || !strings.Contains(stdout, "Resource temporarily unavailable") {
		t.Errorf("exit code %d, and the queue is not empty: %q, %s", code, stdout, stderr)
	}
	wantText(t, content(t, events), `{"wd":1,"mask":"IN_CREATE","name":"<0>\n"}`+"\n"+
		`{"wd":1,"mask":"IN_CREATE","name":"<1>\n"}`+"\n")
}

func TestRestorePendingToStandardOutput(t *testing.T) {
	needsList(t)
	file := snapshotFile(t, 5, watchesOn(t, 1), withPending(1))
	code, stdout, stderr := result(t, command(t, "restore", file, "-pending", "-", "--", "echo", "-n", "-pending"))
	if code != 0 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	wantText(t, stdout, `{"wd":1,"mask":"IN_CREATE","name":"<0>\n"}`+"\n-pending") // the output of echo
}

// Events that could not be queued are an error without -pending or -drop-pending.
func TestRestoreWithNewEvents(t *testing.T) {
	events := []inotify.Event{{WD: 1, Mask: inotify.Create, Name: "x"}}
	var stderr strings.Builder
	r := restore{}
	if err := r.putPending(kerneltest.Context(t), new(checkpoint.Snapshot), events, nil, &stderr); err == nil || !strings.Contains(textWithHint(err), "-pending FILE") {
		t.Errorf("error %v", err)
	}
	r.drop = true
	if err := r.putPending(kerneltest.Context(t), new(checkpoint.Snapshot), events, nil, &stderr); err != nil {
		t.Error(err)
	}
	wantText(t, stderr.String(), "inotifyctl: dropped: 1 pending event\n")
}

// With a snapshot of another boot, inodes are not compared, and restore says so.
func TestRestoreOfAnotherBoot(t *testing.T) {
	kerneltest.NeedBootID(t)
	needsList(t)
	file := snapshotFile(t, 5, watchesOn(t, 1), func(s *checkpoint.Snapshot) { s.BootID = "another" })
	code, stdout, stderr := result(t, command(t, "restore", file, "--", "echo", "executed"))
	if code != 0 || stdout != "executed\n" {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	wantLine(t, stderr, "inotifyctl: not verified: inode: whether the same files are watched was not compared: the snapshot is from another boot or machine")
}

// If events were pending and the snapshot does not have them, an overflow is queued, or
// -drop-pending is needed.
func TestRestoreWithLostEvents(t *testing.T) {
	needsList(t)
	file := snapshotFile(t, 5, watchesOn(t, 1), func(s *checkpoint.Snapshot) {
		s.PendingBytes = 64
		s.Unknown = append(s.Unknown, checkpoint.Gap{Field: "pending", Reason: "not requested"})
	})
	for _, cmd := range []*exec.Cmd{
		withoutIoctl(t, "restore", file, "--", "echo", "executed"),
		command(t, "restore", "-pending="+filepath.Join(t.TempDir(), "events"), file, "--", "echo", "executed"),
	} {
		code, stdout, stderr := result(t, cmd)
		wantFailure(t, code, stderr, "64 bytes of pending events", "-drain", "-drop-pending")
		wantText(t, stdout, "")
	}
	if hasIoctl(t) {
		code, stdout, stderr := result(t, command(t, "restore", file, "--", "sh", "-c", `dd bs=4096 count=1 <&5 2>/dev/null | wc -c`))
		if code != 0 || strings.TrimSpace(stdout) != "16" {
			t.Errorf("exit code %d, %q", code, stdout)
		}
		wantLine(t, stderr, "inotifyctl: added: an overflow event, for 64 bytes of pending events that the dump lacks")
	}
	code, stdout, stderr := result(t, command(t, "restore", "-drop-pending", file, "--", "echo", "executed"))
	if code != 0 || stdout != "executed\n" {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	wantLine(t, stderr, "inotifyctl: dropped: 64 bytes of pending events that the dump lacks")
	wantLine(t, stderr, "inotifyctl: not restored: pending: not in the snapshot: not requested")
}

// If the events cannot be written, COMMAND is not executed.
func TestRestoreWithFullDevice(t *testing.T) {
	kerneltest.NeedBootID(t)
	needsList(t)
	file := snapshotFile(t, 5, watchesOn(t, 1), withPending(2))
	for name, want := range map[string]string{"/dev/full": "no space left on device", t.TempDir() + "/none/events": "/none/events"} {
		code, stdout, stderr := result(t, command(t, "restore", "-pending", name, file, "--", "echo", "executed"))
		wantFailure(t, code, stderr, want)
		wantText(t, stdout, "")
	}
}

func TestRestoreWithMissing(t *testing.T) {
	needsList(t)
	ws := watchesOn(t, 1, 2, 3, 4)
	file := snapshotFile(t, 5, ws, func(s *checkpoint.Snapshot) { s.Watches[3].Path = "" })
	code, _, stderr := result(t, command(t, "restore", file, "--", "true"))
	wantFailure(t, code, stderr, "wd 4", "path is unknown", "dump again with -paths search")
	for _, w := range ws[1:3] {
		if err := os.Remove(w.Path); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr = result(t, command(t, "restore", "-missing", file, "--", "grep", "-c", "^inotify", "/proc/self/fdinfo/5"))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if !strings.Contains(stderr, "inotifyctl: not restored: 2 watches (2, 3): ") || !strings.Contains(stderr, "inotifyctl: not restored: watch 4: ") {
		t.Errorf("standard error %q", stderr)
	}
	file = snapshotFile(t, 5, ws[:1], func(s *checkpoint.Snapshot) { s.Watches[0].Path += "\n\x1b[2J" })
	code, _, stderr = result(t, command(t, "restore", file, "--", "true"))
	wantFailure(t, code, stderr, `/1\n\x1b[2J": `, "-missing")
}

// If another file is at the path, COMMAND is not executed.
func TestRestoreOfAnotherFile(t *testing.T) {
	needsList(t)
	kerneltest.NeedBootID(t)
	ws := watchesOn(t, 1)
	file := snapshotFile(t, 5, ws, func(s *checkpoint.Snapshot) { s.Watches[0].Inode++ })
	code, stdout, stderr := result(t, command(t, "restore", file, "--", "echo", "executed"))
	wantFailure(t, code, stderr, "watch 1", "put back what was there")
	wantText(t, stdout, "")
}

// No process that the snapshot names is signalled by events.
func TestRestoreSendsNoSignal(t *testing.T) {
	needsList(t)
	file := snapshotFile(t, 5, watchesOn(t, 1), func(s *checkpoint.Snapshot) {
		s.Flags |= checkpoint.Async
		s.Owner = checkpoint.Owner{Kind: checkpoint.OwnerProcess, ID: os.Getpid()}
		s.Signal = int(unix.SIGKILL)
	})
	code, stdout, stderr := result(t, command(t, "restore", file, "--", "grep", "flags", "/proc/self/fdinfo/5"))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	wantLine(t, stdout, "flags: 04000")
	if !strings.Contains(stderr, "inotifyctl: not restored: owner, signal, flags: ") {
		t.Errorf("standard error %q", stderr)
	}
}

func TestRestoreFromStandardInput(t *testing.T) {
	needsList(t)
	text := content(t, snapshotFile(t, 5, watchesOn(t, 1), nil))
	cmd := command(t, "restore", "-", "--", "readlink", "/proc/self/fd/5")
	cmd.Stdin = strings.NewReader(text)
	code, stdout, stderr := result(t, cmd)
	if code != 0 || stdout != "anon_inode:inotify\n" {
		t.Errorf("exit code %d, %q, %s", code, stdout, stderr)
	}
}

func TestRestoreByCycle(t *testing.T) {
	needsList(t)
	file := snapshotFile(t, 5, watchesOn(t, 1, 40), func(s *checkpoint.Snapshot) { s.NextWD = 0 })
	code, stdout, stderr := result(t, withoutIoctl(t, "restore", "-max-steps", "38", file, "--", "echo", "executed"))
	wantFailure(t, code, stderr, "run it with -max-steps 39")
	wantText(t, stdout, "")
	code, stdout, stderr = result(t, withoutIoctl(t, "restore", "-max-steps", "39", file, "--", "grep", "-o", "^inotify wd:[0-9a-f]*", "/proc/self/fdinfo/5"))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	wantLine(t, stdout, "inotify wd:28")
	wantLine(t, stdout, "inotify wd:1")
}

func TestRestoreOnTerminal(t *testing.T) {
	needsList(t)
	master, slave := openTerminal(t)
	file := snapshotFile(t, 5, watchesOn(t, 12), func(s *checkpoint.Snapshot) { s.NextWD = 0 })
	cmd := withoutIoctl(t, "restore", file, "--", "true")
	cmd.Stderr = slave
	if code, _, _ := result(t, cmd); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	slave.Close()
	got := readUntil(t, master, "\r\n")
	if want := "100% 11 / 11 steps, 0s left" + clearLine + "inotifyctl: not restored: next_wd: not in the snapshot\r\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q at its end", got, want)
	}
}

// The queue is full for a moment, which a terminal shows.
func TestRestoreFillsQueueOnTerminal(t *testing.T) {
	needsList(t)
	if !hasIoctl(t) {
		t.Skip("this needs a kernel with the ioctl")
	}
	master, slave := openTerminal(t)
	file := snapshotFile(t, 5, watchesOn(t, 1), func(s *checkpoint.Snapshot) {
		withPending(1)(s)
		s.Pending = append(s.Pending, s.Pending[0])
	})
	cmd := command(t, "restore", file, "--", "true")
	cmd.Stderr = slave
	if code, _, _ := result(t, cmd); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	slave.Close()
	got := readUntil(t, master, "\r\n")
	if want := " records" + clearLine + "inotifyctl: changed: 1 pending event: merged with an equal neighbour\r\n"; !strings.HasPrefix(got, clearLine+"filling the queue: [====") || !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want a bar and %q at its end", got, want)
	}
}

// If the instance already has the right descriptor, FD_CLOEXEC is cleared.
func TestDupToItself(t *testing.T) {
	f := instance(t)
	fd := int(f.Fd())
	unix.CloseOnExec(fd)
	if err := dupTo(fd, fd); err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags != 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
}

func TestInterruptEndsRestore(t *testing.T) {
	needsList(t)
	master, slave := openTerminal(t)
	file := snapshotFile(t, 5, watchesOn(t, 1), func(s *checkpoint.Snapshot) { s.Watches[0].WD = 2147483647 })
	cmd := withoutIoctl(t, "restore", "-max-steps", "2147483647", file, "--", "echo", "executed")
	cmd.Stderr = slave
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	slave.Close()
	if !strings.HasSuffix(readUntil(t, master, "left"), "left") {
		exitCode(t, cmd.Wait()) // skips
		t.Fatal("no bar was drawn")
	}
	cmd.Process.Signal(unix.SIGINT)
	got := readUntil(t, master, "\r\n")
	_, line, _ := strings.Cut(got, clearLine+"inotifyctl")
	var printed [1]byte
	if n, _ := out.Read(printed[:]); n > 0 {
		t.Error("the command was executed")
	}
	wantFailure(t, exitCode(t, cmd.Wait()), "inotifyctl"+strings.TrimSuffix(line, "\r\n")+"\n", "stopped after ", "interrupted")
}

func TestRestoreUnprivileged(t *testing.T) {
	needsRoot(t)
	needsList(t)
	ws := watchesOn(t, 1)
	for dir := ws[0].Path; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := asNobody(t, command(t, "restore", "-", "--", "readlink", "/proc/self/fd/5"))
	cmd.Stdin = strings.NewReader(content(t, snapshotFile(t, 5, ws, nil)))
	code, stdout, stderr := result(t, cmd)
	if code != 0 || stdout != "anon_inode:inotify\n" {
		t.Errorf("exit code %d, %q, %s", code, stdout, stderr)
	}
}

// On a kernel that does not list watches, a restored instance cannot be verified.
func TestRestoreWithoutWatchList(t *testing.T) {
	if listsWatches(t) {
		t.Skip("this needs a kernel that lists no watches in fdinfo")
	}
	dir := t.TempDir()
	file := writeSnapshot(t, &checkpoint.Snapshot{FD: 5, Watches: []checkpoint.Watch{
		{Watch: inotify.Watch{WD: 1, Mask: inotify.Create, Path: dir}},
	}})
	code, stdout, stderr := result(t, command(t, "restore", file, "--", "echo", "executed"))
	wantFailure(t, code, stderr, "verify: list watches: listing watches in /proc/self/fdinfo needs")
	wantText(t, stdout, "")
}

// Without unshare, close_range is used. Without both, restore fails.
func TestRestoreWithoutUnshare(t *testing.T) {
	kerneltest.NeedBootID(t)
	needsList(t)
	file := snapshotFile(t, 4, watchesOn(t, 1), nil)
	for _, tt := range []struct{ child, want string }{
		{"without unshare", "anon_inode:inotify\n"},
		{"without unshare and close_range", ""},
	} {
		cmd := command(t, "restore", file, "--", "readlink", "/proc/self/fd/4")
		cmd.Env = append(cmd.Env, "INOTIFYCTL_TEST_CHILD="+tt.child)
		code, stdout, stderr := result(t, cmd)
		wantText(t, stdout, tt.want)
		if tt.want == "" {
			wantFailure(t, code, stderr, "unshare", "operation not permitted")
		} else {
			wantSuccess(t, code, stderr)
		}
	}
}

// snapshotFile returns a file with the snapshot, changed by edit, of an instance that has
// the watches and is descriptor fd.
func snapshotFile(t *testing.T, fd int, ws []inotify.Watch, edit func(*checkpoint.Snapshot)) string {
	t.Helper()
	n := newInotify(t, ws...)
	defer n.Close()
	paths := make(map[inotify.WD]string)
	for _, w := range ws {
		paths[w.WD] = w.Path
	}
	s, err := checkpoint.Dump(kerneltest.Context(t), n, checkpoint.WithPaths(checkpoint.PathsNone),
		checkpoint.WithResolver(func(w inotify.Watch) (string, error) { return paths[w.WD], nil }))
	if err != nil {
		t.Fatal(err)
	}
	s.FD = fd
	if s.NextWD == 0 && len(ws) > 0 { // the kernel does not report it
		s.NextWD = ws[len(ws)-1].WD + 1
		s.Unknown = slices.DeleteFunc(s.Unknown, func(g checkpoint.Gap) bool { return g.Field == "next_wd" })
	}
	if edit != nil {
		edit(s)
	}
	return writeSnapshot(t, s)
}
