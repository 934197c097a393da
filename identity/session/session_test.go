package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

func TestSignInUseAndSignOut(t *testing.T) { // F9
	h := newHouse(t)
	b := &browser{t: t}
	b.expect(h, "")
	started := b.signIn(h, "manager01", "")
	status, p := b.do("GET", h.url+"/me")
	if status != http.StatusOK || p != started {
		t.Errorf("%d, %+v; want what Start said, %+v", status, p, started)
	}
	if want := at("manager01", h.clock.Now()); p.Assertion != want || !p.ExpiresAt.Equal(want.At.Add(8*time.Hour)) || !isHandle(p.SessionID) {
		t.Errorf("principal %+v", p)
	}
	old := b.cookie
	if status, p := b.do("POST", h.url+"/out"); status != http.StatusOK || p.SessionID != started.SessionID {
		t.Errorf("sign-out: %d, %+v", status, p)
	}
	if b.cookie != "" {
		t.Error("the cookie was not dropped")
	}
	b.cookie = old
	b.expect(h, "")
	if status, _ := b.do("POST", h.url+"/out"); status != http.StatusUnauthorized {
		t.Errorf("second sign-out: %d", status)
	}
}

func TestFixation(t *testing.T) { // T38
	h := newHouse(t)
	attacker, victim := &browser{t: t}, &browser{t: t}
	attacker.signIn(h, "attacker", "")
	planted := attacker.cookie
	victim.cookie = planted
	victim.signIn(h, "victim", "")
	if victim.cookie == planted {
		t.Error("the value did not change at sign-in")
	}
	attacker.expect(h, "") // ended in the same commit
	victim.expect(h, "victim")

	unknown := CookieName + "=" + strings.Repeat("A", 43)
	victim = &browser{t: t, cookie: unknown}
	victim.signIn(h, "victim", "")
	(&browser{t: t, cookie: unknown}).expect(h, "")
	before := victim.cookie
	victim.signIn(h, "victim", "") // the same person again, for example with more rights
	if victim.cookie == before {
		t.Error("the value did not change at the second sign-in")
	}
	(&browser{t: t, cookie: before}).expect(h, "")
}

func TestSameTokenIsSameSession(t *testing.T) { // F4: repeated posts of one code
	h := newHouse(t)
	token := tokenCode.EncodeToString([]byte(strings.Repeat("t", 32)))
	first, second := &browser{t: t}, &browser{t: t}
	p := first.signIn(h, "u1", token)
	h.clock.Advance(time.Minute)
	again := first.signIn(h, "u1", token)    // with its cookie: not its own earlier session
	without := second.signIn(h, "u1", token) // before the first answer came back
	if again != p || without != p || first.cookie != second.cookie {
		t.Errorf("%+v, %+v, %+v", p, again, without)
	}
	if list, err := h.List(t.Context(), p.Subject); err != nil || len(list) != 1 {
		t.Errorf("%d sessions, %v", len(list), err)
	}
	stranger := &browser{t: t}
	if status, _ := stranger.do("POST", h.url+"/in?user=u2&token="+token); status != http.StatusConflict || stranger.cookie != "" {
		t.Errorf("another subject: %d, cookie %q", status, stranger.cookie)
	}
	first.do("POST", h.url+"/out")
	if status, _ := first.do("POST", h.url+"/in?user=u1&token="+token); status != http.StatusUnauthorized || first.cookie != "" {
		t.Errorf("an ended session was started again: %d, %q", status, first.cookie)
	}
}

func TestSameTokenEndsTheBrowsersOtherSession(t *testing.T) { // T38
	h := newHouse(t)
	token := tokenCode.EncodeToString([]byte(strings.Repeat("t", 32)))
	(&browser{t: t}).signIn(h, "u1", token)
	b := &browser{t: t}
	b.signIn(h, "u9", "")
	old := b.cookie
	b.signIn(h, "u1", token)
	b.expect(h, "u1")
	(&browser{t: t, cookie: old}).expect(h, "")
}

