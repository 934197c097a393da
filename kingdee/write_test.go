package kingdee

import (
	"errors"
	"strings"
	"testing"

	"kdgate/internal/peer"
)

func reply(body string) peer.Response { return peer.Response{Status: 200, Body: []byte(body)} }

const goodSave = `{"Result":{"ResponseStatus":{"IsSuccess":true,"Errors":[],"SuccessEntitys":[{"Id":100123,"Number":"FYBX1","DIndex":0}],"SuccessMessages":[],"MsgCode":0},"Id":100123,"Number":"FYBX1","NeedReturnData":[{}]}}`

// TestReadWrite reads every shape of a write's answer that was seen (reference
// 3.4, SIM-K62, K67): only IsSuccess true is success.
func TestReadWrite(t *testing.T) {
	status := func(inside string) string { return `{"Result":{"ResponseStatus":{` + inside + `}}}` }
	for name, test := range map[string]struct {
		body string
		want symptom
		done int
		bad  int
	}{
		"good":             {goodSave, fine, 1, 0},
		"as text":          {strings.NewReplacer("true", `"True"`, "100123", `"100123"`, `"MsgCode":0`, `"MsgCode":"0"`).Replace(goodSave), fine, 1, 0},
		"no lists":         {status(`"IsSuccess":true,"Errors":null,"SuccessEntitys":null,"MsgCode":0`), fine, 0, 0},
		"at the top":       {`{"ResponseStatus":{"IsSuccess":true,"MsgCode":0}}`, fine, 0, 0},
		"in an array":      {strings.Replace(strings.TrimSuffix(goodSave, "}"), `"Result":{`, `"Result":[{`, 1) + "]}", fine, 1, 0},
		"array of two":     {`{"Result":[{"ResponseStatus":{"IsSuccess":true}},{"ResponseStatus":{"IsSuccess":false}}]}`, unexpected, 0, 0},
		"array refused":    {`{"Result":[{"ResponseStatus":{"IsSuccess":false,"Errors":[{"Message":"x","DIndex":0}],"MsgCode":11}}]}`, validationFailed, 0, 1},
		"required":         {status(`"ErrorCode":500,"IsSuccess":false,"Errors":[{"FieldName":"FName","Message":"字段[FName]是必录字段","DIndex":0}],"MsgCode":11`), validationFailed, 0, 1},
		"no code":          {status(`"IsSuccess":false,"Errors":[{"Message":"x","DIndex":0}]`), businessError, 0, 1},
		"plain texts":      {status(`"IsSuccess":false,"Errors":["x","y"],"MsgCode":11`), validationFailed, 0, 2},
		"partial":          {status(`"IsSuccess":false,"Errors":[{"Message":"x","DIndex":1}],"SuccessEntitys":[{"Id":1,"Number":"a","DIndex":0}],"MsgCode":11`), partial, 1, 1},
		"in use":           {status(`"IsSuccess":false,"Errors":[{"Message":"请稍候再使用"}],"MsgCode":13`), recordInUse, 0, 1},
		"lost":             {status(`"IsSuccess":false,"Errors":[{"Message":"会话信息已丢失，请重新登录"}],"MsgCode":1`), sessionLost, 0, 1},
		"no right":         {status(`"IsSuccess":"false","Errors":[{"Message":"x"}],"MsgCode":"2"`), noRights, 0, 1},
		"limit":            {status(`"IsSuccess":false,"Errors":[{"Message":"x"}],"MsgCode":14`), callLimit, 0, 1},
		"unknown form":     {status(`"IsSuccess":false,"Errors":[{"Message":"标识为“X”的业务对象不存在，或者被删除"}],"MsgCode":4`), badRequest, 0, 1},
		"array":            {`[[{"Result":{"ResponseStatus":{"IsSuccess":false,"Errors":[],"MsgCode":1}}}]]`, sessionLost, 0, 0},
		"bare error":       {`[{"FieldName":null,"Message":"x","DIndex":0}]`, businessError, 0, 0},
		"null status":      {`{"Result":{"ResponseStatus":null}}`, unexpected, 0, 0},
		"no IsSuccess":     {status(`"MsgCode":0`), unexpected, 0, 0},
		"empty object":     {`{}`, unexpected, 0, 0},
		"twice":            {`{"Result":{"ResponseStatus":{"IsSuccess":false,"IsSuccess":true}}}`, unexpected, 0, 0},
		"other case":       {`{"Result":{"ResponseStatus":{"issuccess":true}}}`, unexpected, 0, 0},
		"bad DIndex":       {status(`"IsSuccess":true,"SuccessEntitys":[{"Id":1,"Number":"a","DIndex":"x"}]`), unexpected, 0, 0},
		"cut":              {goodSave[:40], unexpected, 0, 0},
		"page":             {"<html>", htmlPage, 0, 0},
		"empty":            {"", writeUnknown, 0, 0},
		"response_error":   {"response_error:x", responseError, 0, 0},
		"not logged in":    {"401 Forbidden ByRspRetStatusCode -- N001: Unexpectable request.", notAuthenticated, 0, 0},
		"request filtered": {`[{"actionname":"showConfirm","Message":"请求参数存在可疑数据,当前请求已经被拦截规则[1]阻止!"}]`, htmlPage, 0, 0},
	} {
		got, v := readWrite(reply(test.body))
		if v.symptom != test.want || len(got.done) != test.done || len(got.refused) != test.bad {
			t.Errorf("%s: %s %q, %d done, %d refused", name, decisions[v.symptom].name, v.text, len(got.done), len(got.refused))
		}
	}
	if got, v := readWrite(peer.Response{Status: 503, Body: []byte(goodSave)}); v.symptom != writeUnknown {
		t.Errorf("503: %v %v", got, v)
	}
}

