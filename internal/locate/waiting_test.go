// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
)

// A daemon serves a FUSE filesystem in which each name is a directory and none is listed.
// After stop, lookups there wait until close. The size of the directories does not fit in 31
// bits, as on some filesystems a directory has the size of all that is in it.
type daemon struct {
	dev  *os.File
	done sync.WaitGroup
}

// fuse mounts a FUSE filesystem and starts its daemon.
func fuse(t testing.TB, dir string) *daemon {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("this needs FUSE: ", err)
	}
	if err := unix.Mount("locate", dir, "fuse.locate", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		unix.Close(fd)
		t.Skip("this needs to mount FUSE: ", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	d := &daemon{dev: os.NewFile(uintptr(fd), "/dev/fuse")} // it can be polled only after the mount
	t.Cleanup(d.close)
	late := time.AfterFunc(20*time.Second, d.close)
	t.Cleanup(func() { late.Stop() })
	kerneltest.Go(&d.done, d.serve)
	return d
}

// close makes all waiting lookups fail.
func (d *daemon) close() {
	d.stop()
	d.dev.Close()
}

func (d *daemon) stop() {
	d.dev.SetReadDeadline(time.Unix(1, 0))
	d.done.Wait()
}

// The requests that it handles, from include/uapi/linux/fuse.h.
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseInit        = 26
	fuseOpendir     = 27
	fuseReaddir     = 28
	fuseAccess      = 34
	fuseBatchForget = 42
)

func (d *daemon) serve() {
	// The kernel's byte order, which under qemu-user may differ from the test's.
	var order binary.ByteOrder = binary.LittleEndian
	request := make([]byte, 1<<20)
	ids := make(map[string]uint64)
	for {
		n, err := d.dev.Read(request)
		if errors.Is(err, unix.ENOENT) {
			continue // the request was interrupted
		}
		if err != nil {
			return
		}
		if order.Uint32(request[4:]) == bits.ReverseBytes32(fuseInit) { // the first request
			order = binary.BigEndian
		}
		var answer []byte
		failed := int32(0)
		attributes := func(id uint64) []byte {
			b := make([]byte, 88)
			order.PutUint64(b, id)
			order.PutUint64(b[8:], 3<<30)
			order.PutUint32(b[60:], unix.S_IFDIR|0o755)
			order.PutUint32(b[64:], 2) // links
			return b
		}
		switch order.Uint32(request[4:]) {
		case fuseForget, fuseBatchForget:
			continue
		case fuseInit:
			answer = make([]byte, 64)
			order.PutUint32(answer, 7)
			order.PutUint32(answer[4:], 31)
			order.PutUint32(answer[20:], 4096) // the largest write
		case fuseLookup: // the answer is valid for 0 seconds
			name := string(request[40 : n-1])
			if ids[name] == 0 {
				ids[name] = uint64(len(ids)) + 2
			}
			answer = make([]byte, 40)
			order.PutUint64(answer, ids[name])
			answer = append(answer, attributes(ids[name])...)
		case fuseAccess: // allowed
		case fuseOpendir:
			answer = make([]byte, 16)
		case fuseReaddir: // no entries
		case fuseGetattr:
			answer = append(make([]byte, 16), attributes(order.Uint64(request[16:]))...)
		default:
			failed = -int32(unix.ENOSYS)
		}
		header := make([]byte, 16, 16+len(answer))
		order.PutUint32(header, uint32(16+len(answer)))
		order.PutUint32(header[4:], uint32(failed))
		order.PutUint64(header[8:], order.Uint64(request[8:]))
		d.dev.Write(append(header, answer...))
	}
}

// places calls Paths, which must not wait for the stopped daemon.
func (d *daemon) places(t *testing.T, process *os.File, ws []inotify.Watch, o locate.Options) []locate.Place {
	t.Helper()
	late := time.AfterFunc(10*time.Second, d.close)
	res, err := locate.Paths(context.Background(), process, ws, o)
	if !late.Stop() {
		t.Fatal("Paths waited for the daemon")
	}
	try(t, err)
	return res.Places
}

