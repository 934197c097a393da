package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"kdgate/internal/lockedbuffer"
	"kdgate/internal/loopback"
)

// trial is a running demo with everything it said.
type trial struct {
	workbench, gateway, kingdee, ops string // origins
	data                             string
	log                              *lockedbuffer.Buffer // the gateway's own log
	stop                             func() error
}

// start runs the demo on free ports, as a person would from the shell, and
// waits for "ready".
func start(t *testing.T, args ...string) *trial {
	t.Helper()
	tr := &trial{log: &lockedbuffer.Buffer{}, data: t.TempDir()}
	own := []string{"--data", tr.data}
	for _, name := range []string{"--gateway", "--dingtalk", "--kingdee", "--ops"} {
		own = append(own, name, "localhost:"+must(loopback.Port()))
	}
	args = append(own, args...)
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, writer, tr.log)
		ended <- err
		_ = writer.CloseWithError(io.EOF)
	}()
	tr.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := tr.stop(); err != nil {
			t.Errorf("the demo ended with: %v", err)
		}
	})
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		tr.heard(lines.Text())
		if lines.Text() == "ready" {
			go func() { _, _ = io.Copy(io.Discard, reader) }()
			return tr
		}
	}
	t.Fatalf("the demo stopped before it was ready:\n%s", tr.log)
	return nil
}

func (tr *trial) heard(line string) {
	name, rest, _ := strings.Cut(line, ": ")
	address, _, _ := strings.Cut(rest, " ")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return
	}
	origin := u.Scheme + "://" + u.Host
	switch name {
	case "workbench":
		tr.workbench = origin
	case "gateway":
		tr.gateway = origin
	case "kingdee":
		tr.kingdee = origin
	case "ops":
		tr.ops = origin
	}
}

// browser is the least a browser is: it keeps cookies (also Secure ones on
// http://localhost, as real browsers do), follows redirects and fills forms.
type browser struct {
	t       *testing.T
	agent   string
	cookies map[string]map[string]string // by host:port, name
	visited []string                     // every address asked for
}

const clientAgent = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36 AliApp(DingTalk/7.6.0) com.alibaba.android.rimet/15213560 language/zh-CN"

func newBrowser(t *testing.T, agent string) *browser {
	return &browser{t: t, agent: agent, cookies: map[string]map[string]string{}}
}

// page is where a browser came to rest.
type page struct {
	status int
	url    *url.URL
	header http.Header
	text   string
	dom    *html.Node
}

func (b *browser) get(address string) page { return b.open(http.MethodGet, address, nil, "") }

// open follows redirects by hand, so that every hop's cookies and address are kept.
func (b *browser) open(method, address string, form url.Values, from string) page {
	b.t.Helper()
	for range 15 {
		var body io.Reader = http.NoBody
		if method == http.MethodPost {
			body = strings.NewReader(form.Encode())
		}
		req, err := http.NewRequest(method, address, body)
		if err != nil {
			b.t.Fatal(err)
		}
		b.dress(req, from)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			b.t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		b.visited = append(b.visited, address)
		b.keep(req.URL.Host, res.Cookies())
		if res.StatusCode >= 300 && res.StatusCode < 400 {
			next, err := req.URL.Parse(res.Header.Get("Location"))
			if err != nil {
				b.t.Fatal(err)
			}
			address, method, form = next.String(), http.MethodGet, nil
			continue
		}
		dom, err := html.Parse(bytes.NewReader(text))
		if err != nil {
			b.t.Fatal(err)
		}
		return page{res.StatusCode, req.URL, res.Header, string(text), dom}
	}
	b.t.Fatalf("too many redirects: %q", b.visited)
	return page{}
}

func (b *browser) dress(req *http.Request, from string) {
	req.Header.Set("User-Agent", b.agent)
	req.Header.Set("Accept-Language", "zh-CN")
	req.Header.Set("Accept", "text/html")
	if req.Method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		origin, err := url.Parse(from)
		if err != nil {
			b.t.Fatal(err)
		}
		req.Header.Set("Origin", origin.Scheme+"://"+origin.Host)
		site := "same-origin"
		if origin.Host != req.URL.Host {
			site = "cross-site"
		}
		req.Header.Set("Sec-Fetch-Site", site)
	}
	for name, value := range b.cookies[req.URL.Host] {
		req.Header.Add("Cookie", name+"="+value)
	}
}

