package dingtalk

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kdgate/internal/strictjson"
)

// TestNullIsAbsent: a member that is null says as much as one that is not there,
// wherever the vendor may leave it out (reference 0.1, 5.3). What must be told is
// refused either way.
func TestNullIsAbsent(t *testing.T) {
	for name, c := range map[string]struct {
		path, body string // NULLS stands for members that are null, or for nothing
		nulls      string
		read       func(context.Context, *bench) (any, error)
	}{
		"person": {
			"/topapi/v2/user/get", `{"errcode":0,"result":{"userid":"u1","name":"N"NULLS}}`,
			`,"unionid":null,"mobile":null,"extension":null,"hired_date":null,"active":null,"admin":null,"dept_id_list":null,"leader_in_dept":null,"dept_order_list":null,"role_list":null`,
			func(ctx context.Context, b *bench) (any, error) { return b.Person(ctx, "u1") },
		},
		"leader": {
			"/topapi/v2/user/get", `{"errcode":0,"result":{"userid":"u1","leader_in_dept":[{"dept_id":5NULLS}]}}`, `,"leader":null`,
			func(ctx context.Context, b *bench) (any, error) { return b.Person(ctx, "u1") },
		},
		"members": {
			"/topapi/v2/user/list", `{"errcode":0,"result":{"has_more":false,"list":[{"userid":"u1"NULLS}]}}`,
			`,"dept_id_list":null,"hired_date":null,"leader":null,"dept_order":null,"boss":null`,
			func(ctx context.Context, b *bench) (any, error) {
				for page, err := range b.Members(ctx, 1, 0) {
					return page.People, err
				}
				return nil, nil
			},
		},
		"department": {
			"/topapi/v2/department/get", `{"errcode":0,"result":{"dept_id":1,"name":"N"NULLS}}`,
			`,"parent_id":null,"order":null,"dept_manager_userid_list":null,"hide_dept":null,"member_count":null`,
			func(ctx context.Context, b *bench) (any, error) { return b.Department(ctx, 1) },
		},
		"approval": {
			"/v1.0/workflow/processInstances", `{"result":{"status":"RUNNING","createTime":"2026-09-14T12:00Z","formComponentValues":[{"id":"a","name":"A","value":"1"NULLS}]OUTER}}`,
			`,"extValue":null,"bizAlias":null,"props":null`,
			func(ctx context.Context, b *bench) (any, error) { return b.Instance(ctx, "i1") },
		},
		"send result": {
			"/topapi/message/corpconversation/getsendresult", `{"errcode":0,"send_result":{"read_user_id_list":["u1"]NULLS}}`,
			`,"unread_user_id_list":null,"invalid_user_id_list":null,"forbidden_list":null,"invalid_dept_id_list":null`,
			func(ctx context.Context, b *bench) (any, error) { return b.SendResult(ctx, 7) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			const outer = `,"result":null,"finishTime":null,"operationRecords":null,"attachedProcessInstanceIds":null,"mainProcessInstanceId":null,"bizAction":null`
			var told [2]any
			for i, with := range []bool{false, true} {
				b := newBench(t)
				fill := strings.NewReplacer("NULLS", "", "OUTER", "")
				if with {
					fill = strings.NewReplacer("NULLS", c.nulls, "OUTER", outer)
				}
				b.fake.on(c.path, 200, fill.Replace(c.body))
				var err error
				if told[i], err = c.read(t.Context(), b); err != nil {
					t.Fatalf("with nulls %v: %v", with, err)
				}
			}
			if !reflect.DeepEqual(told[0], told[1]) {
				t.Errorf("%+v\nand with nulls %+v", told[0], told[1])
			}
		})
	}
	var numbers listOf[number]
	if strictjson.Decode([]byte(`[1,null]`), &numbers) == nil {
		t.Errorf("a null among numbers is %v", numbers)
	}
}

