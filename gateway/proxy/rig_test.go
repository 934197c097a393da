package proxy_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/gateway/proxy"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/internal/handclock"
	"kdgate/internal/lockedbuffer"
	"kdgate/internal/strictwire"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// patience is how long anything that happens at once may take on a busy machine.
const patience = 30 * time.Second

// kingdee is an upstream that keeps sessions and shows what it received.
type kingdee struct {
	*httptest.Server
	requests atomic.Int64
	opened   atomic.Int64
	refuse   atomic.Bool  // links end on a page that lets nobody in
	script   atomic.Bool  // links end on a page whose script goes on
	serve    atomic.Value // http.HandlerFunc for everything but links
	mu       sync.Mutex
	sessions map[string]string // id: user
	links    []string          // the queries of the links that were redeemed
}

func newKingdee(t testing.TB) *kingdee {
	t.Helper()
	k := &kingdee{sessions: map[string]string{}}
	k.answer(k.mirror)
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.requests.Add(1)
		if r.URL.Query().Has("ud") {
			k.link(w, r)
			return
		}
		k.serve.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(k.CloseClientConnections) // what waits must not hold Close up
	t.Cleanup(k.Close)
	return k
}

// answer replaces what the application does.
func (k *kingdee) answer(serve http.HandlerFunc) { k.serve.Store(serve) }

// link is html5/index.aspx?ud=: cookies, and on to the console.
func (k *kingdee) link(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Query().Get("ud")
	k.mu.Lock()
	k.links = append(k.links, user)
	k.mu.Unlock()
	if k.refuse.Load() {
		http.SetCookie(w, &http.Cookie{Name: "ASP.NET_SessionId", Value: "anonymous", Path: "/"})
		_, _ = io.WriteString(w, "<html>登录失败</html>")
		return
	}
	id := fmt.Sprintf("%s-%d", user, k.opened.Add(1))
	k.mu.Lock()
	k.sessions[id] = user
	k.mu.Unlock()
	w.Header().Add("Set-Cookie", "kdservice-sessionid="+id+"; path=/; domain=erp.internal")
	w.Header().Add("Set-Cookie", "ASP.NET_SessionId=asp"+id+"; path=/; HttpOnly")
	w.Header().Add("Set-Cookie", "Theme=standard; path=/k3cloud/html5")
	w.Header().Add("Set-Cookie", "__Host-kdgate=stolen; path=/; Secure")
	target := "/K3Cloud/html5/dform.aspx?formId=BOS_HtmlConsole&usertoken=u" + id + "&kdsid=" + id
	if k.script.Load() {
		_, _ = io.WriteString(w, `<script>window.location.replace("`+strings.ReplaceAll(target, "&", `\u0026`)+`");</script>`)
		return
	}
	w.Header().Set("Location", k.URL+target)
	w.WriteHeader(http.StatusFound)
}

// mirror says who is there and what arrived.
func (k *kingdee) mirror(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(arrival{
		User: k.userOf(r), Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header, Body: string(body),
	})
}

type arrival struct {
	User, Method, Target, Host, Body string
	Header                           http.Header
}

func (k *kingdee) userOf(r *http.Request) string {
	c, err := r.Cookie("kdservice-sessionid")
	if err != nil {
		return ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sessions[c.Value]
}

// MintLink implements gateway.ServiceProvider.
func (k *kingdee) MintLink(_ context.Context, account identity.Account, _ gateway.Place) (identity.Secret, error) {
	return identity.NewSecret(k.URL + "/K3Cloud/html5/index.aspx?ud=" + url.QueryEscape(account.LoginUser)), nil
}

// SignOut implements gateway.ServiceProvider.
func (k *kingdee) SignOut(_ context.Context, account identity.Account) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, user := range k.sessions {
		if user == account.LoginUser {
			delete(k.sessions, id)
		}
	}
	return nil
}

// dingtalk proves nobody: people of these tests are signed in by enter.
type dingtalk struct{}

func (dingtalk) AuthorizeURL(string, string) string { return "https://login.dingtalk.test/" }
func (dingtalk) InClient(context.Context, identity.Secret) (identity.Assertion, error) {
	return identity.Assertion{}, fmt.Errorf("not here")
}

