package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// table is what the tests filter: number, name, flag, id, and a null.
var table = []map[string]any{
	{"FNumber": "1001", "FName": "张三", "FFirst": true, "FId": int64(7), "FNote": nil},
	{"FNumber": "1002", "FName": "O'Neil", "FFirst": false, "FId": int64(10), "FNote": "x"},
	{"FNumber": "20", "FName": "100%", "FFirst": false, "FId": int64(20), "FNote": ""},
}

var errField = errors.New("no such field")

func matches(f *Filter) (string, error) {
	err := f.Bind(func(name string) (Column, error) {
		for key := range table[0] {
			if strings.EqualFold(key, name) {
				return func(row int) any { return table[row][key] }, nil
			}
		}
		return nil, errField
	})
	if err != nil {
		return "", err
	}
	var out []string
	for row := range table {
		if f.Match(row) {
			out = append(out, fmt.Sprint(row))
		}
	}
	return strings.Join(out, " "), nil
}

func TestTextForm(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "0 1 2",
		"FNumber='1001'":                 "0",
		"fnumber = N'1001'":              "0",
		"FName='O''Neil'":                "1",
		"FNumber<>'1001'":                "1 2",
		"FNumber!='1001' AND FId>=20":    "2",
		"FId<10":                         "0",
		"FId='10'":                       "1",
		"FId=-7":                         "",
		"FId=+7.0":                       "0",
		"FNumber>'1001'":                 "1 2", // as text: 20 comes after 1002
		"FNumber>1001":                   "1",   // a number: 20 does not
		"FNumber='1001' or FNumber='20'": "0 2",
		"FNumber='1001' or FNumber='20' and FId=0":   "0", // AND binds tighter
		"(FNumber='1001' or FNumber='20') and FId=0": "",
		"not FNumber='1001'":                         "1 2",
		"not (FId=7 or FId=10)":                      "2",
		"FFirst='1'":                                 "0",
		"FFirst=0":                                   "1 2",
		"FNote is null":                              "0",
		"FNote is not null":                          "1 2",
		"FNote=null":                                 "",
		"not FNote='x'":                              "2", // unknown is not true
		"FNumber like '10%'":                         "0 1",
		"FNumber like '1__1'":                        "0",
		"FNumber not like '%0%0%'":                   "2",
		"FName like '%%%'":                           "0 1 2",
		"FNumber in ('1001', '20')":                  "0 2",
		"FNumber not in ('1001')":                    "1 2",
		"FNote not in ('x', 'y')":                    "2", // unknown is not true here either
		"FId in ('7', '10.0')":                       "0 1",
		"FFirst in ('1', 'x')":                       "0",
		"not (FNote='x' or fnote='y')":               "2",
		"FNumber='1001' or FNumber='20' or FId=10":   "0 1 2",
		"FNumber='1001' or FName='O''Neil'":          "0 1",
		"FNumber in ('1001', 20, FNumber)":           "0 1 2",
		"FId between 7 and 10":                       "0 1",
		"FId not between 7 and 10":                   "2",
		"1=1":                                        "0 1 2",
		"'a'='b' or 1=1 -- and FNumber='1001'":       "0 1 2",
		"FNumber=/* no */'1001'":                     "0",
		"FNumber='1001' --\n or 1=1":                 "0 1 2",
		"FNumber='1001'/* or 1=1":                    "0",
	} {
		f, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := matches(f); err != nil || got != want {
			t.Errorf("%s: rows %q, want %q, %v", text, got, want, err)
		}
	}
}

func TestTextFormRefuses(t *testing.T) {
	for _, text := range []string{
		"FNumber='1001", "FNumber", "FNumber=", "='1'", "FNumber='1' FName='2'", "(FNumber='1'", "FNumber='1')", "FNumber in '1'", "FNumber in ()",
		"FNumber in ('1' '2')", "FNumber is 1", "FNumber not '1'", "FNumber between '1' or '2'", "FNumber==1", "and", "FNumber='1' and", "not",
		"FNumber='1';drop table x", "FNumber=@p", "-FNumber=1", strings.Repeat("(", 300) + "1=1" + strings.Repeat(")", 300), strings.Repeat("not ", 300) + "1=1",
	} {
		if _, err := Parse(text); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %v", text, err)
		}
	}
	f, err := Parse("FNothing='1'")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := matches(f); !errors.Is(err, errField) {
		t.Errorf("unknown field: %v", err)
	}
}

