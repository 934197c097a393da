package mapping_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/storetest"
)

// logWitness is the rig's audit log and store as internal/app uses them.
type logWitness struct {
	*rig
	mute bool // the log does not tell: that of another replica is still on its way
}

func (w *logWitness) At(ctx context.Context, k mapping.Key, version uint64) (mapping.Entry, bool, error) {
	var records []audit.Record
	for _, action := range mapping.RowActions() {
		some, err := w.log.Search(ctx, audit.Query{Person: audit.Person(k.Subject()), Action: action, Limit: 100})
		if err != nil || w.mute {
			return mapping.Entry{}, false, err
		}
		records = append(records, some...)
	}
	then, told := mapping.RecordedAt(records, k, version)
	return then, told, nil
}

func (w *logWitness) AsFound() store.Store { return w.sealed.AsFound() }

// failing is a rig over a Redis that forgets, as the replica that a failover
// promotes does.
type failing struct {
	*rig
	redis   *storetest.Redis
	witness *logWitness
}

func newFailing(t *testing.T) *failing {
	t.Helper()
	f := &failing{redis: storetest.StartRedis(t), witness: &logWitness{}}
	driver, err := redisstore.Open(redisstore.Config{Addrs: []string{f.redis.Addr}})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	f.rig = newRigOn(t, driver, func(cfg *mapping.Config) { cfg.Witness = f.witness })
	f.witness.rig = f.rig
	f.kingdee.add("1001", user("1", "one"))
	f.kingdee.add("1002", user("2", "two"))
	return f
}

// keep is all that the new master will know.
func (f *failing) keep() { f.redis.Do("SAVE") }

func (f *failing) failOver() {
	f.Helper()
	f.redis.Kill()
	f.redis.Start()
	for {
		if _, err := f.sealed.ScanKeys(f.Context(), "", "", 1); err == nil {
			return
		}
		must(f, f.Context().Err())
	}
}

// TestRowsPutBack proves R6, R14 and T21 for a row whose last writes a failover
// lost: the older one is an error, the person's next click puts it right from what
// something else than the store tells, and nothing opens that was shut.
func TestRowsPutBack(t *testing.T) {
	for name, tc := range map[string]struct {
		before, lost, after func(t *testing.T, f *failing)
		code                identity.Code // of the click
	}{
		"Kingdee's word": {
			before: func(_ *testing.T, f *failing) { f.wantCode("u1", "") },
			lost:   func(_ *testing.T, f *failing) { f.clock.Advance(time.Hour); f.wantCode("u1", "") },
		},
		"Kingdee's word that the user is forbidden": {
			before: func(_ *testing.T, f *failing) { f.wantCode("u1", "") },
			lost: func(_ *testing.T, f *failing) {
				f.clock.Advance(11 * time.Minute)
				f.kingdee.set(func(d *directory) { d.users["p-1001"][0].Forbidden = true })
				f.wantCode("u1", identity.CodeUserForbidden)
				f.clock.Advance(-10 * time.Minute) // the older word would be young enough
			},
			code: identity.CodeUserForbidden,
		},
		"whose it is": {
			lost: func(_ *testing.T, f *failing) { f.wantCode("u1", "") },
			after: func(t *testing.T, f *failing) {
				if e := f.get("u1"); e.UnionID != "union-u1" {
					t.Errorf("%+v", e)
				}
				_, err := f.Resolve(t.Context(), proven("u1", "union-another"), live)
				if identity.CodeOf(err) != identity.CodeIdentityChanged {
					t.Errorf("another hire: %v", err)
				}
			},
		},
		"a suspension": {
			before: func(_ *testing.T, f *failing) { f.wantCode("u1", "") },
			lost: func(t *testing.T, f *failing) {
				_, err := f.Suspend(t.Context(), admin, key("u1"), "left")
				must(t, err)
			},
			code: identity.CodeSuspended,
		},
		"another account": {
			before: func(_ *testing.T, f *failing) { f.wantCode("u1", "") },
			lost: func(t *testing.T, f *failing) {
				e := f.get("u1")
				number, login := "1002", "two"
				_, err := f.Change(t.Context(), admin, e.Key(), mapping.Edit{Version: e.Version, StaffNumber: &number, LoginUser: &login})
				must(t, err)
			},
			after: func(t *testing.T, f *failing) {
				if account := f.wantCode("u1", ""); account.LoginUser != "two" {
					t.Errorf("%+v", account)
				}
				_, err := f.Create(t.Context(), admin, mapping.Draft{Key: key("u2"), StaffNumber: "1002", LoginUser: "two"})
				wantReason(t, err, identity.Conflict, mapping.ReasonTaken)
				f.create(mapping.Draft{Key: key("u2"), StaffNumber: "1001", LoginUser: "one"})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFailing(t)
			f.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "one"})
			if tc.before != nil {
				tc.before(t, f)
			}
			f.keep()
			tc.lost(t, f)
			f.failOver()
			if _, err := f.Get(t.Context(), key("u1")); !errors.Is(err, store.ErrOutdated) {
				t.Fatalf("an older row is no error: %v", err)
			}
			asked := f.kingdee.questions()
			f.wantCode("u1", tc.code)
			if f.kingdee.questions() == asked && tc.code != identity.CodeSuspended {
				t.Error("Kingdee was not asked anew")
			}
			if tc.after != nil {
				tc.after(t, f)
			}
		})
	}
}

