package session

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/internal/handclock"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

func newClock() *handclock.Clock { return handclock.New(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)) }

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
	clock *handclock.Clock
	url   string
}

func newHouse(t testing.TB) *house {
	t.Helper()
	c := newClock()
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db"), Now: c.Now})
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

func replica(t testing.TB, s store.Store, c *handclock.Clock) *house {
	t.Helper()
	f := &faulty{Store: s}
	m, err := New(Config{Store: f, Now: c.Now})
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
		p, err := h.Start(r.Context(), w, at(r.FormValue("user"), h.clock.Now()), identity.NewSecret(r.FormValue("token")))
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
