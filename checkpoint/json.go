// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed10546c08/inotify"
)

// version is the version of the JSON form.
const version = 2

// maxSize is how many bytes Read reads at most. 180,000 watches with paths of 4096 bytes
// are shorter, even if each byte has a backslash before it.
const maxSize = 3 << 29

// Read reads the JSON form of a snapshot, to the end of r. It refuses any version but 2, unknown
// members, members that are given twice, null, text that is not UTF-8, more than 1.5 GiB, and
// what [Snapshot.Validate] refuses. It stops at the first of these. Its memory is in proportion
// to what it has read.
func Read(r io.Reader) (*Snapshot, error) {
	in := &input{r: bufio.NewReaderSize(io.LimitReader(r, maxSize+1), 64<<10)}
	s, err := decode(in)
	if in.failed != nil {
		return nil, fmt.Errorf("checkpoint: read snapshot: %w", in.failed)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: invalid snapshot: %w", err)
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

// UnmarshalJSON reads the JSON form as [Read] does. After an error s is unchanged.
func (s *Snapshot) UnmarshalJSON(text []byte) error {
	read, err := Read(bytes.NewReader(text))
	if err == nil {
		*s = *read
	}
	return err
}

// The JSON form as it is written. A string that is not UTF-8 is written as bytes, in another
// member. omitzero is not used, because encoding/json ignores it before Go 1.24.

type snapshotForm struct {
	Version      int              `json:"version"`
	BootID       string           `json:"boot_id,omitempty"`
	FD           int              `json:"fd"`
	Flags        Flags            `json:"flags"`
	NextWD       inotify.WD       `json:"next_wd,omitempty"`
	Owner        *ownerForm       `json:"owner,omitempty"`
	Signal       int              `json:"signal,omitempty"`
	Watches      []watchForm      `json:"watches"`
	Pending      []eventForm      `json:"pending,omitempty"`
	PendingBytes int              `json:"pending_bytes,omitempty"`
	Unknown      []gapForm        `json:"unknown,omitempty"`
	SideEffects  []sideEffectForm `json:"side_effects,omitempty"`
}

type ownerForm struct {
	Kind OwnerKind `json:"kind"`
	ID   int       `json:"id"`
	Self bool      `json:"self,omitempty"`
}

type watchForm struct {
	WD        inotify.WD   `json:"wd"`
	Mask      inotify.Mask `json:"mask"`
	Path      string       `json:"path,omitempty"`
	PathBytes []byte       `json:"path_bytes,omitempty"`
	Type      FileType     `json:"type,omitempty"`
	Device    string       `json:"device,omitempty"`
	Inode     uint64       `json:"inode,omitempty"`
	Handle    string       `json:"handle,omitempty"`
}

type eventForm struct {
	WD        inotify.WD   `json:"wd"`
	Mask      inotify.Mask `json:"mask"`
	Cookie    uint32       `json:"cookie,omitempty"`
	Name      string       `json:"name,omitempty"`
	NameBytes []byte       `json:"name_bytes,omitempty"`
}

type gapForm struct {
	Field  Field      `json:"field"`
	WD     inotify.WD `json:"wd,omitempty"`
	Reason string     `json:"reason"`
}

type sideEffectForm struct {
	Kind        SideEffectKind `json:"kind"`
	Detail      string         `json:"detail,omitempty"`
	DetailBytes []byte         `json:"detail_bytes,omitempty"`
}

// form returns the JSON form of a valid snapshot.
func (s *Snapshot) form() (*snapshotForm, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	f := &snapshotForm{
		Version: version, BootID: s.BootID, FD: s.FD, Flags: s.Flags, NextWD: s.NextWD,
		Signal: s.Signal, Watches: []watchForm{}, PendingBytes: s.PendingBytes,
	}
	if s.Owner != (Owner{}) {
		owner := ownerForm(s.Owner)
		f.Owner = &owner
	}
	for _, w := range ascending(s.Watches) {
		wf, err := newWatchForm(&w)
		if err != nil {
			return nil, fmt.Errorf("checkpoint: marshal watch %d: %w", w.WD, err)
		}
		f.Watches = append(f.Watches, wf)
	}
	for _, ev := range s.Pending {
		f.Pending = append(f.Pending, newEventForm(ev))
	}
	for _, g := range s.Unknown {
		f.Unknown = append(f.Unknown, gapForm(g))
	}
	for _, e := range s.SideEffects {
		ef := sideEffectForm{Kind: e.Kind}
		ef.Detail, ef.DetailBytes = textOrBytes(e.Detail)
		f.SideEffects = append(f.SideEffects, ef)
	}
	return f, nil
}

// textOrBytes returns s, or its bytes if it is not UTF-8.
func textOrBytes(s string) (string, []byte) {
	if utf8.ValidString(s) {
		return s, nil
	}
	return "", []byte(s)
}

func newWatchForm(w *Watch) (watchForm, error) {
	f := watchForm{WD: w.WD, Mask: w.Mask, Type: w.Type, Inode: w.Inode}
	if _, err := parseFileType(string(w.Type)); err != nil {
		return f, err
	}
	f.Path, f.PathBytes = textOrBytes(w.Path)
	if w.Device != (inotify.Device{}) || w.Inode != 0 {
		f.Device = w.Device.String()
	}
	if w.Handle == (inotify.Handle{}) {
		return f, nil
	}
	handle, err := w.Handle.MarshalText()
	f.Handle = string(handle)
	return f, err
}

func newEventForm(ev inotify.Event) eventForm {
	f := eventForm{WD: ev.WD, Mask: ev.Mask, Cookie: ev.Cookie}
	f.Name, f.NameBytes = textOrBytes(ev.Name)
	return f
}

// An input stores the error of its reader, and limits how much is read. Each Read fills p, so
// that there are few: after each, json.Decoder scans the white space in its buffer again.
type input struct {
	r      *bufio.Reader
	size   int
	failed error
}

func (in *input) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = in.r.Read(p[n:])
		n += m
	}
	in.size += n
	if in.size > maxSize {
		err = fmt.Errorf("longer than %d bytes", maxSize)
	}
	if err != io.EOF {
		in.failed = err
	}
	return n, err
}

