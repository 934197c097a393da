package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const serviceCall = "/K3Cloud/Kingdee.BOS.ServiceFacade.ServicesStub.User.UserService.GetUser.common.kdsvc"

// asks feeds a body to the guard of its request, in pieces of a size.
func asks(t *testing.T, kind, text string, size int) bool {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, serviceCall, strings.NewReader(text))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	guard, ok := guardFor(r)
	if !ok {
		return true
	}
	for rest := text; rest != ""; {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		if guard.look([]byte(piece)) {
			return true
		}
	}
	return false
}

// T56: a body that asks for the binary message format, in every spelling that a
// .NET server may read so, is found with the byte that says it, however it is
// cut; what a page sends is not.
func TestBinaryFormatInBodies(t *testing.T) {
	const form, text, script = "application/x-www-form-urlencoded; charset=UTF-8", "text/json", "application/json;charset=utf-8"
	part := func(head string) string {
		return "--x\r\nContent-Disposition: form-data; " + head + "\r\n\r\n3\r\n--x--\r\n"
	}
	for _, c := range []struct {
		kind, body string
		want       bool
	}{
		{text, `{"ap0":"AAEAAAD/////AQAA","format":"3"}`, true}, // as the attacks write it
		{script, `{"format":3}`, true},
		{script, `[{"format":3}]`, true},
		{script, ` { "ap0" : {} , "FORMAT" : 3 } `, true},
		{script, `{"\u0066or\u006dat":"\u0033"}`, true},
		{script, `{'format':'3'}`, true},
		{script, `{format:3}`, true},
		{script, `{/*"*/"format"/**/:/*1*/3}`, true},
		{script, "{//\"\n\"format\":3}", true},
		{script, `{"format":1,"format":3}`, true},
		{script, `{"format":03}`, true},
		{script, `{"format":3.0}`, true},
		{script, `{"format":0x3}`, true},
		{script, `{"format":"Binary"}`, true},
		{script, `{"format":" 3 "}`, true},
		{script, `{"format":[3]}`, true},
		{script, `{"format":{"a":3}}`, true},
		{script, "\xef\xbb\xbf{\"format\":3}", true},
		{script, "{\"\u200bformat\u00a0\":3}", true},
		{script, "{\"a\":\"\\\\\",\"format\":3}", true},
		{script, "{\x00\"\x00f\x00o\x00", true},
		{script, "\xff\xfe{\x00", true},
		{"text/json; charset=utf-16", `{}`, true},
		{"text/json; charset=ibm037", `{}`, true},
		{"text/json; charset=utf-8; charset=utf-7", `{}`, true},
		{form, "ap0=x&format=3", true},
		{form, "format=3", true},
		{form, "FORMAT=%33", true},
		{form, "%66%6Frmat=+3", true},
		{form, "%u0066ormat=3", true},
		{form, "a;format=3", true},
		{form, "format=1&format=binary", true},
		{form, "format=03", true},
		{"", "ap0=x&format=3", true},
		{"", `{"format":3}`, true},
		{"application/octet-stream", `{"format":3}`, true},
		{form + "; text/json", `{"format":3}`, true},
		{"multipart/form-data; boundary=x", part(`name="format"`), true},
		{"multipart/form-data; boundary=x", part("name=FORMAT"), true},
		{"multipart/form-data; boundary=x", part("\r\n name=format"), true},
		{"multipart/form-data; boundary=x", part(`filename=a; name="format"`), true},

		{form, "ap0=%7B%22format%22%3A3%7D&nonce=3&v=1.0&format=1&sign=&timestamp=3&compressed=0&useragent=KD.HTML5.GZIP", false},
		{form, "ap0=format%3D3%26format%3D3&reformat=3&formats=3&x=format", false},
		{form, "format=json&a=%", false},
		{script, `{"ap0":"{\"format\":\"3\"}","format":1,"v":"3"}`, false},
		{script, `{"ap0":{"format":3,"b":{"format":3}},"x":["format",3],"y":"format","z":3}`, false},
		{script, `{"a":"it's \"format\":3","b":"x&format=3","format":"1"}`, false},
		{script, `{"format":null}`, false},
		{script, `[]`, false},
		{"", strings.Repeat("x", 40_000), false},
		{"", "x\xff\xfe\x00\x00\xff\xfe", false}, // what is no text has any bytes
		{"", "\xff\xfef\x00o\x00", true},
		{"", "\xfe\xff\x00f", true},
		{form, "a=\x00", true},
		{"multipart/form-data; boundary=x", part(`name="file"; filename="format"`), false},
		{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=f\r\n\r\n\x00\xffformat=3 {\"format\":3}\r\n--x--\r\n", false},
	} {
		for _, size := range []int{1, 2, 3, 7, 1 << 20} {
			if got := asks(t, c.kind, c.body, size); got != c.want {
				t.Errorf("%s %.80q in pieces of %d: %v", c.kind, c.body, size, got)
			}
		}
	}
	p := newPolicy(nil, nil)
	for query, want := range map[string]verdict{"format=03": closed, "format=3.0": closed, "format=1": open, "format=json": open} {
		if got := p.judge(serviceCall, query); got != want {
			t.Errorf("?%s: %d, want %d", query, got, want)
		}
	}
}

// Other requests than calls of services are nobody's to look into.
func TestGuardIsForServices(t *testing.T) {
	for path, want := range map[string]bool{
		serviceCall: true, "/K3Cloud/_PR_.KDSVC": true, "/K3Cloud/a.kdsvc/x.css": true, "/K3Cloud/html5/dform.aspx": false, "/K3Cloud/FileService.svc": false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("format=3"))
		if guard, ok := guardFor(r); !ok || (guard != nil) != want {
			t.Errorf("%s: guarded %v %v", path, guard != nil, ok)
		}
		r.Header.Set("Content-Encoding", "gzip")
		if _, ok := guardFor(r); ok == want {
			t.Errorf("%s compressed: %v", path, ok)
		}
	}
}

// FuzzFormat: whatever encoding/json reads as an object with that member is
// found, in one piece as byte by byte (T56).
func FuzzFormat(f *testing.F) {
	for _, seed := range []string{`{"format":3}`, `{"a":"\\\"","format":"3"}`, `{"a":[{"b":{}}],"form\u0061t":3}`, `{"format":{}}`, `{"x":"format","y":3}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole, bytewise := asks(t, "text/json", text, len(text)+1), asks(t, "text/json", text, 1)
		if whole != bytewise {
			t.Fatalf("%q: %v in one piece, %v in many", text, whole, bytewise)
		}
		var members map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &members) != nil {
			return
		}
		for name, value := range members {
			var word string
			if json.Unmarshal(value, &word) != nil {
				word = string(value)
			}
			if strings.EqualFold(name, formatName) && isASCII(name) && fmt.Sprint(word) == "3" && !whole {
				t.Errorf("%q passes", text)
			}
		}
	})
}
