package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/kingdee/kingdeesim"
)

// A second row of 第三方系统登录授权, for the time of a change.
const nextAppID, nextSecret = "231784_Next", "fedcba9876543210fedcba9876543210"

var loginUser = regexp.MustCompile(`id="login-user"[^>]*>([^<]*)<`)

// arrive is one person's whole way, from the click to Kingdee's page.
func (v *visitor) arrive(userid string) (user string, err error) {
	form, err := v.begin(userid)
	if err != nil {
		return "", err
	}
	return v.finish(form)
}

// begin clicks, opens the sign-in page and has the code.
func (v *visitor) begin(userid string) (url.Values, error) {
	res, _, err := v.ask(http.MethodGet, "/launch/kingdee", nil)
	if err != nil {
		return nil, err
	}
	_, page, err := v.ask(http.MethodGet, res.Header.Get("Location"), nil)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"userid": userid})
	if err != nil {
		return nil, err
	}
	given, err := http.Post(v.g.dingtalk.URL+"/sim/authcode", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer given.Body.Close()
	var code struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(given.Body).Decode(&code); err != nil {
		return nil, err
	}
	form := url.Values{"code": {code.Code}}
	for _, field := range inputPattern.FindAllStringSubmatch(page, -1) {
		if field[2] != "" {
			form.Set(field[1], field[2])
		}
	}
	if form.Get("state") == "" {
		return nil, fmt.Errorf("no sign-in page: %d", res.StatusCode)
	}
	return form, nil
}

// finish posts the code and follows to Kingdee's page.
func (v *visitor) finish(form url.Values) (user string, err error) {
	res, page, err := v.ask(http.MethodPost, "/signin/dingtalk", form)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusSeeOther {
		return "", fmt.Errorf("sign-in: %d %s", res.StatusCode, page)
	}
	if res, page, err = v.ask(http.MethodGet, "/launch/kingdee", nil); err != nil {
		return "", err
	}
	link := res.Header.Get("Location")
	if !strings.HasPrefix(link, v.g.kingdee.URL) {
		return "", fmt.Errorf("launch: %d to %q %s", res.StatusCode, link, page)
	}
	return openLink(v.g.client, link)
}

// openLink opens a link at Kingdee and gives the login user that it shows.
func openLink(client *http.Client, link string) (string, error) {
	jar := map[string]string{}
	for range 5 {
		req, err := http.NewRequest(http.MethodGet, link, nil)
		if err != nil {
			return "", err
		}
		for name, value := range jar {
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		res, err := client.Do(req)
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			return "", err
		}
		for _, c := range res.Cookies() {
			jar[c.Name] = c.Value
		}
		if next := res.Header.Get("Location"); next != "" {
			u, err := req.URL.Parse(next)
			if err != nil {
				return "", err
			}
			link = u.String()
			continue
		}
		if found := loginUser.FindStringSubmatch(string(text)); found != nil {
			return found[1], nil
		}
		return "", fmt.Errorf("not landed: %d %s", res.StatusCode, text)
	}
	return "", errors.New("too many redirects")
}

// stream has people sign in without a pause until it is stopped.
type stream struct {
	landed, failed atomic.Int64
	mu             sync.Mutex
	first          error
	stop           func()
}

func (g *gateway) stream(width int) *stream {
	s := &stream{}
	ending := make(chan struct{})
	var group sync.WaitGroup
	for range width {
		group.Go(func() {
			for {
				select {
				case <-ending:
					return
				default:
				}
				user, err := g.visitor().arrive("1001")
				if err == nil && user != "zhangsan" {
					err = fmt.Errorf("landed as %q", user)
				}
				s.note(err)
			}
		})
	}
	s.stop = sync.OnceFunc(func() { close(ending); group.Wait() })
	g.t.Cleanup(s.stop)
	return s
}

func (s *stream) note(err error) {
	if err == nil {
		s.landed.Add(1)
		return
	}
	s.failed.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = err
	}
}

// more waits until so many more landed.
func (s *stream) more(t *testing.T, n int64) {
	t.Helper()
	want := s.landed.Load() + n
	eventually(t, "people go on signing in", func() bool { return s.landed.Load() >= want || s.failed.Load() > 0 })
}

