// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
	"github.com/seed10546c08/inotify/internal/kerneltest"
)

// A watch that is destroyed during the restore is listed in Destroyed, and is no difference.
func TestWatchDestroyedDuringRestore(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	paths := files(t, 3)
	for i, path := range paths {
		restoreWatch(t, n, inotify.WD(i+1), path, inotify.AllEvents)
	}
	s := dump(t, n)
	n.Close()
	// The first open of the directory destroys the one-shot watch, and it is opened all the
	// time.
	dir := filepath.Dir(paths[0])
	s.Watches = append(s.Watches, checkpoint.Watch{Watch: inotify.Watch{WD: 4, Mask: inotify.Open | inotify.OneShot, Path: dir}, Type: checkpoint.TypeDirectory})
	s.NextWD = 5
	s.Pending = []inotify.Event{{WD: 2, Mask: inotify.Attrib}}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				os.ReadDir(dir)
			}
		}
	}()
	destroyed := 0
	for i := range 200 {
		opts := []checkpoint.RestoreOption{checkpoint.WithVerify(checkpoint.VerifyWDs)}
		if i%10 != 0 { // filling the queue takes longer
			opts = append(opts, checkpoint.WithPendingKept())
		}
		r := restore(t, s, opts...)
		if len(r.Destroyed) > 0 {
			destroyed++
			if !slices.Equal(r.Destroyed, []inotify.WD{4}) {
				t.Errorf("destroyed %v", r.Destroyed)
			}
			evs := queued(t, r)
			if evs[0] != s.Pending[0] {
				t.Errorf("the first event is %v, want the snapshot's", evs[0])
			}
			if !slices.Contains(evs, inotify.Event{WD: 4, Mask: inotify.Ignored}) {
				t.Errorf("events %v", evs)
			}
		}
		r.Close()
		if destroyed > 3 {
			break
		}
	}
	close(stop)
	<-done
	if destroyed == 0 {
		t.Skip("this needs a watch to be destroyed during the restore, and none was")
	}
}

// The same holds for a watch that is destroyed after it was listed, when types are compared.
func TestWatchDestroyedBeforeTypeCheck(t *testing.T) {
	needLists(t)
	if runtime.NumCPU() < 2 {
		t.Skip("this needs two processors, so that a file is removed during the restore")
	}
	const count = 1000
	paths := files(t, count)
	s := &checkpoint.Snapshot{}
	for i, path := range paths {
		s.Watches = append(s.Watches, checkpoint.Watch{
			Watch: inotify.Watch{WD: inotify.WD(i + 1), Mask: inotify.Attrib, Path: path},
			Type:  checkpoint.TypeRegular,
		})
	}
	last := paths[count-1]
	destroyed := 0
	for i := 0; i < 60 && destroyed < 2; i++ {
		touch(t, last)
		removed := make(chan struct{})
		go func() {
			defer close(removed)
			time.Sleep(time.Duration(i) * 200 * time.Microsecond)
			os.Remove(last)
		}()
		r, err := s.Restore(kerneltest.Context(t), checkpoint.WithVerify(checkpoint.VerifyWDs))
		<-removed
		var failed *inotify.RestoreError
		switch {
		case err == nil:
			destroyed += len(r.Destroyed)
			r.Close()
		case !errors.As(err, &failed): // the file did not exist any more
			t.Errorf("error %v", err)
		}
	}
	if destroyed == 0 {
		t.Skip("this needs a watch to be destroyed during the restore, and none was")
	}
}

// With AllowMissing, a target that is removed during the restore is tolerated too.
func TestTargetRemovedDuringRestore(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	paths := files(t, 3)
	for i, path := range paths {
		restoreWatch(t, n, inotify.WD(i+1), path, inotify.Attrib)
	}
	want := watches(t, n)[2:]
	s := dump(t, n)
	n.Close()
	for _, level := range []checkpoint.VerifyLevel{checkpoint.VerifyDefault, checkpoint.VerifyNone} {
		touch(t, paths[0])
		r := restore(t, s, checkpoint.AllowMissing(), checkpoint.WithVerify(level), checkpoint.WithFileFor(func(w checkpoint.Watch) (*os.File, error) {
			if w.WD == 3 { // the others have been resolved
				os.Remove(paths[0])
				os.Remove(paths[1])
			}
			return nil, nil
		}))
		wantSame(t, watches(t, r.Inotify), want)
		if g := gaps(r.NotRestored, "watch"); len(g) != 2 || g[0].WD != 1 || g[1].WD != 2 {
			t.Errorf("not restored %v", r.NotRestored)
		}
	}
}

