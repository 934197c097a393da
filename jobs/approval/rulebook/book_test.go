package rulebook_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/rulebook"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

var (
	key   = []byte("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")
	admin = jobs.Actor{Name: "c1/manager01", Source: "10.0.0.9", RequestID: "r1"}
	loan  = rulebook.Key{Corp: "c1", Name: "借款"}
)

// rig is a book over a real store and a real audit log.
type rig struct {
	testing.TB
	store store.Store
	log   *audit.Log
	book  *rulebook.Book
}

func newRig(t testing.TB) *rig {
	r := &rig{TB: t}
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	r.must(err)
	t.Cleanup(func() { r.must(driver.Close()) })
	r.store, err = store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	r.must(err)
	r.log, err = audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: "node1", Key: key})
	r.must(err)
	t.Cleanup(func() { r.must(r.log.Close()) })
	r.book = rulebook.New(rulebook.Config{Store: r.store, Recorder: r.log})
	r.must(r.book.Refresh(t.Context()))
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func ruleOf(t testing.TB, text string) approval.Rule {
	t.Helper()
	_, rule, err := rulebook.Parse(text, defaults, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rule
}

func (r *rig) save(text, expect string) rulebook.Written {
	r.Helper()
	w, err := r.book.Save(r.Context(), admin, loan, text, ruleOf(r, text), expect)
	r.must(err)
	return w
}

func sound(_ string, rule approval.Rule) error { return approval.Check([]approval.Rule{rule}) }

// standing is the one rule of the console, and the rules that the organisation uses.
func (r *rig) standing(fixed ...rulebook.Fixed) (rulebook.Standing, []approval.Rule) {
	r.Helper()
	rules, list := r.book.Snapshot().Force(fixed, sound)
	return list[len(list)-1], rules["c1"]
}

// F61: a rule of the console acts only after a preview on a real approval and a
// switch; a newer text waits while the version that is switched on goes on; each
// act is on record before it is done.
func TestRuleOfTheConsole(t *testing.T) {
	r := newRig(t)
	first := r.save(good, "")
	if s, rules := r.standing(); s.Acting != "" || s.Source != rulebook.FromConsole || len(rules) != 1 || !rules[0].Preview {
		t.Fatalf("%+v", s)
	}
	if err := r.book.Switch(t.Context(), admin, loan, first.Print, true); !errors.Is(err, rulebook.ErrUntried) {
		t.Fatalf("switched on untried: %v", err)
	}
	r.must(r.book.NoteTried(t.Context(), rulebook.Tried{Print: first.Print, Instance: "in1", By: admin.Name}))
	r.must(r.book.Switch(t.Context(), admin, loan, first.Print, true))
	r.must(r.book.Switch(t.Context(), admin, loan, first.Print, true)) // nothing more
	if s, rules := r.standing(); s.Acting != first.Print || rules[0].Preview || rules[0].When != `title contains "借款"` {
		t.Fatalf("%+v %+v", s, rules)
	}
	second := r.save(good+"audit: true\n", first.Print)
	if s, rules := r.standing(); s.Acting != first.Print || s.Latest.Print != second.Print || rules[0].Audit {
		t.Errorf("a newer text is in force before it is switched on: %+v", s)
	}
	if _, err := r.book.Save(t.Context(), admin, loan, good, ruleOf(t, good), first.Print); identity.KindOf(err) != identity.Conflict {
		t.Errorf("over a version that nobody looked at: %v", err)
	}
	if _, err := r.book.Save(t.Context(), admin, loan, good, ruleOf(t, good), ""); identity.KindOf(err) != identity.Conflict {
		t.Errorf("anew over what is there: %v", err)
	}
	versions, err := r.book.Versions(t.Context(), loan)
	if err != nil || len(versions) != 2 || versions[0].Print != second.Print || versions[1].Print != first.Print {
		t.Errorf("%v %+v", err, versions)
	}
	r.must(r.book.Switch(t.Context(), admin, loan, "", false))
	if s, rules := r.standing(); s.Acting != "" || !rules[0].Preview || !rules[0].Audit {
		t.Errorf("%+v", s)
	}
	r.must(r.book.Remove(t.Context(), admin, loan))
	if rules, list := r.book.Snapshot().Force(nil, sound); len(list) != 0 || len(rules["c1"]) != 0 {
		t.Errorf("%+v", list)
	}
	if _, err := r.book.Version(t.Context(), first.Print); err != nil {
		t.Errorf("its versions went with it: %v", err)
	}
	for action, n := range map[audit.Action]int{rulebook.ActionSave: 2, rulebook.ActionSwitch: 2, rulebook.ActionRemove: 1} {
		records, err := r.log.Search(t.Context(), audit.Query{Action: action})
		if err != nil || len(records) != n || records[0].Actor != admin.Name || records[0].Target != loan.Name || records[0].Detail["corp"] != "c1" {
			t.Errorf("%s: %+v %v", action, records, err)
		}
	}
}

// F61: the file wins over the console for the same form and for the same name, and
// says so; its own rules are switched by people only where it lets them, and a
// rule that changes is off again.
func TestForce(t *testing.T) {
	r := newRig(t)
	w := r.save(good, "")
	r.must(r.book.NoteTried(t.Context(), rulebook.Tried{Print: w.Print}))
	r.must(r.book.Switch(t.Context(), admin, loan, w.Print, true))
	file := ruleOf(t, good)
	file.Name = "文件"
	if s, rules := r.standing(rulebook.Fixed{Corp: "c1", Rule: file, Mode: rulebook.ModePreview}); s.Shadow != "文件" || s.Acting != "" || len(rules) != 1 || !rules[0].Preview {
		t.Errorf("same form: %+v", s)
	}
	file.Name, file.Process = loan.Name, "PROC-9"
	if s, _ := r.standing(rulebook.Fixed{Corp: "c1", Rule: file, Mode: rulebook.ModeOn}); s.Shadow != loan.Name {
		t.Errorf("same name: %+v", s)
	}
	if s, rules := r.standing(rulebook.Fixed{Corp: "c2", Rule: file, Mode: rulebook.ModeOn}); s.Shadow != "" || s.Acting != w.Print || len(rules) != 1 {
		t.Errorf("another organisation: %+v", s)
	}
	broken := func(string, approval.Rule) error { return errors.New("data centre gone") }
	if rules, list := r.book.Snapshot().Force(nil, broken); list[0].Fault == nil || list[0].Acting != "" || len(rules["c1"]) != 0 {
		t.Errorf("a rule that cannot run is in force: %+v", list)
	}

	file.Name = "报销"
	fixed := rulebook.Fixed{Corp: "c1", Rule: file, Mode: rulebook.ModeConsole}
	of := func() rulebook.Standing {
		_, list := r.book.Snapshot().Force([]rulebook.Fixed{fixed}, sound)
		return list[0]
	}
	if s := of(); s.Acting != "" {
		t.Fatalf("%+v", s)
	}
	print := of().Latest.Print
	r.must(r.book.NoteTried(t.Context(), rulebook.Tried{Print: print}))
	r.must(r.book.Switch(t.Context(), admin, rulebook.Key{Corp: "c1", Name: "报销"}, print, true))
	if s := of(); s.Acting != print || s.Switch.By != admin.Name {
		t.Errorf("%+v", s)
	}
	fixed.Rule.Audit = true
	if s := of(); s.Acting != "" || s.Switch == nil {
		t.Errorf("a changed rule acts without having been looked at: %+v", s)
	}
}

// What is decided on one replica is in force on another within seconds; nothing
// that cannot be recorded is done.
func TestReplicas(t *testing.T) {
	r := newRig(t)
	changed := make(chan int, 16)
	other := rulebook.New(rulebook.Config{Store: r.store, Recorder: r.log, Changed: func(s *rulebook.Snapshot) {
		_, list := s.Force(nil, sound)
		changed <- len(list)
	}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { other.Run(ctx); close(ended) }()
	defer func() { stop(); <-ended }()
	<-changed
	r.save(good, "")
	late := time.After(20 * time.Second)
	for n := 0; n != 1; {
		select {
		case n = <-changed:
		case <-late:
			t.Fatal("the other replica does not know")
		}
	}
	deaf := rulebook.New(rulebook.Config{Store: r.store, Recorder: mute{}})
	r.must(deaf.Refresh(t.Context()))
	if err := deaf.Remove(t.Context(), admin, loan); identity.CodeOf(err) != identity.CodeAuditDown {
		t.Errorf("%v", err)
	}
	if _, there := other.Snapshot().Written(loan); !there {
		t.Error("it was removed without a record")
	}
}

type mute struct{}

func (mute) Append(context.Context, audit.Event) error { return errors.New("disk full") }

// A version is stored once, whoever keeps it, and read as it was.
func TestVersions(t *testing.T) {
	r := newRig(t)
	v, err := approval.VersionOf("c1", ruleOf(t, good))
	r.must(err)
	r.must(r.book.Keep(t.Context(), v))
	r.must(r.book.Keep(t.Context(), v))
	list, err := r.book.Versions(t.Context(), loan)
	if err != nil || len(list) != 1 || rulebook.Text("c1", list[0].Rule) != rulebook.Text("c1", v.Rule) || list[0].Kept.IsZero() {
		t.Errorf("%v %+v", err, list)
	}
	for _, name := range []string{"", "../x", "zzzz", "0123456789abcdef0123456789abcdef"} {
		if _, err := r.book.Version(t.Context(), name); identity.KindOf(err) != identity.NotFound {
			t.Errorf("%q: %v", name, err)
		}
	}
}
