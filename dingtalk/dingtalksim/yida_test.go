package dingtalksim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
)

const yidaForm = "FORM-EF6Y4G8WO2FN0SUB43TDQ3CGC3FMFQ1G9400RCJ3"

// asked is the body that every call of Yida has, and more.
func asked(more obj) obj {
	return with(obj{"appType": dingtalksim.SampleYidaApp, "systemToken": dingtalksim.SampleYidaToken, "userId": "manager01", "formUuid": yidaForm}, more)
}

// with puts more into a body; nil takes a member out.
func with(body, more obj) obj {
	for k, v := range more {
		if body[k] = v; v == nil {
			delete(body, k)
		}
	}
	return body
}

func (s sim) yidaList(query string, more obj) reply {
	return s.call("POST", "/v2.0/yida/processes/instances?"+query, asked(more), tokenHeader, s.token())
}

func (s sim) yidaOne(id string, more obj) reply {
	query := url.Values{}
	for k, v := range asked(more) {
		query.Set(k, fmt.Sprint(v))
	}
	return s.call("GET", "/v2.0/yida/processes/instancesInfos/"+id+"?"+query.Encode(), nil, tokenHeader, s.token())
}

func (s sim) submitted(a obj) dingtalksim.YidaInstance {
	s.t.Helper()
	var in dingtalksim.YidaInstance
	s.control("POST", "/sim/yida", a, &in, http.StatusCreated)
	return in
}

// TestYidaShape proves reference 7.6: the members of an instance, a refusal that is
// disagree, a TPROC-- process code, no result while it runs.
func TestYidaShape(t *testing.T) {
	s := newSim(t)
	in := s.submitted(obj{"form": yidaForm, "originator": "manager01", "title": "报销", "data": obj{"numberField_1": 12.5}})
	running := s.yidaOne(in.ID, nil).json(t)
	if running["instanceStatus"] != "RUNNING" || running["approvedResult"] != nil || running["version"] != 1.0 || running["createTimeGMT"] != "2026-09-14T04:00Z" ||
		!strings.HasPrefix(fmt.Sprint(running["processCode"]), "TPROC--") || running["data"].(obj)["numberField_1"] != 12.5 || running["originator"].(obj)["userId"] != "manager01" {
		t.Errorf("%v", running)
	}
	s.control("POST", "/sim/yida/"+in.ID+"/finish", obj{"result": "refuse"}, nil, http.StatusBadRequest)
	s.control("POST", "/sim/yida/"+in.ID+"/finish", obj{"result": "disagree"}, nil, http.StatusOK)
	s.control("POST", "/sim/yida/"+in.ID+"/finish", obj{"result": "agree"}, nil, http.StatusConflict)
	s.control("PATCH", "/sim/yida/"+in.ID, obj{"textField_2": "later", "numberField_1": nil}, nil, http.StatusOK)
	s.set("yida_local", true)
	ended := s.yidaOne(in.ID, nil).json(t)
	if ended["approvedResult"] != "disagree" || ended["version"] != 3.0 || ended["createTimeGMT"] != "2026-09-14T12:00Z" || fmt.Sprint(ended["data"]) != "map[textField_2:later]" {
		t.Errorf("%v", ended)
	}
	s.control("DELETE", "/sim/yida/"+in.ID, nil, nil, http.StatusNoContent)
	wantNew(t, s.yidaOne(in.ID, nil), http.StatusBadRequest, "invalidState.form.dataDoesNotExistOrIsDeleted")
}

// TestYidaRefusals: what every call needs, the sizes of pages, the form of days, the
// end of the cursor, and the calls of v1.0, which are closed.
func TestYidaRefusals(t *testing.T) {
	s := newSim(t)
	s.set("qps", -1)
	in := s.submitted(obj{"form": yidaForm})
	const empty, wrong = "invalidParameter.parameter.parameterIsEmpty", "invalidParameter.parameter.error"
	for name, tc := range map[string]struct {
		r    reply
		code string
	}{
		"no app":          {s.yidaList("", obj{"appType": nil}), empty},
		"no token":        {s.yidaList("", obj{"systemToken": nil}), empty},
		"no person":       {s.yidaList("", obj{"userId": nil}), empty},
		"no form":         {s.yidaList("", obj{"formUuid": nil}), empty},
		"wrong app":       {s.yidaList("", obj{"appType": "APP_X"}), "applicationNotExist.application.applicationNotExits"},
		"wrong pair":      {s.yidaList("", obj{"systemToken": "hexOther"}), "invalidParameter.parameter.accessKeyNotMatch"},
		"wrong pair, one": {s.yidaOne(in.ID, obj{"systemToken": "hexOther"}), "invalidParameter.parameter.accessKeyNotMatch"},
		"nobody":          {s.yidaList("", obj{"userId": "nobody"}), "failure.user.userNotExist"},
		"page 0":          {s.yidaList("pageNumber=0", nil), wrong},
		"size 0":          {s.yidaList("pageSize=0", nil), wrong},
		"size 101":        {s.yidaList("pageSize=101", nil), "failure.operation.numberOfQueryDataExceed"},
		"beyond 5000":     {s.yidaList("pageSize=100&pageNumber=51", nil), "invalidState.openSearch.cursorExceedFiveThousand"},
		"a moment":        {s.yidaList("", obj{"modifiedFromTimeGMT": "2026-09-14T04:00Z"}), "invalidParameter.methodInputs.invalidFormat"},
		"no such day":     {s.yidaList("", obj{"modifiedToTimeGMT": "2026-02-30"}), "invalidParameter.methodInputs.invalidFormat"},
		"milliseconds":    {s.yidaList("", obj{"createFromTimeGMT": 1516636800000}), "invalidParameter.methodInputs.invalidFormat"},
		"status":          {s.yidaList("", obj{"instanceStatus": "FINISHED"}), wrong},
		"refuse":          {s.yidaList("", obj{"approvedResult": "refuse"}), wrong},
	} {
		if m := tc.r.json(t); tc.r.status != http.StatusBadRequest || m["code"] != tc.code {
			t.Errorf("%s: %d %v, want %s", name, tc.r.status, m, tc.code)
		}
	}
	const denied = "Forbidden.AccessDenied.AccessTokenPermissionDenied"
	wantNew(t, s.call("POST", "/v1.0/yida/processes/instances?pageSize=10", asked(nil), tokenHeader, s.token()), http.StatusForbidden, denied)
	wantNew(t, s.call("GET", "/v1.0/yida/processes/instancesInfos/"+in.ID, nil, tokenHeader, s.token()), http.StatusForbidden, denied)
	for _, perm := range []string{"Yida.Form.Read", "Yida.Form.Write"} {
		if err := s.ChangeApp(key1, func(a *dingtalksim.App) { a.Permissions = []string{perm} }); err != nil {
			t.Fatal(err)
		}
		r := s.yidaList("", nil)
		if wantNew(t, r, http.StatusForbidden, denied); !strings.Contains(r.body, "Yida.Process.Read") {
			t.Errorf("the permission is not named: %s", r.body)
		}
	}
}

