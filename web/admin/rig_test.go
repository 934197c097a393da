package admin_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/audit/review"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/internal/handclock"
	"kdgate/internal/lockedbuffer"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/billbook"
	"kdgate/jobs/approval/rulebook"
	"kdgate/jobs/directory"
	"kdgate/jobs/schedule"
	"kdgate/kingdee"
	"kdgate/mapping"
	"kdgate/mapping/access"
	"kdgate/mapping/consent"
	"kdgate/store"
	"kdgate/store/sqlitestore"
	"kdgate/web/admin"
)

const (
	corp = "dingcorp1"
	live = "live"
)

// house is a console over a real embedded store, real sessions, a real audit log
// and a real table. Only DingTalk's word is played: /signin-as opens the session
// that a sign-in would have opened.
type house struct {
	testing.TB
	*httptest.Server
	console  *admin.Console
	table    *mapping.Table
	index    *mapping.Index
	log      *audit.Log
	auditDir string
	sessions *session.Manager
	store    *faultyStore
	clock    *handclock.Clock
	cfg      admin.Config
	secret   string // file of the emergency account
	logged   *lockedbuffer.Buffer
	queue    *jobs.Queue
	schedule *schedule.Schedule
	keeper   *directory.Keeper
	book     *access.Book
	consents *consent.Register
	told     *told
	password string // of the emergency account, once it has one
	rules    *rulebook.Desk
	scene    rulebook.Scene // of the rules
	bills    *billbook.Index
	use      func() // puts the rules in force that are decided now
	book1    *approval.Booker
}

// faultyStore is the real store with faults on demand.
type faultyStore struct {
	store.Store
	mu   sync.Mutex
	fail error
}

func (s *faultyStore) breakWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *faultyStore) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail
}

func (s *faultyStore) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := s.failing(); err != nil {
		return store.Entry{}, err
	}
	return s.Store.Get(ctx, key)
}

func (s *faultyStore) Commit(ctx context.Context, ops ...store.Op) error {
	if err := s.failing(); err != nil {
		return err
	}
	return s.Store.Commit(ctx, ops...)
}

// kingdeeTable answers like a Kingdee in which everybody has one user.
type kingdeeTable struct{}

func (kingdeeTable) StaffByNumber(_ context.Context, number string) ([]kingdee.Staff, error) {
	return []kingdee.Staff{{ID: "s" + number, Number: number, PersonID: "p" + number, Approved: true}}, nil
}

func (kingdeeTable) UsersOfStaff(_ context.Context, s kingdee.Staff) ([]kingdee.User, error) {
	return []kingdee.User{{ID: "u" + s.Number, Name: "user" + s.Number}}, nil
}

func (kingdeeTable) UserByName(_ context.Context, name string) ([]kingdee.User, error) {
	number, _ := strings.CutPrefix(name, "user")
	return []kingdee.User{{ID: "u" + number, Name: name}}, nil
}

var roles = map[string]admin.Role{"manager01": admin.Admin, "manager02": admin.Admin, "mapper01": admin.MappingAdmin, "auditor01": admin.Auditor}

func subject(userid string) identity.Subject { return identity.Subject{Corp: corp, UserID: userid} }

