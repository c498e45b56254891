// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package kerneltest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The process of StartHung: it opens the file that the variable names and executes this program
// again, which closes the file. Then it waits for the end of its input.
func init() {
	const name = "INOTIFY_TEST_HUNG"
	switch file := os.Getenv(name); file {
	case "":
		return
	case "released":
		io.Copy(io.Discard, os.Stdin)
	default:
		if _, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			fmt.Fprintln(os.Stderr, file, err)
			os.Exit(1)
		}
		os.Setenv(name, "released")
		unix.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	os.Exit(0)
}

// StartHung starts a process with the files as its descriptors 3 and following, whose execve waits
// for a FUSE server that does not answer, until release is called or the test ends. It gives the
// test's thread a new mount namespace. It skips the test where such a process answers, as on
// Linux 6.1: there its directory in /proc, kcmp and pidfd_getfd do not wait for the execve.
func StartHung(t testing.TB, files ...*os.File) (pid int, release func()) {
	t.Helper()
	OwnMounts(t)
	dir := t.TempDir()
	f := MountFUSE(t, dir, func(opcode uint32) bool { return opcode == FUSEFlush })
	cmd := exec.Command(Executable(t))
	cmd.Env = append(os.Environ(), "INOTIFY_TEST_HUNG="+dir+"/file")
	cmd.ExtraFiles, cmd.Stderr = files, os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.End()
		in.Close()
		cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); !slices.Contains(f.Requests(), FUSEFlush); {
		if time.Now().After(deadline) {
			t.Fatal("the execve of the process does not wait")
		}
		time.Sleep(time.Millisecond)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := os.Readlink(fmt.Sprintf("/proc/%d/root", cmd.Process.Pid))
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Skip("this needs a kernel on which others wait for an execve: readlink of the process's root: ", err)
	case <-time.After(100 * time.Millisecond):
	}
	return cmd.Process.Pid, f.End
}

// Operations of the FUSE protocol, as in the kernel's linux/fuse.h.
const (
	FUSELookup      = 1
	FUSEForget      = 2
	FUSEGetattr     = 3
	FUSEOpen        = 14
	FUSERead        = 15
	FUSEStatfs      = 17
	FUSERelease     = 18
	FUSEFlush       = 25
	FUSEInit        = 26
	FUSEOpendir     = 27
	FUSEReaddir     = 28
	FUSEReleasedir  = 29
	FUSEAccess      = 34
	FUSEInterrupt   = 36
	FUSEBatchForget = 42
)

// A FUSE is a mounted FUSE filesystem whose server is in this process. Its root has a
// file "file" and an empty directory "dir".
type FUSE struct {
	fd   int
	init []byte // the first request
	stop [2]int // a pipe; the server ends when its write end is closed
	hang func(opcode uint32) bool

	// End ends the server: all calls that wait for an answer fail.
	End func()

	mu       sync.Mutex
	requests []uint32
}

// MountFUSE mounts a FUSE filesystem on dir until the test ends. Its server does not answer requests
// for which hang returns true. The mount is in the calling thread's mount namespace, which should be
// a new one: see OwnMounts and Again. Because of the mount option default_permissions, a lookup of
// the mount point itself sends FUSEGetattr.
//
// At the end of the test, or when a signal kills the process, all calls that wait for an answer fail
// with ECONNABORTED or ENOTCONN.
func MountFUSE(t testing.TB, dir string, hang func(opcode uint32) bool) *FUSE {
	t.Helper()
	self, _ := os.Readlink("/proc/self/exe")
	if emulator, err := os.Readlink("/proc/thread-self/exe"); err == nil && emulator != self {
		t.Skip("this needs a process that is not emulated, as this one is by ", emulator)
	}
	f := &FUSE{hang: hang}
	var err error
	if f.fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		t.Skip("this needs /dev/fuse: ", err)
	}
	defer unix.Close(f.fd)
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,default_permissions", f.fd, os.Getuid(), os.Getgid())
	if err := unix.Mount("test", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Skipf("this needs to mount FUSE on %s: %v", dir, err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	f.init = make([]byte, 1<<17)
	n, err := unix.Read(f.fd, f.init)
	if err != nil {
		t.Fatal("reading FUSE_INIT: ", err)
	}
	f.init = f.init[:n]
	if err := unix.Pipe2(f.stop[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(f.stop[0])
	started, ended := make(chan error), make(chan struct{})
	go f.serve(started, ended)
	f.End = sync.OnceFunc(func() {
		unix.Close(f.stop[1])
		<-ended
	})
	t.Cleanup(f.End)
	if err := <-started; err != nil {
		t.Fatal("FUSE server: ", err)
	}
	return f
}

// Requests returns the operations of all requests so far, without FUSEInit.
func (f *FUSE) Requests() []uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]uint32(nil), f.requests...)
}

