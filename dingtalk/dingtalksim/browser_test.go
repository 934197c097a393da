package dingtalksim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kdgate/dingtalk/dingtalksim"
)

func tokenDirect(t testing.TB, h http.Handler) string {
	t.Helper()
	var out struct {
		Token string `json:"accessToken"`
	}
	body := postDirect(h, "/v1.0/oauth2/accessToken", `{"appKey":"`+key1+`","appSecret":"`+secret1+`"}`)
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatal(err)
	}
	return out.Token
}

// postDirect calls the handler without a network.
func postDirect(h http.Handler, path, body string) string {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

// chromium starts a browser, or skips the test where there is none.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.WSURLReadTimeout(time.Minute))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	ctx, stop = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(stop)
	return ctx
}

// signinPage is a page of the application as strict as the gateway's: no inline
// script, and nothing but the simulator's origin beside its own.
const signinPage = `<!DOCTYPE html><html><head><meta charset="utf-8"><title>p</title></head>
<body><pre id="out"></pre><script src="%s/jsapi/dingtalk.open.js"></script><script src="/page.js"></script></body></html>`

const pageScript = `(function () {
  var out = document.getElementById('out');
  function say(text) { out.textContent += text + '\n'; }
  if (!window.dd) { say('no dd'); return; }
  say('platform ' + dd.env.platform);
  dd.ready(function () {
    say('ready');
    if (!dd.requestAuthCode) { say('no current call'); }
    var legacy = dd.runtime.permission.requestAuthCode;
    var current = dd.requestAuthCode || function (o) { return legacy({ corpId: o.corpId }); };
    current({ corpId: 'dingcorp1', clientId: 'dingkey1',
      onSuccess: function (r) { say('code ' + r.code.length); },
      onFail: function (e) { say('fail ' + e.errorCode); } });
    legacy({ corpId: 'dingcorp1' }).then(function (r) { say('promise ' + r.code.length); }, function (e) { say('rejected ' + e.errorCode); });
  });
})();`

// strictPage serves signinPage under the policy of a careful application.
func strictPage(t *testing.T, sim func() string) *httptest.Server {
	t.Helper()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self' "+sim())
		w.Header().Set("Referrer-Policy", "no-referrer")
		if r.URL.Path == "/page.js" {
			w.Header().Set("Content-Type", "application/javascript")
			fmt.Fprint(w, pageScript)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, signinPage, sim())
	}))
	t.Cleanup(page.Close)
	return page
}

// TestScriptInBrowser is SIM-D38 in a real browser, under a policy that allows
// scripts of two origins and nothing else: each mode of the client bridge.
func TestScriptInBrowser(t *testing.T) {
	ctx := chromium(t)
	var sim sim
	page := strictPage(t, func() string { return sim.http.URL })
	sim = newSim(t, func(c *dingtalksim.Config) { c.Corps[0].Apps[0].HomeURL = page.URL + "/?corpId=$CORPID$" })

	// see waits until the page says all of the words: the callback and the promise
	// of one call come in any order.
	see := func(url string, words ...string) string {
		t.Helper()
		wanted, err := json.Marshal(words)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
			t.Fatal(err)
		}
		poll := chromedp.Poll[string](`(function () {
			var out = document.getElementById('out');
			return out && ` + string(wanted) + `.every(function (w) { return out.textContent.indexOf(w) >= 0; }) ? out.textContent : '';
		})()`)
		text, err := chromedp.Run(ctx, poll)
		for err != nil && ctx.Err() == nil { // the page before was still going away
			text, err = chromedp.Run(ctx, poll)
		}
		if err != nil {
			t.Fatalf("waiting for %q: %v", words, err)
		}
		return text
	}
	if got := see(page.URL, "rejected"); !strings.Contains(got, "platform notInDingTalk") || !strings.Contains(got, "fail 7") {
		t.Errorf("an ordinary browser:\n%s", got)
	}
	click := func(id string) {
		t.Helper()
		if err := chromedp.Do(ctx, chromedp.Navigate(sim.http.URL+"/workbench?as=zhangwei"), chromedp.Click("#"+id), chromedp.WaitVisible("#out")); err != nil {
			t.Fatal(err)
		}
	}
	click("app-100001")
	for _, tc := range []struct{ mode, last, want string }{
		{"answer", "promise 32", "code 32"},
		{"fail", "rejected 3", "fail 3"},
		{"legacy-only", "promise 32", "no current call"},
		{"silent", "ready", "platform pc"},
		{"amd", "no dd", "no dd"},
		{"no-bridge", "rejected 7", "notInDingTalk"},
		{"not-ready", "platform pc", "platform pc"},
	} {
		sim.set("jsapi_mode", tc.mode)
		if got := see(page.URL, tc.last, tc.want); !strings.Contains(got, tc.want) {
			t.Errorf("%s:\n%s", tc.mode, got)
		}
	}
	sim.set("jsapi_mode", "answer")
	click("app-100001-browser")
	if got := see(page.URL, "rejected"); !strings.Contains(got, "notInDingTalk") {
		t.Errorf("by the browser door:\n%s", got)
	}
}

// TestConsentInBrowser: the consent form works without script, and its redirect
// is not stopped by the page's own policy (SIM-D49, SIM-D52).
func TestConsentInBrowser(t *testing.T) {
	ctx := chromium(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<p id="back">%s</p>`, r.URL.Query().Get("authCode"))
	}))
	t.Cleanup(app.Close)
	s := newSim(t, func(c *dingtalksim.Config) { c.Corps[0].Apps[0].Hosts = []string{"127.0.0.1"} })
	address := s.http.URL + "/oauth2/auth?" + request("redirect_uri", app.URL+"/cb").Encode()
	agree := func(steps ...chromedp.Action[chromedp.Void]) string {
		t.Helper()
		steps = append([]chromedp.Action[chromedp.Void]{chromedp.Navigate(address)}, append(steps, chromedp.Click("#agree"))...)
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
		code, err := chromedp.Run(ctx, chromedp.Text("#back"))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	first := agree(chromedp.Click(`[data-userid="wangfang"] input`))
	second := agree(chromedp.WaitVisible("#remembered"))
	if first == second || len(second) != 32 {
		t.Errorf("codes %q and %q", first, second)
	}
	me := s.call("GET", "/v1.0/contact/users/me", nil, tokenHeader, s.userToken(second).json(t)["accessToken"].(string)).json(t)
	if me["nick"] != "王芳" {
		t.Errorf("the code is of %v", me)
	}
}