func TestRacingStartsAgree(t *testing.T) { // F4, T12
	h := newHouse(t)
	token := identity.NewSecret(tokenCode.EncodeToString([]byte(strings.Repeat("r", 32))))
	earlier := &browser{t: t}
	earlier.signIn(h, "u0", "")
	var group sync.WaitGroup
	got := make([]identity.Principal, 12)
	for i := range got {
		group.Go(func() {
			r := httptest.NewRequest("POST", "/", nil)
			r.Header.Set("Cookie", earlier.cookie)
			ctx := context.WithValue(t.Context(), visitKey{}, r)
			p, err := h.Start(ctx, httptest.NewRecorder(), as("u1"), token)
			if err != nil {
				t.Error(err)
			}
			got[i] = p
		})
	}
	group.Wait()
	for _, p := range got {
		if p != got[0] {
			t.Errorf("%+v and %+v", p, got[0])
		}
	}
	earlier.expect(h, "")
}

func TestTwoTabsEachFinish(t *testing.T) { // T12
	h := newHouse(t)
	one, two := &browser{t: t}, &browser{t: t}
	one.signIn(h, "u1", "")
	two.signIn(h, "u2", "")
	one.expect(h, "u1")
	two.expect(h, "u2")
}

func TestStartRefuses(t *testing.T) {
	h := newHouse(t)
	for what, test := range map[string]struct {
		a     identity.Assertion
		token string
	}{
		"nobody":       {identity.Assertion{}, ""},
		"no corp":      {identity.Assertion{Subject: identity.Subject{UserID: "u"}}, ""},
		"short token":  {as("u1"), "abc"},
		"padded token": {as("u1"), strings.Repeat("A", 43) + "="},
		"odd token":    {as("u1"), strings.Repeat("A", 42) + "\n"},
	} {
		w := httptest.NewRecorder()
		_, err := h.Start(t.Context(), w, test.a, identity.NewSecret(test.token))
		if err == nil || len(w.Result().Cookies()) != 0 {
			t.Errorf("%s: %v, cookies %v", what, err, w.Result().Cookies())
		}
		if err != nil && test.token != "" && strings.Contains(err.Error(), test.token) {
			t.Errorf("%s: the error shows the token: %v", what, err)
		}
	}
	if h.store.commits.Load() != 0 {
		t.Error("something was written")
	}
}

func TestStartWithoutRandomnessFails(t *testing.T) {
	h := newHouse(t)
	h.rand = strings.NewReader("short")
	if _, err := h.Start(t.Context(), httptest.NewRecorder(), as("u1"), identity.Secret{}); identity.KindOf(err) != identity.Internal {
		t.Errorf("got %v", err)
	}
}

func TestIdleAndAbsoluteEnd(t *testing.T) { // T44
	for _, cached := range []bool{false, true} {
		t.Run(fmt.Sprintf("cached=%v", cached), func(t *testing.T) {
			h := newHouse(t)
			if cached {
				h.run(t)
			}
			b := &browser{t: t}
			b.signIn(h, "u1", "")
			h.clock.Advance(30 * time.Second) // used within the minute that is not written down
			b.expect(h, "u1")
			h.clock.Advance(30*time.Minute - time.Second)
			b.expect(h, "u1")
			h.clock.Advance(30 * time.Minute)
			b.expect(h, "")
			b.expect(h, "") // and stays ended

			b = &browser{t: t}
			p := b.signIn(h, "u1", "")
			for h.clock.Now().Add(20 * time.Minute).Before(p.ExpiresAt) {
				h.clock.Advance(20 * time.Minute)
				status, now := b.do("GET", h.url+"/me")
				if status != http.StatusOK || !now.ExpiresAt.Equal(p.ExpiresAt) {
					t.Fatalf("%d, ends %v; use must not move the absolute end %v", status, now.ExpiresAt, p.ExpiresAt)
				}
			}
			h.clock.Advance(p.ExpiresAt.Sub(h.clock.Now()))
			b.expect(h, "")
		})
	}
}

