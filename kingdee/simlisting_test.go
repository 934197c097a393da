package kingdee_test

import (
	"fmt"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

func crowded(people int) func(*kingdeesim.DataCentre) {
	return func(dc *kingdeesim.DataCentre) {
		for i := range people {
			dc.Tables.Hire(kingdeesim.Employee{Number: fmt.Sprintf("C%06d", i), Name: "众人"})
		}
	}
}

// TestListing proves that everybody is listed once, in order, page by page, and
// that a listing can be resumed at any record (F50, F56).
func TestListing(t *testing.T) {
	s := newStage(t, crowded(300))
	for _, size := range []int{1, 7, 512, 2000} {
		c := s.client(t, func(cfg *kingdee.Config) { cfg.API.PageSize = size })
		var ids []string
		for one, err := range c.AllStaff(t.Context(), kingdee.Listing{}) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, one.ID)
		}
		if want := len(s.sim.Staff()); len(ids) != want {
			t.Fatalf("%d a page: %d of %d", size, len(ids), want)
		}
		var rest int
		for one, err := range c.AllStaff(t.Context(), kingdee.Listing{Start: 100, After: ids[99]}) {
			if err != nil || one.ID != ids[100+rest] {
				t.Fatalf("resumed: %v %v", one, err)
			}
			rest++
		}
		if rest != len(ids)-100 {
			t.Errorf("resumed at 100: %d more", rest)
		}
	}
}

// TestListingPosts proves that somebody with several posts, for whom Kingdee answers
// several rows, is listed once and with the main post, wherever a page ends.
func TestListingPosts(t *testing.T) {
	s := newStage(t, func(dc *kingdeesim.DataCentre) {
		for i := range 100 {
			dc.Tables.Hire(kingdeesim.Employee{Number: fmt.Sprintf("P%03d", i), Name: "多岗", ExtraPosts: i % 4})
		}
		last := map[int64]int{}
		for i, post := range dc.Tables.Posts {
			last[post.PersonID] = i
			dc.Tables.Posts[i].First = false
		}
		for _, i := range last {
			dc.Tables.Posts[i].First = true
		}
	})
	for _, size := range []int{1, 52, 53, 57, 100, 2000} {
		c := s.client(t, func(cfg *kingdee.Config) { cfg.API.PageSize = size })
		seen := map[string]string{}
		for one, err := range c.AllStaff(t.Context(), kingdee.Listing{}) {
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := seen[one.ID]; twice {
				t.Errorf("%d a page: %s stands twice", size, one.Number)
			}
			seen[one.ID] = one.Position
			var n int
			if count, _ := fmt.Sscanf(one.Number, "P%d", &n); count == 1 && one.Position != fmt.Sprintf("GW000%d", 1+n%4%2) {
				t.Errorf("%d a page: %s holds %s", size, one.Number, one.Position)
			}
		}
		if want := len(s.sim.Staff()); len(seen) != want {
			t.Errorf("%d a page: %d of %d", size, len(seen), want)
		}
	}
	unmarked := s.client(t, func(cfg *kingdee.Config) { cfg.API.PageSize, cfg.Forms.Staff.Primary = 52, kingdee.None })
	count := 0
	for _, err := range unmarked.AllStaff(t.Context(), kingdee.Listing{}) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if want := len(s.sim.Staff()); count != want {
		t.Errorf("without the mark: %d of %d", count, want)
	}
}

// TestListingTooManyPosts: more rows than one person can have mean that something is
// wrong, and end the listing instead of turning in a circle.
func TestListingTooManyPosts(t *testing.T) {
	s := newStage(t, func(dc *kingdeesim.DataCentre) {
		dc.Tables.Hire(kingdeesim.Employee{Number: "P1", Name: "多岗", ExtraPosts: 60})
	})
	c := s.client(t, func(cfg *kingdee.Config) { cfg.API.PageSize = 1 })
	for _, err := range c.AllStaff(t.Context(), kingdee.Listing{}) {
		if err != nil && identity.KindOf(err) == identity.Upstream {
			return
		}
	}
	t.Error("no error")
}

// TestBlankIsEmpty proves that the one space which Kingdee keeps for an empty text
// is an empty text, in queries and in View, and that other spaces stay.
func TestBlankIsEmpty(t *testing.T) {
	s := newStage(t, func(dc *kingdeesim.DataCentre) {
		dc.Tables.Hire(kingdeesim.Employee{Number: "2001", Name: " 前后 ", Email: "x@example.com"})
	})
	s.sim.SetSwitches(kingdeesim.Switches{BlankTexts: true})
	c := s.client(t, nil)
	for one, err := range c.AllStaff(t.Context(), kingdee.Listing{Filter: kingdee.Equals("FStaffNumber", "2001")}) {
		if err != nil || one.Mobile != "" || one.Email != "x@example.com" || one.Name != " 前后 " {
			t.Errorf("%+v %v", one, err)
		}
		record, err := c.View(t.Context(), "BD_Empinfo", one.ID)
		if err != nil || record.Text("Mobile", 2052) != "" || record.Text("Name", 2052) != " 前后 " {
			t.Errorf("%+v %v", record, err)
		}
	}
}