var everywhere = locate.Options{Level: locate.Handles, AllFilesystems: true}

func TestWatchOnStoppedFUSE(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	d := fuse(t, dir)
	n := newInotify(t)
	other := touch(t, t.TempDir()+"/f")
	ws := []inotify.Watch{watch(t, n, dir), watch(t, n, dir+"/d"), watch(t, n, other)}
	needHandles(t)
	ps := d.places(t, proc(t, 0), ws, everywhere)
	for i, path := range []string{dir, dir + "/d", other} {
		wantPath(t, ps[i], path)
	}
	d.stop()
	for _, o := range []locate.Options{byHandles, {Level: locate.Search, MaxEntries: 1}} {
		ps := d.places(t, proc(t, 0), ws, o)
		wantNone(t, ps[0], "fuse.locate", dir, "all filesystems")
		wantNone(t, ps[1], "fuse.locate", dir, "all filesystems")
		wantPath(t, ps[2], other)
	}
}

// A 32-bit process can search a directory whose size does not fit in 31 bits.
func TestSearchOfLargeDirectory(t *testing.T) {
	lack, child := inChildren(t, ownNamespace, asIs, noOpenat2)
	if !child {
		return
	}
	dir := t.TempDir()
	fuse(t, dir)
	w := unfindable(watch(t, newInotify(t), mkdir(t, t.TempDir()+"/d")))
	res := paths(t, 0, []inotify.Watch{w}, locate.Options{Level: locate.Search, SearchDirs: []string{dir}, AllFilesystems: true, MaxEntries: 9})
	if !slices.Contains(res.Searched, dir) {
		t.Errorf("%s: searched %q, want %q among them", lack, res.Searched, dir)
	}
	for _, s := range res.Skipped {
		if s.Path == dir {
			t.Errorf("%s: skipped %+v", lack, s)
		}
	}
}

func TestMountBehindStoppedFUSE(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir, at := t.TempDir(), t.TempDir()
	d := fuse(t, dir)
	mount(t, "locate", dir+"/d", "tmpfs", 0, "")
	t.Cleanup(d.close) // before it is unmounted
	n := newInotify(t)
	ws := []inotify.Watch{watch(t, n, touch(t, dir+"/d/f")), watch(t, n, dir+"/d")}
	needHandles(t)
	ps := d.places(t, proc(t, 0), ws, everywhere)
	wantPath(t, ps[0], dir+"/d/f")
	wantPath(t, ps[1], dir+"/d")
	// A search directory is looked up even if it is on a FUSE filesystem.
	ps = d.places(t, proc(t, 0), []inotify.Watch{unfindable(ws[0])}, searchIn(dir+"/d"))
	wantNone(t, ps[0], "in 1 trees, 2 entries")
	bound := t.Run("also mounted elsewhere", func(t *testing.T) {
		bind(t, dir+"/d", at)
		d.stop()
		ps := d.places(t, proc(t, 0), ws, byHandles)
		wantPath(t, ps[0], at+"/f")
		wantPath(t, ps[1], at)
	})
	if !bound {
		return
	}
	for _, o := range []locate.Options{byHandles, {Level: locate.Search}} {
		for _, p := range d.places(t, proc(t, 0), ws, o) {
			wantNone(t, p, "fuse.locate", dir, "all filesystems")
		}
	}
	res := paths(t, 0, ws, bySearch)
	if len(res.Searched) != 0 || len(res.Skipped) == 0 || res.Skipped[0].Path != dir+"/d" ||
		!strings.Contains(res.Skipped[0].Reason, fmt.Sprintf("%q is fuse.locate: a program serves it", dir)) {
		t.Errorf("searched %q, skipped %+v", res.Searched, res.Skipped)
	}
}

