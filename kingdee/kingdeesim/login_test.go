package kingdeesim_test

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"kdgate/kingdee/kingdeesim"
)

// TestGoodLogin proves SIM-K20 and K21: the whole flat reply, member by member
// in order, and the two cookies.
func TestGoodLogin(t *testing.T) {
	w := startOffice(t)
	reply := w.login(w.loginBody("kdgate"))
	want := []string{
		"Message", "MessageCode", "LoginResultType", "Context", "KDSVCSessionId", "FormId", "RedirectFormParam", "FormInputObject",
		"ErrorStackTrace", "Lcid", "AccessToken", "CustomParam", "KdAccessResult", "IsSuccessByAPI",
	}
	if got := memberNames(t, reply.answer.body, 1); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("members %v", got)
	}
	guid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	if reply.LoginResultType != 1 || reply.Message != nil || reply.MessageCode != nil || !guid.MatchString(*reply.KDSVCSessionId) {
		t.Errorf("reply %s", reply.answer.body)
	}
	c := reply.Context
	if !regexp.MustCompile(`^[a-z0-9]{24}$`).MatchString(c.SessionId) || c.ClientType != 32 || c.UserName != "kdgate" || c.DBid != centreID {
		t.Errorf("context %+v", c)
	}
	cookies := fmt.Sprint(reply.answer.header.Values("Set-Cookie"))
	if cookies != "[kdservice-sessionid="+*reply.KDSVCSessionId+"; path=/ ASP.NET_SessionId="+c.SessionId+"; path=/; HttpOnly]" {
		t.Errorf("cookies %s", cookies)
	}
	w.sim.SetSwitches(kingdeesim.Switches{CookieExpires: true, PolicyHint: true})
	reply = w.login(w.loginBody("kdgate"))
	if !strings.Contains(reply.answer.header.Get("Set-Cookie"), "expires=Wed, 15 Nov 2023") {
		t.Errorf("no comma in %q", reply.answer.header.Get("Set-Cookie"))
	}
	if reply.LoginResultType != 1 || reply.Message != nil || *reply.MessageCode != "CheckPasswordPolicy" {
		t.Errorf("policy hint: %s", reply.answer.body)
	}
}

// memberNames lists the names of one object level, in the order written.
func memberNames(t *testing.T, text string, level int) []string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	var out []string
	depth, key := 0, false
	for {
		token, err := dec.Token()
		if err != nil {
			return out
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
				key = v == '{'
			} else {
				depth--
				key = true
			}
			continue
		case string:
			if depth == level && key {
				out = append(out, v)
				key = false
				continue
			}
		}
		key = true
	}
}

// TestLoginSignature proves SIM-K16 to K19 and K23: sorted, ordinal, lower case.
func TestLoginSignature(t *testing.T) {
	w := startOffice(t)
	at := w.seconds()
	right := digest("sha256", centreID, "kdgate", appID, secret, at)
	body := func(sign string) string {
		return fmt.Sprintf(`{"acctid":%q,"username":"kdgate","appid":%q,"timestamp":%s,"sign":%q,"lcid":"2052"}`, centreID, appID, at, sign)
	}
	if reply := w.login(body(right)); reply.LoginResultType != 1 {
		t.Fatalf("right signature: %s", reply.answer.body)
	}
	for name, sign := range map[string]string{
		"unsorted":   digest("sha256", centreID+"kdgate"+appID+secret+at),
		"upper case": strings.ToUpper(right),
		"SHA1":       digest("sha1", centreID, "kdgate", appID, secret, at),
		"empty":      "",
	} {
		reply := w.login(body(sign))
		if reply.LoginResultType != 0 || reply.MessageCode == nil || *reply.MessageCode != "002005000003016" || reply.KDSVCSessionId != nil {
			t.Errorf("%s: %s", name, reply.answer.body)
		}
		if reply.answer.status != http.StatusOK || len(reply.answer.header.Values("Set-Cookie")) != 0 {
			t.Errorf("%s: %d with cookies %v", name, reply.answer.status, reply.answer.header)
		}
	}
	w.sim.SetSwitches(kingdeesim.Switches{AcceptUpperHex: true})
	if reply := w.login(body(strings.ToUpper(right))); reply.LoginResultType != 1 {
		t.Errorf("K19 switched: %s", reply.answer.body)
	}
}

