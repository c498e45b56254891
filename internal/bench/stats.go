// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// confidence is the level of the confidence intervals of medians.
const confidence = 0.95

// A summary is the median of samples. Low and High are the ends of its confidence
// interval, or nil if there were too few samples.
type summary struct {
	Median float64  `json:"median"`
	Low    *float64 `json:"low,omitempty"`
	High   *float64 `json:"high,omitempty"`
}

func summarize(samples []float64) summary {
	sorted := benchmath.NewSample(slices.Clone(samples), &benchmath.DefaultThresholds)
	s := benchmath.AssumeNothing.Summary(sorted, confidence)
	sum := summary{Median: s.Center}
	if !math.IsInf(s.Lo, 0) && !math.IsInf(s.Hi, 0) {
		sum.Low, sum.High = &s.Lo, &s.Hi
	}
	return sum
}

// ratios divides the samples round by round.
func ratios(ours, theirs []float64) []float64 {
	rs := make([]float64, len(ours))
	for i := range ours {
		rs[i] = ours[i] / theirs[i]
	}
	return rs
}
