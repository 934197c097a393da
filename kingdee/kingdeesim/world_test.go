package kingdeesim_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kdgate/internal/handclock"
	"kdgate/kingdee/kingdeesim"
)

const (
	centreID = "61cd78fbc6aa78"
	appID    = "231784_Test4CcK1jgWTczoWZ3NSDWK1l5b6Ppx"
	secret   = "0123456789abcdef0123456789ABCDEF"
	services = "/K3Cloud/Kingdee.BOS.WebApi.ServicesStub."
	auth     = services + "AuthService."
	forms    = services + "DynamicFormService."
	tail     = ".common.kdsvc"
)

// world is a simulator behind a real listener, and a browser without memory.
type world struct {
	t     *testing.T
	sim   *kingdeesim.Server
	web   *httptest.Server
	clock *handclock.Clock
}

func start(t *testing.T, cfg kingdeesim.Config) *world {
	t.Helper()
	clock := handclock.New(time.Unix(1_700_000_000, 0))
	if cfg.Now == nil {
		cfg.Now = clock.Now
	}
	sim, err := kingdeesim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(sim)
	t.Cleanup(func() {
		web.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{t: t, sim: sim, web: web, clock: clock}
}

// office is the cast most tests use.
func office() kingdeesim.Config {
	var tables kingdeesim.Tables
	tables.Users = []kingdeesim.User{{Name: "kdgate", Account: "api", Password: "888888"}}
	for _, e := range []kingdeesim.Employee{
		{Number: "1001", Name: "张三", Mobile: "13800000001", ExtraPosts: 1, Users: []kingdeesim.User{{Name: "zhangsan", Account: "zs1001"}}},
		{Number: "1002", Name: "李四", Users: []kingdeesim.User{{Name: "李四（财务）", Account: "lisi"}}},
		{Number: "1003", Name: "王五"},
		{Number: "1004", Name: "赵六", Users: []kingdeesim.User{{Name: "zhaoliu", Account: "z6"}, {Name: "zhaoliu2", Account: "z62"}}},
		{Number: "1005", Name: "钱七", ForbidStatus: kingdeesim.Forbidden, Users: []kingdeesim.User{{Name: "qianqi", Account: "q7", ForbidStatus: kingdeesim.Forbidden}}},
		{Number: "1006", Name: "张三", Users: []kingdeesim.User{{Name: "张三2", Account: "zs1006", Locked: true}}},
	} {
		tables.Hire(e)
	}
	return kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: centreID, Number: "001", Name: "正式账套", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: appID, Secret: secret, IntegrationUser: "kdgate"}},
	}}}
}

func startOffice(t *testing.T) *world {
	t.Helper()
	return start(t, office())
}

func (w *world) url(path string) string { return w.web.URL + path }

// moved points a vector's URL at this server.
func (w *world) moved(link string) string {
	return strings.Replace(link, "https://erp.example.com", w.web.URL, 1)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (w *world) do(method, link, body string, header http.Header) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, link, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // follows nothing, remembers nothing
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(raw)}
}

func (w *world) post(path, body string, header http.Header) answer {
	w.t.Helper()
	return w.do(http.MethodPost, w.url(path), body, header)
}

// control posts to, or reads from, the control door.
func (w *world) control(method, path string, body, into any) int {
	w.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	got := w.do(method, w.url(path), string(raw), nil)
	if into != nil {
		if err := json.Unmarshal([]byte(got.body), into); err != nil {
			w.t.Fatalf("%s %s: %v in %q", method, path, err, got.body)
		}
	}
	return got.status
}

// ticket is a sign-on link as the tests build it, by their own hand.
type ticket struct {
	dbid, user, appID, secret, timestamp, sign, permit string
	formID, formType, pkID, openMode                   string
	page                                               string
}

func (w *world) ticket(user string) ticket {
	return ticket{dbid: centreID, user: user, appID: appID, secret: secret, timestamp: w.seconds(), permit: "1"}
}

// seconds is the simulated time as a link writes it.
func (w *world) seconds() string { return strconv.FormatInt(w.clock.Now().Unix(), 10) }

func (l ticket) otherArgs() string {
	if l.permit == "" {
		return ""
	}
	return "|{'permitcount':'" + l.permit + "'}"
}

// signed is the signature of 1.3; hash is sha256, anything else means SHA1.
func (l ticket) signed(hash string) string {
	values := []string{l.dbid, l.user, l.appID, l.secret, l.timestamp}
	if l.permit != "" {
		values = append(values, l.permit)
	}
	return digest(hash, values...)
}

