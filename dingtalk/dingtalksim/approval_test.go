package dingtalksim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
)

const process = "PROC-1A2B3C4D"

// approval is a reimbursement with every oddity that a form may have.
func approval() obj {
	return obj{"process_code": process, "originator": "manager01", "title": "林主管提交的费用报销", "form": []obj{
		{"id": "TextField_1", "name": "事由", "component_type": "TextField", "value": "出差"},
		{"name": "物品用途", "component_type": "TextField"},
		{"id": "Table_1", "name": "明细", "component_type": "TableField", "biz_alias": "rows", "rows": [][]obj{
			{
				{"id": "Money_1", "name": "金额", "component_type": "MoneyField", "value": "1000.50", "ext_value": obj{"upper": "壹仟元伍角"}},
				{"id": "Multi_1", "name": "项目", "component_type": "DDMultiSelectField", "value": []string{"a", "b"}},
			},
			{{"id": "Money_1", "name": "金额", "component_type": "MoneyField"}, {"id": "Text_1", "name": "备注", "component_type": "TextField", "value": "无"}},
		}},
		{"id": "Table_2", "name": "附表", "component_type": "TableField"},
	}}
}

func (s sim) instance(id string) reply {
	return s.call("GET", "/v1.0/workflow/processInstances?processInstanceId="+url.QueryEscape(id), nil, tokenHeader, s.token())
}

func (s sim) started(a obj) dingtalksim.Instance {
	s.t.Helper()
	var in dingtalksim.Instance
	s.control("POST", "/sim/approvals", a, &in, http.StatusCreated)
	return in
}

// TestApprovalDetail proves SIM-D90 to SIM-D94: no process code and no id in the
// answer, times to the minute with a Z behind local time, "null" for nothing, a
// schema for an untouched table, JSON in texts.
func TestApprovalDetail(t *testing.T) {
	s := newSim(t)
	in := s.started(approval())
	body := s.instance(in.ID)
	running := body.json(t)["result"].(obj)
	if running["status"] != "RUNNING" || running["result"] != "" || running["finishTime"] != nil || running["createTime"] != "2026-09-14T12:00Z" {
		t.Errorf("running: %v", running)
	}
	if strings.Contains(body.body, process) || strings.Contains(strings.ReplaceAll(body.body, "procInsId="+in.ID, ""), in.ID) {
		t.Errorf("the answer names its process or itself: %s", body.body)
	}
	if len(in.BusinessID) != 21 || !strings.HasPrefix(in.BusinessID, "20260914120000000") {
		t.Errorf("business id %q", in.BusinessID)
	}
	values := running["formComponentValues"].([]any)
	value := func(i int) obj { return values[i].(obj) }
	if value(1)["value"] != "null" || value(1)["id"] != "物品用途" {
		t.Errorf("empty field: %v", value(1))
	}
	rows := value(2)["value"].(string)
	for _, part := range []string{`"key":"Money_1"`, `"value":"1000.50"`, `"extendValue":{"upper":`, `"value":"[\"a\",\"b\"]"`} {
		if !strings.Contains(rows, part) {
			t.Errorf("%s is not in %s", part, rows)
		}
	}
	if strings.Count(rows, "Money_1") != 1 || strings.Count(rows, "rowNumber") != 1 {
		t.Errorf("an empty cell or a second row number is there: %s", rows)
	}
	if text := value(3)["value"].(string); strings.Contains(text, "rowValue") || !strings.Contains(text, "props") {
		t.Errorf("untouched table: %s", text)
	}
	s.control("POST", "/sim/approvals/"+in.ID+"/finish", obj{"result": "agree"}, nil, http.StatusOK)
	s.set("success_text", true)
	s.set("approval_utc", true)
	ended := s.instance(in.ID).json(t)
	if got := ended["result"].(obj); got["status"] != "COMPLETED" || got["result"] != "agree" || got["finishTime"] != "2026-09-14T04:00Z" || ended["success"] != "true" {
		t.Errorf("ended: %v", ended)
	}
	s.control("POST", "/sim/approvals/"+in.ID+"/finish", obj{"result": "agree"}, nil, http.StatusConflict)
	wantNew(t, s.instance("nobody"), http.StatusBadRequest, "processInstanceNotExist")
}

