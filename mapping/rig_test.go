package mapping_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/handclock"
	"kdgate/kingdee"
	"kdgate/mapping"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// rig is a table over a real embedded store and a real audit log. Only Kingdee
// and DingTalk are played, because their faults are what is tested.
type rig struct {
	testing.TB
	*mapping.Table
	cfg     mapping.Config
	store   *spyStore
	sealed  *store.Sealed
	log     *audit.Log
	kingdee *directory
	people  *profiles
	clock   *handclock.Clock
}

const (
	live = "live"
	corp = "dingcorp1"
)

var (
	admin  = mapping.Actor{Name: corp + "/manager01", Admin: true, Source: "203.0.113.7", RequestID: "req-1"}
	admin2 = mapping.Actor{Name: corp + "/manager02", Admin: true}
	admin3 = mapping.Actor{Name: corp + "/manager03", Admin: true}
	clerk  = mapping.Actor{Name: corp + "/clerk01"}
)

func newRig(tb testing.TB, adjust ...func(*mapping.Config)) *rig {
	tb.Helper()
	driver, err := sqlitestore.Open(tb.Context(), sqlitestore.Config{Path: filepath.Join(tb.TempDir(), "kdgate.db")})
	must(tb, err)
	tb.Cleanup(func() { must(tb, driver.Close()) })
	return newRigOn(tb, driver, adjust...)
}

func newRigOn(tb testing.TB, driver store.Driver, adjust ...func(*mapping.Config)) *rig {
	tb.Helper()
	r := &rig{TB: tb, kingdee: &directory{}, people: &profiles{}, clock: handclock.New(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC))}
	key := []byte("0123456789abcdef0123456789abcdef")
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{key}, Edition: mapping.Edition})
	must(tb, err)
	r.sealed, r.store = sealed, &spyStore{Store: sealed}
	r.log, err = audit.Open(tb.Context(), audit.Config{Dir: filepath.Join(tb.TempDir(), "audit"), Replica: "test", Key: key})
	must(tb, err)
	tb.Cleanup(func() { must(tb, r.log.Close()) })
	r.cfg = mapping.Config{
		Store: r.store, Recorder: r.log, Now: r.clock.Now,
		Directories: map[string]mapping.Directory{live: r.kingdee, "test": r.kingdee},
		Profiles:    map[string]mapping.Profiler{corp: r.people},
		Privileged:  []string{"财务总账"},
	}
	for _, f := range adjust {
		f(&r.cfg)
	}
	r.Table, err = mapping.New(r.cfg)
	must(tb, err)
	return r
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func key(userid string) mapping.Key {
	return mapping.Key{DataCentre: live, Corp: corp, UserID: userid}
}

func proven(userid, unionid string) identity.Assertion {
	return identity.Assertion{Subject: identity.Subject{Corp: corp, UserID: userid}, UnionID: unionid, Door: identity.DoorInClient}
}

func (r *rig) create(d mapping.Draft) mapping.Entry {
	r.Helper()
	e, err := r.Create(r.Context(), admin, d)
	must(r, err)
	return e
}

func (r *rig) get(userid string) mapping.Entry {
	r.Helper()
	e, err := r.Get(r.Context(), key(userid))
	must(r, err)
	return e
}

// resolve is a sign-in of userid with the unionid "union-" + userid.
func (r *rig) resolve(userid string) (identity.Account, error) {
	return r.Resolve(r.Context(), proven(userid, "union-"+userid), live)
}

// wantCode resolves and expects a short code; an empty one means success.
func (r *rig) wantCode(userid string, want identity.Code) identity.Account {
	r.Helper()
	account, err := r.resolve(userid)
	if got := identity.CodeOf(err); got != want || (err == nil) != (want == "") {
		r.Fatalf("%s: code %q (%v), want %q", userid, got, err, want)
	}
	return account
}

func (r *rig) records(q audit.Query) []audit.Record {
	r.Helper()
	q.Limit = 1000
	records, err := r.log.Search(r.Context(), q)
	must(r, err)
	return records
}

func wantReason(tb testing.TB, err error, kind identity.Kind, reason mapping.Reason) {
	tb.Helper()
	refusal := mapping.RefusalOf(err)
	if refusal == nil || refusal.Reason != reason || identity.KindOf(err) != kind {
		tb.Fatalf("got %v (kind %s), want %s as %s", err, identity.KindOf(err), reason, kind)
	}
}

// directory plays Kingdee.
type directory struct {
	mu    sync.Mutex
	staff []kingdee.Staff
	users map[string][]kingdee.User // by PersonID
	fault error
	asked int           // questions about staff
	gate  chan struct{} // when set, every question waits for it
	begun chan struct{} // when set, told of every question
}

// add makes a staff record in force with login users.
func (d *directory) add(number string, users ...kingdee.User) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.staff = append(d.staff, kingdee.Staff{ID: "id-" + number, Number: number, PersonID: "p-" + number, Approved: true})
	if d.users == nil {
		d.users = map[string][]kingdee.User{}
	}
	d.users["p-"+number] = append(d.users["p-"+number], users...)
}

func (d *directory) set(change func(d *directory)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *directory) questions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *directory) enter(ctx context.Context) error {
	d.mu.Lock()
	gate, begun, fault := d.gate, d.begun, d.fault
	d.mu.Unlock()
	if begun != nil {
		begun <- struct{}{}
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fault
}

func (d *directory) StaffByNumber(ctx context.Context, number string) ([]kingdee.Staff, error) {
	d.set(func(d *directory) { d.asked++ })
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []kingdee.Staff
	for _, s := range d.staff {
		if s.Number == number {
			found = append(found, s)
		}
	}
	return found, nil
}

func (d *directory) UsersOfStaff(_ context.Context, s kingdee.Staff) ([]kingdee.User, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]kingdee.User(nil), d.users[s.PersonID]...), nil
}

func (d *directory) UserByName(_ context.Context, name string) ([]kingdee.User, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []kingdee.User
	for _, users := range d.users {
		for _, u := range users {
			if u.Name == name {
				found = append(found, u)
			}
		}
	}
	return found, nil
}

// profiles plays DingTalk's address book.
type profiles struct {
	mu    sync.Mutex
	byID  map[string]identity.Profile
	fault error
	asked int
}

func (p *profiles) Profile(_ context.Context, userid string) (identity.Profile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	return p.byID[userid], p.fault
}

// spyStore is the real store with faults on demand.
type spyStore struct {
	store.Store
	mu      sync.Mutex
	gets    int
	failing error // of every Get
	commit  func(n int, do func() error) error
	commits int
}

// errDied is how the store looks to a process that is no more.
var errDied = fmt.Errorf("%w: the process died", store.ErrUnavailable)

func (s *spyStore) Get(ctx context.Context, key string) (store.Entry, error) {
	s.mu.Lock()
	s.gets++
	failing := s.failing
	s.mu.Unlock()
	if failing != nil {
		return store.Entry{}, failing
	}
	return s.Store.Get(ctx, key)
}

func (s *spyStore) Commit(ctx context.Context, ops ...store.Op) error {
	s.mu.Lock()
	commit, n := s.commit, s.commits
	s.commits++
	s.mu.Unlock()
	do := func() error { return s.Store.Commit(ctx, ops...) }
	if commit != nil {
		return commit(n, do)
	}
	return do()
}

// asked counts the entries that were asked for.
func (s *spyStore) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gets
}

// around sets what happens to each Commit, counted from zero; nil: just the Commit.
func (s *spyStore) around(commit func(n int, do func() error) error) (before int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.commit, s.commits = s.commits, commit, 0
	return before
}

func (s *spyStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}
