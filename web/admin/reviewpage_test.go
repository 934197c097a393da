package admin_test

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/audit/review"
)

// F43: each question is a page, a page to print, a file and JSON, all alike;
// each look is on record (T117), and nobody but readers gets one.
func TestReviewerPack(t *testing.T) {
	h := newHouse(t)
	h.row("1001", "1001")
	must(t, h.log.Append(t.Context(), audit.Event{Action: audit.ActionSignIn, Outcome: audit.Failed, Reason: "=cmd()", Actor: corp + "/1001", Source: "10.0.0.1"}))
	b := h.enter("auditor01")
	looks := 0
	for _, kind := range review.Kinds {
		query := "?kind=" + string(kind) + "&from=2026-03-01&to=2026-03-03"
		var sheet review.Sheet
		decode(t, b.get("/admin/api/v1/review"+query), &sheet)
		page, print := b.get("/admin/review"+query), b.get("/admin/review/print"+query)
		page.has(t, http.StatusOK, "2026-03-01 00:00:00 UTC")
		print.has(t, http.StatusOK)
		file := b.get("/admin/review/export" + query)
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(file.body, "\ufeff"))).ReadAll()
		must(t, err)
		if len(rows) != len(sheet.Rows)+1 || len(rows[0]) != len(sheet.Columns) {
			t.Errorf("%s: %d rows in the file, %d in the answer", kind, len(rows), len(sheet.Rows))
		}
		looks++
	}
	failures := b.get("/admin/review/export?kind=failures&from=2026-03-01&to=2026-03-03").body
	if !strings.Contains(failures, "'=cmd()") { // T103
		t.Errorf("a formula: %s", failures)
	}
	if reads := h.records(audit.ActionAuditRead); len(reads) != 3*looks || reads[0].Detail["from"] != "2026-03-01" || !strings.HasPrefix(reads[0].Target, "review ") {
		t.Errorf("%d reads on record, %+v", len(reads), reads[0].Event)
	}
	if exports := h.records(audit.ActionAuditExport); len(exports) != looks+1 {
		t.Errorf("%d exports on record", len(exports))
	}
	b.get("/admin/review?kind=gossip").has(t, http.StatusBadRequest)
	b.get("/admin/review?from=2026-03-03&to=2026-03-01").has(t, http.StatusBadRequest)
	h.enter("mapper01").get("/admin/review").has(t, http.StatusForbidden)
}
