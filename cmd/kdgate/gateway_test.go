package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// gateway is a running kdgate serve.
type gateway struct {
	*house
	cmd    *exec.Cmd
	client *http.Client // follows nothing
	exited chan struct{}

	mu    sync.Mutex
	lines []string // of its log
	grown chan struct{}
}

// start runs serve and waits until it serves.
func (h *house) start() *gateway {
	h.t.Helper()
	g := h.launch()
	g.logged("serving")
	return g
}

// launch runs serve.
func (h *house) launch() *gateway {
	h.t.Helper()
	cmd := exec.Command(binary, "serve", "--config", h.path("kdgate.yaml"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	stderr, err := cmd.StderrPipe()
	must(h.t, err)
	must(h.t, cmd.Start())
	g := &gateway{
		house: h, cmd: cmd, exited: make(chan struct{}), grown: make(chan struct{}, 1),
		client: &http.Client{
			Timeout:       patience,
			Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	go g.read(stderr)
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill() // one that has ended is what we want
		<-g.exited
		g.client.CloseIdleConnections()
	})
	return g
}

func (g *gateway) read(stderr io.Reader) {
	defer close(g.exited)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		g.mu.Lock()
		g.lines = append(g.lines, lines.Text())
		g.mu.Unlock()
		select {
		case g.grown <- struct{}{}:
		default:
		}
	}
	_ = g.cmd.Wait()
}

func (g *gateway) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.lines, "\n")
}

// logged waits for a line with every one of words.
func (g *gateway) logged(words ...string) string {
	g.t.Helper()
	end := time.After(patience)
	for {
		if line := g.find(words); line != "" {
			return line
		}
		select {
		case <-g.grown:
		case <-g.exited:
			if line := g.find(words); line != "" {
				return line
			}
			g.t.Fatalf("serve ended without saying %q:\n%s", words, g.log())
		case <-end:
			g.t.Fatalf("serve does not say %q:\n%s", words, g.log())
		}
	}
}

func (g *gateway) find(words []string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
next:
	for _, line := range g.lines {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		return line
	}
	return ""
}

func (g *gateway) signal(s os.Signal) {
	g.t.Helper()
	must(g.t, g.cmd.Process.Signal(s))
}

// ended waits for the end and gives the exit code.
func (g *gateway) ended() int {
	g.t.Helper()
	select {
	case <-g.exited:
		return g.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		g.t.Fatalf("serve does not end:\n%s", g.log())
		return -1
	}
}

// stop ends serve in good order.
func (g *gateway) stop() {
	g.t.Helper()
	g.signal(syscall.SIGTERM)
	if code := g.ended(); code != 0 {
		g.t.Fatalf("exit %d:\n%s", code, g.log())
	}
}

// kill ends serve without warning.
func (g *gateway) kill() {
	g.t.Helper()
	g.signal(syscall.SIGKILL)
	g.ended()
}

// reload sends SIGHUP and waits for the outcome that is expected.
func (g *gateway) reload(words ...string) {
	g.t.Helper()
	g.mu.Lock()
	g.lines = append(g.lines[:0:0], "forgotten") // earlier outcomes do not count
	g.mu.Unlock()
	g.signal(syscall.SIGHUP)
	g.logged(words...)
}

// get asks either listener; address is host:port/path.
func (g *gateway) get(address string) (status int, body string) {
	g.t.Helper()
	res, err := g.client.Get(address)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(g.t, err)
	return res.StatusCode, string(text)
}

func (g *gateway) opsGet(path string) (status int, body string) {
	g.t.Helper()
	return g.get("http://" + g.ops + path)
}

func (g *gateway) publicGet(path string) (status int, body string) {
	g.t.Helper()
	return g.get(g.scheme + "://" + g.public + path)
}

// ready waits until /readyz says so.
func (g *gateway) ready(want bool) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("/readyz says %v", want), func() bool {
		status, _ := g.opsGet("/readyz")
		return status == map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}[want]
	})
}

// visitor is the least a browser is: it keeps cookies, also Secure ones on
// http://localhost, as browsers do.
type visitor struct {
	g       *gateway
	cookies map[string]string
}

func (g *gateway) visitor() *visitor { return &visitor{g, map[string]string{}} }

