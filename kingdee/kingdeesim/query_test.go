package kingdeesim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kdgate/kingdee/kingdeesim"
)

func ask(form, keys, filter, more string) string {
	quoted, _ := json.Marshal(filter)
	return fmt.Sprintf(`{"FormId":%q,"FieldKeys":%q,"FilterString":%s%s}`, form, keys, quoted, more)
}

// TestChain walks the three links of the identity chain on every route the
// reference names (R1, R2, R3): SIM-K50, K58, K75, K76, K77, K78.
func TestChain(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	for _, test := range []struct{ form, keys, filter, want string }{
		{"BD_Empinfo", "FStaffNumber,FName,FForbidStatus,FDocumentStatus", "FStaffNumber='1001'", `[["1001","张三","A","C"]]`},
		{"BD_Empinfo", "FNUMBER,FMobile,FPostDept.FName,FPost.FNumber,FUseOrgId.FNumber", "fnumber='1001' and FIsFirstPost='1'", `[["1001","13800000001","财务部","GW0001","100"]]`},
		{"BD_Empinfo", "FPost.FName,FIsFirstPost,FWorkOrgId.FNumber", "fnumber='1003'", `[["出纳",true,"100"]]`},
		{"BD_Empinfo", "FUserId.FName,FUserId.FUserAccount", "FStaffNumber='1002'", `[["李四（财务）","lisi"]]`},
		{"BD_Empinfo", "FUserId.FName", "FStaffNumber='1003'", `[[null]]`},
		{"BD_Empinfo", "FName", "FStaffNumber='9999'", `[]`},
		{"BD_NEWSTAFF", "FPerson.FNumber,FEmpInfoId.FNumber,FPosition.FNumber", "FPerson.FNumber='1001' and FIsFirstPost='1'", `[["1001","1001","GW0001"]]`},
		{"SEC_User", "FName,FUserAccount,FForbidStatus,FIsLocked", "FLinkObject.FNumber='1002'", `[["李四（财务）","lisi","A",false]]`},
		{"SEC_User", "FName", "FLinkObject.FNumber='1003'", `[]`},
		{"SEC_User", "FForbidStatus", "FLinkObject.FNumber='1005'", `[["B"]]`},
		{"SEC_User", "FName,FIsLocked", "FLinkObject.FNumber='1006'", `[["张三2",true]]`},
		{"SEC_User", "FLinkObject.FName", "FName='李四（财务）'", `[["李四"]]`},
		{"SEC_User", "FLinkObject.FName", "FName='kdgate'", `[[null]]`},
		{"BD_Department", "FNumber,FParentID,FParentID.FNumber", "", `[["BM000001",0,null]]`},
		{"HR_ORG_HRPOST", "FNumber,FDept.FNumber", "FName='出纳'", `[["GW0001","BM000001"]]`},
	} {
		if got := w.query(session, ask(test.form, test.keys, test.filter, "")); got != test.want {
			t.Errorf("%s %s where %s: %s, want %s", test.form, test.keys, test.filter, got, test.want)
		}
	}
	two := w.query(session, ask("SEC_User", "FName", "FLinkObject.FNumber='1004'", `,"OrderString":"FName"`))
	if two != `[["zhaoliu"],["zhaoliu2"]]` {
		t.Errorf("two users of one person: %s", two)
	}
	posts := w.query(session, ask("BD_Empinfo", "FStaffNumber,FPost.FNumber,FIsFirstPost", "FStaffNumber='1001'", `,"OrderString":"FPost.FNumber"`))
	if posts != `[["1001","GW0001",true],["1001","GW0002",false]]` {
		t.Errorf("an employee with two posts, asked for a field of the entry: %s", posts)
	}
	w.walkR3(session)
}

