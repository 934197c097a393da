package strictjson

import (
	"errors"
	"testing"
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
