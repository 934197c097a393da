package kingdeesim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"kdgate/kingdee/kingdeesim"
)

// written is the part of a write's answer that tests look at.
type written struct {
	Result struct {
		ResponseStatus struct {
			IsSuccess bool
			MsgCode   int
			Errors    []struct {
				FieldName, Message string
				DIndex             int
			}
			SuccessEntitys []struct {
				Id     int64
				Number string
				DIndex int
			}
		}
		Id     int64
		Number string
	}
}

func (r written) texts() string {
	var out []string
	for _, e := range r.Result.ResponseStatus.Errors {
		out = append(out, fmt.Sprintf("%d:%s:%s", e.DIndex, e.FieldName, e.Message))
	}
	return strings.Join(out, "\n")
}

func (w *world) write(session http.Header, method, form, data string) written {
	w.t.Helper()
	got := w.post(forms+method+tail, fmt.Sprintf(`{"formid":%q,"data":%s}`, form, data), session)
	var out written
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status != http.StatusOK {
		w.t.Fatalf("%s: %d %v in %q", method, got.status, err, got.body)
	}
	return out
}

const bill = "ER_ExpReimbursement"

// expense is a Model that nothing is wrong with.
func expense(id int64, number, more string) string {
	return fmt.Sprintf(`{"FID":%d,"FBillNo":%q,"FDate":"2026-05-04","FProposerID":{"FSTAFFNUMBER":"1001"},"FRequestDeptID":{"FNumber":"BM000001"},
		"FOrgID":{"FNumber":"100"},"FEntity":[{"FExpID":{"FNumber":"CI001"},"FExpenseAmount":12.50},{"FExpID":{"FNumber":"CI002"},"FExpenseAmount":"0.10"}]%s}`, id, number, more)
}

// TestSave proves SIM-K63 to K66: Save makes and changes, entries that were not
// sent go unless IsDeleteEntry is false, numbers are unique, and an identical
// body is refused when that was asked for.
func TestSave(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	first := w.write(session, "Save", bill, `{"Model":`+expense(0, "B1", "")+`}`)
	if !first.Result.ResponseStatus.IsSuccess || first.Result.Id == 0 || first.Result.Number != "B1" {
		t.Fatalf("%+v", first)
	}
	id := first.Result.Id
	entry := func() int64 { return w.sim.Bills(bill)[0].Entries[0]["FEntryID"].(int64) }
	for _, step := range []struct {
		flag string
		want int
	}{{"false", 2}, {"", 1}} {
		data := fmt.Sprintf(`{"IsDeleteEntry":%q,"Model":{"FID":%d,"FEntity":[{"FEntryID":%d,"FExpenseAmount":1}]}}`, step.flag, id, entry())
		if got := w.write(session, "save", bill, data); !got.Result.ResponseStatus.IsSuccess || len(w.sim.Bills(bill)[0].Entries) != step.want {
			t.Errorf("IsDeleteEntry %q: %+v, %v", step.flag, got, w.sim.Bills(bill))
		}
	}
	if got := w.sim.Bills(bill)[0]; got.Number != "B1" || got.Status != kingdeesim.Created || got.Fields["FExpAmountSum"] != "1.00" || got.Entries[0]["FExpID"] != "CI001" {
		t.Errorf("%+v", got)
	}
	if got := w.write(session, "Save", bill, `{"Model":`+expense(0, "B1", "")+`}`); got.Result.ResponseStatus.MsgCode != 11 || !strings.Contains(got.texts(), "编码为B1") || !strings.Contains(got.texts(), "组织内编码唯一") {
		t.Errorf("duplicate: %+v", got)
	}
	for range 2 { // without a number, the same body makes two records (K66)
		if got := w.write(session, "Save", bill, `{"Model":`+expense(0, "", "")+`}`); !got.Result.ResponseStatus.IsSuccess {
			t.Errorf("%+v", got)
		}
	}
	for i := range 2 { // unless ValidateRepeatJson refuses it (K65)
		got := w.write(session, "Save", bill, `{"ValidateRepeatJson":"true","Model":`+expense(0, "", `,"FCausa":"x"`)+`}`)
		if got.Result.ResponseStatus.IsSuccess != (i == 0) {
			t.Errorf("repeat %d: %+v", i, got)
		}
	}
	if n := len(w.sim.Bills("")); n != 4 {
		t.Errorf("%d bills", n)
	}
	if got := w.write(session, "Save", bill, `{"NeedUpDateFields":["FCausa"],"Model":{"FID":`+fmt.Sprint(id)+`,"FCausa":"new","FRemark":"not this"}}`); !got.Result.ResponseStatus.IsSuccess {
		t.Errorf("%+v", got)
	}
	if got := w.sim.Bills(bill)[0].Fields; got["FCausa"] != "new" || got["FRemark"] != "" {
		t.Errorf("NeedUpDateFields: %v", got)
	}
}

