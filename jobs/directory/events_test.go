package directory_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/kingdee/kingdeesim"
)

func event(kind string, userids ...string) dingtalk.Event {
	return dingtalk.Event{Corp: corp, Type: kind, Users: userids}
}

func (r *rig) take(events ...dingtalk.Event) {
	r.t.Helper()
	for _, e := range events {
		r.must(r.Take(r.t.Context(), e))
	}
}

// TestEventsAreReadAgain proves T67 and F51: what an event says is not believed;
// the person is read again, and only what DingTalk says now is done.
func TestEventsAreReadAgain(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10)}, nil)
	r.take(event("user_add_org", "z1"), event("user_leave_org", "z1"), event("user_modify_org", "nobody"))
	r.work()
	if r.staff("z1").ForbidStatus != "A" || r.doors.closed("z1") {
		t.Error("a forged leave event was believed")
	}
	_, err := r.ding.ChangePerson(corp, "z1", func(p *dingtalksim.Person) error { p.Mobile = "13912345678"; return nil })
	r.must(err)
	r.take(event("user_modify_org", "z1"))
	r.work()
	if r.staff("z1").Mobile != "13912345678" {
		t.Errorf("%+v", r.staff("z1"))
	}
}

// TestLeaver proves F54, T40 and T43's half of it: our doors are closed first,
// then Kingdee's, with the times in the log; a second event does nothing more.
func TestLeaver(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10)}, func(c *directory.Config) { c.Rules.CreateUser = true })
	r.run(directory.Order{})
	r.doors.users["z1"] = map[string][]string{"live": {"张三"}}
	_, err := r.ding.RemovePerson(corp, "z1", "leave")
	r.must(err)
	r.take(event("user_leave_org", "z1"))
	r.work()
	if !r.doors.closed("z1") || r.staff("z1").ForbidStatus != "B" {
		t.Errorf("closed %v, %+v", r.doors.closed("z1"), r.staff("z1"))
	}
	for _, user := range r.king.Users() {
		if user.Name == "张三" && user.ForbidStatus != "B" {
			t.Errorf("the login user: %+v", user)
		}
	}
	proof, err := r.log.Search(t.Context(), audit.Query{Action: directory.ActionLeave, Outcome: audit.OK})
	r.must(err)
	if len(proof) != 1 || proof[0].Target != corp+"/z1" {
		t.Fatalf("%d proofs", len(proof))
	}
	for _, name := range []string{"began", "mapping_frozen", "sessions_ended", "kingdee_forbidden"} {
		if proof[0].Detail[name] == "" {
			t.Errorf("the proof lacks %s: %v", name, proof[0].Detail)
		}
	}
	known, _, err := r.Known(t.Context(), "z1")
	r.must(err)
	if known.State != directory.Left {
		t.Errorf("%+v", known)
	}
}

// TestKingdeeAwayClosesOurDoors: our own doors do not wait for Kingdee, whose
// follow when it is back (R19).
func TestKingdeeAwayClosesOurDoors(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10)}, nil)
	r.run(directory.Order{})
	_, err := r.ding.RemovePerson(corp, "z1", "leave")
	r.must(err)
	r.must(r.king.AddFault(kingdeesim.Fault{Match: "ExecuteBillQuery", Kind: "status", Status: 503, Times: 1000}))
	r.take(event("user_leave_org", "z1"))
	r.work()
	if !r.doors.closed("z1") || r.staff("z1").ForbidStatus != "A" {
		t.Errorf("while Kingdee is away: closed %v, %s", r.doors.closed("z1"), r.staff("z1").ForbidStatus)
	}
	r.king.ClearFaults()
	r.until("Kingdee's door is closed", func() bool { // its client looks after the fault by itself
		page, err := r.queue.List(t.Context(), jobs.Filter{State: jobs.Ready}, "", 10)
		r.must(err)
		for _, item := range page.Items {
			_, err = r.queue.Replay(t.Context(), cli, item.ID)
			r.must(err)
		}
		r.work()
		return r.staff("z1").ForbidStatus == "B"
	})
}

