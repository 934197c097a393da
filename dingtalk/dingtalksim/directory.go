package dingtalksim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// rootDept is the root of every organisation (SIM-D59).
const rootDept = 1

// Errors of the control methods, matched with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrInvalid  = errors.New("invalid")
)

// directory is the contacts of one organisation. People and departments are
// never changed in place: a change puts a new value in the map, so what a
// reader holds stays as it was.
type directory struct {
	mu       sync.RWMutex
	corpID   string
	people   map[string]*entry
	byUnion  map[string]string
	depts    map[int64]Department
	children map[int64][]int64           // sorted by order, then id
	members  map[int64]map[string]*entry // direct members, leavers excluded
	past     []*Person                   // leavers as they left, hired again since: the record stays
	serial   int64                       // grows with every change
	listings listings
}

// entry is a person with the marks that lists are ordered by.
type entry struct {
	Person
	entered  int64
	modified int64
}

func (d *directory) load(cfg Corp, now time.Time) {
	d.corpID = cfg.ID
	d.people, d.byUnion = map[string]*entry{}, map[string]string{}
	d.depts, d.members = map[int64]Department{rootDept: {ID: rootDept, Name: cfg.Name}}, map[int64]map[string]*entry{}
	for _, dep := range cfg.Departments {
		if dep.ParentID == 0 && dep.ID != rootDept {
			dep.ParentID = rootDept
		}
		d.depts[dep.ID] = dep
	}
	d.indexDepts()
	for _, p := range cfg.People {
		d.put(p, now)
	}
}

func (d *directory) indexDepts() {
	d.children = map[int64][]int64{}
	for id, dep := range d.depts {
		if id != rootDept {
			d.children[dep.ParentID] = append(d.children[dep.ParentID], id)
		}
	}
	for _, ids := range d.children {
		slices.SortFunc(ids, func(a, b int64) int {
			return cmp.Or(cmp.Compare(d.depts[a].Order, d.depts[b].Order), cmp.Compare(a, b))
		})
	}
}

// put adds or replaces a person; the caller holds the lock or is alone.
func (d *directory) put(p Person, now time.Time) {
	d.complete(&p, now)
	d.serial++
	e := &entry{Person: p, entered: d.serial, modified: d.serial}
	if old := d.people[p.UserID]; old != nil {
		e.entered = old.entered
		d.drop(old)
		if !old.Left.IsZero() && p.Left.IsZero() {
			d.past = append(d.past, &old.Person)
		}
	}
	d.people[p.UserID] = e
	d.byUnion[p.UnionID] = p.UserID
	if p.External || !p.Left.IsZero() {
		return
	}
	for _, id := range p.Departments {
		if d.members[id] == nil {
			d.members[id] = map[string]*entry{}
		}
		d.members[id][p.UserID] = e
		d.listings.forget(id)
	}
}

func (d *directory) drop(e *entry) {
	delete(d.byUnion, e.UnionID)
	for _, id := range e.Departments {
		delete(d.members[id], e.UserID)
		d.listings.forget(id)
	}
	delete(d.people, e.UserID)
}

// complete fills what the vendor fills by itself.
func (d *directory) complete(p *Person, now time.Time) {
	if p.UnionID == "" {
		p.UnionID = digest("union", d.corpID, p.UserID)[:22] + "iEiE"
	}
	if p.Nick == "" {
		p.Nick = p.Name
	}
	if p.Mobile != "" && p.StateCode == "" {
		p.StateCode = "86"
	}
	if len(p.Departments) == 0 && !p.External {
		p.Departments = []int64{rootDept}
	}
	if !p.Left.IsZero() && p.LeaveReason == "" {
		p.LeaveReason = "leave"
	}
	if p.LeaveReason != "" && p.Left.IsZero() {
		p.Left = now
	}
}

// digest is hexadecimal text that depends on parts only: made-up ids that stay
// the same from run to run.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// person returns a person whatever their state, or nil. The value is shared and
// must not be changed.
func (d *directory) person(userid string) *Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.people[userid]; e != nil {
		return &e.Person
	}
	return nil
}

// employee returns a present member, or nil for leavers, external contacts and
// strangers.
func (d *directory) employee(userid string) *Person {
	p := d.person(userid)
	if p == nil || p.External || !p.Left.IsZero() {
		return nil
	}
	return p
}

// everybody lists all people in the order they came.
func (d *directory) everybody() []Person {
	d.mu.RLock()
	entries := slices.Collect(maps.Values(d.people))
	d.mu.RUnlock()
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.entered, b.entered) })
	list := make([]Person, 0, len(entries))
	for _, e := range entries {
		list = append(list, e.Person)
	}
	return list
}

// inside says whether p is within r; nil is the whole organisation.
func (d *directory) inside(p *Person, r *Range) bool {
	if p.OutOfRange {
		return false
	}
	if r == nil || slices.Contains(r.Users, p.UserID) {
		return true
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.ContainsFunc(p.Departments, func(id int64) bool { return d.deptInsideLocked(id, r) })
}

// deptInside says whether department id is within r.
func (d *directory) deptInside(id int64, r *Range) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.deptInsideLocked(id, r)
}

func (d *directory) deptInsideLocked(id int64, r *Range) bool {
	if r == nil {
		return true
	}
	for ; ; id = d.depts[id].ParentID {
		if slices.Contains(r.Departments, id) {
			return true
		}
		if id == rootDept || id == 0 {
			return false
		}
	}
}

// change runs f on a copy of the person and stores it, checked.
func (d *directory) change(userid string, now time.Time, f func(*Person) error) (Person, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.people[userid]
	if e == nil {
		return Person{}, fmt.Errorf("dingtalksim: person %q: %w", userid, ErrNotFound)
	}
	p := e.Person
	p.Departments, p.LeaderOf, p.Roles = slices.Clone(p.Departments), slices.Clone(p.LeaderOf), slices.Clone(p.Roles)
	if err := f(&p); err != nil {
		return Person{}, err
	}
	if p.UserID != userid {
		return Person{}, fmt.Errorf("dingtalksim: person %q: %w: a userid cannot be changed", userid, ErrInvalid)
	}
	if err := d.check(p); err != nil {
		return Person{}, err
	}
	d.put(p, now)
	return d.people[userid].Person, nil
}

func (d *directory) add(p Person, now time.Time) (Person, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.people[p.UserID]; old != nil && old.Left.IsZero() {
		return Person{}, fmt.Errorf("dingtalksim: person %q: %w", p.UserID, ErrExists)
	}
	if err := d.check(p); err != nil {
		return Person{}, err
	}
	d.put(p, now)
	return d.people[p.UserID].Person, nil
}

// check refuses what the configuration would refuse; the caller holds the lock.
func (d *directory) check(p Person) error {
	if err := p.validate(d.hasDept); err != nil {
		return fmt.Errorf("dingtalksim: %w: %w", ErrInvalid, err)
	}
	if owner, taken := d.byUnion[p.UnionID]; taken && owner != p.UserID {
		return fmt.Errorf("dingtalksim: %w: unionid %q belongs to %s", ErrInvalid, p.UnionID, owner)
	}
	return nil
}

func (d *directory) hasDept(id int64) bool { _, ok := d.depts[id]; return ok }
