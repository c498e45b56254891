// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
)

// A table is the result of a run.
type table struct {
	Machine    machine `json:"machine"`
	Rounds     int     `json:"rounds"`
	Quick      bool    `json:"quick"`
	Confidence float64 `json:"confidence"`
	Rows       []row   `json:"rows"`
}

// A row is a subject and one of its peers, or a subject alone.
type row struct {
	What    string   `json:"what"`
	Unit    string   `json:"unit"`
	Ours    *float64 `json:"ours,omitempty"`  // the median
	Worst   *float64 `json:"worst,omitempty"` // of a subject alone
	Peer    string   `json:"peer,omitempty"`
	Theirs  *float64 `json:"theirs,omitempty"` // the median
	Ratio   *summary `json:"ratio,omitempty"`  // ours divided by theirs, round by round
	Wanted  string   `json:"wanted"`
	Holds   *bool    `json:"holds,omitempty"` // nil if there is no target
	Samples int      `json:"samples"`
	Skipped string   `json:"skipped,omitempty"` // why nothing was measured
}

func (s subject) compared(p peer, ours, theirs []float64) row {
	per := p.per
	if per == 0 {
		per = s.per
	}
	ours, theirs = divided(ours, s.per), divided(theirs, per)
	mine, other := summarize(ours).Median, summarize(theirs).Median
	ratio := summarize(ratios(ours, theirs))
	holds := ratio.Median <= p.most
	return row{
		What: s.what, Unit: s.unit, Ours: &mine, Peer: p.name, Theirs: &other,
		Ratio: &ratio, Wanted: p.wanted(), Holds: &holds, Samples: len(ours),
	}
}

func (p peer) wanted() string { return fmt.Sprintf("at most %.2f", p.most) }

func (s subject) alone(numbers []float64) row {
	numbers = divided(numbers, s.per)
	median, worst := summarize(numbers).Median, slices.Max(numbers)
	r := row{What: s.what, Unit: s.unit, Ours: &median, Worst: &worst, Wanted: s.wanted, Samples: len(numbers)}
	if s.limit > 0 {
		holds := worst < s.limit
		r.Holds = &holds
	}
	return r
}

func (s subject) skipped(reason error) []row {
	if len(s.peers) == 0 {
		return []row{{What: s.what, Unit: s.unit, Wanted: s.wanted, Skipped: reason.Error()}}
	}
	var rows []row
	for _, p := range s.peers {
		rows = append(rows, row{What: s.what, Unit: s.unit, Peer: p.name, Wanted: p.wanted(), Skipped: reason.Error()})
	}
	return rows
}

func divided(numbers []float64, by float64) []float64 {
	quotients := make([]float64, len(numbers))
	for i, n := range numbers {
		quotients[i] = n / by
	}
	return quotients
}

func (t *table) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(t)
}

func (t *table) writeText(w io.Writer) error {
	fmt.Fprintln(w, t.Machine)
	fmt.Fprintf(w, "Ratios are medians of %d rounds (%d for slow rows), with the median's %.0f%% confidence interval.\n",
		t.Rounds, (t.Rounds+1)/2, 100*t.Confidence)
	if t.Quick {
		fmt.Fprintln(w, "Small counts: this checks that everything works; the figures mean little.")
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tours\tpeer\tpeer's\tratio\tinterval\twanted\tholds")
	for _, r := range t.Rows {
		fmt.Fprintln(tw, r)
	}
	return tw.Flush()
}

// String returns the row's cells with tabs between them.
func (r row) String() string {
	if r.Skipped != "" {
		return fmt.Sprintf("%s\t\t%s\t\t\t\t%s\tskipped: %s", r.What, r.Peer, r.Wanted, r.Skipped)
	}
	if r.Ratio == nil {
		ours := fmt.Sprintf("median %s, worst %s %s", figure(*r.Ours), figure(*r.Worst), r.Unit)
		return fmt.Sprintf("%s\t%s\t\t\t\t\t%s\t%s", r.What, ours, r.Wanted, r.verdict())
	}
	return fmt.Sprintf("%s\t%s %s\t%s\t%s\t%.2f\t%s\t%s\t%s", r.What, figure(*r.Ours), r.Unit,
		r.Peer, figure(*r.Theirs), r.Ratio.Median, r.Ratio.interval(), r.Wanted, r.verdict())
}

func (r row) verdict() string {
	switch {
	case r.Holds == nil:
		return "reported"
	case *r.Holds:
		return "yes"
	}
	return "NO"
}

func (s summary) interval() string {
	if s.Low == nil {
		return "too few rounds"
	}
	return fmt.Sprintf("%.2f to %.2f", *s.Low, *s.High)
}

// figure formats a number with no more digits than are significant.
func figure(x float64) string {
	if math.Abs(x) >= 100 || x == math.Trunc(x) {
		return grouped(int(math.Round(x)))
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// grouped formats a number with a comma between groups of three digits.
func grouped(n int) string {
	if n < 0 {
		return "-" + grouped(-n)
	}
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}
