package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/websocket"
)

// sim asks a control door of a simulator and gives what it said.
func sim(t *testing.T, method, address, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text := must(io.ReadAll(res.Body))
	if res.StatusCode > 299 {
		t.Fatalf("%s %s: %d %s", method, address, res.StatusCode, text)
	}
	return string(text)
}

// within asks until the answer is yes, and tells how long that took.
func within(t *testing.T, d time.Duration, what string, ask func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(d)
	for !ask() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %s: %s", d, what)
		}
	}
	return time.Since(began)
}

// kingdeeHas reports whether Kingdee's control door shows a row with all of words.
func (tr *trial) kingdeeHas(t *testing.T, door string, words ...string) bool {
	t.Helper()
	var rows []json.RawMessage
	if err := json.Unmarshal([]byte(sim(t, http.MethodGet, tr.kingdee+"/sim/"+door, "")), &rows); err != nil {
		t.Fatal(err)
	}
next:
	for _, row := range rows {
		text := strings.ReplaceAll(string(row), ": ", ":")
		for _, word := range words {
			if !strings.Contains(text, word) {
				continue next
			}
		}
		return true
	}
	return false
}

// TestJoinerMoverLeaverRehire proves F51, F52, F54 and T42 as people meet them:
// events alone bring a joiner into Kingdee, who can click at once, and a change;
// a leaver is out on both sides; whoever is hired again waits for a person.
func TestJoinerMoverLeaverRehire(t *testing.T) {
	tr := start(t)
	people := tr.workbench + "/sim/people"
	sim(t, http.MethodPost, people+"?event=1", `{"userid":"2001","name":"新来的"}`)
	within(t, time.Minute, "the joiner is in Kingdee", func() bool {
		return tr.kingdeeHas(t, "staff", `"FStaffNumber":"2001"`, `"FDocumentStatus":"C"`, "新来的")
	})
	b := newBrowser(t, clientAgent)
	within(t, time.Minute, "the joiner lands", func() bool {
		return tr.clickInClient(t, b, "2001", "/launch/kingdee").byID("login-user") != ""
	})

	sim(t, http.MethodPatch, people+"/zhangsan?event=1", `{"name":"张三丰"}`)
	within(t, time.Minute, "the change is in Kingdee, on the record that he was mapped to", func() bool {
		return tr.kingdeeHas(t, "staff", `"FStaffNumber":"1001"`, "张三丰")
	})
	meets(t, tr.clickInClient(t, newBrowser(t, clientAgent), "zhangsan", "/launch/kingdee"), "zhangsan")

	sim(t, http.MethodDelete, people+"/2001?event=1", "")
	within(t, time.Minute, "the leaver is forbidden in Kingdee", func() bool {
		return tr.kingdeeHas(t, "staff", `"FStaffNumber":"2001"`, `"FForbidStatus":"B"`)
	})
	sim(t, http.MethodPost, people+"?event=1", `{"userid":"2001","name":"新来的"}`)
	if p := tr.clickInClient(t, newBrowser(t, clientAgent), "2001", "/launch/kingdee"); p.byID("login-user") != "" || p.code() == "" {
		t.Errorf("hired again: landed as %q, code %s", p.byID("login-user"), p.code())
	}
	for name, number := range map[string]int{"zhangsan": 1001, "lisi": 1002} { // nobody else was touched
		if !tr.kingdeeHas(t, "users", `"FName":"`+map[string]string{"zhangsan": "zhangsan", "lisi": "李四（财务）"}[name]+`"`, `"FForbidStatus":"A"`) {
			t.Errorf("%s (%d) is forbidden", name, number)
		}
	}
}

