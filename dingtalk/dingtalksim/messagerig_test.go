package dingtalksim_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// robotSign is written out again here: neither the simulator's nor a client's.
func robotSign(stamp, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp))
	mac.Write([]byte{'\n'})
	mac.Write([]byte(secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// door asks the control door and decodes its answer.
func (s sim) door(method, path string, body, out any) {
	s.t.Helper()
	r := s.call(method, path, body)
	if r.status > 299 {
		s.t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), out); err != nil {
		s.t.Fatal(err)
	}
}
