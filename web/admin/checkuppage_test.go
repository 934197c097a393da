package admin_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/internal/checkup"
)

// checkups is a book of check-ups over two peers: one that is not let in, one well.
func (h *house) checkups(logger *slog.Logger) *checkup.Book {
	made := &checkup.Book{Store: h.store, Recorder: h.log, Now: h.clock.Now, Logger: logger, Doctor: func() *checkup.Doctor {
		return &checkup.Doctor{Replica: "test", Version: "v0", Now: h.clock.Now, Facts: openFacts(), Peers: []checkup.Peer{
			{Name: "dingtalk/" + corp, Test: func(context.Context) []checkup.Item {
				return []checkup.Item{{Check: "token", Status: checkup.Fault, Cause: "dingtalk-ip", Detail: "our address", Values: map[string]string{"ip": "203.0.113.7"}}}
			}},
			{Name: "host", Test: func(context.Context) []checkup.Item {
				return []checkup.Item{{Check: "disk", Status: checkup.OK}, {Check: "plaintext", Status: checkup.Warning, Cause: "plaintext"}}
			}},
		}}
	}}
	h.inBackground(made.Run)
	return made
}

// openFacts are two settings that stand for open questions: one that a test
// confirms, one that none can.
func openFacts() []checkup.Fact {
	return []checkup.Fact{
		{Peer: "host", Key: "link.version", Value: "4", By: []string{"disk"}},
		{Peer: "host", Key: "wire.scope", Value: "openid corpid"},
		{Peer: "dingtalk/" + corp, Key: "token_call", Value: "gettoken", By: []string{"token"}},
	}
}

// F32, F93: the page tests the peers, says per cause in three languages what to
// do, keeps the result and puts it on record.
func TestConnectionsPage(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	b.get("/admin/connections").has(t, http.StatusOK, "Nothing was tested yet")
	b.post("/admin/connections").has(t, http.StatusSeeOther)
	var list []checkup.Result
	h.until(func() bool {
		decode(t, b.get("/admin/api/v1/checkups"), &list)
		return len(list) == 1 && !list[0].Ended.IsZero()
	})
	if list[0].OK || list[0].By != corp+"/manager01" || len(list[0].Items) != 3 {
		t.Fatalf("%+v", list[0])
	}
	for lang, words := range map[string]string{"en": "add 203.0.113.7", "zh-Hans": "服务器出口 IP：加入 203.0.113.7", "zh-Hant": "伺服器出口 IP：加入 203.0.113.7"} {
		b.get("/admin/connections?lang="+lang).has(t, http.StatusOK, words)
		b.get("/admin/connections/result?id="+list[0].ID+"&lang="+lang).has(t, http.StatusOK, words, list[0].ID)
	}
	b.post("/admin/connections", "only", "host").has(t, http.StatusSeeOther)
	h.until(func() bool { return len(h.records(checkup.ActionCheckup)) == 2 })
	records := h.records(checkup.ActionCheckup)
	if records[1].Outcome != audit.Failed || !strings.Contains(records[1].Detail["faults"], "dingtalk-ip") || records[0].Outcome != audit.OK || records[0].Target != "host" {
		t.Errorf("%+v %+v", records[0].Event, records[1].Event)
	}
	// One peer that was tested alone leaves the others as they were found.
	h.until(func() bool { return !strings.Contains(b.get("/admin/connections").body, "hx-trigger") })
	b.get("/admin/connections").has(t, http.StatusOK, "203.0.113.7", "1 faults")
	// What the vendors leave open is confirmed by a test that passed, and assumed
	// otherwise (reference, open questions).
	for page, want := range map[string]int{"/admin/connections": 1, "/admin/connections/result?id=" + list[0].ID: 1} {
		got := b.get(page)
		got.has(t, http.StatusOK, "What the vendors leave open", "token_call")
		if n := strings.Count(got.body, ">confirmed here<"); n != want {
			t.Errorf("%s: %d settings confirmed, want %d", page, n, want)
		}
	}
	b.post("/admin/connections", "only", "nobody").has(t, http.StatusNotFound)
	h.enter("auditor01").post("/admin/connections").has(t, http.StatusForbidden)
}
