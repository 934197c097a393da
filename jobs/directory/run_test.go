package directory_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/jobs/directory"
	"kdgate/kingdee"
)

// TestJoinerMoverLeaver proves F50 and F52: everybody of every level is made in
// Kingdee, ready to sign in by; a change and a move are written; nothing is
// written twice.
func TestJoinerMoverLeaver(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10), person("l4", "李四", 21), person("w5", "王五")}, nil)
	first := r.run(directory.Order{})
	if c := first.Counts; first.Ending != directory.Complete || c.People != 3 || c.Created != 3 || c.Departments != 4 || c.Headcount != 3 {
		t.Fatalf("%s %s %+v %v", first.Ending, first.Why, c, first.Notes)
	}
	zhang := r.staff("z1")
	if zhang.Name != "张三" || zhang.DocumentStatus != "C" || zhang.ForbidStatus != "A" {
		t.Errorf("%+v", zhang)
	}
	if again := r.run(directory.Order{}); again.Counts.Same != 3 || again.Counts.Created+again.Counts.Changed != 0 {
		t.Errorf("a second run: %+v", again.Counts)
	}
	_, err := r.ding.ChangePerson(corp, "z1", func(p *dingtalksim.Person) error { p.Name, p.Departments = "张三丰", []int64{21}; return nil })
	r.must(err)
	moved := r.run(directory.Order{})
	if c := moved.Counts; c.Changed != 1 || c.Moved != 1 || c.Same != 2 {
		t.Errorf("a move: %+v %v", c, moved.Notes)
	}
	if zhang := r.staff("z1"); zhang.Name != "张三丰" {
		t.Errorf("after the move: %+v", zhang)
	}
	var diffs []directory.Diff
	r.must(r.Changes(t.Context(), moved.ID, func(c directory.Change) error { diffs = append(diffs, c.Diffs...); return nil }))
	if len(diffs) != 2 || diffs[0].Before != "张三" || diffs[1].After != "D21" {
		t.Errorf("the diff: %+v", diffs)
	}
}

// TestDryRunWritesNothing proves F55: a dry run counts what would be done.
func TestDryRunWritesNothing(t *testing.T) {
	r := start(t, crowd(7), nil)
	run := r.run(directory.Order{Dry: true})
	if run.Counts.Created != 7 || run.Ending != directory.Complete || r.has("u00000") {
		t.Errorf("%+v", run)
	}
	if _, err := r.Undo(t.Context(), cli, run.ID); identity.KindOf(err) != identity.Conflict {
		t.Errorf("a dry run undone: %v", err)
	}
	if run := r.run(directory.Order{}); run.Counts.Created != 7 || !r.has("u00006") {
		t.Errorf("%+v", run)
	}
}

// TestBadRowsAreSetAside proves F52 and T19: each with its reason, and the run
// goes on; a number that two people claim goes to neither.
func TestBadRowsAreSetAside(t *testing.T) {
	people := []dingtalksim.Person{person("ok", "好"), person("twin1", "一"), person("twin2", "二"), person("none", "无"), person("bad", "坏")}
	for i, number := range []string{"A1", "T1", "T1", "", "x'y"} {
		people[i].JobNumber = number
	}
	phone := person("phone", "话")
	phone.JobNumber, phone.Mobile = "P1", "12"
	r := start(t, append(people, phone), func(c *directory.Config) { c.Rules.Number = "job_number" })
	run := r.run(directory.Order{})
	if run.Ending != directory.Partial || run.Counts.Created != 1 || run.Counts.SetAside != 5 || len(run.Notes) != 5 {
		t.Fatalf("%s %+v %v", run.Ending, run.Counts, run.Notes)
	}
	if !r.has("A1") || r.has("T1") || r.has("P1") {
		t.Error("the wrong people were written")
	}
	// A newcomer who claims somebody's number loses, also after that one has left.
	_, err := r.ding.AddPerson(corp, dingtalksim.Person{UserID: "thief", Name: "贼", JobNumber: "A1"})
	r.must(err)
	if run := r.run(directory.Order{}); run.Counts.Created != 0 || r.staff("A1").Name != "好" {
		t.Errorf("%+v", run)
	}
	_, err = r.ding.RemovePerson(corp, "ok", "leave")
	r.must(err)
	r.run(directory.Order{})
	r.work()
	if run := r.run(directory.Order{}); run.Counts.Created != 0 || r.staff("A1").Name != "好" {
		t.Errorf("after the first one left: %+v", run)
	}
}