// TestSpread proves that a record which Kingdee does not account for, or accounts
// for twice, is of unknown outcome, and that a number is believed before DIndex,
// which counts within a group (SIM-K68).
func TestSpread(t *testing.T) {
	batch := []row{{index: 3, number: "a"}, {index: 1, number: "b"}, {index: 0, number: "c"}, {index: 2, number: "d"}}
	got := outcome{
		done:    []saved{{"1", "a", 0}, {"2", "b", 0}, {"4", "d", 3}},
		refused: []FieldError{{Message: "编码为c的数据已存在，组织内编码唯一", Index: 2}, {Message: "x", Index: 3}},
		msgCode: "11",
	}
	results := make([]RowResult, 4)
	if !spread(results, batch, got, nil) {
		t.Fatal("the next batch is not sent")
	}
	if results[3].Err != nil || results[3].ID != "1" || results[1].Err != nil || results[1].ID != "2" {
		t.Errorf("saved: %+v", results)
	}
	if no := refusalIn(results[0].Err); no == nil || !no.Duplicate() {
		t.Errorf("refused: %v", results[0].Err)
	}
	if !isAmbiguous(results[2].Err) || isAmbiguous(results[0].Err) {
		t.Errorf("in both lists: %v", results[2].Err)
	}
	results = make([]RowResult, 4)
	spread(results, batch, outcome{done: got.done[:1]}, nil)
	for _, i := range []int{0, 1, 2} {
		if !isAmbiguous(results[i].Err) {
			t.Errorf("not named: %+v", results[i])
		}
	}
}

// FuzzReadWrite proves that no answer breaks the reader, and that success is
// never read out of one without IsSuccess true.
func FuzzReadWrite(f *testing.F) {
	for _, seed := range []string{goodSave, `{}`, `[[{"Result":null}]]`, `{"Result":[]}`, `{"Result":{"ResponseStatus":{"IsSuccess":1}}}`, "<", `"x"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, v := readWrite(peer.Response{Status: 200, Body: body})
		if v.symptom == fine && !strings.Contains(strings.ToLower(string(body)), "issuccess") && !strings.Contains(string(body), `\u`) {
			t.Fatalf("success out of %q: %+v", body, got)
		}
		for _, one := range got.done {
			if one.Index < 0 {
				t.Fatalf("DIndex %d", one.Index)
			}
		}
	})
}

// FuzzReadView proves that no answer breaks the reader of View.
func FuzzReadView(f *testing.F) {
	f.Add([]byte(`{"Result":{"ResponseStatus":{"IsSuccess":true},"Result":{"Id":1,"Name":[{"Key":2052,"Value":"张三"}],"Rows":[{"Id":2}],"Sub":{"Number":"x"}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		record, v := readView(peer.Response{Status: 200, Body: body})
		if (v.symptom == fine) != (record != nil) {
			t.Fatalf("%q: %v, %v", body, record, v)
		}
		if record == nil {
			return
		}
		for name := range record.members {
			_ = record.Text(name, 2052)
			_ = record.Sub(name).Text("Number", 2052)
			for _, entry := range record.Entries(name) {
				_ = entry.Text("Id", 2052)
			}
		}
	})
}

func isAmbiguous(err error) bool { return errors.Is(err, ErrAmbiguous) }