// A decoder reads the JSON form token by token. encoding/json alone would accept names in
// another case, members that are given twice and null, and would replace what is not UTF-8.
type decoder struct {
	json        *json.Decoder
	raw         json.RawMessage // the last value
	depth       int             // how many objects and arrays are open
	named       bool            // the last token is a member's name
	versionRead bool
	versionErr  error // another version, which explains any other error
}

var errNull = errors.New("value is null")

// The members of each object, the required ones first.
var (
	snapshotMembers = []string{
		"version", "fd", "flags", "watches",
		"boot_id", "next_wd", "owner", "signal", "pending", "pending_bytes", "unknown", "side_effects",
	}
	ownerMembers      = []string{"kind", "id", "self"}
	watchMembers      = []string{"wd", "mask", "path", "path_bytes", "type", "device", "inode", "handle"}
	eventMembers      = []string{"wd", "mask", "cookie", "name", "name_bytes"}
	gapMembers        = []string{"field", "reason", "wd"}
	sideEffectMembers = []string{"kind", "detail", "detail_bytes"}
)

// decode reads a snapshot. Nothing may follow it.
func decode(r io.Reader) (*Snapshot, error) {
	d := decoder{json: json.NewDecoder(r)}
	d.json.UseNumber()
	if err := d.open('{', "object"); err != nil {
		return nil, err
	}
	s := new(Snapshot)
	err := d.members(snapshotMembers, 4, func(name string) error { return d.snapshot(s, name) })
	if err != nil {
		d.findVersion()
		return nil, cmp.Or(d.versionErr, err)
	}
	if _, err := d.json.Token(); err != io.EOF {
		return nil, errors.New("text follows the snapshot")
	}
	s.Watches = ascending(s.Watches)
	if err := s.validateInstance(); err != nil {
		return nil, err
	}
	return s, s.validateReferences()
}

// snapshot reads one member of a snapshot.
func (d *decoder) snapshot(s *Snapshot, name string) (err error) {
	switch name {
	case "version":
		err = d.version()
	case "boot_id":
		s.BootID, err = d.readText()
	case "fd":
		s.FD, err = d.readInt(32)
	case "flags":
		err = d.unmarshal(&s.Flags)
	case "next_wd":
		s.NextWD, err = d.readWD()
	case "owner":
		s.Owner, err = d.owner()
	case "signal":
		s.Signal, err = d.readInt(32)
	case "watches":
		s.Watches, err = elements(d, d.validWatch)
	case "pending":
		s.Pending, err = elements(d, d.validEvent)
	case "pending_bytes":
		s.PendingBytes, err = d.readInt(strconv.IntSize)
	case "unknown":
		s.Unknown, err = elements(d, d.gap)
	case "side_effects":
		s.SideEffects, err = elements(d, d.sideEffect)
	}
	return err
}

