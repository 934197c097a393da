package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kdgate/identity"
	"kdgate/identity/token"
)

// press clicks a part of the console and gives what came of it.
func press(t *testing.T, ctx context.Context, button, result string) string {
	t.Helper()
	if button != "" {
		do(t, ctx, chromedp.WaitEnabled("#"+button), chromedp.Click("#"+button))
	}
	do(t, ctx, chromedp.WaitVisible(`#`+result+`[data-state=ok], #`+result+`[data-state=failed]`))
	return strings.TrimPrefix(read(t, ctx, chromedp.Text("#"+result)), "成功 ")
}

// TestChromiumProxy proves F8 as people meet it: a click lands inside Kingdee on
// the gateway's own host, and everything a page does there works.
func TestChromiumProxy(t *testing.T) {
	tr := start(t, "--mode", "proxy")
	ctx := chromium(t, clientAgent)
	do(t, ctx, chromedp.Navigate(tr.workbench+"/workbench?as=zhangsan"), chromedp.WaitVisible(appIcon), chromedp.Click(appIcon))
	landedAs(t, ctx, "zhangsan")
	if at := read(t, ctx, chromedp.Location()); !strings.HasPrefix(at, tr.gateway+"/K3Cloud/html5/dform.aspx?") {
		t.Fatalf("landed at %s", at)
	}
	historyIsClean(t, ctx)
	host := strings.TrimPrefix(tr.gateway, "http://")
	for _, part := range []struct{ button, result, want string }{
		{"", "page-state", "zhangsan"},
		{"", "static-result", ""},
		{"call", "call-result", "21 你好 & <K3Cloud> + 100%"},
		{"call-compressed", "call-result", "21000 你好 & <K3Cloud> + 100%"},
		{"check", "check-result", "accept-encoding_wpf x-trace-unknown"},
		{"ws", "ws-result", "hello zhangsan | echo 你好 & <K3Cloud> + 100%"},
		{"download-check", "download-result", "1000000 "},
		{"upload", "upload-result", "附件.bin 300000 "},
		{"cookies", "cookie-result", "kdPlain kdDomain kdPath kdExpires kdHttpOnly kdLax | kdDomain kdExpires kdLax kdPath kdPlain"},
		{"redirect-check", "redirect-result", host},
	} {
		if got := press(t, ctx, part.button, part.result); !strings.HasPrefix(got, part.want) {
			t.Errorf("%s: %s shows %q, want %q", part.button, part.result, got, part.want)
		}
	}
	do(t, ctx, chromedp.Click("#poll"), chromedp.WaitVisible("#poll-result[data-state=busy]"), chromedp.Click("#poll-finish"))
	if got := press(t, ctx, "", "poll-result"); !strings.HasPrefix(got, "任务完成") {
		t.Errorf("the long poll shows %q", got)
	}
	shot(t, ctx, "proxied")

	t.Run("a redirect to a foreign host", func(t *testing.T) {
		other := tab(t, ctx)
		bringToFront(t, other)
		do(t, other, chromedp.Navigate(tr.gateway+"/K3Cloud/html5/redirect.aspx?to=foreign"), chromedp.WaitVisible("p.badge"))
		if code := read(t, other, chromedp.Text("p.badge")); !strings.Contains(code, "KD-402") {
			t.Errorf("shows %q", code)
		}
	})
	t.Run("management centre", func(t *testing.T) { // K101
		other := tab(t, ctx)
		bringToFront(t, other)
		do(t, other, chromedp.Navigate(tr.gateway+"/k3cloud/Manager/"), chromedp.WaitVisible("p.badge"))
		if code := read(t, other, chromedp.Text("p.badge")); !strings.Contains(code, "KD-405") {
			t.Errorf("shows %q", code)
		}
	})
	t.Run("sign-out cuts the socket", func(t *testing.T) { // T40
		old := read(t, ctx, chromedp.Location())
		other := tab(t, ctx)
		bringToFront(t, other)
		do(t, other, chromedp.Navigate(tr.gateway+"/"), chromedp.WaitVisible("#signout"), chromedp.Click("#signout"), chromedp.WaitVisible(".page-signed-out h1"))
		bringToFront(t, ctx)
		do(t, ctx, chromedp.WaitVisible("#ws-result[data-state=closed]"))
		do(t, ctx, chromedp.Reload(), chromedp.WaitNotPresent("#login-user"))
		// The client may sign in anew by itself by now; the old session's place is gone.
		if at := read(t, ctx, chromedp.Location()); at == old {
			t.Errorf("after the sign-out: %s", at)
		}
	})
	if faults := arrivedFaults(t, tr); len(faults) != 0 {
		t.Errorf("Kingdee was called with %v", faults)
	}
	for _, secret := range []string{"usertoken=", "kdsid=", "ud="} {
		if strings.Contains(tr.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// arrivedFaults is what the simulator found lost or changed on the way.
func arrivedFaults(t *testing.T, tr *trial) []string {
	t.Helper()
	res, err := http.Get(tr.kingdee + "/sim/arrived")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var arrived []struct {
		Part   string
		Faults []string
	}
	text, _ := io.ReadAll(res.Body)
	if err := json.Unmarshal(text, &arrived); err != nil || len(arrived) == 0 {
		t.Fatalf("%s %v", text, err)
	}
	var faults []string
	for _, one := range arrived {
		for _, fault := range one.Faults {
			faults = append(faults, one.Part+": "+fault)
		}
	}
	return faults
}

// TestProxyAssertion: what Kingdee is told about the person is signed, for it
// alone, with the published keys; and the same person is told to forward-auth.
func TestProxyAssertion(t *testing.T) {
	tr := start(t, "--mode", "proxy")
	b := newBrowser(t, clientAgent)
	if p := tr.clickInClient(t, b, "zhangsan", "/launch/kingdee"); p.byID("login-user") != "zhangsan" {
		t.Fatalf("landed on %s", p.text)
	}
	res := must(http.Get(tr.gateway + "/.well-known/jwks.json"))
	defer res.Body.Close()
	keys := must(token.ParseKeys(must(io.ReadAll(res.Body))))
	verify := func(text, audience string) token.Token {
		t.Helper()
		verifier := must(token.NewVerifier(token.VerifierConfig{Issuer: tr.gateway, Audience: audience, Keys: keys.Key, Leeway: time.Second}))
		said, err := verifier.Verify(identity.NewSecret(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return said
	}
	said := verify(upstreamAssertion(t, tr), tr.kingdee)
	if said.Subject.UserID != "zhangsan" || said.Account.LoginUser != "zhangsan" || said.Account.DataCentre != centreID {
		t.Errorf("upstream is told %+v", said)
	}
	p := b.get(tr.gateway + "/forward-auth?data_centre=" + centreID)
	if said := verify(p.header.Get("X-Kdgate-Assertion"), tr.gateway+"/forward-auth"); said.Account.LoginUser != "zhangsan" {
		t.Errorf("forward-auth tells %+v", said)
	}
}

// upstreamAssertion is the one that came with the console's page.
func upstreamAssertion(t *testing.T, tr *trial) string {
	t.Helper()
	res := must(http.Get(tr.kingdee + "/sim/calls"))
	defer res.Body.Close()
	var calls []struct {
		Route  string
		Header http.Header
	}
	if err := json.NewDecoder(res.Body).Decode(&calls); err != nil {
		t.Fatal(err)
	}
	for _, call := range calls {
		if strings.HasSuffix(call.Route, "/dform.aspx") {
			return call.Header.Get("X-Kdgate-Assertion")
		}
	}
	t.Fatal("the console's page was not asked for")
	return ""
}
