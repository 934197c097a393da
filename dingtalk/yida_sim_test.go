package dingtalk_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
)

const yidaForm = "FORM-EF6Y4G8WO2FN0SUB43TDQ3CGC3FMFQ1G9400RCJ3"

var process = dingtalk.YidaForm{ID: yidaForm}

func (u *town) yida(t *testing.T, change ...func(*dingtalk.YidaApp)) *dingtalk.Yida {
	t.Helper()
	app := dingtalk.YidaApp{App: dingtalksim.SampleYidaApp, SystemToken: identity.NewSecret(dingtalksim.SampleYidaToken), Reader: "zhangsan"}
	for _, f := range change {
		f(&app)
	}
	y, err := u.Yida(app)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// submitted makes a submission with one value of each kind, as real ones have them.
func (u *town) submitted(t *testing.T, change ...func(*dingtalksim.YidaOrder)) dingtalksim.YidaInstance {
	t.Helper()
	order := dingtalksim.YidaOrder{Form: yidaForm, Originator: "zhangsan", Title: "张三发起的报销", Data: map[string]any{
		"textField_a": "出差", "textField_b": "", "numberField_c": json.Number("1.0E7"), "numberField_d": json.Number("12.3"), "numberField_d_value": "12.30",
		"numberField_e_value": "", "dateField_f": json.Number("1516636800000"), "cascadeDateField_g": []string{"1514736000000", "1517328000000"},
		"employeeField_h": []string{"滕涛"}, "employeeField_h_id": []string{"30010575"},
		"employeeField_i": []string{"甲", "乙"}, "employeeField_i_id": []string{"a1", "b2"},
		"departmentSelectField_j": []string{"部门 A"}, "departmentSelectField_j_id": []string{"1048070109"},
		"radioField_k": "精修", "radioField_k_id": "option_2", "checkboxField_l": []string{"a", "b"},
		"attachmentField_m": []any{map[string]any{"downloadUrl": "https://www.aliwork.com/x", "name": "x.txt", "size": 4}},
		"tableField_n": []any{
			map[string]any{"numberField_o": json.Number("9007199254740993.01"), "selectField_p": "差旅", "selectField_p_id": "option_0", "textField_q": ""},
			map[string]any{"numberField_o": json.Number("0.1"), "employeeField_r": []string{"李四"}, "employeeField_r_id": []string{"lisi"}},
		},
		"tableField_s": []any{}, "orderNo": "SO-1",
	}}
	for _, f := range change {
		f(&order)
	}
	in, err := u.sim.StartYida(order)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestYidaInstance reads every kind of a Yida value as a rule needs it (reference
// 7.6): no amount is a float or has an exponent, a person has a userid, a sub-form
// has rows.
func TestYidaInstance(t *testing.T) {
	u := newTown(t)
	made := u.submitted(t)
	y := u.yida(t)
	running, err := y.Instance(t.Context(), process, made.ID)
	if err != nil || running.Over() || !running.Finished.IsZero() {
		t.Fatalf("%+v %v", running, err)
	}
	if _, err := u.sim.FinishYida(made.ID, "agree"); err != nil {
		t.Fatal(err)
	}
	in, err := y.Instance(t.Context(), process, made.ID)
	if err != nil || !in.Agreed() || in.Originator != "zhangsan" || in.Version != 2 || in.Form != yidaForm || in.Finished.IsZero() {
		t.Fatalf("%+v %v", in, err)
	}
	if !in.Created.Equal(made.Created.Truncate(time.Minute)) || in.Department != "甲" {
		t.Errorf("created %s, department %q", in.Created, in.Department)
	}
	for id, want := range map[string]string{
		"textField_a": "出差", "textField_b": "", "numberField_c": "10000000", "numberField_d": "12.30", "numberField_e": "", "dateField_f": "1516636800000",
		"employeeField_h": "滕涛", "departmentSelectField_j": "部门 A", "departmentSelectField_j_id": "1048070109", "radioField_k": "精修", "orderNo": "SO-1",
	} {
		if f, ok := in.Field(id); !ok || f.Value != want {
			t.Errorf("%s is %q (%v), want %q", id, f.Value, ok, want)
		}
	}
	at := func(id string) dingtalk.FormField { f, _ := in.Field(id); return f }
	for id, want := range map[string]string{"employeeField_h": "[30010575]", "employeeField_i": "[a1 b2]"} {
		if people, err := at(id).People(); err != nil || fmt.Sprint(people) != want {
			t.Errorf("%s: %v %v", id, people, err)
		}
	}
	if days, err := at("cascadeDateField_g").List(); err != nil || fmt.Sprint(days) != "[1514736000000 1517328000000]" {
		t.Errorf("range: %v %v", days, err)
	}
	if boxes, err := at("checkboxField_l").List(); err != nil || fmt.Sprint(boxes) != "[a b]" || at("radioField_k").Choice() != "option_2" {
		t.Errorf("boxes: %v %v, choice %q", boxes, err, at("radioField_k").Choice())
	}
	rows, err := at("tableField_n").Rows()
	if err != nil || len(rows) != 2 || rows[0].Cell("numberField_o").Value != "9007199254740993.01" || rows[0].Cell("selectField_p").Choice() != "option_0" {
		t.Fatalf("rows: %+v %v", rows, err)
	}
	if who, err := rows[1].Cell("employeeField_r").People(); err != nil || fmt.Sprint(who) != "[lisi]" {
		t.Errorf("a person in a row: %v %v", who, err)
	}
	for _, id := range []string{"tableField_s", "attachmentField_m"} {
		if none, err := at(id).Rows(); err != nil || len(none) != 0 {
			t.Errorf("%s has rows: %v %v", id, none, err)
		}
	}
	if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.YidaLocal = true }); err != nil {
		t.Fatal(err)
	}
	local := u.yida(t, func(a *dingtalk.YidaApp) { a.Zone = time.FixedZone("", 8*60*60) })
	if in, err := local.Instance(t.Context(), process, made.ID); err != nil || !in.Created.Equal(made.Created.Truncate(time.Minute)) {
		t.Errorf("local times: %s %v", in.Created, err)
	}
}

// TestYidaPlainForm: a submission of a form without a process counts as agreed to,
// and is read by other calls, of which the one that reads one tells less.
func TestYidaPlainForm(t *testing.T) {
	u := newTown(t)
	y := u.yida(t)
	plain := dingtalk.YidaForm{ID: yidaForm, Plain: true}
	made := u.submitted(t, func(o *dingtalksim.YidaOrder) { o.Plain = true })
	u.submitted(t) // of a process: not in the list
	in, err := y.Instance(t.Context(), plain, made.ID)
	if err != nil || !in.Agreed() || in.Originator != "zhangsan" || !in.Created.IsZero() {
		t.Fatalf("%+v %v", in, err)
	}
	n := 0
	for in, err := range y.Instances(t.Context(), plain, time.Now().Add(-time.Hour)) {
		if n++; err != nil || in.ID != made.ID || !in.Agreed() || in.Created.IsZero() || in.Version != 1 {
			t.Fatalf("%+v %v", in, err)
		}
	}
	if n != 1 {
		t.Errorf("%d submissions", n)
	}
}

// TestYidaListing: every submission changed on the days asked for comes once, over
// the edges of pages, also when one goes away while they are turned; what was
// changed on another day does not come.
func TestYidaListing(t *testing.T) {
	for _, local := range []bool{false, true} {
		u := newTown(t)
		if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.YidaLocal, s.MonthQuota = local, -1 }); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		made := map[string]bool{}
		for i := range 205 {
			in := u.submitted(t, func(o *dingtalksim.YidaOrder) {
				o.Created, o.Data = now.Add(-time.Duration(i)*time.Minute), map[string]any{"textField_a": fmt.Sprint(i)}
			})
			made[in.ID] = true
		}
		old := u.submitted(t, func(o *dingtalksim.YidaOrder) { o.Created = now.AddDate(0, 0, -9) })
		seen := map[string]int{}
		first := true
		for in, err := range u.yida(t).Instances(t.Context(), process, now.AddDate(0, 0, -2)) {
			if err != nil {
				t.Fatal(err)
			}
			if seen[in.ID]++; first { // one of the first page goes; all behind it move up
				first = false
				if err := u.sim.RemoveYida(in.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		for id := range made {
			if seen[id] != 1 {
				t.Fatalf("local %v: %s came %d times", local, id, seen[id])
			}
		}
		if seen[old.ID] != 0 {
			t.Error("one that was changed nine days ago came")
		}
		if _, err := u.sim.AmendYida(old.ID, map[string]any{"textField_a": "now"}); err != nil {
			t.Fatal(err)
		}
		found := false
		for in, err := range u.yida(t).Instances(t.Context(), process, now.Add(-time.Hour)) {
			found = found || err == nil && in.ID == old.ID
		}
		if !found {
			t.Error("one that was begun nine days ago and changed today did not come")
		}
	}
}

// TestYidaManyDays: more than Yida shows of one search are read in shorter ones,
// and more of one day than it shows is an error and no silence.
func TestYidaManyDays(t *testing.T) {
	u := newTown(t)
	now := time.Now()
	fill := func(n int, at time.Time) {
		for range n {
			u.submitted(t, func(o *dingtalksim.YidaOrder) { o.Created, o.Data = at, map[string]any{"textField_a": "x"} })
		}
	}
	fill(2600, now.AddDate(0, 0, -6))
	fill(2600, now.AddDate(0, 0, -3))
	walk := func() (n int, last error) {
		for _, err := range u.yida(t).Instances(t.Context(), process, now.AddDate(0, 0, -8)) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	if n, err := walk(); n != 5200 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	fill(2600, now.AddDate(0, 0, -3))
	if n, err := walk(); err == nil || n < 5000 || !strings.Contains(err.Error(), "within a day") {
		t.Errorf("%d, %v", n, err)
	}
}

// TestYidaRemarks: a remark is sent once, comes back when asked for, and one to
// nobody's submission is refused.
func TestYidaRemarks(t *testing.T) {
	u := newTown(t)
	y := u.yida(t)
	made := u.submitted(t)
	if list, err := y.Remarks(t.Context(), process, made.ID); err != nil || len(list) != 0 {
		t.Fatalf("%v %v", list, err)
	}
	if err := y.Remark(t.Context(), made.ID, "金蝶单据已生成：DD-1", "zhangsan"); err != nil {
		t.Fatal(err)
	}
	list, err := y.Remarks(t.Context(), process, made.ID)
	if err != nil || len(list) != 1 || list[0].UserID != "zhangsan" || list[0].Text != "金蝶单据已生成：DD-1" || time.Since(list[0].At) > time.Minute {
		t.Errorf("%+v %v", list, err)
	}
	if err := y.Remark(t.Context(), "FINST-NOBODY", "x", "zhangsan"); identity.KindOf(err) != identity.NotFound {
		t.Errorf("to nobody's: %v", err)
	}
	if err := y.Remark(t.Context(), made.ID, "x", "nobody"); identity.KindOf(err) != identity.Forbidden {
		t.Errorf("by nobody: %v", err)
	}
	u.fault(t, dingtalksim.Fault{Match: "POST /v1.0/yida/forms/remarks", Kind: "status", Status: 504, Times: 1})
	before := len(u.sim.Calls("forms/remarks"))
	if err := y.Remark(t.Context(), made.ID, "again", "zhangsan"); err == nil {
		t.Error("an answer that was lost is a success")
	}
	if n := len(u.sim.Calls("forms/remarks")) - before; n != 1 {
		t.Errorf("a remark of unknown fate was sent %d times", n)
	}
}

// TestYidaRefused: each refusal is what it is, the permission is named, and the
// system token is in no error and no log.
func TestYidaRefused(t *testing.T) {
	u := newTown(t)
	made := u.submitted(t)
	read := func(y *dingtalk.Yida, id string) error { _, err := y.Instance(t.Context(), process, id); return err }
	cases := map[string]struct {
		err  error
		kind identity.Kind
		rule string
	}{
		"nobody's":  {read(u.yida(t), "11111111-1111-4111-8111-111111111111"), identity.NotFound, "no_submission"},
		"malformed": {read(u.yida(t), "a/../b"), identity.Invalid, ""},
		"wrong key": {read(u.yida(t, func(a *dingtalk.YidaApp) { a.SystemToken = identity.NewSecret("hexWrong0001") }), made.ID), identity.Misconfigured, "yida_key"},
		"wrong app": {read(u.yida(t, func(a *dingtalk.YidaApp) { a.App = "APP_OTHER" }), made.ID), identity.Misconfigured, "yida_key"},
	}
	other := u.client(t, corpB, keyB, secretB, nil)
	y, err := other.Yida(dingtalk.YidaApp{App: dingtalksim.SampleYidaApp, SystemToken: identity.NewSecret(dingtalksim.SampleYidaToken), Reader: "lisi"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = y.Instance(t.Context(), process, made.ID)
	cases["of another organisation"] = struct {
		err  error
		kind identity.Kind
		rule string
	}{err, identity.NotFound, "no_submission"}
	if err := u.sim.ChangeApp(keyA, func(a *dingtalksim.App) { a.Permissions = []string{"qyapi_base"} }); err != nil {
		t.Fatal(err)
	}
	denied := u.yida(t).Probe(t.Context(), process)
	cases["no permission"] = struct {
		err  error
		kind identity.Kind
		rule string
	}{denied, identity.Misconfigured, "permission"}
	for name, tc := range cases {
		if identity.KindOf(tc.err) != tc.kind || !strings.Contains(fmt.Sprint(tc.err), tc.rule) {
			t.Errorf("%s: %v", name, tc.err)
		}
		if text := fmt.Sprint(tc.err); strings.Contains(text, "hex") {
			t.Errorf("%s tells the system token: %s", name, text)
		}
	}
	if !strings.Contains(denied.Error(), dingtalk.YidaReadProcesses) {
		t.Errorf("the permission is not named: %v", denied)
	}
	if strings.Contains(u.log.String(), "hexWrong0001") || strings.Contains(fmt.Sprint(u.sim.Calls("yida")), dingtalksim.SampleYidaToken) {
		t.Error("a log tells the system token")
	}
	for _, bad := range []dingtalk.YidaApp{{}, {App: "a b", SystemToken: identity.NewSecret("x"), Reader: "x"}, {App: "APP_X", Reader: "x"}, {App: "APP_X", SystemToken: identity.NewSecret("x")}} {
		if _, err := u.Yida(bad); identity.KindOf(err) != identity.Misconfigured {
			t.Errorf("%+v: %v", bad.App, err)
		}
	}
}

// TestYidaNonsense: an answer without its parts is none, not an empty list and not
// a submission that is missing.
func TestYidaNonsense(t *testing.T) {
	u := newTown(t)
	made := u.submitted(t)
	y := u.yida(t)
	for _, body := range []string{
		`{}`, `{"data":[]}`, `{"totalCount":1}`, `{"totalCount":-1,"data":[]}`, `{"totalCount":1,"data":[{"processInstanceId":"a/b"}]}`,
		`{"totalCount":1,"data":[{"processInstanceId":"a","formUuid":"FORM-OTHER","instanceStatus":"COMPLETED","data":{}}]}`,
		`{"totalCount":1,"data":[{"processInstanceId":"a","instanceStatus":"COMPLETED","data":{},"modifiedTimeGMT":"yesterday"}]}`,
		`{"totalCount":1,"data":[{"processInstanceId":"a","instanceStatus":"COMPLETED","instanceStatus":"RUNNING","data":{}}]}`,
	} {
		u.fault(t, dingtalksim.Fault{Match: "/yida/processes/instances", Kind: "status", Status: 200, Body: body, Times: -1})
		for in, err := range y.Instances(t.Context(), process, time.Now()) {
			if err == nil {
				t.Errorf("%s: %+v", body, in)
			}
		}
		if in, err := y.Instance(t.Context(), process, made.ID); err == nil || identity.KindOf(err) == identity.NotFound {
			t.Errorf("%s: %+v %v", body, in, err)
		}
		u.sim.ClearFaults(0)
	}
}