// If a file handle is just an inode number, the weak identity is listed.
func TestWeakIdentityIsListed(t *testing.T) {
	kerneltest.NeedBootID(t)
	needLists(t)
	n := newInotify(t)
	restoreWatch(t, n, 1, files(t, 1)[0], inotify.Attrib)
	kerneltest.KeepCached(t, "/proc/sys/kernel")
	restoreWatch(t, n, 2, "/proc/sys/kernel", inotify.Attrib)
	s := dump(t, n, checkpoint.WithResolver(func(w inotify.Watch) (string, error) {
		if w.WD == 2 {
			return "/proc/sys/kernel", nil
		}
		return "", nil
	}))
	n.Close()
	r := restore(t, s)
	g := gaps(r.NotRestored, "handle")
	if s.Watches[0].Handle == (inotify.Handle{}) {
		t.Skip("this needs a filesystem with handles in ", os.TempDir())
	}
	if len(g) != 1 || g[0].WD != 2 || !strings.Contains(g[0].Reason, "just inode numbers") {
		t.Errorf("not restored %v; handles %v and %v", r.NotRestored, s.Watches[0].Handle, s.Watches[1].Handle)
	}
	if g := gaps(restore(t, s, checkpoint.WithVerify(checkpoint.VerifyWDs)).NotRestored, "handle"); len(g) != 0 {
		t.Errorf("not restored %v, where identity was not requested", g)
	}
}

// A handle that the dump or the live instance lacks is not compared, as fdinfo of overlayfs has
// none while no name of the inode is cached. A restore lists that.
func TestMissingHandleIsNotCompared(t *testing.T) {
	kerneltest.NeedBootID(t)
	needLists(t)
	n := newInotify(t)
	paths := files(t, 2)
	restoreWatch(t, n, 1, paths[0], inotify.Attrib)
	restoreWatch(t, n, 2, paths[1], inotify.Attrib)
	live, s := dump(t, n), dump(t, n)
	s.Watches[0].Handle = inotify.Handle{}
	if d := append(s.Compare(live), live.Compare(s)...); len(d) > 0 {
		t.Error(d)
	}
	n.Close()
	if g := gaps(restore(t, s).NotRestored, "handle"); len(g) != 1 || g[0].WD != 1 || !strings.Contains(g[0].Reason, "no file handle") {
		t.Errorf("not restored %v", g)
	}
	s.Watches[0].Inode++
	if _, err := s.Restore(kerneltest.Context(t)); !errors.As(err, new(*checkpoint.VerifyError)) {
		t.Errorf("another inode: %v", err)
	}
}

// Generation 0, which mke2fs -d gives its inodes, is not a weak identity on a filesystem that
// has generations.
func TestGenerationZeroIsNoWeakIdentity(t *testing.T) {
	needLists(t)
	kerneltest.OwnMounts(t)
	dir, image, source := t.TempDir(), filepath.Join(t.TempDir(), "image"), t.TempDir()
	touch(t, filepath.Join(source, "f"))
	for _, args := range [][]string{
		{"truncate", "-s", "4M", image},
		{"mke2fs", "-q", "-F", "-t", "ext4", "-d", source, image},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("this needs a loop-mounted ext4: %q: %v %s", args, err, out)
		}
	}
	t.Cleanup(func() { exec.Command("umount", "-d", dir).Run() })
	n := newInotify(t)
	restoreWatch(t, n, 1, filepath.Join(dir, "f"), inotify.Attrib)
	s := dump(t, n)
	n.Close()
	if h := s.Watches[0].Handle; h.Type != 1 || len(h.Bytes) != 8 || h.Bytes[4:] != "\x00\x00\x00\x00" {
		t.Skipf("this needs an inode of generation 0: its handle is %v", h)
	}
	if s.Watches[0].Path == "" { // without CAP_DAC_READ_SEARCH
		s.Watches[0].Path = filepath.Join(dir, "f")
	}
	r := restore(t, s)
	if g := gaps(r.NotRestored, "handle"); len(g) != 0 {
		t.Errorf("not restored %v", g)
	}
	r.Inotify.Close()
}