// walkR3 goes from the post records to the person and on to the user.
func (w *world) walkR3(session http.Header) {
	w.t.Helper()
	var posts [][]any
	raw := w.query(session, `{"FormId":"BD_NEWSTAFF","FieldKeys":"FPersonId,FStaffNumber","OrderString":"FSTAFFID",
		"FilterString":[{"Left":"(","FieldName":"FPerson.FNumber","Compare":"67","Value":"1001","Right":")","Logic":"0"}]}`)
	if err := json.Unmarshal([]byte(raw), &posts); err != nil || len(posts) != 2 || posts[0][0] != posts[1][0] {
		w.t.Fatalf("two posts of one person: %s", raw)
	}
	for i, post := range posts {
		if number := post[1].(string); !strings.HasPrefix(number, fmt.Sprintf("1001_GW000%d_", i+1)) {
			w.t.Errorf("number of a post record: %q", number)
		}
	}
	filter := fmt.Sprintf("FLinkObject=%.0f", posts[0][0])
	if got := w.query(session, ask("SEC_User", "FName", filter, "")); got != `[["zhangsan"]]` {
		w.t.Errorf("%s: %s", filter, got)
	}
}

// TestLinkFieldsSwitchedOff proves the second half of SIM-K78.
func TestLinkFieldsSwitchedOff(t *testing.T) {
	for _, test := range []struct {
		off       kingdeesim.Switches
		form, key string
	}{
		{kingdeesim.Switches{HideFLinkObject: true}, "SEC_User", "FLinkObject"},
		{kingdeesim.Switches{HideLinkNumber: true}, "SEC_User", "FLinkObject.FNumber"},
		{kingdeesim.Switches{HideFUserID: true}, "BD_Empinfo", "FUserId.FName"},
		{kingdeesim.Switches{HidePersonNumber: true}, "BD_NEWSTAFF", "FPerson.FNumber"},
		{kingdeesim.Switches{HideFPersonID: true}, "BD_NEWSTAFF", "FPersonId"},
		{kingdeesim.Switches{}, "BD_Empinfo", "FPersonId"},
	} {
		w := startOffice(t)
		w.sim.SetSwitches(test.off)
		session := w.session()
		for _, data := range []string{ask(test.form, test.key, "", ""), ask(test.form, "FName", test.key+"='1001'", ""), ask(test.form, "FName", "", `,"OrderString":"`+test.key+`"`)} {
			if got := w.query(session, data); !strings.Contains(got, `"MsgCode":9`) || !strings.Contains(got, "元数据中标识为"+test.key+"的字段不存在") {
				t.Errorf("%s: %s", data, got)
			}
		}
	}
}

// TestQueryErrors proves SIM-K55 and K56 with the texts of 3.4, and K60.
func TestQueryErrors(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	for _, test := range []struct {
		data, text string
		code       int
	}{
		{ask("BD_Nothing", "FName", "", ""), "标识为“BD_Nothing”的业务对象不存在，或者被删除", 4},
		{ask("", "FName", "", ""), "业务对象标识不能为空", 5},
		{ask("BD_Empinfo", "FNothing", "", ""), "元数据中标识为FNothing的字段不存在", 9},
		{ask("BD_Empinfo", "FName", "FNothing='1'", ""), "元数据中标识为FNothing的字段不存在", 9},
		{ask("BD_Empinfo", "", "", ""), "data 数据包中的参数 FieldKeys 的值不能为空", 8},
		{ask("BD_Empinfo", "FName", "FStaffNumber='1001", ""), "GetRealExpress error", 4},
		{ask("BD_Empinfo", "FName", "FStaffNumber='' or 1=1'", ""), "GetRealExpress error", 4},
		{ask("BD_Empinfo", "FName", "FStaffNumber=='1'", ""), "GetRealExpress error", 4},
		{ask("BD_Empinfo", "FName", "", `,"OrderString":"FName sideways"`), "GetRealExpress error", 4},
		{ask("BD_Empinfo", "FName", "", `,"Limit":10001`), "Limit", 8},
		{ask("BD_Empinfo", "FName", "", `,"StartRow":-1`), "StartRow", 8},
		{ask("BD_Empinfo", "FName"+strings.Repeat(",FUseOrgId.FNumber", 31), "", ""), "30", 8},
		{`{"FormId":"BD_Empinfo","FieldKeys":"FName","FilterString":[{"FieldName":"FName","Compare":"99","Value":"x"}]}`, "GetRealExpress error", 4},
	} {
		got := w.query(session, test.data)
		if !strings.HasPrefix(got, `[[{"Result":{"ResponseStatus":{"ErrorCode":500,"IsSuccess":false,`) ||
			!strings.HasSuffix(got, fmt.Sprintf(`"MsgCode":%d}}}]]`, test.code)) || !strings.Contains(got, test.text) {
			t.Errorf("%s: %s", test.data, got)
		}
	}
	w.sim.SetSwitches(kingdeesim.Switches{PadErrorRow: true, TextCodes: true})
	got := w.query(session, ask("BD_Empinfo", "FName,FNothing,FNumber", "", ""))
	if !strings.HasSuffix(got, `"MsgCode":"9"}}},null,null]]`) || !strings.Contains(got, `"IsSuccess":"false"`) || !strings.Contains(got, `"ErrorCode":"500"`) {
		t.Errorf("K60 and K62: %s", got)
	}
}