func digest(hash string, values ...string) string {
	slices.Sort(values) // all test values lie where UTF-8 and UTF-16 order agree
	joined := []byte(strings.Join(values, ""))
	if hash == "sha256" {
		return fmt.Sprintf("%x", sha256.Sum256(joined))
	}
	return fmt.Sprintf("%x", sha1.Sum(joined))
}

func (l ticket) json() string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if l.sign == "" {
		l.sign = l.signed("sha256")
	}
	_ = enc.Encode(map[string]any{
		"dbid": l.dbid, "username": l.user, "appid": l.appID, "signeddata": l.sign, "timestamp": l.timestamp, "lcid": "2052",
		"origintype": "SimPas", "entryrole": "", "formid": l.formID, "formtype": l.formType, "pkid": l.pkID,
		"otherargs": l.otherArgs(), "openmode": nilIfEmpty(l.openMode),
	})
	return strings.TrimSpace(out.String())
}

func nilIfEmpty(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (l ticket) path() string { return linkPath(l.page, l.json()) }

func linkPath(page, payload string) string {
	if page == "" {
		page = "html5/index.aspx"
	}
	return "/K3Cloud/" + page + "?ud=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(payload)))
}

var element = regexp.MustCompile(`id="([a-z-]+)"[^>]*>([^<]*)<`)

// elements are the texts of a page's elements, by id.
func elements(page string) map[string]string {
	out := map[string]string{}
	for _, m := range element.FindAllStringSubmatch(page, -1) {
		out[m[1]] = m[2]
	}
	return out
}

// land opens a link as a browser does and returns what the landing page shows.
func (w *world) land(link string) map[string]string {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	_, shown := w.browse(jar, link)
	return shown
}

func (w *world) browse(jar http.CookieJar, link string) (string, map[string]string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, link, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := (&http.Client{Jar: jar}).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Request.URL.String(), elements(string(page))
}

// refused opens a link and fails unless the refusal page comes back.
func (w *world) refused(link string) {
	w.t.Helper()
	got := w.do(http.MethodGet, link, "", nil)
	if got.status != http.StatusOK || !strings.Contains(got.body, `id="refused"`) || len(got.header.Values("Set-Cookie")) != 0 {
		w.t.Errorf("want the refusal page, got %d, cookies %v, log %+v", got.status, got.header.Values("Set-Cookie"), w.sim.Log())
	}
}

// lastReason is why the latest login or link was refused; "" means it was not.
func (w *world) lastReason() string {
	w.t.Helper()
	log := w.sim.Log()
	if len(log) == 0 {
		w.t.Fatal("nothing in the log view")
	}
	return log[len(log)-1].Reason
}

// loginAnswer is the part of a login reply that tests look at.
type loginAnswer struct {
	Message         *string
	MessageCode     *string
	LoginResultType int
	Context         *struct {
		SessionId  string
		ClientType int
		UserName   string
		DBid       string
	}
	KDSVCSessionId *string
	answer         answer
}

func (w *world) loginWith(method, body string) loginAnswer {
	w.t.Helper()
	got := w.post(auth+method+tail, body, http.Header{"Content-Type": {"application/json"}})
	out := loginAnswer{answer: got}
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		w.t.Fatalf("%s: %v in %q", method, err, got.body)
	}
	return out
}

func (w *world) login(body string) loginAnswer {
	w.t.Helper()
	return w.loginWith("LoginBySign", body)
}

// session logs the integration user in and returns the session header.
func (w *world) session() http.Header {
	w.t.Helper()
	reply := w.login(w.loginBody("kdgate"))
	if reply.LoginResultType != 1 {
		w.t.Fatalf("login: %s", reply.answer.body)
	}
	return http.Header{"Kdservice-Sessionid": {*reply.KDSVCSessionId}}
}

func (w *world) loginBody(user string) string {
	at := w.seconds()
	return fmt.Sprintf(`{"parameters":[%q,%q,%q,%q,%q,2052]}`, centreID, user, appID, at, digest("sha256", centreID, user, appID, secret, at))
}

// query runs ExecuteBillQuery and returns the raw answer.
func (w *world) query(session http.Header, data string) string {
	w.t.Helper()
	return w.post(forms+"ExecuteBillQuery"+tail, `{"data":`+data+`}`, session).body
}

// hmacHex is the Base64 of the lower-case hex text of HMAC-SHA256.
func hmacHex(key, message string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(message))
	return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(mac.Sum(nil))))
}
