package kingdeesim

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// FuzzLink proves that no ud panics, and that whatever is read names its five
// signed fields and a permitcount of 0, 1 or none.
func FuzzLink(f *testing.F) {
	f.Add("eyJkYmlkIjoiNjFjZDc4ZmJjNmFhNzgifQ%3D%3D", "utf-8", false)
	f.Add("%7C61cd78fbc6aa78%7Czhangsan%7Capp%7Csign%7C1700000000%7C2052", "", true)
	f.Add(url.PathEscape(`{dbid:'1',username:'张三',appid:'a',signeddata:'s',timestamp:1,otherargs:"|{'permitcount':'1'}"}`), "gbk", false)
	f.Add("%zz", "ebcdic", true)
	f.Fuzz(func(t *testing.T, ud, encoding string, gbk bool) {
		l, err := parseUD(ud, encoding, gbk)
		if err != nil {
			if !errors.Is(err, errLink) {
				t.Fatalf("%q: %v", ud, err)
			}
			return
		}
		if slices.Contains([]string{l.centreID, l.user, l.appID, l.sign, l.timestamp}, "") {
			t.Fatalf("%q: a signed field is empty in %+v", ud, l)
		}
		if l.hasPermit != (l.permitCount == "0" || l.permitCount == "1") {
			t.Fatalf("%q: permitcount %q, present %v", ud, l.permitCount, l.hasPermit)
		}
	})
}

// FuzzArguments proves that no body panics the envelope reader.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{`{"parameters":"[1,\"a\"]"}`, `[{}]`, `a=1&a=2`, `{"data":"{'FormId':'x'}"}`, `{`, "%", "\xff=1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, body []byte) {
		args, err := readArguments(body, true)
		if err != nil {
			return
		}
		_ = args.text(0, "formid")
		_, _ = args.object(1, "data")
	})
}

// FuzzOrdinal proves the sort of signatures against its definition: .NET's
// ordinal order of UTF-16 code units.
func FuzzOrdinal(f *testing.F) {
	f.Add("Ａ", "\U0001F600")
	f.Add("a_", "aA")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := utf16.Encode([]rune(a)), utf16.Encode([]rune(b))
		want := 0
		for i := 0; want == 0 && (i < len(x) || i < len(y)); i++ {
			switch {
			case i >= len(x) || i < len(y) && x[i] < y[i]:
				want = -1
			case i >= len(y) || x[i] > y[i]:
				want = 1
			}
		}
		if got := ordinal(a, b); got != want {
			t.Fatalf("%q %q: %d, want %d", a, b, got, want)
		}
	})
}

// FuzzDuplicateKey proves that the fault always gives an object with a doubled
// member, whatever the body was.
func FuzzDuplicateKey(f *testing.F) {
	for _, seed := range []string{`[["a"]]`, `{"a":1}`, `[[{"Result":{}}]]`, `{}`, ``, `{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if out := duplicateKey(body); len(out) <= len(body) {
			t.Fatalf("%q became %q", body, out)
		}
	})
}

// FuzzPageCall proves that no page call panics, and that none without a
// checksum is taken.
func FuzzPageCall(f *testing.F) {
	s, err := New(Config{DataCentres: []DataCentre{{ID: "61cd78fbc6aa78", Tables: Tables{Users: []User{{Name: "kdgate"}}}}}})
	if err != nil {
		f.Fatal(err)
	}
	user, _ := s.centres[0].user("kdgate", false)
	current := s.sessions.open(s.centres[0], user, byLink, "test", s.now())
	f.Add("ap0=x&nonce=1&clientinfo=%7B%7D", `{"pageId":"1"}`)
	f.Add("ap0=%zz&ap1={", "\xff")
	f.Add("clientinfo=%7B%22EntryPageUrl%22%3A%22http%3A%2F%2F%5B%22%7D", "null")
	f.Fuzz(func(t *testing.T, body, biz string) {
		for name, call := range s.pageMethods() {
			r := httptest.NewRequest(http.MethodPost, "/K3Cloud/x.kdsvc", nil)
			r.Header["Cookie"] = []string{sessionCookie + "=" + current.id + "; " + aspCookie + "=" + current.aspID}
			r.Header["Kdbiz-Info"] = []string{biz}
			w := httptest.NewRecorder()
			call(w, &request{Request: r, body: []byte(body)}, arguments{})
			if !strings.Contains(w.Body.String(), `"IsSuccess":false`) {
				t.Fatalf("%s took %q: %s", name, body, w.Body)
			}
		}
	})
}
