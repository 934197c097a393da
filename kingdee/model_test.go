package kingdee

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

// TestModel proves that fields keep their order, amounts their digits, and that
// dates are written in UTC+8 (F61, reference 3.2).
func TestModel(t *testing.T) {
	at := time.Date(2026, 3, 31, 17, 30, 5, 0, time.UTC) // the next day in UTC+8
	m := Model{
		{"FZ", "last letter first"},
		{"FDate", Day(at)},
		{"FTime", Moment(at)},
		{"FNone", Day{}},
		{"FAmount", Decimal("-1234567890123456789.10")},
		{"FFlag", true},
		{"FID", 0},
		{"FBig", int64(1) << 60},
		{"FOrg", Number("100")},
		{"FStaff", StaffNumber("1001")},
		{"FUser", UserAccount("zs")},
		{"FEntity", []Model{{{"FExpID", Number("CI001")}}, {}}},
		{"FDetailID", Model{{"FDETAILID__FFLEX7", Number("1001")}}},
		{"FNull", nil},
	}
	got, err := json.Marshal(m)
	want := `{"FZ":"last letter first","FDate":"2026-04-01","FTime":"2026-04-01 01:30:05","FNone":null,"FAmount":-1234567890123456789.10,` +
		`"FFlag":true,"FID":0,"FBig":1152921504606846976,"FOrg":{"FNumber":"100"},"FStaff":{"FSTAFFNUMBER":"1001"},"FUser":{"FUSERACCOUNT":"zs"},` +
		`"FEntity":[{"FExpID":{"FNumber":"CI001"}},{}],"FDetailID":{"FDETAILID__FFLEX7":{"FNumber":"1001"}},"FNull":null}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	if m = m.Set("fz", "new").Set("FMore", "x"); m[0].Value != "new" || m[len(m)-1].Key != "FMore" {
		t.Errorf("Set: %v", m)
	}
}

// TestModelRefuses proves that no float, no forged key and no control character
// is ever sent.
func TestModelRefuses(t *testing.T) {
	for _, m := range []Model{
		{{"FAmount", 1.5}},
		{{"FAmount", float32(1)}},
		{{"FAmount", Decimal("1e9")}},
		{{"FAmount", Decimal("01")}},
		{{"FAmount", Decimal("1.")}},
		{{"FAmount", Decimal("")}},
		{{"FAmount", Decimal("1,0")}},
		{{"FDate", time.Now()}},
		{{`F":1,"G`, "x"}},
		{{"", "x"}},
		{{"FOrg.FNumber", "x"}},
		{{"FText", "a\x00b"}},
		{{"FText", "\xff"}},
		{{"FEntity", []Model{{{"FAmount", 0.1}}}}},
		{{"FOrg", Ref{"F N", "1"}}},
		{{"FMap", map[string]any{"a": 1}}},
	} {
		if out, err := json.Marshal(m); err == nil || !errors.Is(err, ErrValue) {
			t.Errorf("%v: %s, %v", m, out, err)
		}
	}
}

// TestParseTime reads every way Kingdee writes a date.
func TestParseTime(t *testing.T) {
	want := time.Date(2026, 1, 31, 8, 5, 0, 0, Beijing())
	for _, text := range []string{"2026-01-31T08:05:00", "2026-01-31 08:05:00", "2026-01-31T08:05:00.000", "/Date(1769817900000)/", "/Date(1769817900000+0800)/"} {
		if got, err := ParseTime(text); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	if got, err := ParseTime("2026-01-31"); err != nil || !got.Equal(time.Date(2026, 1, 31, 0, 0, 0, 0, Beijing())) {
		t.Errorf("a day: %v %v", got, err)
	}
	for _, text := range []string{"", "31.01.2026", "/Date(x)/", "/Date()/", "2026-13-01", "/Date(1 2)/"} {
		if got, err := ParseTime(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// FuzzModelText proves that a text is sent as encoding/json writes it, wherever it
// is sent at all.
func FuzzModelText(f *testing.F) {
	for _, s := range []string{"", "张三", `"quoted\"`, "a\nb\r\n\tc", "<a href='x'>&", "\u2028\u2029\u0085\x7f", "\xff", "a\x00", "😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Model{{"FText", s}, {"FRef", Number(s)}}.MarshalJSON()
		if err != nil {
			return
		}
		text, err := json.Marshal(s)
		if want := `{"FText":` + string(text) + `,"FRef":{"FNumber":` + string(text) + `}}`; err != nil || string(got) != want {
			t.Fatalf("%q: %s, want %s", s, got, want)
		}
	})
}
