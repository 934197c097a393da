package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"kdgate/audit"
	"kdgate/identity"
)

// T31, F7: only what the server-side list names can be opened.
func TestDeepLinks(t *testing.T) {
	h := newHouse(t, func(cfg *Config) {
		cfg.Forms = append(cfg.Forms, Form{Name: "order", FormID: "SAL_SaleOrder", Types: []string{"bill"}, PK: regexp.MustCompile(`XSDD[0-9]{3}`)},
			Form{Name: "elsewhere", FormID: "X", Types: []string{"list"}, Centres: []string{"other"}})
	})
	b := h.browser(t)
	b.signIn("zhang1")
	for path, want := range map[string]Place{
		"/launch/kingdee":                {},
		"/launch/live":                   {},
		"/launch/live/expense":           {FormID: "ER_ExpReimbursement", Type: "list"},
		"/launch/live/expense/list":      {FormID: "ER_ExpReimbursement", Type: "list"},
		"/launch/live/expense/100042":    {FormID: "ER_ExpReimbursement", Type: "bill", PK: "100042"},
		"/launch/kingdee/stock":          {FormID: "STK_Inventory", Type: "list", Entry: "light"},
		"/launch/kingdee/order/XSDD001":  {FormID: "SAL_SaleOrder", Type: "bill", PK: "XSDD001"},
		"/launch/kingdee/stock?formid=x": {FormID: "STK_Inventory", Type: "list", Entry: "light"},
	} {
		if a := b.get(path); a.StatusCode != 303 {
			t.Errorf("%s: %d", path, a.StatusCode)
			continue
		}
		minted := h.live.mints()
		if got := minted[len(minted)-1]; got != want {
			t.Errorf("%s opens %+v, want %+v", path, got, want)
		}
	}
	before := len(h.live.mints())
	for _, path := range []string{
		"/launch/nowhere", "/launch/live/unknown", "/launch/live/ER_ExpReimbursement/1", "/launch/live/expense/bill", "/launch/live/expense/1x",
		"/launch/live/expense/-1", "/launch/live/expense/123456789012345678901", "/launch/live/stock/1", "/launch/live/order", "/launch/live/order/xXSDD001",
		"/launch/live/order/XSDD001x", "/launch/live/expense/dynamicform", "/launch/Live", "/launch/live/elsewhere", "/launch/kingdee/elsewhere", "/launch/live/expense/%EF%BC%91",
	} {
		for name, who := range map[string]*browser{"signed in": b, "not signed in": h.browser(t)} {
			if a := who.get(path); a.StatusCode != 404 || !strings.Contains(a.text, "KD-301") {
				if path == "/launch/kingdee/elsewhere" && name == "not signed in" {
					continue // whether a data centre is open is known after sign-in
				}
				t.Errorf("%s, %s: %d %q", path, name, a.StatusCode, a.location())
			}
		}
	}
	if n := len(h.live.mints()); n != before {
		t.Errorf("%d links for places that are not listed", n-before)
	}
}

// R2: a queue at Kingdee is a page that comes again by itself; nobody is refused.
func TestQueueAtKingdee(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	b.signIn("zhang1")
	h.chain.faults["zhang1"] = identity.Fail(identity.Throttled, identity.CodeKingdeeBusy, "no turn")
	a := b.get("/launch/kingdee/expense/7?x=1")
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Refresh") != retryAfter || parse(t, a).text("error-code") != "KD-411" {
		t.Errorf("in the queue: %d, refresh %q", a.StatusCode, a.Header.Get("Refresh"))
	}
	delete(h.chain.faults, "zhang1")
	if a := b.get("/launch/kingdee/expense/7?x=1"); a.StatusCode != http.StatusSeeOther || a.Header.Get("Refresh") != "" {
		t.Errorf("served: %d", a.StatusCode)
	}
}

