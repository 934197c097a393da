package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/mapping/consent"
	"kdgate/web/admin"
)

// F44: the register in the console: coverage, filters, notes of papers, files,
// the export; by page and by API; who may do which.
func TestConsentPage(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	b.get("/admin/consents?lang=en").has(t, http.StatusOK, "Nobody.", "0 / 40", "Version in force: 2")
	b.post("/admin/consents", "userid", "zhangsan", "state", "given", "note", "binder 7").has(t, http.StatusSeeOther)
	b.post("/admin/consents", "userid", "manager01", "state", "given", "note", "mine").has(t, http.StatusForbidden)
	b.post("/admin/consents", "userid", "lisi", "state", "given", "note", "").has(t, http.StatusBadRequest)
	b.get("/admin/consents?lang=en&way=paper").has(t, http.StatusOK, "zhangsan", "binder 7", "1 / 40")
	b.get("/admin/consents?lang=en&state=withdrawn").has(t, http.StatusOK, "Nobody.")

	var report consent.Report
	decode(t, b.send(http.MethodPost, "/admin/api/v1/consents/import", `{"csv":"userid,state,version\nlisi,withdrawn,2\nwangwu,given,1\n"}`), &report)
	if report.Changed != 2 {
		t.Errorf("%+v", report)
	}
	b.send(http.MethodPost, "/admin/api/v1/consents/import", `{"csv":"userid,state\nlisi,perhaps\n"}`).has(t, http.StatusBadRequest, `"line":2`)
	var list admin.ConsentList
	decode(t, h.enter("auditor01").get("/admin/api/v1/consents"), &list)
	if list.Tally != (consent.Tally{Given: 1, Earlier: 1, Withdrawn: 1}) || len(list.Rows) != 3 || list.Known != 40 || !list.Required {
		t.Errorf("%+v", list)
	}
	h.enter("auditor01").post("/admin/consents", "userid", "lisi", "state", "given", "note", "x").has(t, http.StatusForbidden)
	h.enter("mapper01").get("/admin/consents").has(t, http.StatusForbidden)
	file := b.get("/admin/consents/export?state=given")
	if file.has(t, http.StatusOK, "zhangsan", "wangwu"); strings.Contains(file.body, "lisi") {
		t.Errorf("%s", file.body)
	}
	for _, action := range [...]audit.Action{consent.ActionGive, consent.ActionImport, consent.ActionExport} {
		if len(h.records(action)) != 1 {
			t.Errorf("%s is not on record once", action)
		}
	}
}
