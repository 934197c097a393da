package session

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/identity"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/storetest"
)

// run starts the watch and waits until sessions come from memory.
func (h *house) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	h.until(t, true)
	return stop
}

// until waits for the memory to be switched on or off.
func (h *house) until(t testing.TB, on bool) {
	t.Helper()
	eventually(t, func() bool { return h.cache.serves() == on })
}

func (c *cache) serves() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.on
}

// eventually asks until it is so, a second long: what F9 allows.
func eventually(t testing.TB, so func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(time.Second)
	defer late.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatal("not within a second")
		}
	}
}

func TestListAndEnd(t *testing.T) { // F9, T45
	h := newHouse(t)
	phone, desk, other := &browser{t: t}, &browser{t: t}, &browser{t: t}
	first := phone.signIn(h, "u1", "")
	h.clock.Advance(time.Minute)
	second := desk.signIn(h, "u1", "")
	other.signIn(h, "u11", "") // its name begins like the other's
	who := first.Subject
	list, err := h.List(t.Context(), who)
	if err != nil || len(list) != 2 || list[0].Handle != second.SessionID || list[1].Handle != first.SessionID {
		t.Fatalf("%+v, %v", list, err)
	}
	got := list[1]
	if got.Door != identity.DoorInClient || got.Source != "127.0.0.1" || got.UserAgent != "DingTalk/6.5 test" || !got.ExpiresAt.Equal(first.ExpiresAt) || got.Subject != who {
		t.Errorf("info %+v", got)
	}
	if n, err := h.Count(t.Context()); n != 3 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
	if err := h.EndOne(t.Context(), who, first.SessionID); err != nil {
		t.Fatal(err)
	}
	phone.expect(h, "")
	desk.expect(h, "u1")
	if n, err := h.EndAll(t.Context(), who); n != 1 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	desk.expect(h, "")
	other.expect(h, "u11")
	if list, err := h.List(t.Context(), who); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if n, err := h.EndEverybody(t.Context()); n != 1 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	other.expect(h, "")
}

// T40: a session whose record cannot be read keeps none of the person's others
// open, and is told of.
func TestEndAllGoesOnPastABrokenSession(t *testing.T) {
	h := newHouse(t)
	var live []*browser
	for range 4 {
		b := &browser{t: t}
		b.signIn(h, "u1", "")
		live = append(live, b)
	}
	index, err := h.store.Store.Scan(t.Context(), personPrefix(as("u1").Subject), "", 10)
	if err != nil || len(index) != 4 {
		t.Fatalf("%d sessions, %v", len(index), err)
	}
	if err := h.store.Store.Commit(t.Context(), store.Put(recordPrefix+string(index[0].Value), []byte("no record"))); err != nil {
		t.Fatal(err)
	}
	if n, err := h.EndAll(t.Context(), as("u1").Subject); n != 3 || err == nil {
		t.Errorf("%d ended, %v", n, err)
	}
	for _, b := range live {
		if status, _ := b.do(http.MethodGet, h.url+"/me"); status == http.StatusOK {
			t.Error("a session is still open")
		}
	}
}

