package kingdeesim_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/kingdee/kingdeesim"
)

// TestFaults proves SIM-K7, K72 and K102: each kind does what it says, to the
// calls it names, as often as it was told, and then the server is well again.
func TestFaults(t *testing.T) {
	for kind, check := range map[string]func(answer) bool{
		`"kind":"status"`:              func(a answer) bool { return a.status == 503 && a.body == "" },
		`"kind":"status","status":502`: func(a answer) bool { return a.status == 502 },
		`"kind":"errcode"`:             func(a answer) bool { return strings.HasSuffix(a.body, `"MsgCode":4}}}]]`) },
		`"kind":"errcode","code":13,"text":"请稍候再使用"`: func(a answer) bool {
			return strings.Contains(a.body, `请稍候再使用`) && strings.Contains(a.body, `"MsgCode":13`)
		},
		`"kind":"quota"`:               func(a answer) bool { return a.status == 200 && strings.HasSuffix(a.body, `"MsgCode":14}}}]]`) },
		`"kind":"throttle"`:            func(a answer) bool { return a.status == 429 && a.header.Get("Retry-After") == "1" },
		`"kind":"html-ban"`:            func(a answer) bool { return a.status == 200 && strings.HasPrefix(a.body, "<!DOCTYPE html>") },
		`"kind":"response-error"`:      func(a answer) bool { return strings.HasPrefix(a.body, "response_error:") },
		`"kind":"garbage"`:             func(a answer) bool { return a.status == 200 && !json.Valid([]byte(a.body)) },
		`"kind":"duplicate-key"`:       func(a answer) bool { return a.body == `{"Result":[["CNY"]],"Result":[]}` },
		`"kind":"huge","size":1000000`: func(a answer) bool { return len(a.body) >= 1_000_000 },
		`"kind":"slow","delay":"1ms"`:  func(a answer) bool { return a.body == `[["CNY"]]` },
		`"kind":"drip","delay":"1ms"`:  func(a answer) bool { return a.body == `[["CNY"]]` },
		`"kind":"after"`:               func(a answer) bool { return a.status == 500 },
	} {
		w := startOffice(t)
		session := w.session()
		fault := `{"match":"post /k3cloud/kingdee.bos.webapi.servicesstub.dynamicformservice.",` + kind + `,"times":2,"after":1}`
		if got := w.post("/sim/faults", fault, nil); got.status != http.StatusOK {
			t.Fatalf("%s: %s", kind, got.body)
		}
		for call, faulty := range []bool{false, true, true, false} {
			got := w.post(forms+"ExecuteBillQuery"+tail, `{"data":`+probe+`}`, session)
			if well := got.body == `[["CNY"]]`; faulty && !check(got) || !faulty && !well {
				t.Errorf("%s call %d: %d %.200s", kind, call+1, got.status, got.body)
			}
		}
	}
}

