package admin_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/mapping"
	"kdgate/web/admin"
)

const rowQuery = "?data_centre=live&corp=dingcorp1&userid="

func fields(userid, version string, more ...string) []string {
	return append([]string{"data_centre", live, "corp", corp, "userid", userid, "version", version}, more...)
}

// T26: of two editors the second gets a 409 with their own words kept beside
// what is there now; saving again on purpose goes through.
func TestEditConflict(t *testing.T) {
	h := newHouse(t)
	h.row("1001", "1001")
	a, b := h.enter("manager01"), h.enter("mapper01")
	edit := func(b *browser, version, note string) answer {
		return b.post("/admin/mapping/row", fields("1001", version, "staff_number", "1001", "login_user", "user1001", "owner", "manual", "note", note)...)
	}
	if got := edit(a, "1", "first"); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	lost := edit(b, "1", "second <b>")
	lost.has(t, http.StatusConflict, `id="conflict"`, `value="second &lt;b&gt;"`, "first", "dingcorp1/manager01", `name="version" value="2"`)
	if e, err := h.table.Get(t.Context(), key("1001")); err != nil || e.Note != "first" {
		t.Errorf("%q %v", e.Note, err)
	}
	if got := edit(b, "2", "second"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("on purpose: %d", got.StatusCode)
	}
	edit(b, "3", "x\u202ey").has(t, http.StatusBadRequest)
	if got := edit(b, "3", strings.Repeat("x", 501)); got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, "too long") {
		t.Errorf("a note that is too long: %d", got.StatusCode)
	}
}

// T23, T99, T100: who may suspend, reinstate and approve, with a fresh proof.
func TestDecisions(t *testing.T) {
	h := newHouse(t)
	h.row("1001", "1001")
	mapper, manager, second := h.enter("mapper01"), h.enter("manager01"), h.enter("manager02")
	mapper.post("/admin/mapping/row/suspend", fields("1001", "1", "reason", "left")...).has(t, http.StatusSeeOther)
	mapper.post("/admin/mapping/row/reinstate", fields("1001", "2")...).has(t, http.StatusForbidden, "KD-601")
	h.clock.Advance(6 * time.Minute)
	manager.post("/admin/mapping/row/reinstate", fields("1001", "2")...).has(t, http.StatusForbidden, "KD-603", "/admin/confirm")
	manager.prove("manager01")
	manager.post("/admin/mapping/row/reinstate", fields("1001", "2")...).has(t, http.StatusSeeOther)

	mapper.post("/admin/mapping/new", "data_centre", live, "corp", corp, "userid", "boss", "staff_number", "1", "login_user", "Administrator", "owner", "manual").
		has(t, http.StatusForbidden, "two approvals")
	if a := manager.post("/admin/mapping/new", "data_centre", live, "corp", corp, "userid", "boss", "staff_number", "1", "login_user", "Administrator", "owner", "manual"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	manager.post("/admin/mapping/row/approve", fields("boss", "1")...).has(t, http.StatusForbidden, "KD-604")
	second.prove("manager02").post("/admin/mapping/row/approve", fields("boss", "1")...).has(t, http.StatusSeeOther)
	second.post("/admin/mapping/row/approve", fields("boss", "2")...).has(t, http.StatusConflict, "KD-604")
	if e, err := h.table.Get(t.Context(), key("boss")); err != nil || e.Status != mapping.StatusPending || len(e.Approvals) != 1 {
		t.Errorf("%+v %v", e, err)
	}
	if refused := h.records(admin.ActionConsoleRefuse); len(refused) != 1 || refused[0].Target != "post /admin/mapping/row/reinstate" {
		t.Errorf("records %+v", refused)
	}
}

// T105: a cursor that we did not make for this list is refused, and so is every
// filter that is none; the pages of a list hold every row once.
func TestCursors(t *testing.T) {
	h := newHouse(t)
	for i := range 120 {
		h.row(fmt.Sprintf("p%03d", i), fmt.Sprintf("%04d", 1000+i))
	}
	b := h.enter("mapper01")
	seen := map[string]bool{}
	var cursor string
	for {
		var page admin.RowPage
		decode(t, b.get("/admin/api/v1/mappings?order=login_user&cursor="+url.QueryEscape(cursor)), &page)
		for _, e := range page.Rows {
			if seen[e.UserID] {
				t.Errorf("%s twice", e.UserID)
			}
			seen[e.UserID] = true
		}
		if page.Next == "" {
			break
		}
		cursor = page.Next
	}
	if len(seen) != 120 {
		t.Errorf("%d rows", len(seen))
	}
	for _, query := range []string{
		"order=userid&cursor=" + cursor, "order=login_user&cursor=" + cursor[:len(cursor)-2] + "AA", "cursor=bWFwcGluZw", "order=userid%3Bdrop", "status=gone", "owner=me",
		"text=a&text=b", "cursor=%00", "order=login_user&status=active&cursor=" + cursor,
	} {
		if a := b.get("/admin/api/v1/mappings?" + query); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", query, a.StatusCode)
		}
	}
}