func TestEndOneKeepsToItsPerson(t *testing.T) { // T45
	h := newHouse(t)
	b := &browser{t: t}
	p := b.signIn(h, "u1", "")
	for what, test := range map[string]struct {
		who    identity.Subject
		handle string
	}{
		"another person":       {as("u2").Subject, p.SessionID},
		"another corp":         {identity.Subject{Corp: "dingcorp2", UserID: "u1"}, p.SessionID},
		"no handle":            {p.Subject, ""},
		"a path":               {p.Subject, "../u1/" + p.SessionID},
		"unknown":              {p.Subject, strings.Repeat("0", 20)},
		"upper case":           {p.Subject, strings.ToUpper(p.SessionID) + "A"},
		"slash in the subject": {identity.Subject{Corp: "dingcorp1/u1", UserID: ""}, p.SessionID},
	} {
		if err := h.EndOne(t.Context(), test.who, test.handle); identity.KindOf(err) != identity.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	b.expect(h, "u1")
}

func TestListLeavesOutWhatIsOver(t *testing.T) {
	h := newHouse(t)
	b := &browser{t: t}
	p := b.signIn(h, "u1", "")
	h.clock.Advance(31 * time.Minute)
	if list, err := h.List(t.Context(), p.Subject); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if n, err := h.EndAll(t.Context(), p.Subject); n != 0 || err != nil {
		t.Errorf("counted %d that were over, %v", n, err)
	}
	h.clock.Advance(8 * time.Hour)
	if entries, err := h.store.Scan(t.Context(), "", "", 10); err != nil || len(entries) != 0 {
		t.Errorf("%d entries outlive the absolute end, %v", len(entries), err)
	}
}

func TestManySessionsOfOnePerson(t *testing.T) {
	h := newHouse(t)
	for range scanPage + 30 {
		if _, err := h.Start(t.Context(), httptest.NewRecorder(), as("u1"), identity.Secret{}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := h.List(t.Context(), as("u1").Subject)
	if err != nil || len(list) != scanPage+30 {
		t.Errorf("%d sessions, %v", len(list), err)
	}
	if n, err := h.EndAll(t.Context(), as("u1").Subject); n != scanPage+30 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
}

func TestKeyPartsAreDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{"a", "a/b", "a%2Fb", "a%252Fb", "张三", "\u202e", "%E2%80%AE", "\xff", "\ufffd", "", "a b"} {
		part := keyPart(text)
		if strings.Contains(part, "/") {
			t.Errorf("%q gives %q", text, part)
		}
		if other, twice := seen[part]; twice {
			t.Errorf("%q and %q both give %q", text, other, part)
		}
		seen[part] = text
	}
	if keyPart("张三") != "张三" {
		t.Error("letters are spelled out")
	}
}

func TestMemoryCostsNoStoreTrip(t *testing.T) { // performance: session from memory
	h := newHouse(t)
	h.run(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	eventually(t, func() bool { // the start's own event may come late
		b.expect(h, "u1")
		before := h.store.gets.Load()
		b.expect(h, "u1")
		return h.store.gets.Load() == before
	})
}

func TestRevocationReachesTheOtherReplica(t *testing.T) { // F9, T45: within a second
	here := newHouse(t)
	there := replica(t, here.store.Store, here.clock)
	revoked(t, here, there)
}

func TestRevocationReachesTheOtherReplicaOverRedis(t *testing.T) { // F9, T45
	redis := storetest.StartRedis(t)
	c := newClock()
	open := func() *house {
		config, err := redisstore.FromURL(identity.NewSecret(redis.URL()))
		if err != nil {
			t.Fatal(err)
		}
		driver, err := redisstore.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = driver.Close() })
		sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{make([]byte, store.MinSealKey)}, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		return replica(t, sealed, c)
	}
	revoked(t, open(), open())
}

// revoked ends sessions on one replica while the other has them in memory.
func revoked(t *testing.T, here, there *house) {
	t.Helper()
	here.run(t)
	there.run(t)
	for what, end := range map[string]func(*browser) error{
		"all":      func(*browser) error { _, err := here.EndAll(t.Context(), as("u1").Subject); return err },
		"one":      func(b *browser) error { return here.EndOne(t.Context(), as("u1").Subject, handleOf(b.token())) },
		"sign-out": func(b *browser) error { b2 := *b; b2.do("POST", here.url+"/out"); return nil },
		"sign-in":  func(b *browser) error { b2 := *b; b2.signIn(here, "u2", ""); return nil },
	} {
		t.Run(what, func(t *testing.T) {
			b := &browser{t: t}
			b.signIn(here, "u1", "")
			b.expect(there, "u1")
			b.expect(there, "u1")
			if err := end(b); err != nil {
				t.Fatal(err)
			}
			b.expect(here, "")
			eventually(t, func() bool { status, _ := b.me(there); return status == http.StatusUnauthorized })
		})
	}
}

func TestLostWatchDropsTheMemory(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	b.expect(h, "u1")
	h.store.down.Store(true)
	(*h.store.breakWatch.Load())()
	h.until(t, false)
	if status, _ := b.me(h); status != http.StatusServiceUnavailable {
		t.Errorf("status %d: served from memory without a watch", status)
	}
	h.store.down.Store(false)
	b.expect(h, "u1")
}

func TestWatchIsTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &watchOnly{}
		m, err := New(Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = m.Run(ctx) }()
		time.Sleep(2500 * time.Millisecond) // the bubble's clock: fails at 0 s and 1 s, holds from 2 s on
		synctest.Wait()
		if s.watches != 3 || !m.cache.serves() {
			t.Errorf("%d watches, memory on: %v", s.watches, m.cache.serves())
		}
		cancel()
		synctest.Wait()
		if m.cache.serves() {
			t.Error("memory serves after Run ended")
		}
	})
}

