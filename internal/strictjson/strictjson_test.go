package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/cases"
)

// TestRefusesAmbiguousNames proves T5: duplicate and case-variant keys fail.
func TestRefusesAmbiguousNames(t *testing.T) {
	for _, body := range []string{
		`{"userid":"a","userid":"b"}`,
		`{"userid":"a","USERID":"b"}`,
		"{\"userid\":\"a\",\"u\u017ferid\":\"b\"}",
		`{"result":{"userid":"a","UserId":"b"}}`,
		`[{"x":1},{"y":[{"k":1,"K":2}]}]`,
	} {
		var v any
		if err := Decode([]byte(body), &v); err == nil {
			t.Errorf("%s: decoded", body)
		}
	}
}

func TestNamesAreCaseExact(t *testing.T) {
	var v struct {
		UserID string `json:"userid"`
	}
	if err := Decode([]byte(`{"USERID":"b"}`), &v); err != nil || v.UserID != "" {
		t.Errorf("got %q, %v; want the other spelling ignored", v.UserID, err)
	}
	if err := DecodeClosed([]byte(`{"USERID":"b"}`), &v); err == nil {
		t.Error("closed decoding let an unknown member pass")
	}
}

func TestSameNameInDifferentObjectsIsFine(t *testing.T) {
	var v any
	if err := Decode([]byte(`{"a":{"id":1},"b":{"ID":2},"c":["id","ID"]}`), &v); err != nil {
		t.Error(err)
	}
}

func TestOneValueOnly(t *testing.T) {
	var v any
	for _, body := range []string{``, `{} {}`, `{"a":}`, "{\"a\":\"\xff\"}"} {
		if err := Decode([]byte(body), &v); err == nil {
			t.Errorf("%q: decoded", body)
		}
	}
	if err := Decode([]byte(`{"a":1,"A":2}`), &v); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("got %v, want ErrAmbiguous", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"errcode":0,"result":{"userid":"a"}}`))
	f.Add([]byte(`[[{"Result":{"ResponseStatus":{}}}]]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		_ = Decode(data, &v)
	})
}

// oldCheck is the same rule over the decoder's own tokens: slow, and obviously
// right. The walk over bytes must agree with it on everything the decoder
// accepts.
func oldCheck(data []byte) (twins, valid bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	fold := cases.Fold()
	var seen []map[string]bool
	for {
		kind, length := dec.StackIndex(dec.StackDepth())
		isName := kind == '{' && length%2 == 0
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return twins, true
		}
		if err != nil {
			return twins, false
		}
		switch token.Kind() {
		case '{', '[':
			seen = append(seen, map[string]bool{})
		case '}', ']':
			seen = seen[:len(seen)-1]
		case '"':
			if isName {
				folded := fold.String(token.String())
				twins = twins || seen[len(seen)-1][folded]
				seen[len(seen)-1][folded] = true
			}
		}
	}
}

// FuzzNames proves T5: the fast walk finds every twin that the slow one finds,
// and no other.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{
		`{"userid":"a","USERID":"b"}`, "{\"userid\":1,\"u\u017ferid\":2}", `{"a\u0062":1,"AB":2}`, `{"a":{"a":1},"b":[{"a":1}]}`,
		`{"":1,"":2}`, `{"a\\":1,"a\"":2}`, `{"a":"}","A":"{"}`, `["a","a",{"a":["a"]}]`, "{\"\xff\":1,\"\xff\":2}", `{"ß":1,"SS":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		err := Decode(data, &v)
		twins, valid := oldCheck(data)
		if valid && twins != errors.Is(err, ErrAmbiguous) {
			t.Errorf("%q: twins %v, got %v", data, twins, err)
		}
		if !valid && err == nil {
			t.Errorf("%q: not JSON, but decoded", data)
		}
	})
}

// TestManyNames: an object of very many names takes no quadratic time, and its
// twins are found wherever they are.
func TestManyNames(t *testing.T) {
	object := func(n int, last string) []byte {
		b := []byte("{")
		for i := range n {
			b = fmt.Appendf(b, `"Name%d":1,`, i)
		}
		return fmt.Appendf(b, `%q:1}`, last)
	}
	for _, n := range []int{1, 31, 32, 33, 34, 65, 200_000} {
		for _, twin := range []string{"nAME0", fmt.Sprintf("name%d", n-1)} {
			var v struct{}
			if err := Decode(object(n, twin), &v); !errors.Is(err, ErrAmbiguous) {
				t.Errorf("%d names and %q: %v", n, twin, err)
			}
		}
		var v struct{}
		if err := Decode(object(n, "other"), &v); err != nil {
			t.Errorf("%d names: %v", n, err)
		}
	}
}

// TestDepth: nesting beyond the decoder's own bound is refused, not counted.
func TestDepth(t *testing.T) {
	var v any
	if err := Decode(bytes.Repeat([]byte("["), 1<<20), &v); err == nil {
		t.Error("a million brackets decoded")
	}
}

func BenchmarkDecode(b *testing.B) {
	type person struct {
		UserID, Name, Title string
		Departments         []int64
		Active              bool
	}
	one := `{"UserID":"p000001","Name":"欧阳秀英","Title":"高级工程师","Departments":[1,2],"Active":true,` +
		`"unionid":"0123456789abcdefghijkiEiE","extension":"{\"爱好\":\"旅游\"}","job_number":"N000001","hired_date":1597573616828}`
	body := []byte("[" + strings.Repeat(one+",", 99) + one + "]")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var list []person
		if err := Decode(body, &list); err != nil {
			b.Fatal(err)
		}
	}
}
