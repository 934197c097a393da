package session

import (
	"testing"
	"time"

	"kdgate/identity"
)

// A handle finds its own person's live session, counts as use, and finds nobody
// once the session is over, wherever and however it ended (T44, T45).
func TestByHandle(t *testing.T) {
	h := newHouse(t)
	b, other := &browser{t: t}, &browser{t: t}
	b.signIn(h, "u1", "")
	other.signIn(h, "u2", "")
	handle := handleOf(b.token())
	who, err := h.ByHandle(t.Context(), as("u1").Subject, handle)
	if err != nil || who.Subject != as("u1").Subject || who.SessionID != handle || who.ExpiresAt.IsZero() {
		t.Fatalf("%+v %v", who, err)
	}
	for name, ask := range map[string]struct {
		subject identity.Subject
		handle  string
	}{
		"another's":       {as("u2").Subject, handle},
		"theirs":          {as("u1").Subject, handleOf(other.token())},
		"unknown":         {as("u1").Subject, handleOf("x")},
		"malformed":       {as("u1").Subject, "../" + handle},
		"empty":           {as("u1").Subject, ""},
		"nobody's":        {identity.Subject{}, handle},
		"in capitals":     {as("u1").Subject, "ABCDEF0123456789ABCD"},
		"a token's hash?": {as("u1").Subject, hashOf(b.token())},
	} {
		if _, err := h.ByHandle(t.Context(), ask.subject, ask.handle); identity.KindOf(err) != identity.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 3 { // used from elsewhere only, it does not idle away
		h.clock.Advance(20 * time.Minute)
		if _, err := h.ByHandle(t.Context(), as("u1").Subject, handle); err != nil {
			t.Fatalf("in use: %v", err)
		}
	}
	b.expect(h, "u1")
	h.store.down.Store(true)
	if _, err := h.ByHandle(t.Context(), as("u1").Subject, handle); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("a store that cannot be asked: %v", err)
	}
	h.store.down.Store(false)
	h.clock.Advance(31 * time.Minute)
	if _, err := h.ByHandle(t.Context(), as("u1").Subject, handle); identity.KindOf(err) != identity.Unauthenticated {
		t.Errorf("idle: %v", err)
	}
	b.signIn(h, "u1", "")
	handle = handleOf(b.token())
	if err := h.EndOne(t.Context(), as("u1").Subject, handle); err != nil {
		t.Fatal(err)
	}
	if _, err := h.ByHandle(t.Context(), as("u1").Subject, handle); identity.KindOf(err) != identity.Unauthenticated {
		t.Errorf("ended: %v", err)
	}
}