// F5, F12: every broken link of the chain is a page with the code, words for
// both readers in the person's language, and what the helpdesk needs.
func TestBrokenChain(t *testing.T) {
	codes := map[identity.Code]identity.Kind{
		identity.CodeNotMapped: identity.NotFound, identity.CodeNoStaff: identity.NotFound, identity.CodeNoLoginUser: identity.NotFound,
		identity.CodeUserForbidden: identity.Forbidden, identity.CodeManyUsers: identity.Conflict, identity.CodeSuspended: identity.Forbidden,
		identity.CodePrivilegedUser: identity.Forbidden, identity.CodeManyStaff: identity.Conflict, identity.CodeStaffForbidden: identity.Forbidden,
		identity.CodeIdentityChanged: identity.Forbidden, identity.CodeKingdeeDown: identity.Unavailable, identity.CodeKingdeeSetup: identity.Misconfigured,
	}
	h := newHouse(t)
	b := h.browser(t)
	b.signIn("zhang1")
	for code, kind := range codes {
		h.chain.faults["zhang1"] = identity.Fail(kind, code, "private cause %s", "hush")
		want := http.StatusForbidden
		if code[3] == '4' {
			want = http.StatusServiceUnavailable
		}
		a := b.get("/launch/kingdee/expense/7?x=1", "Accept-Language", "en")
		words := h.gateway.pages.Catalogue().In("en")
		if a.StatusCode != want {
			t.Errorf("%s: %d", code, a.StatusCode)
		}
		page := parse(t, a)
		for id, text := range map[string]string{"error-code": string(code), "error-userid": "zhang1", "request-id": a.Header.Get("X-Request-Id")} {
			if got := page.text(id); got != text {
				t.Errorf("%s: %s is %q, want %q", code, id, got, text)
			}
		}
		if when := page.text("error-time"); !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\+08:00$`).MatchString(when) {
			t.Errorf("%s: time %q", code, when)
		}
		all := page.all()
		if !strings.Contains(all, words.Employee(code)) || !strings.Contains(all, words.Helpdesk(code)) || strings.Contains(all, "hush") {
			t.Errorf("%s: page says %s", code, all)
		}
		if href := page.attr("retry", "href"); href != "/launch/kingdee/expense/7?x=1" {
			t.Errorf("%s: retry leads to %q", code, href)
		}
	}
	if n := len(h.live.mints()); n != 0 {
		t.Errorf("%d links", n)
	}
	records := h.audit.of(audit.ActionMint)
	if len(records) != len(codes) {
		t.Errorf("%d records for %d refusals", len(records), len(codes))
	}
	for _, e := range records {
		if e.Outcome == audit.OK || e.Reason == "" || e.Actor != "dingcorp1/zhang1" || e.DataCentre != "live" {
			t.Errorf("record %+v", e)
		}
	}
}

// T41: the chain is read at every launch, not at sign-in.
func TestStatusIsReadAtMint(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	b.signIn("zhang1")
	if a := b.get("/launch/kingdee"); a.StatusCode != 303 {
		t.Fatalf("%d", a.StatusCode)
	}
	h.chain.faults["zhang1"] = identity.Fail(identity.Forbidden, identity.CodeSuspended, "left")
	if a := b.get("/launch/kingdee"); a.StatusCode != 403 || len(h.live.mints()) != 1 {
		t.Errorf("%d, %d links", a.StatusCode, len(h.live.mints()))
	}
}

// foreseer notes who is announced, and for which data centre.
type foreseer struct {
	mu    sync.Mutex
	lines []string
}

func (f *foreseer) Expect(_ context.Context, who identity.Assertion, dataCentre string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, who.Subject.UserID+" "+dataCentre)
}

// R10: the launch after a sign-in has the row read beside the session where it
// meets another replica, and there alone; what a browser makes up is no hint, and
// neither is one that is old.
func TestHintedLaunch(t *testing.T) {
	p := newTwins(t)
	here, there := &foreseer{}, &foreseer{}
	p.here.cfg.Foreseer, p.there.cfg.Foreseer = here, there
	b := p.browser(t)
	b.signIn("zhang1")
	if got := strings.Join(here.lines, "; "); got != "zhang1 live" { // by the sign-in
		t.Fatalf("%q", got)
	}
	launch := func(want string, seen *foreseer) {
		t.Helper()
		seen.lines = nil
		if a := b.get("/launch/kingdee"); a.StatusCode != 303 {
			t.Errorf("%d", a.StatusCode)
		}
		if got := strings.Join(seen.lines, "; "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	launch("", here)
	p.turn.Store(p.there)
	launch("zhang1 live", there)
	p.clock.Advance(2*hintLife + time.Second)
	launch("", there)

	request := func(values ...string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/launch/kingdee", nil)
		for _, value := range values {
			r.AddCookie(&http.Cookie{Name: hintCookie, Value: value})
		}
		return r
	}
	text, err := json.Marshal(hint{Who: identity.Subject{Corp: corpOne, UserID: "wang2"}, At: p.clock.Now(), Centre: "live"})
	if err != nil {
		t.Fatal(err)
	}
	good, err := p.here.states.box(0, text, hintPurpose)
	if err != nil {
		t.Fatal(err)
	}
	state, err := p.here.states.box(0, text, statePurpose)
	if err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string][]*http.Request{
		"wang2 live": {request(good)},
		"":           {request(), request(good, good), request(state), request(good[1:]), request(strings.Repeat("A", maxHint+1))},
	} {
		for i, r := range r {
			there.lines = nil
			p.there.takeHint(r).Wait()
			if got := strings.Join(there.lines, "; "); got != want {
				t.Errorf("%d: %q, want %q", i, got, want)
			}
		}
	}
}

// R10: the resolver is told who comes where a sign-in leads to one data centre,
// and of nobody where it leads elsewhere, must be chosen, or was refused.
func TestForeseen(t *testing.T) {
	for place, want := range map[string]string{
		"/launch/kingdee": "zhang1 live", "/launch/live": "zhang1 live", "/launch/kingdee/stock?x=1": "zhang1 live",
		"/launch/live/expense/100042": "zhang1 live",
	} {
		f := &foreseer{}
		h := newHouse(t, func(c *Config) { c.Foreseer = f })
		b := h.browser(t)
		h.dingtalk.give("auth-1", corpOne, "zhang1")
		form := b.form(b.open(place), "auth-1")
		if a := b.post(form); a.StatusCode != 303 {
			t.Fatalf("%s: %d", place, a.StatusCode)
		}
		b.post(form) // a repeat is no sign-in
		h.browser(t).post(form)
		if got := strings.Join(f.lines, "; "); got != want {
			t.Errorf("%s: %q, want %q", place, got, want)
		}
	}
	h := newHouse(t)
	h.twoCentres(&h.gateway.cfg)
	for place, want := range map[wanted]string{
		{Path: "/launch/kingdee"}: "", {Path: "/launch/live"}: "live", {Path: "/launch/live", Origin: "https://app.test"}: "",
		{Path: "/launch/%zz"}: "", {Path: "/launch/nowhere"}: "", {Path: "/launch/live/unknown"}: "", {Path: "/forward-auth"}: "", {Path: "/"}: "",
	} {
		if got := h.gateway.heading(place); got != want {
			t.Errorf("%+v leads to %q, want %q", place, got, want)
		}
	}
}

// T8: before somebody is proven, unknown, unmapped and suspended people look alike.
func TestUnprovenLookAlike(t *testing.T) {
	h := newHouse(t)
	h.chain.faults["suspended"] = identity.Fail(identity.Forbidden, identity.CodeSuspended, "left")
	h.chain.faults["unmapped"] = identity.Fail(identity.NotFound, identity.CodeNotMapped, "none")
	var texts []string
	for _, code := range []string{"code-of-nobody", "code-of-suspended", "code-of-unmapped", "code-of-zhang1"} {
		b := h.browser(t)
		a := b.post(b.form(b.open("/launch/kingdee"), code), "Accept", "application/json")
		text := regexp.MustCompile(`state=[^"]+|"request_id":"[^"]+"`).ReplaceAllString(a.text, "")
		texts = append(texts, a.Status+text)
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%q is not %q", text, texts[0])
		}
	}
}

// T8: nor can they be told apart by time: the medians of 2,000 refusals, for
// four kinds of people that the request names in turn, are within 5 ms.
func TestUnprovenTakeAsLong(t *testing.T) {
	h := newHouse(t, func(cfg *Config) {
		cfg.Limits = Limits{PerAddress: 1e6, AddressSize: 1e6, Global: 1e6, GlobalSize: 1e6, OpenPerAddress: 1e6, OpenTotal: 1e6}
	})
	h.chain.faults["suspended"] = identity.Fail(identity.Forbidden, identity.CodeSuspended, "left")
	h.chain.faults["unmapped"] = identity.Fail(identity.NotFound, identity.CodeNotMapped, "none")
	h.gateway.tarpit = nil // it slows floods down, whoever they name
	kinds := []string{"nobody", "suspended", "unmapped", "zhang1"}
	took := map[string][]time.Duration{}
	for i := range 2000 {
		kind := kinds[i%len(kinds)]
		browser := identity.NewSecret(fmt.Sprintf("%04d", i) + strings.Repeat("A", 39))
		st, err := h.gateway.states.create(browser, signIn{Corp: corpOne, Wanted: wanted{Path: "/launch/kingdee", Query: "userid=" + kind}})
		if err != nil {
			t.Fatal(err)
		}
		form := url.Values{
			"state": {st.state}, "nonce": {h.gateway.states.nonce(st, browser)}, "code": {fmt.Sprintf("code-of-%s-%d", kind, i)}, "userid": {kind},
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, h.URL+"/signin/dingtalk?userid="+kind, strings.NewReader(form.Encode()))
		r.RequestURI = "/signin/dingtalk?userid=" + kind
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", browserCookie+"="+browser.Reveal())
		r.RemoteAddr = fmt.Sprintf("198.51.100.%d:1", i/len(kinds)%100) // one address would be held back
		w := httptest.NewRecorder()
		began := time.Now()
		h.gateway.ServeHTTP(w, r)
		took[kind] = append(took[kind], time.Since(began))
		if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "KD-102") {
			t.Fatalf("%s: %d %.200s", kind, w.Code, w.Body)
		}
	}
	if n := len(h.dingtalk.called()); n != 2000 {
		t.Errorf("%d exchanges", n)
	}
	var medians []time.Duration
	for _, kind := range kinds {
		slices.Sort(took[kind])
		medians = append(medians, took[kind][len(took[kind])/2])
	}
	if apart := slices.Max(medians) - slices.Min(medians); apart >= 5*time.Millisecond {
		t.Errorf("medians of %v are %v: %v apart", kinds, medians, apart)
	}
}

// T111: no record, no link; a link that cannot be minted leaves a second record.
func TestMintOrder(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	b.signIn("zhang1")
	h.audit.breakWith(errBroken)
	if a := b.get("/launch/kingdee"); a.StatusCode != 503 || !strings.Contains(a.text, "KD-502") || len(h.live.mints()) != 0 {
		t.Errorf("audit down: %d, %d links", a.StatusCode, len(h.live.mints()))
	}
	h.audit.breakWith(nil)
	h.live.fault = errBroken
	if a := b.get("/launch/kingdee"); a.StatusCode != 500 || a.location() != "" {
		t.Errorf("mint fails: %d %q", a.StatusCode, a.location())
	}
	if got := h.audit.of(audit.ActionMint); len(got) != 2 || got[0].Outcome != audit.OK || got[1].Outcome != audit.Failed || got[1].Reason != "KD-500" {
		t.Errorf("records %+v", got)
	}
}

// T30: what is minted must be an address and nothing else.
func TestSafeLink(t *testing.T) {
	for link, want := range map[string]bool{
		"https://erp.example.com/K3Cloud/html5/index.aspx?ud=a%2B": true, "http://erp/K3Cloud/": true, "K3cloud://erp:80/k3cloud/x": true,
		"": false, "javascript:alert(1)": false, "//evil": false, "https://": false, "https://a b": false, "https://a\r\nX: y": false, "data://x": false,
	} {
		if got := safeLink(identity.NewSecret(link)); got != want {
			t.Errorf("%q: %v", link, got)
		}
	}
}

// F12: with several data centres a person chooses once; the choice is theirs.
func TestChooser(t *testing.T) {
	h := newHouse(t, func(cfg *Config) {
		cfg.DataCentres = append(cfg.DataCentres, DataCentre{ID: "test", Name: "测试账套", ServiceProvider: &kingdee{base: "https://test.kingdee.test"}})
		cfg.Forms = append(cfg.Forms, Form{Name: "trial", FormID: "T", Types: []string{"list"}, Centres: []string{"test"}})
	})
	b := h.browser(t)
	b.signIn("zhang1")
	a := b.get("/launch/kingdee/expense/7")
	if a.StatusCode != 200 || a.field(t, "form") != "expense" || a.field(t, "id") != "7" || !strings.Contains(a.text, "测试账套") {
		t.Fatalf("chooser: %d %s", a.StatusCode, a.text)
	}
	choice := url.Values{"centre": {"test"}, "form": {"expense"}, "id": {"7"}}
	if a := b.do(http.MethodPost, "/launch/choose", choice, "Sec-Fetch-Site", "cross-site"); a.StatusCode != 403 {
		t.Errorf("cross-site choice: %d", a.StatusCode)
	}
	if a := b.do(http.MethodPost, "/launch/choose", choice); a.StatusCode != 303 || a.location() != "/launch/test/expense/7" {
		t.Errorf("choice: %d %q", a.StatusCode, a.location())
	}
	if a := b.get("/launch/kingdee"); !strings.HasPrefix(a.location(), "https://test.kingdee.test/") {
		t.Errorf("remembered: %d %q", a.StatusCode, a.location())
	}
	other := h.browser(t)
	other.signIn("li2")
	if a := other.get("/launch/kingdee"); a.StatusCode != 200 {
		t.Errorf("another person: %d %q", a.StatusCode, a.location())
	}
	if a := other.get("/launch/kingdee/trial"); !strings.HasPrefix(a.location(), "https://test.kingdee.test/") {
		t.Errorf("form of one data centre: %d %q", a.StatusCode, a.location())
	}
	for _, bad := range []url.Values{{"centre": {"nowhere"}}, {"centre": {"kingdee"}}, {"centre": {"test"}, "form": {"x"}}, {"centre": {"live"}, "form": {"trial"}}} {
		if a := other.do(http.MethodPost, "/launch/choose", bad); a.StatusCode != 404 {
			t.Errorf("%v: %d %q", bad, a.StatusCode, a.location())
		}
	}
	if a := h.browser(t).do(http.MethodPost, "/launch/choose", choice); a.StatusCode != 401 {
		t.Errorf("nobody's choice: %d", a.StatusCode)
	}
}

// The start page, signed in and not.
func TestHome(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	if page := parse(t, b.get("/")); page.attr("open", "href") != "/launch/kingdee" {
		t.Error("no way to sign in")
	}
	b.signIn("zhang1")
	page := parse(t, b.get("/"))
	if !strings.Contains(page.all(), "名字 zhang1") || page.attr("open", "href") != "/launch/kingdee" || page.node("signout") == nil {
		t.Errorf("start page: %s", page.all())
	}
}

// T102 as far as these pages: a hostile display name stays text.
func TestHostileName(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.mu.Lock()
	h.dingtalk.codes["auth-1"] = identity.Assertion{Subject: identity.Subject{Corp: corpOne, UserID: `"><script>`}, Name: `</h1><script>alert(1)</script><img src=x onerror=alert(1)>`}
	h.dingtalk.mu.Unlock()
	b.post(b.form(b.open("/launch/kingdee"), "auth-1"))
	a := b.get("/")
	if strings.Contains(a.text, "<script>alert") || strings.Contains(a.text, "<img src=x") || !strings.Contains(a.text, "&lt;script&gt;") {
		t.Errorf("page: %s", a.text)
	}
}

// T29, T6: after a whole day's traffic with canaries, none of them stands in the
// log, the audit events, the pages or the store.
func TestNoSecretsAnywhere(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	var pages strings.Builder
	see := func(a answer) answer { pages.WriteString(a.text); return a }
	h.dingtalk.give("CODECANARY1", corpOne, "zhang1")
	form := b.form(see(b.open("/launch/kingdee/stock")), "CODECANARY1")
	see(b.post(form))
	see(b.post(form, "Accept", "application/json"))
	see(b.get("/launch/kingdee/stock"))
	see(b.get("/"))
	see(b.get("/signin/dingtalk/callback?code=CODECANARY2&authCode=CODECANARY3&state=x"))
	see(b.get("/launch/nowhere?code=CODECANARY4"))
	see(b.get("/nothing?code=CODECANARY4"))
	other := h.browser(t)
	see(other.post(other.form(see(other.open("/launch/kingdee")), "CODECANARY1")))
	see(other.post(other.form(see(other.open("/launch/kingdee")), "CODECANARY\r\n")))
	base, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{"CODECANARY", "LINKCANARY", form.Get("nonce"), strings.Repeat("k", 32)}
	for _, c := range b.Jar.Cookies(base) {
		secrets = append(secrets, c.Value)
	}
	ticket := see(b.do(http.MethodPost, "/handover", url.Values{}, "Accept", "application/json")).text
	_, ticket, _ = strings.Cut(ticket, "/handover/")
	see(h.browser(t).get("/handover/" + ticket[:43]))
	records, err := json.Marshal(h.audit.events)
	if err != nil {
		t.Fatal(err)
	}
	secretsOfPages := []string{"LINKCANARY", "CODECANARY"}
	for place, held := range map[string]struct {
		text    string
		secrets []string
	}{
		"log": {h.log.String(), append(secrets, ticket[:43], form.Get("state"))}, "audit": {string(records), append(secrets, ticket[:43], form.Get("state"))},
		"store": {h.store.dump(), append(secrets, ticket[:43], form.Get("state"))}, "pages": {pages.String(), secretsOfPages},
	} {
		if len(held.text) == 0 {
			t.Errorf("%s is empty: nothing was looked at", place)
		}
		for _, secret := range held.secrets {
			if strings.Contains(held.text, secret) {
				t.Errorf("%s holds %q", place, secret)
			}
		}
	}
}

// document is a parsed page.
type document struct{ root *html.Node }

func parse(t *testing.T, a answer) document {
	t.Helper()
	root, err := html.Parse(strings.NewReader(a.text))
	if err != nil {
		t.Fatal(err)
	}
	return document{root}
}

func (d document) node(id string) *html.Node {
	for n := range d.root.Descendants() {
		for _, attr := range n.Attr {
			if attr.Key == "id" && attr.Val == id {
				return n
			}
		}
	}
	return nil
}

func (d document) attr(id, name string) string {
	if n := d.node(id); n != nil {
		for _, attr := range n.Attr {
			if attr.Key == name {
				return attr.Val
			}
		}
	}
	return ""
}

func (d document) text(id string) string {
	n := d.node(id)
	if n == nil {
		return ""
	}
	return document{n}.all()
}

func (d document) all() string {
	var text strings.Builder
	for n := range d.root.Descendants() {
		if n.Type == html.TextNode {
			text.WriteString(n.Data)
		}
	}
	return strings.TrimSpace(text.String())
}