// TestRehireWaits proves T42 and T19: somebody who is here again waits for a
// person, whatever events say and in whatever order.
func TestRehireWaits(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10)}, nil)
	r.run(directory.Order{})
	_, err := r.ding.RemovePerson(corp, "z1", "leave")
	r.must(err)
	r.take(event("user_leave_org", "z1"))
	r.work()
	_, err = r.ding.AddPerson(corp, person("z1", "张三", 20))
	r.must(err)
	r.take(event("user_add_org", "z1"), event("user_leave_org", "z1"), event("user_add_org", "z1"))
	r.work()
	run := r.run(directory.Order{})
	if run.Counts.Waiting != 1 || run.Counts.Changed != 0 || r.staff("z1").ForbidStatus != "B" {
		t.Fatalf("%+v, %+v", run.Counts, r.staff("z1"))
	}
	waiting, err := r.Waiting(t.Context())
	r.must(err)
	if len(waiting) != 1 || waiting[0].UserID != "z1" {
		t.Fatalf("%+v", waiting)
	}
	r.must(r.Agree(t.Context(), cli, "z1", r.kingdee))
	r.work()
	if s := r.staff("z1"); s.ForbidStatus != "A" {
		t.Errorf("after the word: %+v", s)
	}
	if err := r.Agree(t.Context(), cli, "z1", r.kingdee); err == nil {
		t.Error("agreed twice")
	}
}

// TestForbiddenInKingdeeLongAgoWritten proves F54: somebody whose record is old
// and is forbidden in Kingdee, which moves no date of change, loses our doors;
// once, and not those who were never ours.
func TestForbiddenInKingdeeLongAgoWritten(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("e", "戊"), person("f", "己")}, nil)
	for number, name := range map[string]string{"e": "戊", "f": "己", "g": "庚"} {
		r.must(r.king.Hire(centreID, kingdeesim.Employee{Number: number, Name: name, Users: []kingdeesim.User{{Name: name, Account: number}}}))
	}
	r.run(directory.Order{})
	if run := r.run(directory.Order{}); run.Counts.Same != 2 {
		t.Fatalf("a record that was written is not old: %+v", run.Counts)
	}
	forbidden := "B"
	for _, number := range []string{"e", "g"} {
		r.must(r.king.PatchStaff(centreID, number, kingdeesim.StaffPatch{ForbidStatus: &forbidden}))
	}
	found := time.Now()
	if run := r.run(directory.Order{}); run.Counts.Drift != 1 {
		t.Errorf("%+v", run.Counts)
	}
	r.work()
	if !r.doors.closed("e") || r.doors.closed("f") {
		t.Error("a leaver marked in Kingdee keeps our doors open, or somebody else's were closed")
	}
	proof, err := r.log.Search(t.Context(), audit.Query{Action: directory.ActionLeave})
	r.must(err)
	if len(proof) != 1 || proof[0].Detail["happened"] < found.UTC().Format("2006-01-02T15:04") {
		t.Errorf("the proof takes the date of the last edit for that of leaving: %+v", proof)
	}
	if run := r.run(directory.Order{}); run.Counts.Drift != 0 {
		t.Errorf("found again: %+v", run.Counts)
	}
}

