package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
)

// TestOneCodeOneSession proves T1 and F4 at the running gateway: 100 parallel
// posts of one code are one exchange and one session, and the same code from
// another browser is refused.
func TestOneCodeOneSession(t *testing.T) {
	for _, driver := range []string{"sqlite", "redis"} {
		t.Run(driver, func(t *testing.T) {
			tr := start(t, storeArgs(t, driver)...)
			b := newBrowser(t, clientAgent)
			signIn := b.get(tr.gateway + "/launch/kingdee")
			form := url.Values{"code": {tr.authCode(t, "zhangsan")}}
			each(find(signIn.dom, func(n *html.Node) bool { return attr(n, "id") == "signin" }), func(n *html.Node) {
				if name := attr(n, "name"); n.Data == "input" && name != "" && name != "code" {
					form.Set(name, attr(n, "value"))
				}
			})
			sessions, landings := postTogether(t, tr, b, signIn, form, 100)
			if len(sessions) != 1 || landings != 100 {
				t.Errorf("%d sessions from %d good answers, want 1 from 100", len(sessions), landings)
			}
			if n := tr.exchanges(t); n != 1 {
				t.Errorf("%d exchanges, want 1", n)
			}
			thief := newBrowser(t, clientAgent)
			stolen := thief.submit(thief.get(tr.gateway+"/launch/kingdee"), "signin", map[string]string{"code": form.Get("code")})
			if stolen.byID("login-user") != "" || stolen.code() != "KD-102" {
				t.Errorf("a replay from another browser: code %q, landed as %q", stolen.code(), stolen.byID("login-user"))
			}
			if n := tr.exchanges(t); n != 1 {
				t.Errorf("the replay reached DingTalk: %d exchanges", n)
			}
		})
	}
}

// postTogether sends the same form n times at once and tells the session
// cookies handed out and how many answers went on to the launch.
func postTogether(t *testing.T, tr *trial, b *browser, from page, form url.Values, n int) (sessions map[string]bool, landings int) {
	t.Helper()
	sessions = map[string]bool{}
	var mu sync.Mutex
	var together, ready sync.WaitGroup
	ready.Add(1)
	for range n {
		together.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tr.gateway+"/signin/dingtalk", strings.NewReader(form.Encode()))
			if err != nil {
				t.Error(err)
				return
			}
			b.dress(req, from.url.String())
			ready.Wait()
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			if res.StatusCode == http.StatusSeeOther && strings.HasPrefix(res.Header.Get("Location"), "/launch/") {
				landings++
			}
			for _, c := range res.Cookies() {
				if c.Name == "__Host-kdgate" {
					sessions[c.Value] = true
				}
			}
		})
	}
	ready.Done()
	together.Wait()
	return sessions, landings
}

// exchanges counts the calls of getuserinfo that DingTalk saw.
func (tr *trial) exchanges(t *testing.T) (n int) {
	t.Helper()
	res, err := http.Get(tr.workbench + "/sim/calls")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var calls []json.RawMessage
	if err := json.Unmarshal(text, &calls); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
	for _, call := range calls {
		if strings.Contains(string(call), "getuserinfo") {
			n++
		}
	}
	return n
}
