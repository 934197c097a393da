package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/web/admin"
)

// busyLog is a house with sign-ins of several people in its log.
func busyLog(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	for i := range 120 {
		event := audit.Event{
			Action: audit.ActionSignIn, Outcome: audit.OK, Actor: fmt.Sprintf("%s/10%02d", corp, i%4), Source: "10.0.0.9",
			RequestID: fmt.Sprintf("request-%03d", i), Target: "<b>bold\u202e</b>",
		}
		if i%3 == 0 {
			event.Outcome, event.Reason = audit.Failed, "KD-203"
		}
		must(t, h.log.Append(t.Context(), event))
	}
	return h
}

type auditPage struct {
	Records []map[string]any `json:"records"`
	Next    string           `json:"next"`
}

// F41: every filter finds what it says and nothing else; pages follow each other
// without a gap, newest first, by a cursor that is worth nothing elsewhere (T105).
func TestAuditSearch(t *testing.T) {
	h := busyLog(t)
	b := h.enter("auditor01")
	for name, c := range map[string]struct {
		query string
		want  int
	}{
		"person by userid":  {"person=1001", 30},
		"person in full":    {"person=" + corp + "/1002&action=signin", 30},
		"outcome":           {"outcome=failed&action=signin", 40},
		"reason":            {"reason=KD-203", 40},
		"reason and person": {"reason=KD-203&person=1001", 10},
		"request":           {"request_id=request-077", 1},
		"time in UTC+8":     {"from=2026-03-02T08:59&to=2026-03-02T09:01&action=signin", 120},
		"before":            {"to=2026-03-02T08:59&action=signin", 0},
		"day":               {"from=2026-03-03&action=signin", 0},
		"nobody":            {"person=9999", 0},
	} {
		seen, cursor := 0, ""
		for {
			var page auditPage
			decode(t, b.get("/admin/api/v1/audit?"+c.query+"&cursor="+cursor), &page)
			seen += len(page.Records)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if seen != c.want {
			t.Errorf("%s: %d records, want %d", name, seen, c.want)
		}
	}
	var page auditPage
	decode(t, b.get("/admin/api/v1/audit?action=signin"), &page)
	if len(page.Records) != 50 || page.Next == "" {
		t.Fatalf("%d records, next %q", len(page.Records), page.Next)
	}
	b.get("/admin/api/v1/audit?action=mint&cursor="+page.Next).has(t, http.StatusBadRequest, "KD-")
	for _, query := range []string{"outcome=maybe", "from=yesterday", "person=a&person=b", "cursor=made-up"} {
		b.get("/admin/api/v1/audit?"+query).has(t, http.StatusBadRequest)
	}
	shown := b.get("/admin/audit?action=signin")
	shown.has(t, http.StatusOK, corp+"/1003", "Sign-in")
	if strings.Contains(shown.body, "<b>bold") || strings.Contains(shown.body, "\u202e") {
		t.Error("a text of the log is markup, or turns the page's direction")
	}
}

// T117, F40: each look at the log and each export is in the log, with who, from
// where and what was chosen; one that cannot be recorded is not given.
func TestReadsOfTheLogAreRecorded(t *testing.T) {
	h := busyLog(t)
	b := h.enter("auditor01")
	b.get("/admin/audit?person=1001&outcome=failed").has(t, http.StatusOK)
	b.get("/admin/audit/record?replica=test&seq=7").has(t, http.StatusOK)
	b.get("/admin/audit/proof").has(t, http.StatusOK)
	b.get("/admin/audit/export?format=csv&action=signin").has(t, http.StatusOK)
	b.get("/admin/audit/proof/live").has(t, http.StatusOK) // refreshes of a page that was recorded
	reads := h.records(audit.ActionAuditRead)
	if len(reads) != 3 {
		t.Fatalf("%d reads on record", len(reads))
	}
	list := reads[2]
	if list.Actor != corp+"/auditor01" || list.Source != "127.0.0.1" || list.Detail["person"] != "1001" || list.Detail["outcome"] != "failed" || list.Target != "list" {
		t.Errorf("%+v", list.Event)
	}
	if reads[1].Target != "test/7" {
		t.Errorf("%+v", reads[1].Event)
	}
	exports := h.records(audit.ActionAuditExport)
	if len(exports) != 1 || exports[0].Detail["format"] != "csv" || exports[0].Detail["action"] != "signin" {
		t.Errorf("%+v", exports)
	}
}

// F41: exports hold everything that matches, oldest first; a line is the record
// as it was hashed, so that the file can be verified elsewhere.
func TestAuditExport(t *testing.T) {
	h := busyLog(t)
	b := h.enter("manager01")
	lines := b.get("/admin/audit/export?format=jsonl&action=signin&reason=KD-203")
	lines.has(t, http.StatusOK)
	scanner, count, last := bufio.NewScanner(strings.NewReader(lines.body)), 0, 0.0
	for scanner.Scan() {
		var record map[string]any
		must(t, json.Unmarshal(scanner.Bytes(), &record))
		seq, _ := record["seq"].(float64)
		if record["reason"] != "KD-203" || seq <= last || record["mac"] == nil {
			t.Errorf("%s", scanner.Text())
		}
		count, last = count+1, seq
	}
	if count != 40 || !strings.Contains(lines.Header.Get("Content-Disposition"), "audit.jsonl") {
		t.Errorf("%d lines, %v", count, lines.Header)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(b.get("/admin/audit/export?format=csv&person=1001").body, "\ufeff"))).ReadAll()
	must(t, err)
	if len(rows) != 31 {
		t.Errorf("%d rows", len(rows))
	}
	b.get("/admin/audit/export?format=xlsx").has(t, http.StatusBadRequest)
}