// TestOrdinalSort proves SIM-K18: where culture and ordinal order differ, only
// ordinal is right; and order is by UTF-16 unit, not by UTF-8 byte.
func TestOrdinalSort(t *testing.T) {
	for _, test := range []struct {
		user    string
		ordered []string // a name that sorts otherwise by culture, and its right order
	}{
		{"_kdgate", []string{"0-", "17", "61", "_kdgate", "a"}},
		{"Zoe", []string{"0-", "17", "61", "Zoe", "a"}},
		{"\U0001F600", []string{"0-", "17", "61", "a", "\U0001F600"}}, // surrogates come before U+FF21
	} {
		cfg := office()
		dc := &cfg.DataCentres[0]
		dc.Tables.Users = append(dc.Tables.Users, kingdeesim.User{Name: test.user})
		dc.Rows = []kingdeesim.Row{{AppID: "Ａ", Secret: "a", IntegrationUser: test.user}}
		w := start(t, cfg)
		at := w.seconds()
		joined := ""
		for _, part := range test.ordered {
			switch part {
			case "0-":
			case "17":
				joined += at
			case "61":
				joined += centreID
			default:
				joined += part
			}
		}
		sign := digest("sha256", joined+"Ａ") // the full-width app id comes last, also after the surrogates
		body := fmt.Sprintf(`{"parameters":[%q,%q,"Ａ",%q,%q,2052]}`, centreID, test.user, at, sign)
		if reply := w.login(body); reply.LoginResultType != 1 {
			t.Errorf("%q: %s", test.user, reply.answer.body)
		}
	}
}

// TestLoginTimeWindow proves that the row's window holds for logins too.
func TestLoginTimeWindow(t *testing.T) {
	w := startOffice(t)
	body := w.loginBody("kdgate")
	w.clock.Advance(10*time.Minute + time.Second)
	if reply := w.login(body); reply.LoginResultType != -1 || w.lastReason() != "time-window" {
		t.Errorf("%s for %s", reply.answer.body, w.lastReason())
	}
}

// TestLockOut proves SIM-K24: five failures lock the user for half an hour,
// right attempts included.
func TestLockOut(t *testing.T) {
	w := startOffice(t)
	wrong := fmt.Sprintf(`{"parameters":[%q,"kdgate","wrong",2052]}`, centreID)
	right := fmt.Sprintf(`{"parameters":[%q,"kdgate","888888",2052]}`, centreID)
	for range 4 {
		if reply := w.loginWith("ValidateUser", wrong); reply.LoginResultType != 0 {
			t.Fatalf("wrong password: %s", reply.answer.body)
		}
	}
	for _, body := range []string{wrong, right} {
		if reply := w.loginWith("ValidateUser", body); !strings.Contains(*reply.Message, "次数超限") {
			t.Errorf("locked out: %s", reply.answer.body)
		}
	}
	w.refused(w.url(w.ticket("kdgate").path()))
	w.clock.Advance(30 * time.Minute)
	if reply := w.loginWith("ValidateUser", right); reply.LoginResultType != 1 {
		t.Errorf("after half an hour: %s", reply.answer.body)
	}
}

// TestPasswordLogins proves SIM-K26 and K27, and the DES vectors.
func TestPasswordLogins(t *testing.T) {
	for _, v := range vectors(t, "des") {
		var in struct{ Texts []string }
		if err := json.Unmarshal(v.Inputs, &in); err != nil {
			t.Fatal(err)
		}
		for i, text := range in.Texts {
			if got := hide(t, text); got != v.Expected["encoded"].([]any)[i] {
				t.Errorf("%s: %q became %q", v.ID, text, got)
			}
		}
	}
	w := startOffice(t)
	bodies := map[string]string{
		"ValidateUser":            fmt.Sprintf(`{"acctID":%q,"username":"kdgate","password":"888888","lcid":2052}`, centreID),
		"ValidateUser2":           fmt.Sprintf(`{"parameters":[%q,"kdgate","888888",false,2052]}`, centreID),
		"ValidateUserByOrgNumber": fmt.Sprintf(`{"parameters":[%q,"kdgate","888888",2052,"100"]}`, centreID),
		"ValidateUserEnDeCode":    fmt.Sprintf(`{"parameters":[%q,%q,%q,2052]}`, centreID, hide(t, "kdgate"), hide(t, "888888")),
		"LoginByAppSecret":        fmt.Sprintf(`{"parameters":[%q,"kdgate",%q,%q,2052]}`, centreID, appID, secret),
		"LoginByAppSecret2":       fmt.Sprintf(`{"acctid":%q,"username":"kdgate","appid":%q,"appsecret":%q,"isKickOff":false,"lcid":2052}`, centreID, appID, secret),
	}
	for method, body := range bodies {
		if reply := w.loginWith(method, body); reply.LoginResultType != 1 {
			t.Errorf("%s: %s", method, reply.answer.body)
		}
		for right, wrong := range map[string]string{"888888": "777777", secret: "no", hide(t, "888888"): "AAAA"} {
			if bad := strings.Replace(body, right, wrong, 1); bad != body {
				if reply := w.loginWith(method, bad); reply.LoginResultType != 0 || *reply.Message == "" {
					t.Errorf("%s with a wrong secret: %s", method, reply.answer.body)
				}
			}
		}
	}
	w.sim.SetSwitches(kingdeesim.Switches{PublicCloudLate: true})
	if reply := w.loginWith("ValidateUser", bodies["ValidateUser"]); reply.LoginResultType == 1 {
		t.Errorf("K26: %s", reply.answer.body)
	}
}

