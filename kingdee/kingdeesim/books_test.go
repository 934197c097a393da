package kingdeesim_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kdgate/kingdee/kingdeesim"
)

// loginHere opens a session of the integration user without a listener.
func loginHere(sim *kingdeesim.Server) string {
	at := fmt.Sprint(time.Now().Unix())
	body := fmt.Sprintf(`{"parameters":[%q,"kdgate",%q,%q,%q,2052]}`, centreID, appID, at, digest("sha256", centreID, "kdgate", appID, secret, at))
	serveOnce(sim, auth+"LoginBySign"+tail, body, "")
	return sim.Sessions()[0].ID
}

func serveOnce(sim http.Handler, path, body, session string) string {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.URL.Path = path
	r.Header.Set("kdservice-sessionid", session)
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	return w.Body.String()
}

// TestBooksDoor walks the control door's routes for records.
func TestBooksDoor(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	var made struct{ FID int64 }
	if code := w.control(http.MethodPost, "/sim/bills", map[string]any{"form": bill, "model": map[string]any{"FBillNo": "C1", "FCausa": "x"}}, &made); code != 200 || made.FID == 0 {
		t.Fatal(code, made)
	}
	var bills []kingdeesim.BillInfo
	w.control(http.MethodGet, "/sim/bills?form="+bill, nil, &bills)
	if len(bills) != 1 || bills[0].Number != "C1" || bills[0].ID != made.FID || bills[0].Fields["FCausa"] != "x" {
		t.Errorf("%+v", bills)
	}
	var departments []kingdeesim.DepartmentInfo
	var positions []kingdeesim.PositionInfo
	var base []kingdeesim.BillInfo
	w.control(http.MethodGet, "/sim/departments", nil, &departments)
	w.control(http.MethodGet, "/sim/positions", nil, &positions)
	w.control(http.MethodGet, "/sim/basedata", nil, &base)
	if len(departments) != 1 || departments[0].Number != "BM000001" || len(positions) != 2 || len(base) < 10 {
		t.Errorf("%v %v %d", departments, positions, len(base))
	}
	if code := w.control(http.MethodPost, "/sim/open", map[string]string{"form": bill, "number": "C1", "user": "zs"}, nil); code != 200 {
		t.Error(code)
	}
	if got := w.write(session, "Submit", bill, `{"Numbers":["C1"]}`); got.Result.ResponseStatus.MsgCode != 13 {
		t.Errorf("%+v", got)
	}
	w.control(http.MethodPost, "/sim/open", map[string]string{"form": bill, "number": "C1"}, nil)
	if got := w.write(session, "Submit", bill, `{"Numbers":["C1"]}`); !got.Result.ResponseStatus.IsSuccess {
		t.Errorf("%+v", got)
	}
	for _, bad := range []struct {
		method, path, body string
		code               int
	}{
		{"POST", "/sim/bills", `{"form":"Nothing","model":{}}`, 400},
		{"POST", "/sim/open", `{"form":"Nothing","number":"1","user":"x"}`, 404},
		{"PATCH", "/sim/datacentres/" + centreID, `{"closedThrough":"May"}`, 400},
		{"PATCH", "/sim/datacentres/" + centreID, `{"closedThrough":"2026-05"}`, 200},
		{"POST", "/sim/release", `{"id":"x"}`, 400},
		{"POST", "/sim/faults", `{"match":"x","kind":"hold","at":"never"}`, 400},
	} {
		if got := w.do(bad.method, w.url(bad.path), bad.body, nil); got.status != bad.code {
			t.Errorf("%+v: %d %s", bad, got.status, got.body)
		}
	}
}

// TestFaultSpellings proves that the DingTalk simulator's names are taken too.
func TestFaultSpellings(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	var armed []kingdeesim.Fault
	w.control(http.MethodPost, "/sim/faults", map[string]any{"match": ".Save.", "kind": "errcode", "errcode": 6}, nil)
	w.control(http.MethodPost, "/sim/faults", map[string]any{"match": ".View.", "kind": "slow", "delay_ms": 1}, &armed)
	if len(armed) != 2 || armed[0].Code != 6 || armed[1].Delay != "1ms" {
		t.Errorf("%+v", armed)
	}
	if got := w.write(session, "Save", bill, `{"Model":{}}`); got.Result.ResponseStatus.MsgCode != 6 {
		t.Errorf("%+v", got)
	}
}