// ask sends one request and follows nothing.
func (v *visitor) ask(method, address string, form url.Values) (res *http.Response, body string, err error) {
	base, err := url.Parse(v.g.scheme + "://" + v.g.public)
	if err != nil {
		return nil, "", err
	}
	target, err := base.Parse(address)
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequest(method, target.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", base.String())
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, value := range v.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if res, err = v.g.client.Do(req); err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	for _, c := range res.Cookies() {
		v.cookies[c.Name] = c.Value
	}
	return res, string(text), err
}

// launch clicks the icon and gives where Kingdee is, empty where a sign-in is asked.
func (v *visitor) launch() (toKingdee string, signIn string) {
	v.g.t.Helper()
	res, _, err := v.ask(http.MethodGet, "/launch/kingdee", nil)
	must(v.g.t, err)
	if where := res.Header.Get("Location"); strings.HasPrefix(where, v.g.kingdee.URL) {
		return where, ""
	}
	return "", res.Header.Get("Location")
}

var inputPattern = regexp.MustCompile(`<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"`)

// form opens the sign-in page and gives its fields, the code of userid filled in.
func (v *visitor) form(signIn, userid string) url.Values {
	v.g.t.Helper()
	_, page, err := v.ask(http.MethodGet, signIn, nil)
	must(v.g.t, err)
	form := url.Values{"code": {v.g.authCode(userid)}}
	for _, field := range inputPattern.FindAllStringSubmatch(page, -1) {
		if field[2] != "" {
			form.Set(field[1], field[2])
		}
	}
	if form.Get("state") == "" || form.Get("nonce") == "" {
		v.g.t.Fatalf("no form at %s:\n%s", signIn, page)
	}
	return form
}

// signIn signs userid in by the client door and gives the link into Kingdee.
func (v *visitor) signIn(userid string) string {
	v.g.t.Helper()
	_, signIn := v.launch()
	res, page, err := v.ask(http.MethodPost, "/signin/dingtalk", v.form(signIn, userid))
	must(v.g.t, err)
	if res.StatusCode != http.StatusSeeOther {
		v.g.t.Fatalf("sign-in of %s: status %d\n%s\n%s", userid, res.StatusCode, page, v.g.log())
	}
	link, again := v.launch()
	if link == "" {
		v.g.t.Fatalf("%s signed in and is sent to %s\n%s", userid, again, v.g.log())
	}
	return link
}

// authCode is what requestAuthCode would have given.
func (h *house) authCode(userid string) string {
	h.t.Helper()
	body, err := json.Marshal(map[string]string{"userid": userid})
	must(h.t, err)
	res, err := http.Post(h.dingtalk.URL+"/sim/authcode", "application/json", bytes.NewReader(body))
	must(h.t, err)
	defer res.Body.Close()
	var answer struct {
		Code string `json:"code"`
	}
	must(h.t, json.NewDecoder(res.Body).Decode(&answer))
	if answer.Code == "" {
		h.t.Fatalf("no code for %s", userid)
	}
	return answer.Code
}

// land opens the link and gives the login user that Kingdee shows.
func (g *gateway) land(link string) string {
	g.t.Helper()
	jar := map[string]string{}
	for range 5 {
		req, err := http.NewRequest(http.MethodGet, link, nil)
		must(g.t, err)
		for name, value := range jar {
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		res, err := g.client.Do(req)
		must(g.t, err)
		text, err := io.ReadAll(res.Body)
		must(g.t, err)
		_ = res.Body.Close()
		for _, c := range res.Cookies() {
			jar[c.Name] = c.Value
		}
		if next := res.Header.Get("Location"); next != "" {
			u, err := req.URL.Parse(next)
			must(g.t, err)
			link = u.String()
			continue
		}
		found := regexp.MustCompile(`id="login-user"[^>]*>([^<]*)<`).FindStringSubmatch(string(text))
		if found == nil {
			g.t.Fatalf("not landed: %d\n%s", res.StatusCode, text)
		}
		return found[1]
	}
	g.t.Fatal("too many redirects")
	return ""
}

// wantSignIn signs somebody in who must land as user.
func (g *gateway) wantSignIn(userid, user string) *visitor {
	g.t.Helper()
	v := g.visitor()
	if got := g.land(v.signIn(userid)); got != user {
		g.t.Errorf("%s landed as %q, want %q", userid, got, user)
	}
	return v
}