// Release returns the pending events that were not queued. Newer events are in the queue of
// the file, which has no internal records.
func TestReleaseReturnsPending(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	dir := t.TempDir()
	restoreWatch(t, n, 1, dir, inotify.Create)
	touch(t, filepath.Join(dir, "a"))
	s := dump(t, n, checkpoint.WithDrain())
	n.Close()
	for _, flags := range []checkpoint.Flags{checkpoint.NonBlock, 0} {
		s.Flags = flags
		r := restore(t, s, checkpoint.WithPendingKept())
		name := fmt.Sprint("b", flags)
		touch(t, filepath.Join(dir, name))
		f, pending, err := r.Release()
		if err != nil {
			t.Fatal(err)
		}
		if hasIoctl(t) {
			wantEvents(t, pending, inotify.Event{WD: 1, Mask: inotify.Create, Name: "a"})
			pending = append(pending, read(t, f)...)
		}
		wantEvents(t, pending, inotify.Event{WD: 1, Mask: inotify.Create, Name: "a"}, inotify.Event{WD: 1, Mask: inotify.Create, Name: name})
		if b := bytesIn(t, f); b != 0 {
			t.Errorf("%d bytes are in the kernel's queue", b)
		}
		if _, err := r.Inotify.AddWatch("/", inotify.Open); !errors.Is(err, os.ErrClosed) {
			t.Errorf("AddWatch after Release: %v", err)
		}
		if _, _, err := r.Release(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a second Release: %v", err)
		}
		touch(t, filepath.Join(dir, "c"+name))
		buf := make([]byte, 100)
		if k, err := f.Read(buf); k != 32 || err != nil || !bytes.Contains(buf, []byte("c"+name)) {
			t.Errorf("read %q, %v", buf[:k], err)
		}
		f.Close()
	}
}

// If Release is called while other goroutines read, each event is delivered once: to a
// reader, by Release, or from the file.
func TestReleaseWhileOthersRead(t *testing.T) {
	t.Parallel()
	kerneltest.NeedDuplicates(t)
	needLists(t)
	n := newInotify(t)
	dir := t.TempDir()
	restoreWatch(t, n, 1, dir, inotify.Create)
	const before = 100
	for i := range before {
		touch(t, filepath.Join(dir, fmt.Sprint(i)))
	}
	s := dump(t, n, checkpoint.WithDrain())
	n.Close()
	for round := range 100 {
		var opts []checkpoint.RestoreOption
		if round%50 != 0 { // filling the queue takes longer
			opts = append(opts, checkpoint.WithPendingKept())
		}
		r := restore(t, s, opts...)
		var mu sync.Mutex
		seen := map[string]int{}
		count := func(ev inotify.Event) {
			mu.Lock()
			defer mu.Unlock()
			seen[ev.Name]++
		}
		var readers, writer sync.WaitGroup
		for range 4 {
			kerneltest.Go(&readers, func() {
				for ev, err := range r.Events(kerneltest.Context(t)) {
					if err != nil {
						wantError(t, err, os.ErrClosed)
						break
					}
					count(ev)
				}
			})
		}
		kerneltest.Go(&readers, func() {
			for range 10 {
				r.Pending()
			}
		})
		made := 0
		stop := make(chan struct{})
		kerneltest.Go(&writer, func() {
			for ; ; made++ {
				select {
				case <-stop:
					return
				default:
					touch(t, filepath.Join(dir, fmt.Sprint(round, "-", made)))
				}
			}
		})
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		f, pending, err := r.Release()
		if err != nil {
			t.Fatal(err)
		}
		readers.Wait()
		close(stop)
		writer.Wait()
		for _, ev := range pending {
			count(ev)
		}
		heir, err := inotify.FromFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range tryAll(t, heir) {
			count(ev)
		}
		heir.Close()
		if len(seen) != before+made {
			t.Errorf("%d events, want %d", len(seen), before+made)
		}
		for name, times := range seen {
			if times != 1 {
				t.Errorf("event of %s was delivered %d times", name, times)
			}
		}
	}
}

