package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/mapping"
	"kdgate/store"
)

// TestStaffNumberSources proves F21: direct, by attribute, or not at all; and
// DingTalk is asked only when an attribute is needed.
func TestStaffNumberSources(t *testing.T) {
	profile := identity.Profile{
		Subject: identity.Subject{Corp: corp, UserID: "u1"}, JobNumber: "J1", Extension: map[string]string{"员工编号": "E1"},
	}
	for _, c := range []struct {
		source, want string
		code         identity.Code
		asked        int
	}{
		{"", "u1", "", 0},
		{"userid", "u1", "", 0},
		{"job_number", "J1", "", 1},
		{"extension:员工编号", "E1", "", 1},
		{"extension:other", "", identity.CodeNotMapped, 1},
		{"none", "", identity.CodeNotMapped, 0},
	} {
		t.Run(c.source, func(t *testing.T) {
			r := newRig(t, func(cfg *mapping.Config) { cfg.StaffNumberFrom = c.source })
			r.people.byID = map[string]identity.Profile{"u1": profile}
			for i, number := range []string{"u1", "J1", "E1"} {
				r.kingdee.add(number, user(fmt.Sprint(i), "login-"+number))
			}
			if got := r.wantCode("u1", c.code); got.StaffNumber != c.want || r.people.asked != c.asked {
				t.Errorf("got %+v after %d profiles, want %q after %d", got, r.people.asked, c.want, c.asked)
			}
		})
	}
	for _, bad := range []string{"mobile", "name", "email", "extension", "extension:", "userid:x", "Userid"} {
		if _, err := mapping.New(mapping.Config{Store: &spyStore{}, Recorder: &audit.Log{}, StaffNumberFrom: bad}); err == nil {
			t.Errorf("%q was taken (T22)", bad)
		}
	}
}

// TestHostileDerivedNumber proves T27: what is no staff number is not asked for.
func TestHostileDerivedNumber(t *testing.T) {
	r := newRig(t, func(c *mapping.Config) { c.StaffNumberFrom = "job_number" })
	for _, number := range []string{"x' or '1'='1", "", " 1001", "1001 ", "工号1", "1001\x00"} {
		r.people.byID = map[string]identity.Profile{"u1": {Subject: identity.Subject{Corp: corp, UserID: "u1"}, JobNumber: number}}
		r.wantCode("u1", identity.CodeNotMapped)
	}
	r.wantCode("x' or '1'='1", identity.CodeDingTalkDown) // the profile of somebody else came back
	if n := r.kingdee.questions(); n != 0 {
		t.Errorf("Kingdee was asked %d times", n)
	}
	r.people.fault = errors.New("timeout")
	r.wantCode("u1", identity.CodeDingTalkDown)
}

// patientStore tells how much time each Commit was given.
type patientStore struct {
	store.Store
	mu   sync.Mutex
	left []time.Duration
}

func (s *patientStore) Commit(ctx context.Context, ops ...store.Op) error {
	if end, bounded := ctx.Deadline(); bounded {
		s.mu.Lock()
		s.left = append(s.left, time.Until(end))
		s.mu.Unlock()
	}
	return s.Store.Commit(ctx, ops...)
}

// TestWritingHasItsOwnTime: an answer that came late, after a queue at Kingdee,
// is still written down; both for a row that is there and for a new one.
func TestWritingHasItsOwnTime(t *testing.T) {
	patient := &patientStore{}
	r := newRig(t, func(cfg *mapping.Config) {
		patient.Store, cfg.Store = cfg.Store, patient
		cfg.VerifyTimeout = time.Second
	})
	r.kingdee.add("1001", user("1", "zhangsan"))
	r.kingdee.add("derived", user("2", "lisi"))
	r.create(mapping.Draft{Key: key("u1"), UnionID: "union-u1", StaffNumber: "1001", LoginUser: "zhangsan"})
	patient.left = nil
	r.wantCode("u1", "")
	r.wantCode("derived", "")
	if len(patient.left) < 2 {
		t.Fatalf("only %d bounded writes", len(patient.left))
	}
	for _, left := range patient.left {
		if left <= time.Second {
			t.Errorf("a write had %v: what was left of the asking", left)
		}
	}
}