// T101, T104: JSON is JSON, names match exactly, nothing is assigned by the
// way, and a body is for the row of its address.
func TestStrictBodies(t *testing.T) {
	h := newHouse(t)
	h.row("1001", "1001")
	h.row("1002", "1002")
	b := h.enter("manager01")
	const at = "/admin/api/v1/mappings/live/dingcorp1/1001"
	for _, body := range []string{
		`{"version":1,"userid":"1002","note":"x"}`, `{"version":1,"data_centre":"other"}`, `{"version":1,"status":"suspended"}`, `{"version":1,"privileged":false}`,
		`{"version":1,"Note":"x"}`, `{"version":1,"note":"a","note":"b"}`, `{"version":1,"note":"a","NOTE":"b"}`, `{"version":"1"}`, `[]`, `{"version":1}{}`, ``,
	} {
		b.send(http.MethodPut, at, body).has(t, http.StatusBadRequest)
	}
	b.do(http.MethodPut, at, strings.NewReader(`{"version":1}`), "Content-Type", "text/plain").has(t, http.StatusUnsupportedMediaType)
	b.send(http.MethodPut, at, `{"version":1,"userid":"1001","note":"good"}`).has(t, http.StatusOK, `"note":"good"`)
	b.send(http.MethodPut, at, `{"version":1,"note":"late"}`).has(t, http.StatusConflict, "KD-605", `"reason":"version"`)
	b.post("/admin/mapping/row", fields("1001", "2", "staff_number", "1001", "login_user", "user1001", "owner", "manual", "note", "", "status", "active")...).
		has(t, http.StatusBadRequest)
	b.get(at+"/chain").has(t, http.StatusOK, `"login_user":"user1001"`)
}

// T26: an act is about the row as somebody saw it, by the body or by If-Match.
// Only whoever suspends may say nothing of it.
func TestActsHonourTheVersion(t *testing.T) {
	h := newHouse(t)
	for _, userid := range []string{"1001", "1002", "1003"} {
		h.row(userid, userid)
	}
	b := h.enter("manager01")
	at := func(userid string) string { return "/admin/api/v1/mappings/live/dingcorp1/" + userid + "/suspend" }
	match := func(userid, tag, body string) answer {
		return b.do(http.MethodPost, at(userid), strings.NewReader(body), "Content-Type", "application/json", "If-Match", tag)
	}
	for _, userid := range []string{"1001", "1002"} {
		b.send(http.MethodPut, strings.TrimSuffix(at(userid), "/suspend"), `{"version":1,"note":"new"}`).has(t, http.StatusOK)
	}
	b.send(http.MethodPost, at("1001"), `{"version":1,"reason":"left"}`).has(t, http.StatusConflict, "KD-605", `"reason":"version"`)
	match("1001", `"1"`, `{"reason":"left"}`).has(t, http.StatusConflict, "KD-605")
	match("1001", `"2"`, `{"version":1,"reason":"left"}`).has(t, http.StatusBadRequest)
	match("1001", `W/"x"`, `{"reason":"left"}`).has(t, http.StatusBadRequest)
	b.send(http.MethodPost, at("1001"), `{"version":2,"reason":"left"}`).has(t, http.StatusOK, `"status":"suspended"`)
	match("1002", `"2"`, `{"reason":"left"}`).has(t, http.StatusOK, `"status":"suspended"`)
	b.send(http.MethodPost, at("1003"), `{"reason":"left"}`).has(t, http.StatusOK, `"status":"suspended"`)
}

// file uploads a CSV file and gives the page of the proposal, checked.
func (b *browser) file(text string) (path, page string) {
	b.Helper()
	path = b.propose(text)
	return path, b.settled(path)
}

