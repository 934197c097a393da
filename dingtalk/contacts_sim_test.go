package dingtalk_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
)

// newLargeTown has a tree of departments and people in all of them.
func newLargeTown(t *testing.T, people, departments, depth int) *town {
	t.Helper()
	return newTown(t, func(c *dingtalksim.Config) { dingtalksim.Populate(&c.Corps[0], people, departments, depth) })
}

// wholeBook reads everybody of every department, each once.
func wholeBook(t *testing.T, c *dingtalk.Client) map[string]dingtalk.Person {
	t.Helper()
	all := map[string]dingtalk.Person{}
	departments, err := c.Departments(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range departments {
		last := false
		for page, err := range c.Members(ctx, d.ID, 0) {
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page.People {
				all[p.UserID] = p.Person
			}
			last = page.Last
		}
		if !last {
			t.Fatalf("department %d ended without a last page", d.ID)
		}
	}
	return all
}

// TestWholeBook proves F50 against the simulator: all levels, all members, as
// many as DingTalk says (SIM-D57 to SIM-D62, SIM-D68).
func TestWholeBook(t *testing.T) {
	u := newLargeTown(t, 1000, 120, 12)
	list, err := u.Departments(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 121 || list[0].ID != dingtalk.RootDepartment {
		t.Fatalf("%d departments from %+v", len(list), list[0])
	}
	place := map[int64]int{}
	for i, d := range list {
		if above, known := place[d.ParentID]; d.ParentID != 0 && (!known || above >= i) {
			t.Errorf("%+v comes before its parent", d)
		}
		place[d.ID] = i
	}
	all := wholeBook(t, u.Client)
	n, err := u.Headcount(ctx, false)
	if err != nil || len(all) != n-1 { // "faraway" is outside every range
		t.Errorf("%d people read, DingTalk says %d, %v", len(all), n, err)
	}
	p := all["zhangsan"]
	if p.Name != "张三" || p.JobNumber != "A001" || p.Corp != corpA || p.HiredAt.UnixMilli() != 1600000000000 ||
		p.Extension()["级别"] != "7" || !p.Active || !slices.Equal(p.Departments, []int64{1}) {
		t.Errorf("person %+v", p)
	}
	ids, err := u.MemberIDs(ctx, 1)
	if err != nil || !slices.Contains(ids, "faraway") || !slices.Contains(ids, "zhangsan") {
		t.Errorf("ids %v, %v", ids, err)
	}
}

// TestBookInDocumentationMode proves SIM-D13 for the address book: quoted
// numbers, objects for arrays and lists as text change nothing.
func TestBookInDocumentationMode(t *testing.T) {
	u := newLargeTown(t, 30, 4, 3)
	plain := wholeBook(t, u.Client)
	if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.DocMode = true }); err != nil {
		t.Fatal(err)
	}
	if documented := wholeBook(t, u.Client); fmt.Sprint(documented) != fmt.Sprint(plain) {
		t.Errorf("%v\n%v", documented, plain)
	}
	if p, err := u.Person(ctx, "zhangsan"); err != nil || !slices.Equal(p.Departments, []int64{1}) || len(p.Orders) != 1 {
		t.Errorf("person %+v, %v", p, err)
	}
}

// TestPartialIsNotShorter proves F55 and SIM-D113 for reads: whatever goes
// wrong with a page for good is an error with the place to resume from, never a
// list that ends early.
func TestPartialIsNotShorter(t *testing.T) {
	const list = "/topapi/v2/user/list"
	for _, kind := range []string{"truncate", "garbage", "empty", "reset", "duplicate-key", "status"} {
		t.Run(kind, func(t *testing.T) {
			u := newLargeTown(t, 250, 1, 1)
			u.fault(t, dingtalksim.Fault{Kind: kind, Match: list, After: 1, Times: -1, Status: 403})
			var got []string
			var failed dingtalk.Page
			for page, err := range u.Members(ctx, 1_000_001, 0) {
				if err != nil {
					failed = page
					break
				}
				for _, p := range page.People {
					got = append(got, p.UserID)
				}
			}
			if len(got) != 100 || failed.Cursor != 100 || failed.Department != 1_000_001 {
				t.Fatalf("%d people, then %+v", len(got), failed)
			}
			u.sim.ClearFaults(0)
			u.Client = u.client(t, corpA, keyA, secretA, nil) // the breaker of the first one is open by now
			for page, err := range u.Members(ctx, failed.Department, failed.Cursor) {
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range page.People {
					got = append(got, p.UserID)
				}
			}
			if slices.Sort(got); len(got) != 250 || len(slices.Compact(got)) != 250 {
				t.Errorf("%d people after the resumption", len(got))
			}
		})
	}
}

