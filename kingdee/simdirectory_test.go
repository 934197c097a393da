package kingdee_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

func (s *stage) calls(part string) int {
	n := 0
	for _, call := range s.sim.Calls() {
		if strings.Contains(call.Route, part) {
			n++
		}
	}
	return n
}

// lastBody is what the last call of a method said.
func (s *stage) lastBody(part string) (body string) {
	for _, call := range s.sim.Calls() {
		if strings.Contains(call.Route, part) {
			body = call.Body
		}
	}
	return body
}

func (s *stage) staff(number string) (found []kingdeesim.StaffInfo) {
	for _, one := range s.sim.Staff() {
		if one.Number == number {
			found = append(found, one)
		}
	}
	return found
}

func drafts(from, to int) []kingdee.StaffDraft {
	var out []kingdee.StaffDraft
	for i := from; i < to; i++ {
		out = append(out, kingdee.StaffDraft{Number: fmt.Sprintf("N%05d", i), Name: "新人", Mobile: "13900000000"})
	}
	return out
}

func refusal(err error) *kingdee.Refusal {
	no, _ := errors.AsType[*kingdee.Refusal](err)
	return no
}

// TestSaveStaff proves F52 and SIM-K67: good rows are saved, bad ones set aside
// each with its own reason, and the results stand in the order of the drafts.
func TestSaveStaff(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil).Background()
	at := time.Date(2026, 3, 31, 20, 0, 0, 0, time.UTC) // April in UTC+8
	results, err := c.SaveStaff(t.Context(), []kingdee.StaffDraft{
		{Number: "2001", Name: "甲", JoinDate: at, Account: "api", Posts: []kingdee.StaffPost{{Department: "BM000001", Position: "GW0002", Primary: true}}},
		{Number: "1001", Name: "已有"},
		{Number: "2003"},
		{Number: "2004", Name: "丁", Posts: []kingdee.StaffPost{{Department: "NONE", Position: "GW0001"}}},
		{Number: "2005", Name: "戊", CreateUser: true},
	})
	if err != nil || len(results) != 5 {
		t.Fatal(results, err)
	}
	for i, want := range []string{"", "编码唯一", "必录", "不存在", ""} {
		got := results[i]
		if got.Index != i || (want == "") != (got.Err == nil) || (want == "") != (got.ID != "") {
			t.Errorf("row %d: %+v", i, got)
		}
		if want != "" && (refusal(got.Err) == nil || !strings.Contains(refusal(got.Err).Error(), want) || errors.Is(got.Err, kingdee.ErrAmbiguous)) {
			t.Errorf("row %d: %v", i, got.Err)
		}
	}
	if !refusal(results[1].Err).Duplicate() || refusal(results[2].Err).Duplicate() {
		t.Error("a duplicate is not told from another refusal")
	}
	if one := s.staff("2001"); len(one) != 1 || one[0].DocumentStatus != "A" || len(one[0].Posts) != 1 || !slices.Equal(one[0].Users, []string{"api"}) {
		t.Errorf("saved: %+v", one)
	}
	if one := s.staff("2005"); len(one) != 1 || !slices.Equal(one[0].Users, []string{"戊"}) {
		t.Errorf("with a user: %+v", one)
	}
	if len(s.staff("2003"))+len(s.staff("2004")) != 0 || len(s.staff("1001")) != 1 {
		t.Error("a refused row was written")
	}
	s.approve(t, c, results[0].ID)
	s.change(t, c, results[0].ID)
}

// approve takes a new record to status C: only then anybody may sign in by it.
func (s *stage) approve(t *testing.T, c *kingdee.Client, id string) {
	t.Helper()
	for _, run := range []func() ([]kingdee.RowResult, error){
		func() ([]kingdee.RowResult, error) { return c.Submit(t.Context(), "BD_Empinfo", id) },
		func() ([]kingdee.RowResult, error) { return c.Audit(t.Context(), "BD_Empinfo", id) },
	} {
		if got, err := run(); err != nil || got[0].Err != nil || got[0].ID != id {
			t.Fatal(got, err)
		}
	}
	staff, err := c.StaffByNumber(t.Context(), "2001")
	if err != nil || len(staff) != 1 || !staff[0].Approved {
		t.Errorf("after the audit: %v %v", staff, err)
	}
	if got, err := c.Audit(t.Context(), "BD_Empinfo", id); err != nil || refusal(got[0].Err) == nil {
		t.Errorf("audited twice: %v %v", got, err) // SIM-K70
	}
}

