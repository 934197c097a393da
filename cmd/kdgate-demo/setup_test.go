package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/internal/app"
	"kdgate/internal/config"
	"kdgate/internal/loopback"
	"kdgate/internal/setup"
	"kdgate/kingdee/kingdeesim"
)

// newcomer is somebody with a binary, the credentials of both vendors and no
// configuration.
type newcomer struct {
	t                *testing.T
	dir, public      string
	dingtalk, king   string // addresses of the simulators
	environ          []string
	stop             context.CancelFunc
	address          string // as printed
	ended            chan struct{}
	server           *app.Server
	cfg              *config.Config
	err              error
	serving          chan error // how the gateway that was set up ended
	secretA, secretB string
}

func newNewcomer(t *testing.T) *newcomer {
	t.Helper()
	n := &newcomer{t: t, dir: t.TempDir(), public: "localhost:" + must(loopback.Port()), secretA: "ding-secret-of-the-newcomer", secretB: "0123456789abcdef0123456789abcdef"}
	ding, err := dingtalksim.New(dingTalk(cast(), n.public, n.secretA))
	if err != nil {
		t.Fatal(err)
	}
	king, err := kingdeesim.New(kingdee(cast(), n.secretB))
	if err != nil {
		t.Fatal(err)
	}
	n.dingtalk, n.king = onLocalhost(t, ding), onLocalhost(t, king)
	d := n.dingtalk
	n.environ = []string{
		"KDGATE_CORPS_0_ENDPOINTS_OAPI=" + d, "KDGATE_CORPS_0_ENDPOINTS_API=" + d, "KDGATE_CORPS_0_ENDPOINTS_LOGIN=" + d,
		"KDGATE_CORPS_0_ENDPOINTS_JSAPI=" + d + "/jsapi/dingtalk.open.js",
	}
	return n
}

// onLocalhost serves under the name that browsers take for the same site as the
// gateway's.
func onLocalhost(t *testing.T, handler http.Handler) string {
	t.Helper()
	address := "localhost:" + must(loopback.Port())
	var lc net.ListenConfig
	at, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: at, Config: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}}
	server.Start()
	t.Cleanup(server.Close)
	return "http://" + address
}