// TestDrift proves F53: a change made in Kingdee waits for one of three answers,
// and a record that was forbidden there closes our doors.
func TestDrift(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("a", "甲", 10), person("b", "乙", 10), person("c", "丙", 10), person("d", "丁", 10)}, nil)
	r.run(directory.Order{})
	for _, number := range []string{"a", "b", "c"} {
		name := "金蝶改的" + number
		r.must(r.king.PatchStaff(centreID, number, kingdeesim.StaffPatch{Name: &name}))
	}
	forbidden := "B"
	r.must(r.king.PatchStaff(centreID, "d", kingdeesim.StaffPatch{ForbidStatus: &forbidden}))
	run := r.run(directory.Order{})
	drifts, err := r.Drifts(t.Context(), "", 10)
	r.must(err)
	if run.Counts.Drift != 4 || len(drifts) != 3 || drifts[0].Diffs[0].Before != "金蝶改的a" || drifts[0].Diffs[0].After != "甲" {
		t.Fatalf("%+v, %+v", run.Counts, drifts)
	}
	if r.staff("a").Name != "金蝶改的a" {
		t.Error("DingTalk's word was written unasked")
	}
	r.must(r.AcceptDingTalk(t.Context(), cli, "a"))
	r.must(r.KeepKingdee(t.Context(), cli, "b", time.Now().Add(48*time.Hour)))
	r.must(r.KeepKingdee(t.Context(), cli, "c", time.Time{}))
	r.work()
	if !r.doors.closed("d") {
		t.Error("a leaver marked in Kingdee keeps our doors open")
	}
	for userid, name := range map[string]string{"b": "乙乙", "c": "丙丙"} {
		_, err := r.ding.ChangePerson(corp, userid, func(p *dingtalksim.Person) error { p.Name, p.Mobile = name, "13800000000"; return nil })
		r.must(err)
	}
	r.run(directory.Order{})
	if r.staff("a").Name != "甲" || r.staff("b").Name != "金蝶改的b" || r.staff("c").Name != "金蝶改的c" || r.staff("c").Mobile != "13800000000" {
		t.Errorf("%s %s %+v", r.staff("a").Name, r.staff("b").Name, r.staff("c"))
	}
	r.must(r.Release(t.Context(), cli, "c"))
	if err := r.AcceptDingTalk(t.Context(), cli, "a"); err == nil {
		t.Error("decided twice")
	}
}

// TestConverges proves R40 and R41: duplicates, any order, losses and late
// arrivals of events come to the same state as the address book; with -long in
// 10,000 permutations.
func TestConverges(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	const towns = 25 // permutations at once, each of people of its own
	for round := range times(2, 10_000/towns) {
		var people []dingtalksim.Person
		for n := range towns {
			for _, who := range []string{"stays", "leaves", "moves"} {
				people = append(people, person(fmt.Sprint(who, n), who, 10))
			}
		}
		r := start(t, people, func(c *directory.Config) { c.Breaker = directory.Breaker{Share: 1} })
		r.run(directory.Order{})
		var events []dingtalk.Event
		for n := range towns {
			events = append(events, r.happenings(n, random)...)
		}
		random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		lost := random.IntN(len(events))
		for i, e := range events[:len(events)-lost] {
			r.take(e)
			if i%100 == 99 {
				r.work()
			}
		}
		r.work()
		r.run(directory.Order{})
		r.work()
		for n := range towns {
			at := func(who string) string { return r.staff(fmt.Sprint(who, n)).ForbidStatus }
			state := fmt.Sprint(at("stays"), at("leaves"), at("moves"), at("joins"), r.doors.closed(fmt.Sprint("leaves", n)), r.doors.closed(fmt.Sprint("stays", n)))
			if state != "ABAAtrue false" || len(r.king.Staff()) != 4*towns+1 {
				t.Fatalf("seed %d round %d: %s, %d records", seed, round, state, len(r.king.Staff()))
			}
		}
	}
}

// happenings changes the people of one town and gives the events, true, false
// and repeated.
func (r *rig) happenings(n int, random *rand.Rand) []dingtalk.Event {
	r.t.Helper()
	name := func(who string) string { return fmt.Sprint(who, n) }
	_, err := r.ding.RemovePerson(corp, name("leaves"), "leave")
	r.must(err)
	r.amend(name("moves"), func(p *dingtalksim.Person) { p.Departments = []int64{21} })
	_, err = r.ding.AddPerson(corp, person(name("joins"), "来", 20))
	r.must(err)
	events := []dingtalk.Event{
		event("user_add_org", name("joins")), event("user_modify_org", name("moves")), event("user_leave_org", name("leaves")),
		event("user_modify_org", name("leaves")), event("user_add_org", name("leaves")),
		event("user_modify_org", name("stays")), event("user_leave_org", name("stays")),
	}
	for range 10 {
		events = append(events, events[random.IntN(7)])
	}
	return events
}

