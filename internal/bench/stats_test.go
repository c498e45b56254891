// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSummarize(t *testing.T) {
	var twenty []float64
	for i := range 20 {
		twenty = append(twenty, float64(i+1))
	}
	rand.Shuffle(20, func(i, j int) { twenty[i], twenty[j] = twenty[j], twenty[i] })
	before := slices.Clone(twenty)
	ends := func(low, high float64) (*float64, *float64) { return &low, &high }
	all := func(median, low, high float64) summary {
		s := summary{Median: median}
		s.Low, s.High = ends(low, high)
		return s
	}
	for _, test := range []struct {
		samples []float64
		want    summary
	}{
		{[]float64{3}, summary{Median: 3}},
		{[]float64{9, 1}, summary{Median: 5}},
		{[]float64{9, 1, 2}, summary{Median: 2}},
		{[]float64{1, 2, 3, 4, 5}, summary{Median: 3}},
		{[]float64{6, 5, 4, 3, 2, 1}, all(3.5, 1, 6)},
		{twenty, all(10.5, 6, 15)}, // from tables of the binomial distribution
	} {
		wantDiff(t, summarize(test.samples), test.want)
	}
	wantDiff(t, twenty, before) // the samples stay in the order of the rounds
}

func TestRatios(t *testing.T) {
	wantDiff(t, ratios([]float64{1, 9}, []float64{2, 3}), []float64{0.5, 3})
}