func (dingtalk) Browser(context.Context, identity.Secret) (identity.Assertion, error) {
	return identity.Assertion{}, fmt.Errorf("not here")
}

// chain maps everybody to a login user of their own.
type chain struct{}

func (chain) Resolve(_ context.Context, who identity.Assertion, dc string) (identity.Account, error) {
	return identity.Account{DataCentre: dc, LoginUser: "user-" + who.Subject.UserID}, nil
}

// signer makes assertions that can be read.
type signer struct{ signed atomic.Int64 }

func (s *signer) Assert(_ context.Context, who identity.Principal, loginUser string) (identity.Secret, time.Time, error) {
	s.signed.Add(1)
	return identity.NewSecret("signed:" + who.Subject.UserID + ":" + loginUser), time.Now().Add(time.Minute), nil
}

// recorder keeps audit events.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
}

func (r *recorder) Append(_ context.Context, event audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
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

// rig is one store, one Kingdee, and replicas of the gateway in front of it.
type rig struct {
	t       testing.TB
	kingdee *kingdee
	store   store.Store
	audit   *recorder
	signer  *signer
	log     *lockedbuffer.Buffer
	clock   handclock.Running
}

func newRig(t testing.TB) *rig {
	t.Helper()
	g := &rig{t: t, kingdee: newKingdee(t), audit: &recorder{}, signer: &signer{}, log: &lockedbuffer.Buffer{}}
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db"), Now: g.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	if g.store, err = store.Seal(driver, store.SealConfig{Keys: [][]byte{make([]byte, store.MinSealKey)}, Now: g.clock.Now}); err != nil {
		t.Fatal(err)
	}
	return g
}

// replica is one gateway behind a listener with deadlines far shorter than
// production's, so that whatever lasts proves that they do not cut it.
type replica struct {
	*httptest.Server
	rig      *rig
	sessions *session.Manager
	proxy    *proxy.Proxy
}

const listenerLimit = 700 * time.Millisecond

func (g *rig) replica(change ...func(*proxy.Config)) *replica {
	g.t.Helper()
	logger := slog.New(slog.NewJSONHandler(g.log, nil))
	r := &replica{rig: g, Server: httptest.NewUnstartedServer(nil)}
	var err error
	if r.sessions, err = session.New(session.Config{Store: g.store, Now: g.clock.Now, Logger: logger}); err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(g.t.Context())
	done := make(chan struct{})
	go func() { _ = r.sessions.Run(ctx); close(done) }()
	g.t.Cleanup(func() { cancel(); <-done })
	public := &url.URL{Scheme: "http", Host: "localhost:" + portOf(r.Listener)}
	upstream, err := url.Parse(g.kingdee.URL + "/K3Cloud/")
	if err != nil {
		g.t.Fatal(err)
	}
	cfg := proxy.Config{
		Centre: "live", Upstream: upstream, PublicURL: public, Store: g.store, Sessions: r.sessions,
		Recorder: g.audit, Signer: g.signer, Logger: logger, Now: g.clock.Now,
	}
	for _, c := range change {
		c(&cfg)
	}
	if r.proxy, err = proxy.New(cfg); err != nil {
		g.t.Fatal(err)
	}
	front, err := gateway.New(gateway.Config{
		PublicURL: public, DevInsecure: true, Corps: []gateway.Corp{{ID: "dingcorp1", Provider: dingtalk{}}},
		DataCentres: []gateway.DataCentre{{ID: "live", Name: "正式账套", ServiceProvider: g.kingdee, Proxy: r.proxy}},
		Store:       g.store, Sessions: r.sessions, Handles: r.sessions, Resolver: chain{}, Recorder: g.audit, Logger: logger,
		Secret: identity.NewSecret(strings.Repeat("k", 32)), Now: g.clock.Now,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	r.Config.Handler = r.sessions.Wrap(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/test/in" {
			r.enter(w, req)
			return
		}
		front.ServeHTTP(w, req)
	}))
	r.Config.ReadTimeout, r.Config.WriteTimeout = listenerLimit, listenerLimit
	r.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	r.Listener = strictwire.Listen(r.Listener, strictwire.Config{Headers: gateway.Baseline("http"), RequestID: rand.Text}) // as the program does
	r.Start()
	r.URL = "http://" + public.Host
	g.t.Cleanup(r.Close)
	g.t.Cleanup(r.CloseClientConnections)
	return r
}