// TestSlowKingdee proves R18: a Kingdee that answers every question, but takes its
// time, is neither down nor asked again and again. Whoever waits is told to come
// again, and finds the answer then, a good one and a bad one; a bad one once, so
// that a repaired account works at once.
func TestSlowKingdee(t *testing.T) {
	for name, c := range map[string]struct {
		user kingdee.User
		row  bool
		want identity.Code
	}{
		"row":              {user("1", "zhangsan"), true, ""},
		"derived":          {user("1", "zhangsan"), false, ""},
		"forbidden":        {kingdee.User{ID: "1", Name: "zhangsan", Forbidden: true}, true, identity.CodeUserForbidden},
		"derived, refused": {kingdee.User{ID: "1", Name: "zhangsan", Forbidden: true}, false, identity.CodeUserForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(cfg *mapping.Config) { cfg.VerifyTimeout = 100 * time.Millisecond })
			r.kingdee.add("u1", c.user)
			if c.row {
				r.create(mapping.Draft{Key: key("u1"), UnionID: "union-u1", StaffNumber: "u1", LoginUser: "zhangsan"})
			}
			gate := make(chan struct{})
			r.kingdee.set(func(d *directory) { d.gate = gate })
			for range 2 {
				r.wantCode("u1", identity.CodeKingdeeBusy)
			}
			close(gate)
			<-time.After(r.cfg.VerifyTimeout) // the page comes again once the asking is over; on a busy machine it joins
			_, err := r.resolve("u1")
			for identity.CodeOf(err) == identity.CodeKingdeeBusy {
				_, err = r.resolve("u1")
			}
			if got := identity.CodeOf(err); got != c.want || r.kingdee.questions() != 1 {
				t.Errorf("%q after %d questions: %v", got, r.kingdee.questions(), err)
			}
			r.kingdee.set(func(d *directory) { d.users["p-u1"] = []kingdee.User{user("1", "zhangsan")} })
			_, _ = r.resolve("u1") // what came late is told once at most
			r.wantCode("u1", "")
		})
	}
}

// TestOneQuestionForMany proves that concurrent sign-ins of one person ask
// Kingdee once, and T24: those of different people never share an answer.
func TestOneQuestionForMany(t *testing.T) {
	r := newRig(t)
	const people, clicks = 8, 12
	for i := range people {
		r.kingdee.add(fmt.Sprintf("u%d", i), user(fmt.Sprint(i), fmt.Sprintf("login%d", i)))
	}
	gate, begun := make(chan struct{}), make(chan struct{}, people*clicks)
	r.kingdee.set(func(d *directory) { d.gate, d.begun = gate, begun })
	var group sync.WaitGroup
	for i := range people {
		for range clicks {
			group.Go(func() {
				account, err := r.resolve(fmt.Sprintf("u%d", i))
				if err != nil || account.LoginUser != fmt.Sprintf("login%d", i) {
					t.Errorf("u%d: %+v %v", i, account, err)
				}
			})
		}
	}
	for range people {
		<-begun
	}
	close(gate)
	group.Wait()
	if n := r.kingdee.questions(); n > 2*people {
		t.Errorf("%d questions for %d people", n, people)
	}
}

// TestNoMixOfNeighbours proves T24 for concatenation: a+bc is not ab+c.
func TestNoMixOfNeighbours(t *testing.T) {
	r := newRig(t, func(c *mapping.Config) { c.Profiles = nil })
	dirs := map[string]mapping.Directory{}
	pairs := []mapping.Key{
		{DataCentre: live, Corp: "a", UserID: "bc"},
		{DataCentre: live, Corp: "ab", UserID: "c"},
		{DataCentre: live, Corp: "a", UserID: "b/c"},
		{DataCentre: live, Corp: "a", UserID: "b%2Fc"},
	}
	dirs[live] = r.kingdee
	for i, k := range pairs {
		number := fmt.Sprintf("n%d", i)
		r.kingdee.add(number, user(number, "login-"+number))
		r.create(mapping.Draft{Key: k, StaffNumber: number, LoginUser: "login-" + number})
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 200 {
				k := pairs[i%len(pairs)]
				a := identity.Assertion{Subject: k.Subject(), UnionID: "union"}
				got, err := r.Resolve(t.Context(), a, live)
				if want := fmt.Sprintf("login-n%d", i%len(pairs)); err != nil || got.LoginUser != want {
					t.Errorf("%v: %+v %v, want %s", k, got, err, want)
					return
				}
			}
		})
	}
	group.Wait()
}

