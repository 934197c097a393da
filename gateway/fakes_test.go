package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/handclock"
	"kdgate/internal/lockedbuffer"
	"kdgate/store"
)

// provider is a DingTalk that knows some codes.
type provider struct {
	mu    sync.Mutex
	login string // address of the sign-in page
	codes map[string]identity.Assertion
	calls []string                                     // door and code of every exchange
	hook  func(ctx context.Context, code string) error // runs inside an exchange
}

func (p *provider) AuthorizeURL(state, redirect string) string {
	return p.login + "/oauth2/auth?" + url.Values{"state": {state}, "redirect_uri": {redirect}}.Encode()
}

func (p *provider) InClient(ctx context.Context, code identity.Secret) (identity.Assertion, error) {
	return p.exchange(ctx, "client", code.Reveal())
}

func (p *provider) Browser(ctx context.Context, code identity.Secret) (identity.Assertion, error) {
	return p.exchange(ctx, "browser", code.Reveal())
}

func (p *provider) exchange(ctx context.Context, door, code string) (identity.Assertion, error) {
	p.mu.Lock()
	p.calls = append(p.calls, door+" "+code)
	who, ok := p.codes[code]
	delete(p.codes, code) // single use, like the vendor's
	hook := p.hook
	p.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, code); err != nil {
			return identity.Assertion{}, err
		}
	}
	if !ok {
		return identity.Assertion{}, identity.Fail(identity.Unauthenticated, identity.CodeAuthCodeRefused, "errcode 40078")
	}
	return who, nil
}

func (p *provider) give(code, corp, userid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = identity.Assertion{Subject: identity.Subject{Corp: corp, UserID: userid}, Name: "名字 " + userid}
}

func (p *provider) called() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// sessions is a session manager that keeps tokens in memory.
type sessions struct {
	store  store.Store // of what is written alongside
	mu     sync.Mutex
	open   map[string]identity.Principal
	ended  map[string]bool
	opened int
	source string // of the newest session: where the edge says it was started from
}

const sessionCookie = "__Host-kdgate"

func (s *sessions) Start(ctx context.Context, w http.ResponseWriter, who identity.Assertion, token identity.Secret, alongside ...store.Op) (identity.Principal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := token.Reveal()
	if s.ended[key] {
		return identity.Principal{}, identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "session has ended")
	}
	if len(alongside) > 0 {
		if err := s.store.Commit(ctx, alongside...); err != nil {
			return identity.Principal{}, identity.Fail(identity.Unavailable, identity.CodeStoreDown, "session: %w", err)
		}
	}
	p, ok := s.open[key]
	if !ok {
		s.opened++
		s.source = SourceOf(ctx)
		p = identity.Principal{Assertion: who, SessionID: fmt.Sprintf("s%d", s.opened), ExpiresAt: time.Now().Add(time.Hour)}
		s.open[key] = p
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: key, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return p, nil
}

func (s *sessions) Current(r *http.Request) (identity.Principal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, err := r.Cookie(sessionCookie); err == nil {
		if p, ok := s.open[c.Value]; ok {
			return p, nil
		}
	}
	return identity.Principal{}, identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "no session")
}

func (s *sessions) End(w http.ResponseWriter, r *http.Request) (identity.Principal, error) {
	p, err := s.Current(r)
	if err != nil {
		return p, err
	}
	c, _ := r.Cookie(sessionCookie)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c.Value)
	s.ended[c.Value] = true
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true})
	return p, nil
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// chain resolves every userid to itself, but for those with a fault.
type chain struct {
	mu     sync.Mutex
	faults map[string]error
}

func (c *chain) Resolve(_ context.Context, who identity.Assertion, dc string) (identity.Account, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.faults[who.Subject.UserID]; err != nil {
		return identity.Account{}, err
	}
	return identity.Account{DataCentre: dc, StaffNumber: who.Subject.UserID, LoginUser: "user-" + who.Subject.UserID}, nil
}

// kingdee mints links that tell what they were minted for.
type kingdee struct {
	mu        sync.Mutex
	base      string // scheme://host people land on
	minted    []Place
	signedOut []string
	fault     error
}

func (k *kingdee) MintLink(_ context.Context, account identity.Account, place Place) (identity.Secret, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fault != nil {
		return identity.Secret{}, k.fault
	}
	k.minted = append(k.minted, place)
	values := url.Values{"ud": {"LINKCANARY-" + account.LoginUser}, "form": {place.FormID}, "type": {place.Type}, "pk": {place.PK}}
	return identity.NewSecret(k.base + "/K3Cloud/html5/index.aspx?" + values.Encode()), nil
}

func (k *kingdee) SignOut(_ context.Context, account identity.Account) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fault != nil {
		return k.fault
	}
	k.signedOut = append(k.signedOut, account.LoginUser)
	return nil
}

func (k *kingdee) mints() []Place {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.minted)
}

// recorder keeps audit events; floods are held back as in the log.
type recorder struct {
	damper *audit.Damper
	mu     sync.Mutex
	events []audit.Event
	fault  error
}

func (r *recorder) Append(_ context.Context, event audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil {
		return r.fault
	}
	if event, write := r.damper.Pass(event); write {
		r.events = append(r.events, event)
	}
	return nil
}

func (r *recorder) of(action audit.Action) []audit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []audit.Event
	for _, e := range r.events {
		if e.Action == action {
			found = append(found, e)
		}
	}
	return found
}

func (r *recorder) breakWith(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = err
}

// counts is an Observer.
type counts struct {
	mu    sync.Mutex
	lines []string
}

func (c *counts) SignIn(door identity.Door, result, fault string, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf("signin %s %s %s", door, result, fault))
}