// change proves that a change writes its own fields only, and keeps the posts.
func (s *stage) change(t *testing.T, c *kingdee.Client, id string) {
	t.Helper()
	got, err := c.SaveStaff(t.Context(), []kingdee.StaffDraft{
		{ID: id, Mobile: "13700000000"},
		{ID: id, Name: "甲二"},
		{ID: "999999", Name: "nobody"},
	})
	if err != nil || got[0].Err != nil || got[1].Err != nil || refusal(got[2].Err) == nil {
		t.Fatal(got, err)
	}
	one := s.staff("2001")
	if len(one) != 1 || one[0].Mobile != "13700000000" || one[0].Name != "甲二" || len(one[0].Posts) != 1 || one[0].DocumentStatus != "C" {
		t.Errorf("changed: %+v", one)
	}
	record, err := c.View(t.Context(), "BD_Empinfo", id)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := c.SaveStaff(t.Context(), []kingdee.StaffDraft{
		{ID: id, Posts: []kingdee.StaffPost{{EntryID: record.Entries("PostEntity")[0].Text("Id", 0), Department: "BM000001", Position: "GW0001", Primary: true}}},
	})
	if err != nil || moved[0].Err != nil {
		t.Fatal(moved, err)
	}
	for got, err := range c.AllStaff(t.Context(), kingdee.Listing{Filter: kingdee.Equals("FStaffNumber", "2001")}) {
		if err != nil || got.Position != "GW0001" {
			t.Errorf("after a move: %+v %v", got, err)
		}
	}
}

// TestUnits saves departments and positions below one another, and a post record.
func TestUnits(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil).Background()
	for level, parent := range []string{"", "D0", "D1", "NONE"} {
		got, err := c.SaveDepartments(t.Context(), []kingdee.DepartmentDraft{{Number: fmt.Sprintf("D%d", level), Name: "部", Parent: parent}})
		if err != nil || (got[0].Err == nil) != (level < 3) {
			t.Fatalf("level %d: %v %v", level, got, err)
		}
	}
	positions, err := c.SavePositions(t.Context(), []kingdee.PositionDraft{{Number: "P1", Name: "岗", Department: "D2", Effective: time.Now()}, {Number: "P2", Name: "岗"}})
	if err != nil || positions[0].Err != nil || refusal(positions[1].Err) == nil {
		t.Fatal(positions, err)
	}
	draft := []kingdee.PostDraft{{Staff: "1003", Department: "D2", Position: "P1", Primary: true}}
	posts, err := c.SavePosts(t.Context(), draft)
	if err != nil || refusal(posts[0].Err) == nil {
		t.Fatal("a second main post:", posts, err)
	}
	for post, err := range c.AllPosts(t.Context(), kingdee.Listing{Filter: kingdee.Equals("FPerson.FNumber", "1003")}) {
		if err != nil {
			t.Fatal(err)
		}
		if demoted, err := c.SavePosts(t.Context(), []kingdee.PostDraft{{ID: post.ID, Demote: true}}); err != nil || demoted[0].Err != nil {
			t.Fatal("the mark is not taken off:", demoted, err)
		}
	}
	if posts, err = c.SavePosts(t.Context(), draft); err != nil || posts[0].Err != nil {
		t.Fatal(posts, err)
	}
	deep := s.sim.Departments()
	if last := deep[len(deep)-1]; last.Number != "D2" || last.Parent != "D1" || last.Depth != 3 {
		t.Errorf("departments: %+v", deep)
	}
	n := 0
	for post, err := range c.AllPosts(t.Context(), kingdee.Listing{Filter: kingdee.Equals("FPerson.FNumber", "1003")}) {
		if n++; err != nil || post.Staff != "1003" || post.Primary != (n == 2) || (n == 2 && (post.Position != "P1" || post.Department != "D2")) {
			t.Errorf("post %+v %v", post, err)
		}
	}
	if n != 2 {
		t.Errorf("%d posts", n)
	}
	for position, err := range c.AllPositions(t.Context(), kingdee.Listing{}) {
		if err != nil || position.Number == "P1" && position.Department != "D2" {
			t.Error(position, err)
		}
	}
}

