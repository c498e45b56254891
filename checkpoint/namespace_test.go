// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// startInit starts a holder that is process 1 of a pid namespace and has that namespace's
// /proc, with an instance that watches the directory returned.
func startInit(t testing.TB) (*holder, string) {
	t.Helper()
	needLists(t)
	if os.Geteuid() != 0 {
		kerneltest.NeedUserNamespaces(t)
	}
	cmd := holderCommand(kerneltest.AnyonesExecutable())
	cmd.SysProcAttr = kerneltest.OwnProc()
	h := startCommand(t, cmd)
	h.sh("mount -t proc proc /proc")
	dir := t.TempDir()
	h.do("new")
	h.do("watch", "7", "IN_CREATE", dir)
	return h, dir
}

// If /proc is of the parent pid namespace, process 1 and /proc/1 are different processes.
// DumpFD fails and does not mix them in one snapshot.
func TestDumpFDWithProcOfAnotherPIDNamespace(t *testing.T) {
	h, dir := startInit(t)
	h.do("inner", "new")
	h.do("inner", "watch", "7", "IN_DELETE", t.TempDir())
	fd := h.do("inner", "fd")
	if outer := fmt.Sprint(h.fd()); outer != fd {
		t.Fatalf("the descriptors are %s and %s, want equal ones", outer, fd)
	}
	text, err := h.try("inner", "dump", "1", fd, "none", dir, filepath.Join(dir, "snapshot"))
	if err == nil {
		snapshot, _ := os.ReadFile(filepath.Join(dir, "snapshot"))
		t.Fatalf("dumped without an error: %s%s", text, snapshot)
	}
	if !strings.Contains(err.Error(), "/proc is of another pid namespace") {
		t.Errorf("error %v", err)
	}
	// Dump needs no pid.
	if _, err := h.try("inner", "dump own", filepath.Join(dir, "own")); err != nil {
		t.Errorf("Dump: %v", err)
	}
	// A process of the namespace of /proc can use DumpFD.
	h.do("dump", "1", fmt.Sprint(h.fd()), "none", dir, filepath.Join(dir, "outer"))
}

// DumpFD fails with a /proc of a nested pid namespace, which does not show the calling process.
func TestDumpFDWithProcOfAPIDNamespaceBelow(t *testing.T) {
	needRoot(t)
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		t.Skip("this needs nsenter: ", err)
	}
	h, dir := startInit(t)
	cmd := holderCommand(nsenter)
	cmd.Args = append(cmd.Args, "--mount=/proc/"+fmt.Sprint(h.pid)+"/ns/mnt", kerneltest.Executable(t))
	outer := startCommand(t, cmd)
	if _, err := outer.try("sh", "! readlink /proc/self"); err != nil {
		t.Skip("this needs a /proc that does not show the program: ", err)
	}
	_, err = outer.try("dump", "1", fmt.Sprint(h.fd()), "none", dir, filepath.Join(dir, "snapshot"))
	if err == nil || !strings.Contains(err.Error(), "/proc is of another pid namespace") {
		t.Errorf("error %v", err)
	}
}
