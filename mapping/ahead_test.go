package mapping_test

import (
	"fmt"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/mapping"
)

// signedIn is a sign-in at a moment, as the gateway tells it to Expect and later
// to Resolve.
func signedIn(userid string, at time.Time) identity.Assertion {
	a := proven(userid, "union-"+userid)
	a.At = at
	return a
}

// reads counts what a resolve of who asks of the store.
func (r *rig) reads(who identity.Assertion, want identity.Code) int {
	r.Helper()
	before := r.store.asked()
	if _, err := r.Resolve(r.Context(), who, live); identity.CodeOf(err) != want {
		r.Errorf("code %q, %v; want %q", identity.CodeOf(err), err, want)
	}
	return r.store.asked() - before
}

// TestExpect proves what a row that was read ahead is good for: the first
// Resolve of the sign-in it was read for, within a second, and no longer than
// nothing was written here; T41 in all other cases.
func TestExpect(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("1001", user("1", "zhangsan"))
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "zhangsan"})
	r.wantCode("u1", "") // bound, and Kingdee's word known
	other, err := mapping.New(r.cfg)
	must(t, err)
	now := r.clock.Now()
	who := signedIn("u1", now)
	another := signedIn("u1", now.Add(-time.Minute))
	elsewhere := who
	elsewhere.Door = identity.DoorBrowser
	set := func(table *mapping.Table, suspended bool) {
		t.Helper()
		var err error
		if suspended {
			_, err = table.Suspend(t.Context(), admin, key("u1"), "left")
		} else {
			_, err = table.Reinstate(t.Context(), admin, key("u1"), r.get("u1").Version)
		}
		must(t, err)
	}
	for _, c := range []struct {
		name  string
		then  func()
		who   identity.Assertion
		reads bool
		want  identity.Code
	}{
		{"at once", func() {}, who, false, ""},
		{"a second time", func() { r.reads(who, "") }, who, true, ""},
		{"an older sign-in of the same person", func() {}, another, true, ""},
		{"by another door", func() {}, elsewhere, true, ""},
		{"a sign-in without a time", func() {}, proven("u1", "union-u1"), true, ""},
		{"a second later", func() { r.clock.Advance(time.Second) }, who, true, ""},
		{"the clock set back", func() { r.clock.Advance(-time.Minute) }, who, true, ""},
		{"suspended here", func() { set(r.Table, true) }, who, true, identity.CodeSuspended},
		{"suspended elsewhere, a second later", func() { set(other, true); r.clock.Advance(time.Second) }, who, true, identity.CodeSuspended},
		{"suspended elsewhere, an older session", func() { set(other, true) }, another, true, identity.CodeSuspended},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.Expect(t.Context(), who, live)
			c.then()
			if n := r.reads(c.who, c.want); (n > 0) != c.reads {
				t.Errorf("%d reads", n)
			}
			if c.want != "" {
				set(r.Table, false)
			}
			r.reads(who, "") // nothing is left over
		})
	}
	r.Expect(t.Context(), who, live)
	if chain, err := r.Explain(t.Context(), who, live); err != nil || chain.Entry == nil {
		t.Fatal(err)
	}
	if n := r.reads(who, ""); n != 0 {
		t.Errorf("who only looked took what was read for the sign-in: %d reads", n)
	}
}

// TestExpectInVain proves that what cannot be read ahead is left to Resolve: a
// store that is down, a row that is not there, a key that none can have, and
// more people than are kept.
func TestExpectInVain(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("1001", user("1", "zhangsan"))
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "zhangsan"})
	r.wantCode("u1", "")
	now := r.clock.Now()
	who := signedIn("u1", now)
	r.store.fail(errDied)
	r.Expect(t.Context(), who, live)
	r.store.fail(nil)
	if n := r.reads(who, ""); n == 0 {
		t.Error("an answer that was not given was used")
	}
	stranger := signedIn("u9", now)
	r.Expect(t.Context(), stranger, live)
	if n := r.reads(stranger, identity.CodeNotMapped); n == 0 {
		t.Error("absence was remembered")
	}
	r.Expect(t.Context(), signedIn("", now), live)
	for i := range 5000 {
		r.Expect(t.Context(), signedIn(fmt.Sprint("crowd", i), now), live) // absent: nothing kept
	}
	r.Expect(t.Context(), who, live)
	if n := r.reads(who, ""); n != 0 {
		t.Errorf("%d reads: those who are not there took the room", n)
	}
}