// TestHold proves the four points of R30 on the wire: what was done, and what
// the caller has when the call is kept there.
func TestHold(t *testing.T) {
	for _, test := range []struct {
		at   string
		done int
	}{{kingdeesim.HoldHeaders, 0}, {kingdeesim.HoldExecuted, 1}, {kingdeesim.HoldReply, 1}, {kingdeesim.HoldAfter, 1}} {
		t.Run(test.at, func(t *testing.T) {
			w := startOffice(t)
			session := w.session()
			if code := w.control(http.MethodPost, "/sim/faults", map[string]string{"match": ".Save.", "kind": "hold", "at": test.at}, nil); code != 200 {
				t.Fatal(code)
			}
			answers := make(chan string, 1)
			go func() {
				got := w.post(forms+"Save"+tail, `{"formid":"`+bill+`","data":{"Model":`+expense(0, "H1", "")+`}}`, session)
				answers <- got.body
			}()
			held, err := w.sim.AwaitHeld(t.Context())
			if err != nil || held.At != test.at || !strings.Contains(held.Route, ".Save.") {
				t.Fatal(held, err)
			}
			if n := len(w.sim.Bills(bill)); n != test.done {
				t.Errorf("%d bills while held", n)
			}
			var released struct{ Released int }
			w.control(http.MethodPost, "/sim/release", map[string]int{"id": held.ID}, &released)
			if got := <-answers; !strings.Contains(got, `"IsSuccess":true`) || released.Released != 1 {
				t.Errorf("%v %s", released, got)
			}
			if n := len(w.sim.Bills(bill)); n != 1 {
				t.Errorf("%d bills", n)
			}
		})
	}
}

// TestAttachments proves SIM-K74.
func TestAttachments(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	id := w.write(session, "Save", bill, `{"Model":`+expense(0, "A1", "")+`}`).Result.Id
	up := func(file string, part []byte, last bool) string {
		return w.post(forms+"AttachmentUpLoad"+tail, fmt.Sprintf(`{"data":{"FileName":"a.pdf","FormId":%q,"InterId":"%d","FileId":%q,"IsLast":%t,"SendByte":%q}}`,
			bill, id, file, last, base64.StdEncoding.EncodeToString(part)), session).body
	}
	part := make([]byte, 4<<20)
	first := up("", part, false)
	_, rest, _ := strings.Cut(first, `"FileId":"`)
	file, _, _ := strings.Cut(rest, `"`)
	if got := up(file, part[:5], true); !strings.Contains(got, `"IsSuccess":true`) || !strings.Contains(got, file) {
		t.Error(got)
	}
	if got := up(file, part[:5], true); !strings.Contains(got, `"MsgCode":10`) {
		t.Errorf("a finished file: %.300s", got)
	}
	if got := up("", append(part, 0), true); !strings.Contains(got, `"MsgCode":8`) {
		t.Errorf("too long a part: %.300s", got)
	}
	down := func(from int) string {
		return w.post(forms+"AttachmentDownLoad"+tail, fmt.Sprintf(`{"data":{"FileId":%q,"StartIndex":%d}}`, file, from), session).body
	}
	if a, b := down(0), down(4<<20); !strings.Contains(a, `"IsLast":false`) || !strings.Contains(b, `"IsLast":true,"FileSize":4194309`) || !strings.Contains(b, `"FilePart":"AAAAAAA="`) {
		t.Errorf("%.200s / %.200s", a, b)
	}
	for name, more := range map[string]string{
		"no file name": `"FormId":"` + bill + `"`, "another's number": `"FileName":"a","BillNO":"A2"`, "a row without its entry": `"FileName":"a","EntryinterId":"7"`,
	} {
		if got := w.post(forms+"AttachmentUpLoad"+tail, fmt.Sprintf(`{"data":{"FormId":%q,"InterId":"%d","IsLast":true,%s}}`, bill, id, more), session).body; !strings.Contains(got, `"MsgCode":8`) {
			t.Errorf("%s: %.300s", name, got)
		}
	}
	up("", part[:1], false) // begun and never ended
	list := func() string {
		return w.query(session, ask("BOS_Attachment", "FAttachmentName,FaliasFileName,FBillNo", fmt.Sprintf("FBillType='%s' and FInterID='%d'", bill, id), `,"OrderString":"FID"`))
	}
	if got := list(); got != `[["a.pdf",null,"A1"]]` {
		t.Errorf("what stands at the record: %s", got)
	}
	w.sim.SetSwitches(kingdeesim.Switches{AttachmentsHidden: true})
	if got := list(); !strings.Contains(got, `"MsgCode":6`) {
		t.Errorf("hidden: %s", got)
	}
}

