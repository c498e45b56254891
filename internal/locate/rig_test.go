// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package locate_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/kerneltest"
	"github.com/seed10546c08/inotify/internal/locate"
)

// A rig is a filesystem with watches, and what is to be found of them.
type rig struct {
	dir   string
	n     *inotify.Inotify // of all rigs
	wds   []inotify.WD
	proc  *os.File
	cmd   *exec.Cmd
	ws    []inotify.Watch
	want  []string // "" is none
	o     locate.Options
	ctx   context.Context
	after func() // undoes what was done meanwhile
}

// must is for what makes rigs.
func must(errs ...error) {
	for _, err := range errs {
		if err != nil {
			panic(err)
		}
	}
}

func newRig(dir string, n *inotify.Inotify) *rig {
	must(os.Mkdir(dir, 0o755), unix.Mount("locate", dir, "tmpfs", 0, ""))
	return &rig{dir: dir, n: n, o: locate.Options{Level: locate.Search}, ctx: context.Background(), after: func() {}}
}

// ready adds what is still missing.
func (r *rig) ready() *rig {
	if r.proc == nil {
		r.inEyesOf(os.Getpid())
	}
	if r.ws == nil {
		r.lines()
	}
	return r
}

// inEyesOf has a process look; without it the child itself does.
func (r *rig) inEyesOf(pid int) {
	proc, err := os.Open(fmt.Sprint("/proc/", pid))
	must(err)
	r.proc = proc
}

// lines reads the watches.
func (r *rig) lines() {
	ws, err := r.n.Watches()
	must(err)
	r.ws = slices.DeleteFunc(ws, func(w inotify.Watch) bool { return !slices.Contains(r.wds, w.WD) })
}

// file makes a file, with the directories above it.
func (r *rig) file(name string) string {
	r.subdir(filepath.Dir(name))
	must(os.WriteFile(r.dir+name, nil, 0o644))
	return r.dir + name
}

func (r *rig) subdir(name string) string {
	must(os.MkdirAll(r.dir+name, 0o755))
	return r.dir + name
}

// filesystem mounts another filesystem.
func (r *rig) filesystem(name, kind string) string {
	must(unix.Mount("locate", r.subdir(name), kind, 0, ""))
	return r.dir + name
}

func (r *rig) bind(from, to string) {
	must(unix.Mount(r.dir+from, r.subdir(to), "", unix.MS_BIND, ""))
}

// watch adds a watch that is to be found at a path. What is on tmpfs stays cached.
func (r *rig) watch(at, want string) {
	wd, err := r.n.AddWatch(at, quiet)
	must(err)
	r.wds, r.want = append(r.wds, wd), append(r.want, want)
}

func (r *rig) watchThere(at string) { r.watch(at, at) }

// watchLost adds a watch on a file that has no name.
func (r *rig) watchLost() {
	lost := r.file("/lost")
	_, err := unix.Open(lost, unix.O_PATH|unix.O_CLOEXEC, 0)
	r.watch(lost, "")
	must(err, os.Remove(lost))
}

// inOrder returns the names in a directory as the kernel lists them.
func inOrder(dir string) []string {
	f, err := os.Open(dir)
	must(err)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	must(err)
	return names
}

// branch makes a branch of directories, each with others beside it, of which it is one
// that the kernel lists at a place that turns with the level.
func branch(at string, levels, places int) (all []string) {
	for level := range levels {
		for i := range 3 {
			must(os.Mkdir(fmt.Sprint(at, "/", i), 0o755))
		}
		at += "/" + inOrder(at)[level%places]
		all = append(all, at)
	}
	return all
}

// alternate adds many watches on files of two filesystems in turn.
func (r *rig) alternate(count int) {
	r.filesystem("/other", "tmpfs")
	for i := range count {
		r.watchThere(r.file(fmt.Sprint([]string{"/", "/other/"}[i%2], i)))
	}
}

// inNamespace has a process look that has a mount of its own, and a directory on it as its
// root.
func (r *rig) inNamespace() {
	cmd := r.start("other namespace", r.dir)
	root := fmt.Sprintf("/proc/%d/root", cmd.Process.Pid)
	r.watch(root+"/f", "/f")
	r.watch(root+"/.", "/")
}

// other has a process look that has a directory as its root.
func (r *rig) other(root string) *exec.Cmd { return r.start("other", root) }

func (r *rig) start(role, root string) *exec.Cmd {
	cmd, err := startOther(role, root)
	must(err)
	r.inEyesOf(cmd.Process.Pid)
	r.cmd = cmd // which ends with the child
	return cmd
}

// makeRigs makes what callOps need.
func makeRigs() (map[string]*rig, error) {
	base, err := os.MkdirTemp("", "faults")
	if err == nil {
		err = unix.Mount("locate", base, "tmpfs", 0, "")
	}
	var n *inotify.Inotify // for as long as the child lives
	if err == nil {
		n, err = kerneltest.NewWhenPossible()
	}
	if err != nil {
		return nil, err
	}
	rigs := make(map[string]*rig)
	for i, op := range callOps {
		r := newRig(fmt.Sprint(base, "/", i), n)
		op.make(r)
		rigs[op.name] = r.ready()
	}
	return rigs, nil
}

// look does the operation.
func (r *rig) look() (a kerneltest.FaultAnswer) {
	balance := kerneltest.Weigh()
	var res *locate.Result
	var failed error
	kerneltest.Watched(func() { res, failed = locate.Paths(r.ctx, r.proc, r.ws, r.o) })
	a.Fail(failed, 0)
	balance.Check(&a)
	r.after()
	if failed != nil {
		return a
	}
	if len(res.Skipped) > 0 && !slices.Contains(r.want, "") {
		a.Broke("all was found, but said: %+v", res.Skipped)
	}
	for i, p := range res.Places {
		if p.Path != r.want[i] || (p.Path == "") == (p.Err == nil) {
			a.Broke("place %+v, want %q", p, r.want[i])
		}
	}
	return a
}
