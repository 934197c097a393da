package kingdeesim_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"kdgate/kingdee/kingdeesim"
)

// lostResult is the lost-session object, exactly (K36).
const lostResult = `{"Result":{"ResponseStatus":{"ErrorCode":500,"IsSuccess":false,"Errors":[{"FieldName":null,"Message":"会话信息已丢失，请重新登录","DIndex":0}],"SuccessEntitys":[],"SuccessMessages":[],"MsgCode":1}}}`

// TestHeaderOrCookie proves SIM-K34.
func TestHeaderOrCookie(t *testing.T) {
	w := startOffice(t)
	id := w.session()["Kdservice-Sessionid"][0]
	for _, header := range []http.Header{
		{"kdservice-sessionid": {id}},
		{"KDSERVICE-SESSIONID": {id}},
		{"Cookie": {"kdservice-sessionid=" + id}},
		{"Cookie": {"Theme=standard; path=/; KDService-SessionId=" + id + "; HttpOnly"}}, // what sloppy clients send
		{"Cookie": {"kdservice-sessionid=" + id}, "Kdservice-Sessionid": {id}},
	} {
		if got := w.query(header, probe); got != `[["CNY"]]` {
			t.Errorf("%v: %s", header, got)
		}
	}
}

// TestLostSession proves SIM-K36, K37, K43 and K4: the exact object, wrapped as
// each method wraps it, status 200, Chinese under lcid 1033.
func TestLostSession(t *testing.T) {
	w := startOffice(t)
	for _, header := range []http.Header{nil, {"Kdservice-Sessionid": {"nonsense"}}} {
		for method, want := range map[string]string{
			"ExecuteBillQuery": "[[" + lostResult + "]]",
			"BillQuery":        "[" + lostResult + "]",
			"View":             lostResult,
			"ExcuteOperation":  lostResult,
		} {
			if got := w.post(forms+method+tail, `{"data":`+probe+`}`, header); got.body != want || got.status != http.StatusOK {
				t.Errorf("%s: %d %s", method, got.status, got.body)
			}
		}
	}
	w.sim.SetSwitches(kingdeesim.Switches{BareQueryError: true})
	if got := w.post(forms+"BillQuery"+tail, `{}`, nil); got.body != lostResult {
		t.Errorf("bare: %s", got.body)
	}
	english := w.login(strings.Replace(w.loginBody("kdgate"), "2052]", "1033]", 1))
	w.sim.Restart()
	if got := w.query(http.Header{"Kdservice-Sessionid": {*english.KDSVCSessionId}}, probe); !strings.Contains(got, "会话信息已丢失，请重新登录") {
		t.Errorf("lcid 1033: %s", got)
	}
}

// TestIdleLimit proves SIM-K35: 20 minutes, sliding.
func TestIdleLimit(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	for range 3 {
		w.clock.Advance(20 * time.Minute)
		if got := w.query(session, probe); got != `[["CNY"]]` {
			t.Fatalf("20 minutes idle: %s", got)
		}
	}
	w.clock.Advance(20*time.Minute + time.Second)
	if got := w.query(session, probe); got != "[["+lostResult+"]]" {
		t.Errorf("a second more: %s", got)
	}
}

// TestRestart proves SIM-K39.
func TestRestart(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	if status := w.control(http.MethodPost, "/sim/restart", nil, nil); status != http.StatusOK {
		t.Fatalf("restart: %d", status)
	}
	if got := w.query(session, probe); !strings.Contains(got, `"MsgCode":1`) {
		t.Errorf("after a restart: %s", got)
	}
}

