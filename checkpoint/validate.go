// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed10546c08/inotify"
)

const (
	// kept has the bits of a mask that a watch keeps and an add takes.
	kept = inotify.AllEvents | inotify.ExclUnlink | inotify.OneShot
	// leaked has bits that old kernels show in fdinfo beside them: IN_UNMOUNT and
	// one of the kernel's own. They mean nothing, and an add refuses them.
	leaked = inotify.Unmount | 0x08000000

	maxHandle = 128  // bytes: MAX_HANDLE_SZ
	maxName   = 4096 // bytes: PATH_MAX. FUSE, vfat and exfat have names longer than NAME_MAX
	maxSignal = 128  // _NSIG on MIPS. Elsewhere it is 64, and F_SETSIG refuses more
)

// Validate returns an error if s could not have been taken from a kernel:
// numbers out of range or given twice, masks with bits that no watch keeps, paths
// that do not begin at the root, event names with a slash in them, pending events
// that belong to no watch, and the like.
// [Read], [Snapshot.WriteTo] and [Snapshot.Restore] call it; what [Dump] and
// [DumpFD] return passes it.
func (s *Snapshot) Validate() error {
	if err := s.validate(); err != nil {
		return fmt.Errorf("checkpoint: invalid snapshot: %w", err)
	}
	return nil
}

func (s *Snapshot) validate() error {
	if err := s.validateInstance(); err != nil {
		return err
	}
	for i := range s.Watches {
		w := &s.Watches[i]
		if err := w.validate(); err != nil {
			return fmt.Errorf("watch %d: %w", w.WD, err)
		}
	}
	for i, ev := range s.Pending {
		if err := validateEvent(ev); err != nil {
			return fmt.Errorf("pending event %d: %w", i, err)
		}
	}
	for i, g := range s.Unknown {
		if _, err := parseField(string(g.Field)); err != nil {
			return fmt.Errorf("unknown %d: %w", i, err)
		}
	}
	for i, e := range s.SideEffects {
		if _, err := parseSideEffectKind(string(e.Kind)); err != nil {
			return fmt.Errorf("side effect %d: %w", i, err)
		}
	}
	return s.validateTogether()
}

// validateTogether refuses what does not fit together, of parts that are each valid.
func (s *Snapshot) validateTogether() error {
	if err := s.validateNumbers(); err != nil {
		return err
	}
	if wds := s.unexplained(); len(wds) > 0 {
		return fmt.Errorf("events of watch %d are pending, and the snapshot has neither this watch nor its IN_IGNORED", wds[0])
	}
	return nil
}

// unexplained returns the wds of pending events that belong to nothing in the snapshot, in
// ascending order: the watch is not there, no IN_IGNORED says that it ended, no overflow that
// this may be lost, and Unknown does not list it.
func (s *Snapshot) unexplained() []inotify.WD {
	ws := ascending(s.Watches)
	var unlisted, ended []inotify.WD
	for _, ev := range s.Pending {
		if ev.Mask.Has(inotify.QOverflow) {
			return nil
		}
		if ev.Mask.Has(inotify.Ignored) {
			ended = append(ended, ev.WD)
		} else if _, ok := slices.BinarySearchFunc(ws, ev.WD, func(w Watch, wd inotify.WD) int { return cmp.Compare(w.WD, wd) }); !ok {
			unlisted = append(unlisted, ev.WD)
		}
	}
	if len(unlisted) == 0 {
		return nil
	}
	for _, g := range s.Unknown {
		if g.Field == FieldPending && g.WD != 0 {
			ended = append(ended, g.WD)
		}
	}
	slices.Sort(ended)
	slices.Sort(unlisted)
	return slices.DeleteFunc(slices.Compact(unlisted), func(wd inotify.WD) bool {
		_, ok := slices.BinarySearch(ended, wd)
		return ok
	})
}

// validateNumbers refuses a number given twice.
func (s *Snapshot) validateNumbers() error {
	ws := ascending(s.Watches)
	for i := range ws {
		if i > 0 && ws[i].WD == ws[i-1].WD {
			return fmt.Errorf("two watches have the number %d", ws[i].WD)
		}
		if ws[i].WD == s.NextWD {
			return fmt.Errorf("next_wd is %d, which is a watch's", s.NextWD)
		}
	}
	return nil
}