// TestBreaker proves R46 and F55: more leavers than admitted stop the run before
// anything is done; a person's word for exactly that many lets it through.
func TestBreaker(t *testing.T) {
	r := start(t, crowd(60), func(c *directory.Config) { c.Breaker = directory.Breaker{Share: 0.05, Least: 4} })
	r.run(directory.Order{})
	for _, p := range crowd(60)[:10] {
		_, err := r.ding.RemovePerson(corp, p.UserID, "leave")
		r.must(err)
	}
	stopped := r.run(directory.Order{})
	if stopped.Ending != directory.Stopped || stopped.Counts.Left != 10 || !strings.Contains(stopped.Why, "10") {
		t.Fatalf("%+v", stopped)
	}
	r.work()
	if r.staff("u00000").ForbidStatus != "A" || r.doors.closed("u00000") {
		t.Error("somebody was cut off all the same")
	}
	var named []string
	r.must(r.Changes(t.Context(), stopped.ID, func(c directory.Change) error {
		if c.Kind == directory.Cut && c.Name != "" && c.Number == c.UserID {
			named = append(named, c.UserID)
		}
		return nil
	}))
	if len(named) != 10 {
		t.Errorf("whoever has to agree sees %v", named)
	}
	if again := r.run(directory.Order{Allow: 9}); again.Ending != directory.Stopped {
		t.Errorf("a word for fewer: %+v", again)
	}
	if through := r.run(directory.Order{Allow: 10}); through.Ending != directory.Complete {
		t.Errorf("with a person's word: %+v", through)
	}
	r.work()
	if r.staff("u00000").ForbidStatus != "B" || !r.doors.closed("u00009") || r.staff("u00010").ForbidStatus != "A" {
		t.Error("the leavers were not cut off, or somebody else was")
	}
	acts, err := r.log.Search(t.Context(), audit.Query{Action: audit.ActionSync, Outcome: audit.Refused})
	r.must(err)
	if len(acts) != 2 {
		t.Errorf("%d stopped runs in the log", len(acts))
	}
}

// TestUnreadIsNotLeft proves F55: under a smaller range, and when a department
// cannot be read, nobody is taken for a leaver.
func TestUnreadIsNotLeft(t *testing.T) {
	r := start(t, crowd(30), nil)
	r.run(directory.Order{})
	_, err := r.ding.AddFault(dingtalksim.Fault{Match: "topapi/v2/user/list", Kind: "status", Status: 503, Times: 1000})
	r.must(err)
	run, err := r.Run(t.Context(), directory.Order{By: cli}, nil)
	if err == nil || run.Ending != directory.Failed || run.Counts.Left != 0 {
		t.Errorf("an unreadable address book: %v, %+v", err, run)
	}
	r.ding.ClearFaults(0)
	r.keep(func(c *directory.Config) { c.Rules.Scope = []int64{10} })
	narrow := r.run(directory.Order{})
	if narrow.Counts.Left != 0 || narrow.Counts.Outside != 20 || narrow.Counts.People != 10 {
		t.Errorf("a smaller scope: %+v", narrow.Counts)
	}
	r.work()
	if r.staff("u00001").ForbidStatus != "A" {
		t.Error("somebody outside the scope was cut off")
	}
}

// TestKilledRunGoesOn proves R46: a run that dies between two pages is taken up
// behind the last one it kept, and everybody is written once.
func TestKilledRunGoesOn(t *testing.T) {
	r := start(t, crowd(900), func(c *directory.Config) { c.Readers = 1 })
	ctx, kill := context.WithCancel(t.Context())
	pages := 0
	died, err := r.Run(ctx, directory.Order{By: cli}, func(phase directory.Phase, _, _ int) {
		if pages++; pages == 2 { // departments that were read whole
			kill()
		}
	})
	if !errors.Is(err, context.Canceled) || died.Ending != "" {
		t.Fatalf("%v, %+v", err, died)
	}
	before := len(r.ding.Calls("topapi/v2/user/list"))
	r.keep(nil) // another process
	run := r.run(directory.Order{})
	if run.ID != died.ID || run.Counts.Created != 900 || run.Counts.People != 900 {
		t.Errorf("%s, %+v", run.ID, run.Counts)
	}
	if after := len(r.ding.Calls("topapi/v2/user/list")) - before; after > 8 {
		t.Errorf("%d pages of 9 were read again", after)
	}
	if len(r.king.Staff()) != 901 {
		t.Errorf("%d staff records", len(r.king.Staff()))
	}
}

