package app

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
)

// TestHRByRequest proves F57 end to end: a signed request makes a person at
// DingTalk; the same request again does nothing, also after a later word.
func TestHRByRequest(t *testing.T) {
	r := newRig(t)
	const secret = "a-shared-secret-of-more-than-32-bytes"
	r.put("hr.secret", secret)
	s := r.serve(r.load("mapping: {", "hr: {secret_file: hr.secret}\nmapping: {"))
	send := func(body, stamp string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.PublicAddr().String()+"/hr/dingcorp1", strings.NewReader(body))
		must(t, err)
		req.Host = "localhost:8080"
		req.Header.Set(identity.HeaderTimestamp, stamp)
		req.Header.Set(identity.HeaderSignature, identity.NewSecret(secret).SignMessage(stamp, []byte(body)))
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		must(t, res.Body.Close())
		return res.StatusCode
	}
	there := func() bool {
		for _, p := range r.ding.People() {
			if p.UserID == "n1" && p.Left.IsZero() {
				return true
			}
		}
		return false
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	join := `{"changes":[{"act":"join","userid":"n1","name":"新人","mobile":"13900000009","departments":[1]}]}`
	if code := send(join, stamp); code != http.StatusAccepted {
		t.Fatalf("a join: %d", code)
	}
	eventually(t, "the person is made", there)
	if code := send(`{"changes":[{"act":"leave","userid":"n1"}]}`, stamp); code != http.StatusAccepted {
		t.Fatalf("a leave: %d", code)
	}
	eventually(t, "the person is taken out", func() bool { return !there() })
	calls := len(r.ding.Calls("user/create"))
	if code := send(join, stamp); code != http.StatusAccepted {
		t.Errorf("a replay: %d", code)
	}
	if code := send(`{"changes":[{"act":"fire","userid":"n1"}]}`, stamp); code != http.StatusUnprocessableEntity {
		t.Errorf("nonsense: %d", code)
	}
	// What comes after on the same list is done; by then a replay would be too.
	if code := send(`{"changes":[{"act":"join","userid":"n2","name":"后来","mobile":"13900000010","departments":[1]}]}`, stamp); code != http.StatusAccepted {
		t.Fatal(code)
	}
	eventually(t, "the next one is made", func() bool { return len(r.ding.Calls("user/create")) > calls })
	if there() {
		t.Error("a replay brought a leaver back")
	}
}
