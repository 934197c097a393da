package kingdeesim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// centre is one data centre at run time: its records behind a lock, with the
// indexes that queries by number, name and person need.
type centre struct {
	id, number, name string
	now              func() time.Time
	lockouts         *lockouts

	mu      sync.RWMutex
	hash    string
	version string
	rows    []Row
	tables  Tables

	forms   map[string]*form
	schemas map[string]*docForm
	docs    map[string]*docTable // by lower-case form id
	open    map[openRecord]string
	bodies  map[[32]byte]bool // what ValidateRepeatJson has seen
	files   []*Attachment
	filed   []*Attachment // those of files that are whole
	closed  string        // the last closed period, 2026-01; "" means none

	staffByNumber map[string][]int
	staffByID     map[int64]int
	personByID    map[int64]int
	personByNo    map[string][]int64
	postsByPerson map[int64][]int
	postByID      map[int64]int
	postByNumber  map[string][]int
	deptByID      map[int64]int
	deptByNumber  map[string][]int
	positionByID  map[int64]int
	positionByNo  map[string][]int
	userByAccount map[string][]int
	userByName    map[string]int
	userByID      map[int64]int
	usersByPerson map[int64][]int
}

func newCentre(dc DataCentre, now func() time.Time) *centre {
	c := &centre{
		docs: map[string]*docTable{}, open: map[openRecord]string{}, bodies: map[[32]byte]bool{},
		id: dc.ID, number: orElse(dc.Number, "01"), name: orElse(dc.Name, dc.ID),
		now: now, lockouts: &lockouts{byUser: map[string]*lockout{}},
		rows: slices.Clone(dc.Rows), tables: dc.Tables.clone(),
	}
	c.setHash(dc.Hash)
	c.version = orElse(dc.Version, c.version)
	c.tables.complete()
	c.index()
	return c
}

// clone keeps a caller's slices from being changed behind their back.
func (t *Tables) clone() Tables {
	return Tables{
		Organisations: slices.Clone(t.Organisations), Departments: slices.Clone(t.Departments),
		Positions: slices.Clone(t.Positions), Persons: slices.Clone(t.Persons), Staff: slices.Clone(t.Staff),
		Posts: slices.Clone(t.Posts), Users: slices.Clone(t.Users), Currencies: slices.Clone(t.Currencies), lastID: t.lastID,
		Documents: slices.Clone(t.Documents),
	}
}

func (c *centre) setHash(hash string) {
	c.hash, c.version = hashSHA256, "9.0.553.10"
	if hash == hashSHA1 {
		c.hash, c.version = hashSHA1, "7.7.0.202111"
	}
}

// index rebuilds every index; call with the lock held for writing.
func (c *centre) index() {
	t := &c.tables
	c.staffByNumber, c.staffByID = map[string][]int{}, map[int64]int{}
	c.personByID, c.personByNo = map[int64]int{}, map[string][]int64{}
	c.postsByPerson = map[int64][]int{}
	c.postByID, c.postByNumber = map[int64]int{}, map[string][]int{}
	c.deptByID, c.deptByNumber = map[int64]int{}, map[string][]int{}
	c.positionByID, c.positionByNo = map[int64]int{}, map[string][]int{}
	c.userByName, c.userByID, c.usersByPerson = map[string]int{}, map[int64]int{}, map[int64][]int{}
	c.userByAccount = map[string][]int{}
	for i, d := range t.Departments {
		c.deptByID[d.ID] = i
		c.deptByNumber[d.Number] = append(c.deptByNumber[d.Number], i)
	}
	for i, p := range t.Positions {
		c.positionByID[p.ID] = i
		c.positionByNo[p.Number] = append(c.positionByNo[p.Number], i)
	}
	for i, p := range t.Persons {
		c.personByID[p.ID] = i
		c.personByNo[p.Number] = append(c.personByNo[p.Number], p.ID)
	}
	for i, s := range t.Staff {
		c.staffByNumber[s.Number] = append(c.staffByNumber[s.Number], i)
		c.staffByID[s.ID] = i
	}
	for i := range t.Posts {
		p := &t.Posts[i]
		c.postsByPerson[p.PersonID] = append(c.postsByPerson[p.PersonID], i)
		if p.Number == "" {
			p.Number = c.postNumber(*p)
		}
		c.postByID[p.ID] = i
		c.postByNumber[p.Number] = append(c.postByNumber[p.Number], i)
	}
	for i, u := range t.Users {
		c.userByName[u.Name], c.userByID[u.ID] = i, i
		c.userByAccount[u.Account] = append(c.userByAccount[u.Account], i)
		if u.PersonID != 0 {
			c.usersByPerson[u.PersonID] = append(c.usersByPerson[u.PersonID], i)
		}
	}
}

// postNumber is the number a post record gets by itself (K76).
func (c *centre) postNumber(p Post) string {
	return fmt.Sprintf("%s_%s_%d", c.person(p.PersonID).Number, c.position(p.PositionID).Number, p.ID)
}

func (c *centre) person(id int64) Person {
	if i, ok := c.personByID[id]; ok {
		return c.tables.Persons[i]
	}
	return Person{}
}

func (c *centre) row(appID string) (Row, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, r := range c.rows {
		if r.AppID == appID {
			return r, true
		}
	}
	return Row{}, false
}

// user finds a login user by name: exactly, or whatever the case (K92).
func (c *centre) user(name string, ignoreCase bool) (User, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if i, ok := c.userByName[name]; ok {
		return c.tables.Users[i], true
	}
	if ignoreCase {
		for _, u := range c.tables.Users {
			if strings.EqualFold(u.Name, name) {
				return u, true
			}
		}
	}
	return User{}, false
}

// isLocked tells whether a user is locked, for good or for half an hour.
func (c *centre) isLocked(u User) bool { return u.Locked || c.lockouts.locked(u.Name, c.now()) }

func (c *centre) userWithID(id int64) (User, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, ok := c.userByID[id]
	if !ok {
		return User{}, false
	}
	return c.tables.Users[i], true
}

func (c *centre) settings() (hash, version string, org BaseData) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.hash, c.version, c.tables.Organisations[0]
}

// hire adds an employee while the server runs.
func (c *centre) hire(e Employee) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.tables.clone()
	next.Hire(e)
	next.complete()
	for _, err := range next.validate() {
		return err
	}
	c.tables = next
	c.index()
	return nil
}