// TestForbid takes a leaver's staff record and user out of use, and back (F52, F54).
func TestForbid(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	staff, err := c.StaffByNumber(t.Context(), "1001")
	if err != nil {
		t.Fatal(err)
	}
	users, err := c.UsersOfStaff(t.Context(), staff[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		run func() ([]kingdee.RowResult, error)
		ok  bool
	}{
		{func() ([]kingdee.RowResult, error) { return c.ForbidStaff(t.Context(), staff[0].ID) }, true},
		{func() ([]kingdee.RowResult, error) { return c.ForbidUser(t.Context(), users[0].ID) }, true},
		{func() ([]kingdee.RowResult, error) { return c.ForbidUser(t.Context(), users[0].ID) }, false},
		{func() ([]kingdee.RowResult, error) { return c.EnableStaff(t.Context(), staff[0].ID) }, true},
		{func() ([]kingdee.RowResult, error) { return c.EnableUser(t.Context(), users[0].ID) }, true},
	} {
		got, err := step.run()
		if err != nil || (got[0].Err == nil) != step.ok {
			t.Fatal(got, err)
		}
	}
	other := s.client(t, func(cfg *kingdee.Config) { cfg.Users.User.Forbid = "Disable" }) // as one public client calls it (reference 3.2)
	if got, err := other.ForbidUser(t.Context(), users[0].ID); err != nil || got[0].Err != nil || !strings.Contains(s.lastBody("ExcuteOperation"), `"opNumber":"Disable"`) {
		t.Error("by another name:", got, err)
	}
	if _, err := c.ForbidUser(t.Context(), "1,2"); identity.KindOf(err) != identity.Invalid {
		t.Errorf("two ids in one: %v", err)
	}
}

// TestSessionLostInBatch proves R27: the session ends in the middle of a batch,
// one login follows, and the batch goes on at the same records, none twice.
func TestSessionLostInBatch(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil).Background()
	if err := s.sim.AddFault(kingdeesim.Fault{Match: "BatchSave", Kind: kingdeesim.FaultLoseSession, After: 1}); err != nil {
		t.Fatal(err)
	}
	results, err := c.SaveStaff(t.Context(), drafts(0, 65))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil || r.Number != fmt.Sprintf("N%05d", i) || len(s.staff(r.Number)) != 1 {
			t.Fatalf("%+v", r)
		}
	}
	if n := s.calls("Login"); n != 2 {
		t.Errorf("%d logins", n)
	}
	if n := s.calls("BatchSave"); n != 5 { // four batches of at most 20, one of them refused for its session
		t.Errorf("%d batches sent", n)
	}
}

// TestBatchEnds proves that a batch whose outcome is unknown ends the run: its
// records are ambiguous, those before it saved, those behind it not sent.
func TestBatchEnds(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil).Background()
	if err := s.sim.AddFault(kingdeesim.Fault{Match: "BatchSave", Kind: kingdeesim.FaultAfter, After: 1}); err != nil {
		t.Fatal(err)
	}
	results, err := c.SaveStaff(t.Context(), drafts(0, 60))
	if !errors.Is(err, kingdee.ErrAmbiguous) {
		t.Fatal(err)
	}
	for i, r := range results {
		switch {
		case i < 20 && r.Err != nil, i >= 20 && i < 40 && !errors.Is(r.Err, kingdee.ErrAmbiguous), i >= 40 && !errors.Is(r.Err, kingdee.ErrNotSent):
			t.Errorf("row %d: %v", i, r.Err)
		}
	}
	if n := s.calls("BatchSave"); n != 2 {
		t.Errorf("%d batches sent", n)
	}
}

