package kingdeesim_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"kdgate/kingdee/kingdeesim"
)

// TestLanding proves SIM-K93 and K94: cookies, the address of the console, what
// it shows, and a session that the Web API takes.
func TestLanding(t *testing.T) {
	w := startOffice(t)
	l := w.ticket("李四（财务）")
	l.formID, l.formType, l.pkID = "ER_ExpReimbursement", "bill", "100001"
	got := w.do(http.MethodGet, w.url(l.path()), "", nil)
	if got.status != http.StatusFound {
		t.Fatalf("%d %s", got.status, w.lastReason())
	}
	target := regexp.MustCompile(`^/K3Cloud/html5/dform\.aspx\?formId=BOS_HtmlConsole&formType=mobileform&pageId=[0-9a-f]+&usertoken=[0-9a-f-]{36}&kdsid=([0-9a-f-]{36})&custparam=$`)
	match := target.FindStringSubmatch(got.header.Get("Location"))
	if match == nil {
		t.Fatalf("location %q", got.header.Get("Location"))
	}
	cookies := strings.Join(got.header.Values("Set-Cookie"), "\n")
	if !regexp.MustCompile(`^kdservice-sessionid=` + match[1] + `; path=/\nASP\.NET_SessionId=[a-z0-9]{24}; path=/; HttpOnly\nTheme=standard; path=/k3cloud/html5$`).MatchString(cookies) {
		t.Errorf("cookies %s", cookies)
	}
	if api := w.query(http.Header{"Cookie": {"kdservice-sessionid=" + match[1]}}, probe); api != `[["CNY"]]` {
		t.Errorf("Web API with the landing session: %s", api)
	}
	l.timestamp = w.later()
	shown := w.land(w.url(l.path()))
	for id, want := range map[string]string{
		"login-user": "李四（财务）", "data-centre": "正式账套", "form-id": "ER_ExpReimbursement", "form-type": "bill", "pk-id": "100001", "sign-out": "注销",
	} {
		if shown[id] != want {
			t.Errorf("#%s shows %q, want %q", id, shown[id], want)
		}
	}
	if _, there := shown["referrer"]; !there {
		t.Error("the page does not show its referrer")
	}
}

// later moves the clock by a second, so that the next link is another one.
func (w *world) later() string {
	w.clock.Advance(time.Second)
	return w.seconds()
}