// TestSecondLogin proves SIM-K41: sessions stay side by side; switched, the
// older one goes when isKickOff is true or the method is ValidateUser.
func TestSecondLogin(t *testing.T) {
	validate := fmt.Sprintf(`{"parameters":[%q,"kdgate","888888",2052]}`, centreID)
	kick := fmt.Sprintf(`{"parameters":[%q,"kdgate","888888",true,2052]}`, centreID)
	keep := fmt.Sprintf(`{"parameters":[%q,"kdgate","888888",false,2052]}`, centreID)
	for _, test := range []struct {
		switched     bool
		method, body string
		survives     bool
	}{
		{false, "ValidateUser", validate, true},
		{false, "ValidateUser2", kick, true},
		{true, "ValidateUser", validate, false},
		{true, "ValidateUser2", kick, false},
		{true, "ValidateUser2", keep, true},
	} {
		w := startOffice(t)
		w.sim.SetSwitches(kingdeesim.Switches{KickOff: test.switched})
		first := w.session()
		w.loginWith(test.method, test.body)
		if got := w.query(first, probe); (got == `[["CNY"]]`) != test.survives {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// TestManyCallsOfOneSession proves that calls in parallel on one session all
// succeed; that they run one after another is proved in turn_test.go.
func TestManyCallsOfOneSession(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	done := make(chan string, 20)
	for range 20 {
		go func() { done <- w.query(session, probe) }()
	}
	for range 20 {
		if got := <-done; got != `[["CNY"]]` {
			t.Errorf("parallel call: %s", got)
		}
	}
	if calls := w.sim.Sessions()[0].Calls; calls != 20 {
		t.Errorf("%d calls counted", calls)
	}
}

// signedRequest are the headers of the official SDKs, by the test's own hand.
func (w *world) signedRequest(centre, user, appID, lcid string) http.Header {
	w.t.Helper()
	data := centre + "," + user + "," + lcid + ",100"
	return http.Header{
		"X-Kd-Appkey":     {appID},
		"X-Kd-Appdata":    {base64.StdEncoding.EncodeToString([]byte(data))},
		"X-Kd-Signature":  {hmacHex(secret, appID+data)},
		"X-Api-Timestamp": {strconv.FormatInt(w.clock.Now().UnixMilli(), 10)},
	}
}

// TestSignedHeaders proves SIM-K44 to K48.
func TestSignedHeaders(t *testing.T) {
	w := startOffice(t)
	good := w.signedRequest(centreID, "kdgate", appID, "2052")
	call := func(h http.Header) answer { return w.post(forms+"ExecuteBillQuery"+tail, `{"data":`+probe+`}`, h) }
	with := func(h http.Header, name, value string) http.Header {
		out := h.Clone()
		out[name] = []string{value}
		return out
	}
	first := call(good)
	if first.body != `[["CNY"]]` || len(first.header.Values("Set-Cookie")) != 2 {
		t.Fatalf("good headers: %s %v", first.body, first.header)
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(first.header.Get("Set-Cookie"), "kdservice-sessionid="), ";")
	forged := with(good, "X-Kd-Signature", "nonsense")
	if got := call(with(forged, "Kdservice-Sessionid", id)); got.body != `[["CNY"]]` { // K45
		t.Errorf("a valid session does not win: %s", got.body)
	}
	if got := call(with(good, "Kdservice-Sessionid", "stale")); got.body != `[["CNY"]]` || got.header.Get("Set-Cookie") == "" { // K46
		t.Errorf("stale id with good headers: %s", got.body)
	}
	for name, bad := range map[string]http.Header{ // K47
		"signature": forged,
		"user":      w.signedRequest(centreID, "nobody", appID, "2052"),
		"app id":    w.signedRequest(centreID, "kdgate", "other", "2052"),
		"lcid":      w.signedRequest(centreID, "kdgate", appID, "9999"),
		"appdata":   with(good, "X-Kd-Appdata", "%%%"),
	} {
		got := call(bad)
		if name == "appdata" { // no data centre can be read from it
			if got.status == http.StatusOK {
				t.Errorf("%s: %s", name, got.body)
			}
			continue
		}
		shell, _, _ := strings.Cut(strings.TrimPrefix(got.header.Get("Set-Cookie"), "kdservice-sessionid="), ";")
		if got.body != "[["+lostResult+"]]" || shell == "" {
			t.Errorf("%s: %s %v", name, got.body, got.header)
		}
		if again := w.query(http.Header{"Kdservice-Sessionid": {shell}}, probe); !strings.Contains(again, `"MsgCode":1`) {
			t.Errorf("%s: the shell is worth something: %s", name, again)
		}
	}
	got := call(w.signedRequest("00000000000000", "kdgate", appID, "2052")) // K48
	if got.status == http.StatusOK || got.body != "Fail to verify thirty passport" {
		t.Errorf("wrong data centre: %d %s", got.status, got.body)
	}
}

// TestHeaderTime proves SIM-K49: hours off is accepted, unless switched.
func TestHeaderTime(t *testing.T) {
	w := startOffice(t)
	headers := w.signedRequest(centreID, "kdgate", appID, "2052")
	w.clock.Advance(24 * time.Hour)
	if got := w.query(headers, probe); got != `[["CNY"]]` {
		t.Errorf("a day old: %s", got)
	}
	w.sim.SetSwitches(kingdeesim.Switches{CheckHeaderTime: true})
	if got := w.query(headers, probe); !strings.Contains(got, `"MsgCode":1`) || w.lastReason() != "time-window" {
		t.Errorf("switched: %s", got)
	}
	for _, unit := range []int64{1, 1000} { // seconds and milliseconds
		headers["X-Api-Timestamp"] = []string{strconv.FormatInt(w.clock.Now().Unix()*unit, 10)}
		if got := w.query(headers, probe); got != `[["CNY"]]` {
			t.Errorf("unit %d: %s", unit, got)
		}
	}
}

// TestSharedGateway proves the gateway half of SIM-K44 with the vectors K-HS-01
// and K-HS-02: there X-Api-* is checked as well.
func TestSharedGateway(t *testing.T) {
	var client, key string
	for _, v := range vectors(t, "header-sign") {
		if v.ID == "K-HS-01" {
			client, key = v.Expected["client_id"].(string), v.Expected["secret1"].(string)
		}
	}
	w := startOffice(t)
	w.sim.SetSwitches(kingdeesim.Switches{SharedGateway: true})
	const path = "/k3cloud/Kingdee.BOS.WebApi.ServicesStub.DynamicFormService.ExecuteBillQuery.common.kdsvc"
	headers := w.signedRequest(centreID, "kdgate", appID, "2052")
	if got := w.query(headers, probe); !strings.Contains(got, `"MsgCode":1`) {
		t.Errorf("without X-Api-*: %s", got)
	}
	const second = "1795279652"
	for _, sent := range []struct {
		names, nonce string
		good         bool
	}{
		{"X-Api-TimeStamp,X-Api-Nonce", "0123456789abcdef0123456789ABCDEF", true},
		{"x-api-timestamp,x-api-nonce", "not-a-nonce", false}, // no client sends such a one
		{"x-api-timestamp,x-api-nonce", "", false},
		{"X-Api-TimeStamp,X-Api-Nonce", second, true},
		{"x-api-timestamp,x-api-nonce", second, true},
	} {
		headers["X-Api-Clientid"], headers["X-Api-Auth-Version"] = []string{client}, []string{"2.0"}
		headers["X-Api-Nonce"], headers["X-Api-Timestamp"] = []string{sent.nonce}, []string{second}
		headers["X-Api-Signheaders"] = []string{sent.names}
		headers["X-Api-Signature"] = []string{hmacHex(key, "POST\n"+strings.ReplaceAll(path, "/", "%2F")+"\n\nx-api-nonce:"+sent.nonce+"\nx-api-timestamp:"+second+"\n")}
		if got := w.post(path, `{"data":`+probe+`}`, headers); (got.body == `[["CNY"]]`) != sent.good {
			t.Errorf("%+v: %s", sent, got.body)
		}
	}
	for _, v := range vectors(t, "header-sign") {
		if v.ID == "K-HS-02" && headers.Get("X-Api-Signature") != v.Expected["x_api_signature"] {
			t.Errorf("the test itself signs otherwise than %s", v.ID)
		}
	}
}

// TestHeaderVector proves SIM-K44 with K-HS-03.
func TestHeaderVector(t *testing.T) {
	for _, v := range vectors(t, "header-sign") {
		if v.ID != "K-HS-03" {
			continue
		}
		w := startOffice(t)
		if got := w.query(http.Header{
			"X-Kd-Appkey":    {v.Expected["x_kd_appkey"].(string)},
			"X-Kd-Appdata":   {v.Expected["x_kd_appdata"].(string)},
			"X-Kd-Signature": {v.Expected["x_kd_signature"].(string)},
		}, probe); got != `[["CNY"]]` {
			t.Errorf("%s", got)
		}
	}
}

// TestSessionsOfTwoCentres proves SIM-K40.
func TestSessionsOfTwoCentres(t *testing.T) {
	cfg := office()
	second := cfg.DataCentres[0]
	second.ID, second.Name = "00000000000abc", "测试账套"
	second.Tables = kingdeesim.Tables{Users: []kingdeesim.User{{Name: "kdgate"}}}
	cfg.DataCentres = append(cfg.DataCentres, second)
	w := start(t, cfg)
	session := w.session()
	const count = `{"FormId":"BD_Empinfo","FieldKeys":"FNumber","FilterString":"FNumber='1001'"}`
	if got := w.query(session, count); got != `[["1001"]]` {
		t.Fatalf("own data centre: %s", got)
	}
	other := w.signedRequest(second.ID, "kdgate", appID, "2052")
	other["Kdservice-Sessionid"] = session["Kdservice-Sessionid"]
	if got := w.query(other, count); got != `[]` {
		t.Errorf("headers for B with a session of A: %s", got)
	}
}