func TestPathHiddenByStoppedFUSE(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	sub, sibling := mkdir(t, dir+"/sub"), mkdir(t, dir+"/sibling")
	n := newInotify(t)
	ws := []inotify.Watch{watch(t, n, touch(t, sub+"/f")), watch(t, n, sub), watch(t, n, touch(t, sibling+"/f"))}
	beside := watch(t, n, touch(t, dir+"/subway"))
	needHandles(t)
	d := fuse(t, sub)
	d.stop()
	ps := d.places(t, proc(t, 0), append(ws, beside), byHandles)
	wantNone(t, ps[0], sub+"/f", "fuse.locate", "all filesystems")
	wantNone(t, ps[1], "fuse.locate", "all filesystems")
	wantPath(t, ps[2], sibling+"/f")
	wantPath(t, ps[3], dir+"/subway")

	// A mount on its root hides it: nothing is looked up on it.
	mount(t, "locate", sub, "tmpfs", 0, "")
	above := watch(t, n, touch(t, sub+"/above"))
	ps = d.places(t, proc(t, 0), append(ws, above), byHandles)
	wantNone(t, ps[0], "hidden by the tmpfs")
	wantPath(t, ps[3], sub+"/above")
}

// A stopped FUSE filesystem that a mount above its mount point hides does not matter.
func TestHiddenStoppedFUSE(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := tmpfs(t)
	d := fuse(t, mkdir(t, dir+"/sub/deep"))
	d.stop()
	mount(t, "locate", dir+"/sub", "tmpfs", 0, "")
	w := watch(t, newInotify(t), touch(t, mkdir(t, dir+"/sub/deep")+"/f"))
	needHandles(t)
	wantPath(t, d.places(t, proc(t, 0), []inotify.Watch{w}, byHandles)[0], dir+"/sub/deep/f")
}

// The path of a removed name, without the kernel's suffix " (deleted)", may lead to a stopped
// FUSE filesystem: it is not looked up.
func TestRemovedNameAtStoppedFUSE(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := ext4(t) // on tmpfs the other name would be found
	name := mkdir(t, dir+"/d") + "/f"
	try(t, os.Link(touch(t, dir+"/other"), name))
	w := watch(t, newInotify(t), name)
	needHandles(t)
	try(t, os.Remove(name))
	d := fuse(t, mkdir(t, name))
	d.stop()
	ps := d.places(t, proc(t, 0), []inotify.Watch{w}, byHandles)
	wantNone(t, ps[0], name, "fuse.locate", "all filesystems")
}

// The lookup of an overlay's sample files does not wait for a FUSE filesystem mounted in it.
func TestStoppedFUSEInAnOverlay(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	layers := tmpfs(t)
	dir := overlay(t, mkdir(t, layers+"/upper"), mkdir(t, layers+"/lower"), "")
	w := watch(t, newInotify(t), touch(t, dir+"/f"))
	etc := mkdir(t, dir+"/etc")
	needHandles(t)
	d := fuse(t, etc)
	d.stop()
	if p := d.places(t, proc(t, 0), []inotify.Watch{w}, byHandles)[0]; p.Path != "" && p.Path != dir+"/f" {
		t.Errorf("%+v", p)
	}
}

// A FUSE filesystem that is mounted during the lookup is not looked into when the paths are
// compared again.
func TestFUSEMountedMeanwhile(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needHandles(t)
	dir, n := tmpfs(t), newInotify(t)
	ws := []inotify.Watch{watch(t, n, touch(t, mkdir(t, dir+"/sub")+"/f")), watch(t, n, touch(t, mkdir(t, dir+"/covered")+"/f"))}
	var d *daemon
	calls := 0
	ctx := hookContext{context.Background(), func() {
		if calls++; calls == 4 { // after the loop of the only thread
			mount(t, "locate", dir+"/covered", "tmpfs", 0, "")
			d = fuse(t, dir+"/sub")
			d.stop()
			time.AfterFunc(10*time.Second, d.close)
		}
	}}
	start := time.Now()
	res, err := locate.Paths(ctx, proc(t, 0), ws, byHandles)
	try(t, err)
	if d == nil {
		t.Fatalf("nothing was mounted: %d calls", calls)
	}
	if time.Since(start) > 9*time.Second {
		t.Fatal("Paths waited for the daemon")
	}
	wantNone(t, res.Places[0], "changed meanwhile", "all filesystems")
	wantNone(t, res.Places[1], "changed meanwhile", dir+"/covered/f")
}

