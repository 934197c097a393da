package admin_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/web/admin"
)

// handles are the sessions that a page offers to end.
func handles(page string) []string {
	var found []string
	for _, match := range regexp.MustCompile(`name="handle" value="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		found = append(found, match[1])
	}
	return found
}

// F9, T45: an administrator finds a person's sessions, ends one, and then all of
// them; the browser is out at its next request, and each act is on record first.
func TestSessionsAreFoundAndEnded(t *testing.T) {
	h := newHouse(t)
	phone, desk, other := h.browser().prove("1001"), h.browser().prove("1001"), h.browser().prove("1002")
	b := h.enter("manager01")
	page := b.get("/admin/sessions?text=DINGCORP1/1001")
	page.has(t, http.StatusOK, "4 sessions in all", "1001")
	found := handles(page.body)
	if len(found) != 2 || strings.Contains(page.main(), "1002") {
		t.Fatalf("%d sessions of 1001\n%s", len(found), page.main())
	}
	b.post("/admin/sessions/end", "corp", corp, "userid", "1001", "handle", found[0], "text", "").has(t, http.StatusSeeOther)
	if left := b.alive(phone, desk); left != 1 {
		t.Errorf("%d of two sessions live after one was ended", left)
	}
	b.post("/admin/sessions/end", "corp", corp, "userid", "1001", "handle", found[0], "text", "").has(t, http.StatusSeeOther) // twice is no failure
	b.post("/admin/sessions/end", "corp", corp, "userid", "1001", "handle", "").has(t, http.StatusSeeOther)
	if left := b.alive(phone, desk); left != 0 {
		t.Errorf("%d sessions live after all were ended", left)
	}
	if b.alive(other) != 1 {
		t.Error("somebody else's session ended too")
	}
	records := h.records(audit.ActionSessionEnd)
	if len(records) != 3 || records[0].Target != corp+"/1001" || records[0].Actor != corp+"/manager01" || records[2].Detail["which"] != found[0] {
		t.Errorf("records: %+v", records)
	}
}

// alive counts the browsers whose person is still signed in.
func (b *browser) alive(browsers ...*browser) int {
	b.Helper()
	n := 0
	for _, other := range browsers {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, b.URL+"/", nil)
		must(b, err)
		for name, value := range other.cookies {
			r.Header.Add("Cookie", name+"="+value)
		}
		if _, err := b.sessions.Peek(r); err == nil {
			n++
		}
	}
	return n
}

// T14, T45: ending everybody's sessions takes a fresh proof, and then ends the
// console session of whoever asked too.
func TestEverybodysSessionsEnd(t *testing.T) {
	h := newHouse(t)
	employee, b := h.browser().prove("1001"), h.enter("manager01")
	h.clock.Advance(6 * time.Minute)
	if a := b.post("/admin/sessions/end-everybody"); !strings.Contains(a.body+a.Header.Get("Location"), "KD-603") && !strings.Contains(a.Header.Get("Location"), "confirm") {
		t.Errorf("with an old proof: %d\n%s", a.StatusCode, a.main())
	}
	if b.alive(employee) != 1 {
		t.Fatal("ended without a proof")
	}
	b = h.enter("manager01")
	b.post("/admin/sessions/end-everybody").has(t, http.StatusSeeOther)
	if b.alive(employee, b) != 0 {
		t.Error("a session lives on")
	}
	if a := b.get("/admin/sessions"); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/admin/enter") {
		t.Errorf("the console is still open: %d", a.StatusCode)
	}
}

// T111: what cannot be put on record is not done.
func TestSessionsStayWhenNothingCanBeRecorded(t *testing.T) {
	h := newHouse(t)
	employee, b := h.browser().prove("1001"), h.enter("manager01")
	must(t, h.log.Close())
	b.post("/admin/sessions/end", "corp", corp, "userid", "1001", "handle", "").has(t, http.StatusServiceUnavailable, "KD-502")
	if b.alive(employee) != 1 {
		t.Error("ended off the record")
	}
}

// F35, T105: the same by JSON, page by page; a cursor of another search is refused.
func TestSessionsByJSON(t *testing.T) {
	h := newHouse(t)
	for i := range 60 {
		h.browser().prove(fmt.Sprintf("w%03d", i))
	}
	b := h.enter("manager01")
	var first, second admin.SessionPage
	decode(t, b.get("/admin/api/v1/sessions?text=w0"), &first)
	decode(t, b.get("/admin/api/v1/sessions?text=w0&cursor="+first.Next), &second)
	seen := map[string]bool{}
	for _, s := range append(first.Sessions, second.Sessions...) {
		seen[s.UserID] = true
	}
	if len(first.Sessions) != 50 || len(seen) != 60 || second.Next != "" || first.Total != 61 {
		t.Errorf("%d, then %d, %d people, total %d", len(first.Sessions), len(second.Sessions), len(seen), first.Total)
	}
	b.get("/admin/api/v1/sessions?text=w1&cursor="+first.Next).has(t, http.StatusBadRequest)
	var ended admin.Ended
	decode(t, b.send(http.MethodPost, "/admin/api/v1/sessions/end", `{"corp":"dingcorp1","userid":"w001"}`), &ended)
	if ended.Ended != 1 {
		t.Errorf("ended %d", ended.Ended)
	}
	b.send(http.MethodPost, "/admin/api/v1/sessions/end", `{"corp":"dingcorp1","userid":"w002","handle":"nobody"}`).has(t, http.StatusNotFound)
	b.send(http.MethodPost, "/admin/api/v1/sessions/end", `{"corp":"dingcorp1"}`).has(t, http.StatusBadRequest)
}
