package loose

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]any{
		`null`:                         nil,
		` true `:                       true,
		`-1.5e3`:                       Number("-1.5e3"),
		`"a\"b\\\/\b\f\n\r\t'"`:        "a\"b\\/\b\f\n\r\t'",
		`'it is \'so\' "here"'`:        `it is 'so' "here"`,
		`"\u5f20\u4E09"`:               "张三",
		`"\ud83d\ude00"`:               "\U0001F600",
		`"\ud83d!"`:                    "\uFFFD!",
		`"\ud83d\u0041"`:               "\uFFFDA",
		`[]`:                           []any{},
		`[1,'a',[null]]`:               []any{Number("1"), "a", []any{nil}},
		`{}`:                           Object{},
		`{a:1,'b':2,"c":3,FPost.No:4}`: Object{{"a", Number("1")}, {"b", Number("2")}, {"c", Number("3")}, {"FPost.No", Number("4")}},
		`{"a":1,"a":2}`:                Object{{"a", Number("1")}, {"a", Number("2")}},
		"\"\xff\"":                     "\xff",
	} {
		got, err := Parse(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v", text, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"", "  ", "nul", "nullx", "{", "[", "{a}", "{a:}", "{a:1,}", "{:1}", "[1,]", "[1 2]", `"`, `'"`, `"\x"`, `"\u12"`, `"\`, "-", "1.2.3",
		"{a:1 b:2}", strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		if got, err := Parse(text); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %#v, %v", text, got, err)
		}
	}
	for _, text := range []string{"1 2", "{} x", "[][]"} {
		if _, err := Parse(text); !errors.Is(err, ErrTrailing) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestGet proves that the last of equals wins and that the exact spelling wins
// over other letter cases.
func TestGet(t *testing.T) {
	value, err := Parse(`{formId:'one',FormID:'two',formid:'three',formid:'four',N:7,B:true,X:null,O:{}}`)
	if err != nil {
		t.Fatal(err)
	}
	o := value.(Object)
	for name, want := range map[string]string{
		"formid": "four", "formId": "one", "FORMID": "four", "n": "7", "b": "true", "x": "", "o": "", "missing": "",
	} {
		if got := o.Text(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, there := o.Get("missing"); there {
		t.Error("a missing member is there")
	}
}

// FuzzParse proves that no text panics, and that what is strict JSON reads as
// the standard library reads it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"b",null,true]}`, `{a:'b'}`, `"\ud83d\ude00"`, `|{'permitcount':'0'}`, `[[[`, "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text)
		var want any
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if dec.Decode(&want) != nil || dec.More() || strings.ContainsRune(text, '\uFFFD') || len(text) > 1000 || !json.Valid([]byte(text)) {
			return
		}
		if err != nil {
			if strings.Count(text, "[")+strings.Count(text, "{") > maxDepth {
				return
			}
			t.Fatalf("%q is JSON, but: %v", text, err)
		}
		if g, w := fmt.Sprint(plain(got)), fmt.Sprint(want); g != w && strings.ToValidUTF8(g, "\uFFFD") != w {
			t.Fatalf("%q: %s, want %s", text, g, w)
		}
	})
}

// plain turns a loose value into what encoding/json would give.
func plain(value any) any {
	switch v := value.(type) {
	case Number:
		return json.Number(v)
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = plain(one)
		}
		return out
	case Object:
		out := map[string]any{}
		for _, m := range v {
			out[m.Name] = plain(m.Value)
		}
		return out
	default:
		return value
	}
}