// version reads the version, and refuses any but version.
func (d *decoder) version() error {
	d.versionRead = true
	raw, err := d.value()
	switch {
	case err != nil:
		return err
	case string(raw) == strconv.Itoa(version):
		return nil
	case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9'):
		return errors.New("not a number")
	}
	d.versionErr = fmt.Errorf("version %.20s is not supported (want %d)", raw, version)
	return d.versionErr
}

// findVersion continues after an error until it has read the version.
func (d *decoder) findVersion() {
	const maxDepth = 10000 // as in encoding/json
	for !d.versionRead && d.depth > 0 && d.depth < maxDepth {
		atName := d.depth == 1 && !d.named
		token, err := d.token()
		if err != nil {
			return
		}
		if name, ok := token.(string); ok && atName {
			if name == "version" {
				d.version()
				return
			}
			d.named = true
		}
	}
}

func (d *decoder) owner() (o Owner, err error) {
	err = d.object(ownerMembers, 2, func(name string) (err error) {
		switch name {
		case "kind":
			var kind string
			kind, err = d.readText()
			o.Kind = OwnerKind(kind)
		case "id":
			o.ID, err = d.readInt(32)
		case "self":
			o.Self, err = d.readBool()
		}
		return err
	})
	return o, err
}

func (d *decoder) watch() (w Watch, err error) {
	err = d.object(watchMembers, 2, func(name string) (err error) {
		switch name {
		case "wd":
			w.WD, err = d.readWD()
		case "mask":
			err = d.unmarshal(&w.Mask)
		case "path":
			w.Path, err = d.either(w.Path, d.readText)
		case "path_bytes":
			w.Path, err = d.either(w.Path, d.readBytes)
		case "type":
			w.Type, err = parsed(d, parseFileType)
		case "device":
			err = d.unmarshal(&w.Device)
		case "inode":
			w.Inode, err = d.readUint(64)
		case "handle":
			err = d.unmarshal(&w.Handle)
		}
		return err
	})
	return w, err
}

// validWatch reads a watch of a snapshot.
func (d *decoder) validWatch() (w Watch, err error) {
	if w, err = d.watch(); err == nil {
		err = w.validate()
	}
	return w, err
}

func (d *decoder) event() (ev inotify.Event, err error) {
	err = d.object(eventMembers, 2, func(name string) (err error) {
		switch name {
		case "wd":
			ev.WD, err = d.readWD()
		case "mask":
			err = d.unmarshal(&ev.Mask)
		case "cookie":
			var cookie uint64
			cookie, err = d.readUint(32)
			ev.Cookie = uint32(cookie)
		case "name":
			ev.Name, err = d.either(ev.Name, d.readText)
		case "name_bytes":
			ev.Name, err = d.either(ev.Name, d.readBytes)
		}
		return err
	})
	return ev, err
}

// validEvent reads a pending event of a snapshot.
func (d *decoder) validEvent() (ev inotify.Event, err error) {
	if ev, err = d.event(); err == nil {
		err = validateEvent(ev)
	}
	return ev, err
}

func (d *decoder) gap() (g Gap, err error) {
	err = d.object(gapMembers, 2, func(name string) (err error) {
		switch name {
		case "field":
			g.Field, err = parsed(d, parseField)
		case "wd":
			g.WD, err = d.readWD()
		case "reason":
			g.Reason, err = d.readText()
		}
		return err
	})
	return g, err
}

func (d *decoder) sideEffect() (e SideEffect, err error) {
	err = d.object(sideEffectMembers, 1, func(name string) (err error) {
		switch name {
		case "kind":
			e.Kind, err = parsed(d, parseSideEffectKind)
		case "detail":
			e.Detail, err = d.either(e.Detail, d.readText)
		case "detail_bytes":
			e.Detail, err = d.either(e.Detail, d.readBytes)
		}
		return err
	})
	return e, err
}

// elements reads an array, and stops at the first invalid element.
func elements[T any](d *decoder, element func() (T, error)) (all []T, err error) {
	if err := d.open('[', "array"); err != nil {
		return nil, err
	}
	for d.json.More() {
		one, err := element()
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", len(all), err)
		}
		all = append(all, one)
	}
	_, err = d.token()
	return all, err
}

// object reads an object with members of the given names, none of them twice. The first ones
// are required. member reads the value of a member.
func (d *decoder) object(names []string, required int, member func(name string) error) error {
	if err := d.open('{', "object"); err != nil {
		return err
	}
	return d.members(names, required, member)
}

