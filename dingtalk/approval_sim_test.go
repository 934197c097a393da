package dingtalk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
)

const reimbursement = "PROC-REIMBURSE"

// approval starts an instance with one field of each awkward kind.
func (u *town) approval(t *testing.T, created time.Time) dingtalksim.Instance {
	t.Helper()
	in, err := u.sim.StartApproval(dingtalksim.Approval{
		ProcessCode: reimbursement, Originator: "zhangsan", Title: "报销", Created: created,
		Form: []dingtalksim.FormValue{
			{ID: "Text_1", Name: "事由", Type: "TextField", Value: "出差"},
			{ID: "Text_2", Name: "空", Type: "TextField"},
			{Name: "物品用途", Type: "TextField", Value: "办公"},
			{ID: "People_1", Name: "同行", Type: "InnerContactField", Value: "张三,李四", Ext: []map[string]string{{"emplId": "zhangsan", "name": "张三"}, {"emplId": "lisi"}}},
			{ID: "Range_1", Name: `["开始时间","结束时间"]`, Type: "DDDateRangeField", Value: []any{"2026-02-25", "2026-02-26", nil}},
			{ID: "Choice_1", Name: "类型", Type: "DDSelectField", Alias: "kind", Value: "差旅", Ext: map[string]string{"label": "差旅", "key": "option_2"}},
			{ID: "Table_1", Name: "明细", Type: "TableField", Alias: "rows", Rows: [][]dingtalksim.FormValue{
				{{ID: "Money_1", Name: "金额", Type: "MoneyField", Value: "9007199254740993.01"}, {ID: "Multi_1", Name: "项目", Type: "DDMultiSelectField", Value: []string{"a", "b"}}},
				{{ID: "Money_1", Name: "金额", Type: "MoneyField"}, {ID: "Who_1", Name: "人", Type: "InnerContactField", Value: "李四", Ext: []map[string]string{{"emplId": "lisi"}}}},
			}},
			{ID: "Table_2", Name: "附表", Type: "TableField"},
			{ID: "Suite_1", Name: "报销套件", Type: "DDBizSuite", Value: []map[string]any{
				{"componentName": "MoneyField", "props": map[string]string{"id": "Money_9", "label": "合计", "bizAlias": "sum"}, "value": "12.30"},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestInstance reads every kind of value of a form as text (SIM-D90 to D94): no
// amount loses a digit, nothing is read as the word null, and a table that
// nobody touched has no rows.
func TestInstance(t *testing.T) {
	u := newTown(t)
	made := u.approval(t, time.Now().Add(-time.Hour))
	running, err := u.Instance(t.Context(), made.ID)
	if err != nil || running.Over() || running.Agreed() || running.Result != "" || !running.Finished.IsZero() {
		t.Fatalf("%+v %v", running, err)
	}
	if _, err := u.sim.FinishApproval(made.ID, "agree"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []bool{false, true} {
		if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.SuccessText = text }); err != nil {
			t.Fatal(err)
		}
		in, err := u.Instance(t.Context(), made.ID)
		if err != nil || !in.Agreed() || in.Originator != "zhangsan" || in.BusinessID != made.BusinessID {
			t.Fatalf("%+v %v", in, err)
		}
		if want := made.Created.Truncate(time.Minute); !in.Created.Equal(want) {
			t.Errorf("created %s, want %s", in.Created, want)
		}
		checkForm(t, in)
	}
	utc := u.client(t, corpA, keyA, secretA, func(c *dingtalk.Config) { c.ApprovalZone = time.UTC })
	if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.ApprovalUTC = true }); err != nil {
		t.Fatal(err)
	}
	if in, err := utc.Instance(t.Context(), made.ID); err != nil || !in.Created.Equal(made.Created.Truncate(time.Minute)) {
		t.Errorf("real UTC: %s %v", in.Created, err)
	}
}

func checkForm(t *testing.T, in dingtalk.Instance) {
	t.Helper()
	values := map[string]string{}
	for _, f := range in.Fields {
		values[f.ID] = f.Value
	}
	if values["Text_1"] != "出差" || values["Text_2"] != "" || values["物品用途"] != "办公" {
		t.Errorf("texts: %v", values)
	}
	at := func(id string) dingtalk.FormField {
		f, ok := in.Field(id)
		if !ok {
			t.Errorf("no field %s", id)
		}
		return f
	}
	people, err := at("People_1").People()
	if err != nil || fmt.Sprint(people) != "[zhangsan lisi]" {
		t.Errorf("people: %v %v", people, err)
	}
	if days, err := at("Range_1").List(); err != nil || fmt.Sprintf("%q", days) != `["2026-02-25" "2026-02-26" ""]` {
		t.Errorf("range: %q %v", days, err)
	}
	if key := at("kind").Choice(); key != "option_2" {
		t.Errorf("choice: %q", key)
	}
	rows, err := at("rows").Rows()
	if err != nil || len(rows) != 2 || rows[0].Cell("Money_1").Value != "9007199254740993.01" || rows[1].Cell("Money_1").Value != "" {
		t.Fatalf("rows: %+v %v", rows, err)
	}
	if many, err := rows[0].Cell("Multi_1").List(); err != nil || fmt.Sprint(many) != "[a b]" {
		t.Errorf("multi-choice in a row: %v %v", many, err)
	}
	if who, err := rows[1].Cell("Who_1").People(); err != nil || fmt.Sprint(who) != "[lisi]" {
		t.Errorf("people in a row: %v %v", who, err)
	}
	if none, err := at("Table_2").Rows(); err != nil || len(none) != 0 {
		t.Errorf("untouched table: %v %v", none, err)
	}
	if parts, err := at("Suite_1").Parts(); err != nil || len(parts) != 1 || parts[0].Alias != "sum" || parts[0].Value != "12.30" {
		t.Errorf("suite: %+v %v", parts, err)
	}
}

// TestInstanceRefused: not there is an answer, everything else is none.
func TestInstanceRefused(t *testing.T) {
	u := newTown(t)
	made := u.approval(t, time.Time{})
	if _, err := u.Instance(t.Context(), "nobody"); identity.KindOf(err) != identity.NotFound {
		t.Errorf("unknown: %v", err)
	}
	other := u.client(t, corpB, keyB, secretB, nil)
	if _, err := other.Instance(t.Context(), made.ID); identity.KindOf(err) != identity.NotFound {
		t.Errorf("of another organisation: %v", err)
	}
	if _, err := u.Instance(t.Context(), "a?b=c"); identity.KindOf(err) != identity.Invalid {
		t.Errorf("malformed: %v", err)
	}
	for _, body := range []string{
		`{"success":false,"result":{}}`, `{"success":true}`, `{"success":true,"result":{"status":"","formComponentValues":[]}}`,
		`{"success":true,"result":{"status":"COMPLETED","result":"agree","createTime":"yesterday","formComponentValues":[]}}`,
		`{"success":true,"result":{"status":"RUNNING","status":"COMPLETED","formComponentValues":[]}}`,
		`{"success":true,"result":{"status":"COMPLETED","createTime":"2026-01-01T00:00Z"}}`,
	} {
		u.fault(t, dingtalksim.Fault{Match: "GET /v1.0/workflow/processInstances", Kind: "status", Status: 200, Body: body, Times: -1})
		if in, err := u.Instance(t.Context(), made.ID); err == nil || identity.KindOf(err) == identity.NotFound {
			t.Errorf("%s: %+v %v", body, in, err)
		}
		u.sim.ClearFaults(0)
	}
}

// ids collects a walk.
func (u *town) ids(q dingtalk.InstanceQuery) (list []string, err error) {
	for id, broken := range u.InstanceIDs(context.Background(), q) {
		if broken != nil {
			return list, broken
		}
		list = append(list, id)
	}
	return list, nil
}

// TestInstanceIDs lists within DingTalk's limits (SIM-D95): pages of 20, spans
// of less than 120 days, never ahead of the vendor's clock, each id once.
func TestInstanceIDs(t *testing.T) {
	u := newTown(t)
	now := time.Now()
	want := map[string]bool{}
	for i := range 45 {
		want[u.approval(t, now.Add(-time.Duration(i)*7*24*time.Hour-time.Minute)).ID] = true
	}
	u.sim.SetClock(-2 * time.Minute) // the vendor's clock is behind ours
	got, err := u.ids(dingtalk.InstanceQuery{Process: reimbursement, From: now.Add(-360 * 24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	u.sim.SetClock(0)
	more, err := u.ids(dingtalk.InstanceQuery{Process: reimbursement, From: now.Add(-360 * 24 * time.Hour)})
	if err != nil || len(more) != 45 || len(got) < 44 {
		t.Fatalf("%d and %d ids, %v", len(got), len(more), err)
	}
	for _, id := range more {
		if !want[id] {
			t.Errorf("%s is new or comes twice", id)
		}
		delete(want, id)
	}
	if _, err := u.ids(dingtalk.InstanceQuery{Process: reimbursement, From: now.Add(-400 * 24 * time.Hour)}); identity.KindOf(err) != identity.Invalid {
		t.Errorf("too far back: %v", err)
	}
	done, err := u.ids(dingtalk.InstanceQuery{Process: reimbursement, From: now.Add(-24 * time.Hour), Statuses: []string{dingtalk.InstanceCompleted}})
	if err != nil || len(done) != 0 {
		t.Errorf("by status: %v %v", done, err)
	}
	u.fault(t, dingtalksim.Fault{Match: "instanceIds/query", Kind: "errcode", ErrCode: "invalidProcessCode", Status: 400})
	if _, err := u.ids(dingtalk.InstanceQuery{Process: "PROC-X", From: now.Add(-time.Hour)}); identity.KindOf(err) != identity.Misconfigured {
		t.Errorf("unknown process: %v", err)
	}
}

// TestCursorRepeats proves that a cursor which comes again ends the walk.
func TestCursorRepeats(t *testing.T) {
	u := newTown(t)
	u.fault(t, dingtalksim.Fault{
		Match: "instanceIds/query", Kind: "status", Status: 200, Times: -1, Body: `{"result":{"list":["a"],"nextToken":"1"},"success":true}`,
	})
	got, err := u.ids(dingtalk.InstanceQuery{Process: reimbursement, From: time.Now().Add(-time.Hour)})
	if err != nil || fmt.Sprint(got) != "[a]" {
		t.Errorf("%v %v", got, err)
	}
	if n := len(u.sim.Calls("instanceIds/query")); n != 2 {
		t.Errorf("%d calls", n)
	}
}

// TestComment proves that a comment is sent once whatever becomes of the answer,
// and that the remarks tell (SIM-D96).
func TestComment(t *testing.T) {
	u := newTown(t)
	made := u.approval(t, time.Time{})
	if err := u.Comment(t.Context(), made.ID, "已生成单据 DD-1", "zhangsan"); err != nil {
		t.Fatal(err)
	}
	u.fault(t, dingtalksim.Fault{Match: "/comments", Kind: "reset"})
	err := u.Comment(t.Context(), made.ID, "二", "zhangsan")
	if e, ok := errors.AsType[*dingtalk.CallError](err); !ok || !e.Ambiguous {
		t.Errorf("an answer that was lost: %v", err)
	}
	in, err := u.Instance(t.Context(), made.ID)
	if err != nil || len(in.Remarks) != 2 || in.Remarks[0].Text != "已生成单据 DD-1" || in.Remarks[0].UserID != "zhangsan" || in.Remarks[1].Text != "二" {
		t.Errorf("%+v %v", in.Remarks, err)
	}
	if n := len(u.sim.Calls("/comments")); n != 2 {
		t.Errorf("%d calls", n)
	}
	for name, err := range map[string]error{
		"long": u.Comment(t.Context(), made.ID, strings.Repeat("字", 1025), "zhangsan"), "empty": u.Comment(t.Context(), made.ID, "", "zhangsan"),
	} {
		if identity.KindOf(err) != identity.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := u.Comment(t.Context(), "nobody", "x", "zhangsan"); identity.KindOf(err) != identity.NotFound {
		t.Errorf("unknown instance: %v", err)
	}
	if err := u.Comment(t.Context(), made.ID, "x", "gone"); identity.KindOf(err) != identity.Forbidden {
		t.Errorf("unknown person: %v", err)
	}
}

// FuzzFormField proves that no value breaks a reader, and that rows come only
// out of what holds rows.
func FuzzFormField(f *testing.F) {
	for _, seed := range []string{
		`[{"rowValue":[{"key":"a","value":"1"}],"rowNumber":"x"}]`, `[{"componentName":"MoneyField","props":{}}]`, `null`, `[]`, `["a",null]`, `[{"emplId":"x"}]`, `{"key":"k"}`, `[[`, `"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		field := dingtalk.FormField{ID: "x", Value: text, Ext: text}
		rows, err := field.Rows()
		if err == nil && len(rows) > 0 && !strings.Contains(text, "rowValue") && !strings.Contains(text, `\u`) {
			t.Errorf("rows out of %q", text)
		}
		if people, err := field.People(); err == nil && len(people) > 0 && !strings.Contains(text, "emplId") && !strings.Contains(text, `\u`) {
			t.Errorf("people out of %q", text)
		}
		if _, err := field.List(); err != nil && !errors.Is(err, dingtalk.ErrForm) {
			t.Error(err)
		}
		if _, err := field.Parts(); err != nil && !errors.Is(err, dingtalk.ErrForm) {
			t.Error(err)
		}
		_ = field.Choice()
	})
}
