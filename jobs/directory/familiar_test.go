package directory_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs/directory"
	"kdgate/kingdee/kingdeesim"
	"kdgate/store"
)

// counted is an address book that counts the people of whom it was not known
// what their text comes to.
type counted struct {
	directory.Source

	mu      sync.Mutex
	decoded int
}

func (c *counted) Strangers(ctx context.Context, dept, from int64, familiar func(dingtalk.Sum) bool) iter.Seq2[dingtalk.Page, error] {
	return func(yield func(dingtalk.Page, error) bool) {
		for page, err := range c.Source.Strangers(ctx, dept, from, familiar) {
			c.mu.Lock()
			c.decoded += len(page.People)
			c.mu.Unlock()
			if !yield(page, err) {
				return
			}
		}
	}
}

// since is how many were decoded since it was asked last.
func (c *counted) since() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.decoded
	c.decoded = 0
	return n
}

// counting is a rig whose book counts, with the people of the book.
func counting(t *testing.T, people []dingtalksim.Person, change func(*directory.Config)) (*rig, *counted) {
	t.Helper()
	book := &counted{}
	r := start(t, people, nil)
	book.Source = r.client
	r.keep(func(c *directory.Config) {
		c.Source = book
		if change != nil {
			change(c)
		}
	})
	return r, book
}

// fully is somebody of whom everything is told.
func fully(userid string, departments ...int64) dingtalksim.Person {
	p := withMobile(userid, "职员"+userid, "13800000000")
	p.Departments, p.JobNumber, p.OrgEmail = departments, "J"+userid, userid+"@corp.example.com"
	p.HiredDate, p.Telephone, p.Extension = 1597573616828, "010", `{"成本中心":"1"}`
	return p
}

// TestFamiliarTexts proves F52 for people whose text is known from the run before:
// they are not decoded again, and whatever changes about one of them is written.
func TestFamiliarTexts(t *testing.T) {
	people := []dingtalksim.Person{fully("two", 10, 20)}
	for i := range 30 {
		people = append(people, fully(fmt.Sprintf("u%02d", i), 10))
	}
	r, book := counting(t, people, func(c *directory.Config) {
		c.Rules.Number = "job_number"
		c.Rules.Positions = map[string]string{"经理": "GW0002"}
		c.Rules.More = []directory.FieldRule{{Field: "FTel", From: "telephone"}, {Field: "FNote", From: "extension:成本中心"}}
	})
	if first := r.run(directory.Order{}); first.Counts.Created != 31 || book.since() != 32 {
		t.Fatalf("%+v", first.Counts)
	}
	same := func(when string, decoded int) {
		t.Helper()
		run := r.run(directory.Order{})
		if c := run.Counts; c.Same != 31 || c.People != 31 || c.Differ != 0 || c.Left != 0 {
			t.Errorf("%s: %+v", when, c)
		}
		if n := book.since(); n != decoded {
			t.Errorf("%s: %d texts were decoded, want %d", when, n, decoded)
		}
	}
	same("nothing has changed", 0)
	for what, change := range map[string]func(*dingtalksim.Person){
		"name":        func(p *dingtalksim.Person) { p.Name = "改" },
		"mobile":      func(p *dingtalksim.Person) { p.Mobile = "13900000001" },
		"email":       func(p *dingtalksim.Person) { p.OrgEmail = "new@corp.example.com" },
		"other email": func(p *dingtalksim.Person) { p.OrgEmail, p.Email = "", "other@example.com" },
		"title":       func(p *dingtalksim.Person) { p.Title = "经理" },
		"department":  func(p *dingtalksim.Person) { p.Departments = []int64{21} },
		"number":      func(p *dingtalksim.Person) { p.JobNumber = "K1" },
		"hired":       func(p *dingtalksim.Person) { p.HiredDate += 86400_000 },
		"telephone":   func(p *dingtalksim.Person) { p.Telephone = "020" },
		"extension":   func(p *dingtalksim.Person) { p.Extension = `{"成本中心":"2"}` },
	} {
		r.amend("u07", change)
		if run := r.run(directory.Order{}); run.Counts.Differ != 1 || book.since() != 1 {
			t.Errorf("%s: %+v %v", what, run.Counts, run.Notes)
		}
		same("after the "+what, 0)
	}
	r.amend("u08", func(p *dingtalksim.Person) { p.Remark = "nobody asks for it" })
	same("a field that no rule names", 1)
	same("and then", 0)
}

