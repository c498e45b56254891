// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A machine describes where the figures were measured.
type machine struct {
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	Processors int    `json:"processors"`
	Arch       string `json:"arch"`
	Go         string `json:"go"`
	Date       string `json:"date"`
}

func thisMachine() machine {
	m := machine{
		Kernel:     "unknown",
		CPU:        "unknown",
		Processors: runtime.NumCPU(),
		Arch:       runtime.GOARCH,
		Go:         runtime.Version(),
		Date:       time.Now().UTC().Format(time.DateOnly),
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if model := cpuModel(string(text)); model != "" {
			m.CPU = model
		}
	}
	return m
}

// cpuModel returns the name of the processor. The architectures have different
// keys for it.
func cpuModel(cpuinfo string) string {
	for _, key := range []string{"model name", "cpu model", "cpu", "uarch", "CPU part"} {
		for line := range strings.Lines(cpuinfo) {
			name, value, _ := strings.Cut(line, ":")
			if value = strings.TrimSpace(value); strings.TrimSpace(name) == key && value != "" {
				return value
			}
		}
	}
	return ""
}

func (m machine) String() string {
	return fmt.Sprintf("%s %s, %s, %d processors, %s, %s", m.Kernel, m.Arch, m.CPU, m.Processors, m.Go, m.Date)
}