// TestUndo proves F55: fields get what they had, what was made is forbidden.
func TestUndo(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10)}, nil)
	r.run(directory.Order{})
	_, err := r.ding.ChangePerson(corp, "z1", func(p *dingtalksim.Person) error { p.Name = "误改"; return nil })
	r.must(err)
	_, err = r.ding.AddPerson(corp, person("n1", "新来的", 10))
	r.must(err)
	run := r.run(directory.Order{})
	refused, err := r.Undo(t.Context(), cli, run.ID)
	r.must(err)
	if len(refused) != 0 || r.staff("z1").Name != "张三" || r.staff("n1").ForbidStatus != "B" {
		t.Errorf("refused %v, %+v, %+v", refused, r.staff("z1"), r.staff("n1"))
	}
	if _, err := r.Undo(t.Context(), cli, run.ID); err == nil {
		t.Error("undone twice")
	}
}

// TestUndoForbidsTheUsersThatWereMade proves F55: the login user that Kingdee made
// beside a record goes with it. One that is spared, and one whose record was
// there before, stay.
func TestUndoForbidsTheUsersThatWereMade(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10)}, func(c *directory.Config) {
		c.Rules.CreateUser, c.Spared = true, []string{"值班"}
	})
	r.run(directory.Order{})
	for userid, name := range map[string]string{"n1": "新来的", "n2": "值班"} {
		_, err := r.ding.AddPerson(corp, person(userid, name, 10))
		r.must(err)
	}
	_, err := r.ding.ChangePerson(corp, "z1", func(p *dingtalksim.Person) error { p.Mobile = "13900000077"; return nil })
	r.must(err)
	run := r.run(directory.Order{})
	_, err = r.Undo(t.Context(), cli, run.ID)
	r.must(err)
	got := map[string]string{}
	for _, user := range r.king.Users() {
		got[user.Name] = user.ForbidStatus
	}
	if got["新来的"] != "B" || got["值班"] != "A" || got["张三"] != "A" {
		t.Errorf("login users after the undo: %v", got)
	}
	for _, userid := range []string{"n1", "n2"} {
		if r.staff(userid).ForbidStatus != "B" {
			t.Errorf("the record %s is in use", userid)
		}
	}
}

// TestUndoOfAMove proves F55 where only the post changed, and that nobody
// without a department is written again and again for a position.
func TestUndoOfAMove(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10), person("w5", "王五")}, func(c *directory.Config) {
		c.Rules.Positions = map[string]string{"经理": "GW0002"}
	})
	r.run(directory.Order{})
	post := r.listed("z1")
	_, err := r.ding.ChangePerson(corp, "z1", func(p *dingtalksim.Person) error { p.Title = "经理"; return nil })
	r.must(err)
	_, err = r.ding.ChangePerson(corp, "w5", func(p *dingtalksim.Person) error { p.Name = "王五五"; return nil })
	r.must(err)
	run := r.run(directory.Order{})
	if run.Counts.Moved != 1 || run.Counts.Changed != 2 {
		t.Errorf("%+v %v", run.Counts, run.Notes)
	}
	refused, err := r.Undo(t.Context(), cli, run.ID)
	r.must(err)
	after := r.listed("z1")
	after.Modified = post.Modified
	if len(refused) != 0 || post.Position != "GW0001" || !reflect.DeepEqual(after, post) || r.staff("w5").Name != "王五" {
		t.Errorf("refused %v\n%+v, before\n%+v", refused, after, post)
	}
}

// listed is a record as Kingdee lists it.
func (r *rig) listed(number string) (found kingdee.StaffRecord) {
	r.t.Helper()
	for record, err := range r.kingdee.AllStaff(r.t.Context(), kingdee.Listing{Filter: kingdee.OneOf("FStaffNumber", number)}) {
		r.must(err)
		found = record
	}
	return found
}
