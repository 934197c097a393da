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
	read   int // how often all of it was
}

func (w *words) Agreed(_ context.Context, userid string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.agreed[userid], w.fails
}

func (w *words) All(context.Context) (map[string]bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read++
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

// reads is how often all of the register was read.
func (w *words) reads() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read
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

// TestWithdrawnDuringARun proves F44 against the clock: who takes the consent back
// after a run has read it, and before the run writes, is not carried over, new or
// known, in one run or in one that goes on after an interruption; where the minimum
// goes, only that does.
func TestWithdrawnDuringARun(t *testing.T) {
	for name, c := range map[string]struct {
		known, minimum, interrupted bool
		person, mobile              string // of l4 in Kingdee afterwards
	}{
		"somebody new":           {},
		"somebody known":         {known: true, person: "李四", mobile: "13800000002"},
		"the minimum":            {known: true, minimum: true, person: "李四四", mobile: "13800000002"},
		"somebody new, minimum":  {minimum: true, person: "李四四"},
		"after an interruption":  {interrupted: true},
		"known, and interrupted": {known: true, interrupted: true, person: "李四", mobile: "13800000002"},
	} {
		t.Run(name, func(t *testing.T) {
			register := &words{agreed: map[string]bool{"z1": true, "l4": true}}
			r := start(t, []dingtalksim.Person{withMobile("l4", "李四", "13800000002")}, func(cfg *directory.Config) { cfg.Consents, cfg.Minimum = register, c.minimum })
			if c.known {
				r.run(directory.Order{})
			}
			_, err := r.ding.ChangePerson(corp, "l4", func(p *dingtalksim.Person) error { p.Name, p.Mobile = "李四四", "13900000009"; return nil })
			r.must(err)
			before := register.reads()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			withdraw := sync.OnceFunc(func() {
				if register.reads() == before {
					t.Error("the register is not read yet")
				}
				register.say("l4", false)
			})
			run, err := r.Run(ctx, directory.Order{By: cli}, func(phase directory.Phase, _, _ int) {
				if phase != directory.PhaseRead {
					return
				}
				if withdraw(); c.interrupted {
					cancel()
				}
			})
			if c.interrupted {
				if err == nil {
					t.Fatalf("not interrupted: %+v", run)
				}
				run, err = r.Run(t.Context(), directory.Order{By: cli}, nil)
			}
			if err != nil || run.Ending == directory.Failed || (run.Counts.NoConsent == 1) == c.minimum {
				t.Fatalf("%+v %v", run, err)
			}
			if r.has("l4") != (c.person != "") {
				t.Fatalf("in Kingdee: %t", r.has("l4"))
			}
			if c.person == "" {
				return
			}
			if s := r.staff("l4"); s.Name != c.person || s.Mobile != c.mobile {
				t.Errorf("%+v", s)
			}
		})
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
