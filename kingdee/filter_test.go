package kingdee

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
)

// TestFilterForms proves that equality goes in the array form and the rest in a
// text form of literals that are ours (T27).
func TestFilterForms(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		filter Filter
		want   string
	}{
		{Filter{}, `[]`},
		{Equals("FNumber", "1001"), `[{"Left":"","FieldName":"FNumber","Compare":"67","Value":"1001","Right":"","Logic":"0"}]`},
		{
			Where(OneOf("FNumber", "1", "2"), Equals("FForbidStatus", "A")),
			`[{"Left":"(","FieldName":"FNumber","Compare":"67","Value":"1","Right":"","Logic":"1"},` +
				`{"Left":"","FieldName":"FNumber","Compare":"67","Value":"2","Right":")","Logic":"0"},` +
				`{"Left":"","FieldName":"FForbidStatus","Compare":"67","Value":"A","Right":"","Logic":"0"}]`,
		},
		{Is("FForbidStatus", "A"), `"FForbidStatus='A'"`},
		{Where(Is("FDocumentStatus", "A", "D"), Equals("FNumber", "1")), `"FDocumentStatus in ('A','D') and FNumber='1'"`},
		{Is("FName", "李四"), `[{"Left":"","FieldName":"FName","Compare":"67","Value":"李四","Right":"","Logic":"0"}]`},
		{Since("FModifyDate", at), `"FModifyDate\u003e='2026-01-01 08:00:00'"`},
		{Where(OneOf("FNumber", "1", "2"), Below("FQty", "10.50"), Before("FDate", at)), `"FNumber in ('1','2') and FQty\u003c10.50 and FDate\u003c'2026-01-01 08:00:00'"`},
		{Where(Contains("FCausa", "DD-ABC"), Equals("FName", "李四（华东）2")), `"FCausa like '%DD-ABC%' and FName='李四（华东）2'"`},
		{Where(Above("FSafeStock", "0"), NotBelow("FQty", "-1")), `"FSafeStock\u003e0 and FQty\u003e=-1"`},
	} {
		if got, err := test.filter.wire(); err != nil || string(got) != test.want {
			t.Errorf("%v\n got %s\nwant %s", err, got, test.want)
		}
	}
}

// TestFilterRefuses proves T27: what could widen a query is not asked at all.
func TestFilterRefuses(t *testing.T) {
	for name, filter := range map[string]Filter{
		"quote":          Equals("FNumber", "x' or '1'='1"),
		"comment":        Equals("FNumber", "x--"),
		"of any type":    Is("FForbidStatus", "A' or 1=1 or '"),
		"any type, dash": Is("FForbidStatus", "A--"),
		"any type, none": Is("FForbidStatus"),
		"block comment":  Equals("FNumber", "x/*"),
		"semicolon":      Equals("FNumber", "x;y"),
		"backslash":      Equals("FNumber", `x\`),
		"wildcard":       Equals("FNumber", "%"),
		"control":        Equals("FNumber", "a\nb"),
		"bidi":           Equals("FNumber", "a\u202eb"),
		"empty":          Equals("FNumber", ""),
		"key":            Equals("FNumber='1' or 1", "1"),
		"no key":         Equals("", "1"),
		"number":         Below("FQty", "1 or 1=1"),
		"number key":     Above("FQty or 1", "1"),
		"part":           Contains("FCausa", "a%b"),
		"part key":       Contains("FCausa like", "a"),
		"date key":       Since("F>1 or F", time.Now()),
		"nothing":        OneOf("FNumber"),
		"many":           OneOf("FNumber", make([]string, 201)...),
		"one among some": Where(Equals("FNumber", "1"), OneOf("FName", "a", "b'c")),
	} {
		if out, err := filter.wire(); identity.KindOf(err) != identity.Invalid {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
}

// FuzzFilter proves T27 for any text: a value is refused, or stands whole
// between two quotes (text form) or in one Value (array form).
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"1001", "x' or '1'='1", "李四（华东）2", "a\\'", "''", "%", "a;b", "\u2019", "＇"} {
		f.Add("FNumber", seed)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		array, err := Equals(key, value).wire()
		if err != nil {
			return
		}
		var list []condition
		if err := json.Unmarshal(array, &list); err != nil || len(list) != 1 || list[0].Value != value || list[0].FieldName != key {
			t.Fatalf("array form: %s", array)
		}
		raw, err := Where(Equals(key, value), Above("FQty", "0")).wire()
		if err != nil {
			t.Fatal(err)
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil || text != key+"='"+value+"' and FQty>0" || strings.Count(text, "'") != 2 {
			t.Fatalf("text form: %s", raw)
		}
	})
}