// TestFamiliarGround: what a text comes to depends on more than the text. Under
// other rules, another dictionary, other departments, another release, and a day
// later it is decoded again, and what differs is written.
func TestFamiliarGround(t *testing.T) {
	people := []dingtalksim.Person{fully("a", 10), fully("b", 10), fully("c", 20)}
	register := &words{agreed: map[string]bool{"a": true, "b": true}}
	late := time.Duration(0)
	var rules directory.Config // as they are now
	r, book := counting(t, people, nil)
	again := func(change func(*directory.Config)) directory.Counts {
		t.Helper()
		change(&rules)
		r.keep(func(c *directory.Config) {
			c.Source, c.Release, c.Numbers, c.Consents, c.Minimum = book, rules.Release, rules.Numbers, rules.Consents, rules.Minimum
			c.Rules, c.Now = rules.Rules, func() time.Time { return time.Now().Add(late) }
		})
		return r.run(directory.Order{}).Counts
	}
	rules.Rules = directory.Rules{MakeDepartments: true, DefaultPosition: "GW0001"}
	again(func(*directory.Config) {})
	book.since()
	for _, c := range []struct {
		what            string
		change          func(*directory.Config)
		differ, decoded int
	}{
		{"nothing", func(*directory.Config) {}, 0, 0},
		{"the dictionary of positions", func(c *directory.Config) { c.Rules.Positions = map[string]string{"会计": "GW0002"} }, 3, 3},
		{"the dictionary of departments", func(c *directory.Config) { c.Rules.Departments = map[int64]string{20: "D21"} }, 1, 3},
		{"a further field", func(c *directory.Config) {
			c.Rules.More = []directory.FieldRule{{Field: "FNote", From: "extension:成本中心"}}
		}, 3, 3},
		{"its dictionary", func(c *directory.Config) { c.Rules.More[0].Dictionary = map[string]string{"1": "CB1"} }, 3, 3},
		{"the form of mobiles", func(c *directory.Config) { c.Rules.Mobiles = map[string]string{"86": "^1"} }, 0, 3},
		{"a number by hand", func(c *directory.Config) { c.Numbers = chosen{"a": {Number: "1001"}} }, 1, 1},
		{"consents", func(c *directory.Config) { c.Consents, c.Minimum = register, true }, 1, 3},
		{"one more", func(*directory.Config) { register.say("c", true) }, 1, 1},
		{"one withdrawn", func(*directory.Config) { register.say("b", false) }, 1, 1},
		{"a release", func(c *directory.Config) { c.Release = "v2" }, 0, 3},
		{"a day", func(*directory.Config) { late = 24 * time.Hour }, 0, 3},
		{"a department", func(*directory.Config) {
			r.must(r.ding.PutDepartment(corp, dingtalksim.Department{ID: 30, Name: "新部门"}))
		}, 0, 3},
		{"nothing again", func(*directory.Config) {}, 0, 0},
	} {
		counts := again(c.change)
		if decoded := book.since(); counts.Differ != c.differ || decoded != c.decoded {
			t.Errorf("%s: %d decoded, want %d; %+v, want %d to differ", c.what, decoded, c.decoded, counts, c.differ)
		}
	}
	if r.staff("1001").Name == "" {
		t.Error("the number by hand was not written")
	}
}