// F42: a record is shown with its exact line and its place in the chain.
func TestAuditRecord(t *testing.T) {
	h := busyLog(t)
	b := h.enter("auditor01")
	record, err := h.log.Record(t.Context(), "test", 5)
	must(t, err)
	a := b.get("/admin/audit/record?replica=test&seq=5")
	a.has(t, http.StatusOK, record.Hash.String(), record.PrevHash.String(), "gives its hash", "follows it", "seq=4", "seq=6")
	api := b.get("/admin/api/v1/audit/record?replica=test&seq=5")
	if got, want := bytes.TrimSpace([]byte(api.body)), record.AppendLine(nil); !bytes.Equal(got, want) {
		t.Errorf("line\n got %s\nwant %s", got, want)
	}
	b.get("/admin/audit/record?replica=test&seq=1").has(t, http.StatusOK, "first of the chain")
	for _, query := range []string{"", "replica=test&seq=99999", "replica=other&seq=1", "replica=test&seq=-1"} {
		b.get("/admin/audit/record?"+query).has(t, http.StatusNotFound)
	}
}

// F42, T112: the button proves the log beside the gateway; the result is kept,
// recorded with the heads of the chains, and can be printed.
func TestVerifyButton(t *testing.T) {
	h := busyLog(t)
	b := h.enter("auditor01")
	var begun, ended admin.Verification
	a := b.send(http.MethodPost, "/admin/api/v1/audit/verify", "{}")
	a.has(t, http.StatusAccepted)
	decode(t, a, &begun)
	h.until(func() bool {
		decode(t, b.get("/admin/api/v1/audit/verify/"+begun.ID), &ended)
		return !ended.Ended.IsZero()
	})
	if !ended.Sound() || ended.By != corp+"/auditor01" || ended.Report.Records < 120 || ended.Failure != "" {
		t.Fatalf("%+v", ended)
	}
	h.until(func() bool { return len(h.records(admin.ActionAuditVerify)) == 1 })
	done := h.records(admin.ActionAuditVerify)[0]
	if done.Outcome != audit.OK || done.Detail["faults"] != "0" || done.Detail["head test"] == "" || done.Actor != corp+"/auditor01" {
		t.Errorf("%+v", done.Event)
	}
	b.get("/admin/audit/proof/report?id="+url.QueryEscape(begun.ID)).has(t, http.StatusOK, "No fault found", "This does not prove")
	b.get("/admin/audit/proof").has(t, http.StatusOK, begun.ID, "No fault found")
	b.get("/admin/api/v1/audit/verify/nothing").has(t, http.StatusNotFound)
	var chains []admin.ChainInfo
	decode(t, b.get("/admin/api/v1/audit/chains"), &chains)
	if len(chains) != 1 || chains[0].Replica != "test" || chains[0].Head == "" {
		t.Errorf("%+v", chains)
	}
}

// until asks again and again for what happens in the background.
func (h *house) until(done func() bool) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 10*time.Second)
	defer cancel()
	for !done() {
		if ctx.Err() != nil {
			h.Fatalf("it did not happen\n%s", h.logged)
		}
	}
}

// T117: whatever page or answer an auditor gets is on record first, once; what a
// page fetches again by itself is no other look.
func TestAuditorsAreRead(t *testing.T) {
	h := newHouse(t)
	b := h.enter("auditor01")
	all := func() (n int) {
		found, err := h.log.Search(t.Context(), audit.Query{Limit: 1000})
		must(t, err)
		return len(found)
	}
	looks := 0
	for _, route := range h.console.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		if method != http.MethodGet || route.Access&admin.ToAuditor == 0 || strings.Contains(path, "{") && !strings.HasSuffix(path, "{$}") {
			continue
		}
		before := all()
		if path == "/admin/personal" { // without a person it is a form
			path += "?person=" + corp + "/1001"
		}
		if a := b.get(strings.TrimSuffix(path, "{$}")); a.StatusCode != http.StatusOK {
			continue
		}
		want := 1
		if route.Live {
			want = 0
		}
		if got := all() - before; got != want {
			t.Errorf("%s: %d records, want %d", path, got, want)
		}
		looks += want
	}
	if looks < 15 {
		t.Errorf("only %d looks", looks)
	}
	before := all()
	h.enter("manager01").get("/admin/connections").has(t, http.StatusOK)
	if read := h.records(admin.ActionConsoleRead); all() != before+1 || read[0].Actor != corp+"/auditor01" || read[0].Target == "" {
		t.Errorf("an administrator's look is on record, or the auditor's says nothing: %+v", read[0])
	}
}