// members reads the rest of an object, after its opening brace.
func (d *decoder) members(names []string, required int, member func(name string) error) error {
	var given uint // bits by index
	for d.json.More() {
		token, err := d.token()
		if err != nil {
			return err
		}
		d.named = true
		name, _ := token.(string)
		i := slices.Index(names, name)
		if i < 0 {
			return fmt.Errorf("unknown member %.40q", name)
		}
		if given&(1<<i) != 0 {
			return fmt.Errorf("member %q is given twice", name)
		}
		given |= 1 << i
		if err := member(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err := d.token(); err != nil {
		return err
	}
	for i, name := range names[:required] {
		if given&(1<<i) == 0 {
			return fmt.Errorf("missing %s", name)
		}
	}
	return nil
}

// open reads an opening brace or bracket.
func (d *decoder) open(delim json.Delim, what string) error {
	token, err := d.token()
	switch {
	case err != nil:
		return err
	case token == nil:
		return errNull
	case token != delim:
		return fmt.Errorf("not an %s", what)
	}
	return nil
}

func (d *decoder) token() (json.Token, error) {
	d.named = false
	token, err := d.json.Token()
	switch token {
	case json.Delim('{'), json.Delim('['):
		d.depth++
	case json.Delim('}'), json.Delim(']'):
		d.depth--
	}
	return token, unexpected(err)
}

// value reads a whole value, which is valid until the next call.
func (d *decoder) value() ([]byte, error) {
	d.named = false
	if err := d.json.Decode(&d.raw); err != nil {
		return nil, unexpected(err)
	}
	if string(d.raw) == "null" {
		return nil, errNull
	}
	return d.raw, nil
}

// unexpected replaces io.EOF, because the text must not end within the snapshot.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (d *decoder) readWD() (inotify.WD, error) {
	n, err := d.readInt(32)
	return inotify.WD(n), err
}

func (d *decoder) readInt(bits int) (int, error) {
	raw, err := d.value()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(raw), 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not an integer of %d bits", raw, bits)
	}
	return int(n), nil
}

func (d *decoder) readUint(bits int) (uint64, error) {
	raw, err := d.value()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(raw), 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not an unsigned integer of %d bits", raw, bits)
	}
	return n, nil
}

func (d *decoder) readBool() (bool, error) {
	raw, err := d.value()
	if err == nil && raw[0] != 't' && raw[0] != 'f' {
		err = errors.New("not true or false")
	}
	return string(raw) == "true", err
}

func (d *decoder) readText() (string, error) {
	raw, err := d.value()
	switch {
	case err != nil:
		return "", err
	case raw[0] != '"':
		return "", errors.New("not a string")
	case !utf8.Valid(raw):
		return "", errors.New("not UTF-8")
	case bytes.IndexByte(raw, '\\') < 0:
		return string(raw[1 : len(raw)-1]), nil
	case loneSurrogate(raw):
		return "", errors.New("half of a surrogate pair")
	}
	var s string
	err = json.Unmarshal(raw, &s)
	return s, err
}

// loneSurrogate reports whether a string has half of a surrogate pair, such as \ud800.
func loneSurrogate(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		first := escape(raw[i:])
		i++ // to the escaped character, which may be a backslash
		if utf16.IsSurrogate(first) {
			if utf16.DecodeRune(first, escape(raw[i+5:])) == utf8.RuneError {
				return true
			}
			i += 10 // to the end of the second escape
		}
	}
	return false
}

// escape returns the value of an escape such as \u12ab at the front of text, or -1.
func escape(text []byte) rune {
	if !bytes.HasPrefix(text, []byte(`\u`)) || len(text) < 6 {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

func (d *decoder) readBytes() (string, error) {
	return parsed(d, func(s string) (string, error) {
		b, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil {
			return "", errors.New("not base64")
		}
		return string(b), nil
	})
}

// either reads a string that may be given as text or as bytes, but only once.
func (d *decoder) either(given string, read func() (string, error)) (string, error) {
	if given != "" {
		return "", errors.New("given both as text and as bytes")
	}
	return read()
}

func (d *decoder) unmarshal(to encoding.TextUnmarshaler) error {
	s, err := d.readText()
	if err != nil {
		return err
	}
	return to.UnmarshalText([]byte(s))
}

// parsed reads a string of some form.
func parsed[T any](d *decoder, parse func(string) (T, error)) (t T, err error) {
	s, err := d.readText()
	if err != nil {
		return t, err
	}
	return parse(s)
}
