// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"errors"
	"strings"
	"testing"
)

func testTable() *table {
	const ns = 1000
	s := subject{
		what: "subject", unit: "ns/thing", per: 10,
		peers: []peer{{name: "slow", most: 0.5}, {name: "fast", most: 1.15, per: 20}},
	}
	t := &table{
		Machine: machine{Kernel: "Linux 6.18", CPU: "CPU", Processors: 2, Arch: "amd64", Go: "go1.26", Date: "2026-01-31"},
		Rounds:  6, Confidence: confidence,
	}
	ours := []float64{1 * ns, 2 * ns, 3 * ns, 4 * ns, 5 * ns, 6 * ns}
	double := []float64{2 * ns, 4 * ns, 6 * ns, 8 * ns, 10 * ns, 12 * ns}
	t.Rows = append(t.Rows,
		s.compared(s.peers[0], ours, double),
		s.compared(s.peers[1], ours, []float64{1 * ns, 4 * ns, 6 * ns, 8 * ns, 10 * ns, 12 * ns}),
		s.compared(s.peers[0], ours[:2], double[:2]),
	)
	t.Rows = append(t.Rows, s.skipped(errors.New("no ioctl"))...)
	held := subject{what: "heap", unit: "bytes", per: 1, wanted: "under 4096", limit: 4096}
	t.Rows = append(t.Rows,
		held.alone([]float64{16, 32, 4096}),
		held.alone([]float64{16, 32, 4095}),
		subject{what: "delay", unit: "ms", per: 1e6, wanted: "near 1 ms"}.alone([]float64{1e6, 3e6, 250_000}),
	)
	t.Rows = append(t.Rows, held.skipped(errors.New("no heap"))...)
	return t
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := testTable().writeText(&b); err != nil {
		t.Fatal(err)
	}
	wantDiff(t, b.String(), `Linux 6.18 amd64, CPU, 2 processors, go1.26, 2026-01-31
Ratios are medians of 6 rounds (3 for slow rows), with the median's 95% confidence interval.

what     ours                          peer  peer's  ratio  interval        wanted        holds
subject  350 ns/thing                  slow  700     0.50   0.50 to 0.50    at most 0.50  yes
subject  350 ns/thing                  fast  350     1.00   1.00 to 2.00    at most 1.15  yes
subject  150 ns/thing                  slow  300     0.50   too few rounds  at most 0.50  yes
subject                                slow                                 at most 0.50  skipped: no ioctl
subject                                fast                                 at most 1.15  skipped: no ioctl
heap     median 32, worst 4,096 bytes                                       under 4096    NO
heap     median 32, worst 4,095 bytes                                       under 4096    yes
delay    median 1, worst 3 ms                                               near 1 ms     reported
heap                                                                        under 4096    skipped: no heap
`)
}

func TestTextSaysQuick(t *testing.T) {
	var b strings.Builder
	if err := (&table{Quick: true}).writeText(&b); err != nil || !strings.Contains(b.String(), "Small counts") {
		t.Errorf("%v\n%s", err, &b)
	}
}

func TestJSON(t *testing.T) {
	all := testTable()
	all.Rows = []row{all.Rows[1], all.Rows[2], all.Rows[4], all.Rows[5], all.Rows[7]}
	var b strings.Builder
	if err := all.writeJSON(&b); err != nil {
		t.Fatal(err)
	}
	wantDiff(t, strings.Join(strings.Fields(b.String()), " "), strings.Join(strings.Fields(`{
		"machine": { "kernel": "Linux 6.18", "cpu": "CPU", "processors": 2, "arch": "amd64", "go": "go1.26", "date": "2026-01-31" },
		"rounds": 6, "quick": false, "confidence": 0.95,
		"rows": [
			{ "what": "subject", "unit": "ns/thing", "ours": 350, "peer": "fast", "theirs": 350,
			  "ratio": { "median": 1, "low": 1, "high": 2 }, "wanted": "at most 1.15", "holds": true, "samples": 6 },
			{ "what": "subject", "unit": "ns/thing", "ours": 150, "peer": "slow", "theirs": 300,
			  "ratio": { "median": 0.5 }, "wanted": "at most 0.50", "holds": true, "samples": 2 },
			{ "what": "subject", "unit": "ns/thing", "peer": "fast", "wanted": "at most 1.15", "samples": 0, "skipped": "no ioctl" },
			{ "what": "heap", "unit": "bytes", "ours": 32, "worst": 4096, "wanted": "under 4096", "holds": false, "samples": 3 },
			{ "what": "delay", "unit": "ms", "ours": 1, "worst": 3, "wanted": "near 1 ms", "samples": 3 }
		] }`), " "))
}

// TestHolds: the median of the ratios is compared with the target, not the ratio
// of the medians.
func TestHolds(t *testing.T) {
	s := subject{per: 1}
	for _, test := range []struct {
		ours, theirs []float64
		holds        bool
	}{
		{[]float64{10, 10, 10}, []float64{20, 20, 20}, true},
		{[]float64{10, 10, 10}, []float64{19, 19, 19}, false},
		{[]float64{1, 10, 10}, []float64{1, 20, 20}, true},
		{[]float64{1, 10, 100}, []float64{1, 20, 100}, false},
	} {
		if r := s.compared(peer{most: 0.5}, test.ours, test.theirs); *r.Holds != test.holds {
			t.Errorf("%v to %v: %+v", test.ours, test.theirs, *r.Ratio)
		}
	}
}

func TestFigures(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.256: "0.26", 1: "1", 12.345: "12.35", 99.99: "99.99", 100.5: "101", 1234.4: "1,234", -1234567: "-1,234,567", 1e6: "1,000,000",
	} {
		if got := figure(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}

func TestCPUModel(t *testing.T) {
	for cpuinfo, want := range map[string]string{
		"processor\t: 0\nvendor_id\t: AMD\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: another\n": "AMD EPYC",
		"processor: 0\ncpu\t\t: POWER9\n": "POWER9",
		"model name\t:\ncpu\t: 7448\n":    "7448",
		"processor: 0\n":                  "",
	} {
		if got := cpuModel(cpuinfo); got != want {
			t.Errorf("%q: %q, want %q", cpuinfo, got, want)
		}
	}
}