// serve answers requests until f.stop is closed. It runs on a thread with its own descriptor table,
// and /dev/fuse is open only there. If the process is killed while other threads wait for an
// answer, which no signal interrupts, this thread ends, which closes /dev/fuse and so ends the wait.
func (f *FUSE) serve(started chan<- error, ended chan<- struct{}) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	if unix.Gettid() == unix.Getpid() {
		// /proc/self/fd shows the descriptors of the main thread, so use another one.
		begun := make(chan error)
		go f.serve(begun, ended)
		started <- <-begun
		runtime.UnlockOSThread()
		return
	}
	defer close(ended)
	err := unix.Unshare(unix.CLONE_FILES)
	if err == nil {
		err = f.closeOthers()
	}
	defer unix.Close(f.fd)
	started <- err
	if err != nil {
		return
	}
	f.serveOne(f.init)
	request := make([]byte, 1<<17)
	for {
		wait := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}, {Fd: int32(f.stop[0])}}
		if _, err := unix.Poll(wait, -1); err == unix.EINTR {
			continue
		} else if err != nil || wait[1].Revents != 0 {
			return
		}
		n, err := unix.Read(f.fd, request)
		switch {
		case err == nil:
			f.serveOne(request[:n])
		case err == unix.ENODEV: // unmounted
			return
		}
	}
}

// closeOthers closes the descriptors of the thread's own table that the server does not need. The Go
// runtime may need its poller on any thread.
func (f *FUSE) closeOthers() error {
	const dir = "/proc/thread-self/fd"
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		link, err := os.Readlink(dir + "/" + e.Name())
		if err == nil && fd > 2 && fd != f.fd && fd != f.stop[0] && !strings.HasPrefix(link, "anon_inode:[event") {
			unix.Close(fd)
		}
	}
	return err
}

// Structures of the protocol, as in linux/fuse.h.
type (
	fuseIn struct {
		Len, Opcode   uint32
		Unique, Node  uint64
		UID, GID, PID uint32
		Rest          uint32
	}
	fuseOut struct {
		Len    uint32
		Errno  int32
		Unique uint64
	}
	fuseInit struct {
		Major, Minor, MaxReadahead, Flags  uint32
		MaxBackground, CongestionThreshold uint16
		MaxWrite, TimeGran                 uint32
		MaxPages, MapAlignment             uint16
		Flags2                             uint32
		Rest                               [6]uint32
	}
	fuseAttr struct {
		Ino, Size, Blocks, Atime, Mtime, Ctime      uint64
		AtimeNsec, MtimeNsec, CtimeNsec             uint32
		Mode, Nlink, UID, GID, Rdev, Blksize, Flags uint32
	}
	fuseEntry struct {
		Node, Generation, EntryValid, AttrValid uint64
		EntryValidNsec, AttrValidNsec           uint32
		Attr                                    fuseAttr
	}
	fuseAttrOut struct {
		Valid     uint64
		ValidNsec uint32
		_         uint32
		Attr      fuseAttr
	}
	fuseReadIn struct {
		FH, Offset uint64
		Size       uint32
	}
	fuseStatfs struct {
		Blocks, Bfree, Bavail, Files, Ffree uint64
		Bsize, Namelen, Frsize              uint32
		Rest                                [7]uint32
	}
	fuseDirent struct {
		Ino, Off      uint64
		Namelen, Type uint32
		Name          [8]byte
	}
)