func (s *Snapshot) validateInstance() error {
	switch {
	case len(s.BootID) > 64:
		return errors.New("boot_id is longer than 64 bytes")
	case !utf8.ValidString(s.BootID):
		return errors.New("boot_id is not UTF-8")
	case s.FD < 0 || s.FD > math.MaxInt32:
		return fmt.Errorf("fd %d is not from 0 to %d", s.FD, math.MaxInt32)
	case s.Flags&^(NonBlock|CloseOnExec|Async) != 0:
		return fmt.Errorf("flags %v are unknown", s.Flags)
	case s.NextWD < 0:
		return fmt.Errorf("next_wd %d is negative", s.NextWD)
	case s.Signal < 0 || s.Signal > maxSignal:
		return fmt.Errorf("signal %d is not from 0 to %d", s.Signal, maxSignal)
	case s.PendingBytes < 0:
		return fmt.Errorf("pending_bytes %d is negative", s.PendingBytes)
	}
	return s.Owner.validate()
}

func (o Owner) validate() error {
	switch o.Kind {
	case OwnerNone:
		if o != (Owner{}) {
			return errors.New("owner has no kind")
		}
		return nil
	case OwnerThread, OwnerProcess, OwnerGroup:
		if o.ID <= 0 || o.ID > math.MaxInt32 {
			return fmt.Errorf("owner's id %d is not from 1 to %d", o.ID, math.MaxInt32)
		}
		return nil
	}
	return fmt.Errorf("owner's kind %.40q is none of thread, process and group", o.Kind)
}

func (w *Watch) validate() error {
	switch {
	case w.WD < 1:
		return errors.New("its number is not positive")
	case w.Mask&^(kept|leaked) != 0:
		return fmt.Errorf("its mask has %v, which no watch keeps", w.Mask&^(kept|leaked))
	case w.Path != "" && w.Path[0] != '/':
		return fmt.Errorf("its path %.100q does not begin with a slash", w.Path)
	case strings.IndexByte(w.Path, 0) >= 0:
		return fmt.Errorf("its path %.100q has a zero byte", w.Path)
	case w.Type != TypeUnknown && !w.Type.known():
		return fmt.Errorf("its type %.40q is unknown", w.Type)
	case len(w.Handle.Bytes) > maxHandle:
		return fmt.Errorf("its handle is longer than %d bytes", maxHandle)
	case w.Handle.Type < 0 || w.Handle.Type != 0 && w.Handle.Bytes == "":
		return errors.New("its handle is none")
	case w.Device.Major >= 1<<12 || w.Device.Minor >= 1<<20:
		return fmt.Errorf("its device %v is none", w.Device)
	}
	return nil
}

// validateEvent refuses a name that would lead a program elsewhere that joins it
// to a path.
func validateEvent(ev inotify.Event) error {
	switch {
	case ev.WD < 1 && ev.WD != inotify.NoWD:
		return fmt.Errorf("its wd is %d", ev.WD)
	case (ev.WD == inotify.NoWD) != ev.Mask.Has(inotify.QOverflow):
		return fmt.Errorf("its wd is %d and its mask %v", ev.WD, ev.Mask)
	case len(ev.Name) > maxName:
		return fmt.Errorf("its name is longer than %d bytes", maxName)
	case strings.ContainsAny(ev.Name, "/\x00"), ev.Name == ".", ev.Name == "..":
		return fmt.Errorf("its name %q is none of a directory's entry", ev.Name)
	}
	return nil
}

// ascending returns ws in ascending order of WD: itself, or a sorted copy.
func ascending(ws []Watch) []Watch {
	if slices.IsSortedFunc(ws, byWD) {
		return ws
	}
	ws = slices.Clone(ws)
	slices.SortFunc(ws, byWD)
	return ws
}

func byWD(a, b Watch) int { return cmp.Compare(a.WD, b.WD) }