// TestListingWhileRecordsGo proves that nobody is left out when records before
// the page go between two pages.
func TestListingWhileRecordsGo(t *testing.T) {
	s := newStage(t, crowded(300))
	c := s.client(t, func(cfg *kingdee.Config) { cfg.API.PageSize = 50 })
	all := map[string]bool{}
	var early []string
	for _, one := range s.sim.Staff() {
		all[one.Number] = true
	}
	seen := map[string]bool{}
	for one, err := range c.AllStaff(t.Context(), kingdee.Listing{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[one.Number] && one.Number != "1009" { // the stage has two of these
			t.Errorf("%s twice", one.Number)
		}
		seen[one.Number] = true
		early = append(early, one.ID)
		if len(early) == 120 {
			s.dismiss(t, c, early[:30])
		}
	}
	if len(seen) != len(all) {
		t.Errorf("%d of %d were listed", len(seen), len(all))
	}
}

// dismiss deletes records, which only a state before the audit allows.
func (s *stage) dismiss(t *testing.T, c *kingdee.Client, ids []string) {
	t.Helper()
	for _, op := range []kingdee.Operation{kingdee.OpUnAudit, kingdee.OpDelete} {
		results, err := c.Operate(t.Context(), "BD_Empinfo", op, ids...)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil && op == kingdee.OpDelete && r.Index > 10 {
				t.Fatal(op, r)
			}
		}
	}
}

// TestSince proves that a comparison asks only for what changed (F51, F53).
func TestSince(t *testing.T) {
	s := newStage(t, crowded(50))
	c := s.client(t, nil)
	from := s.at.Now()
	s.at.Advance(time.Minute)
	if _, err := c.SaveStaff(t.Context(), drafts(0, 3)); err != nil {
		t.Fatal(err)
	}
	count := func(since time.Time) (n int) {
		for one, err := range c.AllStaff(t.Context(), kingdee.Listing{Since: since}) {
			if err != nil || one.Modified.Before(since.Add(-time.Second)) {
				t.Fatal(one, err)
			}
			n++
		}
		return n
	}
	if a, b := count(from), count(from.Add(2*time.Minute)); a != 3 || b != 0 {
		t.Errorf("%d and %d changed", a, b)
	}
}

// TestAllUsers lists login users with the person each belongs to.
func TestAllUsers(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	linked, n := 0, 0
	for user, err := range c.AllUsers(t.Context(), kingdee.Listing{Since: time.Now()}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; user.PersonID != "" {
			linked++
		}
	}
	if n != len(s.sim.Users()) || linked != n-1 { // all but the integration user
		t.Errorf("%d users, %d linked", n, linked)
	}
}

// TestQueryRefuses proves that nothing is asked that could mean something else
// (T27), and that a missing right is no answer.
func TestQueryRefuses(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	for name, q := range map[string]kingdee.Query{
		"no fields": {Form: "SEC_User"},
		"field":     {Form: "SEC_User", Fields: []string{"FName,FPassword"}},
		"form":      {Form: "SEC User", Fields: []string{"FName"}},
		"order":     {Form: "SEC_User", Fields: []string{"FName"}, Order: "FName DESC"},
		"page":      {Form: "SEC_User", Fields: []string{"FName"}, Page: kingdee.Page{Limit: 2001}},
		"start":     {Form: "SEC_User", Fields: []string{"FName"}, Page: kingdee.Page{Start: -1}},
		"filter":    {Form: "SEC_User", Fields: []string{"FName"}, Filter: kingdee.Equals("FName", "x' or '1'='1")},
	} {
		if rows, err := c.Query(t.Context(), q); identity.KindOf(err) != identity.Invalid {
			t.Errorf("%s: %v %v", name, rows, err)
		}
	}
	if n := len(s.sim.Calls()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

// TestLowStock finds what is below its safety stock, over several warehouses and
// to the last decimal (F70).
func TestLowStock(t *testing.T) {
	put := func(dc *kingdeesim.DataCentre, form string, model map[string]any) {
		dc.Tables.Documents = append(dc.Tables.Documents, kingdeesim.Document{Form: form, Model: model})
	}
	material := func(dc *kingdeesim.DataCentre, number, safety string, stocks ...string) {
		put(dc, "BD_MATERIAL", map[string]any{"FNumber": number, "FName": "料" + number, "FSafeStock": safety})
		for i, quantity := range stocks {
			put(dc, "STK_Inventory", map[string]any{"FInventoryNo": fmt.Sprint(number, i), "FMaterialId": map[string]any{"FNumber": number}, "FBaseQty": quantity})
		}
	}
	s := newStage(t, func(dc *kingdeesim.DataCentre) {
		material(dc, "M1", "10", "4.5", "5.4999999999")
		material(dc, "M2", "10", "4.5", "5.5")
		material(dc, "M3", "0.30", "0.1", "0.2") // floats would find this one
		material(dc, "M4", "1")
		material(dc, "M5", "0", "0")
	})
	c := s.client(t, nil)
	low, err := c.LowStock(t.Context())
	if err != nil || len(low) != 2 || low[0].Material != "M1" || low[0].Quantity != "9.9999999999" || low[1].Material != "M4" || low[1].Quantity != "0" || low[1].SafetyStock != "1" {
		t.Errorf("%+v %v", low, err)
	}
}