func (c *counts) Launch(target, result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf("launch %s %s", target, result))
}

func (c *counts) has(line string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.lines, line)
}

// house is a gateway with everything around it.
type house struct {
	*httptest.Server
	gateway  *Gateway
	store    *memory
	dingtalk *provider
	sessions *sessions
	chain    *chain
	live     *kingdee
	test     *kingdee
	audit    *recorder
	counts   *counts
	clock    *handclock.Running
	log      *lockedbuffer.Buffer
}

const (
	corpOne = "dingcorp1"
	corpTwo = "dingcorp2"
)

// newHouse builds one behind TLS; change may alter the configuration before New.
func newHouse(t testing.TB, change ...func(*Config)) *house {
	t.Helper()
	h := buildHouse(t, change...)
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

// buildHouse is newHouse before its listener speaks.
func buildHouse(t testing.TB, change ...func(*Config)) *house {
	t.Helper()
	h := &house{
		Server: httptest.NewUnstartedServer(nil), dingtalk: &provider{login: "https://login.dingtalk.test", codes: map[string]identity.Assertion{}},
		sessions: &sessions{open: map[string]identity.Principal{}, ended: map[string]bool{}},
		chain:    &chain{faults: map[string]error{}}, live: &kingdee{base: "https://live.kingdee.test"}, test: &kingdee{base: "https://test.kingdee.test"},
		counts: &counts{}, clock: &handclock.Running{}, log: &lockedbuffer.Buffer{},
	}
	h.audit = &recorder{damper: audit.NewDamper(h.clock.Now)}
	h.store = newMemory(h.clock.Now)
	h.sessions.store = h.store
	cfg := Config{
		PublicURL: &url.URL{Scheme: "https", Host: h.Listener.Addr().String()},
		Corps: []Corp{
			{ID: corpOne, ClientID: "dingapp1", Provider: h.dingtalk},
			{ID: corpTwo, ClientID: "dingapp2", Provider: h.dingtalk},
		},
		DataCentres: []DataCentre{{ID: "live", Name: "正式账套", Origin: "https://live.kingdee.test", ServiceProvider: h.live}},
		Forms: []Form{
			{Name: "expense", FormID: "ER_ExpReimbursement", Types: []string{"bill", "list"}},
			{Name: "stock", FormID: "STK_Inventory", Types: []string{"list"}, Entry: "light"},
		},
		Store: h.store, Sessions: h.sessions, Handles: h.sessions, Resolver: h.chain, Recorder: h.audit, Observer: h.counts,
		Logger: slog.New(slog.NewJSONHandler(h.log, nil)),
		Secret: identity.NewSecret(strings.Repeat("k", 32)), Now: h.clock.Now,
	}
	for _, c := range change {
		c(&cfg)
	}
	gateway, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.gateway = gateway
	h.Config.Handler = gateway
	h.Config.ErrorLog = slog.NewLogLogger(slog.NewJSONHandler(h.log, nil), slog.LevelInfo)
	return h
}

// twoCentres adds the second data centre.
func (h *house) twoCentres(cfg *Config) {
	cfg.DataCentres = append(cfg.DataCentres, DataCentre{ID: "test", Name: "测试账套", Origin: "https://test.kingdee.test", ServiceProvider: h.test})
}

// browser is one person's browser: cookies, and no redirect followed unasked.
type browser struct {
	t     testing.TB
	house *house
	http.Client
	agent string
}

func (h *house) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, house: h}
	b.Client = http.Client{
		Jar: jar, Transport: h.Client().Transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return b
}

// answer is a response that was read.
type answer struct {
	*http.Response
	text string
}

func (a answer) location() string { return a.Header.Get("Location") }

func (b *browser) do(method, path string, body url.Values, headers ...string) answer {
	b.t.Helper()
	var reader io.Reader
	if body != nil {
		reader = strings.NewReader(body.Encode())
	}
	r, err := http.NewRequest(method, b.house.URL+path, reader)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.house.URL)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if b.agent != "" {
		r.Header.Set("User-Agent", b.agent)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp, string(text)}
}

func (b *browser) get(path string, headers ...string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil, headers...)
}

// field finds a hidden input of a page.
func (a answer) field(t testing.TB, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(a.text, `name="`+name+`" value="`)
	if !ok {
		t.Fatalf("no field %s in %s", name, a.text)
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// open asks for a place without a session and gives the sign-in page.
func (b *browser) open(path string) answer {
	b.t.Helper()
	a := b.get(path)
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.location(), "/signin?state=") {
		b.t.Fatalf("%s: %d %s", path, a.StatusCode, a.location())
	}
	page := b.get(a.location())
	if page.StatusCode != http.StatusOK {
		b.t.Fatalf("sign-in page: %d %s", page.StatusCode, page.text)
	}
	return page
}

// form is what the page's script posts.
func (b *browser) form(page answer, code string) url.Values {
	b.t.Helper()
	return url.Values{
		"state": {page.field(b.t, "state")}, "nonce": {page.field(b.t, "nonce")}, "code": {code}, "fragment": {""},
	}
}

func (b *browser) post(form url.Values, headers ...string) answer {
	b.t.Helper()
	return b.do(http.MethodPost, "/signin/dingtalk", form, headers...)
}

// signIn goes through the client door and ends with a session.
func (b *browser) signIn(userid string) answer {
	b.t.Helper()
	code := "code-of-" + userid
	b.house.dingtalk.give(code, corpOne, userid)
	a := b.post(b.form(b.open("/launch/kingdee"), code))
	if a.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("sign-in: %d %s", a.StatusCode, a.text)
	}
	return a
}

var errBroken = errors.New("broken on purpose")

func mustAddr(text string) netip.Addr { return netip.MustParseAddr(text) }