func TestArrayForm(t *testing.T) {
	number := func(v string) Condition { return Condition{FieldName: "FNumber", Compare: "67", Value: v, Logic: "1"} }
	grouped := []Condition{
		{Left: "(", FieldName: "FNumber", Compare: "67", Value: "1001", Logic: "1"},
		{FieldName: "FNumber", Compare: "67", Value: "20", Right: ")", Logic: "0"},
		{FieldName: "FId", Compare: "67", Value: "20"},
	}
	for _, test := range []struct {
		list []Condition
		want string
	}{
		{nil, "0 1 2"},
		{[]Condition{number("1001")}, "0"},
		{[]Condition{number("1001"), number("20")}, "0 2"},
		{[]Condition{number("' or 1=1 --")}, ""},
		{[]Condition{{FieldName: "FNumber", Compare: "17", Value: "00"}}, "0 1"},
		{grouped, "2"},
	} {
		f, err := FromConditions(test.list)
		if err != nil {
			t.Errorf("%+v: %v", test.list, err)
			continue
		}
		if got, err := matches(f); err != nil || got != test.want {
			t.Errorf("%+v: rows %q, want %q, %v", test.list, got, test.want, err)
		}
	}
	for _, bad := range []Condition{
		{FieldName: "FNumber", Compare: "99"},
		{FieldName: "FNumber", Compare: "67", Left: "("},
		{FieldName: "FNumber", Compare: "67", Left: "x"},
		{FieldName: "and", Compare: "67"},
	} {
		if _, err := FromConditions([]Condition{bad}); !errors.Is(err, ErrSyntax) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := FromConditions([]Condition{{FieldName: "FId", Compare: "67", Logic: "2"}, number("1")}); !errors.Is(err, ErrSyntax) {
		t.Errorf("logic 2: %v", err)
	}
	f, err := FromConditions([]Condition{{FieldName: "1=1 or FNumber", Compare: "67", Value: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := matches(f); !errors.Is(err, errField) {
		t.Errorf("a field name with more in it: %v", err)
	}
}

func TestEquals(t *testing.T) {
	for text, want := range map[string]string{
		"FNumber='1' and (FId=7 and FName like 'x')": "map[fid:7 fnumber:1]",
		"FNumber='1' or FId=7":                       "map[]",
		"not FNumber='1'":                            "map[]",
		"FNumber=FName":                              "map[]",
		"'1'=FNumber":                                "map[]",
		"":                                           "map[]",
	} {
		f, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(f.Equals()); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		a, b any
		want int
	}{
		{nil, nil, 0},
		{nil, "", -1},
		{"a", nil, 1},
		{"10", "9", -1},
		{int64(10), "9", 1},
		{Number("1.5"), int64(1), 1},
		{int64(2), "x", -1},
		{true, "1", 0},
		{int64(9007199254740993), int64(9007199254740992), 1},
	} {
		if got := Compare(test.a, test.b); got != test.want {
			t.Errorf("%v %v: %d", test.a, test.b, got)
		}
	}
}

// FuzzParse proves that no filter panics, that a doubled quote keeps a value in
// its place whatever it holds, and that the array form never widens.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"FNumber='1'", "' or 1=1 --", "a in (1,2) and not b is null", "((", "N'", "/*", "1 between", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if parsed, err := Parse(text); err == nil {
			_, _ = matches(parsed)
		} else if !errors.Is(err, ErrSyntax) {
			t.Fatalf("%q: %v", text, err)
		}
		escaped, err := Parse("FNumber='" + strings.ReplaceAll(text, "'", "''") + "'")
		if err != nil {
			t.Fatalf("escaped %q: %v", text, err)
		}
		array, err := FromConditions([]Condition{{FieldName: "FNumber", Compare: "67", Value: text}})
		if err != nil {
			t.Fatalf("array %q: %v", text, err)
		}
		want := ""
		for row := range table {
			if table[row]["FNumber"] == text {
				want = fmt.Sprint(row)
			}
		}
		for _, one := range []*Filter{escaped, array} {
			if got, err := matches(one); err != nil || got != want {
				t.Fatalf("%q: rows %q, want %q, %v", text, got, want, err)
			}
		}
	})
}