// hide is the vendor's obfuscation, written out for the test.
func hide(t *testing.T, text string) string {
	t.Helper()
	block, err := des.NewCipher([]byte("KingdeeK"))
	if err != nil {
		t.Fatal(err)
	}
	pad := 8 - len(text)%8
	raw := append([]byte(text), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, []byte("KingdeeK")).CryptBlocks(raw, raw)
	return base64.StdEncoding.EncodeToString(raw)
}

// TestRefusedLogins proves SIM-K28, K30, K31 and K32: what the caller sees, and
// what only the log view says.
func TestRefusedLogins(t *testing.T) {
	set := func(v bool) *bool { return &v }
	forbidden := kingdeesim.Forbidden
	zero := 0
	for _, test := range []struct {
		reason, sees, log string
		arrange           func(*kingdeesim.Server) error
	}{
		{"row-disabled", "会话信息已丢失", "The passport is not exists or disabled", func(s *kingdeesim.Server) error {
			return s.PatchRow("", appID, kingdeesim.RowPatch{Enabled: set(false)})
		}},
		{"validity-zero", "会话信息已丢失", "时间戳验证失败", func(s *kingdeesim.Server) error {
			return s.PatchRow("", appID, kingdeesim.RowPatch{WindowMinutes: &zero})
		}},
		{"address", "当前IP:127.0.0.1 白名单失败", "白名单失败", func(s *kingdeesim.Server) error {
			return s.PatchRow("", appID, kingdeesim.RowPatch{WhiteList: &[]string{"10.0.0.1"}})
		}},
		{"user-not-listed", "不在第三方系统登录授权", "指定用户", func(s *kingdeesim.Server) error {
			return s.PatchRow("", appID, kingdeesim.RowPatch{Users: &[]string{"zhangsan"}})
		}},
		{"no-integration-user", "会话信息已丢失", "passport", func(s *kingdeesim.Server) error {
			return s.PatchRow("", appID, kingdeesim.RowPatch{IntegrationUser: new(string)})
		}},
		{"user-forbidden", "禁用", "禁用", func(s *kingdeesim.Server) error {
			return s.PatchUser("", "kdgate", kingdeesim.UserPatch{ForbidStatus: &forbidden})
		}},
		{"user-locked", "锁定", "锁定", func(s *kingdeesim.Server) error {
			return s.PatchUser("", "kdgate", kingdeesim.UserPatch{Locked: set(true)})
		}},
		{"user-no-licence", "会话信息已丢失", "许可分组", func(s *kingdeesim.Server) error {
			return s.PatchUser("", "kdgate", kingdeesim.UserPatch{Licence: set(false)})
		}},
	} {
		w := startOffice(t)
		if err := test.arrange(w.sim); err != nil {
			t.Fatal(err)
		}
		reply := w.login(w.loginBody("kdgate"))
		if reply.LoginResultType != -1 || !strings.Contains(*reply.Message, test.sees) || reply.answer.status != http.StatusOK {
			t.Errorf("%s: %s", test.reason, reply.answer.body)
		}
		log := w.sim.Log()
		if last := log[len(log)-1]; last.Reason != test.reason || !strings.Contains(last.Text, test.log) {
			t.Errorf("%s: log %+v", test.reason, last)
		}
	}
	w := startOffice(t)
	for body, want := range map[string]string{
		strings.Replace(w.loginBody("kdgate"), centreID, "00000000000000", 1): "data-centre-unknown",
		strings.Replace(w.loginBody("kdgate"), appID, "other", 1):             "row-missing",
		w.loginBody("nobody"): "user-unknown",
	} {
		if reply := w.login(body); reply.LoginResultType == 1 || w.lastReason() != want {
			t.Errorf("want %s: %s, log %s", want, reply.answer.body, w.lastReason())
		}
	}
}