func key(userid string) mapping.Key {
	return mapping.Key{DataCentre: live, Corp: corp, UserID: userid}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func newHouse(tb testing.TB, adjust ...func(*admin.Config)) *house {
	tb.Helper()
	dir := tb.TempDir()
	h := &house{TB: tb, clock: handclock.New(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)), secret: filepath.Join(dir, "console-secret"), logged: &lockedbuffer.Buffer{}}
	driver, err := sqlitestore.Open(tb.Context(), sqlitestore.Config{Path: filepath.Join(dir, "kdgate.db")})
	must(tb, err)
	tb.Cleanup(func() { must(tb, driver.Close()) })
	secret := []byte("0123456789abcdef0123456789abcdef")
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{secret}})
	must(tb, err)
	h.store = &faultyStore{Store: sealed}
	h.auditDir = filepath.Join(dir, "audit")
	h.log, err = audit.Open(tb.Context(), audit.Config{Dir: h.auditDir, Replica: "test", Key: secret, Now: h.clock.Now})
	must(tb, err)
	tb.Cleanup(func() { must(tb, h.log.Close()) })
	h.sessions, err = session.New(session.Config{Store: h.store, Now: h.clock.Now})
	must(tb, err)
	h.table, err = mapping.New(mapping.Config{
		Store: h.store, Recorder: h.log, Now: h.clock.Now, Directories: map[string]mapping.Directory{live: kingdeeTable{}},
	})
	must(tb, err)
	logger := slog.New(slog.NewTextHandler(h.logged, nil))
	h.index = mapping.NewIndex(h.store, logger)
	imports := &admin.Imports{Store: h.store, Now: h.clock.Now, Logger: logger}
	h.inBackground(h.index.Run)
	h.inBackground(imports.Run)
	h.cfg = admin.Config{
		Store: h.store, Sessions: h.sessions, SignIn: h.signIn, Recorder: h.log, Logger: logger, Admins: map[identity.Subject]admin.Role{},
		Secret: identity.NewSecret(string(secret)), BreakGlass: true, SecretFile: h.secret, Now: h.clock.Now,
	}
	for userid, role := range roles {
		h.cfg.Admins[subject(userid)] = role
	}
	for _, f := range adjust {
		f(&h.cfg)
	}
	verifier := &admin.Verifier{
		Store: h.store, Recorder: h.log, Replica: "test", Now: h.clock.Now, Logger: logger,
		Verify: func(ctx context.Context, progress func(done, total uint64)) (audit.Report, error) {
			return audit.Verify(ctx, audit.VerifyConfig{Dir: filepath.Join(dir, "audit"), Key: secret, Progress: progress})
		},
	}
	h.inBackground(verifier.Run)
	tests := h.checkups(logger)
	h.consents, err = consent.New(consent.Config{Store: h.store, Recorder: h.log, Now: h.clock.Now})
	must(tb, err)
	h.build(append([]admin.Page{
		h.overview(logger), &admin.Audit{Log: h.log, Verifier: verifier, Corps: []string{corp}},
		&admin.Personal{Log: h.log, Corps: []string{corp}, Now: h.clock.Now, Holders: []admin.Holder{{Name: "mapping", Find: h.holdings}}},
		&admin.Connections{Book: tests, Peers: func() []string { return []string{"dingtalk/" + corp, "host"} }, Facts: openFacts},
		&admin.ConsentPage{Register: h.consents, Corp: corp, Version: "2", Required: true, Known: func(context.Context) (int, error) { return 40, nil }},
		&admin.SetupPage{Book: tests, Log: h.log, Began: h.clock.Now()},
		&admin.Settings{InForce: inForce, Warnings: []string{"listen.min_version: 1.2 is for old webviews"}, Since: h.clock.Now()},
		&admin.Review{Reviewer: &review.Reviewer{Log: h.log, Rows: h.table, Now: h.clock.Now, Administrators: []review.Administrator{{Person: corp + "/manager01", Role: "admin"}}}, Now: h.clock.Now}, &admin.Mapping{
			Table: h.table, Index: h.index, Imports: imports, Centres: []admin.Centre{{ID: live, Name: "正式账套"}}, Corps: []string{corp}, Suggest: suggested,
		},
	}, h.workPages()...)...)
	return h
}

func wellness(context.Context) []admin.Health {
	return []admin.Health{{Name: "store", OK: true, Words: "ok"}, {Name: "audit", Words: "the disk is full"}}
}

func suggested(context.Context, string) ([]mapping.Suggestion, error) {
	return mapping.Suggest([]identity.Profile{{Subject: subject("77"), Name: "何七"}}, []mapping.Candidate{{StaffNumber: "77", Name: "何七"}}, func(string) bool { return false }), nil
}

func (h *house) inBackground(run func(context.Context)) {
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { run(ctx) })
	h.Cleanup(func() { stop(); group.Wait() })
}

func (h *house) build(pages ...admin.Page) {
	h.Helper()
	var err error
	h.console, err = admin.New(h.cfg, pages...)
	must(h, err)
	must(h, h.console.Prepare(h.Context()))
	assets, err := webAssets()
	must(h, err)
	mux := http.NewServeMux()
	mux.Handle(gateway.ConsolePrefix, h.console)
	mux.Handle("/assets/", assets)
	mux.HandleFunc("GET /signin-as/{userid}", func(w http.ResponseWriter, r *http.Request) {
		who := identity.Assertion{Subject: subject(r.PathValue("userid")), Name: r.URL.Query().Get("name"), Door: identity.DoorBrowser, At: h.clock.Now()}
		if _, err := h.sessions.Start(r.Context(), w, who, identity.Secret{}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, r.URL.Query().Get("next"), http.StatusSeeOther)
	})
	h.Server = httptest.NewServer(from(h.sessions.Wrap(mux)))
	h.Cleanup(h.Close)
	h.URL = strings.Replace(h.URL, "127.0.0.1", "localhost", 1)
}