func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// enter signs somebody in as the sign-in doors would.
func (r *replica) enter(w http.ResponseWriter, req *http.Request) {
	who := identity.Assertion{Subject: identity.Subject{Corp: "dingcorp1", UserID: req.URL.Query().Get("user")}, Name: "名字"}
	if _, err := r.sessions.Start(req.Context(), w, who, identity.Secret{}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// browser is one person's: cookies, and no redirect followed unasked.
type browser struct {
	t    testing.TB
	at   *replica
	jar  *jar
	http http.Client
}

// jar sends Secure cookies to http://localhost, as browsers do.
type jar struct{ *cookiejar.Jar }

func (j jar) SetCookies(u *url.URL, cookies []*http.Cookie) { j.Jar.SetCookies(safe(u), cookies) }
func (j jar) Cookies(u *url.URL) []*http.Cookie             { return j.Jar.Cookies(safe(u)) }

func safe(u *url.URL) *url.URL {
	other := *u
	other.Scheme = "https"
	return &other
}

func (r *replica) browser(t testing.TB) *browser {
	t.Helper()
	inner, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, at: r, jar: &jar{inner}}
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	b.http = http.Client{
		Jar: b.jar, Transport: transport, Timeout: 60 * time.Second,
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

// code is the short code on the page or in the JSON.
func (a answer) code() string {
	if i := strings.Index(a.text, "KD-"); i >= 0 {
		return a.text[i : i+6]
	}
	return ""
}

const navigation = "Accept: text/html"

// do sends a request; each header is "Name: value".
func (b *browser) do(method, path, body string, headers ...string) answer {
	b.t.Helper()
	res := b.send(method, path, strings.NewReader(body), headers...)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{res, string(text)}
}

func (b *browser) send(method, path string, body io.Reader, headers ...string) *http.Response {
	b.t.Helper()
	res, err := b.http.Do(b.request(method, path, body, headers...))
	if err != nil {
		b.t.Fatal(err)
	}
	return res
}

func (b *browser) request(method, path string, body io.Reader, headers ...string) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.at.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if method != http.MethodGet {
		r.Header.Set("Origin", b.at.URL)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	return r
}

func (b *browser) get(path string, headers ...string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, path, "", headers...)
}

// signIn gives the browser a session of the gateway.
func (b *browser) signIn(user string) *browser {
	b.t.Helper()
	if a := b.do(http.MethodPost, "/test/in?user="+user, ""); a.StatusCode != http.StatusOK {
		b.t.Fatal(a.text)
	}
	return b
}

// open signs in and clicks the icon: the browser ends with a Kingdee session.
func (b *browser) open(user string) *browser {
	b.t.Helper()
	b.signIn(user).launch()
	return b
}

func (b *browser) launch() answer {
	b.t.Helper()
	a := b.get("/launch/live", navigation)
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.location(), "/K3Cloud/html5/dform.aspx?") {
		b.t.Fatalf("launch: %d %s %s", a.StatusCode, a.location(), a.text)
	}
	return a
}

// arrived is what Kingdee saw of a request that passed.
func (b *browser) arrived(method, path, body string, headers ...string) arrival {
	b.t.Helper()
	a := b.do(method, path, body, headers...)
	var got arrival
	if err := json.Unmarshal([]byte(a.text), &got); a.StatusCode != http.StatusOK || err != nil {
		b.t.Fatalf("%s %s: %d %s %v", method, path, a.StatusCode, a.text, err)
	}
	return got
}

// cookie is the value that the browser would send to path.
func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.at.URL + "/K3Cloud/html5/")
	for _, c := range b.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// cookieHeader is everything it would send.
func (b *browser) cookieHeader() string {
	u, _ := url.Parse(b.at.URL + "/K3Cloud/html5/")
	var pairs []string
	for _, c := range b.jar.Cookies(u) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

// within waits for something that happens by itself.
func within(t testing.TB, limit time.Duration, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s: not within %v", what, limit)
	}
}
