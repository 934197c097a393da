package admin_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/web/admin"
)

// holdings is what the table holds about somebody.
func (h *house) holdings(ctx context.Context, who identity.Subject) ([]any, error) {
	row, err := h.table.Get(ctx, key(who.UserID))
	if identity.KindOf(err) == identity.NotFound {
		return nil, nil
	}
	return []any{row}, err
}

// T99: an auditor sees no mobile number, however it is written and wherever it
// stands; an administrator, who hands the file over, has all of it.
func TestAuditorSeesNoMobiles(t *testing.T) {
	h := newHouse(t)
	page := &admin.Personal{Log: h.log, Corps: []string{corp}, Now: h.clock.Now, Holders: []admin.Holder{{Name: "work", Find: func(context.Context, identity.Subject) ([]any, error) {
		return []any{map[string]any{
			"payload": json.RawMessage(`{"change":{"userid":"13900000001","mobile":"13812345678","note":"+86 13912345678 or 13712345678,13612345678"},"phone":"+44 20 7946 0958"}`),
			"at":      1795323802307, "id": "139999999999", "mobile": "0085298765432",
		}}, nil
	}}}}
	h.build(page)
	whole := []string{"13812345678", "13912345678", "13712345678", "13612345678", "7946 0958", "98765432"}
	for _, path := range []string{"/admin/personal?person=13900000001", "/admin/personal/export?person=13900000001", "/admin/api/v1/personal?person=13900000001"} {
		a := h.enter("auditor01").get(path)
		for _, number := range whole {
			if a.StatusCode != http.StatusOK || strings.Contains(a.body, number) {
				t.Errorf("%s: %d, an auditor sees %s", path, a.StatusCode, number)
			}
		}
		for _, kept := range []string{"13900000001", "1795323802307", "139999999999", "*********78"} {
			if !strings.Contains(a.body, kept) {
				t.Errorf("%s lacks %s:\n%s", path, kept, a.body)
			}
		}
		if a := h.enter("manager01").get(path); !strings.Contains(a.body, "13812345678") || !strings.Contains(a.body, "7946 0958") {
			t.Errorf("%s: an administrator does not see everything", path)
		}
	}
}

// F44: everything that is held about one person and nothing of another, as page,
// JSON and file; each look is on record before it is given.
func TestPersonalData(t *testing.T) {
	h := newHouse(t)
	h.row("1001", "1001")
	h.row("1002", "1002")
	must(t, h.log.Append(t.Context(), audit.Event{Action: audit.ActionSignIn, Outcome: audit.OK, Actor: corp + "/1001", Source: "10.9.8.7"}))
	b := h.enter("auditor01")
	b.get("/admin/personal").has(t, http.StatusOK)
	var held admin.Holdings
	decode(t, b.get("/admin/api/v1/personal?person=1001"), &held)
	if held.Person != corp+"/1001" || len(held.Places) != 2 || len(held.Places[0].Items) != 1 || len(held.Places[1].Items) < 2 {
		t.Fatalf("%+v", held)
	}
	b.get("/admin/personal?person=1001").has(t, http.StatusOK, "user1001", "10.9.8.7")
	file := b.get("/admin/personal/export?person=" + corp + "/1001")
	file.has(t, http.StatusOK, "user1001", "10.9.8.7")
	if strings.Contains(file.body, "user1002") || !strings.Contains(file.Header.Get("Content-Disposition"), "attachment") {
		t.Error("the file holds another person, or is no file")
	}
	if reads, exports := h.records(admin.ActionPersonalRead), h.records(admin.ActionPersonalExport); len(reads) != 2 || len(exports) != 1 || exports[0].Target != corp+"/1001" {
		t.Errorf("%d reads, %d exports on record", len(reads), len(exports))
	}
	decode(t, b.get("/admin/api/v1/personal?person=nobody"), &held)
	if len(held.Places[0].Items) != 0 {
		t.Errorf("%+v", held)
	}
	b.get("/admin/personal/export").has(t, http.StatusBadRequest)
	h.enter("mapper01").get("/admin/personal?person=1001").has(t, http.StatusForbidden)
}
