// SPDX-FileCopyrightText: 2026 The inotify authors
// SPDX-License-Identifier: BSD-3-Clause

package requeue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/seed10546c08/inotify"
)

// conditions are what a plan depends on, in addition to the events.
type conditions struct {
	capacity      int  // records that the queue takes before it overflows
	unmount       bool // there can be mounts, so that Unmount can be made
	overflow      bool // an overflow record is wanted in any case
	overflowFirst bool // no record can be made before an overflow; detail says why
	detail        string
}

// A plan is what is to be in the queue.
type plan struct {
	records  []plannedRecord
	overflow int // how many records are before the overflow record, or none
	index    int // of the event that the overflow record is from, or none
	changes  []Change
}

const none = -1

// A plannedRecord is an event that can be made.
type plannedRecord struct {
	inotify.Event
	index int // of the event that it is from
}

// newPlan plans the records for events.
func newPlan(events []inotify.Event, c conditions) plan {
	p := makeable(events, c.unmount)
	lost := slices.ContainsFunc(p.changes, func(c Change) bool { return c.Reason.Lost() })
	if p.overflow == none && (lost || c.overflow) {
		p.overflow = len(p.records)
		if !c.overflow {
			p.addOverflow("")
		}
	}
	p.trim(c.capacity)
	switch {
	case p.overflow <= 0:
	case c.overflowFirst:
		p.putOverflowFirst(c.detail)
	case !p.advanceIgnored():
		p.putOverflowFirst("a watch before it ends without its IN_IGNORED or changes its inode")
	}
	p.trim(c.capacity)
	p.pairRenames()
	p.merge()
	for i, c := range p.changes {
		if c.Index != none {
			p.changes[i].Event = events[c.Index]
		}
	}
	slices.SortStableFunc(p.changes, func(a, b Change) int { return cmp.Compare(uint(a.Index), uint(b.Index)) })
	return p
}

// events returns what is to be in the queue, with other cookies.
func (p *plan) events() []inotify.Event {
	events := make([]inotify.Event, 0, len(p.records)+1)
	for i := range len(p.records) + 1 {
		if i == p.overflow {
			events = append(events, OverflowEvent)
		}
		if i < len(p.records) {
			events = append(events, p.records[i].Event)
		}
	}
	return events
}

// OverflowEvent is the event that says that events were lost.
var OverflowEvent = inotify.Event{WD: inotify.NoWD, Mask: inotify.QOverflow}

func (p *plan) change(r plannedRecord, reason Reason, detail string) {
	p.changes = append(p.changes, Change{Index: r.index, Event: r.Event, Reason: reason, Detail: detail})
}

func (p *plan) addOverflow(detail string) {
	p.change(plannedRecord{OverflowEvent, none}, OverflowAdded, detail)
}

// makeable returns a plan with the records that can be made, in the events' order.
func makeable(events []inotify.Event, unmount bool) plan {
	p := plan{overflow: none, index: none}
	for i, e := range events {
		r := plannedRecord{e, i}
		switch why := impossible(e); {
		case e.Mask == inotify.QOverflow && p.overflow == none:
			p.overflow, p.index = len(p.records), i
		case e.Mask == inotify.QOverflow:
			p.change(r, OverflowTwice, "")
		case why != "":
			p.change(r, Impossible, why)
		case e.Mask.Has(inotify.Unmount) && !unmount:
			p.change(r, NoPrivilege, "")
		case splits(e):
			p.change(r, Split, "")
			p.records = append(p.records, split(r)...)
		default:
			p.records = append(p.records, r)
		}
	}
	return p
}

// changeBits are the bits that one record can have together: the kernel sets them for a change
// of several attributes of a file.
const changeBits = inotify.Access | inotify.Modify | inotify.Attrib

