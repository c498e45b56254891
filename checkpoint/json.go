// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed10546c08/inotify"
)

// Version is the version of the JSON form that this package writes and reads.
const Version = 1

// MaxSize is how many bytes [Read] reads at most: more than a million watches
// with long paths take.
const MaxSize = 512 << 20

// Read reads a snapshot's JSON form to the end of r. It refuses a version other
// than [Version], members that it does not know, more than [MaxSize] bytes, and
// whatever [Snapshot.Validate] refuses.
func Read(r io.Reader) (*Snapshot, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("checkpoint: reading a snapshot: %w", err)
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("checkpoint: reading a snapshot: it is longer than %d bytes", MaxSize)
	}
	s := new(Snapshot)
	if err := s.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	return s, nil
}

// WriteTo writes the JSON form, indented, with a newline at the end.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	form, err := s.form()
	if err != nil {
		return 0, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(form); err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	return b.WriteTo(w)
}

// MarshalJSON returns the JSON form, or the error of [Snapshot.Validate].
func (s *Snapshot) MarshalJSON() ([]byte, error) {
	form, err := s.form()
	if err != nil {
		return nil, err
	}
	return json.Marshal(form)
}

// UnmarshalJSON reads the JSON form as [Read] does. After an error s is as it was.
func (s *Snapshot) UnmarshalJSON(text []byte) error {
	var form snapshotForm
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(&form)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows the snapshot")
		}
	}
	if verr := checkVersion(text, form.Version); verr != nil {
		err = verr // it explains the other, too
	}
	if err != nil {
		return fmt.Errorf("checkpoint: not a snapshot: %w", err)
	}
	read, err := form.snapshot()
	if err != nil {
		return fmt.Errorf("checkpoint: not a snapshot: %w", err)
	}
	if err := read.Validate(); err != nil {
		return err
	}
	*s = *read
	return nil
}

// checkVersion looks at a version that may stand after something of another
// version's, where decoding ended.
func checkVersion(text []byte, version int) error {
	if version == Version {
		return nil
	}
	var only struct{ Version *json.Number }
	if err := json.Unmarshal(text, &only); err != nil {
		return err
	}
	switch {
	case only.Version == nil:
		return errors.New("it has no version")
	case *only.Version == json.Number(strconv.Itoa(Version)):
		return nil
	}
	return fmt.Errorf("it has version %.20s, and version %d is what this program reads", *only.Version, Version)
}

// The JSON form. A string that is not UTF-8, which JSON cannot hold, stands as
// its bytes in another member.

type snapshotForm struct {
	Version      int         `json:"version"`
	BootID       string      `json:"boot_id,omitzero"`
	FD           int         `json:"fd"`
	Flags        Flags       `json:"flags"`
	NextWD       inotify.WD  `json:"next_wd,omitzero"`
	Owner        ownerForm   `json:"owner,omitzero"`
	Signal       int         `json:"signal,omitzero"`
	Watches      []watchForm `json:"watches"`
	Pending      []eventForm `json:"pending,omitempty"`
	PendingBytes int         `json:"pending_bytes,omitzero"`
	NotLearned   []gapForm   `json:"not_learned,omitempty"`
	Effects      []string    `json:"effects,omitempty"`
}

type ownerForm struct {
	Kind OwnerKind `json:"kind"`
	ID   int       `json:"id"`
	Self bool      `json:"self,omitzero"`
}

type watchForm struct {
	WD        inotify.WD   `json:"wd"`
	Mask      inotify.Mask `json:"mask"`
	Path      string       `json:"path,omitzero"`
	PathBytes []byte       `json:"path_bytes,omitempty"`
	Type      FileType     `json:"type,omitzero"`
	Device    string       `json:"device,omitzero"`
	Inode     uint64       `json:"inode,omitzero"`
	Handle    string       `json:"handle,omitzero"`
}

type eventForm struct {
	WD        inotify.WD   `json:"wd"`
	Mask      inotify.Mask `json:"mask"`
	Cookie    uint32       `json:"cookie,omitzero"`
	Name      string       `json:"name,omitzero"`
	NameBytes []byte       `json:"name_bytes,omitempty"`
}

type gapForm struct {
	What string     `json:"what"`
	WD   inotify.WD `json:"wd,omitzero"`
	Why  string     `json:"why"`
}