// TestEveryDoorCloses proves T43, T40 and R47: within 5 s of the leave event
// nobody comes in any more by any door that there is, nor stays in.
func TestEveryDoorCloses(t *testing.T) {
	tr := start(t, "--mode", "proxy")
	const leaver = "manager01" // an administrator: they have every door
	inside := newBrowser(t, clientAgent)
	landed := tr.clickInClient(t, inside, leaver, "/launch/kingdee")
	meets(t, landed, leaver)
	admin := newBrowser(t, clientAgent)
	tr.enterByHTTP(t, admin, leaver)
	socket := tr.socket(t, inside)
	closed := make(chan error, 1)
	go func() {
		for {
			var text string
			if err := websocket.Message.Receive(socket, &text); err != nil {
				closed <- err
				return
			}
		}
	}()
	codeBefore := tr.authCode(t, leaver)
	form := newBrowser(t, clientAgent)
	signIn := form.get(tr.gateway + "/launch/kingdee")

	sim(t, http.MethodDelete, tr.workbench+"/sim/people/"+leaver+"?event=1", "")
	left := time.Now()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the open socket stays")
	}
	took := time.Since(left)
	took = max(took, within(t, 20*time.Second, "the session in Kingdee through the gateway", func() bool {
		return inside.get(landed.url.String()).byID("login-user") == ""
	}))
	within(t, 20*time.Second, "the login user is forbidden in Kingdee", func() bool {
		return tr.kingdeeHas(t, "users", `"FName":"`+leaver+`"`, `"FForbidStatus":"B"`)
	})
	took = max(took, time.Since(left))
	t.Logf("every door closed %s after the event", took)
	if took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	out := func(door string, p page) {
		t.Helper()
		if p.byID("login-user") != "" || p.byID("leave") != "" {
			t.Errorf("%s: still in, status %d at %s", door, p.status, p.url)
		}
	}
	out("a session's launch", inside.get(tr.gateway+"/launch/kingdee"))
	out("a session's deep link", inside.get(tr.gateway+"/launch/kingdee/expense/100023"))
	out("a session's home page", inside.get(tr.gateway+"/"))
	out("the console", admin.get(tr.gateway+"/admin/"))
	out("a code from before", form.submit(signIn, "signin", map[string]string{"code": codeBefore}))
	if p := inside.get(tr.gateway + "/forward-auth?data_centre=" + centreID); p.status < 400 && p.header.Get("X-Kdgate-Assertion") != "" {
		t.Errorf("forward-auth: %d", p.status)
	}
	if _, err := tr.dial(inside); err == nil {
		t.Error("a new socket opens")
	}
	consent := newBrowser(t, "Mozilla/5.0 Chrome/120")
	page := consent.get(tr.gateway + "/launch/kingdee")
	door := find(page.dom, func(n *html.Node) bool { return attr(n, "id") == "browser-door" })
	choose := consent.get(must(page.url.Parse(attr(door, "href"))).String())
	out("the browser door", consent.submit(choose, "", map[string]string{"userid": leaver, "action": "agree"}))

	sim(t, http.MethodPost, tr.workbench+"/sim/people?event=1", `{"userid":"`+leaver+`","name":"林管理"}`)
	again := tr.clickInClient(t, newBrowser(t, clientAgent), leaver, "/launch/kingdee")
	out("hired again, before anybody has agreed", again)
	if again.code() == "" {
		t.Errorf("hired again: no code at %s", again.url)
	}
}

// dial opens Kingdee's socket through the gateway.
func (tr *trial) dial(b *browser) (*websocket.Conn, error) {
	at, err := url.Parse(tr.gateway)
	if err != nil {
		return nil, err
	}
	cfg, err := websocket.NewConfig("ws://"+at.Host+"/K3Cloud/html5/notify.ashx", tr.gateway)
	if err != nil {
		return nil, err
	}
	cookies := make([]string, 0, len(b.cookies[at.Host]))
	for name, value := range b.cookies[at.Host] {
		cookies = append(cookies, name+"="+value)
	}
	cfg.Header = http.Header{"Cookie": {strings.Join(cookies, "; ")}}
	return cfg.DialContext(b.t.Context())
}

func (tr *trial) socket(t *testing.T, b *browser) *websocket.Conn {
	t.Helper()
	conn, err := tr.dial(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// enterByHTTP enters the console as a page does.
func (tr *trial) enterByHTTP(t *testing.T, b *browser, userid string) {
	t.Helper()
	p := b.get(tr.gateway + "/admin/")
	for range 6 {
		switch {
		case p.byID("leave") != "":
			return
		case find(p.dom, func(n *html.Node) bool { return attr(n, "id") == "signin" }) != nil:
			p = b.submit(p, "signin", map[string]string{"code": tr.authCode(t, userid)})
		case p.byID("enter") != "":
			p = b.submit(p, "/admin/enter", nil)
		default:
			p = b.submit(p, "/admin/fresh", nil)
		}
	}
	t.Fatalf("not in the console: %d at %s\n%s", p.status, p.url, p.text)
}

// TestEventsAreQuick proves R47: from the change in DingTalk to the record in
// Kingdee, by the stream.
func TestEventsAreQuick(t *testing.T) {
	tr := start(t)
	const changes = 30
	took := make([]time.Duration, 0, changes)
	for i := range changes {
		name := fmt.Sprintf("张三%d号", i)
		began := time.Now()
		sim(t, http.MethodPatch, tr.workbench+"/sim/people/zhangsan?event=1", `{"name":"`+name+`"}`)
		within(t, 20*time.Second, "the change is in Kingdee", func() bool { return tr.kingdeeHas(t, "staff", name) })
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("median %s, slowest of %d: %s", took[changes/2], changes, took[changes-1])
	if took[changes-1] > 5*time.Second {
		t.Errorf("the slowest took %s", took[changes-1])
	}
}

// TestDirectoryModes: off and preview act on nothing.
func TestDirectoryModes(t *testing.T) {
	for _, mode := range []string{"off", "preview"} {
		t.Run(mode, func(t *testing.T) {
			tr := start(t, "--directory", mode)
			sim(t, http.MethodPost, tr.workbench+"/sim/people?event=1", `{"userid":"2001","name":"新来的"}`)
			meets(t, tr.clickInClient(t, newBrowser(t, clientAgent), "zhangsan", "/launch/kingdee"), "zhangsan")
			if tr.kingdeeHas(t, "staff", `"FStaffNumber":"2001"`) {
				t.Error("a joiner was written")
			}
		})
	}
}
