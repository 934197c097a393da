package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
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

// TestNotesOutOfDate proves that a replica which remembers a sign-in that
// another one changed does as if it had read it: a fragment added there is kept
// (F7), a use there counts (T2).
func TestNotesOutOfDate(t *testing.T) {
	t.Run("fragment added elsewhere", func(t *testing.T) {
		p := newTwins(t)
		b := p.browser(t)
		state := url.Values{"state": {b.form(b.open("/launch/kingdee"), "").Get("state")}}
		oauth := func(fragment string) {
			t.Helper()
			asked := url.Values{"state": state["state"], "fragment": {fragment}}
			if a := b.get(oauthPath + "?" + asked.Encode()); a.StatusCode != 303 || !strings.HasPrefix(a.location(), p.dingtalk.login) {
				t.Fatalf("%d %q", a.StatusCode, a.location())
			}
		}
		p.turn.Store(p.there)
		oauth("there")
		p.turn.Store(p.here)
		oauth("here") // over a note that is out of date
		p.turn.Store(p.there)
		oauth("last")
		p.turn.Store(p.here)
		p.dingtalk.give("code-1", corpOne, "zhang1")
		if a := b.get(callbackPath + "?code=code-1&" + state.Encode()); a.StatusCode != 303 || a.location() != "/launch/kingdee#last" {
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

// TestNotesAreBounded: by number, by size, and to what a commit told of.
func TestNotesAreBounded(t *testing.T) {
	n := newNotes()
	for i := range 3 * maxNotes {
		n.put(signIn{id: fmt.Sprint(i), version: 1})
	}
	if got := len(n.young) + len(n.old); got > 2*maxNotes {
		t.Errorf("%d notes", got)
	}
	if _, ok := n.get(fmt.Sprint(3*maxNotes - 1)); !ok {
		t.Error("the newest is gone")
	}
	if _, ok := n.get("0"); ok {
		t.Error("the oldest is there")
	}
	n.drop(fmt.Sprint(3*maxNotes - 1))
	n.put(signIn{id: "long", version: 1, Wanted: wanted{Path: "/", Query: strings.Repeat("q", maxNoted)}})
	n.put(signIn{id: "untold"})
	for _, id := range []string{fmt.Sprint(3*maxNotes - 1), "long", "untold"} {
		if _, ok := n.get(id); ok {
			t.Errorf("%s is noted", id)
		}
	}
}
