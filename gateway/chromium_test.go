package gateway

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"kdgate/identity"
)

var shots = flag.String("shots", "", "folder for screenshots of every page (chromium tests)")

// street is a house on http://localhost with a DingTalk login page, a client
// script and a Kingdee beside it, each an origin of its own.
type street struct {
	*house
	outside *httptest.Server // login page, client script and Kingdee
	script  string           // what the client script says
	mu      sync.Mutex
	landed  []string // Referer of every landing
}

// newStreet starts one. script is the client script that its pages load.
func newStreet(t *testing.T, script string, change ...func(*Config)) *street {
	t.Helper()
	s := &street{script: script}
	s.outside = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.outside.Close)
	change = append(change, func(cfg *Config) {
		_, port, _ := strings.Cut(cfg.PublicURL.Host, ":")
		cfg.PublicURL = &url.URL{Scheme: "http", Host: "localhost:" + port}
		cfg.DevInsecure = true
		cfg.Corps = cfg.Corps[:1]
		cfg.Corps[0].JSAPI = s.outside.URL + "/jsapi.js"
		for i := range cfg.DataCentres {
			cfg.DataCentres[i].Origin = s.outside.URL
		}
	})
	s.house = buildHouse(t, change...)
	s.live.base, s.test.base, s.dingtalk.login = s.outside.URL, s.outside.URL, s.outside.URL
	s.Start()
	t.Cleanup(s.Close)
	s.URL = s.gateway.cfg.PublicURL.String()
	return s
}

func (s *street) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/jsapi.js":
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, s.script)
	case r.URL.Path == "/oauth2/auth":
		back := r.URL.Query().Get("redirect_uri") + "?" + url.Values{"code": {"oauth-1"}, "authCode": {"oauth-1"}, "state": r.URL.Query()["state"]}.Encode()
		http.Redirect(w, r, back, http.StatusFound)
	case strings.HasPrefix(r.URL.Path, "/K3Cloud/"):
		s.mu.Lock()
		s.landed = append(s.landed, r.Referer())
		s.mu.Unlock()
		fmt.Fprintf(w, `<!doctype html><title>Kingdee</title><p id="login-user">%s</p><p id="referrer"></p>`, strings.TrimPrefix(r.URL.Query().Get("ud"), "LINKCANARY-"))
	default:
		http.NotFound(w, r)
	}
}

// window is one tab of a fresh Chromium; what it complains about is collected.
type window struct {
	context.Context
	mu         sync.Mutex
	complaints []string
}

func newWindow(t *testing.T, agent string) *window {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("disable-background-networking", true), chromedp.UserDataDir(t.TempDir()))
	if agent != "" {
		options = append(options, chromedp.UserAgent(agent))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel() })
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	win := &window{Context: ctx}
	collect := func(event any) {
		if e, ok := event.(*cdplog.EventEntryAdded); ok && e.Entry.Level == cdplog.EntryLevelError {
			win.mu.Lock()
			win.complaints = append(win.complaints, e.Entry.Text)
			win.mu.Unlock()
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, collect); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return win
}

// do runs steps and fails with what stands on the page.
func (w *window) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(w, steps...); err != nil {
		w.fatal(t, err)
	}
}

func (w *window) fatal(t *testing.T, err error) {
	t.Helper()
	at, _ := chromedp.Run(w, chromedp.Location())
	page, _ := chromedp.Run(w, chromedp.OuterHTML("html"))
	t.Fatalf("%v at %s\n%s\n%v", err, at, page, w.complaints)
}

// read gives what one action reads.
func read[T any](t *testing.T, w *window, action chromedp.Action[T]) T {
	t.Helper()
	value, err := chromedp.Run(w, action)
	if err != nil {
		w.fatal(t, err)
	}
	return value
}

// policyComplaints are the content security policy's.
func (w *window) policyComplaints() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []string
	for _, c := range w.complaints {
		if strings.Contains(c, "Content Security Policy") {
			found = append(found, c)
		}
	}
	return found
}

const (
	clientScript = `window.dd={env:{platform:"pc"},ready:function(f){f()},
requestAuthCode:function(o){window.asked=o;o.onSuccess({code:"auth-1"})},
openLink:function(o){window.opened=o.url}};`
	legacyScript = `window.dd={env:{platform:"ios"},ready:function(f){f()},
requestAuthCode:function(o){o.onFail({errorCode:7})},
runtime:{permission:{requestAuthCode:function(o){return new Promise(function(y){y({code:"auth-1"})})}}}};`
	silentScript  = `window.dd={env:{platform:"android"},ready:function(){},requestAuthCode:function(){}};`
	outsideScript = `window.dd={env:{platform:"notInDingTalk"},ready:function(f){f()}};`
	brokenScript  = `throw new Error("no client script");`
	phoneAgent    = "Mozilla/5.0 (iPhone) Mobile AliApp(DingTalk/7.8.1) language/zh-Hans-CN"
)

