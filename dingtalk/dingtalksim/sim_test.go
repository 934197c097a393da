package dingtalksim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
)

// The cast of dingtalksim.Sample that the tests name.
const (
	corp1, key1, secret1 = "dingcorp1", "dingkey1", "sample-secret-1"
	corp2, key2, secret2 = "dingcorp2", "dingkey2", "sample-secret-2"
	homeURL              = "http://gate.example.com/launch/kingdee?corpId=$CORPID$"
	callback             = "http://gate.example.com/signin/dingtalk/callback"
	tokenHeader          = "X-Acs-Dingtalk-Access-Token"
)

// start is a Monday noon in Beijing, mid-month, on a whole second, so that no
// test meets the turn of a second or a month by chance.
var start = time.Date(2026, 9, 14, 4, 0, 0, 0, time.UTC)

// sim is a running simulator and a client that follows no redirects.
type sim struct {
	*dingtalksim.Server
	t    *testing.T
	http *httptest.Server
}

func newSim(t *testing.T, change ...func(*dingtalksim.Config)) sim {
	t.Helper()
	cfg := dingtalksim.Sample(homeURL, "gate.example.com")
	cfg.Now = func() time.Time { return start }
	for _, f := range change {
		f(&cfg)
	}
	s, err := dingtalksim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return sim{s, t, srv}
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   string
	chunks bool
}

// json decodes the body; it must be JSON.
func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("answer is not JSON: %v\n%s", err, r.body)
	}
	return m
}

func (s sim) do(req *http.Request) reply {
	s.t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body), len(res.TransferEncoding) > 0}
}

// call sends a request; body nil is none, a string goes as it is, url.Values as
// a form, anything else as JSON. header is name, value, name, value.
func (s sim) call(method, path string, body any, header ...string) reply {
	s.t.Helper()
	var r io.Reader
	ctype := ""
	switch b := body.(type) {
	case nil:
	case string:
		r, ctype = strings.NewReader(b), "application/json"
	case url.Values:
		r, ctype = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		r, ctype = bytes.NewReader(raw), "application/json"
	}
	req, err := http.NewRequest(method, s.http.URL+path, r)
	if err != nil {
		s.t.Fatal(err)
	}
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return s.do(req)
}

type obj = map[string]any

// token gets the application token of the first organisation.
func (s sim) token() string { return s.tokenOf(key1, secret1) }

func (s sim) tokenOf(key, secret string) string {
	s.t.Helper()
	m := s.call("POST", "/v1.0/oauth2/accessToken", obj{"appKey": key, "appSecret": secret}).json(s.t)
	tok, _ := m["accessToken"].(string)
	if tok == "" {
		s.t.Fatalf("no token: %v", m)
	}
	return tok
}

// old calls a /topapi path with a fresh look at the application token.
func (s sim) old(path string, body any) obj {
	s.t.Helper()
	return s.call("POST", path+"?access_token="+s.token(), body).json(s.t)
}

// result calls as old does and insists on success.
func (s sim) result(path string, body any) any {
	s.t.Helper()
	m := s.old(path, body)
	if m["errcode"] != 0.0 {
		s.t.Fatalf("%s: %v", path, m)
	}
	return m["result"]
}

// wantCode fails unless m is an old-host answer of that errcode.
func wantCode(t *testing.T, m obj, code float64) {
	t.Helper()
	if m["errcode"] != code {
		t.Fatalf("errcode %v, want %v: %v", m["errcode"], code, m)
	}
}

// wantSub fails unless m is wrapped in 88 with that sub_code.
func wantSub(t *testing.T, m obj, sub string) {
	t.Helper()
	if m["errcode"] != 88.0 || m["sub_code"] != sub {
		t.Fatalf("want 88/%s: %v", sub, m)
	}
}

// wantNew fails unless r is a new-host error.
func wantNew(t *testing.T, r reply, status int, code string) {
	t.Helper()
	m := r.json(t)
	if r.status != status || m["code"] != code {
		t.Fatalf("status %d code %v, want %d %s", r.status, m["code"], status, code)
	}
	if m["requestid"] == nil || m["message"] == nil || m["errcode"] != nil {
		t.Fatalf("shape of a new-host error: %v", m)
	}
}

// control calls the control door and decodes into out, unless nil.
func (s sim) control(method, path string, body, out any, status int) {
	s.t.Helper()
	r := s.call(method, path, body)
	if r.status != status {
		s.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, status, r.body)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(r.body), out); err != nil {
			s.t.Fatal(err)
		}
	}
}

// authCode asks the control door for an in-client code.
func (s sim) authCode(userid string) string {
	s.t.Helper()
	var out struct{ Code string }
	s.control("POST", "/sim/authcode", obj{"userid": userid}, &out, http.StatusOK)
	return out.Code
}

// set changes one switch at the control door.
func (s sim) set(name string, value any) {
	s.t.Helper()
	s.control("POST", "/sim/switches", obj{name: value}, nil, http.StatusOK)
}

// fault puts a fault in force at the control door.
func (s sim) fault(f obj) {
	s.t.Helper()
	s.control("POST", "/sim/faults", f, nil, http.StatusCreated)
}