// propose uploads a CSV file and gives where its proposal is.
func (b *browser) propose(text string) (path string) {
	b.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", `..\..\evil<b>.csv`)
	must(b, err)
	_, err = part.Write([]byte(text))
	must(b, err)
	must(b, form.Close())
	a := b.do(http.MethodPost, "/admin/mapping/import", &body, "Content-Type", form.FormDataContentType())
	if a.StatusCode != http.StatusSeeOther {
		b.Fatalf("upload: %d %s", a.StatusCode, a.body)
	}
	return a.Header.Get("Location")
}

// settled waits for the background.
func (b *browser) settled(path string) string {
	b.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		a := b.get(path)
		if a.StatusCode != http.StatusOK {
			b.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
		}
		if !strings.Contains(a.body, "<progress") {
			return a.body
		}
		if time.Now().After(deadline) {
			b.Fatal("the job does not end")
		}
	}
}

var digest = regexp.MustCompile(`name="digest" value="([0-9a-f]{64})"`)

func digestOf(t *testing.T, page string) string {
	t.Helper()
	found := digest.FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no button in\n%s", page)
	}
	return found[1]
}

func sheet(n int) string {
	var b strings.Builder
	b.WriteString("corp,userid,data_centre,staff_number,login_user\n")
	for i := range n {
		fmt.Fprintf(&b, "%s,n%03d,%s,%d,user%d\n", corp, i, live, 5000+i, 5000+i)
	}
	return b.String()
}

// F22, T25: preview, per-row verdict, all or nothing, undo.
func TestImport(t *testing.T) {
	h := newHouse(t)
	h.row("n000", "5000")
	b := h.enter("mapper01")
	path, page := b.file("corp,userid,data_centre,staff_number\n" + corp + ",x,live,1\n" + corp + ",y,live,=2\n")
	if !strings.Contains(page, `id="refused"`) || !strings.Contains(page, "formula") || digest.MatchString(page) || !strings.Contains(page, "evil&lt;b&gt;.csv") {
		t.Errorf("a bad line: %s", page)
	}
	b.post(path+"/apply", "digest", strings.Repeat("0", 64)).has(t, http.StatusConflict, "KD-605")
	path, page = b.file(sheet(3))
	b.post(path+"/apply", "digest", digestOf(t, page)).has(t, http.StatusSeeOther)
	if page = b.settled(path); !strings.Contains(page, `id="done"`) {
		t.Fatalf("after it: %s\n%s", h.logged, answer{body: page}.main())
	}
	b.post(path+"/apply", "digest", digestOf(t, `name="digest" value="`+strings.Repeat("a", 64)+`"`)).has(t, http.StatusConflict)
	var runs []mapping.Run
	decode(t, b.get("/admin/api/v1/runs"), &runs)
	if len(runs) != 1 || runs[0].Created != 2 || runs[0].By != "dingcorp1/mapper01" {
		t.Fatalf("runs %+v", runs)
	}
	b.post("/admin/mapping/runs/"+runs[0].ID+"/undo").has(t, http.StatusSeeOther)
	deadline := time.Now().Add(20 * time.Second)
	for runs[0].State != mapping.RunUndone && time.Now().Before(deadline) {
		decode(t, b.get("/admin/api/v1/runs"), &runs)
	}
	if _, err := h.table.Get(t.Context(), key("n001")); err == nil {
		t.Error("the row is still there")
	}
	b.post("/admin/mapping/import").has(t, http.StatusBadRequest)
}

// T100: above 50 rows the author asks and another administrator agrees; neither
// the author, nor a mapping administrator, nor the emergency account can.
func TestFourEyes(t *testing.T) {
	h := newHouse(t)
	author, mapper, other, glass := h.enter("manager01"), h.enter("mapper01"), h.enter("manager02"), h.browser()
	glass.post("/admin/breakglass", "account", "breakglass", "password", h.oneTimeSecret())
	glass.post("/admin/password", "password", "correct horse battery", "again", "correct horse battery")
	path, page := author.file(sheet(51))
	seen := digestOf(t, page)
	other.post(path+"/approve", "digest", seen).has(t, http.StatusConflict) // nobody asked for it yet
	mapper.post(path+"/apply", "digest", seen).has(t, http.StatusForbidden, "KD-604")
	author.post(path+"/apply", "digest", seen).has(t, http.StatusSeeOther)
	author.get(path).has(t, http.StatusOK, `id="waits"`)
	for name, b := range map[string]*browser{"author": author, "mapping administrator": mapper, "emergency account": glass} {
		if a := b.post(path+"/approve", "digest", seen); a.StatusCode != http.StatusForbidden {
			t.Errorf("%s agrees: %d", name, a.StatusCode)
		}
	}
	if _, err := h.table.Get(t.Context(), key("n000")); err == nil {
		t.Fatal("written before anybody agreed")
	}
	other.get("/admin/mapping/import").has(t, http.StatusOK, path)
	other.post(path+"/approve", "digest", digestOf(t, other.get(path).body)).has(t, http.StatusSeeOther)
	if page := other.settled(path); !strings.Contains(page, `id="done"`) {
		t.Fatalf("after it: %s\n%s", h.logged, answer{body: page}.main())
	}
	agreed := h.records(admin.ActionBulkApprove)
	if len(agreed) != 1 || agreed[0].Actor != "dingcorp1/manager02" || agreed[0].OnBehalfOf != "dingcorp1/manager01" {
		t.Errorf("records %+v", agreed)
	}
	var runs []mapping.Run
	decode(t, author.get("/admin/api/v1/runs"), &runs)
	author.post("/admin/mapping/runs/"+runs[0].ID+"/undo").has(t, http.StatusForbidden, "KD-604")
}