// F1, F3, T30: all doors in a real browser on http://localhost, where __Host-
// and Secure cookies must work. A refused policy shows as a complaint.
func TestChromiumClick(t *testing.T) {
	tests := map[string]struct{ script, agent, door string }{
		"client, current call":             {clientScript, "", "client auth-1"},
		"client, legacy call":              {legacyScript, phoneAgent, "client auth-1"},
		"outside DingTalk":                 {outsideScript, "", "browser oauth-1"},
		"client script broken, not inside": {brokenScript, "", "browser oauth-1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStreet(t, test.script)
			s.dingtalk.give("auth-1", corpOne, "zhang1")
			s.dingtalk.give("oauth-1", corpOne, "zhang1")
			win := newWindow(t, test.agent)
			win.do(t, chromedp.Navigate(s.URL+"/launch/kingdee/expense/7?q=1#row-3"), chromedp.WaitVisible("#login-user"))
			user, at := read(t, win, chromedp.Text("#login-user")), read(t, win, chromedp.Location())
			referrer := read(t, win, chromedp.Evaluate[string]("document.referrer"))
			if user != "user-zhang1" || !strings.Contains(at, "pk=7") || !strings.HasSuffix(at, "#row-3") {
				t.Errorf("landed as %q at %s", user, at)
			}
			if referrer != "" {
				t.Errorf("Kingdee's page knows where it was linked from: %q", referrer)
			}
			if got := s.dingtalk.called(); len(got) != 1 || got[0] != test.door {
				t.Errorf("exchanges %v, want %s", got, test.door)
			}
			if c := win.policyComplaints(); len(c) > 0 {
				t.Errorf("complaints: %v", c)
			}
			checkCookies(t, win, s.URL)
		})
	}
}