// impossible returns why no operation makes such a record, or "".
func impossible(e inotify.Event) string {
	if e.WD < 1 {
		return fmt.Sprintf("wd %d is not above 0", e.WD)
	}
	isDir, named := e.Mask.Has(inotify.IsDir), e.Name != ""
	switch bits := e.Mask &^ inotify.IsDir; {
	case bits == 0 || bits&(bits-1) != 0 && bits&^changeBits != 0 || bits&^(inotify.AllEvents|inotify.Unmount|inotify.Ignored) != 0:
		return "no event has these bits"
	case !named && bits&(inotify.Create|inotify.Delete|inotify.Move) != 0:
		return "it has no name"
	case named && bits&(inotify.DeleteSelf|inotify.MoveSelf|inotify.Ignored|inotify.Unmount) != 0:
		return "it has a name"
	case isDir && bits&(inotify.DeleteSelf|inotify.MoveSelf|inotify.Ignored|inotify.CloseWrite) != 0:
		return "it is about a directory"
	case len(e.Name) > 255:
		return fmt.Sprintf("its name has %d bytes, and 255 can be made", len(e.Name))
	case ImpossibleName(e.Name):
		return "no file has such a name"
	}
	return ""
}

// ImpossibleName reports whether no file can have the name, on any filesystem. An empty name,
// which an event without a name has, is not meant.
func ImpossibleName(name string) bool {
	return strings.ContainsAny(name, "/\x00") || name == "." || name == ".."
}

// splits reports whether the event has several bits of which no operation here makes one
// record. Only servers like nfsd set several attributes of a file at once.
func splits(e inotify.Event) bool {
	bits := e.Mask & changeBits
	return bits&(bits-1) != 0 && e.Mask != inotify.Modify|inotify.Attrib
}

func split(r plannedRecord) (rs []plannedRecord) {
	for _, bit := range []inotify.Mask{inotify.Access, inotify.Modify, inotify.Attrib} {
		if r.Mask.Has(bit) {
			one := r
			one.Mask = bit | r.Mask&inotify.IsDir
			rs = append(rs, one)
		}
	}
	return rs
}

// trim leaves out what the queue has no room for. A queue takes capacity records, and one
// more only if that is the overflow record.
func (p *plan) trim(capacity int) {
	if p.overflow == none && len(p.records) >= capacity {
		p.overflow = capacity
		p.addOverflow("the queue is full without it")
	}
	if p.overflow == none {
		return
	}
	room := capacity - 1
	if p.overflow >= capacity || p.overflow == len(p.records) {
		room = capacity
	}
	room = min(room, len(p.records))
	for _, r := range p.records[room:] {
		p.change(r, QueueFull, "")
	}
	p.records = p.records[:room]
	p.overflow = min(p.overflow, room)
}

func (p *plan) putOverflowFirst(detail string) {
	p.overflow = 0
	p.change(plannedRecord{OverflowEvent, p.index}, OverflowFirst, detail)
}

// ends reports whether the watch ends with the record, so that the kernel queues an
// Ignored.
func (r plannedRecord) ends() bool {
	return r.Mask.Has(inotify.DeleteSelf) || r.Mask.Has(inotify.Unmount)
}

// freesWD reports whether the wd has no watch behind the record.
func (r plannedRecord) freesWD() bool { return r.ends() || r.Mask.Has(inotify.Ignored) }

func (r plannedRecord) ignores(wd inotify.WD) bool { return r.WD == wd && r.Mask.Has(inotify.Ignored) }

// advanceIgnored changes the records before the overflow so that they can be made there, and
// reports whether they can. There the queue is not full: when a watch ends, its Ignored is
// queued at once, and a watch cannot be moved to another inode, as its removal would be
// reported. So the Ignored is put right behind the record that ends its watch. Only if that
// record is the last before the overflow need it not be: then its Ignored is the one that
// overflows the queue, and is lost.
func (p *plan) advanceIgnored() bool {
	rs, before, moved := make([]plannedRecord, 0, len(p.records)), p.overflow, map[int]bool{}
	var advanced []plannedRecord
	ignored := ignoredOf(p.records)
	for i, r := range p.records {
		if moved[i] {
			continue
		}
		rs = append(rs, r)
		if i >= p.overflow-1 || !r.ends() || p.records[i+1].ignores(r.WD) {
			continue
		}
		j, ok := ignored[i]
		if !ok {
			return false
		}
		moved[j] = true
		rs, advanced = append(rs, p.records[j]), append(advanced, p.records[j])
		if j >= p.overflow {
			before++
		}
	}
	if !steady(rs[:before], kindsOf(rs)) {
		return false
	}
	p.records, p.overflow = rs, before
	for _, r := range advanced {
		p.change(r, Advanced, "")
	}
	return true
}