// TestFamiliarIsNotWritten: that a text is familiar does not say that it is what
// was written. What somebody else wrote meanwhile, what was undone and what a
// person decided is compared as ever.
func TestFamiliarIsNotWritten(t *testing.T) {
	r, book := counting(t, []dingtalksim.Person{fully("a", 10), fully("b", 10)}, nil)
	r.run(directory.Order{})
	name := func(name string) { r.amend("a", func(p *dingtalksim.Person) { p.Name = name }) }
	name("二")
	r.take(event("user_modify_org", "a"))
	r.work() // another replica, perhaps of the release before: it knows of no readings
	name("职员a")
	book.since()
	if run := r.run(directory.Order{}); run.Counts.Changed != 1 || r.staff("a").Name != "职员a" || book.since() != 1 {
		t.Errorf("back to a familiar text: %+v, %s", run.Counts, r.staff("a").Name)
	}
	name("三")
	run := r.run(directory.Order{})
	_, err := r.Undo(t.Context(), cli, run.ID)
	r.must(err)
	if r.staff("a").Name != "职员a" {
		t.Fatalf("not undone: %s", r.staff("a").Name)
	}
	if again := r.run(directory.Order{}); again.Counts.Changed != 1 || r.staff("a").Name != "三" {
		t.Errorf("after an undo: %+v, %s", again.Counts, r.staff("a").Name)
	}
	local := "金蝶改的"
	r.must(r.king.PatchStaff(centreID, "a", kingdeesim.StaffPatch{Name: &local}))
	if drifted := r.run(directory.Order{}); drifted.Counts.Drift != 1 || drifted.Counts.Same != 2 {
		t.Errorf("a change in Kingdee: %+v", drifted.Counts)
	}
	r.must(r.AcceptDingTalk(t.Context(), cli, "a"))
	if accepted := r.run(directory.Order{}); accepted.Counts.Differ != 1 || r.staff("a").Name != "三" {
		t.Errorf("DingTalk accepted: %+v, %s", accepted.Counts, r.staff("a").Name)
	}
	_, err = r.ding.RemovePerson(corp, "b", "leave")
	r.must(err)
	r.take(event("user_leave_org", "b")) // between two runs
	r.work()
	_, err = r.ding.AddPerson(corp, fully("b", 10))
	r.must(err)
	if back := r.run(directory.Order{}); back.Counts.Waiting != 1 || back.Counts.Same != 1 {
		t.Errorf("hired again: %+v", back.Counts)
	}
}

// forgetful is a store that keeps no readings.
type forgetful struct{ store.Store }

func (f forgetful) Commit(ctx context.Context, ops ...store.Op) error {
	if slices.ContainsFunc(ops, func(op store.Op) bool { return strings.HasPrefix(op.Key, "directory/reading/") }) {
		return store.ErrUnavailable
	}
	return f.Store.Commit(ctx, ops...)
}

// TestFamiliarIsNoDuty: a run whose readings cannot be kept is as good as any other.
func TestFamiliarIsNoDuty(t *testing.T) {
	r, book := counting(t, crowd(20), nil)
	r.keep(func(c *directory.Config) { c.Source, c.Store = book, forgetful{c.Store} })
	for range 2 {
		if run := r.run(directory.Order{}); run.Ending != directory.Complete || book.since() != 20 {
			t.Errorf("%s %s %+v", run.Ending, run.Why, run.Counts)
		}
	}
}

// TestFamiliarAfterACrash proves R46 with readings: a run that was taken up does
// not forget those whom it did not meet, and the one after knows everybody.
func TestFamiliarAfterACrash(t *testing.T) {
	r, book := counting(t, crowd(900), func(c *directory.Config) { c.Readers = 1 })
	r.run(directory.Order{})
	r.amend("u00001", func(p *dingtalksim.Person) { p.Name = "改" })
	ctx, kill := context.WithCancel(t.Context())
	done := 0
	_, err := r.Run(ctx, directory.Order{By: cli}, func(directory.Phase, int, int) {
		if done++; done == 2 {
			kill()
		}
	})
	if err == nil {
		t.Fatal("not killed")
	}
	book.since()
	if run := r.run(directory.Order{}); run.Counts.Differ != 1 || run.Counts.People != 900 {
		t.Errorf("%+v", run.Counts)
	}
	for _, most := range []int{1, 0} { // the page of the one who changed was kept by the run that died
		book.since()
		if run := r.run(directory.Order{}); run.Counts.Same != 900 || book.since() > most {
			t.Errorf("%+v", run.Counts)
		}
	}
}