// T37: what stands in the browser afterwards.
func checkCookies(t *testing.T, win *window, address string) {
	t.Helper()
	result, err := chromedp.Call(win, network.GetCookies, network.GetCookiesParams{URLs: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, c := range result.Cookies {
		found[c.Name] = true
		if !c.Secure || !c.HTTPOnly || c.Path != "/" || c.SameSite != network.CookieSameSiteLax {
			t.Errorf("cookie %+v", c)
		}
	}
	if !found[browserCookie] || !found[sessionCookie] {
		t.Errorf("cookies %v", found)
	}
}

// F3: a client that never calls back ends at the visible fallback, which works;
// nothing goes on by itself after an error.
func TestChromiumFallback(t *testing.T) {
	s := newStreet(t, legacyScript)
	win := newWindow(t, "")
	win.do(t, chromedp.Navigate(s.URL+"/launch/kingdee"), chromedp.WaitVisible(".badge"), chromedp.WaitVisible("#again"))
	if shown := read(t, win, chromedp.Text(".badge")); shown != string(identity.CodeAuthCodeRefused) || len(s.dingtalk.called()) != 1 {
		t.Fatalf("shown %q after %v", shown, s.dingtalk.called())
	}
	s.dingtalk.give("oauth-1", corpOne, "li2")
	win.do(t, chromedp.Click("#browser-door"), chromedp.WaitVisible("#login-user"))
	if got := s.dingtalk.called(); len(got) != 2 || got[1] != "browser oauth-1" {
		t.Errorf("exchanges %v", got)
	}
}

// F3: each way to ask has its own time-out; a container that never answers does
// not hang the page.
func TestChromiumSilentClient(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the script's own time-outs, about ten seconds")
	}
	s := newStreet(t, silentScript)
	win := newWindow(t, phoneAgent)
	win.do(t, chromedp.Navigate(s.URL+"/launch/kingdee"), chromedp.WaitVisible("#again"))
	said := read(t, win, chromedp.Text("#progress"))
	if want := s.gateway.pages.Catalogue().In("en").T("signin.client-failed"); said != want {
		t.Errorf("said %q, want %q", said, want)
	}
}

// F3: our own copy of the client script sets window.dd in a plain page, and
// says that a plain browser is not DingTalk.
func TestChromiumOwnScript(t *testing.T) {
	s := newStreet(t, "")
	path, err := s.gateway.pages.Assets().Path("vendor/dingtalk.js")
	if err != nil {
		t.Fatal(err)
	}
	win := newWindow(t, "")
	win.do(t, chromedp.Navigate(s.URL+"/signin?failed=KD-101"))
	load := fmt.Sprintf(`new Promise(function(y){var e=document.createElement("script");e.src=%q;e.onload=function(){y(1)};document.head.appendChild(e)})`, path)
	read(t, win, chromedp.Evaluate[int](load, chromedp.EvalAwaitPromise))
	platform := read(t, win, chromedp.Evaluate[string]("dd.env.platform"))
	calls := read(t, win, chromedp.Evaluate[[]string](
		"[typeof dd.ready, typeof dd.requestAuthCode, typeof dd.runtime.permission.requestAuthCode, typeof dd.openLink, typeof dd.biz.util.openLink]"))
	if platform != "notInDingTalk" || strings.Join(calls, " ") != "function function function function function" {
		t.Errorf("platform %q, calls %v", platform, calls)
	}
	if c := win.policyComplaints(); len(c) > 0 {
		t.Errorf("complaints: %v", c)
	}
}

// F3: from the client on a computer to the system browser, by a ticket that
// names the person first.
func TestChromiumHandover(t *testing.T) {
	s := newStreet(t, clientScript)
	s.dingtalk.give("auth-1", corpOne, "zhang1")
	inside := newWindow(t, "Mozilla/5.0 Chrome/108 dingtalk-win/1.0.0 DingTalk(7.8.10) Native")
	inside.do(t, chromedp.Navigate(s.URL+"/launch/kingdee/stock?via=browser"), chromedp.WaitVisible("#handover button"),
		chromedp.Click("#handover button"))
	opened := read(t, inside, chromedp.Poll[string]("window.opened"))
	outside := newWindow(t, "")
	outside.do(t, chromedp.Navigate(opened), chromedp.WaitVisible("#confirm"))
	person := read(t, outside, chromedp.Text(".person"))
	outside.do(t, chromedp.Click("#confirm"), chromedp.WaitVisible("#login-user"))
	user := read(t, outside, chromedp.Text("#login-user"))
	if !strings.Contains(person, "zhang1") || user != "user-zhang1" {
		t.Errorf("page named %q, landed as %q", person, user)
	}
	if c := append(inside.policyComplaints(), outside.policyComplaints()...); len(c) > 0 {
		t.Errorf("complaints: %v", c)
	}
}

// TestShots renders every page for people to look at: go test -run Shots -shots DIR.
func TestShots(t *testing.T) {
	if *shots == "" {
		t.Skip("no -shots folder")
	}
	s := newStreet(t, silentScript, func(cfg *Config) {
		cfg.DataCentres = append(cfg.DataCentres, DataCentre{ID: "test", Name: "测试账套", ServiceProvider: &kingdee{}})
	})
	s.chain.faults["wang3"] = identity.Fail(identity.NotFound, identity.CodeNoLoginUser, "none")
	pages := map[string]string{"error": "/no/such/page", "signin": "/launch/kingdee", "failed": "/signin?failed=KD-102", "home-out": "/", "signed-out": "/signed-out?kingdee=open"}
	people := map[string]string{"home": "/", "chooser": "/launch/kingdee", "handover": "/launch/kingdee?via=browser"}
	for _, size := range [][2]int64{{390, 844}, {1280, 800}} {
		for _, dark := range []bool{false, true} {
			for name, path := range pages {
				t.Run(name, func(t *testing.T) { s.shoot(t, name, path, "", size, dark) })
			}
			for name, path := range people {
				t.Run(name, func(t *testing.T) { s.shoot(t, name, path, "zhang1", size, dark) })
			}
			t.Run("chain", func(t *testing.T) { s.shoot(t, "chain", "/launch/live", "wang3", size, dark) })
		}
	}
}

func (s *street) shoot(t *testing.T, name, path, person string, size [2]int64, dark bool) {
	t.Helper()
	win := newWindow(t, "Mozilla/5.0 DingTalk(7.8.10)")
	scheme := map[bool]string{true: "dark", false: "light"}[dark]
	win.do(t, chromedp.EmulateViewport(size[0], size[1]))
	call(t, win, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	call(t, win, network.Enable, network.EnableParams{})
	call(t, win, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": "zh-CN"}})
	if person != "" {
		w := httptest.NewRecorder()
		who := identity.Assertion{Subject: identity.Subject{Corp: corpOne, UserID: person}, Name: "张伟", Door: identity.DoorInClient}
		if _, err := s.sessions.Start(t.Context(), w, who, identity.NewSecret(name+person+scheme)); err != nil {
			t.Fatal(err)
		}
		cookie, secure := w.Result().Cookies()[0], true
		call(t, win, network.SetCookie, network.SetCookieParams{Name: cookie.Name, Value: cookie.Value, URL: s.URL, Secure: &secure, Path: "/"})
	}
	win.do(t, chromedp.Navigate(s.URL+path), chromedp.WaitVisible("h1"))
	png := read(t, win, chromedp.FullScreenshot(100))
	file := filepath.Join(*shots, fmt.Sprintf("%s-%d-%s.png", name, size[0], scheme))
	if err := errors.Join(os.MkdirAll(*shots, 0o755), os.WriteFile(file, png, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// call runs one command of the protocol.
func call[P, R any](t *testing.T, w *window, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(w, command, params); err != nil {
		t.Fatal(err)
	}
}
