package directory_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs/directory"
	"kdgate/kingdee/kingdeesim"
)

// TestRepair proves R42: of 1,000 divergences whose events were all lost one run
// finds every one. DingTalk's are written; those made in Kingdee wait for a
// person, and nothing else does.
func TestRepair(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	people := crowd(1200)
	r := start(t, people, func(c *directory.Config) { c.Breaker = directory.Breaker{Share: 1} })
	r.run(directory.Order{})
	var changed, left, joined, edited int
	kind := map[string]string{}
	for i, at := range random.Perm(len(people))[:900] {
		who := people[at].UserID
		kind[who] = []string{"changed", "moved", "left", "edited"}[i%4]
		switch kind[who] {
		case "changed":
			changed++
			r.amend(who, func(p *dingtalksim.Person) { p.Mobile = fmt.Sprintf("139%08d", random.IntN(1e8)) })
		case "moved":
			changed++
			r.amend(who, func(p *dingtalksim.Person) { p.Departments = []int64{[]int64{20, 21, 10}[at%3]} })
		case "left":
			left++
			_, err := r.ding.RemovePerson(corp, who, "leave")
			r.must(err)
		case "edited":
			edited++
			name := "金蝶改的"
			r.must(r.king.PatchStaff(centreID, who, kingdeesim.StaffPatch{Name: &name}))
		}
	}
	for i := range 100 {
		joined++
		_, err := r.ding.AddPerson(corp, person(fmt.Sprintf("n%05d", i), "新人", 20))
		r.must(err)
	}
	began := time.Now()
	run := r.run(directory.Order{})
	r.work()
	took := time.Since(began)
	if c := run.Counts; run.Ending != directory.Complete || c.Created != joined || c.Changed != changed || c.Left != left || c.Drift != edited {
		t.Errorf("seed %d: %s %+v; %d joined, %d changed, %d left, %d edited", seed, run.Ending, c, joined, changed, left, edited)
	}
	drifts, err := r.Drifts(t.Context(), "", 1000)
	r.must(err)
	if len(drifts) != edited || slices.ContainsFunc(drifts, func(d directory.Drift) bool { return kind[d.UserID] != "edited" }) {
		t.Errorf("seed %d: %d drifts for %d edits", seed, len(drifts), edited)
	}
	for _, s := range r.king.Staff() {
		if gone := kind[s.Number] == "left"; (s.ForbidStatus == "B") != gone || gone && !r.doors.closed(s.Number) {
			t.Errorf("seed %d: %s %s is %s, doors closed %v", seed, kind[s.Number], s.Number, s.ForbidStatus, r.doors.closed(s.Number))
		}
	}
	if again := r.run(directory.Order{}); again.Counts.Created+again.Counts.Changed+again.Counts.Left != 0 {
		t.Errorf("seed %d: a second run: %+v", seed, again.Counts)
	}
	if t.Logf("%d divergences repaired in %s", joined+changed+left+edited, took); took > 10*time.Minute {
		t.Error("more than ten minutes")
	}
}

// amend changes a person at DingTalk without an event.
func (r *rig) amend(userid string, change func(*dingtalksim.Person)) {
	r.t.Helper()
	_, err := r.ding.ChangePerson(corp, userid, func(p *dingtalksim.Person) error { change(p); return nil })
	r.must(err)
}