func (b *browser) keep(host string, cookies []*http.Cookie) {
	jar := b.cookies[host]
	if jar == nil {
		jar = map[string]string{}
		b.cookies[host] = jar
	}
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(jar, c.Name)
			continue
		}
		jar[c.Name] = c.Value
	}
}

// submit sends the form with this id, its hidden fields filled, changed by with.
func (b *browser) submit(p page, id string, with map[string]string) page {
	b.t.Helper()
	form := find(p.dom, func(n *html.Node) bool {
		return n.Data == "form" && (id == "" || attr(n, "id") == id || attr(n, "action") == id)
	})
	if form == nil {
		b.t.Fatalf("no form %q on %s:\n%s", id, p.url, p.text)
	}
	values := url.Values{}
	each(form, func(n *html.Node) {
		if n.Data == "input" && attr(n, "name") != "" && attr(n, "type") != "submit" && attr(n, "type") != "radio" {
			values.Set(attr(n, "name"), attr(n, "value"))
		}
	})
	for name, value := range with {
		values.Set(name, value)
	}
	action, err := p.url.Parse(attr(form, "action"))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.open(strings.ToUpper(attr(form, "method")), action.String(), values, p.url.String())
}

func each(n *html.Node, visit func(*html.Node)) {
	visit(n)
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		each(c, visit)
	}
}

func find(n *html.Node, want func(*html.Node) bool) (found *html.Node) {
	each(n, func(n *html.Node) {
		if found == nil && n.Type == html.ElementNode && want(n) {
			found = n
		}
	})
	return found
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// byID is the text of the element with this id.
func (p page) byID(id string) string {
	n := find(p.dom, func(n *html.Node) bool { return attr(n, "id") == id })
	if n == nil {
		return ""
	}
	var text strings.Builder
	each(n, func(n *html.Node) {
		if n.Type == html.TextNode {
			text.WriteString(n.Data)
		}
	})
	return strings.TrimSpace(text.String())
}

var codePattern = regexp.MustCompile(`KD-[0-9]{3}`)

// code is the short code that a page shows.
func (p page) code() string { return codePattern.FindString(p.text) }

// authCode asks the simulator for what requestAuthCode would have given.
func (tr *trial) authCode(t *testing.T, userid string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"userid": userid})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(tr.workbench+"/sim/authcode", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Code == "" {
		t.Fatalf("no code for %s: %v", userid, err)
	}
	return answer.Code
}

// clickInClient does what the DingTalk client does after a click on the icon.
func (tr *trial) clickInClient(t *testing.T, b *browser, userid, path string) page {
	t.Helper()
	signIn := b.get(tr.gateway + path)
	if find(signIn.dom, func(n *html.Node) bool { return attr(n, "id") == "signin" }) == nil {
		return signIn
	}
	return b.submit(signIn, "signin", map[string]string{"code": tr.authCode(t, userid)})
}

// outcome is what each member of the cast must meet: a login user, or a short code.
var outcome = map[string]string{
	"zhangsan": "zhangsan", "lisi": "李四（财务）", "1010": "陈晓", "wangwu": "KD-201", "zhengshi": "KD-202",
	"zhaoliu": "KD-203", "sunqi": "KD-204", "zhouba": "KD-205", "wujiu": "KD-206", "qianyi": "KD-207",
	"manager01": "manager01", "mapper01": "mapper01", "auditor01": "auditor01",
}

// TestCast proves F1, F5 over HTTP: the whole click for everybody, by both
// doors, on both stores.
func TestCast(t *testing.T) {
	for _, driver := range []string{"sqlite", "redis"} {
		t.Run(driver, func(t *testing.T) { everybodyClicks(t, start(t, storeArgs(t, driver)...)) })
	}
}