// The filesystem's inodes.
const (
	fuseRoot = 1 + iota
	fuseFile
	fuseDir
)

const fuseText = "hello\n"

// serveOne answers one request, unless hang returns true for it.
func (f *FUSE) serveOne(request []byte) {
	var in fuseIn
	size, err := binary.Decode(request, binary.NativeEndian, &in)
	if err != nil {
		return
	}
	if in.Opcode != FUSEInit {
		f.mu.Lock()
		f.requests = append(f.requests, in.Opcode)
		f.mu.Unlock()
	}
	if f.hang(in.Opcode) {
		return
	}
	var body any
	errno := unix.Errno(0)
	rest := request[size:]
	switch in.Opcode {
	case FUSEForget, FUSEBatchForget, FUSEInterrupt:
		return // they have no answer
	case FUSEInit:
		body = fuseInit{Major: 7, Minor: 31, MaxWrite: 4096}
	case FUSELookup:
		name, _, _ := strings.Cut(string(rest), "\x00")
		if node := map[string]uint64{"file": fuseFile, "dir": fuseDir}[name]; node != 0 {
			body = fuseEntry{Node: node, Attr: fuseAttrOf(node)}
		} else {
			errno = unix.ENOENT
		}
	case FUSEGetattr:
		body = fuseAttrOut{Attr: fuseAttrOf(in.Node)}
	case FUSEOpen, FUSEOpendir:
		body = [2]uint64{}
	case FUSERead, FUSEReaddir:
		body = fuseContent(in.Node, rest)
	case FUSEStatfs:
		body = fuseStatfs{Bsize: 4096, Frsize: 4096, Namelen: 255}
	case FUSERelease, FUSEReleasedir, FUSEFlush, FUSEAccess:
	default:
		errno = unix.ENOSYS
	}
	var out bytes.Buffer
	head := fuseOut{Errno: -int32(errno), Unique: in.Unique}
	head.Len = uint32(binary.Size(head))
	if body != nil {
		head.Len += uint32(binary.Size(body))
	}
	binary.Write(&out, binary.NativeEndian, head)
	if body != nil {
		binary.Write(&out, binary.NativeEndian, body)
	}
	unix.Write(f.fd, out.Bytes()) // fails if the caller was interrupted
}

func fuseAttrOf(node uint64) fuseAttr {
	a := fuseAttr{Ino: node, Mode: unix.S_IFDIR | 0o755, Nlink: 2, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Blksize: 4096}
	if node == fuseFile {
		a.Mode, a.Nlink, a.Size = unix.S_IFREG|0o644, 1, uint64(len(fuseText))
	}
	return a
}

// fuseContent returns the content of a node from the offset in a read request.
func fuseContent(node uint64, read []byte) []byte {
	var in fuseReadIn
	binary.Decode(read, binary.NativeEndian, &in)
	var all bytes.Buffer
	switch node {
	case fuseRoot:
		for _, e := range []fuseDirent{
			{Ino: fuseFile, Off: 1, Namelen: 4, Type: unix.DT_REG, Name: [8]byte{'f', 'i', 'l', 'e'}},
			{Ino: fuseDir, Off: 2, Namelen: 3, Type: unix.DT_DIR, Name: [8]byte{'d', 'i', 'r'}},
		} {
			if in.Offset < e.Off {
				binary.Write(&all, binary.NativeEndian, e)
			}
		}
		return all.Bytes()
	case fuseFile:
		return []byte(fuseText[min(in.Offset, uint64(len(fuseText))):])
	}
	return nil
}