// TestEmptyLists: null where a list must be told is no empty list.
func TestEmptyLists(t *testing.T) {
	b := newBench(t)
	b.fake.on("/call_back/get_call_back_failed_result", 200, `{"errcode":0,"has_more":false,"failed_list":null}`)
	b.fake.on("/topapi/user/listid", 200, `{"errcode":0,"result":{"userid_list":null}}`)
	b.fake.on("/v1.0/contact/empLeaveRecords", 200, `{"records":null}`)
	b.fake.on("/v1.0/workflow/processes/instanceIds/query", 200, `{"result":{"list":null},"success":true}`)
	if _, _, err := b.FailedEvents(t.Context()); err == nil {
		t.Error("failed_list: null was taken for nothing")
	}
	if _, err := b.MemberIDs(t.Context(), 1); err == nil {
		t.Error("userid_list: null was taken for nobody")
	}
	for _, err := range b.LeaveRecords(t.Context(), b.clock.Now().AddDate(0, 0, -1)) {
		if err == nil {
			t.Error("records: null was taken for nobody")
		}
	}
	for _, err := range b.InstanceIDs(t.Context(), InstanceQuery{Process: "PROC-1", From: b.clock.Now().AddDate(0, 0, -1)}) {
		if err == nil {
			t.Error("list: null was taken for nothing")
		}
	}
}

// TestDocumentedForms reads what the vendor's pages print: numbers and booleans in
// quotes, lists as their one element or as a text (reference 0.1, SIM-D13).
func TestDocumentedForms(t *testing.T) {
	b := newBench(t)
	b.fake.on("/call_back/get_call_back_failed_result", 200, `{"errcode":"0","errmsg":"ok","has_more":"true","failed_list":
		{"call_back_tag":"user_add_org","event_time":"1606126433000","user_add_org":{"userid":"[\"zhangsan\",\"lisi\"]","corpid":"dingcorp1"}}}`)
	events, more, err := b.FailedEvents(t.Context())
	if err != nil || !more || len(events) != 1 || !slices.Equal(events[0].Users, []string{"zhangsan", "lisi"}) || events[0].At.UnixMilli() != 1606126433000 {
		t.Errorf("%+v %v %v", events, more, err)
	}
	b.fake.on("/call_back/get_call_back_failed_result", 200, `{"errcode":"0","has_more":"false","failed_list":
		{"call_back_tag":"org_dept_modify","event_time":"1606126433000","org_dept_modify":{"deptId":"[5,6]","corpid":"dingcorp1"}}}`)
	if events, _, err := b.FailedEvents(t.Context()); err != nil || len(events) != 1 || !slices.Equal(events[0].Departments, []int64{5, 6}) {
		t.Errorf("%+v %v", events, err)
	}
	b.fake.on("/auth/scopes", 200, `{"errcode":"0","errmsg":"ok","auth_org_scopes":{"authed_user":[],"authed_dept":"[1]"},"auth_user_field":"[\"name\",\"mobile\"]"}`)
	if s, err := b.Scopes(t.Context()); err != nil || !s.WholeCompany || len(s.Fields) != 2 {
		t.Errorf("%+v %v", s, err)
	}
	b.fake.on("/topapi/message/corpconversation/asyncsend_v2", 200, `{"errcode":"0","errmsg":"ok","task_id":"256271667526","request_id":"4jzllmte0wau"}`)
	if task, err := b.SendWork(t.Context(), Message{Users: []string{"u1"}, Text: "x"}); err != nil || task != 256271667526 {
		t.Errorf("%d %v", task, err)
	}
	b.fake.on("/topapi/message/corpconversation/getsendresult", 200, `{"errcode":"0","send_result":{"read_user_id_list":"[\"u1\"]","forbidden_list":{"code":"143106","count":"1","userid":"u2"},"invalid_dept_id_list":"[9]"}}`)
	if r, err := b.SendResult(t.Context(), 7); err != nil || !r.Got["u1"] || r.Dropped["u2"] != DropSame || !slices.Equal(r.InvalidDepartments, []int64{9}) {
		t.Errorf("%+v %v", r, err)
	}
	b.fake.on("/topapi/message/corpconversation/getsendprogress", 200, `{"errcode":"0","progress":{"progress_in_percent":"100","status":"2"}}`)
	if done, err := b.SendDone(t.Context(), 7); err != nil || !done {
		t.Errorf("%v %v", done, err)
	}
}
