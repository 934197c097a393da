package session

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/identity"
)

// attend follows the browser's session on one replica.
func (b *browser) attend(h *house) <-chan struct{} {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Cookie", b.cookie)
	who, ended, err := h.Attend(r)
	if err != nil || who.Subject.UserID == "" {
		b.t.Fatalf("%+v %v", who, err)
	}
	return ended
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// T40, F9: whoever follows a session is told of its end within a second,
// wherever it was ended, and of nobody else's.
func TestAttendTellsOfTheEnd(t *testing.T) {
	h := newHouse(t)
	other := replica(t, h.store.Store, h.clock)
	h.run(t)
	other.run(t)
	for name, end := range map[string]func(b *browser) error{
		"one, here":      func(b *browser) error { return h.EndOne(t.Context(), as("u1").Subject, handleOf(b.token())) },
		"one, elsewhere": func(b *browser) error { return other.EndOne(t.Context(), as("u1").Subject, handleOf(b.token())) },
		"all, here":      func(*browser) error { _, err := h.EndAll(t.Context(), as("u1").Subject); return err },
		"all, elsewhere": func(*browser) error { _, err := other.EndAll(t.Context(), as("u1").Subject); return err },
		"everybody":      func(*browser) error { _, err := other.EndEverybody(t.Context()); return err },
		"sign-out":       func(b *browser) error { b.do("POST", other.url+"/out"); return nil },
		"sign-in again":  func(b *browser) error { b.signIn(other, "u3", ""); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b, stranger := &browser{t: t}, &browser{t: t}
			b.signIn(h, "u1", "")
			stranger.signIn(h, "u2", "")
			ended, again, theirs := b.attend(h), b.attend(h), stranger.attend(h)
			if ended != again {
				t.Error("one session has two channels")
			}
			if isClosed(ended) {
				t.Fatal("closed while it lives")
			}
			if err := end(b); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return isClosed(ended) })
			if name != "everybody" && isClosed(theirs) {
				t.Error("somebody else's session is told to have ended")
			}
		})
	}
}

// T44: time ends a session that is followed and not used, and being followed is no use.
func TestAttendTellsOfTime(t *testing.T) {
	for name, span := range map[string]time.Duration{"idle": 31 * time.Minute, "absolute": 9 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			b := &browser{t: t}
			b.signIn(h, "u1", "")
			ended := b.attend(h)
			h.clock.Advance(span / 2)
			h.judgeAll(t.Context(), false)
			if isClosed(ended) != (name == "absolute") { // half of nine hours is idle for too long
				t.Fatal("at half time")
			}
			h.clock.Advance(span / 2)
			h.judgeAll(t.Context(), false)
			if !isClosed(ended) {
				t.Error("open after its end")
			}
		})
	}
}

// T110: the clock judges without being asked, at least every 30 seconds.
func TestJudgedByTheClock(t *testing.T) {
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	ended := b.attend(h)
	h.clock.Advance(31 * time.Minute)
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Config{Store: h.store, Now: h.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		m.cache, m.doors = h.cache, h.doors // judged in the bubble's time
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		m.keepJudging(ctx)
	})
	if !isClosed(ended) {
		t.Error("open 30 seconds after its end")
	}
}

// A store that cannot be asked ends nothing at once, and nothing stays open
// unasked for long (fail closed).
func TestAttendWithoutStore(t *testing.T) {
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	ended := b.attend(h)
	h.store.down.Store(true)
	for range maxDoubt - 1 {
		h.judgeAll(t.Context(), false)
	}
	if isClosed(ended) {
		t.Fatal("cut at the first doubt")
	}
	h.store.down.Store(false)
	h.judgeAll(t.Context(), false)
	h.store.down.Store(true)
	for range maxDoubt - 1 {
		h.judgeAll(t.Context(), false)
	}
	if isClosed(ended) {
		t.Fatal("doubts add up although there was an answer between")
	}
	h.judgeAll(t.Context(), false)
	if !isClosed(ended) {
		t.Error("open although nobody knows whether it lives")
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Cookie", b.cookie)
	if _, _, err := h.Attend(r); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("the store is down: %v", err)
	}
}

// A session that ended while the watch was lost is noticed when it is back.
func TestEndWhileNobodyWatched(t *testing.T) {
	h := newHouse(t)
	other := replica(t, h.store.Store, h.clock)
	stop := h.run(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	ended := b.attend(h)
	stop()
	if _, err := other.EndAll(t.Context(), as("u1").Subject); err != nil {
		t.Fatal(err)
	}
	if isClosed(ended) {
		t.Fatal("told without a watch")
	}
	h.run(t)
	eventually(t, func() bool { return isClosed(ended) })
}

// Nobody can be followed, and asking for it leaves nothing behind.
func TestAttendNobody(t *testing.T) {
	h := newHouse(t)
	ended := &browser{t: t}
	ended.signIn(h, "u1", "")
	over := ended.cookie
	ended.do("POST", h.url+"/out")
	for name, cookie := range map[string]string{"none": "", "malformed": CookieName + "=x", "unknown": CookieName + "=" + strings.Repeat("A", 43), "ended": over} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Cookie", cookie)
		if _, channel, err := h.Attend(r); identity.KindOf(err) != identity.Unauthenticated || channel != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(h.doors.hashes()); n != 0 {
		t.Errorf("%d doors are left", n)
	}
}

func BenchmarkAttend(b *testing.B) {
	h := newHouse(b)
	h.run(b)
	br := &browser{t: b}
	br.signIn(h, "u1", "")
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Cookie", br.cookie)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := h.Attend(r); err != nil {
			b.Fatal(err)
		}
	}
}
