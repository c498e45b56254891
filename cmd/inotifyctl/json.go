// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/checkpoint"
)

// What is printed as JSON is in package checkpoint's style: members in snake_case, and
// text that is not UTF-8 as base64 in a member x_bytes beside x.

// writeObject writes v as one line of JSON, with one write.
func writeObject(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escape(b.Bytes()))
	return err
}

// writeEvents writes each event as watch -json prints it.
func writeEvents(w io.Writer, events []inotify.Event) error {
	for _, ev := range events {
		if err := writeObject(w, checkpoint.Event(ev)); err != nil {
			return err
		}
	}
	return nil
}

// snapshotText returns the JSON form of a snapshot.
func snapshotText(s *checkpoint.Snapshot) ([]byte, error) {
	var b bytes.Buffer
	_, err := s.WriteTo(&b)
	return escape(b.Bytes()), err
}

// escape escapes what is not printable in JSON, so that no terminal interprets it: the encoder
// leaves control characters beyond ASCII as they are.
func escape(text []byte) []byte {
	var b []byte // a copy, once there is a difference
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		harmless := r == '\n' || strconv.IsPrint(r)
		if !harmless && b == nil {
			b = append(make([]byte, 0, len(text)+64), text[:i]...)
		}
		switch {
		case !harmless:
			for _, unit := range utf16.Encode([]rune{r}) {
				b = fmt.Appendf(b, `\u%04x`, unit)
			}
		case b != nil:
			b = append(b, text[i:i+size]...)
		}
		i += size
	}
	if b == nil {
		return text
	}
	return b
}

// invalidUTF8 returns the bytes of s if it is not valid UTF-8.
func invalidUTF8(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}
