package kingdee

import (
	"strings"
	"testing"

	"kdgate/internal/peer"
)

// TestSignOutReplies: any 2xx without an error text is done (reference 1.8).
func TestSignOutReplies(t *testing.T) {
	for body, want := range map[string]symptom{
		"": fine, "true": fine, "false": fine, "null": fine, `""`: fine, "ok": fine, `{"Result":true}`: fine,
		`{"ResponseStatus":{"IsSuccess":true}}`: fine, "[]": fine,
		`{"ResponseStatus":{"IsSuccess":false,"MsgCode":4}}`: exception,
		"response_error:x": responseError,
		"403 Forbidden ByRspRetStatusCode -- N001: x":          notAuthenticated,
		`"Fail to VerifyThirtyPassport:The passport is not …"`: passportRefused,
		"<html>": htmlPage,
	} {
		if _, v := readSignOut(peer.Response{Status: 200, Body: []byte(body)}); v.symptom != want {
			t.Errorf("%q: %d, want %d", body, v.symptom, want)
		}
	}
	for status, want := range map[int]symptom{500: writeUnknown, 503: writeUnknown, 302: redirected, 404: statusRefused, 429: callLimit} {
		if _, v := readSignOut(peer.Response{Status: status}); v.symptom != want {
			t.Errorf("%d: %d, want %d", status, v.symptom, want)
		}
	}
}

// TestScalars keeps ids whole: a number never passes through a float.
func TestScalars(t *testing.T) {
	rows, v := readRows(peer.Response{Status: 200, Body: []byte(`[[9007199254740993,"0012",null,true,1.50," ","  "]]`)}, 7)
	if v.symptom != fine {
		t.Fatal(v)
	}
	want := []scalar{"9007199254740993", "0012", "", "true", "1.50", "", "  "}
	for i, cell := range rows[0] {
		same(t, "cell", string(cell), string(want[i]))
	}
}

// FuzzReadRows: no answer panics, data is always as wide as asked, and nothing
// that holds an error object is data (T4, R22).
func FuzzReadRows(f *testing.F) {
	for _, seed := range []string{
		"[]", `[["1","2"]]`, `[[{"Result":{"ResponseStatus":{"IsSuccess":false,"MsgCode":1}}}]]`, `[{"FieldName":null,"Message":"x","DIndex":0}]`,
		`{"Result":{"ResponseStatus":null}}`, `{"Result":[[[]]]}`, "response_error:x", "<html>", `"ByRspRetStatusCode"`, `[[1,2],[3]]`, `[["1",{"a":1}]]`, "\ufeff[]", "{", `{"a":1,"A":2}`,
	} {
		f.Add(200, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		rows, v := readRows(peer.Response{Status: status, Body: body}, 2)
		if (v.symptom != fine) && rows != nil {
			t.Fatal("data beside a fault")
		}
		if v.symptom == fine && (status < 200 || status > 299) {
			t.Fatal("data from a bad status")
		}
		for _, row := range rows {
			if len(row) != 2 {
				t.Fatal("row of another width")
			}
		}
		_ = newFault(v.symptom, "fuzz", v.text).Error()
	})
}

// FuzzReadLogin: only LoginResultType 1 with a clean session id logs in.
func FuzzReadLogin(f *testing.F) {
	for _, seed := range []string{
		`{"LoginResultType":1,"KDSVCSessionId":"5f8e2d10-77aa-4c1b-9e3d-0123456789ab"}`, `{"LoginResultType":"1","KDSVCSessionId":"a\r\nb"}`,
		`{"LoginResultType":0,"Message":"次数超限"}`, `{"LoginResultType":-5}`, `{}`, `[]`, "true",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		id, v := readLogin(peer.Response{Status: 200, Body: body}, false)
		if (id != "") != (v.symptom == fine) || (id != "" && (!cleanToken(id) || !strings.Contains(string(body), "LoginResultType"))) {
			t.Fatalf("id %q with symptom %d", id, v.symptom)
		}
	})
}