// TestApprovalEvents proves SIM-D78: no result on start and terminate.
func TestApprovalEvents(t *testing.T) {
	s := newSim(t)
	for _, result := range []string{"agree", "refuse", "terminate"} {
		a := approval()
		a["finish"] = result
		s.started(a)
	}
	var told []string
	for _, e := range s.Events("bpms_instance_change") {
		told = append(told, fmt.Sprint(e.Fields["type"], "/", e.Fields["result"]))
	}
	for _, e := range s.Events("bpms_instance_change") {
		for _, name := range []string{"processInstanceId", "processCode", "bizCategoryId", "businessId", "businessType", "title", "staffId", "createTime", "url"} {
			if _, there := e.Fields[name]; !there {
				t.Errorf("%v: no %s", e.Fields["type"], name)
			}
		}
	}
	want := "[start/<nil> finish/agree start/<nil> finish/refuse start/<nil> terminate/<nil>]"
	if fmt.Sprint(told) != want {
		t.Errorf("%v, want %s", told, want)
	}
	revoke := approval()
	revoke["biz_action"], revoke["main"] = "REVOKE", s.Approvals()[0].ID
	second := s.started(revoke)
	first := s.instance(s.Approvals()[0].ID).json(t)["result"].(obj)
	if got := s.instance(second.ID).json(t)["result"].(obj); got["bizAction"] != "REVOKE" || got["mainProcessInstanceId"] == nil {
		t.Errorf("SIM-D97: %v", got)
	}
	if fmt.Sprint(first["attachedProcessInstanceIds"]) != "["+second.ID+"]" {
		t.Errorf("SIM-D97: %v", first)
	}
}

// TestApprovalDeleted proves SIM-D79: an event of a type that no manual names, and
// an instance that is not there.
func TestApprovalDeleted(t *testing.T) {
	s := newSim(t)
	in := s.started(approval())
	s.control("DELETE", "/sim/approvals/"+in.ID, nil, nil, http.StatusNoContent)
	events := s.Events("bpms_instance_change")
	last := events[len(events)-1].Fields
	if last["type"] != "delete" || last["result"] != nil || last["processInstanceId"] != in.ID {
		t.Errorf("%v", last)
	}
	wantNew(t, s.instance(in.ID), http.StatusBadRequest, "processInstanceNotExist")
	s.control("DELETE", "/sim/approvals/"+in.ID, nil, nil, http.StatusNotFound)
}