// TestRotation proves R57: every key of the configuration that a sign-in meets
// is changed while people sign in without a pause, and nobody is refused, nor
// anybody whose sign-in page was open all the while.
func TestRotation(t *testing.T) {
	t.Parallel()
	h := encrypted(t, "")
	h.put("callback.token", "first-token-of-ours")
	h.put("callback.aes", strings.Repeat("a", 43))
	h.edit("    agent_id: ", "    events: callback\n    callback: {token_file: callback.token, aes_key_file: callback.aes}\n    agent_id: ")
	g := h.start()
	s := g.stream(3)
	s.more(t, 3)
	for _, step := range rotations(g) {
		waiting := make(map[*visitor]url.Values)
		for range 3 {
			v := g.visitor()
			form, err := v.begin("1001")
			must(t, err)
			waiting[v] = form
		}
		step.do(t)
		if !step.silent {
			g.reload("the new configuration is in force")
		}
		for v, form := range waiting {
			if user, err := v.finish(form); err != nil || user != "zhangsan" {
				t.Errorf("%s: whose page was open landed as %q: %v", step.name, user, err)
			}
		}
		s.more(t, 3)
		if step.after != nil {
			step.after(t)
			s.more(t, 3)
		}
	}
	s.stop()
	if s.failed.Load() > 0 {
		t.Errorf("%d of %d sign-ins failed, the first: %v\n%s", s.failed.Load(), s.failed.Load()+s.landed.Load(), s.first, g.log())
	}
	for _, secret := range []string{nextSecret, "first-token-of-ours", "other-token-of-ours", strings.Repeat("b", 43)} {
		if strings.Contains(g.log(), secret) {
			t.Errorf("a secret is in the log")
		}
	}
	g.stop()
}

// rotation is one step of the change of a key.
type rotation struct {
	name   string
	do     func(t *testing.T)
	silent bool               // no SIGHUP: what is changed is not in the configuration
	after  func(t *testing.T) // once the step is in force
}

// rotations are the steps in order, as docs/operations.md tells them.
func rotations(g *gateway) []rotation {
	h := g.house
	seal := func(keys string) func(t *testing.T) {
		return func(*testing.T) {
			h.text = regexp.MustCompile(`(?m)^seal:.*\n`).ReplaceAllString(h.text, "")
			h.write("seal: " + keys + "\n" + h.text)
		}
	}
	return []rotation{
		{name: "seal key, listed", do: func(t *testing.T) { h.seal("next.key"); seal(`{old_key_files: [next.key]}`)(t) }},
		{name: "seal key, in front", do: seal(`{key_file: next.key, old_key_files: [data/seal.key]}`), after: func(t *testing.T) {
			g.logged("stored entries are sealed anew")
			h.run("backup", h.path("rotated.kdgate")).want(t, 0)
			h.run("audit", "verify").want(t, 0)
		}},
		{name: "seal key, a third", do: func(t *testing.T) {
			h.seal("third.key")
			seal(`{key_file: third.key, old_key_files: [next.key, data/seal.key]}`)(t)
		}},
		{name: "callback's token and key", do: func(*testing.T) {
			h.put("callback.old", "first-token-of-ours")
			h.put("callback.oldaes", strings.Repeat("a", 43))
			h.put("callback.token", "other-token-of-ours")
			h.put("callback.aes", strings.Repeat("b", 43))
			h.edit("aes_key_file: callback.aes}", "aes_key_file: callback.aes, old: {token_file: callback.old, aes_key_file: callback.oldaes, until: 2099-01-01}}")
		}},
		{name: "Kingdee's row", do: func(t *testing.T) {
			h.put("kingdee.secret", nextSecret)
			h.edit("app_id: "+appID, "app_id: "+nextAppID)
		}, after: func(t *testing.T) {
			off := false
			must(t, h.king.PatchRow(dbID, appID, kingdeesim.RowPatch{Enabled: &off}))
		}},
		{name: "DingTalk's secret, at DingTalk", silent: true, do: func(t *testing.T) {
			must(t, h.ding.ChangeApp(appKey, func(a *dingtalksim.App) { a.Secret = "ding-secret-after-reset" }))
		}},
		{name: "DingTalk's secret, here", do: func(*testing.T) { h.put("dingtalk.secret", "ding-secret-after-reset") }},
		{name: "certificate", silent: true, do: func(t *testing.T) {
			cert, key := h.certify("second", year)
			h.put("tls.crt", cert)
			h.put("tls.key", key)
			eventually(t, "the new certificate is served", func() bool { return g.served() == "second" })
		}},
	}
}

// TestRotationRefused: a change that would leave stored values or the audit log
// without their key is not put in force (R57, R55).
func TestRotationRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	good := h.text
	h.seal("next.key")
	for name, change := range map[string]struct {
		seal string
		why  string
	}{
		"the key in force is not listed": {"{key_file: next.key}", "audit"},
		"no such file":                   {"{key_file: gone.key, old_key_files: [data/seal.key]}", "gone.key"},
	} {
		h.write("seal: " + change.seal + "\n" + good)
		g.reload("the old one goes on", change.why)
		if _, err := g.visitor().arrive("1001"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Another key in the same file is another key.
	key, err := os.ReadFile(filepath.Join(h.dir, "data/seal.key"))
	must(t, err)
	next, err := os.ReadFile(h.path("next.key"))
	must(t, err)
	h.write(good)
	must(t, os.WriteFile(h.path("data/seal.key"), next, 0o600))
	g.reload("the old one goes on")
	must(t, os.WriteFile(h.path("data/seal.key"), key, 0o600))
	if _, err := g.visitor().arrive("1001"); err != nil {
		t.Error(err)
	}
	g.stop()
}
