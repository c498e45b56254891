// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A palette is the colours of a picture. Those of the curves are from Okabe and
// Ito's set, which the colour-blind can tell apart; each curve also has a marker
// of its own.
type palette struct {
	suffix           string // of the file's name, before the extension
	paper, ink, grid color.Color
	mark             color.Color
	curves           []color.Color
}

var (
	light = palette{
		paper: rgb(0xffffff), ink: rgb(0x1f2328), grid: rgb(0xe4e7eb), mark: rgb(0x6e7781),
		curves: []color.Color{rgb(0xd55e00), rgb(0x0072b2), rgb(0x009e73)},
	}
	dark = palette{
		suffix: "-dark",
		paper:  rgb(0x0d1117), ink: rgb(0xe6edf3), grid: rgb(0x262c36), mark: rgb(0x8b949e),
		curves: []color.Color{rgb(0xe69f00), rgb(0x56b4e9), rgb(0x2fbf94)},
	}
)

var markers = []draw.GlyphDrawer{draw.BoxGlyph{}, draw.CircleGlyph{}, draw.PyramidGlyph{}}

func rgb(v uint32) color.Color {
	return color.RGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 0xff}
}

// file returns the name of the palette's picture.
func (p palette) file(name string) string {
	ext := filepath.Ext(name)
	return strings.TrimSuffix(name, ext) + p.suffix + ext
}

// The picture's size in points of 1/72 inch. At 96 dots per inch it is 800 dots
// wide.
const (
	width  vg.Length = 600
	height vg.Length = 390
)

// markedWD was seen in a real container.
const markedWD = 0x34d71d6

// drawCurves draws the curves to a file whose extension is .svg or .png.
func drawCurves(curves []curve, c palette, file string) error {
	p := newPlot(c)
	p.Add(grid(c))
	blank(p, c, 1.15, 450, 5e4, 6e4)                 // under the legend
	blank(p, c, markedWD*1.1, 3e-5, maxWD*0.9, 5e-3) // and the mark's label
	mark(p, c)
	for i, curve := range curves {
		if err := addCurve(p, curve, c.curves[i], markers[i]); err != nil {
			return err
		}
	}
	addDashes(p, c)
	return save(p, file)
}

// newPlot returns the axes.
func newPlot(c palette) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = c.paper
	p.Title.Text = "Time to restore one watch on a new instance"
	p.X.Label.Text = "watch descriptor"
	p.X.Min, p.X.Max = 1, maxWD
	p.X.Tick.Marker = plot.ConstantTicks(wdTicks())
	p.Y.Min, p.Y.Max = 1e-6, 86400
	p.Y.Tick.Marker = plot.ConstantTicks(timeTicks())
	p.Title.TextStyle.Font = sans(13)
	p.Title.TextStyle.Color = c.ink
	p.Title.Padding = 8
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Scale = plot.LogScale{}
		a.Color = c.ink
		a.LineStyle.Width = 0.8
		a.Tick.Color = c.ink
		a.Tick.LineStyle.Width = 0.8
		a.Tick.Label.Font = sans(10.5)
		a.Tick.Label.Color = c.ink
		a.Label.TextStyle.Font = sans(11.5)
		a.Label.TextStyle.Color = c.ink
		a.Label.Padding = 4
		a.Padding = 0
	}
	p.Legend.TextStyle.Font = sans(10.5)
	p.Legend.TextStyle.Color = c.ink
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = 10, -6
	p.Legend.Padding = 4
	p.Legend.YPosition = draw.PosCenter
	p.Legend.ThumbnailWidth = 30
	return p
}

func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// wdTicks leaves 10⁹ without a label, as the font has no superscript 9.
func wdTicks() []plot.Tick {
	var ticks []plot.Tick
	for e, label := range []string{"1", "10", "10²", "10³", "10⁴", "10⁵", "10⁶", "10⁷", "10⁸", ""} {
		ticks = append(ticks, plot.Tick{Value: math.Pow10(e), Label: label})
	}
	return append(ticks, plot.Tick{Value: maxWD, Label: "2³¹"})
}

func timeTicks() []plot.Tick {
	var ticks []plot.Tick
	for _, t := range []struct {
		seconds float64
		label   string
	}{
		{1e-6, "1 µs"}, {1e-5, "10 µs"}, {1e-4, "100 µs"}, {1e-3, "1 ms"}, {1e-2, "10 ms"}, {0.1, "100 ms"},
		{1, "1 s"}, {10, "10 s"}, {60, "1 min"}, {600, "10 min"}, {3600, "1 h"}, {36000, "10 h"},
	} {
		ticks = append(ticks, plot.Tick{Value: t.seconds, Label: t.label})
	}
	return ticks
}

