package approval_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"kdgate/jobs/approval"
)

// F61: a rule that is not in force is tried on a real approval, field by field
// with component, text, value and mistake, and nothing is posted.
func TestTry(t *testing.T) {
	r := start(t, 1)
	in := r.agreed("1001", form("出差上海", "9007199254740993.01", "0.10"))
	rule := reimburse()
	rule.Header = []approval.Field{{Key: "FNote", Expr: `total("details", "amount") > dec("1") ? "大额" : word("items", "无")`}, {Key: "FX", From: "absent"}}
	p, err := r.Try(t.Context(), rule, in.ID)
	r.must(err)
	fields := map[string]approval.Filled{}
	for _, f := range p.Fields {
		fields[f.Field] = f
	}
	if f := fields["FEntity[1].FExpenseAmount"]; f.Value != "9007199254740993.01" || f.Component != "金额" || f.From != "amount" || f.As != approval.AsDecimal || f.Mistake != "" {
		t.Errorf("%+v", f)
	}
	if f := fields["FEntity[2].FExpID"]; f.Text != "办公" || f.Value != `{"FNumber":"CI002"}` || f.Dictionary != "items" {
		t.Errorf("%+v", f)
	}
	if f := fields["FNote"]; f.Value != `"大额"` || f.Expr == "" {
		t.Errorf("%+v", f)
	}
	if f := fields["FX"]; f.Value != "" || !strings.Contains(f.Mistake, `no component "absent"`) || len(p.Mistakes) != 1 {
		t.Errorf("%+v %v", f, p.Mistakes)
	}
	if f := fields["FCausa"]; f.Value != `"出差上海"` || f.Component != "事由" {
		t.Errorf("%+v", f)
	}
	if n := r.calls("Save"); n != 0 || r.count("ready") != 0 {
		t.Errorf("%d saves", n)
	}
	rule.When = `title == "别的"`
	if p, err = r.Try(t.Context(), rule, in.ID); err != nil || !strings.Contains(p.Passed, "condition") || len(p.Fields) == 0 {
		t.Errorf("%+v %v", p, err)
	}
	rule.DataCentre, rule.When = "nowhere", "1 +"
	if _, err = r.Try(t.Context(), rule, in.ID); err == nil || !strings.Contains(err.Error(), "nowhere") || !strings.Contains(err.Error(), "when") {
		t.Errorf("%v", err)
	}
}

// shelf keeps versions in memory, and not while it is shut.
type shelf struct {
	mu   sync.Mutex
	shut error
	kept []approval.Version
}

func (s *shelf) Keep(_ context.Context, v approval.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut != nil {
		return s.shut
	}
	s.kept = append(s.kept, v)
	return nil
}

// F61: the version that makes a bill is kept before the bill is made, and no bill
// is made while it cannot be; the record names it and the times of the steps.
func TestVersionAndRecord(t *testing.T) {
	r := start(t, 1)
	kept := &shelf{shut: errors.New("shut")}
	b, err := newBooker(r.dingURL, r.kingURL, approval.Config{People: r.staff, Recorder: r.log, Rules: r.rules, Versions: kept}, r.queue)
	r.must(err)
	r.Booker = b
	in := r.agreed("1001", form("出差", "1.10"))
	r.take(in)
	r.work()
	if it := r.item(in); it.State != "dead" || len(r.king.Bills("")) != 0 {
		t.Fatalf("a bill without its version: %s, %d bills", it.State, len(r.king.Bills("")))
	}
	kept.mu.Lock()
	kept.shut = nil
	kept.mu.Unlock()
	_, err = r.queue.Replay(t.Context(), cli, r.item(in).ID)
	r.must(err)
	r.work()
	bill := r.bill(in)
	entry, err := r.store.Get(t.Context(), approval.RecordKey(corp, in.ID))
	r.must(err)
	record, err := approval.ReadRecord(entry.Value)
	r.must(err)
	steps := []string{}
	for i, m := range record.Trail {
		steps = append(steps, m.Step)
		if i > 0 && m.At.Before(record.Trail[i-1].At) {
			t.Errorf("%v runs backwards", record.Trail)
		}
	}
	if fmt.Sprint(steps) != "[fetched looking saved submitted commenting]" || record.Number != bill.Number || record.Bill == "" || record.Originator != "1001" || record.Title != "费用报销" || record.Process != process {
		t.Errorf("%+v", record)
	}
	if len(kept.kept) != 1 || kept.kept[0].Print != record.Print || len(kept.kept[0].Rule.Header) < 5 {
		t.Errorf("%+v", kept.kept)
	}
	live, err := approval.RecordOf(r.item(in))
	if err != nil || live.Number != bill.Number || len(live.Trail) != len(record.Trail) {
		t.Errorf("%+v %v", live, err)
	}
}

// F61: rules are replaced while the program runs; one with a mistake changes
// nothing. Whether a rule is switched on is no part of its version.
func TestUse(t *testing.T) {
	r := start(t, 1)
	off := reimburse()
	off.Preview = true
	a, err := approval.VersionOf(corp, reimburse())
	r.must(err)
	b, err := approval.VersionOf(corp, off)
	if err != nil || a.Print != b.Print {
		t.Errorf("%v %s %s", err, a.Print, b.Print)
	}
	in := r.agreed("1001", form("出差", "1.10"))
	r.must(r.Use([]approval.Rule{off}))
	r.take(in)
	if n := r.count("ready"); n != 0 || r.Acts() {
		t.Errorf("%d items of a rule that is off", n)
	}
	bad := reimburse()
	bad.When = "1 +"
	if err := r.Use([]approval.Rule{reimburse(), bad}); err == nil || r.Acts() {
		t.Errorf("%v", err)
	}
	r.must(r.Use([]approval.Rule{reimburse()}))
	r.take(in)
	if n := r.count("ready"); n != 1 || !r.Acts() {
		t.Errorf("%d items", n)
	}
	ids, err := r.Latest(t.Context(), process, 20)
	if err != nil || len(ids) != 1 || ids[0] != in.ID {
		t.Errorf("%v %v", ids, err)
	}
}