// Events ends with an error, as that of an Inotify does, and the next call delivers the
// pending events.
func TestEventsEnds(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	dir := t.TempDir()
	restoreWatch(t, n, 1, dir, inotify.Create)
	touch(t, filepath.Join(dir, "a"))
	s := dump(t, n, checkpoint.WithDrain())
	n.Close()
	r := restore(t, s)
	end := func(ctx context.Context, want error) {
		t.Helper()
		pairs := 0
		for ev, err := range r.Events(ctx) {
			if pairs++; ev != (inotify.Event{}) {
				t.Errorf("event %v", ev)
			}
			wantError(t, err, want)
		}
		if pairs != 1 {
			t.Errorf("%d pairs, want the error", pairs)
		}
	}
	cause := errors.New("the cause")
	ctx, cancel := context.WithCancelCause(kerneltest.Context(t))
	cancel(cause)
	end(ctx, cause)
	wantEvents(t, queued(t, r), s.Pending...)
	end(kerneltest.Context(t), os.ErrDeadlineExceeded)
	if err := r.Inotify.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancelCause(kerneltest.Context(t))
	time.AfterFunc(2*time.Millisecond, func() { cancel(cause) })
	end(ctx, cause)
	time.AfterFunc(2*time.Millisecond, func() { r.Close() })
	end(kerneltest.Context(t), os.ErrClosed)
	end(kerneltest.Context(t), os.ErrClosed)
}

// A Release that fails with EMFILE changes nothing, and readers continue.
func TestReleaseFails(t *testing.T) {
	needLists(t)
	n := newInotify(t)
	dir := t.TempDir()
	restoreWatch(t, n, 1, dir, inotify.Create)
	r := restore(t, dump(t, n))
	seen := make(chan inotify.Event)
	go func() {
		defer close(seen)
		for ev, err := range r.Events(context.Background()) {
			if err != nil {
				wantError(t, err, os.ErrClosed)
				break
			}
			seen <- ev
		}
	}()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
		_, _, err := r.Release()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		wantError(t, err, unix.EMFILE)
		name := fmt.Sprint("f", i)
		touch(t, filepath.Join(dir, name))
		if got, want := <-seen, (inotify.Event{WD: 1, Mask: inotify.Create, Name: name}); got != want {
			t.Errorf("event %v, want %v", got, want)
		}
	}
	f, pending, err := r.Release()
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	wantEvents(t, pending)
	for ev := range seen {
		t.Errorf("event %v after the release", ev)
	}
}