// strangers reads a department, sorted into those who had to be decoded and those
// who are familiar.
func strangers(t *testing.T, c *dingtalk.Client, familiar map[dingtalk.Sum]string) (people []dingtalk.Member, known []string, err error) {
	t.Helper()
	bytes := 0
	for page, err := range c.Strangers(ctx, 1_000_001, 0, func(text dingtalk.Sum) bool { return familiar[text] != "" }) {
		if err != nil {
			return people, known, err
		}
		people, bytes = append(people, page.People...), bytes+page.Bytes
		for _, text := range page.Familiar {
			known = append(known, familiar[text])
		}
	}
	if bytes < 250*300 {
		t.Errorf("%d bytes read: the length is of what was decoded", bytes)
	}
	return people, known, nil
}

// TestStrangers: whoever is familiar by their text is not decoded again, and whoever
// has changed in any way is; nobody is lost.
func TestStrangers(t *testing.T) {
	u := newLargeTown(t, 250, 1, 1)
	familiar := map[dingtalk.Sum]string{}
	people, known, err := strangers(t, u.Client, familiar)
	if err != nil || len(people) != 250 || len(known) != 0 {
		t.Fatalf("%d strangers, %d known, %v", len(people), len(known), err)
	}
	for _, p := range people {
		familiar[p.Text] = p.UserID
	}
	if len(familiar) != 250 {
		t.Fatalf("%d texts of 250 people", len(familiar))
	}
	for i, change := range []func(*dingtalksim.Person){
		func(p *dingtalksim.Person) { p.Name += "改" }, func(p *dingtalksim.Person) { p.Mobile = "13900000000" },
		func(p *dingtalksim.Person) { p.Remark = "新" }, func(p *dingtalksim.Person) { p.Extension = `{"工号":"1"}` },
	} {
		if _, err := u.sim.ChangePerson(corpA, people[i].UserID, func(p *dingtalksim.Person) error { change(p); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	u.fault(t, dingtalksim.Fault{Kind: "truncate", Match: "/user/list", After: 1}) // read again, and not counted twice
	changed, known, err := strangers(t, u.Client, familiar)
	if err != nil || len(changed) != 4 || len(known) != 246 {
		t.Fatalf("%d strangers, %d known, %v", len(changed), len(known), err)
	}
	for _, p := range changed {
		known = append(known, p.UserID)
		if p.Name == "" || familiar[p.Text] != "" {
			t.Errorf("%+v", p)
		}
	}
	if slices.Sort(known); len(slices.Compact(known)) != 250 {
		t.Errorf("%d people are left of 250", len(known))
	}
}

// TestStrangersDoubt proves F55 and T5 where everybody is familiar: an answer that
// is broken elsewhere is an error all the same.
func TestStrangersDoubt(t *testing.T) {
	for _, kind := range []string{"truncate", "garbage", "empty", "duplicate-key", "status"} {
		u := newLargeTown(t, 250, 1, 1)
		familiar := map[dingtalk.Sum]string{}
		people, _, err := strangers(t, u.Client, familiar)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range people {
			familiar[p.Text] = p.UserID
		}
		u.fault(t, dingtalksim.Fault{Kind: kind, Match: "/user/list", After: 1, Times: -1, Status: 403})
		if people, known, err := strangers(t, u.Client, familiar); err == nil || len(people)+len(known) != 100 {
			t.Errorf("%s: %d strangers and %d known, %v", kind, len(people), len(known), err)
		}
	}
}

// TestPageRetries proves R19 and R20 for reads: a page that fails for a moment
// is read again, and the walk goes on.
func TestPageRetries(t *testing.T) {
	u := newLargeTown(t, 250, 1, 1)
	u.fault(t, dingtalksim.Fault{Kind: "truncate", Match: "/user/list", After: 1})
	u.fault(t, dingtalksim.Fault{Kind: "throttle", Match: "/user/list", After: 2})
	n := 0
	for page, err := range u.Members(ctx, 1_000_001, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.People)
	}
	if n != 250 {
		t.Errorf("%d people", n)
	}
}

// TestRangeIsToldApart proves SIM-D34 and SIM-D35: a partial range is an error
// for a walk from the root, and Scopes says where to begin instead.
func TestRangeIsToldApart(t *testing.T) {
	u := newLargeTown(t, 40, 4, 2)
	if s, err := u.Scopes(ctx); err != nil || !s.WholeCompany {
		t.Fatalf("%+v, %v", s, err)
	}
	const dept = 1_000_002 // one level below the first
	if err := u.sim.ChangeApp(keyA, func(a *dingtalksim.App) { a.Range = &dingtalksim.Range{Departments: []int64{dept}} }); err != nil {
		t.Fatal(err)
	}
	_, err := u.Departments(ctx)
	wants(t, err, identity.Forbidden, identity.CodeNotInScope)
	s, err := u.Scopes(ctx)
	if err != nil || s.WholeCompany || !slices.Equal(s.Departments, []int64{dept}) {
		t.Fatalf("%+v, %v", s, err)
	}
	list, err := u.Departments(ctx, s.Departments...)
	if err != nil || len(list) != 1 || list[0].ID != dept {
		t.Errorf("%+v, %v", list, err)
	}
	for _, err := range u.Members(ctx, 1, 0) {
		wants(t, err, identity.Forbidden, identity.CodeNotInScope)
	}
}

// TestLeaveRecords proves SIM-D65 and SIM-D66 from our side: all pages, over
// more than a year, with either mark of the last page.
func TestLeaveRecords(t *testing.T) {
	for _, empty := range []bool{false, true} {
		u := newLargeTown(t, 120, 1, 1)
		if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.LeaveEmptyToken = empty }); err != nil {
			t.Fatal(err)
		}
		for i := range 120 {
			if _, err := u.sim.RemovePerson(corpA, fmt.Sprintf("p%06d", i+1), "leave"); err != nil {
				t.Fatal(err)
			}
		}
		u.sim.Advance(2 * time.Second)
		if _, err := u.Person(ctx, "p000001"); identity.KindOf(err) != identity.NotFound {
			t.Errorf("a leaver: %v", err)
		}
		seen := map[string]bool{}
		for one, err := range u.LeaveRecords(ctx, time.Now().AddDate(-2, 0, 0)) {
			if err != nil {
				t.Fatal(err)
			}
			if one.Reason != "leave" || one.At.IsZero() {
				t.Errorf("%+v", one)
			}
			seen[one.UserID] = true
		}
		if len(seen) != 120 {
			t.Errorf("%d leavers", len(seen))
		}
	}
}