// begin runs the wizard, as kdgate setup does.
func (n *newcomer) begin() {
	n.t.Helper()
	wizard, err := setup.New(setup.Config{
		Path: filepath.Join(n.dir, "kdgate.yaml"), Environ: n.environ, Replica: "test", Version: "test", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	at, err := setup.Listen(n.t.Context(), "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.address = wizard.Address(at.Addr())
	ctx, stop := context.WithCancel(context.Background())
	n.ended, n.serving = make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(n.ended)
		n.server, n.cfg, n.err = wizard.Serve(ctx, at)
	}()
	n.stop = func() { stop(); <-n.ended }
	n.t.Cleanup(n.stop)
}

// serve runs the gateway that was set up.
func (n *newcomer) serve() {
	n.t.Helper()
	<-n.ended
	if n.err != nil {
		n.t.Fatal(n.err)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { n.serving <- n.server.Run(ctx) }()
	n.t.Cleanup(func() {
		stop()
		if err := <-n.serving; err != nil {
			n.t.Error(err)
		}
	})
}

// origin is where the wizard stands.
func (n *newcomer) origin() string {
	u, err := url.Parse(n.address)
	if err != nil {
		n.t.Fatal(err)
	}
	return u.Scheme + "://" + u.Host
}

// fill puts values into the fields of the page that is open, by keyboard.
func fill(t *testing.T, ctx context.Context, values ...string) {
	t.Helper()
	for i := 0; i < len(values); i += 2 {
		do(t, ctx, chromedp.SetValue("#"+values[i], values[i+1]))
	}
}

// both looks at a page wide and on a phone.
func both(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	do(t, ctx, chromedp.EmulateViewport(390, 844))
	soundPage(t, ctx, name+" phone")
	shot(t, ctx, name+"-phone")
	do(t, ctx, chromedp.EmulateViewport(1280, 900))
	soundPage(t, ctx, name)
	shot(t, ctx, name)
}

// TestSetupFromNothing proves F32, F93, F96: a newcomer with credentials and an
// empty folder comes to a landed login, through every step, in a real browser; a
// half-done set-up is continued; secrets are never shown again.
func TestSetupFromNothing(t *testing.T) {
	n := newNewcomer(t)
	n.begin()
	ctx := chromium(t, clientAgent)
	do(t, ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(n.address), chromedp.WaitVisible("#public_url"))
	if at := read(t, ctx, chromedp.Location()); strings.Contains(at, "token") {
		t.Errorf("the token stands in the address: %s", at)
	}
	// Nothing entered: every mistake is named, nothing is tested.
	do(t, ctx, chromedp.Click("#test"), chromedp.WaitVisible(".note.bad"))
	both(t, ctx, "setup-mistakes")
	fill(t, ctx, "public_url", "http://"+n.public, "listen", n.public)
	do(t, ctx, chromedp.Click("#test"), chromedp.WaitVisible("#fine"))
	both(t, ctx, "setup-address")
	do(t, ctx, chromedp.Click("#next"), chromedp.WaitVisible("#driver"), chromedp.Click("#test"), chromedp.WaitVisible("#fine"), chromedp.Click("#next"))

	// DingTalk: first a wrong secret, which is named with what to do.
	do(t, ctx, chromedp.WaitVisible("#app_secret"))
	fill(t, ctx, "corp", corpID, "app_key", appKey, "app_secret", "wrong", "agent_id", "1001")
	do(t, ctx, chromedp.Click("#test"), chromedp.WaitVisible("#items .bad"))
	if said := read(t, ctx, chromedp.Text("#items")); !strings.Contains(said, "凭证与基础信息") {
		t.Errorf("a wrong secret is told so: %s", said)
	}
	both(t, ctx, "setup-dingtalk-fault")
	fill(t, ctx, "app_secret", n.secretA)
	do(t, ctx, chromedp.Click("#test"), chromedp.WaitVisible("#fine"))
	both(t, ctx, "setup-dingtalk")
	if html := read(t, ctx, chromedp.Evaluate[string]("document.documentElement.outerHTML")); strings.Contains(html, n.secretA) {
		t.Error("a secret is shown again")
	}

	// The set-up is interrupted here and taken up by another run of the command.
	n.stop()
	n.begin()
	do(t, ctx, chromedp.Navigate(n.address), chromedp.WaitVisible("#centre_secret"))
	fill(t, ctx, "url", n.king+"/K3Cloud/", "db_id", dbID, "app_id", appID, "centre_secret", n.secretB, "integration_user", integrator)
	do(t, ctx, chromedp.Click("#test"), chromedp.WaitVisible("#fine"))
	both(t, ctx, "setup-kingdee")

	do(t, ctx, chromedp.Click("#next"), chromedp.WaitVisible("#start"), chromedp.Click("#start"), chromedp.WaitVisible("#open"))
	person := tab(t, ctx)
	do(t, person, chromedp.Navigate(n.dingtalk+"/workbench?as=manager01"))
	bringToFront(t, person)
	do(t, person, chromedp.Click(appIcon))
	landedAs(t, person, "manager01")
	bringToFront(t, ctx)
	do(t, ctx, chromedp.Navigate(n.origin()+"/trial"), chromedp.WaitVisible("#landed"), chromedp.Click(".appoint"), chromedp.WaitVisible("#appointed"))
	both(t, ctx, "setup-login")
	do(t, ctx, chromedp.Click("#next"), chromedp.WaitVisible("#finish"))
	both(t, ctx, "setup-start")
	do(t, ctx, chromedp.Click("#finish"), chromedp.WaitVisible("#done"))
	both(t, ctx, "setup-done")
	n.serve()

	t.Run("what was written", func(t *testing.T) { n.looksWritten(t) })
	t.Run("a landed login", func(t *testing.T) {
		bringToFront(t, person)
		do(t, person, chromedp.Navigate(n.dingtalk+"/workbench?as=manager01"), chromedp.Click(appIcon))
		landedAs(t, person, "manager01")
	})
	t.Run("the console has the same steps", func(t *testing.T) { n.looksBack(t, person) })
}

// looksWritten proves T122: secrets in files of their own, for nobody else; the
// draft, which held them, is gone.
func (n *newcomer) looksWritten(t *testing.T) {
	for _, name := range []string{"kdgate.yaml", "dingtalk.secret", "kingdee.secret", "data/console-secret", "data/seal.key"} {
		info, err := os.Stat(filepath.Join(n.dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(n.dir, "kdgate.yaml"))
	if err != nil || strings.Contains(string(text), n.secretA) || strings.Contains(string(text), n.secretB) || !strings.Contains(string(text), "manager01") {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := os.Stat(filepath.Join(n.dir, "kdgate.yaml.setup")); err == nil {
		t.Error("the draft is still there")
	}
	if _, err := setup.New(setup.Config{Path: filepath.Join(n.dir, "kdgate.yaml")}); err == nil {
		t.Error("a second set-up would write over the first")
	}
}

// looksBack is the administrator who comes back to the steps in the console.
func (n *newcomer) looksBack(t *testing.T, ctx context.Context) {
	gateway := "http://" + n.public
	for _, step := range [][]chromedp.Action[chromedp.Void]{
		{chromedp.Navigate(gateway + "/admin/setup"), chromedp.WaitVisible("#enter")}, // proven a moment ago
		{chromedp.Click("#enter"), chromedp.WaitVisible("#check-all")},
		{chromedp.Click("#check-all"), chromedp.WaitVisible("#live")},
		{chromedp.WaitNotPresent("#live progress"), chromedp.Navigate(gateway + "/admin/setup")},
		{chromedp.WaitVisible("#step-login .state.ok"), chromedp.WaitVisible("#step-dingtalk .state")},
	} {
		within, cancel := context.WithTimeout(ctx, time.Minute)
		do(t, within, step...)
		cancel()
	}
	both(t, ctx, "console-setup")
}

// TestSetupDoor proves that the wizard is for one browser: the token is good
// once, other names than loopback's and other pages' acts are refused, and it
// listens nowhere else.
func TestSetupDoor(t *testing.T) {
	n := newNewcomer(t)
	n.begin()
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(address, cookie, host string) (int, *http.Response) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		if cookie != "" {
			req.Header.Set("Cookie", cookie)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode, res
	}
	if status, _ := get(n.origin()+"/step/dingtalk", "", ""); status != http.StatusForbidden {
		t.Errorf("without the token: %d", status)
	}
	if status, _ := get(n.origin()+"/enter?token=GUESSED", "", ""); status != http.StatusForbidden {
		t.Errorf("with a guess: %d", status)
	}
	if status, _ := get(n.address, "", "gate.example.com"); status != http.StatusMisdirectedRequest {
		t.Errorf("under another name: %d", status)
	}
	status, res := get(n.address, "", "")
	if status != http.StatusSeeOther || len(res.Cookies()) != 1 || !res.Cookies()[0].HttpOnly || res.Header.Get("Location") != "/" {
		t.Fatalf("%d %v", status, res.Header)
	}
	cookie := res.Cookies()[0].Name + "=" + res.Cookies()[0].Value
	if status, _ := get(n.address, "", ""); status != http.StatusForbidden {
		t.Errorf("a second browser: %d", status)
	}
	status, res = get(n.origin()+"/step/dingtalk", cookie, "")
	if policy := res.Header.Get("Content-Security-Policy"); status != http.StatusOK || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("%d %q", status, policy)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.origin()+"/finish", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", cookie)
	req.Header.Set("Origin", "https://evil.example.com")
	if res, err = client.Do(req); err != nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("another page's act: %v %v", res, err)
	}
	req.Header.Del("Origin")
	if res, err = client.Do(req); err != nil || res.StatusCode != http.StatusConflict {
		t.Errorf("with steps missing: %v %v", res, err)
	}
	if _, err := os.Stat(filepath.Join(n.dir, "kdgate.yaml")); err == nil {
		t.Error("something was written")
	}
	if _, err := setup.Listen(t.Context(), "0.0.0.0:0"); err == nil {
		t.Error("the wizard listens off loopback")
	}
}
