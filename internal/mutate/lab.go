// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A lab builds the tests with all mutants in them, and runs mutants.
type lab struct {
	config
	scratch string
	traces  *store[trace] // by the test binary's hash and the test's name
	overlay string        // the file that names the overlay's files
	count   int           // of all mutants
	stderr  io.Writer

	tests   []*test
	reached [][]*test // by the mutant's number: those for which it may make a difference
	passed  [][]*test // and those that come to it and for which it makes none

	mu    sync.Mutex
	done  int
	fates map[string]int
	kills map[kill]int
}

// A kill is a test that killed a mutant in a function or, with that empty, in a file.
type kill struct{ test, file, fn string }

// A test is a function of a test binary.
type test struct {
	*binary
	name string
	time time.Duration
	slow bool // it took longer than is wanted, and is left out
	err  error
}

func (t *test) String() string { return t.path + " " + t.name }

func newLab(c config, traces *store[trace], overlay map[string][]byte, count int, stderr io.Writer) (*lab, error) {
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	os.Chmod(scratch, 0o755) // for tests that give up their rights
	l := &lab{config: c, scratch: scratch, traces: traces, count: count, stderr: stderr, fates: map[string]int{}, kills: map[kill]int{}}
	if err := l.writeOverlay(overlay); err != nil {
		l.close()
		return nil, err
	}
	// A mutant may take memory for ever.
	limitMemory()
	return l, nil
}

func (l *lab) close() { os.RemoveAll(l.scratch) }

func (l *lab) writeOverlay(overlay map[string][]byte) error {
	var named struct{ Replace map[string]string }
	named.Replace = map[string]string{}
	for path, text := range overlay {
		file := filepath.Join(l.scratch, fmt.Sprintf("%d.go", len(named.Replace)))
		if err := os.WriteFile(file, text, 0o666); err != nil {
			return err
		}
		named.Replace[path] = file
	}
	text, err := json.Marshal(named)
	if err != nil {
		return err
	}
	l.overlay = filepath.Join(l.scratch, "overlay.json")
	return os.WriteFile(l.overlay, text, 0o666)
}

// build builds the tests.
func (l *lab) build(ctx context.Context) ([]*binary, error) {
	with := strings.Fields(l.with)
	packages, err := list(ctx, l.dir, append(strings.Fields(l.packages), with...))
	if err != nil {
		return nil, err
	}
	var binaries []*binary
	for i, p := range packages {
		b := &binary{path: p.ImportPath, dir: p.Dir, program: filepath.Join(l.scratch, fmt.Sprintf("test%d", i)), exec: l.exec}
		b.with = slices.ContainsFunc(p.Match, func(pattern string) bool { return slices.Contains(with, pattern) })
		if _, err := goCommand(ctx, l.dir, "test", "-c", "-overlay", l.overlay, "-o", b.program, p.ImportPath); err != nil {
			return nil, err
		}
		binaries = append(binaries, b)
	}
	return binaries, nil
}

// measure finds out what time each test takes and where it comes to.
func (l *lab) measure(ctx context.Context) error {
	binaries, err := l.build(ctx)
	if err != nil {
		return err
	}
	for _, b := range binaries {
		if b.hash, err = hashOf(b.program); err != nil {
			return err
		}
		names, err := b.list(ctx, l.onlyTests)
		if err != nil {
			return err
		}
		for _, name := range names {
			l.tests = append(l.tests, &test{binary: b, name: name})
		}
	}
	fmt.Fprintf(l.stderr, "%d mutants, %d tests\n", l.count, len(l.tests))
	l.reached, l.passed = make([][]*test, l.count+1), make([][]*test, l.count+1)
	if err := each(ctx, l.workers, l.tests, l.trace); err != nil {
		return err
	}
	for _, t := range l.tests {
		switch {
		case t.err != nil:
			fmt.Fprintf(l.stderr, "left out, as it fails without a mutant: %v: %v\n", t, t.err)
		case t.slow:
			fmt.Fprintf(l.stderr, "left out, as it takes longer than %v: %v\n", l.slow, t)
		}
	}
	return nil
}

