package directory_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs/directory"
)

// words is a register of who has agreed.
type words struct {
	mu     sync.Mutex
	agreed map[string]bool
	fails  error
}

func (w *words) Agreed(_ context.Context, userid string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.agreed[userid], w.fails
}

func (w *words) All(context.Context) (map[string]bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]bool{}
	for userid := range w.agreed {
		all[userid] = w.agreed[userid]
	}
	return all, w.fails
}

func (w *words) say(userid string, agreed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.agreed[userid] = agreed
}

func (w *words) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fails = err
}

func withMobile(userid, name, mobile string) dingtalksim.Person {
	p := person(userid, name, 10)
	p.Mobile, p.StateCode, p.Email = mobile, "86", userid+"@example.com"
	return p
}

// TestNoConsentNoTransfer proves F44: whoever has not agreed is set aside, in the
// preview, the run and the event; a word opens the way, a withdrawal closes it,
// and a leaver is cut off all the same.
func TestNoConsentNoTransfer(t *testing.T) {
	register := &words{agreed: map[string]bool{"z1": true}}
	r := start(t, []dingtalksim.Person{withMobile("z1", "张三", "13800000001"), withMobile("l4", "李四", "13800000002")}, func(c *directory.Config) { c.Consents = register })
	plan := r.run(directory.Order{Dry: true})
	if plan.Counts.NoConsent != 1 || plan.Counts.SetAside != 1 || plan.Counts.Created != 1 || len(plan.Notes) != 1 || plan.Notes[0].Who != "l4" || !strings.Contains(plan.Notes[0].Words, "未同意") {
		t.Fatalf("%+v", plan)
	}
	done := r.run(directory.Order{})
	if done.Ending != directory.Complete || r.has("l4") || r.staff("z1").Mobile != "13800000001" {
		t.Fatalf("%+v %+v", done, r.staff("z1"))
	}
	r.take(event("user_modify_org", "l4"))
	r.work()
	if r.has("l4") {
		t.Error("an event carried somebody over who has not agreed")
	}
	register.say("l4", true)
	r.must(r.Again(t.Context(), "l4", "consent"))
	r.work()
	if r.staff("l4").Mobile != "13800000002" {
		t.Errorf("after the word: %+v", r.staff("l4"))
	}
	register.say("z1", false)
	_, err := r.ding.ChangePerson(corp, "z1", func(p *dingtalksim.Person) error { p.Mobile = "13900000009"; return nil })
	r.must(err)
	r.take(event("user_modify_org", "z1"))
	r.work()
	if run := r.run(directory.Order{}); run.Counts.NoConsent != 1 || r.staff("z1").Mobile != "13800000001" {
		t.Errorf("after the withdrawal: %+v %+v", run.Counts, r.staff("z1"))
	}
	_, err = r.ding.RemovePerson(corp, "z1", "leave")
	r.must(err)
	r.run(directory.Order{})
	r.work()
	if !r.doors.closed("z1") {
		t.Error("a leaver without consent is not cut off")
	}
}

// TestMinimum: where that is allowed, number, name and post go without consent,
// and the rest with it; nothing is emptied when it is withdrawn.
func TestMinimum(t *testing.T) {
	register := &words{agreed: map[string]bool{}}
	r := start(t, []dingtalksim.Person{withMobile("z1", "张三", "13800000001")}, func(c *directory.Config) { c.Consents, c.Minimum = register, true })
	run := r.run(directory.Order{})
	if s := r.staff("z1"); run.Counts.NoConsent != 0 || s.Name != "张三" || s.Mobile != "" {
		t.Fatalf("%+v %+v", run.Counts, s)
	}
	register.say("z1", true)
	r.run(directory.Order{})
	if s := r.staff("z1"); s.Mobile != "13800000001" {
		t.Errorf("with consent: %+v", s)
	}
	register.say("z1", false)
	_, err := r.ding.ChangePerson(corp, "z1", func(p *dingtalksim.Person) error { p.Name, p.Mobile = "张三丰", "13900000009"; return nil })
	r.must(err)
	r.run(directory.Order{})
	if s := r.staff("z1"); s.Name != "张三丰" || s.Mobile != "13800000001" {
		t.Errorf("after the withdrawal: %+v", s)
	}
}

// TestConsentUnasked: a register that cannot be asked is nobody's "no": the run
// fails and nothing is written.
func TestConsentUnasked(t *testing.T) {
	register := &words{agreed: map[string]bool{"z1": true}, fails: context.DeadlineExceeded}
	r := start(t, []dingtalksim.Person{withMobile("z1", "张三", "13800000001")}, func(c *directory.Config) { c.Consents = register })
	if run, err := r.Run(t.Context(), directory.Order{}, nil); err == nil || run.Ending != directory.Failed || r.has("z1") {
		t.Errorf("%+v %v", run, err)
	}
	register.fail(nil)
	if run := r.run(directory.Order{}); run.Counts.Created != 1 {
		t.Errorf("%+v", run.Counts)
	}
}
