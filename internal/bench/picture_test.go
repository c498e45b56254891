// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"encoding/xml"
	"errors"
	"image"
	_ "image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPlot: both variants of the picture can be measured and drawn.
func TestPlot(t *testing.T) {
	l := testLab(t, 0)
	needIoctl(t, l)
	needFilter(t, l)
	dir := t.TempDir()
	_, stderr := bench(t, 0, "-quick", "-plot", filepath.Join(dir, "picture.png"))
	for name, paper := range map[string]palette{"picture.png": light, "picture-dark.png": dark} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m, _, err := image.Decode(f)
		if err != nil {
			t.Fatal(name, err)
		}
		if size := m.Bounds().Size(); size != image.Pt(1600, 1040) {
			t.Errorf("%s: size %v", name, size)
		}
		r, g, b, a := m.At(3, 3).RGBA()
		wr, wg, wb, wa := paper.paper.RGBA()
		wantDiff(t, []uint32{r, g, b, a}, []uint32{wr, wg, wb, wa})
	}
	for _, w := range ways {
		if !strings.Contains(stderr, w.name+": wd 1,000 in ") {
			t.Errorf("%s was not measured:\n%s", w.name, stderr)
		}
	}
	if !strings.Contains(stderr, ways[2].name+": wd 2,147,483,647 in ") {
		t.Errorf("the ioctl was not measured at the highest wd:\n%s", stderr)
	}
}

// TestDrawing: the picture has its labels, curves, dashes and fonts.
func TestDrawing(t *testing.T) {
	curves := []curve{
		{name: "one", measured: []point{{1, 1e-5}, {100, 1e-3}}},
		{name: "two", measured: []point{{1, 1e-6}, {maxWD, 1e-6}}},
	}
	curves[0].extended = extend(curves[0].measured)
	file := filepath.Join(t.TempDir(), "picture.svg")
	if err := drawCurves(curves, dark, file); err != nil {
		t.Fatal(err)
	}
	text := read(t, file)
	words, err := texts(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two", "extrapolated: a run would take minutes", "0x34d71d6", "watch descriptor", "2³¹", "1 µs", "10 h"} {
		if !slices.Contains(words, want) {
			t.Errorf("no %q in %q", want, words)
		}
	}
	if n := strings.Count(text, "stroke-dasharray"); n != 2 { // the extended curve and the legend
		t.Errorf("%d dashed lines, want 2", n)
	}
	for _, want := range []string{"fill:#0D1117", "stroke:#E69F00", "stroke:#56B4E9", "font-family:" + svgFonts + ";"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

// texts returns the text elements of an SVG picture.
func texts(svg string) ([]string, error) {
	var words []string
	for d, inside := xml.NewDecoder(strings.NewReader(svg)), false; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return words, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			inside = token.Name.Local == "text"
		case xml.CharData:
			if inside {
				words = append(words, string(token))
			}
		case xml.EndElement:
			inside = false
		}
	}
}

func TestPaletteFile(t *testing.T) {
	wantDiff(t, []string{light.file("a.b/c.svg"), dark.file("a.b/c.svg")}, []string{"a.b/c.svg", "a.b/c-dark.svg"})
}

func TestExtend(t *testing.T) {
	got := extend([]point{{1, 5}, {1000, 2}})
	want := []point{{1000, 2}, {maxWD, 2 * maxWD / 1000.0}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := extend([]point{{maxWD, 2}}); got != nil {
		t.Errorf("past the highest wd: %v", got)
	}
}

func TestPicked(t *testing.T) {
	got := picked()
	if !slices.IsSorted(got) || got[0] != 1 || got[1] != 3 || got[len(got)-1] != maxWD || len(got) != 20 {
		t.Errorf("%v", got)
	}
}
