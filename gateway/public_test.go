package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// public is what a stranger gets of every route, and who may frame the answer:
// DingTalk, or nobody.
var public = map[string]struct {
	path   string
	status int
	framed bool
}{
	"GET /{$}":                         {"/", 200, true},
	"GET /signin":                      {"/signin", 303, false},
	"POST /signin/dingtalk":            {"/signin/dingtalk", 401, false},
	"GET /signin/dingtalk/oauth":       {"/signin/dingtalk/oauth", 401, false},
	"GET /signin/dingtalk/callback":    {"/signin/dingtalk/callback", 303, false},
	"GET /launch/{target}":             {"/launch/kingdee", 303, false},
	"GET /launch/{target}/{form}":      {"/launch/kingdee/stock", 303, false},
	"GET /launch/{target}/{form}/{id}": {"/launch/kingdee/expense/1", 303, false},
	"POST /launch/choose":              {"/launch/choose", 401, false},
	"POST /access":                     {"/access", 404, false}, // nobody can ask in this house
	"GET /consent":                     {"/consent", 404, false},
	"POST /consent":                    {"/consent", 404, false},
	"GET /me":                          {"/me", 404, false}, // nobody sees their sessions in this house
	"POST /me/end":                     {"/me/end", 404, false},
	"POST /signout":                    {"/signout", 303, false},
	"GET /signed-out":                  {"/signed-out", 200, true},
	"POST /handover":                   {"/handover", 401, false},
	"GET /handover/{ticket}":           {"/handover/x", 401, false},
	"POST /handover/{ticket}":          {"/handover/x", 401, false},
	"GET /forward-auth":                {"/forward-auth", 401, false},
	"GET /forward-auth/signin":         {"/forward-auth/signin", 303, false},
	"GET /forward-auth/enter":          {"/forward-auth/enter", 401, false},
	"GET /_kdgate/start":               {"/_kdgate/start", 404, false},
	"GET /_kdgate/callback":            {"/_kdgate/callback", 404, false},
	"GET /assets/{path...}":            {"/assets/x.css", 404, false},
}

// T48: what is public is the list above, each by its exact path; no query,
// method override or user agent makes it more, and no neighbour of a path is
// one. A route that is not on the list fails here. T13: of all of them only
// pages that are shown inside DingTalk may be framed, and by DingTalk alone.
func TestPublicRoutes(t *testing.T) {
	h := newHouse(t)
	if got, want := slices.Sorted(maps.Keys(h.gateway.routes())), slices.Sorted(maps.Keys(public)); !slices.Equal(got, want) {
		t.Fatalf("the routes are\n%q, the list has\n%q", got, want)
	}
	for pattern, want := range public {
		method, _, _ := strings.Cut(pattern, " ")
		ask := func(path string, headers ...string) answer {
			var body url.Values
			if method == http.MethodPost {
				body = url.Values{}
			}
			return h.browser(t).do(method, path, body, headers...)
		}
		plain := ask(want.path)
		if plain.StatusCode != want.status {
			t.Errorf("%s: %d, want %d", pattern, plain.StatusCode, want.status)
		}
		frames := "frame-ancestors 'none'"
		if want.framed {
			frames = "frame-ancestors 'self' https://*.dingtalk.com"
		}
		if policy := plain.Header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, frames) {
			t.Errorf("%s: policy %q", pattern, policy)
		}
		for _, headers := range [][]string{
			{"X-HTTP-Method-Override", "GET"},
			{"X-HTTP-Method", "PUT"},
			{"X-Method-Override", "DELETE"},
			{"X-Original-URL", "/signed-out"},
			{"X-Rewrite-URL", "/signed-out"},
			{"User-Agent", ""},
			{"User-Agent", "kube-probe/1.30"},
			{"User-Agent", "Googlebot"},
			{"X-Forwarded-Uri", "/signed-out"},
			{"Authorization", "Bearer x"},
		} {
			if a := ask(want.path, headers...); a.StatusCode != want.status {
				t.Errorf("%s with %q: %d, want %d", pattern, headers, a.StatusCode, want.status)
			}
		}
		for _, query := range []string{"?_method=POST", "?admin=true&debug=1&userid=zhang1", "?path=/signed-out", "?/signed-out", "?%2e%2e/signed-out"} {
			if a := ask(want.path + query); a.StatusCode != want.status {
				t.Errorf("%s with %s: %d, want %d", pattern, query, a.StatusCode, want.status)
			}
		}
		if want.path == "/" {
			continue
		}
		for _, path := range []string{"/x" + want.path, want.path + "/x/y/z", strings.ToUpper(want.path), want.path + ".json"} {
			if a := ask(path); a.StatusCode == 200 || a.StatusCode == 303 && !strings.HasPrefix(path, "/launch/") {
				t.Errorf("%s is public too: %d %s", path, a.StatusCode, a.location())
			}
		}
	}
	if h.sessions.count() != 0 {
		t.Error("a session was opened")
	}
}

// T13: the pages that a signed-in person acts on. Those of DingTalk's own
// window may stand in its frames, the one that signs somebody else in may not.
func TestFramesOfPages(t *testing.T) {
	h := newHouse(t, func(cfg *Config) { cfg.Corps[0].JSAPI = "" })
	b := h.browser(t)
	if policy := b.open("/launch/kingdee").Header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "frame-ancestors 'self' https://*.dingtalk.com") {
		t.Errorf("sign-in: %q", policy)
	}
	b.signIn("zhang1")
	a := b.do(http.MethodPost, "/handover", url.Values{})
	_, rest, _ := strings.Cut(a.text, `id="handover-link" href="`)
	address, _, _ := strings.Cut(rest, `"`)
	confirm := b.get(strings.TrimPrefix(address, h.URL))
	if policy := confirm.Header.Get("Content-Security-Policy"); confirm.StatusCode != http.StatusOK || !strings.HasSuffix(policy, "frame-ancestors 'none'") {
		t.Errorf("handover: %d %q", confirm.StatusCode, policy)
	}
	if policy := b.get("/nothing").Header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "frame-ancestors 'none'") {
		t.Errorf("an error: %q", policy)
	}
}
