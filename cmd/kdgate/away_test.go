package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestDingTalkIsGone proves R28 for DingTalk: with nobody listening there, who has
// a session still gets into Kingdee, whose word on them is asked as ever; nobody
// new comes in, and is told whose fault it is within the eight seconds of R18; a
// suspension shuts the session's door at once, and when DingTalk is back so is
// everybody.
func TestDingTalkIsGone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
	g := h.start()
	inside, leaver := g.wantSignIn("zhangsan", "zhangsan"), g.wantSignIn("lisi", "李四（财务）")
	stranger := g.visitor()
	_, door := stranger.launch()
	form := stranger.form(door, "zhangsan") // the code is made; exchanging it will not be possible
	back := h.dingtalkGone()

	link, _ := inside.launch()
	if link == "" {
		t.Fatalf("a live session is sent to sign in again\n%s", g.log())
	}
	if got := g.land(link); got != "zhangsan" {
		t.Errorf("landed as %q", got)
	}
	began := time.Now()
	res, page, err := stranger.ask(http.MethodPost, "/signin/dingtalk", form)
	must(t, err)
	if again := res.Header.Get("Location"); strings.HasPrefix(again, "/signin") { // R25: begun again once, as nobody knows whether the code was used
		res, page, err = stranger.ask(http.MethodPost, "/signin/dingtalk", stranger.form(again, "zhangsan"))
		must(t, err)
	}
	if took := time.Since(began); res.StatusCode < 500 || !strings.Contains(page, "KD-111") || took > 8*time.Second {
		t.Errorf("status %d after %v:\n%.400s", res.StatusCode, took, page)
	}
	h.run("mapping", "suspend", "lisi").want(t, 0)
	res, page, err = leaver.ask(http.MethodGet, "/launch/kingdee", url.Values(nil))
	must(t, err)
	if res.StatusCode != http.StatusForbidden || !strings.Contains(page, "KD-206") {
		t.Errorf("suspended meanwhile: %d\n%.300s", res.StatusCode, page)
	}
	back()
	for end := time.Now().Add(10 * time.Second); ; { // R26
		v := g.visitor()
		_, door := v.launch()
		res, _, err := v.ask(http.MethodPost, "/signin/dingtalk", v.form(door, "zhangsan"))
		must(t, err)
		if res.StatusCode == http.StatusSeeOther {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("still %d", res.StatusCode)
		}
		<-time.After(200 * time.Millisecond)
	}
}

// dingtalkGone refuses every connection to DingTalk until it is back.
func (h *house) dingtalkGone() (back func()) {
	h.gate.mu.Lock()
	defer h.gate.mu.Unlock()
	h.gate.gone = true
	return func() {
		h.gate.mu.Lock()
		defer h.gate.mu.Unlock()
		h.gate.gone = false
	}
}