// watchOnly is a store whose first two watches fail.
type watchOnly struct {
	store.Store
	watches int
}

func (s *watchOnly) Watch(ctx context.Context, _ string) (<-chan store.Event, error) {
	s.watches++
	if s.watches < 3 {
		return nil, errors.New("no")
	}
	events := make(chan store.Event)
	go func() { <-ctx.Done(); close(events) }()
	return events, nil
}

// TestReadThatLostTheRaceStaysOut: a record read before it was ended, arriving
// in memory after the watch told of its end, would live on there.
func TestReadThatLostTheRaceStaysOut(t *testing.T) {
	h := newHouse(t)
	other := replica(t, h.store.Store, h.clock)
	h.run(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	hash := hashOf(b.token())
	h.store.onGet = func(key string) { // after the read, before it is kept
		h.store.onGet = nil
		h.cache.mu.Lock()
		before := h.cache.epoch[shard(hash)]
		h.cache.mu.Unlock()
		if _, err := other.EndAll(t.Context(), as("u1").Subject); err != nil {
			t.Error(err)
		}
		eventually(t, func() bool { // the watch has told
			h.cache.mu.Lock()
			defer h.cache.mu.Unlock()
			return h.cache.epoch[shard(hash)] != before
		})
	}
	h.cache.clear()
	b.me(h)         // answered from the read: the end came during it
	b.expect(h, "") // and never again
}

func TestEventWithoutKeyForgetsAll(t *testing.T) {
	c := newCache()
	c.turn(true)
	_, _, ticket := c.get("ab", time.Time{})
	c.put(stored{hash: "ab"}, ticket)
	if _, ok, _ := c.get("ab", time.Time{}); !ok {
		t.Fatal("not kept")
	}
	c.clear()
	if _, ok, _ := c.get("ab", time.Time{}); ok {
		t.Error("kept")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := newCache()
	c.turn(true)
	for i := range maxCached + 10 {
		hash := hashOf(string(rune(i)))
		_, _, ticket := c.get(hash, time.Time{})
		c.put(stored{hash: hash}, ticket)
		c.see(hash, time.Unix(0, 0))
	}
	if len(c.live) > maxCached || len(c.seen) > maxCached {
		t.Errorf("%d and %d entries", len(c.live), len(c.seen))
	}
}

func BenchmarkCurrentFromMemory(b *testing.B) {
	h := newHouse(b)
	h.run(b)
	br := &browser{t: b}
	br.signIn(h, "u1", "")
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", br.cookie)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Current(r); err != nil {
			b.Fatal(err)
		}
	}
}

// T45: everybody's sessions, page by page and without those that are over.
func TestFindAcrossPeople(t *testing.T) {
	h := newHouse(t)
	for _, userid := range []string{"u3", "u1", "u2", "v1"} {
		(&browser{t: t}).signIn(h, userid, "")
	}
	ofU := func(i Info) bool { return strings.HasPrefix(i.Subject.UserID, "u") }
	first, next, err := h.Find(t.Context(), ofU, "", 2)
	if err != nil || len(first) != 2 || first[0].Subject.UserID != "u1" || first[1].Subject.UserID != "u2" || next == "" {
		t.Fatalf("%+v, next %q, %v", first, next, err)
	}
	if _, err := h.EndAll(t.Context(), first[0].Subject); err != nil {
		t.Fatal(err)
	}
	second, next, err := h.Find(t.Context(), ofU, next, 2)
	if err != nil || len(second) != 1 || second[0].Subject.UserID != "u3" || next != "" {
		t.Fatalf("%+v, next %q, %v", second, next, err)
	}
	again, _, err := h.Find(t.Context(), ofU, "", 9)
	if err != nil || len(again) != 2 {
		t.Errorf("with one ended: %+v, %v", again, err)
	}
}