// TestApprove proves that a record ends audited from wherever it stood before
// that, and that one which cannot says why.
func TestApprove(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil).Background()
	saved, err := c.SaveStaff(t.Context(), drafts(0, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), "BD_Empinfo", saved[1].ID); err != nil {
		t.Fatal(err)
	}
	for round, ok := range []bool{true, false} {
		got, err := c.Approve(t.Context(), "BD_Empinfo", saved[0].ID, saved[1].ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			if (r.Err == nil) != ok || (refusal(r.Err) == nil) != ok {
				t.Errorf("round %d: %+v", round, r)
			}
		}
	}
	for _, d := range drafts(0, 2) {
		if one := s.staff(d.Number); one[0].DocumentStatus != kingdeesim.Audited {
			t.Errorf("%+v", one)
		}
	}
}

// TestExamineForms proves that a wrong key is found before a run (reference 9).
func TestExamineForms(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, func(cfg *kingdee.Config) { cfg.Forms.Department.Parent = "FNoSuchField" })
	wrong := map[string]bool{}
	for _, finding := range append(c.ExamineForms(t.Context()), c.ExamineBills(t.Context(), expense, "GL_VOUCHER", "ER_Nothing")...) {
		wrong[finding.Item] = finding.Err != nil
		if finding.Err != nil && identity.KindOf(finding.Err) != identity.Misconfigured {
			t.Errorf("%s: %v", finding.Item, finding.Err)
		}
	}
	for form, want := range map[string]bool{"BD_Empinfo": false, "BD_Department": true, "HR_ORG_HRPOST": false, "BD_NEWSTAFF": false, expense: false, "GL_VOUCHER": false, "ER_Nothing": true} {
		if got, asked := wrong[form]; !asked || got != want {
			t.Errorf("%s: asked %t, wrong %t", form, asked, got)
		}
	}
}

// TestExamineBillsWithoutRights: whoever may not look a form up is told so, also
// where Kingdee shows such a user nothing instead of refusing (SIM-K57), and whether
// the form has bills or none.
func TestExamineBillsWithoutRights(t *testing.T) {
	for _, filled := range []bool{false, true} {
		s := newStage(t, func(dc *kingdeesim.DataCentre) {
			dc.Tables.Users[len(dc.Tables.Users)-1].NoRights = []string{expense}
		})
		if filled {
			if _, err := s.sim.Put("", kingdeesim.Document{Form: expense, Model: map[string]any{"FBillNo": "DD-1"}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, refuses := range []bool{false, true} {
			s.sim.SetSwitches(kingdeesim.Switches{NoRightsIsError: refuses})
			for _, finding := range s.client(t, nil).ExamineBills(t.Context(), expense, "GL_VOUCHER") {
				fault, _ := errors.AsType[*kingdee.Fault](finding.Err)
				if blind := finding.Item == expense; (fault != nil) != blind || blind && fault.Name != "no-rights" {
					t.Errorf("bills %t, refuses %t: %s: %v", filled, refuses, finding.Item, finding.Err)
				}
			}
		}
	}
}

// TestRights proves that a missing right is the administrator's matter and not a
// record's (row 19).
func TestRights(t *testing.T) {
	s := newStage(t, func(dc *kingdeesim.DataCentre) {
		last := len(dc.Tables.Users) - 1
		dc.Tables.Users[last].ReadOnly = []string{"BD_Empinfo"}
	})
	c := s.client(t, nil)
	results, err := c.SaveStaff(t.Context(), drafts(0, 2))
	if identity.KindOf(err) != identity.Misconfigured || !errors.Is(results[0].Err, kingdee.ErrNotSent) {
		t.Errorf("%v %v", results, err)
	}
	if !strings.Contains(s.log.String(), "no-rights") {
		t.Error("the administrator is not told")
	}
}