// TestConsoleGuards proves that the landing page wants both cookies, the user
// token and the session id together, and that signing out ends it.
func TestConsoleGuards(t *testing.T) {
	w := startOffice(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	console, shown := w.browse(jar, w.url(w.ticket("zhangsan").path()))
	if shown["login-user"] != "zhangsan" {
		t.Fatalf("landed on %v", shown)
	}
	where, err := url.Parse(console)
	if err != nil {
		t.Fatal(err)
	}
	own := ""
	for _, c := range jar.Cookies(where) {
		own += c.Name + "=" + c.Value + "; "
	}
	without := func(name string) string { return regexp.MustCompile(name+`=[^;]*; `).ReplaceAllString(own, "") }
	for name, test := range map[string]struct{ link, cookie string }{
		"no cookies":        {console, ""},
		"no ASP.NET cookie": {console, without("ASP.NET_SessionId")},
		"no session cookie": {console, without("kdservice-sessionid")},
		"other token":       {regexp.MustCompile(`usertoken=[^&]*`).ReplaceAllString(console, "usertoken=x"), own},
		"other session id":  {regexp.MustCompile(`kdsid=[^&]*`).ReplaceAllString(console, "kdsid=x"), own},
		"unknown page":      {regexp.MustCompile(`pageId=[^&]*`).ReplaceAllString(console, "pageId=x"), own},
	} {
		if got := w.do(http.MethodGet, test.link, "", http.Header{"Cookie": {test.cookie}}); !strings.Contains(got.body, `id="refused"`) {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	if _, shown = w.browse(jar, console); shown["login-user"] != "zhangsan" {
		t.Errorf("a reload shows %v", shown)
	}
	out := w.do(http.MethodPost, w.url("/k3cloud/html5/logout.aspx"), "", http.Header{"Cookie": {own}})
	if !strings.Contains(out.body, `id="signed-out"`) || len(w.sim.Sessions()) != 0 {
		t.Errorf("sign-out: %s", out.body)
	}
}

// TestLandingByScript proves the switch of SIM-K93.
func TestLandingByScript(t *testing.T) {
	w := startOffice(t)
	w.sim.SetSwitches(kingdeesim.Switches{LandByScript: true})
	got := w.do(http.MethodGet, w.url(w.ticket("zhangsan").path()), "", nil)
	if got.status != http.StatusOK || got.header.Get("Location") != "" || !strings.Contains(got.body, "window.location.replace(") ||
		len(got.header.Values("Set-Cookie")) != 3 {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
}

// TestEntryPages proves SIM-K79: letter case, the light page, the login page.
func TestEntryPages(t *testing.T) {
	w := startOffice(t)
	for _, page := range []string{"html5/index.aspx", "HTML5/Index.aspx", "html5/lightstartapp.aspx"} {
		l := w.ticket("zhangsan")
		l.timestamp, l.page, l.openMode, l.formID = w.later(), page, "Single", "WF_AssignmentBill"
		if shown := w.land(w.url(l.path())); shown["form-id"] != "WF_AssignmentBill" {
			t.Errorf("%s: %v", page, shown)
		}
	}
	for _, path := range []string{"/K3Cloud/", "/k3cloud/html5/index.aspx"} {
		if got := w.do(http.MethodGet, w.url(path), "", nil); !strings.Contains(got.body, `id="login-page"`) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
}

// TestLooseLinks proves SIM-K81 and K86.
func TestLooseLinks(t *testing.T) {
	w := startOffice(t)
	row := kingdeesim.RowPatch{Once: new(bool)}
	if err := w.sim.PatchRow("", appID, row); err != nil {
		t.Fatal(err)
	}
	at := w.seconds()
	five := digest("sha256", centreID, "zhangsan", appID, secret, at)
	six := digest("sha256", centreID, "zhangsan", appID, secret, at, "0")
	again := digest("sha256", centreID, "zhangsan", appID, secret, at, "yes")
	signed := func(sign string) string {
		return "dbid:'" + centreID + "',username:'zhangsan',appid:'" + appID + "',signeddata:'" + sign + "',timestamp:'" + at + "'"
	}
	for payload, good := range map[string]bool{
		"{" + signed(five) + "}": true,
		"{lcid:2052,formid:'X',formtype:'list'," + signed(five) + ",origintype:'simpas'}": true,
		"{" + signed(five) + ",timestamp:" + at + "}":                                     true,
		"{" + signed(six) + `,otherargs:"|{'permitcount':'0'}"}`:                          true,
		"{" + signed(six) + `,otherargs:"|{'permitcount': '0'}"}`:                         true,
		"{" + signed(six) + `,otherargs:"{'Status':'UnCompleted'}|{'permitcount':'0'}"}`:  true,
		"{" + signed(five) + `,otherargs:"{'Status':'UnCompleted'}"}`:                     true,
		"{" + signed(again) + `,loginAgain:'yes'}`:                                        true,
		"{" + signed(six) + `,otherargs:"|{\"permitcount\":\"0\"}"}`:                      false,
		"{" + signed(six) + `,otherargs:"{'permitcount':'0'}"}`:                           false,
		"{" + signed(six) + `,otherargs:"|{'permitcount':'2'}"}`:                          false,
		"{" + signed(six) + `,otherargs:"|{'permitcount':'0'"}`:                           false,

		"{" + signed(six) + "}":                                              false,
		"{" + signed(five) + ",lcid:9999}":                                   false,
		"{" + signed(five) + ",origintype:'XT'}":                             false,
		"{" + signed(five) + ",formtype:'window'}":                           false,
		"{" + signed(five) + ",openmode:'Double'}":                           false,
		"{" + strings.Replace(signed(five), "username", "UserName", 1) + "}": false,

		"{" + signed(five):                    false,
		"[1]":                                 false,
		"|" + centreID + "|zhangsan|" + appID: false,
	} {
		link := w.url(linkPath("", payload))
		if landed := w.land(link)["login-user"] == "zhangsan"; landed != good {
			t.Errorf("%s: landed %v, log %s", payload, landed, w.lastReason())
		}
	}
}

// TestCharset proves SIM-K82.
func TestCharset(t *testing.T) {
	cfg := office()
	cfg.DataCentres[0].Tables.Users = append(cfg.DataCentres[0].Tables.Users, kingdeesim.User{Name: "张三丰"})
	w := start(t, cfg)
	payload := func() string {
		l := w.ticket("张三丰")
		l.timestamp = w.later()
		return l.json()
	}
	gbk := func(text string) string {
		raw, err := simplifiedchinese.GBK.NewEncoder().String(text)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	escape := func(text string) string { return strings.ReplaceAll(text, "张三丰", `\u5f20\u4e09\u4e30`) }
	const utf8Mark, gbkMark = "&udencoding=utf-8", "&udencoding=gbk"
	for _, test := range []struct {
		gbkByDefault bool
		encode       func(string) string
		mark         string
		lands        bool
	}{
		{false, strings.Clone, "", true},
		{false, strings.Clone, utf8Mark, true},
		{false, escape, "", true},
		{false, gbk, "", false},
		{false, gbk, gbkMark, true},
		{true, strings.Clone, "", false},
		{true, strings.Clone, utf8Mark, true},
		{true, escape, "", true},
		{true, escape, utf8Mark, true},
		{true, gbk, "", true},
	} {
		w.sim.SetSwitches(kingdeesim.Switches{GBKByDefault: test.gbkByDefault})
		link := w.url(linkPath("", test.encode(payload())) + test.mark)
		if landed := w.land(link)["login-user"] == "张三丰"; landed != test.lands {
			t.Errorf("%+v: landed %v for %s", test, landed, w.lastReason())
		}
		if !test.lands && w.lastReason() != "user-unknown" {
			t.Errorf("%+v: refused for %s, want the garbled name not to exist", test, w.lastReason())
		}
	}
	w.refused(w.url(linkPath("", payload()) + "&udencoding=ebcdic"))
}
