package dingtalk

import (
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/strictjson"
)

func TestPlainNumber(t *testing.T) {
	for text, want := range map[string]string{
		"7": "7", "12.30": "12.30", "1.0E7": "10000000", "1.2345E4": "12345", "1.5e-3": "0.0015", "-2.50E1": "-25", "1E31": "1E31", "1e999999999": "1e999999999",
	} {
		if got := plainNumber(text); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}

// TestYidaAliases: under an alias the shape of a value says what it is.
func TestYidaAliases(t *testing.T) {
	var data map[string]jsontext.Value
	err := strictjson.Decode([]byte(`{
		"lines":[{"amount":1.5},{"amount":2}], "files":[{"downloadUrl":"x"}], "none":[], "who":["甲"], "who_id":["u1"],
		"order":"A", "order_id":"B", "tableField_x":"[{\"numberField_y\":3}]", "obj":{"a":1}, "yes":true, "nil":null, "word":"null"
	}`), &data)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := yidaFields(data)
	if err != nil {
		t.Fatal(err)
	}
	in := Instance{Fields: fields}
	for id, want := range map[string]int{"lines": 2, "files": 0, "none": 0, "tableField_x": 1} {
		f, _ := in.Field(id)
		if rows, err := f.Rows(); id != "files" && (err != nil || len(rows) != want) {
			t.Errorf("%s: %v %v", id, rows, err)
		}
	}
	for id, want := range map[string]string{"who": "甲", "order": "A", "order_id": "B", "obj": `{"a":1}`, "yes": "true", "nil": "", "word": "", "none": ""} {
		if f, ok := in.Field(id); !ok || f.Value != want {
			t.Errorf("%s is %q, want %q", id, f.Value, want)
		}
	}
	if f, _ := in.Field("who"); f.Ext != `[{"emplId":"u1","name":"甲"}]` {
		t.Error(f.Ext)
	}
}

// FuzzYidaData: whatever a form holds, reading it ends without a panic, no value
// is lost from the list of components, and no number changes.
func FuzzYidaData(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"numberField_a":1.0E7,"numberField_a_value":"10000000"}`, `{"tableField_a":[{"tableField_b":[{"x":[]}]}]}`,
		`{"employeeField_a":["x","y"],"employeeField_a_id":["1"]}`, `{"a":[["b"]],"a_id":[[]]}`, `{"tableField_a":"[[]]"}`, `{"numberField_x_value":"1"}`,
		`{"a":["[1]"],"b":"null","c":-0.0e-5,"d":1e30}`, `{"tableField_a":"[\"tableField_a\"]"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var data map[string]jsontext.Value
		if strictjson.Decode([]byte(text), &data) != nil {
			return
		}
		fields, err := yidaFields(data)
		if err != nil {
			return
		}
		in := Instance{Fields: fields}
		for id, value := range data {
			field, ok := in.Field(id)
			if !ok {
				t.Fatalf("%q is lost", id)
			}
			if value.Kind() == '0' && data[id+"_value"] == nil && field.Value != string(value) {
				was, fine := new(big.Rat).SetString(strings.TrimSpace(string(value)))
				is, read := new(big.Rat).SetString(field.Value)
				if fine && (!read || was.Cmp(is) != 0) {
					t.Fatalf("%s became %s", value, field.Value)
				}
			}
			_, _ = field.Rows()
			_, _ = field.List()
			_, _ = field.People()
			_ = field.Choice()
		}
	})
}