// TestApprovalListing proves SIM-D95.
func TestApprovalListing(t *testing.T) {
	s := newSim(t)
	day := 24 * time.Hour
	for i := range 25 {
		if _, err := s.StartApproval(dingtalksim.Approval{ProcessCode: process, Originator: "manager01", Created: start.Add(-time.Duration(i) * time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(from, to time.Time, more obj) reply {
		body := obj{"processCode": process, "startTime": from.UnixMilli(), "endTime": to.UnixMilli(), "nextToken": 0, "maxResults": 20}
		for k, v := range more {
			body[k] = v
		}
		return s.call("POST", "/v1.0/workflow/processes/instanceIds/query", body, tokenHeader, s.token())
	}
	first := list(start.Add(-day), start, nil).json(t)["result"].(obj)
	if len(first["list"].([]any)) != 20 || first["nextToken"] != "20" {
		t.Fatalf("first page: %v", first)
	}
	last := list(start.Add(-day), start, obj{"nextToken": 20}).json(t)["result"].(obj)
	if len(last["list"].([]any)) != 5 || last["nextToken"] != nil {
		t.Errorf("last page: %v", last)
	}
	if done := list(start.Add(-day), start, obj{"statuses": []string{"COMPLETED"}}).json(t)["result"].(obj); len(done["list"].([]any)) != 0 {
		t.Errorf("by status: %v", done)
	}
	if _, err := s.StartApproval(dingtalksim.Approval{ProcessCode: process, Originator: "zhangwei", Created: start}); err != nil {
		t.Fatal(err)
	}
	for _, who := range []any{[]string{"zhangwei"}, []string{"zhangwei", "nobody"}} {
		if mine := list(start.Add(-day), start, obj{"userIds": who}).json(t)["result"].(obj); len(mine["list"].([]any)) != 1 {
			t.Errorf("of %v: %v", who, mine)
		}
	}
	eleven := strings.Split(strings.Repeat("zhangwei,", 10)+"zhangwei", ",")
	wantNew(t, list(start.Add(-day), start, obj{"userIds": eleven}), http.StatusBadRequest, "invalidUserIds")
	wantNew(t, list(start.Add(-day), start, obj{"userIds": "zhangwei"}), http.StatusBadRequest, "invalidUserIds")
	for code, r := range map[string]reply{
		"invalidMaxResults":  list(start.Add(-day), start, obj{"maxResults": 21}),
		"invalidNextToken":   list(start.Add(-day), start, obj{"nextToken": -1}),
		"invalidProcessCode": list(start.Add(-day), start, obj{"processCode": ""}),
	} {
		wantNew(t, r, http.StatusBadRequest, code)
	}
	for name, r := range map[string]reply{
		"121 days": list(start.Add(-121*day), start, nil), "too old": list(start.Add(-366*day), start.Add(-300*day), nil),
		"future": list(start.Add(-day), start.Add(time.Second), nil), "backwards": list(start, start.Add(-day), nil),
	} {
		if m := r.json(t); m["code"] != "invalidEndTime" {
			t.Errorf("%s: %v", name, m)
		}
	}
}

// TestApprovalComments proves SIM-D96 and SIM-D99.
func TestApprovalComments(t *testing.T) {
	s := newSim(t)
	in := s.started(approval())
	say := func(more obj) reply {
		body := obj{"processInstanceId": in.ID, "text": "单据 DD-1", "commentUserId": "manager01"}
		for k, v := range more {
			body[k] = v
		}
		return s.call("POST", "/v1.0/workflow/processInstances/comments", body, tokenHeader, s.token())
	}
	for range 2 {
		if m := say(nil).json(t); m["result"] != true || m["success"] != true {
			t.Fatalf("%v", m)
		}
	}
	if say(obj{"text": strings.Repeat("字", 1024)}).status != http.StatusOK {
		t.Error("1024 characters are refused")
	}
	wantNew(t, say(obj{"text": strings.Repeat("字", 1025)}), http.StatusBadRequest, "invalidParameter")
	wantNew(t, say(obj{"processInstanceId": "x"}), http.StatusBadRequest, "aflowProcessInstNotExist")
	wantNew(t, say(obj{"commentUserId": "nobody"}), http.StatusBadRequest, "userNotExist")
	var kept []dingtalksim.Comment
	s.control("GET", "/sim/comments?instance="+url.QueryEscape(in.ID), nil, &kept, http.StatusOK)
	if len(kept) != 3 || kept[0].Text != kept[1].Text {
		t.Errorf("%v", kept)
	}
	if n := strings.Count(s.instance(in.ID).body, "ADD_REMARK"); n != 3 {
		t.Errorf("%d remarks", n)
	}
	wantSub(t, s.old("/topapi/processinstance/get", obj{"process_instance_id": in.ID}), "60011")
	wantSub(t, s.old("/topapi/processinstance/listids", obj{"process_code": process, "start_time": start.UnixMilli()}), "60011")
	file := obj{"spaceId": "1", "fileName": "a.pdf", "fileSize": "1", "fileType": "pdf", "fileId": "1"}
	if say(obj{"file": obj{"attachments": slices.Repeat([]obj{file}, 20)}}).status != http.StatusOK {
		t.Error("20 files are refused")
	}
	wantNew(t, say(obj{"file": obj{"attachments": slices.Repeat([]obj{file}, 21)}}), http.StatusBadRequest, "invalidParameter")
}

// TestApprovalFile proves SIM-D98 on the wire: a file of a comment is given out
// only where the flag, a boolean of the vendor's own spelling, asks for it.
func TestApprovalFile(t *testing.T) {
	s := newSim(t)
	in := s.started(approval())
	if err := s.CommentWithFiles(in.ID, "manager01", "见附件", dingtalksim.FormFile{Name: "c.pdf", Content: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`"fileId":"([0-9]+)"`).FindStringSubmatch(s.instance(in.ID).body)[1]
	ask := func(more obj) reply {
		body := obj{"processInstanceId": in.ID, "fileId": id}
		for k, v := range more {
			body[k] = v
		}
		return s.call("POST", "/v1.0/workflow/processInstances/spaces/files/urls/download", body, tokenHeader, s.token())
	}
	for _, more := range []obj{nil, {"withCommentAttatchment": false}, {"withCommentAttachment": true}} {
		wantNew(t, ask(more), http.StatusBadRequest, "userNotExist")
	}
	given := ask(obj{"withCommentAttatchment": true})
	if given.status != http.StatusOK || given.json(t)["success"] != true || given.json(t)["result"].(obj)["downloadUri"] == "" {
		t.Errorf("%d %s", given.status, given.body)
	}
}

// TestApprovalOrders: the control door takes the names of the vendor's own API and
// makes a reimbursement where it is told little.
func TestApprovalOrders(t *testing.T) {
	s := newSim(t)
	in := s.started(obj{"userid": "manager01", "amounts": []string{"9007199254740993.10", "0.20"}, "finish": "agree"})
	body := s.instance(in.ID).body
	if in.ProcessCode != dingtalksim.SampleProcess || in.Status != "COMPLETED" || strings.Count(body, "MoneyField_amount") != 2 || !strings.Contains(body, "9007199254740993.10") {
		t.Errorf("%+v %s", in, body)
	}
	in = s.started(obj{"processCode": process, "originatorUserId": "manager01", "formComponentValues": []obj{
		{"name": "事由", "value": "出差"},
		{"name": "数", "value": 12.10},
		{"name": "明细", "value": `[[{"name":"金额","value":"1.10"}],[{"name":"金额","value":"2.20"}]]`},
	}})
	body = s.instance(in.ID).body
	if in.ProcessCode != process || strings.Count(body, `rowValue`) != 2 || !strings.Contains(body, `"value":"12.1"`) {
		t.Errorf("%s", body)
	}
	if in := s.started(obj{}); in.Originator == "" || len(in.Form) == 0 {
		t.Errorf("%+v", in)
	}
	s.control("POST", "/sim/approvals", obj{"form": "x"}, nil, http.StatusBadRequest)
	s.control("POST", "/sim/approvals", obj{"userid": "nobody"}, nil, http.StatusBadRequest)
}