func bytesIn(t testing.TB, f *os.File) uint32 {
	t.Helper()
	n, err := unix.IoctlGetUint32(fdOf(t, f), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The signal of an event carries the released descriptor.
func TestSignalCarriesReleasedDescriptor(t *testing.T) {
	needLists(t)
	kerneltest.OnOwnThread(t)
	n := newInotify(t)
	path := files(t, 1)[0]
	restoreWatch(t, n, 1, path, inotify.Attrib)
	s := dump(t, n)
	n.Close()
	s.Flags |= checkpoint.Async
	s.Signal = int(unix.SIGUSR1)
	s.Owner = checkpoint.Owner{Kind: checkpoint.OwnerThread, ID: 1}
	var set unix.Sigset_t
	set.Val[0] |= 1 << (uint(s.Signal) - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Signalfd(-1, &set, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK)
	if err != nil {
		t.Skip("this needs signalfd: ", err)
	}
	defer unix.Close(fd)
	r := restore(t, s, checkpoint.WithOwner(checkpoint.OwnerThread, unix.Gettid()))
	f, _, err := r.Release()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	os.Chmod(path, 0o644)
	var info unix.SignalfdSiginfo
	if k, err := unix.Read(fd, (*[unsafe.Sizeof(info)]byte)(unsafe.Pointer(&info))[:]); k != int(unsafe.Sizeof(info)) || err != nil {
		t.Fatalf("no signal was received: %d, %v", k, err)
	}
	if have := fdOf(t, f); int(info.Fd) != have {
		t.Errorf("the signal carries descriptor %d, want %d", info.Fd, have)
	}
}

// A snapshot with an edited field is refused or restored as edited.
func TestEditedSnapshot(t *testing.T) {
	kerneltest.NeedBootID(t)
	needLists(t)
	dir := t.TempDir()
	file, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	touch(t, file)
	touch(t, other)
	n := newInotify(t)
	restoreWatch(t, n, 2, file, inotify.Attrib)
	restoreWatch(t, n, 4, dir, inotify.Create)
	original := dump(t, n, checkpoint.WithSearchDirs(dir))
	original.NextWD = 5
	n.Close()
	text := encode(t, original)
	refused := func(target error) func(*checkpoint.Restored, error) string {
		return func(r *checkpoint.Restored, err error) string {
			if err == nil {
				return "it was restored"
			}
			if target != nil && !errors.Is(err, target) {
				return "another error"
			}
			return ""
		}
	}
	differs := func(r *checkpoint.Restored, err error) string {
		if !errors.As(err, new(*checkpoint.VerifyError)) {
			return "want a VerifyError"
		}
		return ""
	}
	asEdited := func(check func(w []inotify.Watch) bool) func(*checkpoint.Restored, error) string {
		return func(r *checkpoint.Restored, err error) string {
			if err != nil {
				return "it was refused"
			}
			if ws := watches(t, r.Inotify); !check(ws) {
				return fmt.Sprint("watches ", ws)
			}
			return ""
		}
	}
	same := asEdited(func(ws []inotify.Watch) bool { return len(ws) == 2 && ws[0].WD == 2 && ws[1].WD == 4 })
	inode, device, handle := fmt.Sprint(original.Watches[0].Inode), original.Watches[0].Device.String(), original.Watches[0].Handle.String()
	for _, c := range []struct {
		field, old, by string
		check          func(*checkpoint.Restored, error) string
	}{
		{"boot_id", `"boot_id": "`, `"boot_id": "x`, same},
		{"fd", `"fd": `, `"fd": 1000`, same},
		{"flags", `"flags": "O_NONBLOCK`, `"flags": "O_ASYNC|O_NONBLOCK`, same},
		{"next_wd", `"next_wd": 5`, `"next_wd": 50`, func(r *checkpoint.Restored, err error) string {
			if err != nil {
				return "it was refused"
			}
			if wd, err := r.Inotify.AddWatch(other, inotify.Attrib); wd != 50 || err != nil {
				return fmt.Sprint("the next wd is ", wd, err)
			}
			return ""
		}},
		{"owner", `"watches"`, `"owner": {"kind": "process", "id": 1}, "signal": 9, "watches"`, same},
		{"wd", `"wd": 2`, `"wd": 3`, asEdited(func(ws []inotify.Watch) bool { return ws[0].WD == 3 })},
		{"mask", `"mask": "IN_ATTRIB"`, `"mask": "IN_OPEN|IN_ONESHOT"`, asEdited(func(ws []inotify.Watch) bool { return ws[0].Mask == inotify.Open|inotify.OneShot })},
		{"path", `/file"`, `/other"`, differs},
		{"path", `/file"`, `/nothing"`, refused(os.ErrNotExist)},
		{"path", `/file"`, `/file/x"`, refused(unix.ENOTDIR)},
		{"path", `/file"`, `/other/../file"`, refused(unix.ENOTDIR)},
		{"path", `/file"`, `/./file"`, same},
		{"type", `"type": "file"`, `"type": "directory"`, refused(nil)},
		{"type", `"type": "directory"`, `"type": "socket"`, refused(nil)},
		{"type", `"type": "file"`, `"type": "fifo"`, refused(nil)},
		{"device", `"device": "` + device, `"device": "1:1`, differs},
		{"inode", `"inode": ` + inode, `"inode": 1`, differs},
		{"handle", `"handle": "` + handle + `",`, ``, differs},
		{"handle", `"handle": "` + handle, `"handle": "` + handle + `00`, differs},
		{"pending", `"watches"`, `"pending": [{"wd": 2, "mask": "IN_OPEN"}], "watches"`, func(r *checkpoint.Restored, err error) string {
			if err != nil || len(queued(t, r)) != 1 {
				return "the event is missing"
			}
			return ""
		}},
	} {
		if strings.Count(text, c.old) == 0 {
			if c.field == "handle" {
				continue // the last member, without a comma
			}
			t.Fatalf("%s: the text has no %s:\n%s", c.field, c.old, text)
		}
		s, err := checkpoint.Read(strings.NewReader(strings.Replace(text, c.old, c.by, 1)))
		if err != nil {
			t.Errorf("%s: %s: not read: %v", c.field, c.by, err)
			continue
		}
		r, err := s.Restore(kerneltest.Context(t))
		if why := c.check(r, err); why != "" {
			t.Errorf("%s: %s instead of %s: %s; error %v", c.field, c.by, c.old, why, err)
		}
		if r != nil {
			if flags := dump(t, r.Inotify).Flags; flags&checkpoint.Async != 0 {
				t.Errorf("%s: O_ASYNC is set", c.field)
			}
			if o := dump(t, r.Inotify); o.Owner.Kind != "" || o.Signal != 0 {
				t.Errorf("%s: owner %v, signal %d", c.field, o.Owner, o.Signal)
			}
			r.Close()
		}
	}
}

func TestRestoreFails(t *testing.T) {
	path := files(t, 1)[0]
	valid := func() *checkpoint.Snapshot {
		return &checkpoint.Snapshot{Watches: []checkpoint.Watch{{Watch: inotify.Watch{WD: 3, Mask: inotify.Attrib, Path: path}}}}
	}
	s := valid()
	s.Watches[0].Mask = inotify.MaskAdd
	if _, err := s.Restore(kerneltest.Context(t)); err == nil || !strings.Contains(err.Error(), "IN_MASK_ADD") {
		t.Errorf("error %v", err)
	}
	s = valid()
	s.Watches = append(s.Watches, s.Watches[0])
	s.Watches[1].WD = 4
	_, err := s.Restore(kerneltest.Context(t), checkpoint.WithVerify(checkpoint.VerifyNone))
	wantError(t, err, unix.EEXIST)
	ended, cancel := context.WithCancel(kerneltest.Context(t))
	cancel()
	_, err = valid().Restore(ended)
	wantError(t, err, context.Canceled)
	if _, err := newInotify(t).Watches(); err != nil { // the kernel lists no watches
		_, err := valid().Restore(kerneltest.Context(t))
		wantError(t, err, errors.ErrUnsupported)
	}
	r := restore(t, valid(), checkpoint.WithVerify(checkpoint.VerifyNone)) // on every kernel
	os.Chmod(path, 0o644)
	wantEvents(t, queued(t, r), inotify.Event{WD: 3, Mask: inotify.Attrib})
	if len(gaps(r.NotRestored, "next_wd")) != 1 {
		t.Errorf("not restored %v", r.NotRestored)
	}
}

// Restore does not change the snapshot.
func TestRestoreLeavesTheSnapshot(t *testing.T) {
	paths := files(t, 3)
	s := &checkpoint.Snapshot{NextWD: 20}
	for i, path := range paths {
		s.Watches = append(s.Watches, checkpoint.Watch{Watch: inotify.Watch{WD: inotify.WD(9 - i), Mask: inotify.Attrib, Path: path}})
	}
	before := fmt.Sprintf("%+v", s)
	restore(t, s, checkpoint.WithVerify(checkpoint.VerifyNone))
	if after := fmt.Sprintf("%+v", s); after != before {
		t.Errorf("the snapshot was\n%s\nand is\n%s", before, after)
	}
}

func TestEmptySnapshot(t *testing.T) {
	needLists(t)
	s := dump(t, newInotify(t))
	if len(s.Watches) != 0 || hasIoctl(t) && s.NextWD != 1 {
		t.Errorf("snapshot %+v", s)
	}
	s.NextWD = 1
	r := restore(t, roundTrip(t, s))
	if wd, err := r.Inotify.AddWatch("/", inotify.DeleteSelf); wd != 1 || err != nil {
		t.Errorf("the first watch got wd %d, %v", wd, err)
	}
}

// If the identity of the watched files was not compared, NotRestored says so.
func TestRestoreListsThatIdentityWasNotCompared(t *testing.T) {
	kerneltest.NeedBootID(t)
	needLists(t)
	path := files(t, 1)[0]
	n := newInotify(t)
	restoreWatch(t, n, 3, path, inotify.Attrib)
	s := dump(t, n)
	for name, c := range map[string]struct {
		boot string
		opts []checkpoint.RestoreOption
		why  string
	}{
		"this boot":       {boot: s.BootID},
		"another boot":    {boot: "another", why: "another boot"},
		"an unknown boot": {boot: "", why: "boot id"},
		"by wds":          {boot: s.BootID, opts: []checkpoint.RestoreOption{checkpoint.WithVerify(checkpoint.VerifyWDs)}, why: "not requested"},
		"unverified":      {boot: s.BootID, opts: []checkpoint.RestoreOption{checkpoint.WithVerify(checkpoint.VerifyNone)}, why: "not requested"},
		"identity anyway": {boot: "another", opts: []checkpoint.RestoreOption{checkpoint.WithVerify(checkpoint.VerifyIdentity)}},
	} {
		s.BootID = c.boot
		g := gaps(restore(t, s, c.opts...).NotRestored, "inode")
		if c.why == "" && len(g) != 0 || c.why != "" && (len(g) != 1 || g[0].WD != 0 || !strings.Contains(g[0].Reason, c.why)) {
			t.Errorf("%s: not restored %v, want %q", name, g, c.why)
		}
	}
	s.BootID, s.Watches = "another", nil
	if g := gaps(restore(t, s).NotRestored, "inode"); len(g) != 0 {
		t.Errorf("without watches: not restored %v", g)
	}
}

// What the snapshot does not have is listed in NotRestored with the snapshot's reason.
func TestNotRestoredHasTheSnapshotsReasons(t *testing.T) {
	needIoctl(t)
	path := files(t, 1)[0]
	s := &checkpoint.Snapshot{Flags: checkpoint.NonBlock, Watches: []checkpoint.Watch{
		{Watch: inotify.Watch{WD: 3, Mask: inotify.Attrib, Path: path}},
		{Watch: inotify.Watch{WD: 4, Mask: inotify.Attrib}},
		{Watch: inotify.Watch{WD: 5, Mask: inotify.Attrib}},
	}}
	for _, what := range []string{"next_wd", "owner", "signal", "flags", "pending"} {
		s.Unknown = append(s.Unknown, checkpoint.Gap{Field: checkpoint.Field(what), Reason: "reason of " + what})
	}
	s.Unknown = append(s.Unknown, checkpoint.Gap{Field: "path", Reason: "reason of all"}, checkpoint.Gap{Field: "path", WD: 4, Reason: "reason of 4"})
	r := restore(t, s, checkpoint.AllowMissing(), checkpoint.WithVerify(checkpoint.VerifyNone))
	for _, what := range []string{"next_wd", "owner", "signal", "flags", "pending"} {
		if g := gaps(r.NotRestored, what); len(g) != 1 || !strings.Contains(g[0].Reason, "reason of "+what) {
			t.Errorf("%s: not restored %v", what, g)
		}
	}
	g := gaps(r.NotRestored, "watch")
	if len(g) != 2 || !strings.Contains(g[0].Reason, "reason of 4") || !strings.Contains(g[1].Reason, "reason of all") {
		t.Errorf("watches: not restored %v", g)
	}
	_, err := s.Restore(kerneltest.Context(t))
	wantError(t, err, checkpoint.ErrNoPath)
	if !strings.Contains(err.Error(), "reason of 4") {
		t.Errorf("error %v", err)
	}
}