// TestWave proves R46 for events: many leavers at once lose our doors at once,
// every one of them, and Kingdee's wait for a person, who lets them through.
func TestWave(t *testing.T) {
	r := start(t, crowd(40), func(c *directory.Config) { c.Breaker = directory.Breaker{Least: 5} })
	now := time.Now()
	r.wave = &directory.Wave{Now: func() time.Time { return now }}
	r.run(directory.Order{})
	for _, p := range crowd(40)[:12] {
		_, err := r.ding.RemovePerson(corp, p.UserID, "leave")
		r.must(err)
		r.take(event("user_leave_org", p.UserID))
	}
	r.work()
	forbidden := func() (n int) {
		for _, s := range r.king.Staff() {
			if s.ForbidStatus == "B" {
				n++
			}
		}
		return n
	}
	if forbidden() != 5 || !r.paused(directory.KindForbid) || r.paused(directory.KindLeave) {
		t.Errorf("%d were forbidden, paused %v", forbidden(), r.paused(directory.KindForbid))
	}
	for _, p := range crowd(40)[:12] {
		if !r.doors.closed(p.UserID) {
			t.Errorf("our doors are open to %s", p.UserID)
		}
	}
	now = now.Add(time.Hour)
	r.must(r.queue.ResumeKind(t.Context(), cli, directory.KindForbid))
	r.until("everybody is forbidden after a person let them", func() bool { // those that met the stop come a moment later
		page, err := r.queue.List(t.Context(), jobs.Filter{State: jobs.Ready}, "", 20)
		r.must(err)
		for _, item := range page.Items {
			_, err := r.queue.Replay(t.Context(), cli, item.ID)
			r.must(err)
		}
		r.work()
		return forbidden() == 12
	})
}

// TestWaveOfARun: leavers whom a person agreed to are not held once more.
func TestWaveOfARun(t *testing.T) {
	r := start(t, crowd(40), func(c *directory.Config) { c.Breaker = directory.Breaker{Least: 5} })
	r.wave = &directory.Wave{Now: time.Now}
	r.run(directory.Order{})
	for _, p := range crowd(40)[:12] {
		_, err := r.ding.RemovePerson(corp, p.UserID, "leave")
		r.must(err)
	}
	r.run(directory.Order{Allow: 12})
	r.work()
	if r.paused(directory.KindForbid) || r.staff("u00011").ForbidStatus != "B" {
		t.Errorf("held: %v, %+v", r.paused(directory.KindForbid), r.staff("u00011"))
	}
}

// TestBackBeforeForbidden: whoever is in DingTalk again before Kingdee's doors
// closed keeps them open, and waits for a person.
func TestBackBeforeForbidden(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10)}, nil)
	r.run(directory.Order{})
	_, err := r.ding.RemovePerson(corp, "z1", "leave")
	r.must(err)
	r.must(r.queue.PauseKind(t.Context(), cli, jobs.Pause{Kind: directory.KindForbid, Until: time.Now().Add(time.Hour)}))
	r.take(event("user_leave_org", "z1"))
	r.work()
	_, err = r.ding.AddPerson(corp, person("z1", "张三", 10))
	r.must(err)
	r.must(r.queue.ResumeKind(t.Context(), cli, directory.KindForbid))
	r.work()
	waiting, err := r.Waiting(t.Context())
	r.must(err)
	if !r.doors.closed("z1") || r.staff("z1").ForbidStatus != "A" || len(waiting) != 1 {
		t.Errorf("closed %v, %s, %d wait", r.doors.closed("z1"), r.staff("z1").ForbidStatus, len(waiting))
	}
}

// TestBrokenDoorsAreTriedAgain: a mapping that could not be frozen is a leaver
// who was not cut off, and is told so.
func TestBrokenDoorsAreTriedAgain(t *testing.T) {
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10)}, nil)
	r.run(directory.Order{})
	_, err := r.ding.RemovePerson(corp, "z1", "leave")
	r.must(err)
	r.doors.broken = errors.New("the store is away")
	r.take(event("user_leave_org", "z1"))
	r.work()
	failed, err := r.log.Search(t.Context(), audit.Query{Action: directory.ActionLeave, Outcome: audit.Failed})
	r.must(err)
	if len(failed) != 1 || r.staff("z1").ForbidStatus != "A" {
		text, _ := json.Marshal(failed)
		t.Errorf("%s", text)
	}
}