// TestInjectionWidens proves SIM-K55: the text form is as dangerous as the real
// one, the array form is not.
func TestInjectionWidens(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	for _, evil := range []string{"x' or '1'='1", "' or 1=1 --", "x' or 1=1 /*", "x' or FName like '%"} {
		var rows [][]string
		raw := w.query(session, ask("BD_Empinfo", "FNumber", "FStaffNumber='"+evil+"'", ""))
		if err := json.Unmarshal([]byte(raw), &rows); err != nil || len(rows) != 6 {
			t.Errorf("%q did not widen: %s", evil, raw)
		}
		value, _ := json.Marshal(evil)
		array := fmt.Sprintf(`[{"Left":"","FieldName":"FStaffNumber","Compare":67,"Value":%s,"Right":"","Logic":0}]`, value)
		asText, _ := json.Marshal(array)
		for _, filter := range []string{array, string(asText)} {
			if got := w.query(session, `{"FormId":"BD_Empinfo","FieldKeys":"FNumber","FilterString":`+filter+`}`); got != `[]` {
				t.Errorf("%q widened the array form: %s", evil, got)
			}
		}
	}
}

// TestPaging proves SIM-K51, K52 and K53.
func TestPaging(t *testing.T) {
	cfg := office()
	for i := range 2500 {
		cfg.DataCentres[0].Tables.Hire(kingdeesim.Employee{Number: fmt.Sprintf("P%05d", i), Name: "某人"})
	}
	w := start(t, cfg)
	session := w.session()
	page := func(more string) []string {
		var rows [][]string
		raw := w.query(session, ask("BD_Empinfo", "FNumber", "FNumber like 'P%'", more))
		if err := json.Unmarshal([]byte(raw), &rows); err != nil {
			t.Fatalf("%s: %s", more, raw)
		}
		var out []string
		for _, row := range rows {
			out = append(out, row[0])
		}
		return out
	}
	const order = `,"OrderString":"FNumber ASC"`
	for _, test := range []struct {
		more  string
		rows  int
		first string
	}{
		{order, 2000, "P00000"},
		{order + `,"Limit":0`, 2000, "P00000"},
		{order + `,"Limit":"10000"`, 2500, "P00000"},
		{order + `,"Limit":100,"StartRow":2450`, 50, "P02450"},
		{order + `,"TopRowCount":10`, 10, "P00000"},
		{order + `,"TopRowCount":2000,"StartRow":2000`, 0, ""},
		{order + `,"TopRowCount":2010,"StartRow":2000`, 10, "P02000"},
		{`,"OrderString":"FName, FNumber desc","Limit":1`, 1, "P02499"},
	} {
		got := page(test.more)
		if len(got) != test.rows || len(got) > 0 && got[0] != test.first {
			t.Errorf("%s: %d rows from %v", test.more, len(got), got[:min(len(got), 1)])
		}
	}
	if slices.Equal(page(`,"Limit":5`), page(`,"Limit":5`)) {
		t.Error("without an order the pages are the same twice")
	}
	w.sim.SetSwitches(kingdeesim.Switches{LimitMode: "cut"})
	if got := page(`,"Limit":20000`); len(got) != 2500 {
		t.Errorf("cut: %d rows", len(got))
	}
	w.sim.SetSwitches(kingdeesim.Switches{LimitMode: "ceiling2000"})
	if got := w.query(session, ask("BD_Empinfo", "FNumber", "", `,"Limit":2001`)); !strings.Contains(got, `"MsgCode":8`) {
		t.Errorf("ceiling: %s", got)
	}
}

