package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/web/admin"
)

// F13: whatever the helpdesk was told leads to the person: userid, staff
// number, login user, a name, a short code, a request id, and last a userid
// that no list knows. What is read of the log is on record (F40).
func TestPeopleAreFoundByWhateverIsTold(t *testing.T) {
	h := newHouse(t)
	h.row("1001", "88001")
	h.browser().get("/signin-as/1002?name=李四&next=/")
	must(t, h.log.Append(t.Context(), audit.Event{
		Action: audit.ActionMint, Outcome: audit.Refused, Reason: string(identity.CodeNoLoginUser), Actor: corp + "/1003", RequestID: "0123456789abcdef",
	}))
	b := h.enter("mapper01")
	for text, want := range map[string]string{
		"1001": "/admin/people/dingcorp1/1001", "88001": "/admin/people/dingcorp1/1001", "USER88": "/admin/people/dingcorp1/1001",
		"李四": "/admin/people/dingcorp1/1002", "何七": "/admin/people/dingcorp1/77", "kd-203": "/admin/people/dingcorp1/1003",
		"0123456789abcdef": "/admin/people/dingcorp1/1003", "unheard-of": "/admin/people/dingcorp1/unheard-of",
	} {
		var a answer
		for a = b.get("/admin/people?text=" + text); !strings.Contains(a.body, want) && h.behind(a, text); {
			a = b.get("/admin/people?text=" + text)
		}
		a.has(t, http.StatusOK, `href="`+want+`"`)
		checkPage(t, "people "+text, "en", a.body)
	}
	b.get("/admin/people?text="+strings.Repeat("x", 201)).has(t, http.StatusBadRequest)
	if n := len(h.records(audit.ActionAuditRead)); n < 8 {
		t.Errorf("%d reads of the log on record", n)
	}
	var found admin.Findings
	decode(t, b.get("/admin/api/v1/people?text=0123456789abcdef"), &found)
	if len(found.Lines) != 1 || found.Lines[0].Reason != "KD-203" || found.Lines[0].Action != audit.ActionMint ||
		len(found.People) != 1 || found.People[0].Corp != corp || found.People[0].UserID != "1003" {
		t.Errorf("%+v", found)
	}
	must(t, h.log.Append(t.Context(), audit.Event{ // about no person of ours, whatever it looks like
		Action: audit.ActionMint, Outcome: audit.OK, Actor: audit.System, Target: "kingdee/live", RequestID: "fedcba9876543210",
	}))
	decode(t, b.get("/admin/api/v1/people?text=fedcba9876543210"), &found)
	if len(found.Lines) != 1 || len(found.People) != 0 {
		t.Errorf("%+v", found)
	}
}

// behind reports that the index has not taken the row in yet.
func (h *house) behind(a answer, text string) bool {
	h.Helper()
	stats, err := h.index.Stats(h.Context())
	must(h, err)
	return stats.Rows == 0 && a.StatusCode == http.StatusOK && text != ""
}

// F13, F14: a person's page says which link holds and which does not, in the
// vendor's words and with what to do about it; and shows the last ten sign-ins.
func TestLoginDoctor(t *testing.T) {
	h := newHouse(t)
	h.row("1001", "1001")
	for range 12 {
		must(t, h.log.Append(t.Context(), audit.Event{Action: audit.ActionSignIn, Outcome: audit.OK, Actor: corp + "/1001", Door: "browser", RequestID: "r1"}))
	}
	h.browser().prove("1001")
	b := h.enter("mapper01")
	page := b.get("/admin/people/dingcorp1/1001")
	page.has(t, http.StatusOK, `hx-get="/admin/people/dingcorp1/1001/doctor"`, "data_centre=live&amp;userid=1001")
	if n := strings.Count(page.body, `<a href="/admin/people?text=r1">`); n != 10 {
		t.Errorf("%d sign-ins are shown, want the last ten", n)
	}
	if strings.Contains(page.body, "/admin/sessions/end") {
		t.Error("a mapping administrator is offered to end sessions, which they may not")
	}
	h.enter("manager01").get("/admin/people/dingcorp1/1001").has(t, http.StatusOK, "/admin/sessions/end")

	good := b.do(http.MethodGet, "/admin/people/dingcorp1/1001/doctor", nil, "HX-Request", "true")
	good.has(t, http.StatusOK, "员工1001", "<strong>user1001</strong>")
	if strings.Contains(good.body, `class="bad"`) || strings.Contains(good.body, "13800138000") || strings.Contains(good.body, "<html") {
		t.Errorf("a whole chain, no mobile, a part of a page:\n%s", good.body)
	}
	bad := b.get("/admin/people/dingcorp1/blocked/doctor")
	bad.has(t, http.StatusOK, "KD-113", "60020", "Allow egress IP 203.0.113.7")
	checkPage(t, "doctor", "en", bad.body)
	b.get("/admin/people/dingcorp1/nobody/doctor").has(t, http.StatusOK, "KD-106")
}

// F35: the same by JSON.
func TestPersonByJSON(t *testing.T) {
	h := newHouse(t)
	h.row("1001", "1001")
	h.browser().prove("1001")
	b := h.enter("mapper01")
	var detail admin.PersonDetail
	decode(t, b.get("/admin/api/v1/people/dingcorp1/1001"), &detail)
	if detail.DingTalk == nil || detail.DingTalk.Name != "员工1001" || len(detail.Chains) != 1 || detail.Chains[0].Code != "" ||
		detail.Chains[0].Chain.Account.LoginUser != "user1001" || len(detail.Sessions) != 1 {
		t.Errorf("%+v", detail)
	}
	decode(t, b.get("/admin/api/v1/people/dingcorp1/blocked"), &detail)
	if detail.DingTalk.Code != identity.CodeDingTalkSetup || detail.DingTalk.Saying == nil || detail.DingTalk.Saying.Address != "203.0.113.7" {
		t.Errorf("%+v", detail.DingTalk)
	}
}
