package session

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

// TestStartIsRememberedAtOnce proves that the click after a sign-in costs no
// trip to the store, whenever the watch tells of the start, and that a second
// word of the watch counts (F9, T45).
func TestStartIsRememberedAtOnce(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	b := &browser{t: t}
	for range 20 { // the watch's word comes before the click or after it
		b.signIn(h, "u1", "")
		before := h.store.gets.Load()
		b.expect(h, "u1")
		b.expect(h, "u1")
		if got := h.store.gets.Load() - before; got != 0 {
			t.Fatalf("%d reads for what was written a moment ago", got)
		}
	}
	other := replica(t, h.store.Store, h.clock)
	if _, err := other.EndAll(t.Context(), as("u1").Subject); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { status, _ := b.me(h); return status == http.StatusUnauthorized })
}

// TestBegunMemory proves its table: what is remembered of a start, by what the
// watch tells and when.
func TestBegunMemory(t *testing.T) {
	at := time.Unix(1000, 0)
	s := stored{hash: "ab"}
	for name, test := range map[string]struct {
		do    func(c *cache)
		after time.Duration
		kept  bool
	}{
		"told of nothing":                 {func(c *cache) { c.begin("ab", at); c.written(s, at) }, 0, true},
		"told of the write afterwards":    {func(c *cache) { c.begin("ab", at); c.written(s, at); c.tell("ab") }, 0, true},
		"told of the write before":        {func(c *cache) { c.begin("ab", at); c.tell("ab"); c.written(s, at) }, 0, true},
		"told twice":                      {func(c *cache) { c.begin("ab", at); c.written(s, at); c.tell("ab"); c.tell("ab") }, 0, false},
		"told twice before":               {func(c *cache) { c.begin("ab", at); c.tell("ab"); c.tell("ab"); c.written(s, at) }, 0, false},
		"ended here":                      {func(c *cache) { c.begin("ab", at); c.written(s, at); c.forget("ab") }, 0, false},
		"commit without an answer":        {func(c *cache) { c.begin("ab", at); c.forget("ab") }, 0, false},
		"the watch missed something":      {func(c *cache) { c.begin("ab", at); c.written(s, at); c.clear() }, 0, false},
		"the watch was lost":              {func(c *cache) { c.begin("ab", at); c.written(s, at); c.turn(false) }, 0, false},
		"a second later":                  {func(c *cache) { c.begin("ab", at); c.written(s, at) }, begunFor, false},
		"without a watch from the start":  {func(c *cache) { c.turn(false); c.begin("ab", at); c.written(s, at) }, 0, false},
		"written, but never begun":        {func(c *cache) { c.written(s, at) }, 0, false},
		"begun, and not yet written":      {func(c *cache) { c.begin("ab", at) }, 0, false},
		"of another hash, told by chance": {func(c *cache) { c.begin("ab", at); c.written(s, at); c.tell("cd"); c.tell("cd") }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache()
			c.turn(true)
			test.do(c)
			if _, ok, _ := c.get("ab", at.Add(test.after)); ok != test.kept {
				t.Errorf("kept: %v", ok)
			}
		})
	}
	c := newCache()
	c.turn(true)
	for i := range 2 * maxBegun {
		hash := hashOf(string(rune(i)))
		c.begin(hash, at)
		c.written(stored{hash: hash}, at)
	}
	if len(c.begun) != maxBegun {
		t.Errorf("%d sessions remembered at once", len(c.begun))
	}
	c.begin("ab", at.Add(begunFor))
	if len(c.begun) != 1 {
		t.Errorf("%d old ones kept", len(c.begun))
	}
}

// TestStartWritesAlongside proves that what the caller has to write goes in the
// same commit, also when the session had begun before, and not without it.
func TestStartWritesAlongside(t *testing.T) {
	h := newHouse(t)
	start := func(user string, token identity.Secret, key string) error {
		_, err := h.Start(t.Context(), httptest.NewRecorder(), as(user), token, store.Put(key, nil))
		return err
	}
	there := func(key string) bool {
		_, err := h.store.Get(t.Context(), key)
		return err == nil
	}
	token := identity.NewSecret(strings.Repeat("A", 43))
	before := h.store.commits.Load()
	if err := start("u1", token, "note/1"); err != nil || !there("note/1") || h.store.commits.Load() != before+1 {
		t.Errorf("%v, %d commits", err, h.store.commits.Load()-before)
	}
	if err := start("u1", token, "note/2"); err != nil || !there("note/2") {
		t.Errorf("the same session again: %v", err)
	}
	if err := start("u2", token, "note/3"); identity.KindOf(err) != identity.Conflict || there("note/3") {
		t.Errorf("another's token: %v", err)
	}
	if _, err := h.EndAll(t.Context(), as("u1").Subject); err != nil {
		t.Fatal(err)
	}
	if err := start("u1", token, "note/4"); identity.KindOf(err) != identity.Unauthenticated || there("note/4") {
		t.Errorf("an ended session: %v", err)
	}
}