// testsOf returns the tests that are to be tried with a mutant: those of its own
// package first, of these those that killed most in its function, and then those that
// killed most for their time in its file.
func (l *lab) testsOf(m *mutant) []*test {
	var own, others []*test
	for _, t := range l.reached[m.id] {
		switch {
		case m.test != "" && t.name != m.test:
		case t.path == m.target.path:
			own = append(own, t)
		case t.with:
			others = append(others, t)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, tests := range [][]*test{own, others} {
		slices.SortFunc(tests, func(a, b *test) int {
			return cmp.Or(l.killsOf(b, m, m.fn)-l.killsOf(a, m, m.fn),
				cmp.Compare(l.worth(b, m), l.worth(a, m)))
		})
	}
	return append(own, others...)
}

func (l *lab) killsOf(t *test, m *mutant, fn string) int {
	return l.kills[kill{t.String(), m.file, fn}]
}

// worth is how much a test kills for its time in a mutant's file. One that has killed
// nothing yet may kill this one.
func (l *lab) worth(t *test, m *mutant) float64 {
	return float64(1+l.killsOf(t, m, "")) / t.time.Seconds()
}

// credit notes which test killed a mutant.
func (l *lab) credit(m *mutant, test string) {
	l.kills[kill{test, m.file, m.fn}]++
	l.kills[kill{test, m.file, ""}]++
}

// A trace is what a test did when it ran alone, without a mutant.
type trace struct {
	Time  time.Duration
	Late  time.Duration `json:",omitempty"` // the limit after which it was ended
	Err   string        `json:",omitempty"`
	Marks []byte        // of the mutants
}

// trace runs a test alone and notes for which mutants it may notice a difference.
// What is known of the test as it was built, and run by the same program, is not found
// out again.
func (l *lab) trace(ctx context.Context, t *test) error {
	key := t.hash + " " + t.name
	if l.exec != "" {
		key += " " + l.exec
	}
	tr, ok := l.traces.get(key)
	if !ok || tr.Late > 0 && (l.slow == 0 || l.slow > tr.Late) {
		var err error
		if tr, err = l.newTrace(ctx, t); err != nil {
			return err
		}
		if err := l.traces.put(key, tr); err != nil {
			return err
		}
	}
	t.time = tr.Time
	t.slow = l.slow > 0 && (tr.Late > 0 || tr.Time > l.slow)
	if tr.Err != "" {
		t.err = errors.New(tr.Err)
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, mark := range tr.Marks {
		switch mark {
		case 1:
			l.passed[k] = append(l.passed[k], t)
		case 2:
			l.reached[k] = append(l.reached[k], t)
		}
	}
	return nil
}

// newTrace runs a test alone. One that fails is tried a second time.
func (l *lab) newTrace(ctx context.Context, t *test) (trace, error) {
	seen := filepath.Join(l.scratch, fmt.Sprintf("seen-%p", t))
	if err := os.WriteFile(seen, make([]byte, l.count+1), 0o666); err != nil {
		return trace{}, err
	}
	os.Chmod(seen, 0o666) // for tests that give up their rights
	defer os.Remove(seen)
	limit := 10 * time.Minute
	if l.slow > 0 {
		limit = l.slow
	}
	var o outcome
	for range 2 {
		o = t.run(ctx, l.scratch, []string{t.name}, limit, "MUTATE_SEEN="+seen)
		if ctx.Err() != nil {
			return trace{}, ctx.Err()
		}
		if o.err == nil || o.late {
			break
		}
	}
	tr := trace{Time: o.time}
	switch {
	case o.late && l.slow > 0:
		tr.Late = limit
	case o.err != nil:
		tr.Err = fmt.Sprintf("%v\n%s", o.err, o.tail)
	}
	marks, err := os.ReadFile(seen)
	if err != nil {
		return trace{}, err
	}
	if marks[0] == 0 { // what it wrote did not come back, as out of gVisor
		marks = bytes.Repeat([]byte{2}, len(marks))
	}
	marks[0] = 0 // no mutant has this number
	tr.Marks = marks
	return tr, nil
}

// tryAll tries the mutants that have not been killed and may not survive.
func (l *lab) tryAll(ctx context.Context, mutants []*mutant, r results, known map[string]string) error {
	var todo []*mutant
	for _, m := range mutants {
		_, isKnown := known[m.key()]
		switch one, ok := r.of(m); {
		case ok && one.Fate == killed:
			l.credit(m, one.Test)
		case isKnown && !l.tryKnown:
		case ok && one.Fate == unreached && l.survivors:
		case len(l.testsOf(m)) == 0 && len(l.passed[m.id]) == 0:
			if err := r.note(m, result{Fate: unreached}); err != nil {
				return err
			}
		default:
			todo = append(todo, m)
		}
	}
	fmt.Fprintf(l.stderr, "%d mutants to try\n", len(todo))
	return each(ctx, l.workers, todo, func(ctx context.Context, m *mutant) error {
		one, err := l.try(ctx, m)
		if err != nil {
			return err
		}
		l.progress(m, one, len(todo))
		return r.note(m, one)
	})
}

func (l *lab) progress(m *mutant, one result, of int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	l.fates[one.Fate]++
	if one.Fate == killed {
		l.credit(m, one.Test)
	}
	if one.Fate != killed {
		fmt.Fprintf(l.stderr, "%s: %v\n", told(one), m)
	}
	if l.done%50 == 0 || l.done == of {
		fmt.Fprintf(l.stderr, "%s %d/%d: %d killed, %d survived\n", time.Now().Format(time.TimeOnly), l.done, of, l.fates[killed], l.fates[survived])
	}
}

// try runs the tests that come to a mutant with it, several at a time where they
// take little.
func (l *lab) try(ctx context.Context, m *mutant) (result, error) {
	queue := l.testsOf(m)
	one := result{Fate: survived, Of: len(queue)}
	queue = l.affordable(queue)
	one.Tests = len(queue)
	for size := 300 * time.Millisecond; len(queue) > 0; size *= 4 {
		group := first(queue, size)
		queue = queue[len(group):]
		for len(group) > 0 {
			isKilled, o, err := l.verdict(ctx, m, group)
			if err != nil {
				return one, err
			}
			if o.err == nil {
				break
			}
			by := group[0].path + " " + o.test
			if isKilled {
				one.Fate, one.Test, one.How = killed, by, "failed"
				if o.late {
					one.How = "took too long"
				}
				return one, nil
			}
			one.Flaky = by
			group = slices.DeleteFunc(slices.Clone(group), func(t *test) bool { return o.test == "" || t.name == o.test })
		}
	}
	return one, nil
}

// affordable returns the tests that are not slow, and of those the first that the
// budget is enough for.
func (l *lab) affordable(tests []*test) []*test {
	tests = slices.DeleteFunc(tests, func(t *test) bool { return t.slow })
	if l.budget == 0 {
		return tests
	}
	sum := time.Duration(0)
	for i, t := range tests {
		if sum += t.time; sum > l.budget && i > 0 {
			return tests[:i]
		}
	}
	return tests
}

// first returns the tests at the front of queue, of one binary, which take less
// than size together; at least one.
func first(queue []*test, size time.Duration) []*test {
	n, sum := 1, queue[0].time
	for n < len(queue) && queue[n].binary == queue[0].binary && sum+queue[n].time < size {
		sum += queue[n].time
		n++
	}
	return queue[:n]
}

// verdict runs tests with a mutant. If one fails, it tells whether that is the
// mutant's doing: whether the test fails once more, or, if it took too long, passes
// without the mutant.
func (l *lab) verdict(ctx context.Context, m *mutant, group []*test) (isKilled bool, o outcome, err error) {
	names := make([]string, len(group))
	sum := time.Duration(0)
	for i, t := range group {
		names[i] = t.name
		sum += t.time
	}
	active := fmt.Sprintf("MUTATE_ACTIVE=%d", m.id)
	b, limit := group[0].binary, 10*sum+l.grace
	o = b.run(ctx, l.scratch, names, limit, active)
	if ctx.Err() != nil || o.err == nil {
		return false, o, ctx.Err()
	}
	if o.test == "" && len(group) == 1 { // nothing is printed by a kernel that was ended
		o.test = group[0].name
	}
	if o.test != "" {
		names = []string{o.test}
	}
	var again outcome
	if o.late {
		again = b.run(ctx, l.scratch, names, limit)
		isKilled = again.err == nil
	} else {
		again = b.run(ctx, l.scratch, names, limit, active)
		isKilled = again.err != nil
	}
	return isKilled, o, ctx.Err()
}

// each calls f for all items, n at a time, until one fails.
func each[T any](ctx context.Context, n int, items []T, f func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan T)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for item := range next {
				if err := f(ctx, item); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, item := range items {
		select {
		case next <- item:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
