package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// faulty is the real store with a fault to switch on, and counters.
type faulty struct {
	store.Store
	down          atomic.Bool
	gets, commits atomic.Int64
	onGet         func(key string) // after the entry was read, when set
	onCommit      func()           // before the commit, when set
	breakWatch    atomic.Pointer[context.CancelFunc]
}

var errCut = fmt.Errorf("%w: cable cut by the test", store.ErrUnavailable)

func (f *faulty) Get(ctx context.Context, key string) (store.Entry, error) {
	f.gets.Add(1)
	if f.down.Load() {
		return store.Entry{}, errCut
	}
	entry, err := f.Store.Get(ctx, key)
	if f.onGet != nil {
		f.onGet(key)
	}
	return entry, err
}

func (f *faulty) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if f.down.Load() {
		return nil, errCut
	}
	return f.Store.Scan(ctx, prefix, after, limit)
}

func (f *faulty) Commit(ctx context.Context, ops ...store.Op) error {
	f.commits.Add(1)
	if f.onCommit != nil {
		f.onCommit()
	}
	if f.down.Load() {
		return errCut
	}
	return f.Store.Commit(ctx, ops...)
}

func (f *faulty) Watch(ctx context.Context, prefix string) (<-chan store.Event, error) {
	if f.down.Load() {
		return nil, errCut
	}
	ctx, cancel := context.WithCancel(ctx)
	f.breakWatch.Store(&cancel)
	return f.Store.Watch(ctx, prefix)
}

// house is one replica: a manager over a real store, behind a real server.
type house struct {
	*Manager
	store *faulty
	clock *clock
	url   string
}

func newHouse(t testing.TB) *house {
	t.Helper()
	c := newClock()
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db"), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{make([]byte, store.MinSealKey)}, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return replica(t, sealed, c)
}

func replica(t testing.TB, s store.Store, c *clock) *house {
	t.Helper()
	f := &faulty{Store: s}
	m, err := New(Config{Store: f, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Manager: m, store: f, clock: c}
	server := httptest.NewServer(m.Wrap(h.routes()))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// routes are the least site that has sign-in, a page and sign-out.
func (h *house) routes() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, p identity.Principal, err error) {
		switch identity.KindOf(err) {
		case identity.Unavailable:
			w.WriteHeader(http.StatusServiceUnavailable)
		case identity.Unauthenticated:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			if err != nil {
				w.WriteHeader(http.StatusConflict)
			}
		}
		_ = json.NewEncoder(w).Encode(p)
	}
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) {
		p, err := h.Start(r.Context(), w, as(r.FormValue("user")), identity.NewSecret(r.FormValue("token")))
		answer(w, p, err)
	})
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		p, err := h.Current(r)
		answer(w, p, err)
	})
	mux.HandleFunc("POST /out", func(w http.ResponseWriter, r *http.Request) {
		p, err := h.End(w, r)
		answer(w, p, err)
	})
	return mux
}

func as(user string) identity.Assertion {
	return identity.Assertion{
		Subject: identity.Subject{Corp: "dingcorp1", UserID: user}, UnionID: "union-" + user, Name: "名 " + user,
		Door: identity.DoorInClient, At: time.Date(2026, 3, 1, 7, 59, 0, 0, time.UTC),
	}
}

// browser keeps cookies as one does: the last of a name wins. Go's own jar would
// not send a Secure cookie to the plain server of a test.
type browser struct {
	t      testing.TB
	cookie string // the whole Cookie header
	last   *http.Cookie
}

func (b *browser) do(method, url string) (int, identity.Principal) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, url, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.cookie != "" {
		request.Header.Set("Cookie", b.cookie)
	}
	request.Header.Set("User-Agent", "DingTalk/6.5 test")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	for _, cookie := range response.Cookies() {
		b.last = cookie
		b.cookie = cookie.Name + "=" + cookie.Value
		if cookie.MaxAge < 0 {
			b.cookie = ""
		}
	}
	var p identity.Principal
	if err := json.NewDecoder(response.Body).Decode(&p); err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, p
}

func (b *browser) signIn(h *house, user, token string) identity.Principal {
	b.t.Helper()
	status, p := b.do("POST", h.url+"/in?user="+user+"&token="+token)
	if status != http.StatusOK {
		b.t.Fatalf("sign-in of %s: %d", user, status)
	}
	return p
}

func (b *browser) me(h *house) (int, string) {
	b.t.Helper()
	status, p := b.do("GET", h.url+"/me")
	return status, p.Subject.UserID
}

// expect checks who the house takes the browser for, "" for nobody.
func (b *browser) expect(h *house, user string) {
	b.t.Helper()
	want := http.StatusOK
	if user == "" {
		want = http.StatusUnauthorized
	}
	if status, got := b.me(h); status != want || got != user {
		b.t.Errorf("status %d, user %q; want %d, %q", status, got, want, user)
	}
}

func (b *browser) token() string { return strings.TrimPrefix(b.cookie, CookieName+"=") }

func TestSignInUseAndSignOut(t *testing.T) { // F9
	h := newHouse(t)
	b := &browser{t: t}
	b.expect(h, "")
	started := b.signIn(h, "manager01", "")
	status, p := b.do("GET", h.url+"/me")
	if status != http.StatusOK || p != started {
		t.Errorf("%d, %+v; want what Start said, %+v", status, p, started)
	}
	if p.Assertion != as("manager01") || !p.ExpiresAt.Equal(h.clock.now().Add(8*time.Hour)) || !isHandle(p.SessionID) {
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
	h.clock.move(time.Minute)
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
			p := b.signIn(h, "u1", "")
			h.clock.move(30 * time.Second) // used within the minute that is not written down
			b.expect(h, "u1")
			h.clock.move(30*time.Minute - time.Second)
			b.expect(h, "u1")
			h.clock.move(30 * time.Minute)
			b.expect(h, "")
			b.expect(h, "") // and stays ended

			b = &browser{t: t}
			p = b.signIn(h, "u1", "")
			for h.clock.now().Add(20 * time.Minute).Before(p.ExpiresAt) {
				h.clock.move(20 * time.Minute)
				status, now := b.do("GET", h.url+"/me")
				if status != http.StatusOK || !now.ExpiresAt.Equal(p.ExpiresAt) {
					t.Fatalf("%d, ends %v; use must not move the absolute end %v", status, now.ExpiresAt, p.ExpiresAt)
				}
			}
			h.clock.move(p.ExpiresAt.Sub(h.clock.now()))
			b.expect(h, "")
		})
	}
}

func TestIdleSessionIsNotStartedAgain(t *testing.T) { // T44
	h := newHouse(t)
	token := tokenCode.EncodeToString([]byte(strings.Repeat("i", 32)))
	b := &browser{t: t}
	b.signIn(h, "u1", token)
	h.clock.move(31 * time.Minute)
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
	h.clock.move(11 * time.Minute)
	b.expect(h, "u1")
	b.expect(shorter, "")
}

func TestUseIsWrittenAtMostOnceAMinute(t *testing.T) { // F9: spare the store
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	before := h.store.commits.Load()
	for range 120 { // ten minutes of requests every five seconds
		h.clock.move(5 * time.Second)
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