func everybodyClicks(t *testing.T, tr *trial) {
	t.Helper()
	for _, member := range cast() {
		want, known := outcome[member.userid]
		if !known {
			t.Errorf("nobody says what %s must meet", member.userid)
			continue
		}
		t.Run("client/"+member.userid, func(t *testing.T) {
			meets(t, tr.clickInClient(t, newBrowser(t, clientAgent), member.userid, "/launch/kingdee?corpId="+corpID), want)
		})
		t.Run("browser/"+member.userid, func(t *testing.T) {
			meets(t, tr.clickInBrowser(t, newBrowser(t, "Mozilla/5.0 Chrome/120"), member.userid), want)
		})
	}
}

func meets(t *testing.T, p page, want string) {
	t.Helper()
	if codePattern.MatchString(want) {
		if p.code() != want {
			t.Errorf("met %q (status %d at %s), want %s", p.code(), p.status, p.url.Path, want)
		}
		if p.byID("login-user") != "" {
			t.Error("landed in Kingdee all the same")
		}
		return
	}
	if got := p.byID("login-user"); got != want {
		t.Errorf("landed as %q at %s (code %s), want %q", got, p.url.Path, p.code(), want)
	}
	if got := p.byID("data-centre"); !strings.Contains(got, centreName) {
		t.Errorf("data centre %q", got)
	}
}

// clickInBrowser signs in by OAuth: the person is chosen on DingTalk's page.
func (tr *trial) clickInBrowser(t *testing.T, b *browser, userid string) page {
	t.Helper()
	signIn := b.get(tr.gateway + "/launch/kingdee")
	door := find(signIn.dom, func(n *html.Node) bool { return attr(n, "id") == "browser-door" })
	if door == nil {
		t.Fatalf("no browser door on %s", signIn.url)
	}
	next, err := signIn.url.Parse(attr(door, "href"))
	if err != nil {
		t.Fatal(err)
	}
	consent := b.get(next.String())
	return b.submit(consent, "", map[string]string{"userid": userid, "action": "agree"})
}

// TestDeepLink proves F7: path and query survive the login, the form is the list's.
func TestDeepLink(t *testing.T) {
	tr := start(t)
	b := newBrowser(t, clientAgent)
	p := tr.clickInClient(t, b, "zhangsan", "/launch/kingdee/expense/100023")
	if p.byID("form-id") != "ER_ExpReimbursement" || p.byID("pk-id") != "100023" || p.byID("login-user") != "zhangsan" {
		t.Errorf("form %q, key %q, user %q", p.byID("form-id"), p.byID("pk-id"), p.byID("login-user"))
	}
	for _, path := range []string{"/launch/kingdee/SEC_User/1", "/launch/kingdee/expense/1'or'1", "/launch/elsewhere"} {
		if p := b.get(tr.gateway + path); p.byID("login-user") != "" || p.status < 400 {
			t.Errorf("%s: status %d, landed as %q", path, p.status, p.byID("login-user"))
		}
	}
}

// TestSignOut proves F9: signing out ends the session on both sides.
func TestSignOut(t *testing.T) {
	tr := start(t)
	b := newBrowser(t, clientAgent)
	landed := tr.clickInClient(t, b, "zhangsan", "/launch/kingdee")
	meets(t, landed, "zhangsan")
	home := b.get(tr.gateway + "/")
	if out := b.submit(home, "/signout", nil); out.status != http.StatusOK || !strings.Contains(out.url.Path, "signed-out") {
		t.Errorf("status %d at %s", out.status, out.url)
	}
	if p := b.get(tr.gateway + "/launch/kingdee"); p.byID("login-user") != "" {
		t.Error("the session outlived the sign-out")
	}
	if p := b.get(landed.url.String()); p.byID("login-user") != "" {
		t.Error("Kingdee's session outlived the sign-out")
	}
}