// TestLeaveRecordsFail: the walk says so when a page cannot be read.
func TestLeaveRecordsFail(t *testing.T) {
	u := newTown(t)
	u.fault(t, dingtalksim.Fault{Kind: "errcode", Match: "empLeaveRecords", ErrCode: "invalidParameter.param.invalid", Times: -1})
	failed := false
	for _, err := range u.LeaveRecords(ctx, time.Now().AddDate(0, -1, 0)) {
		failed = failed || err != nil
	}
	if !failed {
		t.Error("no leavers, and nothing said")
	}
}

// TestRehiredPerson: somebody who left and came back is there, whatever the
// records say.
func TestRehiredPerson(t *testing.T) {
	u := newTown(t)
	if _, err := u.sim.RemovePerson(corpA, "zhangsan", ""); err != nil {
		t.Fatal(err)
	}
	_, err := u.Person(ctx, "zhangsan")
	wants(t, err, identity.NotFound, identity.CodeNotEmployee)
	if _, err := u.sim.AddPerson(corpA, dingtalksim.Person{UserID: "zhangsan", Name: "张三", Unactivated: true}); err != nil {
		t.Fatal(err)
	}
	if p, err := u.Person(ctx, "zhangsan"); err != nil || p.Active {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestDirectoryRate proves F92: jobs read the address book within their share a
// minute, sign-in does not wait behind them, and the counts can be read.
func TestDirectoryRate(t *testing.T) {
	u := newTown(t)
	c := u.client(t, corpA, keyA, secretA, func(cfg *dingtalk.Config) { cfg.Limits.DirectoryPerMinute = 20 })
	jobs := c.Background()
	short, cancel := context.WithTimeout(ctx, 2*time.Second) // less than the three seconds that a turn takes
	defer cancel()
	n := 0
	for range 20 {
		if _, err := jobs.Headcount(short, false); err == nil {
			n++
		}
	}
	if n < 1 || n > 3 { // the burst of a tenth, and what a moment brings
		t.Errorf("%d calls at once", n)
	}
	if _, err := c.InClient(ctx, u.inClientCode(t, "zhangsan")); err != nil {
		t.Errorf("sign-in: %v", err)
	}
	q := c.Quota(ctx)
	if got := q.Classes[dingtalk.ClassDirectory].Month; got != int64(n) || q.Directory < 0 || q.Classes[dingtalk.ClassLogin].Month < 2 {
		t.Errorf("%+v, want %d directory calls", q, n)
	}
	if strings.Contains(u.log.String(), secretA) {
		t.Error("a secret in the log")
	}
}
