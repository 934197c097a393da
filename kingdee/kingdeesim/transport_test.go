package kingdeesim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"kdgate/kingdee/kingdeesim"
)

const accounts = "Kingdee.BOS.ServiceFacade.ServicesStub.Account.AccountService.GetDataCenterList" + tail

// TestPathCaseIsIgnored proves SIM-K1, K2 and K9.
func TestPathCaseIsIgnored(t *testing.T) {
	w := startOffice(t)
	want := `[{"Id":"61cd78fbc6aa78","Number":"001","Name":"正式账套"}]`
	for _, path := range []string{"/K3Cloud/" + accounts, "/k3cloud/" + strings.ToLower(accounts), "/K3CLOUD/" + strings.ToUpper(accounts)} {
		if got := w.post(path, "", nil); got.status != http.StatusOK || got.body != want {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := w.do(http.MethodGet, w.url("/K3Cloud/"+accounts), "", nil); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET on a service: %d", got.status)
	}
	if got := w.do(http.MethodGet, w.url("/elsewhere/"), "", nil); got.status != http.StatusNotFound {
		t.Errorf("outside the base path: %d", got.status)
	}
}

// TestContentTypeIsNotChecked proves SIM-K3.
func TestContentTypeIsNotChecked(t *testing.T) {
	w := startOffice(t)
	at := w.seconds()
	form := "acctID=" + centreID + "&username=kdgate&appId=" + appID + "&timestamp=" + at +
		"&sign=" + digest("sha256", centreID, "kdgate", appID, secret, at) + "&lcid=2052"
	for _, test := range []struct{ kind, body string }{
		{"application/json", w.loginBody("kdgate")},
		{"application/json; charset=utf-8", w.loginBody("kdgate")},
		{"applicatin/json", w.loginBody("kdgate")},
		{"", w.loginBody("kdgate")},
		{"application/x-www-form-urlencoded", form},
		{"application/x-www-form-urlencoded", "parameters=" + strings.TrimSuffix(strings.TrimPrefix(w.loginBody("kdgate"), `{"parameters":`), "}")},
	} {
		got := w.post(auth+"LoginBySign"+tail, test.body, http.Header{"Content-Type": {test.kind}})
		if !strings.Contains(got.body, `"LoginResultType":1,`) {
			t.Errorf("%q: %s", test.kind, got.body)
		}
	}
}

// TestUnknownMethod proves SIM-K5 and K38: no JSON and not 200; only the classes
// behind the browser answer N001 to callers without a session.
func TestUnknownMethod(t *testing.T) {
	w := startOffice(t)
	for _, path := range []string{auth + "LoginByMagic" + tail, forms + "Push" + tail, "/K3Cloud/No.Such.Class.Method" + tail} {
		got := w.post(path, `{}`, nil)
		if got.status == http.StatusOK || json.Valid([]byte(got.body)) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	got := w.post("/K3Cloud/Kingdee.BOS.ServiceFacade.ServicesStub.Form.FormService.Open"+tail, `{}`, nil)
	if got.status != http.StatusOK || got.body != "403 Forbidden ByRspRetStatusCode -- N001: Unexpectable request." {
		t.Errorf("browser class without a session: %d %q", got.status, got.body)
	}
}

// TestWholeTenantConditions proves SIM-K6 and K10.
func TestWholeTenantConditions(t *testing.T) {
	w := startOffice(t)
	w.sim.SetSwitches(kingdeesim.Switches{RedirectToHTTPS: true})
	got := w.post(auth+"LoginBySign"+tail, "", nil)
	if got.status != http.StatusMovedPermanently || !strings.HasPrefix(got.header.Get("Location"), "https://") {
		t.Errorf("public cloud over http: %d %q", got.status, got.header.Get("Location"))
	}
	w.sim.SetSwitches(kingdeesim.Switches{ForcedGateway: true})
	if got := w.post(auth+"LoginBySign"+tail, w.loginBody("kdgate"), nil); got.body != "The request is not from API GateWay" {
		t.Errorf("forced gateway: %q", got.body)
	}
}

// TestChineseRawOrEscaped proves SIM-K8.
func TestChineseRawOrEscaped(t *testing.T) {
	w := startOffice(t)
	raw := w.post("/K3Cloud/"+accounts, "", nil)
	w.sim.SetSwitches(kingdeesim.Switches{EscapeUnicode: true})
	escaped := w.post("/K3Cloud/"+accounts, "", nil)
	if !strings.Contains(raw.body, "正式账套") || !strings.Contains(escaped.body, `\u6b63\u5f0f\u8d26\u5957`) {
		t.Errorf("raw %q, escaped %q", raw.body, escaped.body)
	}
	if raw.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("content type %q", raw.header.Get("Content-Type"))
	}
}

// TestManagementCentre proves SIM-K101.
func TestManagementCentre(t *testing.T) {
	w := startOffice(t)
	if got := w.do(http.MethodGet, w.url("/K3Cloud/Manager/"), "", nil); !strings.Contains(got.body, `id="management-centre"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestEnvelopes proves SIM-K11, K12 and K14 on a query and on View.
func TestEnvelopes(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	data := `{"FormId":"BD_Empinfo","FieldKeys":"FName","FilterString":"FStaffNumber='1001'"}`
	asText, _ := json.Marshal(data)
	inText, _ := json.Marshal("[" + string(asText) + "]")
	for name, body := range map[string]string{
		"(a) text parameters":  `{"format":1,"useragent":"ApiClient","rid":"-12","parameters":` + string(inText) + `,"timestamp":"x","v":"1.0"}`,
		"(b) objects":          `{"parameters":[` + data + `]}`,
		"(b) JSON text":        `{"parameters":[` + string(asText) + `]}`,
		"(c) object":           `{"data":` + data + `}`,
		"(c) JSON text, Data":  `{"Data":` + string(asText) + `}`,
		"(c) DATA and formid":  `{"formid":"BD_Empinfo","DATA":{"FieldKeys":"FName","FilterString":"FStaffNumber='1001'"}}`,
		"single-quoted inside": `{"data":"{'FormId':'BD_Empinfo','FieldKeys':'FName','FilterString':'FStaffNumber=\\'1001\\''}"}`,
	} {
		if got := w.post(forms+"ExecuteBillQuery"+tail, body, session); got.body != `[["张三"]]` {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	for _, body := range []string{
		`{"formid":"BD_Empinfo","data":{"Number":"1001"}}`, `{"formId":"BD_Empinfo","Data":"{\"Number\":\"1001\"}"}`,
		`{"FormId":"BD_EMPINFO","DATA":{"Number":"1001"}}`, `{"parameters":["BD_Empinfo",{"Number":"1001"}]}`,
		`{"parameters":"[\"BD_Empinfo\",\"{\\\"Number\\\":\\\"1001\\\"}\"]"}`,
	} {
		if got := w.post(forms+"View"+tail, body, session); !strings.Contains(got.body, `"Number":"1001"`) {
			t.Errorf("View %s: %s", body, got.body)
		}
	}
}

// TestBareArray proves SIM-K13.
func TestBareArray(t *testing.T) {
	w := startOffice(t)
	body := strings.TrimSuffix(strings.TrimPrefix(w.loginBody("kdgate"), `{"parameters":`), "}")
	got := w.post(auth+"LoginBySign"+tail, body, nil)
	if got.status != http.StatusInternalServerError || !strings.Contains(got.body, "Additional text found in JSON string") {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.sim.SetSwitches(kingdeesim.Switches{AcceptBareArray: true})
	if reply := w.login(body); reply.LoginResultType != 1 {
		t.Errorf("switched on: %s", reply.answer.body)
	}
}

// TestBrokenBodies proves that nonsense is a server error, and that a huge body
// is turned away.
func TestBrokenBodies(t *testing.T) {
	w := startOffice(t)
	for _, body := range []string{`{"parameters":`, `{"parameters":"["}`, `{"parameters":7}`, `{}trailing`, `%zz=1`} {
		if got := w.post(auth+"LoginBySign"+tail, body, nil); got.status != http.StatusInternalServerError {
			t.Errorf("%q: %d %s", body, got.status, got.body)
		}
	}
	if got := w.post(auth+"LoginBySign"+tail, strings.Repeat("x", 5<<20), nil); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("5 MiB: %d", got.status)
	}
}
