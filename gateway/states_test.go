package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

// twins are two replicas behind one address; turn says who answers next.
type twins struct {
	*house
	here, there *Gateway
	turn        atomic.Pointer[Gateway]
}

func newTwins(t *testing.T) *twins {
	t.Helper()
	h := buildHouse(t)
	there, err := New(h.gateway.cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &twins{house: h, here: h.gateway, there: there}
	p.turn.Store(p.here)
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.turn.Load().ServeHTTP(w, r) })
	h.StartTLS()
	t.Cleanup(h.Close)
	return p
}

// TestSignInHops proves that a sign-in goes on at a replica that never heard of
// it: its fragment is kept over DingTalk's page (F7), and its use counts
// everywhere (T2, R53).
func TestSignInHops(t *testing.T) {
	t.Run("a fragment over DingTalk's page", func(t *testing.T) {
		p := newTwins(t)
		b := p.browser(t)
		form := b.form(b.open("/launch/kingdee"), "auth-2")
		p.turn.Store(p.there)
		asked := url.Values{"state": form["state"], "fragment": {"over there"}}
		a := b.get(oauthPath + "?" + asked.Encode())
		there, err := url.Parse(a.location())
		if err != nil || a.StatusCode != 303 || !strings.HasPrefix(a.location(), p.dingtalk.login) {
			t.Fatalf("%d %q", a.StatusCode, a.location())
		}
		p.turn.Store(p.here)
		p.dingtalk.give("code-1", corpOne, "zhang1")
		back := url.Values{"code": {"code-1"}, "state": there.Query()["state"]}
		if a := b.get(callbackPath + "?" + back.Encode()); a.StatusCode != 303 || a.location() != "/launch/kingdee#over%20there" {
			t.Errorf("%d %q", a.StatusCode, a.location())
		}
		p.dingtalk.give("auth-2", corpOne, "zhang1")
		if a := b.post(form); a.StatusCode == 303 || len(p.dingtalk.called()) != 1 {
			t.Errorf("the state without the fragment was good once more: %d, %d exchanges", a.StatusCode, len(p.dingtalk.called()))
		}
	})
	t.Run("a fragment while the secret is changed", func(t *testing.T) { // R57
		p := newTwins(t)
		b := p.browser(t)
		form := b.form(b.open("/launch/kingdee"), "auth-2")
		changed := p.here.cfg
		changed.Secret, changed.OldSecrets = identity.NewSecret(strings.Repeat("n", 32)), []identity.Secret{p.here.cfg.Secret}
		after, err := New(changed)
		if err != nil {
			t.Fatal(err)
		}
		p.turn.Store(after)
		asked := url.Values{"state": form["state"], "fragment": {"over there"}}
		there, err := url.Parse(b.get(oauthPath + "?" + asked.Encode()).location())
		if err != nil {
			t.Fatal(err)
		}
		p.dingtalk.give("code-1", corpOne, "zhang1")
		back := url.Values{"code": {"code-1"}, "state": there.Query()["state"]}
		if a := b.get(callbackPath + "?" + back.Encode()); a.StatusCode != 303 || a.location() != "/launch/kingdee#over%20there" {
			t.Errorf("%d %q", a.StatusCode, a.location())
		}
	})
	t.Run("used elsewhere", func(t *testing.T) {
		p := newTwins(t)
		b := p.browser(t)
		form := b.form(b.open("/launch/kingdee"), "auth-1")
		p.dingtalk.give("auth-1", corpOne, "zhang1")
		p.dingtalk.give("auth-2", corpOne, "wang2")
		p.turn.Store(p.there)
		if a := b.post(form); a.StatusCode != 303 {
			t.Fatalf("%d", a.StatusCode)
		}
		p.turn.Store(p.here)
		if a := b.post(form); a.StatusCode != 303 || a.location() != "/launch/kingdee" { // F4
			t.Errorf("the same code again: %d %q", a.StatusCode, a.location())
		}
		form.Set("code", "auth-2")
		if a := b.post(form); a.StatusCode == 303 && a.location() == "/launch/kingdee" || len(p.dingtalk.called()) != 1 || p.sessions.count() != 1 {
			t.Errorf("another code in the same state: %d %q, %d exchanges", a.StatusCode, a.location(), len(p.dingtalk.called()))
		}
	})
}