// peerHeader is the address a test's request comes from; everybody is this
// machine's otherwise.
const peerHeader = "X-Test-Peer"

func from(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer := r.Header.Get(peerHeader); peer != "" {
			r.RemoteAddr = net.JoinHostPort(peer, "40000")
		}
		next.ServeHTTP(w, r)
	})
}

// signIn stands for the gateway: DingTalk proves manager01 at once.
func (h *house) signIn(w http.ResponseWriter, r *http.Request, address string) error {
	http.Redirect(w, r, "/signin-as/manager01?name=林管理&next="+url.QueryEscape(address), http.StatusSeeOther)
	return nil
}

// browser keeps cookies as a browser does, also the secure ones: localhost is safe to it.
type browser struct {
	*house
	cookies map[string]string
}

func (h *house) browser() *browser { return &browser{h, map[string]string{}} }

// answer is one answer, read to its end.
type answer struct {
	*http.Response
	body string
}

func (b *browser) do(method, path string, body io.Reader, headers ...string) answer {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.URL+path, body)
	must(b, err)
	r.Header.Set("Accept-Language", "en")
	if method != http.MethodGet {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	var pairs []string
	for name, value := range b.cookies {
		pairs = append(pairs, name+"="+value)
	}
	if len(pairs) > 0 {
		r.Header.Set("Cookie", strings.Join(pairs, "; "))
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	must(b, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(b, err)
	for _, cookie := range res.Cookies() {
		if cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		} else {
			b.cookies[cookie.Name] = cookie.Value
		}
	}
	return answer{res, string(text)}
}

func (b *browser) get(path string) answer { b.Helper(); return b.do(http.MethodGet, path, nil) }

// post sends a form.
func (b *browser) post(path string, pairs ...string) answer {
	b.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

// send sends JSON.
func (b *browser) send(method, path, body string) answer {
	b.Helper()
	return b.do(method, path, strings.NewReader(body), "Content-Type", "application/json")
}

func (b *browser) prove(userid string) *browser {
	b.Helper()
	if a := b.get("/signin-as/" + userid + "?next=/admin/"); a.StatusCode != http.StatusSeeOther {
		b.Fatalf("sign-in: %d %s", a.StatusCode, a.body)
	}
	return b
}

// enter signs a person in and clicks.
func (h *house) enter(userid string) *browser {
	h.Helper()
	b := h.browser().prove(userid)
	if a := b.post("/admin/enter"); a.StatusCode != http.StatusSeeOther {
		h.Fatalf("%s enters: %d %s", userid, a.StatusCode, a.body)
	}
	return b
}

func (h *house) row(userid, number string) mapping.Entry {
	h.Helper()
	e, err := h.table.Create(h.Context(), mapping.Actor{Name: "cli:test", Admin: true}, mapping.Draft{Key: key(userid), StaffNumber: number, LoginUser: "user" + number})
	must(h, err)
	return e
}

// records are the audit records of an action.
func (h *house) records(action audit.Action) []audit.Record {
	h.Helper()
	found, err := h.log.Search(h.Context(), audit.Query{Action: action, Limit: 1000})
	must(h, err)
	return found
}

func (a answer) has(tb testing.TB, status int, texts ...string) {
	tb.Helper()
	if a.StatusCode != status {
		tb.Fatalf("%s: %d, want %d\n%s", a.Request.URL.Path, a.StatusCode, status, a.main())
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			tb.Fatalf("%s: no %q in\n%s", a.Request.URL.Path, text, a.main())
		}
	}
}

func (h *house) oneTimeSecret() string {
	h.Helper()
	text, err := os.ReadFile(h.secret)
	must(h, err)
	return strings.TrimSpace(string(text))
}

// decode reads a JSON answer.
func decode(t *testing.T, a answer, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%d %v\n%s", a.StatusCode, err, a.body)
	}
}

// main is the beginning of what stands in the page's main part.
func (a answer) main() string {
	_, text, found := strings.Cut(a.body, "<main")
	if !found {
		text = a.body
	}
	return text[:min(len(text), 1500)]
}