func grid(c palette) *plotter.Grid {
	g := plotter.NewGrid()
	for _, s := range []*draw.LineStyle{&g.Vertical, &g.Horizontal} {
		*s = draw.LineStyle{Color: c.grid, Width: 0.8}
	}
	return g
}

// mark draws a line at markedWD, with its name beside it.
func mark(p *plot.Plot, c palette) {
	line := &plotter.Line{
		XYs:       plotter.XYs{{X: markedWD, Y: p.Y.Min}, {X: markedWD, Y: p.Y.Max}},
		LineStyle: draw.LineStyle{Color: c.mark, Width: 1},
	}
	style := p.X.Tick.Label
	style.Color = c.mark
	style.XAlign = draw.XLeft
	label := &plotter.Labels{
		XYs:       plotter.XYs{{X: markedWD, Y: 2e-3}, {X: markedWD, Y: 6e-4}, {X: markedWD, Y: 1.8e-4}, {X: markedWD, Y: 5.4e-5}},
		Labels:    []string{fmt.Sprintf("%#x", markedWD), "(" + grouped(markedWD) + "),", "seen in a real", "container"},
		TextStyle: []text.Style{style, style, style, style},
		Offset:    vg.Point{X: 5},
	}
	p.Add(line, label)
}

// blank paints over the grid where text will be.
func blank(p *plot.Plot, c palette, left, bottom, right, top float64) {
	p.Add(&plotter.Polygon{
		XYs:   []plotter.XYs{{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}}},
		Color: c.paper,
	})
}

// addCurve adds a curve: what was measured with markers, the rest dashed.
func addCurve(p *plot.Plot, curve curve, c color.Color, shape draw.GlyphDrawer) error {
	line, points, err := plotter.NewLinePoints(xys(curve.measured))
	if err != nil {
		return err
	}
	line.LineStyle = draw.LineStyle{Color: c, Width: 1.6}
	points.GlyphStyle = draw.GlyphStyle{Color: c, Radius: 3, Shape: shape}
	p.Add(line, points)
	p.Legend.Add(curve.name, line, points)
	if len(curve.extended) > 0 {
		p.Add(&plotter.Line{XYs: xys(curve.extended), LineStyle: dashes(c)})
	}
	return nil
}

func dashes(c color.Color) draw.LineStyle {
	return draw.LineStyle{Color: c, Width: 1.6, Dashes: []vg.Length{5, 3.5}}
}

// addDashes explains the dashes in the legend.
func addDashes(p *plot.Plot, c palette) {
	p.Legend.Add("extrapolated: a run would take minutes", &plotter.Line{LineStyle: dashes(c.ink)})
}

func xys(points []point) plotter.XYs {
	var xys plotter.XYs
	for _, p := range points {
		xys = append(xys, plotter.XY{X: p.wd, Y: p.seconds})
	}
	return xys
}

// save writes the plot with a margin to a file.
func save(p *plot.Plot, file string) error {
	var picture []byte
	var err error
	switch filepath.Ext(file) {
	case ".svg":
		picture, err = render(p, vgsvg.New(width, height))
		picture = bytes.ReplaceAll(picture, []byte("font-family:Liberation Sans;"), []byte("font-family:"+svgFonts+";"))
	case ".png":
		c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(pngDPI))
		picture, err = render(p, vgimg.PngCanvas{Canvas: c})
	default:
		err = fmt.Errorf("%s: neither .svg nor .png", file)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, picture, 0o666)
}

const (
	// The text is placed by the widths of Liberation Sans, which a reader's machine
	// may lack. Arial and Helvetica have the same widths.
	svgFonts = "Liberation Sans,Arial,Helvetica,sans-serif"

	pngDPI = 192 // for screens of double density
)

// A canvas is what vgsvg and vgimg have in common.
type canvas interface {
	vg.CanvasSizer
	io.WriterTo
}

func render(p *plot.Plot, c canvas) ([]byte, error) {
	area := draw.New(c)
	area.SetColor(p.BackgroundColor)
	area.Fill(area.Rectangle.Path())
	const margin = 10
	p.Draw(draw.Crop(area, margin, -margin, margin, -margin))
	var b bytes.Buffer
	_, err := c.WriteTo(&b)
	return b.Bytes(), err
}