// TestYidaPages: days count with both ends, by creation when asked to, and a page
// says how many there are in all.
func TestYidaPages(t *testing.T) {
	s := newSim(t)
	var ids []string
	for i := range 25 {
		in, err := s.StartYida(dingtalksim.YidaOrder{Form: yidaForm, Originator: "manager01", Created: start.Add(-time.Duration(i) * 12 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, in.ID)
	}
	page := s.yidaList("pageNumber=2&pageSize=10", obj{"orderConfigJson": `{"gmt_create":"+"}`}).json(t)
	if page["totalCount"] != 25.0 || page["pageNumber"] != 2.0 || len(page["data"].([]any)) != 10 || page["data"].([]any)[0].(obj)["processInstanceId"] != ids[14] {
		t.Errorf("%v", page)
	}
	if newest := s.yidaList("pageSize=1", nil).json(t); newest["data"].([]any)[0].(obj)["processInstanceId"] != ids[0] {
		t.Errorf("%v", newest)
	}
	two := s.yidaList("pageSize=100", obj{"modifiedFromTimeGMT": "2026-09-13", "modifiedToTimeGMT": "2026-09-13"}).json(t)
	if two["totalCount"] != 2.0 {
		t.Errorf("one day: %v", two["totalCount"])
	}
	if only := s.call("POST", "/v2.0/yida/processes/instanceIds?pageSize=100", asked(obj{"instanceStatus": "RUNNING"}), tokenHeader, s.token()).json(t); len(only["data"].([]any)) != 25 {
		t.Errorf("%v", only)
	}
}

// TestYidaQuota: Yida's calls count by the second, whatever id ends the path, and
// by the month.
func TestYidaQuota(t *testing.T) {
	s := newSim(t)
	in := s.submitted(obj{"form": yidaForm})
	s.set("month_quota", 2)
	if s.yidaOne(in.ID, nil).status != http.StatusOK || s.yidaList("", nil).status != http.StatusOK {
		t.Fatal("the first two calls")
	}
	wantNew(t, s.yidaOne(in.ID, nil), http.StatusForbidden, "Forbidden.AccessDenied.ApiCountLimitForOrg")
	s.set("month_quota", -1)
	token := s.token()
	s.set("qps", 2)
	var last reply
	for i := range 3 {
		last = s.call("GET", fmt.Sprint("/v2.0/yida/processes/instancesInfos/id", i), nil, tokenHeader, token)
	}
	wantNew(t, last, http.StatusForbidden, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi")
}

// TestYidaRemarksKept: remarks are listed by instance, the same one twice, and at
// the control door among the comments; the record masks the system token.
func TestYidaRemarksKept(t *testing.T) {
	s := newSim(t)
	in := s.submitted(obj{"plain": true})
	say := func(more obj) reply {
		return s.call("POST", "/v1.0/yida/forms/remarks", with(asked(obj{"formInstanceId": in.ID, "content": "单据 DD-1"}), more), tokenHeader, s.token())
	}
	for range 2 {
		if m := say(nil).json(t); m["result"] == nil {
			t.Fatalf("%v", m)
		}
	}
	wantNew(t, say(obj{"content": strings.Repeat("字", 2001)}), http.StatusBadRequest, "invalidParameter.parameter.exceedLengthLimit")
	wantNew(t, say(obj{"formInstanceId": "FINST-X"}), http.StatusBadRequest, "invalidState.form.dataDoesNotExistOrIsDeleted")
	told := s.call("POST", "/v1.0/yida/forms/remarks/query", asked(obj{"formUuid": in.Form, "formInstanceIdList": []string{in.ID}}), tokenHeader, s.token()).json(t)
	if list := told["formRemarkVoMap"].(obj)[in.ID].([]any); len(list) != 2 || list[0].(obj)["creator"] != "manager01" {
		t.Errorf("%v", told)
	}
	var kept []dingtalksim.Comment
	s.control("GET", "/sim/comments?instance="+in.ID, nil, &kept, http.StatusOK)
	if len(kept) != 2 {
		t.Errorf("%v", kept)
	}
	if text := fmt.Sprint(s.Calls("yida")); strings.Contains(text, dingtalksim.SampleYidaToken) {
		t.Error("the record tells the system token")
	}
}