// TestIntegrationUserMustBeListed proves the second half of SIM-K31.
func TestIntegrationUserMustBeListed(t *testing.T) {
	w := startOffice(t)
	if err := w.sim.PatchRow("", appID, kingdeesim.RowPatch{Users: &[]string{"zhangsan"}}); err != nil {
		t.Fatal(err)
	}
	w.refused(w.url(w.ticket("zhangsan").path()))
	if got := w.lastReason(); got != "integration-user-not-listed" {
		t.Errorf("refused for %s", got)
	}
}

// TestLoginResultTypes proves SIM-K22 and K25: every type can be had, and only
// 1 and -5 open a session.
func TestLoginResultTypes(t *testing.T) {
	w := startOffice(t)
	for _, result := range []int{0, -1, -2, -3, -4, -5, -6, -7} {
		if err := w.sim.PatchUser("", "kdgate", kingdeesim.UserPatch{LoginResult: &result}); err != nil {
			t.Fatal(err)
		}
		reply := w.login(w.loginBody("kdgate"))
		if reply.LoginResultType != result || (reply.KDSVCSessionId != nil) != (result == -5) {
			t.Errorf("%d: %s", result, reply.answer.body)
		}
	}
	honest := 1
	if err := w.sim.PatchUser("", "kdgate", kingdeesim.UserPatch{LoginResult: &honest}); err != nil {
		t.Fatal(err)
	}
	w.session()

	cfg := office()
	cfg.DataCentres[0].Tables.Users[0].Administrator = true
	cfg.Switches.AdminMinusFive = true
	w = start(t, cfg)
	reply := w.login(w.loginBody("kdgate"))
	if reply.LoginResultType != -5 {
		t.Fatalf("administrator: %s", reply.answer.body)
	}
	got := w.query(http.Header{"Kdservice-Sessionid": {*reply.KDSVCSessionId}}, probe)
	if got != `[["CNY"]]` {
		t.Errorf("the session of -5 is not usable: %s", got)
	}
}

const probe = `{"FormId":"BD_Currency","FieldKeys":"FCODE","FilterString":"FNUMBER='PRE001'"}`

// TestExpiredPassword proves SIM-K29: cookies are set, and worth nothing.
func TestExpiredPassword(t *testing.T) {
	w := startOffice(t)
	expired := true
	if err := w.sim.PatchUser("", "kdgate", kingdeesim.UserPatch{PasswordExpired: &expired}); err != nil {
		t.Fatal(err)
	}
	reply := w.login(w.loginBody("kdgate"))
	if reply.LoginResultType == 1 || *reply.MessageCode != "CheckPasswordPolicy" || strings.Contains(reply.answer.body, `"IsSuccessByAPI":true`) {
		t.Errorf("reply %s", reply.answer.body)
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(reply.answer.header.Get("Set-Cookie"), "kdservice-sessionid="), ";")
	got := w.post(forms+"ExecuteBillQuery"+tail, `{"data":`+probe+`}`, http.Header{"Cookie": {"kdservice-sessionid=" + id}})
	if got.status != http.StatusOK || got.body != "401 Forbidden ByRspRetStatusCode -- N001: Unexpectable request." {
		t.Errorf("later call: %d %q", got.status, got.body)
	}
}

// TestLogout proves SIM-K33.
func TestLogout(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	for _, want := range []string{"true", "false"} {
		if got := w.post(auth+"Logout"+tail, "", session); got.body != want {
			t.Errorf("logout: %q, want %q", got.body, want)
		}
	}
	if got := w.query(session, probe); !strings.Contains(got, `"MsgCode":1`) {
		t.Errorf("after logout: %s", got)
	}
}
