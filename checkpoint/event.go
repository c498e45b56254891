// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/seed10546c08/inotify"
)

// An Event is an event with a JSON form that loses nothing. encoding/json alone
// replaces the bytes of a name that are not UTF-8; convert instead:
//
//	text, err := json.Marshal(checkpoint.Event(ev))
//
//	var read checkpoint.Event
//	err = json.Unmarshal(text, &read)
//	ev = inotify.Event(read)
//
// The JSON form is an object of "wd", a number; "mask", a string such as
// "IN_MOVED_TO|IN_ISDIR"; "cookie", a number; and "name", a string, or "name_bytes"
// in base64 for a name that is not UTF-8. A cookie of 0 and an empty name are
// omitted. A snapshot's pending events and inotifyctl's events have the same form.
//
// UnmarshalJSON also accepts names that no directory entry has: check a name for slashes
// before you join it to a path.
type Event inotify.Event

// MarshalJSON returns the form described at [Event].
func (e Event) MarshalJSON() ([]byte, error) { return compact(newEventForm(inotify.Event(e))) }

// UnmarshalJSON reads the form described at [Event]. It refuses unknown members, members that
// are given twice, null, and text that is not UTF-8. After an error e is unchanged.
func (e *Event) UnmarshalJSON(text []byte) error {
	read, err := decodeOne(text, (*decoder).event)
	if err != nil {
		return fmt.Errorf("checkpoint: invalid event: %w", err)
	}
	*e = Event(read)
	return nil
}

// MarshalJSON returns the form described at [Watch]. It fails if the type is not one
// of the constants, or if no kernel makes such a handle.
func (w Watch) MarshalJSON() ([]byte, error) {
	form, err := newWatchForm(&w)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: marshal watch %d: %w", w.WD, err)
	}
	return compact(form)
}

// UnmarshalJSON reads the form described at [Watch]. It refuses unknown members, members that
// are given twice, null, and text that is not UTF-8. After an error w is unchanged.
func (w *Watch) UnmarshalJSON(text []byte) error {
	read, err := decodeOne(text, (*decoder).watch)
	if err != nil {
		return fmt.Errorf("checkpoint: invalid watch: %w", err)
	}
	*w = read
	return nil
}

// compact marshals a form without HTML escapes. The encoder that calls MarshalJSON adds these
// if it is set to.
func compact(form any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(form); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeOne reads one value. Nothing may follow it.
func decodeOne[T any](text []byte, read func(*decoder) (T, error)) (T, error) {
	d := decoder{json: json.NewDecoder(bytes.NewReader(text))}
	d.json.UseNumber()
	v, err := read(&d)
	if err != nil {
		return v, err
	}
	if _, err := d.json.Token(); err != io.EOF {
		return v, errors.New("text follows the value")
	}
	return v, nil
}