// TestBillQuery proves SIM-K59 and K62.
func TestBillQuery(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	body := `{"data":` + ask("BD_Empinfo", "FNumber,FUseOrgId.FNumber,FUseOrgId", "FNumber='1001'", "") + `}`
	if got := w.post(forms+"BillQuery"+tail, body, session); got.body != `[{"FNumber":"1001","FUseOrgId.FNumber":"100","FUseOrgId":1}]` {
		t.Errorf("%s", got.body)
	}
	w.sim.SetSwitches(kingdeesim.Switches{TextIDs: true, TextFlags: true})
	if got := w.post(forms+"BillQuery"+tail, body, session); !strings.Contains(got.body, `"FUseOrgId":"1"`) {
		t.Errorf("ids as text: %s", got.body)
	}
	if got := w.query(session, ask("SEC_User", "FIsLocked", "FIsLocked='1'", "")); got != `[["1"]]` {
		t.Errorf("flags as text: %s", got)
	}
	if got := w.post(forms+"billquery"+tail, `{"data":{"FormId":"X"}}`, session); !strings.HasPrefix(got.body, `[{"Result":`) {
		t.Errorf("error: %s", got.body)
	}
}

// TestNoRights proves SIM-K57.
func TestNoRights(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	if err := w.sim.PatchUser("", "kdgate", kingdeesim.UserPatch{NoRights: &[]string{"SEC_User"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.query(session, ask("SEC_User", "FName", "", "")); got != `[]` {
		t.Errorf("no right: %s", got)
	}
	w.sim.SetSwitches(kingdeesim.Switches{NoRightsIsError: true})
	if got := w.query(session, ask("SEC_User", "FName", "", "")); !strings.Contains(got, `"MsgCode":2`) || !strings.Contains(got, "您没有该功能的操作权限") {
		t.Errorf("switched: %s", got)
	}
	if got := w.query(session, ask("BD_Empinfo", "FName", "FNumber='1001'", "")); got != `[["张三"]]` {
		t.Errorf("another form: %s", got)
	}
}

// TestView proves SIM-K61.
func TestView(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	view := func(data string) string {
		return w.post(forms+"View"+tail, `{"formid":"BD_Empinfo","data":`+data+`}`, session).body
	}
	byNumber := view(`{"CreateOrgId":0,"Number":"1001","Id":"","IsSortBySeq":"false"}`)
	for _, part := range []string{
		`{"Result":{"ResponseStatus":{"IsSuccess":true,"Errors":[],"SuccessEntitys":[],"SuccessMessages":[],"MsgCode":0},"Result":{"Id":`,
		`"Number":"1001","Name":[{"Key":2052,"Value":"张三"}]`, `"JoinDate":"2020-01-01T00:00:00"`, `"ForbidStatus":"A"`, `"PostDept":{"Id":`,
	} {
		if !strings.Contains(byNumber, part) {
			t.Errorf("no %s in %s", part, byNumber)
		}
	}
	id := w.sim.Staff()[0].ID
	if byID := view(fmt.Sprintf(`{"Id":%d}`, id)); byID != byNumber {
		t.Errorf("by id: %s", byID)
	}
	w.sim.SetSwitches(kingdeesim.Switches{NullStatus: true})
	if got := view(`{"Number":"1001"}`); !strings.HasPrefix(got, `{"Result":{"ResponseStatus":null,"Result":{"Id":`) {
		t.Errorf("null status: %s", got)
	}
	w.sim.SetSwitches(kingdeesim.Switches{SlashDates: true, TextIDs: true}) // midnight in UTC+8
	if got := view(`{"Number":"1001"}`); !strings.Contains(got, `"JoinDate":"/Date(1577808000000)/"`) || !strings.Contains(got, fmt.Sprintf(`"Id":"%d"`, id)) {
		t.Errorf("slash dates and text ids: %s", got)
	}
	if got := view(`{}`); !strings.Contains(got, `"MsgCode":8`) {
		t.Errorf("neither: %s", got)
	}
	if got := view(`{"Number":"9999"}`); !strings.Contains(got, `"MsgCode":10`) {
		t.Errorf("not there: %s", got)
	}
}

// TestForbidAndEnable proves SIM-K71.
func TestForbidAndEnable(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	operate := func(method, form, op, data string) string {
		return w.post(forms+method+tail, fmt.Sprintf(`{"formid":%q,"opNumber":%q,"data":%s}`, form, op, data), session).body
	}
	status := func(form, key, value string) string {
		return w.query(session, ask(form, "FForbidStatus", key+"='"+value+"'", ""))
	}
	var user kingdeesim.UserInfo
	for _, u := range w.sim.Users() {
		if u.Name == "zhangsan" {
			user = u
		}
	}
	good := `{"Result":{"ResponseStatus":{"IsSuccess":true,"Errors":[],"SuccessEntitys":[{"Id":`
	for _, step := range []struct{ method, form, op, data, key, value, want string }{
		{"ExcuteOperation", "BD_Empinfo", "Forbid", `{"Numbers":["1001"],"Ids":""}`, "FNumber", "1001", "B"},
		{"ExecuteOperation", "BD_Empinfo", "Enable", `{"Numbers":["1001"]}`, "FNumber", "1001", "A"},
		{"ExcuteOperation", "SEC_User", "Forbid", fmt.Sprintf(`{"Ids":"%d"}`, user.ID), "FName", "zhangsan", "B"},
		{"ExcuteOperation", "SEC_User", "enable", fmt.Sprintf(`{"Ids":[%d]}`, user.ID), "FName", "zhangsan", "A"},
		{"ExcuteOperation", "SEC_User", "Disable", `{"Numbers":["zs1001"]}`, "FName", "zhangsan", "B"},
	} {
		if got := operate(step.method, step.form, step.op, step.data); !strings.HasPrefix(got, good) {
			t.Errorf("%+v: %s", step, got)
		}
		if got := status(step.form, step.key, step.value); got != `[["`+step.want+`"]]` {
			t.Errorf("%+v: now %s", step, got)
		}
	}
	w.refused(w.url(w.ticket("zhangsan").path()))
	for _, bad := range []struct {
		form, op, data string
		code           int
	}{
		{"BD_Empinfo", "", `{"Numbers":["1001"]}`, 3},
		{"BD_Empinfo", "Disable", `{"Numbers":["1001"]}`, 4},
		{"BD_Currency", "Forbid", `{"Numbers":["PRE001"]}`, 4},
		{"BD_Empinfo", "Forbid", `{}`, 8},
		{"BD_Empinfo", "Enable", `{"Numbers":["1001"]}`, 12},
		{"BD_Empinfo", "Forbid", `{"Numbers":["9999"]}`, 12},
	} {
		if got := operate("ExcuteOperation", bad.form, bad.op, bad.data); !strings.Contains(got, fmt.Sprintf(`"MsgCode":%d}`, bad.code)) {
			t.Errorf("%+v: %s", bad, got)
		}
	}
	mixed := operate("ExcuteOperation", "BD_Empinfo", "Forbid", `{"Numbers":["9999","1001"]}`)
	if !strings.Contains(mixed, `"Number":"1001","DIndex":1`) || !strings.Contains(mixed, `"DIndex":0}],"SuccessEntitys"`) || !strings.Contains(mixed, `"IsSuccess":false`) {
		t.Errorf("one of two: %s", mixed)
	}
}