// T44: a session that goes on from an earlier proof, as a handover's does, has
// the absolute end of that proof, and none begins past it.
func TestAbsoluteEndIsThatOfTheProof(t *testing.T) {
	h := newHouse(t)
	a := as("u1")
	a.At = h.clock.Now()
	h.clock.Advance(7*time.Hour + 59*time.Minute)
	p, err := h.Start(t.Context(), httptest.NewRecorder(), a, identity.Secret{})
	if err != nil || !p.ExpiresAt.Equal(a.At.Add(8*time.Hour)) {
		t.Errorf("ends %v, %v; the proof is of %v", p.ExpiresAt, err, a.At)
	}
	h.clock.Advance(time.Minute)
	if _, err := h.Start(t.Context(), httptest.NewRecorder(), a, identity.Secret{}); identity.KindOf(err) != identity.Unauthenticated {
		t.Errorf("past its end: %v", err)
	}
	a.At = h.clock.Now().Add(time.Hour) // a clock that is ahead gives nobody more
	if p, err := h.Start(t.Context(), httptest.NewRecorder(), a, identity.Secret{}); err != nil || p.ExpiresAt.After(h.clock.Now().Add(8*time.Hour)) {
		t.Errorf("ends %v, %v", p.ExpiresAt, err)
	}
}

func TestIdleSessionIsNotStartedAgain(t *testing.T) { // T44
	h := newHouse(t)
	token := tokenCode.EncodeToString([]byte(strings.Repeat("i", 32)))
	b := &browser{t: t}
	b.signIn(h, "u1", token)
	h.clock.Advance(31 * time.Minute)
	if status, _ := b.do("POST", h.url+"/in?user=u1&token="+token); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
}

func TestShortenedConfigurationHoldsForOldSessions(t *testing.T) {
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	shorter := replica(t, h.store.Store, h.clock)
	shorter.absolute = 10 * time.Minute
	h.clock.Advance(11 * time.Minute)
	b.expect(h, "u1")
	b.expect(shorter, "")
}

func TestUseIsWrittenAtMostOnceAMinute(t *testing.T) { // F9: spare the store
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	before := h.store.commits.Load()
	for range 120 { // ten minutes of requests every five seconds
		h.clock.Advance(5 * time.Second)
		b.expect(h, "u1")
	}
	if n := h.store.commits.Load() - before; n != 10 {
		t.Errorf("%d commits in ten minutes", n)
	}
}

func TestStoreDownIsAnErrorNotANewSession(t *testing.T) { // design: could not ask is never not there
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	cookie := b.cookie
	h.store.down.Store(true)
	if status, _ := b.me(h); status != http.StatusServiceUnavailable {
		t.Errorf("page: %d", status)
	}
	if status, _ := b.do("POST", h.url+"/in?user=u2"); status != http.StatusServiceUnavailable || b.cookie != cookie {
		t.Errorf("sign-in: %d, cookie changed %v", status, b.cookie != cookie)
	}
	if status, _ := b.do("POST", h.url+"/out"); status != http.StatusServiceUnavailable || b.cookie != cookie {
		t.Errorf("sign-out: %d, cookie changed %v", status, b.cookie != cookie)
	}
	who := as("u1").Subject
	_, listErr := h.List(t.Context(), who)
	_, endErr := h.EndAll(t.Context(), who)
	for what, err := range map[string]error{"List": listErr, "EndAll": endErr, "EndOne": h.EndOne(t.Context(), who, handleOf(b.token()))} {
		if identity.KindOf(err) != identity.Unavailable || identity.CodeOf(err) != identity.CodeStoreDown || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.store.down.Store(false)
	b.expect(h, "u1")
}

func TestTamperedRecordIsNobody(t *testing.T) {
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	if err := h.store.Commit(t.Context(), store.Put("session/"+hashOf(b.token()), []byte("{"))); err != nil {
		t.Fatal(err)
	}
	if status, user := b.me(h); status != http.StatusServiceUnavailable || user != "" {
		t.Errorf("%d, %q", status, user)
	}
}

func TestNewRefusesOddConfiguration(t *testing.T) {
	s := newHouse(t).store
	for what, c := range map[string]Config{
		"no store":           {},
		"negative idle":      {Store: s, Idle: -time.Second},
		"idle over absolute": {Store: s, Idle: 2 * time.Hour, Absolute: time.Hour},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