// TestSaveRefuses proves SIM-K64 with the fields and texts of the reference.
func TestSaveRefuses(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	closed := "2026-04"
	if err := w.sim.ClosePeriods(centreID, closed); err != nil {
		t.Fatal(err)
	}
	saved := w.write(session, "Save", bill, `{"Model":`+expense(0, "B1", "")+`}`)
	if err := w.sim.Open(centreID, bill, "B1", "李四"); err != nil {
		t.Fatal(err)
	}
	swap := func(old, fresh string) string {
		return `{"IsVerifyBaseDataField":"true","Model":` + strings.Replace(expense(0, "B9", ""), old, fresh, 1) + `}`
	}
	for name, test := range map[string]struct {
		form, data, want string
		code             int
	}{
		"required":      {bill, swap(`"FDate":"2026-05-04",`, ""), "字段[FDate]是必录字段", 11},
		"required row":  {bill, swap(`"FExpenseAmount":12.50`, `"FRemark":""`), "0:FEntity[0].FExpenseAmount:字段[FExpenseAmount]是必录字段", 11},
		"no rows":       {bill, swap(`"FEntity"`, `"FOther"`), "字段[FEntity]是必录字段", 11},
		"reference":     {bill, swap(`"FNumber":"CI001"`, `"FNumber":"XX"`), "“XX”不存在", 11},
		"forbidden":     {bill, swap(`"1001"`, `"1005"`), "已禁用", 11},
		"date":          {bill, swap("2026-05-04", "04.05.2026"), "不是有效的日期", 11},
		"amount":        {bill, swap("12.50", `"12,50"`), "不是有效的数值", 11},
		"closed period": {bill, swap("2026-05-04", "2026-04-30"), "已结账", 11},
		"in use":        {bill, fmt.Sprintf(`{"Model":{"FID":%d,"FCausa":"x"}}`, saved.Result.Id), "请稍候再使用", 13},
		"no such id":    {bill, `{"Model":{"FID":77,"FCausa":"x"}}`, "不存在", 10},
		"no model":      {bill, `{}`, "Model", 8},
		"no form":       {"", `{"Model":{}}`, "业务对象标识不能为空", 5},
		"unknown form":  {"ER_Nothing", `{"Model":{}}`, "标识为“ER_Nothing”的业务对象不存在，或者被删除", 4},
		"read only":     {"STK_Inventory", `{"Model":{}}`, "不允许保存", 12},
		"users":         {"SEC_User", `{"Model":{}}`, "不允许保存", 12},
		"voucher":       {"GL_VOUCHER", `{"Model":{"FDate":"2026-05-04","FAccountBookID":{"FNumber":"001"},"FVOUCHERGROUPID":{"FNumber":"PRE001"},"FEntity":[{"FACCOUNTID":{"FNumber":"6602"},"FDEBIT":1}]}}`, "借贷不平衡", 11},
	} {
		got := w.write(session, "Save", test.form, test.data)
		if status := got.Result.ResponseStatus; status.IsSuccess || status.MsgCode != test.code || !strings.Contains(got.texts(), test.want) {
			t.Errorf("%s: %d %s", name, status.MsgCode, got.texts())
		}
	}
	if n := len(w.sim.Bills(bill)); n != 1 {
		t.Errorf("%d bills", n)
	}
	loose := w.write(session, "Save", bill, `{"ValidateFlag":"false","Model":{"FBillNo":"LOOSE"}}`)
	drafted := w.write(session, "Draft", bill, `{"Model":{"FBillNo":"DRAFT"}}`)
	if !loose.Result.ResponseStatus.IsSuccess || !drafted.Result.ResponseStatus.IsSuccess || w.sim.Bills(bill)[2].Status != kingdeesim.Temporary {
		t.Errorf("%+v %+v %v", loose, drafted, w.sim.Bills(bill))
	}
}

