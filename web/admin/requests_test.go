package admin_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
	"kdgate/mapping/access"
	"kdgate/web/admin"
)

// requestsPage is the page over a real book and the real table.
func (h *house) requestsPage() *admin.Requests {
	h.Helper()
	var err error
	h.book, err = access.New(access.Config{Store: h.store, Recorder: h.log, Now: h.clock.Now})
	must(h, err)
	return &admin.Requests{
		Book: h.book, Rows: h.table, Chains: h.table, Centres: []admin.Centre{{ID: live, Name: "正式账套"}},
		Applicant: func(_ context.Context, who identity.Subject) (admin.Applicant, error) {
			if who.UserID == "blocked" {
				return admin.Applicant{}, identity.Fail(identity.Unavailable, identity.CodeDingTalkDown, "dingtalk: away")
			}
			return admin.Applicant{Name: "员工" + who.UserID, Number: "9" + who.UserID, Departments: []string{"财务部<b>"}}, nil
		},
	}
}

// asks opens a request as the gateway would.
func (h *house) asks(userid string) string {
	h.Helper()
	k := access.Key{DataCentre: live, Corp: corp, UserID: userid}
	_, err := h.book.Ask(h.Context(), access.Actor{Name: corp + "/" + userid, Door: "browser"}, k, "员工"+userid, identity.CodeNotMapped)
	must(h, err)
	h.clock.Advance(time.Second)
	return "/admin/requests/" + live + "/" + corp + "/" + userid
}

func (h *house) wish(userid string) access.Request {
	h.Helper()
	r, there, err := h.book.Of(h.Context(), access.Key{DataCentre: live, Corp: corp, UserID: userid})
	must(h, err)
	if !there {
		h.Fatalf("%s never asked", userid)
	}
	return r
}

// F11: requests are listed oldest first with who and what DingTalk says of them;
// granting one makes the row, and both are on record.
func TestRequestsAreGranted(t *testing.T) {
	h := newHouse(t)
	first := h.asks("2002")
	h.asks("1001")
	b := h.enter("mapper01")
	list := b.get("/admin/requests")
	list.has(t, http.StatusOK, "员工2002", first, "KD-201")
	if strings.Index(list.body, "2002") > strings.Index(list.body, "1001") {
		t.Error("the newest stands first")
	}
	page := b.get(first)
	page.has(t, http.StatusOK, "财务部&lt;b&gt;", `name="staff_number" value="2002"`, `name="login_user" value="user2002"`)
	checkPage(t, first, "en", page.body)
	b.post(first+"/approve", "staff_number", "2002", "login_user", "bad\u200buser", "note", "").has(t, http.StatusBadRequest, `id="refusal"`)
	if r := h.wish("2002"); r.State != access.Open {
		t.Errorf("%+v after a row that was refused", r)
	}
	b.post(first+"/approve", "staff_number", "2002", "login_user", "user2002", "note", "申请").has(t, http.StatusSeeOther)
	row, err := h.table.Get(t.Context(), key("2002"))
	must(t, err)
	if r := h.wish("2002"); r.State != access.Granted || r.By != corp+"/mapper01" || row.LoginUser != "user2002" || row.Owner != mapping.OwnerManual {
		t.Errorf("%+v, %+v", r, row)
	}
	b.post(first+"/approve", "staff_number", "", "login_user", "", "note", "").has(t, http.StatusConflict, "KD-605")
	if len(h.records(audit.ActionAccessDecide)) != 1 || len(h.records(audit.ActionMappingCreate)) != 1 {
		t.Error("what was decided is not on record")
	}
	b.get(first).has(t, http.StatusOK, "Granted")
}

// F11: a request is refused with a reason that the person will read; a row that
// is there already is left as it is.
func TestRequestsAreRefused(t *testing.T) {
	h := newHouse(t)
	path := h.asks("1001")
	b := h.enter("manager01")
	b.post(path+"/refuse", "reason", "  ").has(t, http.StatusBadRequest)
	b.post(path+"/refuse", "reason", "请先办理入职").has(t, http.StatusSeeOther)
	if r := h.wish("1001"); r.State != access.Refused || r.Reason != "请先办理入职" {
		t.Errorf("%+v", r)
	}
	b.get("/admin/requests").has(t, http.StatusOK, "Nobody is waiting")
	there := h.asks("1002")
	before := h.row("1002", "1002")
	b.get(there).has(t, http.StatusOK, "There is a row")
	b.post(there+"/approve", "staff_number", "7", "login_user", "someone-else", "note", "").has(t, http.StatusSeeOther)
	after, err := h.table.Get(t.Context(), key("1002"))
	must(t, err)
	if after.Version != before.Version || h.wish("1002").State != access.Granted {
		t.Errorf("%+v", after)
	}
	b.get("/admin/requests/live/dingcorp1/nobody").has(t, http.StatusNotFound)
	blocked := h.asks("blocked")
	b.get(blocked).has(t, http.StatusOK, "KD-111", `id="approve"`)
}

// T100: nobody decides about themselves, also not by JSON, and no row is made on the way.
func TestNobodyGrantsThemselves(t *testing.T) {
	h := newHouse(t)
	path := h.asks("mapper01")
	b := h.enter("mapper01")
	b.get(path).has(t, http.StatusOK, `id="own"`)
	b.post(path+"/approve", "staff_number", "1", "login_user", "user1", "note", "").has(t, http.StatusForbidden, "KD-604")
	api := strings.Replace(path, "/admin/requests", "/admin/api/v1/requests", 1)
	b.send(http.MethodPost, api+"/approve", `{"staff_number":"1"}`).has(t, http.StatusForbidden, "KD-604")
	b.send(http.MethodPost, api+"/refuse", `{"reason":"no"}`).has(t, http.StatusForbidden, "KD-604")
	if _, err := h.table.Get(t.Context(), key("mapper01")); identity.KindOf(err) != identity.NotFound {
		t.Errorf("a row was made: %v", err)
	}
}

// F35: the same by JSON, page by page.
func TestRequestsByJSON(t *testing.T) {
	h := newHouse(t)
	h.asks("1001")
	h.asks("1002")
	b := h.enter("mapper01")
	var page admin.RequestPage
	decode(t, b.get("/admin/api/v1/requests"), &page)
	if len(page.Requests) != 2 || page.Requests[0].UserID != "1001" || page.Next != "" {
		t.Errorf("%+v", page)
	}
	b.get("/admin/api/v1/requests?cursor=made-up").has(t, http.StatusBadRequest)
	const path = "/admin/api/v1/requests/live/dingcorp1/"
	b.send(http.MethodPost, path+"1001/approve", `{"staff_number":"1001","login_user":"user1001"}`).has(t, http.StatusOK, `"state":"granted"`)
	b.send(http.MethodPost, path+"1002/refuse", `{"reason":"no"}`).has(t, http.StatusOK, `"state":"refused"`)
	b.send(http.MethodPost, path+"1003/refuse", `{"reason":"no"}`).has(t, http.StatusNotFound)
}