// TestBadInput proves that each mistake has words that help and changes nothing.
func TestBadInput(t *testing.T) {
	tr := start(t)
	t.Run("malformed state", func(t *testing.T) {
		b := newBrowser(t, clientAgent)
		if p := b.get(tr.gateway + "/signin?state=%00oops"); p.status < 400 {
			t.Errorf("status %d", p.status)
		}
		if p := b.get(tr.gateway + "/signin?state=AAAA"); p.code() != "KD-101" {
			t.Errorf("code %q (status %d)", p.code(), p.status)
		}
	})
	t.Run("foreign code", func(t *testing.T) {
		b := newBrowser(t, clientAgent)
		p := b.submit(b.get(tr.gateway+"/launch/kingdee"), "signin", map[string]string{"code": "nobodyeverissuedthis"})
		if p.code() != "KD-102" {
			t.Errorf("code %q (status %d)", p.code(), p.status)
		}
	})
	t.Run("truncated cookie", func(t *testing.T) {
		b := newBrowser(t, clientAgent)
		meets(t, tr.clickInClient(t, b, "zhangsan", "/launch/kingdee"), "zhangsan")
		for host, jar := range b.cookies {
			for name, value := range jar {
				if strings.HasPrefix(name, "__Host-kdgate") && len(value) > 8 {
					b.cookies[host][name] = value[:len(value)-3]
				}
			}
		}
		if p := b.get(tr.gateway + "/launch/kingdee"); p.byID("login-user") != "" {
			t.Error("a truncated cookie signed somebody in")
		}
	})
	t.Run("cross-site post", func(t *testing.T) { // T2
		b := newBrowser(t, clientAgent)
		signIn := b.get(tr.gateway + "/launch/kingdee")
		signIn.url = must(url.Parse("http://attacker.example/"))
		form := find(signIn.dom, func(n *html.Node) bool { return attr(n, "id") == "signin" })
		for i, a := range form.Attr {
			if a.Key == "action" {
				form.Attr[i].Val = tr.gateway + "/signin/dingtalk"
			}
		}
		p := b.submit(signIn, "signin", map[string]string{"code": tr.authCode(t, "zhangsan")})
		if p.byID("login-user") != "" || p.status < 400 {
			t.Errorf("status %d, landed as %q", p.status, p.byID("login-user"))
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestUsage: mistakes on the command line are named.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--gateway", "0.0.0.0:8080"}, {"--only", "redis"}, {"--nope"}, {"extra"}, {"--directory", "maybe"}, {"--kingdee", "here"}, {"--people", "-5"},
	} {
		err := run(context.Background(), args, io.Discard, io.Discard)
		if !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestNothingLeaks proves T29: after a campaign of clicks no secret, link or
// cookie stands in the log or in any file of the data folder's audit trail.
func TestNothingLeaks(t *testing.T) {
	tr := start(t)
	b := newBrowser(t, clientAgent)
	code := tr.authCode(t, "zhangsan")
	p := b.submit(b.get(tr.gateway+"/launch/kingdee"), "signin", map[string]string{"code": code})
	meets(t, p, "zhangsan")
	secrets := []string{code}
	for _, address := range b.visited {
		u := must(url.Parse(address))
		for _, name := range []string{"ud", "usertoken", "kdsid"} {
			if v := u.Query().Get(name); v != "" {
				secrets = append(secrets, v)
			}
		}
	}
	for _, jar := range b.cookies {
		for name, value := range jar {
			if len(value) > 20 && name != "Theme" {
				secrets = append(secrets, value)
			}
		}
	}
	if len(secrets) < 5 {
		t.Fatalf("only %d secrets were seen: the test looks in the wrong place", len(secrets))
	}
	secrets = append(secrets, secretFiles(t, tr.data)...)
	if err := tr.stop(); err != nil {
		t.Fatal(err)
	}
	for i, secret := range secrets {
		if strings.Contains(tr.log.String(), secret) {
			t.Errorf("secret %d stands in the log", i)
		}
		for _, file := range filesWith(t, tr.data, secret) {
			t.Errorf("secret %d stands in %s", i, file)
		}
	}
	if !strings.Contains(tr.log.String(), "/launch/kingdee") {
		t.Error(fmt.Sprint("the log is empty: ", len(tr.log.String())))
	}
}
