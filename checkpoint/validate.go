// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/bywd"
	"github.com/seed10546c08/inotify/internal/requeue"
	"github.com/seed10546c08/inotify/internal/sys"
)

const (
	// settableBits are the bits that a watch keeps and inotify_add_watch accepts.
	settableBits = inotify.AllEvents | inotify.ExclUnlink | inotify.OneShot
	fdinfoBits   = settableBits | inotify.Mask(sys.LeakedBits) // that fdinfo can show

	maxName   = 4096 // bytes: PATH_MAX. FUSE, vfat and exfat have names longer than NAME_MAX
	maxSignal = 128  // _NSIG on MIPS. Elsewhere it is 64, and F_SETSIG refuses more
)

// Validate returns an error if s cannot be the state of an instance: for example, a wd is out
// of range or used twice, a mask has bits that no watch keeps, a path is not absolute, the name
// of an event has a slash, or a pending event belongs to no watch. [Read], [Snapshot.WriteTo]
// and [Snapshot.Restore] call it. Snapshots of [Dump] and [DumpFD] are valid.
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
	return s.validateReferences()
}

// validateReferences refuses wds that are used twice, and events without a watch.
func (s *Snapshot) validateReferences() error {
	if err := s.validateWDs(); err != nil {
		return err
	}
	if wds := s.orphanedWDs(); len(wds) > 0 {
		return fmt.Errorf("pending events of wd %d, but neither a watch with this wd nor its IN_IGNORED", wds[0])
	}
	return nil
}

// orphanedWDs returns, in ascending order, the wds of pending events whose watch is not in the
// snapshot, while neither an IN_IGNORED, an overflow (which may have dropped the IN_IGNORED)
// nor Unknown explains this.
func (s *Snapshot) orphanedWDs() []inotify.WD {
	ws := ascending(s.Watches)
	var unlisted, ended []inotify.WD
	for _, ev := range s.Pending {
		if ev.Mask.Has(inotify.QOverflow) {
			return nil
		}
		if ev.Mask.Has(inotify.Ignored) {
			ended = append(ended, ev.WD)
		} else if _, ok := bywd.Find(ws, ev.WD, wdOf); !ok {
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

// validateWDs refuses a wd that is used twice.
func (s *Snapshot) validateWDs() error {
	ws := ascending(s.Watches)
	for i := range ws {
		if i > 0 && ws[i].WD == ws[i-1].WD {
			return fmt.Errorf("two watches have wd %d", ws[i].WD)
		}
		if ws[i].WD == s.NextWD {
			return fmt.Errorf("next_wd %d is the wd of a watch", s.NextWD)
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
		return fmt.Errorf("fd %d is out of range (0 to %d)", s.FD, math.MaxInt32)
	case s.Flags&^(NonBlock|CloseOnExec|Async) != 0:
		return fmt.Errorf("unknown flags in %v", s.Flags)
	case s.NextWD < 0:
		return fmt.Errorf("next_wd %d is negative", s.NextWD)
	case s.Signal < 0 || s.Signal > maxSignal:
		return fmt.Errorf("signal %d is out of range (0 to %d)", s.Signal, maxSignal)
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
			return fmt.Errorf("owner id %d is out of range (1 to %d)", o.ID, math.MaxInt32)
		}
		return nil
	}
	return fmt.Errorf("owner kind %.40q is not thread, process or group", o.Kind)
}

func (w *Watch) validate() error {
	switch {
	case w.WD < 1:
		return errors.New("wd is not positive")
	case w.Mask&^fdinfoBits != 0:
		return fmt.Errorf("mask has %v, which no watch keeps", w.Mask&^fdinfoBits)
	case w.Path != "" && w.Path[0] != '/':
		return fmt.Errorf("path %.100q is not absolute", w.Path)
	case strings.IndexByte(w.Path, 0) >= 0:
		return fmt.Errorf("path %.100q has a NUL byte", w.Path)
	case len(w.Handle.Bytes) > sys.MaxHandle:
		return fmt.Errorf("handle is longer than %d bytes", sys.MaxHandle)
	case w.Handle.Type < 0 || w.Handle.Type != 0 && w.Handle.Bytes == "":
		return errors.New("invalid handle")
	case w.Device.Major >= 1<<12 || w.Device.Minor >= 1<<20:
		return fmt.Errorf("invalid device %v", w.Device)
	}
	_, err := parseFileType(string(w.Type))
	return err
}

// validateEvent refuses names that are dangerous to join to a path, or that the kernel never gives.
func validateEvent(ev inotify.Event) error {
	switch {
	case ev.WD < 1 && ev.WD != inotify.NoWD:
		return fmt.Errorf("invalid wd %d", ev.WD)
	case (ev.WD == inotify.NoWD) != ev.Mask.Has(inotify.QOverflow):
		return fmt.Errorf("wd %d with mask %v", ev.WD, ev.Mask)
	case ev.WD == inotify.NoWD && ev.Name != "":
		return fmt.Errorf("an overflow event with name %.100q", ev.Name)
	case len(ev.Name) > maxName:
		return fmt.Errorf("name is longer than %d bytes", maxName)
	case requeue.ImpossibleName(ev.Name):
		return fmt.Errorf("invalid name %q", ev.Name)
	}
	return nil
}

func ascending(ws []Watch) []Watch { return bywd.Sorted(ws, wdOf) }

func wdOf(w Watch) inotify.WD { return w.WD }
