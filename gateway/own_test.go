package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
)

// diary is a person's sessions and sign-ins in memory.
type diary struct {
	mu      sync.Mutex
	open    map[string][]OwnSession // by userid
	records []audit.Record
	ended   []string // userid and handle
	fault   error
}

func (d *diary) Sessions(_ context.Context, who identity.Subject) ([]OwnSession, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.open[who.UserID]), d.fault
}

func (d *diary) EndSession(_ context.Context, who identity.Subject, handle string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = append(d.ended, who.UserID+" "+handle)
	if handle == "gone" {
		return identity.Fail(identity.NotFound, "", "over already")
	}
	return nil
}

func (d *diary) SignIns(_ context.Context, who identity.Subject, limit int) ([]audit.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if limit != 10 || who.UserID != "zhang1" {
		return nil, fmt.Errorf("asked for %d of %s", limit, who.UserID)
	}
	return d.records, d.fault
}

func (d *diary) breakWith(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = err
}

func (d *diary) taken() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.ended
	d.ended = nil
	return taken
}

// newDiary has the session of this browser, which is the house's first, two others
// of the same person, and one of somebody else.
func newDiary() *diary {
	at := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	return &diary{
		open: map[string][]OwnSession{
			"zhang1": {
				{Handle: "s1", Door: identity.DoorInClient, Started: at, LastSeen: at, Source: "192.0.2.1", UserAgent: "AliApp(DingTalk/7.8.1) com.laiwang.DingTalk"},
				{Handle: "s7", Door: identity.DoorBrowser, Started: at, LastSeen: at.Add(time.Hour), Source: "192.0.2.7", UserAgent: "Mozilla/5.0"},
				{Handle: "gone", Door: identity.DoorInClient, Started: at, Source: "192.0.2.8", UserAgent: "dingtalk-win/1.0.0 nw(0.14.7) DingTalk(7.8.10)"},
			},
			"li2": {{Handle: "s9"}},
		},
		records: []audit.Record{{At: at, Event: audit.Event{
			Action: audit.ActionMint, Outcome: audit.Refused, Reason: "KD-203", DataCentre: "live", Source: "192.0.2.1\u202e", Door: "in-client",
		}}},
	}
}

// F9, F14: a person sees where they are signed in, which of it is this browser, and
// how they came in lately; without a session they sign in first and come back.
func TestOwnPage(t *testing.T) {
	book := newDiary()
	h := newHouse(t, func(cfg *Config) { cfg.Own = book })
	b := h.browser(t)
	h.dingtalk.give("code1", corpOne, "zhang1")
	a := b.post(b.form(b.open("/me"), "code1"))
	if a.StatusCode != http.StatusSeeOther || a.location() != "/me" {
		t.Fatalf("after the sign-in: %d %s", a.StatusCode, a.location())
	}
	page := b.get("/me", "Accept-Language", "en")
	if page.StatusCode != http.StatusOK || page.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", page.StatusCode, page.Header)
	}
	for _, want := range []string{
		"this browser", "DingTalk on a phone", "DingTalk on a computer", "192.0.2.7", "2026-03-02 10:00 UTC", `value="s7"`, `value="gone"`, `id="end-others"`, "KD-203", "正式账套",
	} {
		if !strings.Contains(page.text, want) {
			t.Errorf("%q is not on the page: %s", want, page.text)
		}
	}
	for _, never := range []string{`value="s1"`, "s9", "\u202e"} {
		if strings.Contains(page.text, never) {
			t.Errorf("%q is on the page", never)
		}
	}
	if home := b.get("/"); !strings.Contains(home.text, `href="/me"`) {
		t.Error("the start page does not lead there")
	}
	book.breakWith(identity.Fail(identity.Unavailable, identity.CodeStoreDown, "away"))
	if page := b.get("/me"); page.StatusCode != http.StatusServiceUnavailable || strings.Contains(page.text, "s7") {
		t.Errorf("not to be asked: %d %s", page.StatusCode, page.text)
	}
	plain := newHouse(t)
	if a := plain.browser(t).get("/me"); a.StatusCode != http.StatusNotFound {
		t.Errorf("a gateway without it: %d", a.StatusCode)
	}
}

// F9, T111: one other session or all others end, on record first; this browser's own
// and other people's never do, whatever is posted.
func TestEndOwnSessions(t *testing.T) {
	book := newDiary()
	h := newHouse(t, func(cfg *Config) { cfg.Own = book })
	b := h.browser(t)
	if a := b.do(http.MethodPost, "/me/end", url.Values{"session": {"s7"}}); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %d", a.StatusCode)
	}
	b.signIn("zhang1")
	for _, c := range []struct {
		session string
		want    []string
	}{
		{"s7", []string{"zhang1 s7"}},
		{"others", []string{"zhang1 s7", "zhang1 gone"}},
		{"gone", []string{"zhang1 gone"}}, // somebody was quicker
		{"s1", nil},
		{"s9", nil},
		{"", nil},
	} {
		before := len(h.audit.of(audit.ActionSessionEnd))
		a := b.do(http.MethodPost, "/me/end", url.Values{"session": {c.session}})
		if a.StatusCode != http.StatusSeeOther || a.location() != "/me" {
			t.Errorf("%q: %d %s", c.session, a.StatusCode, a.location())
		}
		if got := book.taken(); !slices.Equal(got, c.want) {
			t.Errorf("%q ended %q, want %q", c.session, got, c.want)
		}
		events := h.audit.of(audit.ActionSessionEnd)[before:]
		if recorded := len(events) == 1 && events[0].Actor == corpOne+"/zhang1" && events[0].Target == events[0].Actor; recorded != (c.want != nil) {
			t.Errorf("%q on record: %+v", c.session, events)
		}
	}
	if a := b.do(http.MethodPost, "/me/end", url.Values{"session": {"others"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"); a.StatusCode != http.StatusForbidden || book.taken() != nil {
		t.Errorf("from elsewhere: %d (T101)", a.StatusCode)
	}
	h.audit.breakWith(errBroken)
	if a := b.do(http.MethodPost, "/me/end", url.Values{"session": {"s7"}}); a.StatusCode != http.StatusServiceUnavailable || book.taken() != nil {
		t.Errorf("without a record: %d, nothing may end", a.StatusCode)
	}
}