// TestFaultThatCuts proves the kinds that leave no whole answer.
func TestFaultThatCuts(t *testing.T) {
	w := startOffice(t)
	for _, kind := range []string{kingdeesim.FaultReset, kingdeesim.FaultTruncate} {
		if err := w.sim.AddFault(kingdeesim.Fault{Match: "getdatacenterlist", Kind: kind}); err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(w.url("/K3Cloud/"+accounts), "", nil) //nolint:noctx // a test
		if kind == kingdeesim.FaultReset {
			if err == nil {
				t.Errorf("reset: status %d", resp.StatusCode)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("truncate: %v", err)
		}
	}
}

// TestSlowCallerGoesAway proves that a fault holds no goroutine for a caller
// who has gone.
func TestSlowCallerGoesAway(t *testing.T) {
	w := startOffice(t)
	if err := w.sim.AddFault(kingdeesim.Fault{Match: "K3Cloud", Kind: kingdeesim.FaultSlow, Delay: "1h", Times: -1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url("/K3Cloud/"+accounts), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultTransport.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	var armed []kingdeesim.Fault
	w.control(http.MethodGet, "/sim/faults", nil, &armed)
	if len(armed) != 1 { // below 0 means for ever
		t.Errorf("armed %+v", armed)
	}
	w.control(http.MethodDelete, "/sim/faults", nil, nil)
	if got := w.post("/K3Cloud/"+accounts, "", nil); got.status != http.StatusOK {
		t.Errorf("after clearing: %d", got.status)
	}
}

// TestFaultOnLinkAndLogin proves that faults reach every vendor route.
func TestFaultOnLinkAndLogin(t *testing.T) {
	w := startOffice(t)
	w.post("/sim/faults", `{"match":"index.aspx","kind":"status"}`, nil)
	if got := w.do(http.MethodGet, w.url(w.ticket("zhangsan").path()), "", nil); got.status != 503 {
		t.Errorf("link: %d", got.status)
	}
	if shown := w.land(w.url(w.ticket("zhangsan").path())); shown["login-user"] != "zhangsan" {
		t.Errorf("the refused call used the link up: %v", shown)
	}
	w.post("/sim/faults", `{"match":"LoginBySign","kind":"duplicate-key"}`, nil)
	got := w.post(auth+"LoginBySign"+tail, w.loginBody("kdgate"), nil)
	if strings.Count(got.body, `"Message":null`) != 2 {
		t.Errorf("login: %s", got.body)
	}
}

// TestControlRefusals proves that a mistyped control call says so.
func TestControlRefusals(t *testing.T) {
	w := startOffice(t)
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/sim/faults", `{"match":"x","kind":"meltdown"}`, 400},
		{"POST", "/sim/faults", `{"match":"x","kind":"slow","delay":"long"}`, 400},
		{"POST", "/sim/faults", `{"mach":"x","kind":"slow"}`, 400},
		{"POST", "/sim/clock", `{"skew":"soon"}`, 400},
		{"POST", "/sim/switches", `{"kickoff2":true}`, 400},
		{"POST", "/sim/switches", `{"limitMode":"none"}`, 400},
		{"PATCH", "/sim/users/nobody", `{"locked":true}`, 404},
		{"PATCH", "/sim/users/zhangsan", `{"FForbidStatus":"C"}`, 400},
		{"PATCH", "/sim/users/zhangsan", `{"FName":"kdgate"}`, 400},
		{"PATCH", "/sim/users/zhangsan", `{"FLinkObject":7}`, 400},
		{"PATCH", "/sim/staff/9999", `{"FForbidStatus":"B"}`, 404},
		{"PATCH", "/sim/staff/1001", `{"FForbidStatus":"X"}`, 400},
		{"PATCH", "/sim/rows/nothing", `{"enabled":false}`, 404},
		{"PATCH", "/sim/datacentres/" + centreID, `{"hash":"md5"}`, 400},
		{"POST", "/sim/staff", `{"Number":""}`, 400},
		{"POST", "/sim/staff?dc=nowhere", `{"Number":"2000"}`, 404},
		{"GET", "/sim/nothing", ``, 404},
	} {
		if got := w.do(test.method, w.url(test.path), test.body, nil); got.status != test.status {
			t.Errorf("%s %s %s: %d %s", test.method, test.path, test.body, got.status, got.body)
		}
	}
}

// TestControlDoor proves SIM-K105 and the lists of the control door.
func TestControlDoor(t *testing.T) {
	cfg := office()
	cfg.DataCentres[0].Rows[0].AppID = "219999_11aa2BbCc3dD/E4fF5gG6hH+7iI8jJkL"
	w := start(t, cfg)
	var clock struct {
		Now  time.Time
		Skew string
	}
	for body, want := range map[string]string{`{"skew":"-90m"}`: "-1h30m0s", `{"skew":300}`: "5m0s", `{"skew":"300"}`: "5m0s", `{"skew":0}`: "0s"} {
		if got := w.post("/sim/clock", body, nil); !strings.Contains(got.body, `"skew":"`+want+`"`) {
			t.Errorf("clock %s: %s", body, got.body)
		}
	}
	w.post("/sim/clock", `{"skew":"1h"}`, nil)
	if w.control(http.MethodGet, "/sim/clock", nil, &clock); !clock.Now.Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("clock %+v", clock)
	}
	date, err := http.ParseTime(w.do(http.MethodGet, w.url("/K3Cloud/Manager/"), "", nil).header.Get("Date"))
	if want := w.clock.Now().Add(time.Hour).Truncate(time.Second); err != nil || !date.Equal(want) {
		t.Errorf("the server says it is %v (%v), want %v", date, err, want)
	}
	w.control(http.MethodDelete, "/sim/calls", nil, nil)
	w.changeRecords()
	for _, path := range []string{"/sim/bills", "/sim/sessions", "/sim/calls", "/sim/log", "/sim/faults"} {
		if got := w.do(http.MethodGet, w.url(path), "", nil); strings.TrimSpace(got.body) != "[]" {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	var switches kingdeesim.Switches
	w.post("/sim/switches", `{"kickOff":true}`, nil)
	w.post("/sim/switches", `{"textIDs":true}`, nil)
	w.control(http.MethodGet, "/sim/switches", nil, &switches)
	if switches != (kingdeesim.Switches{KickOff: true, TextIDs: true}) {
		t.Errorf("switches %+v", switches)
	}
}

// changeRecords hires somebody and changes every kind of record.
func (w *world) changeRecords() {
	t := w.t
	t.Helper()
	if got := w.do(http.MethodPatch, w.url("/sim/rows/219999_11aa2BbCc3dD/E4fF5gG6hH+7iI8jJkL?dc="+centreID), `{"enabled":false,"windowMinutes":5,"once":false,"users":["zhangsan"],"futureSkewSeconds":0}`, nil); got.status != 200 {
		t.Errorf("row: %s", got.body)
	}
	if got := w.post("/sim/staff", `{"Number":"2000","Name":"新人","Users":[{"Name":"xinren"}]}`, nil); got.status != 200 {
		t.Errorf("hire: %s", got.body)
	}
	if got := w.do(http.MethodPatch, w.url("/sim/staff/2000"), `{"FForbidStatus":"B","FStaffNumber":"2001","FName":"旧人"}`, nil); got.status != 200 {
		t.Errorf("staff: %s", got.body)
	}
	if got := w.do(http.MethodPatch, w.url("/sim/users/xinren"), `{"FName":"xinren2","FUserAccount":"x2","policyHint":true}`, nil); got.status != 200 {
		t.Errorf("user: %s", got.body)
	}
	var staff []kingdeesim.StaffInfo
	w.control(http.MethodGet, "/sim/staff", nil, &staff)
	last := staff[len(staff)-1]
	if last.Number != "2001" || last.Name != "旧人" || last.ForbidStatus != "B" || !slices.Equal(last.Users, []string{"xinren2"}) || len(last.Posts) != 1 {
		t.Errorf("staff %+v", last)
	}
	var users []kingdeesim.UserInfo
	w.control(http.MethodGet, "/sim/users", nil, &users)
	if u := users[len(users)-1]; u.Name != "xinren2" || u.Account != "x2" || u.StaffNumber != "2001" || u.Listed {
		t.Errorf("user %+v", u)
	}
}

// TestCalls proves SIM-K104: what was received is kept, the oldest forgotten.
func TestCalls(t *testing.T) {
	cfg := office()
	cfg.KeepCalls = 3
	w := start(t, cfg)
	session := w.session()
	for i := range 3 {
		w.query(session, ask("BD_Empinfo", "FName", fmt.Sprintf("FNumber='%d'", i), ""))
	}
	var calls []kingdeesim.Call
	w.control(http.MethodGet, "/sim/calls", nil, &calls)
	if len(calls) != 3 {
		t.Fatalf("%d calls", len(calls))
	}
	for i, c := range calls {
		if c.Route != "POST "+forms+"ExecuteBillQuery"+tail || c.Status != 200 || c.User != "kdgate" || c.Caller != "127.0.0.1" ||
			!c.Time.Equal(w.clock.Now()) || c.Header.Get("Kdservice-Sessionid") == "" || !strings.Contains(c.Body, fmt.Sprintf("FNumber='%d'", i)) {
			t.Errorf("call %d: %+v", i, c)
		}
	}
	w.control(http.MethodDelete, "/sim/calls", nil, nil)
	if w.control(http.MethodGet, "/sim/calls", nil, &calls); len(calls) != 0 {
		t.Errorf("%d calls after forgetting", len(calls))
	}
}

// TestLeaks proves the other half of SIM-K104.
func TestLeaks(t *testing.T) {
	w := startOffice(t)
	link := w.ticket("zhangsan").path()
	w.land(w.url(link))
	id := w.sim.Sessions()[0].ID
	_, ud, _ := strings.Cut(link, "ud=")
	for text, want := range map[string]string{
		"all is well":              "[]",
		"secret=" + secret + " oh": "[app-secret]",
		"went to " + ud:            "[link]",
		"kdsid=" + id:              "[session-id]",
		"888888 " + id:             "[password session-id]",
		"sign " + w.ticket("zhangsan").signed("sha256"): "[link-signature]",
	} {
		if got := fmt.Sprint(w.sim.Leaks([]byte(text))); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	var answer struct{ Found []string }
	got := w.post("/sim/leaks", secret, nil)
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || !slices.Equal(answer.Found, []string{"app-secret"}) {
		t.Errorf("control door: %s", got.body)
	}
}

// TestCounters proves SIM-K103.
func TestCounters(t *testing.T) {
	w := startOffice(t)
	counters := func() (c kingdeesim.Counters) {
		w.control(http.MethodGet, "/sim/counters", nil, &c)
		return c
	}
	session := w.session()
	for range 5 {
		w.query(session, probe)
	}
	c := counters()
	if c.Logins != 1 || c.LoginsThisMinute != 1 || c.Sessions != 1 || c.CallsPerSession[session["Kdservice-Sessionid"][0]] != 5 || c.LoginBeforeCall {
		t.Errorf("%+v", c)
	}
	w.clock.Advance(time.Minute)
	for range 4 { // log in, one call, log out: the habit the vendor warns of
		one := w.session()
		w.query(one, probe)
		w.post(auth+"Logout"+tail, "", one)
	}
	if c = counters(); c.Logins != 5 || c.MostLoginsPerMinute != 4 || !c.LoginBeforeCall {
		t.Errorf("%+v", c)
	}
}

// TestRareLoginsAreNoFault proves that SIM-K103 does not accuse a client whose
// sessions died of age.
func TestRareLoginsAreNoFault(t *testing.T) {
	w := startOffice(t)
	for range 6 {
		w.query(w.session(), probe)
		w.clock.Advance(time.Hour)
	}
	if c := w.sim.Counters(); c.LoginBeforeCall || c.MostLoginsPerMinute != 1 {
		t.Errorf("%+v", c)
	}
}

// TestConfigMistakes proves that every mistake is named at once.
func TestConfigMistakes(t *testing.T) {
	_, err := kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{
		{ID: "short", Hash: "md5", Rows: []kingdeesim.Row{{AppID: "a"}}, Tables: kingdeesim.Tables{
			Users: []kingdeesim.User{{Name: "a"}, {Name: "a"}, {Name: "b", PersonID: 9}}, Staff: []kingdeesim.Staff{{Number: "1"}},
		}},
		{ID: "short"},
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"14 hex", "md5", "a secret", "stands twice", "points at no person", "needs a number and a person"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
	if _, err := kingdeesim.New(kingdeesim.Config{}); err == nil {
		t.Error("no data centre was accepted")
	}
	cfg := office()
	cfg.StateFile = filepath.Join(t.TempDir(), "no", "such", "folder")
	if _, err := kingdeesim.New(cfg); err == nil {
		t.Error("an impossible state file was accepted")
	}
}

// TestHugeAnswerCanBeLeft proves that the huge fault streams: a reader with a
// limit gets its first bytes at once and may walk away.
func TestHugeAnswerCanBeLeft(t *testing.T) {
	w := startOffice(t)
	if err := w.sim.AddFault(kingdeesim.Fault{Match: "/k3cloud/", Kind: kingdeesim.FaultHuge, Size: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url("/K3Cloud/"+accounts), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	start, err := bufio.NewReader(resp.Body).Peek(11)
	resp.Body.Close() // a client that reads with a limit walks away here
	if err != nil || string(start) != `{"Result":"` {
		t.Errorf("%q %v", start, err)
	}
}