// TestImpatientCallerLeavesOthersAlone: a caller who gives up takes nobody's
// answer along.
func TestImpatientCallerLeavesOthersAlone(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	gate, begun := make(chan struct{}), make(chan struct{}, 8)
	r.kingdee.set(func(d *directory) { d.gate, d.begun = gate, begun })
	ctx, giveUp := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := r.Resolve(ctx, proven("u1", "union-u1"), live)
		first <- err
	}()
	<-begun
	go func() {
		_, err := r.resolve("u1")
		second <- err
	}()
	giveUp()
	if err := <-first; identity.CodeOf(err) != identity.CodeKingdeeDown || !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up: %v", err)
	}
	close(gate)
	must(t, <-second)
}

// TestExplain proves F13's base: each link with its state, and nothing changed.
func TestExplain(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", kingdee.User{ID: "7", Name: "one", Locked: true})
	c, err := r.Explain(t.Context(), proven("u1", ""), live)
	if identity.CodeOf(err) != identity.CodeUserForbidden {
		t.Fatalf("got %v", err)
	}
	states := []mapping.State{c.Number.State, c.Staff.State, c.User.State}
	if want := []mapping.State{mapping.StateOK, mapping.StateOK, mapping.StateForbidden}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	if c.User.Code != identity.CodeUserForbidden || c.Staff.Code != "" || c.Number.Source != mapping.SourceDerived || c.User.CheckedAt.IsZero() {
		t.Errorf("chain %+v", c)
	}
	wantFacts := []mapping.Fact{{Name: "login_user", Value: "one"}, {Name: "kingdee_user_id", Value: "7"}}
	if diff := cmp.Diff(wantFacts, c.User.Facts); diff != "" {
		t.Error(diff)
	}
	r.kingdee.set(func(d *directory) { d.users["p-u1"][0].Locked = false })
	c, err = r.Explain(t.Context(), proven("u1", ""), live)
	if err != nil || c.Account.LoginUser != "one" || c.Entry != nil {
		t.Errorf("healed: %+v %v", c, err)
	}
	if rows, _, err := r.List(t.Context(), mapping.Filter{}, "", 0); err != nil || len(rows) != 0 {
		t.Errorf("looking created %v %v", rows, err)
	}
	r.wantCode("u1", "")
	if c, err = r.Explain(t.Context(), proven("u1", ""), live); err != nil || c.Staff.Source != mapping.SourceCached || c.Entry == nil {
		t.Errorf("with a row: %+v %v", c, err)
	}
	r.kingdee.set(func(d *directory) { d.fault = errors.New("reset") })
	r.clock.Advance(time.Hour)
	if c, err = r.Explain(t.Context(), proven("u1", ""), live); identity.CodeOf(err) != identity.CodeKingdeeDown || c.Staff.State != mapping.StateUnreachable {
		t.Errorf("Kingdee down: %+v %v", c, err)
	}
}

// TestStrangerIsNoFault: that DingTalk knows nobody is an answer, and not shown as
// one that could not be had (F5, F13); a DingTalk that does not answer is.
func TestStrangerIsNoFault(t *testing.T) {
	r := newRig(t, func(c *mapping.Config) { c.StaffNumberFrom = "job_number" })
	for code, want := range map[identity.Code]mapping.State{
		identity.CodeNotEmployee:  mapping.StateStranger,
		identity.CodeDingTalkDown: mapping.StateUnreachable,
	} {
		r.people.fault = identity.Fail(identity.NotFound, code, "said so")
		c, err := r.Explain(t.Context(), proven("nobody", ""), live)
		if identity.CodeOf(err) != code || c.Number.State != want || c.Number.Code != code || c.Staff.State != mapping.StateUnchecked {
			t.Errorf("%s: %+v, %v", code, c, err)
		}
	}
}
