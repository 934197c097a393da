package gateway

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
)

// book is a book of requests in memory.
type book struct {
	mu     sync.Mutex
	wishes map[string]Wish // by userid and data centre
	codes  []identity.Code
	fault  error
}

func newBook() *book { return &book{wishes: map[string]Wish{}} }

func (b *book) Ask(_ context.Context, who identity.Assertion, centre string, code identity.Code) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault != nil {
		return b.fault
	}
	b.wishes[who.Subject.UserID+" "+centre] = Wish{State: WishOpen, Asked: time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)}
	b.codes = append(b.codes, code)
	return nil
}

func (b *book) Wish(_ context.Context, who identity.Subject, centre string) (Wish, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wishes[who.UserID+" "+centre], b.fault
}

func (b *book) set(userid string, w Wish) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wishes[userid+" live"] = w
}

func (b *book) breakWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = err
}

// unmapped is a person with a session whose chain breaks with a code.
func unmapped(t *testing.T, h *house, userid string, code identity.Code) *browser {
	t.Helper()
	b := h.browser(t)
	b.signIn(userid)
	h.chain.mu.Lock()
	defer h.chain.mu.Unlock()
	h.chain.faults[userid] = identity.Fail(identity.Forbidden, code, "no row")
	return b
}

var accessForm = url.Values{"centre": {"live"}, "next": {"/launch/live/expense"}}

// F11: whoever is not mapped sees who they are, what is missing and one button,
// and after it how their request stands, on the very page they wanted.
func TestAskingForAccess(t *testing.T) {
	requests := newBook()
	h := newHouse(t, func(cfg *Config) { cfg.Access = requests })
	b := unmapped(t, h, "zhang1", identity.CodeNotMapped)
	page := b.get("/launch/live/expense")
	if page.StatusCode != http.StatusForbidden || !strings.Contains(page.text, `id="ask"`) || page.field(t, "centre") != "live" || !strings.Contains(page.text, "zhang1") {
		t.Fatalf("%d %s", page.StatusCode, page.text)
	}
	a := b.do(http.MethodPost, "/access", url.Values{"centre": {"live"}, "next": {page.field(t, "next")}})
	if a.StatusCode != http.StatusSeeOther || a.location() != "/launch/live/expense" {
		t.Fatalf("%d %s", a.StatusCode, a.location())
	}
	page = b.get(a.location())
	if strings.Contains(page.text, `id="ask"`) || !strings.Contains(page.text, `id="asked"`) || !strings.Contains(page.text, "2026-03-02 09:00 UTC") {
		t.Errorf("asked: %s", page.text)
	}
	if len(requests.codes) != 1 || requests.codes[0] != identity.CodeNotMapped {
		t.Errorf("%v", requests.codes)
	}
	requests.set("zhang1", Wish{State: WishRefused, Reason: "<b>请先办理入职"})
	if page = b.get("/launch/live"); !strings.Contains(page.text, "&lt;b&gt;请先办理入职") || !strings.Contains(page.text, `id="ask"`) {
		t.Errorf("refused: %s", page.text)
	}
	requests.set("zhang1", Wish{State: WishGranted})
	if page = b.get("/launch/live"); !strings.Contains(page.text, `id="granted"`) {
		t.Errorf("granted: %s", page.text)
	}
}

// F11: asking is for the person of the session, from our own page, about a
// chain that somebody can mend; it leads back to a place of ours only.
func TestWhoMayAskForAccess(t *testing.T) {
	requests := newBook()
	h := newHouse(t, func(cfg *Config) { cfg.Access = requests })
	if a := h.browser(t).do(http.MethodPost, "/access", accessForm); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %d", a.StatusCode)
	}
	b := unmapped(t, h, "zhang1", identity.CodeNoLoginUser)
	if a := b.do(http.MethodPost, "/access", accessForm, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"); a.StatusCode != http.StatusForbidden {
		t.Errorf("from elsewhere: %d (T101)", a.StatusCode)
	}
	if a := b.do(http.MethodPost, "/access", url.Values{"centre": {"no-such"}}); a.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown data centre: %d", a.StatusCode)
	}
	for _, next := range []string{"//evil.test/launch/", "https://evil.test/", "/launch/..%2f..", "/signout", "/launch/\\evil.test", ""} {
		if a := b.do(http.MethodPost, "/access", url.Values{"centre": {"live"}, "next": {next}}); a.location() != "/launch/live" {
			t.Errorf("next %q leads to %q (T58)", next, a.location())
		}
	}
	suspended := unmapped(t, h, "li2", identity.CodeSuspended)
	if page := suspended.get("/launch/live"); strings.Contains(page.text, `id="ask"`) {
		t.Error("a suspended person is offered to ask")
	}
	if a := suspended.do(http.MethodPost, "/access", accessForm); a.StatusCode != http.StatusForbidden {
		t.Errorf("a suspended person asks: %d", a.StatusCode)
	}
	mapped := h.browser(t)
	mapped.signIn("wang3")
	before := len(requests.codes)
	if a := mapped.do(http.MethodPost, "/access", accessForm); a.StatusCode != http.StatusSeeOther || len(requests.codes) != before {
		t.Errorf("somebody whose chain holds: %d", a.StatusCode)
	}
}

// A book that cannot be read costs the button, not the page; without a book
// there is neither.
func TestAccessWithoutABook(t *testing.T) {
	requests := newBook()
	h := newHouse(t, func(cfg *Config) { cfg.Access = requests })
	b := unmapped(t, h, "zhang1", identity.CodeNotMapped)
	requests.breakWith(identity.Fail(identity.Unavailable, identity.CodeStoreDown, "%w", errBroken))
	if page := b.get("/launch/live"); page.StatusCode != http.StatusForbidden || strings.Contains(page.text, `id="ask"`) || !strings.Contains(page.text, "KD-201") {
		t.Errorf("%d %s", page.StatusCode, page.text)
	}
	if a := b.do(http.MethodPost, "/access", accessForm); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("asking: %d", a.StatusCode)
	}
	h = newHouse(t)
	b = unmapped(t, h, "zhang1", identity.CodeNotMapped)
	if page := b.get("/launch/live"); strings.Contains(page.text, `id="ask"`) {
		t.Error("a button that leads nowhere")
	}
	if a := b.do(http.MethodPost, "/access", accessForm); a.StatusCode != http.StatusNotFound {
		t.Errorf("asking nobody: %d", a.StatusCode)
	}
}
