package approval_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/kingdee/kingdeesim"
	"kdgate/store"
	"kdgate/store/storetest"
)

// TestUnknownMembersOfRecords proves R54 for records, and for the payload that a
// person's values are put into.
func TestUnknownMembersOfRecords(t *testing.T) {
	storetest.KeepsUnknown(t, []byte(`{"corp":"c","process":"p","instance":"i","received":"2026-01-02T03:04:05Z","trail":[{"step":"saved","at":"2026-01-02T03:04:05Z"}]}`),
		func(value []byte) ([]byte, error) {
			r, err := approval.ReadRecord(value)
			if err != nil {
				return nil, err
			}
			r.Commented = true
			return json.Marshal(r)
		}, "trail")
	storetest.KeepsUnknown(t, []byte(`{"corp":"c","process":"p","why":"event"}`), func(value []byte) ([]byte, error) {
		return approval.WithValues(value, map[string]string{"FCausa": "x"})
	})
}

// TestUnknownMembersSurviveAStep proves R54 end to end: what a newer release wrote
// into the step and the record of an approval is there when this one has carried
// it to its end.
func TestUnknownMembersSurviveAStep(t *testing.T) {
	r := start(t, 1)
	in := r.agreed("1001", form("出差", "1.10"))
	r.take(in)
	taken, err := r.queue.Take(t.Context(), approval.KindBill, 1)
	r.must(err)
	w := taken.Work[0]
	value := []byte(fmt.Sprintf(`{"corp":%q,"process":%q,"instance":%q,"received":"2026-01-02T03:04:05Z","future":{"kept":[1,2]}}`, corp, process, in.ID))
	r.must(w.Step(t.Context(), "fetched", jsontext.Value(`{"title":"费用报销","future":"step","trail":[{"step":"looking","at":"2026-01-02T03:04:05Z","future":"mark"}]}`),
		store.Put(approval.RecordKey(corp, in.ID), value)))
	r.must(w.Release(t.Context(), time.Time{}))
	r.work()
	r.bill(in)
	entry, err := r.store.Get(t.Context(), approval.RecordKey(corp, in.ID))
	r.must(err)
	if !strings.Contains(string(entry.Value), `"future":{"kept":[1,2]}`) || !strings.Contains(string(entry.Value), `"commented":true`) {
		t.Errorf("the record is %s", entry.Value)
	}
	if step := string(r.item(in).Step.Data); !strings.Contains(step, `"future":"step"`) || !strings.Contains(step, `"future":"mark"`) {
		t.Errorf("the step is %s", step)
	}
}

// TestRuleOfANewerRelease: a rule with something in it that this release does not
// know is not acted on by halves (R54).
func TestRuleOfANewerRelease(t *testing.T) {
	plain := reimburse()
	plain.Header = []approval.Field{{Key: "FNote", Const: "x"}}
	text, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	for at, newer := range map[string]string{
		"itself": strings.Replace(string(text), `{`, `{"unless":"amount > dec(\"5000\")",`, 1),
		"header": strings.Replace(string(text), `"header":[{`, `"header":[{"round":"up",`, 1),
	} {
		var rule approval.Rule
		if err := json.Unmarshal([]byte(newer), &rule); err != nil {
			t.Fatal(err)
		}
		if err := approval.Check([]approval.Rule{rule}); err == nil || !strings.Contains(err.Error(), "newer release") {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// TestRuleOnAnotherReplica proves R53 and R54 for rules: an approval that one
// replica put on the list waits where the other does not have its rule yet, and
// what was passed over at last is taken up when a search meets it with the rule.
func TestRuleOnAnotherReplica(t *testing.T) {
	r := start(t, 1)
	in := r.agreed("1001", form("出差", "1.10"))
	r.take(in)
	rules := r.rules
	r.must(r.Use(nil)) // what a replica knows that has not heard
	handle := func() jobs.Item {
		t.Helper()
		taken, err := r.queue.Take(t.Context(), approval.KindBill, 1)
		r.must(err)
		if len(taken.Work) != 1 {
			t.Fatalf("nothing to do: %+v", r.item(in))
		}
		r.must(approval.Bills{Bookers: map[string]*approval.Booker{corp: r.Booker}}.Handle(context.WithoutCancel(t.Context()), taken.Work[0]))
		if it := r.item(in); it.State == jobs.Ready {
			return it
		}
		r.must(taken.Work[0].Complete(t.Context()))
		return r.item(in)
	}
	it := handle()
	if it.State != jobs.Ready || it.Tries != 0 || !it.Due.After(time.Now().Add(10*time.Second)) {
		t.Fatalf("it does not wait: %+v", it)
	}
	for range 8 {
		r.hasten(in)
		it = handle()
	}
	if it.State != jobs.Done || len(r.king.Bills("")) != 0 {
		t.Fatalf("%s after all looks", it.State)
	}
	entry, err := r.store.Get(t.Context(), approval.RecordKey(corp, in.ID))
	r.must(err)
	if record, err := approval.ReadRecord(entry.Value); err != nil || !strings.Contains(record.Why, "no rule") {
		t.Errorf("%+v %v", record, err)
	}
	r.must(r.Use(rules))
	if swept, err := r.Sweep(t.Context(), time.Hour); err != nil || swept.Added != 1 {
		t.Fatalf("%+v %v", swept, err)
	}
	r.work()
	r.bill(in)
}

// hasten makes an approval's item due now.
func (r *rig) hasten(in dingtalksim.Instance) {
	r.t.Helper()
	_, err := r.queue.Replay(r.t.Context(), cli, r.item(in).ID)
	r.must(err)
}

// TestPostedByARuleThatIsGone proves R30 and R34 where the rule went meanwhile: a
// bill whose Save was executed before its replica died is handed in all the same.
func TestPostedByARuleThatIsGone(t *testing.T) {
	r := start(t, 1)
	in := r.agreed("1001", form("出差", "1.10"))
	r.take(in)
	r.must(r.king.AddFault(kingdeesim.Fault{Match: ".Save.", Kind: kingdeesim.FaultAfter}))
	r.must(r.king.AddFault(kingdeesim.Fault{Match: ".ExecuteBillQuery.", Kind: kingdeesim.FaultStatus, Status: http.StatusInternalServerError, After: 2, Times: -1}))
	taken, err := r.queue.Take(t.Context(), approval.KindBill, 1)
	r.must(err)
	handler := approval.Bills{Bookers: map[string]*approval.Booker{corp: r.Booker}}
	if err := handler.Handle(t.Context(), taken.Work[0]); err == nil || r.bill(in).Status == "B" {
		t.Fatalf("%v, %s", err, r.bill(in).Status)
	}
	r.king.ClearFaults()
	r.must(taken.Work[0].Release(t.Context(), time.Time{}))
	r.must(r.Use(nil))
	r.work()
	if bill := r.bill(in); bill.Status != "B" {
		t.Errorf("it is left as %s", bill.Status)
	}
}

// TestTitleOfTheDead: a dead letter that never made a step says whose it is.
func TestTitleOfTheDead(t *testing.T) {
	r := start(t, 1)
	in := r.agreed("1001", form("", "5"))
	r.take(in)
	r.work()
	it := r.item(in)
	record, err := approval.RecordOf(it)
	r.must(err)
	if it.State != jobs.Dead || record.Title != "费用报销" || record.Originator != "1001" || len(record.Trail) != 0 {
		t.Errorf("%s: %+v", it.State, record)
	}
}