// ignoredOf maps the index of each record that ends a watch to that of the watch's Ignored.
func ignoredOf(rs []plannedRecord) map[int]int {
	ignored, next := map[int]int{}, map[inotify.WD]int{}
	for i, r := range slices.Backward(rs) {
		if r.Mask.Has(inotify.Ignored) {
			next[r.WD] = i
		} else if j, ok := next[r.WD]; ok && r.ends() {
			ignored[i] = j
			delete(next, r.WD)
		}
	}
	return ignored
}

// steady reports whether each watch, from its first record to its end, is on one inode.
func steady(rs []plannedRecord, kinds []kind) bool {
	on := map[inotify.WD]kind{}
	for i, r := range rs {
		if k, ok := on[r.WD]; ok && k != kinds[i] {
			return false
		}
		if on[r.WD] = kinds[i]; r.freesWD() {
			delete(on, r.WD)
		}
	}
	return true
}

// pairRenames puts each MovedTo right behind its MovedFrom, unless the overflow is between
// the two, and gives each rename its own cookie. Records that were between the two were
// caused on other processors, and not by changes of the two directories, which a rename
// locks. So this is an order in which the kernel could have queued them.
func (p *plan) pairRenames() {
	to, moved := p.renames(), map[int]bool{}
	for _, i := range to {
		moved[i] = true
	}
	rs := make([]plannedRecord, 0, len(p.records))
	for i, r := range p.records {
		if moved[i] {
			continue
		}
		if r.Mask&inotify.Move != 0 {
			r.Cookie = uint32(i + 1)
		}
		rs = append(rs, r)
		if j, ok := to[i]; ok {
			other := p.records[j]
			other.Cookie = r.Cookie
			if rs = append(rs, other); j > i+1 {
				p.change(other, Advanced, "")
			}
		}
	}
	p.records = rs
}

// renames maps the index of each MovedFrom that has a MovedTo to that one's index.
func (p *plan) renames() map[int]int {
	to := map[int]int{}
	open, before := map[renamed]int{}, map[renamed]int{} // each MovedFrom without its MovedTo so far; before the overflow
	for i, r := range p.records {
		if i == p.overflow {
			open, before = before, open
		}
		key := renamed{r.Cookie, r.Mask & inotify.IsDir}
		if r.Mask.Has(inotify.MovedFrom) {
			open[key] = i
		}
		if !r.Mask.Has(inotify.MovedTo) {
			continue
		}
		j, ok := open[key]
		_, cut := before[key]
		switch from := p.records[j]; {
		case ok && from.WD == r.WD && from.Name == r.Name:
			p.change(r, Unpaired, "both have the same name")
		case ok:
			to[j] = i
		case cut:
			p.change(r, Unpaired, "the overflow is between the two")
		}
		delete(open, key)
	}
	return to
}

// renamed is what the two halves of a rename have in common.
type renamed struct {
	cookie uint32
	isDir  inotify.Mask
}

// merge leaves out what the kernel would merge with the record before it.
func (p *plan) merge() {
	rs, before := make([]plannedRecord, 0, len(p.records)), p.overflow
	for i, r := range p.records {
		last := len(rs) - 1
		if last < 0 || i == p.overflow || !equal(rs[last], r) {
			rs = append(rs, r)
			continue
		}
		if i < p.overflow {
			before--
		}
		if r.Mask.Has(inotify.MovedFrom) { // its other half is behind it
			rs[last], r = r, rs[last]
		}
		p.change(r, Merged, "")
	}
	p.records, p.overflow = rs, before
}

func equal(a, b plannedRecord) bool {
	return a.WD == b.WD && a.Mask == b.Mask && a.Name == b.Name && !a.Mask.Has(inotify.Ignored)
}