// TestRowsPutBackUnwitnessed: where the log does not tell what the row was, it
// stays an error, for the person and in a pass over all (T21).
func TestRowsPutBackUnwitnessed(t *testing.T) {
	f := newFailing(t)
	f.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "one"})
	f.create(mapping.Draft{Key: key("u2"), StaffNumber: "1002", LoginUser: "two"})
	f.keep()
	f.wantCode("u1", "")
	f.wantCode("u2", "")
	f.failOver()
	f.witness.mute = true
	f.wantCode("u1", identity.CodeStoreDown)
	if n, err := f.Mend(t.Context()); n != 0 || !errors.Is(err, store.ErrOutdated) {
		t.Errorf("%d mended, %v", n, err)
	}
	f.witness.mute = false
	if n, err := f.Mend(t.Context()); n != 2 || err != nil {
		t.Errorf("%d mended, %v", n, err)
	}
	f.wantCode("u1", "")
	f.wantCode("u2", "")
}

// TestRecordedAt: which of the records tells what a row was.
func TestRecordedAt(t *testing.T) {
	r := newRig(t)
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "one"})
	_, err := r.Suspend(t.Context(), admin, key("u1"), "left")
	must(t, err)
	all := r.records(audit.Query{})
	if then, told := mapping.RecordedAt(all, key("u1"), 2); !told || then.Status != mapping.StatusSuspended {
		t.Errorf("%+v %t", then, told)
	}
	if then, told := mapping.RecordedAt(all, key("u1"), 1); !told || then.Status != mapping.StatusActive || then.LoginUser != "one" {
		t.Errorf("%+v %t", then, told)
	}
	if _, told := mapping.RecordedAt(all, key("u1"), 3); told {
		t.Error("a version that never was")
	}
	if _, told := mapping.RecordedAt(all, key("u2"), 1); told {
		t.Error("somebody else's")
	}
	e := r.create(mapping.Draft{Key: key("u3"), LoginUser: "three"})
	r.store.around(func(int, func() error) error { return errDied })
	login := "other"
	if _, err := r.Change(t.Context(), admin, e.Key(), mapping.Edit{Version: 1, LoginUser: &login}); err == nil {
		t.Fatal("it was written")
	}
	r.store.around(nil)
	if _, told := mapping.RecordedAt(r.records(audit.Query{}), e.Key(), 2); told {
		t.Error("a change that was announced and did not happen")
	}
}