// T109: one change to all that a search finds, counted before it is made.
func TestBulkSuspension(t *testing.T) {
	h := newHouse(t)
	for i := range 5 {
		h.row(fmt.Sprintf("p%d", i), fmt.Sprintf("600%d", i))
	}
	b := h.enter("mapper01")
	b.post("/admin/mapping/bulk", "act", "reinstate").has(t, http.StatusForbidden)
	a := b.post("/admin/mapping/bulk", "act", "suspend", "text", "600", "reason", "audit")
	path := a.Header.Get("Location")
	page := b.settled(path)
	if !strings.Contains(page, "Write 5 rows") {
		t.Fatalf("preview: %s", page)
	}
	b.post(path+"/apply", "digest", digestOf(t, page)).has(t, http.StatusSeeOther)
	b.settled(path)
	if e, err := h.table.Get(t.Context(), key("p4")); err != nil || e.Status != mapping.StatusSuspended || e.Reason != "audit" {
		t.Errorf("%+v %v", e, err)
	}
}

// T102: hostile names are text in every view. (The browser tests watch the policy.)
func TestHostileTextIsInert(t *testing.T) {
	h := newHouse(t)
	for i, text := range []string{`"><script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `{{.}}`, `'-alert(1)-'`, `</title><svg onload=alert(1)>`, `javascript:alert(1)`} {
		_, err := h.table.Create(t.Context(), mapping.Actor{Name: "cli:" + text, Admin: true}, mapping.Draft{
			Key: key(fmt.Sprintf("h%d", i)), StaffNumber: fmt.Sprintf("70%d", i), LoginUser: text, Note: text,
		})
		must(t, err)
	}
	b := h.enter("manager01")
	for _, path := range []string{"/admin/mapping", "/admin/mapping/conflicts", "/admin/mapping/row" + rowQuery + "h0", "/admin/mapping/row" + rowQuery + "h4", "/admin/mapping?text=%22%3E%3Cscript%3E"} {
		a := b.get(path)
		a.has(t, http.StatusOK)
		checkPage(t, path, "en", a.body)
		for _, live := range []string{"<script>alert", "<img src=x", "<svg onload"} {
			if strings.Contains(a.body, live) {
				t.Errorf("%s holds %s", path, live)
			}
		}
	}
}

// T103: both exports are attachments that a spreadsheet does not run.
func TestExports(t *testing.T) {
	h := newHouse(t)
	_, err := h.table.Create(t.Context(), mapping.Actor{Name: "cli:test"}, mapping.Draft{Key: key("e1"), StaffNumber: "1", LoginUser: "=cmd|' /C calc'!A0"})
	must(t, err)
	b := h.enter("mapper01")
	a := b.get("/admin/mapping/export?format=csv")
	a.has(t, http.StatusOK, "'=cmd")
	if !strings.Contains(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v", a.Header)
	}
	if x := b.get("/admin/mapping/export?format=xlsx"); x.StatusCode != http.StatusOK || !strings.HasPrefix(x.body, "PK") {
		t.Errorf("xlsx: %d", x.StatusCode)
	}
	b.get("/admin/mapping/export?format=exe").has(t, http.StatusBadRequest)
	h.enter("auditor01").get("/admin/mapping/export").has(t, http.StatusForbidden)
	if made := h.records(audit.ActionMappingExport); len(made) != 2 {
		t.Errorf("%d records", len(made))
	}
}
