package session

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

// at is a proof of a moment.
func at(user string, moment time.Time) identity.Assertion {
	a := as(user)
	a.At = moment
	return a
}

// begin starts a session as a handler does, and says whether one lives then.
func (h *house) begin(t *testing.T, a identity.Assertion, alongside ...store.Op) (live int, err error) {
	t.Helper()
	_, err = h.Start(t.Context(), httptest.NewRecorder(), a, identity.Secret{}, alongside...)
	list, listErr := h.List(t.Context(), a.Subject)
	if listErr != nil {
		t.Fatal(listErr)
	}
	return len(list), err
}

// TestNoOlderProofBeginsASession proves T40 and T45 for a sign-in under way: what
// was proven before all sessions of a person were ended begins none afterwards,
// here or on another replica, also when the end comes just before the commit; what
// was proven since does, and other people do not notice.
func TestNoOlderProofBeginsASession(t *testing.T) {
	h := newHouse(t)
	other := replica(t, h.store.Store, h.clock)
	who := as("u1").Subject
	proof := at("u1", h.clock.Now())
	h.clock.Advance(time.Second)
	if _, err := other.EndAll(t.Context(), who); err != nil {
		t.Fatal(err)
	}
	note := store.Put("note/of-the-sign-in", []byte("x"))
	if live, err := h.begin(t, proof, note); identity.KindOf(err) != identity.Unauthenticated || identity.CodeOf(err) != identity.CodeSignInExpired || live != 0 {
		t.Errorf("an older proof: %v, %d live", err, live)
	}
	if _, err := h.store.Store.Get(t.Context(), note.Key); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what goes with a session was written without it: %v", err)
	}
	if live, err := h.begin(t, at("u1", h.clock.Now())); err != nil || live != 1 {
		t.Errorf("a proof since: %v, %d live", err, live)
	}
	if live, err := h.begin(t, at("u11", proof.At)); err != nil || live != 1 {
		t.Errorf("another person: %v, %d live", err, live)
	}

	late := at("u2", h.clock.Now())
	h.clock.Advance(time.Second)
	h.store.onCommit = func() {
		h.store.onCommit = nil
		if _, err := other.EndAll(context.Background(), late.Subject); err != nil {
			t.Error(err)
		}
	}
	if live, err := h.begin(t, late); identity.KindOf(err) != identity.Unauthenticated || live != 0 {
		t.Errorf("ended just before the commit: %v, %d live", err, live)
	}
	h.store.down.Store(true)
	if _, err := h.EndAll(t.Context(), who); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("a bar that cannot be written: %v", err)
	}
}

// TestLostBar proves R14: a bar that a failover put back older than it was seen
// keeps nobody out for longer than one sign-in, and lets no older proof past.
func TestLostBar(t *testing.T) {
	h := newHouse(t)
	s := &rolledBack{Store: h.store.Store}
	h.store.Store = s
	proof := at("u1", h.clock.Now())
	h.clock.Advance(time.Second)
	if _, err := h.EndAll(t.Context(), proof.Subject); err != nil {
		t.Fatal(err)
	}
	s.lost.Store(true)
	_, err := h.pastBar(t.Context(), proof, false)
	if identity.KindOf(err) != identity.Unauthenticated {
		t.Errorf("past a bar that is older than it was: %v", err)
	}
	s.lost.Store(false)
	if live, err := h.begin(t, proof); err == nil || live != 0 {
		t.Errorf("the older proof: %v, %d live", err, live)
	}
	h.clock.Advance(time.Second)
	if live, err := h.begin(t, at("u1", h.clock.Now())); err != nil || live != 1 {
		t.Errorf("the next one: %v, %d live", err, live)
	}
}