// TestChangesOfEntries proves that NeedUpDateFields has to name a field of an entry
// beside the entry itself, and that a post record takes the mark of the main post
// in its sub-head only (reference 4.2).
func TestChangesOfEntries(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	one := func(form, keys, number string) string {
		got := w.query(session, fmt.Sprintf(`{"FormId":%q,"FieldKeys":%q,"FilterString":"FPerson.FNumber='%s'","OrderString":"FSTAFFID"}`, form, keys, number))
		return strings.Trim(got, "[]")
	}
	staff := strings.Trim(w.query(session, `{"FormId":"BD_Empinfo","FieldKeys":"FID","FilterString":"FNumber='1002'"}`), "[]")
	post := one("BD_NEWSTAFF", "FSTAFFID", "1002")
	for _, step := range []struct{ name, form, data, want string }{
		{"entry without its fields", "BD_Empinfo", `{"NeedUpDateFields":["FPostEntity"],"IsDeleteEntry":"false","Model":{"FID":` + staff + `,"FPostEntity":[{"FENTRYID":` + post + `,"FPost":{"FNumber":"GW0002"}}]}}`, `"GW0001",true`},
		{"fields without their entry", "BD_Empinfo", `{"NeedUpDateFields":["FPost"],"IsDeleteEntry":"false","Model":{"FID":` + staff + `,"FPostEntity":[{"FENTRYID":` + post + `,"FPost":{"FNumber":"GW0002"}}]}}`, `"GW0001",true`},
		{"both", "BD_Empinfo", `{"NeedUpDateFields":["FPostEntity","FPost"],"IsDeleteEntry":"false","Model":{"FID":` + staff + `,"FPostEntity":[{"FENTRYID":` + post + `,"FPost":{"FNumber":"GW0002"}}]}}`, `"GW0002",true`},
		{"mark at the head", "BD_NEWSTAFF", `{"NeedUpDateFields":["FIsFirstPost"],"Model":{"FSTAFFID":` + post + `,"FIsFirstPost":"false"}}`, `"GW0002",true`},
		{"mark in the sub-head", "BD_NEWSTAFF", `{"NeedUpDateFields":["FPOSTBILLEntity","FIsFirstPost"],"Model":{"FSTAFFID":` + post + `,"FPOSTBILLEntity":{"FIsFirstPost":"false"}}}`, `"GW0002",false`},
	} {
		if got := w.write(session, "Save", step.form, step.data); !got.Result.ResponseStatus.IsSuccess {
			t.Fatalf("%s: %+v", step.name, got)
		}
		if got := one("BD_NEWSTAFF", "FPosition.FNumber,FIsFirstPost", "1002"); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

// TestBatchSave proves SIM-K67 to K69.
func TestBatchSave(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	models := func(n int) string {
		var list []string
		for i := range n {
			number := fmt.Sprintf("S%02d", i)
			if i == 3 {
				number = "1001" // in use
			}
			list = append(list, fmt.Sprintf(`{"FStaffNumber":%q,"FName":"某人","FCreateOrgId":{"FNumber":"100"}}`, number))
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	got := w.write(session, "BatchSave", "BD_Empinfo", `{"BatchCount":2,"Model":`+models(6)+`}`).Result.ResponseStatus
	if got.IsSuccess || got.MsgCode != 11 || len(got.SuccessEntitys) != 5 || len(got.Errors) != 1 || got.Errors[0].DIndex != 0 {
		t.Errorf("two groups of three: %+v", got)
	}
	for i, want := range []int{0, 1, 2, 1, 2} {
		if got.SuccessEntitys[i].DIndex != want {
			t.Errorf("DIndex within the group: %+v", got.SuccessEntitys)
		}
	}
	w.sim.SetSwitches(kingdeesim.Switches{BatchLimitIsError: true})
	if got := w.write(session, "BatchSave", "BD_Empinfo", `{"Model":`+models(21)+`}`).Result.ResponseStatus; got.MsgCode != 14 {
		t.Errorf("21 records: %+v", got)
	}
	if n := len(w.sim.Staff()); n != 6+5 {
		t.Errorf("%d staff", n)
	}
	through := w.write(session, "BatchSave", "BD_Empinfo", `{"IsAutoSubmitAndAudit":"true","Model":[{"FStaffNumber":"T1","FName":"某人"}]}`)
	if all := w.sim.Staff(); !through.Result.ResponseStatus.IsSuccess || all[len(all)-1].DocumentStatus != kingdeesim.Audited {
		t.Errorf("IsAutoSubmitAndAudit: %+v", through)
	}
}

// TestStates proves SIM-K70: every step from every state, the right ones only.
func TestStates(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	steps := map[string]map[string]string{
		"Submit":       {"A": "B", "D": "B"},
		"Audit":        {"B": "C"},
		"UnAudit":      {"C": "D"},
		"CancelAssign": {"B": "A"},
		"Delete":       {"A": "", "Z": "", "D": ""},
	}
	n := 0
	for _, from := range []string{"Z", "A", "B", "C", "D"} {
		for step, ways := range steps {
			n++
			number := fmt.Sprintf("ST%d", n)
			id, err := w.sim.Put(centreID, kingdeesim.Document{Form: bill, Status: from, Model: map[string]any{"FBillNo": number}})
			if err != nil {
				t.Fatal(err)
			}
			got := w.write(session, step, bill, fmt.Sprintf(`{"Ids":"%d"}`, id)).Result.ResponseStatus
			to, allowed := ways[from]
			after := from
			if allowed {
				after = to
			}
			state := ""
			for _, b := range w.sim.Bills(bill) {
				if b.ID == id {
					state = b.Status
				}
			}
			if got.IsSuccess != allowed || state != after || (!allowed && got.MsgCode != 12) {
				t.Errorf("%s from %s: %+v, now %q", step, from, got, state)
			}
		}
	}
	if got := w.post(forms+"ExcuteOperation"+tail, `{"formid":"`+bill+`","opNumber":"Submit","data":{"Numbers":["ST404"]}}`, session); !strings.Contains(got.body, `"MsgCode":10`) {
		t.Errorf("no such bill: %s", got.body)
	}
}

// TestRigidBaseData proves both ways of changing what is audited.
func TestRigidBaseData(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	id := w.sim.Staff()[0].ID
	change := fmt.Sprintf(`{"Model":{"FID":%d,"FMobile":"1"}}`, id)
	if got := w.write(session, "Save", "BD_Empinfo", change); !got.Result.ResponseStatus.IsSuccess {
		t.Errorf("%+v", got)
	}
	w.sim.SetSwitches(kingdeesim.Switches{RigidBaseData: true})
	if got := w.write(session, "Save", "BD_Empinfo", change); got.Result.ResponseStatus.MsgCode != 12 {
		t.Errorf("%+v", got)
	}
	w.write(session, "UnAudit", "BD_Empinfo", fmt.Sprintf(`{"Ids":"%d"}`, id))
	if got := w.write(session, "Save", "BD_Empinfo", change); !got.Result.ResponseStatus.IsSuccess || w.sim.Staff()[0].DocumentStatus != kingdeesim.Reaudit {
		t.Errorf("%+v", got)
	}
}

// TestRaceForANumber proves that a number is given once, however many ask (R33).
func TestRaceForANumber(t *testing.T) {
	w := startOffice(t)
	session := make([]http.Header, 20)
	for i := range session {
		session[i] = w.session()
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	saved := 0
	for _, one := range session {
		wg.Go(func() {
			got := w.write(one, "Save", bill, `{"Model":`+expense(0, "RACE", "")+`}`)
			mu.Lock()
			defer mu.Unlock()
			if got.Result.ResponseStatus.IsSuccess {
				saved++
			}
		})
	}
	wg.Wait()
	if n := len(w.sim.Bills(bill)); n != 1 || saved != 1 {
		t.Errorf("%d bills, %d saved", n, saved)
	}
}

// TestRightsPerForm proves that a user without rights neither sees nor changes.
func TestRightsPerForm(t *testing.T) {
	cfg := office()
	cfg.DataCentres[0].Tables.Users[0].ReadOnly = []string{"bd_empinfo"}
	cfg.DataCentres[0].Tables.Users[0].NoRights = []string{bill}
	w := start(t, cfg)
	session := w.session()
	for _, test := range []struct{ method, form, data string }{
		{"Save", bill, `{"Model":` + expense(0, "", "") + `}`},
		{"Submit", bill, `{"Ids":"1"}`},
		{"View", bill, `{"Id":"1"}`},
		{"BatchSave", "BD_Empinfo", `{"Model":[{"FName":"x"}]}`},
		{"Audit", "BD_Empinfo", `{"Numbers":["1001"]}`},
	} {
		if got := w.write(session, test.method, test.form, test.data); got.Result.ResponseStatus.MsgCode != 2 {
			t.Errorf("%+v: %+v", test, got)
		}
	}
	if got := w.query(session, ask("BD_Empinfo", "FNumber", "FNumber='1001'", "")); got != `[["1001"]]` {
		t.Errorf("may see: %s", got)
	}
}

// FuzzSave proves that no Model breaks the server, and that what it refuses
// leaves nothing behind.
func FuzzSave(f *testing.F) {
	for _, seed := range []string{expense(0, "B1", ""), `{"FEntity":[{"FExpID":7}]}`, `{"FEntity":{}}`, `{"FID":"x"}`, `{FBillNo:'x'}`, `{"FDate":[1]}`, `[]`} {
		f.Add("Save", bill, seed)
	}
	f.Add("BatchSave", "BD_Empinfo", `[{"FPostEntity":[{"FENTRYID":9}]},{"FUserId":{"FUSERACCOUNT":"zs1001"},"FName":"a"}]`)
	f.Add("Save", "BD_Department", `{"FDEPTID":100001,"FParentID":100001}`)
	sim, err := kingdeesim.New(office())
	if err != nil {
		f.Fatal(err)
	}
	login := loginHere(sim)
	f.Fuzz(func(t *testing.T, method, form, model string) {
		before := len(sim.Bills("")) + len(sim.Staff()) + len(sim.Departments()) + len(sim.Positions())
		got := serveOnce(sim, forms+method+tail, fmt.Sprintf(`{"formid":%q,"data":{"Model":%s}}`, form, model), login)
		after := len(sim.Bills("")) + len(sim.Staff()) + len(sim.Departments()) + len(sim.Positions())
		if after > before && !strings.Contains(got, `"Number":`) {
			t.Fatalf("a refused record was kept: %s", got)
		}
	})
}

// TestAsynchronousBatch proves SIM-K73: a batch that is begun answers with a task,
// pending, then running, then complete with what BatchSave answers; it is worked
// whether anybody asks or not, and nobody of another data centre hears of it.
func TestAsynchronousBatch(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	type task struct {
		TaskId string //nolint:revive // the vendor's spelling
		Status int
		Result *written
	}
	ask := func(method, body string) (reply task) {
		t.Helper()
		got := w.post(forms+method+tail, body, session)
		if err := json.Unmarshal([]byte(got.body), &reply); err != nil || got.status != http.StatusOK {
			t.Fatalf("%s: %d %v in %q", method, got.status, err, got.body)
		}
		return reply
	}
	begin := func(models string) task {
		return ask("BatchSave", fmt.Sprintf(`{"formid":%q,"data":{"Model":[%s]},"beginmethod":"BeginQueryImpl","querymethod":"QueryAsyncResult"}`, bill, models))
	}
	poll := func(id, cancelled string) task {
		return ask("QueryAsyncResult", fmt.Sprintf(`{"queryInfo":"{\"TaskId\":\"%s\",\"Cancelled\":%s}"}`, id, cancelled))
	}
	begun := begin(expense(0, "B1", "") + "," + expense(0, "B1", ""))
	if begun.TaskId == "" || begun.Status != 0 || begun.Result != nil || len(w.sim.Bills(bill)) != 1 {
		t.Fatalf("begun: %+v, %d bills", begun, len(w.sim.Bills(bill)))
	}
	if running := poll(begun.TaskId, "false"); running.Status != 1 || running.Result != nil {
		t.Errorf("running: %+v", running)
	}
	for range 2 { // and stays so
		done := poll(begun.TaskId, "false")
		if done.Status != 2 || done.Result == nil {
			t.Fatalf("complete: %+v", done)
		}
		if status := done.Result.Result.ResponseStatus; status.IsSuccess || len(status.SuccessEntitys) != 1 || len(status.Errors) != 1 {
			t.Errorf("one good and one bad row: %+v", done.Result)
		}
	}
	if gone := poll(begun.TaskId, "true"); gone.Status != 2 || gone.Result != nil {
		t.Errorf("cancelled: %+v", gone)
	}
	for _, id := range []string{begun.TaskId, "nobody's"} {
		if body := w.post(forms+"QueryAsyncResult"+tail, `{"queryInfo":"{\"TaskId\":\"`+id+`\",\"Cancelled\":false}"}`, session).body; !strings.Contains(body, "任务不存在") {
			t.Errorf("%s is known: %s", id, body)
		}
	}
}