// form returns the JSON form of a valid snapshot.
func (s *Snapshot) form() (*snapshotForm, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	f := &snapshotForm{
		Version: Version, BootID: s.BootID, FD: s.FD, Flags: s.Flags, NextWD: s.NextWD,
		Owner: ownerForm(s.Owner), Signal: s.Signal, Watches: []watchForm{},
		PendingBytes: s.PendingBytes, Effects: s.Effects,
	}
	for _, w := range ascending(s.Watches) {
		wf := watchForm{WD: w.WD, Mask: w.Mask, Type: w.Type, Inode: w.Inode}
		wf.Path, wf.PathBytes = split(w.Path)
		if w.Device != (inotify.Device{}) || w.Inode != 0 {
			wf.Device = w.Device.String()
		}
		if w.Handle != (inotify.Handle{}) {
			wf.Handle = w.Handle.String()
		}
		f.Watches = append(f.Watches, wf)
	}
	for _, ev := range s.Pending {
		ef := eventForm{WD: ev.WD, Mask: ev.Mask, Cookie: ev.Cookie}
		ef.Name, ef.NameBytes = split(ev.Name)
		f.Pending = append(f.Pending, ef)
	}
	for _, g := range s.NotLearned {
		f.NotLearned = append(f.NotLearned, gapForm(g))
	}
	return f, nil
}

// snapshot returns what the form says. It is not validated.
func (f *snapshotForm) snapshot() (*Snapshot, error) {
	s := &Snapshot{
		BootID: f.BootID, FD: f.FD, Flags: f.Flags, NextWD: f.NextWD,
		Owner: Owner(f.Owner), Signal: f.Signal,
		PendingBytes: f.PendingBytes, Effects: f.Effects,
	}
	for _, wf := range f.Watches {
		w, err := wf.watch()
		if err != nil {
			return nil, fmt.Errorf("watch %d: %w", wf.WD, err)
		}
		s.Watches = append(s.Watches, w)
	}
	s.Watches = ascending(s.Watches)
	for i, ef := range f.Pending {
		name, err := unite("name", ef.Name, ef.NameBytes)
		if err != nil {
			return nil, fmt.Errorf("pending event %d: %w", i, err)
		}
		s.Pending = append(s.Pending, inotify.Event{WD: ef.WD, Mask: ef.Mask, Cookie: ef.Cookie, Name: name})
	}
	for _, g := range f.NotLearned {
		s.NotLearned = append(s.NotLearned, Gap(g))
	}
	return s, nil
}

func (f *watchForm) watch() (w Watch, err error) {
	w.WD, w.Mask, w.Type, w.Inode = f.WD, f.Mask, f.Type, f.Inode
	if w.Path, err = unite("path", f.Path, f.PathBytes); err != nil {
		return w, err
	}
	if f.Device != "" {
		if w.Device, err = parseDevice(f.Device); err != nil {
			return w, err
		}
	}
	if f.Handle != "" {
		w.Handle, err = parseHandle(f.Handle)
	}
	return w, err
}

// split returns s, or its bytes if it is not UTF-8.
func split(s string) (string, []byte) {
	if utf8.ValidString(s) {
		return s, nil
	}
	return "", []byte(s)
}

func unite(what, s string, b []byte) (string, error) {
	if len(b) == 0 {
		return s, nil
	}
	if s != "" {
		return "", fmt.Errorf("it has both %s and %[1]s_bytes", what)
	}
	return string(b), nil
}

// parseDevice reads the form that [inotify.Device.String] writes.
func parseDevice(s string) (d inotify.Device, err error) {
	major, minor, _ := strings.Cut(s, ":")
	a, aerr := strconv.ParseUint(major, 10, 12)
	i, ierr := strconv.ParseUint(minor, 10, 20)
	if aerr != nil || ierr != nil {
		return d, fmt.Errorf(`device %.40q is not of the form "254:0"`, s)
	}
	return inotify.Device{Major: uint32(a), Minor: uint32(i)}, nil
}

// parseHandle reads the form that [inotify.Handle.String] writes.
func parseHandle(s string) (h inotify.Handle, err error) {
	kind, digits, _ := strings.Cut(s, ":")
	t, terr := strconv.ParseUint(kind, 16, 31)
	raw, rerr := hex.DecodeString(digits)
	if terr != nil || rerr != nil || len(raw) == 0 {
		return h, fmt.Errorf(`handle %.40q is not of the form "1:91649800afc3be85"`, s)
	}
	return inotify.Handle{Type: int32(t), Bytes: string(raw)}, nil
}