// TestStatesOfOthers: what we did not seal, what was sealed for something else,
// and every state with one bit changed is no state.
func TestStatesOfOthers(t *testing.T) {
	k := keys{secret: identity.NewSecret(strings.Repeat("k", 32))}
	states, err := newStates(newMemory(time.Now), k, time.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newStates(newMemory(time.Now), keys{secret: identity.NewSecret(strings.Repeat("o", 32))}, time.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	browser := identity.NewSecret(strings.Repeat("A", 43))
	good, err := states.create(browser, signIn{Corp: corpOne, Wanted: wanted{Path: "/launch/kingdee", Query: "secret=bill"}})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := states.load(t.Context(), good.state, browser); err != nil || found != good {
		t.Fatalf("%+v, %v, made %+v", found, err, good)
	}
	box, err := base64.RawURLEncoding.DecodeString(good.state)
	if err != nil || strings.Contains(string(box), "bill") || strings.Contains(string(box), corpOne) {
		t.Errorf("%v: the state tells what it holds", err)
	}
	for i := range box {
		box[i] ^= 1
		if _, err := states.open(base64.RawURLEncoding.EncodeToString(box)); identity.CodeOf(err) != identity.CodeSignInExpired {
			t.Errorf("byte %d changed: %v", i, err)
		}
		box[i] ^= 1
	}
	foreign, err := other.create(browser, signIn{Corp: corpOne})
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"", "A", good.state + "A", good.state + "=", good.state[1:], foreign.state, strings.Repeat("A", maxState+1), strings.Repeat("A", 43)} {
		if _, err := states.load(t.Context(), state, browser); identity.CodeOf(err) != identity.CodeSignInExpired {
			t.Errorf("%.60q: %v", state, err)
		}
	}
	if _, err := states.load(t.Context(), good.state, identity.NewSecret(strings.Repeat("B", 42)+"A")); err != errForeign { //nolint:errorlint // the very one
		t.Errorf("another browser: %v", err)
	}
}

// TestStatesEnd: an open sign-in ends after its life, a used one is known as
// long again to repeats, and the store keeps no use for longer than that needs (T2).
func TestStatesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(time.Now)
		k := keys{secret: identity.NewSecret(strings.Repeat("k", 32))}
		states, err := newStates(m, k, time.Now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &claims{store: m, now: time.Now, rand: rand.Reader}
		browser := identity.NewSecret(strings.Repeat("A", 43))
		left, _ := states.create(browser, signIn{Corp: corpOne})
		used, _ := states.create(browser, signIn{Corp: corpOne})
		<-time.After(stateLife - time.Second)
		if _, won, err := c.take(t.Context(), "code/x", used, states); !won || err != nil {
			t.Fatalf("%t, %v", won, err)
		}
		if _, err := states.load(t.Context(), left.state, browser); err != nil {
			t.Errorf("a second before its end: %v", err)
		}
		<-time.After(2 * time.Second)
		if _, err := states.loadPage(t.Context(), left.state, browser); identity.CodeOf(err) != identity.CodeSignInExpired {
			t.Errorf("a second after its end: %v", err)
		}
		<-time.After(stateLife - 2*time.Second)
		fresh, err := newStates(m, k, time.Now, rand.Reader) // of another replica
		if err != nil {
			t.Fatal(err)
		}
		if found, err := fresh.load(t.Context(), used.state, browser); err != nil || found.Claim != "code/x" {
			t.Errorf("a repeat: %+v, %v", found, err)
		}
		if _, won, err := c.take(t.Context(), "code/y", used, fresh); won || err != nil {
			t.Errorf("used twice: %t, %v", won, err)
		}
		<-time.After(2 * time.Second)
		if _, err := fresh.load(t.Context(), used.state, browser); identity.CodeOf(err) != identity.CodeSignInExpired {
			t.Errorf("a repeat too late: %v", err)
		}
	})
}

// TestSpentIsBounded: what is remembered of used sign-ins is bounded by number.
func TestSpentIsBounded(t *testing.T) {
	s := newSpent()
	for i := range 3 * maxSpent {
		s.add(fmt.Sprint(i))
	}
	if got := len(s.young) + len(s.old); got > 2*maxSpent || !s.has(fmt.Sprint(3*maxSpent-1)) || s.has("0") {
		t.Errorf("%d remembered", got)
	}
}

// TestPulse: a store that is away is told of before anybody is sent to sign in,
// also one that was never there and one that takes its time to refuse; one that
// is known to be slow is not waited for; and a good answer stands for a moment,
// unless somebody could not ask since.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(time.Now)
		m.down.Store(true)
		p := &pulse{store: slowStore{m, pulseLimit / 2}, now: time.Now}
		if err := p.feel(t.Context()); identity.CodeOf(err) != identity.CodeStoreDown {
			t.Errorf("never there: %v", err)
		}
		m.down.Store(false)
		p.store = m
		if err := p.feel(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.down.Store(true)
		if err := p.feel(t.Context()); err != nil {
			t.Errorf("within the moment: %v", err)
		}
		p.miss()
		if err := p.feel(t.Context()); identity.CodeOf(err) != identity.CodeStoreDown {
			t.Errorf("after somebody's miss: %v", err)
		}
		<-time.After(pulseEvery)
		if err := p.feel(t.Context()); identity.CodeOf(err) != identity.CodeStoreDown {
			t.Errorf("away: %v", err)
		}
		m.down.Store(false)
		if err := p.feel(t.Context()); err != nil {
			t.Errorf("back: %v", err)
		}
		<-time.After(pulseEvery)
		began := time.Now()
		p.store = slowStore{m, pulseLimit / 2}
		if err := p.feel(t.Context()); err != nil || time.Since(began) != pulseLimit/2 {
			t.Errorf("slow for the first time: %v after %v", err, time.Since(began))
		}
		<-time.After(pulseEvery)
		began = time.Now()
		if err := p.feel(t.Context()); err != nil || time.Since(began) != pulseSlow {
			t.Errorf("slow: %v after %v", err, time.Since(began))
		}
		synctest.Wait()
		<-time.After(pulseLimit) // the question ends by itself
	})
}

// slowStore answers late.
type slowStore struct {
	*memory
	late time.Duration
}

func (s slowStore) Get(ctx context.Context, key string) (store.Entry, error) {
	<-time.After(s.late)
	return s.memory.Get(ctx, key)
}

// FuzzState: no text from outside opens, and none breaks anything.
func FuzzState(f *testing.F) {
	states, err := newStates(newMemory(time.Now), keys{secret: identity.NewSecret(strings.Repeat("k", 32))}, time.Now, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	good, err := states.create(identity.NewSecret(strings.Repeat("A", 43)), signIn{Corp: corpOne})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.state[:len(good.state)-1])
	f.Add("")
	f.Add(strings.Repeat("A", 60))
	f.Fuzz(func(t *testing.T, state string) {
		if _, err := states.open(state); err == nil && state != good.state {
			t.Errorf("%q opens", state)
		}
	})
}