// TestVouchers proves what a voucher is refused for, and that its number runs
// within its book, period and group.
func TestVouchers(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	if err := w.sim.ClosePeriods(centreID, "2026-03"); err != nil {
		t.Fatal(err)
	}
	good := `{"FNumber":"77","FDate":"2026-05-04","FYear":2026,"FPeriod":5,"FAccountBookID":{"FNumber":"001"},"FVOUCHERGROUPID":{"FNumber":"PRE001"},"FEntity":[` +
		`{"FEXPLANATION":"报销 (x-1)","FACCOUNTID":{"FNumber":"6602"},"FDC":1,"FDEBIT":0.30,"FDetailID":{"FDETAILID__FFLEX7":{"FNumber":"1001"}}},` +
		`{"FACCOUNTID":{"FNumber":"2241"},"FDC":"2","FCREDIT":0.30}]}`
	for name, swap := range map[string][3]string{
		"unbalanced":          {`"FCREDIT":0.30`, `"FCREDIT":0.29`, "借贷不平衡"},
		"closed":              {"2026-05-04\",\"FYear\":2026,\"FPeriod\":5", "2026-03-31\",\"FYear\":2026,\"FPeriod\":3", "已结账"},
		"year":                {`"FYear":2026`, `"FYear":2025`, "不一致"},
		"period":              {`"FPeriod":5`, `"FPeriod":6`, "不一致"},
		"both sides":          {`"FDEBIT":0.30`, `"FDEBIT":0.30,"FCREDIT":0.30`, "只能录入一个"},
		"no side":             {`"FCREDIT":0.30`, `"FCREDIT":0`, "只能录入一个"},
		"wrong side":          {`"FDC":1`, `"FDC":2`, "不一致"},
		"a third of a cent":   {`"FDEBIT":0.30`, `"FDEBIT":0.303`, "精度"},
		"no book":             {`"FAccountBookID":{"FNumber":"001"},`, ``, "FAccountBookID"},
		"no group":            {`"FVOUCHERGROUPID":{"FNumber":"PRE001"},`, ``, "FVOUCHERGROUPID"},
		"dimension cut off":   {`"FDETAILID__FFLEX7"`, `"FFLEX7"`, "核算维度"},
		"dimension no object": {`{"FDETAILID__FFLEX7":{"FNumber":"1001"}}`, `"1001"`, "核算维度"},
	} {
		model := strings.Replace(good, strings.ReplaceAll(swap[0], `\"`, `"`), strings.ReplaceAll(swap[1], `\"`, `"`), 1)
		got := w.write(session, "Save", "GL_VOUCHER", `{"Model":`+model+`}`)
		if status := got.Result.ResponseStatus; model == good || status.IsSuccess || status.MsgCode != 11 || !strings.Contains(got.texts(), swap[2]) {
			t.Errorf("%s: %d %s", name, status.MsgCode, got.texts())
		}
	}
	june := strings.NewReplacer("2026-05-04", "2026-06-01", `"FPeriod":5`, `"FPeriod":6`).Replace(good)
	for i, step := range [][2]string{{good, "1"}, {good, "2"}, {june, "1"}, {good, "3"}} {
		if got := w.write(session, "Save", "GL_VOUCHER", `{"Model":`+step[0]+`}`); got.Result.Number != step[1] {
			t.Errorf("voucher %d: %+v", i, got.Result)
		}
	}
	rows := w.query(session, ask("GL_VOUCHER", "FNumber,FEXPLANATION", "FEXPLANATION like '%x-1%'", `,"OrderString":"FVoucherID"`))
	if rows != `[["1","报销 (x-1)"],["2","报销 (x-1)"],["1","报销 (x-1)"],["3","报销 (x-1)"]]` {
		t.Errorf("by a part of the summary: %s", rows)
	}
	if got := w.query(session, ask("GL_VOUCHER", "FBillNo", "", "")); !strings.Contains(got, `"MsgCode":9`) {
		t.Errorf("a voucher has no FBillNo: %s", got)
	}
	w.sim.SetSwitches(kingdeesim.Switches{VoucherNumbersSent: true})
	if got := w.write(session, "Save", "GL_VOUCHER", `{"Model":`+good+`}`); got.Result.Number != "77" {
		t.Errorf("a number that is taken: %+v", got.Result)
	}
}

// TestConcurrencyLimit proves MsgCode 14 for too many operations at once.
func TestConcurrencyLimit(t *testing.T) {
	w := startOffice(t)
	w.sim.SetSwitches(kingdeesim.Switches{MaxConcurrent: 1})
	if got := w.query(w.session(), ask("BD_Empinfo", "FNumber", "FNumber='1001'", "")); got != `[["1001"]]` {
		t.Errorf("one at a time: %s", got)
	}
}