// If the root directory of the process is on a stopped FUSE filesystem, nothing is looked up.
func TestRootOnStoppedFUSE(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	kerneltest.NeedOpenat2(t)
	dir := t.TempDir()
	d := fuse(t, dir)
	mount(t, "locate", dir+"/d", "tmpfs", 0, "")
	t.Cleanup(d.close) // before it is unmounted
	n := newInotify(t)
	ws := []inotify.Watch{watch(t, n, touch(t, dir+"/d/f")), watch(t, n, dir)}
	tid, failed, end := 0, error(nil), make(chan struct{})
	var done sync.WaitGroup
	defer done.Wait()
	defer close(end)
	ready := make(chan struct{})
	var another func()
	another = func() {
		runtime.LockOSThread() // never unlocked
		if unix.Gettid() == os.Getpid() {
			kerneltest.Go(&done, another)
			<-end
			runtime.UnlockOSThread()
			return
		}
		tid, failed = unix.Gettid(), unix.Unshare(unix.CLONE_FS)
		if failed == nil {
			failed = unix.Chroot(dir)
		}
		close(ready)
		<-end
	}
	kerneltest.Go(&done, another)
	<-ready
	try(t, failed)
	name := fmt.Sprint("/proc/self/task/", tid)
	task, err := os.Open(name)
	try(t, err)
	defer task.Close()
	ps := d.places(t, task, ws, everywhere)
	wantPath(t, ps[0], "/d/f")
	wantPath(t, ps[1], "/")
	d.stop()
	for _, p := range d.places(t, task, ws, byHandles) {
		wantNone(t, p, "fuse.locate", "all filesystems")
	}
	mount(t, "locate", dir, "tmpfs", 0, "") // a lookup from the root directory does not enter it
	for _, p := range d.places(t, task, ws, byHandles) {
		wantNone(t, p, "fuse.locate", "all filesystems")
	}
}

// Paths does not wait for a process whose execve waits for a FUSE server.
func TestProcessThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	hung, release := kerneltest.StartHung(t)
	late := time.AfterFunc(30*time.Second, release)
	process := proc(t, hung)
	ws := []inotify.Watch{watch(t, newInotify(t), touch(t, t.TempDir()+"/f"))}
	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Millisecond, io.ErrUnexpectedEOF)
	defer cancel()
	res, err := locate.Paths(ctx, process, ws, byHandles)
	if !errors.Is(err, io.ErrUnexpectedEOF) || res == nil {
		t.Fatalf("%+v, %v at the end of the context, want its cause", res, err)
	}
	wantNone(t, res.Places[0], io.ErrUnexpectedEOF.Error())
	if res, err := locate.Paths(context.Background(), process, ws, byHandles); res != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%+v, %v", res, err)
	}
	if !late.Stop() {
		t.Error("Paths waited for the process")
	}
}

// Nothing is looked up on an autofs whose daemon does not answer.
func TestWatchOnAutofs(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := mkdir(t, tmpfs(t)+"/d") // the only mount of its filesystem
	var pipe [2]int
	try(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	w := watch(t, newInotify(t), dir)
	mount(t, "locate", dir, "autofs", 0, fmt.Sprintf("fd=%d,pgrp=%d,minproto=5,maxproto=5,indirect", pipe[1], unix.Getpgrp()))
	at := watch(t, newInotify(t), dir)
	ps := paths(t, 0, []inotify.Watch{w, at}, byHandles).Places
	for _, p := range ps {
		if !slices.ContainsFunc([]string{"autofs", "CAP_DAC_READ_SEARCH"}, func(word string) bool { return p.Err != nil && strings.Contains(p.Err.Error(), word) }) {
			t.Errorf("%+v", p)
		}
	}
	wantNone(t, ps[1], "the autofs on", dir, "all filesystems")
}
