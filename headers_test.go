// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed10546c08/inotify"
	"github.com/seed10546c08/inotify/internal/sys"
)

// headers lists where Debian's package linux-libc-dev-NAME-cross installs the kernel's headers
// for a processor. There is no package for loong64.
var headers = []struct{ goarch, name, dir string }{
	{"386", "i386", "i686-linux-gnu"},
	{"amd64", "amd64", "x86_64-linux-gnu"},
	{"arm", "armhf", "arm-linux-gnueabihf"},
	{"arm64", "arm64", "aarch64-linux-gnu"},
	{"mips", "mips", "mips-linux-gnu"},
	{"mipsle", "mipsel", "mipsel-linux-gnu"},
	{"mips64", "mips64", "mips64-linux-gnuabi64"},
	{"mips64le", "mips64el", "mips64el-linux-gnuabi64"},
	{"ppc64", "ppc64", "powerpc64-linux-gnu"},
	{"ppc64le", "ppc64el", "powerpc64le-linux-gnu"},
	{"riscv64", "riscv64", "riscv64-linux-gnu"},
	{"s390x", "s390x", "s390x-linux-gnu"},
	{"sparc64", "sparc64", "sparc64-linux-gnu"},
}

// On each processor the request code of the ioctl, the mask bits and the layout of an event
// are those of the kernel's headers, which define no other bits.
func TestKernelHeaders(t *testing.T) {
	t.Parallel()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("this needs a C compiler: ", err)
	}
	if found, _ := filepath.Glob("/usr/*-linux-gnu*/include/linux/inotify.h"); len(found) == 0 {
		t.Skip("this needs the packages linux-libc-dev-*-cross")
	}
	for _, h := range headers {
		t.Run(h.goarch, func(t *testing.T) {
			dir := filepath.Join("/usr", h.dir, "include")
			if _, err := os.Stat(filepath.Join(dir, "linux/inotify.h")); err != nil {
				t.Skipf("this needs the package linux-libc-dev-%s-cross: %v", h.name, err)
			}
			defined := headerValues(t, cc, dir)
			want := layout(h.goarch)
			for _, bit := range maskBits() {
				want[bit.String()] = uint64(bit)
			}
			if h.goarch == runtime.GOARCH {
				maps.Copy(want, initFlags)
			}
			for name, value := range want {
				if got, ok := defined[name]; !ok || got != value {
					t.Errorf("%s is %#x, want %#x as in the headers (defined: %t)", name, value, got, ok)
				}
				delete(defined, name)
			}
			for name, value := range defined {
				if m, err := inotify.ParseMask(name); initFlags[name] == 0 && (err != nil || uint64(m) != value) {
					t.Errorf("%s is %#x (%v), want %#x as in the headers", name, uint32(m), err, value)
				}
			}
		})
	}
}

// initFlags differ between processors; package unix has those of the target.
var initFlags = map[string]uint64{"IN_CLOEXEC": unix.IN_CLOEXEC, "IN_NONBLOCK": unix.IN_NONBLOCK}

// layout returns what the library assumes besides the mask bits.
func layout(goarch string) map[string]uint64 {
	return map[string]uint64{
		"INOTIFY_IOC_SETNEXTWD": uint64(sys.SetNextRequest(goarch)),
		"sizeof":                unix.SizeofInotifyEvent,
		"wd":                    0,
		"mask":                  4,
		"cookie":                8,
		"len":                   12,
		"name":                  16,
	}
}

// maskBits returns the bits that have a name.
func maskBits() (bits []inotify.Mask) {
	for bit := inotify.Mask(1); bit != 0; bit <<= 1 {
		if strings.HasPrefix(bit.String(), "IN_") {
			bits = append(bits, bit)
		}
	}
	return bits
}

// headerValues returns what linux/inotify.h in dir defines. It compiles and runs a program that
// includes no other headers.
func headerValues(t *testing.T, cc, dir string) map[string]uint64 {
	t.Helper()
	run := func(cmd *exec.Cmd) string {
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", cmd.Args, err, out)
		}
		return string(out)
	}
	scratch := t.TempDir()
	source, program := filepath.Join(scratch, "values.c"), filepath.Join(scratch, "values")
	write := func(text string) {
		if err := os.WriteFile(source, []byte("#include <linux/inotify.h>\n#include <linux/ioctl.h>\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-nostdinc", "-isystem", dir, source}

	write("")
	var text strings.Builder
	text.WriteString("int printf(const char *, ...);\nint main(void)\n{\n")
	addLine := func(name, value string) {
		fmt.Fprintf(&text, "\tprintf(\"%s %%llu\\n\", (unsigned long long)(%s));\n", name, value)
	}
	for _, line := range strings.Split(run(exec.Command(cc, append([]string{"-E", "-dM"}, args...)...)), "\n") {
		if words := strings.Fields(line); len(words) > 2 && (words[1] == "INOTIFY_IOC_SETNEXTWD" || strings.HasPrefix(words[1], "IN_")) {
			addLine(words[1], words[1])
		}
	}
	addLine("sizeof", "sizeof(struct inotify_event)")
	for _, field := range []string{"wd", "mask", "cookie", "len", "name"} {
		addLine(field, "__builtin_offsetof(struct inotify_event, "+field+")")
	}
	text.WriteString("\treturn 0;\n}\n")
	write(text.String())
	run(exec.Command(cc, append([]string{"-o", program}, args...)...))

	values := make(map[string]uint64)
	for _, line := range strings.Split(strings.TrimSpace(run(exec.Command(program))), "\n") {
		var name string
		var value uint64
		if _, err := fmt.Sscan(line, &name, &value); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		values[name] = value & math.MaxUint32 // C may have a sign here
	}
	return values
}
